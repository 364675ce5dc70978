# Methods on generics of car and multcomp, registered when these are loaded, now or later. Both
# take coef() for the coefficients to test; that of a mixed model has one row per unit. They are
# handed the fit with the fixed effects as its coefficients.

register_car_methods <- function(...) {
  register_on_fixed(c("Anova", "linearHypothesis", "deltaMethod", "vif"), "car")
}

register_multcomp_methods <- function(...) {
  register_on_fixed("modelparm", "multcomp")
}

register_on_fixed <- function(generics, package) {
  namespace <- asNamespace(package)
  for (generic in generics) {
    plain <- get(paste0(generic, ".default"), envir = namespace)
    registerS3method(generic, "samepage_lmm", on_fixed(plain), envir = namespace)
  }
}

# car would refer F to the residual degrees of freedom, which no mixed model has.
on_fixed <- function(plain) {
  force(plain)
  function(fit, ...) {
    given <- list(...)
    if ("F" %in% c(given$test.statistic, given$test) && is.null(given$error.df)) {
      stop_samepage("argument", c(
        "F tests of a mixed model need denominator degrees of freedom.",
        x = "car has none for fits of lmm().",
        i = "anova(fit) and test_contrasts(fit, ..., joint = TRUE) compute them."
      ))
    }
    plain(fixed_only(fit), ...)
  }
}

fixed_only <- function(fit) {
  class(fit) <- c("samepage_fixed", class(fit))
  fit
}

#' @export
coef.samepage_fixed <- function(object, ...) {
  component(object, "beta")
}
