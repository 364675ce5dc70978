# Comparisons of fits and tests of terms: lme4, lmerTest and what is refused.

orthodont <- function() {
  data <- as.data.frame(nlme::Orthodont)
  data$Subject <- factor(as.character(data$Subject))
  data
}

test_that("two fits are compared as lme4 compares them", {
  skip_if_not_installed("lme4")
  data <- orthodont()
  for (method in c("REML", "ML")) {
    line <- lmm(distance ~ age + (age | Subject), data = data, method = method)
    level <- lmm(distance ~ age + (1 | Subject), data = data, method = method)
    ours <- anova(line, level)
    peers <- lapply(c(distance ~ age + (age | Subject), distance ~ age + (1 | Subject)), tight_lmer,
      data = data, REML = method == "REML", fitter = lme4::lmer
    )
    theirs <- stats::anova(peers[[1]], peers[[2]], refit = FALSE)
    expect_identical(names(ours), names(theirs))
    expect_equal(as.matrix(ours), as.matrix(theirs), tolerance = 1e-6, ignore_attr = TRUE)
    expect_identical(row.names(ours), c("level", "line"))
  }
})

test_that("REML fits with different fixed parts need a refit", {
  skip_if_not_installed("lme4")
  data <- orthodont()
  small <- lmm(distance ~ age + (1 | Subject), data = data)
  large <- lmm(distance ~ age * Sex + (1 | Subject), data = data)
  expect_error(anova(small, large), "SexFemale", class = "samepage_error_different_fixed_parts")
  ours <- anova(small, large, refit = TRUE)
  theirs <- suppressMessages(stats::anova(
    tight_lmer(distance ~ age + (1 | Subject), data, fitter = lme4::lmer),
    tight_lmer(distance ~ age * Sex + (1 | Subject), data, fitter = lme4::lmer)
  ))
  expect_equal(as.matrix(ours), as.matrix(theirs), tolerance = 1e-6, ignore_attr = TRUE)
  # Names alone do not make columns the same.
  data$moved <- data$age
  one <- lmm(distance ~ moved + (1 | Subject), data = data)
  data$moved <- data$age * 2
  other <- lmm(distance ~ moved + (1 | Subject), data = data)
  expect_error(
    anova(one, other), "different values",
    class = "samepage_error_different_fixed_parts"
  )
  # Their order does.
  ab <- lmm(distance ~ age + Sex + (1 | Subject), data = data)
  ba <- lmm(distance ~ Sex + age + (age | Subject), data = data)
  expect_s3_class(anova(ab, ba), "anova")
})

test_that("different rows, methods and classes are refused", {
  data <- orthodont()
  fit <- lmm(distance ~ age + (1 | Subject), data = data)
  fewer <- lmm(distance ~ age + (1 | Subject), data = data[-1, ])
  expect_error(anova(fit, fewer), "108 rows.*107", class = "samepage_error_different_rows")
  other <- lmm(2 * distance ~ age + (1 | Subject), data = data)
  expect_error(anova(fit, other), "different outcomes", class = "samepage_error_different_rows")
  weighted <- lmm(distance ~ age + (1 | Subject), data = data, weights = age)
  expect_error(anova(fit, weighted), class = "samepage_error_different_rows")
  ml <- lmm(distance ~ age + (1 | Subject), data = data, method = "ML")
  expect_error(anova(fit, ml), "REML.*ML", class = "samepage_error_different_methods")
  expect_s3_class(anova(fit, ml, refit = TRUE), "anova")
  plain <- stats::lm(distance ~ age, data)
  expect_error(anova(fit, plain), "is of class lm", class = "samepage_error_argument")
  expect_error(anova(fit, test = "F"), "test", class = "samepage_error_argument")
  expect_error(anova(fit, type = 4), "type", class = "samepage_error_argument")
})

test_that("fits with as many parameters are not tested against each other", {
  data <- orthodont()
  a <- lmm(distance ~ age + (1 | Subject), data = data, method = "ML")
  b <- lmm(distance ~ Sex + (1 | Subject), data = data, method = "ML")
  table <- anova(a, b)
  expect_equal(table$Df, c(NA, 0))
  expect_true(all(is.na(table[["Pr(>Chisq)"]])))
})

test_that("tests of terms are lmerTest's for all types", {
  skip_if_not_installed("lmerTest")
  data <- orthodont()
  # Three unequal groups that cross sex unevenly.
  data$clinic <- factor(c("a", "b", "c", "a", "a")[1 + as.integer(data$Subject) %% 5])
  data <- data[-c(3, 10, 50), ]
  formula <- distance ~ clinic * Sex + Sex * age + (age | Subject)
  fit <- lmm(formula, data = data)
  peer <- tight_lmer(formula, data)
  for (type in c("I", "II", "III")) {
    ours <- anova(fit, type = type)
    theirs <- stats::anova(peer, type = type)
    expect_identical(row.names(ours), row.names(theirs))
    expect_equal(ours$NumDF, theirs$NumDF, ignore_attr = TRUE)
    expect_equal(ours[["F value"]], theirs[["F value"]], tolerance = tol$se)
    expect_equal(ours$DenDF, theirs$DenDF, tolerance = tol$se)
    # F does not depend on the basis; nor do the numerator's degrees of freedom.
    last <- anova(fit, type = type, basis = "last")
    if (type != "I") {
      expect_equal(last[["F value"]], ours[["F value"]], tolerance = tol$criterion)
    }
    expect_equal(last$NumDF, ours$NumDF)
  }
})

test_that("type II takes the interaction with a spline for one that contains the factor", {
  skip_if_not_installed("lmerTest")
  data <- orthodont()
  for (formula in list(
    distance ~ Sex * splines::ns(age, 2) + (1 | Subject),
    distance ~ Sex * scale(age) + (1 | Subject)
  )) {
    fit <- lmm(formula, data = data)
    peer <- tight_lmer(formula, data)
    for (type in c("II", "III")) {
      ours <- anova(fit, type = type)
      theirs <- stats::anova(peer, type = type)
      expect_equal(ours[["F value"]], theirs[["F value"]], tolerance = tol$se)
      expect_equal(ours$DenDF, theirs$DenDF, tolerance = tol$se)
    }
  }
})

test_that("combinations of levels without data leave lmerTest's and a basis-free hypothesis", {
  skip_if_not_installed("lmerTest")
  data <- orthodont()
  data$clinic <- factor(c("a", "b", "c", "a", "a")[1 + as.integer(data$Subject) %% 5])
  data <- data[!(data$Sex == "Female" & data$clinic == "c"), ][-c(3, 10, 50), ]
  formula <- distance ~ clinic * Sex + age + (1 | Subject)
  fit <- suppressMessages(lmm(formula, data = data))
  peer <- tight_lmer(formula, data)
  for (type in c("I", "II", "III")) {
    ours <- anova(fit, type = type)
    theirs <- suppressMessages(stats::anova(peer, type = type))
    expect_equal(ours$NumDF, theirs$NumDF, ignore_attr = TRUE)
    expect_equal(ours[["F value"]], theirs[["F value"]], tolerance = tol$se)
    expect_equal(ours$DenDF, theirs$DenDF, tolerance = tol$se)
    last <- anova(fit, type = type, basis = "last")
    expect_equal(last[["F value"]], ours[["F value"]], tolerance = tol$criterion)
  }
})

test_that("names that need quotes are variables like others", {
  data <- orthodont()
  data[["age in years"]] <- data$age
  odd <- anova(lmm(distance ~ Sex * `age in years` + (1 | Subject), data = data), type = 2)
  plain <- anova(lmm(distance ~ Sex * age + (1 | Subject), data = data), type = 2)
  expect_equal(as.matrix(odd), as.matrix(plain), ignore_attr = TRUE)
})

test_that("tests of terms depend on the coding of factors by the basis alone", {
  data <- orthodont()
  data$clinic <- factor(c("a", "b", "c")[1 + as.integer(data$Subject) %% 3])
  formula <- distance ~ clinic * age + (1 | Subject)
  fit <- lmm(formula, data = data)
  summed <- lmm(formula, data = data, contrasts = list(clinic = "contr.sum"))
  for (type in 1:3) {
    for (basis in c("first", "last")) {
      ours <- anova(fit, type = type, basis = basis)
      other <- anova(summed, type = type, basis = basis)
      expect_equal(other[["F value"]], ours[["F value"]], tolerance = tol$criterion)
      if (type == 3 || basis == "last") {
        expect_equal(other, ours, tolerance = tol$criterion)
      }
    }
  }
})

test_that("with other codings than R's default the degrees of freedom are lmerTest's too", {
  skip_if_not_installed("lmerTest")
  data <- orthodont()
  data$clinic <- factor(c("a", "b", "c", "a", "a")[1 + as.integer(data$Subject) %% 5])
  data$order <- factor(data$clinic, ordered = TRUE)
  data <- data[!(data$Sex == "Female" & data$clinic == "c"), ][-c(3, 10, 50), ]
  cases <- list(
    list(distance ~ clinic * Sex * age + (1 | Subject), list(clinic = "contr.sum")),
    list(distance ~ Sex * clinic + (1 | Subject), list(clinic = matrix(c(1, -1, 0, 1, 1, -2), 3))),
    list(distance ~ order + age + (age | Subject), NULL),
    list(distance ~ order + (1 | Subject), NULL)
  )
  for (case in cases) {
    fit <- suppressMessages(lmm(case[[1]], data, contrasts = case[[2]]))
    peer <- tight_lmer(case[[1]], data, contrasts = case[[2]])
    for (type in c("I", "II", "III")) {
      ours <- anova(fit, type = type)
      theirs <- suppressMessages(stats::anova(peer, type = type))
      expect_equal(ours[["F value"]], theirs[["F value"]], tolerance = tol$se)
      expect_equal(ours$DenDF, theirs$DenDF, tolerance = tol$se)
    }
  }
})

test_that("with columns left out, terms are tested in what is left", {
  data <- orthodont()
  data$twice <- 2 * data$age
  fit <- suppressMessages(lmm(distance ~ age + twice + Sex + (1 | Subject), data = data))
  table <- anova(fit)
  expect_identical(row.names(table), c("age", "Sex"))
  plain <- anova(lmm(distance ~ age + Sex + (1 | Subject), data = data))
  expect_equal(table[["F value"]], plain[["F value"]], tolerance = tol$criterion)
})

test_that("printing names type, basis and method", {
  fit <- lmm(distance ~ Sex * age + (1 | Subject), data = orthodont())
  level <- lmm(distance ~ Sex * age + (age | Subject), data = orthodont())
  expect_snapshot({
    anova(fit)
    anova(fit, level)
    anova(fit, stats::update(1 ~ 1, . ~ .))
  }, error = TRUE)
})

test_that("degrees of freedom asked for in the wrong place are pointed to the right one", {
  fit <- lmm(distance ~ age + (1 | Subject), data = nlme::Orthodont)
  for (ask in list(anova, summary)) {
    expect_error(ask(fit, ddf = "Kenward-Roger"), "in the fit", class = "samepage_error_argument")
  }
  expect_error(anova(fit, tipe = 3), "spelling", class = "samepage_error_argument")
})

test_that("joint tests do not depend on the units of the predictors", {
  set.seed(1)
  data <- data.frame(g = rep(1:30, 10), u = stats::runif(300, -1, 1) + 3)
  data$f <- factor(sample(c("p", "q"), 300, TRUE))
  data$y <- 2 * data$u - 0.3 * data$u^2 + 0.8 * (data$f == "q") + stats::rnorm(30)[data$g] +
    stats::rnorm(300)
  data$day <- 365 * data$u
  data$income <- 1e5 * data$u
  for (df in c("satterthwaite", "kenward-roger")) {
    for (degree in 2:5) {
      raw <- anova(lmm(y ~ poly(day, degree, raw = TRUE) + f + (1 | g), data, df = df))
      orthogonal <- anova(lmm(y ~ poly(day, degree) + f + (1 | g), data, df = df))
      expect_equal(raw$NumDF, c(degree, 1))
      expect_equal(raw[["F value"]], orthogonal[["F value"]], tolerance = tol$estimate)
      expect_equal(raw$DenDF, orthogonal$DenDF, tolerance = 0.01)
    }
    # By hand, in standard errors.
    fit <- lmm(y ~ income * f + (1 | g), data, df = df)
    contrasts <- diag(4)[2:4, ]
    error <- sqrt(diag(vcov(fit)))[2:4]
    z <- fixef(fit)[2:4] / error
    wald <- sum(z * solve(vcov(fit)[2:4, 2:4] / outer(error, error), z)) / 3
    test <- test_contrasts(fit, contrasts, joint = TRUE)
    expect_identical(test$num_df, 3L)
    same <- test_contrasts(
      lmm(y ~ u * f + (1 | g), data, df = df), contrasts,
      joint = TRUE
    )
    expect_equal(test$statistic, same$statistic, tolerance = tol$estimate)
    expect_equal(test$den_df, same$den_df, tolerance = 0.01)
    if (df == "satterthwaite") expect_equal(test$statistic, wald, tolerance = tol$estimate)
  }
})

test_that("hypotheses that contradict each other are refused, those that follow are not counted", {
  fit <- lmm(distance ~ age + Sex + (1 | Subject), data = nlme::Orthodont)
  alone <- test_contrasts(fit, c(age = 1), rhs = 0.5)
  twice <- test_contrasts(fit, cbind(age = c(1, 2)), rhs = c(0.5, 1), joint = TRUE)
  expect_identical(twice$num_df, 1L)
  expect_equal(twice$statistic, alone$statistic^2, tolerance = tol$algebra)
  refused <- function(contrasts, rhs, part) {
    expect_error(
      test_contrasts(fit, contrasts, rhs, joint = TRUE), part,
      class = "samepage_error_argument"
    )
  }
  refused(cbind(age = c(1, 1)), c(0, 5), "contradict")
  refused(cbind(age = c(1, 2)), c(0, 5), "contradict")
  refused(cbind(age = c(1, 0)), c(0.5, 3), "contradict")
  refused(c(age = 1, age = -1), 0, "once")
})

test_that("fits of which the larger is the worse are not tested", {
  data <- as.data.frame(nlme::Orthodont)
  set.seed(1)
  data$noise <- stats::rnorm(108)
  small <- lmm(distance ~ age + (1 | Subject), data, method = "ML")
  other <- lmm(distance ~ noise * Sex + (1 | Subject), data, method = "ML")
  table <- anova(small, other)
  expect_gt(table$deviance[2], table$deviance[1])
  expect_true(is.na(table$Chisq[2]) && is.na(table[["Pr(>Chisq)"]][2]))
})
