/* The SEXP layer of the mixed model: reads arguments, allocates, calls the core once, builds the
 * list that design/structure.md describes. No arithmetic beyond changing 1-based into 0-based. */
#include "crossed.h"
#include "inference.h"
#include "linalg.h"
#include "pattern.h"
#include "r_arguments.h"
#include "r_entries.h"
#include "r_lists.h"
#include "r_reduced.h"
#include "reduce.h"
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* By the order of r_reduced.h. */
static const char *const reduced_names[] = {"n",
                                            "n_x",
                                            "kept",
                                            "p",
                                            "q",
                                            "n_nodes",
                                            "R",
                                            "a",
                                            "item_unit",
                                            "item_count",
                                            "n_shared",
                                            "B",
                                            "C_free",
                                            "free_rows",
                                            "z_factor",
                                            "mean_squares",
                                            "cell_item",
                                            "cell_node",
                                            "cell_count",
                                            "cell_sum",
                                            "parents",
                                            "Rx",
                                            "coef",
                                            "y_scale",
                                            "rss",
                                            "sum_log_weights",
                                            "aliased",
                                            "alias_coef",
                                            "crossed",
                                            "rebased",
                                            ""};

static double *allocate(size_t n) {
    return (double *)R_alloc(n > 0 ? n : 1, sizeof(double));
}

static void stop_on(sp_status status) {
    switch (status) {
    case SP_OK:
        return;
    case SP_SINGULAR:
        Rf_error("the covariance matrix of the observations is not positive definite there");
    case SP_NOT_FINITE:
        Rf_error("a value is not finite, or too large for its square to be");
    default:
        Rf_error("internal error: status %d of the core", (int)status);
    }
}

static SEXP put_doubles(SEXP list, int at, size_t n) {
    SEXP x = Rf_allocVector(REALSXP, (R_xlen_t)n);
    SET_VECTOR_ELT(list, at, x);
    return x;
}

static SEXP put_ints(SEXP list, int at, size_t n) {
    SEXP x = Rf_allocVector(INTSXP, (R_xlen_t)n);
    SET_VECTOR_ELT(list, at, x);
    return x;
}

static void put_matrix(SEXP list, int at, int rows, int cols) {
    SET_VECTOR_ELT(list, at, Rf_allocMatrix(REALSXP, rows, cols));
}

/* ---- reduce --------------------------------------------------------------------------------- */

/* parent: for every unit (0-based by its code) the 0-based code of its group one level up. */
static void find_parents(int n, const int *unit, const int *group, int n_units, int *parent) {
    for (int i = 0; i < n_units; i++) {
        parent[i] = -1;
    }
    for (int i = 0; i < n; i++) {
        int *up = parent + unit[i] - 1;
        if (*up >= 0 && *up != group[i] - 1) {
            Rf_error("internal error: groups are not nested");
        }
        *up = group[i] - 1;
    }
    for (int i = 0; i < n_units; i++) {
        if (parent[i] < 0) {
            Rf_error("internal error: a group without rows");
        }
    }
}

static void check_all_occur(int n, const int *group, int n_groups) {
    int *count = allocate_ints((size_t)n_groups);
    sp_largest_unit(n, n_groups, group, count);
    for (int g = 0; g < n_groups; g++) {
        if (count[g] == 0) {
            Rf_error("internal error: a group without rows");
        }
    }
}

static sp_centres put_cells(SEXP out, int n_units, int n_nodes, int n_items, int q, int d,
                            const int *unit_item) {
    const int *parent = INTEGER(VECTOR_ELT(VECTOR_ELT(out, RED_PARENTS), 0));
    int *cell_item = allocate_ints((size_t)n_units), *cell_node = allocate_ints((size_t)n_units);
    double *cell_count = allocate((size_t)n_units);
    int *unit_cell = allocate_ints((size_t)n_units), *order = allocate_ints((size_t)n_units);
    int *stamp = allocate_ints((size_t)n_items), *start = allocate_ints((size_t)n_nodes + 1);
    int n_cells = sp_find_cells(n_units, n_nodes, n_items, unit_item, parent, cell_item, cell_node,
                                cell_count, unit_cell, order, stamp, start);
    size_t bytes = (size_t)n_cells * sizeof(int);
    memcpy(INTEGER(put_ints(out, RED_CELL_ITEM, (size_t)n_cells)), cell_item, bytes);
    memcpy(INTEGER(put_ints(out, RED_CELL_NODE, (size_t)n_cells)), cell_node, bytes);
    memcpy(REAL(put_doubles(out, RED_CELL_COUNT, (size_t)n_cells)), cell_count,
           (size_t)n_cells * sizeof(double));
    double *cell_sum = REAL(put_doubles(out, RED_CELL_SUM, (size_t)n_cells * q * d));
    sp_sum_cells(n_units, n_cells, q, d, unit_cell, REAL(VECTOR_ELT(out, RED_A)), cell_sum);
    sp_centres centres = {unit_cell, cell_count, cell_sum};
    return centres;
}

static void put_patterns(SEXP out, int n_units, int n_levels, int q, int d) {
    const double *R = REAL(VECTOR_ELT(out, RED_R));
    const double *a = REAL(VECTOR_ELT(out, RED_A));
    const int *n_nodes = INTEGER(VECTOR_ELT(out, RED_N_NODES));
    size_t m = (size_t)n_units, table_size = sp_pattern_table_size(n_units);
    int *unit_item = allocate_ints(m), *representative = allocate_ints(m);
    int *count = allocate_ints(m), *item_of = allocate_ints(m), *item_unit = allocate_ints(m);
    double *item_count = allocate(m);
    int n_patterns = sp_find_patterns(n_units, q, R, unit_item, representative, count, table_size,
                                      allocate_ints(table_size));
    int n_shared;
    int n_items = sp_number_items(n_units, q, n_patterns, representative, count, unit_item,
                                  item_unit, item_count, &n_shared, item_of);
    memcpy(INTEGER(put_ints(out, RED_ITEM_UNIT, (size_t)n_items)), item_unit,
           (size_t)n_items * sizeof(int));
    memcpy(REAL(put_doubles(out, RED_ITEM_COUNT, (size_t)n_items)), item_count,
           (size_t)n_items * sizeof(double));
    SET_VECTOR_ELT(out, RED_N_SHARED, Rf_ScalarInteger(n_shared));
    size_t products = (size_t)n_shared * q * (q + 1) / 2 * sp_packed_size(d);
    double *B = REAL(put_doubles(out, RED_B, products)), *work = allocate((size_t)q * d);
    if (n_levels > 1) {
        sp_centres centres = put_cells(out, n_units, n_nodes[1], n_items, q, d, unit_item);
        stop_on(sp_cross_products(n_units, q, d, n_shared, unit_item, a, &centres, B, work,
                                  check_interrupt, NULL));
    } else {
        stop_on(sp_cross_products(n_units, q, d, n_shared, unit_item, a, NULL, B, work,
                                  check_interrupt, NULL));
    }
}

/* Cross-products of the free rows (row after row of length d). */
static void put_free_products(SEXP out, int d) {
    SEXP rows = VECTOR_ELT(out, RED_FREE_ROWS);
    double *C_free = REAL(put_doubles(out, RED_C_FREE, sp_packed_size(d)));
    memset(C_free, 0, sp_packed_size(d) * sizeof(double));
    sp_add_crossprod((int)(Rf_xlength(rows) / d), d, REAL(rows), C_free);
}

/* The factor of Z, once the patterns are there. */
static void put_z_factor(SEXP out, int n_units, int q) {
    const double *R = REAL(VECTOR_ELT(out, RED_R));
    double *factor = REAL(put_doubles(out, RED_Z_FACTOR, (size_t)q * q));
    double *work = allocate((size_t)q * q);
    int n_items = Rf_length(VECTOR_ELT(out, RED_ITEM_UNIT));
    if (n_items > 0) {
        sp_factor_units(n_items, q, R, INTEGER(VECTOR_ELT(out, RED_ITEM_UNIT)),
                        REAL(VECTOR_ELT(out, RED_ITEM_COUNT)), factor, work);
    } else {
        sp_factor_units(n_units, q, R, NULL, NULL, factor, work);
    }
}

/* The mean squares of y, once all else is there. */
static void put_mean_squares(SEXP out, int n, int n_units, int q, int d) {
    sp_mean_squares(n, n_units, q, d, REAL(VECTOR_ELT(out, RED_R)), REAL(VECTOR_ELT(out, RED_A)),
                    REAL(VECTOR_ELT(out, RED_C_FREE)),
                    REAL(put_doubles(out, RED_MEAN_SQUARES, (size_t)q + 1)));
}

enum {
    CROSSED_START,
    CROSSED_OUTER,
    CROSSED_U,
    CROSSED_A,
    CROSSED_B,
    CROSSED_CENTRE,
    CROSSED_REST,
    CROSSED_C,
    CROSSED_LENGTH
};

/* The pieces of crossed.h: the outer groupings are those after the first. */
static void put_crossed(SEXP out, const sp_rows *rows, SEXP groups, const int *n_units, int largest,
                        const sp_fixed *fixed, const int *kept, const double *Rx,
                        const double *coef) {
    const char *names[] = {"start", "outer", "u", "A", "b", "centre", "rest", "C", ""};
    SEXP crossed = Rf_mkNamed(VECSXP, names);
    SET_VECTOR_ELT(out, RED_CROSSED, crossed);
    size_t n = (size_t)rows->n, m = (size_t)rows->n_units, q = (size_t)rows->q;
    int n_levels = (int)Rf_xlength(groups) - 1, n_outer = 0;
    /* A row meets one unit of each outer level: no number of meetings is beyond this. */
    if ((double)rows->n * n_levels > INT_MAX) {
        Rf_error("internal error: too many rows for crossed groupings");
    }
    const int *codes[SP_MAX_LEVELS];
    for (int l = 0; l < n_levels; l++) {
        codes[l] = INTEGER(VECTOR_ELT(groups, l + 1));
        n_outer += n_units[l + 1];
    }
    int *order = allocate_ints(n), *start = allocate_ints(m + 1);
    double *reflectors = allocate(sp_reflectors_size(rows->n, rows->n_units, rows->q));
    double *Xfree = allocate(n * rows->p);
    stop_on(sp_keep_reflectors(rows, order, start, reflectors, Xfree,
                               allocate((size_t)largest * (q + rows->p + 1)),
                               allocate_ints((size_t)largest), check_interrupt, NULL));
    int *outer = allocate_ints(n * n_levels), *stamp = allocate_ints((size_t)n_outer);
    int *meeting_start = INTEGER(put_ints(crossed, CROSSED_START, m + 1));
    int n_meetings = sp_find_meetings(rows->n_units, order, start, n_levels, codes, n_units + 1,
                                      meeting_start, outer, stamp);
    int most = 0;
    for (size_t i = 0; i < m; i++) {
        int here = meeting_start[i + 1] - meeting_start[i];
        most = here > most ? here : most;
    }
    memcpy(INTEGER(put_ints(crossed, CROSSED_OUTER, (size_t)n_meetings)), outer,
           (size_t)n_meetings * sizeof(int));
    double *u = REAL(put_doubles(crossed, CROSSED_U, q * q * n_meetings));
    size_t side = q * n_outer, d = (size_t)fixed->rank + 1;
    double *A = REAL(put_doubles(crossed, CROSSED_A, side * side));
    double *b = REAL(put_doubles(crossed, CROSSED_B, side * d));
    double *centre = REAL(put_doubles(crossed, CROSSED_CENTRE, side * d));
    double *rest = REAL(put_doubles(crossed, CROSSED_REST, side * d));
    double *C = REAL(put_doubles(crossed, CROSSED_C, sp_packed_size((int)d)));
    sp_crossed_rows in = {rows, order, start,    reflectors, Xfree,       fixed,         kept,
                          Rx,   coef,  n_levels, codes,      n_units + 1, meeting_start, outer};
    stop_on(sp_cross_rows(&in, u, A, b, centre, rest, C,
                          allocate(sp_cross_work_size(&in, largest, most)), stamp, check_interrupt,
                          NULL));
}

/* Nothing is shared on the general path, and there are no cells. */
static void put_no_patterns(SEXP out) {
    put_ints(out, RED_ITEM_UNIT, 0);
    put_doubles(out, RED_ITEM_COUNT, 0);
    SET_VECTOR_ELT(out, RED_N_SHARED, Rf_ScalarInteger(0));
    put_doubles(out, RED_B, 0);
}

/* The rows and groups that were given. */
typedef struct {
    sp_rows rows;
    int n_levels, crossed, largest; /* largest: rows of the largest unit */
    const int *level_size;
    double sum_log_weights;
} reduce_input;

/* X in an orthonormal basis: what sp_rank_fixed() answers. */
typedef struct {
    sp_fixed fixed;
    int *kept;
    double *Rx, *coef, *alias;
} fixed_basis;

/* Codes of every level; where levels nest, those below the outermost are seen to occur when their
 * parents are looked for. */
static void read_levels(SEXP groups, SEXP n_units, int n, reduce_input *in) {
    in->n_levels = Rf_length(arg_list(groups, "groups"));
    if (in->n_levels < 1 || in->n_levels > SP_MAX_LEVELS) {
        Rf_error("internal error: `groups` must have 1 to %d levels", (int)SP_MAX_LEVELS);
    }
    in->level_size = arg_ints(n_units, (size_t)in->n_levels, 1, n, "n_units");
    for (int l = 0; l < in->n_levels; l++) {
        arg_ints(VECTOR_ELT(groups, l), (size_t)n, 1, in->level_size[l], "groups");
    }
    for (int l = in->crossed ? 0 : in->n_levels - 1; l < in->n_levels; l++) {
        check_all_occur(n, INTEGER(VECTOR_ELT(groups, l)), in->level_size[l]);
    }
}

static void read_rows(SEXP X, SEXP y, SEXP Z, SEXP groups, SEXP weights, reduce_input *in) {
    sp_rows *rows = &in->rows;
    int n = (int)Rf_xlength(y);
    rows->n = n;
    rows->n_units = in->level_size[0];
    rows->X = arg_columns(X, n, &rows->p, "X");
    rows->Z = arg_columns(Z, n, &rows->q, "Z");
    rows->y.values = arg_doubles(y, (size_t)n, "y");
    rows->y.step = 1;
    rows->weights = Rf_isNull(weights) ? NULL : arg_doubles(weights, (size_t)n, "weights");
    rows->unit = INTEGER(VECTOR_ELT(groups, 0));
    in->sum_log_weights = 0.0;
    for (int i = 0; rows->weights && i < n; i++) {
        in->sum_log_weights += log(rows->weights[i]);
    }
    if (rows->q < 1 || rows->q > ARG_MAX_COLUMNS || rows->p > ARG_MAX_COLUMNS) {
        Rf_error("internal error: number of columns of the design");
    }
    if (!R_FINITE(in->sum_log_weights)) {
        Rf_error("internal error: `weights` must be positive and finite");
    }
    in->largest =
        sp_largest_unit(n, rows->n_units, rows->unit, allocate_ints((size_t)rows->n_units));
}

/* An empty list with its names; the caller protects it. */
static SEXP new_reduced(void) {
    SEXP out = PROTECT(Rf_allocVector(VECSXP, RED_LENGTH));
    SEXP names = PROTECT(Rf_allocVector(STRSXP, RED_LENGTH));
    for (int i = 0; i < RED_LENGTH; i++) {
        SET_STRING_ELT(names, i, Rf_mkChar(reduced_names[i]));
    }
    Rf_setAttrib(out, R_NamesSymbol, names);
    UNPROTECT(2);
    return out;
}

static void put_parents(SEXP out, SEXP groups, const reduce_input *in) {
    SEXP parents = Rf_allocVector(VECSXP, in->crossed ? 0 : in->n_levels - 1);
    SET_VECTOR_ELT(out, RED_PARENTS, parents);
    for (int l = 0; l < (int)Rf_xlength(parents); l++) {
        SEXP parent = Rf_allocVector(INTSXP, in->level_size[l]);
        SET_VECTOR_ELT(parents, l, parent);
        find_parents(in->rows.n, INTEGER(VECTOR_ELT(groups, l)), INTEGER(VECTOR_ELT(groups, l + 1)),
                     in->level_size[l], INTEGER(parent));
    }
}

/* Every unit's R and rotated rows; triangular factors of the free rows and of all rows. */
static sp_status put_units(SEXP out, const reduce_input *in, double *Rfree, double *Rfull) {
    const sp_rows *rows = &in->rows;
    size_t units = (size_t)rows->n_units * rows->q;
    double *a = REAL(put_doubles(out, RED_A, units * (rows->p + 1)));
    double *R = REAL(put_doubles(out, RED_R, units * rows->q));
    return sp_reduce_rows(rows, R, a, Rfree, Rfull,
                          allocate(sp_reduce_work_size(rows->p, rows->q, in->largest)),
                          allocate_ints(sp_reduce_iwork_size(rows->n, rows->n_units, in->largest)),
                          check_interrupt, NULL);
}

static fixed_basis find_basis(int n, int p, double tolerance, double *Rfull) {
    size_t pp = (size_t)p * p;
    fixed_basis basis;
    basis.kept = allocate_ints((size_t)p);
    basis.Rx = allocate(pp);
    basis.coef = allocate((size_t)p);
    basis.alias = allocate(pp);
    sp_rank_fixed(n, p, tolerance, Rfull, basis.kept, basis.Rx, basis.coef, basis.alias,
                  &basis.fixed);
    return basis;
}

/* `n_rows` rows [X y] of element `at`, in the basis and as much shorter. */
static void orthonormalise(SEXP out, int at, size_t n_rows, int p, const fixed_basis *basis) {
    double *rows = REAL(VECTOR_ELT(out, at));
    stop_on(sp_orthonormalise(n_rows, p, &basis->fixed, basis->kept, basis->Rx, basis->coef, rows,
                              check_interrupt, NULL));
    if (basis->fixed.rank < p) {
        SEXP shorter =
            Rf_xlengthgets(VECTOR_ELT(out, at), (R_xlen_t)(n_rows * (basis->fixed.rank + 1)));
        SET_VECTOR_ELT(out, at, shorter);
    }
}

/* The factor of the free rows, row by row. */
static void put_free_rows(SEXP out, int p, const double *Rfree) {
    int d = p + 1;
    double *rows = REAL(put_doubles(out, RED_FREE_ROWS, (size_t)d * d));
    for (int i = 0; i < d; i++) {
        for (int j = 0; j < d; j++) {
            rows[(size_t)d * i + j] = i <= j ? Rfree[i + (size_t)d * j] : 0.0;
        }
    }
}

/* What is known of X: the columns kept and left out, and the way back to their scale. */
static void put_basis(SEXP out, int p_all, const fixed_basis *basis) {
    int p = basis->fixed.rank, n_aliased = p_all - p;
    const int *kept = basis->kept;
    int *kept_out = INTEGER(put_ints(out, RED_KEPT, (size_t)p));
    for (int i = 0; i < p; i++) {
        kept_out[i] = kept[i] + 1;
    }
    memcpy(REAL(put_doubles(out, RED_COEF, (size_t)p)), basis->coef, (size_t)p * sizeof(double));
    put_matrix(out, RED_RX, p, p);
    memcpy(REAL(VECTOR_ELT(out, RED_RX)), basis->Rx, (size_t)p * p * sizeof(double));
    int *aliased = INTEGER(put_ints(out, RED_ALIASED, (size_t)n_aliased));
    put_matrix(out, RED_ALIAS_COEF, p, n_aliased);
    double *alias = REAL(VECTOR_ELT(out, RED_ALIAS_COEF));
    for (int j = 0; j < n_aliased; j++) {
        aliased[j] = kept[p_all - 1 - j] + 1;
        memcpy(alias + (size_t)p * j, basis->alias + (size_t)p_all * j, (size_t)p * sizeof(double));
    }
}

static void put_sizes(SEXP out, const reduce_input *in, const sp_fixed *fixed) {
    SET_VECTOR_ELT(out, RED_REBASED, Rf_ScalarLogical(0));
    SET_VECTOR_ELT(out, RED_N, Rf_ScalarInteger(in->rows.n));
    SET_VECTOR_ELT(out, RED_N_X, Rf_ScalarInteger(in->rows.p));
    SET_VECTOR_ELT(out, RED_P, Rf_ScalarInteger(fixed->rank));
    SET_VECTOR_ELT(out, RED_Q, Rf_ScalarInteger(in->rows.q));
    SET_VECTOR_ELT(out, RED_Y_SCALE, Rf_ScalarReal(fixed->y_scale));
    SET_VECTOR_ELT(out, RED_RSS, Rf_ScalarReal(fixed->rss));
    SET_VECTOR_ELT(out, RED_SUM_LOG_WEIGHTS, Rf_ScalarReal(in->sum_log_weights));
}

SEXP lmm_reduce(SEXP X, SEXP y, SEXP Z, SEXP groups, SEXP n_units, SEXP weights, SEXP tolerance,
                SEXP crossed) {
    reduce_input in;
    in.crossed = arg_flag(crossed, "crossed");
    if (Rf_xlength(y) < 1 || Rf_xlength(y) > INT_MAX) {
        Rf_error("internal error: `y` must have 1 to 2^31 - 1 elements");
    }
    read_levels(groups, n_units, (int)Rf_xlength(y), &in);
    const double rank_tolerance = arg_double(tolerance, "tolerance");
    read_rows(X, y, Z, groups, weights, &in);
    const int n = in.rows.n, m = in.rows.n_units, q = in.rows.q, p = in.rows.p;

    SEXP out = PROTECT(new_reduced());
    SET_VECTOR_ELT(out, RED_N_NODES, Rf_duplicate(n_units));
    put_parents(out, groups, &in);
    const size_t square = (size_t)(p + 1) * (p + 1);
    double *Rfree = allocate(square), *Rfull = allocate(square);
    sp_status status = put_units(out, &in, Rfree, Rfull);
    if (status == SP_NOT_FINITE) {
        UNPROTECT(1);
        return R_NilValue;
    }
    stop_on(status);

    const fixed_basis basis = find_basis(n, p, rank_tolerance, Rfull);
    const int d = basis.fixed.rank + 1;
    orthonormalise(out, RED_A, (size_t)m * q, p, &basis);
    put_free_rows(out, p, Rfree);
    orthonormalise(out, RED_FREE_ROWS, (size_t)p + 1, p, &basis);
    put_free_products(out, d);
    put_sizes(out, &in, &basis.fixed);
    put_basis(out, p, &basis);
    if (in.crossed) {
        put_crossed(out, &in.rows, groups, in.level_size, in.largest, &basis.fixed, basis.kept,
                    basis.Rx, basis.coef);
        put_no_patterns(out);
    } else {
        put_patterns(out, m, in.n_levels, q, d);
    }
    put_z_factor(out, m, q);
    put_mean_squares(out, n, m, q, d);
    UNPROTECT(1);
    return out;
}

/* ---- reading the reduced data and the blocks ------------------------------------------------ */

static void read_crossed(SEXP list, sp_reduced *data) {
    data->crossed = NULL;
    if (Rf_isNull(list)) {
        return;
    }
    if (TYPEOF(list) != VECSXP || Rf_length(list) != CROSSED_LENGTH) {
        Rf_error("internal error: `crossed` must be what lmm_reduce() answered");
    }
    sp_crossed *crossed = (sp_crossed *)R_alloc(1, sizeof(sp_crossed));
    size_t q = (size_t)data->q, m = (size_t)data->n_units;
    size_t n_meetings = (size_t)Rf_xlength(VECTOR_ELT(list, CROSSED_OUTER));
    crossed->n_outer = 0;
    for (int l = 1; l < data->n_levels; l++) {
        crossed->n_outer += data->n_nodes[l];
    }
    size_t side = q * (size_t)crossed->n_outer;
    crossed->start = arg_sorted_ints(VECTOR_ELT(list, CROSSED_START), m + 1, 0, INT_MAX, "start");
    if ((size_t)crossed->start[m] != n_meetings) {
        Rf_error("internal error: number of meetings");
    }
    crossed->outer =
        arg_ints(VECTOR_ELT(list, CROSSED_OUTER), n_meetings, 0, crossed->n_outer - 1, "outer");
    crossed->u = arg_doubles(VECTOR_ELT(list, CROSSED_U), q * q * n_meetings, "u");
    crossed->A = arg_doubles(VECTOR_ELT(list, CROSSED_A), side * side, "A");
    size_t d = (size_t)data->d;
    crossed->b = arg_doubles(VECTOR_ELT(list, CROSSED_B), side * d, "b");
    crossed->centre = arg_doubles(VECTOR_ELT(list, CROSSED_CENTRE), side * d, "centre");
    crossed->rest = arg_doubles(VECTOR_ELT(list, CROSSED_REST), side * d, "rest");
    crossed->C = arg_doubles(VECTOR_ELT(list, CROSSED_C), sp_packed_size(data->d), "C");
    data->crossed = crossed;
}

static void read_reduced(SEXP list, sp_reduced *data, sp_units *units) {
    if (TYPEOF(list) != VECSXP || Rf_length(list) != RED_LENGTH) {
        Rf_error("internal error: `reduced` must be what lmm_reduce() answered");
    }
    SEXP n_nodes = VECTOR_ELT(list, RED_N_NODES);
    data->n = arg_int(VECTOR_ELT(list, RED_N), 1, INT_MAX, "n");
    data->p = arg_int(VECTOR_ELT(list, RED_P), 0, ARG_MAX_COLUMNS, "p");
    data->q = arg_int(VECTOR_ELT(list, RED_Q), 1, ARG_MAX_COLUMNS, "q");
    data->d = data->p + 1;
    data->n_levels = Rf_length(n_nodes);
    if (data->n_levels < 1 || data->n_levels > SP_MAX_LEVELS) {
        Rf_error("internal error: `n_nodes` must have 1 to %d levels", (int)SP_MAX_LEVELS);
    }
    const int *nodes = arg_ints(n_nodes, (size_t)data->n_levels, 1, data->n, "n_nodes");
    SEXP parents = arg_list(VECTOR_ELT(list, RED_PARENTS), "parents");
    int is_crossed = !Rf_isNull(VECTOR_ELT(list, RED_CROSSED));
    if (Rf_length(parents) != (is_crossed ? 0 : data->n_levels - 1)) {
        Rf_error("internal error: length of `parents`");
    }
    for (int l = 0; l < data->n_levels; l++) {
        data->n_nodes[l] = nodes[l];
        data->parent[l] =
            l < Rf_length(parents)
                ? arg_ints(VECTOR_ELT(parents, l), (size_t)nodes[l], 0, nodes[l + 1] - 1, "parents")
                : NULL;
    }
    data->check = check_interrupt;
    data->check_data = NULL;
    size_t p = (size_t)data->p, q = (size_t)data->q, d = p + 1, packed = sp_packed_size(data->d);
    size_t m = (size_t)nodes[0], n_items = (size_t)Rf_xlength(VECTOR_ELT(list, RED_ITEM_UNIT));
    data->n_units = nodes[0];
    data->n_items = n_items > m ? -1 : (int)n_items;
    data->n_shared = arg_int(VECTOR_ELT(list, RED_N_SHARED), 0, data->n_items, "n_shared");
    data->R = arg_doubles(VECTOR_ELT(list, RED_R), q * q * m, "R");
    data->a = arg_doubles(VECTOR_ELT(list, RED_A), q * d * m, "a");
    data->item_unit =
        arg_ints(VECTOR_ELT(list, RED_ITEM_UNIT), n_items, 0, nodes[0] - 1, "item_unit");
    data->item_count = arg_doubles(VECTOR_ELT(list, RED_ITEM_COUNT), n_items, "item_count");
    data->B = arg_doubles(VECTOR_ELT(list, RED_B),
                          (size_t)data->n_shared * (q * (q + 1) / 2) * packed, "B");
    data->Cfree = arg_doubles(VECTOR_ELT(list, RED_C_FREE), packed, "C_free");
    data->z_factor = arg_doubles(VECTOR_ELT(list, RED_Z_FACTOR), q * q, "z_factor");
    data->mean_squares = arg_doubles(VECTOR_ELT(list, RED_MEAN_SQUARES), q + 1, "mean_squares");
    SEXP free_rows = VECTOR_ELT(list, RED_FREE_ROWS);
    if (!Rf_isNull(free_rows)) {
        size_t n_free = (size_t)Rf_xlength(free_rows) / d;
        arg_doubles(free_rows, (n_free > 0 ? n_free : 1) * d, "free_rows");
    }
    data->n_cells = 0;
    read_crossed(VECTOR_ELT(list, RED_CROSSED), data);
    if (data->n_levels > 1 && !is_crossed) {
        size_t n_cells = (size_t)Rf_xlength(VECTOR_ELT(list, RED_CELL_ITEM));
        data->n_cells = n_cells > m ? -1 : (int)n_cells;
        data->cell_item =
            arg_ints(VECTOR_ELT(list, RED_CELL_ITEM), n_cells, 0, data->n_items - 1, "cell_item");
        data->cell_node =
            arg_sorted_ints(VECTOR_ELT(list, RED_CELL_NODE), n_cells, 0, nodes[1] - 1, "cell_node");
        data->cell_count = arg_doubles(VECTOR_ELT(list, RED_CELL_COUNT), n_cells, "cell_count");
        data->cell_sum = arg_doubles(VECTOR_ELT(list, RED_CELL_SUM), n_cells * q * d, "cell_sum");
    }
    units->Rx = arg_doubles(VECTOR_ELT(list, RED_RX), p * p, "Rx");
    units->coef = arg_doubles(VECTOR_ELT(list, RED_COEF), p, "coef");
    units->y_scale = arg_double(VECTOR_ELT(list, RED_Y_SCALE), "y_scale");
    units->sum_log_weights = arg_double(VECTOR_ELT(list, RED_SUM_LOG_WEIGHTS), "sum_log_weights");
}

static void read_blocks(SEXP list, const sp_reduced *data, sp_blocks *blocks, sp_model *model) {
    int n_blocks = Rf_length(arg_list(list, "blocks")), n_columns = 0;
    if (n_blocks < 1 || n_blocks > data->q * data->n_levels) {
        Rf_error("internal error: number of blocks");
    }
    int *level = allocate_ints((size_t)n_blocks), *size = allocate_ints((size_t)n_blocks);
    for (int b = 0; b < n_blocks; b++) {
        SEXP block = arg_list(VECTOR_ELT(list, b), "block");
        level[b] = arg_int(list_element(block, "level"), 1, data->n_levels, "level") - 1;
        size[b] = Rf_length(list_element(block, "columns"));
        if (size[b] < 1 || size[b] > data->q) {
            Rf_error("internal error: number of columns of a block");
        }
        n_columns += size[b];
        if (n_columns > ARG_MAX_COLUMNS) {
            Rf_error("internal error: the blocks must have at most %d columns", ARG_MAX_COLUMNS);
        }
    }
    int *columns = allocate_ints((size_t)n_columns), *next = columns;
    for (int b = 0; b < n_blocks; b++) {
        const int *from = arg_ints(list_element(VECTOR_ELT(list, b), "columns"), (size_t)size[b], 1,
                                   data->q, "columns");
        for (int j = 0; j < size[b]; j++) {
            *next++ = from[j] - 1;
        }
    }
    blocks->n_blocks = n_blocks;
    blocks->level = level;
    blocks->size = size;
    blocks->columns = columns;
    size_t n_par = (size_t)sp_model_size(blocks);
    sp_model_init(blocks, data->n_levels, data->q, allocate_ints(n_par), allocate_ints(n_par),
                  allocate_ints(n_par), model);
}

/* What every entry begins with. */
typedef struct {
    sp_reduced data;
    sp_units units;
    sp_blocks blocks;
    sp_model model;
} problem;

static void read_problem(SEXP reduced, SEXP blocks, problem *out) {
    read_reduced(reduced, &out->data, &out->units);
    read_blocks(blocks, &out->data, &out->blocks, &out->model);
}

static size_t square_count(const sp_blocks *blocks) {
    size_t sum = 0;
    for (int b = 0; b < blocks->n_blocks; b++) {
        sum += (size_t)blocks->size[b] * blocks->size[b];
    }
    return sum;
}

/* Parameters (lower triangles, s last) from matrices, and back. */
static void matrices_to_parameters(const sp_blocks *blocks, const double *G, double s,
                                   double *parameters) {
    for (int b = 0; b < blocks->n_blocks; b++) {
        int n = blocks->size[b];
        for (int j = 0; j < n; j++) {
            for (int i = j; i < n; i++) {
                *parameters++ = G[i + (size_t)n * j];
            }
        }
        G += n * n;
    }
    *parameters = s;
}

static void parameters_to_matrices(const sp_blocks *blocks, const double *parameters, double *G,
                                   double *s) {
    for (int b = 0; b < blocks->n_blocks; b++) {
        int n = blocks->size[b];
        for (int j = 0; j < n; j++) {
            for (int i = j; i < n; i++) {
                G[i + (size_t)n * j] = G[j + (size_t)n * i] = *parameters++;
            }
        }
        G += n * n;
    }
    *s = *parameters;
}

/* Matrices and s at the parameters that R gives. */
static double *read_parameters(SEXP parameters, const sp_blocks *blocks, const sp_model *model,
                               double *s) {
    const double *values = arg_doubles(parameters, (size_t)model->n_par + 1, "parameters");
    double *G = allocate(square_count(blocks));
    parameters_to_matrices(blocks, values, G, s);
    return G;
}

/* ---- results -------------------------------------------------------------------------------- */

enum {
    RES_BETA,
    RES_VCOV,
    RES_PARAMETERS,
    RES_CRITERION,
    RES_GRADIENT,
    RES_OBSERVED,
    RES_EXPECTED,
    RES_AVERAGE,
    RES_DVCOV,
    RES_EVALUATED,
    RES_VCOV_PARAMETERS = RES_EVALUATED,
    RES_REDUNDANT,
    RES_UNDETERMINED,
    RES_LENGTH
};

static const char *const result_names[] = {
    "beta",     "vcov",    "parameters", "criterion",       "gradient",  "observed",
    "expected", "average", "dvcov",      "vcov_parameters", "redundant", "undetermined"};

/* A named list with the results at the given parameters, of no use unless the status is SP_OK; the
 * caller protects it and fills in the elements from RES_EVALUATED on. */
static SEXP results_list(int length, const sp_reduced *data, const sp_model *model,
                         const sp_blocks *blocks, const sp_units *units, int reml, const double *G,
                         double s, sp_status *status) {
    int p = data->p, k = model->n_par + 1;
    SEXP out = PROTECT(Rf_allocVector(VECSXP, length));
    SEXP names = PROTECT(Rf_allocVector(STRSXP, length));
    for (int i = 0; i < length; i++) {
        SET_STRING_ELT(names, i, Rf_mkChar(result_names[i]));
    }
    Rf_setAttrib(out, R_NamesSymbol, names);
    put_doubles(out, RES_BETA, (size_t)p);
    put_matrix(out, RES_VCOV, p, p);
    put_doubles(out, RES_PARAMETERS, (size_t)k);
    put_doubles(out, RES_GRADIENT, (size_t)k);
    put_matrix(out, RES_OBSERVED, k, k);
    put_matrix(out, RES_EXPECTED, k, k);
    put_matrix(out, RES_AVERAGE, k, k);
    SET_VECTOR_ELT(out, RES_DVCOV, Rf_alloc3DArray(REALSXP, p, p, k));
    matrices_to_parameters(blocks, G, s, REAL(VECTOR_ELT(out, RES_PARAMETERS)));
    sp_results results = {0.0,
                          REAL(VECTOR_ELT(out, RES_BETA)),
                          REAL(VECTOR_ELT(out, RES_VCOV)),
                          REAL(VECTOR_ELT(out, RES_DVCOV)),
                          REAL(VECTOR_ELT(out, RES_GRADIENT)),
                          REAL(VECTOR_ELT(out, RES_OBSERVED)),
                          REAL(VECTOR_ELT(out, RES_EXPECTED)),
                          REAL(VECTOR_ELT(out, RES_AVERAGE))};
    *status = sp_results_at(data, model, blocks, units, reml, G, s,
                            allocate(sp_results_work_size(data, model)), &results);
    SET_VECTOR_ELT(out, RES_CRITERION, Rf_ScalarReal(results.criterion));
    UNPROTECT(2);
    return out;
}

SEXP lmm_evaluate(SEXP reduced, SEXP blocks_list, SEXP parameters, SEXP reml) {
    problem in;
    read_problem(reduced, blocks_list, &in);
    double s, *G = read_parameters(parameters, &in.blocks, &in.model, &s);
    sp_status status;
    SEXP out = PROTECT(results_list(RES_EVALUATED, &in.data, &in.model, &in.blocks, &in.units,
                                    arg_flag(reml, "reml"), G, s, &status));
    stop_on(status);
    UNPROTECT(1);
    return out;
}

/* A double vector of the list replaced by a copy, for changing. */
static double *put_copy(SEXP list, int at) {
    SEXP copy = Rf_duplicate(VECTOR_ELT(list, at));
    SET_VECTOR_ELT(list, at, copy);
    return REAL(copy);
}

/* The reduced data with [X y] in the coordinates of root (see reduce.h). */
static SEXP rebase(SEXP reduced, const sp_reduced *data, const double *root) {
    int q = data->q, d = data->d, m = data->n_units;
    SEXP out = PROTECT(Rf_shallow_duplicate(reduced));
    size_t n_free = (size_t)Rf_xlength(VECTOR_ELT(out, RED_FREE_ROWS)) / (size_t)d;
    sp_change_rows((size_t)m * q, d, root, put_copy(out, RED_A));
    sp_change_rows(n_free, d, root, put_copy(out, RED_FREE_ROWS));
    double *Rx = put_copy(out, RED_RX), y_scale = Rf_asReal(VECTOR_ELT(out, RED_Y_SCALE));
    sp_change_fixed(data->p, root, y_scale, Rx, put_copy(out, RED_COEF));
    put_free_products(out, d);
    put_patterns(out, m, data->n_levels, q, d);
    put_mean_squares(out, data->n, m, q, d);
    SET_VECTOR_ELT(out, RED_REBASED, Rf_ScalarLogical(1));
    UNPROTECT(1);
    return out;
}

static sp_control read_control(SEXP list) {
    arg_list(list, "control");
    sp_control control = {
        arg_double(list_element(list, "fall_tolerance"), "fall_tolerance"),
        arg_double(list_element(list, "zero_tolerance"), "zero_tolerance"),
        arg_int(list_element(list, "max_iterations"), 0, INT_MAX, "max_iterations"),
        arg_int(list_element(list, "few_units"), 0, INT_MAX, "few_units"),
        arg_double(list_element(list, "largest_effect"), "largest_effect")};
    return control;
}

enum {
    FIT_BETA,
    FIT_PARAMETERS,
    FIT_CRITERION,
    FIT_STATUS,
    FIT_REASON,
    FIT_RANK,
    FIT_ITERATIONS,
    FIT_EVALUATIONS,
    FIT_FACTORS,
    FIT_REDUCED
};

/* The arguments of lmm_fit, and the optimiser's workspace. That is not of R's heap: refits by the
 * thousand would fill it, and collecting it costs them a twelfth of their time. */
typedef struct {
    SEXP reduced, blocks, reml, control, start;
    double *memory;
} fit_call;

static void free_memory(void *call) {
    free(((fit_call *)call)->memory);
}

static SEXP fit(void *arguments) {
    fit_call *call = arguments;
    SEXP reduced = call->reduced, start = call->start;
    problem in;
    read_problem(reduced, call->blocks, &in);
    const sp_control control = read_control(call->control);
    const double largest_inflation =
        arg_double(list_element(call->control, "largest_inflation"), "largest_inflation");
    const int restricted = arg_flag(call->reml, "reml");
    size_t squares = square_count(&in.blocks);
    double *G = allocate(squares);
    size_t size = sp_optimise_work_size(&in.data, &in.model, &in.blocks);
    double *memory = call->memory = malloc(size * sizeof(double));
    if (!memory) {
        Rf_error("cannot allocate %.0f MB", (double)size * sizeof(double) / 1048576.0);
    }
    int *rank = allocate_ints((size_t)in.blocks.n_blocks);
    const size_t n_factors = sp_factors_size(&in.blocks);
    double *factors = allocate(n_factors);
    if (!Rf_isNull(start)) {
        memcpy(factors, arg_finite(start, n_factors, "start"), n_factors * sizeof(double));
    }
    sp_optimum optimum;
    PROTECT_INDEX place;
    PROTECT_WITH_INDEX(reduced, &place);
    stop_on(sp_optimise(&in.data, &in.model, &in.blocks, restricted, &control, memory,
                        Rf_isNull(start) ? SP_FROM_DATA : SP_FROM_OTHER, factors, G, rank, &optimum,
                        check_interrupt, NULL));
    /* Coordinates in which the optimum's fixed effects cost no digits, and on from there. (The
     * general path keeps its digits another way, and no rows that could be changed.) */
    for (int round = 0;
         round < 3 && !in.data.crossed && optimum.reason != SP_REASON_START &&
         optimum.inflation > largest_inflation && !Rf_isNull(VECTOR_ELT(reduced, RED_FREE_ROWS));
         round++) {
        REPROTECT(reduced = rebase(reduced, &in.data, optimum.root), place);
        read_reduced(reduced, &in.data, &in.units);
        stop_on(sp_optimise(&in.data, &in.model, &in.blocks, restricted, &control, memory,
                            SP_FROM_OPTIMUM, factors, G, rank, &optimum, check_interrupt, NULL));
    }
    if (optimum.reason == SP_REASON_START) {
        UNPROTECT(1);
        return R_NilValue;
    }
    double variance_scale = in.units.y_scale * in.units.y_scale;
    double s = optimum.s * variance_scale;
    for (size_t i = 0; i < squares; i++) {
        G[i] *= s;
    }
    const char *names[] = {"beta",       "parameters",  "criterion", "status",  "reason", "rank",
                           "iterations", "evaluations", "factors",   "reduced", ""};
    SEXP out = PROTECT(Rf_mkNamed(VECSXP, names));
    sp_beta(&in.data, &in.units, optimum.root, REAL(put_doubles(out, FIT_BETA, (size_t)in.data.p)));
    matrices_to_parameters(&in.blocks, G, s,
                           REAL(put_doubles(out, FIT_PARAMETERS, (size_t)in.model.n_par + 1)));
    SET_VECTOR_ELT(out, FIT_CRITERION,
                   Rf_ScalarReal(sp_criterion(&in.data, &in.units, restricted, optimum.criterion)));
    SET_VECTOR_ELT(out, FIT_STATUS, Rf_ScalarInteger((int)optimum.fit));
    SET_VECTOR_ELT(out, FIT_REASON, Rf_ScalarInteger((int)optimum.reason));
    memcpy(INTEGER(put_ints(out, FIT_RANK, (size_t)in.blocks.n_blocks)), rank,
           (size_t)in.blocks.n_blocks * sizeof(int));
    SET_VECTOR_ELT(out, FIT_ITERATIONS, Rf_ScalarInteger(optimum.iterations));
    SET_VECTOR_ELT(out, FIT_EVALUATIONS, Rf_ScalarInteger(optimum.evaluations));
    memcpy(REAL(put_doubles(out, FIT_FACTORS, n_factors)), factors, n_factors * sizeof(double));
    SET_VECTOR_ELT(out, FIT_REDUCED, reduced);
    UNPROTECT(2);
    return out;
}

SEXP lmm_fit(SEXP reduced, SEXP blocks, SEXP reml, SEXP control, SEXP start) {
    fit_call call = {reduced, blocks, reml, control, start, NULL};
    return R_ExecWithCleanup(fit, &call, free_memory, &call);
}

SEXP lmm_infer(SEXP reduced, SEXP blocks_list, SEXP parameters, SEXP rank, SEXP reml) {
    problem in;
    read_problem(reduced, blocks_list, &in);
    double s, *G = read_parameters(parameters, &in.blocks, &in.model, &s);
    int k = in.model.n_par + 1;
    arg_finite(parameters, (size_t)k, "parameters");
    const int *ranks = arg_ints(rank, (size_t)in.blocks.n_blocks, 0, in.data.q, "rank");
    for (int b = 0; b < in.blocks.n_blocks; b++) {
        if (ranks[b] > in.blocks.size[b]) {
            Rf_error("internal error: `rank` must not exceed a block's size");
        }
    }
    sp_status status;
    SEXP out = PROTECT(results_list(RES_LENGTH, &in.data, &in.model, &in.blocks, &in.units,
                                    arg_flag(reml, "reml"), G, s, &status));
    if (status == SP_SINGULAR || status == SP_NOT_FINITE) {
        UNPROTECT(1);
        return R_NilValue;
    }
    stop_on(status);
    put_matrix(out, RES_VCOV_PARAMETERS, k, k);
    SEXP redundant = Rf_allocVector(LGLSXP, k);
    SET_VECTOR_ELT(out, RES_REDUNDANT, redundant);
    int undetermined =
        sp_face_covariance(&in.blocks, k, G, ranks, REAL(VECTOR_ELT(out, RES_GRADIENT)),
                           REAL(VECTOR_ELT(out, RES_OBSERVED)),
                           allocate(sp_face_work_size(k, (int)square_count(&in.blocks))),
                           REAL(VECTOR_ELT(out, RES_VCOV_PARAMETERS)), LOGICAL(redundant));
    SET_VECTOR_ELT(out, RES_UNDETERMINED, Rf_ScalarLogical(undetermined));
    UNPROTECT(1);
    return out;
}

/* The predictions of one level: an empty list for the core to fill in. */
static SEXP new_predictions(int size, int groups, int with_variance) {
    const char *names[] = {"mean", "variance", ""};
    SEXP out = PROTECT(Rf_mkNamed(VECSXP, names));
    put_matrix(out, 0, size, groups);
    if (with_variance) {
        SET_VECTOR_ELT(out, 1, Rf_alloc3DArray(REALSXP, size, size, groups));
    }
    UNPROTECT(1);
    return out;
}

SEXP lmm_ranef(SEXP reduced, SEXP blocks_list, SEXP parameters, SEXP with_variance) {
    problem in;
    read_problem(reduced, blocks_list, &in);
    const int variances = arg_flag(with_variance, "with_variance");
    double s, *G = read_parameters(parameters, &in.blocks, &in.model, &s);
    double *mean[SP_MAX_LEVELS], *variance[SP_MAX_LEVELS];
    SEXP out = PROTECT(Rf_allocVector(VECSXP, in.data.n_levels));
    for (int l = 0; l < in.data.n_levels; l++) {
        SEXP level = new_predictions(in.model.dim[l], in.data.n_nodes[l], variances);
        SET_VECTOR_ELT(out, l, level);
        mean[l] = REAL(VECTOR_ELT(level, 0));
        variance[l] = variances ? REAL(VECTOR_ELT(level, 1)) : NULL;
    }
    stop_on(sp_ranef_at(&in.data, &in.model, &in.blocks, &in.units, G, s,
                        allocate(sp_results_work_size(&in.data, &in.model)), mean,
                        variances ? variance : NULL));
    UNPROTECT(1);
    return out;
}

SEXP lmm_adjustment(SEXP reduced, SEXP blocks_list, SEXP parameters, SEXP covariance) {
    problem in;
    read_problem(reduced, blocks_list, &in);
    size_t k = (size_t)in.model.n_par + 1;
    const double *W = arg_finite(covariance, k * k, "covariance");
    double s, *G = read_parameters(parameters, &in.blocks, &in.model, &s);
    SEXP out = PROTECT(Rf_allocMatrix(REALSXP, in.data.p, in.data.p));
    stop_on(sp_adjustment_at(&in.data, &in.model, &in.blocks, &in.units, G, s, W,
                             allocate(sp_adjustment_work_size(&in.data, &in.model)), REAL(out)));
    UNPROTECT(1);
    return out;
}
