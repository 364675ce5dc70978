# Relative tolerances, by what is compared. Criteria are compared tightly and parameters more
# loosely: near an optimum the criterion is flat, so equal fits differ in their parameters first.
tol <- list(
  algebra = 1e-10,
  criterion = 1e-8,
  estimate = 1e-5,
  se = 1e-4,
  varcomp = 1e-3
)
