# Diagnostic plots of a fit.

#' Plots of a mixed model
#'
#' The assumptions of a mixed model, to look at: residuals without pattern and of equal
#' spread; residuals and random effects that look normal.
#'
#' @param x A fit of [lmm()].
#' @param which Which plots: `"fitted"` (residuals against fitted values, with a smooth
#'   line), `"residuals"` (normal quantiles of the residuals) and `"random"` (normal
#'   quantiles of each predicted random effect, divided by its standard deviation over
#'   units; effects with a variance of zero are left out).
#' @param ... Graphical parameters for [graphics::plot.default()], such as `pch` or `col`.
#' @returns The fit, invisibly. Several plots are drawn side by side on one page.
#' @family inference
#' @examples
#' fit <- lmm(distance ~ age + (age | Subject), data = nlme::Orthodont)
#' plot(fit)
#' plot(fit, which = "fitted", pch = 20)
#' @export
plot.samepage_lmm <- function(x, which = c("fitted", "residuals", "random"), ...) {
  known <- c("fitted", "residuals", "random")
  if (!is.character(which) || length(which) == 0L || !all(which %in% known)) {
    stop_samepage("argument", c(
      paste0("`which` must be some of ", paste0("\"", known, "\"", collapse = ", "), "."),
      x = paste0("Found: ", some_of(which), ".")
    ))
  }
  panels <- unlist(lapply(unique(which), function(panel) {
    if (panel == "random") standard_effects(x) else list(panel)
  }), recursive = FALSE)
  if (length(panels) > 1L) {
    rows <- floor(sqrt(length(panels)))
    old <- graphics::par(mfrow = c(rows, ceiling(length(panels) / rows)))
    on.exit(graphics::par(old))
  }
  fitted <- stats::na.omit(stats::fitted(x))
  residuals <- stats::na.omit(stats::residuals(x, "pearson", scaled = TRUE))
  for (panel in panels) {
    if (is.list(panel)) {
      quantile_plot(panel$values, panel$title, panel$label, ...)
    } else if (panel == "residuals") {
      quantile_plot(residuals, "Residuals", "Standardised residual", ...)
    } else {
      draw(
        list(
          x = fitted, y = residuals, main = "Residuals and fitted values", xlab = "Fitted value",
          ylab = "Standardised residual"
        ), ...
      )
      graphics::abline(h = 0, lty = 2)
      graphics::lines(stats::lowess(fitted, residuals), col = 2)
    }
  }
  invisible(x)
}

# The user's own parameters go before ours.
draw <- function(arguments, ...) {
  do.call(graphics::plot.default, utils::modifyList(arguments, list(...)))
}

quantile_plot <- function(values, title, label, ...) {
  points <- stats::qqnorm(values, plot.it = FALSE)
  draw(
    list(x = points$x, y = points$y, main = title, xlab = "Normal quantile", ylab = label), ...
  )
  stats::qqline(values, lty = 2)
}

# Predicted effects over their own standard deviation: that of the random effect less
# what its prediction leaves unknown.
standard_effects <- function(fit) {
  covariances <- component(fit, "covariances")
  blocks <- component(fit, "blocks")
  effects <- unit_effects(fit)
  panels <- list()
  for (i in seq_along(blocks)) {
    level <- effects$levels[[blocks[[i]]$level]]
    for (j in seq_along(blocks[[i]]$columns)) {
      row <- effects$rows[[i]][j]
      spread <- covariances[[i]][j, j] - level$variance[row, row, ]
      usable <- spread > 1e-8 * covariances[[i]][j, j]
      if (sum(usable) > 1L) {
        panels[[length(panels) + 1L]] <- list(
          values = level$mean[row, usable] / sqrt(spread[usable]),
          title = paste0(blocks[[i]]$names[j], " by ", blocks[[i]]$group),
          label = "Standardised effect"
        )
      }
    }
  }
  panels
}
