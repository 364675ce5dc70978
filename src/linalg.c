#include "linalg.h"
#include "lapack.h"
#include <math.h>
#include <string.h>

int sp_cholesky(int n, double *A) {
    for (int j = 0; j < n; j++) {
        double *col = A + (size_t)n * j;
        for (int k = 0; k < j; k++) {
            const double *prev = A + (size_t)n * k;
            double factor = prev[j];
            for (int i = j; i < n; i++) {
                col[i] -= factor * prev[i];
            }
            col[k] = 0.0;
        }
        if (!(col[j] > 0.0)) {
            return j + 1;
        }
        double pivot = sqrt(col[j]);
        for (int i = j; i < n; i++) {
            col[i] /= pivot;
        }
    }
    return 0;
}

void sp_invert_lower(int n, double *L) {
    for (int j = 0; j < n; j++) {
        double *col = L + (size_t)n * j;
        col[j] = 1.0 / col[j];
        for (int i = j + 1; i < n; i++) {
            double sum = 0.0;
            for (int k = j; k < i; k++) {
                sum += L[i + (size_t)n * k] * col[k];
            }
            col[i] = -sum / L[i + (size_t)n * i];
        }
    }
}

int sp_solve(int n, int r, double *M, double *B, double *log_det, int *sign) {
    *log_det = 0.0;
    *sign = 1;
    for (int j = 0; j < n; j++) {
        int pivot = j;
        for (int i = j + 1; i < n; i++) {
            if (fabs(M[i + (size_t)n * j]) > fabs(M[pivot + (size_t)n * j])) {
                pivot = i;
            }
        }
        if (pivot != j) {
            for (int k = 0; k < n; k++) {
                double held = M[j + (size_t)n * k];
                M[j + (size_t)n * k] = M[pivot + (size_t)n * k];
                M[pivot + (size_t)n * k] = held;
            }
            for (int k = 0; k < r; k++) {
                double held = B[j + (size_t)n * k];
                B[j + (size_t)n * k] = B[pivot + (size_t)n * k];
                B[pivot + (size_t)n * k] = held;
            }
            *sign = -*sign;
        }
        double diagonal = M[j + (size_t)n * j];
        if (diagonal == 0.0 || !isfinite(diagonal)) {
            return 1;
        }
        *log_det += log(fabs(diagonal));
        if (diagonal < 0.0) {
            *sign = -*sign;
        }
        for (int i = j + 1; i < n; i++) {
            double factor = M[i + (size_t)n * j] / diagonal;
            for (int k = j + 1; k < n; k++) {
                M[i + (size_t)n * k] -= factor * M[j + (size_t)n * k];
            }
            for (int k = 0; k < r; k++) {
                B[i + (size_t)n * k] -= factor * B[j + (size_t)n * k];
            }
        }
    }
    for (int k = 0; k < r; k++) {
        double *x = B + (size_t)n * k;
        for (int i = n - 1; i >= 0; i--) {
            for (int j = i + 1; j < n; j++) {
                x[i] -= M[i + (size_t)n * j] * x[j];
            }
            x[i] /= M[i + (size_t)n * i];
        }
    }
    return 0;
}

void sp_update_factor(int n, int n_rows, double *M, double *R) {
    size_t rows = (size_t)n_rows;
    for (int j = 0; j < n; j++) {
        const double *x = M + rows * (size_t)j;
        double square = sp_dot(rows, x, x), old = R[j + (size_t)n * j];
        if (square == 0.0) {
            continue;
        }
        double diagonal = sqrt(old * old + square);
        double v = -square / (old + diagonal); /* old - diagonal */
        double factor = 2.0 / (v * v + square);
        for (int c = j + 1; c < n; c++) {
            double *above = R + j + (size_t)n * c, *below = M + rows * (size_t)c;
            double w = factor * (v * *above + sp_dot(rows, x, below));
            *above -= w * v;
            sp_axpy(rows, -w, x, below);
        }
        R[j + (size_t)n * j] = diagonal;
    }
}

int sp_eigen(int n, double *A, double *w, double *work) {
    int info = 0;
    int work_size = 3 * n;
    F77_CALL(dsyev)("V", "U", &n, A, &n, w, work, &work_size, &info SP_FCONE SP_FCONE);
    return info;
}

int sp_left_svd(int n, double *A, double *s, double *U, double *work) {
    int info = 0;
    int one = 1;
    int work_size = 8 * n;
    double unused = 0.0;
    F77_CALL(dgesvd)
    ("A", "N", &n, &n, A, &n, s, U, &n, &unused, &one, work, &work_size, &info SP_FCONE SP_FCONE);
    return info;
}

void sp_add_outer(int d, double alpha, const double *u, double *packed) {
    for (int j = 0; j < d; j++) {
        sp_axpy((size_t)(d - j), alpha * u[j], u + j, packed);
        packed += d - j;
    }
}

void sp_add_outer_sym(int d, double alpha, const double *u, const double *v, double *packed) {
    for (int j = 0; j < d; j++) {
        sp_axpy((size_t)(d - j), alpha * u[j], v + j, packed);
        sp_axpy((size_t)(d - j), alpha * v[j], u + j, packed);
        packed += d - j;
    }
}

void sp_unpack(int d, const double *packed, double *full) {
    for (int j = 0; j < d; j++) {
        for (int k = j; k < d; k++) {
            full[j + (size_t)d * k] = *packed;
            full[k + (size_t)d * j] = *packed++;
        }
    }
}
