/* Step 5 of the fit: from the optimum to results in the user's units. */
#ifndef SAMEPAGE_INFERENCE_H
#define SAMEPAGE_INFERENCE_H

#include "optim.h"

/* How the user's units relate to those of the reduced data. */
typedef struct {
    const double *Rx;   /* p x p: kept columns of X = orthonormal columns times Rx */
    const double *coef; /* p: least-squares coefficients on the orthonormal columns */
    double y_scale;
    double sum_log_weights;
} sp_units;

/* Results in the user's units; k = n_par + 1 parameters, s last. All arrays are the caller's. */
typedef struct {
    double criterion;                      /* -2 log likelihood, restricted when reml */
    double *beta;                          /* p */
    double *vcov;                          /* p x p */
    double *dvcov;                         /* p x p per parameter: derivative of vcov */
    double *gradient;                      /* k, of the criterion */
    double *observed, *expected, *average; /* k x k informations of the log likelihood */
} sp_results;

/* The criterion in the user's units, from that of the reduced data. */
double sp_criterion(const sp_reduced *data, const sp_units *units, int reml, double reduced);

/* beta (p, in the user's units) from the root of an sp_value. */
void sp_beta(const sp_reduced *data, const sp_units *units, const double *root, double *beta);

size_t sp_results_work_size(const sp_reduced *data, const sp_model *model);

/* Everything at given parameters (user's units: G block after block, size x size, and s).
 * memory: sp_results_work_size doubles. Status: that of sp_reml_value; out is filled when SP_OK. */
sp_status sp_results_at(const sp_reduced *data, const sp_model *model, const sp_blocks *blocks,
                        const sp_units *units, int reml, const double *G, double s, double *memory,
                        sp_results *out);

/* Predictions of the random effects at given parameters (user's units), per level: mean[l]
 * (q_l x groups) and, unless `variance` is NULL, variance[l] (q_l x q_l x groups), given the
 * parameters and beta: G Z'V^-1 (y - X beta) and G - G Z'V^-1 Z G. Workspace and status as for
 * sp_results_at. */
sp_status sp_ranef_at(const sp_reduced *data, const sp_model *model, const sp_blocks *blocks,
                      const sp_units *units, const double *G, double s, double *memory,
                      double *const *mean, double *const *variance);

size_t sp_adjustment_work_size(const sp_reduced *data, const sp_model *model);

/* What Kenward and Roger add to vcov (p x p, user's units) at given parameters, when the covariance
 * of the estimated parameters is W (k x k, symmetric and finite, user's units):
 * 2 Phi [sum W_rs (Q_rs - P_r Phi P_s)] Phi (Kenward and Roger 1997, doi.org/10.2307/2533558).
 * memory: sp_adjustment_work_size doubles. Status: that of sp_reml_value, or SP_LAPACK. */
sp_status sp_adjustment_at(const sp_reduced *data, const sp_model *model, const sp_blocks *blocks,
                           const sp_units *units, const double *G, double s, const double *W,
                           double *memory, double *adjustment);

/* Doubles of workspace; n_squares: sum over the blocks of size times size. */
size_t sp_face_work_size(int k, int n_squares);

/* Covariance (k x k) of the estimated parameters: inverse observed information on the active face,
 * the matrices of the given ranks around G. redundant[r] is 1 for a parameter that the boundary
 * fixes as a function of those before it. Returns 0, or 1 when the information on the face is not
 * positive definite (parameters it leaves undetermined count as redundant then). */
int sp_face_covariance(const sp_blocks *blocks, int k, const double *G, const int *rank,
                       const double *gradient, const double *observed, double *memory,
                       double *covariance, int *redundant);

#endif
