/* What the files of step 3 share: reml.c (workspace and value), reml_derivatives.c and
 * reml_ranef.c. The rest of the core includes reml.h. */
#ifndef SAMEPAGE_REML_INNER_H
#define SAMEPAGE_REML_INNER_H

#include "linalg.h"
#include "reml.h"

static inline size_t sp_n_upper_nodes(const sp_reduced *data, int from_level) {
    size_t sum = 0;
    for (int l = from_level; l < data->n_levels; l++) {
        sum += (size_t)data->n_nodes[l];
    }
    return sum;
}

/* Doubles of a level's sums for the traces (level_sums of reml_derivatives.c), and of all levels'.
 */
static inline size_t sp_level_sums_size(int n) {
    return 4 * sp_packed_size(n) + 3 * sp_packed_size(n) * sp_packed_size(n);
}

static inline size_t sp_all_level_sums_size(const sp_model *model) {
    size_t sum = 0;
    for (int l = 0; l < model->n_levels; l++) {
        sum += sp_level_sums_size(model->dim[l]);
    }
    return sum;
}

/* Row vectors in the coordinates of root: out = in root, root = [upper triangular p x p | rho],
 * given by its rows. */
static inline void sp_rows_transform(int n_rows, int d, const double *root_rows, const double *in,
                                     double *out) {
    sp_rows_times(n_rows, d, d, in, d, root_rows, d, 0, out);
}

static inline void sp_set_root_rows(int d, const double *root, double *root_rows) {
    for (int j = 0; j < d; j++) {
        for (int i = 0; i < d; i++) {
            root_rows[j + (size_t)d * i] = root[i + (size_t)d * j];
        }
    }
}

static inline const double *sp_item_R(const sp_reduced *data, int item) {
    return data->R + (size_t)data->q * data->q * data->item_unit[item];
}

static inline const double *sp_item_rows(const sp_reduced *data, int item) {
    return data->a + (size_t)data->q * data->d * data->item_unit[item];
}

/* Weights of an item's products in the sum over a, b of M_ab B_ab, M symmetric (q x q). */
static inline void sp_shared_weights(int q, const double *M, double *weights) {
    for (int b = 0; b < q; b++) {
        for (int a = 0; a < b; a++) {
            *weights++ = 2.0 * M[a + (size_t)q * b];
        }
        *weights++ = M[b + (size_t)q * b];
    }
}

/* Multiplications that an evaluation, and its derivatives, cost per item or node. */
static inline double sp_value_work(const sp_reduced *data) {
    return (double)data->q * (data->q * data->q + 0.5 * data->d * (data->q + data->d)) + 50.0;
}

/* From the highest level down, at the point of the last sp_reml_value: what all levels together
 * predict (z) and Z'V^-1[X y] (hhat), in the coordinates of root, whose rows work holds. */
void sp_descend(const sp_reduced *data, const sp_model *model, const sp_point *point,
                sp_reml_work *work);

#endif
