# study1: a synthetic sample that has the structure of Study 1 of Nissen-Lie et al. (2020) and
# returns its Table I. Run from the package's root, with the package installed (some minutes):
#   Rscript data-raw/study1.R
#
# 1. A pool of 19,500 dyads is drawn by generate_dyads("study1").
# 2. Dyads are selected so that their scores, attendance and outcomes, untouched, come near the
#    table: the published standard errors, what carries Model 3's effects into Model 2's, the
#    variances and the AIC. All of it is made of sums over dyads, so that a swap of two dyads costs
#    next to nothing.
# 3. Their outcomes are moved as little as possible until the three models return the table, then
#    rounded to whole numbers; see data-raw/calibrate.R.
# 4. What the models do not use is added: therapists, treatment, medication and the scores before
#    treatment.
# 5. The ratings get the scatter about their lines that real ones have, with the lines as they are.
#
# Model 1's line lies above Model 2's at both ends of the course. With the same dyads Model 1 has
# one row more of each, the first, and a value at one end tilts a line. So Model 1 seems to have had
# dyads that the others have not. Here these are patients who left after the first session, too
# early for a convergence score, five with high BDI scores and two without any.

library(samepage)
source("data-raw/calibrate.R")

suppressWarnings(RNGversion("4.2.0"))
set.seed(20200922)

published <- published_cells(1)
printed <- function(model, kind) {
  rows <- published[published$model == model & published$block == "fixed", ]
  as.numeric(rows[[kind]])[match(terms_of[[model]], rows$term)]
}
effects <- printed(3, "estimate")

# ---- 1. The pool ----------------------------------------------------------------

n_dyads <- 96
n_left <- 5
n_silent <- 2
n_modelled <- n_dyads - n_silent

growth <- c("patient_start", "patient_change", "therapist_start", "therapist_change")
correlation <- diag(4)
correlation[lower.tri(correlation)] <- c(-0.3, 0.45, 0, 0, 0, -0.3)
correlation <- correlation + t(correlation) - diag(4)
draw <- function(dyads, seed, line_sd, line_correlation, error_sd, dropout, earliest) {
  generate_dyads(
    "study1",
    dyads = dyads, seed = seed,
    ratings = list(
      sd = stats::setNames(c(0.65, 0.75, 0.48, 0.50), growth), correlation = correlation,
      error_sd = c(patient = 0.27, therapist = 0.23), error_correlation = 0.25
    ),
    outcome = list(
      error_sd = error_sd, sd = line_sd, correlation = line_correlation,
      initial = c(mean = 32.8, sd = 9.8),
      initial_correlation = stats::setNames(c(-0.58, 0, -0.58, 0), growth)
    ),
    missing = list(
      dropout = dropout, earliest = earliest,
      session = 0.03, outcome = 0.05, patient = 0.05, therapist = 0.05
    )
  )
}
n_first <- 16000
pool <- draw(n_first, 81, c(intercept = 7, slope = 1.1), -0.25, 5.35, 0.45, 1)
# Patients who leave before the middle differ more in how they change: some are well soon, some
# get worse.
early <- draw(9000, 82, c(intercept = 3.5, slope = 1.9), -0.3, 5.5, 0.98, 3)
n_early <- 3500
last_session <- tapply(early$session, early$patient, max)
ids <- names(last_session)[last_session <= 8][seq_len(n_early)]
early <- early[early$patient %in% ids, ]
pool$patient <- as.integer(pool$patient)
early$patient <- n_first + match(early$patient, ids)
pool <- rbind(as.data.frame(pool), as.data.frame(early))
n_pool <- n_first + n_early

dyad <- pool$patient
known <- which(!is.na(pool$bdi))
first <- known[!duplicated(dyad[known])]
later <- setdiff(known, first)
scores <- suppressMessages(convergence(
  wai_patient + wai_therapist ~ session | patient,
  data = pool, per = "course", early_discrepancy = "log_absolute"
))
predictors <- cbind(
  initial = pool$bdi[first], convergence = scores$convergence,
  early_patient = scores$early_wai_patient, early_therapist = scores$early_wai_therapist,
  development = scores$development, early_discrepancy = scores$early_discrepancy
)

leavers <- which(tabulate(dyad, n_pool) == 1 & predictors[, "initial"] >= 34)
# The dyad that diverges most sets the log's shift. It is in every selection, and no dyad that
# diverges more can be selected.
complete <- stats::complete.cases(predictors) & tabulate(dyad[later], n_pool) >= 3
eligible <- which(complete & predictors[, "convergence"] >= -1.3)
anchor <- eligible[which.min(predictors[eligible, "convergence"])]
change_raw <- predictors[, "convergence"]
predictors[, "convergence"] <- suppressWarnings(
  log(change_raw - change_raw[anchor] + 1)
)

# ---- 2. The selection -------------------------------------------------------------

# Intercept variance, covariance, slope variance and residual variance where the three models are
# to end, and the lines of Models 1 and 2, with the predictors' means that the selection is held to.
variances <- list(
  c(104, -1.81, 1.275, 30.6), c(49.6, -1.77, 1.32, 29.8), c(47.8, -1.98, 1.215, 29.8)
)
means <- c(initial = 31.6, convergence = 0.775)
initial <- predictors[, "initial"] - means[["initial"]]
convergent <- predictors[, "convergence"] - means[["convergence"]]
line_1 <- cbind(rep(33.35, n_pool), -0.793)
line_2 <- cbind(32.78 + 0.88 * initial + 1.19 * convergent, -0.82 - 0.08 * convergent)

# What a dyad adds to the models at given variances: Z'V^-1 Z (three numbers), Z'V^-1 y (two),
# log|V|, and of its deviations r from the line what -2 log L and its derivatives are made of.
dyad_sums <- function(variances, rows, line) {
  g <- matrix(variances[c(1, 2, 2, 3)], 2)
  t(vapply(split(rows, factor(dyad[rows], seq_len(n_pool))), function(at) {
    if (length(at) == 0) {
      return(rep(NA_real_, 12))
    }
    z <- cbind(1, pool$session[at])
    v <- z %*% g %*% t(z) + diag(variances[4], length(at))
    weight <- solve(v)
    zv <- t(z) %*% weight
    a <- zv %*% z
    r <- pool$bdi[at] - z %*% line[dyad[at[1]], ]
    weighted <- weight %*% r
    u <- crossprod(z, weighted)
    c(
      a[1, 1], a[1, 2], a[2, 2], zv %*% pool$bdi[at], as.numeric(determinant(v)$modulus),
      u[1]^2, u[1] * u[2], u[2]^2, sum(weighted^2), sum(diag(weight)), sum(r * weighted)
    )
  }, numeric(12)))
}
sums <- list(
  dyad_sums(variances[[1]], known, line_1), dyad_sums(variances[[2]], later, line_2),
  dyad_sums(variances[[3]], later, line_2)
)
n_rows <- tabulate(dyad[known], n_pool)

place <- c(1, 8, 2, 3, 9)
order_3 <- c(1, 8, 2:7, 9:14)
effects_in_place <- numeric(14)
effects_in_place[order_3] <- effects

# Standard errors of the three (co)variances, from the information of the dyads; `p` for the
# columns that REML takes off.
random_errors <- function(sums, p) {
  a <- sums[, 1]
  b <- sums[, 2]
  d <- sums[, 3]
  information <- matrix(c(
    sum(a * a) / 2, sum(a * b), sum(b * b) / 2, sum(a * b), sum(a * d + b * b), sum(b * d),
    sum(b * b) / 2, sum(b * d), sum(d * d) / 2
  ), 3)
  sqrt(diag(solve(information * (1 - p / nrow(sums)))))
}

# Of a selection, those who left first: what the fitted models will be like.
selection_figures <- function(both) {
  chosen <- both[-seq_len(n_left)]
  x <- predictors[chosen, ]
  centers <- colMeans(x)
  centers["early_discrepancy"] <- 0
  x <- x - rep(centers, each = nrow(x))
  level <- cbind(1, x)
  change <- cbind(1, x[, -1], x[, "convergence"] * x[, "development"])
  cross_products <- function(w) {
    cross <- crossprod(level, w[, 2] * change)
    list(
      xx = rbind(
        cbind(crossprod(level, w[, 1] * level), cross),
        cbind(t(cross), crossprod(change, w[, 3] * change))
      ),
      xy = c(crossprod(level, w[, 4]), crossprod(change, w[, 5]))
    )
  }
  w_1 <- sums[[1]][both, ]
  w_2 <- sums[[2]][chosen, ]
  w_3 <- sums[[3]][chosen, ]
  two <- cross_products(w_2)
  three <- cross_products(w_3)
  inverse_2 <- solve(two$xx[place, place])
  inverse_3 <- solve(three$xx)
  s_1 <- colSums(w_1)
  s_2 <- colSums(w_2)
  xx_1 <- matrix(s_1[c(1, 2, 2, 3)], 2)
  inverse_1 <- solve(xx_1)
  n_1 <- sum(n_rows[both])
  n_2 <- n_1 - n_modelled
  alone <- stats::lm.fit(cbind(1, x[, 1:2]), x[, 3:6])$residuals
  list(
    # Model 2's estimates, if Model 3's are the published ones
    carried = inverse_2 %*% (two$xx[place, ] %*% effects_in_place),
    error_1 = sqrt(diag(inverse_1)), error_2 = sqrt(diag(inverse_2)),
    error_3 = sqrt(diag(inverse_3))[order_3],
    # estimates from the dyads' own outcomes
    fixed_1 = inverse_1 %*% s_1[4:5], fixed_2 = inverse_2 %*% two$xy[place],
    fixed_3 = (inverse_3 %*% three$xy)[order_3],
    # 1 where the variances are the ones aimed at, but for what REML takes off
    ratio_1 = c(s_1[7] / s_1[1], s_1[8] / s_1[2], s_1[9] / s_1[3], s_1[10] / s_1[11]),
    ratio_2 = c(s_2[7] / s_2[1], s_2[8] / s_2[2], s_2[9] / s_2[3], s_2[10] / s_2[11]),
    aic = c(
      (n_1 - 2) * log(2 * pi) + s_1[12] + s_1[6] + log(det(xx_1)) + 8,
      (n_2 - 5) * log(2 * pi) + s_2[12] + s_2[6] +
        as.numeric(determinant(two$xx[place, place])$modulus) + 8
    ),
    random_error = c(
      random_errors(w_1, 2)[3], random_errors(w_2, 3)[2:3], random_errors(w_3, 7)
    ),
    # what Model 3's further predictors take from the covariance of intercepts and slopes
    shared = mean((alone %*% effects[5:8]) * (alone %*% effects[10:13])),
    means = colMeans(predictors[chosen, ]), convergence = mean(change_raw[chosen])
  )
}

# Squared distance from an interval, in units of `scale`.
outside <- function(value, from, to, scale) sum((pmax(from - value, value - to, 0) / scale)^2)
near <- function(value, aim, within, scale = within) {
  outside(value, aim - within, aim + within, scale)
}
selection_cost <- function(both) {
  f <- selection_figures(both)
  close <- c(0.02, 0.05, 0.02, 0.006)
  near(f$carried, printed_2, c(0.008, 0.002, 0.005, 0.02, 0.005)) +
    outside(
      f$error_2, c(0.805, 0.1345, 0.0765, 2.33, 0.3725), c(0.872, 0.146, 0.0842, 2.555, 0.408),
      0.007 * printed_error_2
    ) +
    outside(
      f$error_3,
      c(
        1.43, 0.2385, 0.0957, 2.74, 1.385, 1.935, 1.535, 3.18,
        0.439, 0.2195, 0.3055, 0.277, 0.525, 0.698
      ),
      c(
        1.57, 0.2615, 0.1045, 3.0, 1.515, 2.125, 1.685, 3.485,
        0.481, 0.2405, 0.3345, 0.303, 0.5755, 0.764
      ),
      0.007 * printed_error_3
    ) +
    near(f$fixed_2, printed_2, c(0.06, 0.01, 0.015, 0.4, 0.06)) +
    near(
      f$fixed_3, effects,
      c(0.1, 0.02, 0.02, 0.3, 0.2, 0.3, 0.2, 0.3, 0.05, 0.05, 0.05, 0.05, 0.05, 0.08)
    ) +
    # Model 1's line above Model 2's, at the start and in the slope
    outside(f$fixed_1 - f$fixed_2[1:2], c(0.53, 0.013), c(0.9, 0.06), c(0.01, 0.0015)) +
    outside(f$fixed_1, c(33.31, -0.799), c(33.45, -0.781), c(0.05, 0.008)) +
    outside(f$error_1, c(1.106, 0.125), c(1.20, 0.1355), c(0.004, 0.001)) +
    outside(
      f$random_error, c(0.237, 1.0, 0.237, 8.35, 1.03, 0.2375),
      c(0.284, 1.205, 0.284, 10.1, 1.235, 0.284), c(0.003, 0.02, 0.003, 0.1, 0.02, 0.003)
    ) +
    outside(f$shared, -0.42, -0.24, 0.03) +
    near(f$ratio_1, c(0.99, 0.99, 0.99, 1), close, close / 2) +
    near(f$ratio_2, c(0.969, 0.974, 0.979, 1), close, close / 2) +
    outside(f$aic, c(6900, 6374), c(7090, 6500), 2) +
    outside(f$aic[1] - f$aic[2], 0, 716.5, 2) +
    near(f$means[1:2], means, c(0.3, 0.015), c(0.2, 0.01)) +
    near(f$convergence, 0, 0.08, 0.01) +
    outside(f$means[4] - f$means[3], 0.1, 0.25, 0.02)
}
printed_2 <- printed(2, "estimate")
printed_error_2 <- printed(2, "std_error")
printed_error_3 <- printed(3, "std_error")

# One dyad out, another in, kept if the cost falls or, ever less often, rises a little. The first
# n_left are exchanged for others who left; the anchor stays.
exchange <- function(both, swaps, heat) {
  others <- setdiff(eligible, both)
  spare <- setdiff(leavers, both)
  now <- selection_cost(both)
  for (swap in seq_len(swaps)) {
    out <- sample.int(n_modelled - 1, 1)
    out <- out + (out > n_left)
    left <- out <= n_left
    from <- if (left) spare else others
    into <- sample.int(length(from), 1)
    trial <- both
    trial[out] <- from[into]
    after <- selection_cost(trial)
    warmth <- heat * (1 - swap / swaps)^2 * max(0.3, min(now / 15, 20))
    if (after < now - warmth * log(stats::runif(1))) {
      if (left) spare[into] <- both[out] else others[into] <- both[out]
      both <- trial
      now <- after
    }
  }
  message(sprintf("%d swaps, cost %.3g", swaps, now))
  both
}
both <- c(
  sample(leavers, n_left), anchor, sample(setdiff(eligible, anchor), n_modelled - 1 - n_left)
)
both <- exchange(both, 450000, 4)
# Two more who left at once, and whose BDI is missing.
silent <- sample(setdiff(leavers, both), n_silent)
chosen <- c(both, silent)

# ---- 3. The outcomes ----------------------------------------------------------------

rows <- which(dyad %in% chosen)
drawn <- list(
  dyad = match(dyad[rows], sort(chosen)), time = pool$session[rows],
  rating_time = pool$session[rows], first = pool$wai_patient[rows],
  second = pool$wai_therapist[rows], outcome = as.numeric(pool$bdi[rows]),
  rules = list(drop = TRUE, center_discrepancy = FALSE), range = list(outcome = c(0, 63))
)
drawn$outcome[dyad[rows] %in% silent] <- NA
# Left out: the cells that contradict other printed ones (?published_exempt).
aims <- cell_aims(published, c(
  "1 intercept_variance estimate", "1 intercept_variance std_error", "1 covariance std_error",
  "2 intercept_variance std_error"
))
is_first <- which(!is.na(drawn$outcome)) %in% first_outcome(drawn)
approach <- function(sample, share, steps, free_first = 0.3) {
  scores <- score_matrix(dyad_scores(sample))
  aim(
    sample, tolerated(aims, share), c(outcome = 2),
    measure = function(sample) cells(sample, scores),
    slope = function(sample, part) {
      slope <- outcome_derivatives(sample, scores, 0.05)
      # First values are predictors too: they move less.
      slope[, is_first] <- free_first * slope[, is_first]
      slope
    },
    steps = steps, damping_by = c(3, 5)
  )
}
moved <- approach(drawn, 0.97, 45)

# Standard errors that are still outside depend on the predictors, not on the outcomes. A few
# ratings of first sessions are moved by a single step of the scale, where it helps most.
firsts <- which(!duplicated(drawn$dyad) & drawn$dyad %in% drawn$dyad[duplicated(drawn$dyad)])
trials <- expand.grid(row = firsts, part = c("first", "second"), step = c(-1, 1) / 12)
trials$part <- as.character(trials$part)
trials <- trials[!is.na(mapply(function(part, row) drawn[[part]][row], trials$part, trials$row)), ]
# Model 2's estimates if Model 3's are the published ones must stay as they are.
firm <- tolerated(aims, 0.985)
firm <- firm[firm$kind == "std_error", ]
carried_by <- function(sample, scores) {
  design <- designs(sample, scores)
  g <- matrix(variances[[2]][c(1, 2, 2, 3)], 2)
  weighted <- lapply(split(seq_along(design[[2]]$y), design[[2]]$groups[[1]]), function(at) {
    z <- design[[2]]$Z[at, , drop = FALSE]
    v <- z %*% g %*% t(z) + diag(variances[[2]][4], length(at))
    crossprod(design[[2]]$X[at, , drop = FALSE], solve(v))
  })
  order <- unlist(split(seq_along(design[[2]]$y), design[[2]]$groups[[1]]))
  weighted <- do.call(cbind, weighted)
  solve(weighted %*% design[[2]]$X[order, ], weighted %*% design[[3]]$X[order, ] %*% effects)
}
rating_cost <- function(sample) {
  scores <- score_matrix(dyad_scores(sample))
  sum(misses(cells(sample, scores), firm)^2) + 0.05 * near(
    carried_by(sample, scores), printed_2, c(0.018, 0.005, 0.007, 0.016, 0.004),
    c(0.004, 0.002, 0.004, 0.008, 0.002)
  )
}
step_rating <- function(sample, trial) {
  sample[[trial$part]][trial$row] <- sample[[trial$part]][trial$row] + trial$step
  sample
}
for (turn in seq_len(5)) {
  before <- rating_cost(moved)
  costs <- vapply(seq_len(nrow(trials)), function(i) {
    rating_cost(step_rating(moved, trials[i, ]))
  }, 0)
  message(sprintf("rating %d: cost %.3g to %.3g", turn, before, min(costs)))
  if (min(costs) >= before) break
  moved <- step_rating(moved, trials[which.min(costs), ])
  trials <- trials[trials$row != trials$row[which.min(costs)], ]
}

moved <- approach(moved, 0.98, 30)
# First values are predictors, too: they go onto the grid first, the others make up for it.
initial_rows <- first_outcome(moved)
moved$outcome[initial_rows] <- round(moved$outcome[initial_rows])
moved <- approach(moved, 0.98, 40, free_first = 0)
message("SD of the moves: ", round(stats::sd(moved$outcome - drawn$outcome, na.rm = TRUE), 2))
# settle() keeps a tenth of the intervals in reserve.
settled <- settle(
  moved, tolerated(aims, 0.998 / 0.9), score_matrix(dyad_scores(moved)),
  per = 1, step = 0.05, rounds = 8, fixed = initial_rows
)
# What is a hair outside after that is asked again, nearer to the middle than the rest.
last <- tolerated(aims, 0.9995 / 0.9)
for (turn in seq_len(8)) {
  off <- abs(cells(settled)[last$cell] - last$published) / tolerated(aims, 1)$within
  if (all(off < 1)) break
  last$within[off > 0.9999] <- 0.997 * last$within[off > 0.9999]
  last$scale[off > 0.9999] <- 0.3 * last$scale[off > 0.9999]
  settled <- settle(
    settled, last, score_matrix(dyad_scores(settled)),
    per = 1, step = 0.05, rounds = 3, fixed = initial_rows
  )
}
stopifnot(off < 1)

# ---- 4. The rest ----------------------------------------------------------------------

# Whole numbers with exactly the published mean, SD and range: a normal shape, then single values
# are moved until the printed digits agree. The order is that of `like`.
draw_values <- function(like, mean, sd, range, digits) {
  n <- length(like)
  value <- sort(round(mean + sd * stats::qnorm((seq_len(n) - 0.5) / n)))
  value[c(1, n)] <- range
  agrees <- function(v) round(mean(v), digits) == mean && round(stats::sd(v), digits) == sd
  off <- function(v) abs(mean(v) - mean) + abs(stats::sd(v) - sd)
  while (!agrees(value)) {
    i <- sample(2:(n - 1), 1)
    trial <- value
    trial[i] <- trial[i] + sample(c(-1, 1), 1)
    if (trial[i] > range[1] && trial[i] < range[2] && off(trial) <= off(value)) value <- trial
  }
  as.integer(sort(value)[rank(like, ties.method = "random")])
}
initial <- predictors[sort(chosen), "initial"]
bdi_pre <- draw_values(initial + stats::rnorm(n_dyads, 0, 5), 35.8, 9.5, c(14, 58), 1)

# Half of the patients in each treatment; 25 therapists share the CBT patients and 9 the IPT
# patients.
treatment <- factor(sample(rep(c("CBT", "IPT"), each = n_dyads / 2)), levels = c("CBT", "IPT"))
share <- function(ids, n) sample(c(ids, sample(ids, n - length(ids), replace = TRUE)))
therapist <- integer(n_dyads)
therapist[treatment == "CBT"] <- share(1:25, n_dyads / 2)
therapist[treatment == "IPT"] <- share(26:34, n_dyads / 2)
therapist <- factor(sprintf("T%02d", sample(34)[therapist]))
medication <- factor(sample(rep(c("yes", "no"), c(57, 39))), levels = c("no", "yes"))

# Patients in random order.
number <- sample(n_dyads)
study1 <- data.frame(
  patient = factor(sprintf("P%02d", number[settled$dyad])),
  therapist = therapist[settled$dyad], treatment = treatment[settled$dyad],
  session = as.integer(settled$time), wai_patient = settled$first,
  wai_therapist = settled$second, bdi = as.integer(settled$outcome),
  bdi_pre = bdi_pre[settled$dyad], medication = medication[settled$dyad]
)
study1 <- study1[order(study1$patient, study1$session), ]
rownames(study1) <- NULL

# ---- 5. The ratings about their lines ---------------------------------------------------

# In the pool ratings keep close to their lines, closer than real ones do: the selection is about
# the lines. Now what they deviate by is drawn anew, wider, from its distribution given all that the
# models use: each rater's first rating and line, and the line of the mean. Two pairs of sessions
# equally far apart change by one step of the scale, one pair up and down, the other down and up,
# which leaves all lines where they are; Metropolis' rule accepts such moves or not. Ratings of
# sessions that only one of the two rated stay.
set.seed(19580101)
error_sd <- c(0.36, 0.30)
error_covariance <- diag(error_sd) %*% matrix(c(1, 0.25, 0.25, 1), 2) %*% diag(error_sd)
scatter <- function(time, ratings, moves = 3000) {
  both <- which(stats::complete.cases(ratings))[-1]
  steps <- round(12 * ratings)
  line <- vapply(1:2, function(rater) {
    known <- !is.na(ratings[, rater])
    stats::lm.fit(cbind(1, time[known]), ratings[known, rater])$coefficients
  }, numeric(2))
  precision <- solve(error_covariance)
  cost <- function(rows, steps) {
    off <- steps[rows, , drop = FALSE] / 12 - cbind(1, time[rows]) %*% line
    sum((off %*% precision) * off) / 2
  }
  for (move in seq_len(moves)) {
    pairs <- sample(both, 2)
    others <- match(time[pairs] + sample(max(time) - min(time), 1), time[both])
    if (anyNA(others)) next
    rater <- sample(2, 1)
    trial <- steps
    trial[pairs, rater] <- trial[pairs, rater] + c(1, -1)
    others <- both[others]
    trial[others, rater] <- trial[others, rater] + c(-1, 1)
    rows <- unique(c(pairs, others))
    if (min(trial[rows, rater]) < 12 || max(trial[rows, rater]) > 84) next
    if (cost(rows, trial) - cost(rows, steps) < -log(stats::runif(1))) steps <- trial
  }
  steps / 12
}
for (at in split(seq_len(nrow(study1)), study1$patient)) {
  if (sum(stats::complete.cases(study1[at, c("wai_patient", "wai_therapist")])) < 4) next
  study1[at, c("wai_patient", "wai_therapist")] <- scatter(
    study1$session[at], as.matrix(study1[at, c("wai_patient", "wai_therapist")])
  )
}

save(study1, file = "data/study1.rda", version = 2, compress = "xz")
