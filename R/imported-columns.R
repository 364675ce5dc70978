# Columns as other software's files bring them: with SPSS's labels and values declared missing,
# or whole numbers of 64 bits. R's arithmetic knows neither: 999 would be a rating, and an
# integer64 a number near zero.

#' Data with columns that R's arithmetic understands
#'
#' @param predictors NULL, or terms of which inform_labelled() is to speak.
#' @returns `data` itself, where it has none to change.
#' @noRd
plain_columns <- function(data, predictors = NULL) {
  columns <- unclass(data)
  changed <- logical(length(columns))
  for (i in seq_along(columns)) {
    changed[i] <- inherits(.subset2(columns, i), c("haven_labelled", "integer64"))
  }
  if (!any(changed)) {
    return(data)
  }
  if (!is.null(predictors)) {
    inform_labelled(columns[changed], predictors)
  }
  columns[changed] <- lapply(columns[changed], function(x) {
    if (inherits(x, "integer64")) from_integer64(x) else without_labels(x)
  })
  # Plain: a tibble's attributes stay behind.
  frame_of(columns[seq_along(columns)], row_names_of(data))
}

#' Say which predictors enter as numbers although each of their values has a name
#'
#' A diagnosis coded 1, 2, 3 would have a slope. With two values number and category
#' are the same model, and a call such as `factor(x)` is the user's own decision.
#' @param columns Those of the data, as they came.
#' @param predictors Terms, or a formula: the right side counts.
#' @noRd
inform_labelled <- function(columns, predictors) {
  labelled <- names(columns)[vapply(columns, inherits, NA, what = "haven_labelled")]
  variables <- variable_names(stats::delete.response(stats::terms(predictors)))
  named <- Filter(function(name) all_values_named(columns[[name]]), intersect(variables, labelled))
  if (length(named) > 0L) {
    one <- length(named) == 1L
    inform_samepage("labelled", c(
      paste0(
        "With value labels, but taken as numbers: ", paste0("`", named, "`", collapse = ", "), "."
      ),
      i = paste0(
        "If ", if (one) "its" else "their", " values are categories, make ",
        if (one) "it a factor" else "them factors", " first: `haven::as_factor()`."
      )
    ))
  }
}

# Three or more values, each with a label.
all_values_named <- function(x) {
  values <- unique(without_labels(x))
  values <- values[!is.na(values)]
  is.numeric(values) && length(values) > 2L && all(values %in% attr(x, "labels"))
}

# Values declared missing are NA.
without_labels <- function(x) {
  values <- as.vector(unclass(x))
  range <- attr(x, "na_range")
  missing <- values %in% attr(x, "na_values")
  if (!is.null(range)) {
    missing <- missing | (!is.na(values) & values >= range[1L] & values <= range[2L])
  }
  values[missing] <- NA
  values
}

# bit64 keeps them in the bits of doubles. Beyond what doubles hold they can only be ids, and stay
# as they are.
from_integer64 <- function(x) {
  halves <- readBin(writeBin(as.vector(unclass(x)), raw()), "integer", 2L * length(x), 4L)
  halves <- matrix(halves, 2L)
  if (.Platform$endian == "big") {
    halves <- halves[2:1, , drop = FALSE]
  }
  # R reads -2^31 as NA.
  low <- ifelse(is.na(halves[1L, ]), 2^31, halves[1L, ] %% 2^32)
  high <- ifelse(is.na(halves[2L, ]), -2^31, halves[2L, ])
  value <- high * 2^32 + low
  value[high == -2^31 & low == 0] <- NA
  if (all(abs(value) <= .Machine$integer.max, na.rm = TRUE)) {
    return(as.integer(value))
  }
  if (all(abs(value) <= 2^53, na.rm = TRUE)) value else x
}
