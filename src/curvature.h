/* Second derivatives of X'V^-1 X along given directions of the covariance parameters, as the
 * adjustment of Kenward and Roger needs them: V is linear in the parameters, so along a direction u
 * with D = sum u_r D_r, the second derivative is 2 X'V^-1 D V^-1 D V^-1 X. */
#ifndef SAMEPAGE_CURVATURE_H
#define SAMEPAGE_CURVATURE_H

#include "reml.h"

/* How the parameters of a point move: the derivatives of its G and s. */
typedef struct {
    const double *G[SP_MAX_LEVELS]; /* q_l x q_l, symmetric */
    double s;
} sp_direction;

size_t sp_curvature_work_size(const sp_reduced *data, const sp_model *model);

/* Sum over the directions of weight times the second derivative of [X y]'V^-1[X y], packed, at the
 * point of the last sp_reml_value (whose work is read). memory: sp_curvature_work_size doubles.
 * Status: SP_OK; SP_SINGULAR when a node's I + J G cannot be solved; SP_INTERRUPTED. */
sp_status sp_reml_curvature(const sp_reduced *data, const sp_model *model, const sp_point *point,
                            const sp_reml_work *work, int n_directions,
                            const sp_direction *directions, const double *weights, double *memory,
                            double *packed);

#endif
