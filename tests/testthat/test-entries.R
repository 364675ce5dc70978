# Every routine that R may call, with arguments of the wrong type, length or value: an R error, and
# never a read outside an object. The R code gives no such arguments; this is about mistakes in it.

entry_arguments <- function() {
  # Dyads that share their visit pattern, and two that share it with none.
  design <- reference_design(
    c(rep(c(4, 6, 1, 3), 6), 2, 5),
    q = 2, p = 3, seed = 31, therapists = 4
  )
  design$weights <- 1.25 + design$X[, 2] / 7
  n_units <- vapply(design$groups, max, integer(1))
  blocks <- list(
    list(level = 1L, columns = 1:2, names = c("a", "b"), group = "dyad"),
    list(level = 2L, columns = 1L, names = "a", group = "therapist")
  )
  # The first, rank_tolerance, is not for the optimiser.
  control <- unclass(lmm_control())[-1L]
  reduced <- .Call(
    C_lmm_reduce, design$X, design$y, design$Z, design$groups, n_units, design$weights, 1e-7, FALSE
  )
  replay <- .Call(
    C_lmm_replay, design$X, design$Z, design$groups[[1]], design$weights, reduced
  )
  parameters <- c(1.3, 0.2, 0.7, 0.4, 0.9)
  unit <- design$groups[[1]]
  time <- stats::ave(seq_along(unit), unit, FUN = seq_along) + 0.25
  rows <- order(unit)
  list(
    code_groups = list(ids = c(3L, 1L, 3L)),
    code_group_pairs = list(outer = c(1L, 2L, 1L), inner = c(1L, 1L, 2L)),
    dyad_rows = list(ids = list(unit[rows], as.double(unit[rows])), time = time[rows]),
    dyad_ols = list(
      starts = c(0L, cumsum(tabulate(unit))), time = time[rows], first = design$y[rows],
      second = rev(design$y), definition = 0L, early = FALSE, window = c(-Inf, Inf)
    ),
    between_variance = list(y = c(1.2, 3.4, 2.2), v = c(0.3, 0.1, 0.2)),
    lmm_reduce = list(
      X = design$X, y = design$y, Z = design$Z, groups = design$groups, n_units = n_units,
      weights = design$weights, tolerance = 1e-7, crossed = FALSE
    ),
    lmm_fit = list(
      reduced = reduced, blocks = blocks, reml = TRUE, control = control,
      start = fit_reduced(reduced, blocks, TRUE, control)$factors
    ),
    lmm_infer = list(
      reduced = reduced, blocks = blocks, parameters = parameters, rank = 2:1, reml = TRUE
    ),
    lmm_evaluate = list(reduced = reduced, blocks = blocks, parameters = parameters, reml = TRUE),
    lmm_adjustment = list(
      reduced = reduced, blocks = blocks, parameters = parameters, covariance = diag(5)
    ),
    lmm_ranef = list(
      reduced = reduced, blocks = blocks, parameters = parameters, with_variance = TRUE
    ),
    lmm_replay = list(
      X = design$X, Z = design$Z, unit = unit, weights = design$weights, reduced = reduced
    ),
    lmm_respond = list(reduced = reduced, replay = replay, y = rev(design$y))
  )
}

entry_call <- function(entry, arguments) {
  routine <- get(paste0("C_", entry), envir = asNamespace("samepage"))
  do.call(.Call, c(list(routine), unname(arguments)), quote = TRUE)
}

# What a value must never be replaced with: other types, other lengths, and for whole numbers
# others than those an index may be.
wrong_values <- function(x) {
  values <- list(
    null = NULL, `empty list` = list(), list = list(1, 2), text = "a", symbol = quote(a),
    `function` = mean, environment = new.env(), complex = 1i, raw = as.raw(1),
    `no integers` = integer(), `no numbers` = double(), `no flags` = logical()
  )
  if (is.atomic(x)) {
    values[["one fewer"]] <- x[-1L]
    values[["one more"]] <- c(x, x[1L])
  }
  if (is.integer(x)) {
    for (value in c(NA, -1L, .Machine$integer.max, -.Machine$integer.max)) {
      spoilt <- x
      spoilt[length(x)] <- value
      values[[paste("last is", value)]] <- spoilt
    }
    values[["double"]] <- if (length(x) > 1L) as.double(x)
  }
  if (is.double(x)) {
    values[["integer"]] <- if (length(x) > 1L) as.integer(pmax(pmin(x, 9), -9))
  }
  # Taking elements off a list and spoiling one of them keeps its names.
  if (is.list(x) && length(x) > 0L) {
    values[["first element gone"]] <- x[-1L]
    values[["no names"]] <- if (!is.null(names(x))) unname(x[-1L])
  }
  values
}

not_finite_values <- function(x) {
  if (!is.double(x) || length(x) == 0L) {
    return(list())
  }
  lapply(c(`NaN` = NaN, `NA` = NA, `Inf` = Inf, `-Inf` = -Inf), function(value) {
    x[(length(x) + 1L) %/% 2L] <- value
    x
  })
}

# With one argument replaced by each of `values`: the labels of those that were not refused.
not_refused <- function(entry, arguments, name, values) {
  taken <- character()
  for (label in names(values)) {
    changed <- arguments
    changed[name] <- list(values[[label]])
    answer <- tryCatch(
      suppressWarnings(entry_call(entry, changed)),
      error = function(cnd) cnd
    )
    if (!inherits(answer, "error")) {
      taken <- c(taken, label)
    }
  }
  taken
}

# Where the entry has a right to such a value.
welcome_values <- list(
  "code_groups ids" = c(
    "text", "no integers", "no numbers", "no flags", "one fewer", "one more", "last is NA",
    "last is -1", "last is 2147483647", "last is -2147483647", "double"
  ),
  "code_group_pairs outer" = c(
    "last is NA", "last is -1", "last is 2147483647", "last is -2147483647"
  ),
  "code_group_pairs inner" = c(
    "last is NA", "last is -1", "last is 2147483647", "last is -2147483647"
  ),
  "dyad_rows ids" = "first element gone",
  "lmm_fit start" = "null",
  # Two columns of one value for all rows, or none. What is no number is answered as what has no
  # square is: by NULL.
  "lmm_reduce X" = c("empty list", "list", "NA", "NaN", "Inf", "-Inf"),
  "lmm_reduce y" = c("NA", "NaN", "Inf", "-Inf"),
  "lmm_reduce Z" = c("list", "NA", "NaN", "Inf", "-Inf"),
  "lmm_replay Z" = "list",
  "lmm_reduce weights" = "null",
  "lmm_replay weights" = "null",
  # How times and ratings are missing.
  "dyad_ols first" = c("NaN", "NA", "Inf", "-Inf"),
  "dyad_ols second" = c("NaN", "NA", "Inf", "-Inf"),
  "dyad_ols time" = c("NaN", "NA", "Inf", "-Inf"),
  "dyad_ols window" = c("Inf", "-Inf"),
  "dyad_rows time" = c("NaN", "NA", "Inf", "-Inf")
)

test_that("the list of entries is complete", {
  registered <- names(getDLLRegisteredRoutines("samepage")$.Call)
  expect_setequal(names(entry_arguments()), registered)
})

test_that("arguments as they should be are no error", {
  arguments <- entry_arguments()
  n_shared <- arguments$lmm_fit$reduced$n_shared
  expect_gt(n_shared, 0L)
  expect_gt(length(arguments$lmm_fit$reduced$item_unit), n_shared)
  for (entry in names(arguments)) {
    expect_error(entry_call(entry, arguments[[entry]]), NA)
  }
})

test_that("inputs are never written", {
  arguments <- entry_arguments()
  for (entry in names(arguments)) {
    before <- serialize(arguments[[entry]], NULL)
    entry_call(entry, arguments[[entry]])
    expect_identical(serialize(arguments[[entry]], NULL), before, label = entry)
  }
})

test_that("an argument of the wrong type, length or value is an error", {
  arguments <- entry_arguments()
  for (entry in names(arguments)) {
    for (name in names(arguments[[entry]])) {
      value <- arguments[[entry]][[name]]
      wrong <- c(wrong_values(value), not_finite_values(value))
      place <- paste(entry, name)
      taken <- not_refused(entry, arguments[[entry]], name, wrong)
      expect_identical(sort(taken), sort(as.character(welcome_values[[place]])), label = place)
    }
  }
})

test_that("columns may lie in a list, each as a vector, a matrix or one value", {
  arguments <- entry_arguments()$lmm_reduce
  reduced <- entry_call("lmm_reduce", arguments)
  x <- arguments$X
  arguments$X <- list(x[1L, 1L], x[, -1L, drop = FALSE])
  arguments$Z <- list(arguments$Z[, 1L], arguments$Z[, 2L])
  expect_true(all(x[, 1L] == x[1L, 1L]))
  expect_identical(entry_call("lmm_reduce", arguments), reduced)
  for (wrong in list("a", 1:2, NULL, numeric(), x[-1L, 1L], x[-1L, ], list(1), 1i)) {
    expect_error(
      entry_call("lmm_reduce", replace(arguments, "X", list(list(1, wrong)))), "internal error"
    )
  }
})

# Elements of the lists that an entry does not read.
unread <- list(
  "lmm_fit reduced" = c("n_x", "kept", "rss", "aliased", "alias_coef", "rebased"),
  "lmm_replay reduced" = c(
    "n_x", "a", "item_unit", "item_count", "n_shared", "B", "C_free", "free_rows", "z_factor",
    "mean_squares", "cell_item", "cell_node", "cell_count", "cell_sum", "Rx", "coef", "y_scale",
    "rss", "sum_log_weights", "aliased", "alias_coef", "crossed", "rebased"
  ),
  "lmm_respond reduced" = c(
    "n_x", "kept", "z_factor", "item_unit", "item_count", "free_rows", "cell_item", "cell_node",
    "cell_count", "sum_log_weights", "aliased", "alias_coef", "crossed", "rebased"
  )
)
# Where any number will do.
welcome_elements <- list(
  weights = "null", crossed = "null", free_rows = "null", n = "last is 2147483647",
  max_iterations = "last is 2147483647", few_units = "last is 2147483647"
)
for (entry in c("lmm_infer", "lmm_evaluate", "lmm_adjustment", "lmm_ranef")) {
  unread[[paste(entry, "reduced")]] <- unread[["lmm_fit reduced"]]
}

test_that("an element of the wrong type, length or range in the core's own lists is an error", {
  arguments <- entry_arguments()
  for (entry in grep("^lmm_", names(arguments), value = TRUE)) {
    for (name in intersect(c("reduced", "replay", "control"), names(arguments[[entry]]))) {
      list <- arguments[[entry]][[name]]
      place <- paste(entry, name)
      for (element in setdiff(names(list), unread[[place]])) {
        spoilt <- lapply(wrong_values(list[[element]]), function(value) {
          list[element] <- base::list(value)
          list
        })
        taken <- not_refused(entry, arguments[[entry]], name, spoilt)
        welcome <- as.character(welcome_elements[[element]])
        expect_identical(setdiff(taken, welcome), character(), label = paste(place, element))
      }
    }
  }
})

test_that("what crossed groupings need is checked too", {
  arguments <- entry_arguments()$lmm_reduce
  arguments$groups[[2L]] <- rep_len(1:3, length(arguments$y))
  arguments$n_units[2L] <- 3L
  arguments$crossed <- TRUE
  reduced <- entry_call("lmm_reduce", arguments)
  evaluate <- entry_arguments()$lmm_evaluate
  evaluate$reduced <- reduced
  expect_true(is.finite(entry_call("lmm_evaluate", evaluate)$criterion))
  for (element in names(reduced$crossed)) {
    spoilt <- lapply(wrong_values(reduced$crossed[[element]]), function(value) {
      reduced$crossed[element] <- list(value)
      reduced
    })
    taken <- not_refused("lmm_evaluate", evaluate, "reduced", spoilt)
    expect_identical(taken, character(), label = element)
  }
})

test_that("values that are not finite in the core's own lists never crash it", {
  arguments <- entry_arguments()
  for (entry in grep("^lmm_", names(arguments), value = TRUE)) {
    for (name in intersect(c("reduced", "replay"), names(arguments[[entry]]))) {
      list <- arguments[[entry]][[name]]
      for (element in names(list)) {
        spoilt <- lapply(not_finite_values(list[[element]]), function(value) {
          list[element] <- base::list(value)
          list
        })
        taken <- not_refused(entry, arguments[[entry]], name, spoilt)
        expect_true(all(taken %in% names(spoilt)))
      }
    }
  }
})

test_that("lists whose names are gone are errors of our own", {
  arguments <- entry_arguments()$lmm_fit
  expect_error(
    entry_call("lmm_fit", replace(arguments, "control", list(unname(arguments$control)))),
    "no element"
  )
  expect_error(
    entry_call("lmm_fit", replace(arguments, "blocks", list(lapply(arguments$blocks, unname)))),
    "no element"
  )
})

test_that("a block of the wrong shape is an error", {
  arguments <- entry_arguments()
  block <- arguments$lmm_fit$blocks[[1L]]
  for (entry in c("lmm_fit", "lmm_infer", "lmm_evaluate", "lmm_adjustment", "lmm_ranef")) {
    for (element in c("level", "columns")) {
      wrong <- wrong_values(block[[element]])
      # Another width is another number of parameters: wrong for all but a fit.
      if (entry == "lmm_fit" && element == "columns") {
        wrong[["one fewer"]] <- NULL
      }
      spoilt <- lapply(wrong, function(value) {
        block[element] <- list(value)
        list(block, arguments$lmm_fit$blocks[[2L]])
      })
      taken <- not_refused(entry, arguments[[entry]], "blocks", spoilt)
      expect_identical(taken, character(), label = paste(entry, element))
    }
  }
})

test_that("groups that skip a code, or are not nested, are an error", {
  arguments <- entry_arguments()$lmm_reduce
  skipping <- arguments
  skipping$n_units[1L] <- skipping$n_units[1L] + 1L
  expect_error(entry_call("lmm_reduce", skipping), "without rows")
  skipping <- arguments
  skipping$n_units[2L] <- skipping$n_units[2L] + 1L
  expect_error(entry_call("lmm_reduce", skipping), "without rows")
  crossed <- arguments
  crossed$groups[[2L]] <- rev(crossed$groups[[2L]])
  expect_error(entry_call("lmm_reduce", crossed), "not nested")
})
