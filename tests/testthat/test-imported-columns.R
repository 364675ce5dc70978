# A column as haven reads it from SPSS with user_na = TRUE, without needing haven.
spss_column <- function(x, na_values = NULL, na_range = NULL) {
  structure(
    x,
    na_values = na_values, na_range = na_range, labels = c(refused = 99),
    class = c("haven_labelled_spss", "haven_labelled", "vctrs_vctr", class(unclass(x)))
  )
}

# As bit64 keeps whole numbers: their 64 bits in the place of a double's.
bit64_column <- function(low, high = ifelse(low < 0, -1L, 0L)) {
  halves <- rbind(as.integer(low), as.integer(high))
  if (.Platform$endian == "big") {
    halves <- halves[2:1, ]
  }
  bytes <- writeBin(as.vector(halves), raw())
  structure(readBin(bytes, "double", length(low)), class = "integer64")
}

orthodont_copy <- function() as.data.frame(nlme::Orthodont)

test_that("values that SPSS's user declared missing are left out and counted", {
  data <- orthodont_copy()
  told <- data
  told$distance <- spss_column(replace(data$distance, 3, 99), na_values = c(98, 99))
  told$age <- spss_column(replace(data$age, c(7, 50), c(-1, -5)), na_range = c(-Inf, -1))
  data$distance[3] <- NA
  data$age[c(7, 50)] <- NA
  formula <- distance ~ age + (age | Subject)
  fit <- lmm(formula, told)
  expect_identical(fixef(fit), fixef(lmm(formula, data)))
  expect_output(print(fit), "105 used, 3 left out")
  # Also inside a call, which would lose the declaration.
  expect_identical(nobs(lmm(log(distance) ~ age + (1 | Subject), told)), 105L)
  expect_identical(unname(which(is.na(predict(fit, told)))), c(7L, 50L))
})

test_that("declared missing outcomes of the three models are missing", {
  scores <- suppressMessages(
    convergence(wai_patient + wai_therapist ~ session | patient, data = study1)
  )
  plain <- study1
  plain$bdi[7] <- NA
  told <- study1
  told$bdi <- spss_column(replace(study1$bdi, 7, 999), na_values = 999)
  models <- function(data) {
    suppressMessages(convergence_models(bdi ~ session | patient, data = data, scores = scores))
  }
  expect_identical(tidy(models(told)), tidy(models(plain)))
})

test_that("whole numbers of 64 bits are numbers", {
  data <- orthodont_copy()
  wide <- data
  wide$age <- bit64_column(data$age)
  wide$id <- bit64_column(as.integer(data$Subject))
  expect_identical(
    unname(fixef(lmm(distance ~ age + (age | id), wide))),
    unname(fixef(lmm(distance ~ age + (age | as.integer(Subject)), data)))
  )
  # -2^31, -1, 0, 2^31, 2^32 + 1 and bit64's missing value.
  halves <- bit64_column(c(NA, -1L, 0L, NA, 1L, 0L), c(-1L, -1L, 0L, 0L, 1L, NA))
  expect_identical(from_integer64(halves), c(-2^31, -1, 0, 2^31, 2^32 + 1, NA))
})

test_that("weights and subset that cannot be computed are refused in words", {
  data <- orthodont_copy()
  formula <- distance ~ age + (1 | Subject)
  expect_error(lmm(formula, data, weights = w), "`weights`", class = "samepage_error_weights")
  expect_error(lmm(formula, data, subset = w > 1), "`subset`", class = "samepage_error_subset")
  fit <- lmm(formula, data)
  expect_error(predict(fit, as.matrix(data)), "`newdata`", class = "samepage_error_data")
})

test_that("predictors whose every value has a label are told to be numbers", {
  labelled <- function(x, labels) {
    structure(x, labels = labels, class = c("haven_labelled", "vctrs_vctr", class(x)))
  }
  data <- orthodont_copy()
  three <- rep(c(1, 2, NA, 3), length.out = nrow(data))
  data$arm <- labelled(three, c(wait = 1, short = 2, long = 3))
  data$sex <- labelled(as.numeric(data$Sex), c(male = 1, female = 2))
  data$scale <- labelled(rep(c(2, 3, 1), length.out = nrow(data)), c(never = 1, always = 3))
  expect_message(
    fit <- lmm(distance ~ age + arm + sex + scale + (1 | Subject), data),
    "taken as numbers: `arm`.", fixed = TRUE, class = "samepage_message_labelled"
  )
  expect_false(anyNA(fixef(fit)[c("arm", "sex")]))
  # A factor, or the labelled outcome, is no such thing.
  expect_no_message(lmm(distance ~ factor(arm) + (1 | Subject), data))
  expect_no_message(lmm(arm ~ age + (1 | Subject), data))

  told <- study1
  told$arm <- labelled(as.numeric(as.integer(told$patient) %% 3), c(a = 0, b = 1, c = 2))
  scores <- suppressMessages(
    convergence(wai_patient + wai_therapist ~ session | patient, data = study1)
  )
  models <- function(covariates) {
    convergence_models(bdi ~ session | patient, told, scores, covariates = covariates)
  }
  for (covariates in list("arm", ~ arm * session)) {
    expect_message(
      suppressMessages(models(covariates), classes = "samepage_message_left_out"),
      "`arm`", class = "samepage_message_labelled"
    )
  }
})
