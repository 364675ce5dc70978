design_of <- function(formula, data, ...) {
  spec <- parse_mixed_formula(formula)
  frame <- build_frame(spec, data, ...)
  check_frame(frame)
  design <- build_design(spec, frame)
  check_random(design)
  list(frame = frame, design = design)
}

# 120 rows, 30 patients in 10 therapists; `k` restarts in each therapist.
example_data <- function() {
  set.seed(2)
  data <- data.frame(
    y = rnorm(120), x = rnorm(120), w = rnorm(120), f = gl(3, 1, 120),
    text = sample(c("b", "a", "C"), 120, TRUE), yes = rep(c(TRUE, FALSE), 60),
    g = gl(10, 12), h = sprintf("p%02d", rep(sample(30), each = 4)),
    k = rep(rep(1:3, each = 4), 10)
  )
  data[sample(120), ]
}

# lme4's dense Z of one term, made from our codes, columns and labels.
dense_z <- function(made, block) {
  design <- made$design
  grouping <- design$groupings[[block$group]]
  order <- unit_order(made$frame, grouping$parts, grouping$first)
  rank <- order(order)[design$groups[[block$level]]]
  q <- length(block$columns)
  z <- matrix(0, length(rank), q * length(order))
  columns <- as_columns(design$Z, length(rank))
  for (j in seq_len(q)) {
    z[cbind(seq_along(rank), (rank - 1) * q + j)] <- columns[, block$columns[j]]
  }
  list(z = z, labels = unit_labels(made$frame, grouping$parts, grouping$first[order]))
}

expect_lme4_design <- function(formula, data) {
  made <- design_of(formula, data)
  ours <- made$design
  theirs <- suppressWarnings(lme4::lFormula(formula, data, control = lme4::lmerControl(
    check.nobs.vs.nRE = "ignore"
  )))
  expect_identical(ours$x_names, colnames(theirs$X))
  x <- as_columns(ours$X, nrow(theirs$X))
  expect_equal(x, theirs$X, tolerance = tol$algebra, ignore_attr = TRUE)
  expect_equal(ours$assign, attr(theirs$X, "assign"))
  expect_length(ours$blocks, length(theirs$reTrms$cnms))
  names <- vapply(theirs$reTrms$Ztlist, nrow, integer(1))
  for (block in ours$blocks) {
    dense <- dense_z(made, block)
    expect_identical(dense$labels, levels(theirs$reTrms$flist[[block$group]]))
    same <- vapply(theirs$reTrms$Ztlist, function(zt) {
      identical(dim(zt), rev(dim(dense$z))) &&
        max(abs(t(as.matrix(zt)) - dense$z)) < tol$algebra
    }, logical(1))
    expect_true(any(same))
  }
}

test_that("matrices, names and labels are lme4's", {
  skip_if_not_installed("lme4")
  data <- example_data()
  formulas <- list(
    y ~ x + (1 | g), y ~ x * w + (x | g), y ~ x * f + text + yes + (f | g),
    y ~ poly(x, 2) + splines::ns(w, 3) + (x || g), y ~ x + (f || g),
    log(y + 9) ~ I(x^2) + offset(w) + (1 | g / h), y ~ 0 + f + (0 + x | h),
    y ~ x:w - 1 + (x - 1 | h), y ~ x + (x | g) + (1 | h), y ~ x + (1 | g / k),
    y ~ x + (1 | k:g) + (0 + x | g), y ~ 1 + (poly(x, 2) | g), y ~ f:x + (1 | yes / g)
  )
  for (formula in formulas) {
    expect_lme4_design(formula, data)
  }
})

test_that("ids of any type and order get codes by first appearance", {
  ids <- c(30, 10, 10, -0, 20, 0, 30)
  codes <- c(1L, 2L, 2L, 3L, 4L, 3L, 1L)
  expect_identical(code_ids(ids, "id")$codes, codes)
  expect_identical(code_ids(as.integer(ids), "id")$first, c(1L, 2L, 4L, 5L))
  expect_identical(code_ids(factor(ids), "id")$codes, codes)
  expect_identical(code_ids(as.character(ids), "id")$codes, codes)
  expect_identical(code_ids(c(TRUE, FALSE, TRUE), "id")$codes, c(1L, 2L, 1L))
  latin <- "\xe9"
  Encoding(latin) <- "latin1"
  both <- code_ids(c(latin, "a", "\u00e9"), "id")
  expect_identical(both$codes, c(1L, 2L, 1L))
  expect_identical(both$first, 1:2)
  # Enough units to make the table grow, against base R.
  set.seed(3)
  many <- sample(40000, 1e5, TRUE)
  expect_identical(code_ids(many, "id")$codes, match(many, unique(many)))
  expect_identical(code_ids(many, "id")$first, which(!duplicated(many)))
})

test_that("levels are nested innermost first and equal partitions are one level", {
  data <- example_data()
  data$twin <- letters[data$g]
  made <- design_of(y ~ x + (1 | g) + (x | h) + (0 + x | twin), data)$design
  expect_identical(made$n_units, c(h = 30L, g = 10L))
  expect_identical(vapply(made$blocks, `[[`, 1L, "level"), c(1L, 2L, 2L))
  expect_identical(vapply(made$blocks, `[[`, "", "group"), c("h", "g", "twin"))
  expect_identical(made$z_names, c("(Intercept)", "x"))
  expect_identical(lapply(made$blocks, `[[`, "columns"), list(1:2, 1L, 2L))
})

test_that("crossed groupings are levels of their own, the largest first", {
  data <- example_data()
  made <- design_of(y ~ (1 | f) + (1 | g), data)$design
  expect_true(made$crossed)
  expect_named(made$n_units, c("g", "f"))
  expect_identical(vapply(made$blocks, `[[`, "", "group"), c("g", "f"))
  expect_false(design_of(y ~ (1 | g) + (1 | h), data)$design$crossed)
})

test_that("rows with missing values are left out, counted and named", {
  data <- example_data()
  rownames(data) <- paste0("r", seq_len(120))
  data$x[5] <- NA
  data$h[7] <- NA
  data$text[1] <- NA
  frame <- build_frame(parse_mixed_formula(y ~ x + (1 | h)), data)
  expect_identical(
    attr(frame, "na.action"), structure(c(r5 = 5L, r7 = 7L), class = "omit")
  )
  expect_identical(rownames(frame), paste0("r", setdiff(1:120, c(5, 7))))
  expect_identical(frame$x, data$x[-c(5, 7)])
  frame <- build_frame(
    parse_mixed_formula(y ~ x + (1 | h)), data, na_action = stats::na.exclude
  )
  expect_s3_class(attr(frame, "na.action"), "exclude")
  expect_error(
    build_frame(parse_mixed_formula(y ~ x + (1 | h)), data, na_action = "na.fail"),
    "2 rows", class = "samepage_error_missing_values"
  )
  expect_error(
    build_frame(parse_mixed_formula(y ~ x + (1 | h)), data, na_action = mean),
    class = "samepage_error_argument"
  )
})

test_that("subset and weights go with the rows", {
  data <- example_data()
  weights <- runif(120)
  frame <- build_frame(
    parse_mixed_formula(y ~ f + (1 | h)), data,
    subset = data$f != "2", weights = weights
  )
  expect_identical(frame[["(weights)"]], weights[data$f != "2"])
  expect_identical(levels(frame$f), c("1", "3"))
  expect_error(
    build_frame(parse_mixed_formula(y ~ (1 | h)), data, subset = "a"),
    class = "samepage_error_subset"
  )
})

test_that("each kind of unusable data is refused by name", {
  data <- example_data()
  refused <- function(formula, class, part, ..., changed = data) {
    expect_error(
      design_of(formula, changed, ...), part,
      class = paste0("samepage_error_", class), fixed = TRUE
    )
  }
  refused(y ~ wrong + (1 | g), "missing_column", "`wrong`")
  names(data)[names(data) == "x"] <- "session"
  refused(y ~ sesion + (1 | g), "missing_column", "Did you mean `session`?")
  # A function of that name exists; it is not the column.
  refused(y ~ log(time) + (1 | g), "missing_column", "`time` (in `log(time)`)")
  refused(y ~ log(text) + (1 | g), "variable", "log(text)")
  refused(y ~ list(1) + (1 | g), "variable", "class list")
  refused(y ~ (1 | rnorm(3)), "variable", "Found 3")
  refused(text ~ 1 + (1 | g), "response", "class character")
  refused(yes ~ 1 + (1 | g), "response", "as.numeric()")
  refused(cbind(y, w) ~ 1 + (1 | g), "response", "class matrix")
  refused(I(0 * w) ~ 1 + (1 | g), "constant_response", "value 0 in all 120 rows")
  refused(y ~ I(1 / (w > 0)) + (1 | g), "infinite", "`I(1/(w > 0))`")
  refused(y ~ (1 | cbind(g, k)), "grouping", "`cbind(g, k)`")
  refused(y ~ (1 | I(0 * k)), "few_units", "`I(0 * k)`")
  refused(y ~ (w * session | yes), "few_units", "2 units and 4 random effects")
  refused(y ~ (w | g) + (0 + w | g), "not_identifiable", "`w` twice")
  refused(y ~ (0 | g), "formula", "(0 | g)")
  refused(y ~ f + (1 | g), "one_level", "only \"1\"", changed = data[data$f == "1", ])
  refused(y ~ w + (1 | g), "weights", "2 rows (1, 3)", weights = c(-1, 1, 0, rep(1, 117)))
  refused(y ~ w + (1 | g), "weights", "Found 2", weights = 1:2)
  refused(y ~ w + (1 | g), "empty", "no rows left", subset = rep(FALSE, 120))
  data$w <- NA_real_
  refused(y ~ w + (1 | g), "empty", "All 120 rows")
})

test_that("units with too few rows are refused only when parameters are the same thing", {
  data <- data.frame(y = sin(1:60), id = 1:60, pair = rep(1:30, 2), x = rep(0:1, each = 30))
  data$irregular <- cos(1:60)
  expect_error(
    design_of(y ~ (1 | id), data), "60 units of `id` has one row",
    class = "samepage_error_not_identifiable"
  )
  expect_error(
    design_of(y ~ (x | pair), data), "more than 2 rows, with 2 random effects",
    class = "samepage_error_not_identifiable"
  )
  # One row per unit, but the variance grows with irregular^2; two rows at times
  # that differ between units; known weights.
  expect_no_error(design_of(y ~ (0 + irregular | id), data))
  expect_no_error(design_of(y ~ (irregular | pair), data))
  expect_no_error(design_of(y ~ (x || pair), data))
  expect_no_error(design_of(y ~ (1 | id), data, weights = 1:60))
})

test_that("columns whose names need backquotes are found, fixed and random", {
  data <- nlme::Orthodont
  data[["the age"]] <- data$age
  odd <- lmm(distance ~ `the age` + (`the age` | Subject), data)
  plain <- lmm(distance ~ age + (age | Subject), data)
  expect_identical(component(odd, "beta")[["`the age`"]], component(plain, "beta")[["age"]])
})

test_that("columns, names and coding of the fixed part are model.matrix's", {
  data <- example_data()
  data$o <- factor(data$f, ordered = TRUE)
  data$two <- factor(data$yes)
  data$`odd f` <- data$f
  data$summed <- data$f
  contrasts(data$summed) <- stats::contr.sum(3L)
  formulas <- list(
    y ~ 1, y ~ x * w, y ~ f, y ~ 0 + f, y ~ f - 1 + two, y ~ f * two * x, y ~ f:two, y ~ x:f,
    y ~ 0 + f:two, y ~ two + f:two, y ~ `odd f` * x, y ~ o, y ~ yes, y ~ text * f, y ~ summed * x,
    y ~ factor(k) * poly(x, 2), y ~ I(x^2) * f, y ~ f + offset(x), y ~ log(abs(x)):f:two
  )
  for (formula in formulas) {
    codings <- list(NULL)
    if ("f" %in% all.vars(formula)) {
      codings <- list(NULL, list(f = "contr.sum"), list(f = "contr.treatment"))
    }
    for (coding in codings) {
      frame <- stats::model.frame(formula, data)
      terms <- attr(frame, "terms")
      expected <- stats::model.matrix(terms, frame, contrasts.arg = coding)
      made <- design_columns(terms, frame, coding)
      expect_identical(
        as.vector(as_columns(made$columns, nrow(data))), as.vector(expected),
        label = deparse(formula)
      )
      expect_identical(made$names, colnames(expected), label = deparse(formula))
      expect_identical(made$assign, attr(expected, "assign"), label = deparse(formula))
      expect_identical(made$contrasts, attr(expected, "contrasts"), label = deparse(formula))
    }
  }
})

test_that("products of large integers are numbers", {
  data <- example_data()
  data$million <- 1000000L + seq_len(120L)
  design <- design_of(y ~ million * I(2L * million) + (1 | g), data)$design
  expect_identical(design$X[[4L]], design$X[[2L]] * design$X[[3L]])
})

test_that("thousands of fixed effects are announced, and refused beyond what can be computed", {
  frame_with <- function(n, formula) {
    data <- data.frame(
      y = seq_len(n), x = seq_len(n) %% 7, id = as.character(seq_len(n) %/% 2), g = gl(2, 1, n),
      day = as.Date("2020-01-01") + seq_len(n)
    )
    build_frame(parse_mixed_formula(formula), data)
  }
  check <- function(n, formula) {
    frame <- frame_with(n, formula)
    check_fixed_size(attr(frame, "terms"), frame)
  }
  # 0 to 1000: an intercept is not counted, nor is the first level.
  expect_silent(check(2001, y ~ id + (1 | g)))
  expect_silent(check(3000, y ~ x * day + (1 | id)))
  expect_message(
    check(2001, y ~ x + id + (1 | g)),
    "Found 1,001 columns, 1,000 of them for the 1,001 levels of `id`",
    class = "samepage_message_many_columns"
  )
  expect_message(
    build_design(parse_mixed_formula(y ~ id + (1 | g)), frame_with(2003, y ~ id + (1 | g))),
    class = "samepage_message_many_columns"
  )
  expect_message(check(2001, y ~ x * id + (1 | g)), "2,001 columns, 2,000 of them")
  expect_message(check(1002, y ~ 0 + g:id + (1 | x)), "1,004 columns, 1,004 of them")
  expect_error(
    check(40001, y ~ x + id + (1 | g)), "(1 | id)", fixed = TRUE,
    class = "samepage_error_many_columns"
  )
  expect_silent(check(2001, y ~ x + (1 | id)))
})
