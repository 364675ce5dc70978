/* The reduction of the rows. What it must preserve are cross-products: Householder reflections
 * change the rows and not their products, so R'R = Z'Z, R'a = Z'[X y] and the rest follow from
 * plain sums over the rows. */
#include "ctest.h"
#include "dense.h"
#include "linalg.h"
#include "reduce.h"
#include "stopping.h"

enum { MAX_D = 8, MAX_Q = 3 };

/* One reduction and its sizes, d = p + 1. */
typedef struct {
    sp_rows rows;
    int d;
    double *R, *a, *Rfree, *Rfull;
    sp_status status;
} reduction;

static sp_column *columns_of(int n, int n_columns, const double *M) {
    sp_column *columns = calloc((size_t)n_columns + 1, sizeof(sp_column));
    sp_matrix_columns(n, n_columns, M, columns);
    return columns;
}

static reduction reduce(const dense_model *m, sp_check check, void *check_data) {
    sp_column *X = columns_of(m->n, m->p, m->X), *Z = columns_of(m->n, m->q, m->Z);
    sp_rows rows = {m->n, m->p, m->q, m->n_groups[0], X, {m->y, 1}, Z, m->weights, m->group[0]};
    size_t q = (size_t)m->q, d = (size_t)m->p + 1, units = (size_t)m->n_groups[0];
    reduction out = {rows,
                     (int)d,
                     dense_new(q * q * units),
                     dense_new(q * d * units),
                     dense_new(d * d),
                     dense_new(d * d),
                     SP_OK};
    int *count = calloc(units, sizeof(int));
    int largest = sp_largest_unit(m->n, m->n_groups[0], m->group[0], count);
    double *work = dense_new(sp_reduce_work_size(m->p, m->q, largest));
    int *iwork = calloc(sp_reduce_iwork_size(m->n, m->n_groups[0], largest), sizeof(int));
    out.status = sp_reduce_rows(&out.rows, out.R, out.a, out.Rfree, out.Rfull, work, iwork, check,
                                check_data);
    free(count);
    free(work);
    free(iwork);
    return out;
}

static void release(reduction *r) {
    free(r->R);
    free(r->a);
    free(r->Rfree);
    free(r->Rfull);
    free((void *)r->rows.X);
    free((void *)r->rows.Z);
}

/* Column c of [X y]. */
static const double *column(const dense_model *m, int c) {
    return c < m->p ? m->X + (size_t)m->n * c : m->y;
}

/* Sum over the rows of one unit (0: all) of the weighted products of two columns. */
static double product(const dense_model *m, int unit, const double *u, const double *v) {
    double sum = 0.0;
    for (int i = 0; i < m->n; i++) {
        if (unit == 0 || m->group[0][i] == unit) {
            sum += (m->weights ? m->weights[i] : 1.0) * u[i] * v[i];
        }
    }
    return sum;
}

/* |actual - expected| against the size of the products' factors. */
static void keep_worst(double actual, double expected, double size, double *worst) {
    double apart = fabs(actual - expected) / (size > 0.0 ? size : 1.0);
    if (!(apart <= *worst)) {
        *worst = apart;
    }
}

static void check_products(const char *what, const dense_model *m) {
    reduction r = reduce(m, NULL, NULL);
    int q = m->q, d = r.d, upper = 1;
    double worst_z = 0.0, worst_a = 0.0, worst_all = 0.0, worst_free = 0.0;
    ct_int(what, r.status, SP_OK);
    for (int u = 0; u < m->n_groups[0]; u++) {
        const double *R = r.R + (size_t)q * q * u, *a = r.a + (size_t)q * d * u;
        for (int b = 0; b < q; b++) {
            upper = upper && R[b + q * b] >= 0.0;
            const double *zb = m->Z + (size_t)m->n * b;
            for (int c = 0; c < q; c++) {
                const double *zc = m->Z + (size_t)m->n * c;
                double sum = 0.0;
                upper = upper && (c <= b || R[c + q * b] == 0.0);
                for (int i = 0; i < q; i++) {
                    sum += R[i + q * b] * R[i + q * c];
                }
                keep_worst(sum, product(m, u + 1, zb, zc),
                           sqrt(product(m, u + 1, zb, zb) * product(m, u + 1, zc, zc)), &worst_z);
            }
            for (int c = 0; c < d; c++) {
                double sum = 0.0;
                for (int i = 0; i < q; i++) {
                    sum += R[i + q * b] * a[d * i + c];
                }
                const double *x = column(m, c);
                keep_worst(sum, product(m, u + 1, zb, x),
                           sqrt(product(m, u + 1, zb, zb) * product(m, u + 1, x, x)), &worst_a);
            }
        }
    }
    for (int b = 0; b < d; b++) {
        for (int c = 0; c < d; c++) {
            double in_free = 0.0, in_full = 0.0, in_units = 0.0;
            for (int i = 0; i < d; i++) {
                in_free += r.Rfree[i + d * b] * r.Rfree[i + d * c];
                in_full += r.Rfull[i + d * b] * r.Rfull[i + d * c];
            }
            for (int i = 0; i < q * m->n_groups[0]; i++) {
                in_units += r.a[(size_t)d * i + b] * r.a[(size_t)d * i + c];
            }
            double all = product(m, 0, column(m, b), column(m, c));
            double size = sqrt(product(m, 0, column(m, b), column(m, b)) *
                               product(m, 0, column(m, c), column(m, c)));
            keep_worst(in_full, all, size, &worst_all);
            keep_worst(in_free + in_units, all, size, &worst_free);
        }
    }
    ct_true("  upper triangular, diagonal >= 0", upper);
    ct_near("  R'R = Z'Z", worst_z, 0.0, 1e-13);
    ct_near("  R'a = Z'[X y]", worst_a, 0.0, 1e-13);
    ct_near("  Rfull'Rfull = [X y]'[X y]", worst_all, 0.0, 1e-13);
    ct_near("  free rows and units make up all rows", worst_free, 0.0, 1e-13);
    release(&r);
}

/* What a search begins with: Z'Z from its factor, and y'y from the mean squares. */
static void check_start(const dense_model *m) {
    reduction r = reduce(m, NULL, NULL);
    int q = m->q, d = r.d, units = m->n_groups[0];
    double factor[MAX_Q * MAX_Q], work[MAX_Q * MAX_Q], mean_squares[MAX_Q + 1], worst = 0.0;
    sp_factor_units(units, q, r.R, NULL, NULL, factor, work);
    for (int b = 0; b < q; b++) {
        for (int c = 0; c < q; c++) {
            const double *zb = m->Z + (size_t)m->n * b, *zc = m->Z + (size_t)m->n * c;
            double sum = 0.0;
            for (int i = 0; i < q; i++) {
                sum += factor[i + q * b] * factor[i + q * c];
            }
            keep_worst(sum, product(m, 0, zb, zc),
                       sqrt(product(m, 0, zb, zb) * product(m, 0, zc, zc)), &worst);
        }
    }
    ct_near("  factor of Z over all units", worst, 0.0, 1e-13);

    /* Four like the second unit, and the first. */
    const int which[2] = {1, 0};
    double of_two[MAX_Q * MAX_Q], of_five[MAX_Q * MAX_Q], repeated[5 * MAX_Q * MAX_Q];
    for (int u = 0; u < 5; u++) {
        memcpy(repeated + q * q * u, r.R + (u < 4 ? q * q : 0), (size_t)(q * q) * sizeof(double));
    }
    sp_factor_units(2, q, r.R, which, (const double[]){4.0, 1.0}, of_two, work);
    sp_factor_units(5, q, repeated, NULL, NULL, of_five, work);
    ct_near_all("  units that are alike at once", q * q, of_two, of_five, 1e-13);

    double *Cfree = calloc(sp_packed_size(d), sizeof(double)), sum = 0.0, n_free = m->n;
    for (int i = 0; i < d; i++) {
        Cfree[sp_packed_size(d) - 1] += pow(r.Rfree[i + d * (d - 1)], 2);
    }
    sp_mean_squares(m->n, units, q, d, r.R, r.a, Cfree, mean_squares);
    for (int j = 0; j < q; j++) {
        int n_rows = 0;
        for (int u = 0; u < units; u++) {
            n_rows += r.R[(size_t)q * q * u + j + q * j] > 0.0;
        }
        sum += n_rows * mean_squares[j];
        n_free -= n_rows;
    }
    sum += n_free * mean_squares[q];
    double all = product(m, 0, m->y, m->y);
    ct_near("  mean squares make up y'y", sum / all, 1.0, 1e-13);
    free(Cfree);
    release(&r);
}

static void products(void) {
    const int few[9] = {4, 1, 7, 2, 3, 1, 5, 2, 6};
    for (int q = 1; q <= MAX_Q; q++) {
        dense_model m = dense_example(9, few, 4, q, 1, 2, q == 2, 20 + (uint64_t)q);
        check_products(q == 1 ? "width 1" : q == 2 ? "width 2 and weights" : "width 3", &m);
        check_start(&m);
        dense_free_model(&m);
    }
    /* More free rows than are merged at once, and one long unit that must be sorted. */
    const int many[3] = {700, 333, 2};
    dense_model m = dense_example(3, many, 5, 2, 1, 0, 0, 31);
    check_products("1035 rows", &m);
    /* Columns of X and Z that are zero in a unit or everywhere. */
    for (int i = 0; i < m.n; i++) {
        m.Z[i + m.n] = m.group[0][i] == 2 ? 0.0 : m.Z[i + m.n];
        m.X[i + 3 * m.n] = 0.0;
    }
    check_products("columns of zeros", &m);
    for (int i = 0; i < m.n; i++) {
        m.Z[i] = 0.0;
    }
    check_products("no random intercept at all", &m);
    dense_free_model(&m);
    /* One unit of one row, with more columns than rows in everything. */
    const int one[1] = {1};
    m = dense_example(1, one, 4, 3, 1, 0, 1, 32);
    check_products("one row", &m);
    dense_free_model(&m);
}

/* With Z = 1 the first row of Q'x is sum(x) / sqrt(n), and what is left is x about its mean. */
static void by_hand(void) {
    double X[5] = {1.25, -3.5, 0.75, 6.0, 2.5}, y[5] = {0.1, 2.2, -1.3, 4.4, 0.6};
    double Z[5] = {1.0, 1.0, 1.0, 1.0, 1.0};
    int unit[5] = {2, 1, 2, 2, 1};
    dense_model m = {5, 1, 1, 1, 0, X, y, Z, NULL, {unit}, {2}, {0}, {0}, {{0}}};
    reduction r = reduce(&m, NULL, NULL);
    ct_near_all("R is the root of the size", 2, r.R, (const double[]){sqrt(2.0), sqrt(3.0)}, 1e-15);
    const double a[4] = {-1.0 / sqrt(2.0), 2.8 / sqrt(2.0), 8.0 / sqrt(3.0), 3.2 / sqrt(3.0)};
    ct_near_all("a are sums over its root", 4, r.a, a, 1e-15);
    /* About the unit means, which are -0.5 and 8/3 for x, 1.4 and 3.2/3 for y. */
    const double mean_x2 = 8.0 / 3, mean_y1 = 1.4, mean_y2 = 3.2 / 3;
    const double sxx = 9.0 + 9.0 + (1.25 - mean_x2) * (1.25 - mean_x2) +
                       (0.75 - mean_x2) * (0.75 - mean_x2) + (6.0 - mean_x2) * (6.0 - mean_x2);
    const double sxy = -3.0 * (2.2 - mean_y1) + 3.0 * (0.6 - mean_y1) +
                       (1.25 - mean_x2) * (0.1 - mean_y2) + (0.75 - mean_x2) * (-1.3 - mean_y2) +
                       (6.0 - mean_x2) * (4.4 - mean_y2);
    ct_near("squares within units", r.Rfree[0] * r.Rfree[0], sxx, 1e-14);
    ct_near("products within units", r.Rfree[0] * r.Rfree[2], sxy, 1e-14);
    release(&r);
}

/* Two units with the same visits, their rows in different orders: the same bits in R. */
static void order_of_rows(void) {
    enum { ROWS = 12 };
    double X[ROWS], y[ROWS], Z[2 * ROWS];
    int unit[ROWS];
    const double time[6] = {0.1, 7.3, 2.9, 2.9, 11.7, 5.3};
    const int turn[6] = {4, 0, 3, 5, 1, 2};
    uint64_t seed = 3;
    for (int i = 0; i < ROWS; i++) {
        unit[i] = i % 2 + 1;
        X[i] = dense_random(&seed);
        y[i] = dense_random(&seed);
        Z[i] = 1.0;
        Z[i + ROWS] = i % 2 ? time[turn[i / 2]] : time[i / 2];
    }
    dense_model m = {ROWS, 1, 2, 1, 0, X, y, Z, NULL, {unit}, {2}, {0}, {0}, {{0}}};
    reduction r = reduce(&m, NULL, NULL);
    ct_true("the order of the rows leaves no trace in R",
            memcmp(r.R, r.R + 4, 4 * sizeof(double)) == 0);
    release(&r);
}

/* A column inside the span of Z in every unit leaves exactly nothing in the free rows. */
static void inside_the_span(void) {
    const int sizes[5] = {6, 4, 9, 3, 12};
    dense_model m = dense_example(5, sizes, 4, 2, 1, 0, 1, 77);
    for (int i = 0; i < m.n; i++) {
        double dyad = 3.7 * m.group[0][i] - 11.9;
        m.X[i + 2 * m.n] = dyad;
        m.X[i + 3 * m.n] = dyad * m.X[i + m.n];
    }
    reduction r = reduce(&m, NULL, NULL);
    int d = r.d, clear = 1;
    for (int c = 0; c < 4; c++) {
        for (int i = 0; i < d; i++) {
            clear = clear && r.Rfree[i + d * c] == 0.0;
        }
    }
    ct_true("dyad-level columns and their products with time are not in the free rows", clear);
    ct_true("the response is", fabs(r.Rfree[d * d - 1]) > 0.5);
    release(&r);
    dense_free_model(&m);
}

static sp_status status_with(dense_model *m, double *element, double value) {
    double held = *element;
    *element = value;
    reduction r = reduce(m, NULL, NULL);
    *element = held;
    release(&r);
    return r.status;
}

static void statuses(void) {
    const int sizes[6] = {1, 4, 2, 7, 3, 1};
    dense_model m = dense_example(6, sizes, 3, 2, 1, 2, 1, 5);
    int all[4] = {1, 1, 1, 1};
    const double values[3] = {NAN, INFINITY, -INFINITY};
    for (int v = 0; v < 3; v++) {
        for (int i = 0; i < m.n; i++) {
            all[0] = all[0] && status_with(&m, m.y + i, values[v]) == SP_NOT_FINITE;
            all[1] = all[1] && status_with(&m, m.X + m.n + i, values[v]) == SP_NOT_FINITE;
            all[2] = all[2] && status_with(&m, m.Z + m.n + i, values[v]) == SP_NOT_FINITE;
            all[3] = all[3] && status_with(&m, m.weights + i, values[v]) == SP_NOT_FINITE;
        }
    }
    ct_true("y that is not finite, in any row", all[0]);
    ct_true("X that is not finite, in any row", all[1]);
    ct_true("Z that is not finite, in any row", all[2]);
    ct_true("a weight that is not finite, in any row", all[3]);
    ct_int("a negative weight", status_with(&m, m.weights + 3, -1.0), SP_NOT_FINITE);
    ct_int("a square beyond the largest number", status_with(&m, m.X + m.n + 4, 1e160),
           SP_NOT_FINITE);

    /* An infinite element below a column of Z that is zero in its unit: no reflection meets it. */
    const int two[2] = {5, 5};
    dense_model z = dense_example(2, two, 2, 1, 1, 0, 0, 6);
    for (int i = 0; i < z.n; i++) {
        z.Z[i] = z.group[0][i] == 1 ? 0.0 : 1.0;
    }
    int last = 0;
    for (int i = 0; i < z.n; i++) {
        last = z.group[0][i] == 1 ? i : last;
    }
    ct_int("an infinite element that no reflection meets", status_with(&z, z.y + last, INFINITY),
           SP_NOT_FINITE);
    ct_int("a square too large that no reflection meets", status_with(&z, z.y + last, 1e160),
           SP_NOT_FINITE);
    dense_free_model(&z);

    int left = 0;
    reduction r = reduce(&m, stop_at, &left);
    ct_int("asked to stop at once", r.status, SP_INTERRUPTED);
    release(&r);
    left = 1000;
    r = reduce(&m, stop_at, &left);
    ct_int("not asked to stop", r.status, SP_OK);
    release(&r);
    dense_free_model(&m);
}

/* The fixed design -------------------------------------------------------------------------- */

typedef struct {
    int kept[MAX_D];
    double Rx[MAX_D * MAX_D], coef[MAX_D], alias[MAX_D * MAX_D];
    sp_fixed fixed;
} fixed_design;

static fixed_design rank_of(const dense_model *m, double tolerance) {
    fixed_design out;
    memset(&out, 0, sizeof out);
    reduction r = reduce(m, NULL, NULL);
    sp_rank_fixed(m->n, m->p, tolerance, r.Rfull, out.kept, out.Rx, out.coef, out.alias,
                  &out.fixed);
    release(&r);
    return out;
}

static void rank(void) {
    const int sizes[4] = {5, 3, 6, 4};
    dense_model m = dense_example(4, sizes, 6, 1, 1, 0, 0, 9);
    size_t n = (size_t)m.n;
    for (size_t i = 0; i < n; i++) {
        m.X[i + 3 * n] = 1.75 * m.X[i] - 0.5 * m.X[i + n] + 4.25 * m.X[i + 2 * n];
        m.X[i + 5 * n] = 0.0;
    }
    fixed_design f = rank_of(&m, 1e-7);
    ct_int("rank", f.fixed.rank, 4);
    ct_true("the later column is aliased, as lm does",
            f.kept[0] == 0 && f.kept[1] == 1 && f.kept[2] == 2 && f.kept[3] == 4);
    ct_true("and so is a column of zeros", f.kept[5] == 3 && f.kept[4] == 5);
    ct_near_all("what it combines", 4, f.alias, (const double[]){1.75, -0.5, 4.25, 0.0}, 1e-13);
    ct_near_all("zeros combine nothing", 4, f.alias + 6, (const double[]){0, 0, 0, 0}, 1e-13);

    for (size_t i = 0; i < n; i++) {
        m.X[i + 3 * n] += 1e-5 * m.X[i + 4 * n] * m.X[i + 2 * n];
    }
    ct_int("a column with a share of its own above the tolerance", rank_of(&m, 1e-7).fixed.rank, 5);
    ct_int("is aliased with a larger tolerance", rank_of(&m, 1e-3).fixed.rank, 4);
    for (size_t i = 0; i < n; i++) {
        m.X[i + 3 * n] *= 1e-140;
        m.X[i + n] *= 1e140;
    }
    ct_int("whatever the columns' scale", rank_of(&m, 1e-7).fixed.rank, 5);
    for (size_t i = 0; i < 6 * n; i++) {
        m.X[i] = 0.0;
    }
    f = rank_of(&m, 1e-7);
    ct_int("nothing but zeros", f.fixed.rank, 0);
    ct_near("leaves all squares", f.fixed.rss, product(&m, 0, m.y, m.y), 1e-13);
    dense_free_model(&m);

    /* A straight line by its textbook formulas. */
    const int one[1] = {11};
    m = dense_example(1, one, 2, 1, 1, 0, 0, 10);
    f = rank_of(&m, 1e-7);
    double t = 0.0, y = 0.0, stt = 0.0, sty = 0.0, syy = 0.0;
    for (int i = 0; i < m.n; i++) {
        t += m.X[i + m.n] / m.n;
        y += m.y[i] / m.n;
    }
    for (int i = 0; i < m.n; i++) {
        stt += (m.X[i + m.n] - t) * (m.X[i + m.n] - t);
        sty += (m.X[i + m.n] - t) * (m.y[i] - y);
        syy += (m.y[i] - y) * (m.y[i] - y);
    }
    const double slope = f.coef[1] / f.Rx[3], level = (f.coef[0] - f.Rx[2] * slope) / f.Rx[0];
    ct_near("slope", slope, sty / stt, 1e-13);
    ct_near("intercept", level, y - sty / stt * t, 1e-13);
    ct_near("residual sum of squares", f.fixed.rss, syy - sty * sty / stt, 1e-13);
    ct_near("scale of y", f.fixed.y_scale, sqrt((syy - sty * sty / stt) / 9), 1e-13);

    /* As many columns as rows, and more. */
    const int two[1] = {2};
    dense_model small = dense_example(1, two, 2, 1, 1, 0, 0, 12);
    ct_int("n = p", rank_of(&small, 1e-7).fixed.rank, 2);
    ct_near("no scale without degrees of freedom", rank_of(&small, 1e-7).fixed.y_scale, 1.0, 0.0);
    dense_free_model(&small);
    small = dense_example(1, two, 4, 1, 1, 0, 0, 13);
    ct_int("n < p", rank_of(&small, 1e-7).fixed.rank, 2);
    dense_free_model(&small);
    dense_free_model(&m);
}

/* Orthonormal columns, and y off them with a residual mean square of one. */
static void orthonormal(void) {
    const int sizes[5] = {4, 1, 6, 3, 8};
    dense_model m = dense_example(5, sizes, 5, 2, 1, 0, 1, 14);
    for (int i = 0; i < m.n; i++) {
        m.X[i + 2 * m.n] = m.X[i] + m.X[i + m.n];
        m.y[i] += 1e5;
    }
    reduction r = reduce(&m, NULL, NULL);
    fixed_design f = rank_of(&m, 1e-7);
    int d_all = r.d, n_a = m.q * m.n_groups[0], rank = f.fixed.rank, d = rank + 1;
    ct_int("one column is aliased", rank, 4);
    double rows[26 * MAX_D], sum[MAX_D * MAX_D] = {0.0}, expected[MAX_D * MAX_D] = {0.0};
    memcpy(rows, r.a, (size_t)n_a * d_all * sizeof(double));
    for (int i = 0; i < d_all; i++) {
        for (int j = 0; j < d_all; j++) {
            rows[(n_a + i) * d_all + j] = i <= j ? r.Rfree[i + d_all * j] : 0.0;
        }
    }
    sp_orthonormalise((size_t)(n_a + d_all), m.p, &f.fixed, f.kept, f.Rx, f.coef, rows, NULL, NULL);
    for (int i = 0; i < n_a + d_all; i++) {
        for (int j = 0; j < d; j++) {
            for (int k = 0; k < d; k++) {
                sum[j + d * k] += rows[d * i + j] * rows[d * i + k];
            }
        }
    }
    for (int j = 0; j < rank; j++) {
        expected[j + d * j] = 1.0;
    }
    expected[d * d - 1] = m.n - rank;
    ct_near_all("X orthonormal, y off it with mean square one", d * d, sum, expected, 1e-9);
    release(&r);
    dense_free_model(&m);
}

/* The reflections turn Z's column into R's and keep every length. */
static void reflections(void) {
    const int sizes[4] = {5, 1, 2, 7};
    dense_model m = dense_example(4, sizes, 2, 2, 1, 0, 0, 15);
    reduction r = reduce(&m, NULL, NULL);
    int order[15], start[5], held[7];
    double *reflectors = dense_new(sp_reflectors_size(m.n, 4, 2)), Xfree[30], work[7 * 5];
    ct_int("reflections are kept",
           sp_keep_reflectors(&r.rows, order, start, reflectors, Xfree, work, held, NULL, NULL),
           SP_OK);
    const double *at = reflectors;
    double worst = 0.0, length = 0.0, rotated = 0.0;
    for (int u = 0; u < 4; u++) {
        int n_rows = start[u + 1] - start[u];
        double x[7], y[7];
        for (int c = 0; c < 2; c++) {
            for (int i = 0; i < n_rows; i++) {
                x[i] = m.Z[order[start[u] + i] + m.n * c];
            }
            sp_reflect(n_rows, 2, at, x);
            for (int i = 0; i < n_rows; i++) {
                keep_worst(x[i], i < 2 ? r.R[4 * u + i + 2 * c] : 0.0, 1.0, &worst);
            }
        }
        for (int i = 0; i < n_rows; i++) {
            y[i] = m.y[order[start[u] + i]];
            length += y[i] * y[i];
        }
        sp_reflect(n_rows, 2, at, y);
        for (int i = 0; i < n_rows; i++) {
            rotated += y[i] * y[i];
        }
        at += (n_rows + 2) * 2;
    }
    ct_near("Z becomes R", worst, 0.0, 1e-13);
    ct_near("lengths stay", rotated, length, 1e-14);
    m.Z[3] = NAN;
    ct_int("Z that is not finite",
           sp_keep_reflectors(&r.rows, order, start, reflectors, Xfree, work, held, NULL, NULL),
           SP_NOT_FINITE);
    int left = 0;
    ct_int("asked to stop",
           sp_keep_reflectors(&r.rows, order, start, reflectors, Xfree, work, held, stop_at, &left),
           SP_INTERRUPTED);
    free(reflectors);
    release(&r);
    dense_free_model(&m);
}

/* ---- other coordinates ---------------------------------------------------------------------- */

/* The model is the same in both: y_scale y + X coef and X Rx, row by row. */
static void other_coordinates(void) {
    enum { P = 2, D = 3, ROWS = 4 };
    const double root[D * D] = {2.0, 0, 0, -0.5, 4.0, 0, 0.25, -3.0, 1.0}, y_scale = 1.5;
    double rows[D * ROWS], before[D * ROWS], Rx[P * P] = {1.0, 0, 0.75, -2.0},
                                                    coef[P] = {3.0, -1.0};
    double user[ROWS], columns[P * ROWS];
    for (int i = 0; i < D * ROWS; i++) {
        before[i] = rows[i] = sin(1.7 * i) + 0.1 * i;
    }
    for (int r = 0; r < ROWS; r++) {
        const double *x = before + D * r;
        user[r] = y_scale * x[P] + x[0] * coef[0] + x[1] * coef[1];
        columns[r] = x[0] * Rx[0];
        columns[r + ROWS] = x[0] * Rx[2] + x[1] * Rx[3];
    }
    sp_change_rows(ROWS, D, root, rows);
    sp_change_fixed(P, root, y_scale, Rx, coef);
    for (int r = 0; r < ROWS; r++) {
        const double *x = rows + D * r, *old = before + D * r;
        ct_near("the response times the root", x[P], 0.25 * old[0] - 3.0 * old[1] + old[2], 1e-15);
        ct_near("y in the user's units", y_scale * x[P] + x[0] * coef[0] + x[1] * coef[1], user[r],
                1e-14);
        ct_near("first column of X", x[0] * Rx[0], columns[r], 1e-14);
        ct_near("second column of X", x[0] * Rx[2] + x[1] * Rx[3], columns[r + ROWS], 1e-14);
    }
}

int main(void) {
    products();
    by_hand();
    order_of_rows();
    inside_the_span();
    statuses();
    rank();
    orthonormal();
    reflections();
    other_coordinates();
    return ct_end();
}
