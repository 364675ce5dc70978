test_that("scores equal lm() per dyad on dyads with gaps and irregular times", {
  for (seed in 1:3) {
    data <- simulate_raters(seed)
    for (early in c("first", "intercept")) {
      expected <- oracle_scores(data, "dyad", "t", "p", "q", early = early)
      expect_scores_equal_oracle(p + q ~ t | dyad, data, expected, early)
    }
  }
})

test_that("scores equal lm() per couple on the couples data", {
  couples <- utils::read.csv(shared_path("data", "couples", "daily.csv"))
  for (mood in c("anxiety", "sadness", "vigor", "contentment")) {
    man <- paste0("man_", mood)
    woman <- paste0("woman_", mood)
    formula <- stats::reformulate("day | couple", str2lang(paste(man, "+", woman)))
    expected <- oracle_scores(couples, "couple", "day", man, woman)
    expect_scores_equal_oracle(formula, couples, expected)
  }
})

test_that("scores equal lm() per dyad where a third of the ratings is taken out", {
  set.seed(34)
  data <- drawn_sample()
  data$wai_patient[stats::runif(nrow(data)) < .3] <- NA
  data$wai_therapist[stats::runif(nrow(data)) < .4] <- NA
  data <- data[stats::runif(nrow(data)) < .8, ]
  expected <- oracle_scores(data, "patient", "session", "wai_patient", "wai_therapist")
  formula <- wai_patient + wai_therapist ~ session | patient
  expect_scores_equal_oracle(formula, data, expected)
})

test_that("large offsets and scales of time cost no digits", {
  data <- simulate_raters(4)
  expected <- oracle_scores(data, "dyad", "t", "p", "q")
  same <- setdiff(names(expected), c("intercept_p", "intercept_q"))
  # A million, and a day in seconds since 1970.
  for (offset in c(1e6, 1700000000)) {
    shifted <- transform(data, t = t + offset)
    expect_scores_equal_oracle(p + q ~ t | dyad, shifted, expected[same])
    scores <- suppressMessages(convergence(p + q ~ t | dyad, shifted))
    expect_equal(
      scores$intercept_p, expected$intercept_p - offset * expected$slope_p,
      tolerance = tol$algebra
    )
  }
  dates <- transform(data, t = as.numeric(as.Date("2024-02-29")) + 8 * t)
  scores <- suppressMessages(convergence(p + q ~ t | dyad, dates))
  expect_equal(8 * scores$convergence, expected$fitted, tolerance = tol$algebra)
  for (scale in c(1e-6, 1e6)) {
    scaled <- transform(data, t = t * scale)
    scores <- suppressMessages(convergence(p + q ~ t | dyad, scaled))
    expect_equal(scores$convergence * scale, expected$fitted, tolerance = tol$algebra)
  }
})

test_that("large offsets and scales of the ratings cost no digits", {
  data <- simulate_raters(5)
  # Quarters, which stay exact with a million added.
  data <- transform(data, p = round(4 * p) / 4, q = round(4 * q) / 4)
  for (definition in definitions_all) {
    plain <- suppressMessages(convergence(p + q ~ t | dyad, data, definition))
    shifted <- transform(data, p = p + 1e6, q = q + 1e6)
    shifted <- suppressMessages(convergence(p + q ~ t | dyad, shifted, definition))
    same <- c(
      "slope_p", "slope_se_p", "slope_se_q", "development", "early_discrepancy", "convergence",
      "convergence_se"
    )
    expect_equal(
      as.data.frame(shifted)[same], as.data.frame(plain)[same],
      tolerance = tol$algebra
    )
    scaled <- transform(data, p = p * 1e-7, q = q * 1e-7)
    scaled <- suppressMessages(convergence(p + q ~ t | dyad, scaled, definition))
    power <- if (definition == "squared") 1e-14 else 1e-7
    expect_equal(scaled$convergence / power, plain$convergence, tolerance = tol$algebra)
    expect_equal(scaled$convergence_se / power, plain$convergence_se, tolerance = tol$algebra)
    expect_equal(reliability(scaled), reliability(plain), tolerance = tol$criterion)
  }
})

test_that("a dyad worked by hand", {
  # P = 3, 5, 4 and T = 6, 5, 7 at sessions 1, 2, 4, and T = 5 alone at 6.
  data <- data.frame(
    dyad = c(1, 1, 1, 1, 2, 2), session = c(1, 2, 4, 6, 1, 3), p = c(3, 5, 4, NA, 2, 3),
    q = c(6, 5, 7, 5, 4, 4)
  )
  run <- function(...) {
    scores <- suppressMessages(convergence(p + q ~ session | dyad, data, ...))
    scores[1, ]
  }
  scores <- run("signed")
  # Mean time 7/3, Stt = 14/3; sum of x p = (-4)(3)/3 - 5/3 + 5(4)/3 = 1.
  expect_equal(scores$slope_p, 1 / (14 / 3))
  expect_equal(scores$intercept_p, 4 - 3 / 14 * 7 / 3)
  # Residuals of p: 3, 5, 4 minus 52/14, 55/14, 61/14.
  expect_equal(
    scores$slope_se_p, sqrt(((-10 / 14)^2 + (15 / 14)^2 + (-5 / 14)^2) / (14 / 3))
  )
  # Second rater: mean time 13/4, Stt = 57 - 169/4 = 59/4, sum of x q = 74 - 13/4 x 23.
  expect_equal(scores$slope_q, (74 - 13 / 4 * 23) / (59 / 4))
  expect_identical(c(scores$n_p, scores$n_q, scores$n_both), c(3L, 4L, 3L))
  # D = -3, 0, -3: sum of x D = 4 + 0 - 5 = -1; means 4.5, 5, 5.5: sum of x m = -6 - 5/3 + 55/6.
  expect_equal(scores$convergence, -3 / 14)
  expect_equal(scores$development, 1.5 / (14 / 3))
  expect_equal(run("absolute")$convergence, -3 / 14)
  # D^2 = 9, 0, 9.
  expect_equal(run("squared")$convergence, -3 * 3 / 14)
  # The line of D starts at -2 + 3/14 x 4/3 < 0 and falls: away from zero.
  expect_equal(run("toward_zero")$convergence, -3 / 14)
  # Lines of P and T at 1, 2, 4, 6: T above throughout, so minus slope(T) - slope(P).
  expect_equal(run("fitted")$convergence, 3 / 14 + 3 / 59)
  expect_equal(run(early_discrepancy = "signed")$early_discrepancy, -3)
  expect_equal(run()$early_discrepancy, 3)
  expect_equal(run(early_discrepancy = "log_absolute")$early_discrepancy, log(4))
  early <- run(early = "intercept", early_discrepancy = "signed")
  expect_equal(early$early_p, 52 / 14)
  expect_equal(early$early_q, 23 / 4 + (3 / 59) * (9 / 4))
  expect_equal(early$early_discrepancy, early$early_p - early$early_q)
})

test_that("standard errors equal the numerical delta method", {
  for (seed in 6:8) {
    data <- simulate_raters(seed, dyads = 8L)
    dyads <- by_dyad(data, "dyad", "t", "p", "q")
    for (definition in definitions_all) {
      scores <- suppressMessages(convergence(p + q ~ t | dyad, data, definition))
      expect_equal(scores$convergence_se, oracle_se(dyads, definition), tolerance = tol$criterion)
    }
  }
})

test_that("with matched sessions and no crossing, fitted is toward_zero, standard error included", {
  data <- simulate_raters(9)
  data <- data[!is.na(data$p) & !is.na(data$q), ]
  data$p <- data$p + 10
  fitted <- suppressMessages(convergence(p + q ~ t | dyad, data))
  toward <- suppressMessages(convergence(p + q ~ t | dyad, data, "toward_zero"))
  signed <- suppressMessages(convergence(p + q ~ t | dyad, data, "signed"))
  expect_identical(attr(fitted, "counts")[["not_crossing"]], sum(!is.na(fitted$convergence)))
  expect_equal(fitted$convergence, toward$convergence, tolerance = tol$algebra)
  expect_equal(fitted$convergence_se, toward$convergence_se, tolerance = tol$algebra)
  # ... and both are lm()'s, of the difference.
  for (j in which(fitted$n_both > 2L)) {
    own <- data[data$dyad == fitted$dyad[j], ]
    table <- summary(stats::lm(I(p - q) ~ t, own))$coefficients
    expect_equal(signed$convergence[j], table[2, 1], tolerance = tol$algebra)
    expect_equal(fitted$convergence_se[j], table[2, 2], tolerance = tol$algebra)
  }
})

test_that("dyads whose fitted lines do not cross are counted", {
  lines <- function(p, q) data.frame(session = 1:3, p = p, q = q)
  data <- rbind(
    cbind(dyad = "apart", lines(c(1, 2, 3), c(5, 5, 5))),
    cbind(dyad = "cross", lines(c(1, 4, 7), c(5, 5, 5))),
    cbind(dyad = "meet at last", lines(c(1, 3, 5), c(5, 5, 5))),
    cbind(dyad = "meet at first", lines(c(5, 6, 7), c(5, 5, 5))),
    cbind(dyad = "one line", lines(c(5, 6, 7), c(5, 6, 7)))
  )
  expect_message(
    fitted <- convergence(p + q ~ session | dyad, data), "lie on each other.*: one line",
    class = "samepage_message_no_se"
  )
  counts <- attr(fitted, "counts")
  expect_identical(counts[c("not_crossing", "crossing")], c(not_crossing = 3L, crossing = 2L))
  expect_message(
    toward <- convergence(p + q ~ session | dyad, data, "toward_zero"), "In 2 dyads",
    class = "samepage_message_sign_zero"
  )
  expect_identical(attr(toward, "counts")[["sign_zero"]], 2L)
  expect_equal(
    toward$convergence[match(c("meet at first", "one line"), toward$dyad)], c(0, 0)
  )
  differ <- fitted$dyad[abs(fitted$convergence - toward$convergence) > 1e-12]
  expect_setequal(differ, c("cross", "meet at first"))
})

test_that("per course multiplies slopes by the range of the times used", {
  data <- simulate_raters(10)
  for (window in list(NULL, c(1, 5))) {
    unit <- suppressMessages(convergence(p + q ~ t | dyad, data, window = window))
    course <- suppressMessages(convergence(p + q ~ t | dyad, data, per = "course", window = window))
    used <- data$t[!(is.na(data$p) & is.na(data$q))]
    if (!is.null(window)) used <- used[used >= 1 & used <= 5]
    expect_equal(attr(course, "course"), diff(range(used)))
    for (column in c("slope_p", "slope_se_q", "development", "convergence", "convergence_se")) {
      expect_equal(course[[column]], unit[[column]] * diff(range(used)))
    }
    same <- c("intercept_p", "early_p", "early_q", "early_discrepancy", "n_both")
    expect_equal(as.data.frame(course)[same], as.data.frame(unit)[same])
    expect_equal(reliability(course), reliability(unit), tolerance = tol$algebra)
  }
})

test_that("window is the data without the other sessions", {
  data <- simulate_raters(11)
  inside <- data[data$t >= 1 & data$t <= 6, ]
  expected <- oracle_scores(inside, "dyad", "t", "p", "q")
  scores <- suppressMessages(convergence(p + q ~ t | dyad, data, window = c(1, 6)))
  kept <- scores$dyad %in% inside$dyad
  expect_equal(scores$convergence[kept], expected$fitted, tolerance = tol$algebra)
  expect_equal(scores$development[kept], expected$development, tolerance = tol$algebra)
  expect_identical(nrow(scores), length(unique(data$dyad)))
  expect_identical(
    attr(scores, "counts")[["rows_outside"]], sum(data$t < 1 | data$t > 6)
  )
  open <- suppressMessages(convergence(p + q ~ t | dyad, data, window = c(-Inf, Inf)))
  all <- suppressMessages(convergence(p + q ~ t | dyad, data))
  expect_identical(as.data.frame(open), as.data.frame(all))
})

test_that("the log comes after `per`, and its standard error is divided by what is logged", {
  data <- simulate_raters(12)
  raw <- suppressMessages(convergence(p + q ~ t | dyad, data, per = "course"))
  logged <- suppressMessages(
    convergence(p + q ~ t | dyad, data, per = "course", transform = "log")
  )
  shift <- 1 - min(raw$convergence, na.rm = TRUE)
  expect_equal(attr(logged, "shift"), shift)
  expect_equal(logged$convergence_raw, raw$convergence)
  expect_equal(logged$convergence, log(raw$convergence + shift))
  expect_equal(min(logged$convergence, na.rm = TRUE), 0)
  expect_equal(logged$convergence_se, raw$convergence_se / (raw$convergence + shift))
  given <- suppressMessages(
    convergence(p + q ~ t | dyad, data, per = "course", transform = "log", shift = 30)
  )
  expect_equal(given$convergence, log(raw$convergence + 30))
  expect_equal(attr(given, "shift"), 30)
  expect_null(attr(raw, "shift"))
  # log1p(abs()) of the early discrepancy does not depend on it.
  expect_equal(logged$early_discrepancy, raw$early_discrepancy)
})

test_that("swapping the raters turns signs around and nothing else", {
  data <- simulate_raters(13)
  for (definition in definitions_all) {
    one <- suppressMessages(convergence(
      p + q ~ t | dyad, data, definition,
      early_discrepancy = "signed"
    ))
    two <- suppressMessages(convergence(
      q + p ~ t | dyad, data, definition,
      early_discrepancy = "signed"
    ))
    turn <- if (definition == "signed") -1 else 1
    expect_equal(two$convergence, turn * one$convergence, tolerance = tol$algebra)
    expect_equal(two$convergence_se, one$convergence_se, tolerance = tol$algebra)
    expect_equal(two$early_discrepancy, -one$early_discrepancy)
    expect_equal(two[names(one)]$slope_p, one$slope_p)
    expect_equal(reliability(two), reliability(one), tolerance = tol$criterion)
  }
})

# ---- Reliability --------------------------------------------------------------------------------

test_that("reliability of signed slopes is that of the mixed model of the discrepancy", {
  skip_if_not_installed("lme4")
  data <- utils::read.csv(shared_path("data", "couples", "daily.csv"))
  data$gap <- data$man_contentment - data$woman_contentment
  scores <- suppressMessages(
    convergence(man_contentment + woman_contentment ~ day | couple, data, "signed")
  )
  control <- lme4::lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10))
  fit <- lme4::lmer(gap ~ day + (day | couple), data, control = control)
  rated <- data[!is.na(data$gap), ]
  v <- sigma(fit)^2 / tapply(rated$day, rated$couple, function(t) sum((t - mean(t))^2))
  v <- v[is.finite(v)]
  tau2 <- lme4::VarCorr(fit)$couple["day", "day"]
  expect_equal(reliability(scores), c(convergence = mean(tau2 / (tau2 + v))), tolerance = tol$se)
  expect_equal(attr(scores, "score_variance")[["between"]], tau2, tolerance = tol$varcomp)
  course <- suppressMessages(
    convergence(man_contentment + woman_contentment ~ day | couple, data, "signed", per = "course")
  )
  expect_equal(reliability(course), reliability(scores), tolerance = tol$algebra)
})

test_that("reliability of other scores is REML's with pooled error variances known", {
  data <- simulate_raters(14, dyads = 30L)
  dyads <- by_dyad(data, "dyad", "t", "p", "q")
  pooled <- oracle_variances(lapply(dyads, oracle_residuals))
  for (definition in setdiff(definitions_all, "signed")) {
    scores <- suppressMessages(convergence(p + q ~ t | dyad, data, definition))
    v <- vapply(dyads, oracle_error_variance, 0, definition, pooled)
    known <- is.finite(v) & !is.na(scores$convergence)
    tau2 <- oracle_between(scores$convergence[known], v[known])
    expect_equal(
      as.vector(reliability(scores)), mean(tau2 / (tau2 + v[known])),
      tolerance = tol$estimate
    )
    expect_equal(
      attr(scores, "score_variance"), c(between = tau2, error = mean(v[known])),
      tolerance = tol$estimate
    )
  }
  # After the log, errors are divided by what is logged.
  logged <- suppressMessages(convergence(p + q ~ t | dyad, data, transform = "log", shift = 30))
  v <- vapply(dyads, oracle_error_variance, 0, "fitted", pooled) / (logged$convergence_raw + 30)^2
  known <- is.finite(v)
  tau2 <- oracle_between(logged$convergence[known], v[known])
  expect_equal(
    as.vector(reliability(logged)), mean(tau2 / (tau2 + v[known])),
    tolerance = tol$estimate
  )
  own <- reliability(logged, residual = "own")
  v <- logged$convergence_se^2
  known <- is.finite(v)
  tau2 <- oracle_between(logged$convergence[known], v[known])
  expect_equal(as.vector(own), mean(tau2 / (tau2 + v[known])), tolerance = tol$estimate)
})

test_that("own error variances of 0 say nothing on reliability", {
  exact <- data.frame(
    dyad = rep(31:33, each = 4L), t = rep(1:4, 3L), p = rep(c(5, 6, 7), each = 4L), q = 5
  )
  data <- simulate_raters(15, dyads = 30L)
  without <- suppressMessages(convergence(p + q ~ t | dyad, data))
  with <- suppressMessages(convergence(p + q ~ t | dyad, rbind(data, exact)))
  expect_equal(with$convergence_se[31:32], c(NA, 0))
  expect_equal(reliability(with, residual = "own"), reliability(without, residual = "own"))
  # Pooled, they count as any other dyad.
  expect_false(isTRUE(all.equal(reliability(with), reliability(without))))
})

test_that("scores without any residual have no reliability, and say so", {
  rated <- drawn_sample()
  two <- rated[rated$session <= 2, ]
  formula <- wai_patient + wai_therapist ~ session | patient
  for (definition in definitions_all) {
    scores <- suppressMessages(convergence(formula, two, definition))
    expect_identical(reliability(scores), c(convergence = NA_real_))
    expect_output(print(scores), "cannot be estimated")
  }
  one <- suppressMessages(convergence(formula, rated[rated$patient == "P01", ], "signed"))
  expect_identical(reliability(one), c(convergence = NA_real_))
})

test_that("standard errors are the spread of the scores of dyads that are alike", {
  # 6,000 dyads with the same true lines are 6,000 replications. bench/score-errors.R has more.
  set.seed(61)
  n <- 6000L * 10L
  time <- rep(1:10, 6000L)
  shared <- stats::rnorm(n)
  data <- data.frame(
    dyad = rep(1:6000, each = 10L), time = time,
    p = 5 + 0.05 * time + 0.5 * (sqrt(0.6) * shared + sqrt(0.4) * stats::rnorm(n)),
    q = 8 - 0.05 * time + 0.4 * (sqrt(0.6) * shared + sqrt(0.4) * stats::rnorm(n))
  )
  gaps <- data
  gaps$p[stats::runif(n) < .2] <- NA
  gaps$q[stats::runif(n) < .2] <- NA
  compare <- function(data, definition, tolerance) {
    scores <- suppressMessages(convergence(p + q ~ time | dyad, data, definition))
    scores <- scores[!is.na(scores$convergence_se), ]
    spread <- stats::var(scores$convergence)
    expect_lt(abs(mean(scores$convergence) - 0.1), 4 * sqrt(spread / nrow(scores)))
    expect_equal(mean(scores$convergence_se^2) / spread, 1, tolerance = tolerance)
  }
  for (definition in setdiff(definitions_all, "squared")) {
    compare(data, definition, 0.06)
  }
  # With gaps a covariance above its limit is cut, which makes errors too large by 3 %.
  compare(gaps, "fitted", 0.1)
  compare(gaps, "signed", 0.06)
})
