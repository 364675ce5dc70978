# Variance partition: closed form, simulation-free delta method, hand-worked levels.

test_that("a balanced one-way layout has the ICC of its mean squares", {
  skip_if_not_installed("lme4")
  data(Dyestuff, package = "lme4", envir = environment())
  squares <- stats::anova(stats::lm(Yield ~ Batch, Dyestuff))[["Mean Sq"]]
  rho <- (squares[1] - squares[2]) / (squares[1] + 4 * squares[2])
  table <- icc(lmm(Yield ~ 1 + (1 | Batch), data = Dyestuff))
  expect_equal(table$icc[1], rho, tolerance = tol$estimate)
  expect_identical(table$group, c("Batch", "Residual"))
  expect_identical(table$n_units, c(6L, 30L))
  expect_equal(table$vpc, c(rho, 1 - rho), tolerance = tol$estimate)
  # Fisher's (1925) large-sample variance of the intraclass correlation of m groups of n.
  expect_equal(
    table$icc_se[1], sqrt(2 * (1 - rho)^2 * (1 + 4 * rho)^2 / (5 * 4 * 6)),
    tolerance = 0.1
  )
})

test_that("errors are those of numerical differentiation, ends those of the logit", {
  skip_if_not_installed("numDeriv")
  data <- expand.grid(session = 0:5, patient = 1:60)
  data$therapist <- (data$patient - 1) %/% 4
  set.seed(3)
  data$bdi <- 2 * stats::rnorm(15)[data$therapist + 1] + stats::rnorm(60)[data$patient] +
    0.5 * stats::rnorm(60)[data$patient] * data$session + stats::rnorm(360)
  fit <- lmm(bdi ~ session + (session | patient) + (1 | therapist), data = data)
  expect_identical(fit_status(fit)$status, "ok")
  at <- summary(fit)$varcomp$estimate
  z <- c(1, 4)
  shares <- function(v) {
    patient <- v[1] + 2 * z[2] * v[2] + z[2]^2 * v[3]
    total <- patient + v[4] + v[5]
    c(v[4], patient, v[5], v[4], v[4] + patient) / total
  }
  gradient <- numDeriv::jacobian(shares, at)
  error <- sqrt(diag(gradient %*% component(fit, "vcov_parameters") %*% t(gradient)))
  table <- icc(fit, at = list(session = 4), level = 0.9)
  expect_identical(table$group, c("therapist", "patient", "Residual"))
  expect_equal(c(table$vpc, table$icc[1:2]), shares(at))
  expect_equal(c(table$vpc_se, table$icc_se[1:2]), error, tolerance = 1e-6)
  reach <- stats::qnorm(0.95) * table$vpc_se / (table$vpc * (1 - table$vpc))
  expect_equal(stats::qlogis(table$vpc_high) - stats::qlogis(table$vpc), reach)
  expect_equal(stats::qlogis(table$vpc) - stats::qlogis(table$vpc_low), reach)
  expect_true(is.na(table$icc[3]))
  # At 0, the default, the slope has no part.
  expect_equal(icc(fit)$variance, at[c(4, 1, 5)])
})

test_that("the average over rows is the mean of z'Gz", {
  fit <- lmm(bdi ~ session + (session | patient), data = drawn_sample())
  z <- cbind(1, stats::model.frame(fit)$session)
  between <- mean(rowSums((z %*% component(fit, "covariances")[[1]]) * z))
  table <- icc(fit, at = "average")
  expect_equal(table$variance, c(between, sigma(fit)^2))
  expect_true(all(is.na(table$icc)))
})

test_that("transformed variables are given as in the data", {
  fit <- lmm(distance ~ age + (I(age - 11) | Subject), data = nlme::Orthodont)
  same <- lmm(distance ~ age + (age | Subject), data = nlme::Orthodont)
  expect_equal(icc(fit, list(age = 13))$vpc, icc(same, list(age = 13))$vpc, tolerance = 1e-6)
  expect_equal(icc(fit)$vpc, icc(same, list(age = 11))$vpc, tolerance = 1e-6)
  data <- as.data.frame(nlme::Machines)
  machine <- lmm(score ~ Machine + (0 + Machine | Worker), data = data)
  expect_equal(
    icc(machine, list(Machine = "B"))$variance[1],
    as.matrix(VarCorr(machine)$Worker)[2, 2]
  )
  expect_error(icc(machine, list(Machine = "D")), "D", class = "samepage_error_newdata")
  expect_error(icc(fit, list(Age = 1)), "Found: Age", class = "samepage_error_argument")
  expect_error(icc(fit, 11), "numeric", class = "samepage_error_argument")
  expect_error(icc(1), "lmm", class = "samepage_error_argument")
})

test_that("crossed units share nothing with each other", {
  skip_if_not_installed("lme4")
  data(Penicillin, package = "lme4", envir = environment())
  table <- icc(lmm(diameter ~ 1 + (1 | plate) + (1 | sample), data = Penicillin))
  expect_identical(table$group, c("sample", "plate", "Residual"))
  expect_equal(table$icc[1:2], table$vpc[1:2])
})

test_that("a variance of zero has no interval", {
  skip_if_not_installed("lme4")
  data(list = c("Dyestuff2", "Pastes"), package = "lme4", envir = environment())
  zero <- icc(lmm(Yield ~ 1 + (1 | Batch), data = Dyestuff2))
  expect_identical(zero$vpc, c(0, 1))
  expect_true(all(is.na(zero$vpc_se)))
  expect_snapshot({
    zero
    icc(lmm(strength ~ 1 + (1 | batch / cask), data = Pastes))
    icc(lmm(distance ~ age + (age | Subject), data = nlme::Orthodont), list(age = 14))
  })
})

test_that("columns taken out print as a data frame", {
  table <- icc(lmm(distance ~ age + (1 | Subject), data = nlme::Orthodont))
  shown <- utils::capture.output(print(table[c("group", "vpc")]))
  expect_identical(shown, utils::capture.output(print(data.frame(
    group = table$group, vpc = table$vpc
  ))))
  tests <- test_random(lmm(distance ~ age + (1 | Subject), data = nlme::Orthodont))
  expect_match(utils::capture.output(print(tests["p.value"]))[1], "p.value")
})
