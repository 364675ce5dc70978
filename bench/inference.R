# Tests and intervals side by side with SPSS, SAS, lmerTest and pbkrtest: prints the largest
# relative difference per data set and quantity. Run from the root of the repository:
#   SAMEPAGE_SHARED=<folder> Rscript bench/inference.R
# Peers are fitted as tightly as lme4 can; what differs by less than 1e-5 is its distance
# from the optimum.

library(samepage)
options(width = 200)
library(testthat)
for (file in c("helper-peers.R", "helper-shared.R", "helper-oracles.R", "helper-boundary.R")) {
  source(file.path("tests/testthat", file))
}

show <- function(title, rows) {
  cat("\n", title, "\n", sep = "")
  table <- do.call(rbind, rows)
  print(noquote(`dimnames<-`(format(signif(table, 2), trim = TRUE), dimnames(table))), right = TRUE)
}

show("SAS (relative difference; KR with the observed information)", sas_differences())
show("SPSS (largest difference, in units of the last printed digit)", spss_differences())
cases <- c(inference_cases(), couples_cases(shared_path("data", "couples", "daily.csv")))
show("lmerTest and pbkrtest (relative difference)", lapply(cases, inference_differences))
show(
  "lmerTest and pbkrtest, fixed parts of many forms (relative difference)",
  lapply(term_cases(), inference_differences)
)
show(
  "lmerTest and pbkrtest, optima on a boundary (relative difference)",
  lapply(boundary_cases(), inference_differences)
)
