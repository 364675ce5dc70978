/* SEXP layer of respond.c: another response for a reduced design. */
#include "linalg.h"
#include "pattern.h"
#include "r_entries.h"
#include "r_lists.h"
#include "reduce.h"
#include "respond.h"
#include <string.h>

static int check_interrupt(void *unused) {
    (void)unused;
    R_CheckUserInterrupt();
    return 0;
}

static int *allocate_ints(size_t n) {
    return (int *)R_alloc(n > 0 ? n : 1, sizeof(int));
}

/* The item and, with outer levels, the cell of every unit, found as when the rows were reduced. */
static void find_members(SEXP reduced, int q, int n_units, int *unit_item, SEXP unit_cell) {
    const double *R = REAL(list_element(reduced, "R"));
    size_t m = (size_t)n_units, table_size = sp_pattern_table_size(n_units);
    int *count = allocate_ints(m), *representative = allocate_ints(m);
    int n_patterns = sp_find_patterns(n_units, q, R, unit_item, representative, count, table_size,
                                      allocate_ints(table_size));
    int n_shared;
    double *item_count = (double *)R_alloc(m, sizeof(double));
    int n_items = sp_number_items(n_units, q, n_patterns, representative, count, unit_item,
                                  allocate_ints(m), item_count, &n_shared, allocate_ints(m));
    if (Rf_xlength(unit_cell) > 0) {
        int n_nodes = INTEGER(list_element(reduced, "n_nodes"))[1];
        size_t stamps = (size_t)(n_items > n_units ? n_items : n_units);
        sp_find_cells(n_units, n_nodes, n_items, unit_item,
                      INTEGER(VECTOR_ELT(list_element(reduced, "parents"), 0)), allocate_ints(m),
                      allocate_ints(m), (double *)R_alloc(m, sizeof(double)), INTEGER(unit_cell),
                      allocate_ints(m), allocate_ints(stamps), allocate_ints((size_t)n_nodes + 1));
    }
}

SEXP lmm_replay(SEXP X, SEXP Z, SEXP unit, SEXP weights, SEXP reduced) {
    const char *names[] = {"order", "start",     "reflectors", "weights", "free_column",
                           "Xfree", "unit_item", "unit_cell",  ""};
    int n = (int)Rf_xlength(unit);
    int n_levels = (int)Rf_xlength(list_element(reduced, "n_nodes"));
    int m = INTEGER(list_element(reduced, "n_nodes"))[0];
    if (n == 0 || Rf_nrows(X) != n || Rf_nrows(Z) != n || Rf_ncols(Z) < 1) {
        Rf_error("internal error: shapes of the design");
    }
    /* The response's column is gathered and not used: any column will do. */
    sp_rows rows = {n,
                    Rf_ncols(X),
                    Rf_ncols(Z),
                    m,
                    REAL(X),
                    REAL(Z),
                    REAL(Z),
                    Rf_isNull(weights) ? NULL : REAL(weights),
                    INTEGER(unit)};
    SEXP out = PROTECT(Rf_mkNamed(VECSXP, names));
    SEXP order = Rf_allocVector(INTSXP, n);
    SET_VECTOR_ELT(out, 0, order);
    SEXP start = Rf_allocVector(INTSXP, (R_xlen_t)m + 1);
    SET_VECTOR_ELT(out, 1, start);
    SEXP reflectors = Rf_allocVector(REALSXP, (R_xlen_t)sp_reflectors_size(n, m, rows.q));
    SET_VECTOR_ELT(out, 2, reflectors);
    SET_VECTOR_ELT(out, 3, weights);

    int largest = sp_largest_unit(n, m, rows.unit, allocate_ints((size_t)m));
    double *Xfree = (double *)R_alloc((size_t)n * (rows.p > 0 ? rows.p : 1), sizeof(double));
    size_t width = (size_t)rows.q + (size_t)rows.p + 1;
    if (sp_keep_reflectors(&rows, INTEGER(order), INTEGER(start), REAL(reflectors), Xfree,
                           (double *)R_alloc((size_t)largest * width, sizeof(double)),
                           allocate_ints((size_t)largest), check_interrupt, NULL) != SP_OK) {
        Rf_error("interrupted");
    }

    SEXP kept = list_element(reduced, "kept");
    int p = (int)Rf_xlength(kept), n_free = 0;
    int *free_place = allocate_ints((size_t)p);
    for (int j = 0; j < p; j++) {
        const double *column = Xfree + (size_t)n * (INTEGER(kept)[j] - 1);
        if (sp_dot((size_t)n, column, column) > 0.0) {
            free_place[n_free++] = j;
        }
    }
    SEXP free_column = Rf_allocVector(INTSXP, n_free);
    SET_VECTOR_ELT(out, 4, free_column);
    SEXP used = Rf_allocMatrix(REALSXP, n, n_free);
    SET_VECTOR_ELT(out, 5, used);
    for (int k = 0; k < n_free; k++) {
        INTEGER(free_column)[k] = free_place[k];
        memcpy(REAL(used) + (size_t)n * k, Xfree + (size_t)n * (INTEGER(kept)[free_place[k]] - 1),
               (size_t)n * sizeof(double));
    }
    SEXP unit_item = Rf_allocVector(INTSXP, m);
    SET_VECTOR_ELT(out, 6, unit_item);
    SEXP unit_cell = Rf_allocVector(INTSXP, n_levels > 1 ? m : 0);
    SET_VECTOR_ELT(out, 7, unit_cell);
    find_members(reduced, rows.q, m, INTEGER(unit_item), unit_cell);
    UNPROTECT(1);
    return out;
}

/* Puts a copy of the element into the list and returns it. */
static SEXP copy_element(SEXP list, const char *name) {
    SEXP names = Rf_getAttrib(list, R_NamesSymbol);
    for (R_xlen_t i = 0; i < Rf_xlength(list); i++) {
        if (strcmp(CHAR(STRING_ELT(names, i)), name) == 0) {
            SEXP copy = Rf_duplicate(VECTOR_ELT(list, i));
            SET_VECTOR_ELT(list, i, copy);
            return copy;
        }
    }
    Rf_error("internal error: no element '%s'", name);
    return R_NilValue;
}

SEXP lmm_respond(SEXP reduced, SEXP replay, SEXP y) {
    sp_replay design;
    design.n = Rf_asInteger(list_element(reduced, "n"));
    design.n_units = INTEGER(list_element(reduced, "n_nodes"))[0];
    design.q = Rf_asInteger(list_element(reduced, "q"));
    design.p = Rf_asInteger(list_element(reduced, "p"));
    design.d = design.p + 1;
    design.order = INTEGER(list_element(replay, "order"));
    design.start = INTEGER(list_element(replay, "start"));
    design.reflectors = REAL(list_element(replay, "reflectors"));
    SEXP weights = list_element(replay, "weights");
    design.weights = Rf_isNull(weights) ? NULL : REAL(weights);
    SEXP free_column = list_element(replay, "free_column");
    design.n_free = (int)Rf_xlength(free_column);
    design.free_column = INTEGER(free_column);
    design.Xfree = REAL(list_element(replay, "Xfree"));
    if (TYPEOF(y) != REALSXP || Rf_xlength(y) != design.n) {
        Rf_error("internal error: shape of the response");
    }

    SEXP out = PROTECT(Rf_shallow_duplicate(reduced));
    SEXP a = copy_element(out, "a");
    double rss, y_scale;
    design.Rx = REAL(list_element(out, "Rx"));
    sp_respond(&design, REAL(y), REAL(a), REAL(copy_element(out, "C_free")),
               REAL(copy_element(out, "coef")), &rss, &y_scale,
               (double *)R_alloc(sp_respond_work_size(&design), sizeof(double)));
    REAL(copy_element(out, "rss"))[0] = rss;
    REAL(copy_element(out, "y_scale"))[0] = y_scale;
    sp_respond_products(
        design.n_units, design.q, design.d, Rf_asInteger(list_element(out, "n_shared")),
        INTEGER(list_element(replay, "unit_item")), REAL(a), REAL(copy_element(out, "B")));
    SEXP unit_cell = list_element(replay, "unit_cell");
    if (Rf_xlength(unit_cell) > 0) {
        sp_respond_cells(design.n_units, (int)Rf_xlength(list_element(out, "cell_item")), design.q,
                         design.d, INTEGER(unit_cell), REAL(a),
                         REAL(copy_element(out, "cell_sum")));
    }
    UNPROTECT(1);
    return out;
}
