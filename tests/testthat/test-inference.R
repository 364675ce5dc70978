# Degrees of freedom and covariance parameters: SAS and SPSS (shared folder),
# lmerTest (live), the dense reference.

sas <- function(name) {
  utils::read.csv(shared_path("oracles", "sas", paste0("results_", name, ".csv")))
}

test_that("the covariance of the covariance parameters is SAS's ASYCOV", {
  skip_if_not_installed("lme4")
  data(sleepstudy, package = "lme4", envir = environment())
  for (case in list(
    list("sleep_study_corr", Reaction ~ Days + (Days | Subject)),
    list("sleep_study", Reaction ~ Days + (Days || Subject))
  )) {
    fit <- lmm(case[[2]], data = sleepstudy)
    theirs <- sas(paste0(case[[1]], "_sas_asycov"))
    theirs <- as.matrix(theirs[grep("^CovP[0-9]", names(theirs))])
    ours <- component(fit, "vcov_parameters")
    scale <- sqrt(outer(diag(theirs), diag(theirs)))
    expect_lt(max(abs(ours - theirs) / scale), 1e-6, label = case[[1]])
    expect_equal(summary(fit)$varcomp$std.error, unname(sqrt(diag(theirs))), tolerance = 1e-6)
  }
})

test_that("estimates, standard errors and Satterthwaite df are SAS's", {
  skip_if_not_installed("lme4")
  data(sleepstudy, package = "lme4", envir = environment())
  sleepstudy$days2 <- sleepstudy$Days^2
  # SAS stops a little before the optimum, visibly so in the third case.
  for (case in list(
    list("sleep_study_corr", Reaction ~ Days + (Days | Subject), 1e-6),
    list("sleep_study", Reaction ~ Days + (Days || Subject), 1e-6),
    list("sleep_study_quadratic", Reaction ~ Days + days2 + (Days + days2 || Subject), tol$se),
    list("sleep_study_corr_quadratic", Reaction ~ Days + days2 + (Days + days2 | Subject), 1e-6)
  )) {
    ours <- summary(lmm(case[[2]], data = sleepstudy))$coefficients
    theirs <- sas(paste0(case[[1]], "_sas_sw"))
    expect_equal(ours[, "Estimate"], theirs$Estimate, tolerance = 1e-8, ignore_attr = TRUE)
    expect_equal(ours[, "Std. Error"], theirs$StdErr, tolerance = case[[3]], ignore_attr = TRUE)
    expect_equal(ours[, "df"], theirs$DF, tolerance = case[[3]], ignore_attr = TRUE)
  }
})

test_that("df of any contrast are the textbook's with dense matrices", {
  set.seed(3)
  data <- data.frame(
    unit = rep(1:9, c(4, 6, 3, 5, 5, 2, 7, 4, 6)), x = stats::rnorm(42)
  )
  data$time <- stats::ave(data$x, data$unit, FUN = seq_along)
  data$y <- 2 + data$x + 1.5 * stats::rnorm(9)[data$unit] +
    data$time * stats::rnorm(9)[data$unit] + stats::rnorm(42)
  fit <- lmm(y ~ x + time + (time | unit), data = data)
  X <- cbind(1, data$x, data$time)
  design <- list(X = X, y = data$y, Z = X[, c(1, 3)], groups = list(data$unit))
  blocks <- list(list(level = 1L, columns = 1:2))
  at <- reference_evaluate(design, blocks, summary(fit)$varcomp$estimate)
  A <- solve(at$observed)
  expect_equal(summary(fit)$varcomp$std.error, sqrt(diag(A)), tolerance = tol$criterion)
  contrasts <- rbind(a = c(1, 0, 3), b = c(0, 1, -1), c = c(0, 0, 1))
  tests <- test_contrasts(fit, contrasts)
  expect_equal(
    tests$df, apply(contrasts, 1, reference_satterthwaite, at = at, vcov_parameters = A),
    tolerance = tol$criterion, ignore_attr = TRUE
  )
  expect_equal(tests$estimate, drop(contrasts %*% at$beta), tolerance = 1e-9, ignore_attr = TRUE)
  expect_equal(tests$std.error[3], sqrt(at$vcov[3, 3]), tolerance = 1e-9)
  expect_equal(summary(fit)$coefficients[3, "df"], tests$df[3], ignore_attr = TRUE)
})

test_that("residual degrees of freedom are rows minus the rank of X", {
  fit <- lmm(distance ~ Sex * age + (1 | Subject), data = nlme::Orthodont, df = "residual")
  expect_equal(summary(fit)$coefficients[, "df"], rep(108 - 4, 4), ignore_attr = TRUE)
})

test_that("Wald z, p and intervals of covariance parameters are as stated", {
  fit <- lmm(distance ~ Sex * age + (age | Subject), data = nlme::Orthodont)
  table <- summary(fit, level = 0.9)$varcomp
  expect_equal(table$z, table$estimate / table$std.error)
  expect_equal(table$p.value, 2 * stats::pnorm(-abs(table$z)))
  expect_identical(table$var2, c(NA, "age", NA, NA))
  expect_identical(table$grp, c("Subject", "Subject", "Subject", "Residual"))
  # Variance: symmetric on the log scale. Covariance: symmetric as it is.
  reach <- stats::qnorm(0.95)
  expect_equal(
    log(table$conf.high[1] / table$estimate[1]), reach * table$std.error[1] / table$estimate[1]
  )
  expect_equal(table$conf.low[1] * table$conf.high[1], table$estimate[1]^2)
  expect_equal(table$conf.high[2] - table$estimate[2], reach * table$std.error[2])
  expect_equal(table$conf.high[2] + table$conf.low[2], 2 * table$estimate[2])
})

test_that("a joint test counts dependent contrasts once and is lmerTest's", {
  skip_if_not_installed("lmerTest")
  fit <- lmm(distance ~ Sex * age + (age | Subject), data = nlme::Orthodont)
  peer <- tight_lmer(distance ~ Sex * age + (age | Subject), as.data.frame(nlme::Orthodont))
  contrasts <- rbind(c(0, 1, 0, 0), c(0, 0, 0, 1), c(0, 1, 0, 8))
  ours <- test_contrasts(fit, contrasts, joint = TRUE)
  theirs <- lmerTest::contestMD(peer, contrasts)
  expect_equal(ours$num_df, 2)
  expect_equal(ours$statistic, theirs[["F value"]], tolerance = tol$estimate)
  expect_equal(ours$den_df, theirs$DenDF, tolerance = tol$se)
  one <- test_contrasts(fit, c(0, 1, 0, 8), rhs = 1, joint = TRUE)
  single <- test_contrasts(fit, c(0, 1, 0, 8), rhs = 1)
  expect_equal(one$statistic, single$statistic^2)
  expect_equal(one$den_df, single$df)
  expect_equal(one$p.value, single$p.value)
})

test_that("bad contrasts are refused in words", {
  fit <- lmm(distance ~ Sex * age + (1 | Subject), data = nlme::Orthodont)
  expect_error(test_contrasts(fit, "age"), class = "samepage_error_argument")
  expect_error(test_contrasts(fit, c(1, 2)), "there are 4", class = "samepage_error_argument")
  expect_error(test_contrasts(fit, c(aeg = 1)), "aeg", class = "samepage_error_argument")
  expect_error(test_contrasts(fit, diag(4), rhs = 1:2), "rhs", class = "samepage_error_argument")
  expect_error(test_contrasts(lm, 1), "lmm", class = "samepage_error_argument")
  expect_error(summary(fit, levl = 0.9), "levl", class = "samepage_error_argument")
  expect_error(summary(fit, level = 95), "between 0 and 1", class = "samepage_error_argument")
})
