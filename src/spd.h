/* Large symmetric positive definite matrices: Cholesky factor and inverse, a slice of columns at a
 * time, so that the caller can stop between two. LAPACK's own routines do the same in one call,
 * which takes half a minute for 4000 columns with R's BLAS. */
#ifndef SAMEPAGE_SPD_H
#define SAMEPAGE_SPD_H

#include "reduce.h"
#include "status.h"
#include <stddef.h>

/* Columns of a slice of an n-column matrix: a tenth of a second's work with a slow BLAS. */
int sp_slice(size_t n);

/* Lower Cholesky factor of the n x n matrix A, in place; only the lower triangle is read and
 * written. check is asked before every slice (NULL: nobody to ask).
 * Status: SP_OK; SP_SINGULAR when A is not positive definite; SP_INTERRUPTED. */
sp_status sp_spd_factor(size_t n, double *A, sp_check check, void *check_data);

/* The inverse (both triangles) of L L', in the place of the lower triangular n x n matrix L.
 * Precondition: no zero on the diagonal. work: n x n.
 * Status: SP_OK, SP_INTERRUPTED. */
sp_status sp_spd_inverse(size_t n, double *L, double *work, sp_check check, void *check_data);

#endif
