/* The criterion's parts, their derivatives and informations, and the predicted random effects,
 * against closed forms of balanced data and against the dense model of dense.h. */
#include "ctest.h"
#include "reduced.h"
#include "reml.h"

enum { MAX_PAR = 32, MAX_WIDTH = 6 };

/* ---- set-up --------------------------------------------------------------------------------- */

/* A point in the units of the reduced data, and the memory behind it. */
typedef struct {
    reduced_case c;
    sp_point point;
    sp_reml_work work;
    sp_value value;
    sp_derivatives derivatives;
    double *F[SP_MAX_LEVELS], *G[SP_MAX_LEVELS], *root[SP_MAX_LEVELS];
} evaluation;

static void start(const dense_model *m, evaluation *e) {
    memset(e, 0, sizeof *e);
    reduced_init(m, &e->c);
    const sp_reduced *data = &e->c.data;
    const sp_model *model = &e->c.model;
    size_t d = (size_t)data->d;
    int k = model->n_par + 1;
    for (int l = 0; l < model->n_levels; l++) {
        size_t dim = (size_t)model->dim[l];
        e->F[l] = own_doubles(&e->c, (size_t)m->q * dim);
        e->G[l] = own_doubles(&e->c, dim * dim);
        e->root[l] = own_doubles(&e->c, dim * dim);
        sp_natural_basis(&e->c.blocks, model, l, e->F[l]);
        e->point.F[l] = e->F[l];
        e->point.G[l] = e->G[l];
    }
    sp_reml_work_init(data, model, own_doubles(&e->c, sp_reml_work_size(data, model)), &e->work);
    e->value.root = own_doubles(&e->c, d * d);
    sp_derivatives_init((int)d, k, own_doubles(&e->c, sp_derivatives_size((int)d, k)),
                        &e->derivatives);
}

/* The G's of the levels from parameters. */
static void set_parameters(evaluation *e, const double *parameters) {
    const sp_model *model = &e->c.model;
    for (int r = 0; r < model->n_par; r++) {
        int dim = model->dim[model->level[r]], i = model->row[r], j = model->col[r];
        double *G = e->G[model->level[r]];
        G[i + dim * j] = G[j + dim * i] = parameters[r];
    }
    e->point.s = parameters[model->n_par];
}

static sp_status value_at(evaluation *e) {
    return sp_reml_value(&e->c.data, &e->c.model, &e->point, &e->work, &e->value);
}

static void derivatives_at(evaluation *e, int reml) {
    sp_reml_derivatives(&e->c.data, &e->c.model, &e->point, reml, &e->work, &e->value,
                        &e->derivatives);
}

/* Every block A A' with A of the given rank (or full, with 0.2 I), and s. */
static void some_parameters(const dense_model *m, int rank, uint64_t seed, double *parameters) {
    for (int b = 0; b < m->n_blocks; b++) {
        int n = m->size[b];
        double A[MAX_WIDTH * MAX_WIDTH];
        for (int i = 0; i < n * n; i++) {
            A[i] = dense_random(&seed);
        }
        for (int j = 0; j < n; j++) {
            for (int i = j; i < n; i++) {
                double sum = rank < n || i != j ? 0.0 : 0.2;
                for (int c = 0; c < n && c < rank; c++) {
                    sum += A[i + n * c] * A[j + n * c];
                }
                *parameters++ = sum;
            }
        }
    }
    *parameters = 0.67 + 0.3 * dense_random(&seed);
}

/* The dense model in the same units: variances times the scale of y squared. */
static void to_user_units(const evaluation *e, const double *parameters, double *user) {
    double scale = e->c.units.y_scale;
    for (int r = 0; r <= e->c.model.n_par; r++) {
        user[r] = parameters[r] * scale * scale;
    }
}

/* ---- against the dense model ---------------------------------------------------------------- */

/* The core's parts of the criterion as the dense model has them. */
static void parts_in_user_units(const evaluation *e, double *parts) {
    const sp_units *units = &e->c.units;
    int p = e->c.data.p;
    parts[0] = e->value.log_det_v + 2 * e->c.data.n * log(units->y_scale) - units->sum_log_weights;
    parts[1] = e->value.log_det_x - 2 * p * log(units->y_scale);
    for (int i = 0; i < p; i++) {
        parts[1] += 2 * log(fabs(units->Rx[i + p * i]));
    }
    parts[2] = e->value.quadratic;
}

static void dense_parts(const evaluation *e, const dense_model *m, const double *parameters,
                        double *parts) {
    double user[MAX_PAR];
    dense_at at;
    to_user_units(e, parameters, user);
    dense_value(m, user, 1, &at);
    parts[0] = at.log_det_v;
    parts[1] = at.log_det_x;
    parts[2] = at.quadratic;
    dense_free_at(&at);
}

/* Largest |actual - expected| against the largest of the expected. */
static double apart(int n, const double *actual, const double *expected) {
    double worst = 0.0, size = 0.0;
    for (int i = 0; i < n; i++) {
        double distance = fabs(actual[i] - expected[i]);
        worst = !(distance <= worst) ? distance : worst;
        size = fabs(expected[i]) > size ? fabs(expected[i]) : size;
    }
    return worst / (size > 0.0 ? size : 1.0);
}

/* Tells the point lower triangular roots of its matrices, or that nobody knows them. */
static void know_roots(evaluation *e, int known) {
    for (int l = 0; l < e->c.model.n_levels; l++) {
        int n = e->c.model.dim[l];
        double *L = e->root[l];
        for (int j = 0; j < n; j++) {
            for (int i = 0; i < n; i++) {
                double sum = e->G[l][i + n * j];
                for (int c = 0; c < j; c++) {
                    sum -= L[i + n * c] * L[j + n * c];
                }
                /* A column of a singular matrix: nothing but rounding is left. */
                L[i + n * j] = i < j ? 0.0 : i > j ? sum : sum > 1e-14 ? sqrt(sum) : 0.0;
            }
            for (int i = j + 1; i < n; i++) {
                L[i + n * j] = L[j + n * j] > 0.0 ? L[i + n * j] / L[j + n * j] : 0.0;
            }
        }
        e->point.root[l] = known ? L : NULL;
    }
}

/* Value, first derivatives by differences of fourth order, informations by the textbook. */
static void compare(const char *name, const dense_model *m, evaluation *e,
                    const double *parameters) {
    int k = e->c.model.n_par + 1;
    double parts[3], truth[3], user[MAX_PAR];
    printf("# %s\n", name);
    set_parameters(e, parameters);
    ct_int("value", value_at(e), SP_OK);
    parts_in_user_units(e, parts);
    dense_parts(e, m, parameters, truth);
    ct_near_all("  log|V|, log|X'V^-1 X|, quadratic form", 3, parts, truth, 1e-11);

    know_roots(e, 1);
    ct_int("  with roots of G", value_at(e), SP_OK);
    parts_in_user_units(e, parts);
    ct_near_all("  the same", 3, parts, truth, 1e-11);
    know_roots(e, 0);
    value_at(e);

    double trace[MAX_PAR], trace_x[MAX_PAR], square[MAX_PAR];
    for (int r = 0; r < k; r++) {
        const double h = 3e-4, at[4] = {-2, -1, 1, 2}, weight[4] = {1, -8, 8, -1};
        double sum[3] = {0.0}, moved[MAX_PAR];
        for (int i = 0; i < 4; i++) {
            memcpy(moved, parameters, (size_t)k * sizeof(double));
            moved[r] += at[i] * h;
            dense_parts(e, m, moved, truth);
            for (int part = 0; part < 3; part++) {
                sum[part] += weight[i] * truth[part] / (12 * h);
            }
        }
        trace[r] = sum[0];
        trace_x[r] = -sum[1];
        square[r] = -sum[2];
    }
    derivatives_at(e, 1);
    const sp_derivatives *D = &e->derivatives;
    ct_near("  derivative of log|V|", apart(k, D->trace, trace), 0.0, 1e-7);
    ct_near("  derivative of log|X'V^-1 X|", apart(k, D->trace_x, trace_x), 0.0, 1e-7);
    ct_near("  derivative of the quadratic form", apart(k, D->square, square), 0.0, 1e-7);

    for (int reml = 0; reml < 2; reml++) {
        dense_at at;
        double expected[MAX_PAR * MAX_PAR], average[MAX_PAR * MAX_PAR];
        to_user_units(e, parameters, user);
        dense_value(m, user, reml, &at);
        dense_derivatives(m, reml, &at);
        double scale = pow(e->c.units.y_scale, 4.0);
        for (int i = 0; i < k * k; i++) {
            expected[i] = at.expected[i] * scale;
            average[i] = at.average[i] * scale;
        }
        derivatives_at(e, reml);
        ct_near(reml ? "  expected information, REML" : "  expected information, ML",
                apart(k * k, D->expected, expected), 0.0, 1e-11);
        ct_near(reml ? "  average information, REML" : "  average information, ML",
                apart(k * k, D->average, average), 0.0, 1e-11);
        dense_free_at(&at);
    }
}

/* In another basis, F = N T with N the natural one, and G = T^-1 G T^-T: the same value, and
 * derivatives that follow by the chain rule, d vech(T E T') / d E. */
static void compare_bases(const dense_model *m, evaluation *e, const double *parameters) {
    const sp_model *model = &e->c.model;
    int n_par = model->n_par, k = n_par + 1, q = m->q;
    double natural[3], parts[3], J[MAX_PAR * MAX_PAR] = {0.0};
    set_parameters(e, parameters);
    value_at(e);
    parts_in_user_units(e, natural);
    derivatives_at(e, 1);
    double gradient[MAX_PAR], expected[MAX_PAR * MAX_PAR], half[MAX_PAR * MAX_PAR];
    double moved_gradient[MAX_PAR], moved_expected[MAX_PAR * MAX_PAR];
    for (int r = 0; r < k; r++) {
        gradient[r] =
            e->derivatives.trace[r] - e->derivatives.trace_x[r] + e->derivatives.square[r];
    }
    memcpy(expected, e->derivatives.expected, sizeof(double) * (size_t)(k * k));

    uint64_t seed = 404;
    J[n_par + k * n_par] = 1.0;
    for (int l = 0; l < model->n_levels; l++) {
        int dim = model->dim[l];
        double T[64], Ti[64], NT[64], TG[64];
        /* Blocks stay apart. */
        int block[MAX_WIDTH] = {0};
        for (int b = 0, at = 0; b < m->n_blocks; b++) {
            for (int j = 0; m->level[b] == l && j < m->size[b]; j++) {
                block[at++] = b;
            }
        }
        for (int i = 0; i < dim; i++) {
            for (int j = 0; j < dim; j++) {
                double element = dense_random(&seed) + (i == j ? 2.0 : 0.0);
                T[i + dim * j] = block[i] == block[j] ? element : 0.0;
            }
        }
        dense_inverse(dim, T, Ti);
        dense_product(q, dim, dim, e->F[l], T, NT);
        memcpy(e->F[l], NT, sizeof(double) * (size_t)(q * dim));
        dense_product(dim, dim, dim, Ti, e->G[l], TG);
        for (int i = 0; i < dim; i++) {
            for (int j = 0; j < dim; j++) {
                double sum = 0.0;
                for (int c = 0; c < dim; c++) {
                    sum += TG[i + dim * c] * Ti[j + dim * c];
                }
                e->G[l][i + dim * j] = sum;
            }
        }
        for (int s = 0; s < n_par; s++) {
            for (int r = 0; r < n_par; r++) {
                if (model->level[r] == l && model->level[s] == l) {
                    int a = model->row[s], b = model->col[s], i = model->row[r], j = model->col[r];
                    J[r + k * s] = T[i + dim * a] * T[j + dim * b];
                    J[r + k * s] += a == b ? 0.0 : T[i + dim * b] * T[j + dim * a];
                }
            }
        }
    }
    ct_int("  another basis", value_at(e), SP_OK);
    parts_in_user_units(e, parts);
    ct_near_all("  has the same value", 3, parts, natural, 1e-11);
    derivatives_at(e, 1);
    for (int r = 0; r < k; r++) {
        moved_gradient[r] =
            e->derivatives.trace[r] - e->derivatives.trace_x[r] + e->derivatives.square[r];
    }
    double chained[MAX_PAR];
    dense_cross(k, k, 1, J, gradient, chained);
    ct_near("  and derivatives by the chain rule", apart(k, moved_gradient, chained), 0.0, 1e-11);
    memcpy(moved_expected, e->derivatives.expected, sizeof(double) * (size_t)(k * k));
    dense_cross(k, k, k, J, expected, half);
    dense_product(k, k, k, half, J, expected);
    ct_near("  and informations too", apart(k * k, moved_expected, expected), 0.0, 1e-11);
}

/* b = G Z'V^-1 (y - X beta) and G - G Z'V^-1 Z G for every group of every level. */
static void compare_ranef(const dense_model *m, evaluation *e, const double *parameters) {
    const sp_model *model = &e->c.model;
    double user[MAX_PAR], scale = e->c.units.y_scale, worst = 0.0, worst_variance = 0.0;
    dense_at at;
    size_t n = (size_t)m->n;
    set_parameters(e, parameters);
    for (int l = 0; l < model->n_levels; l++) {
        sp_natural_basis(&e->c.blocks, model, l, e->F[l]);
    }
    to_user_units(e, parameters, user);
    dense_value(m, user, 1, &at);
    double *Vir = dense_new(n), *Z = dense_new(n * MAX_WIDTH), *ViZ = dense_new(n * MAX_WIDTH);
    dense_product(m->n, m->n, 1, at.Vi, at.residual, Vir);
    for (int l = 0; l < model->n_levels; l++) {
        int ql = model->dim[l], groups = m->n_groups[l];
        double *mean = dense_new((size_t)(ql * groups)), *b = mean;
        double *variance = dense_new((size_t)(ql * ql * groups)), *v = variance;
        value_at(e);
        sp_reml_ranef(&e->c.data, model, &e->point, &e->work, &e->value, l, mean, NULL);
        double *again = dense_new((size_t)(ql * groups));
        value_at(e);
        sp_reml_ranef(&e->c.data, model, &e->point, &e->work, &e->value, l, again, variance);
        worst = fmax(worst, apart(ql * groups, again, mean));
        for (int u = 1; u <= groups; u++, b += ql, v += ql * ql) {
            double ZVir[MAX_WIDTH], ZViZ[MAX_WIDTH * MAX_WIDTH], GZ[MAX_WIDTH * MAX_WIDTH];
            double expected[MAX_WIDTH], spread[MAX_WIDTH * MAX_WIDTH];
            for (int c = 0; c < ql; c++) {
                int column = 0;
                for (int j = 0; j < m->q; j++) {
                    column = e->F[l][j + m->q * c] == 1.0 ? j : column;
                }
                for (size_t i = 0; i < n; i++) {
                    Z[i + n * c] = m->group[l][i] == u ? m->Z[i + n * column] : 0.0;
                }
            }
            dense_cross(ql, m->n, 1, Z, Vir, ZVir);
            dense_product(ql, ql, 1, e->G[l], ZVir, expected);
            dense_product(m->n, m->n, ql, at.Vi, Z, ViZ);
            dense_cross(ql, m->n, ql, Z, ViZ, ZViZ);
            dense_product(ql, ql, ql, e->G[l], ZViZ, GZ);
            dense_product(ql, ql, ql, GZ, e->G[l], spread);
            for (int i = 0; i < ql; i++) {
                worst = fmax(worst, fabs(b[i] - expected[i] * scale));
            }
            for (int i = 0; i < ql * ql; i++) {
                spread[i] = e->G[l][i] - spread[i] * scale * scale;
                worst_variance = fmax(worst_variance, fabs(v[i] - spread[i]));
            }
        }
        free(mean);
        free(variance);
        free(again);
    }
    ct_near("  predicted random effects", worst, 0.0, 1e-11);
    ct_near("  their conditional variances", worst_variance, 0.0, 1e-11);
    free(Vir);
    free(Z);
    free(ViZ);
    dense_free_at(&at);
}

static const int column_0[1] = {0}, column_1[1] = {1}, columns_01[2] = {0, 1},
                 columns_12[2] = {1, 2}, columns_012[3] = {0, 1, 2};

static void check_design(const char *name, dense_model *m, int rank) {
    evaluation e;
    double parameters[MAX_PAR];
    start(m, &e);
    some_parameters(m, rank, 2024 + (uint64_t)m->n, parameters);
    compare(name, m, &e, parameters);
    compare_bases(m, &e, parameters);
    compare_ranef(m, &e, parameters);
    reduced_free(&e.c);
}

static void dense_designs(void) {
    const int sizes[11] = {4, 6, 1, 3, 5, 1, 2, 4, 3, 2, 5};
    dense_model m = dense_example(9, sizes, 3, 1, 1, 0, 0, 41);
    dense_add_block(&m, 0, 1, column_0);
    check_design("random intercept, units of one row among them", &m, 5);
    check_design("its variance zero", &m, 0);
    dense_free_model(&m);

    m = dense_example(9, sizes, 4, 2, 1, 0, 1, 42);
    dense_add_block(&m, 0, 2, columns_01);
    check_design("random slope, weights, units of fewer rows than effects", &m, 5);
    check_design("a correlation of one", &m, 1);
    dense_free_model(&m);

    m = dense_example(11, sizes, 3, 3, 1, 1, 0, 43);
    dense_add_block(&m, 0, 1, column_0);
    dense_add_block(&m, 0, 2, columns_12);
    check_design("two blocks, patterns shared", &m, 5);
    dense_free_model(&m);

    m = dense_example(11, sizes, 3, 3, 1, 2, 1, 44);
    dense_add_block(&m, 0, 3, columns_012);
    check_design("width 3, some patterns shared", &m, 5);
    check_design("of rank 2", &m, 2);
    dense_free_model(&m);

    m = dense_example(11, sizes, 4, 2, 2, 1, 1, 45);
    dense_add_block(&m, 0, 2, columns_01);
    dense_add_block(&m, 1, 1, column_0);
    check_design("a second level with an intercept", &m, 5);
    check_design("both singular", &m, 1);
    dense_free_model(&m);

    m = dense_example(11, sizes, 2, 2, 2, 2, 0, 46);
    dense_add_block(&m, 0, 1, column_0);
    dense_add_block(&m, 1, 2, columns_01);
    check_design("a second level with a slope", &m, 5);
    dense_free_model(&m);

    m = dense_example(11, sizes, 3, 2, 2, 0, 0, 47);
    dense_add_block(&m, 1, 2, columns_01);
    check_design("nothing at the first level", &m, 5);
    check_design("and nothing at the second", &m, 0);
    dense_free_model(&m);

    m = dense_example(11, sizes, 2, 2, 3, 2, 1, 48);
    dense_add_block(&m, 0, 2, columns_01);
    dense_add_block(&m, 1, 2, columns_01);
    dense_add_block(&m, 2, 1, column_0);
    check_design("three levels", &m, 5);
    check_design("all singular", &m, 1);
    dense_free_model(&m);

    m = dense_example(11, sizes, 3, 2, 3, 1, 0, 49);
    dense_add_block(&m, 0, 1, column_1);
    dense_add_block(&m, 2, 2, columns_01);
    check_design("three levels, the middle one empty", &m, 5);
    dense_free_model(&m);

    m = dense_example(11, sizes, 2, 2, 4, 2, 0, 50);
    for (int l = 0; l < 4; l++) {
        dense_add_block(&m, l, 1, l % 2 ? column_1 : column_0);
    }
    dense_add_block(&m, 3, 1, column_0);
    check_design("four levels, two blocks at the highest", &m, 5);
    dense_free_model(&m);

    /* The level's own matrix is wider than Z. */
    m = dense_example(9, sizes, 3, 2, 2, 1, 0, 51);
    dense_add_block(&m, 0, 2, columns_01);
    dense_add_block(&m, 0, 1, column_0);
    dense_add_block(&m, 1, 1, column_1);
    dense_add_block(&m, 1, 2, columns_01);
    check_design("terms that share a column", &m, 5);
    dense_free_model(&m);

    /* Rows of zeros in Z, and in X and Z. */
    m = dense_example(9, sizes, 3, 2, 2, 1, 0, 52);
    for (int i = 0; i < m.n; i++) {
        if (m.group[0][i] % 3 == 1) {
            m.Z[i] = m.Z[i + m.n] = 0.0;
        }
        if (m.group[0][i] == 4) {
            m.X[i] = m.X[i + m.n] = m.X[i + 2 * m.n] = 0.0;
        }
    }
    dense_add_block(&m, 0, 2, columns_01);
    dense_add_block(&m, 1, 1, column_0);
    check_design("units of zero rows", &m, 5);
    dense_free_model(&m);
}

/* Designs of any shape: levels, widths, blocks, unit sizes, shared visits and weights all drawn.
 * The worst difference of each piece over all of them. */
static void random_designs(void) {
    enum { DESIGNS = 60 };
    uint64_t seed = 20251;
    double worst_value = 0.0, worst_gradient = 0.0, worst_information = 0.0;
    int failed = 0;
    for (int design = 0; design < DESIGNS; design++) {
        int sizes[12], n_units = 2 + (int)(5 * (dense_random(&seed) + 1)), rows = 0;
        for (int u = 0; u < n_units; u++) {
            sizes[u] = 1 + (int)(2.5 * (dense_random(&seed) + 1));
            rows += sizes[u];
        }
        int q = 1 + design % 3, n_levels = 1 + design / 3 % 4, p = 1 + design % 4;
        p = p < rows ? p : rows - 1;
        dense_model m = dense_example(n_units, sizes, p, q, n_levels, design % 5, design % 2, seed);
        for (int l = 0; l < n_levels; l++) {
            if (dense_random(&seed) < 0.6 || (l + 1 == n_levels && m.n_blocks == 0)) {
                int size = 1 + (int)(q * (dense_random(&seed) + 1) / 2);
                dense_add_block(&m, l, size, columns_012 + (q - size));
            }
        }
        evaluation e;
        double parameters[MAX_PAR], user[MAX_PAR], parts[3], truth[3];
        start(&m, &e);
        int k = e.c.model.n_par + 1;
        some_parameters(&m, design % 7 ? 5 : 1, seed, parameters);
        set_parameters(&e, parameters);
        if (e.c.data.p < m.p || value_at(&e) != SP_OK) {
            failed++;
        } else {
            parts_in_user_units(&e, parts);
            dense_parts(&e, &m, parameters, truth);
            worst_value = fmax(worst_value, apart(3, parts, truth));
            derivatives_at(&e, 1);
            dense_at at;
            to_user_units(&e, parameters, user);
            dense_value(&m, user, 1, &at);
            dense_derivatives(&m, 1, &at);
            const sp_derivatives *D = &e.derivatives;
            double scale = e.c.units.y_scale * e.c.units.y_scale, gradient[MAX_PAR];
            for (int r = 0; r < k; r++) {
                gradient[r] = (D->trace[r] - D->trace_x[r] - D->square[r]) / scale;
            }
            worst_gradient = fmax(worst_gradient, apart(k, gradient, at.gradient));
            for (int i = 0; i < k * k; i++) {
                at.expected[i] *= scale * scale;
                at.average[i] *= scale * scale;
            }
            worst_information = fmax(worst_information, apart(k * k, D->expected, at.expected));
            worst_information = fmax(worst_information, apart(k * k, D->average, at.average));
            dense_free_at(&at);
        }
        reduced_free(&e.c);
        dense_free_model(&m);
    }
    ct_int("random designs without an answer", failed, 0);
    ct_near("random designs: criterion", worst_value, 0.0, 1e-11);
    ct_near("random designs: gradient", worst_gradient, 0.0, 1e-9);
    ct_near("random designs: informations", worst_information, 0.0, 1e-10);
}

/* X with a column that combines others is X without it. */
static void rank_deficient(void) {
    const int sizes[7] = {4, 2, 5, 3, 1, 6, 4};
    dense_model m = dense_example(7, sizes, 4, 2, 2, 2, 1, 53);
    dense_add_block(&m, 0, 2, columns_01);
    dense_add_block(&m, 1, 1, column_0);
    for (int i = 0; i < m.n; i++) {
        m.X[i + 3 * m.n] = 3.25 * m.X[i] - 1.5 * m.X[i + m.n] + 0.75 * m.X[i + 2 * m.n];
    }
    evaluation e;
    double parameters[MAX_PAR];
    start(&m, &e);
    ct_int("rank of X", e.c.data.p, 3);
    some_parameters(&m, 5, 7, parameters);
    m.p = 3;
    compare("X of deficient rank", &m, &e, parameters);
    reduced_free(&e.c);
    m.p = 0;
    start(&m, &e);
    printf("# no fixed effects at all\n");
    set_parameters(&e, parameters);
    ct_int("no fixed effects", value_at(&e), SP_OK);
    double parts[3], truth[3];
    parts_in_user_units(&e, parts);
    dense_parts(&e, &m, parameters, truth);
    ct_near_all("  parts of the criterion", 3, parts, truth, 1e-11);
    reduced_free(&e.c);
    dense_free_model(&m);
}

/* ---- closed forms --------------------------------------------------------------------------- */

/* Balanced one-way data, m units of n rows: |V| = s^(m(n-1)) (s + n g)^m, X'V^-1 X = mn / (s + n
 * g), the quadratic form SSW / s + SSB / (s + n g), predictions n g / (s + n g) times the
 * deviation. */
static void one_way(void) {
    const int sizes[6] = {4, 4, 4, 4, 4, 4};
    dense_model m = dense_example(6, sizes, 1, 1, 1, 1, 0, 61);
    dense_add_block(&m, 0, 1, column_0);
    double mean[6] = {0.0}, grand = 0.0, ssw = 0.0, ssb = 0.0;
    for (int i = 0; i < m.n; i++) {
        mean[m.group[0][i] - 1] += m.y[i] / 4;
        grand += m.y[i] / 24;
    }
    for (int i = 0; i < m.n; i++) {
        ssw += pow(m.y[i] - mean[m.group[0][i] - 1], 2);
    }
    for (int u = 0; u < 6; u++) {
        ssb += 4 * pow(mean[u] - grand, 2);
    }
    evaluation e;
    start(&m, &e);
    double scale = e.c.units.y_scale, g = 1.37, s = 0.59, lambda = s + 4 * g;
    set_parameters(&e, (const double[]){g, s});
    ct_int("balanced one-way data", value_at(&e), SP_OK);
    ct_near("  log|V|", e.value.log_det_v, 18 * log(s) + 6 * log(lambda), 1e-14);
    ct_near("  log|X'V^-1 X|", e.value.log_det_x, -log(lambda), 1e-13);
    ct_near("  quadratic form", e.value.quadratic * scale * scale, ssw / s + ssb / lambda, 1e-13);
    derivatives_at(&e, 1);
    const sp_derivatives *D = &e.derivatives;
    const double trace[2] = {24 / lambda, 18 / s + 6 / lambda};
    ct_near_all("  traces", 2, D->trace, trace, 1e-13);
    ct_near_all("  traces over X", 2, D->trace_x, (const double[]){4 / lambda, 1 / lambda}, 1e-13);
    const double expected[4] = {0.5 * 5 * 16 / (lambda * lambda), 0.5 * 5 * 4 / (lambda * lambda),
                                0.5 * 5 * 4 / (lambda * lambda),
                                0.5 * (18 / (s * s) + 5 / (lambda * lambda))};
    ct_near_all("  expected information", 4, D->expected, expected, 1e-13);
    double b[6], v[6], shrunk[6], left[6];
    sp_reml_ranef(&e.c.data, &e.c.model, &e.point, &e.work, &e.value, 0, b, v);
    for (int u = 0; u < 6; u++) {
        shrunk[u] = 4 * g / lambda * (mean[u] - grand) / scale;
        left[u] = g * s / lambda;
    }
    ct_near_all("  predictions", 6, b, shrunk, 1e-13);
    ct_near_all("  their variances", 6, v, left, 1e-13);

    /* Without s among the parameters the others are as before. */
    double memory[64];
    sp_derivatives without;
    sp_derivatives_init(e.c.data.d, 1, memory, &without);
    sp_reml_derivatives(&e.c.data, &e.c.model, &e.point, 1, &e.work, &e.value, &without);
    ct_near("  derivatives for G alone", without.trace[0], trace[0], 1e-13);
    ct_near("  information for G alone", without.expected[0], expected[0], 1e-13);
    reduced_free(&e.c);
    dense_free_model(&m);
}

/* ---- statuses ------------------------------------------------------------------------------- */

static sp_status status_at(evaluation *e, const double *parameters) {
    set_parameters(e, parameters);
    return value_at(e);
}

static void statuses(void) {
    const int sizes[6] = {3, 4, 3, 4, 3, 4};
    dense_model m = dense_example(6, sizes, 3, 2, 2, 2, 0, 71);
    dense_add_block(&m, 0, 1, column_0);
    dense_add_block(&m, 1, 2, columns_01);
    m.p = 2;
    evaluation e;
    start(&m, &e);
    const double usual[5] = {0.5, 0.9, 0.1, 0.7, 0.6};
    ct_int("an ordinary point", status_at(&e, usual), SP_OK);
    struct {
        const char *name;
        int place;
        double value;
        sp_status status;
    } cases[] = {
        {"s = 0", 4, 0.0, SP_SINGULAR},
        {"s < 0", 4, -1.0, SP_SINGULAR},
        {"s NaN", 4, NAN, SP_SINGULAR},
        {"a negative variance that V does not bear", 0, -0.6, SP_SINGULAR},
        {"a negative variance that V bears", 0, -0.05, SP_OK},
        {"a variance NaN", 0, NAN, SP_SINGULAR},
        {"an infinite variance", 0, INFINITY, SP_SINGULAR},
        {"the same at the second level", 1, -0.9, SP_SINGULAR},
        {"which V bears", 1, 0.0, SP_OK},
        {"a covariance NaN at the second level", 2, NAN, SP_SINGULAR},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double parameters[5];
        memcpy(parameters, usual, sizeof usual);
        parameters[cases[i].place] = cases[i].value;
        ct_int(cases[i].name, status_at(&e, parameters), cases[i].status);
    }
    /* Two directions wrong at once: the determinant is positive again, V is not. */
    ct_int("two negative variances at the second level",
           status_at(&e, (const double[]){0.5, -3.0, 0.0, -3.0, 0.6}), SP_SINGULAR);
    ct_int("two small ones", status_at(&e, (const double[]){0.5, -0.01, 0.0, -0.01, 0.6}), SP_OK);
    /* The same where the fixed effects lie across those directions and cannot show it. */
    dense_model within = m;
    within.p = 1;
    within.X = m.X + 2 * m.n;
    evaluation other;
    start(&within, &other);
    ct_int("two negative variances off the fixed effects",
           status_at(&other, (const double[]){0.5, -12.8, 0.0, -6.4, 0.6}), SP_SINGULAR);
    reduced_free(&other.c);
    ct_int("values near the largest number",
           status_at(&e, (const double[]){1e308, 1e308, 0.0, 1e308, 1e-300}) != SP_OK, 1);
    reduced_free(&e.c);

    /* A response inside the span of X leaves no quadratic form. */
    for (int i = 0; i < m.n; i++) {
        m.y[i] = 2.5 * m.X[i];
    }
    start(&m, &e);
    sp_status status = status_at(&e, usual);
    ct_true("a response without residuals: an answer or a status, and finite",
            status == SP_SINGULAR || (status == SP_OK && isfinite(e.value.quadratic)));
    reduced_free(&e.c);
    dense_free_model(&m);
}

int main(void) {
    dense_designs();
    random_designs();
    rank_deficient();
    one_way();
    statuses();
    return ct_end();
}
