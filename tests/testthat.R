# Suggested packages are used conditionally: without testthat there is nothing to run.
if (requireNamespace("testthat", quietly = TRUE)) {
  library(testthat)
  library(samepage)
  test_check("samepage")
}
