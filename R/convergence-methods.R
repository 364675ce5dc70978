# What can be done with scores: print, summary, subset, predictors.

# Rows keep what is said of the whole sample; without a column it is no longer
# a result of convergence().

#' @export
`[.samepage_convergence` <- function(x, ...) {
  out <- NextMethod()
  if (!is.data.frame(out)) {
    return(out)
  }
  if (!identical(names(out), names(x))) {
    return(as_plain_frame(out))
  }
  kept <- setdiff(names(attributes(x)), c("names", "row.names", "class"))
  attributes(out)[kept] <- attributes(x)[kept]
  class(out) <- class(x)
  out
}

# Two samples have no definition, shift or reliability in common.
#' @export
rbind.samepage_convergence <- function(...) {
  plain <- lapply(list(...), function(part) if (is.data.frame(part)) as_plain_frame(part) else part)
  do.call(rbind, plain)
}

as_plain_frame <- function(x) {
  attributes(x) <- attributes(x)[c("names", "row.names")]
  class(x) <- "data.frame"
  x
}

#' @export
as.data.frame.samepage_convergence <- function(x, row.names = NULL, optional = FALSE, ...) {
  as.data.frame(as_plain_frame(x), row.names = row.names, optional = optional, ...)
}

#' The dyad-level predictors of the outcome models
#'
#' The columns of the scores that enter [convergence_models()] as predictors,
#' for models of your own.
#'
#' @param scores A result of [convergence()].
#' @param center `TRUE` to centre every predictor on its mean over dyads,
#'   `FALSE` to centre none, or the names of those to centre.
#' @returns A data frame with one row per dyad: the id or ids, `convergence`,
#'   `early_<rater>` for both raters, `development` and `early_discrepancy`, in
#'   the units of `scores`. Means are over the dyads that have the value.
#' @family scores
#' @examples
#' scores <- convergence(
#'   wai_patient + wai_therapist ~ session | patient, data = study1
#' )
#' head(dyad_predictors(scores))
#' head(dyad_predictors(scores, center = "convergence"))
#' @export
dyad_predictors <- function(scores, center = TRUE) {
  check_scores(scores)
  predictors <- predictor_names(scores)
  out <- as_plain_frame(scores)[c(attr(scores, "cluster"), attr(scores, "dyad"), predictors)]
  for (name in names_to_center(center, predictors)) {
    out[[name]] <- out[[name]] - mean(out[[name]], na.rm = TRUE)
  }
  out
}

predictor_names <- function(scores) {
  c("convergence", paste0("early_", attr(scores, "raters")), "development", "early_discrepancy")
}

check_scores <- function(scores, call = rlang::caller_env()) {
  found <- describe_class(scores)
  if (inherits(scores, "samepage_convergence")) {
    absent <- absent_columns(scores)
    if (length(absent) == 0L) {
      return(invisible())
    }
    found <- paste0("no column ", some_of(paste0("`", absent, "`")))
  }
  stop_samepage(
    "scores",
    c(
      "`scores` must be a result of `convergence()`, with all its columns.",
      x = paste0("Found: ", found, ".")
    ),
    call = call
  )
}

# Assigning NULL takes a column out and leaves the class.
absent_columns <- function(scores) {
  ids <- c(attr(scores, "cluster"), attr(scores, "dyad"))
  setdiff(c(ids, result_columns(attr(scores, "raters"))), names(scores))
}

names_to_center <- function(center, predictors, call = rlang::caller_env()) {
  if (isTRUE(center)) {
    return(predictors)
  }
  if (isFALSE(center)) {
    return(character())
  }
  if (!is.character(center) || anyNA(center) || !all(center %in% predictors)) {
    unknown <- if (is.character(center)) setdiff(center, predictors) else label_of(center)
    stop_samepage(
      "argument",
      c(
        "`center` must be TRUE, FALSE or names of predictors.",
        x = paste0("Found: ", some_of(unknown), "."),
        i = paste0("Predictors: ", paste0("`", predictors, "`", collapse = ", "), ".")
      ),
      call = call
    )
  }
  center
}

# ---- Words ----------------------------------------------------------------

definition_in_words <- function(x) {
  raters <- attr(x, "raters")
  gap <- paste0("the discrepancy ", raters[1L], " - ", raters[2L])
  closing <- "Positive means converging."
  words <- switch(attr(x, "definition"),
    fitted = paste0(
      "how fast the distance between the two raters' fitted growth lines shrinks. ", closing
    ),
    absolute = paste0("how fast the size of ", gap, " shrinks. ", closing),
    signed = paste0(
      "the slope of ", gap, ". This is a direction, not a closing: positive means that ",
      raters[1L], " rises relative to ", raters[2L], "."
    ),
    toward_zero = paste0(
      "how fast ", gap, " moves from where its line starts towards 0 and beyond. ", closing
    ),
    squared = paste0("how fast the square of ", gap, " shrinks. ", closing)
  )
  paste0("\"", attr(x, "definition"), "\", ", words)
}

unit_in_words <- function(x) {
  time <- attr(x, "time")
  words <- if (attr(x, "per") == "unit") {
    paste0("change per unit of ", time)
  } else {
    paste0("change per course of ", format(attr(x, "course"), digits = 6L), " units of ", time)
  }
  if (attr(x, "transform") == "log") {
    words <- paste0(words, ", then log(convergence + ", format(attr(x, "shift"), digits = 6L), ")")
  }
  paste0(words, ".")
}

dyads_in_words <- function(x, counts) {
  paste0(
    format_count(counts$dyads_scored), " of ", count_of(counts$dyads, "dyad"), " scored",
    if (counts$dyads_with_se < counts$dyads_scored) {
      paste0(", ", format_count(counts$dyads_with_se), " with a standard error")
    },
    ".",
    if (nrow(x) != counts$dyads) {
      paste0(
        " These are ", format_count(nrow(x)), " of them; sessions and reliability are the whole ",
        "sample's."
      )
    }
  )
}

sessions_in_words <- function(x, counts) {
  raters <- attr(x, "raters")
  used_by_one <- attr(x, "definition") == "fitted"
  only <- counts$sessions_first_only + counts$sessions_second_only
  left_out <- c(
    if (!used_by_one && only > 0L) paste(format_count(only), "rated by one only"),
    if (counts$rows_unrated > 0L) paste(format_count(counts$rows_unrated), "rated by neither"),
    if (counts$rows_outside > 0L) paste(format_count(counts$rows_outside), "outside the window"),
    if (counts$rows_no_time > 0L) {
      paste(format_count(counts$rows_no_time), "without", attr(x, "time"))
    },
    if (counts$rows_no_id > 0L) paste(format_count(counts$rows_no_id), "without an id")
  )
  used <- counts$sessions_both + if (used_by_one) only else 0L
  paste0(
    format_count(used), " of ", count_of(counts$rows, "row"), " used: ",
    format_count(counts$sessions_both), " rated by both",
    if (used_by_one && only > 0L) {
      paste0(
        ", ", format_count(counts$sessions_first_only), " by ", raters[1L], " only, ",
        format_count(counts$sessions_second_only), " by ", raters[2L], " only"
      )
    },
    ". ",
    if (length(left_out) > 0L) {
      paste0("Left out: ", paste(left_out, collapse = ", "), ".")
    } else {
      "None left out."
    }
  )
}

reliability_in_words <- function(reliability) {
  if (is.na(reliability)) {
    return("cannot be estimated from these data.")
  }
  share <- round(100 * reliability)
  paste0(
    format_decimal(reliability), ". About ", share, " % of the variance of the scores is ",
    "difference between dyads, ", 100 - share, " % is imprecision."
  )
}

format_count <- function(n) {
  format(n, big.mark = ",", scientific = FALSE)
}

format_decimal <- function(x, digits = 2L) {
  # Rounded first and 0 added, lest -0.001 be "-0.00".
  ifelse(is.na(x), "NA", formatC(round(x, digits) + 0, digits = digits, format = "f"))
}

# A label and its text, wrapped with a hanging indent.
cat_line <- function(label, text) {
  label <- formatC(paste0(label, ":"), width = -13L)
  width <- max(getOption("width"), 40L)
  lines <- strwrap(text, width = width - 13L, prefix = strrep(" ", 13L), initial = label)
  cat(lines, sep = "\n")
}

title_of <- function(x) {
  raters <- attr(x, "raters")
  ids <- c(attr(x, "cluster"), attr(x, "dyad"))
  paste0(
    "Convergence of ", raters[1L], " and ", raters[2L], " over ", attr(x, "time"),
    ", by ", paste(ids, collapse = "/")
  )
}

# ---- Printing -------------------------------------------------------------

#' @export
print.samepage_convergence <- function(x, n = 6L, ...) {
  if (length(absent_columns(x)) > 0L) {
    print(as_plain_frame(x), ...)
    return(invisible(x))
  }
  counts <- as.list(attr(x, "counts"))
  cat(title_of(x), "\n\n", sep = "")
  cat_line("Definition", definition_in_words(x))
  cat_line("Unit", unit_in_words(x))
  cat_line("Dyads", dyads_in_words(x, counts))
  cat_line("Sessions", sessions_in_words(x, counts))
  cat_line("Reliability", reliability_in_words(attr(x, "reliability")))
  cat("\n")
  shown <- c(
    attr(x, "cluster"), attr(x, "dyad"), "n_both", "development", "early_discrepancy",
    "convergence", "convergence_se"
  )
  rows <- as_plain_frame(x)[seq_len(min(n, nrow(x))), shown, drop = FALSE]
  print(rows, digits = 3L, row.names = FALSE)
  rest <- nrow(x) - nrow(rows)
  cat(
    if (rest > 0L) paste0("... and ", count_of(rest, "more dyad"), "; "),
    ncol(x), " columns in all, see summary().\n",
    sep = ""
  )
  invisible(x)
}

#' Summary of convergence scores
#'
#' What was scored, from which sessions, how the scores are distributed and how
#' reliable they are.
#'
#' @param object A result of [convergence()].
#' @param ... Not used; any argument here is an error.
#' @returns An object of class `summary.samepage_convergence`, a list:
#'   \describe{
#'     \item{`descriptives`}{data frame with one row per score and the columns
#'       `variable`, `n` (dyads with a value), `mean`, `sd`, `min`, `median`,
#'       `max`, in the units of the scores}
#'     \item{`skewness`}{of convergence `before` and `after` the transform, by
#'       the formula of SPSS and SAS (adjusted for the number of dyads)}
#'     \item{`converging`}{number of dyads with a score above 0 before the
#'       transform, `NA` for `"signed"`, whose score is no closing}
#'     \item{`reliability`}{see [reliability()]}
#'     \item{`score_variance`}{variance `between` dyads and mean `error`
#'       variance}
#'     \item{`counts`}{rows, sessions and dyads used and left out}
#'     \item{`far_off`}{data frame of ratings so far from all others of their
#'       rater that they may stand for missing ones, such as 99: `rater`, `n`,
#'       `values` (text), `from` and `to` (the range of the others)}
#'     \item{`scores`}{the scores}
#'   }
#' @family scores
#' @examples
#' summary(convergence(
#'   wai_patient + wai_therapist ~ session | patient,
#'   data = study1, per = "course", transform = "log"
#' ))
#' @export
summary.samepage_convergence <- function(object, ...) {
  check_no_dots(...)
  check_scores(object)
  raters <- attr(object, "raters")
  variables <- c(
    paste0("slope_", raters), paste0("early_", raters), "early_discrepancy", "development",
    "convergence_raw", if (attr(object, "transform") != "none") "convergence"
  )
  structure(
    list(
      descriptives = describe_columns(as_plain_frame(object)[variables]),
      skewness = c(
        before = skewness(object$convergence_raw),
        after = skewness(object$convergence)
      ),
      converging = if (attr(object, "definition") == "signed") {
        NA_integer_
      } else {
        sum(object$convergence_raw > 0, na.rm = TRUE)
      },
      reliability = attr(object, "reliability"),
      score_variance = attr(object, "score_variance"),
      counts = attr(object, "counts"),
      far_off = ratings_far_off(object),
      scores = object
    ),
    class = "summary.samepage_convergence"
  )
}

ratings_far_off <- function(scores) {
  sessions <- attr(scores, "sessions")
  used <- in_window(sessions$time, attr(scores, "window"))
  found <- lapply(sessions[c("first", "second")], function(ratings) far_off(ratings[used]))
  names(found) <- attr(scores, "raters")
  found <- Filter(Negate(is.null), found)
  data.frame(
    rater = as.character(names(found)),
    n = vapply(found, function(x) length(x$off), 0L, USE.NAMES = FALSE),
    values = vapply(found, function(x) {
      some_of(format_number(signif(sort(unique(x$off)), 4)))
    }, "", USE.NAMES = FALSE),
    from = vapply(found, function(x) x$range[1L], 0, USE.NAMES = FALSE),
    to = vapply(found, function(x) x$range[2L], 0, USE.NAMES = FALSE)
  )
}

# The smaller part of values that fall into two parts, more than twice as far from each other as
# the larger one is wide. Such a gap always holds the middle of the range. Fewer than three values
# in the larger part may be all that a scale has.
far_off <- function(x) {
  x <- x[!is.na(x)]
  if (length(x) < 4L) {
    return(NULL)
  }
  above <- x > (min(x) + max(x)) / 2
  if (all(above == above[1L])) {
    return(NULL)
  }
  off <- if (2 * sum(above) < length(x)) above else !above
  range <- range(x[!off])
  gap <- if (x[off][1L] > range[2L]) min(x[off]) - range[2L] else range[1L] - max(x[off])
  if (gap > 2 * diff(range) && length(unique(x[!off])) > 2L) list(off = x[off], range = range)
}

describe_columns <- function(columns) {
  known <- lapply(columns, function(x) x[!is.na(x)])
  statistic <- function(f) {
    unname(vapply(known, function(x) if (length(x) > 0L) f(x) else NA_real_, 0))
  }
  data.frame(
    variable = names(columns),
    n = unname(lengths(known)),
    mean = statistic(mean),
    sd = statistic(stats::sd),
    min = statistic(min),
    median = statistic(stats::median),
    max = statistic(max)
  )
}

# Adjusted Fisher-Pearson skewness, as SPSS and SAS print it.
skewness <- function(x) {
  x <- x[!is.na(x)]
  n <- length(x)
  if (n < 3L) {
    return(NA_real_)
  }
  e <- x - mean(x)
  sqrt(n * (n - 1)) / (n - 2) * mean(e^3) / mean(e^2)^1.5
}

#' @export
print.summary.samepage_convergence <- function(x, digits = 3L, ...) {
  scores <- x$scores
  counts <- as.list(x$counts)
  cat(title_of(scores), "\n\n", sep = "")
  cat_line("Definition", definition_in_words(scores))
  cat_line("Unit", unit_in_words(scores))
  cat_line("Dyads", dyads_in_words(scores, counts))
  cat_line("Sessions", sessions_in_words(scores, counts))
  window <- attr(scores, "window")
  if (!is.null(window)) {
    cat_line("Window", window_in_words(window, attr(scores, "time")))
  }
  cat_line("Early level", early_in_words(scores))
  cat("\n")
  print(without_rounding_errors(x$descriptives), digits = digits, row.names = FALSE)
  cat("\n")
  if (!is.na(x$converging)) {
    scored <- sum(!is.na(scores$convergence_raw))
    cat_line("Converging", paste0(
      format_count(x$converging), " of ", count_of(scored, "dyad"), " with a score above 0",
      if (attr(scores, "transform") != "none") " before the transform", "."
    ))
  }
  cat_line("Skewness", skewness_in_words(x$skewness, attr(scores, "transform")))
  cat_line("Reliability", reliability_in_words(x$reliability))
  cat_score_notes(counts, attr(scores, "definition"))
  for (row in seq_len(nrow(x$far_off))) {
    cat_line("Note", far_off_in_words(x$far_off[row, ]))
  }
  invisible(x)
}

# The least score after the log is 0 up to rounding, and a -2e-16 among the
# statistics would turn its whole column to powers of ten.
without_rounding_errors <- function(descriptives) {
  statistics <- setdiff(names(descriptives), c("variable", "n"))
  values <- as.matrix(descriptives[statistics])
  size <- apply(abs(values), 1L, function(row) max(c(0, row), na.rm = TRUE))
  values[!is.na(values) & abs(values) < 1e-12 * size] <- 0
  descriptives[statistics] <- values
  descriptives
}

window_in_words <- function(window, time) {
  ends <- c(
    if (is.finite(window[1L])) paste("from", format_number(window[1L])) else "up",
    if (is.finite(window[2L])) paste("to", format_number(window[2L])) else "on"
  )
  paste0(paste(c(time, ends), collapse = " "), ".")
}

early_in_words <- function(scores) {
  level <- switch(attr(scores, "early"),
    first = "each rater's first rating",
    intercept = "the growth lines at the dyad's first session"
  )
  kind <- switch(attr(scores, "early_discrepancy"),
    absolute = "abs(P - T)",
    log_absolute = "log(1 + abs(P - T))",
    signed = "P - T"
  )
  raters <- attr(scores, "raters")
  paste0(
    level, "; early discrepancy ", kind, ", P = ", raters[1L], " and T = ", raters[2L],
    if (attr(scores, "early") == "first") ", at the first session rated by both", "."
  )
}

skewness_in_words <- function(skewness, transform) {
  if (transform == "none") {
    return(paste0(format_decimal(skewness[["before"]]), " (0 is symmetric)."))
  }
  better <- abs(skewness[["after"]]) < abs(skewness[["before"]])
  paste0(
    format_decimal(skewness[["before"]]), " before and ", format_decimal(skewness[["after"]]),
    " after the log",
    if (!is.na(better)) {
      if (better) ", closer to symmetric." else ", no closer to symmetric."
    }
  )
}

far_off_in_words <- function(row) {
  paste0(
    count_of(row$n, "rating"), " of ", row$rater, " far from all others: ", row$values,
    "; the others lie between ", format_number(signif(row$from, 4)), " and ",
    format_number(signif(row$to, 4)),
    ". A value that stands for a missing rating must be NA before scoring."
  )
}

cat_score_notes <- function(counts, definition) {
  notes <- c(
    if (definition == "fitted") {
      paste0(
        "The two lines do not cross within the course in ", format_count(counts$not_crossing),
        " of ", count_of(counts$dyads_scored, "dyad"), ". There \"fitted\" equals ",
        "\"toward_zero\", given that both rated the same sessions."
      )
    },
    if (counts$slopes_differ > 0L) slopes_differ_in_words(counts),
    if (isTRUE(counts$sign_zero > 0L)) sign_zero_in_words(counts)
  )
  for (note in notes) {
    cat_line("Note", note)
  }
}
