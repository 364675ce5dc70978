/* Variance between units of estimates whose error variances are known. */
#ifndef SAMEPAGE_BETWEEN_H
#define SAMEPAGE_BETWEEN_H

#include "check.h"
#include "status.h"

/* Purpose: y_j = mu + u_j + e_j, var(u_j) = tau2, var(e_j) = v_j known: tau2 by REML. A maximum
 *   at 0 is an answer. Where the restricted likelihood has several maxima, the highest one.
 * Shapes: y[n], v[n]; n >= 2, v >= 0, all finite.
 * Output: tau2.
 * Status: SP_OK; SP_BAD_ARGUMENT when n < 2; SP_NOT_FINITE when a sum is not finite;
 *   SP_INTERRUPTED. */
sp_status sp_between_variance(int n, const double *y, const double *v, double *tau2, sp_check check,
                              void *check_data);

#endif
