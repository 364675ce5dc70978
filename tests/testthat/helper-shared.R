# Reference data that are not part of the package live in a folder of their own; the test script
# says where through SAMEPAGE_SHARED. A test that asks for such a file is skipped without it.
shared_path <- function(...) {
  root <- Sys.getenv("SAMEPAGE_SHARED")
  if (!nzchar(root)) {
    testthat::skip("SAMEPAGE_SHARED is not set")
  }
  path <- file.path(root, ...)
  if (!file.exists(path)) {
    testthat::skip(paste("not in SAMEPAGE_SHARED:", file.path(...)))
  }
  path
}
