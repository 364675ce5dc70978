# Expected answers written by hand from lme4's documentation of its notation.

parts_of <- function(formula) {
  terms <- parse_mixed_formula(formula)$terms
  vapply(terms, function(term) {
    group <- paste(vapply(term$group, code_of, character(1)), collapse = ",")
    paste0(code_of(term$lhs), " | ", term$name, " [", group, "]")
  }, character(1))
}

fixed_of <- function(formula) {
  code_of(parse_mixed_formula(formula)$fixed)
}

test_that("random-effects terms are taken out and the rest stays as written", {
  expect_identical(fixed_of(y ~ x + (x | g)), "y ~ x")
  expect_identical(fixed_of(y ~ (1 | g)), "y ~ 1")
  expect_identical(fixed_of(y ~ (1 | g) + x * z), "y ~ x * z")
  expect_identical(fixed_of(y ~ 0 + (1 | g)), "y ~ 0")
  expect_identical(fixed_of(y ~ x - 1 + (1 | g)), "y ~ x - 1")
  expect_identical(fixed_of(y ~ x + (1 | g) - 1), "y ~ x - 1")
  expect_identical(fixed_of(log(y) ~ I(a | b) + (1 | g)), "log(y) ~ I(a | b)")
})

test_that("each notation gives lme4's terms and names", {
  expect_identical(parts_of(y ~ (1 | g)), "1 | g [g]")
  expect_identical(parts_of(y ~ (0 + x | g)), "0 + x | g [g]")
  expect_identical(parts_of(y ~ (x || g)), c("1 | g [g]", "0 + x | g [g]"))
  expect_identical(parts_of(y ~ (0 + x || g)), "0 + x | g [g]")
  expect_identical(
    parts_of(y ~ (a * b || g)),
    c("1 | g [g]", "0 + a | g [g]", "0 + b | g [g]", "0 + a:b | g [g]")
  )
  expect_identical(parts_of(y ~ (x | h / g)), c("x | g:h [g,h]", "x | h [h]"))
  expect_identical(
    parts_of(y ~ (1 | a / b / c)), c("1 | c:(b:a) [c,b,a]", "1 | b:a [b,a]", "1 | a [a]")
  )
  expect_identical(parts_of(y ~ (1 | a:b)), "1 | a:b [a,b]")
  expect_identical(parts_of(y ~ (1 | g) + (x | h)), c("1 | g [g]", "x | h [h]"))
  expect_identical(parts_of(y ~ (1 | factor(g))), "1 | factor(g) [factor(g)]")
})

test_that("a string that holds a formula is read like the formula", {
  expect_identical(fixed_of("y ~ x + (1 | g)"), "y ~ x")
})

test_that("what cannot be read is named", {
  refused <- function(formula, part) {
    expect_error(parse_mixed_formula(formula), part, class = "samepage_error_formula", fixed = TRUE)
  }
  refused(y ~ x, "y ~ x")
  refused(~ x + (1 | g), "~x + (1 | g)")
  refused(y ~ x | g, "x | g")
  refused(y ~ x * (1 | g), "x * (1 | g)")
  refused(y ~ x - (1 | g), "x - (1 | g)")
  refused(y ~ (1 | g | h), "(1 | g | h)")
  refused(y ~ (1 | a + b), "a + b")
  refused(y ~ (1 | 1), "(1 | 1)")
  refused(a | b ~ (1 | g), "a | b")
  refused(y ~ . + (1 | g), "`.`")
  refused(3, "class numeric")
  refused("y ~ ((", "y ~ ((")
})
