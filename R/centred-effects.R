# Random effects in coordinates of their own, for inference. A covariance matrix of effects at
# year 0, far from the data, has entries that nearly cancel, and its information no digits
# between them. There each column before a bar is taken without what the columns beside it in all
# its terms say of it: time without its mean, for example. That is another way of writing the
# same model, with Z C for Z and G = C Gamma C' in every block.

#' The reduced data and the parameters of a fit in such coordinates
#'
#' @returns A list: `reduced`, `parameters` (of the core, in these coordinates), `into` and
#'   `back` (k x k: the user's parameters are `into %*% parameters`), or NULL where the
#'   user's coordinates do.
#' @noRd
centred_effects <- function(reduced, blocks, parameters) {
  centring <- if (reduced$q > 1L) centring_columns(reduced, blocks)
  if (is.null(centring)) {
    return(NULL)
  }
  q <- reduced$q
  inverse <- backsolve(centring, diag(q))
  # Column j takes from earlier ones only: the units' factors stay triangular, equal ones equal.
  reduced$R <- combine_columns(reduced$R, q, centring)
  crossed <- reduced$crossed
  if (!is.null(crossed)) {
    d <- reduced$p + 1L
    crossed$u <- combine_columns(crossed$u, q, centring)
    crossed$b <- combine_columns(crossed$b, d, centring)
    crossed$rest <- combine_columns(crossed$rest, d, centring)
    crossed$centre <- combine_columns(crossed$centre, d, t(inverse))
    side <- length(crossed$b) %/% d
    for (turn in 1:2) {
      crossed$A <- t(matrix(crossprod(centring, matrix(crossed$A, q)), side))
    }
    crossed$A <- as.vector(crossed$A)
    reduced$crossed <- crossed
  }
  back <- congruence(blocks, inverse)
  list(
    reduced = reduced, parameters = drop(back %*% parameters),
    into = congruence(blocks, centring), back = back
  )
}

# M times C for each of the matrices M, of so many rows, that stand one after the other in x.
combine_columns <- function(x, rows, by) {
  q <- nrow(by)
  from <- array(x, c(rows, q, length(x) %/% (rows * q)))
  into <- from
  for (j in seq_len(q)) {
    into[, j, ] <- by[j, j] * from[, j, ]
    for (i in which(by[, j] != 0 & seq_len(q) != j)) {
      into[, j, ] <- into[, j, ] + by[i, j] * from[, i, ]
    }
  }
  as.vector(into)
}

# C, or NULL where no column is mostly what others say of it.
centring_columns <- function(reduced, blocks) {
  q <- reduced$q
  # Its least squares are those of Z itself.
  rows <- matrix(reduced$z_factor, q)
  squares <- crossprod(rows)
  if (q == 2L && squares[1L, 2L]^2 < 0.99 * squares[1L, 1L] * squares[2L, 2L]) {
    return(NULL)
  }
  beside <- lapply(seq_len(q), function(j) {
    together <- NULL
    for (block in blocks) {
      if (j %in% block$columns) {
        earlier <- block$columns[block$columns < j]
        together <- if (is.null(together)) earlier else together[together %in% earlier]
      }
    }
    together
  })
  mostly <- vapply(seq_len(q), function(j) {
    i <- beside[[j]]
    if (length(i) == 0L || squares[j, j] == 0) {
      return(FALSE)
    }
    share <- if (length(i) == 1L && squares[i, i] > 0) {
      squares[i, j] / squares[i, i]
    } else {
      known_coef(squares[i, i, drop = FALSE], squares[i, j])
    }
    squares[j, j] - sum(squares[i, j] * share) < 0.01 * squares[j, j]
  }, logical(1))
  if (!any(mostly)) {
    return(NULL)
  }
  centring <- diag(q)
  for (j in which(mostly)) {
    centring[beside[[j]], j] <- -known_coef(rows[, beside[[j]], drop = FALSE], rows[, j])
  }
  centring
}

# Least-squares coefficients, 0 for columns that depend on others.
known_coef <- function(x, y) {
  coef <- qr.coef(qr(x), y)
  coef[is.na(coef)] <- 0
  coef
}

# The linear map of parameters that turns Gamma into C Gamma C' in every block; s stays.
congruence <- function(blocks, by) {
  sizes <- lengths(lapply(blocks, `[[`, "columns"))
  k <- sum(sizes * (sizes + 1L) / 2L) + 1L
  map <- matrix(0, k, k)
  map[k, k] <- 1
  before <- 0L
  for (block in blocks) {
    own <- by[block$columns, block$columns, drop = FALSE]
    places <- which(lower.tri(own, diag = TRUE), arr.ind = TRUE)
    for (r in seq_len(nrow(places))) {
      i <- places[r, 1L]
      j <- places[r, 2L]
      product <- tcrossprod(own[, i], own[, j])
      if (i != j) {
        product <- product + t(product)
      }
      map[before + seq_len(nrow(places)), before + r] <- product[lower.tri(own, diag = TRUE)]
    }
    before <- before + nrow(places)
  }
  map
}

# Parameters that follow from those before them while every block keeps its rank. G = F F', and
# F's rows are the coordinates of the face: the parameters' derivatives by them, row by row.
fixed_by_boundary <- function(blocks, parameters, rank) {
  fixed <- Map(function(covariance, rank) {
    n <- nrow(covariance)
    places <- which(lower.tri(covariance, diag = TRUE), arr.ind = TRUE)
    if (rank == n) {
      return(logical(nrow(places)))
    }
    scale <- sqrt(diag(covariance))
    scale[scale == 0] <- 1
    parts <- eigen(covariance / tcrossprod(scale), symmetric = TRUE)
    root <- parts$vectors[, seq_len(rank), drop = FALSE]
    # Rounding may leave less than nothing of a small one.
    root <- root * rep(sqrt(pmax(parts$values[seq_len(rank)], 0)), each = n)
    slopes <- apply(places, 1L, function(place) {
      slope <- matrix(0, n, rank)
      slope[place[1L], ] <- root[place[2L], ]
      slope[place[2L], ] <- slope[place[2L], ] + root[place[1L], ]
      slope
    })
    slopes <- matrix(slopes, ncol = nrow(places))
    dependent <- logical(nrow(places))
    for (r in seq_len(nrow(places))) {
      before <- slopes[, seq_len(r - 1L)[!dependent[seq_len(r - 1L)]], drop = FALSE]
      left <- if (ncol(before)) qr.resid(qr(before), slopes[, r]) else slopes[, r]
      dependent[r] <- sqrt(sum(left^2)) <= 1e-7 * sqrt(sum(slopes[, r]^2))
    }
    dependent
  }, block_covariances(blocks, parameters), rank)
  c(unlist(fixed), FALSE)
}
