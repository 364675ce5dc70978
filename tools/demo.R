# The main job on study1 and, where they are, on the couples' diaries, then both studies of the
# paper beside its tables: Rscript tools/demo.R

library(samepage)
options(width = 100)

say <- function(...) {
  cat(strwrap(paste0(...), width = 92), sep = "\n")
}

heading <- function(title) {
  cat("\n", title, "\n", strrep("=", nchar(title)), "\n\n", sep = "")
}

show_scores <- function(scores) {
  print(summary(scores))
  scored <- !is.na(scores$convergence_raw)
  share <- reliability(scores)[["convergence"]]
  cat("\n")
  say(
    "How to read it: each dyad has one convergence score, positive (before any transform) where ",
    "the two raters came closer, as they did in ", sum(scores$convergence_raw[scored] > 0), " of ",
    sum(scored), " dyads; a reliability of ", sprintf("%.2f", share),
    " means that a correlation of the scores with anything else comes out at about ",
    round(100 * sqrt(share)), " % of its true size, because each score is estimated from the ",
    "ratings of one dyad."
  )
  cat("\n")
}

show_models <- function(models, outcome, time) {
  print(models)
  cat("\n")
  say(
    "How to read it: each column is a model; in the row \"Convergence\" stands by how much the ",
    "level of ", outcome, " differs between dyads that are one unit of convergence apart, in the ",
    "row \"Convergence x time\" by how much its change per ", time, " differs (negative: ", outcome,
    " falls faster, or rises more slowly, where the raters converge), and a p below .05 is the ",
    "usual sign that this is more than chance."
  )
}

show_comparison <- function(models, study) {
  compared <- compare_published(models, study)
  print(compared)
  count <- table(compared$mark)
  cat("\n")
  say(
    "How to read it: in each cell the paper's figure, then the figure from our synthetic data, ",
    "made to resemble the paper's sample. Of ", nrow(compared), " cells ", count[["equal"]],
    " are equal to the printed digit, ", count[["within"]], " within tolerance, ",
    count[["apart"]] + count[["absent"]], " apart, and ", count[["exempt"]],
    " exempt because the paper's own figures contradict each other there."
  )
}

# ---- study1 ------------------------------------------------------------------------------------

heading("study1: alliance rated by patient and therapist, and depression (synthetic data)")
# Messages are left out where the printing that follows says the same.
scores <- suppressMessages(convergence(
  wai_patient + wai_therapist ~ session | patient,
  data = study1, definition = "fitted", per = "course", transform = "log",
  early_discrepancy = "log_absolute"
))
show_scores(scores)
models1 <- suppressMessages(convergence_models(
  bdi ~ session | patient,
  data = study1, scores = scores, initial_row = "drop", rows = "available",
  center = c("initial", "convergence", "early_wai_patient", "early_wai_therapist", "development")
))
show_models(models1, "bdi", "session")

# ---- couples -----------------------------------------------------------------------------------

heading("Couples: contentment of man and woman day by day, and the woman's anxiety (real data)")
shared <- Sys.getenv("SAMEPAGE_SHARED")
diaries <- file.path(shared, "data", "couples", "daily.csv")
if (nzchar(shared) && file.exists(diaries)) {
  couples <- read.csv(diaries)
  scores <- suppressMessages(
    convergence(man_contentment + woman_contentment ~ day | couple, data = couples)
  )
  show_scores(scores)
  models <- suppressMessages(
    convergence_models(woman_anxiety ~ day | couple, data = couples, scores = scores)
  )
  show_models(models, "woman_anxiety", "day")
} else {
  say("The couples' diaries are not here: set SAMEPAGE_SHARED to the folder that holds them.")
}

# ---- both studies beside the published tables --------------------------------------------------

heading("Study 1 beside Table I of the paper (synthetic data)")
show_comparison(models1, "study1")

heading("Study 2 beside Table II of the paper (synthetic data)")
scores <- convergence(
  wai_patient + wai_therapist ~ occasion | patient,
  data = study2, per = "course", transform = "log", early_discrepancy = "log_absolute"
)
models2 <- convergence_models(
  gsi ~ occasion | patient,
  data = study2, scores = scores, initial_row = "keep", rows = "available"
)
show_comparison(models2, "study2")
