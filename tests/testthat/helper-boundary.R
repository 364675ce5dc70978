# Data with an optimum on a boundary: each dyad's slope is half its intercept's
# deviation, so the best correlation is one.
perfect_correlation_data <- function() {
  set.seed(20)
  dyad <- rep(seq_len(20), each = 5)
  session <- rep(0:4, 20)
  level <- stats::rnorm(20, sd = 2)[dyad]
  data.frame(
    dyad, session, y = 10 + level + (0.5 + 0.5 * level) * session + stats::rnorm(100)
  )
}
