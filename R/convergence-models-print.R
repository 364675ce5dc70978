# Printing of the three models: the paper's table, what was done with the data,
# and what the estimates say about convergence, in words.

#' Print and summarise the three models
#'
#' `print()` gives the three models side by side: estimate, standard error and p
#' of the fixed effects, of the random effects and of the residual variance,
#' one information criterion, the numbers of dyads and rows; then what was done
#' with rows and predictors; then in words whether convergence is related to
#' level and to change of the outcome. `summary()` adds each model's full
#' summary: degrees of freedom, confidence intervals, all criteria.
#'
#' p values of fixed effects are Satterthwaite's t tests, those of variances and
#' covariances Wald z tests, as SPSS prints them. The AIC is SPSS's, which
#' counts the covariance parameters only; `criteria = "r"` counts all
#' parameters, as R does. Under REML, criteria of models with different fixed
#' effects are not comparable, whoever computed them.
#'
#' @param x,object Models from [convergence_models()].
#' @param criteria Definition of the information criteria: `"spss"`, `"sas"` or
#'   `"r"`, see [information_criteria()].
#' @param ... Not used; other arguments are an error.
#' @returns `print()` returns its argument invisibly. `summary()` returns a list
#'   of class `summary.samepage_models`: `models`; `fits`, the three fits'
#'   summaries; `criteria`, a data frame with one row per model; `relations`, a
#'   data frame of the coefficients of convergence (`model`, `relation`,
#'   `term`, `estimate`, `conf.low`, `conf.high`, `p.value`, `sd`: the SD of
#'   convergence over dyads).
#' @family models of an outcome
#' @examples
#' scores <- convergence(wai_patient + wai_therapist ~ session | patient, data = study1)
#' models <- convergence_models(bdi ~ session | patient, data = study1, scores = scores)
#' print(models, criteria = "r")
#' summary(models)$relations
#' @export
print.samepage_models <- function(x, criteria = c("spss", "sas", "r"), ...) {
  check_no_dots(...)
  criteria <- check_choice(criteria, c("spss", "sas", "r"), "criteria")
  cat(models_heading(x), sep = "\n")
  cat("\n")
  cat(models_table(x, criteria), sep = "\n")
  cat("\n")
  cat_notes(models_notes(x, criteria))
  cat("\n")
  cat_notes(relation_sentences(x))
  invisible(x)
}

#' @rdname print.samepage_models
#' @export
summary.samepage_models <- function(object, criteria = c("spss", "sas", "r"), ...) {
  check_no_dots(...)
  criteria <- check_choice(criteria, c("spss", "sas", "r"), "criteria")
  values <- lapply(object, information_criteria, definition = criteria)
  structure(
    list(
      models = object,
      fits = lapply(object, summary),
      criteria = data.frame(model = seq_along(object), do.call(rbind, values), row.names = NULL),
      definition = criteria,
      relations = convergence_relations(object)
    ),
    class = "summary.samepage_models"
  )
}

#' @rdname print.samepage_models
#' @export
print.summary.samepage_models <- function(x, ...) {
  check_no_dots(...)
  cat(models_heading(x$models), sep = "\n")
  for (name in names(x$fits)) {
    cat("\n", strrep("-", 72L), "\n", sep = "")
    cat(model_titles[[name]], "\n\n", sep = "")
    print(x$fits[[name]])
  }
  cat("\n", strrep("-", 72L), "\n", sep = "")
  cat("Information criteria (", criteria_labels[[x$definition]], ")\n", sep = "")
  print(x$criteria, row.names = FALSE, digits = 6L)
  cat("\n")
  cat_notes(models_notes(x$models, x$definition))
  cat("\n")
  cat_notes(relation_sentences(x$models))
  invisible(x)
}

model_titles <- c(
  null = "Model 1: null model",
  convergence = "Model 2: convergence only",
  full = "Model 3: convergence and covariates"
)

criteria_labels <- c(
  spss = "SPSS's definition: covariance parameters only",
  sas = "SAS's definition: covariance parameters only",
  r = "R's definition: all parameters"
)

# ---- Heading ----------------------------------------------------------------

models_heading <- function(models) {
  settings <- attr(models, "settings")
  details <- settings$scores
  c(
    paste0(
      "Convergence and outcome: ", settings$outcome, " ~ ", settings$time, " | ",
      paste(settings$ids, collapse = "/"),
      if (!is.null(settings$cluster)) paste0(", dyads in clusters by ", settings$cluster)
    ),
    strwrap(
      paste0(
        "Ratings: ", paste(details$raters, collapse = " and "), ". Convergence: \"",
        details$definition, "\", ",
        if (details$per == "course") "per whole course" else "per unit of time",
        if (details$transform == "log") ", log-transformed", ", ", convergence_sense(details),
        if (isTRUE(is.finite(details$reliability))) {
          paste0("; reliability of the scores ", two_decimals(details$reliability))
        }, "."
      ),
      width = line_width()
    )
  )
}

two_decimals <- function(value) sub("^0", "", sprintf("%.2f", value))

# What a positive score says, for the definition in use.
convergence_sense <- function(details) {
  if (details$definition == "signed") {
    paste0(
      "positive where ", details$raters[[1L]], " rose relative to ", details$raters[[2L]],
      " (a direction, not a closing)"
    )
  } else if (details$transform == "log") {
    # After the shift of the log zero is no longer the border.
    "higher where the ratings grew closer"
  } else {
    "positive where the ratings grew closer"
  }
}

line_width <- function() min(getOption("width"), 96L)

cat_notes <- function(notes) {
  for (note in notes) {
    cat(strwrap(note, width = line_width(), exdent = 2L), sep = "\n")
  }
}

# ---- The table --------------------------------------------------------------

# Rows of the table in the paper's order: coefficient names, with their labels
# as names of the vector.
table_labels <- function(predictors, parts) {
  time <- backquoted_time(parts)
  controls <- predictors$controls
  words <- vapply(controls, function(name) {
    switch(name,
      development = "Development", early_discrepancy = "Early discrepancy",
      early_mean = "Early mean", paste("Early", sub("^early_", "", name))
    )
  }, "")
  terms <- vapply(controls, backquoted, "")
  by_time <- function(term) paste0(term, ":", time)
  interaction <- "development:convergence"
  c(
    "Intercept" = "(Intercept)",
    stats::setNames(time, paste0("Slope (", parts$time_name, ")")),
    "Initial value" = "initial",
    "Initial value x time" = by_time("initial"),
    "Convergence" = "convergence",
    "Convergence x time" = by_time("convergence"),
    stats::setNames(terms, words),
    "Devel. x converg." = interaction,
    stats::setNames(by_time(terms), paste(words, "x time")),
    "Devel. x converg. x time" = by_time(interaction)
  )
}

models_table <- function(models, criteria) {
  coefficients <- lapply(models, function(fit) summary(fit)$coefficients)
  fixed <- fixed_rows(models, coefficients)
  random <- random_rows(models)
  block <- function(title, rows) {
    list(title = title, label = rows$label, cells = rows$cells)
  }
  aic <- vapply(models, function(fit) {
    information_criteria(fit, definition = criteria)[["aic"]]
  }, 1)
  samples <- attr(models, "samples")
  totals <- list(
    c(paste0("AIC (", toupper(criteria), ")"), sprintf("%.1f", aic)),
    c("N dyads", samples$dyads),
    if (!is.null(samples$clusters)) {
      c(paste("N", attr(models, "settings")$cluster), samples$clusters)
    },
    c("N rows", samples$rows)
  )
  totals <- Filter(length, totals)
  layout_table(block("Fixed effects", fixed), block("Random effects", random), totals)
}

# Labels, and per model a matrix of the texts of estimate, SE and p.
fixed_rows <- function(models, coefficients) {
  labels <- attr(models, "labels")
  found <- unique(unlist(lapply(coefficients, rownames)))
  aliased <- attr(models, "aliased")
  found <- union(found, aliased$term)
  terms <- c(labels[labels %in% found], setdiff(found, labels))
  label <- names(terms)
  label[label == ""] <- gsub(":", " x ", terms[label == ""], fixed = TRUE)
  values <- lapply(coefficients, function(table) {
    table[match(terms, rownames(table)), c("Estimate", "Std. Error", "Pr(>|t|)"), drop = FALSE]
  })
  cells <- text_cells(values)
  for (row in seq_len(nrow(aliased))) {
    cells[[aliased$model[row]]][match(aliased$term[row], terms), 1L] <- "aliased"
  }
  list(label = label, cells = cells)
}

random_rows <- function(models) {
  cluster <- attr(models, "settings")$cluster
  tables <- lapply(models, function(fit) {
    table <- summary(fit)$varcomp
    table$kind <- ifelse(
      !is.na(table$var2), "covariance",
      ifelse(table$var1 == "(Intercept)", "intercept", "slope")
    )
    # Groups of the dyads have any name; the clusters' is known.
    table$kind[table$grp %in% cluster] <- paste0(cluster, ": ", table$kind[table$grp %in% cluster])
    table$kind[table$grp == "Residual"] <- "residual"
    table
  })
  kinds <- c("intercept", "covariance", "slope")
  kinds <- c(kinds, if (!is.null(cluster)) paste0(cluster, ": ", kinds), "residual")
  kinds <- intersect(kinds, tables[[1L]]$kind)
  values <- lapply(tables, function(table) {
    as.matrix(table[match(kinds, table$kind), c("estimate", "std.error", "p.value")])
  })
  label <- kinds
  own <- if (is.null(cluster)) TRUE else !startsWith(label, paste0(cluster, ":"))
  substr(label[own], 1L, 1L) <- toupper(substr(label[own], 1L, 1L))
  list(label = label, cells = text_cells(values))
}

# Every row has as many decimals as its smallest standard error needs for two
# digits, and at least two, so that a row reads across the models.
text_cells <- function(values) {
  errors <- do.call(cbind, lapply(values, function(value) value[, 2L]))
  estimates <- do.call(cbind, lapply(values, function(value) value[, 1L]))
  decimals <- vapply(seq_len(nrow(errors)), function(row) {
    sizes <- c(errors[row, ], if (all(is.na(errors[row, ]))) estimates[row, ])
    row_decimals(abs(sizes))
  }, 1)
  lapply(values, function(value) {
    cells <- cbind(
      number_text(value[, 1L], decimals), number_text(value[, 2L], decimals), p_text(value[, 3L])
    )
    cells[is.na(value[, 1L]), ] <- ""
    cells
  })
}

row_decimals <- function(sizes) {
  sizes <- sizes[is.finite(sizes) & sizes > 0]
  if (!length(sizes)) {
    return(2)
  }
  smallest <- min(sizes)
  if (smallest >= 1000) 0 else min(max(1 - floor(log10(smallest)), 2), 8)
}

# Beyond four decimals powers of ten read better (and stay narrow).
number_text <- function(values, decimals) {
  decimals <- rep_len(as.integer(decimals), length(values))
  text <- ifelse(
    decimals > 4L, sprintf("%.1e", values), sprintf("%.*f", pmin(decimals, 4L), values)
  )
  # No minus zero.
  negative_zero <- grepl("^-0\\.?0*$", text)
  text[negative_zero] <- sub("-", "", text[negative_zero], fixed = TRUE)
  text[is.na(values)] <- "--"
  text
}

# "<.001", ".048": no leading zero, a p value is never above 1.
p_text <- function(p) {
  text <- sub("^0", "", sprintf("%.3f", p))
  text[!is.na(p) & p < 0.0005] <- "<.001"
  text[is.na(p)] <- "--"
  text
}

pad_left <- function(text, width) {
  paste0(strrep(" ", pmax(width - nchar(text), 0L)), text)
}

model_heads <- list(c("Model 1", "null"), c("Model 2", "convergence"), c("Model 3", "full"))

# The three models side by side; one below the other where that is too wide.
layout_table <- function(fixed, random, totals) {
  total_labels <- vapply(totals, `[[`, "", 1L)
  labels <- c("", "", fixed$title, fixed$label, "", random$title, random$label, "", total_labels)
  labels <- formatC(labels, width = -max(nchar(labels)))
  columns <- lapply(seq_along(fixed$cells), function(model) {
    numbers <- vapply(totals, `[[`, "", model + 1L)
    cells <- rbind(c("Est.", "S.E", "p"), fixed$cells[[model]], random$cells[[model]])
    widths <- apply(nchar(cells), 2L, max)
    # A criterion may be wider than the estimates above it.
    widths[[1L]] <- max(widths[[1L]], nchar(numbers))
    line <- function(cells) paste(pad_left(cells, widths), collapse = " ")
    head <- formatC(model_heads[[model]], width = -sum(widths) - 2L)
    blank <- strrep(" ", sum(widths) + 2L)
    c(
      pad_left(trimws(head), sum(widths) + 2L), line(cells[1L, ]),
      apply(fixed$cells[[model]], 1L, line), blank, blank,
      apply(random$cells[[model]], 1L, line), blank,
      vapply(numbers, function(number) line(c(number, "", "")), "", USE.NAMES = FALSE)
    )
  })
  rows_of <- function(models) {
    trimws(do.call(paste, c(list(labels), columns[models], sep = "   ")), "right")
  }
  lines <- rows_of(seq_along(columns))
  if (max(nchar(lines)) <= max(getOption("width"), 110L)) {
    return(lines)
  }
  unlist(lapply(seq_along(columns), function(model) {
    own <- nzchar(trimws(columns[[model]])) | !nzchar(trimws(labels)) | labels == random$title
    c(if (model > 1L) "", rows_of(model)[own])
  }))
}

# ---- What was done ----------------------------------------------------------

models_notes <- function(models, criteria) {
  c(
    sample_notes(models), predictor_notes(models), alias_sentences(models), status_notes(models),
    criteria_note(models, criteria)
  )
}

sample_notes <- function(models) {
  left_out <- attr(models, "left_out")
  unused <- left_out[is.na(left_out$model), , drop = FALSE]
  left_out <- left_out[!is.na(left_out$model), , drop = FALSE]
  common <- attr(models, "settings")$rows == "common"
  numbers <- if (common) intersect(1L, left_out$model) else unique(left_out$model)
  rows_of <- vapply(numbers, function(number) {
    rows <- left_out[left_out$model == number, , drop = FALSE]
    paste0(rows$rows, " (", rows$reason, whole_dyads(rows), ")", collapse = ", ")
  }, "")
  # Models that leave out the same are told of at once.
  notes <- vapply(unique(rows_of), function(rows) {
    same <- if (common) 1:3 else numbers[rows_of == rows]
    paste0("Rows left out of ", models_in_words(same), ": ", rows, ".")
  }, "", USE.NAMES = FALSE)
  c(
    if (length(notes)) notes else "Rows: all rows of the data were used.",
    if (nrow(unused)) {
      paste0(
        "Scores without rows in the data: ", count_of(unused$dyads, "dyad"), ", ", unused$which, "."
      )
    }
  )
}

models_in_words <- function(numbers) {
  switch(length(numbers),
    paste("Model", numbers),
    paste("Models", numbers[1L], "and", numbers[2L]),
    "all three models"
  )
}

# "; all rows of 2 dyads: 7, 12"
whole_dyads <- function(rows) {
  counts <- vapply(rows$dyads, count_of, "", singular = "dyad")
  ifelse(rows$dyads > 0L, paste0("; all rows of ", counts, ": ", rows$which), "")
}

predictor_notes <- function(models) {
  settings <- attr(models, "settings")
  centers <- attr(models, "centers")
  initial <- if (!is.null(settings$initial)) {
    paste0("Initial value: column `", settings$initial, "`.")
  } else {
    paste0(
      "Initial value: each dyad's first ", settings$outcome, ", whose row ",
      if (settings$initial_row == "keep") {
        "stays among the outcome rows."
      } else {
        "is not an outcome row of Models 2 and 3."
      }
    )
  }
  last <- centers[centers$model == max(centers$model), , drop = FALSE]
  mean_text <- function(rows) {
    decimals <- vapply(rows$sd, row_decimals, 1)
    paste0(rows$term, " ", number_text(rows$mean, decimals), collapse = ", ")
  }
  centered <- last[last$centered, , drop = FALSE]
  raw <- last[!last$centered, , drop = FALSE]
  c(
    initial,
    if (nrow(centered)) {
      paste0("Centred over the dyads of each model (means in Model 3): ", mean_text(centered), ".")
    },
    if (nrow(raw)) {
      paste0("Not centred (means in Model 3): ", mean_text(raw), ".")
    },
    if (settings$form == "equations") "Terms as in the paper's equations."
  )
}

status_notes <- function(models) {
  texts <- vapply(models, function(fit) format(fit_status(fit)), "")
  worth_saying <- vapply(models, component, "", name = "status") != "ok"
  texts <- split(seq_along(models)[worth_saying], texts[worth_saying])
  vapply(names(texts), function(text) {
    numbers <- texts[[text]]
    paste0(if (length(numbers) > 1L) "Models " else "Model ", some_of(numbers), ". ", text)
  }, "", USE.NAMES = FALSE)
}

criteria_note <- function(models, criteria) {
  samples <- attr(models, "samples")
  same_rows <- length(unique(samples$rows)) == 1L
  reml <- component(models[[1L]], "reml")
  label <- paste0("AIC by ", criteria_labels[[criteria]], ".")
  if (!reml && same_rows) {
    return(paste(label, "Fitted by ML to the same rows: the models may be compared."))
  }
  paste0(
    label, " Do not compare it across these models: ",
    paste(c(
      if (reml) "under REML it is on another scale for every set of fixed effects",
      if (!same_rows) "they were fitted to different rows"
    ), collapse = ", and "),
    ". For a comparison", if (!same_rows) " set rows = \"common\" and", " use ",
    "anova(models$convergence, models$full", if (reml) ", refit = TRUE", ")."
  )
}

# ---- What it says about convergence -----------------------------------------

# The coefficients of convergence in Models 2 and 3: of the level (at time 0),
# of change (per unit of time), and of change as development differs. NA where
# the column was dropped.
convergence_relations <- function(models, level = 0.95) {
  labels <- attr(models, "labels")
  centers <- attr(models, "centers")
  all_terms <- c(
    level = "convergence", change = labels[["Convergence x time"]],
    change_by_development = labels[["Devel. x converg. x time"]]
  )
  parts <- lapply(2:3, function(number) {
    terms <- if (number == 2L) all_terms[1:2] else all_terms
    table <- summary(models[[number]])$coefficients
    rows <- table[match(terms, rownames(table)), , drop = FALSE]
    half <- stats::qt((1 + level) / 2, rows[, "df"]) * rows[, "Std. Error"]
    sd <- centers$sd[centers$model == number & centers$term == "convergence"]
    data.frame(
      model = number, relation = names(terms), term = unname(terms),
      estimate = rows[, "Estimate"], conf.low = rows[, "Estimate"] - half,
      conf.high = rows[, "Estimate"] + half, p.value = rows[, "Pr(>|t|)"], sd = sd,
      row.names = NULL
    )
  })
  do.call(rbind, parts)
}

relation_sentences <- function(models) {
  relations <- convergence_relations(models)
  settings <- attr(models, "settings")
  settings$development_centered <- is_centered(models, "development")
  c(
    paste0(
      "Is convergence related to ", settings$outcome, "? (Convergence is ",
      convergence_sense(settings$scores), "; 5% level, two-sided.)"
    ),
    vapply(seq_len(nrow(relations)), function(row) {
      relation_sentence(relations[row, ], settings)
    }, ""),
    paste0(
      "Whether a unit of convergence is much or little: its SD over the dyads is ",
      short_number(relations$sd[nrow(relations)]), " in Model 3."
    )
  )
}

is_centered <- function(models, term) {
  centers <- attr(models, "centers")
  any(centers$centered[centers$term == term])
}

short_number <- function(value) format(signif(value, 2L), digits = 2L)

relation_sentence <- function(relation, settings) {
  head <- paste0("Model ", relation$model, ", ", relation_subject(relation, settings), ": ")
  if (is.na(relation$estimate)) {
    return(paste0(head, "cannot be estimated, its column was dropped (see above)."))
  }
  decimals <- row_decimals(abs(relation$conf.high - relation$conf.low) / 4)
  numbers <- number_text(
    c(relation$estimate, relation$conf.low, relation$conf.high), decimals
  )
  p <- p_text(relation$p.value)
  unit <- if (relation$relation == "change_by_development") {
    "per unit of convergence and of development"
  } else {
    "per unit of convergence"
  }
  paste0(
    head, relation_verdict(relation, settings), " (", numbers[[1L]], " ", unit, ", 95% CI ",
    numbers[[2L]], " to ", numbers[[3L]], ", p ", if (startsWith(p, "<")) p else paste("=", p), ")."
  )
}

relation_subject <- function(relation, settings) {
  # With its product with development in the model, the coefficient of
  # convergence x time holds where development is zero.
  at_development <- relation$model == 3L && relation$relation == "change"
  switch(relation$relation,
    level = paste0("level (where ", settings$time, " is 0)"),
    change = paste0("change (per unit of ", settings$time, ")", if (at_development) {
      if (settings$development_centered) ", at average development" else ", at development 0"
    }),
    change_by_development = "does that depend on the development of the alliance"
  )
}

relation_verdict <- function(relation, settings) {
  clear <- !is.na(relation$p.value) && relation$p.value < 0.05
  lower <- relation$estimate < 0
  outcome <- settings$outcome
  if (relation$relation == "change_by_development") {
    if (!clear) {
      return("no clear sign of it")
    }
    return(paste0(
      "yes, the more the alliance developed, the more convergence went with a ",
      if (lower) "fall" else "rise", " of ", outcome
    ))
  }
  if (!clear) {
    return("no clear relation")
  }
  who <- if (settings$scores$definition == "signed") {
    paste0(
      "dyads in which ", settings$scores$raters[[1L]], " rose more relative to ",
      settings$scores$raters[[2L]]
    )
  } else {
    "dyads that converged more"
  }
  what <- if (relation$relation == "level") {
    paste0("had ", if (lower) "lower" else "higher", " ", outcome)
  } else {
    paste0(
      "saw ", outcome, if (lower) " fall more (or rise less)" else " rise more (or fall less)"
    )
  }
  paste(who, what)
}

# ---- Messages when the models are fitted ------------------------------------

inform_models <- function(models) {
  # Rows taken as initial value are used, only elsewhere: no news.
  lost <- setdiff(attr(models, "left_out")$reason, "taken as initial value")
  if (length(lost)) {
    notes <- sample_notes(models)
    inform_samepage(
      "left_out", c("Not all data were used.", stats::setNames(notes, rep("*", length(notes))))
    )
  }
  sentences <- alias_sentences(models)
  if (length(sentences)) {
    inform_samepage("aliased", stats::setNames(sentences, rep("!", length(sentences))))
  }
  failed <- vapply(models, component, "", name = "status") == "failed"
  if (any(failed)) {
    inform_samepage("failed", c(
      paste0("Fit status failed: Model ", paste(which(failed), collapse = ", "), "."),
      i = "Its numbers must not be used; see fit_status() of the fit."
    ))
  }
}
