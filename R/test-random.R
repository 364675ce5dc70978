# Likelihood-ratio tests of random effects, with the reference that a variance, which
# cannot be negative, needs.

#' Test random effects by (restricted) likelihood ratio
#'
#' Does this random effect vary between units at all? Each random effect is left out in
#' turn, the smaller model is fitted to the same data by the same method, and the rise of
#' -2 log likelihood (restricted for a REML fit) is the test statistic.
#'
#' @section Why a mixture:
#' Without the random effect its variance is zero, on the edge of what a variance can be:
#' estimates can err to one side only. The statistic then follows no chi-square
#' distribution but a mixture of several (a chi-bar-square), and the p of the naive
#' chi-square with all parameters counted, `p.naive`, is too large. For one random effect
#' out of q correlated ones (its variance and q - 1 covariances) the mixture is half
#' chi-square with q - 1 and half with q degrees of freedom (Self & Liang, 1987; Stram &
#' Lee, 1994); chi-square with 0 is the value 0.
#'
#' When r effects leave an unstructured term of q at once (a factor's, or with
#' `reduce = FALSE`), r (q - r) covariances are free and the r by r covariance matrix must
#' not be negative. For r = 2 the four weights of the mixture are computed from the
#' expected information at the smaller model. For r of 3 or more (or where that information
#' is singular) they are not: `p.value` is then an upper bound, from half and half of the two
#' highest degrees of freedom, and the mixture is marked "at most".
#'
#' @section What is exact:
#' The mixtures are the limit for many units, all other variances being away from zero.
#' With few units they tend to give too large a p. Where the smaller model lies on
#' a boundary itself, `boundary` says so and the p is only approximate. With `nsim`, the
#' p comes from as many responses drawn from the smaller model and fitted with both: that
#' needs neither many units nor the mixture.
#'
#' @param fit A fit of [lmm()].
#' @param reduce Whether a term with several effects is reduced by one variable at a time,
#'   `(x | g)` to `(1 | g)`, the intercept last; or left out as a whole (`FALSE`).
#'   Uncorrelated effects, `(x || g)`, are terms of their own.
#' @param nsim Number of simulated responses; 0 for none.
#' @param seed Seed of the simulation, as for [simulate()][simulate.samepage_lmm].
#' @returns A data frame of class `samepage_random_tests`, one row per test:
#'   `group`, `term` (what is left out), `m2ll` (-2 log likelihood of the smaller model),
#'   `statistic` (its rise), `df` (number of parameters left out), `p.value` (from the
#'   mixture), `p.naive` (from the chi-square with `df`), `p.simulated` (with `nsim`),
#'   `mixture` (in words) and `boundary` (whether the smaller model lies on a boundary).
#'   Attribute `weights`: the mixtures' weights, a list of vectors named by the degrees of
#'   freedom.
#' @family inference
#' @references
#' Self, S. G., & Liang, K.-Y. (1987). Asymptotic properties of maximum likelihood
#' estimators and likelihood ratio tests under nonstandard conditions. *Journal of the
#' American Statistical Association*, *82*(398), 605-610. \doi{10.2307/2289471}
#'
#' Stram, D. O., & Lee, J. W. (1994). Variance components testing in the longitudinal mixed
#' effects model. *Biometrics*, *50*(4), 1171-1177. \doi{10.2307/2533455}
#' @examples
#' fit <- lmm(distance ~ age + (age | Subject), data = nlme::Orthodont)
#' test_random(fit)
#' test_random(fit, reduce = FALSE)
#' test_random(fit, nsim = 200, seed = 1)$p.simulated
#' @export
test_random <- function(fit, reduce = TRUE, nsim = 0, seed = NULL) {
  check_fit(fit)
  check_flag(reduce, "reduce")
  if (!is.numeric(nsim) || length(nsim) != 1L || is.na(nsim) || nsim < 0) {
    stop_samepage("argument", c(
      "`nsim` must be one number, 0 or more.",
      x = paste0("Found ", code_of(nsim), ".")
    ))
  }
  reductions <- random_reductions(fit, reduce)
  smaller <- lapply(reductions, function(reduction) fit_without(fit, reduction))
  rises <- vapply(smaller, function(core) criterion_rise(fit, core), numeric(1))
  weights <- Map(function(reduction, core) mixture_weights(fit, reduction, core),
    reductions, smaller)
  df <- vapply(reductions, function(reduction) reduction$df, numeric(1))
  part <- function(name) vapply(reductions, function(x) x[[name]], character(1))
  answer <- plain_frame(list(
    group = part("group"), term = part("term"),
    m2ll = vapply(smaller, function(core) core$criterion, numeric(1)),
    statistic = rises, df = df,
    p.value = mapply(mixture_p, rises, weights),
    p.naive = stats::pchisq(rises, df, lower.tail = FALSE),
    mixture = vapply(weights, mixture_words, character(1)),
    boundary = vapply(smaller, function(core) core$status == 1L, logical(1))
  ))
  if (nsim > 0) {
    simulated <- mapply(simulated_p, reductions, smaller, rises,
      MoreArgs = list(fit = fit, nsim = nsim, seed = seed))
    answer <- plain_frame(append(answer, list(p.simulated = simulated), after = 7L))
  }
  structure(
    answer,
    row.names = make.unique(part("label")), weights = weights,
    m2ll = component(fit, "criterion"), method = component(fit, "method"), nsim = nsim,
    class = c("samepage_random_tests", "data.frame")
  )
}

# --- smaller models ---------------------------------------------------------------

#' What can be left out of the random part
#'
#' @returns A list: per test `group`, `term` and `label` (words), `block` and `columns`
#'   (what leaves which block), `blocks` (of the smaller model), `df`.
#' @noRd
random_reductions <- function(fit, reduce) {
  blocks <- component(fit, "blocks")
  frame <- component(fit, "frame")
  random <- component(fit, "random")
  reductions <- lapply(seq_along(blocks), function(i) {
    q <- length(blocks[[i]]$columns)
    terms <- random[[i]]$terms
    scope <- if (reduce && q > 1L) stats::drop.scope(terms)
    assign <- frame_columns(terms, frame, random[[i]]$contrasts)$assign
    left <- lapply(scope, function(term) which(assign == match(term, attr(terms, "term.labels"))))
    whole <- length(left) == 0L || any(lengths(left) == q)
    if (whole) {
      left <- list(seq_len(q))
    }
    lapply(seq_along(left), function(j) {
      one_reduction(blocks, i, left[[j]], if (whole) NULL else scope[j], code_of(terms[[2L]]))
    })
  })
  unlist(reductions, recursive = FALSE)
}

one_reduction <- function(blocks, i, columns, variable, code) {
  block <- blocks[[i]]
  q <- length(block$columns)
  r <- length(columns)
  term <- paste0("(", code, " | ", block$group, ")")
  if (r == q) {
    blocks <- blocks[-i]
  } else {
    blocks[[i]]$columns <- block$columns[-columns]
    blocks[[i]]$names <- block$names[-columns]
  }
  list(
    group = block$group, term = if (is.null(variable)) term else variable,
    label = if (is.null(variable)) term else paste(variable, "in", term),
    block = i, columns = columns, blocks = blocks, df = r * (q - r) + r * (r + 1) / 2
  )
}

# The smaller model's solution, from the same reduced data.
fit_without <- function(fit, reduction, reduced = component(fit, "reduced")) {
  reml <- component(fit, "reml")
  if (length(reduction$blocks) > 0L) {
    return(fit_reduced(reduced, reduction$blocks, reml, component(fit, "control")))
  }
  # Nothing random but the residuals. The criterion is then nu log s + Q / s, so its
  # derivative at any s gives Q, and the minimum is at Q / nu.
  blocks <- component(fit, "blocks")
  at <- numeric(component(fit, "n_parameters"))
  k <- length(at)
  s <- component(fit, "residual_variance")
  at[k] <- s
  nu <- component(fit, "n") - if (reml) component(fit, "rank") else 0
  slope <- evaluate_reduced(reduced, blocks, at, reml)$gradient[k]
  at[k] <- s - s^2 * slope / nu
  core <- evaluate_reduced(reduced, blocks, at, reml)
  core$parameters <- at[k]
  core$status <- 0L
  core
}

# The same optimum reached twice differs by rounding: that is no rise.
criterion_rise <- function(fit, core, criterion = component(fit, "criterion")) {
  rise <- core$criterion - criterion
  if (rise < 1e-9 * max(1, abs(criterion))) 0 else rise
}

# --- the reference distribution -----------------------------------------------------

#' Weights of the chi-square distributions in the mixture
#'
#' At a covariance matrix that is regular in the effects kept and zero in the r left out,
#' the parameters may move freely but for the r by r matrix, which must not become
#' negative: chi-square with r (q - r) for the covariances, plus the squared length of
#' a normal vector's projection on the cone of such matrices, in the metric of the
#' information that the other parameters leave for them.
#'
#' @returns A vector named by the degrees of freedom, with attribute `bound` where it gives
#'   an upper bound of p only.
#' @noRd
mixture_weights <- function(fit, reduction, core) {
  q <- length(component(fit, "blocks")[[reduction$block]]$columns)
  r <- length(reduction$columns)
  free <- r * (q - r)
  if (r == 2L) {
    weights <- cone_weights(left_information(fit, reduction, core))
    if (!is.null(weights)) {
      return(stats::setNames(weights, free + 0:3))
    }
  }
  weights <- stats::setNames(c(0.5, 0.5), reduction$df - 1:0)
  if (r > 1L) structure(weights, bound = TRUE) else weights
}

# The smaller model's parameters among the larger's: zero for all that is left out.
embedded_parameters <- function(fit, reduction, core) {
  table <- component(fit, "parameter_table")
  gone <- table$block %in% reduction$block &
    (table$row %in% reduction$columns | table$column %in% reduction$columns)
  at <- numeric(nrow(table))
  at[!gone] <- core$parameters
  at
}

# Expected information on the covariance matrix of the effects left out, at the smaller
# model's solution, less what the other parameters take.
left_information <- function(fit, reduction, core) {
  information <- evaluate_reduced(
    component(fit, "reduced"), component(fit, "blocks"), embedded_parameters(fit, reduction, core),
    component(fit, "reml")
  )$expected
  table <- component(fit, "parameter_table")
  left <- table$block %in% reduction$block &
    table$row %in% reduction$columns & table$column %in% reduction$columns
  scale <- 1 / sqrt(diag(information))
  information <- information * outer(scale, scale)
  # Of a smaller model on a boundary, some of the others may say the same.
  others <- eigen(information[!left, !left, drop = FALSE], symmetric = TRUE)
  across <- crossprod(others$vectors, information[!left, left, drop = FALSE])
  known <- others$values > 1e-10 * others$values[1L]
  explained <- crossprod(across[known, , drop = FALSE] / sqrt(others$values[known]))
  (information[left, left] - explained) / outer(scale[left], scale[left])
}

#' Weights of the chi-bar-square of a 2 by 2 covariance matrix
#'
#' On the sphere, the cone of (c11, c21, c22) with c11 c22 >= c21^2 has a smooth closed
#' boundary. Its length over 4 pi is the weight of 2 degrees of freedom, that of the polar
#' cone's boundary the weight of 1; even and odd degrees of freedom have half the
#' weight each. Both curves are periodic, so equal steps integrate them to all digits.
#'
#' @param information 3 x 3, the metric.
#' @returns Weights of 0, 1, 2 and 3 degrees of freedom; NULL for a singular metric.
#' @noRd
cone_weights <- function(information) {
  scale <- 1 / sqrt(diag(information))
  # Scaled to equal variances, the cone stays what it is: only c21 changes its unit.
  units <- c(scale[1L], sqrt(scale[1L] * scale[3L]), scale[3L])
  root <- tryCatch(chol(information * outer(units, units)), error = function(condition) NULL)
  if (is.null(root)) {
    return(NULL)
  }
  angle <- pi * seq_len(720L) / 720
  ray <- rbind(cos(angle)^2, sin(2 * angle) / 2, sin(angle)^2)
  first <- rbind(-sin(2 * angle), cos(2 * angle), sin(2 * angle))
  second <- 2 * rbind(-cos(2 * angle), -sin(2 * angle), cos(2 * angle))
  ray <- root %*% ray
  normal <- cross_product(ray, root %*% first)
  turn <- cross_product(normal, cross_product(ray, root %*% second))
  speed <- sqrt(colSums(normal^2)) / colSums(ray^2)
  polar_speed <- sqrt(colSums(turn^2)) / colSums(normal^2)
  odd <- mean(polar_speed) / 4
  even <- mean(speed) / 4
  c(0.5 - even, odd, even, 0.5 - odd)
}

# Of columns of two matrices with three rows.
cross_product <- function(a, b) {
  rbind(
    a[2L, ] * b[3L, ] - a[3L, ] * b[2L, ],
    a[3L, ] * b[1L, ] - a[1L, ] * b[3L, ],
    a[1L, ] * b[2L, ] - a[2L, ] * b[1L, ]
  )
}

mixture_p <- function(statistic, weights) {
  df <- as.numeric(names(weights))
  tail <- ifelse(df == 0, statistic <= 0, stats::pchisq(statistic, df, lower.tail = FALSE))
  min(sum(weights * tail), 1)
}

# ".5 chi2(1) + .5 chi2(2)".
mixture_words <- function(weights) {
  size <- sub("^0", "", format(round(as.vector(weights), 3L), trim = TRUE))
  words <- paste0(size, " chi2(", names(weights), ")", collapse = " + ")
  if (isTRUE(attr(weights, "bound"))) paste("at most", words) else words
}

# The share of responses simulated from the smaller model whose statistic is as large; the
# data's own counts as one of them. Which fixed effects they are drawn with does not
# matter, the statistic does not depend on them.
simulated_p <- function(fit, reduction, core, statistic, nsim, seed) {
  null <- with_parameters(fit, embedded_parameters(fit, reduction, core))
  replay <- kept_replay(fit)$replay
  rises <- map_drawn_responses(null, nsim, seed, function(y) {
    larger <- solve_response(fit, replay, y)
    criterion_rise(fit, fit_without(fit, reduction, larger$reduced), larger$criterion)
  }, numeric(1))
  (1 + sum(rises >= statistic)) / (1 + length(rises))
}

#' @export
print.samepage_random_tests <- function(x, ...) {
  check_no_dots(...)
  if (!is_whole(x, c("m2ll", "statistic", "df", "p.value", "p.naive", "mixture", "boundary"))) {
    return(print_as_plain(x))
  }
  reml <- attr(x, "method") == "REML"
  cat(
    "Tests of random effects by ", if (reml) "restricted " else "", "likelihood ratio\n",
    "Each is left out in turn; -2 ", if (reml) "restricted ", "log L of the fit: ",
    formatC(attr(x, "m2ll"), format = "f", digits = 3), "\n\n",
    sep = ""
  )
  columns <- list(
    `-2 log L` = formatC(x$m2ll, format = "f", digits = 3),
    `Chi-sq` = formatC(x$statistic, format = "f", digits = 3), df = format(x$df),
    p = format_p(x$p.value), `naive p` = format_p(x$p.naive),
    `simulated p` = if (attr(x, "nsim") > 0) format_p(x$p.simulated)
  )
  table <- do.call(cbind, columns[lengths(columns) > 0L])
  rownames(table) <- ifelse(x$boundary, paste0(row.names(x), " *"), row.names(x))
  print_table(table)
  together <- split(row.names(x), factor(x$mixture, levels = unique(x$mixture)))
  notes <- c(
    "",
    "A variance cannot be negative, so p is from a mixture of chi-squares (naive p: from df):",
    paste0(
      "  ", names(together),
      if (length(together) > 1L) paste0(" for ", vapply(together, paste, "", collapse = ", "))
    ),
    if (any(startsWith(x$mixture, "at most"))) {
      "With several effects left out at once, \"at most\" marks an upper bound of p."
    },
    if (any(x$boundary)) {
      "* The smaller model lies on a boundary itself: its p is approximate."
    },
    if (attr(x, "nsim") > 0) {
      paste0("Simulated p: from ", attr(x, "nsim"), " responses drawn from each smaller model.")
    }
  )
  cat(notes, sep = "\n")
  invisible(x)
}
