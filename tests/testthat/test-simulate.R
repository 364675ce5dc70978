orthodont <- function() {
  data <- as.data.frame(nlme::Orthodont)
  data$clinic <- rep(1:9, each = 12)
  data$w <- rep(c(1, 2, 0.5), 36)
  data$z <- sin(seq_len(108))
  data$distance <- data$distance + 3 * sin(1:9)[data$clinic]
  data
}


# A refit reads only the new response; a new fit reads everything.
expect_refit_is_fit <- function(formula, data, ...) {
  fit <- suppressMessages(lmm(formula, data, ...))
  set.seed(4)
  y <- 50 + 3 * data$age + rnorm(9)[data$clinic] + rnorm(nrow(data))
  again <- refit(fit, y)
  data$distance <- y
  anew <- suppressMessages(lmm(formula, data, ...))
  expect_same_core(again, anew)
  expect_equal(ranef(again), ranef(anew), tolerance = tol$estimate)
  expect_equal(fitted(again), fitted(anew), tolerance = tol$estimate)
  expect_same_core(refit(again, model.response(model.frame(fit))), fit)
}

test_that("a refit is the fit to the new response", {
  data <- orthodont()
  expect_refit_is_fit(distance ~ Sex * age + (age | Subject), data)
  expect_refit_is_fit(distance ~ z + age + (1 | Subject), data, method = "ML")
  expect_refit_is_fit(distance ~ z + I(2 * z) + age + (age || Subject), data, weights = w)
  expect_refit_is_fit(
    distance ~ z + offset(5 * z) + (age | clinic / Subject), data[sample(108, 70), ]
  )
})

test_that("a new response is checked, and rows left out are known", {
  data <- orthodont()
  data$distance[2] <- NA
  fit <- lmm(distance ~ age + (1 | Subject), data)
  y <- fit$frame$distance + 1
  expect_equal(refit(fit, append(y, 0, 1))$core, refit(fit, y)$core)
  expect_equal(refit(fit, data.frame(y))$core, refit(fit, y)$core)
  refused <- function(y, part, class = "response") {
    expect_error(refit(fit, y), part, class = paste0("samepage_error_", class), fixed = TRUE)
  }
  refused(y[-1], "Found 106")
  refused(as.character(y), "class character")
  refused(replace(y, 4, NA), "1 row (4)")
  refused(0 * y, "all 107 rows", "constant_response")
  expect_error(refit(fit, y, start = 1), "`start`", class = "samepage_error_argument")
})

test_that("simulated responses have the moments of the model", {
  data <- orthodont()
  fit <- lmm(distance ~ age + (age | Subject) + (1 | clinic), data, weights = w)
  n_draws <- 4000
  draws <- as.matrix(simulate(fit, n_draws, seed = 11))
  expect_identical(dim(draws), c(108L, 4000L))
  # One subject of one clinic and one row of another subject there.
  rows <- c(1:4, 5)
  covariances <- component(fit, "covariances")
  z <- cbind(1, data$age[rows])
  same_subject <- outer(data$Subject[rows], data$Subject[rows], "==")
  expected <- (z %*% covariances[[1]] %*% t(z)) * same_subject + covariances[[2]][1] +
    diag(sigma(fit)^2 / data$w[rows])
  found <- stats::cov(t(draws[rows, ]))
  # Five standard errors of a covariance from so many draws.
  bound <- 5 * sqrt((expected^2 + tcrossprod(diag(expected))) / n_draws)
  expect_true(all(abs(found - expected) < bound))
  mean <- predict(fit, re.form = NA)[rows]
  expect_true(all(abs(rowMeans(draws[rows, ]) - mean) < 5 * sqrt(diag(expected) / n_draws)))

  given <- as.matrix(simulate(fit, n_draws, seed = 11, re.form = NULL))
  expect_true(all(abs(rowMeans(given) - fitted(fit)) < 5 * sigma(fit) / sqrt(data$w * n_draws)))
  partly <- as.matrix(simulate(fit, n_draws, seed = 11, re.form = ~ (1 | clinic)))[1, ]
  expect_lt(
    abs(mean(partly) - predict(fit, re.form = ~ (1 | clinic))[[1]]), 5 * sd(partly) / sqrt(n_draws)
  )
  expect_error(simulate(fit, re.form = ~ (1 | Subject)), class = "samepage_error_argument")
  expect_error(simulate(fit, nsim = 0), class = "samepage_error_argument")
})

test_that("a seed gives the same draws and leaves the generator alone", {
  fit <- lmm(distance ~ age + (1 | Subject), orthodont(), na.action = na.exclude)
  set.seed(1)
  before <- .Random.seed
  one <- simulate(fit, 2, seed = 3)
  expect_identical(.Random.seed, before)
  expect_identical(simulate(fit, 2, seed = 3), one)
  # However many follow: they are drawn one after the other.
  expect_identical(simulate(fit, 1, seed = 3)$sim_1, one$sim_1)
  expect_equal(attr(one, "seed"), 3, ignore_attr = TRUE)
  free <- simulate(fit, 1)
  expect_identical(attr(free, "seed"), before)
  data <- orthodont()
  data$distance[2] <- NA
  padded <- lmm(distance ~ age + (1 | Subject), data, na.action = na.exclude)
  expect_identical(which(is.na(simulate(padded, 1)[[1]])), 2L)
})

test_that("lme4's own generics work on a fit, and ours on lme4's", {
  skip_if_not_installed("lme4")
  data <- orthodont()
  formula <- distance ~ age + (age | Subject) + (1 | clinic)
  fit <- lmm(formula, data)
  peer <- suppressMessages(lme4::lmer(formula, data, control = lme4::lmerControl(
    check.conv.singular = "ignore"
  )))
  expect_equal(lme4::ngrps(fit), lme4::ngrps(peer))
  expect_true(lme4::isREML(fit))
  expect_true(lme4::isLMM(fit))
  expect_false(lme4::isGLMM(fit))
  expect_false(lme4::isNLMM(fit))
  y <- simulate(fit, 1, seed = 1)[[1]]
  expect_equal(lme4::refit(fit, y)$core, refit(fit, y)$core)
  expect_equal(fixef(refit(peer, y)), fixef(lme4::refit(peer, y)))
  expect_error(refit(1, y), "class numeric", class = "samepage_error_argument")
  expect_false(lme4::isREML(lme4::refitML(fit)))
  for (name in c("X", "y", "n", "p", "flist", "cnms", "is_REML")) {
    expect_equal(lme4::getME(fit, name), lme4::getME(peer, name),
      ignore_attr = TRUE, info = name
    )
  }
  expect_identical(
    lme4::getME(fit, c("X", "n")), list(X = lme4::getME(fit, "X"), n = lme4::getME(fit, "n"))
  )
  for (name in c("beta", "fixef", "sigma")) {
    expect_equal(lme4::getME(fit, name), lme4::getME(peer, name), tolerance = tol$varcomp)
  }
  expect_equal(lme4::getME(fit, "Z"), as.matrix(lme4::getME(peer, "Z")), ignore_attr = TRUE)
  theta <- lme4::getME(fit, "theta")
  expect_equal(theta, lme4::getME(peer, "theta"), tolerance = 1e-2)
  expect_identical(lme4::getME(fit, "lower"), unname(lme4::getME(peer, "lower")))
  expect_identical(lme4::isSingular(fit), lme4::isSingular(peer))
  expect_error(lme4::getME(fit, "Lambda"), "Lambda", class = "samepage_error_argument")
})

test_that("numbers that cannot be computed with are refused in words", {
  fit <- lmm(distance ~ age + (1 | Subject), nlme::Orthodont)
  y <- nlme::Orthodont$distance
  for (size in c(1e100, 1e200, 1e-100, 1e-200)) {
    expect_error(refit(fit, size * y), "other units", class = "samepage_error_size")
  }
  expect_equal(fixef(refit(fit, 1e50 * y)), 1e50 * fixef(fit), tolerance = tol$estimate)
  expect_error(simulate(fit, seed = "one"), "`seed`", class = "samepage_error_argument")
})

test_that("a fit of another response is not updated back to the first, unnoticed", {
  fit <- lmm(distance ~ age * Sex + (1 | Subject), data = nlme::Orthodont)
  other <- refit(fit, simulate(fit, seed = 1)[[1]])
  expect_error(update(other, . ~ . - age:Sex), class = "samepage_error_refitted")
  expect_error(drop1(other), class = "samepage_error_refitted")
  expect_s3_class(update(fit, . ~ . - age:Sex), "samepage_lmm")
})
