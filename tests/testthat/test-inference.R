# Degrees of freedom and covariance parameters: SAS and JMP (shared folder),
# lmerTest (live), the dense reference.

test_that("estimates, errors, df and covariances of SAS are met, by Satterthwaite and KR", {
  skip_if_not_installed("lme4")
  apart <- do.call(rbind, sas_differences())
  expect_identical(nrow(apart), 6L)
  # SAS stops before the optimum, by most in the two quadratic models with zero
  # covariances (there by 1e-9 and 1e-7 of the criterion, shown below).
  early <- rownames(apart) %in% c("sleep_study_quadratic", "sleep_study_some_corr_quadratic")
  expect_lt(max(apart[, "estimate"]), 1e-6)
  expect_lt(max(apart[!early, c("se", "kr.se")]), 1e-6)
  expect_lt(max(apart[!early, c("df", "kr.df", "asycov")]), 1e-5)
  expect_lt(max(apart[early, c("se", "kr.se")]), tol$se)
  expect_lt(max(apart[early, c("df", "kr.df", "asycov")]), tol$varcomp)
})

test_that("where SAS stopped early, its numbers are ours at a point just above the optimum", {
  skip_if_not_installed("lme4")
  skip_if_not_installed("numDeriv")
  for (name in c("sleep_study_quadratic", "sleep_study_some_corr_quadratic")) {
    case <- sas_cases()[[name]]
    fit <- lmm(case$formula, data = case$data)
    sw <- sas_result(paste0(name, "_sas_sw"))
    # The point whose standard errors and df are closest to SAS's, in standard errors from
    # the estimates.
    error <- summary(fit)$varcomp$std.error
    estimate <- summary(fit)$varcomp$estimate
    apart <- function(shift) {
      at <- evaluate_reduced(
        component(fit, "reduced"), component(fit, "blocks"), estimate + shift * error, TRUE
      )
      df <- apply(diag(3), 1, reference_satterthwaite,
        at = at, vcov_parameters = solve(at$observed)
      )
      c(sqrt(diag(at$vcov)) / sw$StdErr - 1, df / sw$DF - 1)
    }
    shift <- numeric(length(error))
    for (i in 1:5) {
      slope <- qr(numDeriv::jacobian(apart, shift), LAPACK = TRUE)
      shift <- shift - qr.coef(slope, apart(shift))
    }
    expect_lt(max(abs(apart(shift))), 1e-6)
    expect_lt(max(abs(shift)), 2e-3)
    expect_lt(objective(fit, estimate + shift * error) - objective(fit), 1e-6)
    expect_gt(objective(fit, estimate + shift * error) - objective(fit), 0)
  }
})

test_that("JMP's and lmerTest's published tables are met", {
  skip_if_not_installed("lme4")
  cases <- sas_cases()
  for (name in c("sleep_study", "pastry_dough")) {
    table <- function(information) {
      fit <- lmm(cases[[name]]$formula, cases[[name]]$data,
        df = "kenward-roger", information = information
      )
      summary(fit)$coefficients
    }
    jmp <- sas_result(paste0(name, "_jmp"))
    order <- if (name == "pastry_dough") c(1:4, 8:10, 5:7) else 1:2
    ours <- table("observed")[order, ]
    expect_equal(ours[, "Std. Error"], jmp[["Std.Error"]], tolerance = 1e-6, ignore_attr = TRUE)
    expect_equal(ours[, "df"], jmp$DFDen, tolerance = 1e-5, ignore_attr = TRUE)
    theirs <- sas_result(paste0(name, "_lmertest"))
    ours <- table("expected")
    # The published lmerTest fit of the pastry stopped early.
    expect_equal(ours[, "Std. Error"], theirs[[3]], tolerance = tol$se, ignore_attr = TRUE)
    expect_equal(ours[, "df"], theirs[[4]], tolerance = tol$varcomp, ignore_attr = TRUE)
  }
})

test_that("with Cholesky's factor as parameters, SAS's numbers follow from ours", {
  skip_if_not_installed("lme4")
  data(sleepstudy, package = "lme4", envir = environment())
  fit <- lmm(
    Reaction ~ Days + (Days | Subject), sleepstudy, df = "kenward-roger", information = "observed"
  )
  G <- component(fit, "covariances")[[1]]
  L <- t(chol(G))
  # d(G11, G21, G22, s) / d(L11, L21, L22, s).
  slope <- rbind(
    c(2 * L[1, 1], 0, 0, 0), c(L[2, 1], L[1, 1], 0, 0), c(0, 2 * L[2, 1], 2 * L[2, 2], 0),
    c(0, 0, 0, 1)
  )
  W <- solve(slope, t(solve(slope, component(fit, "vcov_parameters"))))
  asycov <- sas_result("sleep_study_fa0_sas_asycov")
  asycov <- as.matrix(asycov[grep("^CovP[0-9]", names(asycov))])
  scale <- sqrt(outer(diag(asycov), diag(asycov)))
  expect_lt(max(abs(W - asycov) / scale), 1e-6)
  # Kenward and Roger's adjustment has a further term where V is not linear in the
  # parameters: -1/4 of W times the second derivatives, here d2 G11 = 2 in L11, and so on.
  second <- c(2 * W[1, 1], 2 * W[1, 2], 2 * W[2, 2] + 2 * W[3, 3])
  dvcov <- component(fit, "dvcov")
  curved <- vcov(fit) - Reduce(`+`, lapply(1:3, function(r) second[r] * dvcov[, , r])) / 2
  kr <- sas_result("sleep_study_fa0_sas_kr")
  expect_equal(sqrt(diag(curved)), kr$StdErr, tolerance = 1e-6, ignore_attr = TRUE)
  # Degrees of freedom do not depend on it.
  expect_equal(summary(fit)$coefficients[, "df"], kr$DF, tolerance = 1e-6, ignore_attr = TRUE)
  sw <- sas_result("sleep_study_fa0_sas_sw")
  expect_equal(sqrt(diag(vcov(fit, adjusted = FALSE))), sw$StdErr,
    tolerance = 1e-6, ignore_attr = TRUE
  )
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

test_that("vcov() has a place for columns left out when asked, as lm()'s", {
  data <- as.data.frame(nlme::Orthodont)
  data$months <- 12 * data$age
  fit <- suppressMessages(lmm(distance ~ age + months + Sex + (1 | Subject), data))
  names <- names(coef(lm(distance ~ age + months + Sex, data)))
  full <- vcov(fit, complete = TRUE)
  expect_identical(dimnames(full), list(names, names))
  expect_true(all(is.na(full["months", ])))
  expect_identical(full[-3L, -3L], vcov(fit))
  expect_identical(vcov(fit, complete = FALSE), vcov(fit))
})

test_that("a rank that rounding has eaten up leaves the boundary's parameters known", {
  block <- list(columns = 1:3, names = c("a", "b", "c"))
  covariance <- matrix(1, 3L, 3L) - diag(1e-15, 3L)
  parameters <- c(covariance[lower.tri(covariance, diag = TRUE)], 1)
  fixed <- fixed_by_boundary(list(block), parameters, 2L)
  expect_length(fixed, 7L)
  expect_false(anyNA(fixed))
  expect_false(fixed[1L] || fixed[7L])
})

test_that("random effects that are fixed effects as well leave the rest its tests", {
  skip_if_not_installed("lme4")
  data(cake, package = "lme4", envir = environment())
  for (df in c("satterthwaite", "kenward-roger")) {
    fit <- lmm(angle ~ recipe * temp + (1 | recipe / replicate), cake, df = df)
    apart <- lmm(angle ~ recipe * temp + (1 | recipe:replicate), cake, df = df)
    expect_equal(objective(fit), objective(apart), tolerance = tol$criterion)
    expect_match(fit_status(fit)$reason, "do not determine all")
    varcomp <- summary(fit)$varcomp
    expect_identical(is.na(varcomp$std.error), varcomp$grp == "recipe")
    # The standard error of a recipe rests on a variance of which the data say nothing.
    ours <- summary(fit)$coefficients
    recipes <- c("(Intercept)", "recipeB", "recipeC")
    expect_true(all(is.na(ours[recipes, c("df", "Pr(>|t|)")])))
    slopes <- setdiff(rownames(ours), recipes)
    expect_equal(ours[slopes, ], summary(apart)$coefficients[slopes, ], tolerance = tol$estimate)
    tests <- anova(fit)
    expect_true(is.na(tests["recipe", "DenDF"]))
    expect_equal(tests[-1, ], anova(apart)[-1, ], tolerance = tol$estimate)
  }
})

test_that("one effect of a block may be a fixed effect as well", {
  # The level "mid" has one row: its fixed effect takes all that its variance could be told from.
  data <- data.frame(
    unit = c(2, 2, 2, 3, 3, rep(5, 9)), arm = c("hi", rep("lo", 4), "hi", rep("lo", 7), "mid")
  )
  set.seed(2)
  data$y <- stats::rnorm(14) + c(0, 0, 3, 1, 1)[data$unit]
  fit <- lmm(y ~ 0 + arm + (0 + arm | unit), data)
  expect_match(fit_status(fit)$reason, "do not determine all")
  table <- summary(fit)$coefficients
  expect_true(all(is.na(table["armmid", c("df", "Pr(>|t|)")])))
  expect_true(all(is.finite(table[c("armhi", "armlo"), ])))
})

test_that("Kenward-Roger works where a parameter has no information at all", {
  # Each unit has one arm: the covariance of the arms' effects is in no unit's V.
  set.seed(1)
  data <- expand.grid(arm = factor(1:3), row = 1:24)
  data$unit <- rep(1:12, 6)
  data$x <- rnorm(72)
  data$y <- rnorm(72) + rnorm(12)[data$unit]
  fit <- lmm(y ~ x + (arm | unit), data, df = "kenward-roger")
  expect_true(all(is.finite(summary(fit)$coefficients)))
  same <- lmm(y ~ x + (0 + arm || unit), data, df = "kenward-roger")
  expect_equal(
    summary(fit)$coefficients, summary(same)$coefficients, tolerance = tol$se
  )
})
