# Synthetic samples of dyads: two raters' growth, and an outcome whose growth depends on it.

#' Generate a sample of dyads
#'
#' Draws a synthetic sample: two raters whose ratings grow over the sessions, and an outcome whose
#' level and change depend on how the ratings converge and on the other predictors of
#' [convergence_models()], with therapists, missing sessions and drop-out. The two studies of
#' Nissen-Lie et al. (2020) are its presets, so that "a sample like Study 1, but with 200 dyads and
#' a stronger effect" is one call. It is the generator from which [study1] and [study2] started.
#'
#' @details
#' # The model
#'
#' For dyad j at time t, with \eqn{\tau}{tau} running from 0 at the first to 1 at the last rated
#' time, the ratings are
#' \deqn{P_{jt} = \pi_{0j} + \pi_{1j} \tau + \epsilon_{jt}, \quad
#'   T_{jt} = \theta_{0j} + \theta_{1j} \tau + \zeta_{jt}}{P[jt] = pi[0j] + pi[1j] tau + eps[jt],
#'   T[jt] = theta[0j] + theta[1j] tau + zeta[jt]}
#' The starts and changes of the two raters are jointly normal; the residuals of the two raters in
#' one session are correlated, those of different sessions are not. The outcome is
#' \deqn{Y_{jt} = (\beta_0 + x_j' \beta + u_{0j} + w_{0h}) +
#'   (\gamma_0 + x_j' \gamma + u_{1j} + w_{1h}) t + e_{jt}}{Y[jt] = (beta0 + x[j]' beta + u[0j] +
#'   w[0h]) + (gamma0 + x[j]' gamma + u[1j] + w[1h]) t + e[jt]}
#' with time as it is in the result, u the dyad's and w the therapist's random intercept and slope,
#' and \eqn{x_j}{x[j]} the dyad's predictors, each centred over the dyads of the sample: `initial`,
#' `convergence`, `early_patient`, `early_therapist`, `development`, `early_discrepancy` and the
#' product `development:convergence` of two centred ones.
#'
#' The predictors are those of [convergence()] with `per = "course"`, `transform = "log"` and
#' `early_discrepancy = "log_absolute"`. `predictors = "observed"` takes them from the ratings as
#' generated, errors and missing sessions included, which is what a model fitted to the sample can
#' know: its estimates are then unbiased. `predictors = "true"` takes them from the error-free
#' lines, and the same model shows what the unreliability of the scores does to its estimates. A
#' dyad without a score counts as average.
#'
#' Where the outcome has an initial value (`outcome$initial`, as in `"study1"`), it is the outcome
#' at the first time, normal and correlated with the ratings' growth, and the equation above holds
#' from the second time on. Otherwise it holds from the first time on.
#'
#' # Parameters
#'
#' Each of these arguments is a list. What is named in it replaces that part of the preset, and
#' within a named vector the elements that are named; the rest stays.
#' \describe{
#'   \item{`ratings`}{`mean`, `sd`: named vectors (`patient_start`, `patient_change`,
#'     `therapist_start`, `therapist_change`); `correlation`: 4 x 4 matrix in this order;
#'     `error_sd`: named (`patient`, `therapist`); `error_correlation`: one number.}
#'   \item{`outcome`}{`intercept`, `slope`: \eqn{\beta_0}{beta0}, \eqn{\gamma_0}{gamma0}; `sd`:
#'     named (`intercept`, `slope`), of u; `correlation`: of the two; `error_sd`: of e;
#'     `therapist_sd`: named (`intercept`, `slope`), of w, uncorrelated; `initial`: named (`mean`,
#'     `sd`), or NULL for none; `initial_correlation`: named like `ratings$mean`, with the ratings'
#'     starts and changes.}
#'   \item{`effects`}{`level`, `change`: named vectors, \eqn{\beta}{beta} and
#'     \eqn{\gamma}{gamma}. Predictors that are not named have the preset's effect.}
#'   \item{`missing`}{`dropout`: share of dyads that end early, at a session drawn from `earliest`
#'     (a number of sessions) to the last but one; `session`: probability that a session does not
#'     take place; `patient`, `therapist`, `outcome`: probabilities that a form of it is missing.
#'     The first session is always complete.}
#' }
#'
#' # Presets
#'
#' `"study1"`: 96 dyads, 34 therapists, sessions 1 to 14, Working Alliance Inventory (1 to 7) by
#' both raters and BDI-II (0 to 63) at every session, one dyad in four ending early.
#' `"study2"`: 139 dyads, 52 therapists, occasions 0 to 4 with the GSI (0 to 4) at all of them and
#' ratings at occasions 1, 2 and 3, complete. Level and change effects are the published estimates
#' of Model 3 (in `"study2"` without that of initial symptoms: the first GSI is an outcome like the
#' others); the variances are decoded from the published standard errors, our own reading.
#' `attr(sample, "truth")$parameters` shows all of them.
#'
#' @param preset `"study1"` or `"study2"`: where all parameters come from that are not given.
#' @param dyads Number of dyads, 3 or more.
#' @param therapists Number of therapists, at most one per dyad; each treats at least one. Where
#'   only `dyads` is given, as many patients per therapist as in the preset.
#' @param times Three or more increasing numbers: the sessions or occasions.
#' @param rated Those of `times` at which the raters rate, at least two; where only `times` is
#'   given, all of them.
#' @param ratings,outcome,effects,missing Lists that change parts of the preset, see the section on
#'   parameters.
#' @param predictors `"observed"` or `"true"`: what the outcome depends on, scores computed from
#'   the generated ratings or from their error-free lines.
#' @param rounded Whether ratings and outcome are rounded to the instruments' grids and kept within
#'   their ranges. Without it, parameters are recovered without the bias that floors, ceilings and
#'   rounding bring.
#' @param seed NULL, or a number for [set.seed()]; the state of the generator is put back
#'   afterwards, as in [stats::simulate()].
#' @returns A data frame with one row per dyad and session: `patient`, `therapist` (factors),
#'   `session` or `occasion`, `wai_patient`, `wai_therapist`, and `bdi` or `gsi`; missing forms are
#'   NA, sessions that did not take place have no row. Attribute `truth`: a list of `parameters`
#'   (all of them, as used), `dyads` (a data frame with each dyad's starts, changes, centred
#'   predictors and random effects) and `therapists` (their random effects). Attribute `seed` as
#'   for [stats::simulate()].
#' @family synthetic samples
#' @inherit study1 references
#' @examples
#' # like Study 1, but larger and with an effect of convergence on the change
#' sample <- generate_dyads(
#'   "study1", dyads = 200, effects = list(change = c(convergence = -1.5)), seed = 1
#' )
#' head(sample)
#' str(attr(sample, "truth")$dyads)
#' scores <- convergence(
#'   wai_patient + wai_therapist ~ session | patient, data = sample,
#'   per = "course", transform = "log", early_discrepancy = "log_absolute"
#' )
#' models <- convergence_models(
#'   bdi ~ session | patient, data = sample, scores = scores, initial_row = "drop"
#' )
#' # an estimate of the -1.5 that was put in
#' fixef(models$full)[["convergence:session"]]
#' @export
generate_dyads <- function(preset = c("study1", "study2"), dyads = NULL, therapists = NULL,
                           times = NULL, rated = NULL, ratings = NULL, outcome = NULL,
                           effects = NULL, missing = NULL, predictors = c("observed", "true"),
                           rounded = TRUE, seed = NULL) {
  preset <- check_choice(preset, c("study1", "study2"), "preset")
  parameters <- sample_parameters(
    preset, list(dyads = dyads, therapists = therapists, times = times, rated = rated),
    list(ratings = ratings, outcome = outcome, effects = effects, missing = missing)
  )
  parameters$predictors <- check_choice(predictors, c("observed", "true"), "predictors")
  parameters$rounded <- check_flag(rounded, "rounded")

  check_seed(seed)
  start <- random_state(seed)
  if (!is.null(seed)) {
    before <- get(".Random.seed", envir = globalenv())
    on.exit(assign(".Random.seed", before, envir = globalenv()))
    set.seed(seed)
  }

  people <- draw_people(parameters)
  sessions <- draw_attendance(parameters)
  sessions <- add_ratings(sessions, people, parameters)
  people <- add_predictors(people, sessions, parameters)
  sessions <- add_outcome(sessions, people, parameters)
  structure(
    label_sample(sessions, people, parameters),
    truth = list(
      parameters = parameters, dyads = people$dyads, therapists = people$therapists
    ),
    seed = start
  )
}

# ---- Parameters -------------------------------------------------------------

growth_names <- c("patient_start", "patient_change", "therapist_start", "therapist_change")

effect_names <- c(
  "initial", "convergence", "early_patient", "early_therapist", "development",
  "early_discrepancy", "development:convergence"
)

named_effects <- function(...) {
  given <- c(...)
  values <- stats::setNames(numeric(length(effect_names)), effect_names)
  values[names(given)] <- given
  values
}

growth_correlation <- function(lower) {
  matrix <- diag(4L)
  matrix[lower.tri(matrix)] <- lower
  matrix <- matrix + t(matrix) - diag(4L)
  dimnames(matrix) <- list(growth_names, growth_names)
  matrix
}

# Effects are the published estimates of Model 3. Its intercept and slope are those of a dyad
# without early discrepancy; here, where all predictors are centred, those of the average dyad.
sample_presets <- list(
  study1 = list(
    dyads = 96L, therapists = 34L, times = 1:14, rated = 1:14,
    ratings = list(
      mean = stats::setNames(c(4.90, 0.95, 5.12, 0.50), growth_names),
      sd = stats::setNames(c(0.62, 0.90, 0.43, 0.55), growth_names),
      correlation = growth_correlation(c(-0.15, 0.42, 0, 0, 0, -0.15)),
      error_sd = c(patient = 0.32, therapist = 0.27), error_correlation = 0.2
    ),
    outcome = list(
      intercept = 32.78, slope = -0.82, sd = c(intercept = 7.0, slope = 1.10),
      correlation = -0.25, error_sd = 5.1, therapist_sd = c(intercept = 0, slope = 0),
      initial = c(mean = 33.9, sd = 10.3),
      initial_correlation = stats::setNames(c(-0.45, 0, -0.48, 0), growth_names)
    ),
    effects = list(
      level = named_effects(
        initial = 0.77, convergence = -0.05, early_patient = -0.69, early_therapist = -4.42,
        development = 0.66, early_discrepancy = 1.05
      ),
      change = named_effects(
        convergence = -0.333, early_patient = -0.08, early_therapist = -0.16,
        development = -0.87, early_discrepancy = 0.37, "development:convergence" = 0.11
      )
    ),
    missing = list(
      dropout = 0.25, earliest = 4L, session = 0.06, patient = 0.05, therapist = 0.05,
      outcome = 0.04
    ),
    names = c(time = "session", outcome = "bdi"),
    rating_grid = c(from = 1, to = 7, per = 12), outcome_grid = c(from = 0, to = 63, per = 1)
  ),
  study2 = list(
    dyads = 139L, therapists = 52L, times = 0:4, rated = 1:3,
    ratings = list(
      mean = stats::setNames(c(5.25, 0.35, 4.70, 0.65), growth_names),
      sd = stats::setNames(c(0.80, 0.60, 0.60, 0.50), growth_names),
      correlation = growth_correlation(c(-0.30, 0.35, 0, 0, 0.30, -0.35)),
      error_sd = c(patient = 0.30, therapist = 0.25), error_correlation = 0.2
    ),
    outcome = list(
      intercept = 1.28, slope = -0.09, sd = c(intercept = 0.58, slope = 0.10),
      correlation = -0.29, error_sd = 0.25, therapist_sd = c(intercept = 0, slope = 0),
      initial = NULL, initial_correlation = NULL
    ),
    effects = list(
      level = named_effects(
        convergence = -0.34, early_patient = 0.02, early_therapist = -0.02, development = -0.01,
        early_discrepancy = 0.09
      ),
      change = named_effects(
        convergence = -0.04, early_patient = -0.003, early_therapist = -0.02,
        development = -0.01, early_discrepancy = 0.02, "development:convergence" = 0.04
      )
    ),
    missing = list(
      dropout = 0, earliest = 3L, session = 0, patient = 0, therapist = 0, outcome = 0
    ),
    names = c(time = "occasion", outcome = "gsi"),
    rating_grid = c(from = 1, to = 7, per = 12), outcome_grid = c(from = 0, to = 4, per = 90)
  )
)

# The preset with what the user gave in its place, checked as a whole.
sample_parameters <- function(preset, plain, lists, call = rlang::caller_env()) {
  parameters <- sample_presets[[preset]]
  given <- Filter(Negate(is.null), plain)
  parameters[names(given)] <- given
  if (!is.null(plain$times) && is.null(plain$rated)) {
    parameters$rated <- plain$times
  }
  if (!is.null(plain$dyads) && is.null(plain$therapists) && is_count(plain$dyads)) {
    # As many patients per therapist as in the study.
    ratio <- sample_presets[[preset]]$therapists / sample_presets[[preset]]$dyads
    parameters$therapists <- max(1, round(plain$dyads * ratio))
  }
  for (name in names(lists)) {
    parameters[[name]] <- replace_parts(parameters[[name]], lists[[name]], name, call)
  }
  check_sizes(parameters, call)
  if (is.null(lists$missing$earliest)) {
    parameters$missing$earliest <- min(parameters$missing$earliest, length(parameters$times) - 1L)
  }
  check_spreads(parameters, call)
  check_growth_correlation(parameters, call)
  check_losses(parameters$missing, length(parameters$times), call)
  parameters
}

# Named elements of a list, and of the vectors in it, replaced; names that it does not have, or
# values of another kind, are refused.
replace_parts <- function(part, given, name, call) {
  if (is.null(given)) {
    return(part)
  }
  if (!is.list(given)) {
    stop_samepage("argument", c(
      paste0("`", name, "` must be a list such as `list(", names(part)[1L], " = )`."),
      x = paste0("Found: ", describe_class(given), ".")
    ), call = call)
  }
  check_part_names(given, names(part), name, call)
  for (element in names(given)) {
    value <- given[[element]]
    path <- paste0(name, "$", element)
    now <- part[[element]]
    if (is.null(value) && element %in% c("initial", "initial_correlation")) {
      part[element] <- list(NULL)
      next
    }
    if (!is.numeric(value) || anyNA(value) || !all(is.finite(value))) {
      stop_samepage("argument", c(
        paste0("`", path, "` must be finite numbers."),
        x = paste0("Found: ", some_of(code_of(value)), ".")
      ), call = call)
    }
    if (element %in% c("initial", "initial_correlation") && is.null(now)) {
      names <- if (element == "initial") c("mean", "sd") else growth_names
      now <- stats::setNames(numeric(length(names)), names)
    }
    if (!is.null(names(now))) {
      check_part_names(value, names(now), path, call)
      now[names(value)] <- value
    } else if (length(value) == length(now)) {
      now[] <- value
    } else {
      stop_samepage("argument", c(
        paste0("`", path, "` must have ", count_of(length(now), "value"), "."),
        x = paste0("Found: ", length(value), ".")
      ), call = call)
    }
    part[[element]] <- now
  }
  part
}

check_part_names <- function(given, known, path, call) {
  found <- names(given)
  if (is.null(found)) {
    found <- rep("", length(given))
  }
  unknown <- setdiff(found, known)
  if (length(unknown) || anyDuplicated(found)) {
    wrong <- if (length(unknown)) unknown else found[duplicated(found)]
    shown <- ifelse(wrong == "", "a value without a name", paste0("\"", wrong, "\""))
    stop_samepage("argument", c(
      paste0("`", path, "` may name, once each: ", paste(known, collapse = ", "), "."),
      x = paste0("Found: ", some_of(shown), ".")
    ), call = call)
  }
}

check_seed <- function(seed, call = rlang::caller_env()) {
  right <- is.null(seed) || (
    is.numeric(seed) && length(seed) == 1L && is.finite(seed) && abs(seed) <= .Machine$integer.max
  )
  if (!right) {
    stop_samepage("argument", c(
      "`seed` must be NULL or one whole number, for example 1.",
      x = paste0("Found: ", found_value(seed), ".")
    ), call = call)
  }
}

is_count <- function(x) {
  is.numeric(x) && length(x) == 1L && is.finite(x) && x >= 1 && x == round(x)
}

check_sizes <- function(parameters, call) {
  # Fewer than three dyads leave nothing to centre and compare.
  least <- c(dyads = 3, therapists = 1)
  for (name in names(least)) {
    if (!is_count(parameters[[name]]) || parameters[[name]] < least[[name]]) {
      stop_samepage("argument", c(
        paste0("`", name, "` must be one whole number, ", least[[name]], " or more."),
        x = paste0("Found: ", some_of(code_of(parameters[[name]])), ".")
      ), call = call)
    }
  }
  if (parameters$therapists > parameters$dyads) {
    stop_samepage("argument", c(
      "`therapists` must not be more than the dyads: each treats at least one patient.",
      x = paste0("Found: ", parameters$therapists, " for ", parameters$dyads, " dyads.")
    ), call = call)
  }
  times <- parameters$times
  if (!is.numeric(times) || length(times) < 3L || !all(is.finite(times)) || any(diff(times) <= 0)) {
    stop_samepage("argument", c(
      "`times` must be three or more increasing numbers.",
      x = paste0("Found: ", some_of(code_of(times)), ".")
    ), call = call)
  }
  rated <- parameters$rated
  if (!is.numeric(rated) || length(rated) < 2L || !all(rated %in% times) ||
        any(diff(rated) <= 0)) {
    stop_samepage("argument", c(
      "`rated` must be two or more of `times`, increasing.",
      x = paste0("Found: ", some_of(code_of(rated)), "."),
      i = paste0("`times` are ", some_of(times, 14L), ".")
    ), call = call)
  }
}

check_spreads <- function(parameters, call) {
  spreads <- list(
    "ratings$sd" = parameters$ratings$sd, "ratings$error_sd" = parameters$ratings$error_sd,
    "outcome$sd" = parameters$outcome$sd, "outcome$error_sd" = parameters$outcome$error_sd,
    "outcome$therapist_sd" = parameters$outcome$therapist_sd,
    "outcome$initial" = parameters$outcome$initial["sd"]
  )
  for (name in names(spreads)) {
    negative <- which(spreads[[name]] < 0)
    if (length(negative)) {
      stop_samepage("argument", c(
        paste0("Standard deviations must not be negative, and `", name, "` has a negative one."),
        x = paste0("Found: ", some_of(trimws(paste(
          names(spreads[[name]])[negative], spreads[[name]][negative]
        ))), ".")
      ), call = call)
    }
  }
  correlations <- list(
    "ratings$error_correlation" = parameters$ratings$error_correlation,
    "outcome$correlation" = parameters$outcome$correlation
  )
  for (name in names(correlations)) {
    if (abs(correlations[[name]]) > 1) {
      stop_samepage("argument", c(
        paste0("`", name, "` must lie between -1 and 1."),
        x = paste0("Found: ", correlations[[name]], ".")
      ), call = call)
    }
  }
}

# Starts, changes and initial outcome are drawn jointly: their correlations must fit together.
check_growth_correlation <- function(parameters, call) {
  correlation <- people_correlation(parameters)
  symmetric <- isSymmetric(unname(correlation))
  if (!symmetric || any(diag(correlation) != 1) ||
        min(eigen(correlation, symmetric = TRUE, only.values = TRUE)$values) < -1e-10) {
    stop_samepage("argument", c(
      paste(
        "`ratings$correlation` and `outcome$initial_correlation` must together be a correlation",
        "matrix."
      ),
      x = if (!symmetric) {
        "The matrix is not symmetric."
      } else {
        "The matrix does not have ones on its diagonal and no negative eigenvalue."
      }
    ), call = call)
  }
}

check_losses <- function(missing, n_times, call) {
  for (name in setdiff(names(missing), "earliest")) {
    if (missing[[name]] < 0 || missing[[name]] >= 1) {
      stop_samepage("argument", c(
        paste0("`missing$", name, "` must be a share from 0 to below 1."),
        x = paste0("Found: ", missing[[name]], ".")
      ), call = call)
    }
  }
  if (missing$dropout > 0 && (!is_count(missing$earliest) || missing$earliest >= n_times)) {
    stop_samepage("argument", c(
      paste0("`missing$earliest` must be a number of sessions below ", n_times, ", that of all."),
      x = paste0("Found: ", missing$earliest, ".")
    ), call = call)
  }
}

# Of the ratings' starts and changes and, last, the initial outcome where there is one.
people_correlation <- function(parameters) {
  correlation <- parameters$ratings$correlation
  if (is.null(parameters$outcome$initial)) {
    return(correlation)
  }
  with_initial <- parameters$outcome$initial_correlation
  if (is.null(with_initial)) {
    with_initial <- numeric(4L)
  }
  rbind(cbind(correlation, with_initial), c(with_initial, 1))
}

# ---- Draws ------------------------------------------------------------------

# What simulate() keeps as attribute: the state of the generator, or the seed and its kind.
random_state <- function(seed) {
  if (!exists(".Random.seed", envir = globalenv(), inherits = FALSE)) {
    stats::runif(1L)
  }
  if (is.null(seed)) {
    return(get(".Random.seed", envir = globalenv()))
  }
  structure(seed, kind = as.list(RNGkind()))
}

draw_normal <- function(n, covariance) {
  k <- ncol(covariance)
  matrix(stats::rnorm(n * k), n, k) %*% symmetric_root(covariance)
}

pair_covariance <- function(sd, correlation) {
  diag(sd, 2L) %*% matrix(c(1, correlation, correlation, 1), 2L) %*% diag(sd, 2L)
}

# Dyads with their therapist, growth lines and random effects; therapists with theirs.
draw_people <- function(parameters) {
  n <- parameters$dyads
  n_therapists <- parameters$therapists
  ratings <- parameters$ratings
  outcome <- parameters$outcome
  mean <- c(ratings$mean, initial = outcome$initial[["mean"]])
  sd <- c(ratings$sd, outcome$initial[["sd"]])
  growth <- draw_normal(n, sd * t(sd * people_correlation(parameters)))
  growth <- growth + rep(mean, each = n)
  colnames(growth) <- names(mean)
  therapist <- c(seq_len(n_therapists), sample.int(n_therapists, n - n_therapists, replace = TRUE))
  therapist <- therapist[sample.int(n)]
  effects <- draw_normal(n, pair_covariance(outcome$sd, outcome$correlation))
  of_therapists <- draw_normal(n_therapists, pair_covariance(outcome$therapist_sd, 0))
  list(
    dyads = data.frame(
      therapist = therapist, growth, random_intercept = effects[, 1L],
      random_slope = effects[, 2L]
    ),
    therapists = data.frame(
      random_intercept = of_therapists[, 1L], random_slope = of_therapists[, 2L]
    )
  )
}

# One row per dyad and session that took place, and which forms of it exist.
draw_attendance <- function(parameters) {
  n <- parameters$dyads
  times <- parameters$times
  missing <- parameters$missing
  last <- rep(length(times), n)
  ends <- stats::runif(n) < missing$dropout
  early <- if (any(ends)) seq(missing$earliest, length(times) - 1L)
  last[ends] <- early[sample.int(length(early), sum(ends), replace = TRUE)]
  number <- rep(seq_along(times), n)
  dyad <- rep(seq_len(n), each = length(times))
  took_place <- number == 1L |
    (number <= last[dyad] & stats::runif(length(dyad)) >= missing$session)
  dyad <- dyad[took_place]
  number <- number[took_place]
  exists <- function(p) number == 1L | stats::runif(length(number)) >= p
  time <- times[number]
  rated <- time %in% parameters$rated
  list(
    dyad = dyad, time = time, first = number == 1L,
    forms = list(
      patient = rated & exists(missing$patient), therapist = rated & exists(missing$therapist),
      outcome = exists(missing$outcome)
    )
  )
}

# Ratings with their errors, and the error-free lines for `predictors = "true"`.
add_ratings <- function(sessions, people, parameters) {
  course <- range(parameters$rated)
  share <- (sessions$time - course[1L]) / (course[2L] - course[1L])
  lines <- people$dyads[sessions$dyad, growth_names]
  sessions$patient_line <- lines$patient_start + lines$patient_change * share
  sessions$therapist_line <- lines$therapist_start + lines$therapist_change * share
  ratings <- parameters$ratings
  errors <- draw_normal(
    length(share), pair_covariance(ratings$error_sd, ratings$error_correlation)
  )
  sessions$patient <- sessions$patient_line + errors[, 1L]
  sessions$therapist <- sessions$therapist_line + errors[, 2L]
  if (parameters$rounded) {
    sessions$patient <- to_grid(sessions$patient, parameters$rating_grid)
    sessions$therapist <- to_grid(sessions$therapist, parameters$rating_grid)
  }
  sessions$patient[!sessions$forms$patient] <- NA
  sessions$therapist[!sessions$forms$therapist] <- NA
  sessions
}

to_grid <- function(x, grid) {
  round(grid[["per"]] * pmin(pmax(x, grid[["from"]]), grid[["to"]])) / grid[["per"]]
}

# The centred predictors of convergence_models(), as columns of the dyads.
add_predictors <- function(people, sessions, parameters) {
  observed <- parameters$predictors == "observed"
  ratings <- data.frame(
    dyad = sessions$dyad, time = sessions$time,
    patient = if (observed) sessions$patient else sessions$patient_line,
    therapist = if (observed) sessions$therapist else sessions$therapist_line
  )
  if (!observed) {
    ratings <- ratings[sessions$time %in% parameters$rated, ]
  }
  # What the ratings lack is the sample's own, and convergence() tells whoever scores it.
  scores <- suppressMessages(convergence(
    patient + therapist ~ time | dyad,
    data = ratings, per = "course", transform = "log", early_discrepancy = "log_absolute"
  ))
  row <- match(seq_len(parameters$dyads), scores$dyad)
  for (name in setdiff(effect_names, c("initial", "development:convergence"))) {
    people$dyads[[name]] <- centred(scores[[name]][row])
  }
  people$dyads[["development:convergence"]] <- people$dyads$development * people$dyads$convergence
  people
}

# A dyad whose predictor is unknown counts as average.
centred <- function(x) {
  x <- x - mean(x, na.rm = TRUE)
  x[is.na(x)] <- 0
  x
}

add_outcome <- function(sessions, people, parameters) {
  outcome <- parameters$outcome
  dyads <- people$dyads
  predictors <- as.matrix(dyads[setdiff(effect_names, "initial")])
  if (is.null(outcome$initial)) {
    initial <- numeric(nrow(dyads))
  } else {
    initial <- dyads$initial - mean(dyads$initial)
  }
  predictors <- cbind(initial = initial, predictors)[, effect_names, drop = FALSE]
  of_therapist <- people$therapists[dyads$therapist, ]
  level <- outcome$intercept + predictors %*% parameters$effects$level[effect_names] +
    dyads$random_intercept + of_therapist$random_intercept
  change <- outcome$slope + predictors %*% parameters$effects$change[effect_names] +
    dyads$random_slope + of_therapist$random_slope
  j <- sessions$dyad
  values <- level[j] + change[j] * sessions$time +
    stats::rnorm(length(j), sd = outcome$error_sd)
  if (!is.null(outcome$initial)) {
    values[sessions$first] <- dyads$initial[j[sessions$first]]
  }
  if (parameters$rounded) {
    values <- to_grid(values, parameters$outcome_grid)
  }
  values[!sessions$forms$outcome] <- NA
  sessions$outcome <- values
  sessions
}

# ---- Result -----------------------------------------------------------------

label_sample <- function(sessions, people, parameters) {
  label <- function(prefix, code, n) {
    labels <- sprintf("%s%0*d", prefix, nchar(n), seq_len(n))
    structure(as.integer(code), levels = labels, class = "factor")
  }
  values <- list(
    label("P", sessions$dyad, parameters$dyads),
    label("T", people$dyads$therapist[sessions$dyad], parameters$therapists),
    sessions$time, sessions$patient, sessions$therapist, sessions$outcome
  )
  names(values) <- c(
    "patient", "therapist", parameters$names[["time"]], "wai_patient", "wai_therapist",
    parameters$names[["outcome"]]
  )
  # A session without any form leaves no trace in the data.
  seen <- !(is.na(sessions$patient) & is.na(sessions$therapist) & is.na(sessions$outcome))
  out <- as.data.frame(values)[seen, ]
  rownames(out) <- NULL
  out
}
