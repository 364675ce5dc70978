# Model frame -> matrices and groups, in the shapes the core reads.

#' The design of a mixed model
#'
#' @param spec The answer of `parse_mixed_formula()`.
#' @param frame The answer of `build_frame()`.
#' @param contrasts As for `stats::model.matrix()`.
#' @returns A list: `X`, `y`, `Z`, `groups`, `weights`, `n_units`, `blocks` as the
#'   core reads them (design/structure.md), and for later use `offset`, `x_names`,
#'   `assign`, `contrasts`, `xlevels`, `z_names`, `groupings` (per named grouping:
#'   `parts`, `level`, `first`, `n_units`) and `random` (per block: what makes its
#'   columns on new data).
#' @noRd
build_design <- function(spec, frame, contrasts = NULL) {
  if (!is.null(contrasts)) {
    contrasts <- check_contrasts(contrasts, frame)
  }
  check_fixed_size(attr(frame, "terms"), frame)
  fixed <- design_columns(attr(frame, "terms"), frame, contrasts)
  groupings <- code_groupings(spec$terms, frame)
  levels <- arrange_levels(groupings)
  groupings <- levels$groupings
  random <- random_blocks(spec$terms, groupings, frame)
  y <- .subset2(frame, 1L)
  offset <- stats::model.offset(frame)
  if (!is.null(offset)) {
    y <- y - offset
  }
  list(
    X = lapply(fixed$columns, as_double),
    y = as.double(y),
    Z = lapply(random$columns, as_double),
    groups = levels$groups,
    weights = .subset2(frame, "(weights)"),
    n_units = levels$n_units,
    crossed = levels$crossed,
    blocks = random$blocks,
    offset = offset,
    x_names = fixed$names,
    assign = fixed$assign,
    contrasts = fixed$contrasts,
    xlevels = fixed$xlevels,
    z_names = names(random$columns),
    groupings = groupings,
    random = random$random
  )
}

# The core reads columns of doubles where they lie.
as_double <- function(x) {
  if (!is.double(x)) {
    storage.mode(x) <- "double"
  }
  x
}

# One matrix from columns that may be matrices, vectors, or one value for all rows; unlist() copies
# each once.
as_columns <- function(columns, n) {
  constant <- lengths(columns) == 1L
  columns[constant] <- lapply(columns[constant], rep.int, n)
  values <- unlist(columns, use.names = FALSE)
  if (is.null(values)) {
    return(matrix(0, n, 0L))
  }
  if (!is.double(values)) {
    values <- as.double(values)
  }
  dim(values) <- c(n, length(values) %/% n)
  values
}

#' The columns of a set of terms, as `model.matrix()` makes them
#'
#' Terms in numeric vectors and factors with treatment contrasts are multiplied here,
#' which costs a fifth of `model.matrix()`; other contrasts and matrices go there.
#'
#' @returns A list: `columns` (list of vectors, or one matrix in a list; the intercept is one
#'   value for all rows), `names`, `assign`, `contrasts`, `xlevels`.
#' @noRd
design_columns <- function(terms, frame, contrasts = NULL, check = TRUE) {
  factors <- attr(terms, "factors")
  used <- if (length(factors)) which(rowSums(factors) > 0)
  in_frame <- variable_names(terms)[used]
  variables <- .subset(frame, in_frame)
  if (check) {
    check_levels(variables)
  }
  if (!have_own_columns(variables, contrasts)) {
    return(model_matrix_columns(terms, frame, contrasts))
  }
  is_factor <- vapply(variables, is.factor, logical(1), USE.NAMES = FALSE)
  coded <- variables[is_factor]
  intercept <- attr(terms, "intercept")
  if (!intercept && length(coded)) {
    factors <- code_first_factor(factors, used[is_factor])
  }
  columns <- if (intercept) list(list(`(Intercept)` = 1))
  labels <- attr(terms, "term.labels")
  for (j in seq_along(labels)) {
    i <- seq_along(used)[factors[used, j] > 0]
    columns[[intercept + j]] <- if (any(is_factor[i])) {
      term_columns(variables[i], rownames(factors)[used[i]], factors[used[i], j])
    } else {
      numeric_column(variables[i], labels[j])
    }
  }
  terms_of <- c(if (intercept) 0L, seq_along(labels))
  assign <- rep.int(terms_of, lengths(columns, use.names = FALSE))
  columns <- unlist(columns, recursive = FALSE)
  list(
    columns = columns, names = as.character(names(columns)), assign = assign,
    contrasts = if (length(coded)) lapply(coded, function(x) "contr.treatment"),
    xlevels = if (length(coded)) lapply(coded, levels)
  )
}

# Without an intercept the first factor has a column for each of its levels.
code_first_factor <- function(factors, of_factors) {
  found <- which(factors[of_factors, , drop = FALSE] > 0, arr.ind = TRUE)
  if (length(found)) {
    factors[of_factors[found[1L, 1L]], found[1L, 2L]] <- 2L
  }
  factors
}

# Whether all are numbers or factors in treatment contrasts: as `contrasts` says, else the factor
# itself, else R's options for factors without order.
have_own_columns <- function(variables, contrasts) {
  if (!is.null(contrasts) && !(is.list(contrasts) && all(names(contrasts) %in% names(variables)))) {
    return(FALSE)
  }
  for (i in seq_along(variables)) {
    x <- variables[[i]]
    if (is.factor(x)) {
      coding <- contrasts[[names(variables)[i]]]
      if (is.null(coding)) {
        coding <- attr(x, "contrasts")
      }
      if (is.null(coding) && !is.ordered(x)) {
        coding <- getOption("contrasts")[[1L]]
      }
      if (!identical(coding, "contr.treatment")) {
        return(FALSE)
      }
    } else if (!is.numeric(x) || !is.null(dim(x))) {
      return(FALSE)
    }
  }
  TRUE
}

# The one column of a term in numbers. Products of integers could exceed the largest.
numeric_column <- function(variables, label) {
  column <- NULL
  for (variable in variables) {
    if (is.object(variable)) {
      variable <- unclass(variable)
    }
    column <- if (is.null(column)) variable else as.double(column) * variable
  }
  columns <- list(column)
  names(columns) <- label
  columns
}

# The columns of a term: every product of one column of each variable, those of the first variable
# the fastest. A factor has indicators of its levels, all of them or, with `coding` 1 as in the
# matrix of terms(), all but the first.
term_columns <- function(variables, names, coding) {
  columns <- NULL
  for (i in seq_along(variables)) {
    x <- variables[[i]]
    own <- if (is.factor(x)) {
      indicator_columns(x, names[i], all = coding[i] != 1L)
    } else {
      numeric_column(list(x), names[i])
    }
    columns <- if (is.null(columns)) own else multiply_columns(columns, own)
  }
  columns
}

indicator_columns <- function(x, name, all) {
  codes <- as.integer(x)
  levels <- levels(x)
  shown <- if (all) seq_along(levels) else seq_along(levels)[-1L]
  columns <- lapply(shown, function(level) as.double(codes == level))
  names(columns) <- paste0(name, levels[shown])
  columns
}

multiply_columns <- function(left, right) {
  columns <- list()
  for (j in seq_along(right)) {
    own <- lapply(left, function(column) as.double(column) * right[[j]])
    names(own) <- paste(names(left), names(right)[j], sep = ":")
    columns <- c(columns, own)
  }
  columns
}

model_matrix_columns <- function(terms, frame, contrasts) {
  x <- stats::model.matrix(terms, frame, contrasts.arg = contrasts)
  list(
    columns = list(x), names = colnames(x), assign = attr(x, "assign"),
    contrasts = attr(x, "contrasts"), xlevels = stats::.getXlevels(terms, frame)
  )
}

# R's own messages about contrasts do not say whose they are.
check_contrasts <- function(contrasts, frame) {
  if (!is.list(contrasts) || is.null(names(contrasts)) || !all(nzchar(names(contrasts)))) {
    stop_contrasts(
      "`contrasts` must be a list named by factors, such as list(group = \"contr.sum\").",
      paste0("an object of class ", class(contrasts)[1L], if (is.list(contrasts)) " without names")
    )
  }
  fixed <- variable_names(attr(frame, "terms"))[-1L]
  is_factor <- vapply(names(contrasts), function(name) {
    name %in% fixed && !is.numeric(.subset2(frame, name))
  }, logical(1))
  if (!all(is_factor)) {
    inform_samepage("contrasts", paste0(
      "Contrasts of ", paste0("`", names(contrasts)[!is_factor], "`", collapse = ", "),
      " not used: no factor of the fixed part."
    ))
  }
  contrasts <- contrasts[is_factor]
  for (name in names(contrasts)) {
    coding <- contrasts[[name]]
    column <- .subset2(frame, name)
    n <- count_levels(column)
    if (is.character(coding)) {
      if (length(coding) != 1L || !exists(coding, mode = "function")) {
        stop_contrasts(
          paste0("Contrasts of `", name, "` must be a function's name, a function, or a matrix."),
          paste0("\"", some_of(coding), "\"")
        )
      }
    } else if (!is.function(coding) && (!is.numeric(coding) || NROW(coding) != n)) {
      stop_contrasts(
        paste0("Contrasts of `", name, "` must have a row for each of its ", n, " levels."),
        if (is.numeric(coding)) count_of(NROW(coding), "row") else paste("class", class(coding)[1L])
      )
    }
  }
  if (length(contrasts)) contrasts
}

stop_contrasts <- function(expected, found) {
  stop_samepage("contrasts", c(expected, x = paste0("Found ", found, ".")))
}

check_levels <- function(variables) {
  for (i in seq_along(variables)) {
    column <- variables[[i]]
    if (is.numeric(column)) {
      next
    }
    if (count_levels(column) < 2L) {
      stop_samepage("one_level", c(
        paste0(
          "The factor `", names(variables)[i], "` must have at least two levels in the rows used."
        ),
        x = paste0("Found only \"", as.character(column[1L]), "\"."),
        i = "Leave it out of the formula, or look at which rows were left out."
      ))
    }
  }
}

# Of a factor, or of what will become one.
count_levels <- function(column) {
  if (is.factor(column)) nlevels(column) else length(unique(column))
}

# Thousands of fixed effects are seldom meant: ids typed in the fixed part, or numbers read as
# text. Said before their columns are made, which alone may take all memory; refused beyond what
# the core takes.
check_fixed_size <- function(terms, frame, many = 1000, most = 20000) {
  width <- variable_widths(terms, frame)
  # No term has more columns than the product of all variables: mostly that is few enough.
  at_most <- prod(width$columns) * length(attr(terms, "term.labels"))
  if (at_most <= many || !any(width$is_factor)) {
    return(invisible(terms))
  }
  factors <- attr(terms, "factors")
  size <- apply(factors, 2L, function(coding) {
    prod((width$columns - (width$is_factor & coding == 1))[coding > 0])
  })
  if (sum(size) <= many) {
    return(invisible(terms))
  }
  widest <- which.max(width$columns * width$is_factor)
  name <- names(frame)[widest]
  found <- paste0(
    "Found ", count_of(sum(size), "column"), ", ",
    format(sum(size[factors[widest, ] > 0]), big.mark = ",", scientific = FALSE),
    " of them for the ", count_of(width$columns[widest], "level"), " of `", name, "`."
  )
  advice <- paste0(
    "If `", name, "` names units, write (1 | ", name, "); if it holds numbers, make it numeric."
  )
  if (sum(size) > most) {
    stop_samepage("many_columns", c(
      paste0("The fixed part must have at most ", count_of(most, "column"), "."),
      x = found, i = advice
    ))
  }
  inform_samepage("many_columns", c(
    "So many fixed effects take long: time grows with the third power of their number.",
    x = found, i = advice
  ))
}

# Columns of each variable of the fixed part, which come first in the frame; those of a factor are
# its levels. Dates and durations are numbers in a model, though not for is.numeric().
variable_widths <- function(terms, frame) {
  n <- length(attr(terms, "variables")) - 1L
  is_factor <- logical(n)
  columns <- numeric(n)
  for (i in seq_len(n)) {
    x <- .subset2(frame, i)
    is_factor[i] <- is.factor(x) || is.character(x)
    columns[i] <- if (is_factor[i]) count_levels(x) else NCOL(x)
  }
  list(columns = columns, is_factor = is_factor)
}

#' Codes of every grouping that the terms name
#'
#' @returns A list by name: `name`, `parts` (names of frame columns), `codes` (by
#'   first appearance), `first` (the row in which each unit appears first),
#'   `n_units`.
#' @noRd
code_groupings <- function(terms, frame) {
  names <- vapply(terms, function(term) term$name, character(1))
  groupings <- list()
  coded <- list()
  for (term in terms[!duplicated(names)]) {
    parts <- vapply(term$group, code_of, character(1))
    for (part in parts) {
      if (is.null(coded[[part]])) {
        coded[[part]] <- code_ids(.subset2(frame, part), part)
      }
    }
    codes <- coded[[parts[1L]]]
    for (part in parts[-1L]) {
      codes <- code_pairs(codes$codes, coded[[part]]$codes)
    }
    if (length(codes$first) < 2L) {
      stop_samepage("few_units", c(
        paste0("The grouping `", term$name, "` must have at least two units."),
        x = paste0("Found only \"", unit_labels(frame, parts, codes$first), "\".")
      ))
    }
    groupings[[term$name]] <- list(
      name = term$name, parts = parts, codes = codes$codes, first = codes$first,
      n_units = length(codes$first)
    )
  }
  groupings
}

#' Codes of ids by first appearance
#'
#' What `match(x, unique(x))` gives, in a tenth of its time. Sorting the labels, by
#' far the dearest part of `factor()`, waits until they are shown.
#'
#' @returns A list: `codes` (from 1), `first` (row of each unit's first appearance).
#' @noRd
code_ids <- function(ids, name) {
  if (!is.atomic(ids) || !is.null(dim(ids)) || is.complex(ids)) {
    stop_samepage("grouping", c(
      paste0("The grouping `", name, "` must be one column of ids."),
      x = paste0("Found an object of class ", class(ids)[1L], ".")
    ))
  }
  if (inherits(ids, "integer64")) {
    ids <- as.character(ids)
  }
  answer <- .Call(C_code_groups, ids)
  codes <- list(codes = answer[[1L]], first = answer[[2L]])
  if (is.character(ids)) {
    values <- ids[codes$first]
    # One string in two encodings has two addresses.
    if (any(Encoding(values) != "unknown") && anyDuplicated(values)) {
      merged <- match(values, unique(values))
      codes$codes <- merged[codes$codes]
      codes$first <- codes$first[!duplicated(values)]
    }
  }
  codes
}

code_pairs <- function(outer, inner) {
  answer <- .Call(C_code_group_pairs, outer, inner)
  list(codes = answer[[1L]], first = answer[[2L]])
}

# Labels of units in the order of their codes, made from the rows in which they
# first appear.
unit_labels <- function(frame, parts, first) {
  labels <- lapply(parts, function(part) as.character(frame[[part]][first]))
  do.call(paste, c(labels, sep = ":"))
}

# The order factor() gives the labels: by value, for interactions the first part
# slowest.
unit_order <- function(frame, parts, first) {
  do.call(order, lapply(parts, function(part) frame[[part]][first]))
}

#' Levels from the groupings, the one with most units first
#'
#' Two groupings with the same partition are one level. When each unit of a level
#' lies in one unit of the next, the levels are nested, innermost first; otherwise
#' they are crossed.
#'
#' @returns A list: `groups` (list of codes), `n_units` (named by level), `groupings` (as given,
#'   without codes, with `level`), `crossed`.
#' @noRd
arrange_levels <- function(groupings) {
  n_units <- vapply(groupings, function(grouping) grouping$n_units, integer(1))
  order <- order_of(-n_units)
  groups <- list()
  of_level <- integer()
  crossed <- FALSE
  inner <- NULL
  for (i in order) {
    grouping <- groupings[[i]]
    # Codes are by first appearance, so equal partitions have equal codes.
    level <- which(vapply(groups, identical, logical(1), grouping$codes))
    if (length(level) == 0L) {
      crossed <- crossed ||
        !is.null(inner) && !identical(grouping$codes[inner$first][inner$codes], grouping$codes)
      level <- length(groups) + 1L
      groups[[level]] <- grouping$codes
      of_level[level] <- i
      inner <- grouping
    }
    groupings[[i]]$level <- level
    groupings[[i]]$codes <- NULL
  }
  list(
    groups = groups, n_units = n_units[of_level], groupings = groupings[order], crossed = crossed
  )
}

# order() for a few numbers that mostly are in order: it costs as much as coding the ids of a study.
order_of <- function(x) {
  if (is.unsorted(x)) order(x) else seq_along(x)
}

#' Blocks of the random-effects terms and the union of their columns
#'
#' @returns A list: `columns` (named list, each distinct column once), `blocks` (for
#'   the core) and `random` (what makes the columns on new data), in the order of
#'   the levels and, within one, of the formula.
#' @noRd
random_blocks <- function(terms, groupings, frame) {
  columns <- list()
  blocks <- list()
  random <- list()
  group <- match(vapply(terms, function(term) term$name, character(1)), names(groupings))
  env <- environment(attr(frame, "terms"))
  expr <- NULL
  for (i in order_of(group)) {
    term <- terms[[i]]
    grouping <- groupings[[group[i]]]
    if (!identical(term$lhs, expr)) {
      # Often the same before the bar at every level: made once.
      expr <- term$lhs
      lhs <- stats::terms(one_sided(expr, env))
      if (!is.null(attr(lhs, "offset"))) {
        stop_samepage("formula", c(
          "An offset can stand in the fixed part only.",
          x = paste0("Found: (", code_of(expr), " | ", term$name, ").")
        ))
      }
      made <- design_columns(lhs, frame)
      if (length(made$names) == 0L) {
        stop_samepage("formula", c(
          "A random-effects term must have at least one column before the bar.",
          x = paste0("Found: (", code_of(term$lhs), " | ", term$name, ").")
        ))
      }
      own <- if (is.matrix(made$columns[[1L]])) {
        split_columns(made$columns[[1L]])
      } else {
        made$columns
      }
      place <- place_columns(columns, own, made$names)
      columns[place] <- own
      names(columns)[place] <- made$names
    }
    blocks[[length(blocks) + 1L]] <- list(
      level = grouping$level, columns = place, names = made$names, group = grouping$name
    )
    random[[length(random) + 1L]] <- list(
      terms = lhs, xlevels = made$xlevels, contrasts = made$contrasts,
      grouping = group[i]
    )
  }
  list(columns = columns, blocks = blocks, random = random)
}

# Where each of `own` stands among `columns`, or the next free place after them.
place_columns <- function(columns, own, names) {
  place <- integer(length(own))
  free <- length(columns)
  for (j in seq_along(own)) {
    for (i in which(names(columns) == names[j])) {
      if (place[j] == 0L && identical(columns[[i]], own[[j]])) {
        place[j] <- i
      }
    }
    if (place[j] == 0L) {
      place[j] <- free <- free + 1L
    }
  }
  place
}

split_columns <- function(x) {
  dimnames(x) <- NULL
  lapply(seq_len(ncol(x)), function(j) x[, j])
}

#' Refuses random effects that no data of this design can tell apart
#' @noRd
check_random <- function(design) {
  blocks <- design$blocks
  if (design$crossed) {
    check_crossed_size(design)
  }
  for (i in seq_along(blocks)) {
    block <- blocks[[i]]
    n_units <- design$n_units[[block$level]]
    if (n_units < length(block$columns)) {
      stop_samepage("few_units", c(
        paste0(
          "The grouping `", block$group, "` must have at least as many units as random effects."
        ),
        x = paste0(
          "Found ", count_of(n_units, "unit"), " and ",
          count_of(length(block$columns), "random effect"), " (", some_of(block$names), ")."
        )
      ))
    }
    for (other in blocks[seq_len(i - 1L)]) {
      shared <- intersect(other$columns, block$columns)
      if (other$level == block$level && length(shared)) {
        stop_twice(design$z_names[shared[1L]], unique(c(other$group, block$group)))
      }
    }
  }
  check_unit_sizes(design)
}

stop_twice <- function(effect, groupings) {
  several <- length(groupings) > 1L
  named <- paste0("`", groupings, "`", collapse = " and ")
  stop_samepage("not_identifiable", c(
    "A random effect must stand in one term only.",
    x = paste0(
      "Found `", effect, "` twice for the units of ", named,
      if (several) ", which put the same rows together",
      ": its variance cannot be divided between two terms."
    ),
    i = if (several) {
      "Keep one of the groupings."
    } else {
      "For uncorrelated effects write (0 + x | g) in one of them."
    }
  ))
}

# The general path works with square matrices of this size.
crossed_size <- function(design) {
  size <- vapply(design$blocks, function(block) {
    if (block$level == 1L) 0 else length(block$columns) * design$n_units[[block$level]]
  }, numeric(1))
  sum(size)
}

check_crossed_size <- function(design, largest = 20000) {
  size <- crossed_size(design)
  if (size > largest) {
    names <- paste0("`", names(design$n_units), "`")
    stop_samepage("crossed_size", c(
      paste0(
        "Crossed groupings other than ", names[1L],
        " must have at most ", largest,
        " random effects in all: they are solved as one dense system."
      ),
      x = paste0(
        "Found ", size, " (", paste(names[-1L], collapse = ", "), ")."
      ),
      i = "lme4::lmer() solves such designs with sparse matrices."
    ))
  }
}

# With few rows per unit the variances of the random effects and of the residuals
# may be the same thing: one row per unit and a random intercept, for example. Then
# the covariances of the units' rows, as functions of the parameters, are linearly
# dependent.
check_unit_sizes <- function(design) {
  width <- 0L
  for (block in design$blocks) {
    width <- width + if (block$level == 1L) length(block$columns) else 0L
  }
  n_units <- design$n_units[[1L]]
  codes <- design$groups[[1L]]
  if (width == 0L || length(codes) > n_units * width) {
    return(invisible(design))
  }
  inner <- Filter(function(block) block$level == 1L, design$blocks)
  sizes <- tabulate(codes, n_units)
  if (max(sizes) > width || has_independent_parameters(design, inner, sizes)) {
    return(invisible(design))
  }
  name <- names(design$n_units)[1L]
  stop_samepage("not_identifiable", c(
    "Units must have enough rows to tell the random effects from the residuals.",
    x = if (max(sizes) == 1L) {
      paste0("Each of the ", count_of(n_units, "unit"), " of `", name, "` has one row only.")
    } else {
      paste0(
        "No unit of `", name, "` has more than ", max(sizes), " rows, with ",
        count_of(width, "random effect"), " (", some_of(unlist(lapply(inner, `[[`, "names"))), ")."
      )
    },
    i = if (max(sizes) == 1L) {
      paste0("Is `", name, "` the id of the dyad, not of the row?")
    } else {
      "Use fewer random effects, or uncorrelated ones (||)."
    }
  ))
}

# Rank of the map from parameters to the units' covariance matrices. A thousand
# units are enough to show what differs between units.
has_independent_parameters <- function(design, blocks, sizes) {
  all <- as_columns(design$Z, length(design$y))
  units <- utils::head(unique(design$groups[[1L]][order(-sizes[design$groups[[1L]]])]), 1000L)
  rows <- split(seq_along(design$groups[[1L]]), factor(design$groups[[1L]], levels = units))
  map <- do.call(rbind, lapply(rows, function(rows) {
    columns <- lapply(blocks, function(block) {
      z <- all[rows, block$columns, drop = FALSE]
      pairs <- which(lower.tri(diag(ncol(z)), diag = TRUE), arr.ind = TRUE)
      apply(pairs, 1L, function(pair) {
        product <- tcrossprod(z[, pair[1L]], z[, pair[2L]])
        product + t(product)
      })
    })
    weights <- design$weights[rows]
    residual <- if (is.null(weights)) diag(length(rows)) else diag(1 / weights, length(rows))
    matrix(c(unlist(columns), residual), nrow = length(rows)^2)
  }))
  scale <- sqrt(colSums(map^2))
  scale[scale == 0] <- 1
  qr(sweep(map, 2L, scale, "/"))$rank == ncol(map)
}
