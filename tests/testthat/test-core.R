# The C core at fixed parameters against the dense reference of
# helper-reference.R, and what must not change an answer.

test_that("widths 1, 2 and 3 agree with the reference, dyads of one session among them", {
  sizes <- c(4, 6, 1, 3, 5, 1, 2, 4)
  for (q in 1:3) {
    blocks <- list(core_block(seq_len(q)))
    expect_as_reference(
      reference_design(sizes, q = q, p = 4, seed = q), blocks,
      reference_some_parameters(blocks, q)
    )
  }
})

test_that("patterns shared by many dyads agree with the reference", {
  blocks <- list(core_block(1:2))
  design <- reference_design(rep(c(5, 5, 5, 3), 8), q = 2, p = 3, seed = 4)
  expect_as_reference(design, blocks, reference_some_parameters(blocks, 4))
})

test_that("weights agree with the reference", {
  blocks <- list(core_block(1:2))
  design <- reference_design(c(4, 6, 1, 3, 5, 2), q = 2, p = 3, seed = 5, weights = TRUE)
  expect_as_reference(design, blocks, reference_some_parameters(blocks, 5))
})

test_that("uncorrelated blocks agree with the reference", {
  blocks <- list(core_block(1L), core_block(2:3))
  design <- reference_design(c(4, 6, 1, 3, 5, 7), q = 3, p = 3, seed = 6)
  expect_as_reference(design, blocks, reference_some_parameters(blocks, 6))
})

test_that("singular covariance matrices are ordinary points", {
  design <- reference_design(c(4, 6, 1, 3, 5, 2), q = 2, p = 3, seed = 7)
  blocks <- list(core_block(1:2))
  # A correlation of one, a variance of zero, nothing but residuals.
  expect_as_reference(design, blocks, c(4, 2, 1, 0.5))
  expect_as_reference(design, blocks, c(2, 0, 0, 0.5))
  expect_as_reference(design, blocks, c(0, 0, 0, 0.5))
})

test_that("wild scales keep their digits", {
  design <- reference_design(c(4, 6, 5, 3, 5, 7), q = 2, p = 3, seed = 8)
  design$X <- cbind(design$X, design$X[, 2]^2 * 100)
  design$Z[, 2] <- design$Z[, 2] * 1e3
  blocks <- list(core_block(1:2))
  expect_as_reference(design, blocks, c(3, 1e-4, 2e-6, 0.6), tolerance = 1e-8)
})

# Balanced, so that V has known eigenvectors: per dyad the sum and the slope, each as a mean over
# the therapist's dyads and deviations from it, and a rest. The therapists' slopes are ten billion
# times the residual variance; sums over their dyads alone would leave six digits of the criterion.
test_that("large effects of therapists leave the digits of what is within them", {
  set.seed(20263)
  therapists <- 10L
  dyads <- 4L
  n <- 5L
  time <- rep(-2:2, therapists * dyads)
  dyad <- rep(seq_len(therapists * dyads), each = n)
  therapist <- (dyad - 1L) %/% dyads + 1L
  y <- rnorm(therapists, 0, 1e5)[therapist] * time + rnorm(40, 0, 1e4)[dyad] + rnorm(200)
  variance <- c(dyad = 1e8, therapist = 2e8, slope = 1e10)

  by_therapist <- function(scores) {
    scores <- matrix(scores, dyads)
    mean <- colMeans(scores)
    list(
      within = sum((scores - rep(mean, each = dyads))^2), mean = sqrt(dyads) * mean
    )
  }
  sums <- by_therapist(tapply(y, dyad, sum) / sqrt(n))
  slopes <- by_therapist(tapply(y * time, dyad, sum) / sqrt(10))
  rest <- sum(vapply(split(data.frame(y, time), dyad), function(rows) {
    sum(stats::lm.fit(cbind(1, rows$time), rows$y)$residuals^2)
  }, 0))
  sum_within <- 1 + n * variance[["dyad"]]
  sum_mean <- sum_within + n * dyads * variance[["therapist"]]
  slope_mean <- 1 + 10 * dyads * variance[["slope"]]
  truth <- (200 - 1) * log(2 * pi) + log(200 / sum_mean) +
    therapists * ((dyads - 1) * log(sum_within) + log(sum_mean) + log(slope_mean)) +
    sums$within / sum_within + sum((sums$mean - mean(sums$mean))^2) / sum_mean +
    slopes$within + sum(slopes$mean^2) / slope_mean + rest

  design <- list(
    X = matrix(1, 200, 1), y = y, Z = cbind(1, time), groups = list(dyad, therapist),
    weights = NULL
  )
  design$Z <- unname(design$Z)
  blocks <- list(core_block(1L), core_block(1L, 2L), core_block(2L, 2L))
  ours <- evaluate_reduced(core_reduced(design), blocks, c(variance, 1), TRUE)
  expect_lt(abs(ours$criterion / truth - 1), tol$algebra)
})

test_that("a second level agrees with the reference", {
  design <- reference_design(c(4, 6, 1, 3, 5, 2, 3, 4, 5), q = 2, p = 3, seed = 9, therapists = 3)
  blocks <- list(core_block(1:2), core_block(1L, 2L))
  skip_if(
    inherits(try(core_reduced(design), silent = TRUE), "try-error"),
    "the core has no third level yet"
  )
  expect_as_reference(design, blocks, reference_some_parameters(blocks, 9))
  blocks <- list(core_block(1:2), core_block(1:2, 2L))
  expect_as_reference(design, blocks, reference_some_parameters(blocks, 10))
  expect_as_reference(design, blocks, c(2, 0.5, 1, 4, 2, 1, 0.5))
})

test_that("Kenward and Roger's adjustment agrees with the reference on one to three levels", {
  sizes <- c(4, 6, 1, 3, 5, 1, 2, 4, 4, 4)
  for (q in 1:3) {
    blocks <- list(core_block(seq_len(q)))
    design <- reference_design(sizes, q = q, p = 4, seed = q, weights = q == 2)
    expect_adjustment(design, blocks, reference_some_parameters(blocks, q))
  }
  design <- reference_design(sizes, q = 2, p = 3, seed = 9, therapists = 3)
  for (blocks in list(
    list(core_block(1:2), core_block(1L, 2L)),
    list(core_block(1L), core_block(2L), core_block(1:2, 2L)),
    list(core_block(2L), core_block(1L, 2L), core_block(2L, 2L))
  )) {
    expect_adjustment(design, blocks, reference_some_parameters(blocks, 9))
  }
  design$groups[[3]] <- c(1L, 1L, 2L)[design$groups[[2]]]
  blocks <- list(core_block(1:2), core_block(1:2, 2L), core_block(2L, 3L))
  expect_adjustment(design, blocks, reference_some_parameters(blocks, 10))
  patterns <- reference_design(rep(c(5, 5, 5, 3), 8), q = 2, p = 3, seed = 4)
  expect_adjustment(patterns, list(core_block(1:2)), c(3, 0.5, 1, 0.7))
})

# --- optima --------------------------------------------------------------------

test_that("the fit is an optimum and reports what the reference finds there", {
  skip_if_not_installed("numDeriv")
  design <- reference_design(rep(c(4, 6, 5, 3), 5), q = 2, p = 3, seed = 11)
  blocks <- list(core_block(1:2))
  for (reml in c(TRUE, FALSE)) {
    core <- core_solution(design, blocks, reml)
    truth <- reference_evaluate(design, blocks, core$parameters, reml)
    expect_equal(core$status, 0L)
    expect_lt(max(abs(truth$gradient * sqrt(diag(solve(truth$observed))))), 1e-4)
    expect_gt(min(eigen(truth$observed, symmetric = TRUE)$values), 0)
    for (piece in c("criterion", "beta", "vcov", "dvcov")) {
      expect_lt(apart(core[[piece]], truth[[piece]]), tol$algebra, label = piece)
    }
    expect_lt(apart(core$vcov_parameters, solve(truth$observed)), 1e-8)
    expect_false(any(core$redundant))
  }
})

test_that("on a boundary the parameters' covariance is that of the face", {
  skip_if_not_installed("numDeriv")
  # Slopes proportional to intercepts: the best correlation is one.
  design <- reference_design(rep(c(4, 5, 6), 8), q = 2, p = 2, seed = 12)
  set.seed(12)
  unit <- design$groups[[1]]
  b <- stats::rnorm(max(unit), sd = 2)[unit]
  noise <- stats::rnorm(length(unit))
  design$y <- drop(design$X %*% c(1, 1) + b + 0.5 * b * design$Z[, 2] + noise)
  blocks <- list(core_block(1:2))
  core <- core_solution(design, blocks)
  expect_equal(core$status, 1L)
  expect_equal(core$rank, 1L)
  face <- reference_face(design, blocks, core$parameters)
  expect_lt(apart(core$vcov_parameters, face), 1e-4)
})

# --- invariances ------------------------------------------------------------------

same_fit <- function(a, b, tolerance = 1e-7) {
  expect_equal(a$criterion, b$criterion, tolerance = tol$algebra)
  expect_equal(a$parameters, b$parameters, tolerance = tolerance)
  expect_equal(a$beta, b$beta, tolerance = tolerance, ignore_attr = TRUE)
  expect_equal(a$vcov, b$vcov, tolerance = tolerance, ignore_attr = TRUE)
}

test_that("row order and dyad labels change nothing", {
  design <- reference_design(rep(c(4, 6, 5, 3, 1), 5), q = 2, p = 3, seed = 13)
  blocks <- list(core_block(1:2))
  base <- core_solution(design, blocks)
  set.seed(13)
  rows <- sample(length(design$y))
  shuffled <- design
  shuffled$X <- design$X[rows, ]
  shuffled$y <- design$y[rows]
  shuffled$Z <- design$Z[rows, ]
  shuffled$groups <- list(design$groups[[1]][rows])
  same_fit(core_solution(shuffled, blocks), base)
  relabelled <- design
  relabelled$groups <- list(sample(max(design$groups[[1]]))[design$groups[[1]]])
  same_fit(core_solution(relabelled, blocks), base)
})

test_that("the scale of the outcome goes where it belongs", {
  design <- reference_design(rep(c(4, 6, 5, 3), 5), q = 2, p = 3, seed = 14)
  blocks <- list(core_block(1:2))
  base <- core_solution(design, blocks)
  for (factor in c(1e-6, 10, 1e6)) {
    scaled <- design
    scaled$y <- factor * design$y
    fit <- core_solution(scaled, blocks)
    n_free <- length(design$y) - ncol(design$X)
    expect_equal(fit$criterion, base$criterion + 2 * n_free * log(factor), tolerance = tol$algebra)
    expect_equal(fit$parameters, factor^2 * base$parameters, tolerance = 1e-7)
    expect_equal(fit$beta, factor * base$beta, tolerance = 1e-7, ignore_attr = TRUE)
  }
})

test_that("rescaling a column of X shifts the REML criterion by 2 log of the factor", {
  design <- reference_design(rep(c(4, 6, 5, 3), 5), q = 2, p = 3, seed = 15)
  blocks <- list(core_block(1:2))
  rescaled <- design
  rescaled$X[, 2] <- 10 * design$X[, 2]
  reml <- core_solution(rescaled, blocks)$criterion - core_solution(design, blocks)$criterion
  expect_equal(reml, 2 * log(10), tolerance = tol$criterion)
  ml <- core_solution(design, blocks, FALSE)$criterion
  expect_lt(abs(core_solution(rescaled, blocks, FALSE)$criterion - ml), 1e-8)
})

test_that("a pattern that is split is the same data", {
  # Twelve dyads with one visit pattern, then each with times moved by less than
  # a millionth, so that no two share a pattern.
  design <- reference_design(rep(5, 12), q = 2, p = 3, seed = 16)
  unit <- design$groups[[1]]
  design$Z[, 2] <- design$X[, 2] <- rep(0:4, 12)
  blocks <- list(core_block(1:2))
  parameters <- reference_some_parameters(blocks, 16)
  split <- design
  split$Z[, 2] <- design$Z[, 2] * (1 + 1e-12 * unit)
  whole <- evaluate_reduced(core_reduced(design), blocks, parameters, TRUE)
  parts <- evaluate_reduced(core_reduced(split), blocks, parameters, TRUE)
  for (piece in c("criterion", "gradient", "observed", "expected", "beta", "vcov")) {
    expect_lt(apart(parts[[piece]], whole[[piece]]), 1e-9, label = piece)
  }
})
