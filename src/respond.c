#include "respond.h"
#include "linalg.h"
#include "reduce.h"
#include <math.h>
#include <string.h>

size_t sp_respond_work_size(const sp_replay *design) {
    return (size_t)design->n + 2 * (size_t)design->p;
}

/* y in the rotated coordinates of its unit, units one after another. */
static void rotate(const sp_replay *design, const double *y, double *rotated) {
    const double *reflectors = design->reflectors;
    for (int i = 0; i < design->n; i++) {
        rotated[i] = y[design->order[i]];
        if (design->weights) {
            rotated[i] *= sqrt(design->weights[design->order[i]]);
        }
    }
    for (int g = 0; g < design->n_units; g++) {
        int n_rows = design->start[g + 1] - design->start[g];
        sp_reflect(n_rows, design->q, reflectors, rotated + design->start[g]);
        reflectors += ((size_t)n_rows + 2) * design->q;
    }
}

/* x <- Rx^-T x and x <- Rx^-1 x. */
static void solve_transposed(int p, const double *Rx, double *x) {
    for (int j = 0; j < p; j++) {
        x[j] = (x[j] - sp_dot((size_t)j, Rx + (size_t)p * j, x)) / Rx[j + (size_t)p * j];
    }
}

static void solve_upper(int p, const double *Rx, double *x) {
    for (int j = p - 1; j >= 0; j--) {
        x[j] /= Rx[j + (size_t)p * j];
        sp_axpy((size_t)j, -x[j], Rx + (size_t)p * j, x);
    }
}

/* products (p): the orthonormal columns' free rows times those of the rotated y. */
static void free_products(const sp_replay *design, const double *rotated, double *products) {
    memset(products, 0, (size_t)design->p * sizeof(double));
    for (int k = 0; k < design->n_free; k++) {
        products[design->free_column[k]] =
            sp_dot((size_t)design->n, design->Xfree + (size_t)design->n * k, rotated);
    }
    if (design->n_free > 0) {
        solve_transposed(design->p, design->Rx, products);
    }
}

/* One round of projecting y off X; coef gains what was found. step, beta: p each. */
SP_WIDE static void project(const sp_replay *design, const double *a, double *rotated, double *coef,
                            double *step, double *beta) {
    int p = design->p, q = design->q, d = design->d;
    free_products(design, rotated, step);
    for (int g = 0; g < design->n_units; g++) {
        int n_rows = design->start[g + 1] - design->start[g];
        for (int r = 0; r < q && r < n_rows; r++) {
            sp_axpy((size_t)p, rotated[design->start[g] + r], a + ((size_t)q * g + r) * d, step);
        }
    }
    for (int g = 0; g < design->n_units; g++) {
        int n_rows = design->start[g + 1] - design->start[g];
        for (int r = 0; r < q && r < n_rows; r++) {
            rotated[design->start[g] + r] -= sp_dot((size_t)p, a + ((size_t)q * g + r) * d, step);
        }
    }
    sp_axpy((size_t)p, 1.0, step, coef);
    memcpy(beta, step, (size_t)p * sizeof(double));
    solve_upper(p, design->Rx, beta);
    for (int k = 0; k < design->n_free; k++) {
        sp_axpy((size_t)design->n, -beta[design->free_column[k]],
                design->Xfree + (size_t)design->n * k, rotated);
    }
}

/* Place of element (j, d - 1) in a packed d x d matrix. */
static size_t last_in_row(int d, int j) {
    return (size_t)(j + 1) * (size_t)d - (size_t)j * (size_t)(j + 1) / 2 - 1;
}

void sp_respond(const sp_replay *design, const double *y, double *a, double *Cfree, double *coef,
                double *rss, double *y_scale, double *work) {
    int p = design->p, q = design->q, d = design->d;
    double *rotated = work, *step = rotated + design->n, *beta = step + p;
    rotate(design, y, rotated);
    memset(coef, 0, (size_t)p * sizeof(double));
    /* Twice, because the first round leaves rounding errors of the size of y, not of its residual.
     */
    for (int round = 0; round < 2; round++) {
        project(design, a, rotated, coef, step, beta);
    }
    *rss = sp_dot((size_t)design->n, rotated, rotated);
    *y_scale = *rss > 0.0 && design->n > p ? sqrt(*rss / (design->n - p)) : 1.0;
    const double inverse = 1.0 / *y_scale;
    for (int i = 0; i < design->n; i++) {
        rotated[i] *= inverse;
    }
    for (int g = 0; g < design->n_units; g++) {
        int n_rows = design->start[g + 1] - design->start[g];
        for (int r = 0; r < q; r++) {
            double value = r < n_rows ? rotated[design->start[g] + r] : 0.0;
            a[((size_t)q * g + r) * d + p] = value;
            if (r < n_rows) {
                rotated[design->start[g] + r] = 0.0;
            }
        }
    }
    free_products(design, rotated, step);
    for (int j = 0; j < p; j++) {
        Cfree[last_in_row(d, j)] = step[j];
    }
    Cfree[last_in_row(d, p)] = sp_dot((size_t)design->n, rotated, rotated);
}

SP_WIDE void sp_respond_products(int n_units, int q, int d, int n_shared, const int *unit_item,
                                 const double *a, const sp_centres *centres, double *B,
                                 double *work) {
    size_t packed = sp_packed_size(d), n_matrices = (size_t)n_shared * q * (q + 1) / 2;
    int p = d - 1;
    double *last = work, *centred = last + n_matrices * d; /* each matrix's last column */
    memset(last, 0, n_matrices * d * sizeof(double));
    for (int g = 0; g < n_units; g++) {
        if (unit_item[g] >= n_shared) {
            continue;
        }
        double *column = last + (size_t)d * ((size_t)unit_item[g] * q * (q + 1) / 2);
        const double *rows = sp_centred_rows(g, q, d, a, centres, centred);
        for (int s = 0; s < q; s++) {
            const double *v = rows + (size_t)d * s;
            for (int r = 0; r < s; r++) {
                const double *u = rows + (size_t)d * r;
                sp_axpy((size_t)d, 0.5 * v[p], u, column);
                sp_axpy((size_t)d, 0.5 * u[p], v, column);
                column += d;
            }
            sp_axpy((size_t)d, v[p], v, column);
            column += d;
        }
    }
    for (size_t matrix = 0; matrix < n_matrices; matrix++) {
        for (int j = 0; j < d; j++) {
            B[packed * matrix + last_in_row(d, j)] = last[(size_t)d * matrix + j];
        }
    }
}

void sp_respond_cells(int n_units, int n_cells, int q, int d, const int *unit_cell, const double *a,
                      double *cell_sum) {
    for (size_t row = 0; row < (size_t)n_cells * q; row++) {
        cell_sum[row * d + d - 1] = 0.0;
    }
    for (int g = 0; g < n_units; g++) {
        for (int r = 0; r < q; r++) {
            cell_sum[((size_t)unit_cell[g] * q + r) * d + d - 1] +=
                a[((size_t)q * g + r) * d + d - 1];
        }
    }
}
