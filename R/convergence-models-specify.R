# What the user of convergence_models() asked for: arguments, formula and
# covariates read by hand, and the models' terms put together from them.

# `...` reaches lmm(), but only what cannot disturb the choice of rows.
model_fit_arguments <- function(..., call = rlang::caller_env()) {
  arguments <- list(...)
  allowed <- c("method", "df", "contrasts", "control")
  given <- names(arguments)
  if (is.null(given)) {
    given <- character(length(arguments))
  }
  wrong <- !given %in% allowed
  if (any(wrong)) {
    given[given == ""] <- "an unnamed argument"
    chooses_rows <- intersect(given, c("subset", "weights", "na.action", "offset"))
    stop_samepage(
      "argument",
      c(
        paste0("convergence_models() has no argument ", some_of(given[wrong]), "."),
        i = paste0(
          "Besides its own arguments it takes those of lmm(): ",
          paste(allowed, collapse = ", "), "."
        ),
        i = if (length(chooses_rows)) {
          "Choose the rows in `data` itself, so that scores, centring and counts agree."
        }
      ),
      call = call
    )
  }
  arguments
}

# `outcome ~ time | dyad` or `outcome ~ time | cluster/dyad`, read by hand.
outcome_formula <- function(formula, call = rlang::caller_env()) {
  refuse <- function(part, found, advice = NULL) {
    stop_samepage(
      "formula",
      c(
        "`formula` must read `outcome ~ time | dyad` (or `outcome ~ time | cluster/dyad`).",
        x = paste0(part, ": ", found, "."),
        i = advice
      ),
      call = call
    )
  }
  if (!inherits(formula, "formula")) {
    refuse("It is not a formula", paste0("its class is ", some_of(class(formula))))
  }
  if (length(formula) != 3L) {
    refuse("Left side", "there is no outcome before `~`")
  }
  outcome <- formula[[2L]]
  right <- strip_parentheses(formula[[3L]])
  if (rlang::is_call(outcome, "+")) {
    refuse(
      "Left side", paste0("`", code_of(outcome), "` is a sum"),
      "The raters belong to convergence(); here stands the one outcome, I(a + b) if it is a sum."
    )
  }
  if (!rlang::is_call(right, "|", n = 2L)) {
    refuse("Right side", paste0("no `| dyad` in `", code_of(right), "`"))
  }
  time <- strip_parentheses(right[[2L]])
  if (!length(all.vars(time))) {
    refuse("Time", paste0("`", code_of(time), "` names no column"))
  }
  if (rlang::is_call(time, c("+", "-", "*", "/", "^", ":", "|", "||", "%in%"))) {
    refuse(
      "Time", paste0("`", code_of(time), "` is not one variable"),
      "Write arithmetic inside I(), as in I(session - 1)."
    )
  }
  ids <- nested_names(right[[3L]])
  if (is.null(ids)) {
    refuse(
      "Dyad", paste0("`", code_of(right[[3L]]), "` is not a column or `cluster/dyad`")
    )
  }
  list(
    formula = formula, env = environment(formula),
    outcome = outcome, time = time, ids = ids,
    outcome_name = code_of(outcome), time_name = code_of(time)
  )
}

# Names in `a/b/c`, outermost first; NULL when it is anything else.
nested_names <- function(expression) {
  expression <- strip_parentheses(expression)
  if (is.symbol(expression)) {
    return(as.character(expression))
  }
  if (!rlang::is_call(expression, "/", n = 2L) || !is.symbol(expression[[3L]])) {
    return(NULL)
  }
  outer <- nested_names(expression[[2L]])
  if (is.null(outer)) NULL else c(outer, as.character(expression[[3L]]))
}

# Labels of the covariates' terms, their variables, and whether they were
# named one by one (then numeric ones are centred) or written as a formula.
covariate_terms <- function(covariates, formula, call = rlang::caller_env()) {
  if (is.null(covariates) || (is.character(covariates) && !length(covariates))) {
    return(list(labels = character(), variables = character(), columns = character()))
  }
  if (is.character(covariates) && !anyNA(covariates)) {
    covariates <- unique(covariates)
    return(list(
      labels = vapply(covariates, backquoted, "", USE.NAMES = FALSE),
      variables = covariates, columns = covariates
    ))
  }
  one_sided <- inherits(covariates, "formula") && length(covariates) == 2L
  if (!one_sided || any(c("|", "||") %in% all.names(covariates))) {
    stop_samepage(
      "covariates",
      c(
        paste(
          "`covariates` must be column names (a character vector)",
          "or a one-sided formula without `|`."
        ),
        x = paste0("It is ", some_of(deparse(covariates, nlines = 1L)), "."),
        i = "For example c(\"age\", \"treatment\") or ~ age + treatment * session."
      ),
      call = call
    )
  }
  specified <- stats::terms(covariates)
  if (attr(specified, "intercept") == 0L || !is.null(attr(specified, "offset"))) {
    stop_samepage(
      "covariates",
      c(
        "`covariates` may neither remove the intercept nor hold an offset.",
        x = paste0("It is ", some_of(deparse(covariates, nlines = 1L)), ".")
      ),
      call = call
    )
  }
  list(
    labels = attr(specified, "term.labels"), variables = all.vars(covariates),
    columns = character()
  )
}

# The clusters' column and what of it is random: "therapist" or ~ 1 | therapist.
cluster_term <- function(cluster, parts, call = rlang::caller_env()) {
  if (is.null(cluster)) {
    return(NULL)
  }
  name <- NULL
  slope <- TRUE
  if (is.character(cluster) && length(cluster) == 1L && !is.na(cluster)) {
    name <- cluster
  } else if (inherits(cluster, "formula") && length(cluster) == 2L) {
    right <- strip_parentheses(cluster[[2L]])
    if (rlang::is_call(right, "|", n = 2L) && is.symbol(right[[3L]])) {
      slope <- !identical(right[[2L]], 1)
      if (!slope || identical(right[[2L]], parts$time)) {
        name <- as.character(right[[3L]])
      }
    }
  }
  if (is.null(name) || name == utils::tail(parts$ids, 1L)) {
    stop_samepage(
      "cluster",
      c(
        "`cluster` must name the column of the clusters, or be `~ 1 | column`.",
        x = if (is.null(name)) {
          paste0("It is ", some_of(deparse(cluster, nlines = 1L)), ".")
        } else {
          paste0("`", name, "` is the column of the dyads.")
        }
      ),
      call = call
    )
  }
  list(name = name, slope = slope)
}

backquoted <- function(name) {
  paste(deparse(as.name(name), backtick = TRUE), collapse = "")
}

# ---- The models' terms ------------------------------------------------------

# Three plans: the predictors each needs, its formula, and the table's labels.
model_plans <- function(predictors, parts, covariates, form) {
  time <- backquoted_time(parts)
  by_time <- function(terms) paste0(vapply(terms, backquoted_term, ""), ":", time)
  equations <- form == "equations"
  controls <- predictors$controls
  level <- list(
    null = character(),
    convergence = c("initial", "convergence"),
    full = c("initial", controls, "convergence")
  )
  interaction <- "development:convergence"
  products <- list(
    null = character(),
    convergence = c(if (equations) "initial", "convergence"),
    full = c(if (equations) "initial", controls, "convergence", interaction)
  )
  terms <- list(
    null = time,
    convergence = c(backquoted_each(level$convergence), time, by_time(products$convergence)),
    full = c(
      backquoted_each(level$full), if (equations) interaction, time, by_time(products$full)
    )
  )
  terms$convergence <- c(terms$convergence, covariates$labels)
  terms$full <- c(terms$full, covariates$labels)
  plans <- lapply(names(level), function(name) {
    list(
      name = name, number = match(name, names(level)), predictors = level[[name]],
      formula = mixed_formula(terms[[name]], parts),
      covariates = if (name == "null") character() else covariates$variables
    )
  })
  names(plans) <- names(level)
  plans
}

backquoted_each <- function(names) vapply(names, backquoted, "", USE.NAMES = FALSE)

backquoted_term <- function(term) {
  paste(backquoted_each(strsplit(term, ":", fixed = TRUE)[[1L]]), collapse = ":")
}

# Time as it stands in coefficient names: `my time` keeps its backquotes there.
backquoted_time <- function(parts) {
  if (is.symbol(parts$time)) backquoted(as.character(parts$time)) else parts$time_name
}

# outcome ~ terms + (time | dyad), in the environment of the user's formula.
mixed_formula <- function(terms, parts) {
  # Innermost first, as lme4 names the dyads of `cluster/dyad`.
  group <- paste(rev(backquoted_each(parts$ids)), collapse = ":")
  time <- backquoted_time(parts)
  random <- paste0("(", time, " | ", group, ")")
  if (!is.null(parts$cluster)) {
    of_cluster <- if (parts$cluster$slope) time else "1"
    random <- c(random, paste0("(", of_cluster, " | ", backquoted(parts$cluster$name), ")"))
  }
  formula <- stats::as.formula(
    paste("~", paste(c(terms, random), collapse = " + ")),
    env = parts$env
  )
  formula[[3L]] <- formula[[2L]]
  formula[[2L]] <- parts$outcome
  formula
}
