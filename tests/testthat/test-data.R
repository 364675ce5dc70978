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
