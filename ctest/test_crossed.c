/* The general path for crossed groupings against the dense truth, and against the nested path where
 * groupings happen to nest. */
#include "crossed.h"
#include "ctest.h"
#include "reduced.h"
#include "stopping.h"

static const int sizes[] = {5, 3, 6, 1, 4, 2, 5, 4};
enum { N_UNITS = 8 };

/* Rows whose groups at the levels from 1 on are drawn at random, every group at least once. */
static dense_model crossed_example(int p, int q, int weighted, uint64_t seed) {
    dense_model m = dense_example(N_UNITS, sizes, p, q, 3, 0, weighted, seed);
    const int n_groups[] = {0, 4, 3};
    for (int l = 1; l < m.n_levels; l++) {
        m.n_groups[l] = n_groups[l];
        for (int i = 0; i < m.n; i++) {
            int drawn = (int)((dense_random(&seed) + 1.0) / 2.0 * n_groups[l]);
            m.group[l][i] = i < n_groups[l] ? i + 1 : drawn + 1;
        }
    }
    return m;
}

/* The first level as always, then what the other levels add. */
static void crossed_init(const dense_model *m, reduced_case *c, sp_crossed *crossed) {
    dense_model inner = *m;
    inner.n_levels = 1;
    reduced_init(&inner, c);
    sp_column X[64], Z[16];
    sp_matrix_columns(m->n, m->p, m->X, X);
    sp_matrix_columns(m->n, m->q, m->Z, Z);
    sp_rows rows = {m->n, m->p, m->q, m->n_groups[0], X, {m->y, 1}, Z, m->weights, m->group[0]};
    int n_levels = m->n_levels - 1;
    const int *codes[DENSE_LEVELS];
    crossed->n_outer = 0;
    for (int l = 1; l < m->n_levels; l++) {
        codes[l - 1] = m->group[l];
        c->data.n_nodes[l] = m->n_groups[l];
        crossed->n_outer += m->n_groups[l];
    }
    size_t n = (size_t)m->n, p = (size_t)m->p, q = (size_t)m->q;
    int *order = own_ints(c, n), *start = own_ints(c, (size_t)rows.n_units + 1);
    double *reflectors = own_doubles(c, sp_reflectors_size(m->n, rows.n_units, m->q));
    double *Xfree = own_doubles(c, n * p);
    sp_keep_reflectors(&rows, order, start, reflectors, Xfree, own_doubles(c, n * (q + p + 1)),
                       own_ints(c, n), NULL, NULL);
    int *meeting_start = own_ints(c, (size_t)rows.n_units + 1);
    int *outer = own_ints(c, n * (size_t)n_levels);
    int *stamp = own_ints(c, (size_t)crossed->n_outer);
    int n_meetings = sp_find_meetings(rows.n_units, order, start, n_levels, codes, m->n_groups + 1,
                                      meeting_start, outer, stamp);
    size_t side = q * (size_t)crossed->n_outer;
    size_t d = (size_t)c->data.d;
    double *u = own_doubles(c, q * q * (size_t)n_meetings), *A = own_doubles(c, side * side);
    double *b = own_doubles(c, side * d), *centre = own_doubles(c, side * d);
    double *rest = own_doubles(c, side * d), *C = own_doubles(c, sp_packed_size(c->data.d));
    sp_fixed fixed = {c->data.p, 0.0, c->units.y_scale};
    sp_crossed_rows in = {&rows,  order,           start,         reflectors,    Xfree,
                          &fixed, c->kept,         c->units.Rx,   c->units.coef, n_levels,
                          codes,  m->n_groups + 1, meeting_start, outer};
    sp_cross_rows(&in, u, A, b, centre, rest, C,
                  own_doubles(c, sp_cross_work_size(&in, m->n, n_meetings)), stamp, NULL, NULL);
    crossed->centre = centre;
    crossed->rest = rest;
    crossed->C = C;
    crossed->start = meeting_start;
    crossed->outer = outer;
    crossed->u = u;
    crossed->A = A;
    crossed->b = b;
    c->data.n_levels = m->n_levels;
    c->data.crossed = crossed;
    reduced_blocks(m, c);
}

static void check_results(const char *name, const dense_model *m, reduced_case *c,
                          const double *parameters, int reml) {
    double G[64];
    double s = reduced_matrices(c, parameters, G);
    sp_results results = reduced_results(c);
    double *memory = own_doubles(c, sp_results_work_size(&c->data, &c->model));
    sp_status status =
        sp_results_at(&c->data, &c->model, &c->blocks, &c->units, reml, G, s, memory, &results);
    dense_at truth;
    dense_value(m, parameters, reml, &truth);
    dense_derivatives(m, reml, &truth);
    int p = m->p, k = truth.k;
    printf("# %s\n", name);
    ct_int("status", status, SP_OK);
    ct_near("criterion", results.criterion, truth.criterion, 1e-11);
    ct_near_all("beta", p, results.beta, truth.beta, 1e-10);
    ct_near_all("covariance of beta", p * p, results.vcov, truth.vcov, 1e-10);
    ct_near_all("its derivatives", p * p * k, results.dvcov, truth.dvcov, 1e-9);
    ct_near_all("gradient", k, results.gradient, truth.gradient, 1e-9);
    ct_near_all("expected information", k * k, results.expected, truth.expected, 1e-9);
    ct_near_all("average information", k * k, results.average, truth.average, 1e-9);
    dense_free_at(&truth);
}

static void test_against_truth(void) {
    const int one[] = {0}, both[] = {0, 1}, slope[] = {1};
    const double parameters[] = {1.9, 0.4, 0.8, 0.7, -0.3, 0.6, 0.5, 1.3};
    const double singular[] = {4.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.9, 1.3};
    for (int weighted = 0; weighted < 2; weighted++) {
        dense_model m = crossed_example(3, 2, weighted, UINT64_C(88172645463325252));
        dense_add_block(&m, 0, 2, both);
        dense_add_block(&m, 1, 2, both);
        dense_add_block(&m, 2, 1, weighted ? slope : one);
        reduced_case c;
        sp_crossed crossed;
        crossed_init(&m, &c, &crossed);
        check_results("restricted", &m, &c, parameters, 1);
        check_results("full likelihood", &m, &c, parameters, 0);
        check_results("singular matrices", &m, &c, singular, 1);
        reduced_free(&c);
        dense_free_model(&m);
    }
}

/* One of the three things that evaluate a crossed design. */
typedef struct {
    reduced_case *c;
    const double *G;
    int what;
} evaluation;

enum { RESULTS, PREDICTIONS, ADJUSTMENT };

static sp_status evaluate(void *of, sp_check check, void *check_data) {
    const evaluation *e = of;
    reduced_case *c = e->c;
    sp_reduced data = c->data;
    data.check = check;
    data.check_data = check_data;
    int owned = c->n_owned;
    size_t k = (size_t)c->model.n_par + 1, p = (size_t)data.p;
    double *memory = own_doubles(c, sp_adjustment_work_size(&data, &c->model));
    double *mean[SP_MAX_LEVELS], *variance[SP_MAX_LEVELS];
    for (int l = 0; l < data.n_levels; l++) {
        mean[l] = own_doubles(c, 2 * N_UNITS);
        variance[l] = own_doubles(c, 4 * N_UNITS);
    }
    double *W = own_doubles(c, k * k);
    for (size_t r = 0; r < k; r++) {
        W[r + k * r] = 1.0;
    }
    sp_results results = reduced_results(c);
    sp_status status = SP_OK;
    if (e->what == RESULTS) {
        status =
            sp_results_at(&data, &c->model, &c->blocks, &c->units, 1, e->G, 0.8, memory, &results);
    } else if (e->what == PREDICTIONS) {
        status =
            sp_ranef_at(&data, &c->model, &c->blocks, &c->units, e->G, 0.8, memory, mean, variance);
    } else {
        status = sp_adjustment_at(&data, &c->model, &c->blocks, &c->units, e->G, 0.8, W, memory,
                                  own_doubles(c, p * p));
    }
    while (c->n_owned > owned) {
        free(c->owned[--c->n_owned]);
    }
    return status;
}

static void test_interrupt_and_domain(void) {
    const int one[] = {0};
    dense_model m = crossed_example(2, 1, 0, UINT64_C(6364136223846793005));
    dense_add_block(&m, 0, 1, one);
    dense_add_block(&m, 1, 1, one);
    dense_add_block(&m, 2, 1, one);
    reduced_case c;
    sp_crossed crossed;
    crossed_init(&m, &c, &crossed);
    double *memory = own_doubles(&c, sp_results_work_size(&c.data, &c.model));
    sp_results results = reduced_results(&c);
    double G[] = {0.7, -0.2, 0.4};
    ct_int("a negative variance is outside the domain",
           sp_results_at(&c.data, &c.model, &c.blocks, &c.units, 1, G, 0.8, memory, &results),
           SP_SINGULAR);
    G[1] = 0.2;
    evaluation e = {&c, G, RESULTS};
    ct_stops("an evaluation stops when asked to", 10, evaluate, &e);
    e.what = PREDICTIONS;
    ct_stops("predictions", 5, evaluate, &e);
    e.what = ADJUSTMENT;
    ct_stops("Kenward and Roger", 10, evaluate, &e);
    reduced_free(&c);
    dense_free_model(&m);
}

static void test_nested_is_the_same(void) {
    const int both[] = {0, 1};
    const double parameters[] = {1.9, 0.4, 0.8, 0.7, -0.3, 0.6, 1.3};
    dense_model m = dense_example(N_UNITS, sizes, 3, 2, 2, 2, 0, UINT64_C(1442695040888963407));
    dense_add_block(&m, 0, 2, both);
    dense_add_block(&m, 1, 2, both);
    reduced_case general, nested;
    sp_crossed crossed;
    crossed_init(&m, &general, &crossed);
    reduced_init(&m, &nested);
    double G[8], *mean[2][2], *variance[2][2];
    reduced_case *cases[] = {&general, &nested};
    for (int i = 0; i < 2; i++) {
        reduced_case *c = cases[i];
        for (int l = 0; l < 2; l++) {
            mean[i][l] = own_doubles(c, 2 * N_UNITS);
            variance[i][l] = own_doubles(c, 4 * N_UNITS);
        }
        double s = reduced_matrices(c, parameters, G);
        sp_ranef_at(&c->data, &c->model, &c->blocks, &c->units, G, s,
                    own_doubles(c, sp_results_work_size(&c->data, &c->model)), mean[i],
                    variance[i]);
    }
    for (int l = 0; l < 2; l++) {
        int groups = m.n_groups[l];
        ct_near_all("predictions", 2 * groups, mean[0][l], mean[1][l], 1e-11);
        ct_near_all("their variances", 4 * groups, variance[0][l], variance[1][l], 1e-11);
    }
    reduced_free(&general);
    reduced_free(&nested);
    dense_free_model(&m);
}

int main(void) {
    test_against_truth();
    test_interrupt_and_domain();
    test_nested_is_the_same();
    return ct_end();
}
