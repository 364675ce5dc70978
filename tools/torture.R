# Put into a copy of R/ by "sh tools/test.sh gctorture", never part of the package: this .Call
# hides base's, so that the garbage collector runs at every allocation inside the C entries and
# nowhere else. An object that an entry forgot to protect is gone the next time it is used.
# Called thousands of times by the tests, an entry is tortured the first twenty times and every
# hundredth time after that; each time is a line in the file SAMEPAGE_TORTURE.

tortured <- new.env()

.Call <- function(.NAME, ...) {
  # Arguments are computed before, not inside.
  list(...)
  name <- .NAME$name
  calls <- c(tortured[[name]], 0)[1] + 1
  assign(name, calls, envir = tortured)
  if (calls <= 20 || calls %% 100 == 0) {
    cat(name, "\n", sep = "", file = Sys.getenv("SAMEPAGE_TORTURE"), append = TRUE)
    on.exit(gctorture(FALSE))
    gctorture(TRUE)
  }
  base::.Call(.NAME, ...)
}
