/* Whoever waits for the core is asked again and again, whatever takes long: many units, one unit of
 * many rows, many fixed columns, many parameters. */
#include "between.h"
#include "ctest.h"
#include "dense.h"
#include "reduced.h"
#include "stopping.h"

enum { ROWS = 90 };

/* One unit, so that what asks does so inside it. */
static sp_status reduce_one_unit(void *what, sp_check check, void *check_data) {
    const sp_rows *rows = what;
    double R[4], a[2 * 5], Rfree[25], Rfull[25], work[2048];
    int iwork[4 * ROWS];
    return sp_reduce_rows(rows, R, a, Rfree, Rfull, work, iwork, check, check_data);
}

static sp_status keep_one_unit(void *what, sp_check check, void *check_data) {
    const sp_rows *rows = what;
    double reflectors[2 * (ROWS + 2)], Xfree[4 * ROWS], work[7 * ROWS];
    int order[ROWS], start[2], held[ROWS];
    return sp_keep_reflectors(rows, order, start, reflectors, Xfree, work, held, check, check_data);
}

static void one_unit(void) {
    const int size[1] = {ROWS};
    dense_model m = dense_example(1, size, 4, 2, 1, 0, 0, 601);
    sp_column X[4], Z[2];
    sp_matrix_columns(ROWS, 4, m.X, X);
    sp_matrix_columns(ROWS, 2, m.Z, Z);
    sp_rows rows = {ROWS, 4, 2, 1, X, {m.y, 1}, Z, NULL, m.group[0]};
    ct_stops("rows of one unit", 5, reduce_one_unit, &rows);
    ct_stops("their reflections", 5, keep_one_unit, &rows);
    dense_free_model(&m);
}

static sp_status make_orthonormal(void *unused, sp_check check, void *check_data) {
    enum { P = 8, N = 100 };
    double Rx[P * P] = {0}, coef[P] = {0}, rows[N * (P + 1)];
    int kept[P];
    (void)unused;
    for (int j = 0; j < P; j++) {
        Rx[j + P * j] = 1.0 + j;
        kept[j] = j;
    }
    for (int i = 0; i < N * (P + 1); i++) {
        rows[i] = i;
    }
    sp_fixed fixed = {P, 1.0, 1.0};
    return sp_orthonormalise(N, P, &fixed, kept, Rx, coef, rows, check, check_data);
}

static sp_status multiply_shared(void *unused, sp_check check, void *check_data) {
    enum { UNITS = 60, Q = 2, D = 4 };
    double a[UNITS * Q * D], B[Q * (Q + 1) / 2 * D * (D + 1) / 2], work[Q * D];
    int item[UNITS] = {0};
    (void)unused;
    for (int i = 0; i < UNITS * Q * D; i++) {
        a[i] = i;
    }
    return sp_cross_products(UNITS, Q, D, 1, item, a, NULL, B, work, check, check_data);
}

static sp_status variance_between(void *unused, sp_check check, void *check_data) {
    enum { N = 50 };
    double y[N], v[N], tau2;
    (void)unused;
    for (int j = 0; j < N; j++) {
        y[j] = 1.5 * sin(2.3 * j);
        v[j] = 0.1 + 0.01 * j;
    }
    return sp_between_variance(N, y, v, &tau2, check, check_data);
}

/* ---- one evaluation ------------------------------------------------------------------------- */

typedef struct {
    reduced_case c;
    const double *G;
} evaluation;

/* The data, with somebody to ask. */
static sp_reduced asked_of(const evaluation *e, sp_check check, void *check_data) {
    sp_reduced data = e->c.data;
    data.check = check;
    data.check_data = check_data;
    return data;
}

static sp_status results(void *what, sp_check check, void *check_data) {
    evaluation *e = what;
    sp_reduced data = asked_of(e, check, check_data);
    double *memory = dense_new(sp_results_work_size(&data, &e->c.model));
    int owned = e->c.n_owned;
    sp_results out = reduced_results(&e->c);
    sp_status status =
        sp_results_at(&data, &e->c.model, &e->c.blocks, &e->c.units, 1, e->G, 0.8, memory, &out);
    while (e->c.n_owned > owned) {
        free(e->c.owned[--e->c.n_owned]);
    }
    free(memory);
    return status;
}

static sp_status predictions(void *what, sp_check check, void *check_data) {
    evaluation *e = what;
    sp_reduced data = asked_of(e, check, check_data);
    double *memory = dense_new(sp_results_work_size(&data, &e->c.model));
    double *mean[SP_MAX_LEVELS], *variance[SP_MAX_LEVELS];
    for (int l = 0; l < data.n_levels; l++) {
        mean[l] = dense_new(2 * (size_t)data.n_nodes[l]);
        variance[l] = dense_new(4 * (size_t)data.n_nodes[l]);
    }
    sp_status status = sp_ranef_at(&data, &e->c.model, &e->c.blocks, &e->c.units, e->G, 0.8, memory,
                                   mean, variance);
    free(memory);
    for (int l = 0; l < data.n_levels; l++) {
        free(mean[l]);
        free(variance[l]);
    }
    return status;
}

static sp_status adjustment(void *what, sp_check check, void *check_data) {
    evaluation *e = what;
    sp_reduced data = asked_of(e, check, check_data);
    size_t k = (size_t)e->c.model.n_par + 1, p = (size_t)data.p;
    double *memory = dense_new(sp_adjustment_work_size(&data, &e->c.model));
    double *W = dense_new(k * k), *answer = dense_new(p * p);
    for (size_t r = 0; r < k; r++) {
        W[r + k * r] = 1.0;
    }
    sp_status status = sp_adjustment_at(&data, &e->c.model, &e->c.blocks, &e->c.units, e->G, 0.8, W,
                                        memory, answer);
    free(memory);
    free(W);
    free(answer);
    return status;
}

static void one_evaluation(int n_levels, int same) {
    enum { UNITS = 40 };
    const int both[2] = {0, 1};
    const double G[12] = {1.3, 0.2, 0.2, 0.7, 0.9, -0.1, -0.1, 0.4, 0.6, 0.1, 0.1, 0.5};
    int sizes[UNITS];
    for (int u = 0; u < UNITS; u++) {
        sizes[u] = 2 + u % 4;
    }
    dense_model m = dense_example(UNITS, sizes, 3, 2, n_levels, same, 0, 602);
    for (int l = 0; l < n_levels; l++) {
        dense_add_block(&m, l, 2, both);
    }
    evaluation e;
    reduced_init(&m, &e.c);
    e.G = G;
    printf("# %d levels, %d shared items, %d items\n", n_levels, e.c.data.n_shared,
           e.c.data.n_items);
    ct_stops("criterion and derivatives", 10, results, &e);
    ct_stops("predictions", 5 * n_levels, predictions, &e);
    ct_stops("Kenward and Roger", 10, adjustment, &e);
    reduced_free(&e.c);
    dense_free_model(&m);
}

int main(void) {
    one_unit();
    ct_stops("an orthonormal basis", 5, make_orthonormal, NULL);
    ct_stops("products of shared units", 3, multiply_shared, NULL);
    ct_stops("variance between units", 5, variance_between, NULL);
    for (int n_levels = 1; n_levels <= 3; n_levels++) {
        one_evaluation(n_levels, 0);
        one_evaluation(n_levels, 2);
    }
    return ct_end();
}
