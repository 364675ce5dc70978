#include "r_arguments.h"
#include <limits.h>

static void refuse(const char *what, const char *expected) {
    Rf_error("internal error: `%s` must be %s", what, expected);
}

const double *arg_doubles(SEXP x, size_t n, const char *what) {
    if (TYPEOF(x) != REALSXP) {
        refuse(what, "double");
    }
    if ((size_t)Rf_xlength(x) != n) {
        Rf_error("internal error: `%s` must have length %.0f, found %.0f", what, (double)n,
                 (double)Rf_xlength(x));
    }
    return REAL(x);
}

const double *arg_finite(SEXP x, size_t n, const char *what) {
    const double *values = arg_doubles(x, n, what);
    for (size_t i = 0; i < n; i++) {
        if (!R_FINITE(values[i])) {
            refuse(what, "finite");
        }
    }
    return values;
}

const int *arg_ints(SEXP x, size_t n, int from, int to, const char *what) {
    if (TYPEOF(x) != INTSXP) {
        refuse(what, "integer");
    }
    if ((size_t)Rf_xlength(x) != n) {
        Rf_error("internal error: `%s` must have length %.0f, found %.0f", what, (double)n,
                 (double)Rf_xlength(x));
    }
    const int *values = INTEGER(x);
    for (size_t i = 0; i < n; i++) {
        if (values[i] < from || values[i] > to) {
            Rf_error("internal error: `%s` must lie within %d and %d", what, from, to);
        }
    }
    return values;
}

const int *arg_sorted_ints(SEXP x, size_t n, int from, int to, const char *what) {
    const int *values = arg_ints(x, n, from, to, what);
    for (size_t i = 1; i < n; i++) {
        if (values[i] < values[i - 1]) {
            refuse(what, "sorted");
        }
    }
    return values;
}

const double *arg_matrix(SEXP x, int n_rows, int *n_cols, const char *what) {
    if (TYPEOF(x) != REALSXP || !Rf_isMatrix(x)) {
        refuse(what, "a double matrix");
    }
    if (Rf_nrows(x) != n_rows) {
        Rf_error("internal error: `%s` must have %d rows, found %d", what, n_rows, Rf_nrows(x));
    }
    *n_cols = Rf_ncols(x);
    return REAL(x);
}

int arg_int(SEXP x, int from, int to, const char *what) {
    if ((TYPEOF(x) != INTSXP && TYPEOF(x) != REALSXP) || Rf_xlength(x) != 1) {
        refuse(what, "one whole number");
    }
    const double value = Rf_asReal(x);
    /* NaN fails every comparison. */
    if (!(value >= from && value <= to) || value != (double)(int)value) {
        Rf_error("internal error: `%s` must be a whole number within %d and %d", what, from, to);
    }
    return (int)value;
}

double arg_double(SEXP x, const char *what) {
    if ((TYPEOF(x) != INTSXP && TYPEOF(x) != REALSXP) || Rf_xlength(x) != 1 ||
        !R_FINITE(Rf_asReal(x))) {
        refuse(what, "one finite number");
    }
    return Rf_asReal(x);
}

int arg_flag(SEXP x, const char *what) {
    if (TYPEOF(x) != LGLSXP || Rf_xlength(x) != 1 || LOGICAL(x)[0] == NA_LOGICAL) {
        refuse(what, "TRUE or FALSE");
    }
    return LOGICAL(x)[0];
}

SEXP arg_list(SEXP x, const char *what) {
    if (TYPEOF(x) != VECSXP) {
        refuse(what, "a list");
    }
    return x;
}
