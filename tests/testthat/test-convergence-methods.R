# What can be done with scores: rows, predictors, print, summary, plot.

formula <- p + q ~ session | dyad

# Eight dyads over five sessions, whole halves, one rating missing on either side, one dyad with
# two sessions.
ratings <- data.frame(
  dyad = rep(1:8, c(5, 5, 5, 5, 5, 5, 5, 2)), session = c(rep(1:5, 7), 1:2),
  p = round(2 * (5 + sin(1:37) + rep(1:5, length.out = 37) / 5)) / 2,
  q = round(2 * (6 + cos(3 * (1:37)))) / 2
)
ratings$p[7] <- NA
ratings$q[13] <- NA

scores_of <- function(...) suppressMessages(convergence(formula, ratings, ...))

test_that("the result is one row per dyad with the documented columns and attributes", {
  scores <- scores_of(
    per = "course", transform = "log", early = "intercept",
    early_discrepancy = "log_absolute", window = c(1, 5)
  )
  expect_identical(names(scores), c(
    "dyad", "n_p", "n_q", "n_both", "intercept_p", "slope_p", "slope_se_p", "intercept_q",
    "slope_q", "slope_se_q", "early_p", "early_q", "early_discrepancy", "development",
    "convergence", "convergence_raw", "convergence_se"
  ))
  expect_identical(scores$dyad, 1:8)
  expected <- list(
    raters = c("p", "q"), time = "session", dyad = "dyad", definition = "fitted", per = "course",
    course = 4, transform = "log", early = "intercept", early_discrepancy = "log_absolute",
    window = c(1, 5)
  )
  expect_identical(attributes(scores)[names(expected)], expected)
  expect_null(attr(scores, "cluster"))
  expect_identical(attr(scores, "formula"), formula)
})

test_that("rows keep what the scores are; columns make a plain data frame", {
  scores <- scores_of(per = "course")
  kept <- function(x) attributes(x)[sort(setdiff(names(attributes(x)), "row.names"))]
  for (part in list(
    scores[c(5, 2), ], scores[scores$convergence > 0, ], head(scores, 3),
    subset(scores, n_both == 5), scores[order(scores$convergence), ]
  )) {
    expect_identical(kept(part), kept(scores))
  }
  expect_identical(scores[c(5, 2), ]$convergence, scores$convergence[c(5, 2)])
  for (part in list(
    scores["convergence"], scores[1:2, c("dyad", "slope_p")], subset(scores, select = -n_both),
    scores[names(scores)[-1]], merge(scores, ratings), rbind(scores, scores), cbind(scores, z = 1),
    as.data.frame(scores)
  )) {
    expect_identical(class(part), "data.frame")
    expect_setequal(names(attributes(part)), c("names", "row.names", "class"))
  }
  expect_identical(scores[, "convergence"], scores$convergence)
  expect_identical(scores[[2]], scores$n_p)
  expect_identical(nrow(rbind(scores[1:3, ], scores[5, ])), 4L)
  # A column more is the user's own affair.
  scores$site <- "A"
  expect_identical(kept(scores[1:2, ]), kept(scores))
})

test_that("predictors are centred over the dyads that have them", {
  scores <- scores_of()
  names <- c("convergence", "early_p", "early_q", "development", "early_discrepancy")
  raw <- dyad_predictors(scores, center = FALSE)
  expect_identical(class(raw), "data.frame")
  expect_identical(names(raw), c("dyad", names))
  expect_identical(raw, as.data.frame(scores)[c("dyad", names)])
  centred <- dyad_predictors(scores)
  expect_identical(centred, dyad_predictors(scores, center = TRUE))
  for (name in names) {
    expect_equal(centred[[name]], raw[[name]] - mean(raw[[name]]))
  }
  one <- dyad_predictors(scores, center = "convergence")
  expect_identical(one$convergence, centred$convergence)
  expect_identical(one[-2], raw[-2])
  fewer <- suppressMessages(convergence(formula, ratings, "absolute", window = c(2, 5)))
  expect_true(anyNA(fewer$convergence))
  expect_equal(mean(dyad_predictors(fewer)$convergence, na.rm = TRUE), 0)
})

test_that("predictors of something else are refused", {
  scores <- scores_of()
  broken <- scores
  broken$development <- NULL
  expect_snapshot(error = TRUE, {
    dyad_predictors(ratings)
    dyad_predictors(scores["convergence"])
    dyad_predictors(broken)
    dyad_predictors(scores, center = "konvergence")
    dyad_predictors(scores, center = NA)
    summary(broken)
    summary(scores, digits = 3)
    reliability(scores, residual = "none")
    reliability(scores, "own", 3)
  })
  # Printing never fails.
  expect_output(print(broken), "convergence_se")
})

test_that("printing says what was scored, from what, and what was left out", {
  local_reproducible_output(width = 80)
  data <- ratings
  data$dyad[1] <- NA
  data$session[9] <- NA
  expect_snapshot({
    scores <- convergence(formula, data, "absolute", per = "course", window = c(1, 4))
    scores
    print(scores[2:3, ], n = 1)
    scores_of("signed")
    scores_of("toward_zero")
    scores_of("squared", transform = "log")
  })
})

test_that("the summary holds the distribution, before and after the log", {
  scores <- scores_of(per = "course", transform = "log")
  summary <- summary(scores)
  table <- summary$descriptives
  expect_identical(table$variable, c(
    "slope_p", "slope_q", "early_p", "early_q", "early_discrepancy", "development",
    "convergence_raw", "convergence"
  ))
  expect_equal(table$mean[8], mean(scores$convergence))
  expect_equal(table$sd[7], stats::sd(scores$convergence_raw))
  expect_identical(table$n, rep(8L, 8))
  # Adjusted Fisher-Pearson: 1, 2, 3, 10 have moments 12.5 and 45.
  expect_equal(skewness(c(1, 2, 3, 10)), sqrt(12) / 2 * 45 / 12.5^1.5)
  expect_equal(
    summary$skewness,
    c(before = skewness(scores$convergence_raw), after = skewness(scores$convergence))
  )
  expect_identical(summary$converging, sum(scores$convergence_raw > 0))
  expect_identical(summary(scores_of("signed"))$converging, NA_integer_)
  expect_identical(summary$reliability, reliability(scores))
})

test_that("a least score of 0 but for rounding is printed as 0", {
  scores <- scores_of(per = "course", transform = "log")
  scores$convergence[which.min(scores$convergence)] <- -2^-52
  printed <- utils::capture.output(print(summary(scores)))
  expect_false(any(grepl("e-", printed, fixed = TRUE)))
  expect_match(printed, "^ *convergence +8 .* 0\\.00 ", all = FALSE)
})

test_that("the printed summary reads well", {
  local_reproducible_output(width = 80)
  expect_snapshot({
    summary(scores_of(per = "course", transform = "log"))
    summary(scores_of("signed", early = "intercept", window = c(-Inf, 4)))
    summary(scores_of()[1:3, ])
  })
})

# ---- Plot ---------------------------------------------------------------------------------------

drawn <- function(...) {
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  plot(...)
}

test_that("plot() shows the sessions used and the lines through them", {
  scores <- scores_of(per = "course", transform = "log")
  shown <- drawn(scores)
  expect_identical(names(shown), c("dyad", "rater", "time", "rating", "fitted"))
  expect_identical(nrow(shown), 2L * nrow(ratings))
  expect_identical(unique(shown$dyad), as.character(scores$dyad[order(scores$convergence)]))
  for (j in c("2", "8")) {
    for (rater in c("p", "q")) {
      own <- shown[shown$dyad == j & shown$rater == rater, ]
      data <- ratings[ratings$dyad == j, ]
      expect_identical(own$rating, data[[rater]])
      line <- stats::lm(stats::reformulate("session", rater), data)
      expect_equal(own$fitted, unname(stats::predict(line, data)))
    }
  }
  inside <- drawn(scores_of(window = c(2, 3)))
  expect_identical(sort(unique(inside$time)), c(2, 3))
})

test_that("plot() shows as many dyads, or those, that are asked for", {
  scores <- scores_of()
  ranked <- as.character(scores$dyad[order(scores$convergence)])
  expect_identical(unique(drawn(scores, dyads = 2)$dyad), ranked[c(1, 8)])
  expect_identical(unique(drawn(scores, dyads = c(7, 3))$dyad), intersect(ranked, c("3", "7")))
  expect_identical(unique(drawn(scores[4, ])$dyad), "4")
  expect_null(drawn(scores, what = "scores"))
  expect_identical(nrow(drawn(scores, "dyads", 1, ylim = c(1, 7), xlab = "Week")), 10L)
  clustered <- transform(ratings, ward = rep(c("A", "B"), c(20, 17)), dyad = (dyad - 1) %% 4 + 1)
  nested <- suppressMessages(convergence(p + q ~ session | ward/dyad, clustered))
  expect_identical(unique(drawn(nested, dyads = "B/3")$dyad), "B/3")
  expect_identical(drawn(nested, dyads = "B/3")$rating, drawn(scores, dyads = "7")$rating)
  # A dyad without a score can be asked for as well.
  one_sided <- transform(ratings, q = ifelse(dyad == 6, NA, q))
  unscored <- suppressMessages(convergence(formula, one_sided))
  expect_true(all(is.na(drawn(unscored, "dyads", "6")$fitted[6:10])))
})

test_that("growth lines are drawn no further than the ratings go", {
  shown <- drawn(suppressMessages(
    convergence(wai_patient + wai_therapist ~ occasion | patient, study2)
  ))
  expect_identical(sort(unique(shown$time)), c(1, 2, 3))
})

test_that("plot() leaves the device as it was", {
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  before <- graphics::par(no.readonly = TRUE)
  plot(scores_of())
  expect_identical(graphics::par("mar", "mfrow"), before[c("mar", "mfrow")])
})

test_that("plot() refuses what it cannot show", {
  scores <- scores_of()
  many <- data.frame(dyad = rep(1:200, each = 3L), session = 1:3, p = sin(1:600), q = cos(1:600))
  many <- convergence(formula, many)
  expect_snapshot(error = TRUE, {
    plot(scores, what = "lines")
    plot(scores, dyads = "99")
    plot(scores, dyads = 0)
    plot(scores, dyads = NULL)
    plot(scores[0, ])
    plot(many, dyads = 200)
  })
})

test_that("summary() points to ratings that may stand for missing ones", {
  coded <- function(...) {
    data <- ratings
    for (change in list(...)) {
      data[change$at, change$column] <- change$value
    }
    suppressMessages(convergence(formula, data))
  }
  expect_identical(nrow(summary(scores_of())$far_off), 0L)
  codes <- coded(
    list(at = c(3, 20), column = "p", value = 99), list(at = 30, column = "p", value = 98),
    list(at = 11, column = "q", value = -9)
  )
  rest <- function(x, at) range(x[-at], na.rm = TRUE)
  expect_identical(summary(codes)$far_off, data.frame(
    rater = c("p", "q"), n = c(3L, 1L), values = c("98, 99", "-9"),
    from = c(rest(ratings$p, c(3, 20, 30))[1], rest(ratings$q, 11)[1]),
    to = c(rest(ratings$p, c(3, 20, 30))[2], rest(ratings$q, 11)[2])
  ))
  expect_output(
    print(summary(codes)), "3 ratings of p far from all others: 98, 99;", fixed = TRUE
  )
  # Outside the window it was not used.
  outside <- ratings
  outside$p[5] <- 99
  expect_identical(nrow(summary(
    suppressMessages(convergence(formula, outside, window = c(1, 4)))
  )$far_off), 0L)
  # A scale of two values has a gap too, and one value has none.
  expect_null(far_off(c(0, 0, 0, 0, 1, 1)))
  expect_null(far_off(rep(3, 5)))
  expect_null(far_off(c(1, 1, 2, 3, 3, 7)))
})
