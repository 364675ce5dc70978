# lme4 stopped tightly: its default optimum lies up to .86 above the true one.
tight_lmer <- function(formula, data, ...) {
  control <- lme4::lmerControl(
    optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5),
    check.conv.singular = "ignore", calc.derivs = FALSE
  )
  do.call(lme4::lmer, list(formula, quote(data), control = control, ...))
}

expect_same_fit <- function(ours, theirs) {
  criterion <- if (lme4::isREML(theirs)) lme4::REMLcrit(theirs) else stats::deviance(theirs)
  expect_equal(component(ours, "criterion"), criterion, tolerance = tol$criterion)
  expect_equal(fixef(ours), lme4::fixef(theirs), tolerance = tol$estimate)
  se <- sqrt(diag(as.matrix(stats::vcov(theirs))))
  expect_equal(sqrt(diag(vcov(ours))), se, tolerance = tol$se, ignore_attr = TRUE)
  expect_equal(sigma(ours), stats::sigma(theirs), tolerance = tol$estimate)
  expect_identical(nobs(ours), stats::nobs(theirs))
  expect_equal(df.residual(ours), stats::df.residual(theirs))
  expect_equal(fitted(ours), stats::fitted(theirs), tolerance = tol$se)
  expect_equal(
    residuals(ours, "pearson"), stats::residuals(theirs, "pearson"),
    tolerance = tol$se, ignore_attr = TRUE
  )
  units <- ranef(ours)
  peers <- lme4::ranef(theirs)
  expect_identical(names(units), names(peers))
  expect_identical(lapply(units, dimnames), lapply(peers, dimnames))
  expect_equal(
    as.data.frame(units)[c("condval", "condsd")],
    as.data.frame(peers)[c("condval", "condsd")], tolerance = tol$varcomp, ignore_attr = TRUE
  )
  coefficients <- stats::coef(theirs)
  for (name in names(coefficients)) {
    expect_equal(coef(ours)[[name]], coefficients[[name]], tolerance = tol$se)
  }
  peer <- stats::model.matrix(theirs)
  expect_equal(model.matrix(ours), peer, ignore_attr = TRUE)
  expect_identical(dimnames(model.matrix(ours)), dimnames(peer))
  expect_identical(attr(model.matrix(ours), "assign"), attr(peer, "assign"))
}

test_that("fits of one term are lme4's", {
  skip_if_not_installed("lme4")
  sleep <- lme4::sleepstudy
  sleep$w <- rep(c(0.5, 1, 2), 60)
  orthodont <- as.data.frame(nlme::Orthodont)
  oxboys <- as.data.frame(nlme::Oxboys)
  expect_same_fit(
    lmm(Reaction ~ Days + (Days | Subject), sleep),
    tight_lmer(Reaction ~ Days + (Days | Subject), sleep)
  )
  expect_same_fit(
    lmm(Reaction ~ Days + (Days | Subject), sleep, method = "ML"),
    tight_lmer(Reaction ~ Days + (Days | Subject), sleep, REML = FALSE)
  )
  expect_same_fit(
    lmm(distance ~ Sex * I(age - 11) + (age || Subject), orthodont),
    tight_lmer(distance ~ Sex * I(age - 11) + (age || Subject), orthodont)
  )
  expect_same_fit(
    lmm(height ~ age + (0 + age | Subject), oxboys),
    tight_lmer(height ~ age + (0 + age | Subject), oxboys)
  )
  expect_same_fit(
    lmm(Reaction ~ poly(Days, 2) + (Days | Subject), sleep, weights = w),
    tight_lmer(Reaction ~ poly(Days, 2) + (Days | Subject), sleep, weights = quote(w))
  )
  expect_same_fit(
    lmm(Reaction ~ splines::ns(Days, 3) + offset(10 * w) + (1 | Subject), sleep),
    tight_lmer(Reaction ~ splines::ns(Days, 3) + offset(10 * w) + (1 | Subject), sleep)
  )
})

test_that("fits of several terms and nested levels are lme4's", {
  skip_if_not_installed("lme4")
  expect_same_fit(
    lmm(strength ~ 1 + (1 | batch / cask), lme4::Pastes),
    tight_lmer(strength ~ 1 + (1 | batch / cask), lme4::Pastes)
  )
  oxide <- as.data.frame(nlme::Oxide)
  expect_same_fit(
    lmm(Thickness ~ Source + (1 | Lot) + (1 | Lot:Wafer), oxide),
    tight_lmer(Thickness ~ Source + (1 | Lot) + (1 | Lot:Wafer), oxide)
  )
})

# Balanced, with two columns that together say what differs within dyads and what between: the
# restricted likelihood falls into two least-squares problems.
test_that("random effects that dwarf the residuals cost no digits", {
  set.seed(8)
  m <- 20
  n <- 5
  dyad <- rep(seq_len(m), each = n)
  between <- rnorm(m)
  effect <- rnorm(m)
  within <- rep(as.vector(scale(rnorm(n), scale = FALSE)), m)
  error <- rnorm(m * n) + within
  x <- within + 0.5 * between[dyad]
  z <- within + between[dyad]

  own <- error - ave(error, dyad)
  s <- sum(lm.fit(cbind(within), own)$residuals^2) / (m * (n - 1) - 1)
  for (size in 10^c(0, 3, 5, 6)) {
    y <- size * (between + effect)[dyad] + error
    means <- size * (between + effect) + tapply(error, dyad, mean)
    columns <- cbind(1, between)
    of_means <- n * sum(lm.fit(columns, means)$residuals^2) / (m - 2)
    information <- c(det(n / of_means * crossprod(columns)), sum(within^2) / s, 0.5^2)
    truth <- (m * n - 3) * (log(2 * pi) + 1) + m * (n - 1) * log(s) + m * log(of_means) +
      sum(log(information))
    fit <- lmm(y ~ x + z + (1 | dyad), data.frame(y, x, z, dyad))
    expect_lt(abs(-2 * as.numeric(logLik(fit)) - truth), 1e-7)
    expect_equal(objective(fit), -2 * as.numeric(logLik(fit)), tolerance = 1e-10)
    expect_equal(sigma(fit), sqrt(s), tolerance = 1e-9)
    # A further response goes the same way, whatever coordinates the first one got.
    again <- refit(fit, rev(y))
    anew <- lmm(y ~ x + z + (1 | dyad), data.frame(y = rev(y), x, z, dyad))
    expect_equal(as.numeric(logLik(again)), as.numeric(logLik(anew)), tolerance = 1e-10)
    expect_equal(fixef(again), fixef(anew), tolerance = 1e-6)
  }
})

test_that("inference works where a second level dwarfs the residuals", {
  set.seed(21)
  data <- expand.grid(session = 0:4, dyad = 1:4, therapist = 1:15)
  effect <- matrix(rnorm(30), 15)
  y <- rnorm(300) + rnorm(60)[interaction(data$dyad, data$therapist)]
  for (size in 10^c(4, 7, 9)) {
    data$y <- y + size * (effect[data$therapist, 1] + effect[data$therapist, 2] * data$session)
    fit <- lmm(y ~ session + (session | therapist / dyad), data)
    # With effects this large the slopes of the therapists are as good as known.
    slopes <- vapply(split(data, data$therapist), function(own) coef(lm(y ~ session, own))[[2]], 0)
    line <- summary(fit)$coefficients["session", ]
    expect_equal(unname(line), unname(c(
      mean(slopes), sd(slopes) / sqrt(15), 14, sqrt(15) * mean(slopes) / sd(slopes), line[[5]]
    )), tolerance = 1e-6)
    expect_true(all(abs(cov2cor(VarCorr(fit)$therapist)) <= 1 + 1e-12))
  }
})

test_that("subset, contrasts and the order of rows do what they say", {
  orthodont <- as.data.frame(nlme::Orthodont)
  fit <- lmm(distance ~ Sex * age + (age | Subject), orthodont)
  half <- lmm(distance ~ age + (age | Subject), orthodont, subset = Sex == "Female")
  unknown <- orthodont
  unknown$Sex[c(3, 70)] <- NA
  counted <- lmm(distance ~ age + (age | Subject), unknown, subset = Sex == "Female")
  expect_length(na.action(counted), 2L)
  expect_identical(nobs(counted), sum(unknown$Sex == "Female", na.rm = TRUE))
  alone <- lmm(distance ~ age + (age | Subject), orthodont[orthodont$Sex == "Female", ])
  expect_equal(fixef(half), fixef(alone), tolerance = tol$algebra)
  expect_identical(nobs(half), 44L)

  summed <- lmm(distance ~ Sex * age + (age | Subject), orthodont,
    contrasts = list(Sex = "contr.sum")
  )
  expect_equal(fixef(summed)[["Sex1"]], -fixef(fit)[["SexFemale"]] / 2, tolerance = tol$estimate)

  set.seed(1)
  shuffled <- lmm(distance ~ Sex * age + (age | Subject), orthodont[sample(108), ])
  expect_equal(fixef(shuffled), fixef(fit), tolerance = tol$criterion)
  expect_equal(ranef(shuffled)$Subject, ranef(fit)$Subject, tolerance = tol$estimate)
})

test_that("rows left out for missing values are counted, and padded by na.exclude", {
  data <- as.data.frame(nlme::Orthodont)
  data$distance[c(3, 70)] <- NA
  fit <- lmm(distance ~ age + (age | Subject), data)
  expect_identical(nobs(fit), 106L)
  expect_length(component(fit, "na_action"), 2L)
  expect_output(print(fit), "106 used, 2 left out", fixed = TRUE)
  padded <- lmm(distance ~ age + (age | Subject), data, na.action = na.exclude)
  expect_identical(unname(which(is.na(fitted(padded)))), c(3L, 70L))
  expect_identical(which(is.na(residuals(padded))), which(is.na(fitted(padded))))
  expect_identical(fitted(padded)[-c(3, 70)], fitted(fit))
  expect_length(weights(padded), 108L)
})

test_that("aliased columns are left out, named and explained", {
  data <- as.data.frame(nlme::Orthodont)
  data$sum <- data$age / 2 - 3
  expect_message(
    fit <- lmm(distance ~ age + sum + (age | Subject), data),
    "`sum` = -3 + 0.5 `age`", class = "samepage_message_aliased", fixed = TRUE
  )
  expect_identical(names(fixef(fit)), c("(Intercept)", "age"))
  expect_identical(as.vector(component(fit, "aliased")), "sum")
  expect_identical(fixef(fit, add.dropped = TRUE)[["sum"]], NA_real_)
  expect_identical(colnames(model.matrix(fit)), c("(Intercept)", "age"))
  plain <- lmm(distance ~ age + (age | Subject), data)
  expect_equal(fitted(fit), fitted(plain), tolerance = tol$criterion)
  # A column of zeros, and a difference of two.
  data$zero <- 0
  data$other <- sin(seq_len(108))
  data$difference <- data$age - data$other
  expect_message(
    expect_message(
      lmm(distance ~ zero + age + (1 | Subject), data), "`zero` = 0",
      class = "samepage_message_aliased", fixed = TRUE
    ),
    NA
  )
  expect_message(
    lmm(distance ~ age + other + difference + (1 | Subject), data),
    "`difference` = `age` - `other`", class = "samepage_message_aliased", fixed = TRUE
  )
})

test_that("two groupings with the same partition are one level", {
  data <- as.data.frame(nlme::Orthodont)
  data$twin <- as.integer(data$Subject)
  one <- lmm(distance ~ age + (age || Subject), data)
  two <- lmm(distance ~ age + (1 | Subject) + (0 + age | twin), data)
  expect_equal(component(two, "criterion"), component(one, "criterion"), tolerance = tol$criterion)
  expect_identical(names(ranef(two)), c("Subject", "twin"))
  expect_identical(names(ranef(two)$twin), "age")
  expect_equal(
    ranef(two)$twin[as.character(data$twin[1]), 1], ranef(one)$Subject[data$Subject[1], 2],
    tolerance = tol$estimate
  )
})

test_that("update refits through the call", {
  orthodont <- as.data.frame(nlme::Orthodont)
  fit <- lmm(distance ~ Sex * age + (age | Subject), orthodont)
  simpler <- update(fit, . ~ . - Sex:age)
  expect_identical(names(fixef(simpler)), c("(Intercept)", "SexFemale", "age"))
  expect_identical(update(fit, method = "ML")$method, "ML")
  expect_equal(formula(fit, fixed.only = TRUE), distance ~ Sex * age, ignore_attr = TRUE)
  expect_identical(names(model.frame(fit)), c("distance", "Sex", "age", "Subject"))
  expect_identical(names(model.frame(fit, fixed.only = TRUE)), c("distance", "Sex", "age"))
  expect_identical(dim(model.matrix(fit, type = "random")), c(108L, 2L))
  expect_identical(attr(terms(fit), "term.labels"), c("Sex", "age", "Sex:age"))
})

test_that("weights found in the caller's frame are used", {
  fit_with <- function(w) {
    lmm(distance ~ age + (1 | Subject), nlme::Orthodont, weights = w)
  }
  expect_identical(unname(weights(fit_with(rep(2, 108)))), rep(2, 108))
})

test_that("unusable arguments are refused", {
  refused <- function(class, part, ...) {
    expect_error(
      lmm(distance ~ age + (1 | Subject), ...), part,
      class = paste0("samepage_error_", class), fixed = TRUE
    )
  }
  data <- as.data.frame(nlme::Orthodont)
  refused("argument", "`method`", data, method = "MLE")
  # lme4's third argument is REML.
  refused("argument", "`method`", data, FALSE)
  refused("argument", "`df`", data, df = "kr")
  refused("argument", "lmm_control()", data, control = list())
  refused("data", "class matrix", as.matrix(data))
  refused("data", "nothing")
  expect_error(lmm(distance ~ age + (1 | Subject), data, REML = TRUE), "unused argument")
  expect_error(lmm_control(rank_tolerance = -1), class = "samepage_error_argument")
  expect_error(lmm_control(few_units = NA), class = "samepage_error_argument")
  few <- data.frame(y = c(1, 3, 2, 5), x = c(1, 2, 4, 8), g = c(1, 1, 2, 2))
  expect_error(
    lmm(y ~ poly(x, 3) + (1 | g), few), "4 rows and 4 columns",
    class = "samepage_error_few_rows"
  )
})

test_that("columns of kinds that no model has are refused in words", {
  data <- as.data.frame(nlme::Orthodont)
  data$complex <- complex(real = data$age, imaginary = 1)
  data$raw <- as.raw(seq_len(108))
  data$text <- as.character(data$age)
  refused <- function(class, part, formula, ...) {
    expect_error(
      lmm(formula, data, ...), part,
      class = paste0("samepage_error_", class), fixed = TRUE
    )
  }
  refused("variable", "class complex", distance ~ complex + (1 | Subject))
  refused("variable", "class raw", distance ~ age + (raw | Subject))
  refused("variable", "class raw", distance ~ age + (1 | raw))
  refused("variable", "`offset(text)` must be numbers", distance ~ offset(text) + (1 | Subject))
  refused("formula", "(offset(age) | Subject)", distance ~ age + (offset(age) | Subject))
  refused("argument", "`na.action`", distance ~ age + (1 | Subject), na.action = "leave")
  refused("weights", "Found -1 in 108 rows", distance ~ age + (1 | Subject), weights = rep(-1, 108))
  expect_error(lmm(data = data), "class NULL", class = "samepage_error_formula")
})

test_that("contrasts that cannot be are refused in words, those of no factor named", {
  data <- as.data.frame(nlme::Orthodont)
  fit <- function(contrasts) {
    lmm(distance ~ Sex * age + (1 | Subject), data, contrasts = contrasts)
  }
  refused <- function(part, contrasts) {
    expect_error(fit(contrasts), part, class = "samepage_error_contrasts", fixed = TRUE)
  }
  refused("class character", "contr.sum")
  refused("class list without names", list("contr.sum"))
  refused("contr.unknown", list(Sex = "contr.unknown"))
  refused("2 levels", list(Sex = matrix(1:9, 3)))
  expect_message(
    other <- fit(list(age = "contr.sum", sex = "contr.sum")), "`age`, `sex` not used",
    class = "samepage_message_contrasts"
  )
  expect_identical(fixef(other), fixef(fit(NULL)))
  expect_identical(names(fixef(fit(list(Sex = contr.sum))))[2], "Sex1")
})

test_that("an outcome that the fixed effects give exactly is refused in words", {
  data <- as.data.frame(nlme::Orthodont)
  for (outcome in list(quote(2 * age + 3), quote(age * pi))) {
    formula <- stats::as.formula(call("~", call("I", outcome), quote(age + (1 | Subject))))
    expect_error(lmm(formula, data), "to the last digit", class = "samepage_error_exact_fit")
  }
  data$nearly <- data$age + 1e-9 * data$distance
  expect_identical(fit_status(lmm(nearly ~ age + (1 | Subject), data))$status, "ok")
})

test_that("effects of arms that no unit shares reach the optimum of one effect per arm", {
  # The covariance of two arms' effects is in no unit's V: any value of it is an optimum.
  for (seed in c(2, 13, 15, 33, 43, 60)) {
    set.seed(seed)
    m <- 6L + seed %% 20L
    data <- expand.grid(time = 0:4, dyad = seq_len(m))
    data$arm <- factor(data$dyad %% 2)
    data$y <- stats::rnorm(m, 0, 1 + seed %% 2)[data$dyad] + stats::rnorm(nrow(data))
    formulas <- list(
      y ~ time + (arm | dyad), y ~ time + (0 + arm | dyad), y ~ time + (arm || dyad),
      y ~ time + (1 | dyad) + (0 + arm | dyad)
    )
    fits <- lapply(formulas, lmm, data = data)
    expect_false("failed" %in% vapply(fits, function(fit) fit_status(fit)$status, ""))
    expect_lt(diff(range(vapply(fits, objective, 0))), 1e-5)
  }
})

test_that("an outcome in a matrix of one column, as scale() makes it, is a column", {
  data <- as.data.frame(nlme::Orthodont)
  fit <- lmm(scale(distance) ~ age + (age | Subject), data)
  plain <- lmm(distance ~ age + (age | Subject), data)
  expect_equal(fixef(fit)[["age"]], fixef(plain)[["age"]] / sd(data$distance),
    tolerance = tol$estimate
  )
  expect_equal(fitted(fit), (fitted(plain) - mean(data$distance)) / sd(data$distance),
    tolerance = tol$estimate
  )
  expect_equal(objective(refit(fit, simulate(fit, seed = 1))), objective(
    lmm(y ~ age + (age | Subject), transform(data, y = simulate(fit, seed = 1)[[1]]))
  ))
  expect_error(
    lmm(cbind(distance, age) ~ 1 + (1 | Subject), data),
    class = "samepage_error_response"
  )
  data$distance <- c("", NA, "NA", sub(".", ",", format(data$distance[-(1:3)]), fixed = TRUE))
  expect_error(
    lmm(distance ~ age + (1 | Subject), data), "comma, as in \"",
    class = "samepage_error_response"
  )
})
