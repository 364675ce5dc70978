/* Factor and inverse of large matrices with closed forms, across slices. */
#include "ctest.h"
#include "dense.h"
#include "spd.h"
#include "stopping.h"

/* I + u u': determinant 1 + u'u, inverse I - u u' / (1 + u'u). */
static void rank_one(int n) {
    double *A = dense_new((size_t)n * n), *work = dense_new((size_t)n * n);
    double *inverse = dense_new((size_t)n * n), *u = dense_new((size_t)n), uu = 0.0, det = 0.0;
    uint64_t seed = 6;
    for (int i = 0; i < n; i++) {
        u[i] = dense_random(&seed);
        uu += u[i] * u[i];
    }
    for (int j = 0; j < n; j++) {
        for (int i = 0; i < n; i++) {
            /* The upper triangle is nobody's business. */
            A[i + (size_t)n * j] = i < j ? NAN : (i == j) + u[i] * u[j];
            inverse[i + (size_t)n * j] = (i == j) - u[i] * u[j] / (1 + uu);
        }
    }
    printf("# %d columns in slices of %d\n", n, sp_slice((size_t)n));
    ct_int("factored", sp_spd_factor((size_t)n, A, NULL, NULL), SP_OK);
    for (int i = 0; i < n; i++) {
        det += 2 * log(A[i + (size_t)n * i]);
    }
    ct_near("  determinant", det, log(1 + uu), 1e-12);
    ct_int("  inverted", sp_spd_inverse((size_t)n, A, work, NULL, NULL), SP_OK);
    ct_near_all("  both triangles", n * n, A, inverse, 1e-13);
    free(A);
    free(work);
    free(inverse);
    free(u);
}

int main(void) {
    ct_true("slices shrink as matrices grow",
            sp_slice(10) == 64 && sp_slice(4000) == 12 && sp_slice(100000) == 4);
    const int sizes[5] = {1, 63, 64, 65, 200};
    for (int i = 0; i < 5; i++) {
        rank_one(sizes[i]);
    }

    /* Positive definite but for the last column, beside one in another slice. */
    enum { N = 130 };
    double *A = dense_new(N * N);
    for (int i = 0; i < N; i++) {
        A[i * (N + 1)] = 2.0;
    }
    A[N - 1 + N * 3] = 2.5;
    ct_int("an indefinite matrix", sp_spd_factor(N, A, NULL, NULL), SP_SINGULAR);
    for (int i = 0; i < N * N; i++) {
        A[i] = i % (N + 1) == 0 ? 2.0 : 0.0;
    }
    A[70 * (N + 1)] = NAN;
    ct_int("NaN", sp_spd_factor(N, A, NULL, NULL), SP_SINGULAR);

    double *work = dense_new(N * N);
    int stopped = 0;
    for (int slice = 0; slice < 3; slice++) {
        int left = slice;
        A[70 * (N + 1)] = 2.0;
        stopped += sp_spd_factor(N, A, stop_at, &left) == SP_INTERRUPTED;
    }
    for (int slice = 0; slice < 6; slice++) {
        int left = slice;
        stopped += sp_spd_inverse(N, A, work, stop_at, &left) == SP_INTERRUPTED;
    }
    ct_int("asked to stop before any slice, it does", stopped, 9);
    ct_int("nothing to do", sp_spd_factor(0, A, NULL, NULL), SP_OK);
    free(A);
    free(work);
    return ct_end();
}
