# Each dyad's growth lines from the core, and the table of scores made of them.

fit_dyads <- function(sessions, options) {
  window <- if (is.null(options$window)) c(-Inf, Inf) else options$window
  .Call(
    C_dyad_ols, sessions$starts, sessions$time, sessions$first, sessions$second,
    match(options$definition, definitions) - 1L, options$early == "intercept", window
  )
}

check_found <- function(found, sessions, spec, options, call) {
  totals <- found$totals
  if (totals$n_infinite > 0) {
    stop_infinite(sessions, spec, options$window, call)
  }
  if (!is.null(options$window) && totals$time_min > totals$time_max) {
    stop_samepage(
      "window",
      c(
        "`window` must contain rated sessions.",
        x = paste0(
          "No session with a rating has `", spec$time$name, "` between ",
          paste(format_number(options$window), collapse = " and "), "."
        ),
        i = paste0(
          "`", spec$time$name, "` runs from ",
          paste(format_number(range(sessions$time, na.rm = TRUE)), collapse = " to "), "."
        )
      ),
      call = call
    )
  }
  if (all(is.na(found$scores$convergence))) {
    stop_samepage(
      "too_few_sessions",
      c(
        paste0("At least one dyad must have ", sessions_needed(options$definition), "."),
        x = paste0(
          "In ", count_of(length(sessions$starts) - 1L, "dyad"), ": ",
          count_of(totals$n_both, "session"), " rated by both, ",
          count_of(totals$n_first_only, "session"), " by `", spec$first$name, "` only, ",
          count_of(totals$n_second_only, "session"), " by `", spec$second$name, "` only."
        )
      ),
      call = call
    )
  }
}

sessions_needed <- function(definition) {
  if (definition == "fitted") "two sessions from each rater" else "two sessions rated by both"
}

# Which times are known, and within the window where there is one.
in_window <- function(time, window) {
  known <- !is.na(time)
  if (is.null(window)) known else known & time >= window[1L] & time <= window[2L]
}

stop_infinite <- function(sessions, spec, window, call) {
  values <- list(sessions$time, sessions$first, sessions$second)
  names(values) <- c(spec$time$name, spec$first$name, spec$second$name)
  used <- in_window(sessions$time, window)
  infinite <- lapply(values, function(x) is.infinite(x) & used)
  infinite <- infinite[vapply(infinite, any, NA)]
  dyads <- unique(findInterval(which(Reduce(`|`, infinite)) - 1L, sessions$starts))
  columns <- paste0("`", names(infinite), "`")
  stop_samepage(
    "infinite",
    c(
      "Times and ratings must be finite numbers, or NA where missing.",
      x = paste0(
        "Infinite values in ", paste(columns, collapse = " and "), " of ",
        if (length(dyads) == 1L) "dyad " else "dyads ",
        some_of(dyad_labels(sessions$ids, dyads)), "."
      ),
      i = "A log of 0 or a division by 0 gives such values."
    ),
    columns = names(infinite),
    call = call
  )
}

assemble_scores <- function(found, sessions, spec, columns, options, shift, call) {
  core <- found$scores
  course <- found$totals$time_max - found$totals$time_min
  unit <- if (options$per == "course") course else 1
  raw <- core$convergence * unit
  logged <- apply_transform(raw, options$transform, shift, sessions$ids, call)
  values <- list(
    core$n_first, core$n_second, core$n_both,
    core$intercept_first, core$slope_first * unit, core$slope_se_first * unit,
    core$intercept_second, core$slope_second * unit, core$slope_se_second * unit,
    core$early_first, core$early_second,
    express_discrepancy(core$early_difference, options$early_discrepancy),
    core$development * unit,
    logged$scores, raw, core$convergence_se * unit / logged$divisor
  )
  names(values) <- columns
  reliability <- sample_reliability(
    found, logged$scores, unit / logged$divisor, sessions, options
  )
  structure(
    c(sessions$ids, values),
    class = c("samepage_convergence", "data.frame"),
    row.names = .set_row_names(length(raw)),
    formula = spec$formula,
    raters = c(spec$first$name, spec$second$name),
    time = spec$time$name,
    dyad = spec$dyad$name,
    cluster = spec$cluster$name,
    definition = options$definition,
    per = options$per,
    course = course,
    transform = options$transform,
    shift = logged$shift,
    early = options$early,
    early_discrepancy = options$early_discrepancy,
    window = options$window,
    reliability = reliability$reliability,
    score_variance = reliability$variance,
    counts = count_sessions(found, sessions, options$definition),
    sessions = sessions[c("time", "first", "second", "starts", "ids")]
  )
}

express_discrepancy <- function(difference, kind) {
  switch(kind,
    absolute = abs(difference),
    log_absolute = log1p(abs(difference)),
    signed = difference
  )
}

apply_transform <- function(raw, transform, shift, ids, call) {
  if (transform == "none") {
    return(list(scores = raw, divisor = 1, shift = NULL))
  }
  if (is.null(shift)) {
    shift <- 1 - min(raw, na.rm = TRUE)
  }
  shifted <- raw + shift
  low <- which(shifted <= 0)
  if (length(low) > 0L) {
    stop_samepage(
      "shift",
      c(
        "`shift` must make every score positive before the log.",
        x = paste0(
          "With ", format_number(shift), ", convergence + shift is 0 or less for ",
          if (length(low) == 1L) "dyad " else "dyads ", some_of(dyad_labels(ids, low)), "."
        ),
        i = paste0(
          "Give more than ", format(-min(raw, na.rm = TRUE), digits = 6L),
          ", or leave `shift` out for 1 minus the smallest score."
        )
      ),
      call = call
    )
  }
  list(scores = log(shifted), divisor = shifted, shift = shift)
}

count_sessions <- function(found, sessions, definition) {
  totals <- found$totals
  score <- found$scores$convergence
  counts <- c(
    rows = sessions$n_rows,
    rows_no_id = sessions$n_no_id,
    rows_no_time = sessions$n_no_time,
    rows_outside = totals$n_outside,
    rows_unrated = totals$n_unrated,
    sessions_both = totals$n_both,
    sessions_first_only = totals$n_first_only,
    sessions_second_only = totals$n_second_only,
    dyads = length(score),
    dyads_scored = sum(!is.na(score)),
    dyads_with_se = sum(!is.na(found$scores$convergence_se)),
    not_crossing = if (definition == "fitted") totals$n_not_crossing else NA,
    crossing = if (definition == "fitted") totals$n_crossing else NA,
    slopes_differ = totals$n_slopes_differ,
    sign_zero = if (definition == "toward_zero") totals$n_sign_zero else NA
  )
  storage.mode(counts) <- "integer"
  counts
}
