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
    n_units = component(fit, "n_units"), crossed = component(fit, "crossed")
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
held_rise <- function(fit, row) {
  held <- hold_parameter(fit, row)
  starts <- free_starts(fit, held)
  moderate <- abs(starts[[2L]])
  starts <- c(starts, small_starts(starts[[2L]], held, moderate))
  last <- starts[[1L]]
  function(value, careful = FALSE) {
    # nlminb() asks for value and gradient one after the other.
    seen <- list(moving = NULL)
    look <- function(moving) {
      if (!identical(moving, seen$moving)) {
        seen <<- c(list(moving = moving), rise_at(fit, held, value, moving))
      }
      seen
    }
    search <- function(start) {
      stats::nlminb(
        start, function(moving) look(moving)$rise, function(moving) look(moving)$slope,
        scale = 1 / pmax(abs(start), 1e-3 * max(abs(start))),
        control = list(rel.tol = 1e-13, x.tol = 1e-10, iter.max = 300L, eval.max = 500L)
      )
    }
    best <- list(objective = Inf, par = last)
    warm <- off_zero(last, held, moderate)
    for (start in if (careful) c(list(warm), starts) else list(warm)) {
      found <- search(start)
      if (found$objective < best$objective) {
        best <- found
      }
    }
    # A long step may have ended on a zero that is no minimum.
    away <- off_zero(best$par, held, moderate)
    if (!identical(away, best$par)) {
      found <- search(away)
      if (found$objective < best$objective) {
        best <- found
      }
    }
    last <<- best$par
    best$objective
  }
}

#' Coordinates in which one standard deviation or correlation can be held
#'
#' Every block is L L', L lower triangular; the elements of all L, and log s last, are the
#' vector x. In the block of the held parameter the rows are put in such an order that a
#' standard deviation is L's first diagonal element, and a correlation the direction of L's
#' second row, whose length is free in its place.
#'
#' @returns A list: `kind` ("sd", "cor" or "sigma"), `sizes` and `orders` (of each block's
#'   rows), `block_of` (of each element of x, 0 for s), `at` (places in x of the block's
#'   L\[1, 1\], L\[2, 1\] and L\[2, 2\]), `free` (places that move), `diagonal` (which of the
#'   free ones are diagonal elements).
#' @noRd
hold_parameter <- function(fit, row) {
  table <- component(fit, "parameter_table")
  k <- component(fit, "n_parameters")
  sizes <- vapply(component(fit, "blocks"), function(block) length(block$columns), integer(1))
  orders <- lapply(sizes, seq_len)
  block <- table$block[row]
  kind <- if (is.na(block)) "sigma" else if (is.na(table$var2[row])) "sd" else "cor"
  block_of <- c(rep.int(seq_along(sizes), sizes * (sizes + 1L) / 2L), 0L)
  at <- NULL
  if (kind != "sigma") {
    orders[[block]] <- unique(c(table$column[row], table$row[row], orders[[block]]))
    at <- which(block_of == block)[c(1L, 2L, sizes[block] + 1L)]
  }
  free <- setdiff(seq_len(k), switch(kind, sigma = k, sd = at[1L], cor = at[2L]))
  on_diagonal <- unlist(lapply(sizes, function(q) diag(q)[lower.tri(diag(q), diag = TRUE)]))
  list(
    kind = kind, sizes = sizes, orders = orders, block_of = block_of, at = at, free = free,
    diagonal = which(c(on_diagonal, 0)[free] == 1)
  )
}

# By symmetry the rise has no slope in a diagonal element of zero: no search would leave it, nor see
# the slope much closer than a tenth of what is `moderate`.
off_zero <- function(moving, held, moderate) {
  small <- held$diagonal[abs(moving[held$diagonal]) < 0.01 * moderate[held$diagonal]]
  moving[small] <- 0.1 * moderate[small]
  moving
}

# `start` with one of the standard deviations small, for each: without one of two random effects
# their correlation may be any.
small_starts <- function(start, held, moderate) {
  lapply(held$diagonal, function(place) {
    start[place] <- 0.1 * moderate[place]
    start
  })
}

# The rise and its slope in the free elements.
rise_at <- function(fit, held, value, moving) {
  x <- place_held(held, value, moving)
  factors <- held_factors(held, x)
  parameters <- held_parameters(held, factors, x)
  got <- tryCatch(
    evaluate_reduced(
      component(fit, "reduced"), component(fit, "blocks"), parameters, component(fit, "reml")
    ),
    error = function(condition) NULL
  )
  if (is.null(got)) {
    return(list(rise = Inf, slope = 0 * moving))
  }
  list(
    rise = got$criterion - component(fit, "criterion"),
    slope = free_slope(held, held_slope(held, factors, parameters, got$gradient), value, moving)
  )
}

# x from the held value and what moves.
place_held <- function(held, value, moving) {
  at <- held$at
  k <- length(held$block_of)
  x <- numeric(k)
  x[held$free] <- moving
  switch(held$kind,
    sigma = x[k] <- 2 * log(value),
    sd = x[at[1L]] <- value,
    # Signs are taken off, which would turn the correlation round.
    cor = x[at] <- c(abs(x[at[1L]]), c(value, sqrt(1 - value^2)) * abs(x[at[3L]]))
  )
  x
}

held_factors <- function(held, x) {
  Map(function(i, q) {
    factor <- matrix(0, q, q)
    factor[lower.tri(factor, diag = TRUE)] <- x[held$block_of == i]
    factor
  }, seq_along(held$sizes), held$sizes)
}

held_parameters <- function(held, factors, x) {
  covariances <- Map(function(factor, order) {
    covariance <- tcrossprod(factor)
    covariance[order, order] <- covariance
    covariance[lower.tri(covariance, diag = TRUE)]
  }, factors, held$orders)
  c(unlist(covariances), exp(x[length(x)]))
}

# The gradient in x from that in the parameters.
held_slope <- function(held, factors, parameters, gradient) {
  slopes <- Map(function(factor, order, i) {
    gamma <- matrix(0, nrow(factor), ncol(factor))
    gamma[lower.tri(gamma, diag = TRUE)] <- gradient[held$block_of == i]
    gamma <- (gamma + t(gamma)) / 2
    slope <- 2 * gamma[order, order, drop = FALSE] %*% factor
    slope[lower.tri(slope, diag = TRUE)]
  }, factors, held$orders, seq_along(held$sizes))
  k <- length(parameters)
  c(unlist(slopes), gradient[k] * parameters[k])
}

# What of it belongs to the free elements, by the chain rule through place_held().
free_slope <- function(held, slope, value, moving) {
  if (held$kind == "cor") {
    at <- held$at
    slope[at[3L]] <- value * slope[at[2L]] + sqrt(1 - value^2) * slope[at[3L]]
    signs <- sign(moving[match(at[c(1L, 3L)], held$free)])
    slope[at[c(1L, 3L)]] <- slope[at[c(1L, 3L)]] * signs
  }
  slope[held$free]
}

# Where the free elements may start: at the fit; and, because a held parameter can make
# a second minimum the lower one, at random effects of moderate size without
# correlations and with strong ones of either sign.
free_starts <- function(fit, held) {
  s <- component(fit, "residual_variance")
  table <- component(fit, "parameter_table")
  variances <- which(is.na(table$var2) & !is.na(table$var1))
  # What the data can just tell from zero, as a standard deviation.
  moderate <- diag(component(fit, "expected"))[variances]^-0.25
  moderate <- split(moderate, table$block[variances])
  covariances <- Map(function(covariance, floor, order) {
    covariance <- covariance + diag((1e-3 * floor)^2, length(order))
    list(fit = covariance, sd = pmax(sqrt(diag(covariance)), floor))
  }, component(fit, "covariances"), moderate, held$orders)
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
    }, covariances, held$orders)
    x <- c(unlist(lapply(factors, function(l) l[lower.tri(l, diag = TRUE)])), log(s))
    if (held$kind == "cor") {
      x[held$at[3L]] <- sqrt(sum(x[held$at[2:3]]^2))
    }
    x[held$free]
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
