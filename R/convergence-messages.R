# What a user is told of rows left out, dyads without a score, and scores to be careful with.

inform_scores <- function(scores) {
  counts <- as.list(attr(scores, "counts"))
  names <- attributes(scores)[c("time", "dyad", "cluster")]
  dropped <- c(
    if (counts$rows_no_id > 0L) {
      ids <- paste0("`", c(names$cluster, names$dyad), "`", collapse = " or ")
      paste0(count_of(counts$rows_no_id, "row"), " without ", ids)
    },
    if (counts$rows_no_time > 0L) {
      paste0(count_of(counts$rows_no_time, "row"), " without `", names$time, "`")
    }
  )
  if (length(dropped) > 0L) {
    inform_samepage("rows_dropped", paste0("Left out: ", paste(dropped, collapse = ", "), "."))
  }
  inform_unscored(scores)
  inform_no_se(scores)
  if (counts$slopes_differ > 0L) {
    inform_samepage("slopes_differ", slopes_differ_in_words(counts))
  }
  if (isTRUE(counts$sign_zero > 0L)) {
    inform_samepage("sign_zero", sign_zero_in_words(counts))
  }
}

inform_unscored <- function(scores) {
  ids <- as.list(scores)[c(attr(scores, "cluster"), attr(scores, "dyad"))]
  unscored <- is.na(scores$convergence)
  if (any(unscored)) {
    inform_samepage(
      "no_score",
      paste0(
        count_of(sum(unscored), "dyad"), " without a convergence score, for want of ",
        sessions_needed(attr(scores, "definition")), ": ",
        some_of(dyad_labels(ids, which(unscored))), "."
      )
    )
  }
  incomplete <- !unscored & (is.na(scores$development) | is.na(scores$early_discrepancy))
  if (any(incomplete)) {
    inform_samepage(
      "no_development",
      paste0(
        count_of(sum(incomplete), "dyad"), " with a convergence score but without development or ",
        "early discrepancy, for want of sessions rated by both: ",
        some_of(dyad_labels(ids, which(incomplete))), "."
      )
    )
  }
}

inform_no_se <- function(scores) {
  ids <- as.list(scores)[c(attr(scores, "cluster"), attr(scores, "dyad"))]
  fitted <- attr(scores, "definition") == "fitted"
  usable <- if (fitted) {
    pmin(scores[[paste0("n_", attr(scores, "raters")[1L])]],
         scores[[paste0("n_", attr(scores, "raters")[2L])]])
  } else {
    scores$n_both
  }
  without <- !is.na(scores$convergence) & is.na(scores$convergence_se)
  few <- without & usable < 3L
  if (any(few)) {
    inform_samepage(
      "no_se",
      paste0(
        count_of(sum(few), "dyad"), " with a score but without a standard error, which takes ",
        "three sessions ", if (fitted) "from each rater" else "rated by both", ": ",
        some_of(dyad_labels(ids, which(few))), "."
      )
    )
  }
  together <- fitted & without & !few
  if (any(together)) {
    inform_samepage(
      "no_se",
      paste0(
        count_of(sum(together), "dyad"), " whose two lines lie on each other, with the score 0 ",
        "and without a standard error: ", some_of(dyad_labels(ids, which(together))), "."
      )
    )
  }
}

slopes_differ_in_words <- function(counts) {
  paste0(
    "In ", count_of(counts$slopes_differ, "dyad"), " of ", format_count(counts$dyads),
    " the raters missed different sessions, so that the difference of their slopes is not the ",
    "slope of their difference."
  )
}

sign_zero_in_words <- function(counts) {
  paste0(
    "In ", count_of(counts$sign_zero, "dyad"), " the line of the discrepancy starts at exactly 0: ",
    "neither rater is above, and the score is 0 without a standard error."
  )
}
