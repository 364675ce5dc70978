/* Step 4 of the fit: the covariance parameters that minimise the criterion, s profiled out.
 *
 * A few scoring steps from a start that moments of the data give, then Newton steps in a trust
 * region on triangular factors of the covariance matrices. The factor makes boundary points
 * ordinary: a singular matrix has a zero column. */
#ifndef SAMEPAGE_OPTIM_H
#define SAMEPAGE_OPTIM_H

#include "reml.h"

/* Covariance blocks: unstructured matrices over columns of Z, at a level. */
typedef struct {
    int n_blocks;
    const int *level, *size;
    const int *columns; /* 0-based, block after block */
} sp_blocks;

typedef struct {
    double fall_tolerance; /* stop when the predicted fall of the criterion is below this */
    double zero_tolerance; /* a direction is dropped when that raises the criterion by less */
    int max_iterations;
    int few_units;         /* at most this many groups: try several starts; 0: never */
    double largest_effect; /* limit of the random effects' standard deviations, relative to s */
} sp_control;

typedef enum {
    SP_REASON_NONE = 0,
    SP_REASON_ITERATIONS, /* max_iterations reached */
    SP_REASON_START,      /* criterion not finite at any start */
    SP_REASON_STUCK,      /* no step lowers the criterion, yet one should */
    SP_REASON_UNBOUNDED   /* the likelihood grows without bound as s goes to zero */
} sp_reason;

typedef struct {
    sp_fit fit;
    sp_reason reason;
    double criterion;      /* profiled, in the units of the reduced data */
    double s;              /* residual variance */
    double predicted_fall; /* at the end */
    int iterations, evaluations;
    const double *root; /* of sp_value there (d x d, within the optimiser's memory) */
    double inflation;   /* of sp_value there; 1 on the general path */
} sp_optimum;

/* Sizes of a model: number of G parameters, and its description in caller's memory (n_par ints
 * each). dim and n_levels are filled in. */
int sp_model_size(const sp_blocks *blocks);
void sp_model_init(const sp_blocks *blocks, int n_levels, int q, int *level, int *row, int *col,
                   sp_model *model);

/* The basis that selects the blocks' columns (natural parameters): F, q x dim[level]. */
void sp_natural_basis(const sp_blocks *blocks, const sp_model *model, int level, double *F);

/* Position of a block's first coordinate within its level. */
int sp_block_offset(const sp_blocks *blocks, int block);

size_t sp_optimise_work_size(const sp_reduced *data, const sp_model *model,
                             const sp_blocks *blocks);

/* Doubles of the optimiser's factors. */
size_t sp_factors_size(const sp_blocks *blocks);

/* Where the search begins: starts found from the data, or factors that an earlier optimum of the
 * same units and blocks left: that of another response, or this one's, to go on from. */
typedef enum { SP_FROM_DATA, SP_FROM_OTHER, SP_FROM_OPTIMUM } sp_start;

/* Out: G (block after block, size x size) relative to s, rank (per block), the optimum, and its
 * factors, which are read before where `start` says so.
 * check is asked before every iteration (NULL: nobody to ask).
 * Status: SP_OK, whatever was found; SP_INTERRUPTED, and nothing is filled in. */
sp_status sp_optimise(const sp_reduced *data, const sp_model *model, const sp_blocks *blocks,
                      int reml, const sp_control *control, double *memory, sp_start start,
                      double *factors, double *G, int *rank, sp_optimum *optimum, sp_check check,
                      void *check_data);

#endif
