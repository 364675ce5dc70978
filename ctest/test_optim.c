/* The optimiser: balanced designs have estimates in closed form; elsewhere nothing near the answer
 * may be better in the dense model. */
#include "ctest.h"
#include "optim.h"
#include "reduced.h"
#include "stopping.h"

static const sp_control usual = {1e-10, 1e-10, 200, 12, 1e12};
static const int column_0[1] = {0}, column_1[1] = {1}, columns_01[2] = {0, 1},
                 columns_012[3] = {0, 1, 2};

/* ---- the description of a model ------------------------------------------------------------- */

static void models(void) {
    const int level[3] = {0, 2, 0}, size[3] = {2, 1, 1}, columns[4] = {2, 0, 1, 1};
    const sp_blocks blocks = {3, level, size, columns};
    int par_level[5], row[5], col[5];
    sp_model model;
    ct_int("parameters of three blocks", sp_model_size(&blocks), 5);
    sp_model_init(&blocks, 3, 3, par_level, row, col, &model);
    ct_true("width of every level", model.dim[0] == 3 && model.dim[1] == 0 && model.dim[2] == 1);
    const int rows[5] = {0, 1, 1, 0, 2}, cols[5] = {0, 0, 1, 0, 2}, levels[5] = {0, 0, 0, 2, 0};
    ct_true("place of every parameter", memcmp(row, rows, sizeof rows) == 0 &&
                                            memcmp(col, cols, sizeof cols) == 0 &&
                                            memcmp(par_level, levels, sizeof levels) == 0);
    ct_int("a block's place within its level", sp_block_offset(&blocks, 2), 2);
    double F[9];
    sp_natural_basis(&blocks, &model, 0, F);
    ct_near_all("the basis selects columns", 9, F, (const double[]){0, 0, 1, 1, 0, 0, 0, 1, 0},
                0.0);
}

/* ---- fits ----------------------------------------------------------------------------------- */

/* An optimum in the user's units. */
typedef struct {
    reduced_case c;
    sp_optimum optimum;
    sp_status status;
    int rank[DENSE_BLOCKS];
    double parameters[16]; /* s last */
} fitted;

static void fit(const dense_model *m, int reml, const sp_control *control, sp_check check,
                void *check_data, fitted *out) {
    reduced_init(m, &out->c);
    reduced_case *c = &out->c;
    double G[64], factors[80];
    out->status =
        sp_optimise(&c->data, &c->model, &c->blocks, reml, control,
                    own_doubles(c, sp_optimise_work_size(&c->data, &c->model, &c->blocks)), 0,
                    factors, G, out->rank, &out->optimum, check, check_data);
    if (out->status != SP_OK) {
        return;
    }
    double s = out->optimum.s * c->units.y_scale * c->units.y_scale;
    double *parameter = out->parameters, *block = G;
    for (int b = 0; b < m->n_blocks; b++) {
        int n = m->size[b];
        for (int j = 0; j < n; j++) {
            for (int i = j; i < n; i++) {
                *parameter++ = s * block[i + n * j];
            }
        }
        block += n * n;
    }
    *parameter = s;
}

/* Sums of squares of balanced one-way data. */
typedef struct {
    double within, between;
} squares;

static squares one_way(const dense_model *m, int level) {
    squares out = {0.0, 0.0};
    int groups = m->n_groups[level];
    double *mean = dense_new((size_t)groups), *count = dense_new((size_t)groups), grand = 0.0;
    for (int i = 0; i < m->n; i++) {
        mean[m->group[level][i] - 1] += m->y[i];
        count[m->group[level][i] - 1] += 1.0;
        grand += m->y[i] / m->n;
    }
    for (int u = 0; u < groups; u++) {
        mean[u] /= count[u];
        out.between += count[u] * (mean[u] - grand) * (mean[u] - grand);
    }
    for (int i = 0; i < m->n; i++) {
        double e = m->y[i] - mean[m->group[level][i] - 1];
        out.within += e * e;
    }
    free(mean);
    free(count);
    return out;
}

/* m units of n rows: s = MSW and g = (MSB - MSW) / n by REML, MSB with m instead of m - 1 by ML. */
static void balanced_one_way(void) {
    const int sizes[9] = {5, 5, 5, 5, 5, 5, 5, 5, 5};
    dense_model m = dense_example(9, sizes, 1, 1, 1, 1, 0, 81);
    dense_add_block(&m, 0, 1, column_0);
    squares ss = one_way(&m, 0);
    fitted f;
    for (int reml = 0; reml < 2; reml++) {
        fit(&m, reml, &usual, NULL, NULL, &f);
        double msw = ss.within / 36, msb = ss.between / (reml ? 8 : 9);
        const double truth[2] = {(msb - msw) / 5, msw};
        ct_int(reml ? "balanced one-way data, REML" : "balanced one-way data, ML", f.optimum.fit,
               SP_FIT_OK);
        ct_near_all("  estimates", 2, f.parameters, truth, 1e-5);
        ct_int("  reason", f.optimum.reason, SP_REASON_NONE);
        ct_int("  rank", f.rank[0], 1);
        ct_true("  nothing left to fall", f.optimum.predicted_fall < 1e-10);
        /* Profiled: nu (log(2 pi Q / nu) + 1) + log|V| + log|X'V^-1 X| at s = MSW. */
        double nu = reml ? 44 : 45, lambda = msb / msw, scale = f.c.units.y_scale;
        double value = nu * (log(8 * atan(1.0) * msw / (scale * scale)) + 1) + 9 * log(lambda) -
                       (reml ? log(lambda) : 0.0);
        ct_near("  criterion", f.optimum.criterion, value, 1e-9);
        reduced_free(&f.c);
    }
    /* The outcome's scale goes where it belongs and nowhere else. */
    for (int i = 0; i < m.n; i++) {
        m.y[i] *= 1e7;
    }
    fit(&m, 1, &usual, NULL, NULL, &f);
    const double large[2] = {(ss.between / 8 - ss.within / 36) / 5 * 1e14, ss.within / 36 * 1e14};
    ct_near_all("outcome times 1e7", 2, f.parameters, large, 1e-5);
    reduced_free(&f.c);

    /* Means that differ less than chance makes them: g = 0 and s = SST / (N - 1). */
    double sst = 0.0;
    for (int i = 0; i < m.n; i++) {
        m.y[i] = (double)((i * 7) % 11) + 0.37 * (i % 3) - (double)((i * i) % 5);
    }
    double *means = dense_new(9);
    for (int i = 0; i < m.n; i++) {
        means[m.group[0][i] - 1] += m.y[i] / 5;
    }
    for (int i = 0; i < m.n; i++) {
        m.y[i] -= 0.97 * means[m.group[0][i] - 1];
    }
    ss = one_way(&m, 0);
    ct_true("the mean square between is below that within", ss.between / 8 < ss.within / 36);
    sst = ss.between + ss.within;
    fit(&m, 1, &usual, NULL, NULL, &f);
    ct_int("a variance of zero is an answer", f.optimum.fit, SP_FIT_BOUNDARY);
    ct_int("  without a reason", f.optimum.reason, SP_REASON_NONE);
    ct_int("  rank", f.rank[0], 0);
    ct_near("  exactly zero", f.parameters[0], 0.0, 0.0);
    ct_near("  and the rest is residual", f.parameters[1], sst / 44, 1e-10);
    reduced_free(&f.c);
    free(means);
    dense_free_model(&m);
}

/* Groups of three units of four rows: the nested analysis of variance. s = MSE,
 * units (MSU - MSE) / 4, groups (MSG - MSU) / 12. */
static void balanced_nested(void) {
    int sizes[24];
    for (int u = 0; u < 24; u++) {
        sizes[u] = 4;
    }
    dense_model m = dense_example(24, sizes, 1, 1, 2, 1, 0, 82);
    dense_add_block(&m, 0, 1, column_0);
    dense_add_block(&m, 1, 1, column_0);
    uint64_t seed = 5;
    double effect[9];
    for (int g = 1; g < 9; g++) {
        effect[g] = 4 * dense_random(&seed);
    }
    for (int i = 0; i < m.n; i++) {
        m.y[i] += effect[m.group[1][i]];
    }
    squares units = one_way(&m, 0), groups = one_way(&m, 1);
    double mse = units.within / 72, msu = (units.between - groups.between) / 16;
    double msg = groups.between / 7;
    ct_true("nested data with both components", msu > mse && msg > msu);
    fitted f;
    fit(&m, 1, &usual, NULL, NULL, &f);
    ct_int("two levels of units", f.optimum.fit, SP_FIT_OK);
    ct_near_all("  estimates", 3, f.parameters,
                (const double[]){(msu - mse) / 4, (msg - msu) / 12, mse}, 1e-5);
    reduced_free(&f.c);

    /* Groups a hundred thousand times as far apart: what is within them is estimated all the same.
     */
    for (int i = 0; i < m.n; i++) {
        m.y[i] += 1e5 * effect[m.group[1][i]];
    }
    groups = one_way(&m, 1);
    fit(&m, 1, &usual, NULL, NULL, &f);
    ct_int("groups far apart", f.optimum.fit, SP_FIT_OK);
    ct_near_all("  what is within them", 2, (const double[]){f.parameters[0], f.parameters[2]},
                (const double[]){(msu - mse) / 4, mse}, 1e-5);
    ct_near("  and between them", f.parameters[1] / ((groups.between / 7 - msu) / 12), 1.0, 1e-5);
    reduced_free(&f.c);
    for (int i = 0; i < m.n; i++) {
        m.y[i] -= 1e5 * effect[m.group[1][i]];
    }

    /* No differences between groups left: their variance is zero, the units' is
     * (SSU + SSG) / 23. */
    double mean[9] = {0.0};
    for (int i = 0; i < m.n; i++) {
        mean[m.group[1][i]] += m.y[i] / 12;
    }
    for (int i = 0; i < m.n; i++) {
        m.y[i] -= mean[m.group[1][i]];
    }
    units = one_way(&m, 0);
    fit(&m, 1, &usual, NULL, NULL, &f);
    ct_int("no variance between groups", f.optimum.fit, SP_FIT_BOUNDARY);
    ct_true("  ranks", f.rank[0] == 1 && f.rank[1] == 0);
    ct_near_all(
        "  estimates", 3, f.parameters,
        (const double[]){(units.between / 23 - units.within / 72) / 4, 0.0, units.within / 72},
        1e-5);
    reduced_free(&f.c);
    dense_free_model(&m);
}

/* The same times for all and X = Z: G = S - s (Z'Z)^-1, S the covariance of the units' own
 * least-squares coefficients and s their pooled residual mean square. */
static void balanced_growth(int q, uint64_t seed) {
    enum { UNITS = 15, ROWS = 7 };
    int sizes[UNITS];
    for (int u = 0; u < UNITS; u++) {
        sizes[u] = ROWS;
    }
    dense_model m = dense_example(UNITS, sizes, q, q, 1, 1, 0, seed);
    memcpy(m.X, m.Z, sizeof(double) * (size_t)(m.n * q));
    dense_add_block(&m, 0, q, columns_012);
    double effect[UNITS * 3];
    for (int i = 0; i < UNITS * 3; i++) {
        effect[i] = 5 * dense_random(&seed);
    }
    for (int i = 0; i < m.n; i++) {
        for (int c = 0; c < q; c++) {
            m.y[i] += effect[3 * (m.group[0][i] - 1) + c] * m.Z[i + m.n * c];
        }
    }
    double ZZ[9], ZZi[9], b[UNITS * 3], mean[3] = {0.0}, rss = 0.0, S[9] = {0.0};
    for (int u = 0; u < UNITS; u++) {
        double Z[ROWS * 3], y[ROWS], Zy[3];
        for (int i = 0, at = 0; i < m.n; i++) {
            if (m.group[0][i] == u + 1) {
                y[at] = m.y[i];
                for (int c = 0; c < q; c++) {
                    Z[at + ROWS * c] = m.Z[i + m.n * c];
                }
                at++;
            }
        }
        dense_cross(q, ROWS, q, Z, Z, ZZ);
        dense_inverse(q, ZZ, ZZi);
        dense_cross(q, ROWS, 1, Z, y, Zy);
        dense_product(q, q, 1, ZZi, Zy, b + 3 * u);
        for (int i = 0; i < ROWS; i++) {
            double e = y[i];
            for (int c = 0; c < q; c++) {
                e -= Z[i + ROWS * c] * b[3 * u + c];
            }
            rss += e * e;
        }
        for (int c = 0; c < q; c++) {
            mean[c] += b[3 * u + c] / UNITS;
        }
    }
    double s = rss / (UNITS * (ROWS - q)), truth[7], *next = truth;
    for (int j = 0; j < q; j++) {
        for (int i = j; i < q; i++) {
            for (int u = 0; u < UNITS; u++) {
                S[i + q * j] += (b[3 * u + i] - mean[i]) * (b[3 * u + j] - mean[j]) / (UNITS - 1);
            }
            *next++ = S[i + q * j] - s * ZZi[i + q * j];
        }
    }
    *next = s;
    fitted f;
    fit(&m, 1, &usual, NULL, NULL, &f);
    ct_int(q == 1   ? "balanced growth, width 1"
           : q == 2 ? "balanced growth, width 2"
                    : "balanced growth, width 3",
           f.optimum.fit, SP_FIT_OK);
    ct_near_all("  covariances and residual variance", q * (q + 1) / 2 + 1, f.parameters, truth,
                1e-5);
    reduced_free(&f.c);
    dense_free_model(&m);
}

/* ---- against the dense model ---------------------------------------------------------------- */

/* The lowest criterion among random moves from the answer, of all sizes, on matrices that stay
 * positive semidefinite: G = L L' with L moved. */
static double lowest_nearby(const dense_model *m, const fitted *f, int reml) {
    double lowest = INFINITY;
    uint64_t seed = 99;
    int k = dense_n_par(m);
    for (int trial = 0; trial < 60; trial++) {
        double moved[16], *next = moved, size = pow(10.0, -0.1 * trial);
        const double *now = f->parameters;
        for (int b = 0; b < m->n_blocks; b++) {
            int n = m->size[b];
            double A[9], G[9] = {0.0}, widest = 1e-8 * f->parameters[k - 1];
            for (int i = 0; i < n * n; i++) {
                A[i] = dense_random(&seed);
            }
            for (int i = 0, at = 0; i < n; at += n - i, i++) {
                widest = fmax(widest, now[at]);
            }
            /* (1 - size) G + size A A' is positive semidefinite wherever G is. */
            for (int j = 0; j < n; j++) {
                for (int i = j; i < n; i++) {
                    for (int c = 0; c < n; c++) {
                        G[i + n * j] += A[i + n * c] * A[j + n * c];
                    }
                    *next++ = (1 - size) * *now++ + size * widest * G[i + n * j];
                }
            }
        }
        *next = f->parameters[k - 1] * (1 + size * dense_random(&seed) / 2);
        lowest = fmin(lowest, dense_criterion(m, moved, reml));
    }
    return lowest;
}

static void no_better_nearby(const char *name, const dense_model *m, sp_fit expected) {
    for (int reml = 0; reml < 2; reml++) {
        fitted f;
        fit(m, reml, &usual, NULL, NULL, &f);
        printf("# %s, %s\n", name, reml ? "REML" : "ML");
        ct_int("fit", f.optimum.fit, expected);
        double here = dense_criterion(m, f.parameters, reml);
        ct_true("  no better point nearby", here <= lowest_nearby(m, &f, reml) + 1e-8);
        /* The criterion in the user's units differs by known constants. */
        double shift =
            2 * (m->n - (reml ? m->p : 0)) * log(f.c.units.y_scale) - f.c.units.sum_log_weights;
        for (int i = 0; reml && i < f.c.data.p; i++) {
            shift += 2 * log(fabs(f.c.units.Rx[i + f.c.data.p * i]));
        }
        ct_near("  criterion", f.optimum.criterion + shift, here, 1e-10);
        reduced_free(&f.c);
    }
}

static void unbalanced(void) {
    const int sizes[14] = {4, 6, 1, 3, 5, 1, 2, 4, 3, 2, 5, 7, 4, 3};
    dense_model m = dense_example(14, sizes, 3, 2, 1, 2, 1, 91);
    dense_add_block(&m, 0, 2, columns_01);
    no_better_nearby("random slope", &m, SP_FIT_OK);
    dense_free_model(&m);

    m = dense_example(14, sizes, 2, 2, 2, 2, 0, 92);
    dense_add_block(&m, 0, 1, column_0);
    dense_add_block(&m, 0, 1, column_1);
    dense_add_block(&m, 1, 1, column_0);
    uint64_t seed = 17;
    double effect[6];
    for (int g = 1; g < 6; g++) {
        effect[g] = 6 * dense_random(&seed);
    }
    for (int i = 0; i < m.n; i++) {
        m.y[i] += effect[m.group[1][i]];
    }
    no_better_nearby("uncorrelated blocks and a second level", &m, SP_FIT_OK);
    dense_free_model(&m);

    /* Slopes that are a fixed multiple of the levels, and hardly any residuals: a correlation of
     * one. */
    m = dense_example(14, sizes, 2, 2, 1, 2, 0, 93);
    dense_add_block(&m, 0, 2, columns_01);
    for (int i = 0; i < m.n; i++) {
        double b = 3 * sin(5.1 * m.group[0][i]);
        m.y[i] = 2 + b * (1 + 0.7 * m.Z[i + m.n]) + 0.4 * sin(97.3 * i);
    }
    no_better_nearby("a correlation of one", &m, SP_FIT_BOUNDARY);
    fitted f;
    fit(&m, 1, &usual, NULL, NULL, &f);
    ct_int("  its rank", f.rank[0], 1);
    const double *G = f.parameters;
    ct_near("  its determinant", (G[0] * G[2] - G[1] * G[1]) / (G[0] * G[2]), 0.0, 1e-12);
    reduced_free(&f.c);
    dense_free_model(&m);
}

/* A wrong derivative or a lost basis still ends at the optimum, only late: evaluations are counted
 * on designs of several shapes, scales and blocks. Two to ten are usual. */
static void straight_there(void) {
    enum { DESIGNS = 40, UNITS = 16 };
    int worst = 0, failed = 0, sum = 0;
    for (int design = 0; design < DESIGNS; design++) {
        int sizes[UNITS];
        uint64_t seed = 700 + (uint64_t)design;
        for (int u = 0; u < UNITS; u++) {
            sizes[u] = 4 + (int)(3 * (dense_random(&seed) + 1));
        }
        dense_model m = dense_example(UNITS, sizes, 3, 3, 1 + design % 2, design % 3, 0, seed);
        const int first = design % 4;
        if (first > 0) {
            dense_add_block(&m, 0, first, columns_012);
        }
        if (first < 3 && design % 5) {
            dense_add_block(&m, 0, 3 - first, columns_012 + first);
        }
        if (m.n_blocks == 0 || design % 2) {
            dense_add_block(&m, design % 2, 1, column_0);
        }
        const double scale = pow(10.0, design % 9 - 4);
        double effect[3 * UNITS + 7];
        for (int i = 0; i < 3 * UNITS + 7; i++) {
            effect[i] = 3 * dense_random(&seed);
        }
        for (int i = 0; i < m.n; i++) {
            int u = m.group[0][i] - 1;
            m.y[i] += effect[3 * UNITS + (m.n_levels > 1 ? m.group[1][i] : 0)];
            for (int c = 0; c < 3; c++) {
                m.y[i] += effect[3 * u + c] * m.Z[i + m.n * c];
            }
            m.y[i] *= scale;
        }
        sp_control control = usual;
        control.few_units = 0;
        fitted f;
        fit(&m, 1, &control, NULL, NULL, &f);
        failed += f.optimum.fit == SP_FIT_FAILED;
        worst = f.optimum.evaluations > worst ? f.optimum.evaluations : worst;
        sum += f.optimum.evaluations;
        reduced_free(&f.c);
        dense_free_model(&m);
    }
    printf("# evaluations: %d at most, %.1f on average\n", worst, (double)sum / DESIGNS);
    ct_int("no design fails", failed, 0);
    ct_true("none takes long", worst <= 16);
    ct_true("few on average", sum <= 10 * DESIGNS);
}

/* ---- statuses ------------------------------------------------------------------------------- */

static void statuses(void) {
    const int sizes[14] = {4, 6, 2, 3, 5, 2, 2, 4, 3, 2, 5, 7, 4, 3};
    dense_model m = dense_example(14, sizes, 3, 2, 1, 2, 1, 94);
    dense_add_block(&m, 0, 2, columns_01);
    fitted f;
    sp_control control = usual;
    control.few_units = 0;
    fit(&m, 1, &control, NULL, NULL, &f);
    int needed = f.optimum.iterations, evaluations = f.optimum.evaluations;
    ct_true("iterations and evaluations are counted", needed > 0 && evaluations > needed);
    reduced_free(&f.c);

    control = usual;
    control.max_iterations = 0;
    fit(&m, 1, &control, NULL, NULL, &f);
    ct_int("no iterations allowed", f.optimum.fit, SP_FIT_FAILED);
    ct_int("  reason", f.optimum.reason, SP_REASON_ITERATIONS);
    ct_true("  a point all the same", f.parameters[3] > 0.0 && isfinite(f.optimum.criterion));
    reduced_free(&f.c);

    control = usual;
    control.few_units = 14;
    fit(&m, 1, &control, NULL, NULL, &f);
    ct_true("few units: several starts", f.optimum.evaluations > 2 * evaluations);
    ct_int("  the same kind of answer", f.optimum.fit, SP_FIT_OK);
    reduced_free(&f.c);

    int stopped = 1;
    for (int asked = 0; asked < needed; asked++) {
        int left = asked;
        fit(&m, 1, &usual, stop_at, &left, &f);
        stopped = stopped && f.status == SP_INTERRUPTED;
        reduced_free(&f.c);
    }
    ct_true("asked to stop, it says so, whenever", stopped);

    /* A response inside the span of X: nothing to estimate from. */
    for (int i = 0; i < m.n; i++) {
        m.y[i] = 0.0;
    }
    fit(&m, 1, &usual, NULL, NULL, &f);
    ct_int("a response of zeros", f.optimum.fit, SP_FIT_FAILED);
    ct_int("  reason", f.optimum.reason, SP_REASON_START);
    reduced_free(&f.c);
    dense_free_model(&m);

    /* As many columns of X as rows. */
    const int two[2] = {2, 2};
    m = dense_example(2, two, 4, 1, 1, 0, 0, 95);
    dense_add_block(&m, 0, 1, column_0);
    fit(&m, 1, &usual, NULL, NULL, &f);
    ct_int("n = p by REML", f.optimum.fit, SP_FIT_FAILED);
    reduced_free(&f.c);
    dense_free_model(&m);
}

int main(void) {
    models();
    balanced_one_way();
    balanced_nested();
    balanced_growth(1, 83);
    balanced_growth(2, 84);
    balanced_growth(3, 85);
    unbalanced();
    straight_there();
    statuses();
    return ct_end();
}
