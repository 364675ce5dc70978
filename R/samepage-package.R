#' @section Where to begin:
#' * [convergence()]: two raters' session ratings, one row of scores per dyad.
#' * [convergence_models()]: whether convergence is related to level and change of an outcome.
#' * [lmm()]: any other mixed model of sessions in dyads, in the notation of lme4.
#' * [power_slope()]: how many dyads a study needs.
#' * [study1], [study2]: synthetic data to try all of this on. The vignettes of these names,
#'   `vignette("study1")` and `vignette("study2")`, go through the whole analysis;
#'   `vignette("validation")` checks the package by hand-worked cases and other software.
#'
#' @keywords internal
#' @useDynLib samepage, .registration = TRUE, .fixes = "C_"
#' @importFrom nlme fixef ranef VarCorr
#' @importFrom generics tidy glance augment
"_PACKAGE"

#' @export
generics::tidy

#' @export
generics::glance

#' @export
generics::augment

#' @export
nlme::fixef

#' @export
nlme::ranef

#' @export
nlme::VarCorr
