# Side by side with lme4, lmerTest and pbkrtest, in one run: the whole call of a user, formula and
# summary included. Prints medians of processor seconds and the median of the ratios pair by pair:
# ours and theirs are timed in turn, so that a slow moment of the machine meets both.
# Run from the root of the repository:
#   Rscript bench/peers.R          everything (some minutes: lme4 needs one to two for each of the
#                                  large designs, which are therefore fitted by it once)
#   Rscript bench/peers.R quick    without the designs of a million rows and 100,000 dyads
# Every pair must have reached the same criterion, or the script stops.

suppressPackageStartupMessages({
  library(samepage)
  library(lme4)
  library(lmerTest)
})
scores_bench <- new.env()
sys.source("bench/dyad-ols.R", scores_bench)
core <- asNamespace("samepage")
study1 <- samepage::study1

# ---- data -----------------------------------------------------------------------

# Model 3 of study1 as one formula and one data frame.
model_3 <- function() {
  scores <- suppressMessages(convergence(
    wai_patient + wai_therapist ~ session | patient, study1,
    per = "course", transform = "log", early_discrepancy = "log_absolute"
  ))
  models <- suppressMessages(convergence_models(bdi ~ session | patient, study1, scores))
  data <- as.data.frame(core$component(models$full, "frame"))
  attr(data, "terms") <- attr(data, "predvars") <- NULL
  list(formula = stats::formula(models$full), data = data)
}

# A course of ten sessions for each dyad; `irregular` gives every dyad times of its own.
course_data <- function(dyads, therapists, irregular = FALSE) {
  set.seed(2)
  n <- dyads * 10L
  dyad <- rep(seq_len(dyads), each = 10L)
  therapist <- (dyad - 1L) %% therapists + 1L
  time <- if (irregular) stats::runif(n, 0, 9) else rep(as.double(0:9), dyads)
  x <- stats::rnorm(dyads)[dyad]
  y <- 30 - time + x + stats::rnorm(therapists, 0, 2)[therapist] +
    stats::rnorm(therapists, 0, 0.3)[therapist] * time + stats::rnorm(dyads, 0, 6)[dyad] +
    stats::rnorm(dyads, 0, 0.8)[dyad] * time + stats::rnorm(n, 0, 5)
  data.frame(dyad, therapist, time, x, y)
}

# ---- timing ---------------------------------------------------------------------

# Seconds of processor time (user and system): all programs here run on one thread, and elapsed time
# would be that of whatever else the machine does.
seconds_of <- function(run, times = 1L) {
  start <- proc.time()
  for (i in seq_len(times)) run()
  sum((proc.time() - start)[c("user.self", "sys.self")]) / times
}

# `ours` and `theirs` in turn; fast calls are repeated within each turn, since R's clock of the
# processor's time goes by milliseconds.
compare <- function(work, against, target, ours, theirs, pairs = 7L, times = 1L,
                    their_times = 1L) {
  fitted <- list(ours(), theirs())
  criteria <- vapply(fitted, criterion_of, 0)
  if (criteria[1L] > criteria[2L] + 1e-6) {
    stop(work, ": criterion ", format(criteria[1L], digits = 12), " above ", criteria[2L])
  }
  rm(fitted)
  pair <- function(i) {
    gc(FALSE)
    c(seconds_of(ours, times), seconds_of(theirs, their_times))
  }
  seconds <- vapply(seq_len(pairs), pair, numeric(2))
  one_row(work, against, target, seconds[1L, ], seconds[2L, ])
}

# For calls of lme4 that take a minute: theirs once, ours before and after.
compare_once <- function(work, against, target, ours, theirs) {
  before <- vapply(1:3, function(i) seconds_of(ours), 0)
  peer <- NULL
  slow <- seconds_of(function() peer <<- theirs())
  own <- ours()
  stopifnot(criterion_of(own) <= criterion_of(peer) + 1e-6)
  after <- vapply(1:3, function(i) seconds_of(ours), 0)
  one_row(work, against, target, stats::median(c(before, after)), slow)
}

# Of a fit, a summary, or a list of both.
criterion_of <- function(x) {
  if (is.list(x) && !is.null(x$fit)) x <- x$fit
  -2 * as.double(stats::logLik(x))
}

one_row <- function(work, against, target, ours, theirs) {
  row <- data.frame(
    work, against,
    ours = stats::median(ours), theirs = stats::median(theirs),
    ratio = stats::median(theirs / ours), at_least = target
  )
  cat(sprintf(
    "%-62s %9.5f s %9.4f s %7.0f x (at least %.0f x)\n",
    paste(work, "against", against), row$ours, row$theirs, row$ratio, target
  ))
  row
}

with_summary <- function(fit, ...) list(fit = fit, summary = summary(fit, ...))

# ---- the rows -------------------------------------------------------------------

small_rows <- function() {
  study <- model_3()
  formula <- study$formula
  environment(formula) <- globalenv()
  data <- study$data
  nested <- bdi ~ session * treatment + (session | therapist / patient)
  satterthwaite <- compare(
    "Study 1, Model 3, with Satterthwaite", "lmerTest", 60,
    function() with_summary(lmm(formula, data)),
    function() with_summary(lmerTest::lmer(formula, data)),
    pairs = 21L, times = 50L, their_times = 3L
  )
  kenward_roger <- compare(
    "Study 1, Model 3, with Kenward-Roger", "lmerTest and pbkrtest", 400,
    function() with_summary(lmm(formula, data, df = "kenward-roger")),
    function() with_summary(lmerTest::lmer(formula, data), ddf = "Kenward-Roger"),
    pairs = 7L, times = 50L
  )
  three_levels <- compare(
    "Study 1, three levels", "lme4", 60,
    function() with_summary(lmm(nested, study1)),
    function() with_summary(suppressMessages(lme4::lmer(nested, study1))),
    pairs = 21L, times = 50L, their_times = 3L
  )
  fit <- lmm(formula, data)
  peer <- lme4::lmer(formula, data)
  response <- stats::simulate(peer, seed = 1)[[1L]]
  again <- compare(
    "Study 1, Model 3, refit to a new response", "lme4's refit", 300,
    function() refit(fit, response),
    function() suppressMessages(lme4::refit(peer, response)),
    pairs = 21L, times = 500L, their_times = 5L
  )
  rbind(satterthwaite, kenward_roger, three_levels, again)
}

large_rows <- function() {
  data <- course_data(1e5, 2000L)
  two <- y ~ time * x + (time | dyad)
  three <- y ~ time * x + (time | therapist / dyad)
  rows <- list(
    compare_once(
      "1,000,000 rows, 100,000 dyads", "lme4", 60,
      function() with_summary(lmm(two, data)), function() with_summary(lme4::lmer(two, data))
    ),
    compare_once(
      "the same in 2,000 therapists, three levels", "lme4", 100,
      function() with_summary(lmm(three, data)), function() with_summary(lme4::lmer(three, data))
    )
  )
  data <- course_data(1e5, 2000L, irregular = TRUE)
  rows[[3L]] <- compare_once(
    "100,000 dyads at irregular times", "lme4", 25,
    function() with_summary(lmm(two, data)), function() with_summary(lme4::lmer(two, data))
  )
  do.call(rbind, rows)
}

ols_rows <- function(dyads, lists) {
  rows <- scores_bench$dyad_ols_bench(dyads, lists = lists)
  rows$at_least <- ifelse(rows$against == "lme4::lmList()", 300, 5)
  cat(sprintf(
    "%-62s %9.4f s %9.4f s %7.0f x (at least %.0f x)\n",
    paste(rows$work, "against", rows$against), rows$ours, rows$theirs, rows$ratio, rows$at_least
  ), sep = "")
  rows
}

# ---- growth with the rows, and memory -------------------------------------------

# Seconds of each step from the model frame on, for 100,000 and 1,000,000 rows of one pattern.
steps <- function() {
  table <- vapply(c(1e4, 1e5), function(dyads) {
    data <- course_data(dyads, 2000L)
    control <- lmm_control()
    spec <- core$parse_mixed_formula(y ~ time * x + (time | dyad))
    frame <- core$build_frame(spec, data)
    design <- core$build_design(spec, frame)
    reduced <- core$reduce_design(design, control)
    times <- 1e6 / dyads
    step <- function(run) stats::median(vapply(1:7, function(i) seconds_of(run, times), 0))
    c(
      frame = step(function() core$build_frame(spec, data)),
      design = step(function() core$build_design(spec, frame)),
      reduction = step(function() core$reduce_design(design, control)),
      fit = step(function() core$fit_reduced(reduced, design$blocks, TRUE, control))
    )
  }, numeric(4))
  after_frame <- colSums(table[-1L, ])
  cat("\nSeconds by step, two levels       100,000 rows   1,000,000 rows\n")
  cat(sprintf("%-32s %13.5f %16.5f\n", rownames(table), table[, 1L], table[, 2L]), sep = "")
  cat(sprintf("after the frame, ratio %.1f\n", after_frame[2L] / after_frame[1L]))
}

# The largest resident size of a process that makes the data and fits once.
peak_memory <- function(program) {
  code <- paste(
    "suppressPackageStartupMessages(library(", program, "));",
    "source('bench/peers.R', local = e <- new.env());",
    "data <- e$course_data(1e5, 2000L);",
    "before <- e$high_water();",
    "fit <- ", if (program == "samepage") "lmm" else "lme4::lmer",
    "(y ~ time * x + (time | dyad), data); s <- summary(fit);",
    "cat(before, e$high_water())"
  )
  answer <- system2(
    file.path(R.home("bin"), "Rscript"), c("-e", shQuote(code)),
    stdout = TRUE, env = "SAMEPAGE_PEERS=functions"
  )
  as.double(strsplit(utils::tail(answer, 1L), " ")[[1L]])
}

high_water <- function() {
  line <- grep("^VmHWM", readLines("/proc/self/status"), value = TRUE)
  as.double(gsub("[^0-9]", "", line)) / 1024
}

memory <- function() {
  peaks <- vapply(c("samepage", "lme4"), peak_memory, numeric(2))
  cat(sprintf(
    "\nPeak memory at 1,000,000 rows: %.0f MB against %.0f MB of lme4 (%.2f); %s\n",
    peaks[2L, 1L], peaks[2L, 2L], peaks[2L, 1L] / peaks[2L, 2L],
    paste("packages and data:", paste(round(peaks[1L, ]), collapse = " and "))
  ))
}

machine <- function() {
  info <- if (file.exists("/proc/cpuinfo")) readLines("/proc/cpuinfo")
  cpu <- sub(".*: ", "", grep("model name", info, value = TRUE)[1L])
  version <- function(package) paste(package, utils::packageVersion(package))
  cat(sprintf(
    "%s; %s; BLAS %s; %s\n\n", cpu, R.version.string, basename(extSoftVersion()[["BLAS"]]),
    paste(vapply(c("lme4", "lmerTest", "pbkrtest"), version, ""), collapse = ", ")
  ))
}

if (Sys.getenv("SAMEPAGE_PEERS") != "functions") {
  machine()
  quick <- "quick" %in% commandArgs(TRUE)
  table <- rbind(small_rows(), ols_rows(10000L, lists = TRUE))
  if (!quick) {
    table <- rbind(table, ols_rows(100000L, lists = TRUE), large_rows())
    steps()
    memory()
  }
  missed <- table[table$ratio < table$at_least, ]
  cat(sprintf("\n%d of %d targets reached\n", nrow(table) - nrow(missed), nrow(table)))
}
