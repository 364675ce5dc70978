test_that("VarCorr and its data frame have lme4's shape and values", {
  skip_if_not_installed("lme4")
  data(sleepstudy, package = "lme4", envir = environment())
  for (formula in c(
    Reaction ~ Days + (Days | Subject), Reaction ~ Days + (Days || Subject),
    Reaction ~ 1 + (1 | Subject)
  )) {
    ours <- VarCorr(lmm(formula, data = sleepstudy))
    theirs <- lme4::VarCorr(tight_lmer(formula, sleepstudy, fitter = lme4::lmer))
    expect_identical(names(ours), names(theirs))
    expect_equal(attr(ours, "sc"), attr(theirs, "sc"), tolerance = tol$estimate)
    for (group in names(theirs)) {
      expect_equal(
        attributes(ours[[group]])[c("dimnames", "stddev", "correlation")],
        attributes(theirs[[group]])[c("dimnames", "stddev", "correlation")],
        tolerance = tol$se
      )
    }
    for (order in c("cov.last", "lower.tri")) {
      expect_equal(
        as.data.frame(ours, order = order), as.data.frame(theirs, order = order),
        tolerance = tol$se
      )
    }
  }
  expect_equal(
    attr(VarCorr(lmm(Reaction ~ 1 + (1 | Subject), data = sleepstudy), sigma = 2), "sc"),
    2 * attr(ours, "sc"), tolerance = tol$estimate
  )
})

test_that("the summary's parts have the names and shapes that are documented", {
  fit <- lmm(distance ~ Sex * age + (age | Subject), data = nlme::Orthodont)
  parts <- summary(fit)
  expect_identical(
    colnames(parts$coefficients), c("Estimate", "Std. Error", "df", "t value", "Pr(>|t|)")
  )
  expect_identical(rownames(parts$coefficients), names(fixef(fit)))
  expect_identical(
    names(parts$varcomp),
    c(
      "grp", "var1", "var2", "estimate", "std.error", "z", "p.value", "conf.low", "conf.high"
    )
  )
  expect_identical(parts$n_units, c(Subject = 27L))
  table <- parts$coefficients
  expect_equal(
    table[, "Pr(>|t|)"], 2 * stats::pt(abs(table[, "t value"]), table[, "df"], lower.tail = FALSE)
  )
  expect_equal(vcov(fit), t(vcov(fit)))
  expect_equal(sqrt(diag(vcov(fit))), table[, "Std. Error"])
})

test_that("printing says what a reader of SPSS looks for", {
  skip_if_not_installed("lme4")
  data(list = c("sleepstudy", "Dyestuff2"), package = "lme4", envir = environment())
  sleepstudy$Reaction[3:5] <- NA
  sleepstudy$Hours <- 24 * sleepstudy$Days
  fit <- suppressMessages(
    lmm(Reaction ~ Days + Hours + (Days | Subject), data = sleepstudy)
  )
  ml <- lmm(Yield ~ 1 + (1 | Batch), data = Dyestuff2, method = "ML", df = "residual")
  expect_snapshot({
    fit
    summary(fit)
    ml
    summary(ml, level = 0.9)
  })
})

test_that("numbers are printed to their standard error's digits, huge ones short", {
  expect_identical(
    format_numbers(cbind(c(1.23456, 1.5e-3, NA, 4.055e30), c(0.0123, 1e-5, 1, 1)), 4L)[, 1L],
    c("1.2346", "0.0015000", "", "4.1e+30")
  )
})

test_that("a model without fixed effects has a summary", {
  set.seed(1)
  data <- data.frame(dyad = rep(1:10, each = 4), y = stats::rnorm(40) + rep(stats::rnorm(10), each = 4))
  for (df in c("satterthwaite", "kenward-roger", "residual")) {
    expect_identical(nrow(coef(summary(lmm(y ~ 0 + (1 | dyad), data, df = df)))), 0L)
  }
})
