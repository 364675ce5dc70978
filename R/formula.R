# Mixed-model formulas, read by hand: y ~ x + (x | g) is split into the response,
# the fixed part and the random-effects terms, and every message names the part it
# is about.

#' Split a mixed-model formula into its parts
#'
#' @param formula A two-sided formula with at least one random-effects term in
#'   parentheses, in lme4's notation, or one string that holds such a formula.
#' @returns A list: `formula` (as given), `response` (an expression), `fixed` (the
#'   formula without its random-effects terms), `terms`: one element per
#'   random-effects term with `lhs` (the expression before the bar), `group` (list
#'   of expressions, innermost first: `h:g` is `list(h, g)`), `name` (of the
#'   grouping, as lme4 writes it).
#' @noRd
parse_mixed_formula <- function(formula) {
  formula <- check_formula(formula)
  parts <- split_sum(formula[[3L]])
  if (length(parts$bars) == 0L) {
    stop_samepage("formula", c(
      "The formula must have a random-effects term in parentheses with a bar, such as (1 | dyad).",
      x = paste0("Found: ", code_of(formula), "."),
      i = "Without random effects, use lm()."
    ))
  }
  fixed <- formula
  fixed[[3L]] <- if (is.null(parts$fixed)) 1 else parts$fixed
  terms <- unlist(lapply(parts$bars, expand_bar), recursive = FALSE)
  list(formula = formula, response = formula[[2L]], fixed = fixed, terms = terms)
}

check_formula <- function(formula) {
  if (is.character(formula) && length(formula) == 1L) {
    formula <- formula_from_text(formula, parent.frame(3L))
  }
  if (!inherits(formula, "formula")) {
    stop_samepage("formula", c(
      "`formula` must be a formula such as y ~ x + (x | dyad).",
      x = paste0("Found an object of class ", class(formula)[1L], "."),
      i = "The formula comes first, then `data`."
    ))
  }
  if (length(formula) != 3L) {
    stop_samepage("formula", c(
      "The formula must have an outcome on the left of `~`.",
      x = paste0("Found: ", code_of(formula), ".")
    ))
  }
  if (has_bar(formula[[2L]])) {
    stop_samepage("formula", c(
      "The left of `~` must be the outcome alone.",
      x = paste0("Found a bar in it: ", code_of(formula[[2L]]), ".")
    ))
  }
  if ("." %in% all.vars(formula)) {
    stop_samepage("formula", c(
      "The formula must name its columns.",
      x = paste0("Found `.` in ", code_of(formula), "."),
      i = "With `.`, the grouping column would become a predictor as well."
    ))
  }
  formula
}

formula_from_text <- function(text, env) {
  parsed <- tryCatch(
    stats::as.formula(text, env = env),
    error = function(condition) {
      stop_samepage("formula", c(
        "`formula` must be a formula such as y ~ x + (x | dyad).",
        x = paste0("Cannot be read: ", text),
        i = paste0("R says: ", conditionMessage(condition))
      ))
    }
  )
  parsed
}

# An expression as the user would type it, on one line.
code_of <- function(expr) {
  if (is.name(expr)) {
    return(as.character(expr))
  }
  code <- deparse(expr, width.cutoff = 500L)
  if (length(code) == 1L) code else paste(trimws(code), collapse = " ")
}

# The operator or function an expression calls, "" for anything else.
head_of <- function(expr) {
  if (is.call(expr) && is.name(expr[[1L]])) as.character(expr[[1L]]) else ""
}

# Bars count only where a formula operator leads to them: I(a | b) is a logical
# column, not a random-effects term. Most parts hold none at all, which is known at once.
has_bar <- function(expr) {
  if (!is.call(expr) || !any(match(c("|", "||"), all.names(expr), 0L))) {
    return(FALSE)
  }
  switch(head_of(expr),
    "|" = ,
    "||" = TRUE,
    "(" = has_bar(expr[[2L]]),
    "+" = ,
    "-" = ,
    "*" = ,
    "/" = ,
    ":" = ,
    "^" = ,
    # Terms with bars mostly stand last.
    "%in%" = (length(expr) == 3L && has_bar(expr[[3L]])) || has_bar(expr[[2L]]),
    FALSE
  )
}

strip_parentheses <- function(expr) {
  while (head_of(expr) == "(") {
    expr <- expr[[2L]]
  }
  expr
}

# The right-hand side is a sum: terms with a bar are taken out, the rest stays as
# it was written.
split_sum <- function(expr, enclosed = FALSE) {
  head <- head_of(expr)
  if (head == "|" || head == "||") {
    if (!enclosed) {
      stop_samepage("formula", c(
        "A random-effects term must stand in parentheses.",
        x = paste0("Found: ", code_of(expr), "."),
        i = "Write for example y ~ x + (x | dyad)."
      ))
    }
    return(list(fixed = NULL, bars = list(expr)))
  }
  parts <- if (head == "(") {
    split_parentheses(expr)
  } else if (head == "+") {
    split_plus(expr)
  } else if (head == "-" && length(expr) == 3L && !has_bar(expr[[3L]])) {
    split_minus(expr)
  } else if (has_bar(expr)) {
    stop_samepage("formula", c(
      "A random-effects term can only be added with `+`.",
      x = paste0("Found: ", code_of(expr), ".")
    ))
  }
  if (length(parts$bars)) parts else list(fixed = expr, bars = NULL)
}

split_parentheses <- function(expr) {
  inner <- split_sum(expr[[2L]], enclosed = TRUE)
  if (!is.null(inner$fixed)) {
    inner$fixed <- call("(", inner$fixed)
  }
  inner
}

split_plus <- function(expr) {
  left <- split_sum(expr[[2L]])
  if (length(expr) == 2L) {
    return(left)
  }
  right <- split_sum(expr[[3L]])
  fixed <- if (is.null(left$fixed)) {
    right$fixed
  } else if (is.null(right$fixed)) {
    left$fixed
  } else {
    call("+", left$fixed, right$fixed)
  }
  list(fixed = fixed, bars = c(left$bars, right$bars))
}

split_minus <- function(expr) {
  left <- split_sum(expr[[2L]])
  left$fixed <- if (is.null(left$fixed)) {
    call("-", expr[[3L]])
  } else {
    call("-", left$fixed, expr[[3L]])
  }
  left
}

# One bar becomes one or several terms: || splits the left side into uncorrelated
# terms, a/b on the right side means b within a.
expand_bar <- function(bar) {
  lhs <- bar[[2L]]
  if (has_bar(lhs) || has_bar(bar[[3L]])) {
    stop_samepage("formula", c(
      "A random-effects term must have one bar, with the grouping column after it.",
      x = paste0("Found: (", code_of(bar), ")."),
      i = "Write one term for each grouping: (x | dyad) + (1 | therapist)."
    ))
  }
  groups <- expand_group(bar[[3L]], bar)
  sides <- if (head_of(bar) == "||") split_uncorrelated(lhs) else list(lhs)
  terms <- list()
  for (side in sides) {
    for (group in groups) {
      terms[[length(terms) + 1L]] <- list(
        lhs = side, group = unname(group$parts), name = group$name
      )
    }
  }
  terms
}

# (a + b || g) is (1 | g) + (0 + a | g) + (0 + b | g), as in lme4: a factor's
# columns stay together and correlated.
split_uncorrelated <- function(lhs) {
  terms <- stats::terms(stats::as.formula(call("~", lhs)))
  labels <- attr(terms, "term.labels")
  sides <- lapply(labels, function(label) call("+", 0, str2lang(label)))
  if (attr(terms, "intercept") == 1L) {
    sides <- c(list(1), sides)
  }
  sides
}

# The groupings a right-hand side names, innermost first: h/g is h:g ("g within
# h") and h. Names are lme4's: `g:h`, and `c:(b:a)` for three.
expand_group <- function(expr, bar) {
  expr <- strip_parentheses(expr)
  if (head_of(expr) == "/") {
    outer <- expand_group(expr[[2L]], bar)
    inner <- interaction_parts(expr[[3L]], bar)
    outermost <- outer[[1L]]
    outer_name <- outermost$name
    if (length(outermost$parts) > 1L) {
      outer_name <- paste0("(", outer_name, ")")
    }
    nested <- list(
      parts = c(inner$parts, outermost$parts),
      name = paste0(inner$name, ":", outer_name)
    )
    return(c(list(nested), outer))
  }
  list(interaction_parts(expr, bar))
}

interaction_parts <- function(expr, bar) {
  expr <- strip_parentheses(expr)
  if (is.name(expr)) {
    return(list(parts = list(expr), name = as.character(expr)))
  }
  if (head_of(expr) == ":") {
    left <- interaction_parts(expr[[2L]], bar)
    right <- interaction_parts(expr[[3L]], bar)
    right_name <- right$name
    if (length(right$parts) > 1L) {
      right_name <- paste0("(", right_name, ")")
    }
    return(list(
      parts = c(left$parts, right$parts),
      name = paste0(left$name, ":", right_name)
    ))
  }
  if (head_of(expr) %in% c("+", "-", "*", "^", "%in%") || !is.call(expr)) {
    stop_samepage("formula", c(
      "The grouping after the bar must be a column, a:b or a/b.",
      x = paste0("Found `", code_of(expr), "` in (", code_of(bar), ")."),
      i = "For two groupings write two terms: (1 | a) + (1 | b)."
    ))
  }
  list(parts = list(expr), name = code_of(expr))
}
