# The door to the C core of the mixed model: no other file calls it.
# Shapes and names are in design/structure.md.

# Rows to small matrices. The design's matrices are not needed afterwards.
reduce_design <- function(design, control) {
  reduced <- .Call(
    C_lmm_reduce, design$X, design$y, design$Z, design$groups, design$n_units, design$weights,
    control$rank_tolerance, isTRUE(design$crossed)
  )
  if (is.null(reduced)) {
    stop_size("Some number is too large for its square to be a number.")
  }
  reduced
}

# Inference needs squares of variances, which are fourth powers of effects: doubles hold those of
# effects between this and its inverse.
largest_number <- 1e70

check_size <- function(reduced) {
  p <- reduced$p
  q <- reduced$q
  diagonal <- c(1, reduced$Rx[diagonal_places(p)], reduced$z_factor[diagonal_places(q)])
  effects <- reduced$y_scale * sqrt(reduced$n) / abs(diagonal[diagonal != 0])
  if (min(effects) < 1 / largest_number || max(effects) > largest_number) {
    stop_size(paste0(
      "The residuals' standard deviation is about ", format(reduced$y_scale, digits = 1L),
      ", that of a unit's effects ", format(min(effects), digits = 1L), " to ",
      format(max(effects), digits = 1L), "."
    ))
  }
}

stop_size <- function(found) {
  stop_samepage("size", c(
    "The numbers are too large or too small to be computed with.",
    x = found,
    i = "Give the outcome and the predictors in other units."
  ))
}

# The optimum. `start`: the `factors` of a fit of another response of this design.
fit_reduced <- function(reduced, blocks, reml, control, start = NULL) {
  core <- .Call(C_lmm_fit, reduced, blocks, reml, control, start)
  if (is.null(core)) {
    stop_samepage("no_likelihood", c(
      "The outcome must leave something to the residuals.",
      x = "No starting point has a finite likelihood.",
      i = "Do fixed and random effects give every row of the outcome exactly?"
    ))
  }
  core
}

# What inference needs at the optimum, in the user's coordinates; but `dvcov` and the list `own`
# (`gradient`, `vcov_parameters`, `expected`, `absorbed`; `reduced` and `parameters` for
# adjust_reduced()), from which fixed effects are tested, in those in which they have most digits.
infer_reduced <- function(core, blocks, reml) {
  infer <- function(reduced, parameters) {
    parts <- .Call(C_lmm_infer, reduced, blocks, parameters, core$rank, reml)
    if (is.null(parts) || !reml) parts else without_absorbed(parts, reduced, blocks, parameters)
  }
  own <- c("gradient", "vcov_parameters", "expected", "absorbed")
  centred <- centred_effects(core$reduced, blocks, core$parameters)
  parts <- if (!is.null(centred)) infer(centred$reduced, centred$parameters)
  if (is.null(parts)) {
    parts <- infer(core$reduced, core$parameters)
    if (is.null(parts)) {
      parts <- no_inference(core)
    }
    parts$own <- c(parts[own], core[c("reduced", "parameters")])
    return(parts)
  }
  parts$own <- c(parts[own], centred[c("reduced", "parameters")])
  back <- centred$back
  parts$parameters <- core$parameters
  parts$gradient <- drop(crossprod(back, parts$gradient))
  for (name in c("observed", "expected", "average")) {
    parts[[name]] <- crossprod(back, parts[[name]] %*% back)
  }
  parts$vcov_parameters <- centred$into %*% tcrossprod(parts$vcov_parameters, centred$into)
  if (any(parts$absorbed)) {
    parts$redundant <- drop(abs(centred$into) %*% parts$redundant) > 0
  }
  # Which parameters the boundary fixes, the user's coordinates say.
  if (!parts$undetermined) {
    parts$redundant <- fixed_by_boundary(blocks, core$parameters, core$rank)
  }
  parts
}

# Random effects that X has as well, such as the clinics' when clinic is a factor of the fixed
# part, leave their variance no restricted likelihood: what stands for its information is rounding
# of what the full likelihood knows of it.
without_absorbed <- function(parts, reduced, blocks, parameters) {
  if (has_informed_variances(parts$expected, reduced, blocks, parameters)) {
    return(parts)
  }
  full <- evaluate_reduced(reduced, blocks, parameters, FALSE)$expected
  absorbed <- diag(parts$expected) < 1e-10 * diag(full)
  if (any(absorbed)) {
    for (name in c("expected", "vcov_parameters")) {
      parts[[name]][absorbed, ] <- 0
      parts[[name]][, absorbed] <- 0
    }
    parts$redundant <- parts$redundant | absorbed
    parts$undetermined <- TRUE
    parts$absorbed <- absorbed
  }
  parts
}

# A look that costs next to nothing: one average unit alone would say of a variance 1/2 over the
# square of that variance and the error of the unit's own estimate.
has_informed_variances <- function(expected, reduced, blocks, parameters) {
  k <- length(parameters)
  squares <- colSums(matrix(reduced$z_factor^2, reduced$q))
  used <- 0L
  for (block in blocks) {
    q <- length(block$columns)
    at <- used + cumsum(c(1L, seq.int(q, by = -1L, length.out = q - 1L)))
    error <- parameters[k] * reduced$n_nodes[block$level] / squares[block$columns]
    if (!all(expected[at + k * (at - 1L)] * (parameters[at] + error)^2 > 1e-6, na.rm = TRUE)) {
      return(FALSE)
    }
    used <- at[q]
  }
  TRUE
}

# The optimiser knows the root of each covariance matrix; from the matrices alone, when their
# effects are too far above the residuals, nothing can be computed.
no_inference <- function(core) {
  p <- core$reduced$p
  k <- length(core$parameters)
  square <- matrix(NA_real_, k, k)
  list(
    beta = core$beta, vcov = matrix(NA_real_, p, p), parameters = core$parameters,
    criterion = core$criterion, gradient = rep(NA_real_, k), observed = square,
    expected = square, average = square, dvcov = array(NA_real_, c(p, p, k)),
    vcov_parameters = square, redundant = rep(TRUE, k), undetermined = TRUE
  )
}

# The criterion, its derivatives and the fixed effects at given parameters.
evaluate_reduced <- function(reduced, blocks, parameters, reml) {
  .Call(C_lmm_evaluate, reduced, blocks, as.double(parameters), reml)
}

# Predicted random effects of every level, with their conditional variances if asked for.
ranef_reduced <- function(reduced, blocks, parameters, variance = TRUE) {
  .Call(C_lmm_ranef, reduced, blocks, as.double(parameters), variance)
}

# What Kenward and Roger add to the covariance of the fixed effects, when `covariance` is that of
# the parameters.
adjust_reduced <- function(reduced, blocks, parameters, covariance) {
  .Call(C_lmm_adjustment, reduced, blocks, as.double(parameters), covariance)
}

# What replaying the reduction on another response needs of the design.
replay_design <- function(design, reduced, control) {
  if (isTRUE(design$crossed) || reduced$rebased) {
    return(list(design = design, control = control))
  }
  .Call(C_lmm_replay, design$X, design$Z, design$groups[[1L]], design$weights, reduced)
}

# The reduced data with another response (double, minus its offset). Crossed designs are reduced
# anew: what that costs is little beside the fit. So are data whose coordinates suit the fit of the
# response they came with.
respond_reduced <- function(reduced, replay, y) {
  if (!is.null(reduced$crossed) || reduced$rebased) {
    replay$design$y <- y
    return(reduce_design(replay$design, replay$control))
  }
  .Call(C_lmm_respond, reduced, replay, y)
}
