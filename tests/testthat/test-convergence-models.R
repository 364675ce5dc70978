# Truth here: columns made by hand, counts worked out by hand, lmerTest with a
# tight optimiser. Helpers are in helper-models.R.

study <- small_study()
scores <- small_scores(study)

fit_small <- function(..., data = study, with = scores, formula = bdi ~ session | patient) {
  suppressMessages(convergence_models(formula, data, with, ...))
}

test_that("the models' columns equal columns made by hand, in both forms", {
  predictors <- predictors_of(study, scores, first_outcome(study))
  for (form in c("table", "equations")) {
    models <- fit_small(form = form)
    expect_named(models, c("null", "convergence", "full"))
    full <- hand_columns(predictors, study$session, first_row(study$patient), form)
    expect_same_columns(models$full, full)
    two <- hand_columns(
      predictors[c("initial", "convergence")], study$session, first_row(study$patient), form
    )
    expect_same_columns(models$convergence, two)
    expect_identical(colnames(columns_of(models$null)), c("(Intercept)", "session"))
  }
})

test_that("coefficients come in the documented order, time last in products", {
  models <- fit_small()
  expect_named(fixef(models$convergence), c(
    "(Intercept)", "initial", "convergence", "session", "convergence:session"
  ))
  expect_named(fixef(models$full), c(
    "(Intercept)", "initial", "early_wai_p", "early_wai_t", "development", "early_discrepancy",
    "convergence", "session", "early_wai_p:session", "early_wai_t:session",
    "development:session", "early_discrepancy:session", "convergence:session",
    "development:convergence:session"
  ))
})

test_that("means are taken over dyads, not over rows, and products are not centred again", {
  centers <- attr(fit_small(), "centers")
  first <- first_row(study$patient)
  own <- centers[centers$model == 3 & centers$term == "initial", ]
  expect_equal(own$mean, mean(study$bdi[first]), tolerance = tol$algebra)
  expect_false(isTRUE(all.equal(own$mean, mean(first_outcome(study)))))
  expect_true(all(centers$centered))

  raw <- fit_small(center = FALSE)
  predictors <- predictors_of(study, scores, first_outcome(study))
  expect_same_columns(
    raw$full, hand_columns(predictors, study$session, first, centered = character())
  )
  some <- fit_small(center = c("initial", "convergence"))
  expect_same_columns(
    some$full,
    hand_columns(predictors, study$session, first, centered = c("initial", "convergence"))
  )
  expect_identical(
    attr(some, "centers")$centered[attr(some, "centers")$model == 3],
    c(TRUE, FALSE, FALSE, FALSE, FALSE, TRUE)
  )
})

test_that("mean and signed discrepancy span the two early levels", {
  mean_models <- fit_small(alliance = "mean")
  expect_true(all(c("early_mean", "early_discrepancy") %in% names(fixef(mean_models$full))))
  expect_false(any(grepl("early_wai", names(fixef(mean_models$full)))))
  predictors <- predictors_of(study, scores, first_outcome(study))
  early <- predictors[c("early_wai_p", "early_wai_t")]
  predictors <- c(
    list(initial = predictors$initial, early_mean = (early[[1]] + early[[2]]) / 2),
    list(development = predictors$development, early_discrepancy = early[[1]] - early[[2]]),
    list(convergence = predictors$convergence)
  )
  expect_same_columns(
    mean_models$full, hand_columns(predictors, study$session, first_row(study$patient))
  )
  # Two raters' levels with the signed discrepancy: aliased, the same model.
  signed <- fit_small(with = small_scores(study, early_discrepancy = "signed"))
  expect_equal(fitted(mean_models$full), fitted(signed$full), tolerance = 1e-6)
})

test_that("ids match whatever their type, in any order of rows", {
  expected <- fixef(fit_small()$full)
  shuffled <- study[rev(seq_len(nrow(study))), ]
  shuffled$patient <- factor(shuffled$patient)
  text <- study
  text$patient <- as.character(text$patient)
  double <- study
  double$patient <- as.numeric(double$patient) * 1e5
  large <- study
  large$patient <- large$patient * 100000L
  expect_equal(fixef(fit_small(data = shuffled)$full), expected, tolerance = tol$estimate)
  expect_equal(fixef(fit_small(data = text)$full), expected, tolerance = tol$estimate)
  expect_equal(
    fixef(fit_small(data = double, with = small_scores(large))$full), expected,
    tolerance = tol$estimate
  )
})

test_that("ids that repeat across clusters are told apart by cluster/dyad", {
  nested <- study
  nested$patient <- (nested$patient - 1L) %% 4L + 1L
  nested_scores <- small_scores(nested, wai_p + wai_t ~ session | therapist / patient)
  models <- fit_small(
    data = nested, with = nested_scores, formula = bdi ~ session | therapist / patient
  )
  expect_identical(attr(models, "samples")$dyads, rep(16L, 3L))
  expect_equal(fixef(models$full), fixef(fit_small()$full), tolerance = tol$estimate)
  # Scores by therapist/patient serve patients whose ids are unique as well.
  wide <- small_scores(study, wai_p + wai_t ~ session | therapist / patient)
  expect_equal(
    fixef(fit_small(with = wide)$full), fixef(fit_small()$full), tolerance = tol$estimate
  )
  expect_error(
    fit_small(data = nested, with = nested_scores), "therapist/patient` in `formula`",
    class = "samepage_error_scores"
  )
  expect_error(
    fit_small(data = nested, formula = bdi ~ session | therapist / patient),
    class = "samepage_error_dyads"
  )
})

# Rows worked out by hand: dyads have 5, 6, 7, 5, ... sessions, 96 rows in all.
test_that("rows are counted per model, each left-out row once and with its reason", {
  holes <- study
  holes$bdi[holes$patient == 2 & holes$session %in% c(1, 3)] <- NA
  holes$session[holes$patient == 3 & holes$session == 7] <- NA
  holes$patient[which(holes$patient == 4)[5]] <- NA
  with <- scores[scores$patient != 5, ]
  expect_s3_class(with, "samepage_convergence")

  available <- fit_small(data = holes, with = with, rows = "available", initial_row = "drop")
  samples <- attr(available, "samples")
  total <- nrow(study)
  expect_identical(samples$rows[[1]], total - 4L)
  # Dyad 5 has 6 rows; every other dyad gives one row to the initial value.
  expect_identical(samples$rows[2:3], rep(total - 4L - 6L - 15L, 2L))
  expect_identical(samples$dyads, c(16L, 15L, 15L))
  left_out <- attr(available, "left_out")
  for (model in 1:3) {
    expect_identical(
      sum(left_out$rows[left_out$model == model]), total - samples$rows[[model]]
    )
  }
  none <- left_out[left_out$model == 2 & left_out$reason == "no scores of the dyad", ]
  expect_identical(none$rows, 6L)
  expect_identical(none$dyads, 1L)
  expect_identical(none$which, "5")
  # The first outcome there is, although the first session's is missing.
  expect_equal(
    columns_of(available$convergence)[5, "initial"],
    holes$bdi[holes$patient %in% 2 & holes$session %in% 2] -
      attr(available, "centers")$mean[1],
    tolerance = tol$algebra, ignore_attr = TRUE
  )

  common <- fit_small(data = holes, with = with, initial_row = "drop")
  expect_identical(attr(common, "samples")$rows, rep(total - 4L - 6L - 15L, 3L))
  keep <- fit_small(data = holes, with = with, rows = "available")
  expect_identical(attr(keep, "samples")$rows, total - c(4L, 10L, 10L))
  expect_message(
    convergence_models(bdi ~ session | patient, holes, with),
    class = "samepage_message_left_out"
  )
})

test_that("a dyad that is lost altogether is counted with one reason", {
  holes <- study
  holes$bdi[holes$patient == 5 & holes$session < 3] <- NA
  left_out <- attr(fit_small(data = holes, with = scores[scores$patient != 5, ]), "left_out")
  expect_identical(left_out$reason[left_out$model == 1], "no scores of the dyad")
  expect_identical(sum(left_out$dyads[left_out$model == 1]), 1L)
  silent <- study
  silent$bdi[silent$patient == 6] <- NA
  left_out <- attr(fit_small(data = silent), "left_out")
  expect_identical(left_out$reason[left_out$model == 3], "outcome missing")
  expect_identical(left_out$which[left_out$model == 3], "6")
})

test_that("a fit of the models can be updated, and the models compared by ML", {
  models <- fit_small()
  expect_identical(component(update(models$full, method = "ML"), "method"), "ML")
  compared <- anova(models$convergence, models$full, refit = TRUE)
  expect_identical(compared$Df[[2]], 9)
})

test_that("nothing is said when nothing is left out", {
  expect_no_message(convergence_models(bdi ~ session | patient, study, scores))
})

test_that("scores of dyads that the data lack are counted", {
  models <- fit_small(data = study[study$patient > 2, ])
  left_out <- attr(models, "left_out")
  expect_identical(left_out$dyads[is.na(left_out$model)], 2L)
  expect_identical(left_out$which[is.na(left_out$model)], "1, 2")
})

test_that("the initial value may be a column, also one recorded once per dyad", {
  models <- fit_small(initial = "bdi_pre")
  predictors <- predictors_of(study, scores, study$bdi_pre)
  expect_same_columns(
    models$full, hand_columns(predictors, study$session, first_row(study$patient))
  )
  once <- study
  once$bdi_pre[duplicated(once$patient)] <- NA
  expect_identical(fixef(fit_small(data = once, initial = "bdi_pre")$full), fixef(models$full))
  without <- study
  without$bdi_pre[without$patient == 7] <- NA
  expect_identical(
    attr(fit_small(data = without, initial = "bdi_pre"), "samples")$dyads, rep(15L, 3L)
  )
})

test_that("a signed early discrepancy is dropped and explained by name", {
  signed <- small_scores(study, early_discrepancy = "signed")
  expect_message(
    models <- convergence_models(bdi ~ session | patient, study, signed),
    class = "samepage_message_aliased"
  )
  aliased <- attr(models, "aliased")
  expect_identical(aliased$model, c(3L, 3L))
  expect_identical(aliased$term, c("early_discrepancy", "early_discrepancy:session"))
  expect_identical(aliased$equals, c(
    "early_wai_p - early_wai_t", "early_wai_p:session - early_wai_t:session"
  ))
  sentence <- alias_sentences(models)
  expect_length(sentence, 1L)
  expect_match(sentence, "early_discrepancy = \"absolute\"", fixed = TRUE)
  expect_match(sentence, "alliance = \"mean\"", fixed = TRUE)
  expect_output(print(models), "aliased")
})

test_that("an outcome that is also a rating makes initial and early level one column", {
  models <- fit_small(formula = wai_p ~ session | patient)
  expect_identical(attr(models, "aliased")$term, "early_wai_p")
  expect_identical(attr(models, "aliased")$equals, "initial")
  expect_match(alias_sentences(models), "is also one of the two ratings")
  equations <- fit_small(formula = wai_p ~ session | patient, form = "equations")
  expect_identical(
    attr(equations, "aliased")$term, c("early_wai_p", "early_wai_p:session")
  )
  both <- fit_small(
    formula = wai_p ~ session | patient, center = "convergence",
    with = small_scores(study, early_discrepancy = "signed")
  )
  expect_identical(
    attr(both, "aliased")$term,
    c("early_wai_p", "early_discrepancy", "early_discrepancy:session")
  )
  expect_identical(attr(both, "aliased")$equals[2], "initial - early_wai_t")
  expect_length(alias_sentences(both), 2L)
})

test_that("constant predictors and other combinations are explained as what they are", {
  constant <- study
  constant$bdi_pre <- 30
  models <- fit_small(data = constant, initial = "bdi_pre")
  expect_identical(unique(attr(models, "aliased")$reason), "constant")
  expect_match(alias_sentences(models), "same for all dyads")
  raw <- fit_small(data = constant, initial = "bdi_pre", center = FALSE)
  expect_match(alias_sentences(raw), "`initial` = 30 1", fixed = TRUE)
  double <- study
  double$copy <- 2 * double$bdi_pre
  models <- fit_small(data = double, initial = "bdi_pre", covariates = "copy")
  expect_identical(attr(models, "aliased")$term, c("copy", "copy"))
  expect_identical(attr(models, "aliased")$equals, c("2 initial", "2 initial"))
  expect_match(alias_sentences(models), "exact combination")
})

test_that("covariates: named ones are main effects and centred, formulas are as written", {
  named <- fit_small(covariates = c("age", "arm"))
  expect_true(all(c("age", "armIPT") %in% names(fixef(named$convergence))))
  expect_identical(names(fixef(named$null)), c("(Intercept)", "session"))
  first <- first_row(study$patient)
  expect_equal(
    columns_of(named$full)[, "age"], study$age - mean(study$age[first]),
    tolerance = tol$algebra, ignore_attr = TRUE
  )
  written <- fit_small(covariates = ~ age * session + arm)
  expect_true("session:age" %in% names(fixef(written$full)))
  expect_equal(columns_of(written$full)[, "age"], study$age, ignore_attr = TRUE)
  varying <- study
  varying$mood <- round(sin(seq_len(nrow(study))), 2)
  expect_equal(
    columns_of(fit_small(data = varying, covariates = "mood")$full)[, "mood"], varying$mood,
    ignore_attr = TRUE
  )
  missing <- study
  missing$age[missing$patient == 3] <- NA
  some <- fit_small(data = missing, covariates = "age", rows = "available")
  expect_identical(attr(some, "samples")$dyads, c(16L, 15L, 15L))
  only <- fit_small(covariates = c("age", "arm"), center = "age")
  expect_identical(
    attr(only, "centers")$term[attr(only, "centers")$centered], c("age", "age")
  )
})

test_that("clusters get a level of their own, as lme4 fits it", {
  skip_if_not_installed("lmerTest")
  larger <- small_study(40L)
  models <- fit_small(data = larger, with = small_scores(larger), cluster = "therapist")
  expect_identical(attr(models, "samples")$clusters, rep(10L, 3L))
  frame <- component(models$convergence, "frame")
  frame$X <- columns_of(models$convergence)
  reference <- suppressMessages(suppressWarnings(lme4::lmer(
    bdi ~ 0 + X + (session | patient) + (session | therapist), frame,
    control = lme4::lmerControl(
      optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e6), calc.derivs = FALSE
    )
  )))
  expect_lt(deviance(models$convergence) - lme4::REMLcrit(reference), 1e-6)
  error <- sqrt(diag(as.matrix(stats::vcov(reference))))
  expect_lt(max(abs(fixef(models$convergence) - lme4::fixef(reference)) / error), 1e-5)

  level <- fit_small(data = larger, with = small_scores(larger), cluster = ~ 1 | therapist)
  expect_length(component(level$full, "parameters"), 5L)
  expect_output(print(level), "therapist: intercept")
  # The clusters of nested ids are not random unless asked for.
  nested <- study
  nested$patient <- (nested$patient - 1L) %% 4L + 1L
  three <- fit_small(
    data = nested, with = small_scores(nested, wai_p + wai_t ~ session | therapist / patient),
    formula = bdi ~ session | therapist / patient, cluster = "therapist"
  )
  expect_equal(
    deviance(three$full), deviance(fit_small(cluster = "therapist")$full),
    tolerance = tol$criterion
  )
  holes <- study
  holes$therapist[holes$patient == 3] <- NA
  left_out <- attr(fit_small(data = holes, cluster = "therapist"), "left_out")
  expect_identical(unique(left_out$reason), "cluster missing")
  changed <- study
  changed$therapist[1] <- "T4"
  expect_error(
    fit_small(data = changed, cluster = "therapist"), "1 dyad in several: 1",
    class = "samepage_error_cluster"
  )
  for (wrong in list(3, ~therapist, ~ age | therapist, "patient")) {
    expect_error(fit_small(cluster = wrong), class = "samepage_error_cluster")
  }
})

test_that("time may be a call and lends its own name to the products", {
  shifted <- fit_small(formula = bdi ~ I(session - 1) | patient)
  predictors <- predictors_of(study, scores, first_outcome(study))
  expect_same_columns(
    shifted$full, hand_columns(predictors, study$session - 1, first_row(study$patient)),
    time_name = "I(session - 1)"
  )
  log_time <- fit_small(formula = log(bdi + 10) ~ log(session) | patient)
  expect_true("convergence:log(session)" %in% names(fixef(log_time$full)))
  odd <- study
  odd[["the session"]] <- odd$session
  named <- fit_small(data = odd, formula = bdi ~ `the session` | patient)
  expect_equal(unname(fixef(named$full)), unname(fixef(fit_small()$full)), tolerance = 1e-12)
  expect_output(print(named), "Slope (the session)", fixed = TRUE)
})

test_that("the models agree with lmerTest on the couples' diaries", {
  skip_if_not_installed("lmerTest")
  daily <- utils::read.csv(shared_path("data", "couples", "daily.csv"))
  moods <- if (identical(Sys.getenv("SAMEPAGE_SLOW"), "true")) {
    c("anxiety", "sadness", "vigor", "contentment")
  } else {
    "contentment"
  }
  for (mood in moods) {
    raters <- paste0(c("man_", "woman_"), mood)
    ratings <- stats::as.formula(paste(raters[[1]], "+", raters[[2]], "~ day | couple"))
    couple_scores <- small_scores(daily, ratings)
    for (outcome in c("woman_anxiety", "man_contentment", "woman_vigor")) {
      models <- suppressMessages(convergence_models(
        stats::as.formula(paste(outcome, "~ day | couple")), daily, couple_scores
      ))
      predictors <- c(
        list(initial = daily[[outcome]][match(daily$couple, daily$couple)]),
        spread_scores(couple_scores, daily$couple, raters)
      )
      columns <- hand_columns(predictors, daily$day, first_row(daily$couple))
      reference <- tight_reference(columns, daily[[outcome]], daily$day, daily$couple)
      distance <- distance_from_reference(models$full, reference, "day")
      info <- paste(mood, outcome)
      expect_lt(distance[["criterion"]], 1e-6, label = info)
      expect_lt(distance[["estimate"]], 1e-5, label = info)
      expect_lt(distance[["se"]], 1e-4, label = info)
      expect_lt(distance[["df"]], 1e-3, label = info)
    }
  }
})

# Decimals are masked: the layout is what is pinned, not the estimates.
mask <- function(lines) {
  found <- gregexpr("[0-9]*\\.[0-9]+", lines)
  regmatches(lines, found) <- lapply(regmatches(lines, found), gsub,
    pattern = "[0-9]", replacement = "0"
  )
  lines
}

test_that("print shows the paper's table, what was done and what it says", {
  larger <- small_study(40L)
  models <- fit_small(
    data = larger, rows = "available", initial_row = "drop",
    with = small_scores(larger, early_discrepancy = "signed")
  )
  expect_snapshot(print(models), transform = mask)
  models <- fit_small(
    data = larger, with = small_scores(larger), form = "equations", covariates = "age"
  )
  expect_snapshot(cat(models_table(models, "r"), sep = "\n"), transform = mask)
})

test_that("the table's cells are the fits' numbers", {
  models <- fit_small()
  lines <- models_table(models, "spss")
  row <- grep("^Convergence x time", lines, value = TRUE)
  numbers <- strsplit(trimws(sub("^Convergence x time", "", row)), " +")[[1L]]
  table <- summary(models$full)$coefficients["convergence:session", ]
  expect_equal(
    as.numeric(numbers[4:5]), unname(table[c("Estimate", "Std. Error")]),
    tolerance = 0.05
  )
  aic <- information_criteria(models$full, "spss")[["aic"]]
  expect_match(lines[startsWith(lines, "AIC (SPSS)")], sprintf("%.1f$", aic))
})

test_that("small numbers and p values are written as a table writes them", {
  expect_identical(
    p_text(c(0.0481, 0.0004, 0.00051, NA, 1)), c(".048", "<.001", ".001", "--", "1.000")
  )
  expect_identical(number_text(c(-0.001, 2.345, NA), 2), c("0.00", "2.35", "--"))
  expect_identical(number_text(0.0000123, 6), "1.2e-05")
  expect_identical(row_decimals(c(0.14, 2)), 2)
  expect_identical(row_decimals(0.0031), 4)
  expect_identical(row_decimals(c(NA, 0)), 2)
})

test_that("the words follow sign and p of the coefficients", {
  settings <- list(
    outcome = "bdi", time = "session", development_centered = TRUE,
    scores = list(raters = c("p", "t"), definition = "fitted")
  )
  relation <- function(which, estimate, p, model = 2L) {
    data.frame(
      model = model, relation = which, estimate = estimate, conf.low = estimate - 1,
      conf.high = estimate + 1, p.value = p
    )
  }
  say <- function(...) relation_sentence(relation(...), settings)
  expect_match(say("level", -2, 0.01), "converged more had lower bdi (-2.0", fixed = TRUE)
  expect_match(say("change", -2, 0.01), "fall more (or rise less)", fixed = TRUE)
  expect_match(say("change", 2, 0.0001), "rise more (or fall less)", fixed = TRUE)
  expect_match(say("change", 2, 0.0001), "p <.001", fixed = TRUE)
  expect_match(say("change", 2, 0.2), "no clear relation")
  expect_match(say("change", 2, 0.2, 3L), "at average development")
  expect_match(say("change_by_development", 2, 0.2, 3L), "no clear sign")
  expect_match(say("change_by_development", 2, 0.02, 3L), "a rise of bdi")
  expect_match(say("change", NA, NA), "cannot be estimated")
  settings$scores$definition <- "signed"
  expect_match(say("change", -2, 0.01), "in which p rose more relative to t")
  expect_match(convergence_sense(settings$scores), "not a closing")
  expect_match(convergence_sense(list(definition = "fitted", transform = "log")), "^higher")
})

test_that("criteria are labelled, and compared only where they may be", {
  expect_output(print(fit_small()), "Do not compare it across")
  ml <- fit_small(method = "ML")
  expect_output(print(ml), "may be compared")
  expect_output(
    print(fit_small(method = "ML", rows = "available", initial_row = "drop")),
    "fitted to different rows"
  )
  expect_output(print(ml, criteria = "r"), "AIC (R)", fixed = TRUE)
})

test_that("summary holds every model's summary and the relations of convergence", {
  models <- fit_small()
  result <- summary(models)
  expect_s3_class(result, "summary.samepage_models")
  expect_named(result$fits, c("null", "convergence", "full"))
  expect_equal(
    result$relations$estimate[1:2],
    unname(fixef(models$convergence)[c("convergence", "convergence:session")])
  )
  expect_identical(result$relations$model, c(2L, 2L, 3L, 3L, 3L))
  expect_identical(result$criteria$model, 1:3)
  expect_output(print(result), "Model 2: convergence only")
})

test_that("tidy and glance give one long data frame each", {
  models <- fit_small()
  table <- tidy(models)
  expect_named(table, c(
    "model", "effect", "group", "term", "estimate", "std.error", "df", "statistic", "p.value",
    "conf.low", "conf.high"
  ))
  expect_identical(as.integer(table(table$model)), c(2L, 5L, 14L) + 4L)
  row <- table[table$model == 3 & table$term == "convergence:session", ]
  expect_identical(row$estimate, fixef(models$full)[["convergence:session"]])
  expect_true(all(tidy(models, effects = "fixed")$effect == "fixed"))
  expect_identical(glance(models)$model, 1:3)
  expect_identical(glance(models)$nobs, rep(nrow(study), 3L))
})

test_that("the plot's lines are the model's expectation at -1 and +1 SD of convergence", {
  models <- fit_small(covariates = c("age", "arm"))
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  drawn <- plot(models, model = 2)
  sd <- stats::sd(scores$convergence)
  beta <- fixef(models$convergence)
  at <- function(z, time) {
    beta[["(Intercept)"]] + beta[["session"]] * time +
      z * sd * (beta[["convergence"]] + beta[["convergence:session"]] * time)
  }
  expect_equal(drawn$estimate, c(at(-1, 1:7), at(1, 1:7)), tolerance = tol$algebra)
  expect_silent(plot(fit_small(formula = bdi ~ I(session - 1) | patient)))
  expect_error(plot(models, model = 1), class = "samepage_error_argument")
  expect_no_warning(
    expect_error(plot(models, model = "full"), "Found: \"full\"", class = "samepage_error_argument")
  )
  expect_error(plot(models, model = NULL), "Found: NULL", class = "samepage_error_argument")
})

test_that("the plot's intervals are those of the contrast at each time", {
  models <- fit_small()
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  drawn <- plot(models, model = 2, level = .9)
  sd <- stats::sd(scores$convergence)
  at_three <- test_contrasts(
    models$convergence,
    c("(Intercept)" = 1, session = 3, convergence = sd, "convergence:session" = 3 * sd),
    level = .9
  )
  row <- drawn[drawn$convergence == max(drawn$convergence) & drawn$time == 3, ]
  columns <- c("estimate", "std.error", "conf.low", "conf.high")
  expect_equal(
    unlist(row[columns]), unlist(at_three[columns]),
    tolerance = tol$algebra
  )
})

test_that("a boundary fit is told of in the notes", {
  flat <- study
  flat$bdi <- round(20 + sin(seq_len(nrow(flat))), 4)
  models <- fit_small(data = flat)
  expect_identical(component(models$null, "status"), "boundary")
  expect_output(print(models), "Models? 1.*Fit status: boundary")
})

test_that("arguments that nothing takes are refused", {
  expect_error(fit_small(centre = FALSE), "no argument centre", class = "samepage_error_argument")
  expect_error(fit_small(weights = 1), "Choose the rows", class = "samepage_error_argument")
  expect_error(fit_small(form = "tables"), class = "samepage_error_argument")
  expect_error(fit_small(rows = "all"), class = "samepage_error_argument")
  expect_error(fit_small(center = NA), class = "samepage_error_argument")
  expect_error(fit_small(center = "wai_p"), class = "samepage_error_argument")
  expect_error(print(fit_small(), digits = 3), class = "samepage_error_argument")
})

test_that("formulas that cannot be read name the part", {
  bad <- function(formula) fit_small(formula = formula)
  expect_error(bad("bdi ~ session"), "not a formula", class = "samepage_error_formula")
  expect_error(bad(~ session | patient), "no outcome", class = "samepage_error_formula")
  expect_error(bad(wai_p + wai_t ~ session | patient), "is a sum", class = "samepage_error_formula")
  expect_error(bad(bdi ~ session), "no `| dyad`", fixed = TRUE, class = "samepage_error_formula")
  expect_error(bad(bdi ~ 1 | patient), "names no column", class = "samepage_error_formula")
  expect_error(bad(bdi ~ session + age | patient), "not one", class = "samepage_error_formula")
  expect_error(bad(bdi ~ session | f(patient)), "Dyad", class = "samepage_error_formula")
})

test_that("columns must be there, numeric, finite and not named like a predictor", {
  expect_error(
    fit_small(formula = bdi ~ sesion | patient), "Is it session",
    class = "samepage_error_missing_column"
  )
  expect_error(fit_small(initial = "zzzz"), "columns are", class = "samepage_error_missing_column")
  expect_error(fit_small(covariates = "agee"), class = "samepage_error_missing_column")
  expect_error(fit_small(initial = 3), class = "samepage_error_initial")
  expect_error(fit_small(covariates = 3), class = "samepage_error_covariates")
  expect_error(fit_small(covariates = ~ 0 + age), class = "samepage_error_covariates")
  expect_error(fit_small(covariates = ~ (1 | arm)), class = "samepage_error_covariates")
  text <- study
  text$bdi <- as.character(text$bdi)
  expect_error(fit_small(data = text), "must be numeric", class = "samepage_error_not_numeric")
  text$bdi <- sub(".", ",", text$bdi, fixed = TRUE)
  expect_error(fit_small(data = text), "comma, as in", class = "samepage_error_not_numeric")
  expect_error(
    fit_small(formula = bdi ~ log(arm) | patient), "could not be computed",
    class = "samepage_error_formula"
  )
  expect_error(fit_small(initial = "arm"), "must be numeric", class = "samepage_error_initial")
  infinite <- study
  infinite$bdi[3] <- Inf
  expect_error(fit_small(data = infinite), "in dyad 1", class = "samepage_error_infinite")
  taken <- study
  taken$development <- taken$session
  expect_error(
    fit_small(data = taken, formula = bdi ~ development | patient),
    class = "samepage_error_column_taken"
  )
  expect_error(fit_small(data = as.list(study)), class = "samepage_error_data")
  expect_error(fit_small(data = study[0, ]), class = "samepage_error_data")
})

test_that("scores must be scores, of the same dyads", {
  expect_error(fit_small(with = as.data.frame(study)), class = "samepage_error_scores")
  other <- small_scores(study, wai_p + wai_t ~ session | therapist / patient)
  expect_error(
    fit_small(formula = bdi ~ session | arm, with = other), "by the same column",
    class = "samepage_error_scores"
  )
  apart <- study
  apart$patient <- apart$patient + 100L
  expect_error(fit_small(data = apart), "none in common", class = "samepage_error_dyads")
})

test_that("data that cannot carry the models are refused in plain words", {
  expect_error(
    fit_small(data = rbind(study, study[1, ])), "dyad 1", class = "samepage_error_duplicate_rows"
  )
  expect_error(fit_small(initial = "wai_p"), "varies within 16 dyads",
    class = "samepage_error_initial"
  )
  expect_error(
    fit_small(initial = "bdi_pre", initial_row = "drop"), class = "samepage_error_initial"
  )
  few <- study[study$patient <= 7, ]
  expect_error(fit_small(data = few), "It has 7 dyads", class = "samepage_error_dyads")
  flat <- study
  flat$bdi <- 20
  expect_error(fit_small(data = flat), "must vary", class = "samepage_error_constant_response")
  once <- study[first_row(study$patient), ]
  expect_error(fit_small(data = once), "vary within dyads", class = "samepage_error_constant_time")
  twice <- study[first_row(study$patient) | rev(first_row(rev(study$patient))), ]
  expect_error(
    fit_small(data = twice), "no dyad has more than 2", class = "samepage_error_few_outcomes"
  )
  gone <- study
  gone$bdi <- NA_real_
  expect_error(fit_small(data = gone), class = "samepage_error_rows")
})
