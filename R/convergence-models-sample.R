# Data and scores of convergence_models(): checked, matched by dyad, rows chosen
# and counted, predictors centred over the dyads of each model.

# ---- Checks of the data -----------------------------------------------------

check_model_data <- function(data, parts, covariates, initial, call = rlang::caller_env()) {
  if (!is.data.frame(data)) {
    stop_samepage(
      "data",
      c(
        "`data` must be a data frame with one row per dyad and session.",
        x = paste0("Its class is ", some_of(class(data)), ".")
      ),
      call = call
    )
  }
  if (!nrow(data)) {
    stop_samepage("data", "`data` has no rows.", call = call)
  }
  named <- list(
    outcome = all.vars(parts$outcome), time = all.vars(parts$time), id = parts$ids,
    covariates = covariates$variables, cluster = parts$cluster$name
  )
  # The score columns may be named in a formula of covariates: they are added later.
  for (part in names(named)) {
    columns_present(named[[part]], part, data, parts, call)
  }
  if (!is.null(initial)) {
    if (!is.character(initial) || length(initial) != 1L || is.na(initial)) {
      stop_samepage(
        "initial",
        c(
          "`initial` must be the name of one column, or NULL for each dyad's first outcome.",
          x = paste0("It is ", some_of(deparse(initial, nlines = 1L)), ".")
        ),
        call = call
      )
    }
    columns_present(initial, "initial", data, parts, call)
  }
}

columns_present <- function(columns, part, data, parts, call) {
  missing <- setdiff(columns, names(data))
  # A single number of the workspace may stand in a call: I(session - shift).
  if (!part %in% c("id", "cluster", "initial")) {
    missing <- missing[!vapply(missing, is_workspace_number, NA, env = parts$env)]
  }
  if (!length(missing)) {
    return(invisible())
  }
  close <- unique(unlist(lapply(missing, agrep, x = names(data), value = TRUE, max.distance = 0.2)))
  stop_samepage(
    "missing_column",
    c(
      paste0("`data` must hold every column that is named (here: ", part, ")."),
      x = paste0("There is no column ", some_of(missing), "."),
      i = if (length(close)) {
        paste0("Is it ", some_of(close), "?")
      } else {
        paste0("Its columns are ", some_of(names(data), 10L), ".")
      }
    ),
    call = call
  )
}

is_workspace_number <- function(name, env) {
  value <- get0(name, envir = env, mode = "numeric")
  length(value) == 1L
}

check_names_free <- function(names_in_use, parts, covariates, call = rlang::caller_env()) {
  variables <- c(
    all.vars(parts$outcome), all.vars(parts$time), parts$ids, parts$cluster$name,
    covariates$columns
  )
  clash <- intersect(names_in_use, variables)
  if (length(clash)) {
    stop_samepage(
      "column_taken",
      c(
        "Outcome, time, ids and covariates need names that no predictor of the models has.",
        x = paste0("`", some_of(clash), "` is the name of a predictor made from the scores."),
        i = "Rename the column in `data`."
      ),
      call = call
    )
  }
}

# ---- Scores -----------------------------------------------------------------

# The scores with one key per dyad and what the print-out says about them.
model_scores <- function(scores, parts, call = rlang::caller_env()) {
  if (!inherits(scores, "samepage_convergence")) {
    stop_samepage(
      "scores",
      c(
        "`scores` must be the result of convergence().",
        x = paste0("Its class is ", some_of(class(scores)), "."),
        i = paste(
          "Keep the object itself: selecting columns, merging or mutating it",
          "may have made a plain data frame of it."
        )
      ),
      call = call
    )
  }
  details <- score_details(scores)
  ids <- intersect(parts$ids, details$ids)
  if (!utils::tail(parts$ids, 1L) %in% ids) {
    stop_samepage(
      "scores",
      c(
        "`formula` and `scores` must name the dyads by the same column.",
        x = paste0(
          "`formula` has ", paste(parts$ids, collapse = "/"),
          ", the scores have ", paste(details$ids, collapse = "/"), "."
        )
      ),
      call = call
    )
  }
  key <- dyad_key(scores, ids)
  if (anyDuplicated(key)) {
    stop_samepage(
      "scores",
      c(
        paste0("`scores` must have one row per dyad (", paste(parts$ids, collapse = "/"), ")."),
        x = paste0("Several rows: ", some_of(unique(key[duplicated(key)])), "."),
        i = if (length(details$ids) > length(parts$ids)) {
          paste0("Write `| ", paste(details$ids, collapse = "/"), "` in `formula` as well.")
        }
      ),
      call = call
    )
  }
  list(values = as.data.frame(scores), key = key, ids = ids, details = details)
}

# What the models and their print-out need to know about the scores.
score_details <- function(scores) {
  list(
    raters = attr(scores, "raters"), ids = c(attr(scores, "cluster"), attr(scores, "dyad")),
    definition = attr(scores, "definition"), per = attr(scores, "per"),
    transform = attr(scores, "transform"), early = attr(scores, "early"),
    early_discrepancy = attr(scores, "early_discrepancy"),
    reliability = attr(scores, "reliability")
  )
}

# Ids are compared as text, so that 7, 7L, "7" and factor("7") are one dyad.
id_text <- function(id) {
  if (!is.numeric(id)) {
    return(as.character(id))
  }
  id <- as.numeric(id)
  distinct <- unique(id)
  text <- format(
    distinct,
    digits = 15L, scientific = FALSE, trim = TRUE, drop0trailing = TRUE
  )
  text[is.na(distinct)] <- NA
  text[match(id, distinct)]
}

dyad_key <- function(data, ids) {
  texts <- lapply(ids, function(id) id_text(data[[id]]))
  key <- do.call(paste, c(texts, sep = "/"))
  key[Reduce(`|`, lapply(texts, is.na))] <- NA
  key
}

# Names of the columns that stand for the early alliance and its development.
early_columns <- function(scores, alliance) {
  early <- paste0("early_", scores$details$raters)
  own <- if (alliance == "mean") "early_mean" else early
  list(
    early = early,
    level = c(own, "development", "early_discrepancy", "convergence"),
    controls = c(own, "development", "early_discrepancy")
  )
}

# ---- Sessions and dyads -----------------------------------------------------

# One entry per row of the data: dyad (its number), time, outcome, and which of
# them are missing.
outcome_sessions <- function(data, parts, covariates, call = rlang::caller_env()) {
  outcome <- evaluated(parts$outcome, data, parts, "outcome", call)
  time <- evaluated(parts$time, data, parts, "time", call)
  key <- dyad_key(data, parts$ids)
  labels <- unique(key[!is.na(key)])
  check_one_row_per_session(data, parts, key, call)
  covariate_missing <- rep(FALSE, nrow(data))
  for (column in intersect(covariates$variables, names(data))) {
    values <- data[[column]]
    check_finite(values, column, "covariate", key, call)
    covariate_missing <- covariate_missing | is.na(values)
  }
  dyad <- match(key, labels)
  list(
    dyad = dyad, labels = labels, time = time, outcome = outcome,
    cluster_missing = cluster_missing(data, parts$cluster, dyad, labels, call),
    covariate_missing = covariate_missing, ids = data[parts$ids],
    first = match(labels, key)
  )
}

# A dyad is in one cluster; which rows do not say in which.
cluster_missing <- function(data, cluster, dyad, labels, call) {
  if (is.null(cluster)) {
    return(FALSE)
  }
  values <- id_text(data[[cluster$name]])
  varying <- varying_dyads(values, dyad)
  if (length(varying)) {
    stop_samepage(
      "cluster",
      c(
        paste0("Each dyad must be in one cluster (`", cluster$name, "`)."),
        x = paste0(
          count_of(length(varying), "dyad"), " in several: ", some_of(labels[varying]), "."
        ),
        i = "Patients who changed their therapist need crossed random effects: see lmm()."
      ),
      call = call
    )
  }
  is.na(values)
}

evaluated <- function(expression, data, parts, what, call) {
  text <- code_of(expression)
  value <- tryCatch(
    eval(expression, data, parts$env),
    error = function(error) {
      stop_samepage(
        "formula",
        c(
          paste0("The ", what, " `", text, "` could not be computed from `data`."),
          x = conditionMessage(error)
        ),
        call = call
      )
    }
  )
  if (!is.numeric(value) || NCOL(value) != 1L || length(value) != nrow(data)) {
    stop_samepage(
      "not_numeric",
      c(
        paste0("The ", what, " `", text, "` must be numeric, one value per row of `data`."),
        x = paste0(
          "It is of class ", some_of(class(value)), " with ", count_of(length(value), "value"), "."
        ),
        i = advice_on_text(value)
      ),
      call = call
    )
  }
  value <- as.numeric(unclass(value))
  check_finite(value, text, what, dyad_key(data, parts$ids), call)
  value
}

check_finite <- function(values, name, what, key, call) {
  infinite <- is.numeric(values) & is.infinite(values)
  if (any(infinite)) {
    stop_samepage(
      "infinite",
      c(
        paste0("The ", what, " `", name, "` must be finite or missing."),
        x = paste0(
          count_of(sum(infinite), "infinite value"), ", in dyad ",
          some_of(unique(key[infinite])), "."
        ),
        i = "Set impossible values to NA, or correct them."
      ),
      call = call
    )
  }
}

check_one_row_per_session <- function(data, parts, key, call) {
  columns <- intersect(all.vars(parts$time), names(data))
  sorted <- c(list(match(key, unique(key))), as.list(data)[columns])
  order <- do.call(base::order, c(unname(sorted), list(method = "radix")))
  n <- length(order)
  # Rows next to each other in this order that agree in dyad and time.
  same <- Reduce(`&`, lapply(sorted, function(column) {
    column <- column[order]
    column[-1L] == column[-n]
  }))
  repeated <- order[-1L][which(same)]
  repeated <- repeated[!is.na(key[repeated])]
  if (length(repeated)) {
    stop_samepage(
      "duplicate_rows",
      c(
        "`data` must have one row per dyad and session.",
        x = paste0(
          count_of(length(repeated), "repeated row"), " (same ",
          paste(c(parts$ids, columns), collapse = ", "), "), in dyad ",
          some_of(unique(key[repeated])), "."
        ),
        i = paste0(
          "Remove the repeats, or write `| cluster/dyad` if ids repeat across clusters."
        )
      ),
      call = call
    )
  }
}

# One row per dyad of the data, in the order of its first row: the predictors
# that come from the scores, NA for dyads without them.
dyad_table <- function(sessions, scores, predictors) {
  key <- dyad_key(sessions$ids[sessions$first, , drop = FALSE], scores$ids)
  row <- match(key, scores$key)
  values <- scores$values
  early <- lapply(values[predictors$early], as.numeric)
  level <- list(
    development = values$development,
    early_discrepancy = values$early_discrepancy,
    convergence = values$convergence
  )
  if (identical(predictors$level[[1L]], "early_mean")) {
    level$early_mean <- (early[[1L]] + early[[2L]]) / 2
    level$early_discrepancy <- early[[1L]] - early[[2L]]
  } else {
    level[predictors$early] <- early
  }
  level <- as.data.frame(level, optional = TRUE)[row, predictors$level, drop = FALSE]
  rownames(level) <- NULL
  list(
    labels = sessions$labels, values = level, scored = !is.na(row), key = key,
    unused = setdiff(scores$key, key)
  )
}

check_scores_match <- function(dyads, scores, sessions, call = rlang::caller_env()) {
  if (!any(dyads$scored)) {
    stop_samepage(
      "dyads",
      c(
        "`data` and `scores` must be about the same dyads.",
        x = paste0(
          "They have none in common: `data` has ", some_of(sessions$labels, 3L),
          "; `scores` has ", some_of(scores$key, 3L), "."
        ),
        i = "Compute the scores from data with the same ids."
      ),
      call = call
    )
  }
  shared <- duplicated(dyads$key) & dyads$scored
  if (any(shared)) {
    stop_samepage(
      "dyads",
      c(
        "Each dyad must have scores of its own.",
        x = paste0(
          "The scores are by ", paste(scores$ids, collapse = "/"),
          ", and several dyads of `data` share ", some_of(unique(dyads$key[shared])), "."
        ),
        i = "Compute the scores with the same `| cluster/dyad`."
      ),
      call = call
    )
  }
}

# The initial value of each dyad, and the rows of the data that it came from.
initial_outcome <- function(data, sessions, settings, call = rlang::caller_env()) {
  column <- settings$initial
  count <- length(sessions$labels)
  if (is.null(column)) {
    usable <- which(!is.na(sessions$dyad) & !is.na(sessions$time) & !is.na(sessions$outcome))
    usable <- usable[order(sessions$time[usable])]
    row <- usable[match(seq_len(count), sessions$dyad[usable])]
    return(list(value = sessions$outcome[row], row = row))
  }
  if (settings$initial_row == "drop") {
    stop_samepage(
      "initial",
      c(
        "`initial_row = \"drop\"` takes out the row of each dyad's first outcome.",
        x = paste0("With `initial = \"", column, "\"` no row serves as initial value."),
        i = "Leave `initial_row` out, or set `initial = NULL`."
      ),
      call = call
    )
  }
  values <- data[[column]]
  if (!is.numeric(values)) {
    stop_samepage(
      "initial",
      c(
        paste0("The initial value `", column, "` must be numeric."),
        x = paste0("It is of class ", some_of(class(values)), "."),
        i = advice_on_text(values)
      ),
      call = call
    )
  }
  values <- as.numeric(values)
  check_finite(values, column, "initial value", sessions$labels[sessions$dyad], call)
  # A baseline that is written on one row of each dyad only is a dyad's value too.
  known <- which(!is.na(values) & !is.na(sessions$dyad))
  first <- known[match(seq_len(count), sessions$dyad[known])]
  varying <- varying_dyads(values, sessions$dyad)
  if (length(varying)) {
    stop_samepage(
      "initial",
      c(
        paste0("The initial value `", column, "` must have one value per dyad."),
        x = paste0(
          "It varies within ", count_of(length(varying), "dyad"), ": ",
          some_of(sessions$labels[varying]), "."
        ),
        i = "Name a column with the same value on all rows of a dyad, or use `initial = NULL`."
      ),
      call = call
    )
  }
  list(value = values[first], row = rep(NA_integer_, count))
}

# ---- Rows and centring --------------------------------------------------------

# For every row of the data the reason it is not used, NA where it is used.
rows_left_out <- function(plan, full, sessions, dyads, settings) {
  if (settings$rows == "common") {
    plan <- full
  }
  values <- dyads$values[plan$predictors]
  reason <- rep(NA_character_, length(sessions$dyad))
  # The first reason that holds is the one counted, so each row counts once.
  set <- function(why, rows) {
    rows[is.na(rows)] <- FALSE
    reason[is.na(reason) & rows] <<- why
  }
  set("id missing", is.na(sessions$dyad))
  if (length(plan$predictors)) {
    set("no scores of the dyad", !dyads$scored[sessions$dyad])
    for (name in setdiff(plan$predictors, "initial")) {
      set(paste("no", name, "of the dyad"), is.na(values[[name]])[sessions$dyad])
    }
  }
  set("cluster missing", sessions$cluster_missing)
  set("time missing", is.na(sessions$time))
  set("outcome missing", is.na(sessions$outcome))
  if (length(plan$predictors)) {
    set("no initial value of the dyad", is.na(values$initial)[sessions$dyad])
  }
  if (length(plan$covariates)) {
    set("covariate missing", sessions$covariate_missing)
  }
  if (length(plan$predictors) && settings$initial_row == "drop") {
    set("taken as initial value", seq_along(reason) %in% sessions$initial_row)
  }
  reason
}

# Which predictors are centred: those of the scores, initial, and the numeric
# covariates named one by one that are constant within dyads.
centered_names <- function(center, names_in_use, covariates, sessions, data,
                           call = rlang::caller_env()) {
  constant <- Filter(
    function(column) is.numeric(data[[column]]) && is_dyad_level(data[[column]], sessions$dyad),
    covariates$columns
  )
  candidates <- c(names_in_use, constant)
  if (is.logical(center) && length(center) == 1L && !is.na(center)) {
    return(if (center) candidates else character())
  }
  if (!is.character(center) || anyNA(center)) {
    stop_samepage(
      "argument",
      c(
        "`center` must be TRUE, FALSE, or the names of the predictors to centre.",
        x = paste0("It is ", some_of(deparse(center, nlines = 1L)), ".")
      ),
      call = call
    )
  }
  unknown <- setdiff(center, candidates)
  if (length(unknown)) {
    varying <- intersect(unknown, covariates$columns)
    stop_samepage(
      "argument",
      c(
        "`center` may name predictors that have one number per dyad.",
        x = paste0(some_of(unknown), if (length(unknown) == 1L) " is" else " are", " not."),
        i = paste0("Here these are ", paste(candidates, collapse = ", "), "."),
        i = if (length(varying)) {
          paste0(some_of(varying), " varies within dyads or is not numeric: centre it in `data`.")
        }
      ),
      call = call
    )
  }
  center
}

is_dyad_level <- function(values, dyad) !length(varying_dyads(values, dyad))

# The dyads within which the known values are not all the same.
varying_dyads <- function(values, dyad) {
  known <- which(!is.na(values) & !is.na(dyad))
  first <- known[match(dyad[known], dyad[known])]
  unique(dyad[known[values[known] != values[first]]])
}

# The data of one model: its rows, with the predictors centred over its dyads.
model_frame_of <- function(plan, reason, data, sessions, dyads, centered, parts, covariates) {
  used <- which(is.na(reason))
  dyad <- sessions$dyad[used]
  variables <- unique(c(
    all.vars(parts$outcome), all.vars(parts$time), parts$ids, parts$cluster$name,
    plan$covariates
  ))
  frame <- as.data.frame(data)[used, intersect(variables, names(data)), drop = FALSE]
  frame <- droplevels(frame)
  rownames(frame) <- NULL
  first <- which(!duplicated(dyad))
  own <- intersect(centered, covariates$columns)
  centers <- NULL
  for (name in c(plan$predictors, if (length(plan$covariates)) own)) {
    values <- if (name %in% plan$predictors) {
      dyads$values[[name]][dyad]
    } else {
      as.numeric(frame[[name]])
    }
    mean <- mean(values[first])
    centers <- rbind(centers, data.frame(
      model = plan$number, term = name, mean = mean, sd = stats::sd(values[first]),
      centered = name %in% centered
    ))
    frame[[name]] <- if (name %in% centered) values - mean else values
  }
  list(
    data = frame, dyads = length(first), dyad = dyad, time = sessions$time[used],
    outcome = sessions$outcome[used], centers = centers
  )
}
