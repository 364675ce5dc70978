/* What the files of the optimiser share: optim.c (the model, the workspace, the call), optim_run.c
 * (one run from one start) and optim_starts.c (where runs begin, and which are needed). The rest of
 * the core includes optim.h. */
#ifndef SAMEPAGE_OPTIM_INNER_H
#define SAMEPAGE_OPTIM_INNER_H

#include "optim.h"

/* The smallest weight a direction starts with: from zero it would not move. */
#define SP_SMALLEST_START 0.3

/* The optimiser's own view. Per block: G = (T U diag(l)) (.)', T whitening the block's columns;
 * d = max(l, 1) and the basis F = T U diag(d), so that G = F diag(l / d)^2 F' with entries of
 * ordinary size whatever the scale of the data. */
typedef struct {
    const sp_reduced *data;
    const sp_model *model;
    const sp_blocks *blocks;
    const sp_control *control;
    int reml;
    sp_check check;
    void *check_data;
    sp_reml_work reml_work;
    sp_value value;
    sp_derivatives derivatives;
    double *F[SP_MAX_LEVELS], *G[SP_MAX_LEVELS], *root[SP_MAX_LEVELS];
    double *T, *U, *l, *best_U, *best_l, *held; /* blocks one after the other */
    double *gradient, *hessian, *fisher, *scale, *x, *step, *scaled_g, *scaled_H, *work;
    double *information, *joint; /* with s: (k + 1) x (k + 1), and two vectors of k + 1 */
    int differentiated;          /* gradient, hessian and fisher are those of the present point */
    double f;                    /* what sp_evaluate() answered last */
    int evaluations, iterations;
    int most_iterations; /* of a run */
    int interrupted;     /* the caller asked to stop */
} sp_search;

static inline size_t sp_total_squares(const sp_blocks *blocks) {
    size_t sum = 0;
    for (int b = 0; b < blocks->n_blocks; b++) {
        sum += (size_t)blocks->size[b] * blocks->size[b];
    }
    return sum;
}

static inline size_t sp_total_size(const sp_blocks *blocks) {
    size_t sum = 0;
    for (int b = 0; b < blocks->n_blocks; b++) {
        sum += (size_t)blocks->size[b];
    }
    return sum;
}

static inline const int *sp_block_columns(const sp_blocks *blocks, int block) {
    const int *columns = blocks->columns;
    for (int b = 0; b < block; b++) {
        columns += blocks->size[b];
    }
    return columns;
}

static inline double sp_degrees(const sp_search *o) {
    return (double)o->data->n - (o->reml ? o->data->p : 0);
}

static inline int sp_has_zero(const sp_search *o) {
    size_t n = sp_total_size(o->blocks);
    for (size_t i = 0; i < n; i++) {
        if (o->l[i] == 0.0) {
            return 1;
        }
    }
    return 0;
}

/* ---- optim_run.c ---------------------------------------------------------------------------- */

/* Rounding noise of the criterion at the point of the last sp_evaluate(). Where random effects are
 * far above the residuals and fixed effects say the same as they do, most of it is what solving for
 * beta costs. */
double sp_noise_of(const sp_search *o);

/* The criterion with s profiled out, at the present F and G, and as much more as rounding may hide:
 * no point looks low because its digits are lost. Infinite outside the domain. */
double sp_evaluate(sp_search *o);

/* Bases and matrices of all blocks from their factors U diag(l). */
void sp_set_point(sp_search *o);

/* The factor U diag(l) of every block's trial matrix (blocks one after the other in `matrices`,
 * overwritten), negative eigenvalues set to zero. */
void sp_factor_blocks(sp_search *o, double *matrices);

/* To an optimum from the present factors, or with Newton's steps only. */
double sp_run_from_start(sp_search *o, int newton_only, double *predicted, sp_reason *reason);

/* ---- optim_starts.c ------------------------------------------------------------------------- */

/* Runs from the factors given, if any, and from every other start that is needed; the best are left
 * in `factors`. */
sp_status sp_find_lowest(sp_search *o, sp_start given, double *factors, sp_optimum *optimum);

#endif
