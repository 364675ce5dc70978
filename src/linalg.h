/* Small dense kernels. Matrices are flat and column-major unless a comment says otherwise; a
 * symmetric d x d matrix that only ever enters sums is kept "packed": its upper triangle row by
 * row, element (j, k), j <= k, at j * d - j * (j - 1) / 2 + (k - j). */
#ifndef SAMEPAGE_LINALG_H
#define SAMEPAGE_LINALG_H

#include <stddef.h>
#include <string.h>

/* Kernels on whole rows exist twice where compiler and system can choose between two when the
 * library is loaded: once for wider registers. Each sum is made of the same terms in the same order
 * (which is why loops are unrolled by four), so that results are the same to the last bit. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__gnu_linux__)
#define SP_WIDE __attribute__((target_clones("avx2", "default")))
#else
#define SP_WIDE
#endif

/* For what must become a part of its caller: a kernel's inner loop, which has the wider registers
 * only there, or what is written for any size and compiled again for a size that is known. */
#if defined(__GNUC__)
#define SP_INLINE static inline __attribute__((always_inline))
#else
#define SP_INLINE static inline
#endif

/* Number of elements of a packed d x d matrix. */
static inline size_t sp_packed_size(int d) {
    return (size_t)d * (size_t)(d + 1) / 2;
}

/* x'y; zero when n is. (Inline, because most calls are on two or three elements; unrolled, because
 * compilers may not reorder sums themselves.) */
static inline double sp_dot(size_t n, const double *x, const double *y) {
    double a = 0.0, b = 0.0, c = 0.0, d = 0.0;
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        a += x[i] * y[i];
        b += x[i + 1] * y[i + 1];
        c += x[i + 2] * y[i + 2];
        d += x[i + 3] * y[i + 3];
    }
    for (; i < n; i++) {
        a += x[i] * y[i];
    }
    return (a + b) + (c + d);
}

/* y += alpha x. */
static inline void sp_axpy(size_t n, double alpha, const double *restrict x, double *restrict y) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        y[i] += alpha * x[i];
        y[i + 1] += alpha * x[i + 1];
        y[i + 2] += alpha * x[i + 2];
        y[i + 3] += alpha * x[i + 3];
    }
    for (; i < n; i++) {
        y[i] += alpha * x[i];
    }
}

/* C = A B; A is m x n, B is n x r, C is m x r. */
static inline void sp_multiply(int m, int n, int r, const double *A, const double *B, double *C) {
    /* The size of an intercept and a slope, in straight code. */
    if (m == 2 && n == 2 && r == 2) {
        double a = A[0] * B[0] + A[2] * B[1], b = A[1] * B[0] + A[3] * B[1];
        double c = A[0] * B[2] + A[2] * B[3], d = A[1] * B[2] + A[3] * B[3];
        C[0] = a;
        C[1] = b;
        C[2] = c;
        C[3] = d;
        return;
    }
    for (int k = 0; k < r; k++) {
        for (int i = 0; i < m; i++) {
            double sum = 0.0;
            for (int j = 0; j < n; j++) {
                sum += A[i + (size_t)m * j] * B[j + (size_t)n * k];
            }
            C[i + (size_t)m * k] = sum;
        }
    }
}

/* C = A' B; A is n x m, B is n x r, C is m x r. */
static inline void sp_multiply_tn(int m, int n, int r, const double *A, const double *B,
                                  double *C) {
    if (m == 2 && n == 2 && r == 2) {
        double a = A[0] * B[0] + A[1] * B[1], b = A[2] * B[0] + A[3] * B[1];
        double c = A[0] * B[2] + A[1] * B[3], d = A[2] * B[2] + A[3] * B[3];
        C[0] = a;
        C[1] = b;
        C[2] = c;
        C[3] = d;
        return;
    }
    for (int k = 0; k < r; k++) {
        for (int i = 0; i < m; i++) {
            C[i + (size_t)m * k] = sp_dot((size_t)n, A + (size_t)n * i, B + (size_t)n * k);
        }
    }
}

/* C = A B'; A is m x n, B is r x n, C is m x r. */
static inline void sp_multiply_nt(int m, int n, int r, const double *A, const double *B,
                                  double *C) {
    for (int k = 0; k < r; k++) {
        for (int i = 0; i < m; i++) {
            double sum = 0.0;
            for (int j = 0; j < n; j++) {
                sum += A[i + (size_t)m * j] * B[k + (size_t)r * j];
            }
            C[i + (size_t)m * k] = sum;
        }
    }
}

/* Lower Cholesky factor of the n x n matrix A, in place (upper triangle set to zero). Returns 0,
 * or the 1-based column where A was found not positive definite. */
int sp_cholesky(int n, double *A);

/* Inverse of the lower triangular n x n matrix L, in place. Precondition: no zero on its diagonal.
 */
void sp_invert_lower(int n, double *L);

/* Solves M X = B for n x r right-hand sides, LU with partial pivoting; both are overwritten (M by
 * its factors, B by X). Returns 0 on success, 1 when M is singular; *log_det gets log|det M| and
 * *sign the sign of det M. */
int sp_solve(int n, int r, double *M, double *B, double *log_det, int *sign);

/* Upper triangular factor (n x n, diagonal >= 0) of the rows that R is the factor of and those of M
 * (n_rows x n, overwritten), by reflections. R starts as zeros. */
void sp_update_factor(int n, int n_rows, double *M, double *R);

/* Eigenvalues (ascending, in w) and eigenvectors (in A's columns) of a symmetric n x n matrix.
 * work: 3 n doubles. Returns LAPACK's info. */
int sp_eigen(int n, double *A, double *w, double *work);

/* The same for G with its rows and columns divided by scale (n, an output): the roots of its
 * diagonal, 1 where that is not positive. Elements of very different sizes keep their digits so. */
int sp_eigen_scaled(int n, const double *G, double *A, double *scale, double *w, double *work);

/* Singular value decomposition A = U diag(s) V' of an n x n matrix; A is overwritten, U gets the
 * left vectors, V' is not formed. work: 8 n doubles. Returns LAPACK's info. */
int sp_left_svd(int n, double *A, double *s, double *U, double *work);

/* packed += alpha u u', u of length d. */
void sp_add_outer(int d, double alpha, const double *u, double *packed);

/* packed += the sum of u u' over n rows u of length d, one after another. */
void sp_add_crossprod(int n, int d, const double *restrict rows, double *restrict packed);

/* packed += alpha (u v' + v u'). */
void sp_add_outer_sym(int d, double alpha, const double *restrict u, const double *restrict v,
                      double *restrict packed);

/* The three products of two rows at once, packed: uu += u u', uv += u v' + v u', vv += v v'. */
void sp_add_products(int d, const double *restrict u, const double *restrict v, double *restrict uu,
                     double *restrict uv, double *restrict vv);

/* y (n) += A weights, A n x m. */
void sp_add_columns(size_t n, size_t m, const double *A, const double *restrict weights,
                    double *restrict y);

/* Rows: out (m rows of length r, one after another) = in (m rows of length n) times M (n rows of
 * length r); in_step and M_step: from row to row. Row i of M may be nonzero from column i - first
 * on only (first = n: M is full). out may not overlap the others. */
void sp_rows_times(int m, int n, int r, const double *in, int in_step, const double *M, int M_step,
                   int first, double *restrict out);

/* x'u and x'v. */
void sp_dot_both(size_t n, const double *x, const double *u, const double *v, double *with_u,
                 double *with_v);

/* Full symmetric d x d matrix from its packed form. */
void sp_unpack(int d, const double *packed, double *full);

/* Takes `size` doubles off a workspace; with memory NULL only counts them in *used. */
static inline double *sp_take(double *memory, size_t *used, size_t size) {
    double *block = memory ? memory + *used : NULL;
    *used += size;
    return block;
}

/* Rows: out (m rows of length d) += alpha M in, M m x n column-major, in n rows. */
static inline void sp_rows_add(int m, int n, int d, double alpha, const double *M, const double *in,
                               double *out) {
    for (int i = 0; i < m; i++) {
        for (int j = 0; j < n; j++) {
            sp_axpy((size_t)d, alpha * M[i + (size_t)m * j], in + (size_t)d * j,
                    out + (size_t)d * i);
        }
    }
}

/* out = a x + b y, all of length n. */
static inline void sp_combine(size_t n, double a, const double *x, double b, const double *y,
                              double *restrict out) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        out[i] = a * x[i] + b * y[i];
        out[i + 1] = a * x[i + 1] + b * y[i + 1];
        out[i + 2] = a * x[i + 2] + b * y[i + 2];
        out[i + 3] = a * x[i + 3] + b * y[i + 3];
    }
    for (; i < n; i++) {
        out[i] = a * x[i] + b * y[i];
    }
}

/* The same with out = M in. */
static inline void sp_rows_multiply(int m, int n, int d, const double *M, const double *in,
                                    double *out) {
    if (n == 2) {
        for (int i = 0; i < m; i++) {
            sp_combine((size_t)d, M[i], in, M[i + m], in + d, out + (size_t)d * i);
        }
        return;
    }
    memset(out, 0, (size_t)m * d * sizeof(double));
    sp_rows_add(m, n, d, 1.0, M, in, out);
}

/* A (n x n) becomes (A + A') / 2. */
static inline void sp_symmetrise(int n, double *A) {
    for (int j = 0; j < n; j++) {
        for (int i = 0; i < j; i++) {
            double mean = 0.5 * (A[i + (size_t)n * j] + A[j + (size_t)n * i]);
            A[i + (size_t)n * j] = mean;
            A[j + (size_t)n * i] = mean;
        }
    }
}

#endif
