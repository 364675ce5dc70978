# The slow, plain reference for the mixed model: the textbook formulas with the
# full n x n covariance matrix V of the response, nothing reduced, nothing
# shared between units. It is written for reading; it is what the C core is
# compared with. Notation: y ~ N(X beta, V(r)), V linear in the parameters r,
#   P = V^-1 - V^-1 X (X'V^-1 X)^-1 X'V^-1,   Phi = (X'V^-1 X)^-1.
#
# A design is a list with X (n x p), y, Z (n x q: every random-effects column
# once), groups (one integer code vector per level) and weights (or NULL). A
# block is a list with level and columns (into Z): one unstructured covariance
# matrix. Parameters run block by block through the lower triangle, column by
# column, and end with the residual variance.

# The (row, column) pairs of a lower triangle, column by column.
reference_pairs <- function(q) {
  which(lower.tri(diag(q), diag = TRUE), arr.ind = TRUE)
}

reference_n_parameters <- function(blocks) {
  sizes <- vapply(blocks, function(block) length(block$columns), integer(1))
  sum(sizes * (sizes + 1) / 2) + 1
}

# The derivative of V in every parameter: because V is linear in them, V itself
# is the sum of parameter times derivative.
reference_directions <- function(design, blocks) {
  directions <- list()
  for (block in blocks) {
    unit <- design$groups[[block$level]]
    same_unit <- outer(unit, unit, "==")
    pairs <- reference_pairs(length(block$columns))
    for (i in seq_len(nrow(pairs))) {
      za <- design$Z[, block$columns[pairs[i, 1]]]
      zb <- design$Z[, block$columns[pairs[i, 2]]]
      direction <- if (pairs[i, 1] == pairs[i, 2]) {
        outer(za, za)
      } else {
        outer(za, zb) + outer(zb, za)
      }
      directions <- c(directions, list(direction * same_unit))
    }
  }
  weights <- if (is.null(design$weights)) rep(1, length(design$y)) else design$weights
  c(directions, list(diag(1 / weights, length(weights))))
}

# One covariance matrix per block, from the vector of parameters.
reference_covariances <- function(blocks, parameters) {
  covariances <- list()
  used <- 0
  for (block in blocks) {
    q <- length(block$columns)
    pairs <- reference_pairs(q)
    covariance <- matrix(0, q, q)
    for (i in seq_len(nrow(pairs))) {
      covariance[pairs[i, 1], pairs[i, 2]] <- parameters[used + i]
      covariance[pairs[i, 2], pairs[i, 1]] <- parameters[used + i]
    }
    used <- used + nrow(pairs)
    covariances <- c(covariances, list(covariance))
  }
  covariances
}

# The reverse of reference_covariances().
reference_parameters <- function(covariances, residual_variance) {
  lower <- lapply(covariances, function(covariance) {
    covariance <- as.matrix(covariance)
    covariance[lower.tri(covariance, diag = TRUE)]
  })
  c(unlist(lower), residual_variance)
}

# -2 log likelihood (restricted unless reml is FALSE) and the generalised least
# squares it rests on.
reference_criterion <- function(design, blocks, parameters, reml = TRUE) {
  X <- design$X
  y <- design$y
  V <- Reduce(`+`, Map(`*`, reference_directions(design, blocks), parameters))
  root <- chol(V)
  V_inverse <- chol2inv(root)
  Phi <- solve(crossprod(X, V_inverse %*% X))
  Phi <- (Phi + t(Phi)) / 2
  beta <- drop(Phi %*% crossprod(X, V_inverse %*% y))
  residual <- drop(y - X %*% beta)
  criterion <- length(y) * log(2 * pi) + 2 * sum(log(diag(root))) +
    sum(residual * (V_inverse %*% residual))
  if (reml) {
    criterion <- criterion - ncol(X) * log(2 * pi) - as.numeric(determinant(Phi)$modulus)
  }
  names(beta) <- colnames(X)
  dimnames(Phi) <- list(colnames(X), colnames(X))
  list(criterion = criterion, beta = beta, vcov = Phi, residual = residual, V_inverse = V_inverse)
}

# Criterion, derivatives and informations at given parameters; the names are
# those of the core's result.
reference_evaluate <- function(design, blocks, parameters, reml = TRUE) {
  at <- reference_criterion(design, blocks, parameters, reml)
  X <- design$X
  p <- ncol(X)
  directions <- reference_directions(design, blocks)
  k <- length(directions)
  V_inverse <- at$V_inverse
  Phi <- at$vcov
  P <- V_inverse - V_inverse %*% X %*% Phi %*% crossprod(X, V_inverse)
  Py <- drop(V_inverse %*% at$residual)

  # M is P under REML and V^-1 under ML; the data enter through P y in both.
  M <- if (reml) P else V_inverse
  MD <- lapply(directions, function(D) M %*% D)
  DPy <- lapply(directions, function(D) drop(D %*% Py))
  gradient <- numeric(k)
  expected <- average <- matrix(0, k, k)
  dvcov <- array(0, c(p, p, k))
  for (r in seq_len(k)) {
    gradient[r] <- sum(diag(MD[[r]])) - sum(Py * DPy[[r]])
    VDX <- crossprod(X, V_inverse %*% directions[[r]] %*% V_inverse %*% X)
    dvcov[, , r] <- Phi %*% VDX %*% Phi
    for (s in seq_len(k)) {
      expected[r, s] <- sum(MD[[r]] * t(MD[[s]])) / 2
      average[r, s] <- sum(DPy[[r]] * (P %*% DPy[[s]])) / 2
    }
  }
  list(
    beta = at$beta, vcov = Phi, parameters = parameters, criterion = at$criterion,
    gradient = gradient, observed = 2 * average - expected, expected = expected,
    average = average, dvcov = dvcov
  )
}

# Predictions of the random effects, b = G Z'V^-1 (y - X beta), and their
# variances given the parameters and beta, G - G Z'V^-1 Z G, for every level:
# the level's columns in block order.
reference_ranef <- function(design, blocks, parameters) {
  n <- length(design$y)
  V <- Reduce(`+`, Map(`*`, reference_directions(design, blocks), parameters))
  beta <- reference_evaluate(design, blocks, parameters)$beta
  V_inverse <- solve(V)
  scaled <- V_inverse %*% (design$y - design$X %*% beta)
  covariances <- reference_covariances(blocks, parameters)
  lapply(seq_along(design$groups), function(level) {
    own <- which(vapply(blocks, function(block) block$level == level, logical(1)))
    columns <- unlist(lapply(blocks[own], function(block) block$columns))
    q <- length(columns)
    G <- matrix(0, q, q)
    at <- 0
    for (i in own) {
      here <- at + seq_along(blocks[[i]]$columns)
      G[here, here] <- covariances[[i]]
      at <- at + length(here)
    }
    unit <- design$groups[[level]]
    m <- max(unit)
    mean <- matrix(0, q, m)
    variance <- array(0, c(q, q, m))
    for (j in seq_len(m)) {
      Z <- matrix(0, n, q)
      Z[unit == j, ] <- design$Z[unit == j, columns]
      mean[, j] <- G %*% crossprod(Z, scaled)
      variance[, , j] <- G - G %*% crossprod(Z, V_inverse %*% Z) %*% G
    }
    list(mean = mean, variance = variance)
  })
}

# Kenward and Roger's adjusted covariance of beta, and their F test of L beta = 0.
# `information` names the information whose inverse is the covariance of the
# parameters: "expected" as in pbkrtest, "observed" as in SAS.
reference_kenward_roger <- function(design, blocks, parameters, L = NULL,
                                    information = c("expected", "observed")) {
  information <- match.arg(information)
  X <- design$X
  at <- reference_evaluate(design, blocks, parameters)
  directions <- reference_directions(design, blocks)
  k <- length(directions)
  V_inverse <- solve(Reduce(`+`, Map(`*`, directions, parameters)))
  Phi <- at$vcov
  W <- solve(at[[information]])
  P <- lapply(directions, function(D) -crossprod(X, V_inverse %*% D %*% V_inverse %*% X))
  Lambda <- matrix(0, ncol(X), ncol(X))
  for (r in seq_len(k)) {
    for (s in seq_len(k)) {
      Q <- crossprod(
        X, V_inverse %*% directions[[r]] %*% V_inverse %*% directions[[s]] %*% V_inverse %*% X
      )
      Lambda <- Lambda + W[r, s] * (Q - P[[r]] %*% Phi %*% P[[s]])
    }
  }
  adjusted <- Phi + 2 * Phi %*% Lambda %*% Phi
  adjusted <- (adjusted + t(adjusted)) / 2
  if (is.null(L)) {
    return(list(vcov = adjusted))
  }
  L <- rbind(L)
  q <- nrow(L)
  Theta <- t(L) %*% solve(L %*% Phi %*% t(L)) %*% L
  A1 <- A2 <- 0
  for (r in seq_len(k)) {
    for (s in seq_len(k)) {
      Hr <- Theta %*% Phi %*% P[[r]] %*% Phi
      Hs <- Theta %*% Phi %*% P[[s]] %*% Phi
      A1 <- A1 + W[r, s] * sum(diag(Hr)) * sum(diag(Hs))
      A2 <- A2 + W[r, s] * sum(diag(Hr %*% Hs))
    }
  }
  B <- (A1 + 6 * A2) / (2 * q)
  g <- ((q + 1) * A1 - (q + 4) * A2) / ((q + 2) * A2)
  c1 <- g / (3 * q + 2 * (1 - g))
  c2 <- (q - g) / (3 * q + 2 * (1 - g))
  c3 <- (q + 2 - g) / (3 * q + 2 * (1 - g))
  e <- 1 / (1 - A2 / q)
  v <- 2 / q * (1 + c1 * B) / ((1 - c2 * B)^2 * (1 - c3 * B))
  rho <- v / (2 * e^2)
  ddf <- 4 + (q + 2) / (q * rho - 1)
  scaling <- ddf / (e * (ddf - 2))
  wald <- drop(t(L %*% at$beta) %*% solve(L %*% adjusted %*% t(L), L %*% at$beta)) / q
  list(vcov = adjusted, statistic = scaling * wald, df = c(q, ddf), scaling = scaling)
}

# The covariance of the parameters where some covariance matrix is singular:
# every block is written G = L L' with L of the block's rank, the criterion is
# differentiated twice in L (and in the residual variance) by numDeriv, and
# mapped back. Rotating the columns of L changes nothing, hence the generalised
# inverse.
reference_face <- function(design, blocks, parameters, reml = TRUE, tolerance = 1e-8) {
  covariances <- reference_covariances(blocks, parameters)
  factors <- lapply(covariances, function(G) {
    parts <- eigen(G, symmetric = TRUE)
    keep <- parts$values > tolerance * max(parts$values[1], 0) & parts$values > 0
    parts$vectors[, keep, drop = FALSE] %*% diag(sqrt(parts$values[keep]), sum(keep))
  })
  residual_variance <- parameters[length(parameters)]
  unpack <- function(x) {
    used <- 0
    filled <- lapply(factors, function(L) {
      L[] <- x[used + seq_along(L)]
      used <<- used + length(L)
      tcrossprod(L)
    })
    reference_parameters(filled, x[used + 1])
  }
  at <- c(unlist(factors), residual_variance)
  hessian <- numDeriv::hessian(function(x) {
    reference_criterion(design, blocks, unpack(x), reml)$criterion
  }, at)
  jacobian <- numDeriv::jacobian(unpack, at)
  scale <- sqrt(abs(diag(hessian)))
  scale[scale == 0] <- 1
  parts <- eigen(hessian / outer(scale, scale), symmetric = TRUE)
  keep <- abs(parts$values) > 1e-5
  root <- jacobian %*% diag(1 / scale, length(scale)) %*% parts$vectors[, keep, drop = FALSE]
  2 * root %*% (t(root) / parts$values[keep])
}

# Satterthwaite's degrees of freedom of a contrast.
reference_satterthwaite <- function(at, vcov_parameters, l) {
  variance <- drop(l %*% at$vcov %*% l)
  gradient <- apply(at$dvcov, 3, function(D) drop(l %*% D %*% l))
  2 * variance^2 / drop(gradient %*% vcov_parameters %*% gradient)
}

# A small design with given unit sizes, made without an intercept of its own:
# q random columns (1, time, time^2 ...), p fixed ones.
reference_design <- function(sizes, q = 2, p = 3, seed = 1, weights = FALSE,
                             therapists = NULL) {
  set.seed(seed)
  unit <- rep(seq_along(sizes), sizes)
  n <- length(unit)
  time <- unlist(lapply(sizes, seq_len)) - 1 + ifelse(unit %% 3 == 0, 0.5, 0)
  X <- cbind(1, time, matrix(stats::rnorm(n * max(p - 2, 0)), n))[, seq_len(p), drop = FALSE]
  colnames(X) <- c("(Intercept)", "time", paste0("x", seq_len(max(p - 2, 0))))[seq_len(p)]
  Z <- outer(time, seq_len(q) - 1, `^`)
  colnames(Z) <- c("(Intercept)", paste0("time", seq_len(q)))[seq_len(q)]
  G <- diag(seq(2, 0.3, length.out = q), q)
  b <- matrix(stats::rnorm(length(sizes) * q), ncol = q) %*% chol(G)
  y <- drop(X %*% seq(1, 2, length.out = p)) + rowSums(Z * b[unit, , drop = FALSE]) +
    stats::rnorm(n)
  groups <- list(unit)
  if (!is.null(therapists)) {
    therapist <- rep_len(seq_len(therapists), length(sizes))[unit]
    y <- y + stats::rnorm(therapists)[therapist]
    groups <- list(unit, therapist)
  }
  list(
    X = X, y = y, Z = Z, groups = groups,
    weights = if (weights) stats::runif(n, 0.5, 3) else NULL
  )
}

# Positive definite parameters that are no optimum of anything.
reference_some_parameters <- function(blocks, seed = 1) {
  set.seed(seed)
  covariances <- lapply(blocks, function(block) {
    q <- length(block$columns)
    crossprod(matrix(stats::rnorm(q * q), q)) + diag(0.2, q)
  })
  reference_parameters(covariances, 0.7)
}

# lme4's sleepstudy, Reaction ~ Days + (Days | Subject).
sleepstudy_design <- function(sleepstudy) {
  X <- cbind(`(Intercept)` = 1, Days = sleepstudy$Days)
  list(
    X = X, y = sleepstudy$Reaction, Z = X,
    groups = list(as.integer(sleepstudy$Subject)), weights = NULL
  )
}
