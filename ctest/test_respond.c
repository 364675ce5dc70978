/* A response replayed on a reduced design against the same response reduced from the rows: the
 * same numbers, by the other way. */
#include "ctest.h"
#include "linalg.h"
#include "pattern.h"
#include "reduce.h"
#include "respond.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 23, M = 6, Q = 2, P = 3, D = P + 1 };

/* Everything sp_reduce_rows and what follows it leave of one response. */
typedef struct {
    double R[Q * Q * M], a[Q * D * M], Cfree[D * (D + 1) / 2], Rx[P * P], coef[P];
    int kept[P];
    sp_fixed fixed;
} reduction;

static void reduce(const sp_rows *rows, reduction *out) {
    double Rfree[D * D], Rfull[D * D], alias[P * P], free_rows[D * D];
    int counts[M];
    int largest = sp_largest_unit(N, M, rows->unit, counts);
    double *work = calloc(sp_reduce_work_size(P, Q, largest), sizeof(double));
    int *iwork = calloc(sp_reduce_iwork_size(N, M, largest), sizeof(int));
    ct_int("rows are reduced",
           sp_reduce_rows(rows, out->R, out->a, Rfree, Rfull, work, iwork, NULL, NULL), SP_OK);
    sp_rank_fixed(N, P, 1e-7, Rfull, out->kept, out->Rx, out->coef, alias, &out->fixed);
    sp_orthonormalise((size_t)M * Q, P, &out->fixed, out->kept, out->Rx, out->coef, out->a, NULL,
                      NULL);
    for (int i = 0; i < D; i++) {
        for (int j = 0; j < D; j++) {
            free_rows[D * i + j] = i <= j ? Rfree[i + D * j] : 0.0;
        }
    }
    sp_orthonormalise(D, P, &out->fixed, out->kept, out->Rx, out->coef, free_rows, NULL, NULL);
    memset(out->Cfree, 0, sizeof out->Cfree);
    for (int i = 0; i < D; i++) {
        sp_add_outer(D, 1.0, free_rows + D * i, out->Cfree);
    }
    free(work);
    free(iwork);
}

int main(void) {
    /* Units of one to nine rows, one of them with a column of Z that does not vary. */
    const int unit[N] = {1, 2, 2, 2, 1, 3, 4, 4, 4, 4, 4, 5, 5, 6, 6, 6, 6, 6, 6, 6, 6, 6, 1};
    double X[N * P], Z[N * Q], first[N], second[N], weights[N];
    for (int i = 0; i < N; i++) {
        double time = unit[i] == 5 ? 2.0 : (double)(i % 7);
        X[i] = Z[i] = 1.0;
        X[i + N] = Z[i + N] = time;
        X[i + 2 * N] = sin(3.7 * i);
        first[i] = cos(1.3 * i) * 4.0 + 2.0 * time;
        second[i] = sin(0.9 * i * i) + 100.0 - time;
        weights[i] = 0.5 + (i % 3);
    }
    sp_column x[P], z[Q];
    sp_matrix_columns(N, P, X, x);
    sp_matrix_columns(N, Q, Z, z);
    sp_rows rows = {N, P, Q, M, x, {first, 1}, z, weights, unit};
    reduction from_first, expected;
    reduce(&rows, &from_first);
    /* The intercepts once more, one value for all rows. */
    x[0].step = z[0].step = 0;
    rows.y.values = second;
    reduce(&rows, &expected);

    int order[N], start[M + 1], held[N];
    double *reflectors = calloc(sp_reflectors_size(N, M, Q), sizeof(double));
    double Xfree[N * P], work[N * (Q + D)];
    ct_int("reflections are kept",
           sp_keep_reflectors(&rows, order, start, reflectors, Xfree, work, held, NULL, NULL),
           SP_OK);
    /* All three columns are taken as free: the first two are zero where it matters. */
    const int free_column[P] = {0, 1, 2};
    sp_replay replay = {N,          M,       Q, P,           D,     order,        start,
                        reflectors, weights, P, free_column, Xfree, from_first.Rx};
    double *memory = calloc(sp_respond_work_size(&replay), sizeof(double));
    double coef[P], rss, y_scale;
    sp_respond(&replay, second, from_first.a, from_first.Cfree, coef, &rss, &y_scale, memory);
    ct_near_all("rotated rows", Q * D * M, from_first.a, expected.a, 1e-12);
    ct_near_all("cross-products of free rows", D * (D + 1) / 2, from_first.Cfree, expected.Cfree,
                1e-12);
    ct_near_all("coefficients", P, coef, expected.coef, 1e-12);
    ct_near("residual sum of squares", rss, expected.fixed.rss, 1e-12);
    ct_near("scale of y", y_scale, expected.fixed.y_scale, 1e-12);

    /* Items and cells: units 1 to 4 share two items, all of them three cells. */
    const int unit_item[M] = {0, 1, 0, 1, 2, 3}, unit_cell[M] = {0, 0, 1, 2, 2, 1};
    enum { PRODUCTS = 2 * 3 * D * (D + 1) / 2, SUMS = 3 * Q * D };
    double B[PRODUCTS], B_expected[PRODUCTS], sums[SUMS], sums_expected[SUMS];
    const double count[3] = {2.0, 2.0, 2.0};
    double row[Q * D], columns[(2 * 3 + Q) * D];
    sp_sum_cells(M, 3, Q, D, unit_cell, expected.a, sums_expected);
    memcpy(sums, sums_expected, sizeof sums);
    for (int row_of = 0; row_of < 3 * Q; row_of++) {
        sums[row_of * D + P] = 99.0;
    }
    sp_respond_cells(M, 3, Q, D, unit_cell, expected.a, sums);
    ct_near_all("sums of cells", SUMS, sums, sums_expected, 1e-13);
    const sp_centres centres = {unit_cell, count, sums_expected};
    sp_cross_products(M, Q, D, 2, unit_item, expected.a, &centres, B_expected, row, NULL, NULL);
    memcpy(B, B_expected, sizeof B);
    for (int matrix = 0; matrix < 2 * 3; matrix++) {
        /* Spoil what depends on y. */
        B[matrix * 10 + 3] = B[matrix * 10 + 6] = B[matrix * 10 + 8] = B[matrix * 10 + 9] = 99.0;
    }
    sp_respond_products(M, Q, D, 2, unit_item, expected.a, &centres, B, columns);
    ct_near_all("cross-products of shared items", PRODUCTS, B, B_expected, 1e-13);
    sp_cross_products(M, Q, D, 2, unit_item, expected.a, NULL, B_expected, row, NULL, NULL);
    sp_respond_products(M, Q, D, 2, unit_item, expected.a, NULL, B, columns);
    const int last[4] = {3, 6, 8, 9};
    double about_zero[2 * 3 * 4], about_zero_expected[2 * 3 * 4];
    for (int i = 0; i < 2 * 3 * 4; i++) {
        about_zero[i] = B[i / 4 * 10 + last[i % 4]];
        about_zero_expected[i] = B_expected[i / 4 * 10 + last[i % 4]];
    }
    ct_near_all("cross-products of shared items about zero", 2 * 3 * 4, about_zero,
                about_zero_expected, 1e-13);

    free(reflectors);
    free(memory);
    return ct_end();
}
