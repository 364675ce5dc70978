# Noncentral t by its definition: a shifted normal over an independent chi,
# integrated numerically.
oracle_power <- function(n, slope, alpha, sides = 2) {
  df <- n - 2
  lambda <- sqrt(n) * slope / sqrt(1 - slope^2)
  critical <- stats::qt(1 - alpha / sides, df)
  beyond <- function(chi2) {
    edge <- critical * sqrt(chi2 / df)
    tails <- stats::pnorm(edge, lambda, lower.tail = FALSE)
    if (sides == 2) tails <- tails + stats::pnorm(-edge, lambda)
    tails * stats::dchisq(chi2, df)
  }
  # All but 1e-13 of the chi-square's mass; over (0, Inf) its peak is missed.
  range <- stats::qchisq(c(5e-14, 1 - 5e-14), df)
  stats::integrate(beyond, range[1], range[2], rel.tol = 1e-10)$value
}

test_that("the paper's sample sizes come out (Stata's 44, 82 and 191)", {
  found <- power_slope(beta = c(.40, .30, .20), power = .80)
  expect_equal(found$n, c(44, 82, 191))
  # powerMediation and Stata agree on these; Fisher's z would give 47, 85, 194.
  for (row in 1:3) {
    expect_gte(oracle_power(found$n[row], found$beta[row], .05), .80)
    expect_lt(oracle_power(found$n[row] - 1, found$beta[row], .05), .80)
  }
})

test_that("power is that of the noncentral t distribution", {
  for (n in c(5, 44, 139)) {
    for (slope in c(.05, -.3, .8)) {
      expect_equal(
        power_slope(n = n, beta = slope)$power, oracle_power(n, abs(slope), .05),
        tolerance = 1e-7
      )
    }
  }
  expect_equal(
    power_slope(n = 60, beta = .25, alpha = .01, alternative = "one.sided")$power,
    oracle_power(60, .25, .01, sides = 1),
    tolerance = 1e-7
  )
})

test_that("a slope that is hardly there is found at the rate of the level", {
  expect_equal(power_slope(n = 50, beta = 1e-9)$power, .05, tolerance = 1e-8)
})

test_that("solving for one and then for another returns the first", {
  beta <- power_slope(n = 96, power = .80, reliability = .65)$beta
  expect_equal(power_slope(n = 96, beta = beta, reliability = .65)$power, .80, tolerance = 1e-8)
  expect_equal(power_slope(beta = beta * (1 + 1e-6), power = .80, reliability = .65)$n, 96)
})

test_that("the detectable slope is divided by the root of the reliability", {
  found <- power_slope(n = 96, power = .80, reliability = c(1, .64, .25))
  expect_equal(found$beta * c(1, .8, .5), rep(found$beta[1], 3), tolerance = 1e-8)
  expect_equal(found$beta_observed, rep(found$beta[1], 3), tolerance = 1e-8)
})

test_that("power agrees with simulated regressions on imprecise scores", {
  set.seed(44)
  n <- 44L
  runs <- 20000L
  rho <- .6
  # Observed scores with mean 0 and mean square 1; given them, the true scores
  # have mean sqrt(rho) x and variance 1 - rho.
  x <- stats::rnorm(n)
  x <- (x - mean(x)) / sqrt(mean((x - mean(x))^2))
  true <- sqrt(rho) * x + sqrt(1 - rho) * matrix(stats::rnorm(n * runs), n)
  y <- .5 * true + sqrt(1 - .5^2) * matrix(stats::rnorm(n * runs), n)
  slope <- drop(crossprod(y, x)) / n
  residual <- sweep(y, 2L, colMeans(y)) - outer(x, slope)
  t_values <- slope / sqrt(colSums(residual^2) / (n - 2) / n)
  simulated <- mean(abs(t_values) > stats::qt(.975, n - 2))
  computed <- power_slope(n = n, beta = .5, reliability = rho)$power
  expect_lt(abs(simulated - computed), 4 * sqrt(computed * (1 - computed) / runs))
})

test_that("what cannot be solved is refused with a class", {
  wrong <- function(...) expect_error(power_slope(...), class = "samepage_error_argument")
  wrong(n = 50)
  wrong(n = 50, beta = .3, power = .8)
  wrong(n = 2, beta = .3)
  wrong(n = 50.5, beta = .3)
  wrong(n = "50", beta = .3)
  wrong(n = 50, beta = 0)
  wrong(n = 50, beta = 1)
  wrong(beta = .3, power = 1)
  wrong(beta = .3, power = .04)
  wrong(n = 50, beta = .3, reliability = 0)
  wrong(n = 50, beta = .3, alpha = NA_real_)
  wrong(n = 50, beta = .3, sides = 2)
  wrong(n = c(50, 60), beta = c(.1, .2, .3))
  wrong(beta = -.3, power = .8, alternative = "one.sided")
  wrong(beta = 1e-6, power = .8)
  wrong(n = 5, power = .99, reliability = .3)
})

test_that("printing says it in words", {
  expect_snapshot({
    power_slope(beta = c(.4, .3), power = .8)
    power_slope(n = 96, power = .8, reliability = c(1, .65))
    power_slope(n = 139, beta = .2, alternative = "one.sided")
    power_slope(n = 139, beta = .2)["power"]
    power_slope(n = 139, beta = c(-.2, .9), alternative = "one.sided")
  })
  expect_snapshot(error = TRUE, {
    power_slope(n = 50)
    power_slope(n = "50", beta = .3)
    power_slope(n = NA, beta = .3)
    power_slope(n = 5, power = .99, reliability = .3)
  })
})
