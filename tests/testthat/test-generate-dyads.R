# The truth is what the sample was asked for: means, spreads and effects known in advance,
# compared within four standard errors.

expect_near <- function(estimate, truth, se, n_se = 4) {
  expect_lt(max(abs(estimate - truth) / se), n_se)
}

score_sample <- function(sample, time = "session") {
  suppressMessages(convergence(
    stats::as.formula(paste("wai_patient + wai_therapist ~", time, "| patient")),
    data = sample, per = "course", transform = "log", early_discrepancy = "log_absolute"
  ))
}

test_that("a sample has the sizes that were asked for", {
  sample <- generate_dyads("study1", dyads = 50, therapists = 7, times = c(1, 2, 4, 8), seed = 2)
  expect_equal(nlevels(sample$patient), 50L)
  expect_equal(length(unique(sample$therapist)), 7L)
  expect_true(all(sample$session %in% c(1, 2, 4, 8)))
  expect_false(anyDuplicated(sample[c("patient", "session")]) > 0)
  expect_true(all(stats::complete.cases(sample[sample$session == 1, ])))
  expect_equal(nrow(generate_dyads("study2", seed = 1)), 139L * 5L)
  # the ratio of patients to therapists is the study's unless it is given
  expect_equal(length(unique(generate_dyads("study1", dyads = 192, seed = 1)$therapist)), 68L)
})

test_that("Study 2's raters rate at three of five occasions, completely", {
  sample <- generate_dyads("study2", seed = 5)
  rated <- sample$occasion %in% 1:3
  expect_identical(!is.na(sample$wai_patient), rated)
  expect_identical(!is.na(sample$wai_therapist), rated)
  expect_false(anyNA(sample$gsi))
})

test_that("values lie on the instruments' grids, or on none", {
  sample <- generate_dyads("study1", dyads = 300, seed = 3)
  expect_equal(12 * sample$wai_patient, round(12 * sample$wai_patient))
  expect_equal(sample$bdi, round(sample$bdi))
  expect_true(all(sample$bdi >= 0 & sample$bdi <= 63, na.rm = TRUE))
  expect_true(all(sample$wai_patient >= 1 & sample$wai_patient <= 7, na.rm = TRUE))
  gsi <- generate_dyads("study2", seed = 3)$gsi
  expect_equal(90 * gsi, round(90 * gsi))
  free <- generate_dyads("study1", dyads = 300, rounded = FALSE, seed = 3)
  expect_gt(mean(free$bdi != round(free$bdi), na.rm = TRUE), 0.9)
})

test_that("the ratings grow as asked", {
  n <- 4000
  sample <- generate_dyads(
    "study1", dyads = n, rounded = FALSE, seed = 11,
    ratings = list(
      mean = c(patient_start = 4, therapist_change = 1), sd = c(patient_change = 0.5),
      error_sd = c(patient = 0.4)
    ),
    missing = list(dropout = 0, session = 0, patient = 0, therapist = 0, outcome = 0)
  )
  scores <- score_sample(sample)
  start <- scores$intercept_wai_patient + scores$slope_wai_patient / 13
  expect_near(mean(start), 4, stats::sd(start) / sqrt(n))
  expect_near(
    mean(scores$slope_wai_therapist), 1, stats::sd(scores$slope_wai_therapist) / sqrt(n)
  )
  # the variance of a fitted change is the true one plus that of its error, s^2 / sum (t - mean)^2
  # with t from 0 to 1 over 14 sessions
  tau <- (0:13) / 13
  variance <- 0.5^2 + 0.4^2 / sum((tau - 0.5)^2)
  expect_near(stats::var(scores$slope_wai_patient), variance, variance * sqrt(2 / n))
  truth <- attr(sample, "truth")
  asked <- truth$parameters$ratings$correlation
  found <- stats::cor(truth$dyads[rownames(asked)])
  expect_near(found, asked, 1 / sqrt(n))
})

test_that("drop-out and missing forms have the shares asked for", {
  n <- 3000
  sample <- generate_dyads(
    "study1", dyads = n, seed = 4,
    missing = list(
      dropout = 0.3, earliest = 5, session = 0.1, patient = 0.2, therapist = 0, outcome = 0
    )
  )
  last <- as.vector(tapply(sample$session, sample$patient, max))
  # An end at 10 or before: a drop-out to 5, ..., 10 of 5, ..., 13, or to 10 + k with the last k
  # sessions missed; or no drop-out and the last four missed.
  p <- 0.3 * (6 + 0.1 + 0.1^2 + 0.1^3) / 9 + 0.7 * 0.1^4
  expect_near(mean(last <= 10), p, sqrt(p * (1 - p) / n))
  expect_gt(min(last), 1)
  later <- sample[sample$session > 1, ]
  expect_near(mean(is.na(later$wai_patient)), 0.2, sqrt(0.16 / nrow(later)))
  expect_false(anyNA(sample$wai_therapist))
})

test_that("Study 1's parameters are recovered from a large sample", {
  n <- 3000
  sample <- generate_dyads("study1", dyads = n, rounded = FALSE, seed = 20)
  models <- suppressMessages(convergence_models(
    bdi ~ session | patient, data = sample, scores = score_sample(sample), initial_row = "drop"
  ))
  parameters <- attr(sample, "truth")$parameters
  table <- summary(models$full)$coefficients
  level <- c(
    "initial", "convergence", "early_wai_patient", "early_wai_therapist", "development",
    "early_discrepancy"
  )
  expect_near(
    table[c("(Intercept)", "session"), "Estimate"],
    c(parameters$outcome$intercept, parameters$outcome$slope),
    table[c("(Intercept)", "session"), "Std. Error"]
  )
  expect_near(
    table[level, "Estimate"], parameters$effects$level[-7], table[level, "Std. Error"]
  )
  change <- paste0(c(level[-1], "development:convergence"), ":session")
  expect_near(
    table[change, "Estimate"], parameters$effects$change[-1], table[change, "Std. Error"]
  )
  random <- summary(models$full)$varcomp
  sd <- parameters$outcome$sd
  covariance <- parameters$outcome$correlation * prod(sd)
  expect_near(
    random$estimate, c(sd[[1]]^2, covariance, sd[[2]]^2, parameters$outcome$error_sd^2),
    random$std.error
  )
})

test_that("a stronger effect and therapists' effects are recovered", {
  sample <- generate_dyads(
    "study2", dyads = 3000, therapists = 300, rounded = FALSE, seed = 8,
    effects = list(change = c(convergence = -0.3), level = c(development = 0.5)),
    outcome = list(therapist_sd = c(intercept = 0.3, slope = 0))
  )
  predictors <- dyad_predictors(score_sample(sample, "occasion"))
  data <- merge(sample, predictors, by = "patient")
  fit <- lmm(
    gsi ~ (convergence + early_wai_patient + early_wai_therapist + development +
      early_discrepancy) * occasion + development:convergence:occasion +
      (occasion | patient) + (1 | therapist),
    data = data
  )
  table <- summary(fit)$coefficients
  expect_near(
    table[c("convergence:occasion", "development"), "Estimate"], c(-0.3, 0.5),
    table[c("convergence:occasion", "development"), "Std. Error"]
  )
  random <- summary(fit)$varcomp
  expect_near(
    random$estimate[random$grp == "therapist"], 0.09, random$std.error[random$grp == "therapist"]
  )
})

test_that("with true predictors the observed ones show an attenuated effect", {
  slope <- function(predictors) {
    sample <- generate_dyads(
      "study1", dyads = 3000, rounded = FALSE, predictors = predictors, seed = 9,
      effects = list(change = c(convergence = -4)),
      ratings = list(error_sd = c(patient = 1.5, therapist = 1.5))
    )
    models <- suppressMessages(convergence_models(
      bdi ~ session | patient, data = sample, scores = score_sample(sample), initial_row = "drop"
    ))
    fixef(models$full)[["convergence:session"]]
  }
  expect_lt(abs(slope("observed") + 4), 0.6)
  expect_gt(slope("true"), -3)
})

test_that("a seed makes the same sample and leaves the generator where it was", {
  set.seed(1)
  before <- get(".Random.seed", globalenv())
  first <- generate_dyads("study1", seed = 42)
  expect_identical(get(".Random.seed", globalenv()), before)
  expect_identical(generate_dyads("study1", seed = 42), first)
  expect_false(identical(generate_dyads("study1")$bdi, generate_dyads("study1")$bdi))
  # as with simulate(), the attribute brings an unseeded sample back
  sample <- generate_dyads("study1")
  assign(".Random.seed", attr(sample, "seed"), globalenv())
  expect_identical(generate_dyads("study1"), sample)
})

test_that("wrong arguments are refused in plain words", {
  wrong <- function(...) {
    expect_error(generate_dyads("study1", ...), class = "samepage_error_argument")
  }
  expect_error(generate_dyads("study3"), class = "samepage_error_argument")
  wrong(dyads = 2.5)
  wrong(dyads = 2)
  wrong(dyads = 10, therapists = 11)
  wrong(times = c(1, 1, 2))
  wrong(times = 1:5, rated = 3:7)
  wrong(ratings = c(mean = 1))
  wrong(ratings = list(means = 1))
  wrong(ratings = list(mean = c(start = 1)))
  wrong(ratings = list(mean = c(1, 2, 3, 4)))
  wrong(ratings = list(sd = c(patient_start = -1)))
  wrong(ratings = list(error_correlation = 1.2))
  wrong(ratings = list(error_correlation = c(0.1, 0.2)))
  wrong(ratings = list(correlation = matrix(1:16, 4)))
  wrong(ratings = list(correlation = matrix(0.99, 4, 4)))
  wrong(outcome = list(error_sd = NA))
  wrong(outcome = list(initial_correlation = c(patient_start = 0.9, therapist_start = -0.9)))
  wrong(effects = list(change = c(convergance = 1)))
  wrong(effects = list(change = c(convergence = 1, convergence = 2)))
  wrong(missing = list(dropout = 1))
  wrong(missing = list(dropout = 0.5, earliest = 14))
  wrong(predictors = "latent")
  wrong(rounded = NA)
  expect_no_warning(wrong(seed = "one"))
  wrong(seed = NA)
  wrong(seed = 1:2)
  wrong(seed = 1e10)
  expect_snapshot(error = TRUE, {
    generate_dyads("study1", effects = list(change = c(convergance = 1)))
    generate_dyads("study1", effects = list(change = -1))
    generate_dyads("study1", ratings = list(sd = c(therapist_change = -1)))
    generate_dyads(200)
    generate_dyads(dyads = 0)
    generate_dyads(rounded = "yes")
    generate_dyads(seed = "one")
  })
})
