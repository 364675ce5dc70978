# summary() computes, print() prints. What a reader of SPSS output looks for is
# there: fixed effects with their degrees of freedom, variances with standard
# errors and Wald z, criteria with their definition named.

#' Summarise a mixed model
#'
#' The fixed effects with their tests, the covariance parameters with standard errors, Wald tests
#' and intervals, -2 log likelihood with information criteria, and what the optimiser found: the
#' tables that SPSS prints of a mixed model.
#'
#' @param object,x A fit of [lmm()] or its summary.
#' @param level Confidence level of the intervals.
#' @param digits Digits printed of the estimates (significant digits of the
#'   smallest standard error).
#' @param ... Not used; unknown arguments are an error.
#' @returns `summary()` returns a list of class `summary.samepage_lmm` with,
#'   among others,
#'   * `coefficients`: matrix, one row per fixed effect, columns `Estimate`,
#'     `Std. Error`, `df`, `t value`, `Pr(>|t|)`;
#'   * `varcomp`: data frame, one row per covariance parameter: `grp`, `var1`,
#'     `var2` (as in lme4: `var2` is `NA` for a variance), `estimate`,
#'     `std.error` (from the observed information), `z`, `p.value` (Wald,
#'     two-sided), `conf.low`, `conf.high` (Wald; a variance's on the log scale,
#'     a covariance's as it is). Standard error and what follows from it are
#'     `NA` for a parameter that a boundary makes redundant;
#'   * `criteria`: [information_criteria()] by SPSS's definition;
#'   * `status`: [fit_status()];
#'   * `n_rows`, `n_dropped`, `n_units`: rows used, rows left out for missing
#'     values, units per level (innermost first).
#' @family inference
#' @examples
#' fit <- lmm(distance ~ I(age - 11) + (I(age - 11) | Subject), data = nlme::Orthodont)
#' summary(fit)
#' summary(fit)$varcomp
#' @export
summary.samepage_lmm <- function(object, level = 0.95, ...) {
  check_no_dots(...)
  check_level(level, "level")
  structure(
    list(
      call = component(object, "call"),
      formula = component(object, "formula"),
      method = component(object, "method"),
      df = component(object, "df"),
      df_words = df_words(object),
      coefficients = fixed_table(object),
      varcomp = parameter_tests(object, level),
      criteria = information_criteria(object, "spss"),
      level = level,
      status = fit_status(object),
      n_rows = component(object, "n"),
      rank = component(object, "rank"),
      n_dropped = length(component(object, "na_action")),
      n_units = component(object, "n_units"),
      aliased = component(object, "aliased")
    ),
    class = "summary.samepage_lmm"
  )
}

#' @rdname summary.samepage_lmm
#' @export
print.summary.samepage_lmm <- function(x, digits = 4L, ...) {
  check_no_dots(...)
  print_fit_head(x$formula, x$method, x$n_rows, x$n_dropped, x$n_units)
  percent <- paste0(format(100 * x$level), "%")
  cat("\nFixed effects (", x$df_words, "):\n", sep = "")
  table <- x$coefficients
  reach <- stats::qt((1 + x$level) / 2, table[, "df"]) * table[, "Std. Error"]
  print_table(cbind(
    format_numbers(table[, c("Estimate", "Std. Error"), drop = FALSE], digits),
    df = format(round(table[, "df"], 1), nsmall = 1),
    t = formatC(table[, "t value"], format = "f", digits = 2),
    p = format_p(table[, "Pr(>|t|)"]),
    interval_column(
      table[, "Estimate"] - reach, table[, "Estimate"] + reach, percent,
      table[, "Std. Error"], digits
    )
  ))
  print_aliased(x$aliased)

  varcomp <- x$varcomp
  cat(
    "\nRandom effects (Wald z, two-sided p; ", percent,
    " interval of a variance on the log scale):\n",
    sep = ""
  )
  table <- cbind(
    format_numbers(
      cbind(Estimate = varcomp$estimate, `Std. Error` = varcomp$std.error), digits
    ),
    z = formatC(varcomp$z, format = "f", digits = 2),
    p = format_p(varcomp$p.value),
    interval_column(varcomp$conf.low, varcomp$conf.high, percent, varcomp$std.error, digits)
  )
  rownames(table) <- parameter_labels(varcomp)
  print_table(table)

  print_criteria(x$criteria, x$method, x$n_rows, x$rank)
  cat("\n")
  print(x$status)
  invisible(x)
}

#' @rdname summary.samepage_lmm
#' @export
print.samepage_lmm <- function(x, digits = 4L, ...) {
  check_no_dots(...)
  print_fit_head(
    component(x, "formula"), component(x, "method"), component(x, "n"),
    length(component(x, "na_action")), component(x, "n_units")
  )
  cat("\nFixed effects:\n")
  print(component(x, "beta"), digits = digits)
  print_aliased(component(x, "aliased"))
  cat("\nRandom effects (standard deviations and correlations):\n")
  print(VarCorr(x), digits = digits)
  print_criteria(
    information_criteria(x, "spss"), component(x, "method"), component(x, "n"),
    component(x, "rank")
  )
  cat("\n")
  print(fit_status(x))
  invisible(x)
}

print_fit_head <- function(formula, method, n, n_dropped, n_units) {
  words <- c(REML = "restricted maximum likelihood (REML)", ML = "maximum likelihood (ML)")
  cat("Linear mixed model by ", words[[method]], "\n", sep = "")
  cat(strwrap(paste(deparse(formula, 500L), collapse = " "), exdent = 4L), sep = "\n")
  cat(
    "Rows: ", format(n, big.mark = ","), " used",
    if (n_dropped > 0L) {
      paste0(", ", format(n_dropped, big.mark = ","), " left out (missing values)")
    },
    ". Units: ",
    paste0(names(n_units), " ", format(n_units, big.mark = ",", trim = TRUE), collapse = ", "),
    ".\n",
    sep = ""
  )
}

# Each column left out has its reason with it, as one sentence.
print_aliased <- function(aliased) {
  for (reason in attr(aliased, "because")) {
    cat(strwrap(paste("Left out:", reason), exdent = 2L), sep = "\n")
  }
}

print_criteria <- function(criteria, method, n, rank) {
  reml <- method == "REML"
  cat(
    "\nInformation criteria (SPSS's definition: ",
    if (reml) "covariance parameters only, n = " else "all parameters, n = ",
    format(if (reml) n - rank else n, big.mark = ","), "):\n",
    sep = ""
  )
  names(criteria) <- c(
    if (reml) "-2 restricted log L" else "-2 log L", "AIC", "AICC", "CAIC", "BIC"
  )
  print_table(t(formatC(criteria, format = "f", digits = 3)))
}

# "patient: var session", "patient: cov (Intercept), session".
parameter_labels <- function(varcomp) {
  group <- sub("\\.[0-9]+$", "", varcomp$grp)
  ifelse(
    is.na(varcomp$var1), "Residual variance",
    ifelse(
      is.na(varcomp$var2),
      paste0(group, ": var ", varcomp$var1),
      paste0(group, ": cov ", varcomp$var1, ", ", varcomp$var2)
    )
  )
}

# --- small pieces of printed tables -------------------------------------------

# Every row to as many decimals as show `digits` - 1 significant digits of its
# standard error, two at least.
decimals_for <- function(error, digits) {
  size <- ifelse(is.finite(error) & error > 0, floor(log10(error)), 0)
  pmin(pmax(digits - 2 - size, 2), 10)
}

format_numbers <- function(x, digits) {
  decimals <- decimals_for(x[, ncol(x)], digits)
  x[] <- vapply(seq_along(x), function(i) {
    value <- as.numeric(x[i])
    if (is.na(value)) {
      ""
    } else if (abs(value) >= 1e12) {
      # An end of an interval, of a variance that says nothing.
      formatC(value, format = "e", digits = 1L)
    } else {
      formatC(value, format = "f", digits = decimals[(i - 1L) %% nrow(x) + 1L])
    }
  }, character(1))
  x
}

interval_column <- function(low, high, percent, error, digits) {
  shown <- format_numbers(cbind(low, high, error), digits)
  text <- ifelse(is.na(low), "", paste0("[", shown[, 1L], ", ", shown[, 2L], "]"))
  matrix(text, dimnames = list(NULL, paste(percent, "interval")))
}

format_p <- function(p) {
  shown <- sub("^0", "", formatC(p, format = "f", digits = 3))
  ifelse(is.na(p), "", ifelse(p < 0.001, "<.001", shown))
}

print_table <- function(table) {
  table[is.na(table) | trimws(table) %in% c("NA", "NaN")] <- ""
  if (is.null(rownames(table))) {
    rownames(table) <- rep("", nrow(table))
  }
  print(table, quote = FALSE, right = TRUE)
}

# --- variances and correlations in lme4's shape --------------------------------

#' Variances and correlations of the random effects
#'
#' How much units differ in their intercepts and slopes, how these go together, and how much rows
#' differ within units.
#'
#' @param x A fit of [lmm()].
#' @param sigma Factor by which the standard deviations are multiplied.
#' @param ... Not used; unknown arguments are an error.
#' @param row.names,optional Not used; `as.data.frame()` has them.
#' @param order `"cov.last"` (variances of a group before its covariances) or
#'   `"lower.tri"` (column by column through the lower triangle).
#' @param digits Digits printed.
#' @returns A list of class `samepage_varcorr` with one covariance matrix per
#'   random term, each with attributes `stddev` and `correlation`, and the
#'   residual standard deviation as attribute `sc`: lme4's shape.
#'   `as.data.frame()` of it has the columns `grp`, `var1`, `var2`, `vcov`,
#'   `sdcor`, in squared units and units of the outcome (per unit of the
#'   variable).
#' @family inference
#' @examples
#' fit <- lmm(distance ~ I(age - 11) + (I(age - 11) | Subject), data = nlme::Orthodont)
#' VarCorr(fit)
#' as.data.frame(VarCorr(fit))
#' @export
VarCorr.samepage_lmm <- function(x, sigma = 1, ...) {
  check_no_dots(...)
  blocks <- component(x, "blocks")
  terms <- lapply(component(x, "covariances"), function(covariance) {
    covariance <- covariance * sigma^2
    stddev <- sqrt(pmax(diag(covariance), 0))
    correlation <- covariance / outer(stddev, stddev)
    diag(correlation) <- 1
    structure(covariance, stddev = stddev, correlation = correlation)
  })
  names(terms) <- make.unique(vapply(blocks, function(block) block$group, character(1)))
  structure(
    terms,
    sc = sigma * sqrt(component(x, "residual_variance")), useSc = TRUE, class = "samepage_varcorr"
  )
}

#' @rdname VarCorr.samepage_lmm
#' @export
as.data.frame.samepage_varcorr <- function(x, row.names = NULL, optional = FALSE,
                                           order = c("cov.last", "lower.tri"), ...) {
  check_no_dots(...)
  arrangement <- check_choice(order, c("cov.last", "lower.tri"), "order")
  rows <- lapply(names(x), function(group) {
    covariance <- x[[group]]
    correlation <- attr(covariance, "correlation")
    diag(correlation) <- attr(covariance, "stddev")
    at <- which(lower.tri(covariance, diag = TRUE), arr.ind = TRUE)
    if (arrangement == "cov.last") {
      at <- at[base::order(at[, 1L] != at[, 2L]), , drop = FALSE]
    }
    names <- rownames(covariance)
    data.frame(
      grp = group, var1 = names[at[, 2L]],
      var2 = ifelse(at[, 1L] == at[, 2L], NA_character_, names[at[, 1L]]),
      vcov = covariance[at], sdcor = correlation[at]
    )
  })
  sc <- attr(x, "sc")
  residual <- data.frame(
    grp = "Residual", var1 = NA_character_, var2 = NA_character_, vcov = sc^2, sdcor = sc
  )
  table <- do.call(rbind, c(rows, list(residual)))
  rownames(table) <- row.names
  table
}

#' @rdname VarCorr.samepage_lmm
#' @export
print.samepage_varcorr <- function(x, digits = 4L, ...) {
  check_no_dots(...)
  rows <- lapply(names(x), function(group) {
    stddev <- attr(x[[group]], "stddev")
    q <- length(stddev)
    correlation <- formatC(attr(x[[group]], "correlation"), format = "f", digits = 2)
    correlation[upper.tri(correlation, diag = TRUE)] <- ""
    cbind(
      Group = c(sub("\\.[0-9]+$", "", group), rep("", q - 1L)), Name = names(stddev),
      `Std.Dev.` = format(stddev, digits = digits),
      Corr = correlation, matrix("", q, most_columns(x) - q)
    )[, seq_len(3L + max(most_columns(x) - 1L, 0L)), drop = FALSE]
  })
  residual <- format(attr(x, "sc"), digits = digits)
  table <- do.call(rbind, rows)
  table <- rbind(table, c("Residual", "", residual, rep("", ncol(table) - 3L)))
  colnames(table) <- c(
    "Group", "Name", "Std.Dev.", c("Corr", rep("", ncol(table)))[seq_len(ncol(table) - 3L)]
  )
  rownames(table) <- NULL
  table[, 1:2] <- format(table[, 1:2, drop = FALSE])
  print_table(table)
  invisible(x)
}

most_columns <- function(x) {
  max(vapply(x, ncol, integer(1)))
}
