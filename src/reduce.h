/* Step 1 of the fit: the rows are read once, dyad by dyad, and never again.
 *
 * Unit = group of the innermost level (a dyad). Per unit, Householder QR of its random-effects
 * design Z_i, applied to [Z_i X_i y_i], leaves
 *   R_i   q x q upper triangular, diagonal >= 0 (zero rows when the unit has fewer than q rows),
 *   a_i   the first q rows of Q_i'[X_i y_i],
 * and rows that are free of Z_i. Those go into one triangular factor for all units together. */
#ifndef SAMEPAGE_REDUCE_H
#define SAMEPAGE_REDUCE_H

#include "check.h"
#include "status.h"
#include <stddef.h>

/* A column of the rows: a value for each (step 1), or one for all (step 0). Columns lie where they
 * are: at a million rows a matrix of copies would cost more than the fit. */
typedef struct {
    const double *values;
    int step;
} sp_column;

/* The rows: p columns X, y, and q columns Z; weights (n, positive) may be NULL; unit holds 1-based
 * codes, 1..n_units, each of which occurs. */
typedef struct {
    int n, p, q, n_units;
    const sp_column *X;
    sp_column y;
    const sp_column *Z;
    const double *weights;
    const int *unit;
} sp_rows;

static inline double sp_at(sp_column column, int row) {
    return column.values[(size_t)column.step * (size_t)row];
}

/* The columns of a matrix with n rows, one after another. */
static inline void sp_matrix_columns(int n, int n_columns, const double *M, sp_column *columns) {
    for (int j = 0; j < n_columns; j++) {
        columns[j].values = M + (size_t)n * j;
        columns[j].step = 1;
    }
}

/* Doubles and ints of workspace that sp_reduce_rows needs, given the largest unit's size. */
size_t sp_reduce_work_size(int p, int q, int largest);
size_t sp_reduce_iwork_size(int n, int n_units, int largest);

/* Number of rows of the largest unit. count: n_units ints, filled with the rows of each.
 * Precondition: every unit[i] within 1..n_units. */
int sp_largest_unit(int n, int n_units, const int *unit, int *count);

/* Reads the rows, d = p + 1. Preconditions: q >= 1, and those of sp_rows.
 * Out: R     q * q per unit
 *      a     q rows of length d per unit (row after row)
 *      Rfree d x d upper triangular: factor of the rows free of Z
 *      Rfull d x d upper triangular: factor of [X y]
 * Status: SP_OK, SP_INTERRUPTED; SP_NOT_FINITE when an element of the rows is not finite, or so
 * large that the sum of squares of its column is not. */
sp_status sp_reduce_rows(const sp_rows *rows, double *R, double *a, double *Rfree, double *Rfull,
                         double *work, int *iwork, sp_check check, void *check_data);

/* Doubles that the reflectors of all units take. */
size_t sp_reflectors_size(int n, int n_units, int q);

/* The reflections of sp_reduce_rows, kept so that they can be replayed on another response (y is
 * read, not used).
 * Out: order      n: rows, unit by unit
 *      start      n_units + 1: offset of each unit in order
 *      reflectors per unit q vectors of its length, q scales, q signs
 *      Xfree      n x p: rotated rows of X in that order; zero where a row is not free of Z
 * work: largest * (q + p + 1); held: largest.
 * Status: SP_OK, SP_INTERRUPTED; SP_NOT_FINITE when an element of the rows is not finite. */
sp_status sp_keep_reflectors(const sp_rows *rows, int *order, int *start, double *reflectors,
                             double *Xfree, double *work, int *held, sp_check check,
                             void *check_data);

/* Applies one unit's reflections (n_rows * q + 2 q doubles, as sp_keep_reflectors left them) to a
 * column x of length n_rows: x <- Q'x. */
void sp_reflect(int n_rows, int q, const double *reflectors, double *x);

/* What the fixed design turned out to be. */
typedef struct {
    int rank;
    double rss;     /* residual sum of squares of least squares */
    double y_scale; /* sqrt(rss / (n - rank)), or 1 when that is zero */
} sp_fixed;

/* QR of the p columns of Rfull (d x d, overwritten) with lm's limited pivoting: a column whose
 * remaining norm is below tolerance times its norm is set aside as aliased.
 * Out: kept    0-based columns kept (first `rank` entries), then the aliased ones
 *      Rx      rank x rank upper triangular factor of the kept columns
 *      coef    rank: coefficients of y on the orthonormal columns X Rx^-1
 *      alias   p x p: column j holds, for the j-th aliased column, its coefficients on the kept
 *              columns (user's scale, first `rank` entries)
 * Precondition: Rfull finite. Rank 0 and n <= rank are answers. */
void sp_rank_fixed(int n, int p, double tolerance, double *Rfull, int *kept, double *Rx,
                   double *coef, double *alias, sp_fixed *fixed);

/* Rewrites n_rows row vectors of length p + 1 (kept columns of X, then y) in the orthonormal basis:
 * X Rx^-1, and y minus its least-squares fit, over y_scale. Rows shrink to length rank + 1 and move
 * up, so the result is contiguous. fixed, kept, Rx, coef: as sp_rank_fixed left them.
 * Status: SP_OK, SP_INTERRUPTED. */
sp_status sp_orthonormalise(size_t n_rows, int p, const sp_fixed *fixed, const int *kept,
                            const double *Rx, const double *coef, double *rows, sp_check check,
                            void *check_data);

/* What a search for the optimum begins with, so that it need not look at units.
 * factor (q x q): triangular factor of Z over all rows, from those of the units, or of count[i]
 * units like unit[i] each (NULL: of all units). From rows, not from Z'Z: columns such as time and
 * its square, far from zero, would lose the digits between them. work: q * q. */
void sp_factor_units(int n, int q, const double *R, const int *unit, const double *count,
                     double *factor, double *work);

/* mean_squares (q + 1): of y in row j of the units that have one, and last in the free rows; 0
 * where there are none. Cfree: packed cross-products of the free rows. */
void sp_mean_squares(int n, int n_units, int q, int d, const double *R, const double *a,
                     const double *Cfree, double *mean_squares);

/* Other coordinates for [X y], in which they are orthogonal in the metric of some V^-1:
 * [X y] root, root = [upper triangular p x p | (-beta, 1)] (d x d, as sp_reml_value leaves it).
 * Row vectors of length d in place: */
void sp_change_rows(size_t n_rows, int d, const double *root, double *rows);

/* Rx (p x p) and coef, in place, for X root_xx in place of X, where y was divided by y_scale. */
void sp_change_fixed(int p, const double *root, double y_scale, double *Rx, double *coef);

#endif
