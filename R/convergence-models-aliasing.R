# Columns of a model that are combinations of earlier ones: found in the fit's
# own pivoting, whatever they are, and explained by name.

# One row per dropped column: what it equals, as text for the user, and the
# kind of reason, which decides on the advice.
aliased_table <- function(fits, settings) {
  parts <- lapply(seq_along(fits), function(number) {
    fit <- fits[[number]]
    aliased <- component(fit, "aliased")
    if (!length(aliased)) {
      return(NULL)
    }
    weights <- alias_weights(fit)
    # Intercept and time only shift: a centred and a raw copy are one predictor.
    shifts <- c("(Intercept)", settings$time)
    data.frame(
      model = number, term = colnames(weights),
      equals = apply(weights, 2L, combination_text, shifts = shifts),
      reason = vapply(colnames(weights), function(term) {
        alias_reason(term, weights[, term], shifts, settings)
      }, ""),
      row.names = NULL
    )
  })
  table <- do.call(rbind, parts)
  if (is.null(table)) {
    table <- data.frame(
      model = integer(), term = character(), equals = character(), reason = character()
    )
  }
  table
}

# Weights of the kept columns (rows) in each dropped column (columns).
alias_weights <- function(fit) {
  design <- stats::model.matrix(
    component(fit, "terms"), component(fit, "frame"), component(fit, "contrasts")
  )
  kept <- component(fit, "x_names")[component(fit, "kept")]
  dropped <- setdiff(component(fit, "x_names"), kept)
  base <- design[, kept, drop = FALSE]
  weights <- qr.coef(qr(base), design[, dropped, drop = FALSE])
  # A weight is noise when its column's contribution is small beside the others'.
  size <- abs(weights) * sqrt(colSums(base^2))
  weights[size < 1e-7 * rep(pmax(apply(size, 2L, max), 1e-300), each = nrow(size))] <- 0
  weights
}

# What a dropped column equals, up to the constant that centring adds.
combination_text <- function(weights, shifts) {
  used <- weights[weights != 0]
  apart <- setdiff(names(used), shifts)
  used <- if (length(apart)) used[apart] else used
  if (!length(used)) {
    return("0")
  }
  names(used)[names(used) == "(Intercept)"] <- "1"
  size <- signif(abs(used), 4L)
  factor <- ifelse(size == 1, "", paste0(format(size, trim = TRUE, digits = 4L), " "))
  sign <- ifelse(used < 0, " - ", " + ")
  text <- paste0(sign, factor, names(used), collapse = "")
  sub("^ - ", "-", sub("^ \\+ ", "", text))
}

# Which of the known cases a dropped column is; "other" for the rest.
alias_reason <- function(term, weights, shifts, settings) {
  bare <- function(names) sub(paste0(":", settings$time), "", names, fixed = TRUE)
  used <- bare(setdiff(names(weights)[weights != 0], shifts))
  early <- paste0("early_", settings$scores$raters)
  if (!length(used)) {
    "constant"
  } else if (bare(term) %in% early && identical(used, "initial")) {
    "initial"
  } else if (bare(term) == "early_discrepancy" && all(used %in% c(early, "initial"))) {
    "discrepancy"
  } else {
    "other"
  }
}

# Sentences on the dropped columns of one or several models.
alias_sentences <- function(models) {
  table <- attr(models, "aliased")
  settings <- attr(models, "settings")
  if (!nrow(table)) {
    return(character())
  }
  table <- table[!duplicated(table[c("term", "equals")]), , drop = FALSE]
  vapply(unique(table$reason), function(reason) {
    rows <- table[table$reason == reason, , drop = FALSE]
    equations <- paste0("`", rows$term, "` = ", rows$equals, collapse = "; ")
    dropped <- paste0("`", rows$term, "`", collapse = " and ")
    it <- if (nrow(rows) == 1L) "it was" else "they were"
    switch(reason,
      discrepancy = paste0(
        "The signed early discrepancy is the difference of the two early levels (", equations,
        "), so the data cannot tell the three apart. Dropped, as the later: ", dropped, ". ",
        "Ways out: scores with early_discrepancy = \"absolute\", or alliance = \"mean\" ",
        "(mean and discrepancy instead of the two levels)."
      ),
      initial = paste0(
        "The initial outcome and the early rating are the same numbers (", equations, "): ",
        if (settings$outcome %in% settings$scores$raters) {
          paste0("the outcome `", settings$outcome, "` is also one of the two ratings. ")
        } else {
          "the initial value is also one of the two ratings. "
        },
        "Dropped, as the later: ", dropped, "; `initial` stands for both. ",
        "Way out: name another `initial` column."
      ),
      constant = paste0(
        dropped, if (nrow(rows) == 1L) " was" else " were",
        " dropped: the predictor is the same for all dyads of the model (", equations,
        "), so it has no effect to estimate."
      ),
      paste0(
        dropped, if (nrow(rows) == 1L) " is" else " are",
        " an exact combination of earlier columns (", equations, "), so ", it,
        " dropped, as lm() does. The kept ones stand for both: leave one of them out ",
        "on purpose if another choice reads better."
      )
    )
  }, "", USE.NAMES = FALSE)
}
