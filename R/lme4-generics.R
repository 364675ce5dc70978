# Methods on generics that only lme4 has. They are registered when lme4 is loaded,
# now or later, so the order of loading never matters.

lme4_methods <- function() {
  list(
    getME = part_by_lme4_name, isGLMM = function(x, ...) FALSE, isLMM = function(x, ...) TRUE,
    isNLMM = function(x, ...) FALSE, isREML = function(x, ...) component(x, "reml"),
    ngrps = function(object, ...) ngrps_lmm(object), refit = refit.samepage_lmm,
    refitML = function(x, ...) refit_by(x, reml = FALSE)
  )
}

register_lme4_methods <- function(...) {
  methods <- lme4_methods()
  for (generic in names(methods)) {
    registerS3method(
      generic, "samepage_lmm", methods[[generic]],
      envir = asNamespace("lme4")
    )
  }
}

# Units per grouping, named.
ngrps_lmm <- function(object) {
  vapply(component(object, "groupings"), function(grouping) grouping$n_units, integer(1))
}

# The parts of lme4's getME() that have a meaning for these fits; dense matrices, and
# Z with one column per effect and unit, in lme4's order.
part_by_lme4_name <- function(object, name, ...) {
  if (length(name) > 1L) {
    return(lapply(rlang::set_names(name), part_by_lme4_name, object = object))
  }
  switch(name,
    X = model.matrix.samepage_lmm(object),
    Z = units_matrix(object),
    y = as.vector(component(object, "response")),
    beta = unname(component(object, "beta")),
    fixef = component(object, "beta"),
    sigma = sqrt(component(object, "residual_variance")),
    n = component(object, "n"),
    p = component(object, "rank"),
    offset = component(object, "offset"),
    is_REML = component(object, "reml"),
    flist = grouping_factors(object),
    cnms = stats::setNames(
      lapply(component(object, "blocks"), function(block) block$names),
      vapply(component(object, "blocks"), function(block) block$group, character(1))
    ),
    theta = relative_factors(object),
    lower = ifelse(is.na(factor_elements(object)$var2), 0, -Inf),
    stop_samepage("argument", c(
      paste0(
        "getME() of an lmm() fit has X, Z, y, beta, fixef, theta, lower, sigma, n, p, offset, ",
        "flist, cnms."
      ),
      x = paste0("Not one of them: ", some_of(name), ".")
    ))
  )
}

grouping_factors <- function(fit) {
  groups <- component(fit, "groups")
  lapply(component(fit, "groupings"), function(grouping) {
    units <- ordered_units(fit, grouping)
    place <- order(units$order)[groups[[grouping$level]]]
    structure(place, levels = units$labels, class = "factor")
  })
}

units_matrix <- function(fit) {
  frame <- component(fit, "frame")
  z <- random_matrix(fit, frame)
  factors <- grouping_factors(fit)
  do.call(cbind, lapply(component(fit, "blocks"), function(block) {
    unit <- factors[[block$group]]
    q <- length(block$columns)
    dense <- matrix(0, nrow(z), q * nlevels(unit))
    for (j in seq_len(q)) {
      dense[cbind(seq_along(unit), (as.integer(unit) - 1L) * q + j)] <- z[, block$columns[j]]
    }
    colnames(dense) <- rep(levels(unit), each = q)
    dense
  }))
}

factor_elements <- function(fit) {
  table <- component(fit, "parameter_table")
  table[-nrow(table), ]
}

# Lower triangular factors of the covariance matrices relative to the residual
# variance, column by column. A zero pivot leaves a zero column.
relative_factors <- function(fit) {
  residual <- component(fit, "residual_variance")
  factors <- unlist(lapply(component(fit, "covariances"), function(covariance) {
    left <- covariance / residual
    factor <- 0 * left
    for (j in seq_len(nrow(left))) {
      pivot <- left[j, j]
      if (pivot > 1e-14 * max(covariance[j, j] / residual, .Machine$double.xmin)) {
        factor[, j] <- left[, j] / sqrt(pivot)
        left <- left - tcrossprod(factor[, j])
      }
    }
    factor[lower.tri(factor, diag = TRUE)]
  }))
  table <- factor_elements(fit)
  row <- ifelse(is.na(table$var2), "", paste0(table$var2, "."))
  stats::setNames(factors, paste0(table$name, ".", row, table$var1))
}
