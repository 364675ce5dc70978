/* SEXP layer of dyad_ols. */
#include "dyad_ols.h"
#include "r_arguments.h"
#include "r_entries.h"

/* Rows per call of the core, between two checks for an interrupt. */
#define CHUNK_ROWS 1000000

/* The dyad after the last one of a chunk that begins with dyad `from` of m. */
static int chunk_end(const int *first_row, int from, int m) {
    int to = from + 1;
    while (to < m && first_row[to] - first_row[from] < CHUNK_ROWS) {
        to++;
    }
    return to;
}

static double *column(SEXP list, int j, int m) {
    return REAL(SET_VECTOR_ELT(list, j, Rf_allocVector(REALSXP, m)));
}

static int *whole_column(SEXP list, int j, int m) {
    return INTEGER(SET_VECTOR_ELT(list, j, Rf_allocVector(INTSXP, m)));
}

/* The core knows NaN only; R's users expect NA. */
static void mark_missing(SEXP list) {
    for (int j = 0; j < Rf_length(list); j++) {
        const SEXP values = VECTOR_ELT(list, j);
        if (TYPEOF(values) != REALSXP) {
            continue;
        }
        double *x = REAL(values);
        for (int i = 0; i < Rf_length(values); i++) {
            if (ISNAN(x[i])) {
                x[i] = NA_REAL;
            }
        }
    }
}

static SEXP totals_as_list(const sp_dyad_totals *totals) {
    const char *names[] = {"time_min",
                           "time_max",
                           "n_both",
                           "n_first_only",
                           "n_second_only",
                           "n_unrated",
                           "n_outside",
                           "n_infinite",
                           "n_not_crossing",
                           "n_crossing",
                           "n_slopes_differ",
                           "n_sign_zero",
                           "residual_difference",
                           ""};
    const double values[] = {totals->time_min,
                             totals->time_max,
                             totals->n_both,
                             totals->n_first_only,
                             totals->n_second_only,
                             totals->n_unrated,
                             totals->n_outside,
                             totals->n_infinite,
                             totals->n_not_crossing,
                             totals->n_crossing,
                             totals->n_slopes_differ,
                             totals->n_sign_zero,
                             totals->rss_difference / totals->df_difference};
    SEXP out = PROTECT(Rf_mkNamed(VECSXP, names));
    for (int i = 0; i < Rf_length(out); i++) {
        SET_VECTOR_ELT(out, i, Rf_ScalarReal(values[i]));
    }
    UNPROTECT(1);
    return out;
}

SEXP r_dyad_ols(SEXP starts, SEXP time, SEXP first, SEXP second, SEXP definition, SEXP early,
                SEXP window) {
    const int m = Rf_length(starts) - 1, n = Rf_length(time);
    const int *first_row = arg_sorted_ints(starts, (size_t)Rf_length(starts), 0, n, "starts");
    if (m < 0 || first_row[0] != 0 || first_row[m] != n) {
        Rf_error("internal error: `starts` must run from 0 to %d", n);
    }
    const double *t = arg_doubles(time, (size_t)n, "time");
    const double *p = arg_doubles(first, (size_t)n, "first");
    const double *q = arg_doubles(second, (size_t)n, "second");
    sp_dyad_options options;
    options.definition = (sp_definition)arg_int(definition, SP_FITTED, SP_SQUARED, "definition");
    options.early_from_line = arg_flag(early, "early");
    options.from = arg_doubles(window, 2, "window")[0];
    options.to = REAL(window)[1];
    if (ISNAN(options.from) || ISNAN(options.to)) {
        Rf_error("internal error: `window` must not be missing");
    }

    const char *names[] = {"n_first",
                           "n_second",
                           "n_both",
                           "intercept_first",
                           "intercept_second",
                           "slope_first",
                           "slope_second",
                           "slope_se_first",
                           "slope_se_second",
                           "early_first",
                           "early_second",
                           "early_difference",
                           "development",
                           "convergence",
                           "convergence_se",
                           "error_variance",
                           ""};
    SEXP values = PROTECT(Rf_mkNamed(VECSXP, names));
    sp_dyad_scores scores = {
        .n_first = whole_column(values, 0, m),
        .n_second = whole_column(values, 1, m),
        .n_both = whole_column(values, 2, m),
        .intercept_first = column(values, 3, m),
        .intercept_second = column(values, 4, m),
        .slope_first = column(values, 5, m),
        .slope_second = column(values, 6, m),
        .slope_se_first = column(values, 7, m),
        .slope_se_second = column(values, 8, m),
        .early_first = column(values, 9, m),
        .early_second = column(values, 10, m),
        .early_difference = column(values, 11, m),
        .development = column(values, 12, m),
        .convergence = column(values, 13, m),
        .convergence_se = column(values, 14, m),
        .error_variance = column(values, 15, m),
    };
    sp_dyad_totals totals = {.time_min = R_PosInf, .time_max = R_NegInf};
    double *weights = (double *)R_alloc(3 * (size_t)m, sizeof(double));
    for (int from = 0, to; from < m; from = to) {
        to = chunk_end(first_row, from, m);
        R_CheckUserInterrupt();
        /* An infinite value is counted in the totals; R says where it is. */
        sp_dyad_ols(from, to, first_row, t, p, q, &options, &scores, &totals, weights);
    }
    for (int from = 0, to; from < m; from = to) {
        to = chunk_end(first_row, from, m);
        R_CheckUserInterrupt();
        sp_dyad_error_variance(from, to, first_row, t, p, q, &options, &totals, weights, &scores);
    }
    mark_missing(values);

    const char *parts[] = {"scores", "totals", ""};
    SEXP out = PROTECT(Rf_mkNamed(VECSXP, parts));
    SET_VECTOR_ELT(out, 0, values);
    SET_VECTOR_ELT(out, 1, totals_as_list(&totals));
    UNPROTECT(2);
    return out;
}
