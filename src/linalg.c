#include "linalg.h"
#include "lapack.h"
#include <math.h>
#include <string.h>

SP_WIDE int sp_cholesky(int n, double *A) {
    for (int j = 0; j < n; j++) {
        double *col = A + (size_t)n * j;
        for (int k = 0; k < j; k++) {
            const double *prev = A + (size_t)n * k;
            sp_axpy((size_t)(n - j), -prev[j], prev + j, col + j);
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

SP_WIDE void sp_invert_lower(int n, double *L) {
    for (int j = 0; j < n; j++) {
        /* Forward substitution on a column of the identity; later columns are still L's. */
        double *x = L + (size_t)n * j;
        x[j] = 1.0 / x[j];
        for (int i = j + 1; i < n; i++) {
            x[i] *= -x[j];
        }
        for (int k = j + 1; k < n; k++) {
            const double *col = L + (size_t)n * k;
            x[k] /= col[k];
            sp_axpy((size_t)(n - k - 1), -x[k], col + k + 1, x + k + 1);
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

/* Jacobi's rotation [c s; -s c] that makes [a b; b d] diagonal. Returns s / c, at most 1. */
static double diagonalise(double a, double b, double d, double *c, double *s) {
    double t = 0.0;
    if (b != 0.0) {
        double tau = (d - a) / (2.0 * b);
        t = copysign(1.0, tau) / (fabs(tau) + sqrt(1.0 + tau * tau));
    }
    *c = 1.0 / sqrt(1.0 + t * t);
    *s = t * *c;
    return t;
}

/* The size of an intercept and a slope: the general routines take ten times as long. */
static void eigen_two(double *A, double *w) {
    double c, s, b = A[2];
    double t = diagonalise(A[0], b, A[3], &c, &s);
    double first = A[0] - t * b, second = A[3] + t * b;
    int at = first > second, other = 1 - at; /* ascending */
    w[at] = first;
    A[2 * at] = c;
    A[2 * at + 1] = -s;
    w[other] = second;
    A[2 * other] = s;
    A[2 * other + 1] = c;
}

/* The columns of A rotated until they are orthogonal; the smaller size from the determinant, which
 * keeps its digits beside a large one. */
static void left_svd_two(const double *A, double *size, double *U) {
    double c, s;
    double a = sp_dot(2, A, A), b = sp_dot(2, A, A + 2), d = sp_dot(2, A + 2, A + 2);
    double t = diagonalise(a, b, d, &c, &s);
    double x, y; /* the larger column */
    if (a - t * b >= d + t * b) {
        x = c * A[0] - s * A[2];
        y = c * A[1] - s * A[3];
    } else {
        x = s * A[0] + c * A[2];
        y = s * A[1] + c * A[3];
    }
    size[0] = sqrt(x * x + y * y);
    size[1] = size[0] > 0.0 ? fabs(A[0] * A[3] - A[1] * A[2]) / size[0] : 0.0;
    U[0] = size[0] > 0.0 ? x / size[0] : 1.0;
    U[1] = size[0] > 0.0 ? y / size[0] : 0.0;
    U[2] = -U[1];
    U[3] = U[0];
}

int sp_eigen(int n, double *A, double *w, double *work) {
    if (n == 2 && isfinite(A[0] + A[2] + A[3])) {
        eigen_two(A, w);
        return 0;
    }
    int info = 0;
    int work_size = 3 * n;
    F77_CALL(dsyev)("V", "U", &n, A, &n, w, work, &work_size, &info SP_FCONE SP_FCONE);
    return info;
}

int sp_eigen_scaled(int n, const double *G, double *A, double *scale, double *w, double *work) {
    for (int i = 0; i < n; i++) {
        double diagonal = G[i + (size_t)n * i];
        scale[i] = diagonal > 0.0 ? sqrt(diagonal) : 1.0;
    }
    for (int j = 0; j < n; j++) {
        for (int i = 0; i < n; i++) {
            A[i + (size_t)n * j] = G[i + (size_t)n * j] / (scale[i] * scale[j]);
        }
    }
    return sp_eigen(n, A, w, work);
}

int sp_left_svd(int n, double *A, double *s, double *U, double *work) {
    if (n == 2 && isfinite(A[0] + A[1] + A[2] + A[3])) {
        left_svd_two(A, s, U);
        return 0;
    }
    int info = 0;
    int one = 1;
    int work_size = 8 * n;
    double unused = 0.0;
    F77_CALL(dgesvd)
    ("A", "N", &n, &n, A, &n, s, U, &n, &unused, &one, work, &work_size, &info SP_FCONE SP_FCONE);
    return info;
}

SP_WIDE void sp_add_outer(int d, double alpha, const double *u, double *packed) {
    for (int j = 0; j < d; j++) {
        sp_axpy((size_t)(d - j), alpha * u[j], u + j, packed);
        packed += d - j;
    }
}

/* out += a x + b y, all of length n. */
SP_INLINE void add_both(size_t n, double a, const double *x, double b, const double *y,
                        double *restrict out) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        out[i] += a * x[i] + b * y[i];
        out[i + 1] += a * x[i + 1] + b * y[i + 1];
        out[i + 2] += a * x[i + 2] + b * y[i + 2];
        out[i + 3] += a * x[i + 3] + b * y[i + 3];
    }
    for (; i < n; i++) {
        out[i] += a * x[i] + b * y[i];
    }
}

/* The same for two outs, four elements of each in turn, so that x and y are read once. */
SP_INLINE void add_both_twice(size_t n, const double *x, const double *y, double a, double b,
                              double *restrict out, double c, double e,
                              double *restrict out_below) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        add_both(4, a, x + i, b, y + i, out + i);
        add_both(4, c, x + i, e, y + i, out_below + i);
    }
    add_both(n - i, a, x + i, b, y + i, out + i);
    add_both(n - i, c, x + i, e, y + i, out_below + i);
}

SP_WIDE void sp_add_crossprod(int n, int d, const double *restrict rows, double *restrict packed) {
    int i = 0;
    /* Two rows at a time: every element of the sum is read and written half as often. And two rows
     * of the sum at a time, the first of which has one element more. */
    for (; i + 2 <= n; i += 2) {
        const double *u = rows + (size_t)d * i, *v = u + d;
        double *at = packed;
        int j = 0;
        for (; j + 2 <= d; j += 2) {
            size_t rest = (size_t)(d - j - 1);
            const double *x = u + j + 1, *y = v + j + 1;
            at[0] += u[j] * u[j] + v[j] * v[j];
            add_both_twice(rest, x, y, u[j], v[j], at + 1, x[0], y[0], at + 1 + rest);
            at += 1 + 2 * rest;
        }
        if (j < d) {
            at[0] += u[j] * u[j] + v[j] * v[j];
        }
    }
    if (i < n) {
        sp_add_outer(d, 1.0, rows + (size_t)d * i, packed);
    }
}

SP_WIDE void sp_add_outer_sym(int d, double alpha, const double *restrict u,
                              const double *restrict v, double *restrict packed) {
    for (int j = 0; j < d; j++) {
        add_both((size_t)(d - j), alpha * u[j], v + j, alpha * v[j], u + j, packed);
        packed += d - j;
    }
}

SP_WIDE void sp_add_products(int d, const double *restrict u, const double *restrict v,
                             double *restrict uu, double *restrict uv, double *restrict vv) {
    for (int j = 0; j < d; j++) {
        const double *restrict x = u + j, *restrict y = v + j;
        const double a = u[j], b = v[j];
        const size_t n = (size_t)(d - j);
        size_t i = 0;
        for (; i + 4 <= n; i += 4) {
            sp_axpy(4, a, x + i, uu + i);
            sp_axpy(4, b, y + i, vv + i);
            add_both(4, a, y + i, b, x + i, uv + i);
        }
        sp_axpy(n - i, a, x + i, uu + i);
        sp_axpy(n - i, b, y + i, vv + i);
        add_both(n - i, a, y + i, b, x + i, uv + i);
        uu += n;
        uv += n;
        vv += n;
    }
}

SP_WIDE void sp_add_columns(size_t n, size_t m, const double *A, const double *restrict weights,
                            double *restrict y) {
    size_t j = 0;
    for (; j + 4 <= m; j += 4) {
        const double *restrict a = A + n * j, *restrict b = a + n;
        const double *restrict c = b + n, *restrict d = c + n;
        const double wa = weights[j], wb = weights[j + 1], wc = weights[j + 2], wd = weights[j + 3];
        size_t i = 0;
        for (; i + 4 <= n; i += 4) {
            y[i] += (wa * a[i] + wb * b[i]) + (wc * c[i] + wd * d[i]);
            y[i + 1] += (wa * a[i + 1] + wb * b[i + 1]) + (wc * c[i + 1] + wd * d[i + 1]);
            y[i + 2] += (wa * a[i + 2] + wb * b[i + 2]) + (wc * c[i + 2] + wd * d[i + 2]);
            y[i + 3] += (wa * a[i + 3] + wb * b[i + 3]) + (wc * c[i + 3] + wd * d[i + 3]);
        }
        for (; i < n; i++) {
            y[i] += (wa * a[i] + wb * b[i]) + (wc * c[i] + wd * d[i]);
        }
    }
    if (m - j == 3) {
        const double *restrict a = A + n * j, *restrict b = a + n, *restrict c = b + n;
        const double wa = weights[j], wb = weights[j + 1], wc = weights[j + 2];
        size_t i = 0;
        for (; i + 4 <= n; i += 4) {
            y[i] += (wa * a[i] + wb * b[i]) + wc * c[i];
            y[i + 1] += (wa * a[i + 1] + wb * b[i + 1]) + wc * c[i + 1];
            y[i + 2] += (wa * a[i + 2] + wb * b[i + 2]) + wc * c[i + 2];
            y[i + 3] += (wa * a[i + 3] + wb * b[i + 3]) + wc * c[i + 3];
        }
        for (; i < n; i++) {
            y[i] += (wa * a[i] + wb * b[i]) + wc * c[i];
        }
        return;
    }
    for (; j < m; j++) {
        sp_axpy(n, weights[j], A + n * j, y);
    }
}

/* Two rows x and y (n) times four columns, two columns or one of M by its rows. Sums in variables
 * of their own stay in registers. */
SP_INLINE void two_by_four(int n, const double *x, const double *y, const double *M, int step,
                           double *out_x, double *out_y) {
    double x0 = 0.0, x1 = 0.0, x2 = 0.0, x3 = 0.0, y0 = 0.0, y1 = 0.0, y2 = 0.0, y3 = 0.0;
    for (int i = 0; i < n; i++, M += step) {
        x0 += x[i] * M[0];
        x1 += x[i] * M[1];
        x2 += x[i] * M[2];
        x3 += x[i] * M[3];
        y0 += y[i] * M[0];
        y1 += y[i] * M[1];
        y2 += y[i] * M[2];
        y3 += y[i] * M[3];
    }
    out_x[0] = x0;
    out_x[1] = x1;
    out_x[2] = x2;
    out_x[3] = x3;
    out_y[0] = y0;
    out_y[1] = y1;
    out_y[2] = y2;
    out_y[3] = y3;
}

/* The same with one column. */
SP_INLINE void two_by_one(int n, const double *x, const double *y, const double *M, int step,
                          double *out_x, double *out_y) {
    double x0 = 0.0, y0 = 0.0;
    for (int i = 0; i < n; i++, M += step) {
        x0 += x[i] * M[0];
        y0 += y[i] * M[0];
    }
    out_x[0] = x0;
    out_y[0] = y0;
}

SP_WIDE void sp_rows_times(int m, int n, int r, const double *in, int in_step, const double *M,
                           int M_step, int first, double *restrict out) {
    const int width = r < 4 ? 1 : 4;
    for (int i = 0; i < m; i += 2) {
        /* The last of an odd number of rows stands for two. */
        int other = i + 1 < m;
        const double *x = in + (size_t)in_step * i, *y = x + (other ? in_step : 0);
        double *out_x = out + (size_t)r * i, *out_y = out_x + (other ? r : 0);
        for (int c = 0; c < r; c += width) {
            /* The last columns, when they are fewer than four, with some of those before again. */
            int from = c + width <= r ? c : r - width;
            int used = first + from + width < n ? first + from + width : n;
            if (width == 4) {
                two_by_four(used, x, y, M + from, M_step, out_x + from, out_y + from);
            } else {
                two_by_one(used, x, y, M + from, M_step, out_x + from, out_y + from);
            }
        }
    }
}

SP_WIDE void sp_dot_both(size_t n, const double *x, const double *u, const double *v,
                         double *with_u, double *with_v) {
    double by_u[4] = {0.0, 0.0, 0.0, 0.0}, by_v[4] = {0.0, 0.0, 0.0, 0.0};
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        for (int k = 0; k < 4; k++) {
            by_u[k] += x[i + k] * u[i + k];
        }
        for (int k = 0; k < 4; k++) {
            by_v[k] += x[i + k] * v[i + k];
        }
    }
    for (; i < n; i++) {
        by_u[0] += x[i] * u[i];
        by_v[0] += x[i] * v[i];
    }
    *with_u = (by_u[0] + by_u[1]) + (by_u[2] + by_u[3]);
    *with_v = (by_v[0] + by_v[1]) + (by_v[2] + by_v[3]);
}

void sp_unpack(int d, const double *packed, double *full) {
    for (int j = 0; j < d; j++) {
        for (int k = j; k < d; k++) {
            full[j + (size_t)d * k] = *packed;
            full[k + (size_t)d * j] = *packed++;
        }
    }
}
