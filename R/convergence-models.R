# The three models of an outcome on the convergence of its dyads' ratings. The
# steps are in convergence-models-specify.R (what was asked for), -sample.R (rows
# and predictors), -aliasing.R (columns dropped), -print.R and -methods.R.

#' Relate convergence to level and change of an outcome
#'
#' Fits the three mixed models of Nissen-Lie et al. (2020): how the outcome
#' develops over time (Model 1), whether dyads that converged more differ in
#' its level and change (Model 2), and whether they still do when early
#' alliance, its development and the early discrepancy are held constant
#' (Model 3).
#'
#' @section The three models:
#' Sessions are nested in dyads; intercept and slope vary over dyads with an
#' unstructured 2 x 2 covariance.
#'
#' | model | fixed part |
#' |---|---|
#' | 1 `null` | time |
#' | 2 `convergence` | + `initial`, `convergence`, and `convergence` x time |
#' | 3 `full` | + `early_<rater>` of both, `development`, `early_discrepancy`, each x time |
#' | | + `development` x `convergence` x time |
#'
#' This is `form = "table"`, the terms that the paper's tables print. The
#' paper's equations differ: `form = "equations"` adds `initial` x time to
#' Models 2 and 3, and `development` x `convergence` (without time) to Model 3.
#' `alliance = "mean"` replaces the three early predictors by two: `early_mean`,
#' the mean of the two early levels, and `early_discrepancy`, the first rater's
#' early level minus the second's (signed, whatever kind the scores hold).
#'
#' `covariates` enter Models 2 and 3; Model 1 stays the null model.
#'
#' @section Names of the coefficients:
#' Predictors keep the names above, time its name in the data. In a product,
#' time comes last: `convergence:session`, `development:convergence:session`.
#' In a fit, the predictors of the level come first, then time, then the
#' predictors of change, then the covariates; where a column is aliased, the
#' later one is dropped, as in [stats::lm()].
#'
#' @section Centring:
#' A predictor's mean is taken over the dyads of the model, each dyad counting
#' once however many sessions it has. Products are made of the centred
#' predictors and are not centred again. Time enters as it is: code the first
#' session 0 in the data, or write `I(session - 1)`, to make the intercept the
#' level at the first session.
#'
#' A fit knows its predictors as they entered it. For `predict()` on new data,
#' take the means in `attr(models, "centers")` off the predictors first.
#'
#' @section Rows:
#' A row is used when id, time, outcome and covariates are there, and its dyad
#' has every predictor. With `rows = "common"` the three models share the rows
#' that Model 3 can use. With `rows = "available"` each model uses all the rows
#' that it can, so Model 1 also has dyads without scores and, with
#' `initial_row = "drop"`, the rows that serve as initial value in Models 2
#' and 3. What was left out is printed, with the reason.
#'
#' @param formula `outcome ~ time | dyad`, or `outcome ~ time | cluster/dyad`
#'   where the dyads' ids repeat across clusters. Outcome and time may be calls
#'   such as `log(bdi)` or `I(session - 1)`. Nested ids only tell dyads apart;
#'   clusters get random effects of their own through `cluster`.
#' @param data Data frame, one row per dyad and session. Columns with value labels, as haven reads
#'   them from SPSS, are taken as numbers.
#' @param scores The dyads' scores, from [convergence()]. They are matched by
#'   id, whatever the type (number, text, factor) in either place.
#' @param initial Name of a numeric column with one value per dyad (say, the
#'   outcome at intake), or `NULL`: each dyad's first outcome.
#' @param form Terms as in the paper's tables or as in its equations.
#' @param alliance The two raters' early levels, or their mean and signed
#'   discrepancy.
#' @param center `TRUE`: all numeric predictors of the dyad are centred over
#'   the dyads in the model. `FALSE`: none. Or the names of those to centre.
#' @param rows `"common"`: the three models are fitted to the same rows;
#'   `"available"`: each to all it can use.
#' @param initial_row With `initial = NULL`: does the row of the first outcome
#'   stay an outcome row (`"keep"`) or not (`"drop"`)?
#' @param covariates Further predictors for Models 2 and 3: a character vector
#'   of columns (main effects; numeric ones that are constant within dyads are
#'   centred as `center` says) or a one-sided formula, taken as written, which
#'   may hold products with time.
#' @param cluster The name of the column that says in which cluster a dyad is
#'   (say, its therapist): the models get a third level, with a random intercept
#'   and slope of time for the clusters. `~ 1 | therapist` gives the clusters a
#'   random intercept only. `NULL`: two levels.
#' @param ... Further arguments of [lmm()]: `method`, `df`, `contrasts`,
#'   `control`. Anything else is an error.
#'
#' @returns An object of class `samepage_models`: a list of three [lmm()] fits,
#'   `null`, `convergence` and `full`, with attributes
#'   * `samples`: data frame, one row per model: `model`, `rows`, `dyads`, and with
#'     `cluster` the number of `clusters`;
#'   * `left_out`: data frame of what was not used: `model`, `reason`, `rows`,
#'     `dyads` (those that have no row left in the model, each counted with the
#'     reason of its last row), `which` (the first five of these);
#'   * `centers`: data frame `model`, `term`, `mean`, `sd` (over dyads, in the
#'     predictor's own units), `centered`;
#'   * `aliased`: data frame of dropped columns: `model`, `term`, `equals`;
#'   * `settings`: the arguments and what is known about the scores;
#'   * `call`.
#' @references
#' Nissen-Lie, H. A., Solbakken, O. A., Falkenström, F., Wampold, B. E.,
#' Holmqvist, R., Ekeblad, A., & Monsen, J. T. (2020). Does it make a difference
#' to be more "on the same page"? Investigating the role of alliance convergence
#' for outcomes in two different samples. *Psychotherapy Research*.
#' \doi{10.1080/10503307.2020.1823030}
#' @seealso [print.samepage_models()] for the table, [plot.samepage_models()].
#' @family models of an outcome
#' @examples
#' scores <- convergence(
#'   wai_patient + wai_therapist ~ session | patient,
#'   data = study1, per = "course"
#' )
#' models <- convergence_models(bdi ~ session | patient, data = study1, scores = scores)
#' models
#' fixef(models$full)
#' @export
convergence_models <- function(formula, data, scores, initial = NULL,
                               form = c("table", "equations"),
                               alliance = c("levels", "mean"),
                               center = TRUE,
                               rows = c("common", "available"),
                               initial_row = c("keep", "drop"),
                               covariates = NULL, cluster = NULL, ...) {
  settings <- list(
    form = check_choice(form, c("table", "equations"), "form"),
    alliance = check_choice(alliance, c("levels", "mean"), "alliance"),
    rows = check_choice(rows, c("common", "available"), "rows"),
    initial_row = check_choice(initial_row, c("keep", "drop"), "initial_row"),
    initial = initial
  )
  fit_arguments <- model_fit_arguments(...)
  parts <- outcome_formula(formula)
  covariates <- covariate_terms(covariates, formula)
  parts$cluster <- cluster_term(cluster, parts)
  check_model_data(data, parts, covariates, initial)
  data <- plain_columns(
    data, if (length(covariates$labels)) stats::reformulate(covariates$labels)
  )
  scores <- model_scores(scores, parts)
  predictors <- early_columns(scores, settings$alliance)
  settings <- c(settings, list(
    outcome = parts$outcome_name, time = parts$time_name, ids = parts$ids,
    cluster = parts$cluster$name, scores = scores$details
  ))
  names_in_use <- c("initial", predictors$level)
  check_names_free(names_in_use, parts, covariates)

  sessions <- outcome_sessions(data, parts, covariates)
  dyads <- dyad_table(sessions, scores, predictors)
  check_scores_match(dyads, scores, sessions)
  initial_values <- initial_outcome(data, sessions, settings)
  dyads$values$initial <- initial_values$value
  sessions$initial_row <- initial_values$row

  plans <- model_plans(predictors, parts, covariates, settings$form)
  reasons <- lapply(plans, function(plan) {
    rows_left_out(plan, plans$full, sessions, dyads, settings)
  })
  centered <- centered_names(center, names_in_use, covariates, sessions, data)
  frames <- Map(
    function(plan, reason) {
      model_frame_of(plan, reason, data, sessions, dyads, centered, parts, covariates)
    },
    plans, reasons
  )
  Map(check_model_frame, plans, frames, MoreArgs = list(parts = parts))

  fits <- Map(
    function(plan, frame) fit_model(plan$formula, frame$data, fit_arguments),
    plans, frames
  )
  models <- structure(
    fits,
    samples = model_samples(frames, parts$cluster),
    left_out = left_out_table(reasons, sessions, dyads),
    centers = centers_table(frames),
    aliased = aliased_table(fits, settings),
    labels = table_labels(predictors, parts),
    settings = settings,
    call = match.call(),
    class = "samepage_models"
  )
  inform_models(models)
  models
}

# What no model can be fitted to, said before the fit in the user's terms.
check_model_frame <- function(plan, frame, parts, call = rlang::caller_env()) {
  model <- paste0("Model ", plan$number)
  if (!nrow(frame$data)) {
    stop_samepage(
      "rows",
      c(
        paste0(model, " must have rows to be fitted to."),
        x = "None is left: no row has outcome, time, covariates and its dyad's predictors.",
        i = "See summary() of the scores for dyads without scores."
      ),
      call = call
    )
  }
  if (!any(frame$outcome != frame$outcome[[1L]])) {
    stop_samepage(
      "constant_response",
      c(
        paste0("The outcome `", parts$outcome_name, "` must vary."),
        x = paste0("It is ", format(frame$outcome[[1L]]), " on all rows of ", model, ".")
      ),
      call = call
    )
  }
  if (is_dyad_level(frame$time, frame$dyad)) {
    stop_samepage(
      "constant_time",
      c(
        paste0("Time `", parts$time_name, "` must vary within dyads, or there is no change."),
        x = paste0("In ", model, " every dyad has its rows at one time only.")
      ),
      call = call
    )
  }
  # lmm() would advise another model of the random effects, which is not to be had here.
  most <- max(tabulate(frame$dyad))
  if (most < 3L) {
    stop_samepage(
      "few_outcomes",
      c(
        paste(
          "Some dyads must have three outcomes, or differences in change cannot be told from the",
          "residual."
        ),
        x = paste0("In ", model, " no dyad has more than ", most, "."),
        i = paste(
          "With an outcome before and after therapy only, regress the later one on the earlier one",
          "and on dyad_predictors(scores) with lm()."
        )
      ),
      call = call
    )
  }
  needed <- length(plan$predictors) + 1L
  if (frame$dyads <= needed) {
    stop_samepage(
      "dyads",
      c(
        paste0(
          model, " must have more dyads than coefficients of the level (here ", needed, ")."
        ),
        x = paste0("It has ", count_of(frame$dyads, "dyad"), "."),
        i = "Collect more dyads, or fit a smaller model with lmm()."
      ),
      call = call
    )
  }
}

# lmm() tells of aliased columns too; here it is said once, for all models. The
# call keeps the data themselves, so that update() finds them.
fit_model <- function(formula, data, arguments) {
  fit <- withCallingHandlers(
    do.call("lmm", c(list(formula = formula, data = quote(data)), arguments)),
    samepage_message_aliased = function(message) rlang::cnd_muffle(message)
  )
  fit$call$data <- data
  fit
}

# ---- What is kept about the models ------------------------------------------

model_samples <- function(frames, cluster) {
  samples <- data.frame(
    model = seq_along(frames),
    rows = vapply(frames, function(frame) nrow(frame$data), 1L, USE.NAMES = FALSE),
    dyads = vapply(frames, function(frame) frame$dyads, 1L, USE.NAMES = FALSE)
  )
  if (!is.null(cluster)) {
    samples$clusters <- vapply(
      frames, function(frame) length(unique(frame$data[[cluster$name]])), 1L,
      USE.NAMES = FALSE
    )
  }
  samples
}

left_out_table <- function(reasons, sessions, dyads) {
  row <- function(model, reason, rows, labels) {
    data.frame(
      model = model, reason = reason, rows = rows, dyads = length(labels),
      which = if (length(labels)) some_of(labels) else ""
    )
  }
  parts <- lapply(seq_along(reasons), function(number) {
    reason <- reasons[[number]]
    used <- sessions$dyad[is.na(reason)]
    # A dyad without any row used is counted with the reason of its last row.
    last <- which(!duplicated(sessions$dyad, fromLast = TRUE) & !sessions$dyad %in% c(used, NA))
    by_reason <- lapply(unique(reason[!is.na(reason)]), function(why) {
      gone <- sessions$dyad[last[reason[last] == why]]
      row(number, why, sum(reason == why, na.rm = TRUE), sessions$labels[gone])
    })
    do.call(rbind, by_reason)
  })
  unused <- if (length(dyads$unused)) {
    row(NA_integer_, "dyad of the scores without rows in the data", 0L, dyads$unused)
  }
  table <- do.call(rbind, c(unname(parts), list(unused)))
  if (is.null(table)) row(1L, "", 0L, character())[0L, ] else table
}

centers_table <- function(frames) {
  table <- do.call(rbind, lapply(frames, function(frame) frame$centers))
  rownames(table) <- NULL
  table
}
