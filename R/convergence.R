# Two raters' session ratings in, one row of scores per dyad out.

definitions <- c("fitted", "absolute", "signed", "toward_zero", "squared")

#' Convergence of two raters' growth lines, one score per dyad
#'
#' Patient and therapist rate the same thing, such as their working alliance,
#' session after session. `convergence()` scores each dyad by the rate at which
#' the two ratings grow closer, together with each rater's own growth line,
#' the early levels, the early discrepancy and the development of the dyad's
#' mean. Except for `definition = "signed"`, **positive always means that the
#' two are converging**.
#'
#' @details
#' # Definitions
#'
#' P and T are the ratings of the first and second rater, D = P - T, t is time,
#' and b(y) is the ordinary least-squares slope of y on t within the dyad,
#' \deqn{b(y) = \frac{\sum_i (t_i - \bar t) y_i}{\sum_i (t_i - \bar t)^2}}{b(y) =
#'   sum((t - mean(t)) y) / sum((t - mean(t))^2)}
#' P^, T^ and D^ are the least-squares lines of P, T and D.
#'
#' | `definition` | convergence is | in words |
#' |---|---|---|
#' | `"fitted"` | -b(abs(P^ - T^)) | how fast the distance of the *fitted* lines shrinks |
#' | `"absolute"` | -b(abs(D)) | how fast the distance of the ratings shrinks |
#' | `"signed"` | b(D) | how fast P rises against T: a direction, not a closing |
#' | `"toward_zero"` | -s b(D) | how fast D moves from its first side towards 0, and on |
#' | `"squared"` | -b(D^2) | how fast the squared distance shrinks |
#'
#' where s is the sign of D^ at the dyad's first session rated by both.
#' `"fitted"` uses all sessions rated by either, the others those rated by both.
#'
#' The unit is that of the ratings (for `"squared"`, its square) per unit of
#' time, or per course. The definitions are not interchangeable. Two lines that
#' cross within the course first approach and then part, and `"fitted"` and
#' `"absolute"` see both halves, while `"toward_zero"` counts on in the same
#' direction. Where the two lines do not cross and both raters rated the same
#' sessions, `"fitted"` equals `"toward_zero"`; [summary()] says for how many
#' dyads the lines do not cross. Where the line of D starts at exactly 0, the
#' sign is 0 and so is `"toward_zero"`; a message counts such dyads. `"signed"`
#' says who moves towards whom only together with the early discrepancy: it is
#' the same number for a patient who starts below the therapist and catches up
#' and for one who starts above and moves away. With unmatched missing sessions,
#' b(P) - b(T) is not b(D), and a message counts the dyads where they differ.
#'
#' A dyad needs two usable sessions for a score (`"fitted"`: two from each
#' rater; the others: two rated by both) and three for a standard error.
#' Otherwise the score or the standard error is `NA`, the dyad stays in the
#' result, and a message names it.
#'
#' # Other columns
#'
#' Development is b((P + T) / 2), the slope of the dyad's mean over the sessions
#' rated by both. With `early = "first"` the early level is each rater's first
#' rating and the early discrepancy is D at the first session rated by both;
#' with `early = "intercept"` they are P^, T^ and P^ - T^ at the dyad's first
#' session rated by either.
#'
#' # Units and the log transform
#'
#' Slopes (of the raters, of the development and of the convergence) are per
#' unit of time, or with `per = "course"` times the range of the times used in
#' the whole sample: the change over a whole course. `transform = "log"`
#' replaces convergence c by log(c + shift), after `per`; without a `shift` of
#' your own it is 1 - min(c), so that the smallest score becomes log(1) = 0.
#' Per unit of time the log of a small number changes next to nothing; per
#' course it can make skewness better or worse, which is why [summary()]
#' prints it before and after.
#'
#' # Standard errors
#'
#' The standard error of a score comes from the residuals of the raters about
#' their own growth lines, never from the residuals of the line through the
#' fitted distances, which are nearly 0 by construction. `"fitted"` uses the
#' delta method: with the signs of the fitted distances held, the score is a
#' weighted sum of the ratings, with weights a_i on P and -b_i on T, and
#' \deqn{SE^2 = s_P^2 \sum a_i^2 + s_T^2 \sum b_i^2 - 2 s_{PT} \sum_C a_i b_i}{SE^2 =
#'   s_P^2 sum(a^2) + s_T^2 sum(b^2) - 2 s_PT sum(a b over C)}
#' where s_P^2 and s_T^2 are the residual variances (residual sum of squares
#' over n - 2) and C are the sessions rated by both. Residuals of the two
#' raters in one session are correlated. Their covariance is
#' \deqn{s_{PT} = \frac{\sum_C e_P e_T}{k}, \quad
#'   k = \sum_{i, j \in C} (I - H_P)_{ij} (I - H_T)_{ij}}{s_PT = sum(e_P e_T over C) / k,
#'   k = sum((I - H_P) (I - H_T), element by element, rows and columns C)}
#' with H_P and H_T the hat matrices of the two lines. This divisor makes the
#' estimate unbiased whichever sessions are missing; it is n - 2 when both
#' rated the same sessions, and SE is then the usual one of a slope of D. Where
#' the estimate exceeds s_P s_T, it is set to that. `"signed"` and
#' `"toward_zero"` have the usual standard error of the slope of D.
#' `"absolute"` and `"squared"` sum over sessions the variance that abs(D) and
#' D^2 have when D is normal about its line with the residual variance of D.
#' (The first-order formula gives abs(D) the variance of D, which makes its
#' standard error up to 1.7 times too large where the line of D is near 0.)
#' The log divides by c + shift; the shift is taken as known.
#'
#' Delta-method standard errors hold the sign of the discrepancy fixed. They
#' are too large for a dyad whose two lines lie on top of each other, and
#' missing where the sign is exactly 0.
#'
#' @param formula The raters, the time and the dyad: `first + second ~ time |
#'   dyad`, for example `wai_patient + wai_therapist ~ session | patient`. The
#'   left side may also be `cbind(first, second)`; every part may be a call,
#'   as in `log(a) + log(b) ~ I(session - 1) | patient`. Where the dyads' ids
#'   repeat across clusters, write `time | cluster/dyad`.
#' @param data A data frame with one row per dyad and session. The order of the
#'   rows does not matter, and ratings may be missing on either side.
#' @param definition What convergence is: `"fitted"` (the default),
#'   `"absolute"`, `"signed"`, `"toward_zero"` or `"squared"`.
#' @param per `"unit"`: slopes per unit of time; `"course"`: times the range of
#'   the times used.
#' @param transform `"none"`, or `"log"` for log(convergence + shift).
#' @param shift With `transform = "log"`, the number added before the log;
#'   `NULL` for 1 minus the smallest score.
#' @param early Where the early level comes from: `"first"` rating or
#'   `"intercept"`, the growth line at the dyad's first session.
#' @param early_discrepancy How the early discrepancy P - T is expressed:
#'   `"absolute"` for abs(P - T), `"log_absolute"` for log(1 + abs(P - T)), or
#'   `"signed"`.
#' @param window `c(from, to)`: only sessions in this range of time are used,
#'   for example early sessions to predict a later outcome. Either end may be
#'   infinite.
#' @param ... Not used; any further argument is an error.
#' @returns A data frame of class `samepage_convergence` with one row per dyad,
#'   sorted by id, and these columns (`<rater>` stands for the raters' names):
#'   \describe{
#'     \item{the id or ids}{under their own names}
#'     \item{`n_<rater>`, `n_both`}{numbers of sessions rated by each and by
#'       both}
#'     \item{`intercept_<rater>`}{the growth line at time 0}
#'     \item{`slope_<rater>`, `slope_se_<rater>`}{its slope and standard error,
#'       per unit or course}
#'     \item{`early_<rater>`, `early_discrepancy`}{early levels and
#'       discrepancy}
#'     \item{`development`}{slope of the mean of both raters, per unit or
#'       course}
#'     \item{`convergence`}{after `per` and `transform`}
#'     \item{`convergence_raw`}{before `transform`}
#'     \item{`convergence_se`}{standard error of `convergence`}
#'   }
#'   Attributes keep `formula`, `raters`, `time`, `dyad`, `cluster`,
#'   `definition`, `per`, `course` (the time range), `transform`, `shift`,
#'   `early`, `early_discrepancy`, `window`, `reliability` (see
#'   [reliability()]), `score_variance`, `counts` and, for
#'   [plot()][plot.samepage_convergence], the `sessions` that were scored. Rows
#'   taken with `[` keep them; a selection of columns, or rows bound together, is
#'   a plain data frame.
#' @family scores
#' @references Leone, F. C., Nelson, L. S., & Nottingham, R. B. (1961). The folded
#'   normal distribution. *Technometrics, 3*(4), 543-550. \doi{10.2307/1266560}
#'
#'   Nissen-Lie, H. A., Solbakken, O. A., Falkenström, F., Wampold, B. E.,
#'   Holmqvist, R., Ekeblad, A., & Monsen, J. T. (2020). Does it make a
#'   difference to be more "on the same page"? Investigating the role of
#'   alliance convergence for outcomes in two different samples. *Psychotherapy
#'   Research*. \doi{10.1080/10503307.2020.1823030}
#'
#'   Oehlert, G. W. (1992). A note on the delta method. *The American
#'   Statistician, 46*(1), 27-29. \doi{10.1080/00031305.1992.10475842}
#' @examples
#' scores <- convergence(
#'   wai_patient + wai_therapist ~ session | patient,
#'   data = study1, per = "course"
#' )
#' scores
#' summary(scores)
#' head(dyad_predictors(scores))
#' @export
convergence <- function(formula, data, definition = "fitted", per = c("unit", "course"),
                        transform = c("none", "log"), shift = NULL,
                        early = c("first", "intercept"),
                        early_discrepancy = c("absolute", "log_absolute", "signed"),
                        window = NULL, ...) {
  check_no_dots(...)
  call <- rlang::current_env()
  check_given(missing(formula), "formula", call)
  check_given(missing(data), "data", call)
  options <- list(
    definition = check_choice(definition, definitions, "definition"),
    per = check_choice(per, c("unit", "course"), "per"),
    transform = check_choice(transform, c("none", "log"), "transform"),
    early = check_choice(early, c("first", "intercept"), "early"),
    early_discrepancy = check_choice(
      early_discrepancy, c("absolute", "log_absolute", "signed"), "early_discrepancy"
    ),
    window = check_window(window, call)
  )
  check_shift(shift, options$transform, call)
  check_data_frame(data, call)
  spec <- parse_raters(formula, call)
  columns <- score_columns(spec, names(data), call)

  sessions <- read_sessions(spec, data, call)
  found <- fit_dyads(sessions, options)
  check_found(found, sessions, spec, options, call)

  scores <- assemble_scores(found, sessions, spec, columns, options, shift, call)
  inform_scores(scores)
  scores
}

# ---- Checks ---------------------------------------------------------------

check_given <- function(is_missing, arg, call) {
  if (is_missing) {
    stop_samepage(
      arg,
      c(
        paste0("`", arg, "` must be given."),
        i = "For example `convergence(patient + therapist ~ session | dyad, data = sessions)`."
      ),
      call = call
    )
  }
}

check_data_frame <- function(data, call) {
  if (!is.data.frame(data)) {
    stop_samepage(
      "data",
      c(
        "`data` must be a data frame with one row per dyad and session.",
        x = paste0("Found: ", describe_class(data), ".")
      ),
      call = call
    )
  }
  if (nrow(data) == 0L) {
    stop_samepage("data", "`data` must have at least one row; it has none.", call = call)
  }
}

check_window <- function(window, call) {
  if (is.null(window)) {
    return(NULL)
  }
  if (!is.numeric(window) || length(window) != 2L || anyNA(window) || window[1L] >= window[2L]) {
    stop_samepage(
      "window",
      c(
        "`window` must be `c(from, to)`: two numbers on the scale of time, the smaller first.",
        x = paste0("Found: ", label_of(window), "."),
        i = "For an open end use `Inf`, as in `c(3, Inf)`."
      ),
      call = call
    )
  }
  as.double(window)
}

check_shift <- function(shift, transform, call) {
  if (is.null(shift)) {
    return(invisible())
  }
  if (transform != "log") {
    stop_samepage(
      "shift",
      c(
        "`shift` is what the log transform adds, so it needs `transform = \"log\"`.",
        x = paste0("Found: `transform = \"", transform, "\"`.")
      ),
      call = call
    )
  }
  if (!is.numeric(shift) || length(shift) != 1L || !is.finite(shift)) {
    stop_samepage(
      "shift",
      c("`shift` must be one number.", x = paste0("Found: ", label_of(shift), ".")),
      call = call
    )
  }
}

#' The names of the result's columns, none of them taken
#' @noRd
score_columns <- function(spec, data_names, call) {
  columns <- result_columns(c(spec$first$name, spec$second$name))
  taken <- intersect(columns, data_names)
  if (length(taken) > 0L) {
    stop_samepage(
      "column_taken",
      c(
        "`data` must not have columns named like a column of the result.",
        x = paste0("Already in `data`: ", some_of(paste0("`", taken, "`")), "."),
        i = "Rename or remove them first; they may stem from an earlier call."
      ),
      columns = taken,
      call = call
    )
  }
  twice <- unique(columns[duplicated(columns)])
  if (length(twice) > 0L) {
    stop_samepage(
      "column_taken",
      c(
        "The raters' names must give different columns in the result.",
        x = paste0("Twice: ", some_of(paste0("`", twice, "`")), "."),
        i = "Rename one of the two rating columns."
      ),
      call = call
    )
  }
  columns
}

result_columns <- function(raters) {
  c(
    paste0("n_", raters), "n_both",
    as.vector(rbind(
      paste0("intercept_", raters), paste0("slope_", raters), paste0("slope_se_", raters)
    )),
    paste0("early_", raters), "early_discrepancy", "development",
    "convergence", "convergence_raw", "convergence_se"
  )
}

# A column of numbers; `role` is "rating" or "time".
check_numbers <- function(x, name, role, call) {
  if (is.matrix(x) && ncol(x) == 1L) {
    # What scale() gives.
    x <- x[, 1L]
  }
  if (is.logical(x) && is.null(dim(x)) && all(is.na(x))) {
    # A column without any value has no type of its own.
    return(as.double(x))
  }
  plain <- is.numeric(x) && is.null(dim(x)) && (!is.object(x) || inherits(x, c("AsIs", "numeric")))
  if (plain) {
    return(as.double(x))
  }
  if (inherits(x, "haven_labelled")) {
    advice <- paste0(
      "It has value labels from SPSS, SAS or Stata. `haven::zap_labels()` makes it plain ",
      "numbers and turns its user-defined missing values into NA."
    )
  } else if (is.factor(x) || is.character(x)) {
    advice <- advice_on_text(x)
  } else if (inherits(x, c("Date", "POSIXct", "difftime"))) {
    advice <- "Use the number of the session, or days since each dyad's first session."
  } else {
    advice <- "Convert it to numbers first."
  }
  if (length(dim(x)) > 0L) {
    advice <- "It must be a single column."
  }
  stop_samepage(
    "not_numeric",
    c(
      paste0("The ", role, " `", name, "` must be numbers."),
      x = paste0("Found: ", describe_class(x), "."),
      i = advice
    ),
    column = name,
    call = call
  )
}
