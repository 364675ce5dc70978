# Peers run side by side: lme4 and lmerTest, made to go on to the optimum (their
# defaults stop too early to serve as a reference).

tight_control <- function(...) {
  lme4::lmerControl(
    optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e6),
    check.conv.singular = "ignore", check.conv.grad = "ignore", check.conv.hess = "ignore", ...
  )
}

# Formula and data stand in the call by value, so that lmerTest can evaluate it
# again from anywhere.
tight_lmer <- function(formula, data, ..., fitter = lmerTest::lmer) {
  suppressMessages(suppressWarnings(
    do.call(fitter, list(formula, data = data, control = tight_control(), ...))
  ))
}

# A fit of lmm() against lmerTest's of the same model: criterion not above,
# estimates, standard errors and Satterthwaite df.
expect_as_lmer <- function(fit, peer, df_tolerance = tol$varcomp) {
  criterion <- as.numeric(-2 * stats::logLik(peer))
  expect_lt(objective(fit) - criterion, 1e-6)
  ours <- summary(fit)$coefficients
  theirs <- suppressMessages(stats::coef(summary(peer)))[rownames(ours), , drop = FALSE]
  size <- pmax(abs(theirs[, "Estimate"]), theirs[, "Std. Error"])
  expect_lt(max(abs(ours[, "Estimate"] - theirs[, "Estimate"]) / size), tol$estimate)
  expect_lt(max(abs(ours[, "Std. Error"] - theirs[, "Std. Error"]) / size), tol$se)
  if ("df" %in% colnames(theirs)) {
    expect_lt(max(abs(ours[, "df"] / theirs[, "df"] - 1)), df_tolerance)
  }
}

# Data sets on which tests of fixed and random effects are compared with lmerTest's and
# pbkrtest's: balanced and not, one and two levels, factors, products, ordered ids.
inference_cases <- function() {
  data(
    list = c("sleepstudy", "Pastes", "cake", "Dyestuff", "Penicillin"), package = "lme4",
    envir = environment()
  )
  plain <- function(data) {
    data <- as.data.frame(data)
    ids <- vapply(data, is.ordered, logical(1))
    data[ids] <- lapply(data[ids], function(id) factor(as.character(id)))
    data
  }
  sleepstudy$w <- 1 + seq_len(180) %% 4
  growth <- plain(nlme::Orthodont)
  growth$clinic <- factor(c("a", "b", "c", "a", "a")[1 + as.integer(growth$Subject) %% 5])
  machines <- plain(nlme::Machines)
  case <- function(formula, data, ...) list(formula = formula, data = data, more = list(...))
  list(
    sleepstudy = case(Reaction ~ Days + (Days | Subject), sleepstudy),
    `sleepstudy ||` = case(Reaction ~ Days + (Days || Subject), sleepstudy),
    `sleepstudy some cov` = case(
      Reaction ~ Days + I(Days^2) + (1 | Subject) + (0 + Days + I(Days^2) | Subject), sleepstudy
    ),
    `sleepstudy weighted` = case(
      Reaction ~ Days + (Days | Subject), sleepstudy,
      weights = sleepstudy$w
    ),
    Orthodont = case(distance ~ Sex * age + (age | Subject), growth),
    `Orthodont uneven` = case(
      distance ~ clinic * Sex + Sex * age + (age | Subject), growth[-c(3, 10, 50), ]
    ),
    Oxboys = case(height ~ age + I(age^2) + (age | Subject), plain(nlme::Oxboys)),
    BodyWeight = case(weight ~ Diet * Time + (Time | Rat), plain(nlme::BodyWeight)),
    Machines = case(score ~ Machine + (1 | Worker / Machine), machines),
    `Machines uneven` = case(
      score ~ Machine + (1 | Worker / Machine), machines[-c(1, 5, 6, 20, 44), ]
    ),
    `Machines by worker` = case(
      score ~ Machine + (Machine | Worker), machines[-c(1, 5, 6, 20, 44), ]
    ),
    cake = case(angle ~ recipe * temperature + (1 | recipe:replicate), cake),
    `cake uneven` = case(
      angle ~ recipe * temp + (1 | recipe:replicate), cake[-c(1:7, 100, 101), ]
    ),
    Dyestuff = case(Yield ~ 1 + (1 | Batch), Dyestuff),
    Pastes = case(strength ~ 1 + (1 | batch / cask), Pastes),
    Penicillin = case(diameter ~ 1 + (1 | plate) + (1 | sample), Penicillin),
    `Penicillin uneven` = case(
      diameter ~ I(plate %in% c("a", "f", "k", "x")) + (1 | plate) + (1 | sample),
      Penicillin[-c(1:9, 80), ]
    ),
    ergoStool = case(effort ~ Type + (1 | Subject), plain(nlme::ergoStool))
  )
}

# Unbalanced data and fixed parts of many forms: factors with products of each other and of
# numbers, without an intercept, nested, with matrices of columns.
term_cases <- function() {
  set.seed(5)
  data <- data.frame(g = factor(rep(1:40, each = 6)), t = rep(0:5, 40))[-sample(240, 30), ]
  unit <- as.integer(data$g)
  n <- nrow(data)
  data$a <- factor(c("x", "y", "z")[1 + (unit * 7) %% 3])
  data$b <- factor(c("p", "q")[1 + (unit %% 5 > 2)])
  data$c <- factor(sample(letters[1:4], n, TRUE))
  data$v <- stats::rnorm(n)
  data$w <- stats::rnorm(n)
  data$y <- stats::rnorm(40)[unit] + 0.3 * stats::rnorm(40)[unit] * data$t + 0.3 * unit %% 3 +
    0.2 * data$v + stats::rnorm(n)
  forms <- c(
    "a * b * t", "a * v * t", "c * a + v", "a / t", "a:b + t", "v * w * c", "I(t^2) + t * b",
    "log(t + 1) * c", "(a + b + c)^2", "poly(t, 2) + c", "0 + a + t", "0 + c"
  )
  sapply(forms, simplify = FALSE, function(form) {
    list(formula = stats::as.formula(paste("y ~", form, "+ (t | g)")), data = data)
  })
}

# Optima on a boundary: a variance of zero, beside others and alone, a correlation of one.
boundary_cases <- function() {
  set.seed(3)
  flat <- data.frame(
    g = rep(1:12, each = 6), h = rep(1:4, each = 18), t = rep(0:5, 12), x = stats::rnorm(72)
  )
  flat$y <- stats::rnorm(12)[flat$g] + stats::rnorm(72)
  steep <- perfect_correlation_data()
  steep$x <- stats::rnorm(100)
  case <- function(formula, data) list(formula = formula, data = data)
  list(
    `zero above` = case(y ~ x + t + (1 | g) + (1 | h), flat),
    `zero slope` = case(y ~ x + t + (t || g), flat),
    `no slope` = case(y ~ x + t + (t | g), flat),
    `correlation of one` = case(y ~ session + x + (session | dyad), steep)
  )
}

# Random designs of two and three levels, boundaries as they come.
random_case <- function(seed) {
  set.seed(seed)
  m <- sample(8:30, 1)
  unit <- rep(seq_len(m), sample(2:7, m, TRUE))
  n <- length(unit)
  data <- data.frame(
    unit, outer = (unit - 1) %/% sample(2:4, 1), t = stats::ave(unit, unit, FUN = seq_along),
    x = stats::rnorm(n), a = factor(sample(letters[1:3], m, TRUE, c(3, 2, 1))[unit])
  )
  sd <- sample(c(0, 0.3, 1, 3), 3, TRUE)
  data$y <- stats::rnorm(n) + sd[1] * stats::rnorm(m)[unit] +
    sd[2] * stats::rnorm(m)[unit] * data$t + sd[3] * stats::rnorm(m)[data$outer + 1]
  right <- sample(c(
    "(1 | unit)", "(t | unit)", "(t || unit)", "(1 | unit) + (1 | outer)",
    "(t | unit) + (1 | outer)"
  ), 1)
  fixed <- sample(c("x", "a + t", "a * t + x", "x * t"), 1)
  list(formula = stats::as.formula(paste("y ~", fixed, "+", right)), data = data)
}

couples_cases <- function(path) {
  couples <- utils::read.csv(path)
  couples$difference <- abs(couples$man_contentment - couples$woman_contentment)
  list(
    `couples anxiety` = list(
      formula = woman_anxiety ~ day * difference + (day | couple), data = couples
    ),
    `couples vigor` = list(
      formula = man_vigor ~ day * difference + man_anxiety + (day + difference | couple),
      data = couples
    )
  )
}

# The largest relative differences from lmerTest and pbkrtest in one case.
inference_differences <- function(case) {
  fit_ours <- function(...) {
    suppressMessages(do.call(lmm, c(list(case$formula, case$data), case$more, list(...))))
  }
  fit <- fit_ours()
  # pbkrtest takes all residual variances as equal: no peer with weights.
  adjust <- is.null(case$more$weights)
  small <- if (adjust) fit_ours(df = "kenward-roger")
  peer <- do.call(tight_lmer, c(list(case$formula, case$data), case$more))
  apart <- function(ours, theirs) max(abs(ours / theirs - 1), 0)
  of_terms <- function(fit, df, type) {
    if (length(fixef(fit)) == 1L) {
      return(c(F = 0, DenDF = 0))
    }
    ours <- stats::anova(fit, type = type)
    theirs <- suppressMessages(stats::anova(peer, type = type, ddf = df))[row.names(ours), ]
    c(
      F = apart(ours[["F value"]], theirs[["F value"]]), DenDF = apart(ours$DenDF, theirs$DenDF)
    )
  }
  table <- summary(fit)$coefficients
  theirs <- suppressMessages(stats::coef(summary(peer)))[rownames(table), , drop = FALSE]
  apart_plain <- c(
    criterion = objective(fit) - as.numeric(-2 * stats::logLik(peer)),
    estimate = max(abs(table[, 1] - theirs[, 1]) / pmax(abs(theirs[, 1]), theirs[, 2])),
    se = apart(table[, 2], theirs[, 2]), df = apart(table[, 3], theirs[, 3]),
    I = of_terms(fit, "Satterthwaite", "I"), II = of_terms(fit, "Satterthwaite", "II"),
    III = of_terms(fit, "Satterthwaite", "III")
  )
  if (!adjust) {
    return(c(
      apart_plain,
      kr.se = NA, kr.df = NA, kr.II.F = NA, kr.II.DenDF = NA, kr.III.F = NA, kr.III.DenDF = NA
    ))
  }
  adjusted <- summary(small)$coefficients
  theirs <- suppressMessages(
    stats::coef(summary(peer, ddf = "Kenward-Roger"))
  )[rownames(table), , drop = FALSE]
  c(
    apart_plain,
    kr.se = apart(adjusted[, 2], theirs[, 2]), kr.df = apart(adjusted[, 3], theirs[, 3]),
    kr.II = of_terms(small, "Kenward-Roger", "II"),
    kr.III = of_terms(small, "Kenward-Roger", "III")
  )
}
