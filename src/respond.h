/* Another response for the same design: what sp_reduce_rows did to y is replayed on a new y, and
 * nothing that depends on X and Z alone is computed again. */
#ifndef SAMEPAGE_RESPOND_H
#define SAMEPAGE_RESPOND_H

#include "pattern.h"
#include <stddef.h>

/* The design, as sp_keep_reflectors and sp_orthonormalise left it. */
typedef struct {
    int n, n_units, q, p, d; /* d = p + 1; p columns kept */
    const int *order, *start;
    const double *reflectors;
    const double *weights;  /* n or NULL */
    int n_free;             /* kept columns of X that are not inside the span of Z everywhere */
    const int *free_column; /* their places among the kept ones, 0-based */
    const double *Xfree;    /* n x n_free, rows in the order of `order` */
    const double *Rx;       /* p x p */
} sp_replay;

/* Doubles of workspace. */
size_t sp_respond_work_size(const sp_replay *design);

/* Reduces y.
 * In and out: a (n_units * q rows of length d, orthonormal basis): the last column is replaced
 *             Cfree (packed d x d): its last column is replaced
 * Out: coef (p) on the orthonormal columns, rss, y_scale as in sp_fixed. */
void sp_respond(const sp_replay *design, const double *y, double *a, double *Cfree, double *coef,
                double *rss, double *y_scale, double *work);

/* Replaces what depends on y in the sums of cells (see sp_sum_cells). */
void sp_respond_cells(int n_units, int n_cells, int q, int d, const int *unit_cell, const double *a,
                      double *cell_sum);

/* The same for the cross-products B of the n_shared shared items (see sp_cross_products), after
 * the sums of cells. work: d for each of the n_shared q (q + 1) / 2 matrices, and q d. */
void sp_respond_products(int n_units, int q, int d, int n_shared, const int *unit_item,
                         const double *a, const sp_centres *centres, double *B, double *work);

#endif
