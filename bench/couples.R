# The whole main job on real data, side by side with lmerTest: four mood pairs as
# the two ratings, several outcomes, five definitions, both forms, Models 1 to 3. Prints the
# largest differences. Run from the root of the repository:
#   SAMEPAGE_SHARED=<folder> Rscript bench/couples.R [all]
# `all` takes all eight moods as outcome; without it four of them.
# The reference is lmer() with bobyqa stopped at 1e-10. Where it ends above us it
# has not found the optimum, and its estimates are no reference: such fits are
# counted, and compared by the criterion only.

library(samepage)
helper <- new.env()
sys.source("tests/testthat/helper-models.R", helper)
component <- samepage:::component

shared <- Sys.getenv("SAMEPAGE_SHARED")
if (!nzchar(shared)) {
  stop("SAMEPAGE_SHARED must name the folder with data/couples/daily.csv")
}
daily <- utils::read.csv(file.path(shared, "data", "couples", "daily.csv"))
definitions <- c("fitted", "absolute", "signed", "toward_zero", "squared")
moods <- c("anxiety", "sadness", "vigor", "contentment")
outcomes <- if ("all" %in% commandArgs(TRUE)) {
  setdiff(names(daily), c("couple", "day"))
} else {
  c("woman_anxiety", "man_contentment", "woman_vigor", "man_sadness")
}

first <- !duplicated(daily$couple)

compare <- function(outcome, mood, definition, early_discrepancy, form) {
  raters <- paste0(c("man_", "woman_"), mood)
  scores <- suppressMessages(convergence(
    stats::as.formula(paste(raters[[1]], "+", raters[[2]], "~ day | couple")), daily,
    definition = definition, early_discrepancy = early_discrepancy
  ))
  models <- suppressMessages(convergence_models(
    stats::as.formula(paste(outcome, "~ day | couple")), daily, scores,
    form = form
  ))
  predictors <- c(
    list(initial = daily[[outcome]][match(daily$couple, daily$couple)]),
    helper$spread_scores(scores, daily$couple, raters)
  )
  columns <- list(
    list(`(Intercept)` = rep(1, nrow(daily)), time = daily$day),
    helper$hand_columns(predictors[c("initial", "convergence")], daily$day, first, form),
    helper$hand_columns(predictors, daily$day, first, form)
  )
  rows <- lapply(seq_along(columns), function(number) {
    again <- mood != moods[[1]] || definition != definitions[[1]] || form != "table"
    if (number == 1L && again) {
      return(NULL)
    }
    reference <- helper$tight_reference(
      columns[[number]], daily[[outcome]], daily$day, daily$couple
    )
    distance <- helper$distance_from_reference(models[[number]], reference, "day")
    data.frame(
      outcome, mood, definition, form, model = number, t(distance),
      status = component(models[[number]], "status"),
      aliased = length(component(models[[number]], "aliased")), singular = reference$singular
    )
  })
  do.call(rbind, rows)
}

started <- proc.time()[["elapsed"]]
results <- list()
for (outcome in outcomes) {
  for (mood in moods) {
    for (definition in definitions) {
      # Signed early discrepancies exercise the aliasing along the way.
      kind <- if (definition == "signed") "signed" else "absolute"
      for (form in c("table", "equations")) {
        results[[length(results) + 1L]] <- compare(outcome, mood, definition, kind, form)
      }
    }
  }
}
results <- do.call(rbind, results)
elapsed <- proc.time()[["elapsed"]] - started

reference_short <- results$criterion < -1e-6
cat(sprintf(
  "%d fits (%d on a boundary, %d with aliased columns) in %.0f s; lmer ended above by > 1e-6: %d\n",
  nrow(results), sum(results$status == "boundary"), sum(results$aliased > 0), elapsed,
  sum(reference_short)
))
cat(sprintf("criterion, ours minus lmer's: %.2e to %.2e\n",
  min(results$criterion), max(results$criterion)
))
compared <- results[!reference_short, ]
limits <- c(estimate = 1e-5, se = 1e-4, df = 1e-3)
for (what in names(limits)) {
  worst <- compared[which.max(compared[[what]]), ]
  cat(sprintf(
    "largest relative difference, %-8s %.2e (limit %.0e)  %s ~ %s, %s, Model %d, %s\n",
    what, worst[[what]], limits[[what]], worst$outcome, worst$mood, worst$definition, worst$model,
    worst$status
  ))
}
