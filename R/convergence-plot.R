# The picture of scores: dyads in small multiples, and the scores' distribution.

#' Plot the dyads' ratings with their growth lines, and the scores' distribution
#'
#' Above, one panel per dyad: the ratings of both raters (points, joined where
#' no session is missing between them) and their least-squares growth lines
#' (thick), from the dyad that converges least to the one that converges most.
#' At the top right of each panel stands the dyad's convergence, before the
#' transform if there is one, so that 0 lies between diverging and converging.
#' Below, the distribution of the scores of all dyads, before and after the
#' transform where there is one.
#'
#' @param x A result of [convergence()], or rows of one. It carries the ratings
#'   it was computed from, so no data are needed here.
#' @param what Which parts: `"dyads"`, `"scores"`, or both.
#' @param dyads How many dyads to show (the lowest, the highest and those at
#'   equal steps of rank between them), or the ids of those to show
#'   (`"cluster/dyad"` where the scores have a cluster).
#' @param col Colours of the first and of the second rater.
#' @param ... Graphical parameters for the panels of the dyads, such as `xlim`,
#'   `ylim`, `xlab`, `ylab` or `pch` (two values, one per rater).
#' @returns Invisibly the sessions in the panels, a data frame with one row per
#'   dyad, rater and session: `dyad`, `rater`, `time`, `rating`, `fitted` (the
#'   growth line).
#' @family scores
#' @examples
#' scores <- convergence(
#'   wai_patient + wai_therapist ~ session | patient,
#'   data = study1, per = "course", transform = "log"
#' )
#' plot(scores)
#' plot(scores, what = "dyads", dyads = c("P01", "P02"))
#' @export
plot.samepage_convergence <- function(x, what = c("dyads", "scores"), dyads = 12,
                                      col = c("#0072B2", "#D55E00"), ...) {
  check_scores(x)
  what <- check_what(what)
  if (nrow(x) == 0L) {
    stop_samepage("scores", "`x` must have at least one dyad; it has no rows.")
  }
  shown <- if ("dyads" %in% what) dyads_to_show(x, dyads) else integer()
  check_room(length(shown))
  panels <- lapply(shown, dyad_sessions, x = x, series = sessions_by_dyad(x))
  old <- graphics::par(no.readonly = TRUE)
  on.exit(graphics::par(old))
  histograms <- if ("scores" %in% what) score_histograms(x) else list()
  columns <- lay_out(length(panels), length(histograms))
  if (length(panels) > 0L) {
    draw_dyads(panels, x, shown, columns, rep_len(col, 2L), ...)
  }
  lapply(histograms, draw_histogram)
  rows <- do.call(rbind, panels)
  rownames(rows) <- NULL
  invisible(rows)
}

check_what <- function(what, call = rlang::caller_env()) {
  parts <- c("dyads", "scores")
  if (!is.character(what) || length(what) == 0L || !all(what %in% parts)) {
    stop_samepage(
      "argument",
      c(
        "`what` must be \"dyads\", \"scores\", or both.",
        x = paste0("Found: ", label_of(what), ".")
      ),
      call = call
    )
  }
  what
}

# The most panels that a page can hold and an eye can take in.
check_room <- function(panels, most = 150L, call = rlang::caller_env()) {
  if (panels > most) {
    stop_samepage(
      "argument",
      c(
        paste0("One picture shows at most ", most, " dyads."),
        x = paste0("Asked for: ", format_count(panels), "."),
        i = "Give `dyads` a smaller number, or some ids at a time."
      ),
      call = call
    )
  }
}

# Rows of the scores, in the order of their convergence.
dyads_to_show <- function(x, dyads, call = rlang::caller_env()) {
  ranked <- order(x$convergence)
  if (is.numeric(dyads) && length(dyads) == 1L && is.finite(dyads) && dyads >= 1) {
    scored <- ranked[!is.na(x$convergence[ranked])]
    if (length(scored) == 0L) {
      return(utils::head(ranked, dyads))
    }
    steps <- seq(1, length(scored), length.out = min(dyads, length(scored)))
    return(scored[round(steps)])
  }
  labels <- dyad_labels(as.list(x)[c(attr(x, "cluster"), attr(x, "dyad"))], seq_len(nrow(x)))
  wanted <- if (is.atomic(dyads)) id_text(dyads)
  unknown <- setdiff(wanted, labels)
  if (length(wanted) == 0L || length(unknown) > 0L) {
    stop_samepage(
      "argument",
      c(
        "`dyads` must be one number, how many to show, or ids of dyads in `x`.",
        x = if (length(unknown) > 0L) {
          paste0("Not among the ids: ", some_of(unknown), ".")
        } else {
          paste0("Found: ", label_of(dyads), ".")
        }
      ),
      call = call
    )
  }
  ranked[labels[ranked] %in% wanted]
}

# The sessions used, with the places where each dyad of the whole sample starts.
sessions_by_dyad <- function(x) {
  sessions <- attr(x, "sessions")
  every <- seq_len(length(sessions$starts) - 1L)
  list(sessions = sessions, labels = dyad_labels(sessions$ids, every))
}

dyad_sessions <- function(row, x, series) {
  ids <- as.list(x)[c(attr(x, "cluster"), attr(x, "dyad"))]
  label <- dyad_labels(ids, row)
  sessions <- series$sessions
  at <- match(label, series$labels)
  rows <- seq.int(sessions$starts[at] + 1L, length.out = diff(sessions$starts[at + 0:1]))
  # Growth lines are drawn as far as somebody rated, and no further.
  rated <- !is.na(sessions$first[rows]) | !is.na(sessions$second[rows])
  rows <- rows[rated & in_window(sessions$time[rows], attr(x, "window"))]
  time <- sessions$time[rows]
  unit <- if (attr(x, "per") == "course") attr(x, "course") else 1
  raters <- attr(x, "raters")
  parts <- lapply(1:2, function(k) {
    slope <- x[[paste0("slope_", raters[k])]][row] / unit
    data.frame(
      dyad = rep(label, length(rows)), rater = rep(raters[k], length(rows)), time = time,
      rating = sessions[[c("first", "second")[k]]][rows],
      fitted = x[[paste0("intercept_", raters[k])]][row] + slope * time
    )
  })
  do.call(rbind, parts)
}

# ---- Drawing --------------------------------------------------------------

#' Divide the page: a key, the panels with a strip for each axis' name, the
#' histograms
#'
#' @returns The number of panels side by side.
#' @noRd
lay_out <- function(panels, histograms) {
  columns <- columns_for(panels)
  rows <- if (panels > 0L) ceiling(panels / columns) else 0L
  # Panels and histograms have no common width: count in the smallest of both.
  halves <- max(histograms, 1L)
  width <- max(columns, 1L) * halves
  page <- matrix(0L, 0L, width + 1L)
  heights <- character()
  last <- 0L
  if (panels > 0L) {
    cells <- c(seq_len(panels) + 2L, rep(0L, rows * columns - panels))
    grid <- matrix(cells, rows, columns, byrow = TRUE)
    grid <- grid[, rep(seq_len(columns), each = halves), drop = FALSE]
    page <- rbind(1L, cbind(2L, grid), panels + 3L)
    heights <- c(graphics::lcm(0.9), rep("1", rows), graphics::lcm(1.1))
    last <- panels + 3L
  }
  if (histograms > 0L) {
    cells <- last + rep(seq_len(histograms), each = width / histograms)
    page <- rbind(page, c(0L, cells))
    heights <- c(heights, format(max(1, rows / 2)))
  }
  graphics::layout(page, widths = c(graphics::lcm(1.1), rep("1", width)), heights = heights)
  columns
}

# At least as wide as high, and as few empty places as can be.
columns_for <- function(panels) {
  candidates <- seq(ceiling(sqrt(panels)), ceiling(sqrt(2 * panels)))
  candidates[which.min(-panels %% pmax(candidates, 1L))]
}

draw_dyads <- function(panels, x, shown, columns, col, ...) {
  every <- do.call(rbind, panels)
  raters <- attr(x, "raters")
  settings <- utils::modifyList(
    list(
      x = NA, xlim = finite_range(every$time), ylim = finite_range(c(every$rating, every$fitted)),
      xlab = attr(x, "time"), ylab = paste(raters, collapse = ", "), pch = c(16, 2)
    ),
    list(...)
  )
  settings$pch <- rep_len(settings$pch, 2L)
  draw_key(raters, col, settings$pch)
  draw_strip(settings$ylab, srt = 90)
  names <- c("xlab", "ylab", "pch")
  labels <- settings[names]
  settings <- utils::modifyList(
    settings[setdiff(names(settings), names)],
    list(type = "n", xlab = "", ylab = "", axes = FALSE)
  )
  # No ticks between sessions that are counted.
  whole <- all(every$time == round(every$time))
  scores <- format_decimal(x$convergence_raw[shown], score_decimals(x$convergence_raw))
  for (i in seq_along(panels)) {
    graphics::par(mar = c(0.3, 0.3, 1.4, 0.3))
    do.call(graphics::plot.default, settings)
    draw_panel(panels[[i]], raters, col, labels$pch)
    graphics::box(col = "grey60")
    if (i %% columns == 1L || columns == 1L) {
      graphics::axis(2, las = 1, col = NA, col.ticks = "grey60")
    }
    if (i + columns > length(panels)) {
      ticks <- graphics::axTicks(1)
      if (whole) {
        ticks <- unique(round(ticks))
      }
      graphics::axis(1, ticks, col = NA, col.ticks = "grey60", padj = -0.6)
    }
    label_panel(panels[[i]]$dyad[1L], scores[i])
  }
  draw_strip(labels$xlab)
}

finite_range <- function(values) {
  range(values[is.finite(values)])
}

draw_panel <- function(panel, raters, col, pch) {
  for (k in 1:2) {
    own <- panel[panel$rater == raters[k], ]
    # Type "l" breaks at a missing rating, as it should.
    graphics::lines(own$time, own$rating, col = col[k], lwd = 0.7)
    graphics::points(own$time, own$rating, col = col[k], pch = pch[k], cex = 0.7)
    graphics::lines(own$time, own$fitted, col = col[k], lwd = 2.5)
  }
}

# The score is left out where it would run into the id.
label_panel <- function(id, score) {
  graphics::mtext(id, adj = 0, line = 0.2, cex = 0.6, font = 2)
  # mtext() takes cex as it is, strwidth() times par("cex").
  own <- 0.6 / graphics::par("cex")
  width <- graphics::strwidth(paste0(id, "00", score), "inches", cex = own, font = 2)
  if (width <= graphics::par("pin")[1L]) {
    graphics::mtext(score, adj = 1, line = 0.2, cex = 0.6)
  }
}

draw_key <- function(raters, col, pch) {
  graphics::par(mar = rep(0, 4))
  graphics::plot.new()
  graphics::legend(
    "center",
    legend = raters, col = col, pch = pch, lwd = 2.5, bty = "n", horiz = TRUE, cex = 1.1
  )
}

# The name of an axis that all panels share.
draw_strip <- function(text, srt = 0) {
  graphics::par(mar = rep(0, 4))
  graphics::plot.new()
  graphics::text(if (srt == 90) 0.15 else 0.5, if (srt == 90) 0.5 else 0.2, text, srt = srt)
}

# So many that the spread of the values shows two digits.
score_decimals <- function(values) {
  spread <- stats::sd(values, na.rm = TRUE)
  if (is.na(spread) || spread == 0) {
    return(2L)
  }
  as.integer(max(2, 1 + ceiling(-log10(spread))))
}

score_histograms <- function(x) {
  if (all(is.na(x$convergence))) {
    return(list())
  }
  unit <- if (attr(x, "per") == "unit") paste("per unit of", attr(x, "time")) else "per course"
  one <- function(values, title) {
    list(values = values[!is.na(values)], title = title, skewness = skewness(values))
  }
  if (attr(x, "transform") == "none") {
    return(list(one(x$convergence, paste("Convergence", unit))))
  }
  shift <- format(attr(x, "shift"), digits = 3L)
  list(
    one(x$convergence_raw, paste("Convergence", unit)),
    one(x$convergence, paste0("log(convergence + ", shift, ")"))
  )
}

draw_histogram <- function(part) {
  graphics::par(mar = c(2.6, 2, 2, 0.6), mgp = c(1.5, 0.5, 0))
  graphics::hist(
    part$values,
    main = "", xlab = "", ylab = "", col = "grey85", border = "white", las = 1
  )
  if (length(part$values) <= 1000L) {
    graphics::rug(part$values, col = "grey40")
  }
  graphics::abline(v = mean(part$values), lwd = 2)
  words <- paste0(
    part$title, ": mean ", format_decimal(mean(part$values), score_decimals(part$values)),
    ", skewness ",
    format_decimal(part$skewness)
  )
  graphics::title(main = words, cex.main = 1, font.main = 1)
}
