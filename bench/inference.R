# Tests and intervals side by side with SPSS, SAS, lmerTest and pbkrtest: prints the largest
# relative difference per data set and quantity. Run from the root of the repository:
#   SAMEPAGE_SHARED=<folder> Rscript bench/inference.R [number of random designs]
# Peers are fitted as tightly as lme4 can; what differs by less than 1e-5 is its distance
# from the optimum.

library(samepage)
options(width = 200)
library(testthat)
component <- samepage:::component
for (file in c("helper-peers.R", "helper-shared.R", "helper-oracles.R", "helper-boundary.R")) {
  source(file.path("tests/testthat", file))
}

show <- function(title, rows) {
  cat("\n", title, "\n", sep = "")
  table <- do.call(rbind, rows)
  print(noquote(`dimnames<-`(format(signif(table, 2), trim = TRUE), dimnames(table))), right = TRUE)
}

# In some_corr_quadratic SAS stopped early: vignettes/validation.Rmd shows it.
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

# Random designs. Where lmer() ends above us it is no reference: counted and left out.
n_designs <- c(as.numeric(commandArgs(TRUE)), 100)[1]
apart <- t(vapply(seq_len(n_designs), function(seed) {
  case <- random_case(seed)
  found <- tryCatch(suppressWarnings(inference_differences(case)), error = function(e) NULL)
  status <- tryCatch(
    match(fit_status(suppressMessages(lmm(case$formula, case$data)))$status, c("ok", "boundary")),
    error = function(e) NA
  )
  if (is.null(found)) rep(NA_real_, 17L) else c(found, status)
}, numeric(17)))
colnames(apart) <- c(names(inference_differences(random_case(1))), "status")
above <- apart[, "criterion"] < -1e-8
used <- which(!above)
cat(
  "\n", n_designs, " random designs: ", sum(apart[used, "status"] == 2), " on a boundary, ",
  sum(above, na.rm = TRUE), " where lmer() ended above, ", sum(is.na(above)),
  " that one of the two refused\n",
  sep = ""
)
show("quantiles over designs (relative difference)", lapply(
  c(median = 0.5, `95 %` = 0.95, largest = 1),
  function(p) apply(apart[used, -17], 2, stats::quantile, p, na.rm = TRUE)
))
