rated <- drawn_sample()

# Pictures are drawn to nowhere: what is tested is what they return and refuse.
with_device <- function(code) {
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  code
}

test_that("the means over time are those of the ratings at each session", {
  data <- data.frame(
    dyad = rep(1:3, each = 2), session = c(1, 2, 1, 2, 1, 3),
    p = c(4, 5, 6, 5, 2, 7), q = c(5, NA, 5, 4, 5, 3)
  )
  means <- with_device(plot_ratings(p + q ~ session | dyad, data))
  p <- means[means$rater == "p", ]
  # Session 1: 4, 6, 2; session 2: 5, 5; session 3: 7 alone.
  expect_equal(p$time, c(1, 2, 3))
  expect_equal(p$n, c(3, 2, 1))
  expect_equal(p$mean, c(4, 5, 7))
  expect_equal(p$sd, c(2, 0, NA))
  expect_equal(c(p$min, p$max), c(2, 5, 7, 6, 5, 7))
  # t of .975 with 2 df is 4.302653.
  expect_equal(p$conf.high[1], 4 + 4.302653 * 2 / sqrt(3), tolerance = 1e-6)
  expect_true(is.na(p$conf.low[3]))
  q <- means[means$rater == "q", ]
  expect_equal(q$mean, c(5, 4, 3))
  expect_equal(q$n, c(3, 1, 1))
})

test_that("time and ratings may be calls, and graphical parameters reach the picture", {
  means <- with_device(
    plot_ratings(
      wai_patient + wai_therapist ~ I(session - 1) | patient, rated,
      level = .9, main = "Alliance", ylim = c(1, 7)
    )
  )
  expect_equal(range(means$time), c(0, 13))
  at <- rated$session == 1
  expect_equal(means$mean[1], mean(rated$wai_patient[at], na.rm = TRUE))
  interval <- stats::t.test(rated$wai_patient[at], conf.level = .9)$conf.int
  expect_equal(c(means$conf.low[1], means$conf.high[1]), as.vector(interval))
})

test_that("the curves are least squares in time and in log time", {
  drawn <- with_device(plot_courses(bdi ~ session | patient, rated, dyads = c("P02", "P07")))
  expect_equal(unique(drawn$dyad), c("P02", "P07"))
  own <- rated[rated$patient == "P07" & !is.na(rated$bdi), ]
  shown <- drawn[drawn$dyad == "P07", ]
  expect_equal(shown$outcome, own$bdi)
  expect_equal(shown$linear, unname(stats::fitted(stats::lm(bdi ~ session, own))))
  expect_equal(shown$log, unname(stats::fitted(stats::lm(bdi ~ log(session), own))))
})

test_that("of many dyads the extreme slopes are shown, and equal steps between", {
  drawn <- with_device(plot_courses(bdi ~ session | patient, rated, dyads = 5))
  slopes <- vapply(split(rated, rated$patient), function(own) {
    stats::coef(stats::lm(bdi ~ session, own))[["session"]]
  }, 1)
  shown <- unique(drawn$dyad)
  expect_equal(shown, names(sort(slopes))[c(1, 7, 12, 18, 24)], ignore_attr = TRUE)
})

test_that("a dyad with one session is drawn without a curve", {
  data <- data.frame(dyad = c("a", "a", "b"), session = c(1, 2, 1), y = c(1, 3, 2))
  drawn <- with_device(plot_courses(y ~ session | dyad, data, dyads = c("a", "b")))
  expect_equal(drawn$linear, c(1, 3, NA))
  expect_equal(nrow(with_device(plot_courses(y ~ session | dyad, data[3, ]))), 1L)
})

test_that("what cannot be drawn is refused with a class", {
  wrong <- function(code, class) {
    expect_error(with_device(code), class = paste0("samepage_error_", class))
  }
  wrong(plot_ratings(wai_patient ~ session | patient, rated), "formula")
  wrong(plot_ratings(wai_patient + wai ~ session | patient, rated), "column")
  wrong(plot_ratings(wai_patient + wai_therapist ~ session | patient, 1), "data")
  both <- wai_patient + wai_therapist ~ session | patient
  wrong(plot_ratings(both, rated, level = 95), "argument")
  wrong(plot_courses(bdi ~ session, rated), "formula")
  wrong(plot_courses(bdi ~ session | patient, rated[0, ]), "data")
  wrong(plot_courses(bdi ~ session | patient, rated, dyads = "P999"), "argument")
  wrong(plot_courses(bdi ~ session | patient, rated, curves = "cubic"), "argument")
  wrong(plot_courses(bdi ~ session | patient, transform(rated, bdi = NA)), "rows")
})

test_that("refusals say what was found, where, and what to do", {
  both <- wai_patient + wai_therapist ~ session | patient
  expect_snapshot(error = TRUE, {
    with_device(plot_ratings(wai_patient + wai_therapist ~ session | pat, rated))
    with_device(plot_ratings(both, transform(rated, wai_therapist = NA)))
    with_device(plot_ratings(both, transform(rated, wai_patient = 1 / (session - 1))))
    with_device(plot_ratings(both, rated, level = 95))
    with_device(plot_courses(bdi ~ session | patient, transform(rated, bdi = NA)))
    with_device(plot_courses(bdi ~ session | patient, rated, dyads = "Q1"))
    with_device(plot_courses(bdi ~ session | patient, rated, dyads = NULL))
    with_device(plot_courses(y ~ x | id, data.frame(id = rep(1:200, 2), x = 1:400, y = 1), 200))
  })
})

test_that("the plus-minus sign of the key reaches the picture", {
  file <- tempfile(fileext = ".pdf")
  on.exit(unlink(file))
  grDevices::pdf(file, compress = FALSE, encoding = "ISOLatin1")
  plot_ratings(wai_patient + wai_therapist ~ session | patient, rated)
  grDevices::dev.off()
  # In that encoding the sign is the one byte b1.
  bytes <- readBin(file, "raw", file.size(file))
  sign <- which(bytes == as.raw(0xb1))
  after <- vapply(sign, function(at) rawToChar(bytes[at + 1:4]), "")
  expect_true("1 SD" %in% after)
})
