# Designs that strain double precision. Truth is an equivalent design that does not:
# the same columns on another scale give the same V and known changes of criterion
# and coefficients. Where there is none, lme4 with three optimisers.

test_that("raw days to 364 and their square lose no digits", {
  set.seed(364)
  visits <- c(4, 6, 9, 12, 5, 7, 10, 8, 11, 6, 9, 7, 5, 8, 12, 6)
  data <- data.frame(dyad = rep(seq_along(visits), visits))
  data$day <- unlist(lapply(visits, function(n) sort(sample(0:364, n))))
  data$u <- (data$day - 180) / 100
  data$y <- 20 + stats::rnorm(16, 0, 4)[data$dyad] +
    (stats::rnorm(16, 0, 2)[data$dyad] - 3) * data$u + 0.5 * data$u^2 + stats::rnorm(nrow(data))
  raw <- lmm(y ~ day + I(day^2) + (day | dyad), data)
  centred <- lmm(y ~ u + I(u^2) + (u | dyad), data)
  # [1, day, day^2] is [1, u, u^2] times a triangular matrix of determinant 100 * 100^2.
  shift <- 2 * log(100^3)
  expect_lt(abs(objective(raw) - objective(centred) - shift), tol$criterion)
  expect_equal(
    fixef(raw)[["I(day^2)"]] * 1e4, fixef(centred)[["I(u^2)"]],
    tolerance = tol$estimate
  )
  expect_equal(unname(fitted(raw)), unname(fitted(centred)), tolerance = tol$estimate)
  p <- function(fit) summary(fit)$coefficients[3L, c("df", "t value")]
  expect_equal(p(raw), p(centred), tolerance = tol$se)

  quadratic <- lmm(y ~ day + (day + I(day^2) | dyad), data)
  plain <- lmm(y ~ u + (u + I(u^2) | dyad), data)
  expect_lt(abs(objective(quadratic) - objective(plain) - 2 * log(100)), 1e-6)
})

test_that("time in calendar years or days since 1970 has the tests of time from zero", {
  set.seed(1970)
  data <- expand.grid(t = 0:5, dyad = 1:24)
  data$therapist <- (data$dyad - 1) %/% 4
  data$visit <- (data$t + data$dyad) %% 7
  data$x <- stats::rnorm(nrow(data))
  draw <- function(sd) stats::rnorm(24, 0, sd)[data$dyad]
  data$y <- draw(2) + draw(0.5) * data$t + stats::rnorm(6)[data$therapist + 1] + data$x +
    stats::rnorm(nrow(data))
  # The second has a correlation of one: both effects are multiples of one draw.
  data$z <- draw(2) * (1 + 0.3 * data$t) + stats::rnorm(nrow(data))
  for (start in c(2015, 18262)) {
    data$time <- start + data$t
    for (formula in list(
      y ~ x + t + (t | dyad), y ~ x + t + (t | dyad) + (1 | therapist),
      y ~ x + t + (t | therapist / dyad), y ~ x + t + (t | dyad) + (1 | visit),
      z ~ x + t + (t | dyad)
    )) {
      shifted <- stats::as.formula(gsub("\\bt\\b", "time", deparse(formula)))
      for (df in c("satterthwaite", "kenward-roger")) {
        near <- lmm(formula, data, df = df)
        far <- lmm(shifted, data, df = df)
        expect_identical(fit_status(far)$status, fit_status(near)$status)
        expect_equal(
          unname(summary(far)$coefficients[-1, ]), unname(summary(near)$coefficients[-1, ]),
          tolerance = tol$se
        )
        expect_equal(anova(far)$DenDF, anova(near)$DenDF, tolerance = tol$se)
        slope <- function(fit) {
          table <- summary(fit)$varcomp
          table[table$var1 %in% c("t", "time") & is.na(table$var2), -(1:3)]
        }
        if (fit_status(near)$status == "ok") {
          expect_equal(slope(far), slope(near), tolerance = tol$se, ignore_attr = TRUE)
        }
      }
    }
  }
})

test_that("nearly collinear predictors are fitted, not dropped, down to one in a million", {
  set.seed(41)
  data <- data.frame(dyad = rep(1:20, each = 6), session = rep(0:5, 20), x = stats::rnorm(120))
  data$e <- stats::rnorm(120)
  data$y <- 2 * data$x + data$e + stats::rnorm(20)[data$dyad] + stats::rnorm(120)
  apart <- lmm(y ~ x + e + (session | dyad), data)
  for (closeness in c(1e-3, 1e-6)) {
    data$almost_x <- data$x + closeness * data$e
    close <- lmm(y ~ x + almost_x + (session | dyad), data)
    expect_length(component(close, "aliased"), 0L)
    # The data themselves are rounded to 1e-16 of x, that is to 1e-16 / closeness of e.
    expect_lt(
      abs(objective(close) - objective(apart) - 2 * log(closeness)),
      tol$criterion + 1e-11 / closeness
    )
    expect_equal(
      fixef(close)[["almost_x"]] * closeness, fixef(apart)[["e"]],
      tolerance = tol$estimate
    )
    expect_equal(
      summary(close)$coefficients["almost_x", "t value"],
      summary(apart)$coefficients["e", "t value"],
      tolerance = tol$se
    )
  }
})

# The lowest criterion of lme4's three optimisers.
lowest_of_lme4 <- function(formula, data, reml = TRUE) {
  controls <- list(
    bobyqa = list(rhoend = 1e-10, maxfun = 1e5),
    Nelder_Mead = list(FtolAbs = 1e-12, FtolRel = 1e-15, XtolRel = 1e-12, maxfun = 1e5),
    nloptwrap = list(xtol_abs = 1e-10, ftol_abs = 1e-12, maxeval = 1e5)
  )
  min(vapply(names(controls), function(name) {
    fit <- suppressMessages(suppressWarnings(lme4::lmer(
      formula, data,
      REML = reml,
      control = lme4::lmerControl(
        optimizer = name, optCtrl = controls[[name]], calc.derivs = FALSE,
        check.nobs.vs.nRE = "ignore", check.nobs.vs.nlev = "ignore"
      )
    )))
    -2 * as.numeric(stats::logLik(fit))
  }, 0))
}

test_that("thousands of dyads with one session count as lme4 counts them", {
  skip_if_not_installed("lme4")
  set.seed(3000)
  sessions <- c(rep(1L, 3000), rep(4L, 60))
  data <- data.frame(dyad = rep(seq_along(sessions), sessions), session = sequence(sessions) - 1)
  data$y <- 10 - data$session + stats::rnorm(3060, 0, 2)[data$dyad] +
    stats::rnorm(3060, 0, 0.5)[data$dyad] * data$session + stats::rnorm(nrow(data))
  fit <- lmm(y ~ session + (session | dyad), data)
  expect_lt(objective(fit) - lowest_of_lme4(y ~ session + (session | dyad), data), 1e-6)
  expect_equal(dim(ranef(fit)$dyad), c(3060L, 2L))
  # One row has one prediction: its deviation, shrunk by the two variances.
  V <- VarCorr(fit)$dyad
  first <- which(data$dyad == 1L)
  expected <- V[, 1L] / (V[1L, 1L] + sigma(fit)^2) * (data$y[first] - fixef(fit)[[1L]])
  expect_equal(as.numeric(ranef(fit)$dyad["1", ]), as.numeric(expected), tolerance = tol$algebra)
})

test_that("three dyads reach the lowest of several optima", {
  skip_if_not_installed("lme4")
  for (seed in 1:12) {
    set.seed(seed)
    data <- data.frame(dyad = rep(1:3, c(3, 5, 4)), session = c(0:2, 0:4, 0:3))
    data$y <- stats::rnorm(3, 0, seed %% 4)[data$dyad] +
      stats::rnorm(3)[data$dyad] * data$session + stats::rnorm(12)
    for (formula in c(y ~ session + (session | dyad), y ~ session + (session || dyad))) {
      fit <- lmm(formula, data)
      expect_lt(objective(fit) - lowest_of_lme4(formula, data), 1e-6)
      expect_false(fit_status(fit)$status == "failed")
    }
  }
})

test_that("an optimum without random effects is found beside one with them", {
  # Six of eight dyads came once.
  rows <- data.frame(
    dyad = rep(1:8, c(1, 1, 1, 5, 5, 1, 1, 1)),
    time = c(0, 0, 0, 0:4, 0:4, 0, 0, 0),
    y = c(1.7, 2.5, 0.6, 2.4, 3.2, 3.3, 4.1, 3, 4, 4, 2.7, 2.2, 2.2, 2.8, 2.7, 4.1)
  )
  rows$square <- rows$time^2
  fit <- lmm(y ~ time + (1 + square || dyad), rows, method = "ML")
  expect_equal(objective(fit), -2 * as.numeric(logLik(lm(y ~ time, rows))), tolerance = 1e-10)
  expect_equal(fit_status(fit)$status, "boundary")
  # The other one, in which lme4 ends.
  expect_equal(objective(fit, c(0.570953, 0.00271419, 0.446087)), 43.02083, tolerance = 1e-6)
})

test_that("optima that long steps pass by are found", {
  skip_if_not_installed("lme4")
  lowest <- c(`584` = 38.80455, `1175` = 29.80613, `2503` = 33.35004, `5365` = 29.49919)
  for (seed in names(lowest)) {
    set.seed(as.integer(seed))
    data <- data.frame(dyad = rep(1:5, c(3, 2, 3, 2, 2)), time = c(0:2, 0:1, 0:2, 0:1, 0:1))
    data$x <- round(stats::rnorm(12), 1)
    data$y <- round(stats::rnorm(12) + stats::rnorm(5)[data$dyad] * 1.5, 1)
    formula <- y ~ time + (1 + x | dyad)
    fit <- lmm(formula, data)
    expect_equal(objective(fit), lowest[[seed]], tolerance = 1e-6)
    expect_lt(objective(fit) - lowest_of_lme4(formula, data), 1e-6)
  }
})

test_that("optima in small corners are found where hardly a row is to spare", {
  # Starts along the columns' directions end 1.5, 4.1 and 4.6 higher.
  lowest <- c(`83` = 108.5373, `131` = 99.13651, `77` = 117.1540)
  for (seed in names(lowest)) {
    set.seed(as.integer(seed))
    dyad <- c(1:24, sample(24, 6))
    therapist <- (dyad - 1) %/% 4 + 1
    data <- data.frame(
      dyad, therapist,
      a = stats::rnorm(30), b = stats::rnorm(30), c = stats::rnorm(30), e = stats::rnorm(30)
    )
    data$y <- 0.001 * stats::rnorm(30) + stats::rnorm(24)[dyad] * data$a +
      stats::rnorm(24)[dyad] * data$b + stats::rnorm(6)[therapist] * data$c +
      stats::rnorm(6)[therapist]
    fit <- lmm(y ~ a + (1 + b + c | dyad) + (1 + e || therapist), data)
    expect_lt(objective(fit), lowest[[seed]] + 0.001)
  }
})

test_that("a second optimum far from the boundary is found", {
  skip_if_not_installed("lme4")
  # Dyads of very different sizes, and residuals with outliers.
  for (seed in c(24, 42, 125, 164)) {
    set.seed(seed)
    sessions <- c(rep(1:3, 8), 10, 20, 60, 150, 300)
    data <- data.frame(dyad = rep(seq_along(sessions), sessions), session = sequence(sessions) - 1)
    data$y <- stats::rnorm(length(sessions), 0, 0.1)[data$dyad] + stats::rt(nrow(data), 1.2)
    fit <- lmm(y ~ session + (session | dyad), data)
    expect_lt(objective(fit) - lowest_of_lme4(y ~ session + (session | dyad), data), 1e-6)
  }
  # One outlier among dyads of one session.
  set.seed(1)
  data <- data.frame(dyad = rep(1:30, rep(c(1, 1, 3), 10)), crisis = 0)
  data$crisis[c(1:6, 11, 12)] <- 1
  data$y <- stats::rnorm(nrow(data))
  data$y[1L] <- 1e4
  formula <- y ~ crisis + (0 + crisis | dyad)
  fit <- lmm(formula, data)
  expect_identical(fit_status(fit)$status, "ok")
  expect_lt(objective(fit) - lowest_of_lme4(formula, data), 1e-6)
})

test_that("a criterion that is flat is not lowered by rounding", {
  skip_if_not_installed("lme4")
  set.seed(28)
  sessions <- sample(2:7, 5, TRUE)
  data <- data.frame(dyad = rep(1:5, sessions))
  data$therapist <- (data$dyad + 1) %/% 2
  data$arm <- factor(c("a", "b", "b", "c", "d")[data$dyad])
  data$x <- stats::rbinom(nrow(data), 1, 0.4)
  data$y <- stats::rnorm(nrow(data))
  formula <- y ~ x + arm + (1 | dyad) + (x | therapist)
  expect_lt(abs(objective(lmm(formula, data)) - lowest_of_lme4(formula, data)), 1e-6)
})

test_that("a likelihood without a maximum is named so", {
  set.seed(1)
  data <- data.frame(dyad = rep(1:8, 3), session = rep(0:2, each = 8))
  # Nothing changes within dyads.
  data$y <- stats::rnorm(8)[data$dyad]
  for (method in c("REML", "ML")) {
    status <- fit_status(lmm(y ~ session + (1 | dyad), data, method = method))
    expect_identical(status$status, "failed")
    expect_match(status$reason, "the likelihood has no maximum")
    expect_match(format(status), "More rows are needed, or fewer effects. Do not use", fixed = TRUE)
  }
  # One row that differs, and it has.
  data$y[3L] <- data$y[3L] + 0.001
  expect_identical(fit_status(lmm(y ~ session + (1 | dyad), data))$status, "ok")
})

test_that("as many rows as columns is refused, one row more is fitted", {
  set.seed(7)
  X <- matrix(stats::rnorm(24), 6)
  data <- data.frame(dyad = rep(1:3, each = 2), y = stats::rnorm(6), z = stats::rnorm(6))
  data$X <- X
  expect_error(lmm(y ~ X + z + (1 | dyad), data), class = "samepage_error_few_rows")
  fit <- lmm(y ~ X + (1 | dyad), data)
  design <- list(
    X = cbind(1, X), y = data$y, Z = matrix(1, 6, 1), groups = list(data$dyad), weights = NULL
  )
  blocks <- list(list(level = 1L, columns = 1L))
  at <- function(g) {
    s <- function(log_s) reference_criterion(design, blocks, c(g, 1) * exp(log_s))$criterion
    stats::optimize(s, c(-15, 5), tol = 1e-8)$objective
  }
  lowest <- min(vapply(c(0, 10^seq(-3, 3, 0.25)), at, 0))
  expect_lt(objective(fit), lowest + 1e-6)
})

test_that("five uncorrelated effects of one unit reach their optimum", {
  skip_if_not_installed("lme4")
  set.seed(524)
  data <- data.frame(
    dyad = rep(1:40, each = 12), session = rep(0:11, 40), x = stats::rnorm(480),
    z = stats::rnorm(480), w = as.numeric(stats::runif(480) < 0.4)
  )
  effects <- matrix(stats::rnorm(200), 40) %*% diag(c(2, 0.3, 1, 1.5, 60))
  data$y <- rowSums(cbind(1, data$session, data$x, data$z, data$w) * effects[data$dyad, ]) +
    stats::rnorm(480)
  formula <- y ~ x + (1 + session + x + z + w || dyad)
  fit <- lmm(formula, data)
  expect_lt(objective(fit) - lowest_of_lme4(formula, data), 1e-6)
})

test_that("numbers are computed with over 140 orders of magnitude, others refused in words", {
  data <- as.data.frame(nlme::Orthodont)
  plain <- summary(lmm(distance ~ age + (age | Subject), data, df = "kenward-roger"))$coefficients
  of <- function(y, x) {
    data$y <- y * data$distance
    data$x <- x * data$age
    fit <- lmm(y ~ x + (x | Subject), data, df = "kenward-roger")
    table <- summary(fit)$coefficients
    table[, 1:2] <- table[, 1:2] / (y * c(1, 1 / x))
    table
  }
  for (size in list(c(1e12, 1), c(1e-12, 1), c(1, 1e12), c(1e60, 1), c(1e-60, 1e-4), c(1, 1e-60))) {
    expect_equal(of(size[1], size[2]), plain, tolerance = tol$estimate, ignore_attr = TRUE)
  }
  for (size in list(
    c(1e100, 1), c(1e-100, 1), c(1, 1e100), c(1, 1e-100), c(1e200, 1), c(1e-200, 1)
  )) {
    expect_error(of(size[1], size[2]), "other units", class = "samepage_error_size")
  }
})
