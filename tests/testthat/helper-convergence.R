# Plain-R oracle of the scores: lm() per dyad and rater, and nothing of the
# package's algebra.

slope_of <- function(y, x) {
  if (sum(!is.na(y)) < 2L) NA_real_ else unname(stats::coef(stats::lm(y ~ x))[2L])
}

# One dyad's sessions as a data frame with t, p, q (time and the two ratings).
oracle_dyad <- function(d, definition = "fitted", early = "first") {
  d <- d[order(d$t), ]
  d <- d[!is.na(d$t) & !(is.na(d$p) & is.na(d$q)), ]
  both <- d[!is.na(d$p) & !is.na(d$q), ]
  out <- list(
    n_p = sum(!is.na(d$p)), n_q = sum(!is.na(d$q)), n_both = nrow(both),
    intercept_p = NA_real_, slope_p = NA_real_, slope_se_p = NA_real_,
    intercept_q = NA_real_, slope_q = NA_real_, slope_se_q = NA_real_,
    early_p = NA_real_, early_q = NA_real_, early_discrepancy = NA_real_,
    development = slope_of((both$p + both$q) / 2, both$t), convergence = NA_real_
  )
  fits <- list()
  for (rater in c("p", "q")) {
    rated <- data.frame(y = d[[rater]], t = d$t)[!is.na(d[[rater]]), ]
    if (early == "first" && nrow(rated) > 0L) {
      out[[paste0("early_", rater)]] <- rated$y[1L]
    }
    if (nrow(rated) < 2L) {
      next
    }
    fit <- stats::lm(y ~ t, rated)
    fits[[rater]] <- fit
    out[paste0(c("intercept_", "slope_"), rater)] <- stats::coef(fit)
    if (nrow(rated) > 2L) {
      # summary() warns where ratings lie exactly on a line.
      table <- suppressWarnings(summary(fit))$coefficients
      out[[paste0("slope_se_", rater)]] <- table[2L, 2L]
    }
    if (early == "intercept") {
      out[[paste0("early_", rater)]] <- unname(stats::predict(fit, d[1L, "t", drop = FALSE]))
    }
  }
  out$early_discrepancy <- if (early == "intercept") {
    out$early_p - out$early_q
  } else {
    both$p[1L] - both$q[1L]
  }
  gap <- both$p - both$q
  out$convergence <- switch(definition,
    fitted = if (length(fits) == 2L) {
      -slope_of(abs(stats::predict(fits$p, d["t"]) - stats::predict(fits$q, d["t"])), d$t)
    } else {
      NA_real_
    },
    absolute = -slope_of(abs(gap), both$t),
    signed = slope_of(gap, both$t),
    toward_zero = if (nrow(both) > 1L) {
      fit <- stats::lm(gap ~ t, both)
      start <- stats::fitted(fit)[[1L]]
      if (abs(start) < 1e-12) 0 else -sign(start) * stats::coef(fit)[[2L]]
    } else {
      NA_real_
    },
    squared = -slope_of(gap^2, both$t)
  )
  as.data.frame(out)
}

oracle_scores <- function(data, id, t, p, q, ...) {
  plain <- data.frame(id = data[[id]], t = data[[t]], p = data[[p]], q = data[[q]])
  scores <- do.call(rbind, lapply(split(plain, plain$id), oracle_dyad, ...))
  rownames(scores) <- NULL
  scores
}

# Columns of a result in the oracle's order and names.
as_oracle <- function(scores) {
  raters <- attr(scores, "raters")
  columns <- c(
    paste0("n_", raters), "n_both",
    paste0(c("intercept_", "slope_", "slope_se_"), raters[1L]),
    paste0(c("intercept_", "slope_", "slope_se_"), raters[2L]),
    paste0("early_", raters), "early_discrepancy", "development", "convergence_raw"
  )
  out <- as.data.frame(scores)[columns]
  names(out) <- c(
    "n_p", "n_q", "n_both", "intercept_p", "slope_p", "slope_se_p", "intercept_q", "slope_q",
    "slope_se_q", "early_p", "early_q", "early_discrepancy", "development", "convergence"
  )
  out
}

# Dyads with gaps on either side, unequal numbers of sessions and irregular times.
simulate_raters <- function(seed, dyads = 12L, sessions = 9L, offset = 0) {
  set.seed(seed)
  each <- sample(2:sessions, dyads, replace = TRUE)
  dyad <- rep(seq_len(dyads), each)
  t <- stats::ave(stats::rexp(length(dyad)), dyad, FUN = cumsum)
  shared <- stats::rnorm(length(dyad))
  data <- data.frame(
    dyad = dyad, t = t,
    p = offset + stats::rnorm(dyads)[dyad] + stats::rnorm(dyads, 0, .3)[dyad] * t + shared +
      stats::rnorm(length(dyad)),
    q = offset + stats::rnorm(dyads, .5)[dyad] + shared + stats::rnorm(length(dyad))
  )
  data$p[stats::runif(nrow(data)) < .2] <- NA
  data$q[stats::runif(nrow(data)) < .2] <- NA
  data
}

definitions_all <- c("fitted", "absolute", "signed", "toward_zero", "squared")
