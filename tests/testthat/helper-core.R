# Designs for the C core, and its comparison with the dense reference of helper-reference.R.

core_block <- function(columns, level = 1L) {
  list(
    level = as.integer(level), columns = as.integer(columns),
    names = paste0("z", columns), group = c("dyad", "therapist", "site")[level]
  )
}

core_reduced <- function(design) {
  design$n_units <- vapply(design$groups, max, 0L)
  reduce_design(design, lmm_control())
}

# The optimum and what inference needs there.
core_solution <- function(design, blocks, reml = TRUE) {
  core <- fit_reduced(core_reduced(design), blocks, reml, lmm_control())
  c(core, infer_reduced(core, blocks, reml)[c("vcov", "dvcov", "vcov_parameters", "redundant")])
}

# Largest relative difference, each number measured against the largest of its
# kind: an information of 1e-3 next to one of 1e3 has no digits of its own.
apart <- function(x, y) {
  x <- as.vector(x)
  y <- as.vector(y)
  stopifnot(length(x) == length(y))
  size <- max(abs(y))
  max(abs(x - y)) / if (size > 0) size else 1
}

expect_as_reference <- function(design, blocks, parameters, tolerance = tol$algebra) {
  reduced <- core_reduced(design)
  for (reml in c(TRUE, FALSE)) {
    ours <- evaluate_reduced(reduced, blocks, parameters, reml)
    truth <- reference_evaluate(design, blocks, parameters, reml)
    pieces <- c(
      "criterion", "gradient", "observed", "expected", "average", "beta", "vcov", "dvcov"
    )
    for (piece in pieces) {
      difference <- apart(ours[[piece]], truth[[piece]])
      expect_lt(difference, tolerance, label = paste(piece, if (reml) "REML" else "ML"))
    }
  }
  ours <- ranef_reduced(reduced, blocks, parameters)
  truth <- reference_ranef(design, blocks, parameters)
  for (l in seq_along(truth)) {
    if (length(truth[[l]]$mean) == 0L) next
    expect_lt(apart(ours[[l]]$mean, truth[[l]]$mean), tolerance)
    expect_lt(apart(ours[[l]]$variance, truth[[l]]$variance), tolerance)
  }
}

# Kenward and Roger's adjusted covariance with either information.
expect_adjustment <- function(design, blocks, parameters) {
  ours <- core_reduced(design)
  at <- reference_evaluate(design, blocks, parameters)
  for (information in c("expected", "observed")) {
    truth <- reference_kenward_roger(design, blocks, parameters, information = information)$vcov
    adjustment <- adjust_reduced(ours, blocks, parameters, solve(at[[information]]))
    expect_lt(apart(at$vcov + adjustment, truth), tol$algebra)
  }
}

# Two fits of one response from different starts. The gradient at an optimum is rounding error; the
# free rows are known of a first response only.
expect_same_core <- function(fit, other) {
  parts <- setdiff(names(fit$core$reduced), "free_rows")
  expect_equal(fit$core$reduced[parts], other$core$reduced[parts], tolerance = tol$criterion)
  expect_equal(fit$core$criterion, other$core$criterion, tolerance = tol$algebra)
  for (part in c("status", "reason", "rank")) {
    expect_identical(fit$core[[part]], other$core[[part]])
  }
  for (part in c("beta", "parameters")) {
    expect_equal(fit$core[[part]], other$core[[part]], tolerance = tol$estimate)
  }
  for (part in c("vcov", "dvcov", "observed", "expected", "vcov_parameters", "redundant")) {
    expect_equal(component(fit, part), component(other, part), tolerance = tol$se)
  }
}
