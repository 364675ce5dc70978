# car and multcomp take fits: Wald tests of the fixed effects, as textbook formulas have them.

growth <- function(...) {
  lmm(distance ~ age * Sex + (age | Subject), data = as.data.frame(nlme::Orthodont), ...)
}

test_that("coefficients are the fixed effects, and nothing else changes", {
  fit <- growth()
  expect_identical(coef(fixed_only(fit)), fixef(fit))
  expect_identical(vcov(fixed_only(fit)), vcov(fit))
  expect_named(coef(fit), "Subject")
})

test_that("car's Wald tests are those of the fit", {
  skip_if_not_installed("car")
  car <- function(name, ...) getExportedValue("car", name)(...)
  fit <- growth(df = "kenward-roger")
  chisq <- fixef(fit)^2 / diag(vcov(fit))
  expect_equal(car("Anova", fit, type = 3)$Chisq, chisq, ignore_attr = TRUE)
  expect_equal(car("Anova", fit)["age:Sex", "Chisq"], chisq[["age:SexFemale"]])
  expect_equal(car("linearHypothesis", fit, "age = 0")$Chisq[2], chisq[["age"]])
  ratio <- car("deltaMethod", fit, "age / SexFemale")
  expect_equal(ratio$Estimate, fixef(fit)[["age"]] / fixef(fit)[["SexFemale"]])
  expect_error(
    car("Anova", fit, test.statistic = "F"), "anova(fit)",
    class = "samepage_error_argument", fixed = TRUE
  )
  expect_error(
    car("linearHypothesis", fit, "age = 0", test = "F"),
    class = "samepage_error_argument"
  )
})

test_that("multcomp compares levels and tests contrasts", {
  skip_if_not_installed("multcomp")
  fit <- lmm(score ~ Machine + (1 | Worker / Machine), as.data.frame(nlme::Machines))
  glht <- getExportedValue("multcomp", "glht")
  tukey <- glht(fit, linfct = getExportedValue("multcomp", "mcp")(Machine = "Tukey"))
  expect_equal(
    unname(coef(tukey)), unname(c(fixef(fit)[2:3], diff(fixef(fit)[2:3])))
  )
  expect_equal(unname(diag(vcov(tukey))[1:2]), unname(diag(vcov(fit))[2:3]))
})
