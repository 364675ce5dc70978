# Likelihood, information criteria and what the optimiser found.

#' Information criteria by the definition of SPSS, SAS or R
#'
#' -2 log likelihood and the criteria that other programs print beside it. They print them under
#' the same names with different values, because they count different things.
#'
#' | `definition` | parameters counted | cases counted in AICC, CAIC and BIC |
#' |---|---|---|
#' | `"spss"` | REML: covariance parameters only; ML: all | REML: rows minus rank of X; ML: rows |
#' | `"sas"` | as SPSS, less zero variances | AICC: as SPSS; CAIC, BIC: units of outermost level |
#' | `"r"` | all (fixed coefficients and covariance parameters) | rows |
#'
#' With d parameters, n cases and m2ll for -2 log likelihood:
#'
#' | criterion | formula |
#' |---|---|
#' | AIC | `m2ll + 2 d` |
#' | AICC | `m2ll + 2 d n / (n - d - 1)` |
#' | CAIC | `m2ll + d (log(n) + 1)` |
#' | BIC | `m2ll + d log(n)` |
#'
#' Under REML no criterion of any definition may be compared between models with different
#' fixed effects, nor under any method between fits to different rows.
#'
#' @param fit A fit of [lmm()].
#' @param definition Whose definition, see below.
#' @returns A named numeric vector with `m2ll` (-2 log likelihood, restricted
#'   for a REML fit), `aic`, `aicc`, `caic` and `bic`.
#' @family fit criteria
#' @references
#' Hurvich, C. M., & Tsai, C.-L. (1989). Regression and time series model
#' selection in small samples. *Biometrika*, *76*(2), 297-307.
#' \doi{10.1093/biomet/76.2.297}
#'
#' Bozdogan, H. (1987). Model selection and Akaike's information criterion
#' (AIC): The general theory and its analytical extensions. *Psychometrika*,
#' *52*(3), 345-370. \doi{10.1007/BF02294361}
#' @examples
#' fit <- lmm(distance ~ I(age - 11) + (I(age - 11) | Subject), data = nlme::Orthodont)
#' information_criteria(fit)
#' information_criteria(fit, "r")
#' @export
information_criteria <- function(fit, definition = c("spss", "sas", "r")) {
  check_fit(fit)
  definition <- check_choice(definition, c("spss", "sas", "r"), "definition")
  n <- component(fit, "n")
  p <- component(fit, "rank")
  k <- component(fit, "n_parameters")
  d <- if (definition == "r" || !component(fit, "reml")) p + k else k
  n_small <- if (definition != "r" && component(fit, "reml")) n - p else n
  n_large <- n_small
  if (definition == "sas") {
    d <- d - n_zero_variances(fit)
    n_units <- component(fit, "n_units")
    n_large <- n_units[[length(n_units)]]
  }
  m2ll <- component(fit, "criterion")
  c(
    m2ll = m2ll,
    aic = m2ll + 2 * d,
    aicc = if (n_small > d + 1) m2ll + 2 * d * n_small / (n_small - d - 1) else NA_real_,
    caic = m2ll + d * (log(n_large) + 1),
    bic = m2ll + d * log(n_large)
  )
}

# Parameters that SAS does not count: variances estimated as exactly zero, and
# the covariances that go with them.
n_zero_variances <- function(fit) {
  zero <- vapply(component(fit, "covariances"), function(covariance) {
    at_zero <- diag(covariance) == 0
    lower <- lower.tri(covariance, diag = TRUE)
    sum((outer(at_zero, at_zero, "|"))[lower])
  }, numeric(1))
  sum(zero)
}

check_fit <- function(fit, call = rlang::caller_env()) {
  if (!inherits(fit, "samepage_lmm")) {
    stop_samepage(
      "argument",
      c("`fit` must be a fit of lmm().", x = paste0("Found: ", class(fit)[1L], ".")),
      call = call
    )
  }
}

#' @export
logLik.samepage_lmm <- function(object, ...) {
  check_no_dots(...)
  structure(
    -component(object, "criterion") / 2,
    df = component(object, "rank") + component(object, "n_parameters"),
    nobs = component(object, "n"), nall = component(object, "n"),
    class = "logLik"
  )
}

#' @export
deviance.samepage_lmm <- function(object, ...) {
  check_no_dots(...)
  component(object, "criterion")
}

#' Degrees of freedom and AIC, for dropping terms
#'
#' What [stats::drop1()] asks for. A fit by REML is fitted again by maximum likelihood first, since
#' restricted likelihoods of different fixed parts are not comparable.
#'
#' @param fit A fit of [lmm()].
#' @param scale Not used.
#' @param k The penalty per parameter.
#' @param ... Not used; unknown arguments are an error.
#' @returns Number of parameters, covariance parameters included, and AIC by R's definition.
#' @family fit criteria
#' @examples
#' fit <- lmm(distance ~ age * Sex + (1 | Subject), data = nlme::Orthodont)
#' drop1(fit, test = "Chisq")
#' @importFrom stats extractAIC
#' @export
extractAIC.samepage_lmm <- function(fit, scale = 0, k = 2, ...) {
  check_no_dots(...)
  likelihood <- stats::logLik(refit_by(fit, FALSE))
  df <- attr(likelihood, "df")
  c(df, -2 * as.numeric(likelihood) + k * df)
}

#' The criterion at given parameters
#'
#' The function that [lmm()] minimises, at any values of the covariance
#' parameters: -2 log likelihood, restricted for a REML fit. Fixed effects are
#' at their best values for these parameters.
#'
#' @param fit A fit of [lmm()].
#' @param par Covariance parameters: for each random term the lower triangle of
#'   its covariance matrix column by column, then the residual variance, as in
#'   `summary(fit)$varcomp$estimate`. Default: the estimates.
#' @returns One number.
#' @family fit criteria
#' @examples
#' fit <- lmm(distance ~ I(age - 11) + (1 | Subject), data = nlme::Orthodont)
#' objective(fit)
#' objective(fit, c(3, 2))
#' @export
objective <- function(fit, par = NULL) {
  check_fit(fit)
  if (is.null(par)) {
    return(component(fit, "criterion"))
  }
  check_parameters(fit, par)
  evaluate_reduced(
    component(fit, "reduced"), component(fit, "blocks"), as.double(par), component(fit, "reml")
  )$criterion
}

# Covariance parameters given by a user must make a covariance matrix.
check_parameters <- function(fit, par, call = rlang::caller_env()) {
  k <- component(fit, "n_parameters")
  if (!is.numeric(par) || length(par) != k || !all(is.finite(par))) {
    stop_samepage(
      "argument",
      c(
        paste0("`par` must be ", count_of(k, "finite number"), ", one per covariance parameter."),
        x = if (is.numeric(par)) {
          paste0("Found ", length(par), if (!all(is.finite(par))) ", not all finite", ".")
        } else {
          paste0("Found: ", class(par)[1L], ".")
        },
        i = "The order is that of summary(fit)$varcomp."
      ),
      call = call
    )
  }
  if (par[k] <= 0) {
    stop_samepage(
      "argument", "The last of `par`, the residual variance, must be positive.",
      call = call
    )
  }
  for (covariance in block_covariances(component(fit, "blocks"), par)) {
    values <- eigen(covariance, symmetric = TRUE, only.values = TRUE)$values
    if (min(values) < -1e-12 * max(abs(values))) {
      stop_samepage(
        "argument",
        c(
          "`par` must hold covariance matrices: no combination may have a negative variance.",
          x = paste0(
            "The matrix of ", paste(rownames(covariance), collapse = ", "),
            " has a negative eigenvalue (", format(min(values), digits = 3), ")."
          )
        ),
        call = call
      )
    }
  }
}

#' What the optimiser found
#'
#' A fit's status is a value that can be tested, not a warning that may be
#' missed: `"ok"`, `"boundary"` (an optimum where a covariance matrix is
#' singular: a variance of zero or a correlation of one, which is an answer) or
#' `"failed"` (no optimum reached, and why).
#'
#' @param fit A fit of [lmm()].
#' @returns An object of class `samepage_fit_status`: a list with `status` (one
#'   of the three words), `terms` (data frame, one row per random term: `group`,
#'   `term`, `size` of its covariance matrix, `rank` reached, `boundary`: what lies
#'   on a boundary, in words, or `""`), `reason` (why a fit failed, in words, or
#'   `""`), `gradient` (the largest derivative of the criterion in any direction that the
#'   boundary leaves, per standard error), `iterations` and `path`: in a sentence, how the
#'   equations were solved. It prints as a sentence.
#' @family fit criteria
#' @examples
#' fit <- lmm(distance ~ I(age - 11) + (I(age - 11) | Subject), data = nlme::Orthodont)
#' fit_status(fit)
#' fit_status(fit)$status
#' @export
fit_status <- function(fit) {
  check_fit(fit)
  blocks <- component(fit, "blocks")
  rank <- as.integer(component(fit, "block_rank"))
  status <- component(fit, "status")
  structure(
    list(
      status = status,
      terms = plain_frame(list(
        group = vapply(blocks, .subset2, character(1), "group"),
        term = vapply(blocks, function(block) paste(block$names, collapse = ", "), character(1)),
        size = vapply(blocks, function(block) length(block$columns), integer(1)),
        rank = rank,
        boundary = if (status == "boundary") {
          boundary_phrases(blocks, component(fit, "covariances"), rank)
        } else {
          character(length(blocks))
        }
      )),
      reason = failure_phrase(component(fit, "reason")),
      gradient = scaled_gradient(fit),
      iterations = component(fit, "iterations"),
      path = path_phrase(fit)
    ),
    class = "samepage_fit_status"
  )
}

boundary_phrases <- function(blocks, covariances, rank) {
  vapply(
    seq_along(blocks), function(b) boundary_phrase(blocks[[b]], covariances[[b]], rank[b]), ""
  )
}

# What lies on a boundary, for one random term.
boundary_phrase <- function(block, covariance, rank) {
  size <- length(block$names)
  if (rank == size) {
    return("")
  }
  zero <- covariance[diagonal_places(size)] == 0
  words <- character()
  if (any(zero)) {
    words <- paste0(
      if (sum(zero) == 1L) "the variance" else "the variances", " of ",
      paste(block$names[zero], collapse = ", "), " by ", block$group,
      if (sum(zero) == 1L) " is zero" else " are zero"
    )
  }
  if (rank < size - sum(zero)) {
    names <- block$names[!zero]
    left <- covariance[!zero, !zero, drop = FALSE]
    words <- c(words, if (length(names) == 2L) {
      paste0(
        "the correlation of ", names[1L], " and ", names[2L], " by ", block$group, " is ",
        if (left[2L, 1L] > 0) "1" else "-1"
      )
    } else {
      paste0(
        "the random effects ", paste(names, collapse = ", "), " by ", block$group,
        " determine each other (rank ", rank, " of ", length(names), ")"
      )
    })
  }
  paste(words, collapse = " and ")
}

# The reasons of src/optim.h, in its order, the last of them found by inference.
reason_unbounded <- 4L
reason_undetermined <- 5L

failure_phrases <- c(
  "",
  "the limit of iterations was reached, see lmm_control()",
  "the criterion could not be computed at any starting value",
  "no further step lowers the criterion although one should",
  paste0(
    "the likelihood has no maximum: fixed and random effects together can give every row of the ",
    "outcome exactly, and it grows without bound as the residual variance goes to zero"
  ),
  "the data do not determine all covariance parameters"
)

failure_phrase <- function(reason) failure_phrases[reason + 1L]

# Which path of the core ran.
path_phrase <- function(fit) {
  levels <- component(fit, "n_units")
  names <- paste0(names(levels), " (", levels, ")")
  if (component(fit, "crossed")) {
    return(paste0(
      "The groupings ", paste(names, collapse = ", "), " are crossed: the general path solved all ",
      "random effects but those of ", names(levels)[1L], " as one dense system."
    ))
  }
  if (length(levels) == 1L) {
    return(paste0("One level, ", names, ": each unit was solved on its own."))
  }
  paste0("Nested levels, ", paste(names, collapse = " within "), ": solved level by level.")
}

# The steepest slope of the criterion in any direction that the boundary leaves, per standard error
# of that direction.
scaled_gradient <- function(fit) {
  own <- inference_parts(fit)$own
  sqrt(max(drop(own$gradient %*% own$vcov_parameters %*% own$gradient), 0))
}

#' @export
format.samepage_fit_status <- function(x, ...) {
  check_no_dots(...)
  boundary <- x$terms$boundary[nzchar(x$terms$boundary)]
  words <- switch(x$status,
    ok = "ok. The optimum was reached, away from any boundary.",
    boundary = paste0(
      "boundary. The optimum was reached where ", paste(boundary, collapse = " and "),
      ". This is an answer, not an error; parameters that it fixes have no standard error."
    ),
    failed = paste0(
      "failed, because ", x$reason, ". ",
      if (x$reason == failure_phrase(reason_unbounded)) {
        "More rows are needed, or fewer effects."
      } else {
        paste0(
          "The largest derivative is ", format(x$gradient, digits = 2),
          " in units of standard errors."
        )
      },
      " Do not use these estimates."
    )
  )
  # An optimum that is flat in some direction is reached all the same.
  note <- if (x$status != "failed" && nzchar(x$reason)) {
    paste0("However, ", x$reason, ": those without a standard error are arbitrary.")
  }
  paste(c("Fit status:", words, note), collapse = " ")
}

#' @export
print.samepage_fit_status <- function(x, ...) {
  check_no_dots(...)
  cat(strwrap(format(x), exdent = 2L), sep = "\n")
  invisible(x)
}
