/* Second derivatives of A'V^-1 A, A = [X y], along directions of the parameters, against
 * 2 A'V^-1 D V^-1 D V^-1 A with n x n matrices and against differences of A'V^-1 A. */
#include "ctest.h"
#include "curvature.h"
#include "reduced.h"

enum { MAX_PAR = 16, MAX_D = 6, DIRECTIONS = 3 };

static const int column_0[1] = {0}, column_1[1] = {1}, columns_01[2] = {0, 1};

/* A in the coordinates of the reduced data: X Rx^-1, and y less its fit over its scale. */
static double *rows_of(const dense_model *m, const reduced_case *c) {
    int n = m->n, p = m->p;
    double *A = dense_new((size_t)n * (p + 1));
    for (int i = 0; i < n; i++) {
        double y = m->y[i];
        for (int j = 0; j < p; j++) {
            double x = m->X[i + n * j];
            for (int l = 0; l < j; l++) {
                x -= A[i + n * l] * c->units.Rx[l + p * j];
            }
            A[i + n * j] = x / c->units.Rx[j + p * j];
            y -= A[i + n * j] * c->units.coef[j];
        }
        A[i + n * p] = y / c->units.y_scale;
    }
    return A;
}

/* A'V^-1 A, V at the parameters. */
static void products_at(const dense_model *m, const double *A, const double *parameters,
                        double *out) {
    int n = m->n, d = m->p + 1;
    dense_at at;
    double *ViA = dense_new((size_t)n * d);
    dense_value(m, parameters, 1, &at);
    dense_product(n, n, d, at.Vi, A, ViA);
    dense_cross(d, n, d, A, ViA, out);
    free(ViA);
    dense_free_at(&at);
}

static void second_derivative(const dense_model *m, const double *A, const double *parameters,
                              const double *u, double *out) {
    int n = m->n, d = m->p + 1, k = dense_n_par(m);
    size_t nn = (size_t)n * n;
    dense_at at;
    double *D = dense_new(nn), *ViA = dense_new((size_t)n * d), *DViA = dense_new((size_t)n * d);
    double *ViDViA = dense_new((size_t)n * d);
    dense_value(m, parameters, 1, &at);
    for (int r = 0; r < k; r++) {
        for (size_t i = 0; i < nn; i++) {
            D[i] += u[r] * at.D[nn * r + i];
        }
    }
    dense_product(n, n, d, at.Vi, A, ViA);
    dense_product(n, n, d, D, ViA, DViA);
    dense_product(n, n, d, at.Vi, DViA, ViDViA);
    dense_cross(d, n, d, DViA, ViDViA, out);
    for (int i = 0; i < d * d; i++) {
        out[i] *= 2;
    }
    free(D);
    free(ViA);
    free(DViA);
    free(ViDViA);
    dense_free_at(&at);
}

/* Second differences of fourth order along u. */
static void by_differences(const dense_model *m, const double *A, const double *parameters,
                           const double *u, double *out) {
    const double at[5] = {-2, -1, 0, 1, 2}, weight[5] = {-1, 16, -30, 16, -1}, h = 3e-4;
    int d = m->p + 1, k = dense_n_par(m);
    memset(out, 0, sizeof(double) * (size_t)(d * d));
    for (int i = 0; i < 5; i++) {
        double moved[MAX_PAR], value[MAX_D * MAX_D];
        for (int r = 0; r < k; r++) {
            moved[r] = parameters[r] + at[i] * h * u[r];
        }
        products_at(m, A, moved, value);
        for (int j = 0; j < d * d; j++) {
            out[j] += weight[i] * value[j] / (12 * h * h);
        }
    }
}

static double apart(int n, const double *actual, const double *expected) {
    double worst = 0.0, size = 0.0;
    for (int i = 0; i < n; i++) {
        double distance = fabs(actual[i] - expected[i]);
        worst = !(distance <= worst) ? distance : worst;
        size = fmax(size, fabs(expected[i]));
    }
    return worst / (size > 0.0 ? size : 1.0);
}

/* Matrices by level from a vector of parameters. */
static sp_direction as_direction(reduced_case *c, const double *u) {
    const sp_model *model = &c->model;
    sp_direction out;
    for (int l = 0; l < model->n_levels; l++) {
        int dim = model->dim[l];
        double *G = own_doubles(c, (size_t)(dim * dim));
        for (int r = 0; r < model->n_par; r++) {
            if (model->level[r] == l) {
                int i = model->row[r], j = model->col[r];
                G[i + dim * j] = G[j + dim * i] = u[r];
            }
        }
        out.G[l] = G;
    }
    out.s = u[model->n_par];
    return out;
}

static void compare(const char *name, const dense_model *m, const double *parameters) {
    int k = dense_n_par(m), d = m->p + 1;
    const double weights[DIRECTIONS] = {0.7, -1.3, 2.9};
    double u[DIRECTIONS][MAX_PAR], truth[MAX_D * MAX_D] = {0.0}, rough[MAX_D * MAX_D] = {0.0};
    double one[MAX_D * MAX_D], packed[MAX_D * (MAX_D + 1) / 2], full[MAX_D * MAX_D];
    uint64_t seed = 3 + (uint64_t)m->n;
    reduced_case c;
    reduced_init(m, &c);
    double *A = rows_of(m, &c);

    sp_direction directions[DIRECTIONS];
    for (int i = 0; i < DIRECTIONS; i++) {
        for (int r = 0; r < k; r++) {
            u[i][r] = dense_random(&seed);
        }
        directions[i] = as_direction(&c, u[i]);
        second_derivative(m, A, parameters, u[i], one);
        for (int j = 0; j < d * d; j++) {
            truth[j] += weights[i] * one[j];
        }
        by_differences(m, A, parameters, u[i], one);
        for (int j = 0; j < d * d; j++) {
            rough[j] += weights[i] * one[j];
        }
    }

    sp_point point;
    sp_direction here = as_direction(&c, parameters);
    for (int l = 0; l < m->n_levels; l++) {
        double *F = own_doubles(&c, (size_t)(m->q * c.model.dim[l]));
        sp_natural_basis(&c.blocks, &c.model, l, F);
        point.F[l] = F;
        point.G[l] = here.G[l];
        point.root[l] = NULL;
    }
    point.s = here.s;
    sp_reml_work work;
    sp_value value;
    value.root = own_doubles(&c, (size_t)(d * d));
    sp_reml_work_init(&c.data, &c.model, own_doubles(&c, sp_reml_work_size(&c.data, &c.model)),
                      &work);
    printf("# %s\n", name);
    ct_int("value", sp_reml_value(&c.data, &c.model, &point, &work, &value), SP_OK);
    double *memory = own_doubles(&c, sp_curvature_work_size(&c.data, &c.model));
    ct_int("  curvature",
           sp_reml_curvature(&c.data, &c.model, &point, &work, DIRECTIONS, directions, weights,
                             memory, packed),
           SP_OK);
    sp_unpack(d, packed, full);
    ct_near("  is 2 A'V^-1 D V^-1 D V^-1 A", apart(d * d, full, truth), 0.0, 1e-11);
    ct_near("  and second differences", apart(d * d, full, rough), 0.0, 1e-6);

    double zero[MAX_PAR] = {0.0};
    sp_direction still = as_direction(&c, zero);
    sp_reml_curvature(&c.data, &c.model, &point, &work, 1, &still, weights, memory, packed);
    double none[MAX_D * (MAX_D + 1) / 2] = {0.0};
    ct_near_all("  nothing where nothing moves", d * (d + 1) / 2, packed, none, 0.0);
    free(A);
    reduced_free(&c);
}

int main(void) {
    const int sizes[10] = {4, 6, 1, 3, 5, 1, 2, 4, 3, 5};
    dense_model m = dense_example(10, sizes, 3, 2, 1, 2, 1, 121);
    dense_add_block(&m, 0, 2, columns_01);
    compare("one level, weights", &m, (const double[]){0.9, -0.2, 0.7, 0.6});
    compare("a singular matrix", &m, (const double[]){0.9, 0.0, 0.0, 0.6});
    dense_free_model(&m);

    m = dense_example(10, sizes, 2, 2, 2, 1, 0, 122);
    dense_add_block(&m, 0, 1, column_0);
    dense_add_block(&m, 0, 1, column_1);
    dense_add_block(&m, 1, 2, columns_01);
    compare("two levels, patterns shared", &m, (const double[]){0.9, 0.4, 0.8, -0.3, 0.5, 0.6});
    compare("the second level singular", &m, (const double[]){0.9, 0.4, 0.8, 0.4, 0.2, 0.6});
    dense_free_model(&m);

    m = dense_example(10, sizes, 3, 2, 3, 2, 1, 123);
    dense_add_block(&m, 0, 2, columns_01);
    dense_add_block(&m, 1, 1, column_1);
    dense_add_block(&m, 2, 2, columns_01);
    compare("three levels", &m, (const double[]){0.7, 0.1, 0.6, 0.5, 1.1, 0.2, 0.4, 0.8});
    compare("nothing but residuals", &m, (const double[]){0, 0, 0, 0, 0, 0, 0, 0.8});
    dense_free_model(&m);

    /* One unit, all rows in it, and Z wider than it is long. */
    const int one[1] = {4};
    m = dense_example(1, one, 1, 2, 1, 0, 0, 124);
    dense_add_block(&m, 0, 2, columns_01);
    compare("a single unit", &m, (const double[]){0.7, 0.1, 0.6, 0.5});
    dense_free_model(&m);
    return ct_end();
}
