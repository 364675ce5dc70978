# Confidence intervals of a fit: Wald, profile likelihood, parametric bootstrap.

#' Confidence intervals of a mixed model
#'
#' Intervals for the fixed effects, for the standard deviations and correlations of the
#' random effects and for the residual standard deviation, by any of four methods.
#'
#' @section Methods:
#' `"wald"`: intervals of the fixed effects use t with the fit's degrees of
#' freedom. Those of the random effects' standard deviations are Wald intervals of
#' the log variance (so they cannot reach below zero) and those of the correlations
#' Wald intervals of Fisher's z.
#'
#' `"satterthwaite"`: the same but for the standard deviations, whose intervals are those of
#' a chi-square variable with 2 (estimate / standard error)^2 degrees of freedom for the
#' variance, as SAS prints them. For the residual variance of balanced data they are exact.
#'
#' `"profile"`: the values of a parameter at which -2 log likelihood, with all other
#' parameters fitted again, is above its minimum by the chi-square quantile. As in
#' lme4 the full likelihood is used also for a fit by REML; with `reml = TRUE` the
#' covariance parameters of such a fit are profiled in the restricted likelihood,
#' the one that was maximised. An end may lie on a bound (0, -1 or 1).
#'
#' `"boot"`: percentiles of the estimates from `nsim` responses drawn from the fit
#' and fitted again.
#'
#' @param object A fit of [lmm()].
#' @param parm What to give intervals of: names or numbers of rows, `"beta_"`
#'   for all fixed effects, `"theta_"` for all standard deviations and
#'   correlations. Default: everything.
#' @param level Confidence level.
#' @param method `"wald"` (or `"Wald"`, as lme4 writes it), `"satterthwaite"`, `"profile"` or
#'   `"boot"`, see below.
#' @param reml For `"profile"`: whether covariance parameters are profiled in the
#'   restricted likelihood.
#' @param nsim,seed For `"boot"`: number of simulated responses, and the seed of
#'   [simulate()][simulate.samepage_lmm].
#' @param ... Not used; unknown arguments are an error.
#' @returns A matrix with one row per parameter and two columns named by their
#'   probabilities; `NA` where there is no interval (a Wald interval of a parameter
#'   that a boundary leaves without a standard error, a correlation with a zero
#'   variance). Rows are named as lme4 names them: `sd_x|group`, `cor_y.x|group`,
#'   `sigma` (the residual standard deviation), then the fixed effects; standard
#'   deviations are in the unit of the outcome (per unit of `x`). With `"boot"`,
#'   attribute `estimates`: the estimates from each simulated response.
#' @family inference
#' @examples
#' fit <- lmm(distance ~ I(age - 11) + (I(age - 11) | Subject), data = nlme::Orthodont)
#' confint(fit)
#' confint(fit, "theta_", method = "profile")
#' confint(fit, "beta_", method = "boot", nsim = 50, seed = 1)
#' @export
confint.samepage_lmm <- function(object, parm, level = 0.95,
                                 method = c("wald", "satterthwaite", "profile", "boot"),
                                 reml = FALSE, nsim = 500, seed = NULL, ...) {
  check_no_dots(...)
  check_level(level, "level")
  if (identical(method, "Wald")) {
    method <- "wald"
  }
  method <- check_choice(method, c("wald", "satterthwaite", "profile", "boot"), "method")
  check_flag(reml, "reml")
  if (reml && !component(object, "reml")) {
    stop_samepage("argument", c(
      "`reml = TRUE` is for fits by restricted maximum likelihood.",
      x = "This fit is by ML."
    ))
  }
  if (component(object, "status") == "failed") {
    inform_samepage("failed_fit", c(
      "These intervals must not be used: the fit they belong to has failed.",
      i = "fit_status() says why."
    ))
  }
  names <- c(
    sd_correlation_names(component(object, "parameter_table")), names(component(object, "beta"))
  )
  rows <- if (missing(parm)) {
    seq_along(names)
  } else {
    pick_rows(names, parm, component(object, "n_parameters"))
  }
  intervals <- switch(method,
    wald = rbind(wald_random(object, level), wald_fixed(object, level)),
    satterthwaite = rbind(satterthwaite_random(object, level), wald_fixed(object, level)),
    profile = profile_intervals(object, rows, level, reml),
    boot = boot_intervals(object, level, nsim, seed)
  )
  dimnames(intervals) <- list(
    names, paste(format(100 * c(1 - level, 1 + level) / 2, trim = TRUE), "%")
  )
  estimates <- attr(intervals, "estimates")
  intervals <- intervals[rows, , drop = FALSE]
  if (!is.null(estimates)) {
    colnames(estimates) <- names
    intervals <- structure(
      intervals,
      estimates = estimates[, rows, drop = FALSE], class = c("samepage_boot", class(intervals))
    )
  }
  intervals
}

# A matrix like any other, without hundreds of estimates below it.
#' @export
print.samepage_boot <- function(x, ...) {
  n <- nrow(attr(x, "estimates"))
  attr(x, "estimates") <- NULL
  print(unclass(x), ...)
  cat("From ", n, " simulated responses.\n", sep = "")
  invisible(x)
}

wald_fixed <- function(fit, level) {
  table <- fixed_table(fit)
  reach <- stats::qt((1 + level) / 2, table[, "df"]) * table[, "Std. Error"]
  matrix(
    c(table[, "Estimate"] - reach, table[, "Estimate"] + reach),
    ncol = 2L, dimnames = list(rownames(table), NULL)
  )
}

# Their standard errors, by the delta method; one that rests on a parameter
# without a standard error has none.
sd_correlation_errors <- function(fit, at) {
  redundant <- component(fit, "redundant")
  used <- at$gradient
  used[!is.finite(used)] <- 0
  error <- sqrt(pmax(rowSums((used %*% component(fit, "vcov_parameters")) * used), 0))
  error[rowSums(at$gradient[, redundant, drop = FALSE] != 0) > 0 | !is.finite(at$value)] <- NA_real_
  error
}

wald_random <- function(fit, level) {
  at <- sd_correlations(fit)
  error <- sd_correlation_errors(fit, at)
  reach <- stats::qnorm((1 + level) / 2)
  factor <- exp(reach * error / at$value)
  centre <- suppressWarnings(atanh(at$value))
  width <- reach * error / (1 - at$value^2)
  intervals <- cbind(
    ifelse(at$is_sd, at$value / factor, tanh(centre - width)),
    ifelse(at$is_sd, at$value * factor, tanh(centre + width))
  )
  intervals[is.nan(intervals)] <- NA_real_
  rownames(intervals) <- sd_correlation_names(component(fit, "parameter_table"))
  intervals
}

satterthwaite_random <- function(fit, level) {
  intervals <- wald_random(fit, level)
  variances <- is.na(component(fit, "parameter_table")$var2)
  estimate <- component(fit, "parameters")[variances]
  df <- 2 * (estimate / parameter_errors(fit)[variances])^2
  intervals[variances, ] <- sqrt(
    df * estimate / cbind(
      stats::qchisq((1 + level) / 2, df), stats::qchisq((1 - level) / 2, df)
    )
  )
  intervals
}

# Percentiles of the estimates from simulated responses. Fits without an answer are
# counted in a message and left out.
boot_intervals <- function(fit, level, nsim, seed) {
  kept <- kept_replay(fit)
  table <- component(fit, "parameter_table")
  estimates <- map_drawn_responses(fit, nsim, seed, function(y) {
    core <- solve_response(fit, kept$replay, y)
    if (core$status == 2L) {
      return(rep(NA_real_, length(core$parameters) + length(core$beta)))
    }
    c(to_sd_correlation(table, core$parameters), core$beta)
  }, numeric(nrow(table) + component(fit, "rank")))
  estimates <- t(estimates)
  failed <- sum(is.na(estimates[, nrow(table)]))
  if (failed > 0L) {
    inform_samepage("bootstrap", paste0(
      count_of(failed, "simulated response"), " of ", nsim, " could not be fitted and ",
      if (failed == 1L) "is" else "are", " left out."
    ))
  }
  intervals <- t(apply(estimates, 2L, function(x) {
    if (sum(!is.na(x)) < 2L) {
      return(c(NA_real_, NA_real_))
    }
    stats::quantile(x, c(1 - level, 1 + level) / 2, na.rm = TRUE, names = FALSE, type = 6)
  }))
  structure(intervals, estimates = estimates)
}

# Rows by name, by number or by lme4's two shorthands.
pick_rows <- function(names, parm, n_random, call = rlang::caller_env()) {
  if (identical(parm, "theta_")) {
    return(seq_len(n_random))
  }
  if (identical(parm, "beta_")) {
    return(seq_along(names)[-seq_len(n_random)])
  }
  rows <- if (is.character(parm)) match(parm, names) else match(parm, seq_along(names))
  if (anyNA(rows)) {
    stop_samepage("argument", c(
      "`parm` must name rows of the intervals.",
      x = paste0("Unknown: ", some_of(parm[is.na(rows)]), "."),
      i = paste0("Known: ", paste(names, collapse = ", "), ".")
    ), call = call)
  }
  rows
}
