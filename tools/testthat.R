# Runs the tests of the installed package and writes one line per test:
#   Rscript tools/testthat.R TESTS RESULTS
# With SAMEPAGE_PEERS=false, tests that need lme4 or its like are skipped: under valgrind nearly all
# of the time would go into those packages.
# Lines are status, file, test, detail, separated by tabs; the last one is "end" and their number,
# so that a run that died is seen. Each test's name goes to standard output when it starts: the
# last one is where a crash happened.

args <- commandArgs(TRUE)

trace <- R6::R6Class("trace",
  inherit = testthat::Reporter,
  public = list(
    start_file = function(filename) cat("file ", filename, "\n", sep = ""),
    start_test = function(context, test) cat("test ", test, "\n", sep = "")
  )
)
without_peers <- function() {
  env <- new.env(parent = asNamespace("samepage"))
  env$skip_if_not_installed <- function(pkg, ...) {
    if (pkg %in% c("lme4", "lmerTest", "pbkrtest")) {
      testthat::skip("peers are left out")
    }
    testthat::skip_if_not_installed(pkg, ...)
  }
  env
}

results <- testthat::ListReporter$new()
testthat::test_dir(
  args[1],
  env = if (identical(Sys.getenv("SAMEPAGE_PEERS"), "false")) without_peers(),
  package = "samepage",
  load_package = "installed",
  reporter = testthat::MultiReporter$new(reporters = list(trace$new(), results)),
  stop_on_failure = FALSE
)

one_line <- function(x) gsub("[[:space:]]+", " ", x)

name_of <- function(result) {
  if (is.na(result$test)) "code outside test_that()" else one_line(result$test)
}

# An expectation and its place, for the log of a failure.
show_expectation <- function(kind, result, expectation) {
  at <- expectation$srcref
  line <- if (is.null(at)) "" else paste0(":", at[1])
  cat(kind, " ", result$file, line, " ", name_of(result), "\n", sep = "")
  cat(paste0("  | ", strsplit(format(expectation), "\n", fixed = TRUE)[[1]]), sep = "\n")
}

is_a <- function(expectations, kind) {
  vapply(expectations, inherits, NA, what = paste0("expectation_", kind))
}

rows <- vapply(results$get_results(), function(result) {
  failed <- is_a(result$results, "failure") | is_a(result$results, "error")
  skipped <- is_a(result$results, "skip")
  for (expectation in result$results[failed]) {
    show_expectation("FAILURE", result, expectation)
  }
  for (expectation in result$results[is_a(result$results, "warning")]) {
    show_expectation("WARNING", result, expectation)
  }
  status <- if (any(failed)) "failed" else if (any(skipped)) "skipped" else "passed"
  reason <- if (status == "skipped") result$results[skipped][[1]]$message else ""
  reason <- sub("^Reason: ", "", reason)
  paste(status, result$file, name_of(result), one_line(reason), sep = "\t")
}, "")

writeLines(c(rows, paste0("end\t", length(rows))), args[2])
