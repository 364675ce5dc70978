# Fitted models beside a published table, cell by cell.

#' Compare fitted models with a published table
#'
#' Sets every printed number of a published table beside the number that the
#' models give and marks the cell: equal to the printed digit, within
#' tolerance, apart, or exempt where the printed figure is known to be wrong.
#'
#' @section How a cell is marked:
#' | mark | meaning |
#' |---|---|
#' | `equal` | the number, rounded like the printed one, is the same; or below a printed `<.001` |
#' | `within` | not equal, but as near as `tolerance` asks |
#' | `apart` | neither |
#' | `exempt` | listed in `exempt`, whatever the number |
#' | `absent` | the models have no such number (a boundary leaves some parameters without SE) |
#'
#' @section Tolerance:
#' Numbers not equal to the printed digit may still be `within`. The defaults,
#' any of which `tolerance` replaces by name:
#'
#' | name | default | what it allows |
#' |---|---|---|
#' | `digits` | 1 | estimates of fixed effects: units of the last printed digit |
#' | `std.error` | .05 | standard errors of fixed effects: share of the printed one |
#' | `variance` | .05 | variances and covariances: share of the printed one |
#' | `variance.error` | .10 | their standard errors: share of the printed one |
#' | `criterion` | .02 | information criteria: share of the printed one |
#' | `alpha` | .05 | p values: must lie on the printed one's side of this level |
#'
#' A p value printed as `alpha` itself is on no side of it, and only equal will do.
#'
#' @section A table of your own:
#' A data frame with one row per parameter and the columns
#' * `term`: the coefficient's name as in `tidy(models)$term`. `intercept` and
#'   `time` may stand for these two whatever their names, also in products
#'   (`convergence:time`; the order of the factors does not matter). Random
#'   effects of the dyads: `intercept_variance`, `covariance`, `slope_variance`,
#'   `residual_variance`, or the names that `tidy()` gives. Criteria: `aic`,
#'   `aicc`, `caic`, `bic` or `m2ll`.
#' * `estimate`, and where printed `std.error` and `p.value`: **text**, as
#'   printed, so that the last digit is known: `"1.50"`, `".04"`, `"<.001"`. `NA`
#'   or `""` where the table has nothing. From a file:
#'   `read.csv(file, colClasses = "character")`.
#' * `model`: 1, 2, 3 for the three models. Not needed for a single fit.
#' * Other columns are ignored.
#'
#' @param models Models from [convergence_models()], a fit of [lmm()], or a list
#'   of such fits.
#' @param published `"study1"` or `"study2"` for the tables of Nissen-Lie et al.
#'   (2020), see [published_tables], or a table of your own.
#' @param exempt Cells known to be wrong in print: a data frame with `term`,
#'   `statistic` (`estimate`, `std.error`, `p.value`), `reason`, and `model` where
#'   `published` has it. Where both have a column `study`, only rows of the same
#'   study count. Default: [published_exempt] for the paper's tables, none for
#'   others.
#' @param tolerance Named numbers that replace the defaults, see below.
#' @param criteria Definition of the information criteria, see
#'   [information_criteria()].
#' @param ... Not used; other arguments are an error.
#'
#' @returns A data frame of class `samepage_comparison`, one row per printed
#'   cell: `model`, `term`, `statistic`, `published` (text), `value` (the models'
#'   number), `difference` (`value` minus the printed number; `NA` where that is
#'   a bound such as `<.001`), `mark` (factor), `reason` (of exempt cells). Its
#'   print sets both side by side.
#' @inherit study1 references
#' @family models of an outcome
#' @examples
#' # The paper's analysis of Study 1, on synthetic data
#' scores <- convergence(
#'   wai_patient + wai_therapist ~ session | patient, data = study1,
#'   per = "course", transform = "log", early_discrepancy = "log_absolute"
#' )
#' models <- convergence_models(
#'   bdi ~ session | patient, data = study1, scores = scores,
#'   initial_row = "drop", rows = "available",
#'   center = c("initial", "convergence", "early_wai_patient", "early_wai_therapist", "development")
#' )
#' compared <- compare_published(models, "study1")
#' compared
#' table(compared$mark)
#'
#' # A table of your own: the growth data as Pinheiro and Bates (2000) print them
#' printed <- data.frame(
#'   term = c("intercept", "time"),
#'   estimate = c("24.02", ".66"), std.error = c(".43", ".07")
#' )
#' fit <- lmm(distance ~ I(age - 11) + (I(age - 11) | Subject), data = nlme::Orthodont)
#' compare_published(fit, printed)
#' @export
compare_published <- function(models, published, exempt = NULL, tolerance = NULL,
                              criteria = c("spss", "sas", "r"), ...) {
  check_no_dots(...)
  criteria <- check_choice(criteria, c("spss", "sas", "r"), "criteria")
  fits <- fits_to_compare(models)
  tolerance <- comparison_tolerance(tolerance)
  if (is.character(published)) {
    study <- published_study(published)
    published <- samepage::published_tables
    published <- published[published$study == study, ]
    if (is.null(exempt)) {
      exempt <- samepage::published_exempt
      exempt <- exempt[exempt$study == study, ]
    }
  }
  cells <- published_cells(published, length(fits))
  found <- do.call(rbind, Map(fitted_cells, fits, seq_along(fits), criteria))

  times <- vapply(fits, time_of_fit, "")
  cells$key <- cell_keys(cells, times)
  found$key <- cell_keys(found, times)
  check_no_duplicate_cells(cells, published$study)
  at <- match(cells$key, found$key)
  cells$value <- found$value[at]
  cells$kind <- cell_kinds(cells, found$effect[at])
  cells$reason <- exempt_reasons(cells, of_same_study(exempt, published), times)
  compared <- mark_cells(cells, tolerance)
  structure(
    compared,
    labels = cell_labels(cells), criteria = criteria, tolerance = tolerance,
    class = c("samepage_comparison", "data.frame")
  )
}

# ---- What is compared -----------------------------------------------------------

fits_to_compare <- function(models, call = rlang::caller_env()) {
  fits <- if (inherits(models, "samepage_lmm")) list(models) else unclass(models)
  right <- is.list(fits) && length(fits) > 0L &&
    all(vapply(fits, inherits, NA, what = "samepage_lmm"))
  if (!right) {
    stop_samepage(
      "argument",
      c(
        "`models` must come from convergence_models(), or be a fit of lmm() or a list of fits.",
        x = paste0("Found: ", models_found(models), ".")
      ),
      call = call
    )
  }
  attributes(fits) <- NULL
  fits
}

# The class of what was given, or of what a list holds besides fits.
models_found <- function(models) {
  if (!identical(class(models), "list")) {
    return(describe_class(models))
  }
  other <- Filter(function(x) !inherits(x, "samepage_lmm"), models)
  if (length(other)) {
    paste("a list with", some_of(unique(vapply(other, describe_class, ""))))
  } else {
    "an empty list"
  }
}

tolerance_defaults <- c(
  digits = 1, std.error = 0.05, variance = 0.05, variance.error = 0.10, criterion = 0.02,
  alpha = 0.05
)

comparison_tolerance <- function(tolerance, call = rlang::caller_env()) {
  if (is.null(tolerance)) {
    return(tolerance_defaults)
  }
  unknown <- setdiff(names(tolerance), names(tolerance_defaults))
  unknown[unknown == ""] <- "a value without a name"
  named <- !is.null(names(tolerance)) && !length(unknown)
  if (!is.numeric(tolerance) || !named || !all(is.finite(tolerance) & tolerance >= 0)) {
    stop_samepage(
      "argument",
      c(
        "`tolerance` must be named numbers of 0 or more.",
        x = if (length(unknown)) {
          paste0("Unknown: ", some_of(unknown), ".")
        } else {
          paste0("Found: ", found_value(tolerance), ".")
        },
        i = paste0("Names: ", paste(names(tolerance_defaults), collapse = ", "), ".")
      ),
      call = call
    )
  }
  replace(tolerance_defaults, names(tolerance), tolerance)
}

published_study <- function(published, call = rlang::caller_env()) {
  studies <- c("study1", "study2")
  # All choices at once are the default elsewhere; here there is none.
  if (length(published) != 1L) {
    stop_samepage("argument", c(
      "`published` must be one of \"study1\", \"study2\", or a data frame.",
      x = paste0("Found: ", found_value(published), ".")
    ), call = call)
  }
  match(check_choice(published, studies, "published", call), studies)
}

cell_statistics <- c("estimate", "std.error", "p.value")

# One row per printed cell, in the table's order.
published_cells <- function(published, n_models, call = rlang::caller_env()) {
  check_published_columns(published, n_models, call)
  statistics <- intersect(cell_statistics, names(published))
  model <- if (is.null(published$model)) 1L else as.integer(published$model)
  cells <- do.call(rbind, lapply(statistics, function(statistic) {
    data.frame(
      model = model, row = seq_len(nrow(published)), term = as.character(published$term),
      statistic = statistic, published = trimws(published[[statistic]])
    )
  }))
  cells <- cells[!is.na(cells$published) & nzchar(cells$published), ]
  cells <- cells[order(cells$model, cells$row, match(cells$statistic, statistics)), ]
  printed <- lapply(cells$published, read_printed)
  unread <- vapply(printed, is.null, NA)
  if (any(unread)) {
    stop_samepage(
      "published",
      c(
        "Every cell must be a number as printed, or a bound such as \"<.001\".",
        x = paste0(
          "Cannot be read: ", some_of(paste0(cells$term, " ", cells$published)[unread]), "."
        ),
        i = if (any(grepl(",", cells$published[unread], fixed = TRUE))) {
          "Decimals follow a point: \"33.4\", not \"33,4\"."
        }
      ),
      call = call
    )
  }
  data.frame(
    cells[c("model", "term", "statistic", "published")],
    number = vapply(printed, `[[`, 1, "number"), unit = vapply(printed, `[[`, 1, "unit"),
    bound = vapply(printed, `[[`, NA, "bound"), row.names = NULL
  )
}

check_published_columns <- function(published, n_models, call) {
  refuse <- function(...) stop_samepage("published", c(...), call = call)
  if (!is.data.frame(published)) {
    refuse(
      "`published` must be \"study1\", \"study2\" or a data frame.",
      x = paste0("Found: ", describe_class(published), ".")
    )
  }
  needed <- c("term", "estimate", if (n_models > 1L) "model")
  missing <- setdiff(needed, names(published))
  if (length(missing)) {
    refuse(
      paste0("`published` must have the columns ", paste(needed, collapse = ", "), "."),
      x = paste0("Missing: ", paste(missing, collapse = ", "), ".")
    )
  }
  if (anyNA(published$term)) {
    refuse(
      "Every row of `published` must name its `term`.",
      x = paste0("Missing in row ", some_of(which(is.na(published$term))), ".")
    )
  }
  statistics <- intersect(cell_statistics, names(published))
  not_text <- Filter(function(name) {
    !is.character(published[[name]]) && !all(is.na(published[[name]]))
  }, statistics)
  if (length(not_text)) {
    refuse(
      "Printed numbers must be text, so that the last digit is known.",
      x = paste0("Not text: ", paste(not_text, collapse = ", "), "."),
      i = "From a file: read.csv(file, colClasses = \"character\")."
    )
  }
  printed <- trimws(as.character(unlist(published[statistics])))
  if (!any(!is.na(printed) & nzchar(printed))) {
    refuse(
      "`published` must hold at least one printed number.",
      x = paste0("Found none in ", count_of(nrow(published), "row"), ".")
    )
  }
  models <- if (is.null(published$model)) 1L else published$model
  wrong <- setdiff(models, seq_len(n_models))
  if (length(wrong)) {
    refuse(
      if (n_models > 1L) {
        paste0("`model` must be 1 to ", n_models, ", as many models as were fitted.")
      } else {
        "For one fit, `published` must hold one model, the column `model` being 1 or left out."
      },
      x = paste0("Found: model ", some_of(wrong), "."),
      i = if (length(models) > 1L) {
        "Give all the models of the table, or those rows of it that belong to the fits."
      }
    )
  }
}

# The number, what its last printed digit is worth, and whether it is a bound.
# NULL where the text is no number.
read_printed <- function(text) {
  # A comma parts thousands; one before the decimals would be misread.
  pattern <- "^(<?) *([-+\u2212\u2013]?)([0-9]*|[0-9]{1,3}(,[0-9]{3})+)[.]?([0-9]*)$"
  if (!grepl(pattern, text) || !grepl("[0-9]", text)) {
    return(NULL)
  }
  part <- function(i) sub(pattern, paste0("\\", i), text)
  whole <- gsub(",", "", part(3), fixed = TRUE)
  size <- as.numeric(paste0("0", whole, ".", part(5), "0"))
  negative <- part(2) %in% c("-", "\u2212", "\u2013")
  list(
    number = if (negative) -size else size, unit = 10^-nchar(part(5)), bound = part(1) == "<"
  )
}

# Every number of a fit that a table may hold.
fitted_cells <- function(fit, model, criteria) {
  table <- tidy(fit, effects = c("fixed", "ran_pars"), scales = "vcov")
  # Levels above the dyads keep their group in the name.
  dyads <- names(component(fit, "n_units"))[1L]
  outer <- table$effect == "ran_pars" & !table$group %in% c(dyads, "Residual")
  table$term[outer] <- paste0(table$group[outer], ": ", table$term[outer])
  criteria <- information_criteria(fit, criteria)
  rbind(
    do.call(rbind, lapply(cell_statistics, function(statistic) {
      data.frame(
        model = model, effect = table$effect, term = table$term, statistic = statistic,
        value = table[[statistic]]
      )
    })),
    data.frame(
      model = model, effect = "fit", term = names(criteria), statistic = "estimate",
      value = unname(criteria)
    )
  )
}

# The variable whose slope varies over the dyads, where there is one.
time_of_fit <- function(fit) {
  terms <- tidy(fit, effects = "ran_pars", scales = "vcov")$term
  slopes <- setdiff(
    sub("^var__", "", terms[startsWith(terms, "var__")]), c("(Intercept)", "Observation")
  )
  if (length(unique(slopes)) == 1L) slopes[[1L]] else NA_character_
}

# ---- Matching of cells ----------------------------------------------------------

cell_keys <- function(cells, times) {
  terms <- unlist(Map(canonical_term, cells$term, times[cells$model]), use.names = FALSE)
  paste(cells$model, terms, cells$statistic, sep = "\r")
}

# One spelling for each parameter: the paper's words, the factors of a product sorted.
canonical_term <- function(term, time) {
  words <- c(
    "(Intercept)" = "intercept", "var__(Intercept)" = "intercept_variance",
    "var__Observation" = "residual_variance"
  )
  if (!is.na(time)) {
    words[paste0("cov__(Intercept).", time)] <- "covariance"
    words[paste0("var__", time)] <- "slope_variance"
    words[[time]] <- "time"
  }
  if (term %in% names(words)) {
    return(words[[term]])
  }
  factors <- strsplit(term, ":", fixed = TRUE)[[1L]]
  factors[factors %in% time] <- "time"
  paste(sort(factors), collapse = ":")
}

check_no_duplicate_cells <- function(cells, study, call = rlang::caller_env()) {
  twice <- duplicated(cells$key)
  if (any(twice)) {
    stop_samepage(
      "published",
      c(
        "Every parameter must stand once per model in `published`.",
        x = paste0(
          "More than once: ", some_of(unique(paste0(
            cells$term[twice], " (model ", cells$model[twice], ")"
          ))), "."
        ),
        i = if (length(unique(study)) > 1L) {
          "Its column `study` has more than one: take one, as in subset(published, study == 1)."
        }
      ),
      call = call
    )
  }
}

# Which tolerance a cell comes under. A cell without a counterpart has none.
cell_kinds <- function(cells, effect) {
  random <- effect %in% "ran_pars"
  ifelse(
    cells$statistic == "p.value", "p",
    ifelse(
      effect %in% "fit", "criterion",
      ifelse(
        cells$statistic == "estimate", ifelse(random, "variance", "digits"),
        ifelse(random, "variance.error", "std.error")
      )
    )
  )
}

# Cells of the other study in published_exempt are not meant.
of_same_study <- function(exempt, published) {
  if (!is.data.frame(exempt) || is.null(exempt$study) || is.null(published$study)) {
    return(exempt)
  }
  exempt[exempt$study %in% published$study, , drop = FALSE]
}

exempt_reasons <- function(cells, exempt, times, call = rlang::caller_env()) {
  if (is.null(exempt)) {
    return(rep(NA_character_, nrow(cells)))
  }
  needed <- c("term", "statistic", "reason", if (length(times) > 1L) "model")
  if (!is.data.frame(exempt) || !all(needed %in% names(exempt))) {
    stop_samepage(
      "argument",
      c(
        paste0("`exempt` must be a data frame with ", paste(needed, collapse = ", "), "."),
        x = if (is.data.frame(exempt)) {
          paste0("Missing: ", paste(setdiff(needed, names(exempt)), collapse = ", "), ".")
        } else {
          paste0("Found: ", describe_class(exempt), ".")
        }
      ),
      call = call
    )
  }
  if (is.null(exempt$model)) exempt$model <- rep(1L, nrow(exempt))
  at <- match(cell_keys(exempt, times), cells$key)
  if (anyNA(at)) {
    lost <- exempt[is.na(at), ]
    stop_samepage(
      "argument",
      c(
        "Every cell of `exempt` must be one of `published`.",
        x = paste0("Not there: ", some_of(paste0(
          lost$statistic, " of ", lost$term, " (model ", lost$model, ")"
        )), ".")
      ),
      call = call
    )
  }
  replace(rep(NA_character_, nrow(cells)), at, as.character(exempt$reason))
}

# ---- Marks ----------------------------------------------------------------------

cell_marks <- c("equal", "within", "apart", "exempt", "absent")

mark_cells <- function(cells, tolerance) {
  # A number that lies on the border of the printed digit belongs to it.
  slack <- 1e-9 * pmax(abs(cells$number), 1)
  distance <- abs(cells$value - cells$number)
  equal <- ifelse(
    cells$bound, cells$value < cells$number, distance <= cells$unit / 2 + slack
  )
  allowed <- ifelse(
    cells$kind == "digits", tolerance[["digits"]] * cells$unit,
    tolerance[cells$kind] * abs(cells$number)
  )
  alpha <- tolerance[["alpha"]]
  # "<.001" is below the level, and so is "<.05".
  printed_below <- cells$number < alpha | (cells$bound & cells$number <= alpha)
  same_side <- printed_below == (cells$value < alpha) & (cells$bound | cells$number != alpha)
  within <- ifelse(cells$kind == "p", same_side, distance <= allowed + slack)
  mark <- ifelse(equal, "equal", ifelse(within, "within", "apart"))
  mark[is.na(cells$value)] <- "absent"
  mark[!is.na(cells$reason)] <- "exempt"
  data.frame(
    cells[c("model", "term", "statistic", "published", "value")],
    difference = ifelse(cells$bound, NA_real_, cells$value - cells$number),
    mark = factor(mark, cell_marks), reason = cells$reason
  )
}

# ---- Printing -------------------------------------------------------------------

# What the rows are called when printed.
cell_labels <- function(cells) {
  terms <- unique(cells$term)
  labels <- gsub(":", " x ", gsub("_(variance|discrepancy)", " \\1", terms), fixed = TRUE)
  labels <- sub("^early_", "early ", labels)
  criteria <- terms %in% c("aic", "aicc", "caic", "bic", "m2ll")
  labels[criteria] <- toupper(labels[criteria])
  labels[!criteria] <- paste0(
    toupper(substr(labels[!criteria], 1L, 1L)), substring(labels[!criteria], 2L)
  )
  stats::setNames(labels, terms)
}

mark_signs <- c(equal = "=", within = "~", apart = "X", exempt = "e", absent = "?")

#' @export
print.samepage_comparison <- function(x, ...) {
  check_no_dots(...)
  labels <- attr(x, "labels")
  columns <- c("model", "term", "statistic", "published", "value", "difference", "mark", "reason")
  # Part of the columns is a plain data frame.
  if (is.null(labels) || !identical(names(x), columns)) {
    print(as.data.frame(x))
    return(invisible(x))
  }
  cat("Published and fitted, cell by cell (printed | fitted)\n")
  cat(trimws(comparison_lines(x, labels), "right"), sep = "\n")
  cat("\n", comparison_legend(x$mark), sep = "")
  exempt <- x[x$mark == "exempt", ]
  for (reason in unique(exempt$reason)) {
    rows <- exempt[exempt$reason == reason, ]
    cells <- paste0(statistic_words[rows$statistic], " of ", labels[rows$term])
    text <- paste0(
      "Exempt in Model ", paste(unique(rows$model), collapse = ", "), ", ",
      paste(unique(cells), collapse = ", "), ": ", reason
    )
    cat(strwrap(text, width = line_width(), exdent = 2L), sep = "\n")
  }
  invisible(x)
}

statistic_words <- c(estimate = "estimate", std.error = "SE", p.value = "p")

# The lines of all models, their columns aligned.
comparison_lines <- function(x, labels) {
  rows <- unique(x[c("model", "term")])
  columns <- lapply(intersect(cell_statistics, x$statistic), function(statistic) {
    own <- x[x$statistic == statistic, ]
    own <- own[match(paste(rows$model, rows$term), paste(own$model, own$term)), ]
    there <- !is.na(own$term)
    fitted <- ifelse(there, paste(as_printed(own), mark_signs[as.character(own$mark)]), "")
    line <- paste(
      pad_column(ifelse(there, own$published, "")), ifelse(there, "|", " "), pad_column(fitted)
    )
    head <- c(estimate = "Estimate", std.error = "S.E", p.value = "p")[[statistic]]
    pad_column(c(head, line))
  })
  names <- formatC(c("", labels[rows$term]), width = -max(nchar(labels)))
  lines <- do.call(paste, c(list(names), columns, sep = "   "))
  unlist(lapply(unique(rows$model), function(model) {
    title <- formatC(paste("Model", model), width = -nchar(names[1L]))
    head <- paste0(title, substring(lines[1L], nchar(title) + 1L))
    c("", head, lines[-1L][rows$model == model])
  }))
}

pad_column <- function(text) pad_left(text, max(nchar(text)))

# A number with the printed one's decimals, and like it without a leading zero.
as_printed <- function(rows) {
  decimals <- nchar(ifelse(
    grepl(".", rows$published, fixed = TRUE), sub("^.*[.]", "", rows$published), ""
  ))
  text <- ifelse(is.na(rows$value), "--", sprintf("%.*f", decimals, rows$value))
  text <- sub("^-(0[.]?0*)$", "\\1", text)
  bound <- startsWith(rows$published, "<") & !is.na(rows$value)
  below <- bound & rows$mark %in% "equal"
  text[below] <- rows$published[below]
  sub("^(-?)0[.]", "\\1.", text)
}

comparison_legend <- function(mark) {
  counts <- table(mark)
  words <- c(
    equal = "equal to the printed digit", within = "within tolerance", apart = "apart",
    exempt = "exempt, the printed figure cannot be", absent = "no such number in the models"
  )
  shown <- names(words)[counts[names(words)] > 0L | names(words) %in% cell_marks[1:3]]
  legend <- paste0(mark_signs[shown], " ", words[shown], ": ", counts[shown])
  paste0(
    paste(strwrap(
      paste0(count_of(length(mark), "cell"), ". ", paste(legend, collapse = "; "), "."),
      width = line_width(), exdent = 2L
    ), collapse = "\n"), "\n"
  )
}
