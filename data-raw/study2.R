# study2: a synthetic sample with the structure of Study 2 of Nissen-Lie et al. (2020)
# <doi:10.1080/10503307.2020.1823030>, whose published models it returns when analysed as there.
# Run from the package's root, the package being installed: Rscript data-raw/study2.R
# No data of any patient enter; what enters are the published figures.
#
# 1. Ratings. Of several thousand dyads drawn by generate_dyads(), 139 are chosen whose scores have
#    the spreads and correlations that the published standard errors ask for.
# 2. Symptoms. Each dyad's growth line depends on its scores as published, and what is random about
#    it has the published covariances.
# 3. Single symptom scores are moved by as little as possible until all cells of the published
#    table agree (calibrate.R) and residuals still look like noise, and put on the instrument's
#    grid.

suppressWarnings(RNGversion("4.2.0"))
source("data-raw/calibrate.R")
set.seed(6)

n_dyads <- 139L

# ---- 1. Ratings ------------------------------------------------------------------

# Patients rate higher, therapists catch up; who starts high rises less. Ratings deviate from their
# lines by as much as leaves something else in the scores: three ratings carry much error into a
# score, and the spread of the scores is given by the published standard errors.
growth <- c("patient_start", "patient_change", "therapist_start", "therapist_change")
correlation <- diag(4)
correlation[lower.tri(correlation)] <- c(-0.66, 0.12, -0.12, -0.35, 0.56, -0.70)
correlation <- correlation + t(correlation) - diag(4)
pool <- samepage::generate_dyads(
  "study2",
  dyads = 5000, seed = 1,
  ratings = list(
    mean = stats::setNames(c(5.05, 0.40, 4.35, 0.85), growth),
    sd = stats::setNames(c(1.02, 0.74, 0.74, 0.66), growth), correlation = correlation,
    error_sd = c(patient = 0.235, therapist = 0.235), error_correlation = 0.35
  )
)
# One row per dyad, one column per rated session.
by_session <- function(rating) t(matrix(rating[pool$occasion %in% 1:3], 3))
patients <- by_session(pool$wai_patient)
therapists <- by_session(pool$wai_therapist)
pool_scores <- suppressMessages(samepage::convergence(
  wai_patient + wai_therapist ~ occasion | patient,
  data = pool, per = "course", early_discrepancy = "log_absolute"
))
pool_scores <- as.matrix(as.data.frame(pool_scores)[c(
  "convergence", "early_wai_patient", "early_wai_therapist", "development", "early_discrepancy"
)])

# Three ratings on a grid of twelfths may give two raters one line, and a score without an error.
apart_by <- patients - therapists
coincide <- abs(rowSums(apart_by)) + abs(apart_by[, 3] - apart_by[, 1]) < 1e-8

# The log of convergence is taken of its distance from the lowest of the sample: that dyad is fixed,
# and not so low that the log would set it apart from all others.
possible <- which(pool_scores[, "convergence"] >= -0.8 & !coincide)
lowest <- possible[which.min(pool_scores[possible, "convergence"])]
logged <- pool_scores
logged[possible, "convergence"] <-
  log(pool_scores[possible, "convergence"] - pool_scores[lowest, "convergence"] + 1)

# The standard error of an effect on level (or change) is about sqrt(.034 (or .016) / 138) over the
# predictor's SD given the other predictors, .034 and .016 being what levels and slopes, as
# estimated, vary by. So the SEs of Table II say what these SDs are. And with Model 3's estimates,
# the regressions of its other predictors on convergence give Model 2's.
#
# From Model 2 to Model 3 the covariance of intercepts and slopes rises from .0005 to .004. So
# what the further predictors explain of levels and of changes must covary negatively
# (`explained_both`), and be little where it is levels alone (`explained_level`). The published
# effects allow that if early ratings of patients and therapists go together.
wanted <- rbind(
  total_convergence = c(0.193, 0.203),
  level_convergence = c(0.092, 0.099), level_early_patient = c(0.50, 0.60),
  level_early_therapist = c(0.446, 0.456), level_development = c(0.446, 0.456),
  level_discrepancy = c(0.262, 0.285),
  change_convergence = c(0.087, 0.093), change_early_patient = c(0.50, 0.60),
  change_early_therapist = c(0.444, 0.454), change_development = c(0.444, 0.454),
  change_discrepancy = c(0.262, 0.285), change_product = c(0.126, 0.135),
  level_bias = c(0.205, 0.230), change_bias = c(0.055, 0.080),
  explained_both = c(-Inf, -0.0012), explained_level = c(-Inf, 0.0030),
  mean_convergence = c(0.20, Inf), wider_patients = c(0.12, Inf), rise = c(0.08, Inf),
  higher_patients = c(0.10, Inf), product_correlation = c(-0.30, 0.30),
  one_dyads_share = c(-Inf, 0.24)
)
unit <- c(
  0.001, 0.0005, 0.005, 0.002, 0.002, 0.002, 0.0005, 0.005, 0.002, 0.002, 0.002, 0.001,
  0.004, 0.003, 0.00003, 0.0001, 0.02, 0.02, 0.02, 0.02, 0.03, 0.02
)
# Published effects, up to one unit of the last digit more or less, in the direction that
# carries Model 3's convergence and covariance to Model 2's.
by_level <- c(0, 0.0285, -0.0115, -0.0185, 0.0985, 0)
by_change <- c(0, -0.0039, -0.0285, -0.0015, 0.0115, 0.0484)
predictors_of <- function(scores) {
  centred <- sweep(scores, 2, colMeans(scores))
  product <- centred[, "convergence"] * centred[, "development"]
  cbind(centred, product = product - mean(product))
}
given_others <- function(covariance) 1 / sqrt(diag(solve(covariance)))
pool_misses <- function(chosen) {
  x <- predictors_of(logged[chosen, ])
  covariance <- stats::cov(x)
  with_convergence <- covariance[1, ]
  given_convergence <- covariance - tcrossprod(with_convergence) / covariance[1, 1]
  own <- qr.resid(qr(x[, 2:5]), x[, 1])
  spread <- function(ratings) apply(ratings[chosen, ], 2, stats::sd)
  means <- colMeans(patients[chosen, ])
  found <- c(
    sqrt(covariance[1, 1]), given_others(covariance[1:5, 1:5]), given_others(covariance),
    sum(by_level * with_convergence) / covariance[1, 1],
    sum(by_change * with_convergence) / covariance[1, 1],
    by_level %*% given_convergence %*% by_change, by_level %*% given_convergence %*% by_level,
    mean(pool_scores[chosen, "convergence"]), min(spread(patients) - spread(therapists)),
    min(diff(means)), means[3] - mean(therapists[chosen, 3]),
    stats::cov2cor(covariance)[1, 6], max(own^2) / sum(own^2)
  )
  sum((pmax(wanted[, 1] - found, found - wanted[, 2], 0) / unit)^2)
}

chosen <- c(lowest, sample(setdiff(possible, lowest), n_dyads - 1L))
others <- setdiff(possible, chosen)
missed <- pool_misses(chosen)
for (swap in seq_len(30000)) {
  if (missed == 0) break
  out <- 1L + sample.int(n_dyads - 1L, 1)
  into <- sample.int(length(others), 1)
  trial <- replace(chosen, out, others[into])
  after <- pool_misses(trial)
  # A small step back is allowed at times, ever less often.
  if (after < missed - 2 * (1 - swap / 30000)^3 * min(1, missed / 50) * log(stats::runif(1))) {
    others[into] <- chosen[out]
    chosen <- trial
    missed <- after
  }
}
stopifnot(missed == 0)
chosen <- sample(chosen)
message("ratings chosen after ", swap, " swaps")

# ---- 2. Symptoms -------------------------------------------------------------------

set.seed(4)
x <- predictors_of(logged[chosen, ])
# Noise without any correlation with `given`, and with exactly the covariances asked for.
exact_noise <- function(noise, given, covariance) {
  noise <- stats::residuals(stats::lm(noise ~ given))
  as.matrix(noise) %*% solve(chol(crossprod(as.matrix(noise)) / (n_dyads - 1))) %*%
    chol(covariance)
}
# Symptoms are skewed over patients, and the higher they are the more they vary.
z <- stats::qnorm((sample(n_dyads) - 0.5) / n_dyads)
initial <- as.vector(
  1.28 + x %*% c(1.30, 0.02, -0.25, -0.22, 0.59, -1.08) +
    exact_noise(z + 0.17 * (z^2 - 1), x, matrix(0.50^2))
)
noise <- matrix(stats::rnorm(4 * n_dyads), n_dyads) * (pmax(initial, 0.25) / 1.28)^0.4
# Of level and change, given the predictors and initial symptoms: Model 3's effects, and what
# follows for an outcome row that is a predictor as well.
on_level <- c(-0.545, 0.060, -0.030, -0.036, 0.140, -0.488, 0.894)
on_change <- c(-0.050, -0.004, -0.0285, -0.0015, 0.020, 0.050, -0.060)
given <- cbind(x, initial - mean(initial))
line <- given %*% cbind(on_level, on_change) +
  exact_noise(noise[, 1:2], given, matrix(c(0.0310, -0.0064, -0.0064, 0.0144), 2))
level <- 1.28 + line[, 1]
change <- -0.09 + line[, 2]
# What the five scores deviate from their line: initial minus level at the first occasion, and
# noise in the two directions that change neither line nor first score. Residual variance .05.
on_line <- cbind(1, 0:4)
off_line <- diag(5) - on_line %*% solve(crossprod(on_line), t(on_line))
first_off <- off_line[, 1] / off_line[1, 1]
free <- qr.Q(qr(cbind(on_line, first_off, diag(5)[, c(2, 4)])))[, 4:5]
left <- 3 * 0.05 - stats::var(initial - level) * sum(first_off^2)
deviation <- outer(initial - level, first_off) +
  exact_noise(noise[, 3:4], cbind(given, line), diag(max(left, 0.06) / 2, 2)) %*% t(free)
gsi <- outer(level, rep(1, 5)) + outer(change, 0:4) + deviation
low <- gsi < 0.04
gsi[low] <- 0.04 + stats::runif(sum(low), 0, 0.1)
gsi <- pmin(gsi, 3.3)
gsi_before <- gsi[, 1]

# With complete outcomes and centred predictors Models 1 and 2 have the same slope; the published
# ones, -.10 and -.08, differ. So some outcomes were missing, and since the later ones were a
# condition of entering the sample, it is first ones. Their number the paper does not give.
# 40 of 139 leave levels as unsure as the published standard errors say, with a
# residual variance small enough for those of the covariance.
gsi[sample(n_dyads, 40), 1] <- NA

# ---- 3. Agreement with the table -----------------------------------------------------

sample2 <- list(
  dyad = rep(seq_len(n_dyads), each = 5), time = rep(0:4, n_dyads),
  rating_time = rep(0:4, n_dyads), outcome = as.vector(t(gsi)),
  first = as.vector(rbind(NA, t(patients[chosen, ]), NA)),
  second = as.vector(rbind(NA, t(therapists[chosen, ]), NA)),
  rules = list(drop = FALSE, center_discrepancy = TRUE), range = list(outcome = c(0.02, 3.5))
)
scores <- score_matrix(dyad_scores(sample2))
stopifnot(all.equal(scores, logged[chosen, ], check.attributes = FALSE))

published <- samepage::published_tables
published <- published[published$study == 2, ]
names(published)[names(published) == "std.error"] <- "std_error"
published$block <- c(fixed = "fixed", ran_pars = "random", fit = "fit")[published$effect]
published$term <- sub("early_wai_", "early_", published$term, fixed = TRUE)
published$std_error[is.na(published$std_error)] <- ""
aims <- cell_aims(published, c(
  "1 intercept std_error", "2 intercept_variance std_error", "3 intercept_variance std_error",
  paste(1:3, "aic estimate")
))
# Agreement: estimates of fixed effects to one unit of the last digit, standard errors to the
# rounding or 5 %, random effects to the rounding or 5 %, their standard errors 10 %.
share <- ifelse(
  aims$block == "fixed", ifelse(aims$kind == "estimate", 0, 0.05),
  ifelse(aims$kind == "estimate", 0.05, 0.10)
)
units <- ifelse(aims$block == "fixed" & aims$kind == "estimate", 1, 0.5)
agreement <- pmax(units * aims$digit, share * abs(aims$published))
aims$within <- 0.85 * agreement
aims$scale <- agreement / 4
its_covariance <- aims$cell == "2 covariance estimate"
aims$within[its_covariance] <- 0.6 * agreement[its_covariance]
aims$scale[its_covariance] <- 0.0001

# What residuals about each patient's own line look like: how much larger they are (log of the SD)
# in patients without first score, the correlation of neighbours (-.4 if noise), kurtosis, and how
# their size differs between occasions (log of the SD). And how the two groups of patients differ
# in the effects of the scores on change, and in what else changes vary by. All are held to what
# chance might give. Last, Model 3's level effect of convergence without the dyad that has most of
# what convergence has of its own: it is not to hang on that dyad.
off_later <- diag(4) - on_line[-1, ] %*% solve(crossprod(on_line[-1, ]), t(on_line[-1, ]))
centred_scores <- sweep(scores, 2, colMeans(scores))
change_by_scores <- function(gsi, patients) {
  change <- as.vector(gsi[patients, -1] %*% c(-0.3, -0.1, 0.1, 0.3))
  by <- qr(cbind(1, centred_scores[patients, ]))
  list(
    effects = qr.coef(by, change)[-1],
    variance = sum(qr.resid(by, change)^2) / (sum(patients) - 6)
  )
}
heaviest <- which.max(qr.resid(qr(cbind(1, scores[, -1])), scores[, 1])^2)
# Model 3's effects, by name, in some of the dyads only.
effects_in <- function(sample, dyads) {
  left_out <- !seq_len(n_dyads) %in% seq_len(n_dyads)[dyads]
  sample$outcome[left_out[sample$dyad]] <- NA
  design <- designs(sample, replace(scores, left_out[row(scores)], NA))[[3]]
  fit <- core$fit_reduced(core$reduce_design(design, control), random_line, TRUE, control)
  stats::setNames(fit$beta, terms_of[[3]])
}
residual_shape <- function(sample) {
  gsi <- t(matrix(sample$outcome, 5))
  whole <- !is.na(gsi[, 1])
  five <- gsi[whole, ] %*% off_line
  four <- gsi[!whole, -1] %*% off_later
  per_degree <- c(sum(five^2) / (3 * nrow(five)), sum(four^2) / (2 * nrow(four)))
  standardised <- c(
    sweep(five, 2, sqrt(diag(off_line)), "/"), sweep(four, 2, sqrt(diag(off_later)), "/")
  )
  with_first <- change_by_scores(gsi, whole)
  without_first <- change_by_scores(gsi, !whole)
  c(
    incomplete = log(per_degree[2] / per_degree[1]) / 2,
    neighbours = sum(five[, -1] * five[, -5]) / sum(five^2),
    kurtosis = mean(standardised^4) / mean(standardised^2)^2,
    size = log(colMeans(five^2) / diag(off_line) / per_degree[1]) / 2,
    later = log(colMeans(four^2) / diag(off_later) / per_degree[2]) / 2,
    later_neighbours = sum(four[, -1] * four[, -4]) / sum(four^2),
    stats::setNames(without_first$effects - with_first$effects, paste0("effect", 1:5)),
    changes = log(without_first$variance / with_first$variance) / 2,
    without_heaviest = effects_in(sample, -heaviest)[["convergence"]]
  )
}
shape_derivatives <- function(sample, step) {
  base <- residual_shape(sample)
  vapply(which(!is.na(sample$outcome)), function(row) {
    sample$outcome[row] <- sample$outcome[row] + step
    (residual_shape(sample) - base) / step
  }, base)
}
# standard errors of the differences in effects
by_chance <- c(0.23, 0.037, 0.05, 0.047, 0.082)
shape <- data.frame(
  cell = names(residual_shape(sample2)),
  published = c(0, -0.40, 2.9, rep(0, 9), -0.45, rep(0, 6), -0.32),
  within = c(0.25, 0.02, 0.3, rep(0.18, 9), 0.05, 1.5 * by_chance, 0.25, 0.08),
  scale = c(0.1, 0.05, 0.4, rep(0.1, 9), 0.05, by_chance / 2, 0.1, 0.05)
)

started <- sample2$outcome
sample2 <- aim_at_once(
  sample2, rbind(aims[names(shape)], shape), 0.2 * sqrt(pmax(started, 0.1) / 1.1),
  function(sample) c(cells(sample, scores), residual_shape(sample)),
  function(sample) {
    rbind(outcome_derivatives(sample, scores, 0.002), shape_derivatives(sample, 0.0001))
  },
  steps = 40
)
# Onto the instrument's grid: whole items of 90.
on_grid <- aims
on_grid$within <- 0.95 * agreement
on_grid$within[its_covariance] <- 0.7 * agreement[its_covariance]
sample2 <- settle(sample2, on_grid, scores, per = 90, step = 0.002)
message("SD of the moves: ", round(stats::sd(sample2$outcome - started, na.rm = TRUE), 2))
off <- (cells(sample2, scores)[aims$cell] - aims$published) / agreement
print(round(sort(off[abs(off) > 0.8]), 2))
print(round(residual_shape(sample2), 2))
stopifnot(abs(off) < 0.95)

# ---- The people ------------------------------------------------------------------------

set.seed(19960905)

# Whole numbers with exactly the published mean, SD and range (to the printed digits, in units of
# 1 / per): draw, then move single values until they agree.
draw_values <- function(n, mean, sd, range, per, digits, shape = identity) {
  value <- round(per * (mean + sd * shape(stats::qnorm((sample(n) - 0.5) / n))))
  range <- round(per * range)
  value <- pmin(pmax(value, range[1]), range[2])
  value[which.min(value)] <- range[1]
  value[which.max(value)] <- range[2]
  off <- function(v) abs(mean(v / per) - mean) + abs(stats::sd(v / per) - sd)
  inside <- setdiff(seq_len(n), c(which.min(value), which.max(value)))
  for (step in seq_len(20000)) {
    agrees <- round(mean(value / per), digits[1]) == mean &&
      round(stats::sd(value / per), digits[2]) == sd
    if (agrees) break
    i <- sample(inside, 1)
    trial <- value
    trial[i] <- trial[i] + sample(c(-1L, 1L), 1)
    if (trial[i] > range[1] && trial[i] < range[2] && off(trial) <= off(value)) value <- trial
  }
  value / per
}

# 52 therapists at eight sites, each with one to several patients. Drawn until patients of one
# therapist are no more alike than others: the paper dropped that level.
later_mean <- rowMeans(t(matrix(sample2$outcome, 5))[, -1])
site_of <- sample(c(1:8, sample(1:8, 44, replace = TRUE)))
repeat {
  therapist <- sample(c(1:52, sample(1:52, n_dyads - 52, replace = TRUE)))
  between <- summary(stats::lm(later_mean ~ factor(therapist)))$fstatistic[["value"]]
  if (between < 1) break
}
site <- site_of[therapist]

age <- draw_values(n_dyads, 35.7, 9.52, c(20, 62), 1, c(1, 2), function(z) z + 0.12 * (z^2 - 1))
# No whole number of 139 is 74.4 %: six patients' sex is not recorded, and 99 of
# the other 133 are women.
sex <- sample(rep(c("woman", "man", NA), c(99, 34, 6)))

# Long treatments: the part above 20 sessions of a skewed distribution; 67 end by session 40.
sessions <- 20 + round(exp(3.065 + 1.05 * stats::qnorm((sample(n_dyads) - 0.5) / n_dyads)))
sessions <- pmax(sessions, 21)
sessions[which.max(sessions)] <- 364
stopifnot(sum(sessions <= 40) == 67)
# Who has which is drawn until results are the same in the shorter treatments, as in the paper
# (effects of convergence within .1 of those in all), and long treatments have neither more nor
# fewer symptoms.
relations <- c("convergence", "convergence:time")
in_all <- effects_in(sample2, seq_len(n_dyads))[relations]
repeat {
  in_shorter <- effects_in(sample2, which(sessions <= 40))[relations]
  if (all(abs(in_shorter - in_all) < 0.1) && abs(stats::cor(sessions, later_mean)) < 0.05) break
  sessions <- sample(sessions)
}

gsi_pre <- draw_values(
  n_dyads, 1.39, 0.62, c(14, 301) / 90, 90, c(2, 2), function(z) z + 0.1 * (z^2 - 1)
)
# Who has high scores before treatment has them at its start.
gsi_pre <- sort(gsi_pre)[rank(gsi_before + stats::rnorm(n_dyads, 0, 0.25))]

# ---- The data ----------------------------------------------------------------------------

dyad <- sample2$dyad
study2 <- data.frame(
  patient = factor(sprintf("P%03d", dyad)), therapist = factor(sprintf("T%02d", therapist[dyad])),
  site = factor(LETTERS[site[dyad]]), sessions = as.integer(sessions[dyad]),
  age = as.integer(age[dyad]), sex = factor(sex[dyad]), gsi_pre = gsi_pre[dyad],
  occasion = sample2$time,
  session = as.integer(ifelse(
    sample2$time == 4, sessions[dyad], c(1, 3, 12, 20, NA)[sample2$time + 1L]
  )),
  wai_patient = sample2$first, wai_therapist = sample2$second, gsi = sample2$outcome
)
save(study2, file = "data/study2.rda", version = 2, compress = "xz")
