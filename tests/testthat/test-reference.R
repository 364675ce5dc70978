# The reference itself is checked: by numerical differentiation, by lme4 and
# pbkrtest, and by published numbers.

block <- function(columns, level = 1L) list(level = level, columns = columns)

test_that("derivatives of the reference are those of its criterion", {
  skip_if_not_installed("numDeriv")
  design <- reference_design(c(4, 6, 1, 3, 5), q = 2, weights = TRUE, therapists = 2)
  blocks <- list(block(1:2), block(1L, level = 2L))
  parameters <- reference_some_parameters(blocks)
  for (reml in c(TRUE, FALSE)) {
    at <- reference_evaluate(design, blocks, parameters, reml)
    criterion <- function(x) reference_criterion(design, blocks, x, reml)$criterion
    expect_equal(at$gradient, numDeriv::grad(criterion, parameters), tolerance = 1e-8)
    expect_equal(2 * at$observed, numDeriv::hessian(criterion, parameters), tolerance = 1e-6)
  }
  vcov <- function(x) as.vector(reference_criterion(design, blocks, x)$vcov)
  expect_equal(
    matrix(at$dvcov, ncol = length(parameters)),
    numDeriv::jacobian(vcov, parameters),
    tolerance = 1e-8
  )
})

test_that("where nothing is on a boundary the face is the whole space", {
  skip_if_not_installed("numDeriv")
  skip_if_not_installed("lme4")
  data <- as.data.frame(nlme::Oxboys)
  fit <- lme4::lmer(
    height ~ age + (age | Subject), data,
    control = lme4::lmerControl(
      optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e6)
    )
  )
  X <- cbind(1, data$age)
  design <- list(X = X, y = data$height, Z = X, groups = list(as.integer(data$Subject)))
  blocks <- list(block(1:2))
  parameters <- reference_parameters(lme4::VarCorr(fit), lme4::getME(fit, "sigma")^2)
  at <- reference_evaluate(design, blocks, parameters)
  expect_equal(reference_face(design, blocks, parameters), solve(at$observed), tolerance = 1e-3)
})

test_that("the reference agrees with lme4 at fixed parameters", {
  skip_if_not_installed("lme4")
  data(sleepstudy, package = "lme4", envir = environment())
  design <- sleepstudy_design(sleepstudy)
  weights <- 1 + seq_len(nrow(sleepstudy)) %% 3
  for (weighted in c(FALSE, TRUE)) {
    design$weights <- if (weighted) weights
    sleepstudy$w <- if (weighted) weights else 1
    fit <- lme4::lmer(Reaction ~ Days + (Days | Subject), sleepstudy, weights = w)
    parameters <- reference_parameters(lme4::VarCorr(fit), lme4::getME(fit, "sigma")^2)
    at <- reference_evaluate(design, list(block(1:2)), parameters)
    expect_equal(at$criterion, lme4::REMLcrit(fit), tolerance = 1e-10)
    expect_equal(at$beta, lme4::fixef(fit), tolerance = 1e-9)
    expect_equal(at$vcov, as.matrix(vcov(fit)), tolerance = 1e-8, ignore_attr = TRUE)
    re <- lme4::ranef(fit, condVar = TRUE)$Subject
    ours <- reference_ranef(design, list(block(1:2)), parameters)[[1]]
    expect_equal(t(ours$mean), as.matrix(re), tolerance = 1e-8, ignore_attr = TRUE)
    expect_equal(ours$variance, attr(re, "postVar"), tolerance = 1e-7, ignore_attr = TRUE)
  }
  fit <- lme4::lmer(Reaction ~ Days + (Days | Subject), sleepstudy, REML = FALSE)
  design$weights <- NULL
  parameters <- reference_parameters(lme4::VarCorr(fit), lme4::getME(fit, "sigma")^2)
  at <- reference_evaluate(design, list(block(1:2)), parameters, reml = FALSE)
  expect_equal(at$criterion, as.numeric(-2 * logLik(fit)), tolerance = 1e-10)
})

test_that("the reference's Kenward-Roger is pbkrtest's and the published joint test", {
  skip_if_not_installed("lme4")
  skip_if_not_installed("pbkrtest")
  data(sleepstudy, package = "lme4", envir = environment())
  design <- sleepstudy_design(sleepstudy)
  fit <- lme4::lmer(Reaction ~ Days + (Days | Subject), sleepstudy)
  parameters <- reference_parameters(lme4::VarCorr(fit), lme4::getME(fit, "sigma")^2)
  ours <- reference_kenward_roger(design, list(block(1:2)), parameters, diag(2))
  expect_equal(
    ours$vcov, as.matrix(pbkrtest::vcovAdj(fit)),
    tolerance = 1e-8, ignore_attr = TRUE
  )
  # sleepstudy, intercept and slope both 0: F 705.8357212845301, ddf 16, scaling .9411764705882363
  expect_equal(ours$statistic, 705.8357212845301, tolerance = 1e-4)
  expect_equal(ours$df, c(2, 16), tolerance = 1e-5)
  expect_equal(ours$scaling, 0.9411764705882363, tolerance = 1e-5)
})
