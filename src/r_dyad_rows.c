/* SEXP layer of dyad_rows. */
#include "dyad_rows.h"
#include "r_entries.h"

#define MAX_IDS 8
#define MAX_DUPLICATES 5

SEXP r_dyad_rows(SEXP ids, SEXP time) {
    const int n_ids = Rf_length(ids), n = Rf_length(time);
    if (TYPEOF(ids) != VECSXP || n_ids < 1 || n_ids > MAX_IDS || TYPEOF(time) != REALSXP) {
        Rf_error("dyad_rows: ids must be a list of 1 to %d columns and time double", MAX_IDS);
    }
    sp_id_column columns[MAX_IDS];
    for (int j = 0; j < n_ids; j++) {
        const SEXP id = VECTOR_ELT(ids, j);
        if (Rf_length(id) != n || (TYPEOF(id) != INTSXP && TYPEOF(id) != REALSXP)) {
            Rf_error("dyad_rows: id %d must be integer or double, one per row", j + 1);
        }
        columns[j].whole = TYPEOF(id) == INTSXP ? INTEGER(id) : NULL;
        columns[j].real = TYPEOF(id) == REALSXP ? REAL(id) : NULL;
    }
    int *starts = (int *)R_alloc((size_t)n + 1, sizeof(int));
    int duplicates[MAX_DUPLICATES];
    sp_row_summary summary;
    sp_dyad_rows(n, n_ids, MAX_DUPLICATES, columns, REAL(time), &summary, starts, duplicates);

    const char *names[] = {"in_order",     "n_no_id",    "n_no_time", "most_rows", "most_times",
                           "n_duplicates", "duplicates", "starts",    ""};
    SEXP out = PROTECT(Rf_mkNamed(VECSXP, names));
    SET_VECTOR_ELT(out, 0, Rf_ScalarLogical(summary.in_order));
    SET_VECTOR_ELT(out, 1, Rf_ScalarInteger(summary.n_no_id));
    SET_VECTOR_ELT(out, 2, Rf_ScalarInteger(summary.n_no_time));
    SET_VECTOR_ELT(out, 3, Rf_ScalarInteger(summary.most_rows));
    SET_VECTOR_ELT(out, 4, Rf_ScalarInteger(summary.most_times));
    SET_VECTOR_ELT(out, 5, Rf_ScalarInteger(summary.n_duplicates));
    const int listed =
        summary.n_duplicates < MAX_DUPLICATES ? summary.n_duplicates : MAX_DUPLICATES;
    SEXP rows = SET_VECTOR_ELT(out, 6, Rf_allocVector(INTSXP, listed));
    for (int i = 0; i < listed; i++) {
        INTEGER(rows)[i] = duplicates[i] + 1;
    }
    if (summary.in_order) {
        SEXP first = SET_VECTOR_ELT(out, 7, Rf_allocVector(INTSXP, summary.n_dyads + 1));
        for (int j = 0; j <= summary.n_dyads; j++) {
            INTEGER(first)[j] = starts[j];
        }
    }
    UNPROTECT(1);
    return out;
}
