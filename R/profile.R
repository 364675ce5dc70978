# Profile likelihood: how the criterion rises when one parameter is held away from
# its estimate and all others are fitted again.

#' Profile intervals of all rows of `confint()`
#'
#' The ends are where the criterion is above its minimum by the chi-square
#' quantile. An end at which a standard deviation reaches zero, or a correlation
#' one, without the criterion rising so far is that bound.
#'
#' @param rows Indices of the rows wanted.
#' @param reml Whether the covariance parameters are profiled in the restricted
#'   likelihood. Fixed effects have none: their intervals always use the full one.
#' @noRd
profile_intervals <- function(fit, rows, level, reml) {
  target <- sqrt(stats::qchisq(level, 1))
  k <- component(fit, "n_parameters")
  intervals <- matrix(NA_real_, k + component(fit, "rank"), 2L)
  profiled <- refit_by(fit, reml)
  for (row in intersect(rows, seq_len(k))) {
    intervals[row, ] <- profile_parameter(profiled, row, target)
  }
  fixed <- setdiff(rows, seq_len(k))
  if (length(fixed) > 0L) {
    ml <- refit_by(fit, FALSE)
    errors <- sqrt(diag(component(ml, "vcov")))
    for (row in fixed) {
      intervals[row, ] <- profile_coefficient(ml, row - k, errors[[row - k]], target)
    }
  }
  intervals
}

# --- one fixed effect ----------------------------------------------------------

# With the coefficient held at b, the model is that of y - x b without the column x.
profile_coefficient <- function(fit, j, error, target) {
  frame <- component(fit, "frame")
  x <- stats::model.matrix(fit)
  y <- as.double(component(fit, "response"))
  offset <- frame_offset(fit, frame)
  if (!is.null(offset)) {
    y <- y - offset
  }
  design <- list(
    X = x[, -j, drop = FALSE], y = y, Z = random_matrix(fit, frame),
    groups = component(fit, "groups"), weights = component(fit, "weights"),
    levels = component(fit, "levels"), crossed = component(fit, "crossed")
  )
  control <- component(fit, "control")
  reduced <- reduce_design(design, control)
  replay <- replay_design(design, reduced, control)
  estimate <- component(fit, "beta")[[j]]
  lowest <- component(fit, "criterion")
  # The core looks for further minima itself.
  rise <- function(b, careful) {
    held <- respond_reduced(reduced, replay, y - x[, j] * b)
    fit_reduced(held, component(fit, "blocks"), FALSE, control)$criterion - lowest
  }
  c(
    profile_end(rise, estimate, estimate - target * error, -Inf, target),
    profile_end(rise, estimate, estimate + target * error, Inf, target)
  )
}

# --- one standard deviation or correlation ------------------------------------------

profile_parameter <- function(fit, row, target) {
  at <- sd_correlations(fit)
  estimate <- at$value[row]
  if (!is.finite(estimate)) {
    return(c(NA_real_, NA_real_))
  }
  error <- sd_correlation_errors(fit, at)[row]
  sigma <- at$value[length(at$value)]
  bounds <- if (at$is_sd[row]) c(0, Inf) else c(-1, 1)
  if (!is.finite(error)) {
    error <- if (at$is_sd[row]) max(estimate, sigma) / 4 else 0.5
  }
  # On the log scale for a standard deviation, unless its error is so large that this says nothing.
  starts <- if (at$is_sd[row] && estimate > target * error) {
    estimate * exp(c(-1, 1) * target * error / estimate)
  } else {
    estimate + c(-1, 1) * target * error
  }
  c(
    profile_end(held_rise(fit, row), estimate, starts[1L], bounds[1L], target),
    profile_end(held_rise(fit, row), estimate, starts[2L], bounds[2L], target)
  )
}

# The rise of the criterion when standard deviation or correlation `row` is held at a
# value: a function of that value, each call of which starts from the answer of the
# one before.
#
# Every block is L L', L lower triangular. In the block of the held parameter the rows
# are put in such an order that a standard deviation is L's first diagonal element, and
# a correlation the direction of L's second row, whose length is free in its place.
held_rise <- function(fit, row) {
  table <- component(fit, "parameter_table")
  blocks <- component(fit, "blocks")
  k <- component(fit, "n_parameters")
  sizes <- vapply(blocks, function(block) length(block$columns), integer(1))
  orders <- lapply(sizes, seq_len)
  held <- table$block[row]
  kind <- if (is.na(held)) "sigma" else if (is.na(table$var2[row])) "sd" else "cor"
  if (kind != "sigma") {
    orders[[held]] <- unique(c(table$column[row], table$row[row], orders[[held]]))
  }
  block_of <- c(rep.int(seq_along(sizes), sizes * (sizes + 1L) / 2L), 0L)
  own <- which(block_of == held)
  # Places in the vector of all elements: of L[1, 1], L[2, 1] and L[2, 2].
  at <- if (kind != "sigma") own[c(1L, 2L, sizes[held] + 1L)]
  free <- setdiff(seq_len(k), switch(kind, sigma = k, sd = at[1L], cor = at[2L]))

  place <- function(value, moving) {
    x <- numeric(k)
    x[free] <- moving
    switch(kind,
      sigma = x[k] <- 2 * log(value),
      sd = x[at[1L]] <- value,
      # Signs are taken off, which would turn the correlation round.
      cor = x[at] <- c(abs(x[at[1L]]), c(value, sqrt(1 - value^2)) * abs(x[at[3L]]))
    )
    x
  }
  factors_of <- function(x) {
    Map(function(i, q) {
      factor <- matrix(0, q, q)
      factor[lower.tri(factor, diag = TRUE)] <- x[block_of == i]
      factor
    }, seq_along(sizes), sizes)
  }
  parameters_of <- function(x, factors) {
    covariances <- Map(function(factor, order) {
      covariance <- tcrossprod(factor)
      covariance[order, order] <- covariance
      covariance[lower.tri(covariance, diag = TRUE)]
    }, factors, orders)
    c(unlist(covariances), exp(x[k]))
  }
  # The gradient in the elements of L and log s from that in the parameters.
  slope_of <- function(factors, parameters, gradient) {
    slopes <- Map(function(factor, order, i) {
      gamma <- matrix(0, nrow(factor), ncol(factor))
      gamma[lower.tri(gamma, diag = TRUE)] <- gradient[block_of == i]
      gamma <- (gamma + t(gamma)) / 2
      slope <- 2 * gamma[order, order, drop = FALSE] %*% factor
      slope[lower.tri(slope, diag = TRUE)]
    }, factors, orders, seq_along(sizes))
    c(unlist(slopes), gradient[k] * parameters[k])
  }

  lowest <- component(fit, "criterion")
  rise_at <- function(value, moving) {
    x <- place(value, moving)
    factors <- factors_of(x)
    parameters <- parameters_of(x, factors)
    got <- tryCatch(
      evaluate_reduced(
        component(fit, "reduced"), component(fit, "blocks"), parameters, component(fit, "reml")
      ),
      error = function(condition) NULL
    )
    if (is.null(got)) {
      return(list(rise = Inf, slope = 0 * moving))
    }
    slope <- slope_of(factors, parameters, got$gradient)
    if (kind == "cor") {
      slope[at[3L]] <- value * slope[at[2L]] + sqrt(1 - value^2) * slope[at[3L]]
      signs <- sign(c(moving[match(at[1L], free)], moving[match(at[3L], free)]))
      slope[at[c(1L, 3L)]] <- slope[at[c(1L, 3L)]] * signs
    }
    list(rise = got$criterion - lowest, slope = slope[free])
  }

  starts <- free_starts(fit, orders, kind, at, free)
  last <- starts[[1L]]
  # By symmetry the rise has no slope in a diagonal element of zero: no search would leave it.
  diagonal <- unlist(lapply(sizes, function(q) diag(q)[lower.tri(diag(q), diag = TRUE)]))
  diagonal <- which(c(diagonal, 0)[free] == 1)
  least <- 1e-3 * abs(starts[[2L]])
  off_zero <- function(x) {
    small <- diagonal[abs(x[diagonal]) < least[diagonal]]
    x[small] <- least[small]
    x
  }
  function(value, careful = FALSE) {
    # nlminb() asks for value and gradient one after the other.
    seen <- list(moving = NULL)
    look <- function(moving) {
      if (!identical(moving, seen$moving)) {
        seen <<- c(list(moving = moving), rise_at(value, moving))
      }
      seen
    }
    best <- list(objective = Inf, par = last)
    warm <- off_zero(last)
    for (start in if (careful) c(list(warm), starts) else list(warm)) {
      found <- stats::nlminb(
        start, function(moving) look(moving)$rise, function(moving) look(moving)$slope,
        scale = 1 / pmax(abs(start), 1e-3 * max(abs(start))),
        control = list(rel.tol = 1e-13, x.tol = 1e-10, iter.max = 300L, eval.max = 500L)
      )
      if (found$objective < best$objective) {
        best <- found
      }
    }
    last <<- best$par
    best$objective
  }
}

# Where the free elements may start: at the fit; and, because a held parameter can make
# a second minimum the lower one, at random effects of moderate size without
# correlations and with strong ones of either sign.
free_starts <- function(fit, orders, kind, at, free) {
  s <- component(fit, "residual_variance")
  table <- component(fit, "parameter_table")
  variances <- which(is.na(table$var2) & !is.na(table$var1))
  # What the data can just tell from zero, as a standard deviation.
  moderate <- diag(component(fit, "expected"))[variances]^-0.25
  moderate <- split(moderate, table$block[variances])
  covariances <- Map(function(covariance, floor, order) {
    covariance <- covariance + diag((1e-3 * floor)^2, length(order))
    list(fit = covariance, sd = pmax(sqrt(diag(covariance)), floor))
  }, component(fit, "covariances"), moderate, orders)
  choices <- list(
    function(block) block$fit,
    function(block) diag(block$sd^2, length(block$sd)),
    function(block) outer(block$sd, block$sd) * (0.8 + 0.2 * diag(length(block$sd))),
    function(block) {
      signs <- (-1)^seq_along(block$sd)
      outer(signs * block$sd, signs * block$sd) * (0.8 + 0.2 * diag(length(block$sd)))
    }
  )
  lapply(choices, function(choose) {
    factors <- Map(function(block, order) {
      lower_factor(choose(block)[order, order, drop = FALSE])
    }, covariances, orders)
    x <- c(unlist(lapply(factors, function(l) l[lower.tri(l, diag = TRUE)])), log(s))
    if (kind == "cor") {
      x[at[3L]] <- sqrt(sum(x[at[2:3]]^2))
    }
    x[free]
  })
}

# A lower triangular factor of a covariance matrix that may be singular.
lower_factor <- function(covariance) {
  parts <- eigen(covariance, symmetric = TRUE)
  triangle <- qr.R(qr(sqrt(pmax(parts$values, 0)) * t(parts$vectors), tol = 0))
  t(triangle * ifelse(diag(triangle) < 0, -1, 1))
}

# --- ends -------------------------------------------------------------------------

# Where the square root of the rise, which is nearly a straight line through 0 at the
# estimate, reaches the target. What is found is looked at again with care: when
# another minimum turns out to be lower there, the search goes on from it with care. So it
# does when the two ends close in on a jump, where they belong to different minima. Where the
# rise stays below the target a million times as far away as it should, there is no end.
profile_end <- function(rise, estimate, start, bound, target, tolerance = 1e-7) {
  if (estimate == bound) {
    return(bound)
  }
  careful <- FALSE
  side <- sign(start - estimate)
  inside <- list(value = estimate, root = 0)
  outside <- NULL
  bracketed <- 0L
  value <- start
  for (step in seq_len(200L)) {
    if (side * (value - bound) >= 0) {
      value <- bound
    }
    root <- sqrt(max(rise(value, careful), 0))
    gap <- if (is.null(outside)) Inf else outside$root - inside$root
    width <- if (is.null(outside)) Inf else abs(outside$value / inside$value - 1)
    jump <- width <= 1e-6 && gap > 0.01 * target
    found <- abs(root - target) <= tolerance * target || width <= 1e-9 && !jump
    if (found && careful) {
      return(value)
    }
    if (found || jump) {
      careful <- TRUE
      outside <- NULL
      bracketed <- 0L
      again <- sqrt(max(rise(value, careful), 0))
      if (found && abs(again - root) <= tolerance * target) {
        return(value)
      }
      root <- again
    }
    far <- is.infinite(bound) && abs(value - estimate) > 1e6 * abs(start - estimate)
    if (root < target && (value == bound || far)) {
      return(bound)
    }
    if (root < target) {
      inside <- list(value = value, root = root)
    } else {
      outside <- list(value = value, root = root)
    }
    if (is.null(outside)) {
      value <- estimate + (value - estimate) * min(max(target / max(root, 1e-8), 1.05), 4)
      next
    }
    # False position, kept off the ends so that both close in; halves when that is slow.
    bracketed <- bracketed + 1L
    share <- (target - inside$root) / (outside$root - inside$root)
    share <- if (bracketed > 4L && bracketed %% 2L == 0L) 0.5 else min(max(share, 0.02), 0.98)
    value <- inside$value + (outside$value - inside$value) * share
  }
  NA_real_
}
