test_that("tidy has broom.mixed's columns and terms", {
  fit <- lmm(distance ~ age + (age | Subject), data = nlme::Orthodont)
  both <- tidy(fit)
  expect_identical(
    names(both),
    c("effect", "group", "term", "estimate", "std.error", "df", "statistic", "p.value")
  )
  expect_identical(both$effect, rep(c("fixed", "ran_pars"), c(2, 4)))
  expect_identical(
    both$term,
    c("(Intercept)", "age", "sd__(Intercept)", "cor__(Intercept).age", "sd__age", "sd__Observation")
  )
  expect_identical(both$group, c(NA, NA, rep("Subject", 3), "Residual"))
  spread <- as.data.frame(VarCorr(fit), order = "lower.tri")
  expect_equal(both$estimate[3:6], spread$sdcor)
  variances <- tidy(fit, "ran_pars", scales = "vcov", conf.int = TRUE, conf.level = 0.9)
  expect_identical(
    variances$term, c("var__(Intercept)", "cov__(Intercept).age", "var__age", "var__Observation")
  )
  table <- summary(fit, level = 0.9)$varcomp
  for (column in c("estimate", "std.error", "p.value", "conf.low", "conf.high")) {
    expect_equal(variances[[column]], table[[column]])
  }
  expect_error(tidy(fit, "random"), "ran_pars", class = "samepage_error_argument")
  expect_error(tidy(fit, conf_int = TRUE), "conf_int", class = "samepage_error_argument")
})

test_that("fixed rows are the summary's and confint's", {
  fit <- lmm(distance ~ age * Sex + (1 | Subject), data = nlme::Orthodont)
  rows <- tidy(fit, "fixed", conf.int = TRUE)
  table <- summary(fit)$coefficients
  expect_equal(rows$estimate, unname(table[, 1]))
  expect_equal(rows$p.value, unname(table[, 5]))
  expect_equal(
    as.matrix(rows[c("conf.low", "conf.high")]), confint(fit, "beta_"),
    ignore_attr = TRUE
  )
})

test_that("unit rows are ranef with its conditional errors", {
  fit <- lmm(distance ~ age + (age | Subject), data = nlme::Orthodont)
  rows <- tidy(fit, "ran_vals", conf.int = TRUE)
  effects <- as.data.frame(ranef(fit))
  expect_equal(rows$estimate, effects$condval)
  expect_equal(rows$std.error, effects$condsd)
  expect_identical(rows$level, as.character(effects$grp))
  expect_equal(rows$conf.high - rows$estimate, stats::qnorm(0.975) * rows$std.error)
})

test_that("glance is one row with R's criteria", {
  fit <- lmm(distance ~ age + (age | Subject), data = nlme::Orthodont)
  row <- glance(fit)
  expect_identical(nrow(row), 1L)
  expect_equal(row$AIC, AIC(fit))
  expect_equal(row$BIC, BIC(fit))
  expect_equal(row$REMLcrit, objective(fit))
  expect_identical(row$status, "ok")
  expect_equal(row$df.residual, 108 - 6)
  ml <- glance(lmm(distance ~ age + (age | Subject), data = nlme::Orthodont, method = "ML"))
  expect_true(is.na(ml$REMLcrit))
})

test_that("augment adds to the rows used, whatever na.action pads", {
  data <- as.data.frame(nlme::Orthodont)
  data$distance[c(2, 50)] <- NA
  for (action in list(stats::na.omit, stats::na.exclude)) {
    fit <- suppressMessages(
      lmm(distance ~ age + (age | Subject), data = data, na.action = action)
    )
    rows <- augment(fit)
    expect_identical(nrow(rows), 106L)
    expect_equal(rows$.fitted + rows$.resid, rows$distance)
    expect_equal(rows$.fixed, drop(cbind(1, rows$age) %*% fixef(fit)))
  }
  wide <- augment(fit, data = data[-c(2, 50), ])
  expect_true("Sex" %in% names(wide))
  expect_error(augment(fit, data = data), "106", class = "samepage_error_argument")
})

test_that("rows keep their names under subset", {
  data <- as.data.frame(nlme::Orthodont)
  rownames(data) <- NULL
  data$distance[c(80, 90)] <- NA
  for (action in list(stats::na.omit, stats::na.exclude)) {
    fit <- suppressMessages(lmm(
      distance ~ age + (age | Subject), data,
      subset = Sex == "Female", na.action = action
    ))
    girls <- which(data$Sex == "Female")
    used <- setdiff(girls, c(80, 90))
    padded <- if (identical(action, stats::na.exclude)) girls else used
    expect_identical(names(fitted(fit)), as.character(padded))
    expect_identical(names(residuals(fit)), as.character(padded))
    expect_identical(names(na.action(fit)), c("80", "90"))
    rows <- augment(fit)
    expect_identical(row.names(rows), as.character(used))
    expect_equal(rows$.fitted + rows$.resid, data$distance[used])
  }
})

test_that("an offset is in the fixed prediction", {
  data <- as.data.frame(nlme::Orthodont)
  fit <- lmm(distance ~ age + offset(2 * age) + (1 | Subject), data = data)
  rows <- augment(fit)
  expect_equal(rows$.fixed, drop(cbind(1, data$age) %*% fixef(fit)) + 2 * data$age)
})
