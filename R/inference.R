# Tests and intervals: degrees of freedom of contrasts of the fixed effects,
# standard errors of the covariance parameters.

# --- fixed effects -----------------------------------------------------------

#' Degrees of freedom of single contrasts
#'
#' Satterthwaite's: 2 v^2 / (g' A g) with v = l' Phi l the variance of the
#' contrast, g its gradient in the covariance parameters and A their covariance
#' (inverse observed information, on the active face where the fit lies on a
#' boundary). Kenward and Roger's of a single contrast are the same with their A.
#' All contrasts at once.
#'
#' @param contrasts Matrix, one row per contrast, or NULL for one contrast per
#'   coefficient.
#' @noRd
contrast_df <- function(fit, contrasts = NULL, covariance = parameter_covariance(fit)) {
  if (component(fit, "df") == "residual") {
    m <- if (is.null(contrasts)) component(fit, "rank") else nrow(contrasts)
    return(rep.int(component(fit, "n") - component(fit, "rank"), m))
  }
  vcov <- component(fit, "vcov")
  dvcov <- component(fit, "dvcov")
  p <- nrow(vcov)
  k <- component(fit, "n_parameters")
  if (is.null(contrasts)) {
    diagonal <- diagonal_places(p)
    variance <- vcov[diagonal]
    gradient <- matrix(dvcov, p * p, k)[diagonal, , drop = FALSE]
  } else {
    variance <- rowSums((contrasts %*% vcov) * contrasts)
    m <- nrow(contrasts)
    # (L dPhi_1, ..., L dPhi_k) in one product, then row sums per parameter.
    product <- array(contrasts %*% matrix(dvcov, p, p * k), c(m, p, k))
    gradient <- colSums(aperm(product * as.vector(contrasts), c(2L, 1L, 3L)))
    dim(gradient) <- c(m, k)
  }
  df <- 2 * variance^2 / rowSums((gradient %*% covariance) * gradient)
  absorbed <- inference_parts(fit)$own$absorbed
  if (!is.null(absorbed)) {
    # A variance that rests on a parameter of which the data say nothing.
    moves <- abs(gradient[, absorbed, drop = FALSE]) * component(fit, "residual_variance")
    df[rowSums(moves > 1e-8 * variance) > 0] <- NA_real_
  }
  # A covariance of the parameters that is none (a failed fit's) gives no degrees of freedom.
  replace(df, is.na(df) | df < 0, NA_real_)
}

# Where the diagonal of an n x n matrix is among its elements; n may be 0.
diagonal_places <- function(n) {
  seq.int(1L, by = n + 1L, length.out = n)
}

# Estimate, Std. Error, df, t value, Pr(>|t|) of every coefficient kept.
fixed_table <- function(fit) {
  beta <- component(fit, "beta")
  covariance <- parameter_covariance(fit)
  p <- length(beta)
  error <- sqrt(test_vcov(fit, covariance)[diagonal_places(p)])
  df <- contrast_df(fit, covariance = covariance)
  t <- beta / error
  matrix(
    c(beta, error, df, t, 2 * stats::pt(-abs(t), df)),
    ncol = 5L,
    dimnames = list(
      names(beta), c("Estimate", "Std. Error", "df", "t value", "Pr(>|t|)")
    )
  )
}

# The F test of several contrasts at once. Contrasts that depend on others are
# left out of the count.
#
# With Satterthwaite's method after Fai and Cornelius (1996): the contrasts are
# turned into uncorrelated ones, whose degrees of freedom are combined. That
# depends (little) on the basis in which the rows of `contrasts` express the
# hypothesis; the caller says which basis that is. Kenward and Roger's test does
# not depend on it.
joint_test <- function(fit, contrasts, rhs = numeric(nrow(contrasts)),
                       call = rlang::caller_env()) {
  vcov <- component(fit, "vcov")
  beta <- component(fit, "beta")
  independent <- independent_contrasts(contrasts, vcov, rhs, call)
  q <- length(independent)
  if (q == 0L) {
    return(list(statistic = NaN, num_df = 0L, den_df = NaN, scaling = 1, p_value = NaN))
  }
  parts <- directions_of(contrasts %*% vcov %*% t(contrasts))
  if (sum(parts$values > 1e-10 * parts$values[1L]) != q) {
    # Units so different that one contrast's rounding hides another's variance: each in its own
    # standard errors then.
    contrasts <- contrasts[independent, , drop = FALSE]
    error <- sqrt(rowSums((contrasts %*% vcov) * contrasts))
    contrasts <- contrasts / error
    rhs <- rhs[independent] / error
    parts <- directions_of(contrasts %*% vcov %*% t(contrasts))
  }
  use <- seq_len(q)
  rotation <- t(parts$vectors[, use, drop = FALSE])
  rotated <- rotation %*% contrasts
  apart <- drop(rotated %*% beta - rotation %*% rhs)
  scaling <- 1
  parameters <- parameter_covariance(fit)
  if (component(fit, "df") == "kenward-roger") {
    test <- kenward_roger_scaling(fit, rotated, parameters)
    adjusted <- rotated %*% test_vcov(fit, parameters) %*% t(rotated)
    scaling <- test$scaling
    den_df <- if (anyNA(contrast_df(fit, rotated, parameters))) NA_real_ else test$den_df
    statistic <- scaling * sum(apart * solve(adjusted, apart)) / q
  } else {
    den_df <- combine_df(contrast_df(fit, rotated, parameters))
    statistic <- mean(apart^2 / parts$values[use])
  }
  list(
    statistic = statistic, num_df = q, den_df = den_df, scaling = scaling,
    p_value = stats::pf(statistic, q, den_df, lower.tail = FALSE)
  )
}

# Uncorrelated directions and their variances; what rounding did to the symmetry is taken out.
directions_of <- function(covariance) {
  eigen((covariance + t(covariance)) / 2, symmetric = TRUE)
}

# Rows of `contrasts` that no other rows make up, whatever their units: found among their
# standardised estimates. What depends on them must not be said to have another value.
independent_contrasts <- function(contrasts, vcov, rhs, call) {
  if (anyNA(vcov)) {
    return(integer())
  }
  rows <- contrasts %*% root_of(vcov)
  size <- sqrt(rowSums(rows^2))
  size[size == 0] <- 1
  scaled <- t(rows / size)
  # Raw powers to the fifth leave 1e-5 of a standard error, rounding 1e-8.
  decomposition <- qr(scaled, tol = 1e-7)
  if (any(rhs != 0)) {
    check_consistent(decomposition, scaled, rhs / size, call)
  }
  sort(decomposition$pivot[seq_len(decomposition$rank)])
}

# A with A A' = vcov; standard errors are taken out first, so that units do not matter.
root_of <- function(vcov) {
  error <- sqrt(diag(vcov))
  error[error == 0] <- 1
  parts <- eigen(vcov / outer(error, error), symmetric = TRUE)
  error * t(t(parts$vectors) * sqrt(pmax(parts$values, 0)))
}

check_consistent <- function(decomposition, scaled, values, call) {
  rank <- decomposition$rank
  independent <- decomposition$pivot[seq_len(rank)]
  dependent <- setdiff(seq_along(values), independent)
  if (length(dependent) == 0L) {
    return(invisible(values))
  }
  share <- if (rank > 0L) {
    qr.coef(qr(scaled[, independent, drop = FALSE], tol = 0), scaled[, dependent, drop = FALSE])
  } else {
    matrix(0, 0L, length(dependent))
  }
  implied <- drop(crossprod(share, values[independent]))
  if (any(abs(values[dependent] - implied) > 1e-6 * max(abs(values)))) {
    stop_samepage("argument", c(
      "The hypotheses must not contradict each other.",
      x = paste0(
        "Contrast ", some_of(dependent), " depends on the others, which imply another value than ",
        "`rhs` gives it."
      )
    ), call = call)
  }
}

# One denominator from the degrees of freedom of q uncorrelated contrasts: F of
# q and this many has the mean of the average of their squared t's.
combine_df <- function(df) {
  q <- length(df)
  if (anyNA(df)) {
    return(NA_real_)
  }
  if (q == 1L || all(abs(df - df[1L]) < 1e-8 * abs(df[1L]))) {
    return(mean(df))
  }
  if (any(df <= 2)) {
    return(2)
  }
  mean_sum <- sum(df / (df - 2))
  2 * mean_sum / (mean_sum - q)
}

#' Covariance matrix of the fixed effects
#'
#' The squared standard errors of the fixed effects on its diagonal, their covariances elsewhere.
#'
#' Kenward and Roger's adjustment takes the covariance of the covariance parameters from the
#' information that the fit's `information` names. Where the fit lies on a boundary, the
#' expected information is inverted as if it did not, which is what pbkrtest does and can give
#' few degrees of freedom; the observed one is that of the parameters which the boundary
#' leaves.
#'
#' @param object A fit of [lmm()].
#' @param adjusted Whether to return Kenward and Roger's adjusted covariance
#'   matrix. Default: when the fit's `df` is `"kenward-roger"`.
#' @param complete Whether columns that were left out as combinations of earlier
#'   ones stand in the answer as NA, as for [stats::vcov()].
#' @param ... Not used; unknown arguments are an error.
#' @returns A matrix named by the fixed effects in the fit, in squared units of the
#'   outcome (per units of the two columns).
#' @family inference
#' @examples
#' fit <- lmm(distance ~ age + (age | Subject), data = nlme::Orthodont)
#' vcov(fit)
#' @export
vcov.samepage_lmm <- function(object, adjusted = component(object, "df") == "kenward-roger",
                              complete = FALSE, ...) {
  check_no_dots(...)
  if (check_flag(adjusted, "adjusted")) {
    check_reml(component(object, "method"))
    object$df <- "kenward-roger"
    vcov <- test_vcov(object)
  } else {
    vcov <- component(object, "vcov")
  }
  if (check_flag(complete, "complete")) {
    names <- component(object, "x_names")
    all <- matrix(NA_real_, length(names), length(names), dimnames = list(names, names))
    all[rownames(vcov), colnames(vcov)] <- vcov
    vcov <- all
  }
  vcov
}

check_reml <- function(method, call = rlang::caller_env()) {
  if (method != "REML") {
    stop_samepage("argument", c(
      "Kenward and Roger's method is for fits by restricted maximum likelihood.",
      x = paste0("This fit is by ", method, "."),
      i = "Use `method = \"REML\"`, or `df = \"satterthwaite\"`."
    ), call = call)
  }
}

# How the tests of fixed effects are made, for headings.
df_words <- function(fit) {
  switch(component(fit, "df"),
    satterthwaite = "Satterthwaite degrees of freedom",
    `kenward-roger` = paste0(
      "Kenward-Roger, from the ", component(fit, "information"), " information"
    ),
    residual = "residual degrees of freedom"
  )
}

# --- covariance parameters ---------------------------------------------------

# Standard errors of the covariance parameters in the order of the core; NA
# where a boundary leaves a parameter without one.
parameter_errors <- function(fit) {
  variance <- diag(component(fit, "vcov_parameters"))
  variance[component(fit, "redundant") | variance < 0] <- NA_real_
  sqrt(variance)
}

# The covariance parameters with Wald z, two-sided p and interval. A variance
# gets its interval on the log scale, so that it cannot reach below zero; a
# covariance gets a plain one.
parameter_tests <- function(fit, level = 0.95) {
  table <- component(fit, "parameter_table")
  estimate <- component(fit, "parameters")
  error <- parameter_errors(fit)
  z <- estimate / error
  reach <- stats::qnorm((1 + level) / 2)
  is_variance <- is.na(table$var2)
  factor <- exp(reach * error / estimate)
  low <- estimate - reach * error
  high <- estimate + reach * error
  low[is_variance] <- (estimate / factor)[is_variance]
  high[is_variance] <- (estimate * factor)[is_variance]
  plain_frame(list(
    grp = table$grp, var1 = table$var1, var2 = table$var2,
    estimate = estimate, std.error = error, z = z, p.value = 2 * stats::pnorm(-abs(z)),
    conf.low = low, conf.high = high
  ))
}

# The parameters as standard deviations and correlations, with the gradient of
# each in the variances and covariances (rows = standard deviations and
# correlations, columns = parameters).
sd_correlations <- function(fit) {
  table <- component(fit, "parameter_table")
  parameters <- component(fit, "parameters")
  k <- length(parameters)
  gradient <- matrix(0, k, k)
  diagonal <- is.na(table$var2)
  value <- to_sd_correlation(table, parameters)
  gradient[cbind(which(diagonal), which(diagonal))] <- 1 / (2 * value[diagonal])
  for (i in which(!diagonal)) {
    both <- variances_of(table, i)
    gradient[i, i] <- 1 / prod(value[both])
    gradient[i, both] <- -value[i] / (2 * parameters[both])
  }
  list(value = value, gradient = gradient, is_sd = diagonal)
}

# Parameters as standard deviations and correlations.
to_sd_correlation <- function(table, parameters) {
  value <- sqrt(pmax(parameters, 0))
  for (i in which(!is.na(table$var2))) {
    value[i] <- parameters[i] / prod(value[variances_of(table, i)])
  }
  value
}

# Where the two variances of covariance `i` are.
variances_of <- function(table, i) {
  own <- is.na(table$var2) & table$block %in% table$block[i]
  c(which(own & table$row == table$column[i]), which(own & table$row == table$row[i]))
}

# lme4's names of standard deviations and correlations (oldNames = FALSE).
sd_correlation_names <- function(table) {
  ifelse(
    is.na(table$var1), "sigma",
    ifelse(
      is.na(table$var2), paste0("sd_", table$var1, "|", table$name),
      paste0("cor_", table$var2, ".", table$var1, "|", table$name)
    )
  )
}
