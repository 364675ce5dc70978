# How study1 and study2 are made to return the published tables.
#
# A sample drawn by generate_dyads() has the published structure, but the estimates of Models 1 to 3
# in it are those of one random sample. Here its values are moved, as little as possible, until the
# cells of the table agree:
#
# 1. `cells()` fits the three models to a sample and returns every cell of the table.
# 2. `derivatives()` says how each cell answers to each single value of the sample.
# 3. `aim()` takes damped Gauss-Newton steps: of all changes that bring the cells to where they
#    should be, the smallest one (in units of the values' own noise). A cell that is inside its
#    interval is asked only to stay.
# 4. `settle()` puts values on the instruments' grids: up or down as leaves the cells nearest to
#    their aims, then single values and pairs of values are moved by one step as long as that helps.
#
# So nothing but the cells is asked of the data, and all else stays as it was drawn.

# ---- The table's cells --------------------------------------------------------

core <- asNamespace("samepage")
control <- samepage::lmm_control()
random_line <- list(list(level = 1L, columns = 1:2))

# A sample is a list: dyad (1, 2, ...), time, first, second (ratings), outcome, one value per row,
# and rules: drop (whether the first outcome is taken out of Models 2 and 3), center_discrepancy.
dyad_scores <- function(sample, shift = NULL) {
  data <- data.frame(
    dyad = sample$dyad, time = sample$rating_time, first = sample$first, second = sample$second
  )
  suppressMessages(samepage::convergence(
    first + second ~ time | dyad,
    data = data, per = "course", transform = "log", shift = shift,
    early_discrepancy = "log_absolute"
  ))
}

score_names <- c(
  "convergence", "early_first", "early_second", "development", "early_discrepancy"
)

score_matrix <- function(scores) as.matrix(as.data.frame(scores)[score_names])

first_outcome <- function(sample) {
  known <- which(!is.na(sample$outcome))
  known[!duplicated(sample$dyad[known])]
}

# Rows and columns of the three models.
designs <- function(sample, scores) {
  known <- which(!is.na(sample$outcome))
  first <- first_outcome(sample)
  later <- if (sample$rules$drop) setdiff(known, first) else known
  initial <- sample$outcome[first]
  centers <- colMeans(scores)
  if (!sample$rules$center_discrepancy) {
    centers["early_discrepancy"] <- 0
  }
  x <- cbind(initial = initial - mean(initial), sweep(scores, 2, centers))
  by_dyad <- x[sample$dyad[later], ]
  time <- sample$time[later]
  alone <- by_dyad[, 1:2]
  columns <- list(
    cbind(1, sample$time[known]),
    cbind(1, time, alone, alone[, 2] * time),
    cbind(1, time, by_dyad, by_dyad[, -1] * time, by_dyad[, 2] * by_dyad[, 5] * time)
  )
  Map(function(x, rows) {
    list(
      X = unname(x), y = sample$outcome[rows], Z = cbind(1, sample$time[rows]),
      groups = list(sample$dyad[rows]), weights = NULL,
      levels = list(list(n_units = max(sample$dyad))), rows = rows
    )
  }, columns, list(known, later, later))
}

terms_of <- list(
  c("intercept", "time"),
  c("intercept", "time", "initial", "convergence", "convergence:time"),
  c(
    "intercept", "time", "initial", "convergence", "early_patient", "early_therapist",
    "development", "early_discrepancy", "convergence:time", "early_patient:time",
    "early_therapist:time", "development:time", "early_discrepancy:time",
    "development:convergence:time"
  )
)
random_terms <- c("intercept_variance", "covariance", "slope_variance")

fit_cells <- function(fit) {
  c(
    fit$beta, sqrt(diag(fit$vcov)), fit$parameters[1:3],
    sqrt(pmax(diag(fit$vcov_parameters)[1:3], 0)), fit$criterion + 8
  )
}

cell_names <- unlist(lapply(1:3, function(model) {
  paste(model, c(
    paste(terms_of[[model]], "estimate"), paste(terms_of[[model]], "std_error"),
    paste(random_terms, "estimate"), paste(random_terms, "std_error"), "aic estimate"
  ))
}))

cells_of <- function(designs) {
  values <- unlist(lapply(designs, function(design) {
    fit_cells(core$fit_reduced(core$reduce_design(design, control), random_line, TRUE, control))
  }))
  stats::setNames(values, cell_names)
}

cells <- function(sample, scores = score_matrix(dyad_scores(sample))) {
  cells_of(designs(sample, scores))
}

# ---- How the cells answer to single values -------------------------------------

# Cells x outcome values. A value that is a dyad's initial one moves a predictor as well.
outcome_derivatives <- function(sample, scores, step) {
  design <- designs(sample, scores)
  reduced <- lapply(design, core$reduce_design, control)
  replays <- Map(core$replay_design, design, reduced)
  base <- cells_of(design)
  initial <- first_outcome(sample)
  known <- which(!is.na(sample$outcome))
  vapply(known, function(row) {
    if (row %in% initial) {
      moved <- sample
      moved$outcome[row] <- moved$outcome[row] + step
      return((cells(moved, scores) - base) / step)
    }
    values <- unlist(lapply(1:3, function(model) {
      y <- design[[model]]$y
      at <- match(row, design[[model]]$rows)
      y[at] <- y[at] + step
      fit_cells(core$fit_reduced(
        core$respond_reduced(reduced[[model]], replays[[model]], y), random_line, TRUE, control
      ))
    }))
    (values - base) / step
  }, numeric(length(base)))
}

# ---- The design alone --------------------------------------------------------------

# What the predictors alone say about the table, at given variances: all standard errors of Models
# 2 and 3, and what Model 2 estimates when the outcome is exactly what Model 3's published effects
# make of the predictors.
design_cells <- function(sample, scores, given) {
  design <- designs(sample, scores)
  design[[3]]$y <- as.vector(design[[3]]$X %*% given$effects)
  design[[2]]$y <- design[[3]]$y
  values <- lapply(2:3, function(model) {
    reduced <- core$reduce_design(design[[model]], control)
    at <- core$evaluate_reduced(reduced, random_line, given$parameters[[model]], TRUE)
    list(at$beta, sqrt(diag(at$vcov)))
  })
  stats::setNames(c(values[[1]][[1]], values[[1]][[2]], values[[2]][[2]]), c(
    paste(2, terms_of[[2]], "estimate"), paste(2, terms_of[[2]], "std_error"),
    paste(3, terms_of[[3]], "std_error")
  ))
}

# Design cells x values of one rater, or x initial outcomes. Each rating moves its own dyad's scores
# only, except that the lowest convergence score sets the log's shift.
design_derivatives <- function(sample, part, given, step) {
  scores <- dyad_scores(sample)
  shift <- attr(scores, "shift")
  raw <- scores$convergence_raw
  scores <- score_matrix(scores)
  base <- design_cells(sample, scores, given)
  if (part == "outcome") {
    return(vapply(which(!is.na(sample$outcome)), function(row) {
      if (!row %in% first_outcome(sample)) {
        return(0 * base)
      }
      sample$outcome[row] <- sample$outcome[row] + step
      (design_cells(sample, scores, given) - base) / step
    }, base))
  }
  by_score <- array(0, c(length(base), dim(scores)))
  for (j in seq_len(nrow(scores))) {
    for (k in seq_len(ncol(scores))) {
      moved <- scores
      moved[j, k] <- moved[j, k] + step
      by_score[, j, k] <- (design_cells(sample, moved, given) - base) / step
    }
  }
  by_shift <- by_score[, , 1] %*% (1 / (raw + shift))
  lowest <- which.min(raw)
  known <- which(!is.na(sample[[part]]))
  place <- stats::ave(known, sample$dyad[known], FUN = seq_along)
  out <- matrix(0, length(base), length(known))
  # One rating of every dyad at a time. The shift is raised so that no score falls below it.
  for (turn in seq_len(max(place))) {
    at <- known[place == turn]
    moved <- sample
    moved[[part]][at] <- moved[[part]][at] + step
    moved <- dyad_scores(moved, shift + 1)
    raw_change <- (moved$convergence_raw - raw) / step
    change <- (score_matrix(moved) - scores) / step
    change[, 1] <- raw_change / (raw + shift)
    for (row in at) {
      j <- sample$dyad[row]
      out[, match(row, known)] <- by_score[, j, ] %*% change[j, ] -
        (j == lowest) * raw_change[j] * by_shift
    }
  }
  out
}

# ---- Where the cells should be ---------------------------------------------------

# One row per cell that is aimed at: the interval it should end in.
# Estimates of fixed effects agree to the printed digit, standard errors to the digit or within
# 2 %, random effects to the digit or within 2 % and 4 %, AIC within 1.5 %.
cell_aims <- function(published, exempt) {
  aims <- do.call(rbind, lapply(c("estimate", "std_error"), function(kind) {
    text <- published[[kind]]
    rows <- published[text != "", ]
    text <- text[text != ""]
    decimals <- ifelse(grepl(".", text, fixed = TRUE), nchar(sub("^[^.]*[.]", "", text)), 0)
    data.frame(
      cell = paste(rows$model, rows$term, kind), block = rows$block, kind = kind,
      published = as.numeric(text), digit = 10^-decimals
    )
  }))
  aims <- aims[!aims$cell %in% exempt, ]
  fixed <- aims$block == "fixed"
  estimate <- aims$kind == "estimate"
  share <- ifelse(aims$block == "fit", 0.019, ifelse(estimate, 0.04, ifelse(fixed, 0.04, 0.08)))
  share[fixed & estimate] <- 0
  aims$within <- pmax(ifelse(fixed & estimate, 0.4, 0.45) * aims$digit, share * abs(aims$published))
  aims$scale <- pmax(0.25 * aims$digit, 0.25 * share * abs(aims$published))
  aims$scale[aims$block == "fit"] <- 10
  aims
}

# How far each cell is outside its interval, in units of `scale`; 0 inside.
misses <- function(values, aims) {
  off <- values[aims$cell] - aims$published
  sign(off) * pmax(abs(off) - aims$within, 0) / aims$scale
}

# ---- Smallest changes that bring the cells there -----------------------------------

# `noise`: named, the size of a change that costs 1, for each kind of value that may move.
# `measure(sample)`: the cells; `slope(sample, part)`: their derivatives.
aim <- function(sample, aims, noise, measure, slope, steps = 15, say = message) {
  values <- measure(sample)
  damping <- 1
  for (turn in seq_len(steps)) {
    missed <- misses(values, aims)
    say(sprintf(
      "step %d: %d cells outside, root mean square %.3g (damping %.2g)", turn, sum(missed != 0),
      sqrt(mean(missed^2)), damping
    ))
    if (all(missed == 0)) {
      break
    }
    slopes <- lapply(names(noise), function(part) {
      found <- slope(sample, part)
      rownames(found) <- names(values)
      noise[[part]] * found[aims$cell, ] / aims$scale
    })
    all_slopes <- do.call(cbind, slopes)
    gram <- tcrossprod(all_slopes)
    # Past the edge of the interval, so that a cell does not come to rest on it.
    wanted <- -(missed + 0.3 * sign(missed))
    part_of <- rep(names(noise), vapply(slopes, ncol, 0L))
    repeat {
      change <- as.vector(crossprod(all_slopes, solve(gram + diag(damping, nrow(gram)), wanted)))
      share <- min(1, 4 / max(abs(change)))
      moved <- sample
      for (part in names(noise)) {
        known <- which(!is.na(sample[[part]]))
        value <- sample[[part]][known] + share * noise[[part]] * change[part_of == part]
        value <- pmin(pmax(value, sample$range[[part]][1]), sample$range[[part]][2])
        moved[[part]][known] <- round(value, 7)
      }
      after <- measure(moved)
      if (sum(misses(after, aims)^2) < sum(missed^2)) {
        sample <- moved
        values <- after
        damping <- damping / 4
        break
      }
      damping <- damping * 8
      if (damping > 1e5) {
        return(sample)
      }
    }
  }
  sample
}
