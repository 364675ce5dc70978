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
