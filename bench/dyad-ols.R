# Dyadic least squares side by side: the whole call of convergence(), standard errors, scores and
# reliability included, against the growth lines alone by lme4::lmList() and by the barest loop over
# .lm.fit(), both raters each. Medians of elapsed seconds from one run.
# Run from the root of the repository: Rscript bench/dyad-ols.R [all]
# lmList() is timed on 10,000 dyads; `all` times it once on 100,000 as well (minutes).
# bench/peers.R sources this file for its functions.

dyad_ols_data <- function(dyads, sessions = 10L) {
  set.seed(1)
  n <- dyads * sessions
  data <- data.frame(
    dyad = rep(seq_len(dyads), each = sessions), time = rep(as.double(seq_len(sessions)), dyads)
  )
  data$p <- stats::rnorm(dyads, 5)[data$dyad] + 0.1 * data$time + stats::rnorm(n)
  data$q <- stats::rnorm(dyads, 6)[data$dyad] + stats::rnorm(n)
  data
}

dyad_ols_median <- function(run, times) {
  seconds <- vapply(seq_len(times), function(i) {
    gc(FALSE)
    system.time(run())[["elapsed"]]
  }, 0)
  stats::median(seconds)
}

# The growth lines of both raters; the rows of each dyad are known beforehand.
dyad_ols_loop <- function(data, sessions) {
  x <- cbind(1, data$time)
  p <- data$p
  q <- data$q
  dyads <- nrow(data) / sessions
  slopes <- matrix(0, dyads, 2L)
  for (j in seq_len(dyads)) {
    rows <- seq.int((j - 1L) * sessions + 1L, j * sessions)
    design <- x[rows, ]
    slopes[j, 1L] <- .lm.fit(design, p[rows])$coefficients[2L]
    slopes[j, 2L] <- .lm.fit(design, q[rows])$coefficients[2L]
  }
  slopes
}

dyad_ols_lists <- function(data) {
  cbind(
    stats::coef(lme4::lmList(p ~ time | dyad, data))[, "time"],
    stats::coef(lme4::lmList(q ~ time | dyad, data))[, "time"]
  )
}

# One row per peer: seconds of each and their ratio. Stops where the lines are not the same.
dyad_ols_bench <- function(dyads, sessions = 10L, lists = TRUE, definition = "fitted") {
  data <- dyad_ols_data(dyads, sessions)
  scores <- suppressMessages(
    samepage::convergence(p + q ~ time | dyad, data, definition)
  )
  ours <- dyad_ols_median(
    function() samepage::convergence(p + q ~ time | dyad, data, definition), 9L
  )
  peers <- list(".lm.fit() in a bare loop" = function() dyad_ols_loop(data, sessions))
  if (lists) {
    peers[["lme4::lmList()"]] <- function() dyad_ols_lists(data)
  }
  rows <- lapply(names(peers), function(name) {
    slopes <- NULL
    theirs <- dyad_ols_median(function() slopes <<- peers[[name]](), if (dyads > 20000L) 1L else 3L)
    stopifnot(all.equal(slopes, cbind(scores$slope_p, scores$slope_q), check.attributes = FALSE))
    data.frame(
      work = sprintf(
        "dyadic least squares, %s dyads of %d sessions",
        format(dyads, big.mark = ",", scientific = FALSE), sessions
      ),
      against = name, ours = ours, theirs = theirs, ratio = theirs / ours
    )
  })
  do.call(rbind, rows)
}

# Where the time of the call goes: the rows' order, the pass itself, the whole call.
dyad_ols_profile <- function(dyads, sessions = 10L, definition = "fitted") {
  data <- dyad_ols_data(dyads, sessions)
  core <- asNamespace("samepage")
  starts <- as.integer(seq.int(0, nrow(data), by = sessions))
  ids <- list(data$dyad)
  which <- match(definition, core$definitions) - 1L
  every <- c(-Inf, Inf)
  seconds <- c(
    order_of_rows = dyad_ols_median(function() .Call(core$C_dyad_rows, ids, data$time), 9L),
    pass = dyad_ols_median(
      function() {
        .Call(core$C_dyad_ols, starts, data$time, data$p, data$q, which, FALSE, every)
      }, 9L
    ),
    whole_call = dyad_ols_median(
      function() samepage::convergence(p + q ~ time | dyad, data, definition), 9L
    )
  )
  data.frame(dyads, definition, t(seconds))
}

if (sys.nframe() == 0L) {
  library(samepage)
  all <- "all" %in% commandArgs(TRUE)
  table <- rbind(dyad_ols_bench(10000L), dyad_ols_bench(100000L, lists = all))
  print(table, digits = 3, row.names = FALSE, right = FALSE)
  cat("\nSeconds by part\n")
  parts <- do.call(rbind, lapply(
    c("fitted", "absolute", "signed", "toward_zero", "squared"), dyad_ols_profile,
    dyads = 100000L, sessions = 10L
  ))
  print(parts, digits = 2, row.names = FALSE)
}
