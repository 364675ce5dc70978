# lmm() against tight lme4 and lmerTest fits, side by side on the same data.

test_that("growth data sets of nlme agree with lmerTest", {
  skip_if_not_installed("lmerTest")
  cases <- list(
    list(distance ~ Sex * I(age - 11) + (I(age - 11) | Subject), nlme::Orthodont),
    list(distance ~ Sex * I(age - 11) + (1 | Subject), nlme::Orthodont),
    list(height ~ age + (age | Subject), nlme::Oxboys),
    list(height ~ age + (age || Subject), nlme::Oxboys),
    list(weight ~ Time * Diet + (Time | Rat), nlme::BodyWeight)
  )
  for (case in cases) {
    data <- as.data.frame(case[[2]])
    # Ordered ids are plain ids here.
    for (name in intersect(c("Subject", "Rat"), names(data))) {
      data[[name]] <- factor(as.character(data[[name]]))
    }
    expect_as_lmer(lmm(case[[1]], data = data), tight_lmer(case[[1]], data))
    ml <- lmm(case[[1]], data = data, method = "ML")
    peer <- tight_lmer(case[[1]], data, REML = FALSE, fitter = lme4::lmer)
    expect_as_lmer(ml, peer)
  }
})

test_that("sleepstudy agrees with lmerTest, with weights too", {
  skip_if_not_installed("lmerTest")
  data(sleepstudy, package = "lme4", envir = environment())
  sleepstudy$w <- 1 + seq_len(180) %% 4
  formula <- Reaction ~ Days + (Days | Subject)
  expect_as_lmer(lmm(formula, data = sleepstudy), tight_lmer(formula, sleepstudy))
  expect_as_lmer(
    lmm(formula, data = sleepstudy, weights = w),
    tight_lmer(formula, sleepstudy, weights = sleepstudy$w)
  )
})

test_that("couples' moods agree with lmerTest", {
  skip_if_not_installed("lmerTest")
  couples <- utils::read.csv(shared_path("data", "couples", "daily.csv"))
  couples$difference <- abs(couples$man_contentment - couples$woman_contentment)
  for (outcome in c("woman_anxiety", "man_vigor", "woman_sadness")) {
    formula <- stats::reformulate(c("day * difference", "(day | couple)"), outcome)
    environment(formula) <- globalenv()
    expect_as_lmer(lmm(formula, data = couples), tight_lmer(formula, couples))
  }
})

test_that("a variance of zero is found and named, without noise", {
  skip_if_not_installed("lmerTest")
  data(Dyestuff2, package = "lme4", envir = environment())
  for (reml in c(TRUE, FALSE)) {
    expect_silent(
      fit <- lmm(Yield ~ 1 + (1 | Batch), data = Dyestuff2, method = if (reml) "REML" else "ML")
    )
    peer <- tight_lmer(Yield ~ 1 + (1 | Batch), Dyestuff2, REML = reml, fitter = lme4::lmer)
    expect_as_lmer(fit, peer)
    expect_identical(fit_status(fit)$status, "boundary")
    table <- summary(fit)$varcomp
    expect_identical(table$estimate[1], 0)
    expect_true(all(is.na(table[1, c("std.error", "z", "p.value", "conf.low", "conf.high")])))
    # What is left is a sample of 30: its variance has 29 degrees of freedom.
    divisor <- if (reml) 29 else 30
    expect_equal(table$std.error[2], table$estimate[2] * sqrt(2 / divisor))
    if (reml) {
      expect_equal(summary(fit)$coefficients[[1, "df"]], 29, tolerance = tol$criterion)
    }
  }
})

test_that("on a correlation of one, estimates and Satterthwaite df are lmerTest's", {
  skip_if_not_installed("lmerTest")
  data <- perfect_correlation_data()
  formula <- y ~ session + (session | dyad)
  expect_silent(fit <- lmm(formula, data = data))
  expect_as_lmer(fit, tight_lmer(formula, data))
  expect_identical(fit_status(fit)$status, "boundary")
  expect_identical(fit_status(fit)$terms$rank, 1L)
  expect_equal(attr(VarCorr(fit)$dyad, "correlation")[1, 2], 1)
})

test_that("df on a boundary are the textbook's on the face", {
  skip_if_not_installed("numDeriv")
  data <- perfect_correlation_data()
  fit <- lmm(y ~ session + (session | dyad), data = data)
  X <- cbind(1, data$session)
  design <- list(X = X, y = data$y, Z = X, groups = list(data$dyad))
  blocks <- list(list(level = 1L, columns = 1:2))
  parameters <- component(fit, "parameters")
  face <- reference_face(design, blocks, parameters)
  at <- reference_evaluate(design, blocks, parameters)
  truth <- apply(diag(2), 1, reference_satterthwaite, at = at, vcov_parameters = face)
  expect_equal(unname(summary(fit)$coefficients[, "df"]), truth, tolerance = tol$se)
})
