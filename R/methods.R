# Accessors of a fit: standard generics with lme4's meaning and shapes.

#' Fixed and random effects of a fit
#'
#' `fixef()` gives the coefficients that hold for all units, `ranef()` what each unit (a dyad, a
#' therapist) is predicted to differ from them by, and `coef()` the two added up: each unit's
#' own intercept and slopes.
#'
#' @param object A fit of class `samepage_lmm`.
#' @param add.dropped Whether columns that were left out as combinations of earlier
#'   ones stand in the answer as NA.
#' @param condVar Whether the conditional variances are computed too.
#' @param ... Not used; arguments other than those named are an error.
#' @returns
#' * `fixef()`: a named vector of estimates, in the outcome's units per unit of each
#'   column.
#' * `ranef()`: a list of class `samepage_ranef`, one data frame per grouping, named
#'   by it. Each has one row per unit, named by the unit's id, and one column per
#'   random effect: what the unit differs by from the fixed effects (the conditional
#'   mean given the data). Attribute `postVar` of a data frame: array, effects x
#'   effects x units, of their conditional variances and covariances given the
#'   data and the estimated parameters; a list of such arrays, one per term, where the
#'   grouping has several. `as.data.frame()` of it has the columns
#'   `grpvar`, `term`, `grp`, `condval` and `condsd`, as in lme4.
#' * `coef()`: the same shape as `ranef()`, with the fixed effects added: each unit's
#'   own coefficients. Effects that are random only come first.
#' @family mixed models
#' @examples
#' fit <- lmm(distance ~ age + (age | Subject), data = nlme::Orthodont)
#' fixef(fit)
#' head(ranef(fit)$Subject)
#' head(coef(fit)$Subject)
#' @export
fixef.samepage_lmm <- function(object, add.dropped = FALSE, ...) {
  check_no_dots(...)
  beta <- component(object, "beta")
  if (!check_flag(add.dropped, "add.dropped")) {
    return(beta)
  }
  names <- component(object, "x_names")
  stats::setNames(beta[names], names)
}

#' @rdname fixef.samepage_lmm
#' @export
ranef.samepage_lmm <- function(object, condVar = TRUE, ...) { # nolint: object_name_linter.
  check_no_dots(...)
  check_flag(condVar, "condVar")
  effects <- unit_effects(object, condVar)
  blocks <- component(object, "blocks")
  answer <- lapply(component(object, "groupings"), function(grouping) {
    own <- which(vapply(blocks, function(block) block$group == grouping$name, logical(1)))
    rows <- unlist(effects$rows[own])
    level <- effects$levels[[grouping$level]]
    units <- ordered_units(object, grouping)
    names <- unlist(lapply(blocks[own], function(block) block$names))
    frame <- lapply(rows, function(row) level$mean[row, units$order])
    frame <- structure(frame, names = names, row.names = units$labels, class = "data.frame")
    if (condVar) {
      variances <- lapply(effects$rows[own], function(rows) {
        level$variance[rows, rows, units$order, drop = FALSE]
      })
      # One array, or as in lme4 one for each of several terms.
      frame <- structure(frame, postVar = if (length(own) == 1L) variances[[1L]] else variances)
    }
    frame
  })
  structure(answer, class = "samepage_ranef")
}

#' @export
print.samepage_ranef <- function(x, ...) {
  for (name in names(x)) {
    cat("$", name, "\n", sep = "")
    print(structure(x[[name]], postVar = NULL), ...)
    cat("\n")
  }
  invisible(x)
}

#' @export
as.data.frame.samepage_ranef <- function(x, ...) {
  check_no_dots(...)
  rows <- lapply(names(x), function(name) {
    effects <- x[[name]]
    variance <- attr(effects, "postVar")
    q <- length(effects)
    m <- nrow(effects)
    if (is.array(variance)) {
      variance <- list(variance)
    }
    # NULL without variances.
    error <- unlist(lapply(variance, function(own) {
      lapply(seq_len(nrow(own)), function(j) sqrt(pmax(own[j, j, ], 0)))
    }))
    data.frame(
      grpvar = name, term = factor(rep(names(effects), each = m), levels = names(effects)),
      grp = factor(rep(row.names(effects), q), levels = row.names(effects)),
      condval = unlist(unclass(effects), use.names = FALSE),
      condsd = if (is.null(error)) NA_real_ else error
    )
  })
  do.call(rbind, rows)
}

#' @rdname fixef.samepage_lmm
#' @export
coef.samepage_lmm <- function(object, ...) {
  check_no_dots(...)
  random <- unclass(ranef.samepage_lmm(object, condVar = FALSE))
  # As in lme4, effects that are random only come first, with a mean of zero.
  beta <- component(object, "beta")
  random_only <- setdiff(unlist(lapply(random, names)), names(beta))
  beta <- c(stats::setNames(numeric(length(random_only)), random_only), beta)
  lapply(random, function(effects) {
    total <- lapply(names(beta), function(name) {
      own <- unclass(effects)[names(effects) == name]
      Reduce(`+`, own, rep(beta[[name]], nrow(effects)))
    })
    structure(
      total,
      names = names(beta), row.names = attr(effects, "row.names"), class = "data.frame"
    )
  })
}

# Conditional means and variances per level, units in the order of their codes, and
# which of a level's rows belong to which block.
unit_effects <- function(fit, variance = TRUE) {
  blocks <- component(fit, "blocks")
  levels <- ranef_reduced(
    component(fit, "reduced"), blocks, component(fit, "parameters"), variance
  )
  used <- integer(length(levels))
  rows <- vector("list", length(blocks))
  for (i in seq_along(blocks)) {
    l <- blocks[[i]]$level
    rows[[i]] <- used[l] + seq_along(blocks[[i]]$columns)
    used[l] <- used[l] + length(blocks[[i]]$columns)
  }
  list(levels = levels, rows = rows)
}

# Units in the order factor() would give their ids, and their labels in that order.
ordered_units <- function(fit, grouping) {
  frame <- component(fit, "frame")
  order <- unit_order(frame, grouping$parts, grouping$first)
  list(
    order = order, labels = unit_labels(frame, grouping$parts, grouping$first[order])
  )
}

#' Parts of a fit
#'
#' What a fit was made from and a few of its numbers, by the generics that other models of R
#' have as well.
#'
#' @param object,x,formula A fit of class `samepage_lmm`.
#' @param fixed.only Whether the random-effects terms are left out.
#' @param env,use.fallback Not used: [stats::as.formula()] and [stats::drop1()] pass them.
#' @param type "fixed" for the fixed-effects columns in the fit, "random" for the
#'   distinct columns of the random-effects terms (one column per effect, not one
#'   per unit).
#' @param ... Not used; arguments other than those named are an error.
#' @returns
#' * `nobs()`: number of rows used; `na.action()`: the rows left out for missing values.
#' * `sigma()`: residual standard deviation, in the outcome's units.
#' * `df.residual()`: rows minus all estimated parameters, covariance parameters
#'   included.
#' * `formula()`: as given, or without its random-effects terms.
#' * `terms()`: of the fixed part.
#' * `model.frame()`: the rows and variables used.
#' * `model.matrix()`: rows x columns, with attribute `assign`.
#' * `weights()`: one per row used, 1 without case weights; NA where `na.action = na.exclude` left a
#'   row out.
#' @family mixed models
#' @name samepage_lmm-parts
#' @examples
#' fit <- lmm(distance ~ age + (age | Subject), data = nlme::Orthodont)
#' c(nobs(fit), sigma(fit))
#' formula(fit, fixed.only = TRUE)
#' head(model.matrix(fit))
NULL

#' @rdname samepage_lmm-parts
#' @importFrom stats nobs
#' @export
nobs.samepage_lmm <- function(object, use.fallback = FALSE, ...) {
  check_no_dots(...)
  component(object, "n")
}

#' @rdname samepage_lmm-parts
#' @importFrom stats na.action
#' @export
na.action.samepage_lmm <- function(object, ...) {
  check_no_dots(...)
  component(object, "na_action")
}

#' @rdname samepage_lmm-parts
#' @importFrom stats sigma
#' @export
sigma.samepage_lmm <- function(object, ...) {
  check_no_dots(...)
  sqrt(component(object, "residual_variance"))
}

#' @rdname samepage_lmm-parts
#' @export
df.residual.samepage_lmm <- function(object, ...) {
  check_no_dots(...)
  component(object, "n") - component(object, "rank") - component(object, "n_parameters")
}

#' @rdname samepage_lmm-parts
#' @export
formula.samepage_lmm <- function(x, fixed.only = FALSE, env = NULL, ...) {
  check_no_dots(...)
  formula <- component(x, "formula")
  if (check_flag(fixed.only, "fixed.only")) parse_mixed_formula(formula)$fixed else formula
}

#' @rdname samepage_lmm-parts
#' @export
terms.samepage_lmm <- function(x, ...) {
  check_no_dots(...)
  component(x, "terms")
}

#' @rdname samepage_lmm-parts
#' @export
model.frame.samepage_lmm <- function(formula, fixed.only = FALSE, ...) {
  check_no_dots(...)
  frame <- component(formula, "frame")
  if (!check_flag(fixed.only, "fixed.only")) {
    return(frame)
  }
  frame[c(variable_names(attr(frame, "terms")), intersect("(weights)", names(frame)))]
}

#' @rdname samepage_lmm-parts
#' @export
model.matrix.samepage_lmm <- function(object, type = c("fixed", "random"), ...) {
  check_no_dots(...)
  type <- check_choice(type, c("fixed", "random"), "type")
  frame <- component(object, "frame")
  if (type == "random") {
    z <- random_matrix(object, frame)
    dimnames(z) <- list(row.names(frame), component(object, "z_names"))
    return(z)
  }
  kept <- component(object, "kept")
  x <- fixed_matrix(object, frame)
  dimnames(x) <- list(row.names(frame), component(object, "x_names")[kept])
  attr(x, "assign") <- component(object, "assign")[kept]
  attr(x, "contrasts") <- component(object, "contrasts")
  x
}

#' @rdname samepage_lmm-parts
#' @importFrom stats weights
#' @export
weights.samepage_lmm <- function(object, ...) {
  check_no_dots(...)
  weights <- component(object, "weights")
  if (is.null(weights)) {
    weights <- rep.int(1, component(object, "n"))
  }
  stats::naresid(component(object, "na_action"), weights)
}
