# Comparisons of fits, and tests of the terms of one.

#' Tests of terms, and comparison of mixed models
#'
#' With one fit: an F test of each term of its fixed part. With several:
#' likelihood-ratio tests between fits to the same rows.
#'
#' @section One fit:
#' Satterthwaite's denominator degrees of freedom are combined from those of uncorrelated
#' contrasts (Fai & Cornelius, 1996), which makes them depend, by a little, on
#' the basis in which the hypothesis is written down. `basis = "first"` writes it as
#' lmerTest does: type III in differences of each level from a factor's first level,
#' types I and II, and the test of an only term, in the fit's own coding of the factors
#' (with treatment contrasts, R's default, that is the same). `"last"` uses the
#' differences from the last level, as SPSS does. F itself does not depend on the basis,
#' nor does any part of Kenward and Roger's test.
#'
#' Type III tests a term with all others in the model, a factor averaged over
#' the levels of the factors it interacts with (the weights of cells equal; where
#' combinations of levels are not in the data, by the estimable functions of SAS
#' and SPSS).
#' Type II tests a term with all others but those that contain it; type I with
#' those before it. A numeric variable does not contain a factor: in
#' `group * time` the test of `group`, of either type, is at time 0. A matrix of columns,
#' such as `poly()`, `ns()` or `scale()` makes, does (as in lmerTest), so that type II of
#' `group * ns(time, 3)` tests `group` without the interaction.
#'
#' @section Several fits:
#' What must not be compared is refused with the reason: fits to different
#' rows, REML fits whose fixed parts are not the same columns (their restricted
#' likelihoods are of different data), and an ML with a REML fit. Fits are
#' sorted by their number of parameters and each is tested against the one
#' before it. Two fits with the same number of parameters cannot be nested and
#' get no test. Where fits differ in their random effects the chi-square
#' reference gives too large a p, since a variance cannot be negative: the
#' printed heading says so, and [test_random()] has the right reference.
#'
#' @param object A fit of [lmm()].
#' @param ... Further fits of [lmm()].
#' @param type `"III"` (SPSS's default), `"II"` or `"I"`, also as a number. For
#'   one fit only.
#' @param basis `"first"` or `"last"`, see below. For one fit only.
#' @param refit Whether to refit REML fits by maximum likelihood first, so that
#'   different fixed parts can be compared. For several fits only.
#' @returns A data frame of class `anova`. For one fit a row per term: `NumDF`,
#'   `DenDF`, `F value`, `Pr(>F)`. For several a row per fit: `npar` (number of
#'   fixed coefficients and covariance parameters), `AIC` and `BIC` (R's
#'   definition: all parameters, number of rows), `logLik`, `deviance` (-2 log
#'   likelihood, restricted for REML fits), and against the row above `Chisq`,
#'   `Df` and `Pr(>Chisq)`: NA where both have as many parameters, or where the one
#'   with more of them fits worse, so that they are not nested.
#' @family inference
#' @references Fai, A. H.-T., & Cornelius, P. L. (1996). Approximate F-tests of
#'   multiple degree of freedom hypotheses in generalized least squares analyses
#'   of unbalanced split-plot experiments. *Journal of Statistical Computation
#'   and Simulation*, *54*(4), 363-378. \doi{10.1080/00949659608811740}
#'
#'   Goodnight, J. H. (1978). *Tests of hypotheses in fixed effects linear models*
#'   (SAS Technical Report R-101). SAS Institute.
#' @examples
#' line <- lmm(distance ~ Sex * age + (age | Subject), data = nlme::Orthodont)
#' anova(line)
#' level <- lmm(distance ~ Sex * age + (1 | Subject), data = nlme::Orthodont)
#' anova(level, line)
#' @export
anova.samepage_lmm <- function(object, ..., type = c("III", "II", "I"),
                               basis = c("first", "last"), refit = FALSE) {
  check_flag(refit, "refit")
  basis <- check_choice(basis, c("first", "last"), "basis")
  if (is.numeric(type) && length(type) == 1L && type %in% 1:3) {
    type <- c("I", "II", "III")[type]
  }
  type <- check_choice(type, c("III", "II", "I"), "type")
  fits <- list(object, ...)
  check_compared(fits, names(fits))
  if (length(fits) == 1L) {
    return(test_terms(object, type, basis))
  }
  labels <- vapply(
    as.list(substitute(list(object, ...)))[-1L],
    function(expression) paste(deparse(expression, 60L), collapse = " "), character(1)
  )
  if (refit) {
    fits <- lapply(fits, refit_by, reml = FALSE)
  }
  check_comparable(fits)
  compare_fits(fits, make.unique(labels))
}

# --- tests of the terms of one fit ----------------------------------------------

test_terms <- function(fit, type, basis) {
  contrasts <- term_contrasts(fit, type, basis)
  tests <- lapply(contrasts, joint_test, fit = fit)
  part <- function(name) vapply(tests, function(test) as.numeric(test[[name]]), numeric(1))
  table <- data.frame(
    NumDF = part("num_df"), DenDF = part("den_df"), `F value` = part("statistic"),
    `Pr(>F)` = part("p_value"),
    row.names = names(contrasts), check.names = FALSE
  )
  structure(
    table,
    heading = paste0(
      "Type ", type, " tests of fixed effects, ", df_words(fit), "\n",
      "(contrasts ", if (in_own_coding(fit, type, basis)) {
        "in the fit's own coding of factors"
      } else {
        paste("with the", basis, "level of each factor")
      }, ")\n"
    ),
    class = c("anova", "data.frame")
  )
}

# One contrast matrix per term, in the fit's own coefficients.
#
# The fixed part is written again with a coding of the factors that suits the
# hypothesis and spans the same space: X = X_c M, so the coefficients of that
# coding are M beta and their rows of M are contrasts of beta. Types I and II suit any.
term_contrasts <- function(fit, type, basis) {
  terms <- component(fit, "terms")
  labels <- attr(terms, "term.labels")
  own <- in_own_coding(fit, type, basis)
  # Of a single term all types test the same.
  if (own && length(labels) == 1L) {
    type <- "I"
  }
  x <- stats::model.matrix(fit)[, names(component(fit, "beta")), drop = FALSE]
  coded <- if (own) {
    list(x = x, assign = component(fit, "assign")[component(fit, "kept")])
  } else {
    recoded_columns(fit, basis)
  }
  map <- qr.coef(qr(coded$x), x)
  columns <- lapply(seq_along(labels), function(j) which(coded$assign == j))
  names(columns) <- labels
  columns <- columns[lengths(columns) > 0L]
  containing <- lapply(containing_terms(terms, component(fit, "frame"))[names(columns)],
    function(others) unlist(columns[others], use.names = FALSE))
  rows <- switch(type,
    I = lapply(columns, sequential_rows, x = coded$x, order = seq_len(ncol(coded$x))),
    II = Map(function(own, last) {
      if (length(last) == 0L) {
        return(unit_rows(own, ncol(coded$x)))
      }
      order <- c(setdiff(seq_len(ncol(coded$x)), c(own, last)), own, last)
      sequential_rows(own, coded$x, order)
    }, columns, containing),
    III = estimable_rows(coded$x, fit, columns, containing)
  )
  lapply(rows, `%*%`, map)
}

# As lmerTest does.
in_own_coding <- function(fit, type, basis) {
  basis == "first" && (type != "III" || length(attr(component(fit, "terms"), "term.labels")) == 1L)
}

unit_rows <- function(rows, n) {
  diag(n)[rows, , drop = FALSE]
}

# Rows of the triangular factor of the columns in this order, each with its own
# coefficient 1: the effect of columns `own` after those before them, ignoring those
# after them.
sequential_rows <- function(own, x, order) {
  triangle <- qr.R(qr(x[, order, drop = FALSE], tol = 0))
  rows <- match(own, order)
  triangle <- triangle[rows, , drop = FALSE] / diag(triangle)[rows]
  triangle[, match(seq_len(ncol(x)), order), drop = FALSE]
}

#' Type III hypotheses in the coefficients of `x`
#'
#' With a column for every level of every factor and every combination of levels, X_o =
#' x B: the coefficients of x are the functions B of the many. A term's functions, made
#' orthogonal to those of the terms that contain it, are its type III hypothesis
#' (Goodnight, 1978). With all combinations in the data it is the average over
#' the levels of the other factors.
#' @noRd
estimable_rows <- function(x, fit, columns, containing) {
  functions <- qr.coef(qr(x), recoded_columns(fit, "all")$x)
  Map(function(own, others) {
    rows <- unit_rows(own, ncol(x))
    if (length(others) > 0L) {
      share <- qr.coef(qr(t(functions[others, , drop = FALSE])), t(functions[own, , drop = FALSE]))
      rows[, others] <- rows[, others] - t(share)
    }
    rows
  }, columns, containing)
}

# The columns of the fixed part with all factors coded as differences from their first
# or last level, columns that others determine left out; or with a column for every
# level ("all"), none left out.
recoded_columns <- function(fit, basis) {
  terms <- stats::delete.response(component(fit, "terms"))
  frame <- component(fit, "frame")
  factors <- intersect(as.character(names(component(fit, "contrasts"))), names(frame))
  coding <- lapply(rlang::set_names(factors), function(name) {
    column <- frame[[name]]
    levels <- if (is.factor(column)) levels(column) else sort(unique(as.character(column)))
    switch(basis,
      first = stats::contr.treatment(levels),
      last = stats::contr.treatment(levels, base = length(levels)),
      all = stats::contr.treatment(levels, contrasts = FALSE)
    )
  })
  x <- stats::model.matrix(terms, frame, contrasts.arg = coding)
  kept <- if (basis == "all") {
    seq_len(ncol(x))
  } else {
    decomposition <- qr(x)
    sort(decomposition$pivot[seq_len(decomposition$rank)])
  }
  list(x = x[, kept, drop = FALSE], assign = attr(x, "assign")[kept])
}

# For every term the terms that contain it: all its variables and further ones,
# with the same numeric variables. A matrix of columns is no numeric variable here: where a
# spline's columns are all zero is nowhere to test a factor.
containing_terms <- function(terms, frame) {
  factors <- attr(terms, "factors") > 0
  labels <- attr(terms, "term.labels")
  in_frame <- variable_names(terms)
  numeric <- vapply(in_frame, function(name) {
    is.numeric(frame[[name]]) && is.null(dim(frame[[name]]))
  }, logical(1))
  lapply(rlang::set_names(labels), function(term) {
    own <- factors[, term]
    contains <- vapply(labels, function(other) {
      all(factors[own, other]) && sum(factors[, other]) > sum(own) &&
        identical(factors[numeric, other], factors[numeric, term])
    }, logical(1))
    labels[contains]
  })
}

#' Test contrasts of the fixed effects
#'
#' Estimates, tests and intervals of linear combinations of the fixed effects,
#' one by one or jointly.
#'
#' @param fit A fit of [lmm()].
#' @param contrasts A numeric vector (one contrast) or matrix (one per row). With
#'   names (of the vector, or of the columns), these are matched to the fixed
#'   effects and the others count as 0; without, there must be one number per
#'   fixed effect.
#' @param rhs Value of each contrast under the null hypothesis.
#' @param joint Whether to test all contrasts at once by F. Contrasts that follow
#'   from others are not counted; with an `rhs` that contradicts these they are an
#'   error. The denominator degrees of freedom depend, by a little, on how the
#'   hypothesis is written as contrasts.
#' @param level Confidence level of the intervals.
#' @returns A data frame. One by one: `estimate`, `std.error`, `df`, `statistic`
#'   (t), `p.value`, `conf.low`, `conf.high`, one row per contrast. Jointly one
#'   row: `num_df`, `den_df`, `statistic` (F), `p.value`.
#' @family inference
#' @inherit anova.samepage_lmm references
#' @examples
#' fit <- lmm(distance ~ Sex * I(age - 11) + (I(age - 11) | Subject), data = nlme::Orthodont)
#' # The girls' slope:
#' test_contrasts(fit, c("I(age - 11)" = 1, "SexFemale:I(age - 11)" = 1))
#' # Sex matters neither to level nor to growth:
#' test_contrasts(fit, rbind(c(0, 1, 0, 0), c(0, 0, 0, 1)), joint = TRUE)
#' @export
test_contrasts <- function(fit, contrasts, rhs = 0, joint = FALSE, level = 0.95) {
  check_fit(fit)
  check_flag(joint, "joint")
  check_level(level, "level")
  contrasts <- complete_contrasts(contrasts, names(component(fit, "beta")))
  if (!is.numeric(rhs) || !length(rhs) %in% c(1L, nrow(contrasts)) || !all(is.finite(rhs))) {
    stop_samepage("argument", "`rhs` must be one number, or one per contrast.")
  }
  rhs <- rep_len(rhs, nrow(contrasts))
  if (joint) {
    test <- joint_test(fit, contrasts, rhs)
    return(data.frame(
      num_df = test$num_df, den_df = test$den_df, statistic = test$statistic,
      p.value = test$p_value
    ))
  }
  estimate <- drop(contrasts %*% component(fit, "beta"))
  error <- sqrt(rowSums((contrasts %*% test_vcov(fit)) * contrasts))
  df <- contrast_df(fit, contrasts)
  statistic <- (estimate - rhs) / error
  reach <- stats::qt((1 + level) / 2, df) * error
  data.frame(
    estimate = estimate, std.error = error, df = df, statistic = statistic,
    p.value = 2 * stats::pt(-abs(statistic), df),
    conf.low = estimate - reach, conf.high = estimate + reach, row.names = rownames(contrasts)
  )
}

# Contrasts with one column per coefficient, whichever way they were given.
complete_contrasts <- function(contrasts, names, call = rlang::caller_env()) {
  if (!is.numeric(contrasts) || length(contrasts) == 0L || !all(is.finite(contrasts))) {
    stop_samepage("argument", "`contrasts` must hold finite numbers.", call = call)
  }
  if (!is.matrix(contrasts)) {
    contrasts <- matrix(contrasts, 1L, dimnames = list(NULL, names(contrasts)))
  }
  given <- colnames(contrasts)
  if (is.null(given) && ncol(contrasts) == length(names)) {
    colnames(contrasts) <- names
    return(contrasts)
  }
  if (is.null(given) || !all(given %in% names)) {
    stop_samepage("argument", c(
      "`contrasts` must have one number per fixed effect, or be named by fixed effects.",
      x = if (is.null(given)) {
        paste0("Found ", ncol(contrasts), " without names; there are ", length(names), ".")
      } else {
        paste0("Unknown: ", some_of(setdiff(given, names)), ".")
      },
      i = paste0("The fixed effects are: ", paste(names, collapse = ", "), ".")
    ), call = call)
  }
  if (anyDuplicated(given)) {
    stop_samepage("argument", c(
      "`contrasts` must name each fixed effect once.",
      x = paste0("Found several times: ", some_of(unique(given[duplicated(given)])), ".")
    ), call = call)
  }
  full <- matrix(
    0, nrow(contrasts), length(names),
    dimnames = list(rownames(contrasts), names)
  )
  full[, given] <- contrasts
  full
}

# --- comparison of several fits ---------------------------------------------------

check_compared <- function(fits, names, call = rlang::caller_env()) {
  is_fit <- vapply(fits, inherits, logical(1), what = "samepage_lmm")
  if (!is.null(names) && any(names[!is_fit] != "")) {
    stop_samepage(
      "argument",
      c(
        "Every argument must be one that this function has.",
        x = paste0("Unknown: `", some_of(names[!is_fit & names != ""]), "`."),
        i = advice_on_unknown(names)
      ),
      call = call
    )
  }
  if (!all(is_fit)) {
    other <- fits[[which(!is_fit)[1L]]]
    stop_samepage(
      "argument",
      c(
        "anova() compares fits made by lmm().",
        x = paste0("Argument ", which(!is_fit)[1L], " is of class ", class(other)[1L], "."),
        i = "Fit the other model with lmm() too: other software may leave out constants."
      ),
      call = call
    )
  }
}

# The same design, fitted by restricted or full maximum likelihood.
refit_by <- function(fit, reml) {
  if (component(fit, "reml") == reml) {
    return(fit)
  }
  core <- fit_reduced(
    component(fit, "reduced"), component(fit, "blocks"), reml, component(fit, "control")
  )
  fit <- with_core(fit, core)
  # What is kept for further responses belongs to the reduced data it was made from.
  fit$cache <- new.env(parent = emptyenv())
  fit$method <- if (reml) "REML" else "ML"
  if (!reml && component(fit, "df") == "kenward-roger") {
    fit$df <- "satterthwaite"
  }
  fit
}

# Refuse what the likelihoods do not answer.
check_comparable <- function(fits, call = rlang::caller_env()) {
  first <- fits[[1L]]
  for (i in seq_along(fits)[-1L]) {
    other <- fits[[i]]
    if (!same_rows(first, other)) {
      n <- c(component(first, "n"), component(other, "n"))
      stop_samepage(
        "different_rows",
        c(
          "Fits can be compared only when they are fitted to the same rows of the same outcome.",
          x = if (n[1L] == n[2L]) {
            paste0(
              "Fits 1 and ", i, " have ", n[1L], " rows each, with different outcomes or weights."
            )
          } else {
            paste0("Fit 1 has ", count_of(n[1L], "row"), ", fit ", i, " has ", n[2L], ".")
          },
          i = paste(
            "A predictor with missing values drops rows: fit both models to the rows that are",
            "complete in the variables of both."
          )
        ),
        call = call
      )
    }
    reml <- c(component(first, "reml"), component(other, "reml"))
    if (reml[1L] != reml[2L]) {
      stop_samepage(
        "different_methods",
        c(
          "Fits can be compared only when they are fitted by the same method.",
          x = paste0("Fit 1 is by ", first$method, ", fit ", i, " by ", other$method, "."),
          i = "Use `refit = TRUE` to compare both by maximum likelihood."
        ),
        call = call
      )
    }
    if (reml[1L] && !same_fixed_part(first, other)) {
      names <- list(names(component(first, "beta")), names(component(other, "beta")))
      apart <- c(setdiff(names[[1L]], names[[2L]]), setdiff(names[[2L]], names[[1L]]))
      stop_samepage(
        "different_fixed_parts",
        c(
          "REML fits can be compared only when their fixed parts are the same columns.",
          x = if (length(apart) > 0L) {
            paste0("Not in both of fits 1 and ", i, ": ", some_of(apart), ".")
          } else {
            paste0("Fits 1 and ", i, " have columns of the same names with different values.")
          },
          i = paste(
            "Each restricted likelihood is that of the outcome with its own fixed part removed,",
            "so the two are of different data. Use `refit = TRUE` to compare by maximum likelihood."
          )
        ),
        call = call
      )
    }
  }
}

same_rows <- function(a, b) {
  component(a, "n") == component(b, "n") &&
    identical(as.vector(component(a, "response")), as.vector(component(b, "response"))) &&
    identical(component(a, "weights"), component(b, "weights"))
}

# The same columns in the same or another order (the restricted likelihood does
# not depend on the order).
same_fixed_part <- function(a, b) {
  x <- stats::model.matrix(a)
  z <- stats::model.matrix(b)
  if (ncol(x) != ncol(z)) {
    return(FALSE)
  }
  if (setequal(colnames(x), colnames(z))) {
    z <- z[, colnames(x), drop = FALSE]
  }
  isTRUE(all.equal(x, z, tolerance = 1e-12, check.attributes = FALSE))
}

compare_fits <- function(fits, labels) {
  n_parameters <- vapply(fits, function(fit) {
    component(fit, "rank") + component(fit, "n_parameters")
  }, numeric(1))
  order <- order(n_parameters)
  fits <- fits[order]
  n_parameters <- n_parameters[order]
  criteria <- t(vapply(fits, information_criteria, numeric(5), definition = "r"))
  m2ll <- criteria[, "m2ll"]
  fall <- c(NA, -diff(m2ll))
  df <- c(NA, diff(n_parameters))
  # The larger of two nested fits is never the worse one, but for rounding.
  untestable <- df == 0 | fall < -1e-6 * (1 + abs(m2ll))
  chisq <- ifelse(untestable, NA, pmax(fall, 0))
  table <- data.frame(
    npar = n_parameters, AIC = criteria[, "aic"], BIC = criteria[, "bic"],
    logLik = -m2ll / 2, deviance = m2ll, Chisq = chisq, Df = df,
    `Pr(>Chisq)` = stats::pchisq(chisq, df, lower.tail = FALSE),
    row.names = labels[order], check.names = FALSE
  )
  formulas <- vapply(fits, function(fit) {
    paste(deparse(component(fit, "formula"), 500L), collapse = " ")
  }, character(1))
  structure(
    table,
    heading = c(
      paste0(
        if (component(fits[[1L]], "reml")) "REML" else "ML",
        " fits to the same ", component(fits[[1L]], "n"), " rows",
        " (AIC and BIC: R's definition)"
      ),
      paste0(labels[order], ": ", formulas, c(rep("", length(fits) - 1L), "\n")),
      if (differ_in_random_part(fits)) {
        paste0(
          "Where random effects differ the p is too large, as a variance cannot be negative:\n",
          "see test_random().\n"
        )
      }
    ),
    class = c("anova", "data.frame")
  )
}

differ_in_random_part <- function(fits) {
  parts <- lapply(fits, function(fit) {
    table <- component(fit, "parameter_table")
    sort(paste(table$name, table$var1, table$var2))
  })
  any(!vapply(parts[-1L], identical, logical(1), parts[[1L]]))
}
