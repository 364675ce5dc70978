#include "crossed.h"
#include "reml_inner.h"
#include <math.h>
#include <string.h>

/* ---- workspace ------------------------------------------------------------------------------ */

static size_t carve(const sp_reduced *data, const sp_model *model, double *memory,
                    sp_reml_work *work) {
    size_t q = (size_t)data->q, d = (size_t)data->d, qq = q * q, qd = q * d;
    size_t k = (size_t)model->n_par + 1;
    size_t items = (size_t)data->n_items;
    size_t nodes = sp_n_upper_nodes(data, 1);
    size_t high = sp_n_upper_nodes(data, 2) + (data->n_levels > 1); /* one slot for level 1 */
    size_t used = 0;
    work->Ci = sp_take(memory, &used, items * qq);
    work->W = sp_take(memory, &used, items * qq);
    work->Rn = sp_take(memory, &used, nodes * qq);
    work->Cn = sp_take(memory, &used, nodes * qq);
    work->J = sp_take(memory, &used, nodes * qq);
    work->N = sp_take(memory, &used, nodes * qq);
    work->K = sp_take(memory, &used, nodes * qq);
    work->h = sp_take(memory, &used, nodes * qd);
    work->an = sp_take(memory, &used, nodes * qd);
    work->z = sp_take(memory, &used, nodes * qd);
    work->hhat = sp_take(memory, &used, nodes * qd);
    work->node_Ga = sp_take(memory, &used, high * k * qq);
    work->node_De =
        sp_take(memory, &used, data->n_levels > 2 ? high * sp_packed_size((int)k) * qq : 0);
    work->node_y = sp_take(memory, &used, high * k * qd);
    work->cv = sp_take(memory, &used, sp_packed_size(data->d));
    work->Phi = sp_take(memory, &used, d * d);
    work->root_rows = sp_take(memory, &used, d * d);
    work->weights = sp_take(memory, &used, (size_t)data->n_shared * sp_packed_size(data->q));
    work->level_sums = sp_take(memory, &used, sp_all_level_sums_size(model));
    work->weight_tau = sp_take(memory, &used, sp_packed_size(data->d));
    work->weight_rho = sp_take(memory, &used, sp_packed_size(data->d));
    work->P_shared = sp_take(memory, &used, 2 * k * sp_packed_size(data->d));
    work->T = sp_take(memory, &used, k * k);
    work->trQ = sp_take(memory, &used, k * k);
    work->rQ = sp_take(memory, &used, k * k);
    size_t m = sp_widest(model);
    work->small = sp_take(memory, &used, 40 * m * m + 8 * m * d + k * (qq + qd) + 3 * d * d);
    size_t first = 0;
    work->offset[0] = 0;
    for (int l = 1; l < data->n_levels; l++) {
        work->offset[l] = first;
        first += (size_t)data->n_nodes[l];
    }
    return used;
}

size_t sp_reml_work_size(const sp_reduced *data, const sp_model *model) {
    if (data->crossed) {
        return sp_crossed_work_size(data, model);
    }
    sp_reml_work unused;
    return carve(data, model, NULL, &unused);
}

void sp_reml_work_init(const sp_reduced *data, const sp_model *model, double *memory,
                       sp_reml_work *work) {
    work->crossed = memory;
    if (!data->crossed) {
        carve(data, model, memory, work);
    }
}

size_t sp_derivatives_size(int d, int k) {
    return 3 * (size_t)k + (size_t)k * d * d + 2 * (size_t)k * k;
}

void sp_derivatives_init(int d, int k, double *memory, sp_derivatives *out) {
    out->k = k;
    out->trace = memory;
    out->trace_x = out->trace + k;
    out->square = out->trace_x + k;
    out->P = out->square + k;
    out->expected = out->P + (size_t)k * d * d;
    out->average = out->expected + (size_t)k * k;
}

/* ---- value ---------------------------------------------------------------------------------- */

/* Lower Cholesky factor (q x q) of s I + B B', B q x n (overwritten), by reflections of
 * [sqrt(s) I; B']: beside a large B B' the digits of s would be lost. */
static void factor_sum(int q, int n, double s, double *B, double *lower) {
    memset(lower, 0, (size_t)q * q * sizeof(double));
    for (int j = 0; j < q; j++) {
        lower[j + (size_t)q * j] = sqrt(s);
    }
    for (int j = 0; j < q; j++) {
        double square = 0.0, old = lower[j + (size_t)q * j];
        for (int k = 0; k < n; k++) {
            square += B[j + (size_t)q * k] * B[j + (size_t)q * k];
        }
        if (square == 0.0) {
            continue;
        }
        double diagonal = sqrt(old * old + square);
        double v = -square / (old + diagonal); /* old - diagonal */
        double factor = 2.0 / (v * v + square);
        for (int i = j + 1; i < q; i++) {
            double w = v * lower[i + (size_t)q * j];
            for (int k = 0; k < n; k++) {
                w += B[j + (size_t)q * k] * B[i + (size_t)q * k];
            }
            w *= factor;
            lower[i + (size_t)q * j] -= w * v;
            for (int k = 0; k < n; k++) {
                B[i + (size_t)q * k] -= w * B[j + (size_t)q * k];
            }
        }
        lower[j + (size_t)q * j] = diagonal;
    }
}

/* The same for two rows and columns, as in most designs, with the factor's inverse (Ci) and log
 * determinant: in straight code the processor works on several units at a time. */
static double factor_two(double s, const double *B, double *Ci) {
    double old = sqrt(s), x = B[0], y = B[2]; /* the first row of B */
    double square = x * x + y * y;
    double first = sqrt(s + square), along = (x * B[1] + y * B[3]) / first;
    /* The second row less its part in the reflection that takes the first one away. */
    double w = square > 0.0 ? along * (old + first) / square : 0.0;
    double u = B[1] - w * x, v = B[3] - w * y;
    double second = sqrt(s + u * u + v * v);
    Ci[0] = 1.0 / first;
    Ci[3] = 1.0 / second;
    Ci[1] = -along * Ci[0] * Ci[3];
    Ci[2] = 0.0;
    return 2.0 * log(first * second);
}

sp_status sp_factor_level(int q, const double *R, const sp_model *model, const sp_point *point,
                          int level, double s, double *Ci, double *log_det, double *scratch) {
    int ql = model->dim[level];
    double *L = scratch, *B = L + (size_t)q * ql;
    sp_multiply(q, q, ql, R, point->F[level], L);
    if (point->root[level]) {
        sp_multiply(q, ql, ql, L, point->root[level], B);
        if (q == 2 && ql == 2) {
            *log_det = factor_two(s, B, Ci);
            return SP_OK;
        }
        factor_sum(q, ql, s, B, Ci);
    } else {
        sp_multiply(q, ql, ql, L, point->G[level], B);
        sp_multiply_nt(q, ql, q, B, L, Ci);
        for (int i = 0; i < q; i++) {
            Ci[i + (size_t)q * i] += s;
        }
        if (sp_cholesky(q, Ci)) {
            return SP_SINGULAR;
        }
    }
    *log_det = 0.0;
    for (int i = 0; i < q; i++) {
        *log_det += 2.0 * log(Ci[i + (size_t)q * i]);
    }
    sp_invert_lower(q, Ci);
    return SP_OK;
}

/* Ci of an item, and W = Ci'Ci. */
static sp_status factor_item(const sp_reduced *data, const sp_model *model, const sp_point *point,
                             int item, double *Ci, double *W, double *log_det, double *scratch) {
    int q = data->q;
    if (sp_factor_level(q, sp_item_R(data, item), model, point, 0, point->s, Ci, log_det,
                        scratch)) {
        return SP_SINGULAR;
    }
    sp_multiply_tn(q, q, q, Ci, Ci, W);
    return SP_OK;
}

static sp_status add_items(const sp_reduced *data, const sp_model *model, const sp_point *point,
                           sp_reml_work *work, sp_value *value, sp_asking *asking) {
    int q = data->q, d = data->d;
    size_t qq = (size_t)q * q;
    double *u = work->small + 4 * sp_widest(model) * sp_widest(model);
    const double item_work = sp_value_work(data);
    for (int g = 0; g < data->n_items; g++) {
        if (sp_must_stop(asking, item_work)) {
            return SP_INTERRUPTED;
        }
        double *Ci = work->Ci + qq * g, *W = work->W + qq * g;
        double log_det;
        if (factor_item(data, model, point, g, Ci, W, &log_det, work->small) != SP_OK) {
            return SP_SINGULAR;
        }
        value->log_det_v += data->item_count[g] * log_det;
        if (g < data->n_shared) {
            sp_shared_weights(q, W, work->weights + sp_packed_size(q) * (size_t)g);
        } else if (data->n_levels == 1) {
            sp_rows_multiply(q, q, d, Ci, sp_item_rows(data, g), u);
            sp_add_crossprod(q, d, u, work->cv);
        }
    }
    sp_add_columns(sp_packed_size(d), (size_t)data->n_shared * sp_packed_size(q), data->B,
                   work->weights, work->cv);
    return SP_OK;
}

/* Householder reflections turn a node's triangle [R | a] and q more rows [M | rows], both
 * overwritten, into a new triangle; what is left of the rows is free of Z and joins CV. (Sums of
 * R'W R and R'W a would do, but where a node's own effects are large nearly all of CV would be
 * taken off again, and the digits with it.) */
SP_INLINE void absorb_sized(int q, int d, double *M, double *rows, double *R, double *a,
                            double *cv) {
    for (int j = 0; j < q; j++) {
        double *x = M + (size_t)q * j;
        double square = sp_dot((size_t)q, x, x);
        if (square == 0.0) {
            continue;
        }
        double old = R[j + (size_t)q * j];
        double diagonal = sqrt(old * old + square);
        double v = -square / (old + diagonal); /* old - diagonal; old >= 0 */
        double factor = 2.0 / (v * v + square);
        for (int c = j + 1; c < q; c++) {
            double *above = R + j + (size_t)q * c, *below = M + (size_t)q * c;
            double w = factor * (v * *above + sp_dot((size_t)q, x, below));
            *above -= w * v;
            sp_axpy((size_t)q, -w, x, below);
        }
        double *top = a + (size_t)d * j;
        for (int c = 0; c < d; c++) {
            double w = factor * v * top[c];
            for (int i = 0; i < q; i++) {
                w += factor * x[i] * rows[c + (size_t)d * i];
            }
            top[c] -= v * w;
            for (int i = 0; i < q; i++) {
                rows[c + (size_t)d * i] -= x[i] * w;
            }
        }
        R[j + (size_t)q * j] = diagonal;
    }
    sp_add_crossprod(q, d, rows, cv);
}

static void absorb(int q, int d, double *M, double *rows, double *R, double *a, double *cv) {
    if (q == 2) {
        absorb_sized(2, d, M, rows, R, a, cv);
    } else {
        absorb_sized(q, d, M, rows, R, a, cv);
    }
}

/* Each cell's rows [Ci R | Ci a], one set of q for all its units, join its node. */
static sp_status add_cells(const sp_reduced *data, const sp_model *model, sp_reml_work *work,
                           sp_asking *asking) {
    int q = data->q, d = data->d;
    size_t qq = (size_t)q * q, qd = (size_t)q * d, mm = sp_widest(model) * sp_widest(model);
    double *M = work->small, *rows = M + mm;
    const double cell_work = sp_value_work(data);
    for (int c = 0; c < data->n_cells; c++) {
        if (sp_must_stop(asking, cell_work)) {
            return SP_INTERRUPTED;
        }
        int item = data->cell_item[c];
        size_t node = (size_t)data->cell_node[c];
        const double *Ci = work->Ci + qq * item;
        double root = sqrt(data->cell_count[c]);
        sp_multiply(q, q, q, Ci, sp_item_R(data, item), M);
        sp_rows_multiply(q, q, d, Ci, data->cell_sum + qd * c, rows);
        for (size_t i = 0; i < qq; i++) {
            M[i] *= root;
        }
        for (size_t i = 0; i < qd; i++) {
            rows[i] /= root;
        }
        absorb(q, d, M, rows, work->Rn + qq * node, work->an + qd * node, work->cv);
    }
    return SP_OK;
}

/* N = F G (I + L'L G)^-1 F' (q x q), L and F q x ql. With the root of G known this is a
 * cross-product and has its digits however large G is. L is overwritten; scratch: 3 ql x max(q,
 * ql). */
static sp_status node_gain(int q, int ql, double *L, const double *F, const double *G,
                           const double *root, double *scratch, double *N) {
    size_t size = (size_t)(q > ql ? q : ql) * ql;
    double *X = scratch, *Y = X + size, *M = Y + size;
    if (root) {
        double *B = Y, *Ci = M; /* B = root'L' */
        for (int j = 0; j < ql; j++) {
            for (int i = 0; i < ql; i++) {
                X[j + (size_t)ql * i] = root[i + (size_t)ql * j];
            }
        }
        sp_multiply_nt(ql, ql, q, X, L, B);
        factor_sum(ql, q, 1.0, B, Ci);
        sp_invert_lower(ql, Ci);
        sp_multiply_nt(ql, ql, ql, root, Ci, X);
        sp_multiply(q, ql, ql, F, X, L);
        sp_multiply_nt(q, ql, q, L, L, N);
        return SP_OK;
    }
    sp_multiply_nt(ql, ql, q, G, L, Y);
    sp_multiply(ql, q, ql, Y, L, M);
    for (int i = 0; i < ql; i++) {
        M[i + (size_t)ql * i] += 1.0;
    }
    memcpy(X, G, (size_t)ql * ql * sizeof(double));
    double log_det;
    int sign;
    if (sp_solve(ql, ql, M, X, &log_det, &sign)) {
        return SP_SINGULAR;
    }
    sp_symmetrise(ql, X);
    sp_multiply(q, ql, ql, F, X, L);
    sp_multiply_nt(q, ql, q, L, F, N);
    return SP_OK;
}

/* One node, now a unit with the factor Rn and the rows an: Cn = inverse Cholesky factor of
 * I + Rn F G F'Rn', and, for the derivatives, J = Rn'Rn, N = F G (I + J G)^-1 F',
 * K = J - J N J, h = Rn'an. */
static sp_status close_node_value(const sp_reduced *data, const sp_model *model,
                                  const sp_point *point, int level, size_t node, sp_reml_work *work,
                                  sp_value *value) {
    int q = data->q, d = data->d, ql = model->dim[level];
    size_t qq = (size_t)q * q, qd = (size_t)q * d;
    const double *F = point->F[level], *G = point->G[level];
    double *Rn = work->Rn + qq * node, *an = work->an + qd * node, *Cn = work->Cn + qq * node;
    double *J = work->J + qq * node, *N = work->N + qq * node, *K = work->K + qq * node;
    double *h = work->h + qd * node;
    size_t mm = sp_widest(model) * sp_widest(model);
    double *L = work->small, *scratch = L + mm, *CR = L + 4 * mm;
    double *rows = CR + mm;

    double log_det;
    if (sp_factor_level(q, Rn, model, point, level, 1.0, Cn, &log_det, L)) {
        return SP_SINGULAR;
    }
    value->log_det_v += log_det;
    sp_multiply(q, q, q, Cn, Rn, CR);
    sp_rows_multiply(q, q, d, Cn, an, rows);

    sp_multiply_tn(q, q, q, Rn, Rn, J);
    sp_multiply_tn(q, q, q, CR, CR, K);
    memset(h, 0, qd * sizeof(double));
    for (int i = 0; i < q; i++) {
        for (int j = 0; j <= i; j++) {
            sp_axpy((size_t)d, Rn[j + (size_t)q * i], an + (size_t)d * j, h + (size_t)d * i);
        }
    }
    if (node_gain(q, ql, L, F, G, point->root[level], scratch, N)) {
        return SP_SINGULAR;
    }

    if (level + 1 < data->n_levels) {
        size_t up =
            work->offset[level + 1] + (size_t)data->parent[level][node - work->offset[level]];
        absorb(q, d, CR, rows, work->Rn + qq * up, work->an + qd * up, work->cv);
    } else {
        sp_add_crossprod(q, d, rows, work->cv);
    }
    return SP_OK;
}

sp_status sp_solve_fixed(int p, const double *cv, double *full, double *C, sp_value *value) {
    int d = p + 1;
    sp_unpack(d, cv, full);
    for (int j = 0; j < p; j++) {
        memcpy(C + (size_t)p * j, full + (size_t)d * j, (size_t)p * sizeof(double));
    }
    if (sp_cholesky(p, C)) {
        return SP_SINGULAR;
    }
    value->log_det_x = 0.0;
    for (int i = 0; i < p; i++) {
        value->log_det_x += 2.0 * log(C[i + (size_t)p * i]);
    }
    sp_invert_lower(p, C);
    double *root = value->root;
    memset(root, 0, (size_t)d * d * sizeof(double));
    for (int c = 0; c < p; c++) {
        for (int i = 0; i <= c; i++) {
            root[i + (size_t)d * c] = C[c + (size_t)p * i];
        }
    }
    const double *xy = full + (size_t)d * p;
    double *rho = root + (size_t)d * p;
    value->quadratic = xy[p];
    for (int c = 0; c < p; c++) {
        double along = sp_dot((size_t)c + 1, root + (size_t)d * c, xy);
        value->quadratic -= along * along;
        sp_axpy((size_t)c + 1, -along, root + (size_t)d * c, rho);
    }
    rho[p] = 1.0;
    if (!(value->quadratic > 0.0)) {
        return SP_SINGULAR;
    }
    value->inflation = fmax(xy[p] / value->quadratic, 1.0);
    for (int c = 0; c < p; c++) {
        double inverse = root[c + (size_t)d * c];
        value->inflation = fmax(value->inflation, full[c + (size_t)d * c] * inverse * inverse);
    }
    return isfinite(value->log_det_v + value->log_det_x + value->quadratic) ? SP_OK : SP_NOT_FINITE;
}

sp_status sp_reml_value(const sp_reduced *data, const sp_model *model, const sp_point *point,
                        sp_reml_work *work, sp_value *value) {
    int q = data->q, d = data->d;
    double n_free = (double)data->n - (double)q * data->n_units;
    if (!(point->s > 0.0)) {
        return SP_SINGULAR;
    }
    if (data->crossed) {
        return sp_crossed_value(data, model, point, work->crossed, value);
    }
    value->log_det_v = n_free * log(point->s);
    size_t packed = sp_packed_size(d);
    for (size_t i = 0; i < packed; i++) {
        work->cv[i] = data->Cfree[i] / point->s;
    }
    sp_asking asking = sp_ask_later(data->check, data->check_data);
    sp_status status = add_items(data, model, point, work, value, &asking);
    if (status != SP_OK) {
        return status;
    }
    if (data->n_levels > 1) {
        size_t nodes = sp_n_upper_nodes(data, 1);
        memset(work->Rn, 0, nodes * q * q * sizeof(double));
        memset(work->an, 0, nodes * q * d * sizeof(double));
        if (add_cells(data, model, work, &asking)) {
            return SP_INTERRUPTED;
        }
        for (int l = 1; l < data->n_levels; l++) {
            for (int t = 0; t < data->n_nodes[l]; t++) {
                if (sp_must_stop(&asking, sp_value_work(data))) {
                    return SP_INTERRUPTED;
                }
                status = close_node_value(data, model, point, l, work->offset[l] + (size_t)t, work,
                                          value);
                if (status != SP_OK) {
                    return status;
                }
            }
        }
    }
    return sp_solve_fixed(data->p, work->cv, work->Phi, work->small, value);
}

void sp_descend(const sp_reduced *data, const sp_model *model, const sp_point *point,
                sp_reml_work *work) {
    int q = data->q, d = data->d;
    size_t qq = (size_t)q * q, qd = (size_t)q * d, mm = sp_widest(model) * sp_widest(model);
    double *FG = work->small, *FGF = FG + mm, *CR = FGF + mm, *rest = CR + mm, *Crest = rest + qd;
    for (int l = data->n_levels - 1; l >= 1; l--) {
        int ql = model->dim[l];
        sp_multiply(q, ql, ql, point->F[l], point->G[l], FG);
        sp_multiply_nt(q, ql, q, FG, point->F[l], FGF);
        for (int t = 0; t < data->n_nodes[l]; t++) {
            size_t node = work->offset[l] + (size_t)t;
            const double *Rn = work->Rn + qq * node, *Cn = work->Cn + qq * node;
            double *z = work->z + qd * node, *hhat = work->hhat + qd * node;
            const double *above =
                l + 1 < data->n_levels
                    ? work->z + qd * (work->offset[l + 1] + (size_t)data->parent[l][t])
                    : NULL;
            sp_rows_transform(q, d, work->root_rows, work->an + qd * node, rest);
            if (above) {
                sp_rows_add(q, q, d, -1.0, Rn, above, rest);
            }
            sp_multiply(q, q, q, Cn, Rn, CR);
            sp_rows_multiply(q, q, d, Cn, rest, Crest);
            memset(hhat, 0, qd * sizeof(double));
            for (int i = 0; i < q; i++) {
                for (int j = 0; j < q; j++) {
                    sp_axpy((size_t)d, CR[j + (size_t)q * i], Crest + (size_t)d * j,
                            hhat + (size_t)d * i);
                }
            }
            sp_rows_multiply(q, q, d, FGF, hhat, z);
            if (above) {
                sp_axpy(qd, 1.0, above, z);
            }
        }
    }
}
