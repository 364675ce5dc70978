test_that("Wald intervals of fixed effects are lmerTest's t intervals", {
  skip_if_not_installed("lmerTest")
  data <- as.data.frame(nlme::Orthodont)
  fit <- lmm(distance ~ Sex * age + (1 | Subject), data = data)
  peer <- summary(tight_lmer(distance ~ Sex * age + (1 | Subject), data))$coefficients
  ours <- confint(fit, "beta_", level = 0.9)
  reach <- stats::qt(0.95, peer[, "df"]) * peer[, "Std. Error"]
  expect_equal(ours[, 1], peer[, "Estimate"] - reach, tolerance = tol$se)
  expect_equal(ours[, 2], peer[, "Estimate"] + reach, tolerance = tol$se)
  expect_identical(colnames(ours), c("5 %", "95 %"))
})

test_that("Wald may be written as lme4 writes it", {
  fit <- lmm(distance ~ age + (1 | Subject), data = nlme::Orthodont)
  expect_identical(confint(fit, method = "Wald"), confint(fit, method = "wald"))
})

test_that("rows are named and ordered as lme4's", {
  skip_if_not_installed("lme4")
  data(sleepstudy, package = "lme4", envir = environment())
  fit <- lmm(Reaction ~ Days + (Days | Subject), data = sleepstudy)
  peer <- lme4::lmer(Reaction ~ Days + (Days | Subject), sleepstudy)
  theirs <- stats::confint(peer, method = "Wald", oldNames = FALSE)
  expect_identical(rownames(confint(fit)), rownames(theirs))
  expect_identical(colnames(confint(fit)), colnames(theirs))
  expect_identical(confint(fit, 2:3), confint(fit)[2:3, ])
  expect_identical(confint(fit, "Days"), confint(fit)["Days", , drop = FALSE])
  expect_identical(rbind(confint(fit, "theta_"), confint(fit, "beta_")), confint(fit))
  expect_error(confint(fit, "days"), "Days", class = "samepage_error_argument")
  expect_error(confint(fit, 9), class = "samepage_error_argument")
  expect_error(confint(fit, method = "bayes"), class = "samepage_error_argument")
})

test_that("intervals of standard deviations are square roots of the variances'", {
  fit <- lmm(distance ~ age + (age | Subject), data = nlme::Orthodont)
  table <- summary(fit)$varcomp
  variances <- is.na(table$var2)
  expect_equal(
    unname(confint(fit, "theta_")[variances, ]^2),
    unname(as.matrix(table[variances, c("conf.low", "conf.high")]))
  )
})

test_that("the error of a correlation is that of numerical differentiation", {
  skip_if_not_installed("numDeriv")
  fit <- lmm(distance ~ age + (age | Subject), data = nlme::Orthodont)
  at <- summary(fit)$varcomp$estimate
  gradient <- numDeriv::grad(function(v) atanh(v[2] / sqrt(v[1] * v[3])), at)
  error <- sqrt(drop(gradient %*% component(fit, "vcov_parameters") %*% gradient))
  interval <- confint(fit, 2)
  expect_equal(atanh(interval[2]) - atanh(interval[1]), 2 * stats::qnorm(0.975) * error)
  tidied <- tidy(fit, "ran_pars")
  rho <- tidied$estimate[2]
  expect_equal(tidied$std.error[2], error * (1 - rho^2))
})

test_that("on a boundary nothing is made up, and one fixed effect keeps its name", {
  skip_if_not_installed("lme4")
  data(Dyestuff2, package = "lme4", envir = environment())
  intervals <- confint(lmm(Yield ~ 1 + (1 | Batch), data = Dyestuff2))
  expect_identical(rownames(intervals), c("sd_(Intercept)|Batch", "sigma", "(Intercept)"))
  expect_true(all(is.na(intervals[1, ])))
  expect_false(anyNA(intervals[-1, ]))
  both <- confint(lmm(y ~ session + (session | dyad), data = perfect_correlation_data()))
  expect_true(all(is.na(both["cor_session.(Intercept)|dyad", ])))
})

test_that("Satterthwaite's interval of a balanced residual variance is the exact one", {
  skip_if_not_installed("lme4")
  data(list = c("Dyestuff", "Dyestuff2"), package = "lme4", envir = environment())
  within <- stats::anova(stats::lm(Yield ~ Batch, Dyestuff))["Residuals", ]
  fit <- lmm(Yield ~ 1 + (1 | Batch), data = Dyestuff)
  ours <- confint(fit, method = "satterthwaite", level = 0.9)
  exact <- sqrt(within[["Sum Sq"]] / stats::qchisq(c(0.95, 0.05), within$Df))
  expect_equal(unname(ours["sigma", ]), exact, tolerance = tol$estimate)
  expect_identical(ours["(Intercept)", ], confint(fit, level = 0.9)["(Intercept)", ])
  # Between batches: the chi-square of Satterthwaite (1946) for a difference of mean squares.
  between <- stats::anova(stats::lm(Yield ~ Batch, Dyestuff))["Batch", ]
  v <- (between[["Mean Sq"]] - within[["Mean Sq"]]) / 5
  df <- v^2 / ((between[["Mean Sq"]] / 5)^2 / between$Df + (within[["Mean Sq"]] / 5)^2 / within$Df)
  expect_equal(
    unname(ours[1, ]), sqrt(df * v / stats::qchisq(c(0.95, 0.05), df)),
    tolerance = tol$estimate
  )
  zero <- confint(lmm(Yield ~ 1 + (1 | Batch), data = Dyestuff2), method = "satterthwaite")
  expect_true(all(is.na(zero[1, ])))
  growth <- lmm(distance ~ age + (age | Subject), data = nlme::Orthodont)
  expect_identical(confint(growth, 2, method = "satterthwaite"), confint(growth, 2))
})

# --- profile ---------------------------------------------------------------------

test_that("profile intervals of sleepstudy are lme4's", {
  skip_if_not_installed("lme4")
  data(sleepstudy, package = "lme4", envir = environment())
  ours <- confint(lmm(Reaction ~ Days + (Days | Subject), data = sleepstudy), method = "profile")
  peer <- lme4::lmer(Reaction ~ Days + (Days | Subject), sleepstudy)
  theirs <- suppressMessages(stats::confint(peer, method = "profile", oldNames = FALSE))
  # lme4 interpolates between points of the profile.
  expect_equal(ours, theirs, tolerance = 2e-5)
})

# One-way balanced data by closed form: m groups of n, full likelihood.
one_way_rise <- function(y, group) {
  n <- length(y) / length(unique(group))
  m <- length(unique(group))
  criterion <- function(center) {
    means <- tapply(y - center, group, mean)
    within <- sum((y - center - means[as.character(group)])^2)
    between <- n * sum(means^2)
    s <- within / (m * (n - 1))
    l <- between / m
    if (l < s) {
      s <- l <- (within + between) / (m * n)
    }
    m * (n - 1) * log(s) + within / s + m * log(l) + between / l
  }
  function(center) criterion(center) - criterion(mean(y))
}

test_that("a correlation of one has no Wald interval, as its page says", {
  fit <- lmm(bdi ~ session + (session | therapist / patient), study1)
  for (method in c("wald", "satterthwaite")) {
    ends <- confint(fit, "cor_session.(Intercept)|therapist", method = method)
    expect_true(all(is.na(ends)) && !any(is.nan(ends)))
  }
})

test_that("the profile of a mean over a boundary is the closed form's", {
  skip_if_not_installed("lme4")
  data(list = c("Dyestuff", "Dyestuff2"), package = "lme4", envir = environment())
  for (data in list(Dyestuff, Dyestuff2)) {
    rise <- one_way_rise(data$Yield, data$Batch)
    ours <- confint(
      lmm(Yield ~ 1 + (1 | Batch), data = data), "(Intercept)", method = "profile", level = 0.9
    )
    expect_equal(vapply(ours, rise, 0), rep(stats::qchisq(0.9, 1), 2), tolerance = 1e-6)
  }
  # No interval below a standard deviation of zero.
  expect_identical(
    confint(lmm(Yield ~ 1 + (1 | Batch), data = Dyestuff2), 1, method = "profile")[[1]], 0
  )
})

test_that("ends of the restricted profile are where the restricted criterion says", {
  fit <- lmm(height ~ age + (age | Subject), data = nlme::Oxboys)
  ends <- confint(fit, "theta_", method = "profile", reml = TRUE)
  expect_true(all(ends[, 1] < ends[, 2]))
  # Held at an end, the best of all other parameters is 3.84 above the minimum: a
  # general optimiser on standard deviations and Fisher's z of the correlation.
  held_minimum <- function(row, value) {
    unpack <- function(x) {
      at <- c(exp(x[1]), tanh(x[2]), exp(x[3]), exp(x[4]))
      at[row] <- value
      c(at[1]^2, at[1] * at[2] * at[3], at[3]^2, at[4]^2)
    }
    estimates <- tidy(fit, "ran_pars")$estimate
    start <- c(log(estimates[1]), atanh(estimates[2]), log(estimates[3:4]))
    criterion <- function(x) {
      tryCatch(objective(fit, unpack(x)), error = function(condition) 1e6)
    }
    for (i in 1:3) {
      best <- stats::optim(start, criterion, control = list(reltol = 1e-15, maxit = 3000))
      start <- best$par
    }
    best$value - objective(fit)
  }
  for (row in 1:4) {
    for (end in 1:2) {
      if (ends[row, end] %in% c(0, -1, 1)) next
      expect_equal(held_minimum(row, ends[row, end]), stats::qchisq(0.95, 1), tolerance = 1e-5)
    }
  }
})

test_that("the slope of a profile's rise is its derivative, whatever is held", {
  fit <- lmm(distance ~ age + (age + I(age^2) | Subject), data = nlme::Orthodont)
  for (row in c(1L, 2L, 5L, 6L, 7L)) {
    held <- hold_parameter(fit, row)
    value <- if (held$kind == "cor") -0.3 else 1.1 * sd_correlations(fit)$value[row]
    # Off the optimum, and with signs of either kind.
    moving <- free_starts(fit, held)[[2L]] * rep_len(c(1.2, -0.8, 0.9), 6L)
    moving[6L] <- if (held$kind == "sigma") moving[6L] else abs(moving[6L])
    slope <- vapply(seq_along(moving), function(i) {
      step <- replace(numeric(6L), i, 1e-5 * max(abs(moving[i]), 0.1))
      ahead <- rise_at(fit, held, value, moving + step)$rise
      (ahead - rise_at(fit, held, value, moving - step)$rise) / (2 * step[i])
    }, numeric(1))
    expect_equal(rise_at(fit, held, value, moving)$slope, slope, tolerance = 1e-5)
  }
  expect_identical(unique(vapply(1:7, function(i) hold_parameter(fit, i)$kind, "")),
    c("sd", "cor", "sigma"))
})

test_that("profiles on a perfect correlation end at one", {
  fit <- lmm(y ~ session + (session | dyad), data = perfect_correlation_data())
  ends <- confint(fit, method = "profile")
  expect_identical(ends["cor_session.(Intercept)|dyad", 2], 1)
  expect_false(anyNA(ends))
  expect_error(
    confint(lmm(y ~ 1 + (1 | dyad), data = perfect_correlation_data(), method = "ML"),
      method = "profile", reml = TRUE
    ),
    "by ML", class = "samepage_error_argument"
  )
})

test_that("profile ends hold where the others' minimum moves from or to a boundary", {
  # Dyads with a slope that goes with the intercept: the correlation is near its bound.
  draw <- function(seed) {
    set.seed(seed)
    m <- 7 + seed %% 6
    intercept <- stats::rnorm(m)
    slope <- 0.4 * (0.9 * intercept + sqrt(1 - 0.9^2) * stats::rnorm(m))
    data <- expand.grid(time = 0:3, dyad = seq_len(m))
    data$y <- intercept[data$dyad] + slope[data$dyad] * data$time + stats::rnorm(4 * m)
    data
  }
  # The rise by a search without derivatives or L, from several points.
  rise <- function(fit, row, value) {
    free <- setdiff(1:4, row)
    criterion <- function(x) {
      at <- c(exp(x[1]), tanh(x[2]), exp(x[3:4]))
      at[row] <- value
      objective(fit, c(at[1]^2, prod(at[1:3]), at[3]^2, at[4]^2))
    }
    lowest <- lapply(c(-1.5, 0, 1.5), function(z) {
      x <- stats::optim(c(0, z, -1, 0), criterion, control = list(maxit = 5000, reltol = 1e-13))
      stats::optim(x$par, criterion, control = list(maxit = 5000, reltol = 1e-13))$value
    })
    min(unlist(lowest)) - deviance(fit)
  }
  for (seed in c(2, 13, 22, 23, 32)) {
    fit <- lmm(y ~ time + (time | dyad), data = draw(seed), method = "ML")
    ends <- confint(fit, "theta_", method = "profile")
    expect_false(anyNA(ends))
    inside <- which(!(ends %in% c(-1, 0, 1)))
    for (i in inside) {
      expect_equal(rise(fit, row(ends)[i], ends[i]), stats::qchisq(0.95, 1), tolerance = 1e-4)
    }
  }
})

test_that("a profile's end is not taken from a standard deviation of zero that is no minimum", {
  # The rise over the one other standard deviation, by a search that needs no slope.
  set.seed(460)
  m <- sample(c(5, 8, 12, 20, 40), 1)
  g <- rep(1:m, sample(2:6, m, TRUE))
  x <- stats::rnorm(length(g))
  s <- sample(c(0, 0.1, 0.3, 1), 2, TRUE)
  time <- stats::ave(g, g, FUN = seq_along) - 1
  y <- 2 + 0.3 * x + s[1] * stats::rnorm(m)[g] + s[2] * stats::rnorm(m)[g] * time * 0.6 +
    stats::rnorm(length(g))
  fit <- lmm(y ~ x + (1 | g), data.frame(g, x, y), method = "ML")
  for (end in confint(fit, "sigma", method = "profile")) {
    lowest <- stats::optimize(function(z) objective(fit, c(exp(z), end^2)), c(-12, 4), tol = 1e-9)
    expect_equal(lowest$objective - objective(fit), stats::qchisq(0.95, 1), tolerance = 1e-6)
  }
})

test_that("a correlation ends nowhere when one of its effects may be nothing", {
  set.seed(86)
  m <- sample(c(4, 6, 10, 25), 1)
  g <- rep(1:m, sample(2:6, m, TRUE))
  x <- stats::rnorm(length(g))
  s <- sample(c(0, 0.3, 1), 2, TRUE)
  time <- stats::ave(g, g, FUN = seq_along) - 1
  y <- 2 + 0.3 * x + s[1] * stats::rnorm(m)[g] + s[2] * stats::rnorm(m)[g] * time * 0.6 +
    stats::rnorm(length(g))
  data <- data.frame(g, x, y)
  fit <- lmm(y ~ 1 + (x | g), data, method = "ML")
  without <- lmm(y ~ 1 + (1 | g), data, method = "ML")
  # Without the slope every correlation is as good.
  expect_lt(objective(without) - objective(fit), stats::qchisq(0.95, 1))
  expect_equal(confint(fit, 2, method = "profile")[1, ], c(-1, 1), ignore_attr = TRUE)
})

test_that("intervals of a failed fit come with a message", {
  # Nothing changes within dyads: the likelihood has no maximum.
  data <- data.frame(dyad = rep(1:8, 3), y = rep(c(3, 1, 4, 1, 5, 9, 2, 6), 3))
  fit <- lmm(y ~ 1 + (1 | dyad), data)
  expect_message(confint(fit), "must not be used", class = "samepage_message_failed_fit")
})

test_that("weights and offsets are in the profile of a coefficient", {
  data <- as.data.frame(nlme::Orthodont)
  data$w <- rep(1:4, 27)
  plain <- lmm(distance ~ age + (1 | Subject), data = data, weights = w)
  shifted <- lmm(distance ~ age + offset(age) + (1 | Subject), data = data, weights = w)
  expect_equal(
    confint(plain, "age", method = "profile"), confint(shifted, "age", method = "profile") + 1,
    tolerance = tol$criterion
  )
})

# --- bootstrap ---------------------------------------------------------------------

test_that("bootstrap intervals are percentiles of refits, and repeat with their seed", {
  data <- as.data.frame(nlme::Orthodont)
  fit <- lmm(distance ~ age + (age | Subject), data = data)
  ours <- confint(fit, method = "boot", nsim = 60, seed = 4)
  estimates <- attr(ours, "estimates")
  expect_identical(dim(estimates), c(60L, 6L))
  # The same draws, refitted by hand.
  draws <- simulate(fit, nsim = 60, seed = 4)
  first <- data
  first$distance <- draws[[1]]
  again <- lmm(distance ~ age + (age | Subject), data = first)
  expect_equal(unname(estimates[1, 5:6]), unname(fixef(again)), tolerance = 1e-7)
  expect_equal(estimates[[1, "sigma"]], sigma(again), tolerance = 1e-7)
  expect_equal(
    unname(ours["age", ]),
    stats::quantile(estimates[, "age"], c(0.025, 0.975), type = 6, names = FALSE)
  )
  expect_identical(confint(fit, method = "boot", nsim = 60, seed = 4), ours)
  shown <- utils::capture.output(print(ours))
  expect_length(shown, 8L)
  expect_match(shown[8], "From 60 simulated responses.", fixed = TRUE)
  wald <- confint(fit, "beta_")
  boot <- confint(fit, "beta_", method = "boot", nsim = 400, seed = 5)
  expect_lt(max(abs(boot - wald) / (wald[, 2] - wald[, 1])), 0.15)
})
