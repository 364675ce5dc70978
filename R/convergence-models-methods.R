# Data frames and the picture of the three models.

#' Tidy data frames of the three models
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
#' deviation below and above its mean over the dyads; the other predictors are
#' held at their means (a factor at its most frequent level).
#'
#' @param x Models from [convergence_models()].
#' @param model Which of them: 2 (convergence only) or 3 (all predictors).
#' @param ... Graphical parameters for [graphics::matplot()], such as `ylim`,
#'   `xlab` or `col`.
#' @returns Invisibly the data frame plotted: `convergence` (in its own units),
#'   `time`, `estimate` and `std.error` in units of the outcome.
#' @family models of an outcome
#' @examples
#' scores <- convergence(wai_patient + wai_therapist ~ session | patient, data = study1)
#' models <- convergence_models(bdi ~ session | patient, data = study1, scores = scores)
#' plot(models)
#' @export
plot.samepage_models <- function(x, model = 3, ...) {
  if (!identical(as.numeric(model), 2) && !identical(as.numeric(model), 3)) {
    stop_samepage("argument", c(
      "`model` must be 2 or 3.",
      x = paste0("Found: ", some_of(model), "."),
      i = "Model 1 has no convergence in it."
    ))
  }
  settings <- attr(x, "settings")
  expected <- expected_course(x, model)
  by_group <- split(expected$estimate, expected$convergence)
  time <- unique(expected$time)
  defaults <- list(
    x = time, y = do.call(cbind, unname(by_group)), type = "l", lty = c(2, 1), lwd = 2,
    col = c("grey45", "black"), xlab = settings$time, ylab = settings$outcome,
    main = paste0("Model ", model, ": ", settings$outcome, " and convergence")
  )
  given <- list(...)
  arguments <- utils::modifyList(defaults, given)
  do.call(graphics::matplot, arguments)
  values <- as.numeric(names(by_group))
  values <- number_text(values, row_decimals(diff(values)))
  graphics::legend(
    "topright",
    legend = paste0("convergence ", c("-1", "+1"), " SD (", values, ")"),
    lty = arguments$lty, lwd = arguments$lwd, col = arguments$col, bty = "n"
  )
  invisible(expected)
}

# The course at two values of convergence. It is computed from the model frame,
# so that any expression of time works.
expected_course <- function(models, number) {
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
    variance <- rowSums((design %*% component(fit, "vcov")) * design)
    data.frame(
      convergence = value, time = time[rows],
      estimate = drop(design %*% component(fit, "beta")), std.error = sqrt(variance),
      row.names = NULL
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
