# tidy, glance, augment: broom.mixed's columns and names.

#' Tidy data frames of a mixed model
#'
#' A fit as data frames, for further tables and figures: one row per parameter (`tidy()`), one row
#' per fit (`glance()`), or the rows of the data with fitted values and residuals (`augment()`).
#'
#' @param x A fit of [lmm()].
#' @param effects Which parts: `"fixed"`, `"ran_pars"` (variances or standard
#'   deviations of the random effects) and `"ran_vals"` (each unit's predicted
#'   random effects).
#' @param conf.int Whether to add `conf.low` and `conf.high`.
#' @param conf.level Confidence level.
#' @param scales Of `ran_pars`: `"sdcor"` for standard deviations and
#'   correlations, `"vcov"` for variances and covariances (with Wald z and p).
#' @param data The data to which `augment()` adds columns, with one row per row
#'   used. Default: the model frame.
#' @param ... Not used; unknown arguments are an error.
#' @returns `tidy()`: a data frame, one row per term, with `effect`, `group`,
#'   `level` (with `"ran_vals"`: the unit), `term`, `estimate`, `std.error`, `df`,
#'   `statistic`, `p.value`, and the interval. `glance()`: one row with `nobs`,
#'   `sigma`, `logLik`, `AIC`, `BIC` (R's definition, comparable with other R
#'   packages), `REMLcrit` or `deviance`, `df.residual`, `status`. `augment()`: the
#'   rows used with `.fitted`, `.resid` and `.fixed` (prediction without random
#'   effects), in the unit of the outcome.
#' @family inference
#' @examples
#' fit <- lmm(distance ~ I(age - 11) + (I(age - 11) | Subject), data = nlme::Orthodont)
#' tidy(fit, conf.int = TRUE)
#' tidy(fit, "ran_pars", scales = "vcov")
#' glance(fit)
#' head(augment(fit))
#' @name tidy.samepage_lmm
NULL

#' @rdname tidy.samepage_lmm
#' @export
tidy.samepage_lmm <- function(x, effects = c("fixed", "ran_pars"), conf.int = FALSE,
                              conf.level = 0.95, scales = c("sdcor", "vcov"), ...) {
  check_no_dots(...)
  check_flag(conf.int, "conf.int")
  check_level(conf.level, "conf.level")
  scales <- check_choice(scales, c("sdcor", "vcov"), "scales")
  known <- c("fixed", "ran_pars", "ran_vals")
  if (!is.character(effects) || length(effects) == 0L || !all(effects %in% known)) {
    stop_samepage("argument", c(
      paste0("`effects` must be some of ", paste0("\"", known, "\"", collapse = ", "), "."),
      x = paste0("Found: ", some_of(effects), ".")
    ))
  }
  parts <- lapply(intersect(known, effects), function(effect) {
    switch(effect,
      fixed = tidy_fixed(x, conf.level),
      ran_pars = tidy_parameters(x, conf.level, scales),
      ran_vals = tidy_units(x, conf.level)
    )
  })
  columns <- c(
    "effect", "group", if ("ran_vals" %in% effects) "level", "term", "estimate", "std.error",
    "df", "statistic", "p.value", if (conf.int) c("conf.low", "conf.high")
  )
  filled <- lapply(parts, function(part) {
    part[setdiff(columns, names(part))] <- NA
    part[columns]
  })
  tidied <- do.call(rbind, filled)
  rownames(tidied) <- NULL
  tidied
}

tidy_fixed <- function(x, level) {
  table <- fixed_table(x)
  interval <- wald_fixed(x, level)
  data.frame(
    effect = "fixed", group = NA_character_, level = NA_character_, term = rownames(table),
    estimate = table[, "Estimate"], std.error = table[, "Std. Error"], df = table[, "df"],
    statistic = table[, "t value"], p.value = table[, "Pr(>|t|)"],
    conf.low = interval[, 1L], conf.high = interval[, 2L], row.names = NULL
  )
}

tidy_parameters <- function(x, level, scales) {
  table <- component(x, "parameter_table")
  words <- if (scales == "sdcor") c("sd", "cor") else c("var", "cov")
  term <- ifelse(
    is.na(table$var1), paste0(words[1L], "__Observation"),
    ifelse(
      is.na(table$var2), paste0(words[1L], "__", table$var1),
      paste0(words[2L], "__", table$var1, ".", table$var2)
    )
  )
  base <- data.frame(
    effect = "ran_pars", group = table$grp, level = NA_character_, term = term, df = NA_real_
  )
  if (scales == "vcov") {
    tests <- parameter_tests(x, level)
    return(data.frame(
      base,
      estimate = tests$estimate, std.error = tests$std.error, statistic = tests$z,
      p.value = tests$p.value, conf.low = tests$conf.low, conf.high = tests$conf.high
    ))
  }
  at <- sd_correlations(x)
  interval <- wald_random(x, level)
  data.frame(
    base,
    estimate = at$value, std.error = sd_correlation_errors(x, at), statistic = NA_real_,
    p.value = NA_real_, conf.low = interval[, 1L], conf.high = interval[, 2L], row.names = NULL
  )
}

# Each unit's predicted effects; their intervals rest on the conditional variance.
tidy_units <- function(x, level) {
  units <- as.data.frame(ranef(x))
  reach <- stats::qnorm((1 + level) / 2) * units$condsd
  data.frame(
    effect = "ran_vals", group = units$grpvar, level = as.character(units$grp),
    term = as.character(units$term), estimate = units$condval, std.error = units$condsd,
    conf.low = units$condval - reach, conf.high = units$condval + reach
  )
}

#' @rdname tidy.samepage_lmm
#' @export
glance.samepage_lmm <- function(x, ...) {
  check_no_dots(...)
  criteria <- information_criteria(x, "r")
  reml <- component(x, "reml")
  data.frame(
    nobs = component(x, "n"), sigma = sqrt(component(x, "residual_variance")),
    logLik = -criteria[["m2ll"]] / 2, AIC = criteria[["aic"]], BIC = criteria[["bic"]],
    REMLcrit = if (reml) criteria[["m2ll"]] else NA_real_,
    deviance = if (reml) NA_real_ else criteria[["m2ll"]],
    df.residual = stats::df.residual(x),
    status = component(x, "status")
  )
}

#' @rdname tidy.samepage_lmm
#' @export
augment.samepage_lmm <- function(x, data = NULL, ...) {
  check_no_dots(...)
  if (is.null(data)) {
    data <- component(x, "frame")
  } else if (!is.data.frame(data) || nrow(data) != component(x, "n")) {
    stop_samepage("argument", c(
      paste0("`data` must have one row per row used, ", component(x, "n"), "."),
      x = paste0("Found: ", if (is.data.frame(data)) nrow(data) else class(data)[1L], "."),
      i = "Without `data`, the columns are added to the model frame."
    ))
  }
  omitted <- component(x, "na_action")
  # The others pad rows left out under na.exclude; here are only those used.
  used <- function(values) {
    as.vector(if (inherits(omitted, "exclude")) values[-omitted] else values)
  }
  data$.fitted <- used(stats::fitted(x))
  data$.resid <- used(stats::residuals(x))
  data$.fixed <- used(stats::predict(x, re.form = NA))
  data
}
