# Methods on the generics of emmeans, registered when it is loaded, now or later: marginal
# means and their contrasts use the fit's own degrees of freedom.

register_emmeans_methods <- function(...) {
  methods <- list(recover_data = recover_lmm_data, emm_basis = lmm_basis)
  for (generic in names(methods)) {
    registerS3method(
      generic, "samepage_lmm", methods[[generic]],
      envir = asNamespace("emmeans")
    )
  }
}

recover_lmm_data <- function(object, ...) {
  getExportedValue("emmeans", "recover_data")(
    component(object, "call"), stats::delete.response(component(object, "terms")),
    component(object, "na_action"), frame = component(object, "frame"), ...
  )
}

lmm_basis <- function(object, trms, xlev, grid, ...) {
  frame <- stats::model.frame(trms, grid, na.action = stats::na.pass, xlev = xlev)
  X <- stats::model.matrix(trms, frame, contrasts.arg = component(object, "contrasts"))
  covariance <- parameter_covariance(object)
  given <- list(...)[["vcov."]]
  estimable <- if (length(component(object, "aliased")) > 0L) {
    fitted <- stats::model.matrix(
      stats::delete.response(component(object, "terms")), component(object, "frame"),
      contrasts.arg = component(object, "contrasts")
    )
    null_basis(fitted)
  } else {
    matrix(NA)
  }
  list(
    X = X, bhat = fixef.samepage_lmm(object, add.dropped = TRUE), nbasis = estimable,
    V = if (is.null(given)) test_vcov(object, covariance) else given_vcov(given, object),
    # emmeans takes the function out of its environment.
    dffun = function(k, dfargs) dfargs$df(dfargs$fit, matrix(k, nrow = 1L), dfargs$covariance),
    dfargs = list(df = contrast_df, fit = object, covariance = covariance),
    misc = list(initMesg = df_words(object))
  )
}

# emmeans lets its user bring another covariance matrix, or a function that makes it of the fit.
given_vcov <- function(given, fit) {
  V <- if (is.function(given)) given(fit) else given
  p <- length(component(fit, "beta"))
  if (!is.numeric(V) || !identical(dim(V), c(p, p))) {
    size <- paste(p, "x", p)
    stop_samepage("argument", c(
      paste0("`vcov.` must be, or make, a ", size, " matrix: the fixed effects' covariance."),
      x = paste0("Found ", if (is.matrix(V)) paste(dim(V), collapse = " x ") else class(V)[1L], ".")
    ))
  }
  V
}

# Combinations of coefficients that the columns do not determine: what emmeans needs to tell
# which means cannot be estimated.
null_basis <- function(x) {
  decomposition <- qr(t(x))
  qr.Q(decomposition, complete = TRUE)[, -seq_len(decomposition$rank), drop = FALSE]
}
