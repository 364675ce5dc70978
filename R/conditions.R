# Every error of the package is raised here, so that each has a class a script
# can catch: samepage_error_<what> below samepage_error.

#' Stop with a classed, plain-language error
#'
#' The message is taken literally (no interpolation), so column names and ids
#' with braces in them are safe. Unnamed elements after the first become
#' bullets; name them `i` (what to do) or `x` (what was found).
#'
#' @param what The kind of problem, the last part of the condition's class.
#' @param message Character vector: first what was expected, then bullets.
#' @param ... Fields kept on the condition, for scripts and tests.
#' @param call The call shown to the user: by default the package's function that
#'   the user called, not the check inside it.
#' @noRd
stop_samepage <- function(what, message, ..., call = called_frame()) {
  rlang::abort(
    message,
    class = c(paste0("samepage_error_", what), "samepage_error"),
    ...,
    call = call,
    use_cli_format = TRUE
  )
}

# The outermost frame of a function of this package.
called_frame <- function() {
  namespace <- topenv()
  for (i in seq_len(sys.nframe())) {
    if (identical(environment(sys.function(i)), namespace)) {
      return(sys.frame(i))
    }
  }
  NULL
}

#' A message that counts what was left out or says what was done
#'
#' Class samepage_message_<what> below samepage_message, so a script can
#' silence one kind.
#' @noRd
inform_samepage <- function(what, message, ...) {
  rlang::inform(
    message,
    class = c(paste0("samepage_message_", what), "samepage_message"),
    ...,
    use_cli_format = TRUE
  )
}

# At most five values, quoted, for the "where" of a message.
some_of <- function(x, n = 5L) {
  x <- as.character(x)
  shown <- paste(utils::head(x, n), collapse = ", ")
  if (length(x) > n) {
    shown <- paste0(shown, " and ", length(x) - n, " more")
  }
  shown
}

# "1 dyad", "2 dyads".
count_of <- function(n, singular, plural = paste0(singular, "s")) {
  paste(format(n, big.mark = ",", scientific = FALSE), if (n == 1L) singular else plural)
}
