# Kenward-Roger: pbkrtest (expected information), published values, the dense reference. SAS
# (observed) is in test-inference.R.

test_that("uncorrelated sleepstudy shows both informations", {
  skip_if_not_installed("lme4")
  data(sleepstudy, package = "lme4", envir = environment())
  df <- function(information) {
    fit <- lmm(
      Reaction ~ Days + (Days || Subject),
      data = sleepstudy, df = "kenward-roger", information = information
    )
    summary(fit)$coefficients[2, "df"]
  }
  # At the exact optimum; SAS and pbkrtest print 18.15621 and 18.18747.
  expect_equal(df("observed"), 18.1562041, tolerance = 1e-6, ignore_attr = TRUE)
  expect_equal(df("expected"), 18.1874764, tolerance = 1e-6, ignore_attr = TRUE)
})

test_that("the published joint test of sleepstudy is met", {
  skip_if_not_installed("lme4")
  data(sleepstudy, package = "lme4", envir = environment())
  fit <- lmm(Reaction ~ Days + (Days | Subject), data = sleepstudy, df = "kenward-roger")
  test <- test_contrasts(fit, diag(2), joint = TRUE)
  # F 705.8357212845301, ddf 16, scaling .9411764705882363, from a fit that stopped early.
  expect_equal(test$statistic, 705.8357212845301, tolerance = tol$se)
  expect_equal(test$den_df, 16, tolerance = tol$estimate)
  expect_equal(joint_test(fit, diag(2))$scaling, 0.9411764705882363, tolerance = tol$estimate)
})

test_that("with the expected information, everything is pbkrtest's", {
  skip_if_not_installed("lmerTest")
  skip_if_not_installed("pbkrtest")
  data <- as.data.frame(nlme::Orthodont)
  data$Subject <- factor(as.character(data$Subject))
  data$clinic <- factor(c("a", "b", "c", "a", "a")[1 + as.integer(data$Subject) %% 5])
  data <- data[-c(3, 10, 50, 51), ]
  formula <- distance ~ clinic + Sex * age + (age | Subject)
  fit <- lmm(formula, data = data, df = "kenward-roger")
  peer <- tight_lmer(formula, data)
  theirs <- summary(peer, ddf = "Kenward-Roger")$coefficients
  ours <- summary(fit)$coefficients
  expect_equal(ours[, "Std. Error"], theirs[, "Std. Error"], tolerance = tol$estimate)
  expect_equal(ours[, "df"], theirs[, "df"], tolerance = tol$se)
  adjusted <- as.matrix(pbkrtest::vcovAdj(peer))
  expect_equal(vcov(fit), adjusted, tolerance = tol$se, ignore_attr = TRUE)
  expect_equal(vcov(fit, adjusted = FALSE), as.matrix(vcov(peer)), tolerance = tol$se)
  tests <- anova(fit)
  peers <- anova(peer, ddf = "Kenward-Roger")
  expect_equal(tests[["F value"]], peers[["F value"]], tolerance = tol$se)
  expect_equal(tests$DenDF, peers$DenDF, tolerance = tol$se)
  # Kenward and Roger's test does not depend on the basis of the contrasts.
  expect_equal(
    anova(fit, basis = "last")[["Pr(>F)"]], tests[["Pr(>F)"]],
    tolerance = tol$criterion
  )
})

test_that("three levels agree with the dense reference", {
  set.seed(8)
  data <- data.frame(
    therapist = rep(1:4, each = 16), dyad = rep(1:16, each = 4), session = rep(0:3, 16)
  )
  data <- data[-c(2, 17, 18, 40), ]
  data$x <- stats::rnorm(nrow(data))
  data$y <- data$x + 2 * stats::rnorm(16)[data$dyad] + 2 * stats::rnorm(4)[data$therapist] +
    data$session * stats::rnorm(16)[data$dyad] + stats::rnorm(nrow(data))
  fit <- lmm(
    y ~ x + session + (session | dyad) + (1 | therapist),
    data = data, df = "kenward-roger"
  )
  design <- list(
    X = cbind(1, data$x, data$session), y = data$y, Z = cbind(1, data$session),
    groups = list(data$dyad, data$therapist)
  )
  blocks <- list(list(level = 1L, columns = 1:2), list(level = 2L, columns = 1L))
  L <- rbind(c(0, 1, 0), c(0, 0, 1))
  truth <- reference_kenward_roger(design, blocks, component(fit, "parameters"), L)
  expect_equal(vcov(fit), truth$vcov, tolerance = tol$criterion, ignore_attr = TRUE)
  ours <- joint_test(fit, L)
  expect_equal(ours$statistic, truth$statistic, tolerance = tol$criterion)
  expect_equal(ours$den_df, truth$df[2], tolerance = tol$criterion)
})

test_that("case weights are in the adjustment, as the dense reference has them", {
  # pbkrtest takes all residual variances as equal, so it is no peer here.
  set.seed(6)
  data <- data.frame(unit = rep(1:8, c(3, 5, 2, 6, 4, 4, 3, 5)), x = stats::rnorm(32))
  data$w <- stats::runif(32, 0.5, 3)
  data$y <- data$x + 1.2 * stats::rnorm(8)[data$unit] + stats::rnorm(32) / sqrt(data$w)
  design <- list(
    X = cbind(1, data$x), y = data$y, Z = cbind(rep(1, 32)), groups = list(data$unit),
    weights = data$w
  )
  blocks <- list(list(level = 1L, columns = 1L))
  for (information in c("expected", "observed")) {
    fit <- lmm(y ~ x + (1 | unit), data,
      weights = w, df = "kenward-roger", information = information
    )
    truth <- reference_kenward_roger(
      design, blocks, component(fit, "parameters"), diag(2), information
    )
    expect_equal(vcov(fit), truth$vcov, tolerance = tol$criterion, ignore_attr = TRUE)
    ours <- joint_test(fit, diag(2))
    expect_equal(ours$statistic, truth$statistic, tolerance = tol$criterion)
    expect_equal(ours$den_df, truth$df[2], tolerance = tol$criterion)
  }
})

test_that("Kenward-Roger is refused under ML, and named in print", {
  data <- nlme::Orthodont
  expect_error(
    lmm(distance ~ age + (1 | Subject), data = data, method = "ML", df = "kenward-roger"),
    "REML", class = "samepage_error_argument"
  )
  ml <- lmm(distance ~ age + (1 | Subject), data = data, method = "ML")
  expect_error(vcov(ml, adjusted = TRUE), "by ML", class = "samepage_error_argument")
  fit <- lmm(distance ~ age + (1 | Subject), data = data, df = "kenward-roger")
  expect_output(print(summary(fit)), "Kenward-Roger, from the expected information")
  expect_error(
    lmm(distance ~ age + (1 | Subject), data = data, information = "average"),
    class = "samepage_error_argument"
  )
})
