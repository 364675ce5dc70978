#' Reliability of scores and of random effects
#'
#' How much of the spread between dyads is real, and how much is only the
#' imprecision with which each dyad's own line is estimated. A reliability of
#' .80 says that 80 % of the variance of the dyads' estimates is variance of
#' their true values.
#'
#' @param object What the reliability is asked of.
#' @param ... Not used; arguments other than those named are an error.
#' @returns A numeric vector, see the methods.
#' @family scores
#' @references Raudenbush, S. W., & Bryk, A. S. (2002). *Hierarchical linear
#'   models: Applications and data analysis methods* (2nd ed.). Sage.
#'
#'   Viechtbauer, W. (2005). Bias and efficiency of meta-analytic variance
#'   estimators in the random-effects model. *Journal of Educational and
#'   Behavioral Statistics, 30*(3), 261-293. \doi{10.3102/10769986030003261}
#' @export
reliability <- function(object, ...) {
  UseMethod("reliability")
}

#' @rdname reliability
#' @param residual For scores, whose residual variance counts as a dyad's
#'   imprecision: `"pooled"` over all dyads, as HLM does, or each dyad's
#'   `"own"`, that is `convergence_se`^2. With few sessions per dyad, own
#'   residual variances are themselves so imprecise that the reliability comes
#'   out too high; dyads whose ratings lie exactly on their lines are left out.
#' @details
#' # Scores
#'
#' The reliability of a sample of scores is the mean over dyads of
#' tau^2 / (tau^2 + v_j), with tau^2 the variance of the true scores and v_j the
#' error variance of dyad j's score.
#'
#' - `"signed"` without a transform is linear in the ratings. tau^2 is the
#'   variance of the slopes, and sigma^2 the residual variance, of the mixed model
#'   `discrepancy ~ time + (time | dyad)` fitted by REML; v_j = sigma^2 / Stt_j,
#'   with Stt_j the sum of squares of the dyad's times about their mean.
#' - Every other definition, and every log-transformed score, is not linear:
#'   its sign or its size depends on the ratings. v_j is the squared standard
#'   error described in [convergence()], with the raters' residual variances and
#'   covariance pooled over dyads, and tau^2 is the REML estimate of the
#'   variance of the scores beyond these v_j, taken as known. An estimate of 0
#'   is an answer: the dyads' scores then differ no more than their imprecision
#'   makes them differ.
#' @returns For scores: one number named `convergence`, between 0 and 1; `NA`
#'   where it cannot be estimated. Rows taken out of the scores with `[` keep the
#'   reliability of the whole sample.
#' @examples
#' scores <- convergence(
#'   wai_patient + wai_therapist ~ session | patient, data = study1
#' )
#' reliability(scores)
#' reliability(scores, residual = "own")
#' @export
reliability.samepage_convergence <- function(object, residual = c("pooled", "own"), ...) {
  check_no_dots(...)
  residual <- check_choice(residual, c("pooled", "own"), "residual")
  if (residual == "pooled") {
    return(attr(object, "reliability"))
  }
  own <- object$convergence_se^2
  # Ratings exactly on their lines: too few or too coarse to show any imprecision.
  own[!is.na(own) & own <= 1e-16 * max(own, na.rm = TRUE)] <- NA
  between_reliability(object$convergence, own)$reliability
}

#' Reliability of the sample of scores, error variances pooled over dyads
#'
#' @param found The core's answer, slopes per unit of time.
#' @param scores The final scores.
#' @param scale What the transforms multiply a score's standard error by.
#' @returns A list: `reliability` (named number) and `variance`, the variance
#'   `between` dyads and the mean `error` variance.
#' @noRd
sample_reliability <- function(found, scores, scale, sessions, options) {
  error_variance <- found$scores$error_variance * scale^2
  if (options$definition != "signed" || options$transform != "none") {
    return(between_reliability(scores, error_variance))
  }
  model <- discrepancy_slope_variance(sessions, options$window)
  known <- is.finite(error_variance)
  inflation <- model$residual / found$totals$residual_difference
  pooled_reliability(model$slope * scale^2, error_variance[known] * inflation)
}

#' Variance of the slopes and of the residuals in the mixed model
#' `discrepancy ~ time + (time | dyad)`
#'
#' Both NA where the model cannot be fitted, as with one dyad.
#' @noRd
discrepancy_slope_variance <- function(sessions, window) {
  rated_by_both <- !is.na(sessions$first) & !is.na(sessions$second)
  used <- rated_by_both & in_window(sessions$time, window)
  dyad <- rep(seq_len(length(sessions$starts) - 1L), diff(sessions$starts))[used]
  time <- sessions$time[used]
  # The slope's variance does not depend on where time is 0; the model's conditioning does.
  unit <- stats::sd(time)
  frame <- data.frame(
    discrepancy = (sessions$first - sessions$second)[used],
    time = (time - mean(time)) / unit,
    dyad = dyad
  )
  fit <- tryCatch(
    lmm(discrepancy ~ time + (time | dyad), frame),
    error = function(cnd) NULL
  )
  if (is.null(fit)) {
    return(list(slope = NA_real_, residual = NA_real_))
  }
  list(
    slope = unname(nlme::VarCorr(fit)[["dyad"]]["time", "time"]) / unit^2,
    residual = stats::sigma(fit)^2
  )
}

between_reliability <- function(scores, error_variance) {
  known <- is.finite(scores) & is.finite(error_variance)
  if (sum(known) < 2L) {
    return(pooled_reliability(NA_real_, error_variance[known]))
  }
  tau2 <- .Call(C_between_variance, scores[known], error_variance[known])
  pooled_reliability(tau2, error_variance[known])
}

pooled_reliability <- function(tau2, error_variance) {
  share <- tau2 / (tau2 + error_variance)
  # 0 / 0: all scores equal and without error, which says nothing on reliability.
  unknown <- length(share) == 0L || anyNA(share)
  list(
    reliability = c(convergence = if (unknown) NA_real_ else mean(share)),
    variance = c(
      between = tau2, error = if (length(share) == 0L) NA_real_ else mean(error_variance)
    )
  )
}

#' @rdname reliability
#' @details
#' # Fits of `lmm()`
#'
#' The reliability of each unit's own least-squares coefficients as measures of
#' that unit's random effects, as HLM prints it: the mean of
#' tau^2 / (tau^2 + v_j), with tau^2 a variance of random effects, sigma^2 the
#' residual variance of the model and v_j the unit's diagonal element of
#' sigma^2 (Z_j'Z_j)^-1, over the units whose rows determine their coefficients.
#' @returns For fits: one number between 0 and 1 per random effect, named by the
#'   effect (by `group.effect` when there are several groupings), with attribute
#'   `n_units`, the number of units in each mean.
#' @examples
#' fit <- lmm(distance ~ age + (age | Subject), data = nlme::Orthodont)
#' reliability(fit)
#' @export
reliability.samepage_lmm <- function(object, ...) {
  check_no_dots(...)
  blocks <- component(object, "blocks")
  groups <- component(object, "groups")
  z <- random_matrix(object, component(object, "frame"))
  weights <- component(object, "weights")
  if (!is.null(weights)) {
    z <- z * sqrt(weights)
  }
  level <- vapply(blocks, function(block) block$level, integer(1))
  answers <- lapply(unique(level), function(l) {
    own <- blocks[level == l]
    columns <- unlist(lapply(own, function(block) block$columns))
    tau2 <- unlist(lapply(component(object, "covariances")[level == l], diag), use.names = FALSE)
    inverses <- unit_inverses(z[, columns, drop = FALSE], groups[[l]])
    v <- component(object, "residual_variance") * inverses
    list(
      mean = rowMeans(tau2 / (tau2 + v), na.rm = TRUE), n_units = rowSums(!is.na(v)),
      group = rep.int(own[[1L]]$group, length(columns)),
      effect = unlist(lapply(own, function(block) block$names))
    )
  })
  part <- function(name) unlist(lapply(answers, `[[`, name))
  names <- part("effect")
  if (length(answers) > 1L) {
    names <- paste(part("group"), names, sep = ".")
  }
  n_units <- stats::setNames(as.integer(part("n_units")), names)
  structure(stats::setNames(part("mean"), names), n_units = n_units)
}

# Diagonal of (Z_j'Z_j)^-1, columns of Z x units; NA for a unit whose rows do not
# determine all of its coefficients.
unit_inverses <- function(z, unit) {
  q <- ncol(z)
  diagonals <- vapply(split(seq_along(unit), unit), function(rows) {
    decomposition <- qr(z[rows, , drop = FALSE])
    if (decomposition$rank < q) {
      return(rep(NA_real_, q))
    }
    diag(chol2inv(qr.R(decomposition)))
  }, numeric(q))
  matrix(diagonals, nrow = q)
}
