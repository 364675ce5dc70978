# How study1 and study2 are made to return the published tables.
#
# A sample drawn by generate_dyads() has the published structure, but the estimates of Models 1 to 3
# in it are those of one random sample. Here its values are moved, as little as possible, until the
# cells of the table agree:
#
# 1. `cells()` fits the three models to a sample and returns every cell of the table.
# 2. `outcome_derivatives()` says how each cell answers to each single outcome.
# 3. `aim()` takes damped Gauss-Newton steps: of all changes that bring the cells to where they
#    should be, the smallest one (in units of the values' own noise). A cell that is inside its
#    interval is asked only to stay. `aim_at_once()` does the same where most cells end at
#    an edge of their intervals.
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

# Rows and columns of the three models. Dyads without scores, who left too early for any, are in
# Model 1 only, and predictors are centred without them.
designs <- function(sample, scores) {
  known <- which(!is.na(sample$outcome))
  first <- first_outcome(sample)
  later <- if (sample$rules$drop) setdiff(known, first) else known
  scored <- stats::complete.cases(scores)
  later <- later[scored[sample$dyad[later]]]
  initial <- rep(NA_real_, nrow(scores))
  initial[sample$dyad[first]] <- sample$outcome[first]
  centers <- colMeans(scores[scored, ])
  if (!sample$rules$center_discrepancy) {
    centers["early_discrepancy"] <- 0
  }
  x <- cbind(initial = initial - mean(initial[scored]), sweep(scores, 2, centers))
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
      groups = list(match(sample$dyad[rows], unique(sample$dyad[rows]))), weights = NULL,
      n_units = length(unique(sample$dyad[rows])), rows = rows
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
  errors <- core$infer_reduced(fit, random_line, TRUE)
  c(
    fit$beta, sqrt(diag(errors$vcov)), fit$parameters[1:3],
    sqrt(pmax(diag(errors$vcov_parameters)[1:3], 0)), fit$criterion + 8
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

# ---- Where the cells should be ---------------------------------------------------

# One row per cell that is aimed at: the interval it should end in.
# Estimates of fixed effects agree to the printed digit, the rest within less than tolerated.
# `scale` is how far outside counts as 1.
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

# Intervals of a share of what the comparison tolerates: one unit of the last digit for estimates of
# fixed effects; else the rounding or 5 % (10 % for standard errors of random effects, 2 % for AIC).
tolerated <- function(aims, share) {
  fixed <- aims$block == "fixed"
  estimate <- aims$kind == "estimate"
  part <- ifelse(aims$block == "fit", 0.02, ifelse(fixed | estimate, 0.05, 0.10))
  rounding <- ifelse(aims$block == "fit", 0, 0.49) * aims$digit
  aims$within <- share * ifelse(
    fixed & estimate, aims$digit, pmax(rounding, part * abs(aims$published))
  )
  aims$scale <- ifelse(aims$block == "fit", 2, aims$within / 2)
  aims
}

# The published table of one study with the terms as they are named here.
published_cells <- function(study) {
  load("data/published_tables.rda")
  rows <- published_tables[published_tables$study == study, ]
  term <- sub("early_wai_", "early_", rows$term)
  data.frame(
    model = rows$model, term = term,
    block = c(fixed = "fixed", ran_pars = "random", fit = "fit")[rows$effect],
    estimate = blank(rows$estimate), std_error = blank(rows$std.error)
  )
}

blank <- function(text) ifelse(is.na(text), "", text)

# How far each cell is outside its interval, in units of `scale`; 0 inside.
misses <- function(values, aims) {
  off <- values[aims$cell] - aims$published
  sign(off) * pmax(abs(off) - aims$within, 0) / aims$scale
}

# ---- Smallest changes that bring the cells there -----------------------------------

# `noise`: named, the size of a change that costs 1, for each kind of value that may move.
# `measure(sample)`: the cells; `slope(sample, part)`: their derivatives.
# The damping is divided by the first number of `damping_by` after a step that helped, and
# multiplied by the second otherwise.
aim <- function(sample, aims, noise, measure, slope, steps = 15, say = message,
                damping_by = c(4, 8)) {
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
      change <- as.vector(
        crossprod(all_slopes, solve(gram + diag(damping, nrow(gram)), wanted))
      )
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
        damping <- damping / damping_by[1]
        break
      }
      damping <- damping * damping_by[2]
      if (damping > 1e5) {
        return(sample)
      }
    }
  }
  sample
}

# ---- The same where most cells end at an edge -----------------------------------------

# In aim() a cell pulls or does not, as it is outside its interval or inside at the start of a step.
# Where many end at an edge, this goes to and fro. Here each step minimises over the whole
# linearised problem, the sum of
#   squared distances outside the intervals (units of `scale`), plus damping times squared changes,
#   plus `pull` times squared moves since the start,
# all changes in units of `noise` (one number, or one per outcome). Only outcomes move.
aim_at_once <- function(sample, aims, noise, measure, slope, steps = 60, say = message,
                        pull = 1e-3) {
  known <- which(!is.na(sample$outcome))
  unit <- rep_len(noise, length(sample$outcome))[known]
  start <- sample$outcome[known]
  within <- aims$within / aims$scale
  off <- function(values) (values[aims$cell] - aims$published) / aims$scale
  moves <- function(sample) (sample$outcome[known] - start) / unit
  values <- measure(sample)
  damping <- 1
  for (turn in seq_len(steps)) {
    missed <- misses(values, aims)
    say(sprintf(
      "step %d: %d cells outside, root mean square %.3g (damping %.2g)", turn, sum(missed != 0),
      sqrt(mean(missed^2)), damping
    ))
    if (all(missed == 0)) break
    slopes <- slope(sample)
    rownames(slopes) <- names(values)
    slopes <- slopes[aims$cell, ] / aims$scale * rep(unit, each = nrow(aims))
    so_far <- moves(sample)
    cost <- sum(missed^2) + pull * sum(so_far^2)
    repeat {
      moved <- sample
      moved$outcome[known] <- start + unit * bounded_moves(
        so_far, off(values), slopes, 0.98 * within, damping, pull,
        (sample$range$outcome[1] - start) / unit, (sample$range$outcome[2] - start) / unit
      )
      after <- measure(moved)
      if (sum(misses(after, aims)^2) + pull * sum(moves(moved)^2) < cost) break
      damping <- 4 * damping
      if (damping > 1e5) {
        return(sample)
      }
    }
    sample <- moved
    values <- after
    damping <- max(damping / 4, 1e-4)
  }
  sample
}

# Moves after one step. Those that would leave the range stay at its limit and the others make up
# for them.
bounded_moves <- function(so_far, off, slopes, within, damping, pull, least, most) {
  weight <- damping + pull
  free <- rep(TRUE, length(so_far))
  change <- numeric(length(so_far))
  for (turn in 1:5) {
    back <- ifelse(free, -pull * so_far / weight, change)
    open <- slopes[, free]
    change <- back
    change[free] <- back[free] +
      into_intervals(as.vector(off + slopes %*% back), open, within, weight)
    change <- change * min(1, 3 / max(abs(change)))
    bounded <- pmin(pmax(so_far + change, least), most) - so_far
    if (all(bounded == change)) break
    free <- free & bounded == change
    change <- bounded
  }
  so_far + bounded
}

# The x that minimises the squared distances of off + slopes x outside +-within, plus
# weight times x'x. It is slopes' times as many numbers as there are cells, and these
# solve a linear system once it is known which cells stay outside: Newton's method finds out which.
into_intervals <- function(off, slopes, within, weight) {
  gram <- tcrossprod(slopes)
  lambda <- numeric(length(off))
  objective <- function(lambda) {
    pulled <- as.vector(gram %*% lambda)
    sum(pmax(abs(off + pulled) - within, 0)^2) + weight * sum(lambda * pulled)
  }
  now <- objective(lambda)
  for (turn in 1:100) {
    value <- as.vector(off + gram %*% lambda)
    out <- which(abs(value) > within)
    target <- numeric(length(off))
    target[out] <- -solve(
      gram[out, out, drop = FALSE] + diag(weight, length(out)),
      off[out] - sign(value[out]) * within[out]
    )
    share <- 1
    repeat {
      trial <- lambda + share * (target - lambda)
      after <- objective(trial)
      if (after < now || share < 1e-4) break
      share <- share / 2
    }
    if (after >= now * (1 - 1e-10)) break
    lambda <- trial
    now <- after
  }
  as.vector(crossprod(slopes, lambda))
}

# ---- Onto the grid -----------------------------------------------------------------

# Outcomes on their grid (`per` steps to the unit): each value is taken up or down as leaves the
# cells, to first order, nearest to where they are; then pairs of values are moved by one step each
# as long as that brings cells nearer to their intervals. Rows `fixed` stay as they are.
settle <- function(sample, aims, scores, per, step, rounds = 6, moves = 40, say = message,
                   fixed = integer()) {
  known <- which(!is.na(sample$outcome))
  slopes <- function(sample) {
    found <- outcome_derivatives(sample, scores, step)
    rownames(found) <- cell_names
    found[aims$cell, ] / per
  }
  slope <- slopes(sample)
  scaled <- slope / aims$scale
  error <- numeric(nrow(scaled))
  value <- sample$outcome[known] * per
  # Values that matter most are rounded first, so that the others can make up for them.
  for (i in order(-colSums(scaled^2))) {
    choices <- c(floor(value[i]), ceiling(value[i]))
    errors <- outer(scaled[, i], choices - value[i]) + error
    best <- which.min(colSums(errors^2))
    error <- errors[, best]
    value[i] <- choices[best]
  }
  limits <- sample$range$outcome * per
  sample$outcome[known] <- value / per
  cost <- function(values) {
    off <- abs(values - aims$published) - 0.9 * aims$within
    colSums((pmax(off, 0) / aims$scale)^2)
  }
  for (round in seq_len(rounds)) {
    now <- cells(sample, scores)[aims$cell]
    say(sprintf("round %d: %d cells outside", round, sum(misses(now, aims) != 0)))
    if (cost(as.matrix(now)) == 0) {
      break
    }
    slope <- slopes(sample)
    both <- cbind(slope, -slope)
    direction <- rep(c(1, -1), each = length(known))
    for (move in seq_len(moves)) {
      value <- round(sample$outcome[known] * per)
      room <- value + direction >= limits[1] & value + direction <= limits[2] & !known %in% fixed
      single <- cost(now + both)
      single[!room] <- Inf
      first <- order(single)[1:60]
      pairs <- vapply(first, function(i) {
        total <- cost(now + both[, i] + both)
        total[!room] <- Inf
        # the same value twice: back where it was, or two steps, is no pair
        total[c(i, (i + length(known) - 1) %% ncol(both) + 1)] <- Inf
        c(which.min(total), min(total))
      }, numeric(2))
      found <- which.min(pairs[2, ])
      moved <- c(first[found], pairs[1, found])
      trial <- sample
      for (k in moved) {
        at <- known[(k - 1) %% length(known) + 1]
        trial$outcome[at] <- (round(trial$outcome[at] * per) + direction[k]) / per
      }
      after <- cells(trial, scores)[aims$cell]
      if (cost(as.matrix(after)) >= cost(as.matrix(now))) {
        break
      }
      sample <- trial
      now <- after
    }
  }
  sample
}
