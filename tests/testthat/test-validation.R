# Hand-worked cases, each number of them worked out on paper. The vignette
# `validation` shows the arithmetic.

score_dyad <- function(t, p, q, ...) {
  data <- data.frame(dyad = 1, t = t, p = p, q = q)
  suppressMessages(convergence(p + q ~ t | dyad, data, ...))
}
all_definitions <- function(...) {
  vapply(definitions_all, function(definition) {
    score_dyad(..., definition = definition)$convergence
  }, 1)
}

test_that("a dyad whose ratings meet, worked by hand", {
  expect_equal(
    all_definitions(t = 1:3, p = c(4, 5, 6), q = c(6, 6, 6)),
    c(fitted = 1, absolute = 1, signed = 1, toward_zero = 1, squared = 2)
  )
  scores <- score_dyad(t = 1:3, p = c(4, 5, 6), q = c(6, 6, 6))
  expect_equal(scores$slope_p, 1)
  expect_equal(scores$slope_q, 0)
  expect_equal(scores$development, .5)
  expect_equal(c(scores$early_p, scores$early_q, scores$early_discrepancy), c(4, 6, 2))
})

test_that("a dyad whose ratings cross, worked by hand", {
  expect_equal(
    all_definitions(t = 1:3, p = c(4, 5, 6), q = c(5, 5, 5)),
    c(fitted = 0, absolute = 0, signed = 1, toward_zero = 1, squared = 0)
  )
})

test_that("a dyad whose ratings lie beside their lines, worked by hand", {
  t <- 1:4
  p <- c(3, 5, 4, 6)
  q <- c(5, 5, 6, 6)
  expect_equal(
    all_definitions(t = t, p = p, q = q),
    c(fitted = .4, absolute = .4, signed = .4, toward_zero = .4, squared = .8)
  )
  scores <- score_dyad(t, p, q)
  expect_equal(c(scores$slope_p, scores$slope_q), c(.8, .4))
  expect_equal(scores$slope_se_p, sqrt(.9 / 5))
  expect_equal(scores$slope_se_q, sqrt(.1 / 5))
  # Residual variances .9 and .1, covariance -.3, so that the difference's is 1.6.
  expect_equal(scores$convergence_se, sqrt(1.6 / 5))
  expect_equal(scores$development, .6)
  # Per course: 3 units of time.
  expect_equal(score_dyad(t, p, q, per = "course")$convergence, 1.2)
})

test_that("where raters miss different sessions, the two signed slopes differ as by hand", {
  data <- data.frame(t = 1:4, p = c(3, 5, 4, 6), q = c(5, 5, NA, 6))
  signed <- score_dyad(data$t, data$p, data$q, definition = "signed")
  expect_equal(signed$convergence, 4 / 7)
  expect_equal(signed$slope_p - signed$slope_q, 4 / 5 - 5 / 14)
})

test_that("the log of scores shifts the smallest to log(1) = 0", {
  # The dyads above, per session: 1, 0, .4; shift 0 - 0 + 1.
  data <- data.frame(
    dyad = rep(1:3, c(3, 3, 4)), t = c(1:3, 1:3, 1:4),
    p = c(4, 5, 6, 4, 5, 6, 3, 5, 4, 6), q = c(6, 6, 6, 5, 5, 5, 5, 5, 6, 6)
  )
  scores <- suppressMessages(convergence(p + q ~ t | dyad, data, transform = "log"))
  expect_equal(scores$convergence, log(c(2, 1, 1.4)))
  expect_equal(scores$convergence_raw, c(1, 0, .4))
  # The slope of log(x) at 1.4 is 1 / 1.4.
  expect_equal(scores$convergence_se[3], sqrt(1.6 / 5) / 1.4)
})

test_that("a balanced analysis of variance, worked by hand", {
  data <- data.frame(dyad = rep(1:3, each = 2), y = c(1, 3, 4, 6, 8, 10))
  fit <- lmm(y ~ 1 + (1 | dyad), data = data)
  within <- 6 / 3
  between <- 444 / 9 / 2
  expect_equal(unname(fixef(fit)), 16 / 3)
  expect_equal(summary(fit)$coefficients[1, "Std. Error"], sqrt(between / 6), tolerance = 1e-6)
  expect_equal(summary(fit)$coefficients[1, "df"], 2, tolerance = 1e-5)
  parameters <- summary(fit)$varcomp
  expect_equal(parameters$estimate, c((between - within) / 2, within), tolerance = 1e-6)
  expect_equal(
    parameters$std.error,
    c(sqrt((2 * between^2 / 2 + 2 * within^2 / 3) / 4), sqrt(2 * within^2 / 3)),
    tolerance = 1e-5
  )
  expect_equal(
    deviance(fit),
    5 * log(2 * pi) + 3 * log(between) + 3 * log(within) + log(6 / between) + 5,
    tolerance = 1e-10
  )
})

test_that("with equal sessions the mixed model is that of the dyads' own lines", {
  fit <- lmm(distance ~ I(age - 11) + (I(age - 11) | Subject), data = nlme::Orthodont)
  lines <- vapply(split(nlme::Orthodont, nlme::Orthodont$Subject), function(child) {
    own <- stats::lm(distance ~ I(age - 11), child)
    c(stats::coef(own), rss = sum(stats::residuals(own)^2))
  }, numeric(3))
  within <- sum(lines["rss", ]) / (27 * 2)
  # Ages 8, 10, 12, 14 less 11: sum of squares 20.
  covariance <- stats::cov(t(lines[1:2, ])) - within * diag(c(1 / 4, 1 / 20))
  expect_equal(unname(fixef(fit)), unname(rowMeans(lines[1:2, ])), tolerance = 1e-8)
  expect_equal(
    summary(fit)$varcomp$estimate, c(covariance[lower.tri(covariance, TRUE)], within),
    tolerance = 1e-5
  )
  table <- summary(fit)$coefficients
  expect_equal(
    unname(table[, "Std. Error"]), unname(apply(lines[1:2, ], 1, stats::sd)) / sqrt(27),
    tolerance = 1e-5
  )
  expect_equal(unname(table[, "df"]), c(26, 26), tolerance = 1e-4)
})

test_that("SPSS's criteria and the growth data's likelihood come out to the printed digit", {
  schools <- lmm(MathAch ~ 1 + (1 | School), data = nlme::MathAchieve)
  # SPSS MIXED on these data.
  spss <- data.frame(
    term = c("intercept", "m2ll", "aic", "aicc", "caic", "bic"),
    estimate = c("12.636974", "47116.793", "47120.793", "47120.795", "47136.553", "47134.553"),
    std.error = c(".244394", rep(NA, 5))
  )
  expect_true(all(compare_published(schools, spss)$mark == "equal"))
  expect_equal(round(summary(schools)$coefficients[1, "df"], 3), 156.647)
})

# ---- The audit of the published tables --------------------------------------------
# What each printed cell can stand for: half a unit of its last digit either way.

printed_range <- function(study, model, term, statistic = "estimate") {
  row <- published_tables$study == study & published_tables$model == model &
    published_tables$term == term
  text <- published_tables[[statistic]][row]
  as.numeric(text) + c(-.5, .5) * 10^-nchar(sub("^[^.]*[.]?", "", text))
}

test_that("the standard errors of variances are too small for any sample of that size", {
  variance <- printed_range(1, 2, "intercept_variance")
  error <- printed_range(1, 2, "intercept_variance", "std.error")
  expect_gt(min(variance) * sqrt(2 / 95), max(error))
  for (model in 2:3) {
    # The intercepts' own variance, from the SE of their mean.
    total <- min(printed_range(2, model, "intercept", "std.error"))^2 * 139
    expect_equal(total, .0313, tolerance = .01)
    least <- total * sqrt(2 / 138)
    expect_gt(least, max(printed_range(2, model, "intercept_variance", "std.error")))
    # And so p cannot be small.
    z <- max(printed_range(2, model, "intercept_variance")) / least
    expect_gt(2 * stats::pnorm(-z), .05)
  }
})

test_that("a mean cannot be surer than its variance allows", {
  needed <- max(printed_range(2, 1, "intercept", "std.error"))^2 * 139
  expect_lt(needed, min(printed_range(2, 1, "intercept_variance")))
})

test_that("the covariance of Study 2, Model 2, cannot have its printed p", {
  z <- max(printed_range(2, 2, "covariance")) / min(printed_range(2, 2, "covariance", "std.error"))
  expect_gt(2 * stats::pnorm(-z), .70)
})

test_that("Study 1's Model 1 cannot have Model 2's intercept variance", {
  # What initial symptoms explain in Model 2, with the sample's SD of 9.5.
  explained <- min(printed_range(1, 2, "initial"))^2 * 9.5^2
  least <- min(printed_range(1, 2, "intercept_variance")) + explained
  expect_gt(least, 2 * max(printed_range(1, 1, "intercept_variance")))
})

test_that("Study 2's criteria cannot come from one residual variance", {
  criterion <- function(residual, intercept, covariance, slope) {
    z <- cbind(1, 0:4)
    v <- z %*% matrix(c(intercept, covariance, covariance, slope), 2) %*% t(z) +
      diag(residual, 5)
    fixed <- 139 * t(z) %*% solve(v, z)
    693 * (1 + log(2 * pi)) + 139 * log(det(v)) + log(det(fixed)) + 8
  }
  residual_of <- function(aic, ...) {
    stats::uniroot(function(s) criterion(s, ...) - aic, c(.01, 1))$root
  }
  expect_equal(residual_of(1379, .34, -.017, .01), .26, tolerance = .05)
  expect_equal(residual_of(461, .002, .0005, .01), .08, tolerance = .05)
})
