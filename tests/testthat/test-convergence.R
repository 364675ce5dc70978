test_that("scores equal lm() per dyad on simulated dyads with gaps", {
  for (seed in 1:3) {
    data <- simulate_raters(seed)
    for (definition in definitions_all) {
      for (early in c("first", "intercept")) {
        scores <- suppressMessages(convergence(
          p + q ~ t | dyad, data, definition,
          early = early, early_discrepancy = "signed"
        ))
        expected <- oracle_scores(data, "dyad", "t", "p", "q", definition, early)
        expect_equal(as_oracle(scores), expected, tolerance = tol$algebra)
      }
    }
  }
})

test_that("scores equal lm() per couple on the couples data", {
  couples <- utils::read.csv(shared_path("data", "couples", "daily.csv"))
  for (mood in c("anxiety", "sadness", "vigor", "contentment")) {
    man <- paste0("man_", mood)
    woman <- paste0("woman_", mood)
    formula <- stats::as.formula(paste(man, "+", woman, "~ day | couple"))
    for (definition in definitions_all) {
      scores <- suppressMessages(convergence(
        formula, couples, definition, early_discrepancy = "signed"
      ))
      expected <- oracle_scores(couples, "couple", "day", man, woman, definition)
      expect_equal(as_oracle(scores), expected, tolerance = tol$algebra)
    }
  }
})
