#include "r_arguments.h"
#include <limits.h>

int *allocate_ints(size_t n) {
    return (int *)R_alloc(n > 0 ? n : 1, sizeof(int));
}

int check_interrupt(void *unused) {
    (void)unused;
    R_CheckUserInterrupt();
    return 0;
}

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

/* Columns of one element of a design. */
static int count_columns(SEXP x, int n, const char *what) {
    if (TYPEOF(x) != REALSXP) {
        refuse(what, "double");
    }
    if (!Rf_isMatrix(x)) {
        if (Rf_xlength(x) != n && Rf_xlength(x) != 1) {
            Rf_error("internal error: `%s` must have %d rows, found %.0f", what, n,
                     (double)Rf_xlength(x));
        }
        return 1;
    }
    if (Rf_nrows(x) != n) {
        Rf_error("internal error: `%s` must have %d rows, found %d", what, n, Rf_nrows(x));
    }
    return Rf_ncols(x);
}

const sp_column *arg_columns(SEXP x, int n, int *n_columns, const char *what) {
    const int is_list = TYPEOF(x) == VECSXP;
    if (!is_list && !Rf_isMatrix(x)) {
        refuse(what, "a double matrix or a list of columns");
    }
    const R_xlen_t length = is_list ? Rf_xlength(x) : 1;
    *n_columns = 0;
    for (R_xlen_t i = 0; i < length; i++) {
        *n_columns += count_columns(is_list ? VECTOR_ELT(x, i) : x, n, what);
        if (*n_columns > ARG_MAX_COLUMNS) {
            Rf_error("internal error: `%s` must have at most %d columns", what, ARG_MAX_COLUMNS);
        }
    }
    sp_column *columns =
        (sp_column *)R_alloc(*n_columns > 0 ? (size_t)*n_columns : 1, sizeof(sp_column));
    sp_column *next = columns;
    for (R_xlen_t i = 0; i < length; i++) {
        SEXP element = is_list ? VECTOR_ELT(x, i) : x;
        const int own = count_columns(element, n, what);
        sp_matrix_columns(n, own, REAL(element), next);
        if (!Rf_isMatrix(element)) {
            next->step = Rf_xlength(element) == n;
        }
        next += own;
    }
    return columns;
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
