# Data frames and the picture of the three models.

#' Tidy data frames of the three models
#'
#' The three models of [convergence_models()] as data frames, for further tables and figures: one
#' row per parameter (`tidy()`) or one row per model (`glance()`).
#'
#' @param x Models from [convergence_models()].
#' @param effects Which parts: `"fixed"`, `"ran_pars"` (variances and
#'   covariances), or both.
#' @param conf.level Confidence level.
#' @param ... Not used; other arguments are an error.
#' @returns `tidy()`: a data frame with one row per model and parameter:
#'   `model` (1, 2, 3), `effect`, `group`, `term`, `estimate`, `std.error`, `df`
#'   (Satterthwaite; `NA` for `ran_pars`), `statistic` (t, or Wald z),
#'   `p.value`, `conf.low`, `conf.high`. Variances are in squared units of the
#'   outcome (and of outcome per unit of time).
#'   `glance()`: one row per model: `model`, `dyads`, and the columns of the
#'   fit's own `glance()`.
#' @family models of an outcome
#' @examples
#' scores <- convergence(wai_patient + wai_therapist ~ session | patient, data = study1)
#' models <- convergence_models(bdi ~ session | patient, data = study1, scores = scores)
#' subset(tidy(models), term == "convergence:session")
#' glance(models)
#' @export
tidy.samepage_models <- function(x, effects = c("fixed", "ran_pars"), conf.level = 0.95, ...) {
  check_no_dots(...)
  check_level(conf.level, "conf.level")
  columns <- c(
    "effect", "group", "term", "estimate", "std.error", "df", "statistic", "p.value",
    "conf.low", "conf.high"
  )
  parts <- lapply(seq_along(x), function(number) {
    rows <- tidy(
      x[[number]],
      effects = effects, conf.int = TRUE, conf.level = conf.level, scales = "vcov"
    )
    cbind(model = number, rows[columns])
  })
  table <- do.call(rbind, parts)
  rownames(table) <- NULL
  table
}

#' @rdname tidy.samepage_models
#' @export
glance.samepage_models <- function(x, ...) {
  check_no_dots(...)
  fits <- lapply(x, glance)
  samples <- attr(x, "samples")
  cbind(samples[c("model", "dyads")], do.call(rbind, unname(fits)))
}

#' Plot the outcome's course for dyads that converged little and much
#'
#' The outcome that a model expects over time where convergence is one standard
#' deviation below and above its mean over the dyads, with its confidence
#' interval as a shade; the other predictors are held at their means (a factor
#' at its most frequent level).
#'
#' @param x Models from [convergence_models()].
#' @param model Which of them: 2 (convergence only) or 3 (all predictors).
#' @param level Confidence level of the intervals (of the expected outcome at
#'   each time). Whether the lines differ is tested by the models, not by
#'   whether the shades overlap.
#' @param ... Graphical parameters for [graphics::matplot()], such as `ylim`,
#'   `xlab` or `col`.
#' @returns Invisibly the data frame plotted: `convergence` (in its own units),
#'   `time`, and in units of the outcome `estimate`, `std.error`, `conf.low` and
#'   `conf.high` (t intervals with the fit's degrees of freedom).
#' @family models of an outcome
#' @examples
#' scores <- convergence(wai_patient + wai_therapist ~ session | patient, data = study1)
#' models <- convergence_models(bdi ~ session | patient, data = study1, scores = scores)
#' plot(models)
#' @export
plot.samepage_models <- function(x, model = 3, level = 0.95, ...) {
  check_level(level, "level")
  if (!is.numeric(model) || length(model) != 1L || !model %in% 2:3) {
    stop_samepage("argument", c(
      "`model` must be 2 or 3.",
      x = paste0("Found: ", found_value(model), "."),
      i = "Model 1 has no convergence in it."
    ))
  }
  settings <- attr(x, "settings")
  expected <- expected_course(x, model, level)
  time <- unique(expected$time)
  by_group <- split(expected, rep(1:2, each = length(time)))
  estimates <- do.call(cbind, lapply(by_group, `[[`, "estimate"))
  defaults <- list(
    x = time, y = estimates, type = "l", lty = c(2, 1), lwd = 2,
    col = c("#D55E00", "#0072B2"), xlab = settings$time, ylab = settings$outcome, las = 1,
    ylim = range(expected[c("estimate", "conf.low", "conf.high")], na.rm = TRUE),
    main = paste0("Model ", model, ": ", settings$outcome, " and convergence")
  )
  arguments <- utils::modifyList(defaults, list(...))
  do.call(graphics::matplot, arguments)
  col <- rep_len(arguments$col, 2L)
  for (k in 1:2) {
    graphics::polygon(
      c(time, rev(time)), c(by_group[[k]]$conf.low, rev(by_group[[k]]$conf.high)),
      col = grDevices::adjustcolor(col[k], 0.15), border = NA
    )
  }
  values <- vapply(by_group, function(group) group$convergence[1L], 0)
  values <- number_text(values, row_decimals(diff(values)))
  graphics::legend(
    # Where the lines are not, as far as a corner can be that.
    if (stats::cor(expected$time, expected$estimate) > 0) "topleft" else "topright",
    legend = paste0("convergence ", c("-1", "+1"), " SD (", values, ")"),
    lty = arguments$lty, lwd = arguments$lwd, col = arguments$col, bty = "n"
  )
  invisible(expected)
}

# The course at two values of convergence. It is computed from the model frame,
# so that any expression of time works.
expected_course <- function(models, number, level) {
  fit <- models[[number]]
  centers <- attr(models, "centers")
  centers <- centers[centers$model == number, , drop = FALSE]
  frame <- component(fit, "frame")
  time_name <- attr(models, "settings")$time
  time <- as.numeric(frame[[time_name]])
  rows <- which(!duplicated(time))
  rows <- rows[order(time[rows])]
  typical <- typical_rows(frame[rows, , drop = FALSE], frame, time_name)
  for (i in seq_len(nrow(centers))) {
    typical[[centers$term[i]]] <- if (centers$centered[i]) 0 else centers$mean[i]
  }
  own <- centers[centers$term == "convergence", ]
  parts <- lapply(own$mean + c(-1, 1) * own$sd, function(value) {
    typical$convergence <- if (own$centered) value - own$mean else value
    design <- stats::model.matrix(
      component(fit, "terms"), typical, component(fit, "contrasts")
    )[, component(fit, "kept"), drop = FALSE]
    estimate <- drop(design %*% component(fit, "beta"))
    error <- sqrt(rowSums((design %*% test_vcov(fit)) * design))
    reach <- stats::qt((1 + level) / 2, contrast_df(fit, design)) * error
    data.frame(
      convergence = value, time = time[rows], estimate = estimate, std.error = error,
      conf.low = estimate - reach, conf.high = estimate + reach, row.names = NULL
    )
  })
  do.call(rbind, parts)
}

# Covariates at their mean or most frequent level, on every row.
typical_rows <- function(rows, frame, time_name) {
  for (name in setdiff(names(frame), time_name)) {
    values <- frame[[name]]
    if (is.numeric(values) && is.null(dim(values))) {
      rows[[name]] <- mean(values)
    } else if (is.factor(values) || is.character(values) || is.logical(values)) {
      most <- names(which.max(table(values)))
      rows[[name]] <- values[match(most, as.character(values))]
    }
  }
  rows
}
