# study1: a synthetic sample that has the structure of Study 1 of Nissen-Lie et al. (2020) and
# returns its Table I. Run from the package's root, with the package installed (some minutes):
#   Rscript data-raw/study1.R
#
# 1. A pool of 6000 dyads is drawn by generate_dyads("study1"), with more spread in the ratings'
#    changes than its preset, so that there is something to choose from.
# 2. 96 of them are selected so that their scores and attendance, untouched, have the decoded
#    moments, give the published standard errors and carry Model 3's effects into Model 2's.
#    Predictors enter the table through a few sums over dyads only, so that a swap of two dyads
#    costs next to nothing.
# 3. Their outcomes are moved as little as possible until the three models return the table, then
#    rounded to whole numbers; see data-raw/calibrate.R.
# 4. What the models do not use is added: therapists, treatment, medication and the scores before
#    treatment.

library(samepage)
source("data-raw/calibrate.R")

suppressWarnings(RNGversion("4.2.0"))
set.seed(20200922)

published <- published_cells(1)
effects <- with(
  published[published$model == 3 & published$block == "fixed", ],
  as.numeric(estimate)[match(terms_of[[3]], term)]
)

# ---- 1. The pool ----------------------------------------------------------------

n_pool <- 6000
n_dyads <- 96
growth <- c("patient_start", "patient_change", "therapist_start", "therapist_change")
correlation <- diag(4)
correlation[lower.tri(correlation)] <- c(0.25, 0.60, -0.10, -0.10, -0.10, -0.20)
correlation <- correlation + t(correlation) - diag(4)
pool <- generate_dyads(
  "study1",
  dyads = n_pool, seed = 81,
  ratings = list(
    sd = stats::setNames(c(0.60, 0.95, 0.43, 0.60), growth), correlation = correlation,
    error_sd = c(patient = 0.27, therapist = 0.23), error_correlation = 0.25
  ),
  outcome = list(
    initial = c(mean = 32.8, sd = 9.8),
    initial_correlation = stats::setNames(c(-0.54, 0, -0.54, 0), growth)
  ),
  missing = list(
    dropout = 0.28, earliest = 5, session = 0.03, outcome = 0.05, patient = 0.05, therapist = 0.05
  )
)
dyad <- as.integer(pool$patient)
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

# Per dyad Z'V^-1 Z (three numbers) and Z'V^-1 y (two), Z = (1, time), at given variances.
weights_at <- function(variances, rows) {
  g <- matrix(variances[c(1, 2, 2, 3)], 2)
  t(vapply(split(rows, factor(dyad[rows], seq_len(n_pool))), function(at) {
    if (length(at) < 2) {
      return(rep(NA_real_, 5))
    }
    z <- cbind(1, pool$session[at])
    zv <- t(solve(z %*% g %*% t(z) + diag(variances[4], length(at)), z))
    a <- zv %*% z
    c(a[1, 1], a[1, 2], a[2, 2], zv %*% pool$bdi[at])
  }, numeric(5)))
}
variances <- list(c(105, -1.80, 1.29, 29.5), c(50.0, -1.80, 1.30, 28.5), c(48.6, -1.94, 1.20, 28.5))
weights <- Map(weights_at, variances, list(known, later, later))

# The dyad that diverges most sets the log's shift. It is in every selection, and no dyad that
# diverges more can be selected.
lowest <- -1.6
complete <- stats::complete.cases(predictors) & stats::complete.cases(weights[[2]])
eligible <- which(complete & predictors[, "convergence"] >= lowest)
anchor <- eligible[which.min(predictors[eligible, "convergence"])]
change_raw <- predictors[, "convergence"]
predictors[, "convergence"] <- suppressWarnings(
  log(change_raw - change_raw[anchor] + 1)
)

# ---- 2. The selection -------------------------------------------------------------

place <- c(1, 8, 2, 3, 9)
order_3 <- c(1, 8, 2:7, 9:14)
effects_in_place <- numeric(14)
effects_in_place[order_3] <- effects

# What Model 2 estimates from Model 3's effects, all standard errors, and the estimates from the
# dyads' own outcomes, as in fit_cells() but at the given variances.
selection_cells <- function(chosen) {
  x <- predictors[chosen, ]
  centers <- colMeans(x)
  centers["early_discrepancy"] <- 0
  x <- x - rep(centers, each = nrow(x))
  level <- cbind(1, x)
  change <- cbind(1, x[, -1], x[, "convergence"] * x[, "development"])
  sums <- function(w) {
    cross <- crossprod(level, w[, 2] * change)
    list(
      xx = rbind(
        cbind(crossprod(level, w[, 1] * level), cross),
        cbind(t(cross), crossprod(change, w[, 3] * change))
      ),
      xy = c(crossprod(level, w[, 4]), crossprod(change, w[, 5]))
    )
  }
  two <- sums(weights[[2]][chosen, ])
  three <- sums(weights[[3]][chosen, ])
  inverse_2 <- solve(two$xx[place, place])
  inverse_3 <- solve(three$xx)
  one <- colSums(weights[[1]][chosen, ])
  c(
    inverse_2 %*% (two$xx[place, ] %*% effects_in_place), sqrt(diag(inverse_2)),
    sqrt(diag(inverse_3))[order_3], inverse_2 %*% two$xy[place],
    (inverse_3 %*% three$xy)[order_3], solve(matrix(one[c(1, 2, 2, 3)], 2), one[4:5])
  )
}

selection_aims <- function() {
  cell <- c(
    paste(2, terms_of[[2]], "estimate"), paste(2, terms_of[[2]], "std_error"),
    paste(3, terms_of[[3]], "std_error"), paste(2, terms_of[[2]], "estimate"),
    paste(3, terms_of[[3]], "estimate"), paste(1, terms_of[[1]], "estimate")
  )
  aims <- cell_aims(published, character())
  aims <- aims[match(cell, aims$cell), ]
  error <- 6:24
  aims$within[1:5] <- aims$scale[1:5] <- c(0.008, 0.002, 0.005, 0.02, 0.005)
  aims$within[error] <- pmax(0.3 * aims$digit, 0.022 * aims$published)[error]
  aims$scale[error] <- 0.012 * aims$published[error]
  # The outcomes' changes take from this one.
  aims$within[13] <- 0.001
  # A few steps of the aiming will do the rest for the outcomes.
  aims$within[25:43] <- aims$scale[25:43] <- c(
    0.04, 0.006, 0.02, 0.2, 0.04,
    0.1, 0.02, 0.02, 0.3, 0.2, 0.3, 0.2, 0.3, 0.05, 0.05, 0.05, 0.05, 0.05, 0.08
  )
  aims$within[44:45] <- c(0.6, 0.08)
  aims$scale[44:45] <- c(0.2, 0.02)
  aims
}
aims_of_selection <- selection_aims()
n_rows <- tabulate(dyad[known], n_pool)

outside <- function(value, from, to, scale) (max(from - value, value - to, 0) / scale)^2
selection_cost <- function(chosen) {
  off <- abs(selection_cells(chosen) - aims_of_selection$published) - aims_of_selection$within
  early <- colMeans(predictors[chosen, c("early_patient", "early_therapist")])
  sum((pmax(off, 0) / aims_of_selection$scale)^2) +
    outside(sum(n_rows[chosen]), 1052, 1060, 5) +
    outside(mean(change_raw[chosen]), -0.30, 0.10, 0.02) +
    outside(early[[2]] - early[[1]], 0.10, 0.25, 0.02) +
    outside(shared_effect(chosen), -0.15, -0.05, 0.03)
}

# What Model 3's further predictors take from the covariance of intercepts and slopes in Model 2.
shared_effect <- function(chosen) {
  x <- predictors[chosen, ]
  alone <- stats::lm.fit(cbind(1, x[, 1:2]), x[, 3:6])$residuals
  mean((alone %*% effects[5:8]) * (alone %*% effects[10:13]))
}

# Where the search starts: near the standard deviations and correlations decoded from the table.
decoded_sd <- c(9.7, 0.34, 0.66, 0.49, 0.53, 0.27)
decoded <- diag(6)
decoded[lower.tri(decoded)] <- c(
  0, -0.47, -0.47, 0, 0, 0, -0.26, -0.22, -0.38, 0.42, 0, 0, 0, 0, 0
)
moment_cost <- function(chosen) {
  x <- predictors[chosen, ]
  off <- c(
    (apply(x, 2, stats::sd) / decoded_sd - 1) / 0.02,
    (stats::cor(x) - decoded)[lower.tri(decoded)] / 0.03,
    (mean(x[, "early_discrepancy"]) - 0.335) / 0.01
  )
  sum(pmax(abs(off) - 1, 0)^2)
}

# One dyad out, another in, kept if the cost falls (or, at first, rises only a little).
exchange <- function(chosen, cost, swaps, heat) {
  others <- setdiff(eligible, chosen)
  now <- cost(chosen)
  for (swap in seq_len(swaps)) {
    out <- sample.int(n_dyads - 1, 1) + 1
    into <- sample.int(length(others), 1)
    trial <- chosen
    trial[out] <- others[into]
    after <- cost(trial)
    if (after < now - heat * (1 - swap / swaps) * log(stats::runif(1))) {
      others[into] <- chosen[out]
      chosen <- trial
      now <- after
      if (now == 0) break
    }
  }
  message(sprintf("%d swaps, cost %.3g", swap, now))
  chosen
}
chosen <- c(anchor, sample(setdiff(eligible, anchor), n_dyads - 1))
chosen <- exchange(chosen, moment_cost, 15000, 1)
chosen <- exchange(chosen, selection_cost, 150000, 0.3)

# ---- 3. The outcomes ----------------------------------------------------------------

rows <- which(dyad %in% chosen)
drawn <- list(
  dyad = match(dyad[rows], sort(chosen)), time = pool$session[rows],
  rating_time = pool$session[rows], first = pool$wai_patient[rows],
  second = pool$wai_therapist[rows], outcome = pool$bdi[rows],
  rules = list(drop = TRUE, center_discrepancy = FALSE), range = list(outcome = c(0, 63))
)
# Left out: the cells that contradict other printed ones (?published_exempt), and Model 1's fixed
# effects and AIC. Model 1 has the rows of Model 2 and each dyad's first one. One more value at the
# start of a line lifts one end of it and lowers the other, but the published line of Model 1 lies
# above Model 2's at both ends; and 96 rows more weigh more than the difference of the two AIC.
aims <- cell_aims(published, c(
  "1 intercept_variance estimate", "1 intercept_variance std_error", "1 covariance std_error",
  "2 intercept_variance std_error", "1 intercept estimate", "1 time estimate",
  "1 aic estimate"
))
drawn_scores <- score_matrix(dyad_scores(drawn))
is_first <- which(!is.na(drawn$outcome)) %in% first_outcome(drawn)
approach <- function(sample, aims, steps) {
  aim(
    sample, aims, c(outcome = 2),
    measure = function(sample) cells(sample, drawn_scores),
    slope = function(sample, part) {
      slope <- outcome_derivatives(sample, drawn_scores, 0.05)
      # First values are predictors too: they move less.
      slope[, is_first] <- 0.2 * slope[, is_first]
      slope
    },
    steps = steps, damping_by = c(3, 5)
  )
}
moved <- approach(drawn, aims, 40)
# What is still outside has its whole tolerance: one unit of the last digit, 5 %, 10 %.
aims <- whole_tolerance(aims, 0.7)
moved <- approach(moved, aims, 35)
settled <- settle(moved, whole_tolerance(aims, 0.48), drawn_scores, per = 1, step = 0.05)
# Some cells end a hair outside their tolerance. They alone are asked once more: the intervals are
# now the tolerances themselves (settle() keeps a tenth of them in reserve), and neither the fixed
# effects nor the cell that is hardest to move may pay for the others.
last <- full_tolerance(aims)
dear <- ifelse(last$block == "fixed" & last$kind == "estimate", 0.1, 1)
dear[last$cell == "3 early_patient std_error"] <- 0.3
last$scale <- last$scale * dear
settled <- settle(settled, last, drawn_scores, per = 1, step = 0.05)

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
initial <- settled$outcome[first_outcome(settled)]
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

save(study1, file = "data/study1.rda", version = 2, compress = "xz")
