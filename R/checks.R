# Checks of arguments that several functions share.

#' Refuse arguments that a method does not have
#'
#' Methods keep `...` because their generic does; whatever arrives there is a
#' misspelt or misplaced argument and must not be swallowed.
#' @noRd
check_no_dots <- function(..., call = rlang::caller_env()) {
  if (...length() == 0L) {
    return(invisible())
  }
  # names() of the call, not of list(...): the arguments must not be evaluated.
  names <- names(substitute(list(...)))[-1L]
  if (is.null(names)) {
    names <- rep("", ...length())
  }
  shown <- ifelse(names == "", "an argument without a name", paste0("`", names, "`"))
  stop_samepage(
    "argument",
    c(
      "Every argument must be one that this function has.",
      x = paste0("Unknown: ", some_of(shown), "."),
      i = advice_on_unknown(names)
    ),
    call = call
  )
}

# lmerTest chooses degrees of freedom in summary() and anova(), this package in the fit.
advice_on_unknown <- function(names) {
  if (any(c("df", "ddf") %in% names)) {
    return("Degrees of freedom are chosen in the fit: `update(fit, df = \"kenward-roger\")`.")
  }
  "Check the spelling against the help page."
}

# How to make numbers of text or of a factor; NULL for anything else. Blanks and "NA" become NA.
advice_on_text <- function(x) {
  if (is.factor(x)) {
    return(paste0(
      "If its levels are numbers: `as.numeric(as.character(x))`. `as.numeric()` alone would give ",
      "the numbers of the levels."
    ))
  }
  if (!is.character(x)) {
    return(NULL)
  }
  is_number <- function(text) !is.na(suppressWarnings(as.numeric(text)))
  bad <- unique(x[!is_number(x) & !trimws(x) %in% c("", "NA", NA)])
  if (length(bad) == 0L) {
    return("All its values look like numbers: convert it with `as.numeric()`.")
  }
  if (all(is_number(sub(",", ".", bad, fixed = TRUE)))) {
    return(paste0(
      "Its decimals are written with a comma, as in \"", bad[1L], "\": convert it with ",
      "`as.numeric(sub(\",\", \".\", x, fixed = TRUE))`, or read the file with `dec = \",\"`."
    ))
  }
  paste0("Not numbers: ", some_of(paste0("\"", bad, "\"")), ".")
}

# One of the named choices; the first is the default as in match.arg().
check_choice <- function(x, choices, arg, call = rlang::caller_env()) {
  if (identical(x, choices)) {
    return(choices[1L])
  }
  if (!is.character(x) || length(x) != 1L || is.na(x) || !x %in% choices) {
    found <- if (is.character(x)) paste0("\"", some_of(x), "\"") else found_value(x)
    stop_samepage(
      "argument",
      c(
        paste0("`", arg, "` must be one of ", paste0("\"", choices, "\"", collapse = ", "), "."),
        x = paste0("Found: ", found, ".")
      ),
      call = call
    )
  }
  x
}

# TRUE or FALSE, nothing else.
check_flag <- function(x, arg, call = rlang::caller_env()) {
  if (!is.logical(x) || length(x) != 1L || is.na(x)) {
    stop_samepage(
      "argument",
      c(paste0("`", arg, "` must be TRUE or FALSE."), x = paste0("Found: ", found_value(x), ".")),
      call = call
    )
  }
  x
}

# A probability strictly between 0 and 1, such as a confidence level.
check_level <- function(x, arg, call = rlang::caller_env()) {
  if (!is.numeric(x) || length(x) != 1L || is.na(x) || x <= 0 || x >= 1) {
    stop_samepage(
      "argument",
      c(
        paste0("`", arg, "` must be one number between 0 and 1, for example 0.95."),
        x = paste0("Found: ", found_value(x), ".")
      ),
      call = call
    )
  }
  x
}

# What an argument was instead: a short value as R writes it, else its kind.
found_value <- function(x) {
  if (is.atomic(x) && !is.object(x) && length(x) <= 5L) code_of(x) else describe_class(x)
}
