# Are the standard errors of the scores right? Many dyads with the same true lines, correlated
# residuals within sessions and, where the definition is linear, missing ratings on either side:
# the mean squared standard error over the variance of the scores (1 is right), and how often the
# 95 % interval (t, sessions - 2) holds the mean score. For "absolute" also what the first-order
# formula, blind to the folding at 0, would give.
# Run from the root of the repository: Rscript bench/score-errors.R

library(samepage)

alike <- function(line_p, line_q, sessions, missing, dyads = 20000L, sd = c(0.5, 0.4), rho = 0.6) {
  n <- dyads * sessions
  time <- rep(seq_len(sessions), dyads)
  shared <- stats::rnorm(n)
  residual <- function(sd) sd * (sqrt(rho) * shared + sqrt(1 - rho) * stats::rnorm(n))
  data <- data.frame(
    dyad = rep(seq_len(dyads), each = sessions), time = time,
    p = line_p[1] + line_p[2] * time + residual(sd[1]),
    q = line_q[1] + line_q[2] * time + residual(sd[2])
  )
  data$p[stats::runif(n) < missing] <- NA
  data$q[stats::runif(n) < missing] <- NA
  data
}

check <- function(case, definition, data) {
  scores <- suppressMessages(convergence(p + q ~ time | dyad, data, definition))
  scores <- as.data.frame(scores)[!is.na(scores$convergence_se), ]
  sessions <- if (definition == "fitted") pmin(scores$n_p, scores$n_q) else scores$n_both
  variance <- stats::var(scores$convergence)
  reach <- stats::qt(0.975, sessions - 2) * scores$convergence_se
  first_order <- if (definition == "absolute") {
    signed <- suppressMessages(convergence(p + q ~ time | dyad, data, "signed"))
    mean(signed$convergence_se^2, na.rm = TRUE) / variance
  } else {
    NA
  }
  data.frame(
    case, definition,
    ratio = mean(scores$convergence_se^2) / variance,
    coverage = mean(abs(scores$convergence - mean(scores$convergence)) < reach),
    first_order
  )
}

set.seed(2020)
lines <- list(
  "far apart" = list(c(5, 0.05), c(7, -0.05)), "crossing" = list(c(4, 0.2), c(5.1, 0)),
  "close" = list(c(5, 0.03), c(5.3, 0.03)), "one line" = list(c(5, 0.03), c(5, 0.03))
)
rows <- list()
for (name in names(lines)) {
  for (sessions in c(5L, 10L, 20L)) {
    true <- lines[[name]]
    case <- paste0(name, ", ", sessions, " sessions")
    complete <- alike(true[[1]], true[[2]], sessions, 0)
    for (definition in c("fitted", "absolute", "signed", "toward_zero", "squared")) {
      rows[[length(rows) + 1L]] <- check(case, definition, complete)
    }
    if (name == "far apart") {
      gaps <- alike(true[[1]], true[[2]], sessions, 0.2)
      for (definition in c("fitted", "signed")) {
        rows[[length(rows) + 1L]] <- check(paste0(case, ", gaps"), definition, gaps)
      }
    }
  }
}
print(do.call(rbind, rows), digits = 3, row.names = FALSE)
