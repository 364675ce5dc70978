test_that("predictions on new data are lme4's", {
  skip_if_not_installed("lme4")
  set.seed(5)
  data <- data.frame(
    y = rnorm(120), x = rnorm(120), f = gl(3, 1, 120, labels = c("a", "b", "c")),
    therapist = rep(1:10, each = 12), patient = rep(rep(c("u", "v", "w"), each = 4), 10)
  )
  data$y <- data$y + rnorm(10)[data$therapist] + rnorm(120)[rep(1:30, each = 4)]
  formula <- y ~ poly(x, 2) + f + (x | therapist / patient)
  control <- lme4::lmerControl(
    optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10), check.conv.singular = "ignore",
    calc.derivs = FALSE
  )
  ours <- lmm(formula, data)
  theirs <- lme4::lmer(formula, data, control = control)
  new <- data.frame(
    x = c(-1, 0.3, 2), f = c("c", "a", "c"), therapist = c(2, 10, 3), patient = c("w", "u", "u"),
    row.names = c("i", "ii", "iii")
  )
  same <- function(...) {
    expect_equal(predict(ours, new, ...), predict(theirs, new, ...), tolerance = tol$se)
  }
  same()
  same(re.form = NA)
  same(re.form = ~0)
  same(re.form = ~ (x | therapist))
  same(re.form = ~ (1 | therapist))
  same(re.form = ~ (0 + x | patient:therapist))
  new$patient[2] <- "z"
  new$therapist[3] <- 99
  same(allow.new.levels = TRUE)
  expect_error(predict(ours, new), "New: z:10, u:99", class = "samepage_error_new_levels")
  new$x[1] <- NA
  expect_identical(unname(is.na(predict(ours, new, re.form = NA))), c(TRUE, FALSE, FALSE))
  new$therapist[2] <- NA
  expect_identical(
    unname(is.na(predict(ours, new, allow.new.levels = TRUE))), c(TRUE, TRUE, FALSE)
  )
  expect_length(predict(ours, new, allow.new.levels = TRUE, na.action = na.omit), 1L)
  expect_equal(predict(ours, data), fitted(ours), tolerance = tol$algebra)
})

# The variance of the prediction error from its definition, with dense matrices: the
# prediction is linear in y, so the error of x'beta + z'b is (a'y - z'b) about its
# mean, with a from generalised least squares.
dense_errors <- function(fit, x, z, cov_b, Z) {
  X <- model.matrix(fit)
  V <- Z %*% cov_b %*% t(Z) + diag(sigma(fit)^2, nrow(X))
  invert <- solve(V)
  gls <- solve(t(X) %*% invert %*% X, t(X) %*% invert)
  a <- x %*% gls + z %*% cov_b %*% t(Z) %*% invert %*% (diag(nrow(X)) - X %*% gls)
  error <- a %*% V %*% t(a) - 2 * a %*% Z %*% cov_b %*% t(z) + z %*% cov_b %*% t(z)
  sqrt(diag(error))
}

test_that("standard errors of predictions are those of the definition", {
  data <- as.data.frame(nlme::Orthodont)
  data$clinic <- rep(1:9, each = 12)
  data$distance <- data$distance + 3 * sin(1:9)[data$clinic]
  fit <- lmm(distance ~ age + (age | Subject) + (1 | clinic), data)
  covariances <- component(fit, "covariances")
  subjects <- factor(as.character(data$Subject))
  Z <- cbind(
    stats::model.matrix(~ 0 + subjects), stats::model.matrix(~ 0 + subjects) * data$age,
    stats::model.matrix(~ 0 + factor(clinic), data)
  )
  blocks <- lapply(component(fit, "blocks"), `[[`, "group")
  by_subject <- covariances[[which(blocks == "Subject")]]
  by_clinic <- covariances[[which(blocks == "clinic")]]
  cov_b <- matrix(0, 63, 63)
  cov_b[1:54, 1:54] <- kronecker(by_subject, diag(27))
  cov_b[55:63, 55:63] <- diag(by_clinic[1], 9)
  new <- cbind(age = c(9, 20), data[c(1, 30), c("Subject", "clinic")])
  z <- matrix(0, 2, 63)
  for (i in 1:2) {
    j <- match(new$Subject[i], levels(subjects))
    z[i, c(j, 27 + j, 54 + new$clinic[i])] <- c(1, new$age[i], 1)
  }
  x <- cbind(1, new$age)
  all <- predict(fit, new, se.fit = TRUE)
  expect_equal(unname(all$se.fit), dense_errors(fit, x, z, cov_b, Z), tolerance = tol$criterion)
  expect_identical(all$fit, predict(fit, new))
  clinic_only <- z
  clinic_only[, 1:54] <- 0
  expect_equal(
    unname(predict(fit, new, re.form = ~ (1 | clinic), se.fit = TRUE)$se.fit),
    dense_errors(fit, x, clinic_only, cov_b, Z), tolerance = tol$criterion
  )
  expect_equal(
    unname(predict(fit, new, re.form = NA, se.fit = TRUE)$se.fit),
    dense_errors(fit, x, 0 * z, cov_b, Z), tolerance = tol$criterion
  )
  # A new subject of a new clinic: nothing but the fixed part is known of it.
  new$Subject <- "unknown"
  new$clinic <- 0
  phi <- vcov(fit)
  expected <- vapply(1:2, function(i) {
    u <- c(1, new$age[i])
    drop(sqrt(u %*% phi %*% u + u %*% by_subject %*% u + by_clinic))
  }, numeric(1))
  expect_equal(
    unname(predict(fit, new, allow.new.levels = TRUE, se.fit = TRUE)$se.fit), expected,
    tolerance = tol$criterion
  )
})

test_that("residuals are observed minus fitted, weighted and scaled when asked", {
  data <- as.data.frame(nlme::Orthodont)
  data$w <- rep(c(1, 4), 54)
  fit <- lmm(distance ~ age + (1 | Subject), data, weights = w)
  raw <- data$distance - fitted(fit)
  expect_equal(residuals(fit), raw, tolerance = tol$algebra)
  expect_equal(residuals(fit, "pearson"), raw * sqrt(data$w), tolerance = tol$algebra)
  expect_equal(residuals(fit, scaled = TRUE), raw / sigma(fit), tolerance = tol$algebra)
})

test_that("bases that depend on the data are those of the fit on new data", {
  data <- as.data.frame(nlme::Orthodont)
  data$date <- as.Date("2020-01-01") + round(365 * data$age)
  for (formula in list(
    distance ~ scale(age) + (scale(age) | Subject),
    distance ~ splines::ns(age, 2) * Sex + (1 | Subject),
    distance ~ poly(age, 2) + (poly(age, 2) || Subject),
    distance ~ date + (1 | Subject)
  )) {
    fit <- lmm(formula, data)
    expect_equal(predict(fit, data[c(7, 2), ]), fitted(fit)[c(7, 2)], tolerance = tol$algebra)
  }
})

test_that("a grouping that is a fixed effect as well has the fit's columns on new data", {
  data <- as.data.frame(nlme::Oats)
  data$Variety <- as.character(data$Variety)
  data$Block <- as.Date("2024-01-01") + as.integer(data$Block)
  fit <- lmm(yield ~ Variety + nitro + (1 | Block / Variety), data)
  for (rows in list(5, c(30, 6), 70:50)) {
    new <- data[rows, ]
    expect_equal(predict(fit, new), fitted(fit)[rows], tolerance = tol$algebra)
    new$Variety <- factor(new$Variety)
    new$Block <- as.character(new$Block)
    expect_equal(predict(fit, new), fitted(fit)[rows], tolerance = tol$algebra)
  }
  new$Variety <- "unknown"
  expect_error(
    predict(fit, new, allow.new.levels = TRUE), "New: unknown",
    class = "samepage_error_newdata"
  )
})

test_that("new data need not have every level of a factor, nor levels that are missing values", {
  data <- expand.grid(g = 1:12, t = 0:7)
  data$f <- factor(
    c("lo", "mid", "hi", "top")[1 + (data$t + data$g) %% 4], c("lo", "mid", "hi", "top"),
    ordered = TRUE
  )
  data$unknown <- addNA(replace(factor(data$f, ordered = FALSE), data$f == "mid", NA))
  set.seed(1)
  data$y <- stats::rnorm(96) + stats::rnorm(12)[data$g] + as.integer(data$f)
  some <- which(data$f %in% c("lo", "mid"))[1:3]
  for (formula in c(y ~ f + (1 | g), y ~ t + (f | g), y ~ t + (0 + f | g), y ~ unknown + (1 | g))) {
    fit <- lmm(formula, data)
    all <- predict(fit, data, se.fit = TRUE)
    expect_equal(all$fit, fitted(fit), tolerance = tol$algebra)
    few <- predict(fit, data[some, ], se.fit = TRUE)
    expect_equal(few$fit, all$fit[some], tolerance = tol$algebra)
    expect_equal(few$se.fit, all$se.fit[some], tolerance = tol$algebra)
  }
})

test_that("random effects are named in the contrasts of the fit, whatever R's options say later", {
  old <- options(contrasts = c("contr.sum", "contr.poly"))
  on.exit(options(old))
  fit <- lmm(score ~ 1 + (Machine | Worker), as.data.frame(nlme::Machines))
  options(contrasts = c("contr.treatment", "contr.poly"))
  expect_equal(predict(fit, re.form = ~ (Machine | Worker)), fitted(fit), tolerance = tol$algebra)
})

test_that("dates, durations and TRUE or FALSE are predicted from their like only", {
  data <- data.frame(g = rep(1:10, each = 6), t = rep(0:5, 10))
  data$day <- as.Date("2024-01-01") + 7 * data$t + data$g
  data$late <- data$t > 2
  data$wait <- as.difftime(as.double(data$t), units = "days")
  set.seed(3)
  data$y <- stats::rnorm(60) + stats::rnorm(10)[data$g] + data$t
  refused <- function(fit, new) {
    expect_error(predict(fit, new), "of the class it had", class = "samepage_error_newdata")
  }
  by_day <- lmm(y ~ day + (1 | g), data)
  refused(by_day, transform(data, day = as.character(day)))
  refused(by_day, transform(data, day = as.POSIXct(day)))
  by_late <- lmm(y ~ late + (1 | g), data)
  refused(by_late, transform(data, late = ifelse(late, "yes", "no")))
  expect_equal(predict(by_late, data[5:6, ]), fitted(by_late)[5:6], tolerance = tol$algebra)
  by_wait <- lmm(y ~ wait + (1 | g), data)
  hours <- data
  units(hours$wait) <- "hours"
  expect_equal(predict(by_wait, hours), fitted(by_wait), tolerance = tol$algebra)
})

test_that("no rows have no predictions", {
  fit <- lmm(distance ~ age * Sex + (age | Subject), nlme::Orthodont)
  none <- as.data.frame(nlme::Orthodont)[0, ]
  expect_identical(predict(fit, none), numeric())
  expect_identical(predict(fit, none, se.fit = TRUE), list(fit = numeric(), se.fit = numeric()))
  expect_error(predict(fit, none["age"]), class = "samepage_error_missing_column")
})

test_that("column names need not be syntactic", {
  data <- as.data.frame(nlme::Orthodont)
  plain <- lmm(distance ~ age * Sex + (age | Subject), data)
  names(data)[c(2, 3)] <- c("my age", "the child")
  odd <- lmm(distance ~ `my age` * Sex + (`my age` | `the child`), data)
  expect_equal(fixef(odd), fixef(plain), ignore_attr = TRUE)
  expect_equal(predict(odd, data), fitted(plain), tolerance = tol$algebra)
  expect_identical(names(ranef(odd)), "the child")
})

test_that("unusable prediction arguments are refused", {
  fit <- lmm(distance ~ age * Sex + (age | Subject), nlme::Orthodont)
  new <- data.frame(age = 9, Sex = "Male", Subject = "M01")
  refused <- function(class, part, ...) {
    expect_error(predict(fit, ...), part, class = paste0("samepage_error_", class), fixed = TRUE)
  }
  refused("newdata", "New: Other", transform(new, Sex = "Other"))
  refused("newdata", "`age` must be of the class", transform(new, age = "nine"))
  refused("missing_column", "must be a column of `newdata`", new["Sex"])
  refused("data", "class list", as.list(new))
  refused("argument", "(1 | clinic)", re.form = ~ (1 | clinic))
  refused("argument", "Found: age.", re.form = ~age)
  refused("argument", "class character", re.form = "a")
  refused("argument", "`unknown`", unknown = 1)
  new$age <- NA_real_
  refused("missing_values", "1 row", new, na.action = na.fail)
})
