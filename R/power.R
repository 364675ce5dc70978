# Power of the slope of a simple regression: the paper's own calculation, and
# what the imprecision of the predictor does to it.

#' Power of a regression slope
#'
#' The power of the test of one standardised predictor in a simple regression,
#' which Nissen-Lie et al. (2020) used as an approximation of the part of their
#' models that lies between dyads. Give two of `n`, `beta` and `power`; the third
#' is solved for.
#'
#' @section The calculation:
#' With `n` dyads and a standardised slope \eqn{\beta}, the test statistic follows a
#' noncentral t distribution with n - 2 degrees of freedom and noncentrality
#' \eqn{\lambda = \sqrt{n} \beta / \sqrt{1 - \beta^2}}. A two-sided test counts both tails.
#'
#' The convergence score of a dyad is an estimate. A predictor whose reliability
#' is \eqn{\rho} carries a slope of \eqn{\sqrt{\rho} \beta} where error-free scores would
#' carry \eqn{\beta}; that smaller slope enters \eqn{\lambda}. `beta` is always the slope of
#' error-free scores.
#'
#' @param n Number of dyads, 3 or more.
#' @param beta Standardised slope, between -1 and 1 and not 0: how many standard
#'   deviations of the outcome go with one of the (error-free) predictor. Its
#'   sign matters to a one-sided test only, which expects a positive slope.
#' @param power Probability of finding the slope, above `alpha` and below 1.
#' @param alpha Level of the test.
#' @param reliability Reliability of the predictor, above 0 and at most 1, for
#'   example that of the scores from [reliability()].
#' @param alternative Whether the test is two-sided or one-sided.
#' @param ... Not used; other arguments are an error.
#'
#' @returns A data frame of class `samepage_power`, one row per element of
#'   the vectors given (all of one length, or of length 1): `n`, `beta`, `power`,
#'   `alpha`, `reliability`, and `beta_observed`, the slope that scores of
#'   this reliability carry. Where `n` was solved for it is the smallest whole
#'   number that reaches the power asked for, and `power` is what it gives;
#'   where `beta` was solved for it is the smallest positive slope. Printing
#'   says it in words.
#' @inherit study1 references
#' @seealso [reliability()] of convergence scores.
#' @family power
#' @examples
#' # The paper's sample sizes: 44, 82, 191
#' power_slope(beta = c(.40, .30, .20), power = .80)
#'
#' # What 96 dyads can find, with perfect scores and with scores of reliability .65
#' power_slope(n = 96, power = .80, reliability = c(1, .65))
#'
#' power_slope(n = 139, beta = .20)
#' @export
power_slope <- function(n = NULL, beta = NULL, power = NULL, alpha = 0.05, reliability = 1,
                        alternative = c("two.sided", "one.sided"), ...) {
  check_no_dots(...)
  alternative <- check_choice(alternative, c("two.sided", "one.sided"), "alternative")
  given <- list(n = n, beta = beta, power = power)
  solved <- names(given)[vapply(given, is.null, NA)]
  check_one_missing(solved)
  given[[solved]] <- NA_real_
  values <- c(given, list(alpha = alpha, reliability = reliability))
  Map(check_power_value, values[names(values) != solved], setdiff(names(values), solved))
  values <- recycle_power_values(values)
  if (solved != "power") check_power_above_alpha(values)

  solve_row <- switch(solved,
    n = smallest_n, beta = smallest_beta, power = power_of_row
  )
  asked <- values$power
  values[[solved]] <- vapply(seq_len(nrow(values)), function(row) {
    solve_row(values[row, ], alternative)
  }, 1)
  if (solved == "n") {
    values$power <- vapply(seq_len(nrow(values)), function(row) {
      power_of_row(values[row, ], alternative)
    }, 1)
  }
  values$beta_observed <- sqrt(values$reliability) * values$beta
  structure(
    values,
    solved = solved, asked = asked, alternative = alternative,
    class = c("samepage_power", "data.frame")
  )
}

# ---- Checks -------------------------------------------------------------------

check_one_missing <- function(solved, call = rlang::caller_env()) {
  if (length(solved) == 1L) {
    return(invisible())
  }
  stop_samepage(
    "argument",
    c(
      "Two of `n`, `beta` and `power` must be given; the third is solved for.",
      x = if (length(solved)) {
        paste0("Missing: ", paste0("`", solved, "`", collapse = ", "), ".")
      } else {
        "All three are given."
      }
    ),
    call = call
  )
}

power_value_rules <- list(
  n = list(
    "whole numbers of dyads, 3 or more",
    function(x) is.finite(x) & x >= 3 & x == round(x)
  ),
  beta = list(
    "standardised slopes between -1 and 1, not 0",
    function(x) is.finite(x) & abs(x) < 1 & x != 0
  ),
  power = list("probabilities between 0 and 1", function(x) is.finite(x) & x > 0 & x < 1),
  alpha = list("probabilities between 0 and 1", function(x) is.finite(x) & x > 0 & x < 1),
  reliability = list("above 0 and at most 1", function(x) is.finite(x) & x > 0 & x <= 1)
)

check_power_value <- function(x, name, call = rlang::caller_env(2L)) {
  rule <- power_value_rules[[name]]
  right <- is.numeric(x) && length(x) > 0L
  if (right && all(rule[[2L]](x))) {
    return(invisible())
  }
  stop_samepage(
    "argument",
    c(
      paste0("`", name, "` must be ", rule[[1L]], "."),
      x = paste0("Found: ", if (right) some_of(x[!rule[[2L]](x)]) else found_value(x), ".")
    ),
    call = call
  )
}

recycle_power_values <- function(values, call = rlang::caller_env()) {
  lengths <- lengths(values)
  if (!all(lengths %in% c(1L, max(lengths)))) {
    stop_samepage(
      "argument",
      c(
        "Vectors must have one length, or length 1.",
        x = paste0("Lengths: ", paste(names(values), lengths, collapse = ", "), "."),
        i = "See expand.grid() for all combinations of several values."
      ),
      call = call
    )
  }
  data.frame(lapply(values, function(x) rep_len(as.numeric(x), max(lengths))))
}

check_power_above_alpha <- function(values, call = rlang::caller_env()) {
  low <- values$power <= values$alpha
  if (any(low)) {
    stop_samepage(
      "argument",
      c(
        "`power` must be above `alpha`: a test without any effect to find has that already.",
        x = paste0("Found: power ", some_of(values$power[low]), ".")
      ),
      call = call
    )
  }
}

# ---- Power and its inverses ---------------------------------------------------

power_of_row <- function(row, alternative) {
  slope_power(row$n, sqrt(row$reliability) * row$beta, row$alpha, alternative)
}

slope_power <- function(n, slope, alpha, alternative) {
  df <- n - 2
  lambda <- sqrt(n) * slope / sqrt(1 - slope^2)
  # The distribution function warns of lost digits far out in a tail, where the
  # power is 1 to all digits that matter.
  suppressWarnings(
    if (alternative == "one.sided") {
      critical <- stats::qt(1 - alpha, df)
      stats::pt(critical, df, lambda, lower.tail = FALSE)
    } else {
      critical <- stats::qt(1 - alpha / 2, df)
      stats::pt(critical, df, abs(lambda), lower.tail = FALSE) +
        stats::pt(-critical, df, abs(lambda))
    }
  )
}

# Power rises with n, so bisection over whole numbers ends at the smallest.
smallest_n <- function(row, alternative, most = 1e9) {
  enough <- function(n) {
    slope_power(n, sqrt(row$reliability) * row$beta, row$alpha, alternative) >= row$power
  }
  if (alternative == "one.sided" && row$beta < 0) {
    stop_samepage("argument", c(
      "A one-sided test expects a positive slope.",
      x = paste0("Found: `beta` ", row$beta, ", which no number of dyads makes significant.")
    ))
  }
  if (enough(3)) {
    return(3)
  }
  low <- 3
  high <- 6
  while (!enough(high)) {
    low <- high
    high <- 2 * high
    if (high > most) {
      stop_samepage("argument", c(
        "The slope must be large enough to be found by some number of dyads.",
        x = paste0("`beta` ", row$beta, " would need more than ", format(most, digits = 1), ".")
      ))
    }
  }
  while (high - low > 1) {
    middle <- floor((low + high) / 2)
    if (enough(middle)) high <- middle else low <- middle
  }
  high
}

smallest_beta <- function(row, alternative) {
  distance <- function(beta) {
    slope_power(row$n, sqrt(row$reliability) * beta, row$alpha, alternative) - row$power
  }
  largest <- 1 - 1e-12
  if (distance(largest) < 0) {
    stop_samepage("argument", c(
      "Some slope must reach the power asked for.",
      x = paste0(
        count_of(row$n, "dyad"), " and scores of reliability ", row$reliability,
        " do not reach power ", row$power, " even with a slope of 1."
      ),
      i = "Ask for less power, or plan more dyads or better scores."
    ))
  }
  stats::uniroot(distance, c(0, largest), tol = 1e-12)$root
}

# ---- Printing -----------------------------------------------------------------

#' @export
print.samepage_power <- function(x, ...) {
  check_no_dots(...)
  columns <- c("n", "beta", "power", "alpha", "reliability", "beta_observed")
  solved <- attr(x, "solved")
  # A part of the columns or rows is a plain data frame.
  if (is.null(solved) || !identical(names(x), columns)) {
    print(as.data.frame(x))
    return(invisible(x))
  }
  cat(
    "Power of a regression slope (", sub(".", "-", attr(x, "alternative"), fixed = TRUE),
    " test)\n\n",
    sep = ""
  )
  for (row in seq_len(nrow(x))) {
    sentence <- power_sentence(x[row, ], solved, attr(x, "asked")[row])
    cat(strwrap(sentence, width = line_width(), exdent = 2L), sep = "\n")
  }
  if (any(x$reliability < 1)) {
    cat(strwrap(
      paste0(
        "Scores of reliability r carry only sqrt(r) of a slope; slopes above are those that ",
        "error-free scores would have."
      ),
      width = line_width()
    ), sep = "\n")
  }
  invisible(x)
}

power_sentence <- function(row, solved, asked) {
  slope <- paste0("a standardised slope of ", short_decimal(row$beta, if (solved == "beta") 3L))
  dyads <- count_of(row$n, "dyad")
  test <- paste0(
    " (alpha ", short_decimal(row$alpha),
    if (row$reliability < 1) {
      paste0(
        "; with scores of reliability ", short_decimal(row$reliability, 2L),
        " it shows as ", short_decimal(row$beta_observed, 3L)
      )
    },
    ")"
  )
  switch(solved,
    n = paste0(
      "To find ", slope, " with power ", short_decimal(asked), ", ", dyads, " are needed", test, "."
    ),
    beta = paste0(
      "With ", dyads, " and power ", short_decimal(row$power), ", the smallest slope to be found ",
      "is ", sub("^a standardised slope of ", "", slope), test, "."
    ),
    power = paste0(
      "With ", dyads, ", ", slope, " is found with power ", power_text(row$power), test, "."
    )
  )
}

# A probability of neither 0 nor 1 is not printed as one.
power_text <- function(power) {
  if (power < 0.0005) {
    "below .001"
  } else if (power >= 0.9995) {
    "above .999"
  } else {
    short_decimal(power, 3L)
  }
}

# ".80", ".286": two decimals or as many as the value has; no leading zero.
short_decimal <- function(value, digits = NULL) {
  if (is.null(digits)) {
    digits <- max(2L, nchar(sub("^[^.]*[.]?", "", format(value, digits = 7L))))
  }
  sub("^(-?)0[.]", "\\1.", sprintf("%.*f", digits, value))
}
