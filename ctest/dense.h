/* The slow, plain truth of the C tests: the mixed model with its full n x n covariance matrix V,
 * inverted by Gauss-Jordan elimination, nothing reduced and nothing shared between units. It uses
 * no routine of the core. Matrices are column-major, as everywhere. */
#ifndef SAMEPAGE_CTEST_DENSE_H
#define SAMEPAGE_CTEST_DENSE_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { DENSE_LEVELS = 4, DENSE_BLOCKS = 6 };

/* Numbers in (-1, 1) with all their bits in use: xorshift64*. */
static inline double dense_random(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (double)((*state * UINT64_C(2685821657736338717)) >> 11) / 4503599627370496.0 - 1.0;
}

static inline double *dense_new(size_t n) {
    return calloc(n > 0 ? n : 1, sizeof(double));
}

/* C = A B; A m x n, B n x r. */
static inline void dense_product(int m, int n, int r, const double *A, const double *B, double *C) {
    for (int i = 0; i < m; i++) {
        for (int k = 0; k < r; k++) {
            double sum = 0.0;
            for (int j = 0; j < n; j++) {
                sum += A[i + (size_t)m * j] * B[j + (size_t)n * k];
            }
            C[i + (size_t)m * k] = sum;
        }
    }
}

/* C = A' B; A n x m, B n x r. */
static inline void dense_cross(int m, int n, int r, const double *A, const double *B, double *C) {
    for (int i = 0; i < m; i++) {
        for (int k = 0; k < r; k++) {
            double sum = 0.0;
            for (int j = 0; j < n; j++) {
                sum += A[j + (size_t)n * i] * B[j + (size_t)n * k];
            }
            C[i + (size_t)m * k] = sum;
        }
    }
}

/* Trace of A B, both n x n. */
static inline double dense_trace(int n, const double *A, const double *B) {
    double sum = 0.0;
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            sum += A[i + (size_t)n * j] * B[j + (size_t)n * i];
        }
    }
    return sum;
}

/* Inverse of A (kept) and log|det A|. */
static inline double dense_inverse(int n, const double *A, double *inverse) {
    double *M = dense_new((size_t)n * n), log_det = 0.0;
    memcpy(M, A, (size_t)n * n * sizeof(double));
    memset(inverse, 0, (size_t)n * n * sizeof(double));
    for (int i = 0; i < n; i++) {
        inverse[i + (size_t)n * i] = 1.0;
    }
    for (int j = 0; j < n; j++) {
        int pivot = j;
        for (int i = j; i < n; i++) {
            pivot = fabs(M[i + (size_t)n * j]) > fabs(M[pivot + (size_t)n * j]) ? i : pivot;
        }
        for (int k = 0; k < n; k++) {
            double held = M[j + (size_t)n * k];
            M[j + (size_t)n * k] = M[pivot + (size_t)n * k];
            M[pivot + (size_t)n * k] = held;
            held = inverse[j + (size_t)n * k];
            inverse[j + (size_t)n * k] = inverse[pivot + (size_t)n * k];
            inverse[pivot + (size_t)n * k] = held;
        }
        double diagonal = M[j + (size_t)n * j];
        log_det += log(fabs(diagonal));
        for (int k = 0; k < n; k++) {
            M[j + (size_t)n * k] /= diagonal;
            inverse[j + (size_t)n * k] /= diagonal;
        }
        for (int i = 0; i < n; i++) {
            double factor = M[i + (size_t)n * j];
            for (int k = 0; k < n && i != j; k++) {
                M[i + (size_t)n * k] -= factor * M[j + (size_t)n * k];
                inverse[i + (size_t)n * k] -= factor * inverse[j + (size_t)n * k];
            }
        }
    }
    free(M);
    return log_det;
}

/* ---- the model ------------------------------------------------------------------------------ */

/* Rows and covariance blocks. Parameters: every block's lower triangle column by column, then the
 * residual variance. */
typedef struct {
    int n, p, q, n_levels, n_blocks;
    double *X, *y, *Z, *weights; /* weights may be NULL */
    int *group[DENSE_LEVELS];    /* codes from 1, innermost level first */
    int n_groups[DENSE_LEVELS];
    int level[DENSE_BLOCKS], size[DENSE_BLOCKS];
    int columns[DENSE_BLOCKS][8]; /* from 0 */
} dense_model;

static inline int dense_n_par(const dense_model *m) {
    int k = 1;
    for (int b = 0; b < m->n_blocks; b++) {
        k += m->size[b] * (m->size[b] + 1) / 2;
    }
    return k;
}

/* Element (i, j) of V's derivative in every parameter: V is linear in them. */
static inline void dense_element(const dense_model *m, int i, int j, double *out) {
    for (int b = 0; b < m->n_blocks; b++) {
        const int *group = m->group[m->level[b]];
        for (int c = 0; c < m->size[b]; c++) {
            for (int r = c; r < m->size[b]; r++) {
                const double *u = m->Z + (size_t)m->n * m->columns[b][r];
                const double *v = m->Z + (size_t)m->n * m->columns[b][c];
                double both = r == c ? u[i] * u[j] : u[i] * v[j] + v[i] * u[j];
                *out++ = group[i] == group[j] ? both : 0.0;
            }
        }
    }
    *out = i != j ? 0.0 : m->weights ? 1.0 / m->weights[i] : 1.0;
}

/* Everything at given parameters. The caller frees with dense_free_at. */
typedef struct {
    int k;
    double criterion; /* -2 log likelihood, restricted when reml */
    double log_det_v, log_det_x, quadratic;
    double *beta, *vcov; /* p, p x p */
    double *Vi, *P;      /* n x n: V^-1, and V^-1 - V^-1 X vcov X' V^-1 */
    double *D;           /* n x n per parameter */
    double *residual;    /* y - X beta */
    double *gradient, *expected, *average, *observed, *dvcov;
} dense_at;

static inline void dense_value(const dense_model *m, const double *parameters, int reml,
                               dense_at *at) {
    int n = m->n, p = m->p, k = dense_n_par(m);
    size_t nn = (size_t)n * n;
    at->k = k;
    at->D = dense_new(nn * k);
    double *V = dense_new(nn), *element = dense_new((size_t)k);
    for (int j = 0; j < n; j++) {
        for (int i = 0; i < n; i++) {
            dense_element(m, i, j, element);
            for (int r = 0; r < k; r++) {
                at->D[nn * r + i + (size_t)n * j] = element[r];
                V[i + (size_t)n * j] += parameters[r] * element[r];
            }
        }
    }
    at->Vi = dense_new(nn);
    at->log_det_v = dense_inverse(n, V, at->Vi);
    double *ViX = dense_new((size_t)n * p), *XViX = dense_new((size_t)p * p);
    double *XViy = dense_new((size_t)p);
    dense_product(n, n, p, at->Vi, m->X, ViX);
    dense_cross(p, n, p, m->X, ViX, XViX);
    dense_cross(p, n, 1, ViX, m->y, XViy);
    at->vcov = dense_new((size_t)p * p);
    at->beta = dense_new((size_t)p);
    at->log_det_x = dense_inverse(p, XViX, at->vcov);
    dense_product(p, p, 1, at->vcov, XViy, at->beta);
    at->residual = dense_new((size_t)n);
    dense_product(n, p, 1, m->X, at->beta, at->residual);
    for (int i = 0; i < n; i++) {
        at->residual[i] = m->y[i] - at->residual[i];
    }
    double *Vir = dense_new((size_t)n);
    dense_product(n, n, 1, at->Vi, at->residual, Vir);
    dense_cross(1, n, 1, at->residual, Vir, &at->quadratic);
    const double log_two_pi = log(8.0 * atan(1.0));
    at->criterion = at->log_det_v + at->quadratic + (n - (reml ? p : 0)) * log_two_pi +
                    (reml ? at->log_det_x : 0.0);
    at->P = dense_new(nn);
    double *ViXPhi = dense_new((size_t)n * p);
    dense_product(n, p, p, ViX, at->vcov, ViXPhi);
    for (int j = 0; j < n; j++) {
        for (int i = 0; i < n; i++) {
            double sum = at->Vi[i + (size_t)n * j];
            for (int c = 0; c < p; c++) {
                sum -= ViXPhi[i + (size_t)n * c] * ViX[j + (size_t)n * c];
            }
            at->P[i + (size_t)n * j] = sum;
        }
    }
    at->gradient = at->expected = at->average = at->observed = at->dvcov = NULL;
    free(V);
    free(element);
    free(ViX);
    free(XViX);
    free(XViy);
    free(Vir);
    free(ViXPhi);
}

/* The textbook formulas: gradient tr(P D) - y'P D P y, expected tr(P D P E) / 2, average
 * y'P D P E P y / 2 (V^-1 for P in the traces of ML), observed = 2 average - expected, and the
 * derivative vcov X'V^-1 D V^-1 X vcov. */
static inline void dense_derivatives(const dense_model *m, int reml, dense_at *at) {
    int n = m->n, p = m->p, k = at->k;
    size_t nn = (size_t)n * n;
    const double *M = reml ? at->P : at->Vi;
    double *MD = dense_new(nn * k), *DPy = dense_new((size_t)n * k), *PDPy = dense_new((size_t)n);
    double *Py = dense_new((size_t)n), *ViX = dense_new((size_t)n * p);
    double *DViX = dense_new((size_t)n * p), *inner = dense_new((size_t)p * p);
    double *half = dense_new((size_t)p * p);
    at->gradient = dense_new((size_t)k);
    at->expected = dense_new((size_t)k * k);
    at->average = dense_new((size_t)k * k);
    at->observed = dense_new((size_t)k * k);
    at->dvcov = dense_new((size_t)p * p * k);
    dense_product(n, n, 1, at->Vi, at->residual, Py);
    dense_product(n, n, p, at->Vi, m->X, ViX);
    for (int r = 0; r < k; r++) {
        const double *D = at->D + nn * r;
        dense_product(n, n, n, M, D, MD + nn * r);
        dense_product(n, n, 1, D, Py, DPy + (size_t)n * r);
        double square;
        dense_cross(1, n, 1, Py, DPy + (size_t)n * r, &square);
        at->gradient[r] = dense_trace(n, M, D) - square;
        dense_product(n, n, p, D, ViX, DViX);
        dense_cross(p, n, p, ViX, DViX, inner);
        dense_product(p, p, p, at->vcov, inner, half);
        dense_product(p, p, p, half, at->vcov, at->dvcov + (size_t)p * p * r);
    }
    for (int r = 0; r < k; r++) {
        dense_product(n, n, 1, at->P, DPy + (size_t)n * r, PDPy);
        for (int s = 0; s < k; s++) {
            double product;
            dense_cross(1, n, 1, PDPy, DPy + (size_t)n * s, &product);
            at->average[r + (size_t)k * s] = product / 2.0;
            at->expected[r + (size_t)k * s] = dense_trace(n, MD + nn * r, MD + nn * s) / 2.0;
        }
    }
    for (int i = 0; i < k * k; i++) {
        at->observed[i] = 2.0 * at->average[i] - at->expected[i];
    }
    free(MD);
    free(DPy);
    free(PDPy);
    free(Py);
    free(ViX);
    free(DViX);
    free(inner);
    free(half);
}

static inline void dense_free_at(dense_at *at) {
    free(at->D);
    free(at->Vi);
    free(at->P);
    free(at->beta);
    free(at->vcov);
    free(at->residual);
    free(at->gradient);
    free(at->expected);
    free(at->average);
    free(at->observed);
    free(at->dvcov);
}

static inline double dense_criterion(const dense_model *m, const double *parameters, int reml) {
    dense_at at;
    dense_value(m, parameters, reml, &at);
    double criterion = at.criterion;
    dense_free_at(&at);
    return criterion;
}

static inline void dense_free_model(dense_model *m) {
    free(m->X);
    free(m->y);
    free(m->Z);
    free(m->weights);
    for (int l = 0; l < m->n_levels; l++) {
        free(m->group[l]);
    }
}

/* ---- a design to test with ------------------------------------------------------------------ */

/* Units of the given sizes, three units to a group of the next level and two of those to one above:
 * an intercept, time and random columns in X; 1, time, time^2 ... in Z; times shared by the units
 * whose number divides by `same` and otherwise irregular (0: all irregular); rows in a scrambled
 * order. */
static inline dense_model dense_example(int n_units, const int *sizes, int p, int q, int n_levels,
                                        int same, int weighted, uint64_t seed) {
    dense_model m;
    memset(&m, 0, sizeof m);
    for (int u = 0; u < n_units; u++) {
        m.n += sizes[u];
    }
    m.p = p;
    m.q = q;
    m.n_levels = n_levels;
    m.X = dense_new((size_t)m.n * p);
    m.y = dense_new((size_t)m.n);
    m.Z = dense_new((size_t)m.n * q);
    m.weights = weighted ? dense_new((size_t)m.n) : NULL;
    int *place = calloc((size_t)m.n, sizeof(int));
    for (int i = 0; i < m.n; i++) {
        place[i] = i;
    }
    for (int i = m.n - 1; i > 0; i--) {
        int j = (int)((dense_random(&seed) + 1.0) / 2.0 * (i + 1));
        int held = place[i];
        place[i] = place[j];
        place[j] = held;
    }
    for (int l = 0; l < n_levels; l++) {
        m.group[l] = calloc((size_t)m.n, sizeof(int));
    }
    int row = 0;
    for (int u = 0; u < n_units; u++) {
        double level = 2.3 * dense_random(&seed), slope = 0.7 * dense_random(&seed);
        for (int t = 0; t < sizes[u]; t++, row++) {
            int i = place[row];
            double time = t + 0.25;
            if (same == 0 || u % same != 0) {
                time += 0.4 * dense_random(&seed);
            }
            double power = 1.0;
            for (int c = 0; c < q; c++) {
                m.Z[i + (size_t)m.n * c] = power;
                power *= time / 3.0;
            }
            for (int c = 0; c < p; c++) {
                m.X[i + (size_t)m.n * c] = c == 0 ? 1.0 : c == 1 ? time : dense_random(&seed);
            }
            m.y[i] = 11.7 + level + (0.9 + slope) * time + 1.1 * dense_random(&seed);
            if (weighted) {
                m.weights[i] = same > 0 ? 1.0 + 0.37 * t : 1.6 + 1.2 * dense_random(&seed);
            }
            int unit = u + 1;
            for (int l = 0; l < n_levels; l++) {
                m.group[l][i] = unit;
                m.n_groups[l] = unit > m.n_groups[l] ? unit : m.n_groups[l];
                unit = l == 0 ? (unit + 2) / 3 : (unit + 1) / 2;
            }
        }
    }
    free(place);
    return m;
}

/* Adds a block over the given columns of Z. */
static inline void dense_add_block(dense_model *m, int level, int size, const int *columns) {
    m->level[m->n_blocks] = level;
    m->size[m->n_blocks] = size;
    memcpy(m->columns[m->n_blocks], columns, (size_t)size * sizeof(int));
    m->n_blocks++;
}

#endif
