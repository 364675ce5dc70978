# Plain-R oracle of the scores, written for reading: lm() per dyad and rater, standard errors from
# the score's gradient in every single rating, found numerically. Nothing of the package's algebra.

definitions_all <- c("fitted", "absolute", "signed", "toward_zero", "squared")

# The line through the ratings there are, or NULL with fewer than two.
line_through <- function(y, t) {
  if (sum(!is.na(y)) < 2L) NULL else stats::lm(y ~ t, data.frame(y = y, t = t))
}

slope_of <- function(y, t) {
  line <- line_through(y, t)
  if (is.null(line)) NA_real_ else stats::coef(line)[[2L]]
}

value_at <- function(line, t) {
  if (is.null(line)) NA_real_ else stats::coef(line)[[1L]] + stats::coef(line)[[2L]] * t
}

# The sessions of one dyad that anybody rated, in order; a data frame with t, p and q.
rated_sessions <- function(d) {
  d <- d[!is.na(d$t) & !(is.na(d$p) & is.na(d$q)), ]
  d[order(d$t), ]
}

# The score of one dyad under one definition, straight from method.md's table.
score_of <- function(d, definition) {
  gap <- d$p - d$q
  if (definition == "fitted") {
    p <- line_through(d$p, d$t)
    q <- line_through(d$q, d$t)
    if (is.null(p) || is.null(q)) {
      return(NA_real_)
    }
    return(-slope_of(abs(value_at(p, d$t) - value_at(q, d$t)), d$t))
  }
  if (definition == "toward_zero") {
    line <- line_through(gap, d$t)
    if (is.null(line)) {
      return(NA_real_)
    }
    start <- stats::fitted(line)[[1L]]
    return(if (abs(start) < 1e-12) 0 else -sign(start) * stats::coef(line)[[2L]])
  }
  switch(definition,
    absolute = -slope_of(abs(gap), d$t),
    signed = slope_of(gap, d$t),
    squared = -slope_of(gap^2, d$t)
  )
}

oracle_dyad <- function(d, early = "first", definitions = definitions_all) {
  d <- rated_sessions(d)
  gap <- d$p - d$q
  out <- list(n_p = sum(!is.na(d$p)), n_q = sum(!is.na(d$q)), n_both = sum(!is.na(gap)))
  for (rater in c("p", "q")) {
    rated <- !is.na(d[[rater]])
    line <- line_through(d[[rater]], d$t)
    out[[paste0("intercept_", rater)]] <- value_at(line, 0)
    out[[paste0("slope_", rater)]] <- slope_of(d[[rater]], d$t)
    out[[paste0("slope_se_", rater)]] <- if (sum(rated) > 2L) {
      # summary() warns where ratings lie exactly on a line.
      suppressWarnings(summary(line))$coefficients[2L, 2L]
    } else {
      NA_real_
    }
    out[[paste0("early_", rater)]] <- if (early == "intercept") {
      value_at(line, d$t[1L])
    } else {
      d[[rater]][rated][1L]
    }
  }
  out$early_discrepancy <- if (early == "intercept") {
    out$early_p - out$early_q
  } else {
    gap[!is.na(gap)][1L]
  }
  out$development <- slope_of((d$p + d$q) / 2, d$t)
  for (definition in definitions) {
    out[[definition]] <- score_of(d, definition)
  }
  as.data.frame(out)
}

by_dyad <- function(data, id, t, p, q) {
  plain <- data.frame(t = data[[t]], p = data[[p]], q = data[[q]])
  split(plain, data[[id]], drop = TRUE)
}

oracle_scores <- function(data, id, t, p, q, ...) {
  scores <- do.call(rbind, lapply(by_dyad(data, id, t, p, q), oracle_dyad, ...))
  rownames(scores) <- NULL
  scores
}

# Columns of a result under the oracle's names; the score is named by its definition.
as_oracle <- function(scores) {
  out <- as.data.frame(scores)
  raters <- attr(scores, "raters")
  for (part in c("n", "intercept", "slope", "slope_se", "early")) {
    at <- match(paste0(part, "_", raters), names(out))
    names(out)[at] <- paste0(part, "_", c("p", "q"))
  }
  names(out)[names(out) == "convergence_raw"] <- attr(scores, "definition")
  out[setdiff(names(out), c("convergence", "convergence_se", attr(scores, "dyad")))]
}

expect_scores_equal_oracle <- function(formula, data, expected, early = "first", ...) {
  for (definition in intersect(definitions_all, names(expected))) {
    scores <- suppressMessages(convergence(
      formula, data, definition,
      early = early, early_discrepancy = "signed", ...
    ))
    ours <- as_oracle(scores)
    same <- intersect(names(ours), names(expected))
    testthat::expect_true(all(c(definition, "slope_se_q", "development") %in% same))
    testthat::expect_equal(ours[same], expected[same], tolerance = tol$algebra)
  }
}

# ---- Standard errors --------------------------------------------------------------------------

hat_matrix <- function(t) {
  x <- cbind(1, t)
  x %*% solve(crossprod(x), t(x))
}

# Residual variances of both raters and of the difference, with degrees of freedom, and the sum of
# the products of the raters' residuals with the factor that makes it unbiased.
oracle_residuals <- function(d) {
  d <- rated_sessions(d)
  rated <- lapply(d[c("p", "q")], function(y) which(!is.na(y)))
  both <- intersect(rated$p, rated$q)
  rss <- function(y) sum(stats::residuals(line_through(y, d$t))^2)
  out <- list(p = NA, q = NA, d = NA, df_p = 0, df_q = 0, df_d = 0, cross = 0, factor = 0)
  if (length(rated$p) > 2L) out[c("p", "df_p")] <- list(rss(d$p), length(rated$p) - 2)
  if (length(rated$q) > 2L) out[c("q", "df_q")] <- list(rss(d$q), length(rated$q) - 2)
  if (length(both) > 2L) out[c("d", "df_d")] <- list(rss(d$p - d$q), length(both) - 2)
  if (length(rated$p) > 2L && length(rated$q) > 2L && length(both) > 0L) {
    residuals <- lapply(names(rated), function(rater) {
      e <- rep(NA_real_, nrow(d))
      e[rated[[rater]]] <- stats::residuals(line_through(d[[rater]], d$t))
      e
    })
    annihilator <- lapply(rated, function(rows) {
      m <- matrix(NA_real_, nrow(d), nrow(d))
      m[rows, rows] <- diag(length(rows)) - hat_matrix(d$t[rows])
      m[both, both, drop = FALSE]
    })
    out$cross <- sum(residuals[[1L]] * residuals[[2L]], na.rm = TRUE)
    out$factor <- sum(annihilator$p * annihilator$q)
  }
  out
}

# Variances p, q, d and the covariance, of one dyad or pooled over several.
oracle_variances <- function(residuals) {
  total <- function(name) sum(vapply(residuals, `[[`, 0, name), na.rm = TRUE)
  p <- total("p") / total("df_p")
  q <- total("q") / total("df_q")
  limit <- sqrt(p * q)
  covariance <- if (total("factor") > 1e-6) total("cross") / total("factor") else 0
  list(
    p = p, q = q, d = total("d") / total("df_d"),
    covariance = max(-limit, min(limit, covariance))
  )
}

# d score / d rating, by central differences; scores are piecewise linear in the ratings.
gradient_of <- function(d, rater, definition, h = 1e-4) {
  vapply(which(!is.na(d[[rater]])), function(i) {
    score <- function(shift) {
      d[[rater]][i] <- d[[rater]][i] + shift
      score_of(d, definition)
    }
    (score(h) - score(-h)) / (2 * h)
  }, 0)
}

# The variance of f(X) for X normal, by integration.
normal_variance <- function(f, mean, variance) {
  moment <- function(power) {
    integrand <- function(x) f(x)^power * stats::dnorm(x, mean, sqrt(variance))
    ends <- sort(c(mean + c(-12, 12) * sqrt(variance), if (abs(mean) < 12 * sqrt(variance)) 0))
    sum(vapply(seq_along(ends)[-1L], function(i) {
      stats::integrate(integrand, ends[i - 1L], ends[i], rel.tol = 1e-12)$value
    }, 0))
  }
  moment(2) - moment(1)^2
}

# Error variance of one dyad's score, given the residual variances.
oracle_error_variance <- function(d, definition, variances) {
  d <- rated_sessions(d)
  if (is.na(score_of(d, definition))) {
    return(NA_real_)
  }
  gap <- d$p - d$q
  if (definition %in% c("absolute", "squared")) {
    f <- if (definition == "absolute") abs else function(x) x^2
    if (is.na(variances$d)) {
      return(NA_real_)
    }
    t <- d$t[!is.na(gap)]
    weights <- (t - mean(t)) / sum((t - mean(t))^2)
    expected <- stats::fitted(line_through(gap, d$t))
    each <- vapply(expected, function(m) normal_variance(f, m, variances$d), 0)
    return(sum(weights^2 * each))
  }
  if (definition != "fitted") {
    # Ratings of a session that one rater missed do not enter: their gradient is 0.
    slopes <- gradient_of(d[!is.na(gap), ], "p", definition)
    return(sum(slopes^2) * variances$d)
  }
  p <- q <- rep(0, nrow(d))
  p[!is.na(d$p)] <- gradient_of(d, "p", definition)
  q[!is.na(d$q)] <- gradient_of(d, "q", definition)
  sum(p^2) * variances$p + sum(q^2) * variances$q + 2 * sum(p * q) * variances$covariance
}

oracle_se <- function(dyads, definition) {
  vapply(dyads, function(d) {
    variances <- oracle_variances(list(oracle_residuals(d)))
    sqrt(oracle_error_variance(d, definition, variances))
  }, 0, USE.NAMES = FALSE)
}

# The between-dyad variance by REML, v known: the restricted likelihood maximised numerically.
oracle_between <- function(y, v) {
  criterion <- function(tau2) {
    w <- 1 / (tau2 + v)
    mu <- sum(w * y) / sum(w)
    sum(w * (y - mu)^2) - sum(log(w)) + log(sum(w))
  }
  upper <- 4 * stats::var(y)
  found <- stats::optimize(criterion, c(0, upper), tol = 1e-12 * upper)
  if (criterion(0) <= found$objective) 0 else found$minimum
}

# ---- Data -------------------------------------------------------------------------------------

# Dyads with gaps on either side, unequal numbers of sessions and irregular times.
simulate_raters <- function(seed, dyads = 12L, sessions = 9L) {
  set.seed(seed)
  each <- sample(2:sessions, dyads, replace = TRUE)
  dyad <- rep(seq_len(dyads), each)
  # Eighths are exact in binary, also with a large number added.
  t <- stats::ave(ceiling(8 * stats::rexp(length(dyad))) / 8, dyad, FUN = cumsum)
  shared <- stats::rnorm(length(dyad))
  data <- data.frame(
    dyad = dyad, t = t,
    p = stats::rnorm(dyads)[dyad] + stats::rnorm(dyads, 0, .3)[dyad] * t + shared +
      stats::rnorm(length(dyad)),
    q = stats::rnorm(dyads, .5)[dyad] + shared + stats::rnorm(length(dyad))
  )
  data$p[stats::runif(nrow(data)) < .2] <- NA
  data$q[stats::runif(nrow(data)) < .2] <- NA
  data
}

# Ratings and an outcome to run things on whose values do not matter: 24 dyads of up to 14 sessions
# with gaps, drop-outs and therapists.
drawn_sample <- function() generate_dyads("study1", dyads = 24, therapists = 8, seed = 24)
