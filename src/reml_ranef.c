#include "crossed.h"
#include "reml_inner.h"
#include <string.h>

/* Var part that all levels from `level` up contribute inside one node of that level: the matrix M
 * with V^-1 = V_inner^-1 - V_inner^-1 Z M Z' V_inner^-1 within the node. */
static void nested_gain(const sp_reduced *data, const sp_reml_work *work, int level, int t,
                        double *M, double *scratch) {
    int q = data->q;
    size_t qq = (size_t)q * q;
    size_t node = work->offset[level] + (size_t)t;
    memcpy(M, work->N + qq * node, qq * sizeof(double));
    if (level + 1 == data->n_levels) {
        return;
    }
    double *above = scratch, *shrink = above + qq, *X = shrink + qq;
    nested_gain(data, work, level + 1, data->parent[level][t], above, X + qq);
    sp_multiply(q, q, q, work->N + qq * node, work->J + qq * node, shrink);
    for (size_t i = 0; i < qq; i++) {
        shrink[i] = (i % ((size_t)q + 1) == 0) - shrink[i];
    }
    sp_multiply(q, q, q, shrink, above, X);
    sp_multiply_nt(q, q, q, X, shrink, above);
    sp_axpy(qq, 1.0, above, M);
}

/* v (q) = Z'V^-1(y - X beta) and K (q x q) = Z'V^-1 Z of a unit, where V holds its own effects and
 * residuals only, but y also less what the levels above predict (z, or NULL). scratch: 2 square
 * matrices and 2 q. */
static void project_unit(const sp_reduced *data, const sp_model *model, const sp_point *point,
                         int unit, const double *rho, const double *z, double *v, double *K,
                         double *scratch) {
    int q = data->q, q0 = model->dim[0];
    size_t d = (size_t)data->d, mm = sp_widest(model) * sp_widest(model);
    const double *R = data->R + (size_t)q * q * unit, *a = data->a + (size_t)q * d * unit;
    double *L = scratch, *Ci = L + mm, *w = Ci + mm, *CiR = L;
    sp_multiply(q, q, q0, R, point->F[0], L);
    sp_multiply(q, q0, q0, L, point->G[0], K);
    sp_multiply_nt(q, q0, q, K, L, Ci);
    for (int i = 0; i < q; i++) {
        Ci[i + (size_t)q * i] += point->s;
    }
    sp_cholesky(q, Ci);
    sp_invert_lower(q, Ci);
    sp_multiply(q, q, q, Ci, R, CiR);
    sp_multiply_tn(q, q, q, CiR, CiR, K);
    for (int i = 0; i < q; i++) {
        w[i] = sp_dot(d, a + d * i, rho);
        for (int j = 0; z && j < q; j++) {
            w[i] -= R[i + (size_t)q * j] * z[d * j + d - 1];
        }
    }
    sp_multiply(q, q, 1, Ci, w, w + q);
    sp_multiply_tn(q, q, 1, CiR, w + q, v);
}

/* The same of a node, which sp_descend() has left behind: v and K. */
static void project_node(const sp_reduced *data, const sp_reml_work *work, size_t node, double *v,
                         double *K) {
    size_t q = (size_t)data->q, d = (size_t)data->d;
    for (size_t i = 0; i < q; i++) {
        v[i] = work->hhat[q * d * node + d * i + d - 1];
    }
    memcpy(K, work->K + q * q * node, q * q * sizeof(double));
}

/* variance (ql x ql) = G - (F G)'(K - K M K) F G, where M (q x q, or NULL) is what the levels above
 * contribute. K is overwritten; scratch: 2 square matrices. */
static void remaining_variance(int q, int ql, const double *G, const double *FG, const double *M,
                               double *K, double *variance, double *scratch) {
    size_t size = (size_t)(q > ql ? q : ql) * q;
    double *X = scratch, *Y = X + size;
    if (M) {
        sp_multiply(q, q, q, K, M, X);
        sp_multiply(q, q, q, X, K, Y);
        sp_axpy((size_t)q * q, -1.0, Y, K);
    }
    sp_multiply(q, q, ql, K, FG, X);
    sp_multiply_tn(ql, q, ql, FG, X, variance);
    for (size_t i = 0; i < (size_t)ql * ql; i++) {
        variance[i] = G[i] - variance[i];
    }
}

sp_status sp_reml_ranef(const sp_reduced *data, const sp_model *model, const sp_point *point,
                        sp_reml_work *work, const sp_value *value, int level, double *mean,
                        double *variance) {
    int q = data->q, d = data->d, ql = model->dim[level];
    size_t qq = (size_t)q * q, qd = (size_t)q * d;
    if (data->crossed) {
        return sp_crossed_ranef(data, model, point, work->crossed, value, level, mean, variance);
    }
    const double *rho = value->root + (size_t)d * data->p;
    size_t m = sp_widest(model), mm = m * m;
    double *FG = work->small, *K = FG + mm, *v = K + mm, *M = v + m, *scratch = M + qq;
    const int has_above = level + 1 < data->n_levels;
    sp_set_root_rows(d, value->root, work->root_rows);
    sp_descend(data, model, point, work);
    sp_multiply(q, ql, ql, point->F[level], point->G[level], FG);
    sp_asking asking = sp_ask_later(data->check, data->check_data);
    for (int t = 0; t < data->n_nodes[level]; t++) {
        if (sp_must_stop(&asking, sp_value_work(data))) {
            return SP_INTERRUPTED;
        }
        if (level > 0) {
            project_node(data, work, work->offset[level] + (size_t)t, v, K);
        } else {
            const double *z = has_above ? work->z + qd * (size_t)data->parent[0][t] : NULL;
            project_unit(data, model, point, t, rho, z, v, K, scratch);
        }
        sp_multiply_tn(ql, q, 1, FG, v, mean + (size_t)ql * t);
        if (variance) {
            if (has_above) {
                nested_gain(data, work, level + 1, data->parent[level][t], M, scratch);
            }
            remaining_variance(q, ql, point->G[level], FG, has_above ? M : NULL, K,
                               variance + (size_t)ql * ql * t, scratch);
        }
    }
    return SP_OK;
}
