# New responses for a fitted design: drawn from the fit, or given.

#' Simulate responses from a fit, and refit to new ones
#'
#' `simulate()` draws outcomes that the fitted model could have produced, for the same rows;
#' `refit()` fits the model to another outcome of these rows. Together they make a parametric
#' bootstrap or a power analysis, at a small part of the cost of calling [lmm()] anew.
#'
#' @param object A fit of class `samepage_lmm`.
#' @param nsim Number of simulated responses.
#' @param seed NULL, or a number for [set.seed()]; the state of the generator is put
#'   back afterwards.
#' @param re.form Which random effects keep their predicted values: NA (the default)
#'   or `~0` none, so that all are drawn anew; NULL all, so that only residuals are
#'   drawn; or a one-sided formula with some of the fit's terms.
#' @param newresp A numeric vector (or a data frame with one column, such as
#'   `simulate()` returns): one value per row used in the fit, on the scale of the
#'   formula's left side.
#' @param ... Not used; arguments other than those named are an error.
#' @returns
#' * `simulate()`: a data frame, rows as in the fit, columns `sim_1`, `sim_2`, ...,
#'   in the outcome's units. Where rows were left out under
#'   `na.action = na.exclude`, NA stands in their place. Attribute `seed` as for
#'   [stats::simulate()].
#' * `refit()`: the fit of the same model to the new response. The design is not
#'   built again: the first `refit()` of a fit keeps what is needed for the next. Its call
#'   still names the first response, so that `update()` and `drop1()` of it are an error.
#' @family mixed models
#' @examples
#' fit <- lmm(distance ~ age + (age | Subject), data = nlme::Orthodont)
#' draws <- simulate(fit, nsim = 20, seed = 1)
#' slopes <- vapply(draws, function(y) fixef(refit(fit, y))[["age"]], 0)
#' c(sd(slopes), sqrt(vcov(fit)["age", "age"]))
#' @importFrom stats simulate
#' @export
simulate.samepage_lmm <- function(object, nsim = 1, seed = NULL, re.form = NA, ...) {
  check_no_dots(...)
  check_n_draws(nsim)
  draw <- response_drawer(object, re.form)
  generator <- generator_from(seed)
  on.exit(generator$put_back())
  draws <- lapply(seq_len(nsim), function(i) draw())

  frame <- component(object, "frame")
  rows <- attr(frame, "row.names")
  omitted <- component(object, "na_action")
  if (inherits(omitted, "exclude")) {
    draws <- lapply(draws, stats::naresid, omit = omitted)
    rows <- names(stats::naresid(omitted, stats::setNames(seq_along(rows), row.names(frame))))
  }
  structure(
    draws,
    names = paste0("sim_", seq_along(draws)), row.names = rows, class = "data.frame",
    seed = generator$start
  )
}

check_n_draws <- function(nsim, call = rlang::caller_env()) {
  if (!is.numeric(nsim) || length(nsim) != 1L || is.na(nsim) || nsim < 1) {
    stop_samepage("argument", c(
      "`nsim` must be one number, 1 or more.",
      x = paste0("Found ", code_of(nsim), ".")
    ), call = call)
  }
}

# The generator's state before the first draw: from `seed`, or as it is. put_back() undoes what a
# seed has changed.
generator_from <- function(seed) {
  if (!exists(".Random.seed", envir = globalenv(), inherits = FALSE)) {
    stats::runif(1L)
  }
  before <- get(".Random.seed", envir = globalenv())
  if (is.null(seed)) {
    return(list(start = before, put_back = function() NULL))
  }
  if (!is.numeric(seed) || length(seed) != 1L || is.na(seed)) {
    stop_samepage("argument", c(
      "`seed` must be NULL or one number.",
      x = paste0("Found: ", found_value(seed), ".")
    ))
  }
  set.seed(seed)
  list(
    start = structure(seed, kind = as.list(RNGkind())),
    put_back = function() assign(".Random.seed", before, envir = globalenv())
  )
}

# f of each of `nsim` responses drawn from a fit, as the core takes them: rows used, less the
# offset. One response at a time: memory does not grow with their number, and an interrupt is
# answered between two.
map_drawn_responses <- function(fit, nsim, seed, f, value) {
  check_n_draws(nsim)
  draw <- response_drawer(fit, NA)
  offset <- frame_offset(fit, component(fit, "frame"))
  generator <- generator_from(seed)
  on.exit(generator$put_back())
  vapply(seq_len(nsim), function(i) {
    y <- draw()
    f(if (is.null(offset)) y else y - offset)
  }, value)
}

# A function that draws one response for the rows used.
response_drawer <- function(fit, re.form) {
  used <- chosen_effects(fit, re.form)
  frame <- component(fit, "frame")
  codes <- frame_codes(fit, frame, used, TRUE, FALSE)
  mean <- as.vector(predicted_mean(fit, frame, used, codes))
  effects <- drawn_blocks(fit, frame, used)
  sd <- sqrt(component(fit, "residual_variance"))
  weights <- component(fit, "weights")
  if (!is.null(weights)) {
    sd <- sd / sqrt(weights)
  }
  n <- length(mean)
  function() {
    y <- mean
    for (block in effects) {
      b <- matrix(stats::rnorm(block$m * ncol(block$z)), block$m) %*% block$root
      for (j in seq_len(ncol(block$z))) {
        y <- y + block$z[, j] * b[block$codes, j]
      }
    }
    y + sd * stats::rnorm(n)
  }
}

# The blocks that do not keep their predicted values: columns, codes, root of the covariance.
drawn_blocks <- function(fit, frame, used) {
  blocks <- component(fit, "blocks")
  z <- random_matrix(fit, frame)
  drawn <- lapply(seq_along(blocks), function(i) {
    block <- blocks[[i]]
    kept <- unlist(lapply(used, function(effects) if (effects$block == i) effects$columns))
    if (length(kept) == length(block$columns)) {
      return(NULL)
    }
    if (length(kept)) {
      stop_re_form(blocks, paste0("only some effects of (... | ", block$group, ")"))
    }
    list(
      z = z[, block$columns, drop = FALSE], codes = component(fit, "groups")[[block$level]],
      m = component(fit, "n_units")[[block$level]],
      root = symmetric_root(component(fit, "covariances")[[i]])
    )
  })
  Filter(Negate(is.null), drawn)
}

# Cholesky's factor does not exist where a variance is zero or a correlation one.
symmetric_root <- function(covariance) {
  parts <- eigen(covariance, symmetric = TRUE)
  parts$vectors %*% (sqrt(pmax(parts$values, 0)) * t(parts$vectors))
}

#' @rdname simulate.samepage_lmm
#' @export
refit <- function(object, newresp, ...) {
  UseMethod("refit")
}

# The same name is a generic of lme4's: whichever package is attached last must not
# take the other's fits away.
#' @export
refit.default <- function(object, newresp, ...) {
  if (!inherits(object, "merMod")) {
    stop_samepage("argument", c(
      "`object` must be a fit of lmm().",
      x = paste0("Found an object of class ", class(object)[1L], ".")
    ))
  }
  getExportedValue("lme4", "refit")(object, newresp, ...)
}

#' @rdname simulate.samepage_lmm
#' @export
refit.samepage_lmm <- function(object, newresp, ...) {
  check_no_dots(...)
  y <- check_new_response(object, newresp)
  kept <- kept_replay(object)
  centred <- if (is.null(kept$offset)) y else y - kept$offset
  with_response(object, y, solve_response(object, kept$replay, centred))
}

# The reductions' reflections belong to the design, not to one response: made once
# per design and shared by every refit of it.
kept_replay <- function(fit) {
  cache <- component(fit, "cache")
  if (is.null(cache$replay)) {
    frame <- component(fit, "frame")
    terms <- stats::delete.response(component(fit, "terms"))
    made <- frame_columns(terms, frame, component(fit, "contrasts"))
    design <- list(
      X = as_columns(made$columns, .row_names_info(frame, 2L)), Z = random_matrix(fit, frame),
      groups = component(fit, "groups"), weights = component(fit, "weights"),
      n_units = component(fit, "n_units"), crossed = component(fit, "crossed")
    )
    cache$offset <- frame_offset(fit, frame)
    cache$replay <- replay_design(
      design, component(fit, "reduced"), component(fit, "control")
    )
  }
  cache
}

check_new_response <- function(fit, y) {
  n <- component(fit, "n")
  if (is.data.frame(y) && length(y) == 1L) {
    y <- y[[1L]]
  }
  if (length(y) != n) {
    omitted <- component(fit, "na_action")
    if (length(omitted) && length(y) == n + length(omitted)) {
      y <- y[-omitted]
    }
  }
  if (!is.numeric(y) || length(y) != n) {
    stop_samepage("response", c(
      paste0("`newresp` must be numbers, one for each of the ", count_of(n, "row"), " of the fit."),
      x = paste0("Found ", length(y), " of class ", class(y)[1L], ".")
    ))
  }
  y <- as.vector(y, "double")
  low <- min(y)
  high <- max(y)
  if (!is.finite(low) || !is.finite(high)) {
    wrong <- which(!is.finite(y))
    stop_samepage("response", c(
      "`newresp` must be finite and not missing.",
      x = paste0("Found others in ", count_of(length(wrong), "row"), " (", some_of(wrong), ")."),
      i = "For other rows, fit the model again with lmm()."
    ))
  }
  largest <- max(-low, high)
  if (largest > largest_number || (largest < 1 / largest_number && low < high)) {
    stop_size(paste0("The largest number of `newresp` is ", format(largest, digits = 1L), "."))
  }
  if (low == high) {
    stop_samepage("constant_response", c(
      "`newresp` must vary.",
      x = paste0("Found the value ", y[1L], " in all ", count_of(n, "row"), ".")
    ))
  }
  y
}
