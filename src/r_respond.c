/* SEXP layer of respond.c: another response for a reduced design. */
#include "linalg.h"
#include "pattern.h"
#include "r_arguments.h"
#include "r_entries.h"
#include "r_reduced.h"
#include "reduce.h"
#include "respond.h"
#include <limits.h>
#include <string.h>

/* Sizes of the reduced data, as both entries read them. */
typedef struct {
    int n, m, p, q, n_levels;
} reduced_sizes;

static reduced_sizes read_sizes(SEXP reduced) {
    if (Rf_length(arg_list(reduced, "reduced")) != RED_LENGTH) {
        Rf_error("internal error: `reduced` must be what lmm_reduce() answered");
    }
    SEXP n_nodes = VECTOR_ELT(reduced, RED_N_NODES);
    reduced_sizes size;
    size.n = arg_int(VECTOR_ELT(reduced, RED_N), 1, INT_MAX, "n");
    size.p = arg_int(VECTOR_ELT(reduced, RED_P), 0, ARG_MAX_COLUMNS, "p");
    size.q = arg_int(VECTOR_ELT(reduced, RED_Q), 1, ARG_MAX_COLUMNS, "q");
    size.n_levels = Rf_length(n_nodes);
    SEXP parents = arg_list(VECTOR_ELT(reduced, RED_PARENTS), "parents");
    if (size.n_levels < 1 || Rf_length(parents) != size.n_levels - 1) {
        Rf_error("internal error: lengths of `n_nodes` and `parents`");
    }
    size.m = arg_ints(n_nodes, (size_t)size.n_levels, 1, size.n, "n_nodes")[0];
    return size;
}

/* The item and, with outer levels, the cell of every unit, found as when the rows were reduced. */
static void find_members(SEXP reduced, int q, int n_units, int *unit_item, SEXP unit_cell) {
    const double *R = arg_doubles(VECTOR_ELT(reduced, RED_R), (size_t)n_units * q * q, "R");
    size_t m = (size_t)n_units, table_size = sp_pattern_table_size(n_units);
    int *count = allocate_ints(m), *representative = allocate_ints(m);
    int n_patterns = sp_find_patterns(n_units, q, R, unit_item, representative, count, table_size,
                                      allocate_ints(table_size));
    int n_shared;
    double *item_count = (double *)R_alloc(m, sizeof(double));
    int n_items = sp_number_items(n_units, q, n_patterns, representative, count, unit_item,
                                  allocate_ints(m), item_count, &n_shared, allocate_ints(m));
    if (Rf_xlength(unit_cell) > 0) {
        int n_nodes = INTEGER(VECTOR_ELT(reduced, RED_N_NODES))[1];
        size_t stamps = (size_t)(n_items > n_units ? n_items : n_units);
        SEXP parents = VECTOR_ELT(VECTOR_ELT(reduced, RED_PARENTS), 0);
        const int *parent = arg_ints(parents, m, 0, n_nodes - 1, "parents");
        sp_find_cells(n_units, n_nodes, n_items, unit_item, parent, allocate_ints(m),
                      allocate_ints(m), (double *)R_alloc(m, sizeof(double)), INTEGER(unit_cell),
                      allocate_ints(m), allocate_ints(stamps), allocate_ints((size_t)n_nodes + 1));
    }
}

/* Elements of the list "replay", in order. */
enum {
    REPLAY_ORDER,
    REPLAY_START,
    REPLAY_REFLECTORS,
    REPLAY_WEIGHTS,
    REPLAY_FREE_COLUMN,
    REPLAY_XFREE,
    REPLAY_UNIT_ITEM,
    REPLAY_UNIT_CELL,
    REPLAY_LENGTH
};

SEXP lmm_replay(SEXP X, SEXP Z, SEXP unit, SEXP weights, SEXP reduced) {
    const char *names[] = {"order", "start",     "reflectors", "weights", "free_column",
                           "Xfree", "unit_item", "unit_cell",  ""};
    const reduced_sizes size = read_sizes(reduced);
    int n = size.n, m = size.m, n_levels = size.n_levels;
    sp_rows rows;
    rows.n = n;
    rows.n_units = m;
    rows.X = arg_columns(X, n, &rows.p, "X");
    rows.Z = arg_columns(Z, n, &rows.q, "Z");
    if (rows.q != size.q) {
        Rf_error("internal error: `Z` must have %d columns, found %d", size.q, rows.q);
    }
    /* The response's column is gathered and not used. */
    const double nothing = 0.0;
    rows.y.values = &nothing;
    rows.y.step = 0;
    rows.weights = Rf_isNull(weights) ? NULL : arg_doubles(weights, (size_t)n, "weights");
    rows.unit = arg_ints(unit, (size_t)n, 1, m, "unit");
    const int *kept = arg_ints(VECTOR_ELT(reduced, RED_KEPT), (size_t)size.p, 1, rows.p, "kept");
    SEXP out = PROTECT(Rf_mkNamed(VECSXP, names));
    SEXP order = Rf_allocVector(INTSXP, n);
    SET_VECTOR_ELT(out, REPLAY_ORDER, order);
    SEXP start = Rf_allocVector(INTSXP, (R_xlen_t)m + 1);
    SET_VECTOR_ELT(out, REPLAY_START, start);
    SEXP reflectors = Rf_allocVector(REALSXP, (R_xlen_t)sp_reflectors_size(n, m, rows.q));
    SET_VECTOR_ELT(out, REPLAY_REFLECTORS, reflectors);
    SET_VECTOR_ELT(out, REPLAY_WEIGHTS, weights);

    int largest = sp_largest_unit(n, m, rows.unit, allocate_ints((size_t)m));
    double *Xfree = (double *)R_alloc((size_t)n * (rows.p > 0 ? rows.p : 1), sizeof(double));
    size_t width = (size_t)rows.q + (size_t)rows.p + 1;
    if (sp_keep_reflectors(&rows, INTEGER(order), INTEGER(start), REAL(reflectors), Xfree,
                           (double *)R_alloc((size_t)largest * width, sizeof(double)),
                           allocate_ints((size_t)largest), check_interrupt, NULL) != SP_OK) {
        Rf_error("the design has values that are not finite");
    }

    int p = size.p, n_free = 0;
    int *free_place = allocate_ints((size_t)p);
    for (int j = 0; j < p; j++) {
        const double *column = Xfree + (size_t)n * (kept[j] - 1);
        if (sp_dot((size_t)n, column, column) > 0.0) {
            free_place[n_free++] = j;
        }
    }
    SEXP free_column = Rf_allocVector(INTSXP, n_free);
    SET_VECTOR_ELT(out, REPLAY_FREE_COLUMN, free_column);
    SEXP used = Rf_allocMatrix(REALSXP, n, n_free);
    SET_VECTOR_ELT(out, REPLAY_XFREE, used);
    for (int k = 0; k < n_free; k++) {
        INTEGER(free_column)[k] = free_place[k];
        memcpy(REAL(used) + (size_t)n * k, Xfree + (size_t)n * (kept[free_place[k]] - 1),
               (size_t)n * sizeof(double));
    }
    SEXP unit_item = Rf_allocVector(INTSXP, m);
    SET_VECTOR_ELT(out, REPLAY_UNIT_ITEM, unit_item);
    SEXP unit_cell = Rf_allocVector(INTSXP, n_levels > 1 ? m : 0);
    SET_VECTOR_ELT(out, REPLAY_UNIT_CELL, unit_cell);
    find_members(reduced, rows.q, m, INTEGER(unit_item), unit_cell);
    UNPROTECT(1);
    return out;
}

/* Puts a copy of a double vector of that length into the list and returns its elements. */
static double *copy_doubles(SEXP list, int at, size_t n, const char *what) {
    arg_doubles(VECTOR_ELT(list, at), n, what);
    SEXP copy = Rf_duplicate(VECTOR_ELT(list, at));
    SET_VECTOR_ELT(list, at, copy);
    return REAL(copy);
}

SEXP lmm_respond(SEXP reduced, SEXP replay, SEXP y) {
    const reduced_sizes size = read_sizes(reduced);
    const size_t n = (size_t)size.n, m = (size_t)size.m, p = (size_t)size.p, q = (size_t)size.q;
    const size_t d = p + 1, packed = sp_packed_size(size.p + 1);
    sp_replay design;
    design.n = size.n;
    design.n_units = size.m;
    design.q = size.q;
    design.p = size.p;
    design.d = size.p + 1;
    if (Rf_length(arg_list(replay, "replay")) != REPLAY_LENGTH) {
        Rf_error("internal error: `replay` must be what lmm_replay() answered");
    }
    design.order = arg_ints(VECTOR_ELT(replay, REPLAY_ORDER), n, 0, size.n - 1, "order");
    design.start = arg_sorted_ints(VECTOR_ELT(replay, REPLAY_START), m + 1, 0, size.n, "start");
    if (design.start[0] != 0 || design.start[m] != size.n) {
        Rf_error("internal error: `start` must run from 0 to %d", size.n);
    }
    design.reflectors = arg_doubles(VECTOR_ELT(replay, REPLAY_REFLECTORS),
                                    sp_reflectors_size(size.n, size.m, size.q), "reflectors");
    SEXP weights = VECTOR_ELT(replay, REPLAY_WEIGHTS);
    design.weights = Rf_isNull(weights) ? NULL : arg_doubles(weights, n, "weights");
    SEXP free_column = VECTOR_ELT(replay, REPLAY_FREE_COLUMN);
    design.n_free = Rf_length(free_column);
    design.free_column = arg_ints(free_column, (size_t)design.n_free, 0, size.p - 1, "free_column");
    design.Xfree =
        arg_doubles(VECTOR_ELT(replay, REPLAY_XFREE), n * (size_t)design.n_free, "Xfree");
    design.Rx = arg_doubles(VECTOR_ELT(reduced, RED_RX), p * p, "Rx");
    arg_doubles(y, n, "y");
    const int n_shared = arg_int(VECTOR_ELT(reduced, RED_N_SHARED), 0, size.m, "n_shared");
    const int *unit_item =
        arg_ints(VECTOR_ELT(replay, REPLAY_UNIT_ITEM), m, 0, size.m - 1, "unit_item");

    SEXP out = PROTECT(Rf_shallow_duplicate(reduced));
    double *a = copy_doubles(out, RED_A, m * q * d, "a");
    double *C_free = copy_doubles(out, RED_C_FREE, packed, "C_free"), rss, y_scale;
    sp_respond(&design, REAL(y), a, C_free, copy_doubles(out, RED_COEF, p, "coef"), &rss, &y_scale,
               (double *)R_alloc(sp_respond_work_size(&design), sizeof(double)));
    if (!R_FINITE(rss)) {
        Rf_error("the response has values that are not finite");
    }
    /* The free rows' own last column is not known here, only its products. */
    SET_VECTOR_ELT(out, RED_FREE_ROWS, R_NilValue);
    copy_doubles(out, RED_RSS, 1, "rss")[0] = rss;
    copy_doubles(out, RED_Y_SCALE, 1, "y_scale")[0] = y_scale;
    sp_mean_squares(size.n, size.m, size.q, design.d,
                    arg_doubles(VECTOR_ELT(out, RED_R), m * q * q, "R"), a, C_free,
                    copy_doubles(out, RED_MEAN_SQUARES, q + 1, "mean_squares"));
    sp_centres centres;
    if (size.n_levels > 1) {
        const int n_cells = Rf_length(VECTOR_ELT(out, RED_CELL_ITEM));
        centres.unit_cell =
            arg_ints(VECTOR_ELT(replay, REPLAY_UNIT_CELL), m, 0, n_cells - 1, "unit_cell");
        centres.count = arg_doubles(VECTOR_ELT(out, RED_CELL_COUNT), (size_t)n_cells, "cell_count");
        double *sum = copy_doubles(out, RED_CELL_SUM, (size_t)n_cells * q * d, "cell_sum");
        sp_respond_cells(size.m, n_cells, size.q, design.d, centres.unit_cell, a, sum);
        centres.sum = sum;
    }
    const size_t n_matrices = (size_t)n_shared * (q * (q + 1) / 2);
    sp_respond_products(size.m, size.q, design.d, n_shared, unit_item, a,
                        size.n_levels > 1 ? &centres : NULL,
                        copy_doubles(out, RED_B, n_matrices * packed, "B"),
                        (double *)R_alloc((n_matrices + q) * d, sizeof(double)));
    UNPROTECT(1);
    return out;
}
