# Tests of fixed effects against lmerTest (Satterthwaite) and pbkrtest (Kenward-Roger) fits
# of the same data, side by side. bench/inference.R prints the same differences.

expect_as_peers <- function(cases) {
  for (name in names(cases)) {
    apart <- inference_differences(cases[[name]])
    expect_lt(apart[["criterion"]], 1e-6, label = name)
    # Both stop near the optimum: what is left is lme4's distance from it.
    expect_lt(
      max(apart[-1], na.rm = TRUE), 2e-5,
      label = paste(name, names(which.max(apart[-1])))
    )
  }
}

# All cases in the slow level, some otherwise.
slow_or <- function(cases, chosen) {
  if (identical(Sys.getenv("SAMEPAGE_SLOW"), "true")) cases else cases[chosen]
}

test_that("Satterthwaite and Kenward-Roger are lmerTest's and pbkrtest's on many data sets", {
  skip_if_not_installed("lmerTest")
  skip_if_not_installed("pbkrtest")
  expect_as_peers(slow_or(inference_cases(), c(
    "sleepstudy ||", "sleepstudy weighted", "Orthodont uneven", "Machines uneven",
    "Machines by worker", "Dyestuff", "Pastes", "Penicillin uneven", "ergoStool"
  )))
})

test_that("Satterthwaite and Kenward-Roger are lmerTest's and pbkrtest's on the couples", {
  skip_if_not_installed("lmerTest")
  skip_if_not_installed("pbkrtest")
  expect_as_peers(slow_or(couples_cases(shared_path("data", "couples", "daily.csv")), 1))
})

test_that("tests of terms are lmerTest's in unbalanced models of many forms", {
  skip_if_not_installed("lmerTest")
  skip_if_not_installed("pbkrtest")
  expect_as_peers(slow_or(term_cases(), c("a * b * t", "(a + b + c)^2")))
})

test_that("on a boundary too, with the df of the model without the zero variance", {
  skip_if_not_installed("lmerTest")
  skip_if_not_installed("pbkrtest")
  cases <- boundary_cases()
  expect_as_peers(cases)
  for (case in cases) {
    expect_identical(fit_status(lmm(case$formula, case$data))$status, "boundary")
  }
  df <- function(formula) {
    unname(summary(lmm(formula, cases[[1]]$data))$coefficients[, "df"])
  }
  expect_equal(
    df(y ~ x + t + (1 | g) + (1 | h)), df(y ~ x + t + (1 | g)),
    tolerance = tol$estimate
  )
})

test_that("near a corner of the boundary the face keeps what is left of the gradient", {
  skip_if_not_installed("lmerTest")
  skip_if_not_installed("pbkrtest")
  # A correlation of -1 beside an intercept of almost no variance: the information along the
  # face is so small that a gradient of 1e-5 changes the df by 2 %.
  expect_as_peers(list(corner = random_case(149)))
})

test_that("the published df of crossed groupings are met", {
  skip_if_not_installed("lme4")
  data(Penicillin, package = "lme4", envir = environment())
  df <- function(...) {
    summary(lmm(diameter ~ 1 + (1 | plate) + (1 | sample), Penicillin, ...))$coefficients[, "df"]
  }
  # From lme4 fits that stopped a little early.
  expect_equal(df(), 5.4865922641, tolerance = tol$se, ignore_attr = TRUE)
  expect_equal(df(df = "kenward-roger"), 5.487061859944688,
    tolerance = tol$estimate, ignore_attr = TRUE
  )
})

test_that("a term before a product without its partner is tested as in the full product", {
  # In a + a:b, the test of a averages over the levels of b, as in a * b. lmerTest's
  # differs there.
  data <- as.data.frame(nlme::Orthodont)
  data$clinic <- factor(c("a", "b", "c")[1 + as.integer(data$Subject) %% 3])
  short <- lmm(distance ~ clinic + clinic:Sex + (1 | Subject), data = data)
  full <- lmm(distance ~ clinic * Sex + (1 | Subject), data = data)
  expect_equal(
    as.matrix(anova(short)["clinic", ]), as.matrix(anova(full)["clinic", ]),
    tolerance = tol$criterion
  )
  expect_equal(
    as.matrix(anova(short, type = 2)["clinic", ]), as.matrix(anova(short, type = 1)["clinic", ]),
    tolerance = tol$criterion
  )
})

test_that("anova has the fixed part that numbers alone make", {
  fit <- lmm(distance ~ I(age - 11) + (1 | Subject), data = nlme::Orthodont)
  t <- summary(fit)$coefficients["I(age - 11)", ]
  for (type in 1:3) {
    table <- anova(fit, type = type)
    expect_equal(table[["F value"]], t[["t value"]]^2)
    expect_equal(table$DenDF, t[["df"]])
  }
})

# --- random effects and profiles --------------------------------------------------

test_that("predicted random effects and their conditional variances are lme4's, in its shapes", {
  skip_if_not_installed("lme4")
  cases <- inference_cases()
  chosen <- c(
    "sleepstudy", "sleepstudy ||", "Pastes", "Penicillin uneven", "Machines by worker"
  )
  for (case in cases[chosen]) {
    ours <- ranef(lmm(case$formula, case$data))
    theirs <- lme4::ranef(tight_lmer(case$formula, case$data, fitter = lme4::lmer))
    rows <- as.data.frame(ours)
    peers <- as.data.frame(theirs)
    expect_identical(names(rows), names(peers))
    expect_identical(
      paste(rows$grpvar, rows$term, rows$grp), paste(peers$grpvar, peers$term, peers$grp)
    )
    expect_equal(rows$condval, peers$condval, tolerance = tol$estimate)
    expect_equal(rows$condsd, peers$condsd, tolerance = tol$estimate)
    for (group in names(theirs)) {
      expect_equal(
        attr(ours[[group]], "postVar"), attr(theirs[[group]], "postVar"),
        tolerance = tol$estimate, ignore_attr = TRUE
      )
    }
  }
})

test_that("profile intervals of nested and crossed groupings are lme4's", {
  skip_if_not_installed("lme4")
  cases <- inference_cases()
  for (name in c("Dyestuff", "Pastes", "Penicillin")) {
    case <- cases[[name]]
    ours <- confint(lmm(case$formula, case$data), method = "profile")
    peer <- tight_lmer(case$formula, case$data, fitter = lme4::lmer)
    theirs <- suppressWarnings(suppressMessages(
      stats::confint(peer, method = "profile", oldNames = FALSE)
    ))
    expect_identical(dimnames(ours), dimnames(theirs))
    # lme4 interpolates between points of the profile.
    expect_lt(max(abs(ours - theirs) / (ours[, 2] - ours[, 1])), 5e-4)
  }
})

test_that("intervals of uncorrelated effects have lme4's names", {
  skip_if_not_installed("lme4")
  data(sleepstudy, package = "lme4", envir = environment())
  fit <- lmm(Reaction ~ Days + (Days || Subject), data = sleepstudy)
  expect_identical(
    rownames(confint(fit, "theta_")), c("sd_(Intercept)|Subject", "sd_Days|Subject", "sigma")
  )
})

# --- parameters that the data leave open --------------------------------------------

test_that("what the data leave open changes no test of fixed effects and has no error", {
  # A slope on a constant is a second intercept: only the sum of the variances is known.
  set.seed(1)
  data <- data.frame(g = rep(1:10, each = 4), one = 1, z = stats::rnorm(40))
  data$y <- stats::rnorm(10)[data$g] + stats::rnorm(40)
  for (df in c("satterthwaite", "kenward-roger")) {
    plain <- lmm(y ~ z + (1 | g), data, df = df)
    double <- lmm(y ~ z + (one || g), data, df = df)
    expect_equal(
      summary(double)$coefficients, summary(plain)$coefficients,
      tolerance = tol$estimate
    )
    expect_equal(anova(double)$DenDF, anova(plain)$DenDF, tolerance = tol$estimate)
  }
  expect_match(format(fit_status(double)), "do not determine all covariance parameters")
  expect_true(all(is.na(confint(double, 1:2))))
  expect_true(all(is.na(icc(double)$vpc_se)))
  expect_equal(test_random(double)$statistic, c(0, 0))
  expect_identical(test_random(double)$p.value, c(1, 1))
  # Together they are one random intercept, tested with the information that is there.
  both <- test_random(lmm(y ~ z + (one | g), data), reduce = FALSE)
  expect_equal(both$statistic, test_random(plain)$statistic, tolerance = tol$estimate)
  expect_match(both$mixture, "at most")
  # One of them holds the variance, and has no correlation with an effect that has none.
  intervals <- confint(lmm(y ~ z + (one | g), data), "theta_", method = "profile")
  expect_false(anyNA(intervals[c("sd_(Intercept)|g", "sd_one|g", "sigma"), ]))
  # With a correlation of minus one, two effects of any size cancel.
  expect_equal(unname(intervals[c(1L, 3L), ]), cbind(c(0, 0), c(Inf, Inf)))
})
