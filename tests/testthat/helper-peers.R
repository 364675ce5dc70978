# Peers run side by side: lme4 and lmerTest, made to go on to the optimum (their
# defaults stop too early to serve as a reference).

tight_control <- function(...) {
  lme4::lmerControl(
    optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e6),
    check.conv.singular = "ignore", check.conv.grad = "ignore", check.conv.hess = "ignore", ...
  )
}

# Formula and data stand in the call by value, so that lmerTest can evaluate it
# again from anywhere.
tight_lmer <- function(formula, data, ..., fitter = lmerTest::lmer) {
  suppressMessages(suppressWarnings(
    do.call(fitter, list(formula, data = data, control = tight_control(), ...))
  ))
}

# A fit of lmm() against lmerTest's of the same model: criterion not above,
# estimates, standard errors and Satterthwaite df.
expect_as_lmer <- function(fit, peer, df_tolerance = tol$varcomp) {
  criterion <- as.numeric(-2 * stats::logLik(peer))
  expect_lt(objective(fit) - criterion, 1e-6)
  ours <- summary(fit)$coefficients
  theirs <- suppressMessages(stats::coef(summary(peer)))[rownames(ours), , drop = FALSE]
  size <- pmax(abs(theirs[, "Estimate"]), theirs[, "Std. Error"])
  expect_lt(max(abs(ours[, "Estimate"] - theirs[, "Estimate"]) / size), tol$estimate)
  expect_lt(max(abs(ours[, "Std. Error"] - theirs[, "Std. Error"]) / size), tol$se)
  if ("df" %in% colnames(theirs)) {
    expect_lt(max(abs(ours[, "df"] / theirs[, "df"] - 1)), df_tolerance)
  }
}
