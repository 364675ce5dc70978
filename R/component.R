# The one door to a fit's insides. Everything that reads a fit (methods,
# inference, printing) asks here by name, so the layout of the list can change in
# one place.

#' Read one part of a fit
#'
#' @param fit A fit of class `samepage_lmm`.
#' @param name One of
#' * as given by the user: `call`, `formula`, `method`, `df`, `information`, `control`, `frame`;
#' * of the design: `x_names` (all columns), `kept`, `aliased`, `assign`,
#'   `contrasts`, `xlevels`, `z_names`, `groups`, `n_units` (named by level, innermost
#'   first), `blocks`, `groupings`, `crossed`, `random`;
#' * of the data: `n`, `rank` (of X), `terms`, `na_action`, `response`, `weights`,
#'   `offset`, `cache` (an environment for what refits share);
#' * of the solution: `beta` and `vcov` (named), `parameters`, `criterion`,
#'   `gradient`, `observed`, `expected`, `average`, `vcov_parameters`,
#'   `redundant`, `dvcov`, `status` ("ok", "boundary" or "failed"), `reason`,
#'   `block_rank`, `iterations`, `evaluations`, `reduced` (the data in small matrices);
#' * made from it: `reml`, `residual_variance`, `covariances` (one named matrix
#'   per block), `parameter_table` (one row per parameter: grp, var1, var2, as
#'   in lme4), `n_parameters` (of covariance).
#' @returns The part. An unknown name is an error.
#' @noRd
component <- function(fit, name) {
  # .subset2(), because `$` on a classed list looks for a method each time.
  core <- .subset2(fit, "core")
  design <- .subset2(fit, "design")
  switch(name,
    call = ,
    formula = ,
    method = ,
    df = ,
    information = ,
    control = ,
    frame = ,
    cache = .subset2(fit, name),
    x_names = ,
    kept = ,
    aliased = ,
    assign = ,
    contrasts = ,
    xlevels = ,
    z_names = ,
    groups = ,
    n_units = ,
    groupings = ,
    crossed = ,
    random = ,
    blocks = design[[name]],
    n = core$reduced$n,
    rank = core$reduced$p,
    terms = attr(.subset2(fit, "frame"), "terms"),
    na_action = attr(.subset2(fit, "frame"), "na.action"),
    response = stats::model.response(.subset2(fit, "frame")),
    weights = stats::model.weights(.subset2(fit, "frame")),
    offset = stats::model.offset(.subset2(fit, "frame")),
    beta = stats::setNames(core$beta, design$x_names[design$kept]),
    vcov = name_square(inference_parts(fit)$vcov, design$x_names[design$kept]),
    gradient = ,
    observed = ,
    expected = ,
    average = ,
    vcov_parameters = ,
    redundant = ,
    dvcov = inference_parts(fit)[[name]],
    reason = reason_code(fit),
    parameters = ,
    criterion = ,
    reduced = ,
    iterations = ,
    evaluations = core[[name]],
    status = c("ok", "boundary", "failed")[core$status + 1L],
    block_rank = core$rank,
    reml = identical(.subset2(fit, "method"), "REML"),
    residual_variance = core$parameters[length(core$parameters)],
    covariances = block_covariances(design$blocks, core$parameters),
    parameter_table = parameter_table(design$blocks),
    n_parameters = length(core$parameters),
    rlang::abort(paste0("A fit has no component `", name, "`."), .internal = TRUE)
  )
}

# Computed when first asked for and kept, since a fit never changes.
inference_parts <- function(fit) {
  kept <- .subset2(fit, "inference")
  if (is.null(kept$parts)) {
    kept$parts <- infer_reduced(
      .subset2(fit, "core"), .subset2(fit, "design")$blocks, component(fit, "reml")
    )
  }
  kept$parts
}

# The solution for another response of the design, given as the core takes it: without the offset.
# One look at each part, because bootstraps ask for nothing else.
solve_response <- function(fit, replay, y) {
  core <- .subset2(fit, "core")
  fit_reduced(
    respond_reduced(core$reduced, replay, y), .subset2(fit, "design")$blocks,
    .subset2(fit, "method") == "REML", .subset2(fit, "control"), core$factors
  )
}

# An optimum may leave some parameters undetermined, which only inference can tell.
reason_code <- function(fit) {
  reason <- .subset2(fit, "core")$reason
  if (reason == 0L && inference_parts(fit)$undetermined) reason_undetermined else reason
}

name_square <- function(x, names) {
  dimnames(x) <- list(names, names)
  x
}

# One covariance matrix per block from the vector of parameters, which runs
# through each block's lower triangle column by column.
block_covariances <- function(blocks, parameters) {
  used <- 0L
  lapply(blocks, function(block) {
    q <- length(block$columns)
    covariance <- matrix(0, q, q, dimnames = list(block$names, block$names))
    for (j in seq_len(q)) {
      below <- j:q
      covariance[below, j] <- covariance[j, below] <- parameters[used + seq_along(below)]
      used <<- used + length(below)
    }
    covariance
  })
}

# What each parameter is, in the words of lme4's as.data.frame(VarCorr()):
# var2 is NA for a variance, var1 and var2 are NA for the residual variance, and
# further blocks of one group are numbered (Subject, Subject.1); `name` is the group
# without its number. `block`, `row` and `column` say where it sits.
parameter_table <- function(blocks) {
  names <- lapply(blocks, function(block) block$names)
  group <- vapply(blocks, function(block) block$group, character(1))
  q <- lengths(names)
  k <- (q * (q + 1L)) %/% 2L
  block <- rep.int(seq_along(blocks), k)
  row <- unlist(lapply(q, function(n) sequence(n:1, seq_len(n))))
  column <- unlist(lapply(q, function(n) rep.int(seq_len(n), n:1)))
  first <- (cumsum(q) - q)[block]
  names <- unlist(names)
  var2 <- names[first + row]
  var2[row == column] <- NA_character_
  plain_frame(list(
    grp = c(make.unique(group)[block], "Residual"), name = c(group[block], "Residual"),
    var1 = c(names[first + column], NA_character_), var2 = c(var2, NA_character_),
    block = c(block, NA_integer_), row = c(row, NA_integer_), column = c(column, NA_integer_)
  ))
}

# A data frame from columns known to be of equal length: data.frame() checks
# and renames, at a cost that summary() would feel.
plain_frame <- function(columns) {
  frame_of(columns, .set_row_names(length(columns[[1L]])))
}
