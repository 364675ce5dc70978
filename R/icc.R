# How the variance divides over the levels.

#' Intraclass correlation and variance partition
#'
#' What share of the variance lies between therapists, between patients, and within
#' patients between sessions: the variance that the fixed effects leave, divided over the
#' levels of grouping.
#'
#' @details
#' Two quantities carry these names, and are the same only with one level of grouping:
#'
#' * the variance partition coefficient (VPC) of a level is its share of the total variance.
#'   The shares of all levels and of the residuals add up to 1;
#' * the intraclass correlation (ICC) of a level is the correlation of two rows that share
#'   their unit of that level. Two sessions of one patient have the same therapist as well:
#'   their correlation holds both shares. Two sessions of two patients of one therapist
#'   share the therapist only.
#'
#' Where slopes are random, the variance between units depends on the value of the slope's
#' variable. By default it is taken where all such variables are 0, that is from the
#' intercepts alone; `at` asks for other values, and the two rows of the ICC are then both
#' at these. `"average"` takes the mean over the rows used; there is no ICC then, because
#' the correlation of two rows depends on both.
#'
#' With case weights the residual variance is that of a row of weight 1.
#'
#' Standard errors are by the delta method from the observed information, intervals are
#' Wald intervals of the logit, so they lie between 0 and 1.
#'
#' @param fit A fit of [lmm()].
#' @param at Where slopes are random: `NULL` for the value 0 of every column with a random
#'   slope, a list or one-row data frame with the values of all variables before the bars,
#'   such as `list(session = 5)`, or `"average"`.
#' @param level Confidence level of the intervals.
#' @returns A data frame of class `samepage_icc`, one row per level, outermost first, and
#'   one for the residuals: `group`, `n_units`, `variance` (in squared units of the
#'   outcome), `vpc`, `vpc_se`, `vpc_low`, `vpc_high`, `icc`, `icc_se`, `icc_low`,
#'   `icc_high`. Standard errors and intervals are `NA` for a variance that a boundary
#'   makes zero or the data leave open. Attribute `at`: where the variance was taken, in words.
#' @family inference
#' @references Goldstein, H., Browne, W., & Rasbash, J. (2002). Partitioning variation in
#'   multilevel models. *Understanding Statistics*, *1*(4), 223-231.
#'   \doi{10.1207/S15328031US0104_02}
#' @examples
#' icc(lmm(bdi ~ session + (1 | therapist/patient), data = study1))
#' growth <- lmm(bdi ~ session + (session | patient), data = study1)
#' icc(growth)
#' icc(growth, at = list(session = 10))
#' @export
icc <- function(fit, at = NULL, level = 0.95) {
  check_fit(fit)
  check_level(level, "level")
  place <- icc_place(fit, at)
  n_units <- component(fit, "n_units")
  table <- component(fit, "parameter_table")
  blocks <- component(fit, "blocks")
  # Variances of the levels, outermost first, and of the residuals: linear in the parameters.
  of_level <- vapply(blocks, function(block) block$level, integer(1))[table$block]
  shown <- rev(sort(unique(of_level[!is.na(of_level)])))
  map <- rbind(
    t(vapply(shown, function(l) ifelse(of_level %in% l, place$weights, 0), place$weights)),
    as.numeric(is.na(table$block))
  )
  sums <- lower_triangle_of_ones(fit, shown)
  vpc <- share_of_total(fit, map, diag(nrow(map)), level)
  icc <- share_of_total(fit, map, sums, level)
  icc[nrow(map), ] <- NA_real_
  if (place$average) {
    icc[] <- NA_real_
  }
  structure(
    data.frame(
      group = c(names(n_units)[shown], "Residual"),
      n_units = c(n_units[shown], component(fit, "n"), use.names = FALSE),
      variance = drop(map %*% component(fit, "parameters")),
      vpc = vpc, icc = icc
    ),
    names = c(
      "group", "n_units", "variance", "vpc", "vpc_se", "vpc_low", "vpc_high", "icc", "icc_se",
      "icc_low", "icc_high"
    ),
    at = place$words, level = level, class = c("samepage_icc", "data.frame")
  )
}

#' What each covariance parameter weighs in the variance of its level
#'
#' A level's variance is the sum of z'Gz over its blocks, z being the values of the
#' block's columns: z_a^2 for a variance and 2 z_a z_b for a covariance.
#' @noRd
icc_place <- function(fit, at) {
  blocks <- component(fit, "blocks")
  table <- component(fit, "parameter_table")
  frame <- component(fit, "frame")
  average <- identical(at, "average")
  slopes <- any(unlist(lapply(blocks, function(block) block$names)) != "(Intercept)")
  if (average) {
    z <- random_matrix(fit, frame)
    words <- "the average over the rows used"
  } else if (is.null(at)) {
    z <- matrix(as.numeric(component(fit, "z_names") == "(Intercept)"), nrow = 1L)
    words <- "0 of every variable with a random slope"
  } else {
    z <- random_matrix(fit, icc_frame(fit, at))
    words <- paste(names(at), vapply(at, format, character(1)), sep = " = ", collapse = ", ")
  }
  weights <- rep.int(0, nrow(table))
  for (i in which(!is.na(table$block))) {
    columns <- blocks[[table$block[i]]]$columns[c(table$row[i], table$column[i])]
    product <- mean(z[, columns[1L]] * z[, columns[2L]])
    weights[i] <- if (table$row[i] == table$column[i]) product else 2 * product
  }
  list(weights = weights, words = if (slopes) words else "", average = average && slopes)
}

# The variables before the bars at the values asked for, as a frame of one row.
icc_frame <- function(fit, at, call = rlang::caller_env(2)) {
  frame <- component(fit, "frame")
  predvars <- attr(frame, "predvars")
  used <- unique(unlist(lapply(component(fit, "random"), function(block) {
    variable_names(block$terms)
  })))
  needed <- unique(unlist(lapply(predvars[used], all.vars)))
  if (!is.list(at) || any(lengths(at) != 1L) || !setequal(names(at), needed)) {
    stop_samepage("argument", c(
      "`at` must be a list with one value of every variable before the bars.",
      x = paste0("Found: ", if (is.list(at)) some_of(names(at)) else class(at)[1L], "."),
      i = paste0("The variables are: ", paste(needed, collapse = ", "), ".")
    ), call = call)
  }
  new <- lapply(rlang::set_names(used), function(name) {
    value <- eval(predvars[[name]], as.list(at), environment(component(fit, "formula")))
    like_fitted(value, frame[[name]], name)
  })
  structure(new, row.names = 1L, class = "data.frame")
}

# Which shares the correlation of two rows of one unit holds: rows and columns are the
# levels shown and the residuals. Two rows share the units of another level when the one
# lies in the other; crossed levels share nothing.
lower_triangle_of_ones <- function(fit, shown) {
  groups <- component(fit, "groups")[shown]
  k <- length(shown)
  sums <- diag(k + 1L)
  for (i in seq_len(k)) {
    first <- match(seq_len(max(groups[[i]])), groups[[i]])
    for (j in seq_len(i - 1L)) {
      parent <- groups[[j]][first]
      sums[i, j] <- identical(parent[groups[[i]]], groups[[j]])
    }
  }
  sums
}

# Estimate, standard error and ends of sums of shares of the total variance; `map` takes
# the parameters to the variances.
share_of_total <- function(fit, map, sums, level) {
  variances <- drop(map %*% component(fit, "parameters"))
  total <- sum(variances)
  share <- drop(sums %*% variances) / total
  gradient <- (sums %*% map - outer(share, colSums(map))) / total
  covariance <- component(fit, "vcov_parameters")
  error <- sqrt(pmax(rowSums((gradient %*% covariance) * gradient), 0))
  error[share <= 0 | share >= 1] <- NA_real_
  if (component(fit, "reason") > 0L) {
    # Not a boundary: the data leave these parameters open.
    open <- component(fit, "redundant")
    error[rowSums(abs(gradient[, open, drop = FALSE])) > 1e-8 * rowSums(abs(gradient))] <- NA_real_
  }
  reach <- stats::qnorm((1 + level) / 2) * error / (share * (1 - share))
  centre <- stats::qlogis(share)
  cbind(share, error, stats::plogis(centre - reach), stats::plogis(centre + reach))
}

#' @export
print.samepage_icc <- function(x, digits = 3L, ...) {
  check_no_dots(...)
  if (!is_whole(x, c("group", "n_units", "variance", "vpc_high", "icc_high"))) {
    return(print_as_plain(x))
  }
  percent <- paste0(format(100 * attr(x, "level")), "% CI")
  cat("Variance partition of what the fixed effects leave")
  if (nzchar(attr(x, "at"))) {
    cat(" at ", attr(x, "at"), sep = "")
  }
  cat("\n\n")
  shown <- function(value) ifelse(is.na(value), "", formatC(value, format = "f", digits = digits))
  interval <- function(low, high) {
    ifelse(is.na(low), "", paste0("[", shown(low), ", ", shown(high), "]"))
  }
  columns <- list(
    Units = format(x$n_units, big.mark = ","), Variance = format(x$variance, digits = digits + 1L),
    VPC = shown(x$vpc), SE = shown(x$vpc_se), interval(x$vpc_low, x$vpc_high)
  )
  nested <- !all(is.na(x$icc) | x$icc == x$vpc)
  if (nested) {
    columns <- c(columns, list(
      ICC = shown(x$icc), SE = shown(x$icc_se), interval(x$icc_low, x$icc_high)
    ))
  }
  table <- do.call(cbind, columns)
  colnames(table)[colnames(table) == ""] <- percent
  rownames(table) <- x$group
  print_table(table)
  cat(
    "", "VPC: share of the total variance.",
    if (nested) {
      c(
        "ICC: correlation of two rows with the same unit, which share the larger units as well."
      )
    } else if (!all(is.na(x$icc))) {
      "It is also the ICC, the correlation of two rows with the same unit."
    },
    sep = "\n"
  )
  invisible(x)
}

# A result from which columns were taken is printed as the data frame it is.
is_whole <- function(x, columns) {
  all(columns %in% names(x))
}

print_as_plain <- function(x) {
  print(structure(as.list(x), class = "data.frame", row.names = attr(x, "row.names")))
  invisible(x)
}
