test_that("reliability of sleepstudy's lines is HLM's", {
  skip_if_not_installed("lme4")
  data(sleepstudy, package = "lme4", envir = environment())
  fit <- lmm(Reaction ~ Days + (Days | Subject), data = sleepstudy)
  # HLM7 prints .730 and .815.
  expect_equal(as.vector(round(reliability(fit), 3)), c(0.730, 0.815))
  expect_named(reliability(fit), c("(Intercept)", "Days"))
  expect_identical(attr(reliability(fit), "n_units"), c("(Intercept)" = 18L, Days = 18L))
})

test_that("reliability of a random intercept is Spearman and Brown's formula", {
  fit <- lmm(distance ~ 1 + (1 | Subject), data = nlme::Orthodont)
  variance <- summary(fit)$varcomp$estimate
  expect_equal(
    as.vector(reliability(fit)), variance[1] / (variance[1] + variance[2] / 4)
  )
})

test_that("units that cannot have a line of their own are left out and counted", {
  data <- as.data.frame(nlme::Orthodont)
  data <- data[-(2:4), ]
  fit <- lmm(distance ~ age + (age | Subject), data = data)
  expect_identical(unname(attr(reliability(fit), "n_units")), c(26L, 26L))
  # By hand: every other unit has the four ages.
  v <- summary(fit)$varcomp$estimate[4] * diag(solve(crossprod(cbind(1, c(8, 10, 12, 14)))))
  tau2 <- summary(fit)$varcomp$estimate[c(1, 3)]
  expect_equal(as.vector(reliability(fit)), as.vector(tau2 / (tau2 + v)))
  expect_error(reliability(fit, level = 1), class = "samepage_error_argument")
})
