growth <- function(...) {
  lmm(distance ~ I(age - 11) + (I(age - 11) | Subject), data = nlme::Orthodont, ...)
}

# One published cell against the fit's intercept, 24.0231 (.4297).
mark_of <- function(estimate = "24.02", std.error = NA_character_, p.value = NA_character_, ...) {
  printed <- data.frame(
    term = "intercept", estimate = estimate, std.error = std.error, p.value = p.value
  )
  compared <- compare_published(growth(), printed, ...)
  stats::setNames(as.character(compared$mark), compared$statistic)
}

test_that("an estimate is equal to the printed digit, within one unit of it, or apart", {
  expect_equal(
    vapply(
      c("24", "24.0", "24.02", "24.023", "24.03", "24.024", "24.04", "24.00", "24.021", "-24.02"),
      mark_of, "",
      USE.NAMES = FALSE
    ),
    c(rep("equal", 4), rep("within", 2), rep("apart", 4))
  )
  expect_equal(mark_of("24.06", tolerance = c(digits = 4)), c(estimate = "within"))
})

test_that("a standard error has a share of the printed one", {
  error <- function(text, ...) mark_of(std.error = text, ...)[["std.error"]]
  expect_equal(error(".43"), "equal")
  expect_equal(error("0.4297"), "equal")
  # .4297 is 4.9 % above .4096 and 5.1 % above .4088.
  expect_equal(error(".4096"), "within")
  expect_equal(error(".4088"), "apart")
  expect_equal(error(".4088", tolerance = c(std.error = .06)), "within")
})

test_that("a p value is equal, on the printed side of the level, or apart", {
  # The intercept's p is far below any level.
  p <- function(text, ...) mark_of(p.value = text, ...)[["p.value"]]
  expect_equal(p("<.001"), "equal")
  expect_equal(p("< .05"), "equal")
  expect_equal(p(".000"), "equal")
  expect_equal(p(".04"), "within")
  expect_equal(p(".06"), "apart")
  # Printed on neither side.
  expect_equal(p(".050"), "apart")
  expect_equal(p(".06", tolerance = c(alpha = .1)), "within")
})

test_that("random effects and criteria are found by the paper's words and by tidy()'s", {
  fit <- growth()
  own <- tidy(fit, "ran_pars", scales = "vcov")
  words <- c("intercept_variance", "covariance", "slope_variance", "residual_variance")
  by_word <- compare_published(
    fit, data.frame(term = c(words, "aic"), estimate = "0", std.error = c(rep("1", 4), NA))
  )
  by_name <- compare_published(
    fit, data.frame(term = c(own$term, "aic"), estimate = "0", std.error = c(rep("1", 4), NA))
  )
  expect_equal(by_word$value, by_name$value)
  parameters <- by_word[by_word$statistic == "estimate", ]
  expect_equal(
    parameters$value, c(summary(fit)$varcomp$estimate, information_criteria(fit)[["aic"]])
  )
  # Potthoff and Roy's data, residual variance 1.716 (Pinheiro & Bates, 2000: SD 1.310).
  expect_equal(parameters$value[4], 1.310^2, tolerance = 1e-3)
  expect_equal(
    compare_published(fit, data.frame(term = "aic", estimate = "1"), criteria = "r")$value,
    information_criteria(fit, "r")[["aic"]]
  )
})

test_that("tolerances of random effects and criteria are shares", {
  fit <- growth()
  variance <- summary(fit)$varcomp[4, ]
  near <- function(value, share) sprintf("%.6f", value / (1 + share))
  table <- function(share) {
    data.frame(
      term = c("residual_variance", "aic"),
      estimate = c(near(variance$estimate, share[1]), near(
        information_criteria(fit)[["aic"]], share[2]
      )),
      std.error = c(near(variance$std.error, share[3]), NA)
    )
  }
  marks <- function(share) as.character(compare_published(fit, table(share))$mark)
  expect_equal(marks(c(.049, .019, .099)), rep("within", 3))
  expect_equal(marks(c(.051, .021, .101)), rep("apart", 3))
})

test_that("the paper's tables are matched to the three models, whatever time is called", {
  scores <- suppressMessages(
    convergence(wai_patient + wai_therapist ~ session | patient, data = study1)
  )
  for (formula in c(bdi ~ session | patient, bdi ~ I(session - 1) | patient)) {
    models <- suppressMessages(convergence_models(formula, data = study1, scores = scores))
    compared <- compare_published(models, "study1")
    cells <- published_tables[published_tables$study == 1, c("estimate", "std.error", "p.value")]
    expect_equal(nrow(compared), sum(!is.na(cells)))
    expect_false(any(compared$mark == "absent"))
    expect_equal(sum(compared$mark == "exempt"), 4L)
    fixed <- summary(models$full)$coefficients
    time <- attr(models, "settings")$time
    value <- function(term) compared$value[compared$model == 3 & compared$term == term]
    expect_equal(value("time"), unname(fixed[time, c("Estimate", "Std. Error", "Pr(>|t|)")]))
    expect_equal(
      value("development:convergence:time"),
      unname(fixed[
        paste0("development:convergence:", time), c("Estimate", "Std. Error", "Pr(>|t|)")
      ])
    )
  }
})

test_that("a predictor whose name holds that of time is left alone", {
  set.seed(3)
  data <- data.frame(
    dyad = rep(1:20, each = 5), session = rep(0:4, 20), sessions = rep(stats::rnorm(20), each = 5)
  )
  dyad <- function() stats::rnorm(20)[data$dyad]
  data$y <- stats::rnorm(100) + dyad() + dyad() * data$session
  fit <- lmm(y ~ session * sessions + (session | dyad), data = data)
  printed <- data.frame(term = c("time", "sessions", "sessions:time"), estimate = "0")
  expect_equal(
    compare_published(fit, printed)$value,
    unname(fixef(fit)[c("session", "sessions", "session:sessions")])
  )
})

test_that("terms that the models do not have are marked, not dropped", {
  printed <- data.frame(term = c("intercept", "age"), estimate = c("24.02", "1"))
  compared <- compare_published(growth(), printed)
  expect_equal(as.character(compared$mark), c("equal", "absent"))
  expect_true(is.na(compared$value[2]))
})

test_that("exempt cells are marked with their reason, equal or not", {
  printed <- data.frame(term = c("intercept", "time"), estimate = c("24.02", "7"))
  exempt <- data.frame(
    term = c("time", "(Intercept)"), statistic = "estimate", reason = c("misprint", "too good")
  )
  compared <- compare_published(growth(), printed, exempt = exempt)
  expect_equal(as.character(compared$mark), c("exempt", "exempt"))
  expect_equal(compared$reason, c("too good", "misprint"))
})

test_that("cells that are exempt in one study are not so in the other", {
  one <- data.frame(study = 1, model = 1, term = "intercept", estimate = "24.02")
  exempt <- data.frame(
    study = c(2, 1), model = 1, term = "intercept", statistic = "estimate",
    reason = c("another's", "its own")
  )
  expect_identical(compare_published(growth(), one, exempt = exempt)$reason, "its own")
  compared <- compare_published(growth(), one, exempt = exempt[1, ])
  expect_identical(as.character(compared$mark), "equal")
})

test_that("therapists' variances do not pass for the dyads'", {
  data <- small_study()
  fit <- lmm(bdi ~ session + (session | therapist/patient), data = data)
  printed <- data.frame(
    term = c("intercept_variance", "therapist: var__(Intercept)"), estimate = "1"
  )
  table <- summary(fit)$varcomp
  rows <- which(table$var1 == "(Intercept)" & is.na(table$var2))
  expect_equal(
    compare_published(fit, printed)$value,
    table$estimate[rows][order(table$grp[rows] == "therapist")]
  )
})

test_that("what cannot be compared is refused with a class", {
  fit <- growth()
  good <- data.frame(term = "intercept", estimate = "24.02")
  expect_error(compare_published(fit, "study3"), class = "samepage_error_argument")
  expect_error(compare_published(1, good), class = "samepage_error_argument")
  expect_error(compare_published(list(), good), class = "samepage_error_argument")
  expect_error(
    compare_published(fit, good, tolerance = c(p = 1)), class = "samepage_error_argument"
  )
  expect_error(compare_published(fit, good, tolerances = 1), class = "samepage_error_argument")
  both <- c("study1", "study2")
  expect_error(compare_published(list(fit, fit, fit), both), class = "samepage_error_argument")
  published <- "samepage_error_published"
  expect_error(compare_published(fit, 1), class = published)
  expect_error(compare_published(fit, good["term"]), class = published)
  expect_error(
    compare_published(fit, data.frame(term = "intercept", estimate = 24.02)),
    class = published
  )
  expect_error(
    compare_published(fit, data.frame(term = "intercept", estimate = "n.s.")),
    class = published
  )
  expect_error(compare_published(fit, rbind(good, good)), class = published)
  expect_error(compare_published(fit, cbind(good, model = 2)), class = published)
  expect_error(compare_published(list(fit, fit), good), class = published)
  exempt <- data.frame(term = "time", statistic = "estimate", reason = "misprint")
  expect_error(
    compare_published(fit, good, exempt = exempt),
    class = "samepage_error_argument"
  )
})

test_that("printing sets both side by side", {
  printed <- data.frame(
    term = c("intercept", "time", "residual_variance", "aic", "age"),
    estimate = c("24.02", ".60", "1.72", "500", "1.0"),
    std.error = c(".43", ".07", ".30", NA, NA), p.value = c("<.001", ".06", NA, NA, NA)
  )
  exempt <- data.frame(
    term = "residual_variance", statistic = "std.error", reason = "a misprint of the example."
  )
  expect_snapshot({
    compare_published(growth(), printed, exempt = exempt)
    compare_published(growth(), printed)[1:2, c("term", "mark")]
    compare_published(
      list(growth(), growth(method = "ML")),
      data.frame(
        model = c(1, 1, 2, 2), term = c("intercept", "covariance", "intercept", "m2ll"),
        estimate = c("24.0231", ".2", "24", "1,000"), std.error = c(".4297", ".5", NA, NA)
      )
    )
  })
  expect_snapshot(error = TRUE, {
    compare_published(growth(), data.frame(term = "intercept", estimate = 24.02))
    compare_published(growth(), data.frame(term = "intercept", estimate = "n.s."))
    compare_published(growth(), data.frame(term = "intercept", estimate = "24,02"))
    compare_published(growth(), data.frame(term = c("time", NA), estimate = "24.02"))
    compare_published(growth(), data.frame(term = "time", estimate = NA, p.value = ""))
    compare_published(growth(), data.frame(term = character(), estimate = character()))
    compare_published(growth(), "study1")
    compare_published(list(growth(), growth(), growth()), published_tables)
    compare_published(list(growth(), stats::lm(distance ~ age, nlme::Orthodont)), printed)
    compare_published(growth(), printed, exempt = data.frame(term = "time"))
    compare_published(growth(), printed, exempt = "none")
    compare_published(growth(), printed, tolerance = .1)
    compare_published(growth(), printed, tolerance = c(std.error = -1))
  })
})

# ---- The shipped tables -----------------------------------------------------------

test_that("the shipped tables are the digitised ones, digit by digit", {
  digitised <- utils::read.csv(
    shared_path("published-tables.csv"),
    colClasses = "character", na.strings = ""
  )
  term <- gsub("early_(patient|therapist)", "early_wai_\\1", digitised$term)
  key <- paste(digitised$study, digitised$model, term)
  at <- match(paste(published_tables$study, published_tables$model, published_tables$term), key)
  expect_setequal(at, seq_along(key))
  expect_equal(published_tables$estimate, digitised$estimate[at])
  expect_equal(published_tables$std.error, digitised$std_error[at])
  expect_equal(published_tables$p.value, digitised$p_printed[at])
})

test_that("every exempt cell is a cell of the tables", {
  key <- function(x) paste(x$study, x$model, x$effect, x$term)
  at <- match(key(published_exempt), key(published_tables))
  expect_false(anyNA(at))
  printed <- published_tables[cbind(at, match(published_exempt$statistic, names(published_tables)))]
  expect_false(anyNA(printed))
  expect_false(anyDuplicated(paste(key(published_exempt), published_exempt$statistic)) > 0)
})
