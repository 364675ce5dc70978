#' Tolerances and limits of `lmm()`
#'
#' Every number that decides something in a fit, in one place. The defaults were
#' chosen so that none needs changing for data on ordinary scales, nor for very
#' large or small ones: all tolerances are relative.
#'
#' @param rank_tolerance A fixed-effects column is dropped as a combination of
#'   earlier ones when what is left of it has less than this share of its length
#'   (the meaning and default of `tol` in [stats::lm()]).
#' @param fall_tolerance The optimiser stops when the next step is predicted to
#'   lower the criterion, -2 log likelihood, by less than this.
#' @param max_iterations Limit of optimiser steps from one start; unless `few_units` is 0, the
#'   lowest of the starts goes on for ten times as many. A fit that reaches it has the status
#'   "failed".
#' @param zero_tolerance A direction of the random effects whose variance is
#'   below this share of its scale is set to exactly zero when the criterion does
#'   not rise.
#' @param few_units Where units are few the restricted likelihood may have several optima,
#'   and the optimiser starts from several points: with this many units or fewer at a
#'   level; with this many rows or fewer beyond those that the units' own effects can fit,
#'   or with few such rows per covariance parameter; and where units are of very different
#'   sizes. With 0 it starts from one point, always.
#' @param largest_effect Limit of the random effects' standard deviations, in
#'   residual standard deviations: beyond, double precision cannot tell the residuals
#'   from nothing.
#' @param largest_inflation Where estimating the fixed effects takes more than this
#'   factor off a sum of squares, digits would be lost, and the fit is repeated in
#'   coordinates that suit its optimum.
#' @returns A list of class `samepage_control`.
#' @family mixed models
#' @examples
#' lmm_control()$rank_tolerance
#' @export
lmm_control <- function(rank_tolerance = 1e-7, fall_tolerance = 1e-10, max_iterations = 1000L,
                        zero_tolerance = 1e-10, few_units = 12L, largest_effect = 1e12,
                        largest_inflation = 1e4) {
  control <- list(
    rank_tolerance = rank_tolerance, fall_tolerance = fall_tolerance,
    max_iterations = max_iterations, zero_tolerance = zero_tolerance, few_units = few_units,
    largest_effect = largest_effect, largest_inflation = largest_inflation
  )
  for (name in names(control)) {
    value <- control[[name]]
    if (!is.numeric(value) || length(value) != 1L || !is.finite(value) || value < 0) {
      stop_samepage("argument", c(
        paste0("`", name, "` must be one number, zero or above."),
        x = paste0("Found ", code_of(value), ".")
      ))
    }
  }
  control$max_iterations <- as.integer(max_iterations)
  control$few_units <- as.integer(few_units)
  structure(control, class = "samepage_control")
}
