# Tests of random effects: closed forms, the asymptotic and the finite-sample null
# distribution, lmerTest's ranova.

# Balanced one-way data, m groups of n: mean squares between and within.
one_way_squares <- function(y, group) {
  table <- stats::anova(stats::lm(y ~ factor(group)))
  list(between = table[1, "Mean Sq"], within = table[2, "Mean Sq"], df = table$Df)
}

# The restricted likelihood ratio as a function of the two mean squares.
one_way_statistic <- function(squares) {
  with(squares, if (between <= within) {
    0
  } else {
    pooled <- sum(df * c(between, within)) / sum(df)
    sum(df) * log(pooled) - sum(df * log(c(between, within)))
  })
}

test_that("one variance component is tested as the closed form says", {
  skip_if_not_installed("lme4")
  data(list = c("Dyestuff", "Dyestuff2"), package = "lme4", envir = environment())
  squares <- one_way_squares(Dyestuff$Yield, Dyestuff$Batch)
  test <- test_random(lmm(Yield ~ 1 + (1 | Batch), data = Dyestuff), nsim = 4000, seed = 1)
  expect_equal(test$statistic, one_way_statistic(squares), tolerance = tol$criterion)
  expect_equal(test$p.value, stats::pchisq(test$statistic, 1, lower.tail = FALSE) / 2)
  expect_equal(test$p.naive, stats::pchisq(test$statistic, 1, lower.tail = FALSE))
  # The statistic rises with F, so its exact p is that of F, .0044: less than the .0058
  # of the mixture, which is for many batches.
  exact <- stats::pf(
    squares$between / squares$within, squares$df[1], squares$df[2],
    lower.tail = FALSE
  )
  expect_lt(abs(test$p.simulated - exact), 4 * sqrt(exact / 4000))
  expect_gt(test$p.value, 1.2 * exact)

  none <- test_random(lmm(Yield ~ 1 + (1 | Batch), data = Dyestuff2), nsim = 50, seed = 1)
  expect_identical(c(none$statistic, none$p.value, none$p.naive, none$p.simulated), c(0, 1, 1, 1))
})

test_that("with many units the mixture is the exact distribution of one component", {
  # P(statistic >= x) by the F distribution, 5,000 groups of 3.
  m <- 5000
  df <- c(m - 1, 2 * m)
  for (x in c(1, 2.7, 6.6)) {
    ratio <- stats::uniroot(function(f) {
      one_way_statistic(list(between = f, within = 1, df = df)) - x
    }, c(1, 2), tol = 1e-12)$root
    exact <- stats::pf(ratio, df[1], df[2], lower.tail = FALSE)
    expect_equal(mixture_p(x, c(`0` = 0.5, `1` = 0.5)), exact, tolerance = 0.02)
  }
})

test_that("statistics and naive p are those of lmerTest's ranova", {
  skip_if_not_installed("lmerTest")
  data(list = c("sleepstudy", "Pastes", "Penicillin"), package = "lme4", envir = environment())
  machines <- as.data.frame(nlme::Machines)
  machines$Worker <- factor(as.character(machines$Worker))
  for (case in list(
    list(Reaction ~ Days + (Days | Subject), sleepstudy),
    list(Reaction ~ Days + (Days || Subject), sleepstudy),
    list(Reaction ~ Days + (Days + I(Days^2) | Subject), sleepstudy),
    list(strength ~ 1 + (1 | batch / cask), Pastes),
    list(diameter ~ 1 + (1 | plate) + (1 | sample), Penicillin),
    list(score ~ Machine + (1 | Worker / Machine), machines),
    list(score ~ Machine + (Machine | Worker), machines)
  )) {
    fit <- lmm(case[[1]], data = case[[2]])
    peer <- tight_lmer(case[[1]], case[[2]])
    for (reduce in c(TRUE, FALSE)) {
      ours <- test_random(fit, reduce = reduce)
      theirs <- suppressWarnings(suppressMessages(
        lmerTest::ranova(peer, reduce.terms = reduce)
      ))[-1, ]
      order <- match(ours$m2ll, sort(ours$m2ll))
      theirs <- theirs[order(-theirs$logLik), ][order, ]
      expect_equal(ours$statistic, theirs$LRT, tolerance = 1e-6)
      expect_equal(ours$df, theirs$Df)
      expect_equal(ours$p.naive, theirs[["Pr(>Chisq)"]], tolerance = 1e-5)
      expect_true(all(ours$p.value <= ours$p.naive))
    }
  }
})

test_that("each test is that of the two fits", {
  data <- drawn_sample()
  fit <- lmm(bdi ~ session + (session | patient) + (1 | therapist), data = data, method = "ML")
  tests <- test_random(fit)
  expect_identical(
    row.names(tests), c("session in (session | patient)", "(1 | therapist)")
  )
  no_slope <- lmm(bdi ~ session + (1 | patient) + (1 | therapist), data = data, method = "ML")
  no_therapist <- lmm(bdi ~ session + (session | patient), data = data, method = "ML")
  expect_equal(tests$m2ll, c(objective(no_slope), objective(no_therapist)), tolerance = 1e-10)
  expect_equal(tests$df, c(2, 1))
  expect_identical(tests$term, c("session", "(1 | therapist)"))
})

test_that("weights and offsets are in the smaller model, also in one without random effects", {
  data <- as.data.frame(nlme::Orthodont)
  data$w <- rep(1:4, 27)
  data$known <- data$age / 3
  for (method in c("REML", "ML")) {
    fit <- lmm(distance ~ age + offset(known) + (1 | Subject), data, method, weights = w)
    plain <- stats::lm(distance ~ age + offset(known), data, weights = w)
    expect_equal(
      test_random(fit)$m2ll, -2 * as.numeric(stats::logLik(plain, REML = method == "REML")),
      tolerance = 1e-10
    )
  }
})

test_that("simulated p use the rows that the fit used", {
  data <- as.data.frame(nlme::Orthodont)
  data$distance[5] <- NA
  p <- function(data, ...) {
    fit <- suppressMessages(lmm(distance ~ age + (age | Subject), data, ...))
    test_random(fit, nsim = 40, seed = 3)$p.simulated
  }
  expect_identical(p(data, na.action = stats::na.exclude), p(data[-5, ]))
})

test_that("variables leave a term by their own columns, the containing ones first", {
  set.seed(2)
  data <- data.frame(unit = rep(1:40, each = 12), a = gl(3, 4, 480), x = stats::rnorm(480))
  data$y <- stats::rnorm(40)[data$unit] + stats::rnorm(480)
  fit <- lmm(y ~ 1 + (a + x | unit), data)
  tests <- test_random(fit)
  expect_identical(row.names(tests), c("a in (a + x | unit)", "x in (a + x | unit)"))
  expect_equal(tests$df, c(2 * 2 + 3, 4))
  expect_equal(
    tests$m2ll,
    c(objective(lmm(y ~ 1 + (x | unit), data)), objective(lmm(y ~ 1 + (a | unit), data)))
  )
  crossed <- test_random(lmm(y ~ 1 + (a * x | unit), data))
  expect_identical(crossed$term, "a:x")
  whole <- test_random(lmm(y ~ 1 + (0 + a | unit), data))
  expect_identical(whole$term, "(0 + a | unit)")
  expect_match(whole$mixture, "at most .5 chi2(5) + .5 chi2(6)", fixed = TRUE)
})

# --- the mixture ---------------------------------------------------------------

test_that("weights of two effects at once are the circular cone's, and the simulated cone's", {
  # In the metric of the matrix itself the cone is circular, of half angle 45 degrees.
  ball <- (1 - sqrt(0.5)) / 2
  expect_equal(
    cone_weights(diag(c(1, 2, 1))), c(ball, sqrt(0.5) / 2, sqrt(0.5) / 2, ball),
    tolerance = tol$algebra
  )
  # In another metric: how often a normal vector lies in the cone, or in its polar cone.
  information <- matrix(c(2, 0.9, 0.3, 0.9, 3, 0.2, 0.3, 0.2, 0.5), 3)
  set.seed(4)
  z <- backsolve(chol(information), matrix(stats::rnorm(6e5), 3))
  inside <- z[1, ] > 0 & z[1, ] * z[3, ] > z[2, ]^2
  dual <- -information %*% z
  polar <- dual[1, ] > 0 & dual[1, ] * dual[3, ] > dual[2, ]^2 / 4
  weights <- cone_weights(information)
  expect_equal(sum(weights), 1)
  expect_lt(abs(weights[4] - mean(inside)), 4 * sqrt(0.25 / 2e5))
  expect_lt(abs(weights[1] - mean(polar)), 4 * sqrt(0.25 / 2e5))
})

test_that("under the null hypothesis p is below a level as often as the level says", {
  set.seed(12)
  data <- data.frame(unit = rep(1:150, each = 5), t = rep(-2:2, 150))
  size <- function(make, formula, reduce, levels = c(0.05, 0.2)) {
    data$y <- make()
    fit <- lmm(formula, data)
    p <- replicate(1500, test_random(refit(fit, make()), reduce = reduce)$p.value)
    vapply(levels, function(level) mean(p < level), 0)
  }
  error <- 4 * sqrt(c(0.05 * 0.95, 0.2 * 0.8) / 1500)
  # A slope that is not there, among random intercepts: half and half of 1 and 2.
  levels_only <- function() stats::rnorm(150)[data$unit] + stats::rnorm(750)
  slope <- size(levels_only, y ~ t + (t | unit), TRUE)
  expect_true(all(abs(slope - c(0.05, 0.2)) < error))
  # Neither intercepts nor slopes: four weights.
  both <- size(function() stats::rnorm(750), y ~ t + (t | unit), FALSE)
  expect_true(all(abs(both - c(0.05, 0.2)) < error))
})

test_that("the simulated p is that of the finite-sample distribution", {
  # Crainiceanu and Ruppert (2004): with one variance component the restricted likelihood
  # ratio is a function of independent normal variables and the eigenvalues of
  # Z'(I - X (X'X)^-1 X')Z, maximised over the ratio of the variances.
  set.seed(9)
  sizes <- c(2, 9, 3, 3, 12, 2, 5)
  unit <- rep(seq_along(sizes), sizes)
  data <- data.frame(unit, x = stats::rnorm(length(unit)))
  data$y <- data$x + 0.55 * stats::rnorm(7)[unit] + stats::rnorm(length(unit))
  X <- cbind(1, data$x)
  Z <- outer(unit, 1:7, "==") + 0
  mu <- eigen(crossprod(Z, stats::lm.fit(X, Z)$residuals), symmetric = TRUE)$values
  mu <- mu[mu > 1e-9]
  nu <- nrow(X) - 2
  lambda <- c(0, exp(seq(-7, 5, length.out = 300)))
  draws <- replicate(4000, {
    w <- stats::rnorm(length(mu))^2
    rest <- stats::rchisq(1, nu - length(mu))
    shrink <- 1 / (1 + outer(mu, lambda))
    numerator <- colSums(w * outer(mu, lambda) * shrink)
    max(nu * log(1 + numerator / (colSums(w * shrink) + rest)) + colSums(log(shrink)))
  })
  test <- test_random(lmm(y ~ x + (1 | unit), data), nsim = 4000, seed = 1)
  exact <- mean(draws >= test$statistic)
  expect_gt(exact, 0.005)
  expect_lt(exact, 0.3)
  expect_lt(abs(test$p.simulated - exact), 4 * sqrt(2 * exact * (1 - exact) / 4000))
})

test_that("bad arguments are refused in words", {
  fit <- lmm(distance ~ age + (1 | Subject), data = nlme::Orthodont)
  expect_error(test_random(stats::lm(1:3 ~ 1)), "lmm", class = "samepage_error_argument")
  expect_error(test_random(fit, reduce = NA), "reduce", class = "samepage_error_argument")
  expect_error(test_random(fit, nsim = -1), "nsim", class = "samepage_error_argument")
})

test_that("printing says what was left out and where p is from", {
  skip_if_not_installed("lme4")
  data(sleepstudy, package = "lme4", envir = environment())
  fit <- lmm(Reaction ~ Days + (Days | Subject), data = sleepstudy)
  three <- lmm(
    distance ~ age + (age | Sex / Subject),
    data = transform(nlme::Orthodont, Sex = paste(Sex, as.integer(Subject) %% 3))
  )
  expect_snapshot({
    test_random(fit, nsim = 99, seed = 1)
    test_random(fit, reduce = FALSE)
    test_random(three)
  })
})
