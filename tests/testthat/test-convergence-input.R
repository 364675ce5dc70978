# What convergence() takes, in every form; and what it refuses, each once.

formula <- wai_patient + wai_therapist ~ session | patient

rated <- drawn_sample()

scores_of <- function(formula, data, ...) suppressMessages(convergence(formula, data, ...))

ratings <- data.frame(
  patient = factor(rep(paste0("P", 1:6), each = 4L)), therapist = rep(c("T1", "T2"), each = 12L),
  treatment = factor(rep(c("CBT", "IPT"), each = 12L)), session = rep(1:4, 6L),
  wai_patient = round(5 + sin(1:24), 2), wai_therapist = round(5.5 + cos(2 * (1:24)), 2),
  bdi = 30 - rep(1:4, 6L)
)

# Everything but names and ids.
numbers <- function(scores) {
  unname(as.list(as.data.frame(scores)[setdiff(names(scores), c("patient", "therapist"))]))
}

# ---- Ids, order and forms -----------------------------------------------------------------------

test_that("ids of any type give the same scores and keep their type", {
  expected <- scores_of(formula, rated)
  expect_identical(expected$patient, factor(levels(rated$patient)))
  code <- as.integer(rated$patient)
  ids <- list(
    integer = code, double = code + 0.5, character = as.character(rated$patient),
    date = as.Date("2024-01-01") + code, negative = code - 200, large = code * 1e5
  )
  for (name in names(ids)) {
    data <- rated
    data$patient <- ids[[name]]
    scores <- scores_of(formula, data)
    expect_identical(scores$patient, sort(unique(ids[[name]])), info = name)
    expect_identical(numbers(scores), numbers(expected), info = name)
  }
  # Levels in another order, and one that nobody has.
  data <- rated
  data$patient <- factor(data$patient, levels = c("nobody", rev(levels(rated$patient))))
  scores <- scores_of(formula, data)
  expect_identical(as.character(scores$patient), rev(levels(rated$patient)))
  expect_identical(levels(scores$patient), levels(data$patient))
  expect_equal(scores$convergence, rev(expected$convergence))
})

labelled <- function(x) {
  structure(x, labels = c(first = 1), class = c("haven_labelled", "vctrs_vctr", typeof(x)))
}

test_that("ids with value labels, as SPSS files have them, work", {
  data <- rated
  data$patient <- labelled(as.integer(data$patient))
  scores <- scores_of(formula, data)
  # The class has no methods here, or vctrs' own, as haven is not loaded.
  expect_identical(as.integer(unclass(scores$patient)), seq_len(nrow(scores)))
  expect_identical(numbers(scores), numbers(scores_of(formula, rated)))
})

test_that("rows may come in any order", {
  expected <- scores_of(formula, rated)
  set.seed(2)
  for (ids in list(rated$patient, as.character(rated$patient), as.integer(rated$patient))) {
    data <- rated
    data$patient <- ids
    shuffled <- data[sample(nrow(data)), ]
    expect_identical(numbers(scores_of(formula, shuffled)), numbers(expected))
  }
})

test_that("ids that repeat across clusters are told apart", {
  expected <- scores_of(formula, rated)
  data <- rated
  key <- unique(data[c("therapist", "patient")])
  within <- stats::ave(seq_len(nrow(key)), key$therapist, FUN = seq_along)
  data$number <- within[match(data$patient, key$patient)]
  expect_error(
    scores_of(wai_patient + wai_therapist ~ session | number, data),
    class = "samepage_error_duplicate_rows"
  )
  set.seed(3)
  data <- data[sample(nrow(data)), ]
  scores <- scores_of(wai_patient + wai_therapist ~ session | therapist/number, data)
  expect_identical(names(scores)[1:2], c("therapist", "number"))
  expect_identical(attr(scores, "cluster"), "therapist")
  place <- match(
    paste(scores$therapist, scores$number), paste(key$therapist, within)
  )
  same <- match(key$patient[place], expected$patient)
  expect_equal(scores$convergence, expected$convergence[same])
  # The same dyads, whichever is named.
  nested <- scores_of(wai_patient + wai_therapist ~ session | therapist/patient, rated)
  expect_equal(
    nested$convergence, expected$convergence[match(nested$patient, expected$patient)]
  )
})

test_that("the formula may be written in several ways", {
  expected <- scores_of(formula, rated)
  forms <- list(
    cbind(wai_patient, wai_therapist) ~ session | patient,
    (wai_patient + wai_therapist) ~ (session | patient),
    wai_patient + wai_therapist ~ (session) | (patient)
  )
  for (form in forms) {
    expect_identical(numbers(scores_of(form, rated)), numbers(expected))
  }
  first <- 1
  shifted <- scores_of(log(wai_patient) + wai_therapist ~ I(session - first) | patient, rated)
  expect_identical(attr(shifted, "raters"), c("log(wai_patient)", "wai_therapist"))
  expect_identical(attr(shifted, "time"), "I(session - first)")
  by_hand <- rated
  by_hand$zero <- by_hand$session - 1
  by_hand$logged <- log(by_hand$wai_patient)
  expect_identical(
    numbers(shifted), numbers(scores_of(logged + wai_therapist ~ zero | patient, by_hand))
  )
  named <- rated
  names(named)[names(named) == "wai_patient"] <- "WAI, patient"
  scores <- scores_of(`WAI, patient` + wai_therapist ~ session | patient, named)
  expect_true("slope_WAI, patient" %in% names(scores))
  expect_identical(numbers(scores), numbers(expected))
  # z scores come as a matrix of one column.
  expect_no_error(scores_of(scale(wai_patient) + scale(wai_therapist) ~ session | patient, rated))
})

test_that("a tibble is a data frame, and the result is a plain one", {
  data <- rated
  class(data) <- c("tbl_df", "tbl", "data.frame")
  scores <- scores_of(formula, data)
  expect_identical(class(scores), c("samepage_convergence", "data.frame"))
  expect_identical(numbers(scores), numbers(scores_of(formula, rated)))
})

test_that("one dyad is enough", {
  scores <- scores_of(formula, rated[rated$patient == "P03", ])
  all <- scores_of(formula, rated)
  expect_identical(scores$convergence, all$convergence[all$patient == "P03"])
  logged <- scores_of(formula, rated[rated$patient == "P03", ], transform = "log")
  expect_identical(logged$convergence, 0)
})

# ---- What is missing is told --------------------------------------------------------------------

test_that("rows without id or time and empty sessions are counted", {
  data <- rated
  data$patient[c(5, 100)] <- NA
  data$session[c(30, 31, 32)] <- NA
  data$wai_patient[200] <- data$wai_therapist[200] <- NA
  suppressMessages(expect_message(
    scores <- convergence(formula, data), "2 rows without `patient`, 3 rows without `session`",
    class = "samepage_message_rows_dropped"
  ))
  counts <- as.list(attr(scores, "counts"))
  expect_identical(counts$rows, nrow(rated))
  expect_identical(c(counts$rows_no_id, counts$rows_no_time), c(2L, 3L))
  unrated <- is.na(rated$wai_patient) & is.na(rated$wai_therapist)
  unrated[c(5, 100, 30, 31, 32)] <- FALSE
  unrated[200] <- TRUE
  expect_identical(counts$rows_unrated, sum(unrated))
  used <- counts$sessions_both + counts$sessions_first_only + counts$sessions_second_only
  expect_identical(
    used + counts$rows_unrated + counts$rows_no_id + counts$rows_no_time, counts$rows
  )
  missing <- which(is.na(data$patient) | is.na(data$session))
  expect_identical(numbers(scores), numbers(scores_of(formula, data[-missing, ])))
  # NaN is missing as NA is.
  data$wai_patient[is.na(data$wai_patient)] <- NaN
  expect_identical(numbers(scores_of(formula, data)), numbers(scores))
})

test_that("dyads without a score, or without a standard error, stay and are named", {
  data <- data.frame(
    dyad = rep(c("one", "two", "three", "apart", "none"), c(1, 2, 3, 4, 2)),
    t = c(1, 1:2, 1:3, 1:4, 1:2),
    p = c(4, 4, 5, 3, 4, 4.5, 2, 3, NA, NA, NA, NA),
    q = c(5, 5, 5, 5, 4, 5, NA, NA, 4, 3, 5, 5)
  )
  expect_snapshot(scores <- convergence(p + q ~ t | dyad, data))
  expect_identical(scores$dyad, c("apart", "none", "one", "three", "two"))
  expect_identical(is.na(scores$convergence), c(FALSE, TRUE, TRUE, FALSE, FALSE))
  expect_identical(is.na(scores$convergence_se), c(TRUE, TRUE, TRUE, FALSE, TRUE))
  expect_snapshot(scores <- convergence(p + q ~ t | dyad, data, "absolute"))
  expect_identical(is.na(scores$convergence), c(TRUE, TRUE, TRUE, FALSE, FALSE))
})

# ---- Errors -------------------------------------------------------------------------------------

expect_refused <- function(what, ...) {
  expect_error(convergence(...), class = paste0("samepage_error_", what))
}

changed <- function(column, rows, value) {
  data <- ratings
  data[[column]][rows] <- value
  data
}

replaced <- function(column, values) {
  data <- ratings
  data[[column]] <- values
  data
}

test_that("a formula that cannot be read is an error that names the part", {
  expect_snapshot(error = TRUE, {
    convergence(data = ratings)
    convergence("wai", ratings)
    convergence(~ session | patient, ratings)
    convergence(wai_patient ~ session | patient, ratings)
    convergence(wai_patient + wai_therapist + bdi ~ session | patient, ratings)
    convergence(wai_patient - wai_therapist ~ session | patient, ratings)
    convergence(wai_patient + wai_patient ~ session | patient, ratings)
    convergence(wai_patient + 1 ~ session | patient, ratings)
    convergence(cbind(wai_patient, wai_therapist, bdi) ~ session | patient, ratings)
    convergence(wai_patient + wai_therapist ~ session, ratings)
    convergence(wai_patient + wai_therapist ~ session || patient, ratings)
    convergence(wai_patient + wai_therapist ~ session + bdi | patient, ratings)
    convergence(wai_patient + wai_therapist ~ 1 | patient, ratings)
    convergence(wai_patient + session ~ session | patient, ratings)
    convergence(wai_patient + wai_therapist ~ session | patient + therapist, ratings)
    convergence(wai_patient + wai_therapist ~ session | a / b / c, ratings)
    convergence(wai_patient + wai_therapist ~ session | patient / patient, ratings)
    convergence(wai_patient + wai_therapist ~ session | session, ratings)
    convergence(wai_patient + mean(bdi) ~ session | patient, ratings)
    convergence(wai_patient + sqrt(treatment) ~ session | patient, ratings)
  })
})

test_that("a column that is not there, or twice, is an error with a suggestion", {
  expect_snapshot(error = TRUE, {
    convergence(wai_patent + wai_therapist ~ session | patient, ratings)
    convergence(wai_patient + wai_therapist ~ session | patnt, ratings)
    convergence(wai_patient + wai_therapist ~ zeit | patient, ratings)
    convergence(formula, stats::setNames(ratings, sub("bdi_pre", "wai_patient", names(ratings))))
  })
  # A vector of the workspace is not taken for a column: its rows may be others.
  elsewhere <- ratings$wai_patient
  expect_refused("column", elsewhere + wai_therapist ~ session | patient, ratings)
  expect_refused("column", log(elsewhere) + wai_therapist ~ session | patient, ratings)
})

test_that("ratings and times that are no numbers are an error with advice", {
  expect_snapshot(error = TRUE, {
    convergence(formula, replaced("session", as.character(ratings$session)))
    convergence(formula, replaced("session", as.Date("2024-01-01") + ratings$session))
    convergence(formula, replaced("wai_patient", factor(ratings$wai_patient)))
    convergence(formula, replaced("wai_patient", rep("often", nrow(ratings))))
    convergence(formula, replaced("wai_patient", sub(".", ",", ratings$wai_patient, fixed = TRUE)))
    convergence(formula, replaced("wai_therapist", ratings$bdi > 20))
    convergence(formula, replaced("wai_therapist", as.list(ratings$bdi)))
    convergence(formula, replaced("wai_therapist", cbind(ratings$bdi, 1)))
    convergence(formula, replaced("wai_therapist", ratings$bdi + 1i))
    convergence(formula, replaced("wai_patient", labelled(ratings$wai_patient)))
  })
})

test_that("rows that cannot be are an error that says where", {
  expect_snapshot(error = TRUE, {
    convergence(formula, rbind(ratings, ratings[c(3, 17, 18, 19, 20, 21), ]))
    convergence(formula, changed("wai_patient", c(4, 10), Inf))
    convergence(formula, changed("session", 4, -Inf))
    convergence(log(wai_patient - wai_patient) + wai_therapist ~ session | patient, ratings)
    convergence(formula, ratings[!duplicated(ratings$patient), ])
    convergence(formula, replaced("session", 1))
    convergence(formula, replaced("session", NA))
    convergence(formula, replaced("wai_therapist", NA))
    convergence(formula, ratings, "absolute", window = c(4, 9))
    convergence(formula, replaced("patient", NA))
    convergence(formula, replaced("patient", as.list(ratings$patient)))
    convergence(formula, replaced("patient", as.raw(rep(1:6, each = 4))))
  })
  # Outside the window an infinite time does no harm.
  expect_no_error(scores_of(formula, changed("session", 4, Inf), window = c(1, 4)))
})

test_that("wrong data and columns that are taken are an error", {
  expect_snapshot(error = TRUE, {
    convergence(formula)
    convergence(formula, as.list(ratings))
    convergence(formula, ratings[0, ])
    convergence(formula, data.frame())
    convergence(formula, replaced("convergence", 1))
    convergence(
      both + wai_therapist ~ session | patient, replaced("both", ratings$wai_patient)
    )
  })
})

test_that("arguments of the wrong type, length or value are an error", {
  expect_snapshot(error = TRUE, {
    convergence(formula, ratings, definitin = "signed")
    convergence(formula, ratings, "fitted", "unit", "none", NULL, "first", "signed", NULL, 3)
    convergence(formula, ratings, definition = "relative")
    convergence(formula, ratings, per = 1)
    convergence(formula, ratings, early = NULL)
    convergence(formula, ratings, window = c(3, 1))
    convergence(formula, ratings, window = c(100, 200))
    convergence(formula, ratings, shift = 1)
    convergence(formula, ratings, transform = "log", shift = "1")
    convergence(formula, ratings, transform = "log", shift = 0.1)
  })
  wrong <- list("x", 1, NULL, NA, c("a", "b"), TRUE, NA_character_, list("fitted"))
  for (argument in c("definition", "per", "transform", "early", "early_discrepancy")) {
    for (value in wrong) {
      arguments <- c(list(formula, ratings), stats::setNames(list(value), argument))
      expect_error(do.call(convergence, arguments), class = "samepage_error_argument")
    }
  }
  for (window in list("x", 1, c(1, NA), c(2, 2), TRUE, list(1, 2), 1:3)) {
    expect_refused("window", formula, ratings, window = window)
  }
  for (shift in list("x", c(1, 2), NA_real_, Inf, TRUE, list(1))) {
    expect_refused("shift", formula, ratings, transform = "log", shift = shift)
  }
})
