# emmeans of a fit: the same as for lmerTest's fit of the same model.

test_that("means, contrasts and trends are those of lmerTest's fit", {
  skip_if_not_installed("emmeans")
  skip_if_not_installed("lmerTest")
  skip_if_not_installed("pbkrtest")
  data <- as.data.frame(nlme::Orthodont)
  data$Subject <- factor(as.character(data$Subject))
  data <- data[-c(2, 31, 60), ]
  formula <- distance ~ Sex * poly(age, 2) + (age | Subject)
  peer <- tight_lmer(formula, data)
  frame <- function(x) suppressMessages(as.data.frame(x))
  for (df in c("satterthwaite", "kenward-roger")) {
    fit <- lmm(formula, data = data, df = df)
    for (at in c(8, 13)) {
      ours <- frame(emmeans::emmeans(fit, "Sex", at = list(age = at)))
      theirs <- frame(emmeans::emmeans(peer, "Sex", at = list(age = at), lmer.df = df))
      expect_equal(ours[2:6], theirs[2:6], tolerance = tol$estimate, ignore_attr = TRUE)
    }
    ours <- frame(emmeans::emtrends(fit, pairwise ~ Sex, var = "age")$contrasts)
    theirs <- frame(emmeans::emtrends(peer, pairwise ~ Sex, var = "age", lmer.df = df)$contrasts)
    expect_equal(ours[2:6], theirs[2:6], tolerance = tol$se, ignore_attr = TRUE)
  }
})

test_that("what left-out columns make inestimable has no mean", {
  skip_if_not_installed("emmeans")
  data <- as.data.frame(nlme::Orthodont)
  data$clinic <- factor(c("a", "b", "c")[1 + as.integer(data$Subject) %% 3])
  data <- data[!(data$Sex == "Female" & data$clinic == "b"), ]
  fit <- suppressMessages(lmm(distance ~ Sex * clinic + (1 | Subject), data = data))
  means <- suppressMessages(as.data.frame(emmeans::emmeans(fit, ~ Sex:clinic)))
  empty <- means$Sex == "Female" & means$clinic == "b"
  expect_identical(is.na(means$emmean), empty)
  cells <- stats::aggregate(distance ~ Sex + clinic, data, mean)
  expect_equal(means$emmean[!empty], cells$distance, tolerance = 1e-8)
})

test_that("emmeans takes another covariance matrix, or a function that makes it", {
  skip_if_not_installed("emmeans")
  fit <- lmm(distance ~ age + Sex + (1 | Subject), data = nlme::Orthodont)
  larger <- 9 * vcov(fit)
  errors <- function(...) summary(emmeans::emmeans(fit, "Sex", ...))$SE
  expect_equal(errors(vcov. = larger), 3 * errors(), tolerance = tol$algebra)
  expect_equal(errors(vcov. = function(object) larger), 3 * errors(), tolerance = tol$algebra)
  expect_error(errors(vcov. = diag(2)), "3 x 3")
})
