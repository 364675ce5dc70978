# The facts are those the paper reports about its samples; the data are synthetic.

test_that("study1 has the published counts", {
  dyads <- study1[!duplicated(study1$patient), ]
  expect_equal(nrow(dyads), 96L)
  expect_equal(nlevels(droplevels(study1$therapist)), 34L)
  therapists <- unique(dyads[c("therapist", "treatment")])
  expect_equal(as.vector(table(therapists$treatment)), c(25L, 9L))
  expect_equal(sort(unique(study1$session)), 1:14)
  expect_equal(round(100 * mean(dyads$medication == "yes"), 1), 59.4)
  expect_equal(round(mean(dyads$bdi_pre), 1), 35.8)
  expect_equal(round(stats::sd(dyads$bdi_pre), 1), 9.5)
  expect_equal(range(dyads$bdi_pre), c(14L, 58L))
})

test_that("study1 lies on the instruments' grids, one row per dyad and session", {
  for (rater in c("wai_patient", "wai_therapist")) {
    rating <- study1[[rater]]
    expect_true(all(rating >= 1 & rating <= 7, na.rm = TRUE))
    expect_equal(12 * rating, round(12 * rating))
  }
  expect_type(study1$bdi, "integer")
  expect_true(all(study1$bdi >= 0 & study1$bdi <= 63, na.rm = TRUE))
  expect_false(anyDuplicated(study1[c("patient", "session")]) > 0)
  constant <- c("therapist", "treatment", "bdi_pre", "medication")
  expect_equal(nrow(unique(study1[c("patient", constant)])), 96L)
})

test_that("study2 has the published counts", {
  dyads <- study2[!duplicated(study2$patient), ]
  expect_equal(nrow(dyads), 139L)
  expect_equal(nrow(study2), 139L * 5L)
  expect_equal(nlevels(droplevels(study2$therapist)), 52L)
  expect_equal(nlevels(droplevels(study2$site)), 8L)
  expect_equal(nrow(unique(dyads[c("therapist", "site")])), 52L)
  expect_equal(round(mean(dyads$age), 1), 35.7)
  expect_equal(round(stats::sd(dyads$age), 2), 9.52)
  expect_equal(range(dyads$age), c(20L, 62L))
  expect_equal(round(100 * mean(dyads$sex == "woman", na.rm = TRUE), 1), 74.4)
  expect_equal(round(mean(dyads$gsi_pre), 2), 1.39)
  expect_equal(round(stats::sd(dyads$gsi_pre), 2), 0.62)
  expect_equal(round(range(dyads$gsi_pre), 2), c(0.16, 3.34))
  expect_gt(min(dyads$sessions), 20)
  expect_equal(sum(dyads$sessions <= 40), 67L)
  expect_equal(max(dyads$sessions), 364L)
})

test_that("study2 lies on the instruments' grids, five rows per dyad", {
  rated <- study2$occasion %in% 1:3
  for (rater in c("wai_patient", "wai_therapist")) {
    rating <- study2[[rater]]
    expect_identical(!is.na(rating), rated)
    expect_true(all(rating >= 1 & rating <= 7, na.rm = TRUE))
    expect_equal(12 * rating, round(12 * rating))
  }
  expect_equal(90 * study2$gsi, round(90 * study2$gsi))
  expect_true(all(study2$gsi >= 0 & study2$gsi <= 4, na.rm = TRUE))
  expect_equal(study2$occasion[is.na(study2$gsi)], rep(0, 40))
  expect_equal(study2$occasion, rep(0:4, 139))
  expect_equal(study2$session[rated], rep(c(3L, 12L, 20L), 139))
  expect_equal(study2$session[study2$occasion == 4], study2$sessions[study2$occasion == 4])
  constant <- c("therapist", "site", "sessions", "age", "sex", "gsi_pre")
  expect_equal(nrow(unique(study2[c("patient", constant)])), 139L)
})

test_that("study2 shows what the paper says of its sample", {
  means <- stats::aggregate(
    cbind(wai_patient, wai_therapist) ~ occasion, data = study2, FUN = mean
  )
  expect_true(all(diff(means$wai_patient) > 0) && all(diff(means$wai_therapist) > 0))
  expect_true(all(means$wai_patient > means$wai_therapist))
  rated <- study2$occasion %in% 1:3
  expect_gt(stats::sd(study2$wai_patient[rated]), stats::sd(study2$wai_therapist[rated]))
  scores <- convergence(wai_patient + wai_therapist ~ occasion | patient, data = study2)
  expect_gt(stats::t.test(scores$convergence)$conf.int[1], 0)
})

test_that("no two dyads of study2 are alike", {
  courses <- matrix(study2$gsi, 5)
  ratings <- rbind(matrix(study2$wai_patient, 5), matrix(study2$wai_therapist, 5))
  expect_false(anyDuplicated(t(courses)) > 0)
  expect_false(anyDuplicated(t(ratings)) > 0)
})

test_that("study2 returns the published table", {
  scores <- convergence(
    wai_patient + wai_therapist ~ occasion | patient,
    data = study2, per = "course", transform = "log", early_discrepancy = "log_absolute"
  )
  models <- convergence_models(
    gsi ~ occasion | patient,
    data = study2, scores = scores, initial_row = "keep", rows = "available"
  )
  expect_equal(unname(vapply(models, function(fit) fit_status(fit)$status, "")), rep("ok", 3))
  compared <- compare_published(models, "study2")
  expect_equal(sum(compared$mark %in% c("apart", "absent")), 0L)
  covariance <- subset(compared, model == 2 & term == "covariance" & statistic == "estimate")
  expect_equal(as.character(covariance$mark), "equal")
})

test_that("study1 returns the published table", {
  scores <- suppressMessages(convergence(
    wai_patient + wai_therapist ~ session | patient, data = study1,
    per = "course", transform = "log", early_discrepancy = "log_absolute"
  ))
  models <- suppressMessages(convergence_models(
    bdi ~ session | patient, data = study1, scores = scores, initial_row = "drop",
    rows = "available",
    center = c("initial", "convergence", "early_wai_patient", "early_wai_therapist", "development")
  ))
  compared <- compare_published(models, "study1")
  expect_equal(sum(compared$mark %in% c("apart", "absent")), 0L)
  significant <- c("early_wai_therapist", "development:session", "initial")
  full <- summary(models$full)$coefficients
  expect_true(all(full[significant, "Pr(>|t|)"] < 0.05))
  others <- setdiff(rownames(full), c(significant, "(Intercept)", "session"))
  expect_true(all(full[others, "Pr(>|t|)"] > 0.05))
})

test_that("study1's ratings rise, therapists higher first and patients last, without converging", {
  means <- vapply(c("wai_patient", "wai_therapist"), function(rater) {
    tapply(study1[[rater]], study1$session, mean, na.rm = TRUE)[c("1", "14")]
  }, numeric(2))
  expect_true(all(means["14", ] > means["1", ]))
  expect_lt(means["1", "wai_patient"], means["1", "wai_therapist"])
  expect_gt(means["14", "wai_patient"], means["14", "wai_therapist"])
  expect_gt(stats::sd(study1$wai_patient, TRUE), stats::sd(study1$wai_therapist, TRUE))
  scores <- suppressMessages(
    convergence(wai_patient + wai_therapist ~ session | patient, data = study1)
  )
  expect_gt(stats::t.test(scores$convergence)$p.value, 0.05)
})

test_that("study1's residuals look drawn: no two dyads alike, no autocorrelation, normal", {
  forms <- split(study1[c("wai_patient", "wai_therapist", "bdi")], study1$patient)
  expect_false(anyDuplicated(lapply(forms, as.list)) > 0)
  known <- study1[!is.na(study1$bdi), ]
  residual <- residuals(lmm(bdi ~ session + (session | patient), data = known))
  before <- unlist(tapply(residual, known$patient, function(r) c(NA, r[-length(r)])))
  # residuals about a line through some 11 points correlate by about -1/11 at lag one
  expect_lt(abs(stats::cor(residual, before, use = "complete.obs") + 1 / 11), 0.1)
  expect_gt(stats::shapiro.test(residual)$p.value, 0.01)
})

# Pooled over dyads: the SD about each rater's own least-squares line.
scatter_of_ratings <- function(data, rater, time) {
  lines <- lapply(split(data[!is.na(data[[rater]]), ], ~patient, drop = TRUE), function(dyad) {
    line <- stats::lm.fit(cbind(1, dyad[[time]]), dyad[[rater]])
    c(sum(line$residuals^2), max(nrow(dyad) - 2, 0))
  })
  sums <- Reduce(`+`, lines)
  sqrt(sums[1] / sums[2])
}

test_that("ratings scatter about their lines as real ones do", {
  for (rater in c("wai_patient", "wai_therapist")) {
    expect_gt(scatter_of_ratings(study1, rater, "session"), 0.28)
    # not as much: the published spread of the scores leaves little room for error in three ratings
    expect_gt(scatter_of_ratings(study2[study2$occasion %in% 1:3, ], rater, "occasion"), 0.2)
  }
})
