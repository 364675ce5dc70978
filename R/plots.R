# Pictures of the data: both raters' means over time, and single dyads' courses.

#' Plot the mean of both raters over time
#'
#' One point per rater and session, the mean over the dyads that have the
#' rating, with an error bar, and dotted lines one standard deviation above and
#' below: Figures 1 and 2 of Nissen-Lie et al. (2020).
#'
#' @param formula `first + second ~ time | dyad`, as in [convergence()].
#' @param data Data frame, one row per dyad and session.
#' @param level Confidence level of the error bars (t intervals of the mean).
#' @param col Colours of the first and of the second rater.
#' @param ... Graphical parameters for [graphics::plot.default()], such as `ylim`,
#'   `xlab` or `main`.
#' @returns Invisibly the data frame drawn, one row per rater and time: `rater`,
#'   `time`, `n` (dyads), `mean`, `sd`, `min`, `max`, `conf.low`, `conf.high`, in the
#'   ratings' units. An interval needs two dyads.
#' @inherit study1 references
#' @family pictures
#' @examples
#' plot_ratings(wai_patient + wai_therapist ~ session | patient, data = study1)
#' @export
plot_ratings <- function(formula, data, level = 0.95, col = c("#0072B2", "#D55E00"), ...) {
  check_level(level, "level")
  check_plot_data(data)
  spec <- parse_raters(formula)
  read <- function(part, what) plot_values(part, what, data, formula)
  time <- read(spec$time, "time")
  ratings <- list(read(spec$first, "rating"), read(spec$second, "rating"))
  raters <- c(spec$first$name, spec$second$name)
  for (id in Filter(Negate(is.null), spec[c("cluster", "dyad")])) {
    evaluate_part(id, data, formula, call = rlang::caller_env())
  }
  for (k in 1:2) {
    check_any_rows(!is.na(ratings[[k]]) & !is.na(time), c(raters[k], spec$time$name))
  }
  means <- do.call(rbind, Map(
    function(rating, rater) ratings_over_time(rating, time, rater, level), ratings, raters
  ))
  rownames(means) <- NULL
  col <- rep_len(col, 2L)
  pch <- c(16, 17)

  defaults <- list(
    x = NA, xlim = range(means$time), ylim = ratings_range(means), xlab = spec$time$name,
    ylab = "mean rating", las = 1
  )
  times <- sort(unique(means$time))
  # A tick for each session, as long as they are few.
  own_axis <- length(times) <= 15L && is.null(list(...)$xaxt)
  if (own_axis) defaults$xaxt <- "n"
  do.call(graphics::plot.default, utils::modifyList(defaults, list(...)))
  if (own_axis) graphics::axis(1, at = times)
  # Side by side, so that bars of the same session do not cover each other.
  aside <- if (length(times) > 1L) min(diff(times) / 10, diff(range(times)) / 150) else 0
  for (k in 1:2) {
    own <- means[means$rater == raters[k], ]
    at <- own$time + c(-1, 1)[k] * aside
    graphics::lines(own$time, own$mean - own$sd, lty = 3, col = col[k])
    graphics::lines(own$time, own$mean + own$sd, lty = 3, col = col[k])
    graphics::segments(at, own$conf.low, at, own$conf.high, col = col[k], lwd = 1.5)
    graphics::lines(at, own$mean, col = col[k], lwd = 1.5)
    graphics::points(at, own$mean, col = col[k], pch = pch[k])
  }
  graphics::legend(
    "bottomright",
    legend = c(raters, paste0("mean, ", format(100 * level), "% interval"), "\u00b11 SD"),
    col = c(col, "black", "black"), pch = c(pch, NA, NA), lty = c(1, 1, 1, 3), lwd = 1.5,
    bty = "n", ncol = 2L
  )
  invisible(means)
}

# Room below for the key.
ratings_range <- function(means) {
  range <- range(c(means$mean - means$sd, means$mean + means$sd, means$mean), na.rm = TRUE)
  range - c(0.15, 0) * diff(range)
}

ratings_over_time <- function(rating, time, rater, level) {
  known <- !is.na(rating) & !is.na(time)
  by_time <- split(rating[known], time[known])
  n <- lengths(by_time)
  mean <- vapply(by_time, mean, 1)
  sd <- vapply(by_time, stats::sd, 1)
  reach <- suppressWarnings(stats::qt((1 + level) / 2, n - 1)) * sd / sqrt(n)
  data.frame(
    rater = rater, time = as.numeric(names(by_time)), n = unname(n), mean = mean, sd = sd,
    min = vapply(by_time, min, 1), max = vapply(by_time, max, 1),
    conf.low = mean - reach, conf.high = mean + reach, row.names = NULL
  )
}

#' Plot the course of the outcome in single dyads
#'
#' One small panel per dyad: the outcome as observed, and the least-squares
#' curves through it, linear in time and in the logarithm of time. Whether change
#' is linear is seen before it is modelled.
#'
#' @param formula `outcome ~ time | dyad`, or `outcome ~ time | cluster/dyad`, as
#'   in [convergence_models()].
#' @param data Data frame, one row per dyad and session.
#' @param dyads How many dyads to show (the lowest and the highest linear slope,
#'   and those at equal steps of rank between them), or the ids of those to show
#'   (`"cluster/dyad"` with clusters).
#' @param curves Which curves: `"linear"`, `"log"` (in log(time - first + 1), with
#'   the first time of the data), or both.
#' @param ... Graphical parameters for the panels, such as `ylim`, `xlab`, `ylab`.
#' @returns Invisibly the data frame drawn, one row per session of the dyads
#'   shown: `dyad`, `time`, `outcome`, and the fitted values `linear` and `log`, `NA`
#'   in dyads with fewer than two sessions.
#' @family pictures
#' @examples
#' plot_courses(bdi ~ session | patient, data = study1, dyads = 6)
#' @export
plot_courses <- function(formula, data, dyads = 12, curves = c("linear", "log"), ...) {
  check_plot_data(data)
  check_curves(curves)
  parts <- outcome_formula(formula)
  columns <- lapply(parts$ids, function(id) {
    evaluate_part(named_part(as.name(id)), data, formula, call = rlang::caller_env())
  })
  courses <- data.frame(
    dyad = do.call(paste, c(lapply(columns, as.character), list(sep = "/"))),
    time = plot_values(named_part(parts$time), "time", data, formula),
    outcome = plot_values(named_part(parts$outcome), "outcome", data, formula)
  )
  named <- !Reduce(`|`, lapply(columns, is.na))
  courses <- courses[named & !is.na(courses$time) & !is.na(courses$outcome), ]
  check_any_rows(nrow(courses) > 0L, c(parts$ids, parts$time_name, parts$outcome_name))
  courses <- courses[order(courses$time), ]
  first <- courses$time[1L]
  by_dyad <- lapply(split(courses, courses$dyad), function(course) {
    course$linear <- least_squares(course$outcome, course$time)
    course$log <- least_squares(course$outcome, log(course$time - first + 1))
    course
  })
  shown <- by_dyad[courses_to_show(by_dyad, dyads)]
  check_room(length(shown))
  settings <- list(xlab = parts$time_name, ylab = parts$outcome_name, las = 1)
  draw_courses(shown, curves, utils::modifyList(settings, list(...)))
  drawn <- do.call(rbind, shown)
  rownames(drawn) <- NULL
  invisible(drawn)
}

check_plot_data <- function(data, call = rlang::caller_env()) {
  if (!is.data.frame(data) || !nrow(data)) {
    stop_samepage(
      "data",
      c(
        "`data` must be a data frame with one row per dyad and session.",
        x = paste0("Found: ", if (is.data.frame(data)) "no rows" else describe_class(data), ".")
      ),
      call = call
    )
  }
}

check_any_rows <- function(there, columns, call = rlang::caller_env()) {
  if (!any(there)) {
    stop_samepage("rows", c(
      "`data` must have rows with values in every column that is drawn.",
      x = paste0("No row has a value in each of ", paste0("`", columns, "`", collapse = ", "), "."),
      i = "See colSums(!is.na(data)) for what there is."
    ), call = call)
  }
}

check_curves <- function(curves, call = rlang::caller_env()) {
  if (!is.character(curves) || !all(curves %in% c("linear", "log"))) {
    stop_samepage("argument", c(
      "`curves` must be some of \"linear\" and \"log\".",
      x = paste0("Found: ", some_of(curves), ".")
    ), call = call)
  }
}

plot_values <- function(part, what, data, formula, call = rlang::caller_env()) {
  values <- check_numbers(evaluate_part(part, data, formula, call), part$name, what, call)
  if (any(is.infinite(values))) {
    stop_samepage("infinite", c(
      paste0("The ", what, " `", part$name, "` must be finite numbers, or NA where missing."),
      x = paste0("Infinite in row ", some_of(which(is.infinite(values))), ".")
    ), call = call)
  }
  values
}

least_squares <- function(y, x) {
  if (length(unique(x)) < 2L) {
    return(rep(NA_real_, length(y)))
  }
  y - stats::lm.fit(cbind(1, x), y)$residuals
}

courses_to_show <- function(by_dyad, dyads, call = rlang::caller_env()) {
  if (is.numeric(dyads) && length(dyads) == 1L && is.finite(dyads) && dyads >= 1) {
    slope <- vapply(by_dyad, function(course) {
      last <- nrow(course)
      (course$linear[last] - course$linear[1L]) / (course$time[last] - course$time[1L])
    }, 1)
    ranked <- names(by_dyad)[order(slope, na.last = NA)]
    if (!length(ranked)) {
      return(utils::head(names(by_dyad), dyads))
    }
    return(ranked[round(seq(1, length(ranked), length.out = min(dyads, length(ranked))))])
  }
  unknown <- setdiff(as.character(dyads), names(by_dyad))
  if (!length(dyads) || length(unknown)) {
    stop_samepage("argument", c(
      "`dyads` must be one number, how many to show, or ids of dyads in `data`.",
      x = if (length(unknown)) {
        paste0("Not among the ids: ", some_of(unknown), ".")
      } else {
        paste0("Found: ", code_of(dyads), ".")
      },
      i = paste0("The ids are ", some_of(names(by_dyad)), ".")
    ), call = call)
  }
  as.character(dyads)
}

draw_courses <- function(shown, curves, settings) {
  columns <- ceiling(sqrt(length(shown) * 4 / 3))
  rows <- ceiling(length(shown) / columns)
  old <- graphics::par(
    mfrow = c(rows, columns), mar = c(0.4, 0.4, 1.4, 0.4), oma = c(3.6, 3.6, 1.8, 0.3),
    mgp = c(2, 0.6, 0)
  )
  on.exit(graphics::par(old))
  all <- do.call(rbind, shown)
  outer <- settings[c("xlab", "ylab")]
  settings <- utils::modifyList(
    list(xlim = range(all$time), ylim = range(all[c("outcome", curves)], na.rm = TRUE)), settings
  )
  settings[c("x", "type", "xlab", "ylab", "axes")] <- list(NA, "n", "", "", FALSE)
  for (i in seq_along(shown)) {
    do.call(graphics::plot.default, settings)
    course <- shown[[i]]
    graphics::points(course$time, course$outcome, pch = 16, cex = 0.8, col = "grey45")
    for (curve in curves) draw_curve(course, curve)
    graphics::box(col = "grey60")
    if (i %% columns == 1L || columns == 1L) graphics::axis(2, las = 1, col = NA, col.ticks = 1)
    if (i + columns > length(shown)) graphics::axis(1, col = NA, col.ticks = 1)
    graphics::mtext(course$dyad[1L], adj = 0, line = 0.2, cex = 0.65)
  }
  graphics::mtext(outer$xlab, 1, line = 2.2, outer = TRUE, cex = 0.8)
  graphics::mtext(outer$ylab, 2, line = 2.2, outer = TRUE, cex = 0.8)
  key <- c("observed (points)", if (length(curves)) paste(curves, "in time")[seq_along(curves)])
  key <- sub("log in time", "in log time (dashed)", sub("linear in time", "linear (solid)", key))
  graphics::mtext(paste(key, collapse = ", "), 3, line = 0.4, outer = TRUE, cex = 0.7, adj = 0)
}

draw_curve <- function(course, curve) {
  lty <- c(linear = 1, log = 2)[[curve]]
  col <- c(linear = "#0072B2", log = "#D55E00")[[curve]]
  graphics::lines(course$time, course[[curve]], lty = lty, col = col, lwd = 2)
}
