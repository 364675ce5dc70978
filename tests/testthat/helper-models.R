# A small study and the slow, plain way to the three models' columns, shared by
# the tests of convergence_models() and by bench/couples.R.

# 16 dyads in therapists of 4 each, 5 to 7 sessions, everything observed.
small_study <- function(dyads = 16L) {
  set.seed(20201)
  sessions <- rep(5:7, length.out = dyads)
  patient <- rep(seq_len(dyads), sessions)
  session <- sequence(sessions)
  dyad <- function(sd, mean = 0) round(stats::rnorm(dyads, mean, sd), 3)[patient]
  noise <- function(sd) round(stats::rnorm(length(patient), 0, sd), 3)
  data.frame(
    patient = patient, therapist = paste0("T", (patient - 1L) %/% 4L + 1L), session = session,
    wai_p = dyad(0.6, 5) + dyad(0.1, 0.05) * session + noise(0.4),
    wai_t = dyad(0.4, 5.2) + dyad(0.05, 0.03) * session + noise(0.3),
    bdi = dyad(7, 30) + dyad(1.5, -0.8) * session + noise(2),
    bdi_pre = dyad(8, 34), age = round(dyad(9, 40)),
    arm = factor(ifelse(patient %% 2L == 0L, "IPT", "CBT"))
  )
}

small_scores <- function(data = small_study(), formula = wai_p + wai_t ~ session | patient, ...) {
  suppressMessages(convergence(formula, data = data, ...))
}

# The columns of Model 3 made by hand: a named list of vectors, one value per
# row of `rows`. `predictors` is a list of one value per row each, not centred;
# `first` says which rows are the first of a dyad.
hand_columns <- function(predictors, time, first, form = "table",
                         centered = names(predictors)) {
  for (name in centered) {
    predictors[[name]] <- predictors[[name]] - mean(predictors[[name]][first])
  }
  by_time <- lapply(predictors, function(values) values * time)
  if (form == "table") {
    by_time$initial <- NULL
  }
  columns <- c(
    list(`(Intercept)` = rep(1, length(time))), predictors, list(time = time),
    stats::setNames(by_time, paste0(names(by_time), ":time"))
  )
  if (!is.null(predictors$development)) {
    product <- predictors$development * predictors$convergence
    if (form == "equations") {
      columns[["development:convergence"]] <- product
    }
    columns[["development:convergence:time"]] <- product * time
  }
  columns
}

# The scores' columns that Model 3 uses, spread over the rows of the data.
spread_scores <- function(scores, id, raters) {
  row <- match(as.character(id), as.character(scores[[1L]]))
  values <- as.data.frame(scores)[
    row, c(paste0("early_", raters), "development", "early_discrepancy", "convergence")
  ]
  as.list(values)
}

# The predictors of Model 3 for the small study, one value per row.
predictors_of <- function(data, scores, initial) {
  c(list(initial = initial), spread_scores(scores, data$patient, c("wai_p", "wai_t")))
}

first_row <- function(dyad) !duplicated(dyad)

first_outcome <- function(data) data$bdi[match(data$patient, data$patient)]

# The columns that lmm() used, by name.
columns_of <- function(fit) {
  design <- stats::model.matrix(
    component(fit, "terms"), component(fit, "frame"), component(fit, "contrasts")
  )
  design[, component(fit, "kept"), drop = FALSE]
}

expect_same_columns <- function(fit, columns, time_name = "session", tolerance = 1e-10) {
  names(columns) <- sub("(^|:)time$", paste0("\\1", time_name), names(columns))
  design <- columns_of(fit)
  testthat::expect_setequal(colnames(design), names(columns))
  hand <- do.call(cbind, columns)[, colnames(design)]
  testthat::expect_equal(
    unname(design), unname(hand),
    tolerance = tolerance, ignore_attr = TRUE
  )
}

# lmer() on hand-made columns, stopped as tightly as lme4 can.
tight_reference <- function(columns, outcome, time, dyad) {
  design <- do.call(cbind, columns)
  pivot <- qr(design, tol = 1e-7)
  kept <- sort(pivot$pivot[seq_len(pivot$rank)])
  data <- list(outcome = outcome, X = design[, kept, drop = FALSE], time = time, dyad = dyad)
  fit <- suppressWarnings(suppressMessages(lmerTest::lmer(
    outcome ~ 0 + X + (time | dyad), data,
    control = lme4::lmerControl(
      optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e6), calc.derivs = FALSE,
      check.conv.singular = "ignore"
    )
  )))
  table <- suppressWarnings(stats::coef(summary(fit)))
  rownames(table) <- names(columns)[kept]
  list(criterion = lme4::REMLcrit(fit), table = table, singular = lme4::isSingular(fit))
}

# Largest differences of a fit from the reference: criterion, estimates and
# standard errors (relative to the larger of estimate and error), df (relative).
distance_from_reference <- function(fit, reference, time_name) {
  table <- summary(fit)$coefficients
  names <- sub("(^|:)time$", paste0("\\1", time_name), rownames(reference$table))
  theirs <- reference$table
  ours <- table[match(names, rownames(table)), , drop = FALSE]
  size <- pmax(abs(theirs[, "Estimate"]), theirs[, "Std. Error"])
  c(
    criterion = as.numeric(stats::deviance(fit)) - reference$criterion,
    estimate = max(abs(ours[, "Estimate"] - theirs[, "Estimate"]) / size),
    se = max(abs(ours[, "Std. Error"] - theirs[, "Std. Error"]) / size),
    df = max(abs(ours[, "df"] / theirs[, "df"] - 1))
  )
}
