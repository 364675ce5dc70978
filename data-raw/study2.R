# study2: a synthetic sample with the structure of Study 2 of Nissen-Lie et al.
# (2020). First version: structure and sample facts, not yet the published estimates.
# Run from the package's root: Rscript data-raw/study2.R

suppressWarnings(RNGversion("4.2.0"))
set.seed(20200908)

n_dyads <- 139
occasions <- 0:4

# Whole numbers with exactly the published mean, SD and range (to the printed
# digits, in units of 1 / per): draw, then move single values until they agree.
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

# 52 therapists at eight sites, each with one to several patients.
site_of <- sample(c(1:8, sample(1:8, 44, replace = TRUE)))
therapist <- sample(c(1:52, sample(1:52, n_dyads - 52, replace = TRUE)))
site <- site_of[therapist]

age <- draw_values(n_dyads, 35.7, 9.52, c(20, 62), 1, c(1, 2), function(z) z + 0.12 * (z^2 - 1))
# No whole number of 139 is 74.4 %: six patients' sex is not recorded, and 99 of
# the other 133 are women.
sex <- sample(rep(c("woman", "man", NA), c(99, 34, 6)))

# Long treatments: the part above 20 sessions of a distribution with quartiles
# 16, 34 and 56.
sessions <- 20 + round(exp(3.212 + 1.015 * stats::qnorm((sample(n_dyads) - 0.5) / n_dyads)))
sessions <- pmax(sessions, 21)
sessions[which.max(sessions)] <- 364

correlated <- function(n, sd, r) {
  z <- matrix(stats::rnorm(2 * n), n)
  cbind(sd[1] * z[, 1], sd[2] * (r * z[, 1] + sqrt(1 - r^2) * z[, 2]))
}
level <- correlated(n_dyads, c(0.80, 0.60), 0.35)
growth <- correlated(n_dyads, c(0.55, 0.45), 0.35)
gsi_line <- correlated(n_dyads, c(0.58, 0.10), -0.29)
gsi_pre <- draw_values(
  n_dyads, 1.39, 0.62, c(14, 301) / 90, 90, c(2, 2), function(z) z + 0.1 * (z^2 - 1)
)
# The patients with the highest scores before treatment have the highest lines.
gsi_pre <- sort(gsi_pre)[rank(gsi_line[, 1] + stats::rnorm(n_dyads, 0, 0.25))]
grid <- function(x, per, range) round(per * pmin(pmax(x, range[1]), range[2])) / per

rows <- lapply(seq_len(n_dyads), function(j) {
  session <- c(1, 3, 12, 20, sessions[j])
  rated <- session %in% c(3, 12, 20) & occasions < 4
  share <- c(0, 0, 0.53, 1, 1)
  shared <- stats::rnorm(5, 0, 0.15)
  wai_patient <- 5.25 + level[j, 1] - 0.4 * growth[j, 1] + (0.35 + growth[j, 1]) * share +
    shared + stats::rnorm(5, 0, 0.3)
  wai_therapist <- 4.75 + level[j, 2] - 0.4 * growth[j, 2] + (0.55 + growth[j, 2]) * share +
    shared + stats::rnorm(5, 0, 0.25)
  gsi <- 1.28 + gsi_line[j, 1] + (-0.1 + gsi_line[j, 2]) * occasions + stats::rnorm(5, 0, 0.26)
  data.frame(
    patient = sprintf("P%03d", j), therapist = sprintf("T%02d", therapist[j]),
    site = LETTERS[site[j]], sessions = as.integer(sessions[j]), age = as.integer(age[j]),
    sex = sex[j], gsi_pre = gsi_pre[j], occasion = occasions, session = as.integer(session),
    wai_patient = ifelse(rated, grid(wai_patient, 12, c(1, 7)), NA),
    wai_therapist = ifelse(rated, grid(wai_therapist, 12, c(1, 7)), NA),
    gsi = grid(gsi, 90, c(0, 4))
  )
})
study2 <- do.call(rbind, rows)
for (name in c("patient", "therapist", "site", "sex")) study2[[name]] <- factor(study2[[name]])
rownames(study2) <- NULL

save(study2, file = "data/study2.rda", version = 2, compress = "xz")
