# Kenward and Roger's small-sample inference: a covariance of the fixed effects
# that allows for the estimation of the covariance parameters, and scaled F tests.

#' The covariance of the covariance parameters that tests of fixed effects use
#'
#' With Kenward-Roger this is the inverse of the information that the user chose.
#' The expected one is inverted as a whole, also where the fit lies on a boundary,
#' which is what pbkrtest does; the observed one on the active face, as for
#' Satterthwaite. Its coordinates are those of the component `dvcov`, which need not be the user's.
#' @noRd
parameter_covariance <- function(fit) {
  if (component(fit, "df") != "kenward-roger" || component(fit, "information") == "observed") {
    return(inference_parts(fit)$own$vcov_parameters)
  }
  expected <- inference_parts(fit)$own$expected
  # Scaled first: variances may differ by many orders of magnitude. Directions that the data
  # do not determine change nothing in the fixed effects and are left out.
  scale <- ifelse(diag(expected) > 0, 1 / sqrt(diag(expected)), 0)
  parts <- eigen(scale * t(scale * expected), symmetric = TRUE)
  known <- parts$values > 1e-12 * parts$values[1L]
  root <- scale * parts$vectors[, known, drop = FALSE]
  root %*% (t(root) / parts$values[known])
}

# The covariance of the fixed effects that tests use.
test_vcov <- function(fit, covariance = parameter_covariance(fit)) {
  vcov <- component(fit, "vcov")
  if (component(fit, "df") != "kenward-roger") {
    return(vcov)
  }
  own <- inference_parts(fit)$own
  vcov + adjust_reduced(own$reduced, component(fit, "blocks"), own$parameters, covariance)
}

# Kenward and Roger's F: with q contrasts, A1 and A2 as in their section 3, the
# Wald statistic over q is scaled by lambda and referred to F(q, m). dvcov is the
# derivative of Phi, so Theta dvcov_r stands for their Theta Phi P_r Phi.
kenward_roger_scaling <- function(fit, contrasts, covariance) {
  q <- nrow(contrasts)
  vcov <- component(fit, "vcov")
  dvcov <- component(fit, "dvcov")
  k <- dim(dvcov)[3L]
  root <- chol(contrasts %*% vcov %*% t(contrasts))
  # H_r = root'^-1 L dvcov_r L' root^-1 has the traces that are needed.
  half <- backsolve(root, contrasts, transpose = TRUE)
  h <- vapply(seq_len(k), function(r) {
    as.vector(half %*% dvcov[, , r] %*% t(half))
  }, numeric(q^2))
  dim(h) <- c(q^2, k)
  traces <- colSums(h[diagonal_places(q), , drop = FALSE])
  a1 <- drop(traces %*% covariance %*% traces)
  a2 <- sum(crossprod(h) * covariance)
  if (q == 1L) {
    return(list(scaling = 1, den_df = 2 / a2))
  }
  b <- (a1 + 6 * a2) / (2 * q)
  g <- ((q + 1) * a1 - (q + 4) * a2) / ((q + 2) * a2)
  divisor <- 3 * q + 2 * (1 - g)
  c1 <- g / divisor
  c2 <- (q - g) / divisor
  c3 <- (q + 2 - g) / divisor
  mean_f <- 1 / (1 - a2 / q)
  variance_f <- 2 / q * (1 + c1 * b) / ((1 - c2 * b)^2 * (1 - c3 * b))
  rho <- variance_f / (2 * mean_f^2)
  den_df <- 4 + (q + 2) / (q * rho - 1)
  list(scaling = den_df / (mean_f * (den_df - 2)), den_df = den_df)
}
