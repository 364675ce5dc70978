/* SEXP layer of between. */
#include "between.h"
#include "r_arguments.h"
#include "r_entries.h"

SEXP r_between_variance(SEXP y, SEXP v) {
    const int n = Rf_length(y);
    const double *estimate = arg_doubles(y, (size_t)n, "y");
    const double *variance = arg_doubles(v, (size_t)n, "v");
    for (int j = 0; j < n; j++) {
        if (!R_FINITE(estimate[j]) || !R_FINITE(variance[j]) || variance[j] < 0) {
            Rf_error("internal error: `y` must be finite, and `v` finite and not negative");
        }
    }
    double tau2;
    switch (sp_between_variance(n, estimate, variance, &tau2, check_interrupt, NULL)) {
    case SP_OK:
        return Rf_ScalarReal(tau2);
    case SP_BAD_ARGUMENT:
        Rf_error("internal error: `y` must have two or more estimates");
    default:
        /* The estimates' sum of squares is beyond the largest number. */
        return Rf_ScalarReal(NA_REAL);
    }
}
