#' The published tables of Nissen-Lie et al. (2020)
#'
#' `published_tables` holds Tables I (Study 1) and II (Study 2) of the paper, as
#' printed. The numbers are text: `".50"` and `".5"` say different things about
#' the last digit that is known. `published_exempt` lists the cells of them that
#' no data can give, because they contradict other printed figures (the vignettes
#' `study1` and `study2` have the arithmetic), and a p of .050, which lies on
#' neither side of .05.
#'
#' @format `published_tables`: a data frame with one row per study, model and
#'   parameter:
#' \describe{
#'   \item{study}{1 or 2.}
#'   \item{model}{1, 2 or 3.}
#'   \item{effect}{`fixed`, `ran_pars` (variances and covariance of intercept and
#'     slope over dyads) or `fit` (AIC).}
#'   \item{term}{the coefficient as [convergence_models()] names it, with
#'     `intercept` and `time` for these two; `intercept_variance`, `covariance`,
#'     `slope_variance`; `aic`.}
#'   \item{estimate, std.error, p.value}{text as printed; `NA` where the table has
#'     nothing.}
#' }
#' `published_exempt`: a data frame with one row per cell:
#' \describe{
#'   \item{study, model, effect, term}{as above.}
#'   \item{statistic}{`estimate`, `std.error` or `p.value`.}
#'   \item{reason}{why the printed figure cannot be; the vignettes `study1` and
#'     `study2` do the arithmetic.}
#' }
#' @source Tables I and II of the paper, typed in `data-raw/published-tables.R`.
#' @inherit study1 references
#' @docType data
#' @keywords datasets
#' @name published_tables
#' @aliases published_exempt
#' @usage
#' published_tables
#' published_exempt
#' @seealso [compare_published()]
#' @examples
#' subset(published_tables, study == 2 & model == 1)
#' subset(published_exempt, study == 1, c(model, term, statistic, reason))
NULL
