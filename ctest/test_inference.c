/* Results in the user's units against closed forms of balanced data, the dense model and
 * differences of its criterion. */
#include "ctest.h"
#include "inference.h"
#include "reduced.h"

enum { MAX_PAR = 16, MAX_P = 6 };

static const int column_0[1] = {0}, column_1[1] = {1}, columns_01[2] = {0, 1};

static double apart(int n, const double *actual, const double *expected) {
    double worst = 0.0, size = 0.0;
    for (int i = 0; i < n; i++) {
        double distance = fabs(actual[i] - expected[i]);
        worst = !(distance <= worst) ? distance : worst;
        size = fmax(size, fabs(expected[i]));
    }
    return worst / (size > 0.0 ? size : 1.0);
}

static sp_status results_at(reduced_case *c, int reml, const double *parameters, sp_results *out) {
    double G[64], s = reduced_matrices(c, parameters, G);
    *out = reduced_results(c);
    return sp_results_at(&c->data, &c->model, &c->blocks, &c->units, reml, G, s,
                         own_doubles(c, sp_results_work_size(&c->data, &c->model)), out);
}

/* ---- against the dense model ---------------------------------------------------------------- */

/* The information by fourth-order differences of the gradient's own differences would lose its
 * digits: differences of the dense gradient instead, which is another formula. */
static void differences(const dense_model *m, int reml, const double *parameters, double *gradient,
                        double *observed) {
    const double at[4] = {-2, -1, 1, 2}, weight[4] = {1, -8, 8, -1};
    int k = dense_n_par(m);
    memset(gradient, 0, sizeof(double) * (size_t)k);
    memset(observed, 0, sizeof(double) * (size_t)(k * k));
    for (int r = 0; r < k; r++) {
        for (int i = 0; i < 4; i++) {
            double moved[MAX_PAR], h = 3e-4 * fmax(fabs(parameters[r]), 0.5);
            dense_at there;
            memcpy(moved, parameters, sizeof(double) * (size_t)k);
            moved[r] += at[i] * h;
            dense_value(m, moved, reml, &there);
            dense_derivatives(m, reml, &there);
            gradient[r] += weight[i] * there.criterion / (12 * h);
            for (int s = 0; s < k; s++) {
                observed[s + k * r] += weight[i] * there.gradient[s] / (24 * h);
            }
            dense_free_at(&there);
        }
    }
}

static void compare(const char *name, const dense_model *m, const double *parameters) {
    int k = dense_n_par(m), p = m->p;
    reduced_case c;
    reduced_init(m, &c);
    for (int reml = 0; reml < 2; reml++) {
        sp_results out;
        dense_at at;
        double gradient[MAX_PAR], observed[MAX_PAR * MAX_PAR];
        printf("# %s, %s\n", name, reml ? "REML" : "ML");
        ct_int("results", results_at(&c, reml, parameters, &out), SP_OK);
        dense_value(m, parameters, reml, &at);
        dense_derivatives(m, reml, &at);
        ct_near("  criterion", out.criterion, at.criterion, 1e-12);
        ct_near("  beta", apart(p, out.beta, at.beta), 0.0, 1e-11);
        ct_near("  its covariance", apart(p * p, out.vcov, at.vcov), 0.0, 1e-11);
        ct_near("  whose derivatives", apart(p * p * k, out.dvcov, at.dvcov), 0.0, 1e-11);
        ct_near("  gradient", apart(k, out.gradient, at.gradient), 0.0, 1e-10);
        ct_near("  expected information", apart(k * k, out.expected, at.expected), 0.0, 1e-11);
        ct_near("  average information", apart(k * k, out.average, at.average), 0.0, 1e-11);
        ct_near("  observed information", apart(k * k, out.observed, at.observed), 0.0, 1e-10);
        differences(m, reml, parameters, gradient, observed);
        ct_near("  gradient by differences", apart(k, out.gradient, gradient), 0.0, 1e-8);
        ct_near("  observed information by differences", apart(k * k, out.observed, observed), 0.0,
                1e-8);
        dense_free_at(&at);
    }
    reduced_free(&c);
}

static void dense_designs(void) {
    const int sizes[10] = {4, 6, 1, 3, 5, 1, 2, 4, 3, 5};
    dense_model m = dense_example(10, sizes, 4, 2, 1, 2, 1, 101);
    dense_add_block(&m, 0, 2, columns_01);
    compare("random slope, weights", &m, (const double[]){2.31, -0.47, 1.13, 0.83});
    compare("a correlation of one", &m, (const double[]){4.0, 1.5, 0.5625, 0.83});
    dense_free_model(&m);

    m = dense_example(10, sizes, 3, 2, 3, 2, 0, 102);
    dense_add_block(&m, 0, 1, column_1);
    dense_add_block(&m, 0, 1, column_0);
    dense_add_block(&m, 1, 2, columns_01);
    dense_add_block(&m, 2, 1, column_0);
    compare("three levels, several blocks", &m,
            (const double[]){0.61, 1.47, 2.9, 0.33, 0.77, 1.9, 1.21});
    /* Outcomes in other units: everything moves by powers of the factor, digits do not. */
    for (int i = 0; i < m.n; i++) {
        m.y[i] *= 1e5;
    }
    double large[7] = {0.61, 1.47, 2.9, 0.33, 0.77, 1.9, 1.21};
    for (int r = 0; r < 7; r++) {
        large[r] *= 1e10;
    }
    compare("outcomes times 1e5", &m, large);
    dense_free_model(&m);
}

/* The aliased column is left out, the others are as without it. */
static void rank_deficient(void) {
    const int sizes[6] = {4, 5, 2, 3, 6, 4};
    dense_model m = dense_example(6, sizes, 3, 1, 1, 1, 0, 103);
    dense_add_block(&m, 0, 1, column_0);
    const double parameters[2] = {1.7, 0.9};
    for (int i = 0; i < m.n; i++) {
        m.X[i + 2 * m.n] = 2 * m.X[i] - 0.3 * m.X[i + m.n];
    }
    reduced_case c;
    sp_results out;
    reduced_init(&m, &c);
    results_at(&c, 1, parameters, &out);
    m.p = 2;
    dense_at at;
    dense_value(&m, parameters, 1, &at);
    ct_int("rank-deficient X", c.data.p, 2);
    ct_near_all("  beta of the columns kept", 2, out.beta, at.beta, 1e-12);
    ct_near("  criterion of the columns kept", out.criterion, at.criterion, 1e-12);
    dense_free_at(&at);
    reduced_free(&c);
    dense_free_model(&m);
}

static void statuses(void) {
    const int sizes[4] = {3, 4, 2, 3};
    dense_model m = dense_example(4, sizes, 2, 1, 1, 1, 0, 104);
    dense_add_block(&m, 0, 1, column_0);
    reduced_case c;
    sp_results out;
    reduced_init(&m, &c);
    ct_int("s = 0", results_at(&c, 1, (const double[]){1.0, 0.0}, &out), SP_SINGULAR);
    ct_int("V not positive definite", results_at(&c, 1, (const double[]){-3.0, 0.7}, &out),
           SP_SINGULAR);
    ct_int("NaN", results_at(&c, 1, (const double[]){NAN, 0.7}, &out), SP_SINGULAR);
    double mean[4], *means[] = {mean}, G[1] = {1.0};
    double *memory = own_doubles(&c, sp_results_work_size(&c.data, &c.model));
    ct_int("predictions where V is not positive definite",
           sp_ranef_at(&c.data, &c.model, &c.blocks, &c.units, G, -0.1, memory, means, NULL),
           SP_SINGULAR);
    double W[4] = {0.0}, adjustment[4];
    ct_int("adjustment where V is not positive definite",
           sp_adjustment_at(&c.data, &c.model, &c.blocks, &c.units, G, -0.1, W,
                            own_doubles(&c, sp_adjustment_work_size(&c.data, &c.model)),
                            adjustment),
           SP_SINGULAR);
    reduced_free(&c);
    dense_free_model(&m);
}

/* ---- closed forms --------------------------------------------------------------------------- */

/* m units of n rows at the REML estimates, l = s + n g = MSB: var(mean) = l / mn; var(s) =
 * 2 s^2 / m(n-1), var(g) = 2 / n^2 (l^2 / (m-1) + s^2 / m(n-1)), cov = -2 s^2 / (n m (n-1)). */
static void one_way(void) {
    enum { M = 8, N = 5 };
    int sizes[M];
    for (int u = 0; u < M; u++) {
        sizes[u] = N;
    }
    dense_model m = dense_example(M, sizes, 1, 1, 1, 1, 0, 105);
    dense_add_block(&m, 0, 1, column_0);
    double mean[M] = {0.0}, grand = 0.0, ssw = 0.0, ssb = 0.0;
    for (int i = 0; i < m.n; i++) {
        mean[m.group[0][i] - 1] += m.y[i] / N;
        grand += m.y[i] / (M * N);
    }
    for (int i = 0; i < m.n; i++) {
        ssw += pow(m.y[i] - mean[m.group[0][i] - 1], 2);
    }
    for (int u = 0; u < M; u++) {
        ssb += N * pow(mean[u] - grand, 2);
    }
    const double s = ssw / (M * (N - 1)), l = ssb / (M - 1), g = (l - s) / N;
    ct_true("balanced one-way data with a variance between", g > 0.0);
    reduced_case c;
    sp_results out;
    reduced_init(&m, &c);
    results_at(&c, 1, (const double[]){g, s}, &out);
    ct_near("  mean", out.beta[0], grand, 1e-13);
    ct_near("  its variance", out.vcov[0], l / (M * N), 1e-13);
    ct_near_all("  and that one's derivatives", 2, out.dvcov,
                (const double[]){1.0 / M, 1.0 / (M * N)}, 1e-13);
    ct_near_all("  a gradient of zero", 2, out.gradient, (const double[]){0.0, 0.0}, 1e-10);
    const double log_two_pi = log(8 * atan(1.0));
    ct_near("  criterion", out.criterion,
            (M * N - 1) * (log_two_pi + 1) + M * (N - 1) * log(s) + (M - 1) * log(l) +
                log((double)(M * N)),
            1e-13);
    double covariance[4], *memory = own_doubles(&c, sp_face_work_size(2, 1));
    int redundant[2], rank[1] = {1};
    const double vs = 2 * s * s / (M * (N - 1)), vg = 2.0 / (N * N) * (l * l / (M - 1) + vs / 2);
    ct_int("  covariance of the estimates",
           sp_face_covariance(&c.blocks, 2, &g, rank, out.gradient, out.observed, memory,
                              covariance, redundant),
           0);
    ct_near_all("  is that of the mean squares", 4, covariance,
                (const double[]){vg, -vs / N, -vs / N, vs}, 1e-10);
    ct_true("  nothing redundant", !redundant[0] && !redundant[1]);

    /* On the boundary g = 0 only s is left, with variance 2 s^2 / (mn - 1). */
    const double zero = 0.0, total = (ssw + ssb) / (M * N - 1);
    rank[0] = 0;
    results_at(&c, 1, (const double[]){0.0, total}, &out);
    ct_int("  at a variance of zero",
           sp_face_covariance(&c.blocks, 2, &zero, rank, out.gradient, out.observed, memory,
                              covariance, redundant),
           0);
    ct_near_all("  only the residual variance varies", 4, covariance,
                (const double[]){0, 0, 0, 2 * total * total / (M * N - 1)}, 1e-10);
    ct_true("  and the other is redundant", redundant[0] && !redundant[1]);

    /* Kenward and Roger add nothing where the variance of the mean is linear in the parameters. */
    double adjustment[1], W[4] = {vg, -vs / N, -vs / N, vs};
    ct_int("  adjustment",
           sp_adjustment_at(&c.data, &c.model, &c.blocks, &c.units, &g, s, W,
                            own_doubles(&c, sp_adjustment_work_size(&c.data, &c.model)),
                            adjustment),
           SP_OK);
    ct_near("  of a balanced mean is zero", adjustment[0], 0.0, 1e-14);

    double b[M], v[M], shrunk[M], left[M], *bs[] = {b}, *vs_of_b[] = {v};
    sp_ranef_at(&c.data, &c.model, &c.blocks, &c.units, &g, s,
                own_doubles(&c, sp_results_work_size(&c.data, &c.model)), bs, vs_of_b);
    for (int u = 0; u < M; u++) {
        shrunk[u] = N * g / l * (mean[u] - grand);
        left[u] = g * s / l;
    }
    ct_near_all("  predictions", M, b, shrunk, 1e-12);
    ct_near_all("  their variances", M, v, left, 1e-12);
    reduced_free(&c);
    dense_free_model(&m);
}

/* ---- the face of a singular matrix ---------------------------------------------------------- */

/* Twice differentiable coordinates of the face: a block of rank r is L L' with L n x r, lower
 * triangular. Parameters there, s last. */
static void from_coordinates(const dense_model *m, const int *rank, const double *x,
                             double *parameters) {
    for (int b = 0; b < m->n_blocks; b++) {
        int n = m->size[b];
        double L[9] = {0.0};
        for (int j = 0; j < rank[b]; j++) {
            for (int i = j; i < n; i++) {
                L[i + n * j] = *x++;
            }
        }
        for (int j = 0; j < n; j++) {
            for (int i = j; i < n; i++) {
                double sum = 0.0;
                for (int c = 0; c < rank[b]; c++) {
                    sum += L[i + n * c] * L[j + n * c];
                }
                *parameters++ = sum;
            }
        }
    }
    *parameters = *x;
}

/* J (Hessian / 2)^-1 J' from the dense criterion by differences in those coordinates. */
static void face_by_differences(const dense_model *m, const int *rank, int n_face, const double *x,
                                double *covariance) {
    int k = dense_n_par(m);
    double H[MAX_PAR * MAX_PAR], Hi[MAX_PAR * MAX_PAR], J[MAX_PAR * MAX_PAR];
    double parameters[MAX_PAR], moved[MAX_PAR], JHi[MAX_PAR * MAX_PAR];
    const double h = 2e-3;
    for (int i = 0; i < n_face; i++) {
        for (int j = 0; j < n_face; j++) {
            double sum = 0.0;
            const double at[4] = {-2, -1, 1, 2}, weight[4] = {1, -8, 8, -1};
            for (int a = 0; a < 4; a++) {
                for (int b = 0; b < 4; b++) {
                    memcpy(moved, x, sizeof(double) * (size_t)n_face);
                    moved[i] += at[a] * h;
                    moved[j] += at[b] * h;
                    from_coordinates(m, rank, moved, parameters);
                    sum += weight[a] * weight[b] * dense_criterion(m, parameters, 1);
                }
            }
            H[i + n_face * j] = sum / (144 * h * h) / 2;
        }
        for (int r = 0; r < k; r++) {
            J[r + k * i] = 0.0;
        }
        /* The parameters are quadratic in the coordinates: central differences are exact. */
        memcpy(moved, x, sizeof(double) * (size_t)n_face);
        moved[i] += 0.5;
        from_coordinates(m, rank, moved, parameters);
        for (int r = 0; r < k; r++) {
            J[r + k * i] += parameters[r];
        }
        moved[i] -= 1.0;
        from_coordinates(m, rank, moved, parameters);
        for (int r = 0; r < k; r++) {
            J[r + k * i] -= parameters[r];
        }
    }
    dense_inverse(n_face, H, Hi);
    dense_product(k, n_face, n_face, J, Hi, JHi);
    for (int r = 0; r < k; r++) {
        for (int s = 0; s < k; s++) {
            covariance[r + k * s] = 0.0;
            for (int c = 0; c < n_face; c++) {
                covariance[r + k * s] += JHi[r + k * c] * J[s + k * c];
            }
        }
    }
}

/* A slope that is a multiple of the level: rank 1 of a 2 x 2 matrix, beside a level above. The
 * optimum comes from the core; what is tested is the covariance around it. */
static void face(void) {
    const int sizes[12] = {4, 5, 3, 6, 4, 5, 3, 4, 6, 5, 4, 3};
    dense_model m = dense_example(12, sizes, 2, 2, 2, 2, 0, 106);
    dense_add_block(&m, 0, 2, columns_01);
    dense_add_block(&m, 1, 1, column_0);
    for (int i = 0; i < m.n; i++) {
        double b = 1.2 * sin(5.1 * m.group[0][i]), t = 1.5 * cos(7.7 * m.group[1][i]);
        m.y[i] = 2 + t + b * (1 + 0.6 * m.Z[i + m.n]) + 0.9 * sin(31.7 * i);
    }
    reduced_case c;
    reduced_init(&m, &c);
    const sp_control control = {1e-12, 1e-10, 200, 0, 1e12};
    double G[5], factors[8];
    int rank[2], redundant[5];
    sp_optimum optimum;
    sp_optimise(&c.data, &c.model, &c.blocks, 1, &control,
                own_doubles(&c, sp_optimise_work_size(&c.data, &c.model, &c.blocks)), 0, factors, G,
                rank, &optimum, NULL, NULL);
    ct_int("a correlation of one beside a second level", optimum.fit, SP_FIT_BOUNDARY);
    ct_true("  ranks", rank[0] == 1 && rank[1] == 1);
    double s = optimum.s * c.units.y_scale * c.units.y_scale;
    for (int i = 0; i < 5; i++) {
        G[i] *= s;
    }
    double parameters[5] = {G[0], G[1], G[3], G[4], s}, covariance[25], truth[25];
    sp_results out;
    results_at(&c, 1, parameters, &out);
    ct_int("  covariance on the face",
           sp_face_covariance(&c.blocks, 5, G, rank, out.gradient, out.observed,
                              own_doubles(&c, sp_face_work_size(5, 5)), covariance, redundant),
           0);
    const double a = sqrt(G[0]), x[4] = {a, G[1] / a, sqrt(G[4]), s};
    face_by_differences(&m, rank, 4, x, truth);
    ct_near("  is what differences in its own coordinates give", apart(25, covariance, truth), 0.0,
            1e-5);
    const int expected[5] = {0, 0, 1, 0, 0};
    ct_true("  the last element of the singular matrix is redundant",
            memcmp(redundant, expected, sizeof expected) == 0);
    reduced_free(&c);

    /* A variance of zero in a 2 x 2 matrix and no gradient: the face has the other variance, the
     * covariance and s for coordinates, so it is the inverse of their information, and the zero
     * does not vary. */
    const double information[16] = {5.0, 1.5, 0.7, 0.4, 1.5, 3.0,  0.9, -0.6,
                                    0.7, 0.9, 2.0, 0.3, 0.4, -0.6, 0.3, 7.0};
    const double zero_variance[4] = {2.25, 0.0, 0.0, 0.0}, flat[4] = {0.0, 0.0, 0.0, 0.0};
    const int unit_level[1] = {0}, two[1] = {2}, active[3] = {0, 1, 3};
    const sp_blocks pair = {1, unit_level, two, columns_01};
    double three[9], inverse[9], plain[16] = {0.0}, around[16], room[128];
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++) {
            three[i + 3 * j] = information[active[i] + 4 * active[j]];
        }
    }
    dense_inverse(3, three, inverse);
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++) {
            plain[active[i] + 4 * active[j]] = inverse[i + 3 * j];
        }
    }
    const int of_rank_one[1] = {1};
    ct_int("a variance of zero beside another",
           sp_face_covariance(&pair, 4, zero_variance, of_rank_one, flat, information, room, around,
                              redundant),
           0);
    ct_near_all("  the others vary as without it", 16, around, plain, 1e-13);
    ct_true("  and it does not", !redundant[0] && !redundant[1] && redundant[2] && !redundant[3]);
    ct_true("  the work fits", sp_face_work_size(4, 4) <= 128);

    /* No information on a parameter: it is undetermined, the others have their covariance. */
    const double observed[4] = {4.0, 0.0, 0.0, 0.0}, one = 2.0, gradient[2] = {0.0, 0.0};
    const int level[1] = {0}, size[1] = {1};
    const sp_blocks block = {1, level, size, column_0};
    double cov[4], memory[64];
    int full[1] = {1};
    ct_int("information of deficient rank",
           sp_face_covariance(&block, 2, &one, full, gradient, observed, memory, cov, redundant),
           1);
    ct_near("  what it says of the first parameter", cov[0], 0.25, 1e-14);
    ct_true("  and that it says nothing of the second", !redundant[0] && redundant[1]);
    ct_true("  the work fits", sp_face_work_size(2, 1) <= 64);
    dense_free_model(&m);
}

/* ---- Kenward and Roger ---------------------------------------------------------------------- */

/* 2 Phi [sum W_rs (Q_rs - P_r Phi P_s)] Phi with Q_rs = X'V^-1 D_r V^-1 D_s V^-1 X and P_r =
 * -X'V^-1 D_r V^-1 X, plainly. */
static void dense_adjustment(const dense_model *m, const double *parameters, const double *W,
                             double *adjustment) {
    int n = m->n, p = m->p, k = dense_n_par(m);
    size_t np = (size_t)n * p, nn = (size_t)n * n;
    dense_at at;
    dense_value(m, parameters, 1, &at);
    double *ViX = dense_new(np), *DViX = dense_new(np * k), *ViDViX = dense_new(np * k);
    double sum[MAX_P * MAX_P] = {0.0}, P[MAX_PAR][MAX_P * MAX_P], Q[MAX_P * MAX_P];
    double half[MAX_P * MAX_P], whole[MAX_P * MAX_P];
    dense_product(n, n, p, at.Vi, m->X, ViX);
    for (int r = 0; r < k; r++) {
        dense_product(n, n, p, at.D + nn * r, ViX, DViX + np * r);
        dense_product(n, n, p, at.Vi, DViX + np * r, ViDViX + np * r);
        dense_cross(p, n, p, ViX, DViX + np * r, P[r]);
    }
    for (int r = 0; r < k; r++) {
        for (int s = 0; s < k; s++) {
            dense_cross(p, n, p, DViX + np * r, ViDViX + np * s, Q);
            dense_product(p, p, p, P[r], at.vcov, half);
            dense_product(p, p, p, half, P[s], whole);
            for (int i = 0; i < p * p; i++) {
                sum[i] += W[r + k * s] * (Q[i] - whole[i]);
            }
        }
    }
    dense_product(p, p, p, at.vcov, sum, half);
    dense_product(p, p, p, half, at.vcov, adjustment);
    for (int i = 0; i < p * p; i++) {
        adjustment[i] *= 2;
    }
    free(ViX);
    free(DViX);
    free(ViDViX);
    dense_free_at(&at);
}

static void adjustments(void) {
    const int sizes[9] = {4, 6, 1, 3, 5, 2, 2, 4, 3};
    for (int n_levels = 1; n_levels <= 3; n_levels++) {
        dense_model m =
            dense_example(9, sizes, 4, 2, n_levels, 2, n_levels == 2, 110 + (uint64_t)n_levels);
        dense_add_block(&m, 0, 2, columns_01);
        for (int l = 1; l < n_levels; l++) {
            dense_add_block(&m, l, 1, l == 1 ? column_1 : column_0);
        }
        const double parameters[4][6] = {{0},
                                         {1.9, -0.4, 0.8, 1.1},
                                         {1.9, -0.4, 0.8, 0.6, 1.1},
                                         {1.9, -0.4, 0.8, 0.6, 1.7, 1.1}};
        int k = dense_n_par(&m), p = m.p;
        dense_at at;
        double W[MAX_PAR * MAX_PAR], truth[MAX_P * MAX_P], adjustment[MAX_P * MAX_P], G[16];
        dense_value(&m, parameters[n_levels], 1, &at);
        dense_derivatives(&m, 1, &at);
        dense_inverse(k, at.expected, W);
        dense_adjustment(&m, parameters[n_levels], W, truth);
        reduced_case c;
        reduced_init(&m, &c);
        double s = reduced_matrices(&c, parameters[n_levels], G);
        ct_int(n_levels == 1   ? "adjustment"
               : n_levels == 2 ? "adjustment with a second level"
                               : "and with a third",
               sp_adjustment_at(&c.data, &c.model, &c.blocks, &c.units, G, s, W,
                                own_doubles(&c, sp_adjustment_work_size(&c.data, &c.model)),
                                adjustment),
               SP_OK);
        ct_near("  as the textbook's", apart(p * p, adjustment, truth), 0.0, 1e-10);
        /* A covariance of rank one, as on a boundary: zero rows. */
        for (int i = 0; i < k * k; i++) {
            W[i] = i == k * k - 1 ? 0.37 : 0.0;
        }
        dense_adjustment(&m, parameters[n_levels], W, truth);
        sp_adjustment_at(&c.data, &c.model, &c.blocks, &c.units, G, s, W,
                         own_doubles(&c, sp_adjustment_work_size(&c.data, &c.model)), adjustment);
        ct_near("  with only the residual variance estimated", apart(p * p, adjustment, truth), 0.0,
                1e-10);
        dense_free_at(&at);
        reduced_free(&c);
        dense_free_model(&m);
    }
}

int main(void) {
    dense_designs();
    rank_deficient();
    statuses();
    one_way();
    face();
    adjustments();
    return ct_end();
}
