# Prints every lint of the checkout given and fails when there is any: Rscript tools/lint.R FOLDER
folder <- commandArgs(TRUE)[1]
setwd(folder)
lints <- c(
  lintr::lint_package(),
  lintr::lint_dir("tools"),
  lintr::lint_dir("bench")
)

# A row of a table in a help page is one line, however long.
is_table_row <- function(lint) {
  lint$linter == "line_length_linter" && grepl("^#' *[|]", lint$line)
}
lints <- Filter(Negate(is_table_row), lints)

# Scripts use the data and functions of what they attach and source, which that linter does not
# see.
is_script_object <- function(lint) {
  lint$linter == "object_usage_linter" && !grepl("(^|/)(R|tests/testthat)/", lint$filename)
}
lints <- Filter(Negate(is_script_object), lints)

for (lint in lints) {
  cat(lint$filename, ":", lint$line_number, ": ", lint$message, " [", lint$linter, "]\n", sep = "")
}
quit(status = length(lints) > 0)
