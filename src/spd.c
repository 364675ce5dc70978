#include "spd.h"
#include "lapack.h"
#include <string.h>

int sp_slice(size_t n) {
    const double columns = 2e8 / ((double)n * (double)n + 1.0);
    return columns < 4.0 ? 4 : columns > 64.0 ? 64 : (int)columns;
}

static int width_of(size_t n, size_t from) {
    size_t slice = (size_t)sp_slice(n);
    return (int)(n - from < slice ? n - from : slice);
}

/* Column by column of slices: what the slices before contribute is taken off, the diagonal block
 * factored, the rest solved for. */
sp_status sp_spd_factor(size_t n, double *A, sp_check check, void *check_data) {
    const double one = 1.0, minus_one = -1.0;
    const int ld = (int)n;
    for (size_t j = 0; j < n; j += (size_t)sp_slice(n)) {
        if (check && check(check_data)) {
            return SP_INTERRUPTED;
        }
        int width = width_of(n, j), before = (int)j, rows = (int)(n - j), info = 0;
        double *diagonal = A + j + n * j;
        if (before > 0) {
            F77_CALL(dgemm)
            ("N", "T", &rows, &width, &before, &minus_one, A + j, &ld, A + j, &ld, &one, diagonal,
             &ld SP_FCONE SP_FCONE);
        }
        F77_CALL(dpotrf)("L", &width, diagonal, &ld, &info SP_FCONE);
        if (info) {
            return SP_SINGULAR;
        }
        int below = rows - width;
        if (below > 0) {
            F77_CALL(dtrsm)
            ("R", "L", "T", "N", &below, &width, &one, diagonal, &ld, diagonal + width,
             &ld SP_FCONE SP_FCONE SP_FCONE SP_FCONE);
        }
    }
    return SP_OK;
}

/* X = L^-1 in work, then X'X. */
sp_status sp_spd_inverse(size_t n, double *L, double *work, sp_check check, void *check_data) {
    const double one = 1.0;
    const int ld = (int)n;
    memset(work, 0, n * n * sizeof(double));
    for (size_t j = 0; j < n; j += (size_t)sp_slice(n)) {
        if (check && check(check_data)) {
            return SP_INTERRUPTED;
        }
        int width = width_of(n, j), rows = (int)(n - j);
        double *X = work + j + n * j;
        for (int c = 0; c < width; c++) {
            X[(size_t)c * (n + 1)] = 1.0;
        }
        F77_CALL(dtrsm)
        ("L", "L", "N", "N", &rows, &width, &one, L + j + n * j, &ld, X,
         &ld SP_FCONE SP_FCONE SP_FCONE SP_FCONE);
    }
    for (size_t j = 0; j < n; j += (size_t)sp_slice(n)) {
        if (check && check(check_data)) {
            return SP_INTERRUPTED;
        }
        int width = width_of(n, j), rows = (int)(n - j);
        const double *X = work + j + n * j;
        double *product = L + j + n * j;
        for (int c = 0; c < width; c++) {
            memcpy(product + n * (size_t)c, X + n * (size_t)c, (size_t)rows * sizeof(double));
        }
        F77_CALL(dtrmm)
        ("L", "L", "T", "N", &rows, &width, &one, X, &ld, product,
         &ld SP_FCONE SP_FCONE SP_FCONE SP_FCONE);
    }
    for (size_t j = 0; j < n; j++) {
        for (size_t i = 0; i < j; i++) {
            L[i + n * j] = L[j + n * i];
        }
    }
    return SP_OK;
}
