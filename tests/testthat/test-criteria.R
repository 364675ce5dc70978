# Likelihood, criteria and status: SPSS (shared folder), published values, lme4.

# Equal to all the digits that were printed; SPSS stops 1e-10 above the lowest
# criterion, which is a fiftieth of its last digit.
expect_digits <- function(ours, printed, digits) {
  expect_lte(max(abs(as.vector(ours) - as.vector(printed))), 0.52 * 10^-digits)
}

test_that("criteria, variances, their errors and the treatment effect are SPSS's, to the digit", {
  for (name in c("rds1", "rds3", "rds12")) {
    truth <- spss_expected(name)
    fit <- lmm(log_pk ~ period + sequence + treatment + (1 | subject), data = spss_data(name))
    expect_digits(
      information_criteria(fit), truth[c("m2rll", "aic", "aicc", "caic", "bic")], 8
    )
    varcomp <- summary(fit)$varcomp
    expect_digits(varcomp$estimate, truth[c("subject_variance", "residual_variance")], 6)
    expect_digits(varcomp$std.error, truth[c("subject_variance_se", "residual_variance_se")], 6)
    if ("treatment_df" %in% names(truth)) {
      treatment <- summary(fit)$coefficients["treatmentT", c("Estimate", "Std. Error", "df")]
      # SPSS stops early by 1e-8 of the df.
      expect_equal(treatment[["df"]], truth[["treatment_df"]], tolerance = 1e-7)
      expect_digits(
        treatment[c("Estimate", "Std. Error")], truth[c("treatment_estimate", "treatment_se")], 8
      )
    }
  }
})

test_that("type III tests are SPSS's in SPSS's basis", {
  for (name in c("rds1", "rds3", "rds12")) {
    truth <- spss_expected(name)
    fit <- lmm(log_pk ~ period + sequence + treatment + (1 | subject), data = spss_data(name))
    table <- anova(fit, type = 3, basis = "last")
    terms <- c("period", "sequence", "treatment")
    expect_digits(table[terms, "F value"], truth[paste0("type3_F_", terms)], 3)
    expect_digits(table[terms, "DenDF"], truth[paste0("type3_ddf_", terms)], 3)
  }
  # The last data set is the one where the basis shows: 219.9222 and 219.9329.
  expect_equal(anova(fit, basis = "last")["period", "DenDF"], 219.9222, tolerance = 1e-6)
  expect_equal(anova(fit, basis = "first")["period", "DenDF"], 219.9329, tolerance = 1e-6)
})

test_that("a large sample's criteria are SPSS's", {
  fit <- lmm(MathAch ~ 1 + (1 | School), data = nlme::MathAchieve)
  # SPSS MIXED on MathAchieve: -2RLL, AIC, AICC, CAIC, BIC and the intercept.
  expect_digits(
    information_criteria(fit), c(47116.793, 47120.793, 47120.795, 47136.553, 47134.553), 3
  )
  intercept <- summary(fit)$coefficients[1, ]
  expect_digits(intercept["Estimate"], 12.636974, 6)
  expect_digits(intercept["Std. Error"], 0.244394, 6)
  expect_digits(intercept["df"], 156.647, 3)
})

test_that("published criteria are reached", {
  skip_if_not_installed("lme4")
  data(list = c("sleepstudy", "Dyestuff", "Dyestuff2"), package = "lme4", envir = environment())
  criterion <- function(...) objective(lmm(...))
  expect_equal(
    criterion(Reaction ~ Days + (Days | Subject), data = sleepstudy), 1743.628272,
    tolerance = 1e-9
  )
  expect_equal(
    criterion(Reaction ~ Days + (Days | Subject), data = sleepstudy, method = "ML"),
    1751.9393444636682, tolerance = tol$algebra
  )
  expect_equal(
    criterion(Yield ~ 1 + (1 | Batch), data = Dyestuff, method = "ML"), 327.32705988112673,
    tolerance = tol$algebra
  )
  expect_equal(
    criterion(Yield ~ 1 + (1 | Batch), data = Dyestuff), 319.6542768422576,
    tolerance = tol$algebra
  )
  expect_equal(
    criterion(Yield ~ 1 + (1 | Batch), data = Dyestuff2, method = "ML"), 162.87303665382575,
    tolerance = tol$algebra
  )
  growth <- distance ~ Sex * I(age - 11) + (I(age - 11) | Subject)
  expect_digits(criterion(growth, data = nlme::Orthodont, method = "ML"), 427.805951, 6)
})

test_that("R's and SAS's definitions count what they say", {
  fit <- lmm(distance ~ age + (age | Subject), data = nlme::Orthodont)
  m2ll <- objective(fit)
  # 2 coefficients and 4 covariance parameters, 108 rows, 27 subjects.
  r <- information_criteria(fit, "r")
  expect_equal(unname(r["aic"]), m2ll + 12)
  expect_equal(unname(r["bic"]), m2ll + 6 * log(108))
  expect_equal(unname(r["aicc"]), m2ll + 12 * 108 / (108 - 7))
  sas <- information_criteria(fit, "sas")
  expect_equal(unname(sas["aic"]), m2ll + 8)
  expect_equal(unname(sas["bic"]), m2ll + 4 * log(27))
  expect_equal(unname(sas["caic"]), m2ll + 4 * (log(27) + 1))
  expect_equal(unname(sas["aicc"]), m2ll + 8 * 106 / (106 - 5))
  ml <- lmm(distance ~ age + (age | Subject), data = nlme::Orthodont, method = "ML")
  expect_equal(
    information_criteria(ml, "spss")[c("aic", "bic")],
    information_criteria(ml, "r")[c("aic", "bic")]
  )
  expect_error(information_criteria(fit, "stata"), class = "samepage_error_argument")
})

test_that("logLik, AIC, BIC and deviance are lme4's", {
  skip_if_not_installed("lmerTest")
  data <- as.data.frame(nlme::Orthodont)
  for (method in c("REML", "ML")) {
    fit <- lmm(distance ~ age + (age | Subject), data = data, method = method)
    peer <- tight_lmer(distance ~ age + (age | Subject), data, REML = method == "REML")
    expect_equal(as.numeric(logLik(fit)), as.numeric(logLik(peer)), tolerance = tol$criterion)
    expect_equal(attr(logLik(fit), "df"), attr(logLik(peer), "df"))
    expect_equal(AIC(fit), AIC(peer), tolerance = tol$criterion)
    expect_equal(BIC(fit), BIC(peer), tolerance = tol$criterion)
    expect_equal(deviance(fit), objective(fit))
  }
})

test_that("the criterion at given parameters is the dense reference's", {
  skip_if_not_installed("lme4")
  data(sleepstudy, package = "lme4", envir = environment())
  design <- sleepstudy_design(sleepstudy)
  blocks <- list(list(level = 1L, columns = 1:2))
  at <- c(500, -20, 30, 600)
  for (method in c("REML", "ML")) {
    fit <- lmm(Reaction ~ Days + (Days | Subject), data = sleepstudy, method = method)
    expect_equal(
      objective(fit, at), reference_criterion(design, blocks, at, method == "REML")$criterion,
      tolerance = tol$algebra
    )
    expect_equal(objective(fit), objective(fit, summary(fit)$varcomp$estimate))
    expect_gt(objective(fit, at), objective(fit))
  }
  expect_error(objective(fit, 1:3), "4 finite numbers", class = "samepage_error_argument")
  expect_error(objective(fit, c(1, 0, 1, 0)), "positive", class = "samepage_error_argument")
  expect_error(
    objective(fit, c(1, 2, 1, 1)), "negative eigenvalue",
    class = "samepage_error_argument"
  )
})

test_that("the status says which term lost which rank", {
  skip_if_not_installed("lme4")
  data(list = c("sleepstudy", "Dyestuff2"), package = "lme4", envir = environment())
  good <- fit_status(lmm(Reaction ~ Days + (Days | Subject), data = sleepstudy))
  expect_identical(good$status, "ok")
  expect_identical(good$terms$rank, 2L)
  expect_lt(good$gradient, 1e-4)
  zero <- fit_status(lmm(Yield ~ 1 + (1 | Batch), data = Dyestuff2))
  expect_identical(zero$status, "boundary")
  expect_identical(zero$terms$rank, 0L)
  expect_snapshot({
    good
    zero
  })
  one <- fit_status(lmm(y ~ session + (session | dyad), data = perfect_correlation_data()))
  expect_identical(one$status, "boundary")
  expect_match(
    format(one), "the correlation of (Intercept) and session by dyad is 1.",
    fixed = TRUE
  )
})

test_that("on a boundary the gradient is that along it, which the optimiser takes to zero", {
  fit <- lmm(y ~ session + (session | dyad), data = perfect_correlation_data())
  expect_identical(fit_status(fit)$status, "boundary")
  expect_lt(fit_status(fit)$gradient, 1e-3)
})

test_that("terms are dropped as lme4 drops them, by maximum likelihood", {
  skip_if_not_installed("lme4")
  data <- as.data.frame(nlme::Orthodont)
  formula <- distance ~ age + Sex + (1 | Subject)
  ours <- drop1(lmm(formula, data), test = "Chisq")
  theirs <- drop1(lme4::lmer(formula, data), test = "Chisq")
  expect_identical(row.names(ours), row.names(theirs))
  expect_equal(ours$AIC, theirs$AIC, tolerance = tol$criterion)
  expect_equal(ours[["Pr(>Chi)"]], theirs[["Pr(Chi)"]], tolerance = tol$estimate)
})
