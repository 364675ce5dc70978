# study1: a synthetic sample with the structure of Study 1 of Nissen-Lie et al.
# (2020). First version: the structure only, not yet the published estimates.
# Run from the package's root: Rscript data-raw/study1.R

suppressWarnings(RNGversion("4.2.0"))
set.seed(20200922)

n_dyads <- 96
sessions <- 1:14

# Pre-treatment scores with exactly the published mean, SD and range: draw, then
# move single scores until the printed digits agree.
draw_scores <- function(n, mean, sd, range, digits) {
  score <- round(mean + sd * qnorm((sample(n) - 0.5) / n))
  score <- pmin(pmax(score, range[1]), range[2])
  score[which.min(score)] <- range[1]
  score[which.max(score)] <- range[2]
  off <- function(s) abs(mean(s) - mean) / 0.05 + abs(stats::sd(s) - sd) / 0.05
  inside <- setdiff(seq_len(n), c(which.min(score), which.max(score)))
  for (step in seq_len(5000)) {
    if (round(mean(score), digits) == mean && round(stats::sd(score), digits) == sd) break
    i <- sample(inside, 1)
    trial <- score
    trial[i] <- trial[i] + sample(c(-1L, 1L), 1)
    if (trial[i] > range[1] && trial[i] < range[2] && off(trial) <= off(score)) score <- trial
  }
  as.integer(score)
}

# Half of the patients in each treatment; 25 therapists share the CBT patients
# and 9 the IPT patients.
treatment <- factor(sample(rep(c("CBT", "IPT"), each = n_dyads / 2)), levels = c("CBT", "IPT"))
therapist <- integer(n_dyads)
share <- function(ids, n) sample(c(ids, sample(ids, n - length(ids), replace = TRUE)))
therapist[treatment == "CBT"] <- share(1:25, n_dyads / 2)
therapist[treatment == "IPT"] <- share(26:34, n_dyads / 2)
renamed <- sample(34)
therapist <- factor(sprintf("T%02d", renamed[therapist]))

bdi_pre <- draw_scores(n_dyads, 35.8, 9.5, c(14, 58), 1)
medication <- factor(sample(rep(c("yes", "no"), c(57, 39))), levels = c("no", "yes"))

# Attendance: most complete the 14 sessions, some end earlier.
last <- ifelse(runif(n_dyads) < 0.2, sample(5:12, n_dyads, replace = TRUE), 14L)

correlated <- function(n, sd, r) {
  z <- matrix(rnorm(2 * n), n)
  cbind(sd[1] * z[, 1], sd[2] * (r * z[, 1] + sqrt(1 - r^2) * z[, 2]))
}
level <- correlated(n_dyads, c(0.70, 0.48), 0.40)
growth <- correlated(n_dyads, c(0.80, 0.50), 0.35)
bdi_line <- correlated(n_dyads, c(7, 1.1), -0.2)
grid12 <- function(x) round(12 * pmin(pmax(x, 1), 7)) / 12

rows <- lapply(seq_len(n_dyads), function(j) {
  s <- sessions[sessions <= last[j]]
  share_of_course <- (s - 1) / 13
  shared <- rnorm(length(s), 0, 0.15)
  wai_patient <- 4.95 + level[j, 1] + (0.75 + growth[j, 1]) * share_of_course +
    shared + rnorm(length(s), 0, 0.30)
  wai_therapist <- 5.08 + level[j, 2] + (0.45 + growth[j, 2]) * share_of_course +
    shared + rnorm(length(s), 0, 0.25)
  bdi <- 0.75 * (bdi_pre[j] - 35.8) + 33.4 + bdi_line[j, 1] + (-0.8 + bdi_line[j, 2]) * s +
    rnorm(length(s), 0, 5)
  out <- data.frame(
    patient = sprintf("P%02d", j), therapist = therapist[j], treatment = treatment[j],
    session = s, wai_patient = grid12(wai_patient), wai_therapist = grid12(wai_therapist),
    bdi = as.integer(round(pmin(pmax(bdi, 0), 63))), bdi_pre = bdi_pre[j],
    medication = medication[j]
  )
  # The first session's forms are kept; later ones are forgotten now and then.
  forgotten <- function(p) c(FALSE, runif(length(s) - 1) < p)
  out$wai_patient[forgotten(0.08)] <- NA
  out$wai_therapist[forgotten(0.06)] <- NA
  out$bdi[forgotten(0.08)] <- NA
  out[!(is.na(out$wai_patient) & is.na(out$wai_therapist) & is.na(out$bdi)), ]
})
study1 <- do.call(rbind, rows)
study1$patient <- factor(study1$patient)
rownames(study1) <- NULL

save(study1, file = "data/study1.rda", version = 2, compress = "xz")
