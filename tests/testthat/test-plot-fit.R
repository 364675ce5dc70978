# The plots run, show what they say, and leave the device as it was.

drawn <- function(expression) {
  path <- tempfile(fileext = ".pdf")
  grDevices::pdf(path)
  on.exit({
    grDevices::dev.off()
    unlink(path)
  })
  before <- graphics::par("mfrow")
  value <- withVisible(force(expression))
  expect_identical(graphics::par("mfrow"), before)
  value
}

test_that("plots return the fit invisibly and take graphical parameters", {
  data <- as.data.frame(nlme::Orthodont)
  data$distance[3] <- NA
  fit <- suppressMessages(
    lmm(distance ~ age + (age | Subject), data = data, na.action = stats::na.exclude)
  )
  all <- drawn(plot(fit, pch = 20, main = "Growth"))
  expect_false(all$visible)
  expect_identical(all$value, fit)
  expect_s3_class(drawn(plot(fit, which = "fitted"))$value, "samepage_lmm")
  expect_error(plot(fit, which = "leverage"), "leverage", class = "samepage_error_argument")
})

test_that("standardised effects have the variance of one", {
  # Balanced: REML puts the variance of the units' means at what the model says it is.
  fit <- lmm(distance ~ 1 + (1 | Subject), data = nlme::Orthodont)
  panels <- standard_effects(fit)
  expect_length(panels, 1L)
  expect_identical(panels[[1]]$title, "(Intercept) by Subject")
  expect_equal(stats::var(panels[[1]]$values), 1, tolerance = tol$estimate)
})

test_that("an effect without variance has no plot", {
  skip_if_not_installed("lme4")
  data(Dyestuff2, package = "lme4", envir = environment())
  fit <- lmm(Yield ~ 1 + (1 | Batch), data = Dyestuff2)
  expect_length(standard_effects(fit), 0L)
  expect_s3_class(drawn(plot(fit))$value, "samepage_lmm")
  expect_s3_class(drawn(plot(fit, which = "random"))$value, "samepage_lmm")
})
