# The specification of two raters: `first + second ~ time | dyad`. Parsed by
# hand, part by part, so that an error can say which part is wrong; never by
# model.frame(), which would drop rows.

#' Take a rater formula apart
#'
#' @param formula `first + second ~ time | dyad`, `cbind(first, second)` on the
#'   left, `time | cluster/dyad` on the right.
#' @returns A list: `formula`; `first`, `second`, `time`, `dyad` and `cluster`
#'   (NULL without one), each a list of `expr` and `name`.
#' @noRd
parse_raters <- function(formula, call = rlang::caller_env()) {
  if (!inherits(formula, "formula")) {
    stop_samepage(
      "formula",
      c(
        "`formula` must be a formula such as `patient + therapist ~ session | dyad`.",
        x = paste0("Found: ", describe_class(formula), ".")
      ),
      call = call
    )
  }
  if (length(formula) != 3L) {
    stop_raters(formula, "left", "nothing to the left of `~`", call)
  }
  raters <- split_raters(formula, call)
  design <- split_design(formula, call)
  parts <- list(
    formula = formula,
    first = named_part(raters[[1L]]),
    second = named_part(raters[[2L]]),
    time = named_part(design$time),
    dyad = named_part(design$dyad),
    cluster = if (!is.null(design$cluster)) named_part(design$cluster)
  )
  check_distinct(parts, call)
  parts
}

# A part that stands in two places is a slip, and would name two columns of the
# result alike.
check_distinct <- function(parts, call) {
  name_of <- function(part) parts[[part]]$name
  formula <- parts$formula
  if (name_of("first") == name_of("second")) {
    stop_raters(formula, "left", paste0("the same rater twice, `", name_of("first"), "`"), call)
  }
  for (rater in c("first", "second")) {
    if (name_of(rater) == name_of("time")) {
      stop_raters(formula, "time", paste0("a rater, `", name_of(rater), "`"), call)
    }
  }
  for (part in c("first", "second", "time")) {
    if (name_of(part) %in% c(name_of("dyad"), name_of("cluster"))) {
      found <- paste0("`", name_of(part), "`, which is the ", if (part == "time") part else "rater")
      stop_raters(formula, "dyad", found, call)
    }
  }
  if (identical(name_of("dyad"), name_of("cluster"))) {
    stop_raters(formula, "dyad", paste0("the same id twice, `", name_of("dyad"), "`"), call)
  }
}

split_raters <- function(formula, call) {
  left <- strip_parentheses(formula[[2L]])
  if (rlang::is_call(left, "+", n = 2L)) {
    raters <- as.list(left)[-1L]
    if (rlang::is_call(raters[[1L]], "+", n = 2L)) {
      stop_raters(formula, "left", "more than two raters", call)
    }
  } else if (rlang::is_call(left, "cbind")) {
    raters <- as.list(left)[-1L]
    if (length(raters) != 2L || !is.null(names(raters))) {
      found <- "`cbind()` without exactly two columns, given without names"
      stop_raters(formula, "left", found, call)
    }
  } else if (rlang::is_call(left, c("-", "*", ":", "/", "|"), n = 2L)) {
    found <- paste0("the two raters joined by `", as.character(left[[1L]]), "`")
    stop_raters(formula, "left", found, call)
  } else {
    stop_raters(formula, "left", paste0("one rater only, `", label_of(left), "`"), call)
  }
  for (rater in raters) {
    check_part(rater, formula, "left", "a rater", call)
  }
  raters
}

split_design <- function(formula, call) {
  right <- strip_parentheses(formula[[3L]])
  if (!rlang::is_call(right, "|", n = 2L)) {
    found <- paste0("no `|` between time and dyad in `", label_of(right), "`")
    if (has_bar(right)) {
      found <- paste0("more than `time | dyad`, namely `", label_of(right), "`")
    }
    stop_raters(formula, "right", found, call)
  }
  time <- strip_parentheses(right[[2L]])
  if (rlang::is_call(time, c("+", "*", ":", "|"), n = 2L)) {
    stop_raters(formula, "time", paste0("more than one time, `", label_of(time), "`"), call)
  }
  check_part(time, formula, "time", "the time", call)
  group <- strip_parentheses(right[[3L]])
  if (rlang::is_call(group, c("+", "*", ":", "|"), n = 2L)) {
    stop_raters(formula, "dyad", paste0("more than one id, `", label_of(group), "`"), call)
  }
  ids <- list(NULL, group)
  if (rlang::is_call(group, "/", n = 2L)) {
    ids <- list(strip_parentheses(group[[2L]]), strip_parentheses(group[[3L]]))
    if (rlang::is_call(ids[[1L]], "/") || rlang::is_call(ids[[2L]], "/")) {
      stop_raters(formula, "dyad", paste0("more than two ids, `", label_of(group), "`"), call)
    }
    check_part(ids[[1L]], formula, "dyad", "the cluster", call)
  }
  check_part(ids[[2L]], formula, "dyad", "the dyad", call)
  list(time = time, cluster = ids[[1L]], dyad = ids[[2L]])
}

# A part must be a column or a call on columns: a number or a string is a slip.
check_part <- function(expr, formula, part, what, call) {
  if (rlang::is_missing(expr) || identical(expr, quote(.)) || length(all.vars(expr)) == 0L) {
    found <- if (rlang::is_missing(expr)) "nothing" else paste0("`", label_of(expr), "`")
    stop_raters(formula, part, paste0(found, " as ", what, ", which is no column"), call)
  }
}

stop_raters <- function(formula, part, found, call) {
  where <- c(
    left = "left of `~`",
    right = "right of `~`",
    time = "between `~` and `|` (time)",
    dyad = "right of `|` (dyad)"
  )[[part]]
  advice <- c(
    left = "Write the two raters as `first + second`; the discrepancy is first minus second.",
    right = "Write `time | dyad`, or `time | cluster/dyad` where ids repeat across clusters.",
    time = "Write one time variable, such as `session` or `I(session - 1)`.",
    dyad = "Write `dyad`, or `cluster/dyad` where ids repeat across clusters."
  )[[part]]
  stop_samepage(
    "formula",
    c(
      "`formula` must read `first + second ~ time | dyad`.",
      x = paste0("Wrong ", where, ": ", found, "."),
      i = advice,
      i = paste0("Found: `", label_of(formula), "`.")
    ),
    call = call
  )
}

# A column keeps its own name, spaces and all; a call is named as written.
label_of <- function(expr) {
  if (is.symbol(expr)) {
    return(as.character(expr))
  }
  paste(deparse(expr, width.cutoff = 500L), collapse = " ")
}

named_part <- function(expr) {
  list(expr = expr, name = label_of(expr))
}

#' The values of one part of the specification
#'
#' Every variable must be a column of `data`. In a call, a single value found
#' where the formula was written is accepted too, as in `I(session - first)`;
#' a longer vector from there is refused, since it may belong to other rows.
#' @noRd
evaluate_part <- function(part, data, formula, call) {
  env <- environment(formula)
  for (variable in setdiff(all.vars(part$expr), names(data))) {
    value <- if (is.call(part$expr) && !is.null(env)) get0(variable, env)
    if (is.null(value) || !is.atomic(value) || length(value) != 1L) {
      stop_no_column(variable, names(data), call)
    }
  }
  twice <- intersect(all.vars(part$expr), names(data)[duplicated(names(data))])
  if (length(twice) > 0L) {
    stop_samepage(
      "column",
      c(
        "`formula` must name columns of `data` that are there once.",
        x = paste0("More than one column is named `", twice[1L], "`."),
        i = "Rename or remove one of them first."
      ),
      column = twice[1L],
      call = call
    )
  }
  if (is.symbol(part$expr)) {
    return(data[[part$name]])
  }
  values <- tryCatch(
    eval(part$expr, as.list(data), env),
    error = function(cnd) {
      stop_samepage(
        "formula",
        c(
          paste0("`", part$name, "` in `formula` must be something that can be computed."),
          x = paste0("R says: ", conditionMessage(cnd))
        ),
        call = call
      )
    }
  )
  if (length(values) != nrow(data)) {
    stop_samepage(
      "formula",
      c(
        paste0("`", part$name, "` in `formula` must give one value per row."),
        x = paste0(
          "Found ", count_of(length(values), "value"), " for ", count_of(nrow(data), "row"), "."
        )
      ),
      call = call
    )
  }
  values
}

stop_no_column <- function(variable, columns, call) {
  near <- near_names(variable, columns)
  stop_samepage(
    "column",
    c(
      paste0("`formula` must name columns of `data`, and `", variable, "` is none."),
      i = if (length(near) > 0L) {
        paste0("Did you mean ", paste0("`", near, "`", collapse = " or "), "?")
      } else {
        paste0("Columns of `data`: ", some_of(columns, 10L), ".")
      }
    ),
    column = variable,
    call = call
  )
}

# Names within a few letters of one that does not exist, nearest first.
near_names <- function(name, candidates) {
  distance <- utils::adist(name, candidates, ignore.case = TRUE)[1L, ]
  near <- distance <= ceiling(nchar(name) / 3)
  utils::head(candidates[near][order(distance[near])], 3L)
}

describe_class <- function(x) {
  if (is.null(x)) {
    return("NULL")
  }
  kind <- class(x)[1L]
  known <- c(
    numeric = "numbers", integer = "whole numbers", character = "text", logical = "TRUE/FALSE",
    factor = "a factor", list = "a list", matrix = "a matrix", data.frame = "a data frame",
    `function` = "a function", Date = "dates", POSIXct = "dates with times",
    difftime = "time differences"
  )
  if (kind %in% names(known)) known[[kind]] else paste0("an object of class ", kind)
}
