/* The small dense kernels against closed forms and hand-worked cases. */
#include "ctest.h"
#include "dense.h"
#include "linalg.h"
#include <math.h>

static void products(void) {
    /* A = [1.5 -2 0.25; 3 4 -1], B = [2 1; 0.5 -3; 8 6]. */
    const double A[6] = {1.5, 3.0, -2.0, 4.0, 0.25, -1.0};
    const double B[6] = {2.0, 0.5, 8.0, 1.0, -3.0, 6.0};
    double C[9];
    sp_multiply(2, 3, 2, A, B, C);
    ct_near_all("A B", 4, C, (const double[]){4.0, 0.0, 9.0, -15.0}, 1e-15);
    /* A' = 3 x 2 times C = [4 9; 0 -15]. */
    const double D[4] = {4.0, 0.0, 9.0, -15.0};
    sp_multiply_tn(3, 2, 2, A, D, C);
    ct_near_all("A' B", 6, C, (const double[]){6.0, -8.0, 1.0, -31.5, -78.0, 17.25}, 1e-15);
    sp_multiply_nt(2, 3, 2, A, A, C);
    ct_near_all("A A'", 4, C, (const double[]){6.3125, -3.75, -3.75, 26.0}, 1e-15);
    C[0] = 99.0;
    sp_multiply(1, 0, 1, A, B, C);
    ct_near("an empty sum is zero", C[0], 0.0, 0.0);
}

/* (1 - r) I + r 11' has determinant (1 - r)^(n-1) (1 + (n-1) r). */
static void compound_symmetric(int n, double r, double *A) {
    for (int i = 0; i < n * n; i++) {
        A[i] = i % (n + 1) == 0 ? 1.0 : r;
    }
}

static void cholesky(void) {
    /* [4 2; 2 10] = L L', L = [2 0; 1 3]. */
    double A[4] = {4.0, 2.0, 2.0, 10.0};
    ct_int("a positive definite matrix is factored", sp_cholesky(2, A), 0);
    ct_near_all("its factor, zero above", 4, A, (const double[]){2.0, 1.0, 0.0, 3.0}, 1e-15);

    double C[49];
    const double r = 0.314159265358979;
    compound_symmetric(7, r, C);
    sp_cholesky(7, C);
    double det = 1.0;
    for (int i = 0; i < 7; i++) {
        det *= C[8 * i] * C[8 * i];
    }
    ct_near("compound symmetry: determinant", det, pow(1.0 - r, 6) * (1.0 + 6.0 * r), 1e-14);

    double indefinite[4] = {1.0, 2.0, 2.0, 1.0};
    ct_int("an indefinite matrix: where", sp_cholesky(2, indefinite), 2);
    double singular[4] = {1.0, 1.0, 1.0, 1.0};
    ct_int("a singular matrix", sp_cholesky(2, singular), 2);
    double zero[1] = {0.0};
    ct_int("zero", sp_cholesky(1, zero), 1);
    double missing[4] = {4.0, NAN, NAN, 10.0};
    ct_int("NaN below the diagonal", sp_cholesky(2, missing), 2);
    double infinite[1] = {NAN};
    ct_int("NaN on the diagonal", sp_cholesky(1, infinite), 1);
    ct_int("nothing to factor", sp_cholesky(0, zero), 0);
}

static void inverses(void) {
    /* [2 0; 5 4]^-1 = [1/2 0; -5/8 1/4]. */
    double L[4] = {2.0, 5.0, 0.0, 4.0};
    sp_invert_lower(2, L);
    ct_near_all("2 x 2 lower triangle", 4, L, (const double[]){0.5, -0.625, 0.0, 0.25}, 1e-15);

    double T[36] = {0.0}, inverse[36], product[36], identity[36] = {0.0};
    uint64_t seed = 11;
    for (int j = 0; j < 6; j++) {
        identity[7 * j] = 1.0;
        for (int i = j; i < 6; i++) {
            T[i + 6 * j] = i == j ? 2.0 + dense_random(&seed) : dense_random(&seed);
        }
    }
    memcpy(inverse, T, sizeof T);
    sp_invert_lower(6, inverse);
    dense_product(6, 6, 6, T, inverse, product);
    ct_near_all("6 x 6 lower triangle times its inverse", 36, product, identity, 1e-14);
}

static void solving(void) {
    double log_det;
    int sign;
    /* [a b; c d]^-1 = [d -b; -c a] / (ad - bc). */
    double M[4] = {1.7, -2.9, 3.1, 0.4}, X[4] = {1.0, 0.0, 0.0, 1.0};
    const double det = 1.7 * 0.4 - 3.1 * -2.9;
    const double inverse[4] = {0.4 / det, 2.9 / det, -3.1 / det, 1.7 / det};
    ct_int("a 2 x 2 matrix is solved", sp_solve(2, 2, M, X, &log_det, &sign), 0);
    ct_near_all("its inverse", 4, X, inverse, 1e-15);
    ct_near("log of its determinant", log_det, log(det), 1e-15);
    ct_int("sign of its determinant", sign, 1);

    double swap[4] = {0.0, 1.0, 1.0, 0.0}, b[2] = {3.5, -7.25};
    ct_int("rows are exchanged where they must be", sp_solve(2, 1, swap, b, &log_det, &sign), 0);
    ct_near_all("the other way round", 2, b, (const double[]){-7.25, 3.5}, 0.0);
    ct_int("an exchange of rows has determinant -1", sign, -1);
    ct_near("whose log is 0", log_det, 0.0, 0.0);

    /* Hilbert's 4 x 4: the inverse has whole numbers, the determinant is 1/6048000. */
    double H[16], Y[16] = {0.0};
    for (int i = 0; i < 4; i++) {
        Y[5 * i] = 1.0;
        for (int j = 0; j < 4; j++) {
            H[i + 4 * j] = 1.0 / (i + j + 1);
        }
    }
    const double whole[16] = {16,  -120,  240,  -140,  -120, 1200, -2700, 1680,
                              240, -2700, 6480, -4200, -140, 1680, -4200, 2800};
    ct_int("Hilbert's matrix is solved", sp_solve(4, 4, H, Y, &log_det, &sign), 0);
    ct_near_all("its inverse", 16, Y, whole, 1e-11);
    ct_near("its determinant", log_det, -log(6048000.0), 1e-12);

    double singular[4] = {1.0, 2.0, 0.5, 1.0}, c[2] = {1.0, 1.0};
    ct_int("a singular matrix", sp_solve(2, 1, singular, c, &log_det, &sign), 1);
    double missing[4] = {NAN, 2.0, 0.5, 1.0};
    ct_int("NaN", sp_solve(2, 1, missing, c, &log_det, &sign), 1);
    double infinite[4] = {INFINITY, 2.0, 0.5, 1.0};
    ct_int("an infinite element", sp_solve(2, 1, infinite, c, &log_det, &sign), 1);
    ct_int("nothing to solve", sp_solve(0, 0, c, c, &log_det, &sign), 0);
    ct_near("has determinant 1", log_det, 0.0, 0.0);
}

static void eigenvalues(void) {
    double A[25], kept[25], w[5], work[40], B[25] = {0.0};
    const double r = -0.1732050807568877;
    compound_symmetric(5, r, A);
    memcpy(kept, A, sizeof A);
    ct_int("compound symmetry: eigenvalues", sp_eigen(5, A, w, work), 0);
    ct_near_all("ascending", 5, w, (const double[]){1 + 4 * r, 1 - r, 1 - r, 1 - r, 1 - r}, 1e-14);
    for (int c = 0; c < 5; c++) {
        for (int i = 0; i < 25; i++) {
            B[i] += w[c] * A[5 * c + i % 5] * A[5 * c + i / 5];
        }
    }
    ct_near_all("and vectors put the matrix together again", 25, B, kept, 1e-14);

    /* [5 2; 2 2]: eigenvalues 1 and 6, vectors (1, -2) and (2, 1) over sqrt(5). */
    double T[4] = {5.0, 2.0, 2.0, 2.0};
    sp_eigen(2, T, w, work);
    ct_near_all("two by two", 2, w, (const double[]){1.0, 6.0}, 1e-15);
    const double fifth = 1.0 / sqrt(5.0);
    ct_near("the lower one's vector", T[1] / T[0], -2.0, 1e-15);
    ct_near("of length one", fabs(T[0]), fifth, 1e-15);
    ct_near("the higher one's", T[2] / T[3], 2.0, 1e-15);
    ct_near("of length one", fabs(T[3]), fifth, 1e-15);
    double unlike[4] = {2.0, 0.0, 0.0, -3.0};
    sp_eigen(2, unlike, w, work);
    ct_near_all("diagonal, to be turned", 2, w, (const double[]){-3.0, 2.0}, 0.0);
    ct_near_all("its vectors", 4, unlike, (const double[]){0.0, 1.0, 1.0, 0.0}, 0.0);

    /* Variances 4e12 and 9e-12 with a correlation of 1/2, and one of zero. */
    const double apart[9] = {4e12, 3.0, 0.0, 3.0, 9e-12, 0.0, 0.0, 0.0, 0.0};
    double vectors[9], scale[3];
    ct_int("eigenvalues of correlations", sp_eigen_scaled(3, apart, vectors, scale, w, work), 0);
    ct_near_all("whatever the scales", 3, w, (const double[]){0.0, 0.5, 1.5}, 1e-15);
    ct_near_all("which are", 3, scale, (const double[]){2e6, 3e-6, 1.0}, 1e-15);
    ct_near("the largest one's vector", vectors[6] / vectors[7], 1.0, 1e-15);

    /* [3 0; 4 5]: singular values 3 sqrt(5) and sqrt(5), left vectors (1, 3) and (3, -1) over
     * sqrt(10). */
    double S[4] = {3.0, 4.0, 0.0, 5.0}, s[2], U[4], svd_work[16];
    ct_int("singular values", sp_left_svd(2, S, s, U, svd_work), 0);
    ct_near_all("largest first", 2, s, (const double[]){3 * sqrt(5.0), sqrt(5.0)}, 1e-15);
    const double size[4] = {fabs(U[0]), fabs(U[1]), fabs(U[2]), fabs(U[3])};
    const double tenth = 1.0 / sqrt(10.0);
    ct_near_all("left vectors", 4, size, (const double[]){tenth, 3 * tenth, 3 * tenth, tenth},
                1e-15);
    double flat[4] = {1.5, 3.0, 2.5, 5.0};
    sp_left_svd(2, flat, s, U, svd_work);
    ct_near("a matrix of rank one", s[1], 0.0, 1e-15);
    /* sizes 1e9 and 1e-9 apart by a rotation of 3-4-5 */
    double wide[4] = {0.6e9, 0.8e9, -0.8e-9, 0.6e-9};
    sp_left_svd(2, wide, s, U, svd_work);
    ct_near_all("sizes far apart", 2, s, (const double[]){1e9, 1e-9}, 1e-15);
    ct_near("and the direction", U[1] / U[0], 4.0 / 3.0, 1e-15);
    double none[4] = {0.0, 0.0, 0.0, 0.0};
    sp_left_svd(2, none, s, U, svd_work);
    ct_near_all("nothing has no size", 2, s, (const double[]){0.0, 0.0}, 0.0);
    ct_near_all("in any directions", 4, U, (const double[]){1.0, 0.0, 0.0, 1.0}, 0.0);
}

static void packed(void) {
    ct_int("size of packed 4 x 4", (long)sp_packed_size(4), 10);
    ct_true("size of a wide one does not overflow", sp_packed_size(70000) == (size_t)2450035000u);
    const double u[3] = {1.5, -2.0, 0.25}, v[3] = {3.0, 5.0, -7.0};
    double P[6] = {1.0, 0.0, 0.0, 0.0, 0.0, 0.0}, full[9];
    sp_add_outer(3, 2.0, u, P);
    ct_near_all("u u', row by row", 6, P, (const double[]){5.5, -6.0, 0.75, 8.0, -1.0, 0.125},
                1e-15);
    const double rows[9] = {1.5, -2.0, 0.25, 3.0, 5.0, -7.0, 0.0, 1.0, 2.0};
    double sum[6] = {0.0}, one_by_one[6] = {0.0};
    for (int n = 0; n <= 3; n++) {
        memset(sum, 0, sizeof sum);
        sp_add_crossprod(n, 3, rows, sum);
        ct_near_all("rows' rows", 6, sum, one_by_one, 1e-15);
        sp_add_outer(3, 1.0, rows + 3 * (n % 3), one_by_one);
    }
    double Q[6] = {0.0};
    sp_add_outer_sym(3, 0.5, u, v, Q);
    ct_near_all("(u v' + v u') / 2", 6, Q, (const double[]){4.5, 0.75, -4.875, -10.0, 7.625, -1.75},
                1e-15);
    sp_unpack(3, Q, full);
    ct_near_all("unpacked", 9, full,
                (const double[]){4.5, 0.75, -4.875, 0.75, -10.0, 7.625, -4.875, 7.625, -1.75},
                1e-15);
    double y[3] = {1.0, 1.0, 1.0};
    sp_axpy(3, -2.0, u, y);
    ct_near_all("y + a x", 3, y, (const double[]){-2.0, 5.0, 0.5}, 1e-15);
    ct_near("dot product", sp_dot(3, u, v), 4.5 - 10.0 - 1.75, 1e-15);
    ct_near("of nothing", sp_dot(0, u, v), 0.0, 0.0);
}

/* The kernels on several rows against the one on a single row, for every way a length can be made
 * of fours and twos. */
static void packed_together(void) {
    enum { LONGEST = 11, SIZE = LONGEST * (LONGEST + 1) / 2 };
    double rows[2 * LONGEST];
    for (int i = 0; i < 2 * LONGEST; i++) {
        rows[i] = (double)(i * i % 17) - 8.25;
    }
    for (int d = 1; d <= LONGEST; d++) {
        const double *u = rows, *v = rows + d;
        double uu[SIZE] = {0.0}, uv[SIZE] = {0.0}, vv[SIZE] = {0.0}, both[SIZE] = {0.0};
        double of_u[SIZE] = {0.0}, of_both[SIZE] = {0.0}, of_v[SIZE] = {0.0}, sum[SIZE] = {0.0};
        int size = (int)sp_packed_size(d);
        sp_add_products(d, u, v, uu, uv, vv);
        sp_add_outer(d, 1.0, u, of_u);
        sp_add_outer_sym(d, 1.0, u, v, of_both);
        sp_add_outer(d, 1.0, v, of_v);
        ct_near_all("u u' of two rows", size, uu, of_u, 0.0);
        ct_near_all("u v' + v u'", size, uv, of_both, 0.0);
        ct_near_all("v v'", size, vv, of_v, 0.0);
        sp_add_crossprod(2, d, rows, both);
        for (int i = 0; i < size; i++) {
            sum[i] = of_u[i] + of_v[i];
        }
        ct_near_all("rows' rows", size, both, sum, 1e-13);
    }
}

static void row_factors(void) {
    /* Rows (3, 1), (4, 2), then (12, -5): R'R is the sum of their products. */
    double R[] = {0.0, 0.0, 0.0, 0.0};
    double two[] = {3.0, 4.0, 1.0, 2.0}, one[] = {12.0, -5.0}, none[] = {0.0, 0.0};
    sp_update_factor(2, 2, two, R);
    ct_near_all("factor of two rows", 4, R, (const double[]){5.0, 0.0, 2.2, 0.4}, 1e-14);
    sp_update_factor(2, 1, one, R);
    const double three[] = {13.0, 0.0, -49.0 / 13.0, sqrt(2669.0) / 13.0};
    ct_near_all("and of a third", 4, R, three, 1e-14);
    sp_update_factor(2, 1, none, R);
    ct_near_all("a row of zeros changes nothing", 4, R, three, 1e-14);
    /* Columns that differ by 1e-12: their products, 1 and 1 - 1e-12, would not know it. */
    double S[] = {0.0, 0.0, 0.0, 0.0}, close[] = {1.0, 0.0, 1.0, 1e-12};
    sp_update_factor(2, 2, close, S);
    ct_near("nearly equal columns", S[3], 1e-12, 1e-12);
}

/* Whole numbers: every sum is exact, whatever its order. */
static void kernels(void) {
    enum { MOST = 7, N = 5 };
    double in[MOST * (N + 1)], M[N * 9], out[MOST * MOST + 1], weights[MOST], y[9];
    for (int i = 0; i < MOST * (N + 1); i++) {
        in[i] = (i * 7) % 11 - 5;
    }
    for (int i = 0; i < N * 9; i++) {
        M[i] = (i * 5) % 13 - 6;
    }
    int wrong = 0;
    for (int m = 0; m <= MOST; m++) {
        for (int r = 0; r <= MOST; r++) {
            /* Row i of M counts from column i - first on. */
            for (int first = 0; first <= N; first++) {
                double held[N * 9];
                for (int i = 0; i < N; i++) {
                    for (int c = 0; c < 9; c++) {
                        held[9 * i + c] = c >= i - first ? M[9 * i + c] : 0.0;
                    }
                }
                out[m * r] = 99.0;
                sp_rows_times(m, N, r, in, N + 1, held, 9, first, out);
                wrong += out[m * r] != 99.0;
                for (int i = 0; i < m; i++) {
                    for (int c = 0; c < r; c++) {
                        double sum = 0.0;
                        for (int j = 0; j < N; j++) {
                            sum += in[(N + 1) * i + j] * held[9 * j + c];
                        }
                        wrong += out[r * i + c] != sum;
                    }
                }
            }
        }
    }
    ct_int("rows times a matrix, any number of rows and columns", wrong, 0);

    wrong = 0;
    for (int n = 0; n <= 8; n++) {
        for (int m = 0; m * n <= N * 9 && m <= MOST; m++) {
            for (int j = 0; j < m; j++) {
                weights[j] = j - 2;
            }
            for (int i = 0; i < 9; i++) {
                y[i] = i;
            }
            sp_add_columns((size_t)n, (size_t)m, M, weights, y);
            for (int i = 0; i < 9; i++) {
                double sum = i;
                for (int j = 0; i < n && j < m; j++) {
                    sum += weights[j] * M[n * j + i];
                }
                wrong += y[i] != sum;
            }
        }
    }
    ct_int("a weighted sum of columns", wrong, 0);

    wrong = 0;
    for (int n = 0; n <= 9; n++) {
        double with_u = 0.0, with_v = 0.0, u = 0.0, v = 0.0;
        sp_dot_both((size_t)n, M, in, in + 9, &with_u, &with_v);
        for (int i = 0; i < n; i++) {
            u += M[i] * in[i];
            v += M[i] * in[i + 9];
        }
        wrong += with_u != u || with_v != v;
    }
    ct_int("two dot products at once", wrong, 0);
}

int main(void) {
    products();
    kernels();
    cholesky();
    inverses();
    solving();
    eigenvalues();
    packed();
    packed_together();
    row_factors();
    return ct_end();
}
