/* SEXP layer of between. */
#include "between.h"
#include "r_entries.h"

SEXP r_between_variance(SEXP y, SEXP v) {
    const int n = Rf_length(y);
    if (TYPEOF(y) != REALSXP || TYPEOF(v) != REALSXP || Rf_length(v) != n || n < 2) {
        Rf_error("between_variance: two or more estimates and their variances, both double");
    }
    double tau2;
    sp_between_variance(n, REAL(y), REAL(v), &tau2);
    return Rf_ScalarReal(ISNAN(tau2) ? NA_REAL : tau2);
}
