# Fitted values, residuals and predictions, and the design they need on new data.

#' Fitted values, residuals and predictions
#'
#' What the model says of the outcome: for the rows it was fitted to (`fitted()`, and by how
#' much they differ from it, `residuals()`) or for new ones (`predict()`), for single units or
#' for the average unit.
#'
#' @param object A fit of class `samepage_lmm`.
#' @param type "response" for observed minus fitted, "pearson" for that times the
#'   square root of the case weight. `predict()` has "response" only.
#' @param scaled Whether residuals are divided by the residual standard deviation.
#' @param newdata A data frame with the variables of the formula; without it, the
#'   rows of the fit.
#' @param re.form Which random effects are in the prediction: NULL all, NA or `~0`
#'   none (the average unit), or a one-sided formula with some of the fit's terms,
#'   such as `~ (1 | therapist)`.
#' @param allow.new.levels Whether `newdata` may have units that were not in the
#'   fit. Their random effects are predicted as zero.
#' @param se.fit Whether standard errors are returned too.
#' @param na.action What happens to rows of `newdata` with missing values: `na.pass`
#'   predicts NA for them.
#' @param ... Not used; arguments other than those named are an error.
#' @returns A vector named by the rows, in the outcome's units. Where rows were left
#'   out under `na.action = na.exclude`, NA stands in their place. With
#'   `se.fit = TRUE`, a list of `fit` and `se.fit`. The standard errors are those of
#'   the predicted mean given the random effects asked for: they contain the
#'   uncertainty of the fixed effects and of the random effects (for a new unit: the
#'   random effects' whole variance), not the residual, and take the covariance
#'   parameters as known.
#' @family mixed models
#' @examples
#' fit <- lmm(distance ~ age + (age | Subject), data = nlme::Orthodont)
#' head(residuals(fit))
#' new <- data.frame(age = c(8, 16), Subject = "M01")
#' predict(fit, new)
#' predict(fit, new, re.form = NA, se.fit = TRUE)
#' @export
predict.samepage_lmm <- function(object, newdata = NULL, re.form = NULL,
                                 allow.new.levels = FALSE, se.fit = FALSE,
                                 type = "response", na.action = stats::na.pass, ...) {
  check_no_dots(...)
  check_flag(allow.new.levels, "allow.new.levels")
  check_flag(se.fit, "se.fit")
  check_choice(type, "response", "type")
  used <- chosen_effects(object, re.form)
  frame <- if (is.null(newdata)) {
    component(object, "frame")
  } else {
    new_frame(object, newdata, used, na.action)
  }
  if (.row_names_info(frame, 2L) == 0L) {
    return(if (se.fit) list(fit = numeric(), se.fit = numeric()) else numeric())
  }
  codes <- frame_codes(object, frame, used, is.null(newdata), allow.new.levels)
  fit <- predicted_mean(object, frame, used, codes)
  if (se.fit) {
    error <- prediction_errors(object, frame, used, codes)
  }
  dropped <- attr(frame, "na.action")
  pad <- function(x) {
    names(x) <- as.character(attr(frame, "row.names"))
    stats::napredict(dropped, x)
  }
  if (se.fit) list(fit = pad(fit), se.fit = pad(error)) else pad(fit)
}

#' @rdname predict.samepage_lmm
#' @export
fitted.samepage_lmm <- function(object, ...) {
  check_no_dots(...)
  predict.samepage_lmm(object)
}

#' @rdname predict.samepage_lmm
#' @export
residuals.samepage_lmm <- function(object, type = c("response", "pearson"), scaled = FALSE, ...) {
  check_no_dots(...)
  type <- check_choice(type, c("response", "pearson"), "type")
  frame <- component(object, "frame")
  used <- chosen_effects(object, NULL)
  codes <- frame_codes(object, frame, used, TRUE, FALSE)
  residuals <- as.vector(.subset2(frame, 1L)) - predicted_mean(object, frame, used, codes)
  weights <- component(object, "weights")
  if (type == "pearson" && !is.null(weights)) {
    residuals <- residuals * sqrt(weights)
  }
  if (check_flag(scaled, "scaled")) {
    residuals <- residuals / sqrt(component(object, "residual_variance"))
  }
  names(residuals) <- as.character(attr(frame, "row.names"))
  stats::naresid(component(object, "na_action"), residuals)
}

# The random effects a prediction uses, from lme4's re.form: a list with one element
# per used block, `block` (its index) and `columns` (places in the block).
chosen_effects <- function(fit, re_form) {
  blocks <- component(fit, "blocks")
  if (is.null(re_form)) {
    return(lapply(seq_along(blocks), function(i) {
      list(block = i, columns = seq_along(blocks[[i]]$columns))
    }))
  }
  if (!inherits(re_form, "formula")) {
    if (length(re_form) == 1L && is.na(re_form)) {
      return(list())
    }
    stop_samepage("argument", c(
      "`re.form` must be NULL, NA, ~0 or a one-sided formula such as ~ (1 | dyad).",
      x = paste0("Found an object of class ", class(re_form)[1L], ".")
    ))
  }
  right <- re_form[[length(re_form)]]
  if (identical(right, 0) || identical(right, quote(-1))) {
    return(list())
  }
  parts <- split_sum(right)
  terms <- unlist(lapply(parts$bars, expand_bar), recursive = FALSE)
  if (length(terms) == 0L || !is.null(parts$fixed)) {
    stop_re_form(blocks, code_of(right))
  }
  lapply(terms, function(term) {
    names <- term_column_names(fit, term)
    for (i in seq_along(blocks)) {
      if (blocks[[i]]$group == term$name && all(names %in% blocks[[i]]$names)) {
        return(list(block = i, columns = match(names, blocks[[i]]$names)))
      }
    }
    stop_re_form(blocks, paste0("(", code_of(term$lhs), " | ", term$name, ")"))
  })
}

used_blocks <- function(used) {
  vapply(used, function(effects) effects$block, integer(1))
}

# In the contrasts of the fit, whatever R's options say now.
term_column_names <- function(fit, term) {
  frame <- component(fit, "frame")
  terms <- stats::terms(one_sided(term$lhs))
  variables <- variable_names(terms)
  if (!all(variables %in% names(frame))) {
    return(NA_character_)
  }
  contrasts <- unlist(lapply(component(fit, "random"), `[[`, "contrasts"), recursive = FALSE)
  frame_columns(terms, frame, contrasts[intersect(variables, names(contrasts))])$names
}

stop_re_form <- function(blocks, found) {
  terms <- vapply(blocks, function(block) {
    paste0("(", paste(block$names, collapse = ", "), " | ", block$group, ")")
  }, character(1))
  stop_samepage("argument", c(
    "`re.form` must consist of random effects of the fit.",
    x = paste0("Found: ", found, "."),
    i = paste0("The fit has ", some_of(terms), ".")
  ))
}

#' The model frame of new data
#'
#' Variables are evaluated by their `predvars`, so that poly() and ns() keep the
#' basis of the fit, and factors get the fit's levels.
#' @noRd
new_frame <- function(fit, newdata, used, na_action) {
  check_data(newdata, "newdata")
  newdata <- plain_columns(newdata)
  frame <- component(fit, "frame")
  terms <- attr(frame, "terms")
  random <- component(fit, "random")[used_blocks(used)]
  groupings <- component(fit, "groupings")
  # Those that make columns; a grouping may be one of them.
  of_columns <- unique(c(
    variable_names(terms)[-1L],
    unlist(lapply(random, function(block) variable_names(block$terms)))
  ))
  parts <- unlist(lapply(random, function(block) groupings[[block$grouping]]$parts))
  needed <- unique(c(of_columns, parts))
  predvars <- attr(frame, "predvars")[needed]
  n <- nrow(newdata)
  new <- lapply(
    predvars, evaluate_variable,
    data = newdata, env = environment(terms), n = n, called = "newdata"
  )
  for (name in of_columns) {
    new[[name]] <- like_fitted(new[[name]], frame[[name]], name)
  }
  new <- frame_of(new, row_names_of(newdata))
  if (identical(na_action, stats::na.pass) || identical(na_action, "na.pass")) {
    new
  } else {
    drop_missing(new, na_action)
  }
}

# New values of a variable with the fit's class and levels.
like_fitted <- function(new, fitted, name) {
  labels <- if (is.factor(fitted)) {
    levels(fitted)
  } else if (is.character(fitted)) {
    sort(unique(fitted))
  }
  if (is.null(labels)) {
    return(of_class_fitted(new, fitted, name))
  }
  text <- as.character(new)
  unknown <- setdiff(text[!is.na(text)], labels)
  if (length(unknown)) {
    stop_samepage("newdata", c(
      paste0("The factor `", name, "` must have levels that were in the fit."),
      x = paste0("New: ", some_of(unknown), "."),
      i = paste0("The fit has ", some_of(labels), ".")
    ))
  }
  # A missing value may be a level of its own.
  factor(text, labels, exclude = if (anyNA(labels)) NULL else NA, ordered = is.ordered(fitted))
}

# Numbers for numbers; what has a class of its own (dates, durations, TRUE and FALSE) only for its
# like, since its numbers mean something else.
of_class_fitted <- function(new, fitted, name) {
  alike <- if (is.numeric(fitted)) is.numeric(new) else inherits(new, class(fitted)[1L])
  if (!alike) {
    stop_samepage("newdata", c(
      paste0("`", name, "` must be of the class it had in the fit, ", class(fitted)[1L], "."),
      x = paste0("Found class ", class(new)[1L], ".")
    ))
  }
  if (inherits(fitted, "difftime")) {
    units(new) <- units(fitted)
  }
  new
}

# Per used block, the units' codes of the frame's rows: NA for a missing id, 0 for a
# unit that was not in the fit.
frame_codes <- function(fit, frame, used, fitted_rows, allow_new) {
  random <- component(fit, "random")
  groupings <- component(fit, "groupings")
  groups <- component(fit, "groups")
  known <- list()
  lapply(random[used_blocks(used)], function(block) {
    grouping <- groupings[[block$grouping]]
    if (fitted_rows) {
      return(groups[[grouping$level]])
    }
    if (is.null(known[[grouping$name]])) {
      codes <- match_units(grouping, frame, component(fit, "frame"))
      if (!allow_new && any(codes == 0L, na.rm = TRUE)) {
        new <- which(codes == 0L)
        new <- new[!duplicated(frame[new, grouping$parts])]
        stop_samepage("new_levels", c(
          paste0("The units of `", grouping$name, "` must be in the fit."),
          x = paste0("New: ", some_of(unit_labels(frame, grouping$parts, new)), "."),
          i = "allow.new.levels = TRUE predicts them with random effects of zero."
        ))
      }
      known[[grouping$name]] <<- codes
    }
    known[[grouping$name]]
  })
}

match_units <- function(grouping, new, fitted) {
  key <- 0
  known <- 0
  for (part in grouping$parts) {
    ids <- plain_ids(fitted[[part]][grouping$first])
    values <- unique(ids)
    key <- key * (length(values) + 1) + match(plain_ids(new[[part]]), values, nomatch = 0L)
    key[is.na(new[[part]])] <- NA
    known <- known * (length(values) + 1) + match(ids, values)
  }
  codes <- match(key, known, nomatch = 0L)
  codes[is.na(key)] <- NA
  codes
}

# match() takes a date for its number, but its text for text.
plain_ids <- function(ids) {
  if (is.object(ids) && !is.factor(ids)) as.character(ids) else ids
}

predicted_mean <- function(fit, frame, used, codes) {
  mean <- drop(fixed_matrix(fit, frame) %*% component(fit, "beta"))
  offset <- frame_offset(fit, frame)
  if (!is.null(offset)) {
    mean <- mean + offset
  }
  if (length(used) == 0L) {
    return(mean)
  }
  effects <- unit_effects(fit, variance = FALSE)
  blocks <- component(fit, "blocks")
  z <- random_matrix(fit, frame, used_blocks(used))
  for (i in seq_along(used)) {
    b <- used[[i]]$block
    values <- effects$levels[[blocks[[b]]$level]]$mean[effects$rows[[b]], , drop = FALSE]
    # Column 1 stands for a unit that was not in the fit.
    values <- cbind(0, values)
    for (j in used[[i]]$columns) {
      mean <- mean + z[, blocks[[b]]$columns[j]] * values[j, codes[[i]] + 1L]
    }
  }
  mean
}

# The kept fixed-effects columns on a frame of the fit's variables.
fixed_matrix <- function(fit, frame) {
  terms <- stats::delete.response(component(fit, "terms"))
  kept <- component(fit, "kept")
  x <- frame_matrix(terms, frame, component(fit, "contrasts"), length(component(fit, "x_names")))
  if (length(kept) == ncol(x)) x else x[, kept, drop = FALSE]
}

# Z on a frame of the fit's variables; columns that none of the chosen blocks has are
# zero.
random_matrix <- function(fit, frame, chosen = seq_along(component(fit, "blocks"))) {
  random <- component(fit, "random")
  blocks <- component(fit, "blocks")
  n <- .row_names_info(frame, 2L)
  z <- matrix(0, n, length(component(fit, "z_names")))
  for (i in chosen) {
    columns <- blocks[[i]]$columns
    z[, columns] <- frame_matrix(
      random[[i]]$terms, frame, random[[i]]$contrasts, length(columns)
    )
  }
  z
}

frame_matrix <- function(terms, frame, contrasts, n_columns) {
  made <- frame_columns(terms, frame, contrasts)
  x <- as_columns(made$columns, .row_names_info(frame, 2L))
  if (ncol(x) != n_columns) {
    rlang::abort("New data gave other columns than the fit has.", .internal = TRUE)
  }
  x
}

frame_columns <- function(terms, frame, contrasts) {
  attr(frame, "terms") <- terms
  design_columns(terms, frame, contrasts, check = FALSE)
}

frame_offset <- function(fit, frame) {
  terms <- component(fit, "terms")
  places <- attr(terms, "offset")
  if (is.null(places)) {
    return(NULL)
  }
  offsets <- variable_names(terms)[places]
  Reduce(`+`, lapply(offsets, function(name) as.vector(frame[[name]])))
}

#' Standard errors of predicted means
#'
#' With c the covariances of a row's random part with the fit's rows, V their
#' covariance matrix and L = c V^-1, the error of x'beta + z'b has the variance
#' z'Gz - L c' + (x - L X) Phi (x - L X)'. V is block-diagonal over the units of the
#' outermost level, so each such unit is solved on its own; crossed units tie all
#' rows together.
#' @noRd
prediction_errors <- function(fit, frame, used, codes) {
  x <- fixed_matrix(fit, frame)
  phi <- component(fit, "vcov")
  if (length(used) == 0L) {
    return(sqrt(rowSums((x %*% phi) * x)))
  }
  blocks <- component(fit, "blocks")
  covariances <- component(fit, "covariances")
  z <- random_matrix(fit, frame, used_blocks(used))
  variance <- numeric(nrow(x))
  for (i in seq_along(used)) {
    columns <- used[[i]]$columns
    own <- z[, blocks[[used[[i]]$block]]$columns[columns], drop = FALSE]
    part <- rowSums((own %*% covariances[[used[[i]]$block]][columns, columns]) * own)
    variance <- variance + ifelse(is.na(codes[[i]]), NA, part)
  }

  fitted <- component(fit, "frame")
  groups <- component(fit, "groups")
  all_x <- fixed_matrix(fit, fitted)
  all_z <- random_matrix(fit, fitted)
  residual <- component(fit, "residual_variance")
  weights <- component(fit, "weights")
  outermost <- if (component(fit, "crossed")) {
    check_dense_rows(length(groups[[1L]]))
    rep.int(1L, length(groups[[1L]]))
  } else {
    groups[[length(groups)]]
  }
  # The outermost unit in which each row's known units lie, 0 when it has none.
  outer_unit <- integer(nrow(x))
  for (i in seq_along(used)) {
    level <- groups[[blocks[[used[[i]]$block]]$level]]
    unit <- outermost[match(codes[[i]], level)]
    outer_unit <- ifelse(is.na(unit), outer_unit, unit)
  }
  for (unit in setdiff(unique(outer_unit), 0L)) {
    new <- which(outer_unit == unit)
    rows <- which(outermost == unit)
    v <- diag(if (is.null(weights)) residual else residual / weights[rows], length(rows))
    shared <- matrix(0, length(new), length(rows))
    for (b in seq_along(blocks)) {
      columns <- blocks[[b]]$columns
      level <- groups[[blocks[[b]]$level]][rows]
      zg <- all_z[rows, columns, drop = FALSE] %*% covariances[[b]]
      v <- v + tcrossprod(zg, all_z[rows, columns, drop = FALSE]) * outer(level, level, "==")
      for (i in which(used_blocks(used) == b)) {
        own <- used[[i]]$columns
        same <- outer(codes[[i]][new], level, "==")
        product <- tcrossprod(z[new, columns[own], drop = FALSE], zg[, own, drop = FALSE])
        shared <- shared + product * same
      }
    }
    share <- t(solve(v, t(shared)))
    x[new, ] <- x[new, , drop = FALSE] - share %*% all_x[rows, , drop = FALSE]
    variance[new] <- variance[new] - rowSums(share * shared)
  }
  sqrt(pmax(variance + rowSums((x %*% phi) * x), 0))
}

check_dense_rows <- function(n, most = 5000L) {
  if (n > most) {
    stop_samepage("crossed_size", c(
      paste0(
        "Standard errors of predictions with crossed random effects need a fit of at most ", most,
        " rows."
      ),
      x = paste0("Found ", count_of(n, "row"), "."),
      i = "With re.form = NA they are had for any number of rows."
    ))
  }
}
