#' Fit a linear mixed model
#'
#' Fits a linear mixed model for rows in units (sessions in dyads), and for units in
#' larger units (dyads in therapists), by restricted or full maximum likelihood.
#' The formula is written as for `lme4::lmer()`.
#'
#' @section Formula:
#' The left of `~` is the outcome. The right is a sum of fixed effects, written as
#' for [stats::lm()], and of random-effects terms in parentheses. Before the bar of
#' such a term stand the columns whose effects differ between units, after it the
#' column that holds the units' ids.
#'
#' \tabular{ll}{
#'   **term** \tab **meaning** \cr
#'   \code{(1 | dyad)} \tab each dyad has its own intercept \cr
#'   \code{(time | dyad)} \tab own intercept and own slope of time, correlated \cr
#'   \code{(0 + time | dyad)} \tab own slope only \cr
#'   \code{(time || dyad)} \tab uncorrelated: \code{(1 | dyad) + (0 + time | dyad)} \cr
#'   \code{(time | therapist/dyad)} \tab
#'     \code{(time | therapist) + (time | dyad:therapist)} \cr
#'   \code{(time | dyad) + (1 | therapist)} \tab two levels of grouping with different effects
#' }
#'
#' Which grouping lies in which is found from the data. With `therapist/dyad`, dyads in
#' therapists, the ids of dyads may start anew in each therapist. Offsets (`offset(x)`),
#' polynomials and splines (`poly(x, 2)`, `splines::ns(x, 3)`) may stand in the
#' fixed part.
#'
#' Groupings may also be crossed, as when a patient is seen by two therapists:
#' `(1 | patient) + (1 | therapist)`. Such models take a general path, exact as
#' well but slower: its time grows with the third power of the number of random
#' effects outside the largest grouping. `fit_status(fit)$path` says which path ran.
#'
#' @section What is computed:
#' The likelihood is maximised with its exact first and second derivatives. A
#' covariance matrix of random effects that is singular at the optimum (a variance
#' of zero, a correlation of one) is an answer, not a failure: [fit_status()] says
#' "boundary" and names the term. Fixed-effects columns that are combinations of
#' earlier ones are left out, as in `lm()`, and a message says which combination.
#'
#' @param formula A formula with at least one random-effects term, see below.
#' @param data A data frame, one row per observation. Columns with value labels, as haven reads
#'   them from SPSS, are taken as numbers.
#' @param method "REML" for restricted maximum likelihood, "ML" for full.
#' @param df How the fixed effects are tested: with "satterthwaite" degrees of
#'   freedom, after "kenward-roger" (REML only; its standard errors allow for the
#'   estimation of the covariance parameters), or with "residual" degrees of freedom
#'   (rows minus fixed-effects columns).
#' @param subset Rows to use: an expression in the columns of `data`.
#' @param weights Case weights, an expression in the columns of `data`. The residual
#'   variance of a row is the printed one divided by its weight.
#' @param na.action What happens to rows with missing values: `na.omit` leaves them
#'   out, `na.exclude` too but pads residuals and fitted values with NA, `na.fail`
#'   refuses them. Rows left out are counted in the printed fit. The default is
#'   `options("na.action")`.
#' @param contrasts Contrasts of factors in the fixed part, as for [stats::lm()].
#' @param control Tolerances and limits, see [lmm_control()].
#' @param information For `df = "kenward-roger"`: the information whose inverse
#'   stands for the covariance of the covariance parameters, "expected" as in
#'   pbkrtest or "observed" as in SAS. The results differ a little.
#' @returns A fit of class `samepage_lmm`. Read it with `summary()`, `fixef()`,
#'   `ranef()`, `VarCorr()`, `predict()` and the other generics of a model.
#' @family mixed models
#' @references
#' Bates, D., Mächler, M., Bolker, B., & Walker, S. (2015). Fitting linear
#' mixed-effects models using lme4. *Journal of Statistical Software, 67*(1), 1-48.
#' \doi{10.18637/jss.v067.i01}
#'
#' Kenward, M. G., & Roger, J. H. (1997). Small sample inference for fixed effects
#' from restricted maximum likelihood. *Biometrics, 53*(3), 983-997.
#' \doi{10.2307/2533558}
#'
#' Satterthwaite, F. E. (1946). An approximate distribution of estimates of variance
#' components. *Biometrics Bulletin, 2*(6), 110-114. \doi{10.2307/3002019}
#' @examples
#' fit <- lmm(distance ~ age * Sex + (age | Subject), data = nlme::Orthodont)
#' fixef(fit)
#' head(ranef(fit)$Subject)
#' @export
lmm <- function(formula, data, method = c("REML", "ML"),
                df = c("satterthwaite", "kenward-roger", "residual"),
                subset, weights, na.action, contrasts = NULL, control = lmm_control(),
                information = c("expected", "observed")) {
  call <- match.call()
  method <- check_choice(method, c("REML", "ML"), "method")
  df <- check_choice(df, c("satterthwaite", "kenward-roger", "residual"), "df")
  information <- check_choice(information, c("expected", "observed"), "information")
  if (df == "kenward-roger") {
    check_reml(method)
  }
  check_data(if (missing(data)) NULL else data)
  check_control(control)

  spec <- parse_mixed_formula(if (missing(formula)) NULL else formula)
  data <- plain_columns(data, spec$fixed)
  frame <- build_frame(
    spec, data,
    subset = if (!missing(subset)) {
      evaluate_argument(substitute(subset), data, parent.frame(), "subset")
    },
    weights = if (!missing(weights)) {
      evaluate_argument(substitute(weights), data, parent.frame(), "weights")
    },
    na_action = if (!missing(na.action)) na.action
  )
  check_frame(frame)
  design <- build_design(spec, frame, contrasts)
  check_random(design)

  reduced <- reduce_design(design, control)
  check_rank(reduced, design)
  check_left_over(reduced, design$y)
  check_size(reduced)
  core <- fit_reduced(reduced, design$blocks, reml = method == "REML", control)

  design <- describe_aliased(design, reduced)
  new_lmm(call, spec, method, df, information, control, frame, design, core)
}

new_lmm <- function(call, spec, method, df, information, control, frame, design, core) {
  # The matrices can be made again from the frame; kept, they would double the size
  # of the fit.
  design[c("X", "y", "Z", "weights", "offset")] <- NULL
  structure(
    list(
      call = call, formula = spec$formula, method = method, df = df, information = information,
      control = control, frame = frame, design = design, core = core,
      inference = new.env(FALSE, emptyenv()), cache = new.env(FALSE, emptyenv())
    ),
    class = "samepage_lmm"
  )
}

# The fit with another solution. What inference needs of it is computed when first asked for:
# bootstraps and power runs never do.
with_core <- function(fit, core) {
  fit <- unclass(fit)
  fit$core <- core
  fit$inference <- new.env(FALSE, emptyenv())
  class(fit) <- "samepage_lmm"
  fit
}

# The fit with other covariance parameters than its solution's.
with_parameters <- function(fit, parameters) {
  core <- .subset2(fit, "core")
  core$parameters <- parameters
  with_core(fit, core)
}

# The same model with another response and its solution.
with_response <- function(fit, y, core) {
  frame <- unclass(.subset2(fit, "frame"))
  frame[[1L]] <- y
  class(frame) <- "data.frame"
  fit <- with_core(fit, core)
  fit$frame <- frame
  fit$refitted <- TRUE
  fit
}

# What update(), and with it drop1(), evaluates again: the call of a fit of another response would
# go back to the first one, unnoticed.
#' @importFrom stats getCall
#' @export
getCall.samepage_lmm <- function(x, ...) {
  if (isTRUE(.subset2(x, "refitted"))) {
    stop_samepage("refitted", c(
      "A fit of another response cannot be updated: its call names the first response.",
      i = "Put the new response into the data and fit the model with lmm()."
    ))
  }
  component(x, "call")
}

check_data <- function(data, name = "data") {
  if (!is.data.frame(data)) {
    stop_samepage("data", c(
      paste0("`", name, "` must be a data frame with one row per observation."),
      x = if (is.null(data)) {
        "Found nothing."
      } else {
        paste0("Found an object of class ", class(data)[1L], ".")
      }
    ))
  }
}

# An argument that is an expression in the columns of `data`.
evaluate_argument <- function(expr, data, env, name) {
  tryCatch(
    eval(expr, data, env),
    error = function(condition) {
      stop_samepage(name, c(
        paste0("`", name, "` must be computable from the columns of `data`."),
        x = paste0("Found: ", code_of(expr), "."),
        i = paste0("R says: ", conditionMessage(condition))
      ))
    }
  )
}

check_control <- function(control) {
  if (!inherits(control, "samepage_control")) {
    stop_samepage("argument", c(
      "`control` must be the answer of lmm_control().",
      x = paste0("Found an object of class ", class(control)[1L], ".")
    ))
  }
}

check_rank <- function(reduced, design) {
  n <- length(design$y)
  if (n <= reduced$p) {
    stop_samepage("few_rows", c(
      "There must be more rows than fixed-effects columns.",
      x = paste0(
        "Found ", count_of(n, "row"), " and ", count_of(reduced$p, "column"), "."
      )
    ))
  }
}

# Whether the fixed effects leave anything of the outcome.
check_left_over <- function(reduced, y) {
  largest <- max(abs(min(y)), abs(max(y)))
  # Squares of smaller numbers are nothing.
  if (largest < 1 / largest_number^2) {
    stop_size(paste0("The outcome lies within ", format(largest, digits = 1L), " of 0."))
  }
  # What is left then is the rounding of the outcome's own digits.
  if (sqrt(reduced$rss / length(y)) < 1e-15 * largest) {
    stop_samepage("exact_fit", c(
      "The outcome must vary about what the fixed effects say of it.",
      x = "They give it exactly, to the last digit.",
      i = "Is one of them the outcome itself, or computed from it?"
    ))
  }
}

#' Name the columns left out and say of which columns each is a combination
#'
#' @returns The design with `kept` (indices of columns) and `aliased`: the names of
#'   the columns left out, with attribute `because` (one equation each).
#' @noRd
describe_aliased <- function(design, reduced) {
  design$kept <- reduced$kept
  design$aliased <- design$x_names[reduced$aliased]
  if (length(reduced$aliased) == 0L) {
    return(design)
  }
  names <- design$x_names[reduced$kept]
  columns <- as_columns(design$X, length(design$y))
  size <- sqrt(colSums(columns[, reduced$kept, drop = FALSE]^2))
  because <- vapply(seq_along(design$aliased), function(j) {
    combination <- format_combination(reduced$alias_coef[, j], names, size)
    paste0("`", design$aliased[j], "` = ", combination)
  }, character(1))
  attr(design$aliased, "because") <- because
  inform_samepage("aliased", c(
    paste0(
      count_of(length(because), "fixed-effects column"),
      " left out, because earlier columns already say the same:"
    ),
    stats::setNames(because, rep("*", length(because)))
  ))
  design
}

# "`a` - `b`" or "0.5 `a` + `b`", for the message about columns left out. `size` is
# the length of each column: coefficients that move the combination by nothing are
# noise.
format_combination <- function(coefficients, names, size) {
  moves <- abs(coefficients) * size
  used <- which(moves > 1e-6 * max(moves, 0))
  if (length(used) == 0L) {
    return("0")
  }
  value <- signif(coefficients[used], 4L)
  number <- vapply(abs(value), format, character(1), digits = 4L)
  term <- ifelse(
    names[used] == "(Intercept)", number,
    paste0(ifelse(abs(value) == 1, "", paste0(number, " ")), "`", names[used], "`")
  )
  sign <- ifelse(value < 0, "- ", "+ ")
  sign[1L] <- if (value[1L] < 0) "-" else ""
  paste0(sign, term, collapse = " ")
}
