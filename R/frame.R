# Specification and data -> model frame: every variable of the formula evaluated
# once, rows with missing values taken out and counted, and whatever cannot be
# fitted refused by name.

#' The model frame of a mixed-model specification
#'
#' Unlike `stats::model.frame()` it copies nothing when nothing is missing: on a
#' million rows copying costs more than the fit.
#'
#' @param spec The answer of `parse_mixed_formula()`.
#' @param data A data frame.
#' @param subset,weights Evaluated, or NULL.
#' @param na_action A function such as `stats::na.omit`, or its name.
#' @returns A data frame: the fixed part's variables, response first, then those of
#'   the random-effects terms and their groupings, then `(weights)`. Attributes:
#'   `terms` (of the fixed part, with `predvars`), `predvars` (of all variables),
#'   `na.action`.
#' @noRd
build_frame <- function(spec, data, subset = NULL, weights = NULL, na_action = NULL) {
  env <- environment(spec$fixed)
  terms <- stats::terms(spec$fixed)
  fixed <- as.list(attr(terms, "variables"))[-1L]
  n_fixed <- length(fixed)
  variables <- c(fixed, unlist(lapply(spec$terms, term_variables), recursive = FALSE))
  names <- vapply(variables, code_of, character(1))
  distinct <- !duplicated(names)
  variables <- variables[distinct]
  names <- names[distinct]
  names(variables) <- names

  if (!is.null(na_action)) {
    na_action <- na_action_name(na_action)
  }
  n <- nrow(data)
  frame <- lapply(variables, evaluate_variable, data = data, env = env, n = n)
  predvars <- variables
  for (i in seq_along(frame)) {
    # What poly(), ns() or scale() must remember for prediction.
    if (is.call(variables[[i]])) {
      predvars[[i]] <- stats::makepredictcall(frame[[i]], variables[[i]])
    }
  }
  if (!is.null(weights)) {
    frame[["(weights)"]] <- check_weights(weights, n)
  }
  rows <- row_names_of(data)
  undecided <- NULL
  if (!is.null(subset)) {
    kept <- subset_rows(subset, n)
    frame <- lapply(frame, take_rows, kept)
    rows <- attr(data, "row.names")[kept]
    n <- length(kept)
    undecided <- if (is.logical(subset) && anyNA(subset)) is.na(subset[kept])
  }
  frame <- drop_missing(frame_of(frame, rows), na_action, undecided)
  if (.row_names_info(frame, 2L) == 0L) {
    stop_empty(n, frame)
  }

  columns <- unclass(frame)
  for (i in seq_along(columns)) {
    if (is.factor(columns[[i]])) {
      columns[[i]] <- drop_unused_levels(columns[[i]])
    }
  }
  frame <- columns
  class(frame) <- "data.frame"
  attr(frame, "terms") <- structure(
    terms,
    predvars = as.call(c(quote(list), unname(predvars[seq_len(n_fixed)]))),
    dataClasses = vapply(columns[seq_len(n_fixed)], variable_class, "")
  )
  attr(frame, "predvars") <- predvars
  frame
}

# A data frame from columns and row names. Attributes one by one, because structure() writes out a
# million row names.
frame_of <- function(columns, rows) {
  attr(columns, "row.names") <- rows
  class(columns) <- "data.frame"
  columns
}

# stats::.MFclass() by a shorter way for what nearly all variables are.
variable_class <- function(x) {
  if (is.numeric(x) && is.null(attributes(x))) {
    return("numeric")
  }
  if (identical(class(x), "factor")) "factor" else stats::.MFclass(x)
}

term_variables <- function(term) {
  if (is.numeric(term$lhs)) {
    return(term$group)
  }
  if (is.name(term$lhs)) {
    return(c(term$lhs, term$group))
  }
  c(as.list(attr(stats::terms(one_sided(term$lhs)), "variables"))[-1L], term$group)
}

# What terms() calls its variables, as the frame names its columns: terms() puts `odd names` in
# backquotes. The response first, where there is one.
variable_names <- function(terms) {
  vapply(as.list(attr(terms, "variables"))[-1L], code_of, "")
}

one_sided <- function(expr, env = baseenv()) {
  structure(call("~", expr), class = "formula", .Environment = env)
}

# Compact row names stay compact: a million strings are made only when shown.
row_names_of <- function(data) {
  if (.row_names_info(data) < 0L) .set_row_names(nrow(data)) else attr(data, "row.names")
}

# `called`: the argument that `data` is, for messages.
evaluate_variable <- function(expr, data, env, n, called = "data") {
  value <- if (is.name(expr)) .subset2(data, as.character(expr))
  if (is.numeric(value) && is.null(attributes(value)) && length(value) == n) {
    # Nearly all variables.
    return(value)
  }
  if (is.null(value)) {
    value <- evaluate_elsewhere(expr, data, env, called)
  }
  if (inherits(value, "haven_labelled")) {
    value <- as.vector(unclass(value))
  }
  no_numbers <- is.complex(value) || is.raw(value)
  if (!is.atomic(value) || no_numbers) {
    stop_samepage("variable", c(
      paste0("`", code_of(expr), "` must be a column of numbers, text or factor levels."),
      # I() of complex numbers is of class AsIs.
      x = paste0(
        "Found an object of class ", if (no_numbers) typeof(value) else class(value)[1L], "."
      ),
      i = if (inherits(value, "POSIXlt")) "Make it a column of numbers with as.POSIXct()."
    ))
  }
  if (NROW(value) != n) {
    stop_samepage("variable", c(
      paste0(
        "`", code_of(expr), "` must have one value for each of the ", n, " rows of `", called, "`."
      ),
      x = paste0("Found ", NROW(value), ".")
    ))
  }
  value
}

# Names are looked up in the data, then where the formula was written. A function
# found there is no variable: a misspelt `time` must not become stats::time().
evaluate_elsewhere <- function(expr, data, env, called) {
  for (name in all.vars(expr)) {
    if (name %in% names(data)) {
      next
    }
    found <- get0(name, envir = env, mode = "any", inherits = TRUE)
    if (is.null(found) || is.function(found)) {
      stop_missing_column(name, expr, data, called)
    }
  }
  tryCatch(
    eval(expr, data, env),
    error = function(condition) {
      stop_samepage("variable", c(
        paste0("`", code_of(expr), "` must be computable from the columns of `", called, "`."),
        x = paste0("R says: ", conditionMessage(condition))
      ))
    }
  )
}

stop_missing_column <- function(name, expr, data, called) {
  distance <- utils::adist(name, names(data), ignore.case = TRUE)[1L, ]
  close <- names(data)[distance <= max(1L, nchar(name) %/% 3L)]
  where <- if (is.name(expr)) "" else paste0(" (in `", code_of(expr), "`)")
  stop_samepage("missing_column", c(
    paste0("Every variable of the formula must be a column of `", called, "`."),
    x = paste0("`", name, "`", where, " is not there."),
    i = if (length(close)) {
      paste0("Did you mean ", paste0("`", utils::head(close, 3L), "`", collapse = " or "), "?")
    } else {
      paste0(
        "`", called, "` has ", if (length(data)) some_of(names(data), 10L) else "no columns", "."
      )
    }
  ))
}

check_weights <- function(weights, n) {
  if (!is.numeric(weights) || !is.null(dim(weights)) || length(weights) != n) {
    stop_samepage("weights", c(
      paste0("`weights` must be numbers, one for each of the ", n, " rows of `data`."),
      x = paste0("Found ", length(weights), " of class ", class(weights)[1L], ".")
    ))
  }
  wrong <- which(weights <= 0 | is.infinite(weights))
  if (length(wrong)) {
    stop_samepage("weights", c(
      "`weights` must be positive and finite.",
      x = paste0(
        "Found ", some_of(signif(unique(weights[wrong]), 4L)), " in ",
        count_of(length(wrong), "row"), " (", some_of(wrong), ")."
      ),
      i = "Leave rows out with `subset` instead of giving them weight 0."
    ))
  }
  as.double(weights)
}

# A row whose condition is missing is a row with a missing value, as for lm(): taken here, left out
# and counted with the others.
subset_rows <- function(subset, n) {
  if (is.logical(subset) && length(subset) == n) {
    return(which(subset | is.na(subset)))
  }
  if (is.numeric(subset) && !anyNA(subset)) {
    return(seq_len(n)[subset])
  }
  stop_samepage("subset", c(
    paste0("`subset` must be TRUE or FALSE for each of the ", n, " rows of `data`."),
    x = paste0("Found ", length(subset), " values of class ", class(subset)[1L], ".")
  ))
}

# Rows of a vector, factor or matrix; keeps the attributes poly() and ns() carry.
take_rows <- function(x, rows) {
  if (is.factor(x)) {
    taken <- unclass(x)[rows]
    attributes(taken) <- list(
      levels = attr(x, "levels"), contrasts = attr(x, "contrasts"), class = oldClass(x)
    )
    return(taken)
  }
  if (is.null(dim(x))) {
    return(x[rows])
  }
  taken <- x[rows, , drop = FALSE]
  kept <- attributes(x)
  kept <- kept[setdiff(names(kept), c("dim", "dimnames"))]
  attributes(taken) <- c(attributes(taken)[c("dim", "dimnames")], kept)
  taken
}

# A finite sum has no missing value and no infinity behind it, and costs a
# fraction of is.na() on a long column.
is_surely_finite <- function(x) {
  is.double(x) && is.finite(sum(if (is.object(x)) unclass(x) else x))
}

drop_missing <- function(frame, na_action, missing = NULL) {
  for (column in frame) {
    if (is.factor(column)) {
      # Its codes; a method for factors would be looked for.
      column <- unclass(column)
    }
    if (!is_surely_finite(column) && anyNA(column)) {
      absent <- is.na(column)
      if (!is.null(dim(absent))) {
        absent <- rowSums(absent) > 0
      }
      missing <- if (is.null(missing)) absent else missing | absent
    }
  }
  if (is.null(missing)) {
    return(frame)
  }
  omitted <- which(missing)
  action <- na_action_name(na_action)
  if (action == "na.fail" || action == "na.pass") {
    stop_samepage("missing_values", c(
      "The variables of the formula must not have missing values here.",
      x = paste0("Found some in ", count_of(length(omitted), "row"), " (", some_of(omitted), ")."),
      i = "na.action = na.omit leaves these rows out and counts them."
    ))
  }
  rows <- attr(frame, "row.names")
  kept <- which(!missing)
  taken <- frame_of(lapply(unclass(frame), take_rows, kept), rows[kept])
  names(omitted) <- rows[omitted]
  attr(omitted, "class") <- if (action == "na.exclude") "exclude" else "omit"
  attr(taken, "na.action") <- omitted
  taken
}

na_action_name <- function(na_action) {
  if (is.null(na_action)) {
    na_action <- getOption("na.action", "na.omit")
  }
  known <- c("na.omit", "na.exclude", "na.fail", "na.pass")
  if (is.function(na_action)) {
    same <- vapply(
      known, function(name) identical(na_action, getExportedValue("stats", name)), logical(1)
    )
    if (any(same)) {
      return(known[same])
    }
  } else if (is.character(na_action) && length(na_action) == 1L && na_action %in% known) {
    return(na_action)
  }
  stop_samepage("argument", c(
    "`na.action` must be one of na.omit, na.exclude and na.fail.",
    x = paste0("Found: ", found_value(na_action), ".")
  ))
}

stop_empty <- function(n, frame) {
  absent <- if (is.null(attr(frame, "na.action"))) 0L else length(attr(frame, "na.action"))
  stop_samepage("empty", c(
    "There must be rows with all variables of the formula present.",
    x = if (absent) {
      paste0("All ", count_of(absent, "row"), " have a missing value in at least one of them.")
    } else {
      "`data` has no rows left (see `subset`)."
    },
    i = paste0("The variables are ", some_of(names(frame), 10L), ".")
  ))
}

# What x[, drop = TRUE] does by matching labels, by renumbering codes.
drop_unused_levels <- function(x) {
  levels <- levels(x)
  used <- tabulate(x, length(levels)) > 0L
  if (all(used)) {
    return(x)
  }
  codes <- cumsum(used)[x]
  attributes(codes) <- list(levels = levels[used], class = class(x))
  codes
}

# Refuses what no mixed model can be fitted to: a response that is not numeric or
# does not vary, infinite values.
check_frame <- function(frame) {
  check_response(frame)
  # The variables of the fixed part come first.
  for (at in attr(attr(frame, "terms"), "offset")) {
    if (!is.numeric(.subset2(frame, at))) {
      stop_samepage("variable", c(
        paste0("`", names(frame)[at], "` must be numbers."),
        x = paste0("Found class ", class(.subset2(frame, at))[1L], ".")
      ))
    }
  }
  for (name in names(frame)) {
    column <- .subset2(frame, name)
    if (is.double(column) && !is_surely_finite(column)) {
      infinite <- is.infinite(column)
      if (any(infinite)) {
        rows <- if (is.null(dim(infinite))) which(infinite) else which(rowSums(infinite) > 0)
        stop_samepage("infinite", c(
          paste0("`", name, "` must be finite."),
          x = paste0(
            "Found infinite values in ", count_of(length(rows), "row"), " (",
            some_of(attr(frame, "row.names")[rows]), ")."
          ),
          i = "Set them to NA, or correct them, before fitting."
        ))
      }
    }
  }
  invisible(frame)
}

check_response <- function(frame) {
  name <- names(frame)[1L]
  y <- .subset2(frame, 1L)
  # scale() and the like make a matrix of one column.
  if (!is.numeric(y) || NCOL(y) != 1L) {
    found <- if (!is.null(dim(y))) "matrix" else if (is.logical(y)) "logical" else class(y)[1L]
    stop_samepage("response", c(
      paste0("The outcome `", name, "` must be one numeric column."),
      x = paste0("Found class ", found, "."),
      i = if (is.logical(y)) "For 0 and 1, use as.numeric()." else advice_on_text(y)
    ))
  }
  if (all(y == y[1L])) {
    stop_samepage("constant_response", c(
      paste0("The outcome `", name, "` must vary."),
      x = paste0("Found the value ", y[1L], " in all ", count_of(length(y), "row"), ".")
    ))
  }
}
