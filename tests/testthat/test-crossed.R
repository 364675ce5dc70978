# Crossed groupings: the general path against the dense reference and against lme4.

# Rows of dyads met by raters at random, in no order.
crossed_design <- function(sizes, q, p, seed, others = c(4L, 3L), weights = FALSE) {
  design <- reference_design(sizes, q = q, p = p, seed = seed, weights = weights)
  set.seed(seed)
  for (m in others) {
    codes <- sample(c(seq_len(m), sample(m, sum(sizes) - m, replace = TRUE)))
    design$groups[[length(design$groups) + 1L]] <- codes
  }
  design$crossed <- TRUE
  design
}

sizes <- c(4, 6, 1, 3, 5, 1, 2, 4)

test_that("criterion, derivatives and random effects agree with the reference", {
  cases <- list(
    list(core_block(1L), core_block(1L, 2L)),
    list(core_block(1:2), core_block(1:2, 2L), core_block(1L, 3L)),
    list(core_block(1L), core_block(2L), core_block(1:3, 3L), core_block(2L, 2L)),
    list(core_block(2L), core_block(1:2, 2L), core_block(3L, 2L), core_block(1L, 3L))
  )
  for (i in seq_along(cases)) {
    q <- max(unlist(lapply(cases[[i]], `[[`, "columns")))
    design <- crossed_design(sizes, q = q, p = 3, seed = 20 + i, weights = i == 2)
    expect_as_reference(design, cases[[i]], reference_some_parameters(cases[[i]], 20 + i))
  }
})

test_that("singular covariance matrices are ordinary points", {
  design <- crossed_design(sizes, q = 2, p = 3, seed = 31)
  blocks <- list(core_block(1:2), core_block(1:2, 2L))
  expect_as_reference(design, blocks, c(4, 2, 1, 1, 0, 0, 0.5))
  expect_as_reference(design, blocks, c(0, 0, 0, 1, 1, 1, 0.5))
  expect_as_reference(design, blocks, c(0, 0, 0, 0, 0, 0, 0.5))
})

test_that("Kenward and Roger's adjustment agrees with the reference", {
  design <- crossed_design(c(sizes, sizes), q = 2, p = 3, seed = 32, others = c(7L, 5L))
  for (blocks in list(
    list(core_block(1L), core_block(1L, 2L)),
    list(core_block(1:2), core_block(1:2, 2L), core_block(2L, 3L))
  )) {
    expect_adjustment(design, blocks, reference_some_parameters(blocks, 33))
  }
})

test_that("nested groupings give the same on both paths", {
  design <- reference_design(c(sizes, sizes), q = 2, p = 3, seed = 34, therapists = 4)
  blocks <- list(core_block(1:2), core_block(1L, 2L))
  nested <- fit_reduced(core_reduced(design), blocks, TRUE, lmm_control())
  design$crossed <- TRUE
  general <- fit_reduced(core_reduced(design), blocks, TRUE, lmm_control())
  expect_equal(general$criterion, nested$criterion, tolerance = tol$algebra)
  expect_equal(general$beta, nested$beta, tolerance = tol$estimate)
  expect_equal(general$parameters, nested$parameters, tolerance = tol$varcomp)
})

test_that("no limit of the inflation sends the general path where only the other can go", {
  blocks <- list(core_block(1:2), core_block(1L, 2L))
  reduced <- core_reduced(crossed_design(c(sizes, sizes), q = 2, p = 3, seed = 35))
  fit <- fit_reduced(reduced, blocks, TRUE, lmm_control())
  expect_identical(fit_reduced(reduced, blocks, TRUE, lmm_control(largest_inflation = 0)), fit)
})

test_that("large effects do not take the digits of the rest with them", {
  design <- reference_design(rep(c(4, 6, 1, 3), 6), q = 2, p = 3, seed = 37, therapists = 4)
  design$y <- design$y + 1e4 * c(-1.3, 0.4, 2.1, -0.6)[design$groups[[2]]]
  blocks <- list(core_block(1L), core_block(1L, 2L))
  nested <- fit_reduced(core_reduced(design), blocks, TRUE, lmm_control())
  design$crossed <- TRUE
  general <- fit_reduced(core_reduced(design), blocks, TRUE, lmm_control())
  expect_lt(abs(general$criterion - nested$criterion), 1e-6)
  expect_lt(apart(general$beta[-1], nested$beta[-1]), tol$estimate)
})

test_that("Penicillin has the criterion lme4 publishes and lmerTest's inference", {
  skip_if_not_installed("lmerTest")
  data <- lme4::Penicillin
  fit <- lmm(diameter ~ 1 + (1 | plate) + (1 | sample), data)
  # Bates, Maechler, Bolker and Walker, lme4: Mixed-effects modeling with R, section 2.1
  expect_equal(round(objective(fit), 1), 330.9)
  expect_as_lmer(fit, tight_lmer(diameter ~ 1 + (1 | plate) + (1 | sample), data))
  expect_match(fit_status(fit)$path, "crossed.*all random effects but those of plate")
})

# Standard errors of x'b + z'u from Henderson's equations, with every random effect in them.
prediction_reference <- function(fit, new) {
  data <- model.frame(fit)
  parameters <- component(fit, "parameters")
  indicator <- function(codes, like) outer(codes, sort(unique(like)), "==") * 1
  made <- function(frame) {
    cbind(
      1, frame$x, indicator(frame$patient, data$patient), indicator(frame$therapist, data$therapist)
    )
  }
  all <- made(data)
  sizes <- c(length(unique(data$patient)), length(unique(data$therapist)))
  ridge <- diag(c(0, 0, rep(1 / parameters[1:2], sizes)))
  covariance <- solve(crossprod(all) / parameters[3] + ridge)
  x <- made(new)
  sqrt(rowSums((x %*% covariance) * x))
}

crossed_data <- function() {
  set.seed(35)
  data <- data.frame(
    patient = sample(30, 400, TRUE), therapist = sample(8, 400, TRUE), x = rnorm(400)
  )
  u <- matrix(rnorm(60), 30)
  v <- matrix(rnorm(16), 8)
  data$y <- 1 + 0.5 * data$x + u[data$patient, 1] + 0.4 * u[data$patient, 2] * data$x +
    v[data$therapist, 1] + rnorm(400)
  data
}

test_that("slopes, boundaries and a term between two crossed ones agree with lmerTest", {
  skip_if_not_installed("lmerTest")
  data <- crossed_data()
  for (formula in list(
    y ~ x + (x | patient) + (1 | therapist),
    y ~ x + (x || patient) + (1 + x || therapist),
    y ~ x + (1 | patient) + (1 | therapist) + (1 | therapist:patient)
  )) {
    fit <- lmm(formula, data)
    peer <- tight_lmer(formula, data, fitter = lme4::lmer)
    expect_lt(objective(fit) - lme4::REMLcrit(peer), 1e-6)
    if (fit_status(fit)$status == "ok") {
      expect_as_lmer(fit, tight_lmer(formula, data))
      expect_equal(
        unlist(ranef(fit)$patient), unlist(lme4::ranef(peer)$patient),
        tolerance = tol$varcomp
      )
    }
  }
})

test_that("Kenward-Roger agrees with pbkrtest", {
  skip_if_not_installed("pbkrtest")
  data <- crossed_data()
  formula <- y ~ x + (x | patient) + (1 | therapist)
  fit <- lmm(formula, data, df = "kenward-roger")
  peer <- tight_lmer(formula, data, fitter = lme4::lmer)
  expect_equal(
    unname(vcov(fit)), unname(as.matrix(pbkrtest::vcovAdj(peer))),
    tolerance = 1e-4
  )
})

test_that("refit, profile, bootstrap and predictions work on crossed fits", {
  data <- crossed_data()
  formula <- y ~ x + (1 | patient) + (1 | therapist)
  fit <- lmm(formula, data)
  other <- simulate(fit, 1, seed = 1)[[1]]
  again <- lmm(formula, transform(data, y = other))
  expect_same_core(refit(fit, other), again)
  expect_equal(fitted(fit), as.vector(predict(fit, newdata = data)), ignore_attr = TRUE)
  dense <- prediction_reference(fit, data[1:5, ])
  expect_equal(
    predict(fit, newdata = data[1:5, ], se.fit = TRUE)$se.fit, dense,
    tolerance = 1e-8, ignore_attr = TRUE
  )
  expect_true(all(is.finite(confint(fit, method = "profile"))))
  expect_true(all(is.finite(confint(fit, "beta_", method = "boot", nsim = 20, seed = 1))))
})

test_that("too many crossed random effects are refused before memory is", {
  design <- crossed_design(sizes, q = 1, p = 2, seed = 36, others = 4L)
  design$n_units <- c(patient = 8L, item = 4L)
  design$blocks <- list(core_block(1L), core_block(1L, 2L))
  expect_error(check_crossed_size(design, largest = 3), class = "samepage_error_crossed_size")
  expect_error(check_dense_rows(6000L), "6,000 rows", class = "samepage_error_crossed_size")
})
