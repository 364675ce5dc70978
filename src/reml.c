#include "reml.h"
#include "crossed.h"
#include "linalg.h"
#include <math.h>
#include <string.h>

/* ---- workspace ------------------------------------------------------------------------------ */

static size_t n_upper_nodes(const sp_reduced *data, int from_level) {
    size_t sum = 0;
    for (int l = from_level; l < data->n_levels; l++) {
        sum += (size_t)data->n_nodes[l];
    }
    return sum;
}

static size_t n_pairs(size_t k) {
    return k * (k + 1) / 2;
}

/* Position of the pair (r, s) of parameters, r <= s. */
static size_t pair_index(int r, int s) {
    return (size_t)s * (size_t)(s + 1) / 2 + (size_t)r;
}

static size_t carve(const sp_reduced *data, const sp_model *model, double *memory,
                    sp_reml_work *work) {
    size_t q = (size_t)data->q, d = (size_t)data->d, qq = q * q, qd = q * d;
    size_t k = (size_t)model->n_par + 1;
    size_t items = (size_t)data->n_items;
    size_t nodes = n_upper_nodes(data, 1);
    size_t high = n_upper_nodes(data, 2) + (data->n_levels > 1); /* one slot for level 1 */
    size_t used = 0;
    work->Ci = sp_take(memory, &used, items * qq);
    work->W = sp_take(memory, &used, items * qq);
    work->tau = sp_take(memory, &used, items * qq);
    work->rho = sp_take(memory, &used, items * qq);
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
    work->node_De = sp_take(memory, &used, high * n_pairs(k) * qq);
    work->node_y = sp_take(memory, &used, high * k * qd);
    work->cv = sp_take(memory, &used, sp_packed_size(data->d));
    work->Phi = sp_take(memory, &used, d * d);
    work->weight_tau = sp_take(memory, &used, sp_packed_size(data->d));
    work->weight_rho = sp_take(memory, &used, sp_packed_size(data->d));
    work->P_shared = sp_take(memory, &used, 2 * k * sp_packed_size(data->d));
    work->T = sp_take(memory, &used, k * k);
    work->trQ = sp_take(memory, &used, k * k);
    work->rQ = sp_take(memory, &used, k * k);
    size_t m = sp_widest(model);
    work->small = sp_take(memory, &used, 40 * m * m + 8 * m * d + k * (qq + qd) + 2 * d * d);
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

/* ---- small helpers -------------------------------------------------------------------------- */

/* out (m rows of length d) = M (m x n) times in (n rows of length d), or minus/plus into out. */
/* Row vectors in the coordinates of root: out = in root, root = [upper triangular p x p | rho]. */
static void rows_transform(int n_rows, int d, const double *root, const double *in, double *out) {
    for (int i = 0; i < n_rows; i++) {
        for (int c = 0; c < d - 1; c++) {
            out[(size_t)d * i + c] =
                sp_dot((size_t)c + 1, in + (size_t)d * i, root + (size_t)d * c);
        }
        out[(size_t)d * i + d - 1] =
            sp_dot((size_t)d, in + (size_t)d * i, root + (size_t)d * (d - 1));
    }
}

/* Trace of A B for symmetric n x n matrices. */
static double trace_product(int n, const double *A, const double *B) {
    return sp_dot((size_t)n * n, A, B);
}

/* A += alpha (u v' + v u') / 2. */
static void add_symmetric(int n, double alpha, const double *u, const double *v, double *A) {
    for (int j = 0; j < n; j++) {
        for (int i = 0; i < n; i++) {
            A[i + (size_t)n * j] += 0.5 * alpha * (u[i] * v[j] + v[i] * u[j]);
        }
    }
}

/* The ordered index pairs of D = E_ab: (a, b) and (b, a), or (a, a) once. */
typedef struct {
    int n, i[2], j[2];
} index_pairs;

static index_pairs pairs_of(const sp_model *model, int r) {
    int a = model->row[r], b = model->col[r];
    index_pairs pairs = {a == b ? 1 : 2, {a, b}, {b, a}};
    return pairs;
}

/* sum over the pairs (i, j) of r and (k, l) of s of A_jk B_il; n x n matrices. */
static double pair_sum(index_pairs r, index_pairs s, int n, const double *A, const double *B) {
    double sum = 0.0;
    for (int x = 0; x < r.n; x++) {
        for (int y = 0; y < s.n; y++) {
            sum += A[r.j[x] + (size_t)n * s.i[y]] * B[r.i[x] + (size_t)n * s.j[y]];
        }
    }
    return sum;
}

static double element_sum(index_pairs r, int n, const double *A) {
    double sum = 0.0;
    for (int x = 0; x < r.n; x++) {
        sum += A[r.i[x] + (size_t)n * r.j[x]];
    }
    return sum;
}

/* ---- value ---------------------------------------------------------------------------------- */

static const double *item_R(const sp_reduced *data, int item) {
    return data->R + (size_t)data->q * data->q * data->item_unit[item];
}

static const double *item_rows(const sp_reduced *data, int item) {
    return data->a + (size_t)data->q * data->d * data->item_unit[item];
}

static const double *shared_products(const sp_reduced *data, int item) {
    size_t q = (size_t)data->q;
    return data->B + q * (q + 1) / 2 * sp_packed_size(data->d) * (size_t)item;
}

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

sp_status sp_factor_level(int q, const double *R, const sp_model *model, const sp_point *point,
                          int level, double s, double *Ci, double *log_det, double *scratch) {
    int ql = model->dim[level];
    double *L = scratch, *B = L + (size_t)q * ql;
    sp_multiply(q, q, ql, R, point->F[level], L);
    if (point->root[level]) {
        sp_multiply(q, ql, ql, L, point->root[level], B);
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
    if (sp_factor_level(q, item_R(data, item), model, point, 0, point->s, Ci, log_det, scratch)) {
        return SP_SINGULAR;
    }
    sp_multiply_tn(q, q, q, Ci, Ci, W);
    return SP_OK;
}

/* packed += sum over a, b of M_ab B_ab, M symmetric. */
static void contract_shared(const sp_reduced *data, const double *M, const double *B,
                            double *packed) {
    int q = data->q;
    size_t size = sp_packed_size(data->d);
    for (int b = 0; b < q; b++) {
        for (int a = 0; a <= b; a++) {
            double weight = (a == b ? 1.0 : 2.0) * M[a + (size_t)q * b];
            if (weight != 0.0) {
                sp_axpy(size, weight, B, packed);
            }
            B += size;
        }
    }
}

static sp_status add_items(const sp_reduced *data, const sp_model *model, const sp_point *point,
                           sp_reml_work *work, sp_value *value) {
    int q = data->q, d = data->d;
    size_t qq = (size_t)q * q;
    double *u = work->small + 4 * sp_widest(model) * sp_widest(model);
    for (int g = 0; g < data->n_items; g++) {
        double *Ci = work->Ci + qq * g, *W = work->W + qq * g;
        double log_det;
        if (factor_item(data, model, point, g, Ci, W, &log_det, work->small) != SP_OK) {
            return SP_SINGULAR;
        }
        value->log_det_v += data->item_count[g] * log_det;
        if (g < data->n_shared) {
            contract_shared(data, W, shared_products(data, g), work->cv);
        } else if (data->n_levels == 1) {
            sp_rows_multiply(q, q, d, Ci, item_rows(data, g), u);
            for (int i = 0; i < q; i++) {
                sp_add_outer(d, 1.0, u + (size_t)d * i, work->cv);
            }
        }
    }
    return SP_OK;
}

/* Householder reflections turn a node's triangle [R | a] and q more rows [M | rows], both
 * overwritten, into a new triangle; what is left of the rows is free of Z and joins CV. (Sums of
 * R'W R and R'W a would do, but where a node's own effects are large nearly all of CV would be
 * taken off again, and the digits with it.) */
static void absorb(int q, int d, double *M, double *rows, double *R, double *a, double *cv,
                   double *along) {
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
        memset(along, 0, (size_t)d * sizeof(double));
        sp_axpy((size_t)d, factor * v, top, along);
        for (int i = 0; i < q; i++) {
            sp_axpy((size_t)d, factor * x[i], rows + (size_t)d * i, along);
        }
        sp_axpy((size_t)d, -v, along, top);
        for (int i = 0; i < q; i++) {
            sp_axpy((size_t)d, -x[i], along, rows + (size_t)d * i);
        }
        R[j + (size_t)q * j] = diagonal;
    }
    for (int i = 0; i < q; i++) {
        sp_add_outer(d, 1.0, rows + (size_t)d * i, cv);
    }
}

/* Each cell's rows [Ci R | Ci a], one set of q for all its units, join its node. */
static void add_cells(const sp_reduced *data, const sp_model *model, sp_reml_work *work) {
    int q = data->q, d = data->d;
    size_t qq = (size_t)q * q, qd = (size_t)q * d, mm = sp_widest(model) * sp_widest(model);
    double *M = work->small, *rows = M + mm, *along = rows + qd;
    for (int c = 0; c < data->n_cells; c++) {
        int item = data->cell_item[c];
        size_t node = (size_t)data->cell_node[c];
        const double *Ci = work->Ci + qq * item;
        double root = sqrt(data->cell_count[c]);
        sp_multiply(q, q, q, Ci, item_R(data, item), M);
        sp_rows_multiply(q, q, d, Ci, data->cell_sum + qd * c, rows);
        for (size_t i = 0; i < qq; i++) {
            M[i] *= root;
        }
        for (size_t i = 0; i < qd; i++) {
            rows[i] /= root;
        }
        absorb(q, d, M, rows, work->Rn + qq * node, work->an + qd * node, work->cv, along);
    }
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
    double *L = work->small, *LG = L + mm, *M = LG + mm, *X = M + mm, *CR = X + mm;
    double *rows = CR + mm, *along = rows + qd;

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
    /* M = I + G L'L, so that M^-1 G = G (I + L'L G)^-1 is what sp_solve returns. */
    sp_multiply_nt(ql, ql, q, G, L, LG);
    sp_multiply(ql, q, ql, LG, L, M);
    for (int i = 0; i < ql; i++) {
        M[i + (size_t)ql * i] += 1.0;
    }
    memcpy(X, G, (size_t)ql * ql * sizeof(double));
    int sign;
    if (sp_solve(ql, ql, M, X, &log_det, &sign)) {
        return SP_SINGULAR;
    }
    sp_symmetrise(ql, X);
    sp_multiply(q, ql, ql, F, X, L);
    sp_multiply_nt(q, ql, q, L, F, N);

    if (level + 1 < data->n_levels) {
        size_t up =
            work->offset[level + 1] + (size_t)data->parent[level][node - work->offset[level]];
        absorb(q, d, CR, rows, work->Rn + qq * up, work->an + qd * up, work->cv, along);
    } else {
        for (int i = 0; i < q; i++) {
            sp_add_outer(d, 1.0, rows + (size_t)d * i, work->cv);
        }
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
    sp_status status = add_items(data, model, point, work, value);
    if (status != SP_OK) {
        return status;
    }
    if (data->n_levels > 1) {
        size_t nodes = n_upper_nodes(data, 1);
        memset(work->Rn, 0, nodes * q * q * sizeof(double));
        memset(work->an, 0, nodes * q * d * sizeof(double));
        add_cells(data, model, work);
        for (int l = 1; l < data->n_levels; l++) {
            for (int t = 0; t < data->n_nodes[l]; t++) {
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

double sp_inflation(const sp_reduced *data, const sp_reml_work *work, const sp_value *value) {
    int p = data->p, d = data->d;
    const double *diagonal = work->cv; /* packed: row j has d - j elements */
    double largest = 1.0;
    for (int j = 0; j < p; j++) {
        double root = value->root[j + (size_t)d * j];
        largest = fmax(largest, *diagonal * root * root);
        diagonal += d - j;
    }
    return fmax(largest, *diagonal / value->quadratic);
}

/* ---- derivatives ---------------------------------------------------------------------------- */

/* What the derivatives need of one item: L = R F, Y = W L, K = L'Y, and their relatives. */
typedef struct {
    const double *R, *W;
    double *L, *Y, *WY, *K, *K2;
} item_view;

static item_view view_item(const sp_reduced *data, const sp_model *model, const sp_point *point,
                           const sp_reml_work *work, int item, double *scratch) {
    int q = data->q, q0 = model->dim[0];
    size_t mm = sp_widest(model) * sp_widest(model);
    item_view view = {item_R(data, item),
                      work->W + (size_t)q * q * item,
                      scratch,
                      scratch + mm,
                      scratch + 2 * mm,
                      scratch + 3 * mm,
                      scratch + 4 * mm};
    sp_multiply(q, q, q0, view.R, point->F[0], view.L);
    sp_multiply(q, q, q0, view.W, view.L, view.Y);
    sp_multiply(q, q, q0, view.W, view.Y, view.WY);
    sp_multiply_tn(q0, q, q0, view.L, view.Y, view.K);
    sp_multiply_tn(q0, q, q0, view.Y, view.Y, view.K2);
    return view;
}

static int is_level(const sp_model *model, int r, int level) {
    return r < model->n_par ? model->level[r] == level : level == 0;
}

/* P_r of one shared item for the unit-level parameters and s, in the data's coordinates. tau and
 * rho: q x q, traces over the fixed-effects columns (weighted by Phi) and over rho of the products
 * of the item's rows. */
static void add_shared_products(const sp_reduced *data, const sp_model *model, int k, int item,
                                item_view view, sp_reml_work *work, double *P_shared,
                                double *scratch) {
    int q = data->q;
    size_t qq = (size_t)q * q, packed = sp_packed_size(data->d);
    double *tau = work->tau + qq * item, *rho = work->rho + qq * item;
    const double *B = shared_products(data, item);
    double *M = scratch;
    for (int r = 0; r < k; r++) {
        if (r == model->n_par) {
            sp_multiply(q, q, q, view.W, view.W, M);
        } else if (model->level[r] == 0) {
            index_pairs pairs = pairs_of(model, r);
            memset(M, 0, qq * sizeof(double));
            for (int x = 0; x < pairs.n; x++) {
                add_symmetric(q, 1.0, view.Y + (size_t)q * pairs.i[x],
                              view.Y + (size_t)q * pairs.j[x], M);
            }
        } else {
            continue;
        }
        contract_shared(data, M, B, P_shared + packed * r);
    }
    for (int b = 0; b < q; b++) {
        for (int a = 0; a <= b; a++) {
            tau[a + (size_t)q * b] = tau[b + (size_t)q * a] = sp_dot(packed, work->weight_tau, B);
            rho[a + (size_t)q * b] = rho[b + (size_t)q * a] = sp_dot(packed, work->weight_rho, B);
            B += packed;
        }
    }
}

/* The same, added, for q rows of an item in the coordinates of root; P_single is in these. */
static void add_row_products(const sp_reduced *data, const sp_model *model, int k, int item,
                             item_view view, const double *rows, sp_reml_work *work,
                             double *P_single, double *scratch) {
    int q = data->q, q0 = model->dim[0], d = data->d, p = data->p;
    size_t qq = (size_t)q * q, packed = sp_packed_size(d);
    double *tau = work->tau + qq * item, *rho = work->rho + qq * item;
    double *wa = scratch, *ya = wa + (size_t)q * d;
    for (int b = 0; b < q; b++) {
        for (int a = 0; a < q; a++) {
            const double *ra = rows + (size_t)d * a, *rb = rows + (size_t)d * b;
            tau[a + (size_t)q * b] += sp_dot((size_t)p, ra, rb);
            rho[a + (size_t)q * b] += ra[p] * rb[p];
        }
    }
    for (int c = 0; c < q0; c++) {
        sp_rows_multiply(1, q, d, view.Y + (size_t)q * c, rows, ya + (size_t)d * c);
    }
    for (int r = 0; r < k; r++) {
        double *P = P_single + packed * r;
        if (r == model->n_par) {
            sp_rows_multiply(q, q, d, view.W, rows, wa);
            for (int i = 0; i < q; i++) {
                sp_add_outer(d, 1.0, wa + (size_t)d * i, P);
            }
        } else if (model->level[r] == 0) {
            const double *u = ya + (size_t)d * model->row[r], *v = ya + (size_t)d * model->col[r];
            if (u == v) {
                sp_add_outer(d, 1.0, u, P);
            } else {
                sp_add_outer_sym(d, 1.0, u, v, P);
            }
        }
    }
}

/* Traces of one item for the unit-level parameters and s, from K and from tau and rho. */
static void add_item_traces(const sp_reduced *data, const sp_model *model, int k, int item,
                            item_view view, sp_reml_work *work, double *trace, double *scratch) {
    int q = data->q, q0 = model->dim[0];
    size_t qq = (size_t)q * q;
    double count = data->item_count[item];
    size_t mm = sp_widest(model) * sp_widest(model);
    double *X = scratch, *YtY = X + mm, *YtWY = YtY + mm, *YrY = YtWY + mm, *YrWY = YrY + mm;
    const double *tau = work->tau + qq * item, *rho = work->rho + qq * item;
    sp_multiply(q, q, q0, tau, view.Y, X);
    sp_multiply_tn(q0, q, q0, X, view.Y, YtY);
    sp_multiply_tn(q0, q, q0, X, view.WY, YtWY);
    sp_multiply(q, q, q0, rho, view.Y, X);
    sp_multiply_tn(q0, q, q0, X, view.Y, YrY);
    sp_multiply_tn(q0, q, q0, X, view.WY, YrWY);
    for (int s = 0; s < k; s++) {
        if (!is_level(model, s, 0)) {
            continue;
        }
        if (s == model->n_par) {
            double *W2 = X, *W3 = YtY;
            for (int r = 0; r < s; r++) {
                if (model->level[r] == 0) {
                    index_pairs pr = pairs_of(model, r);
                    work->T[r + (size_t)k * s] += count * element_sum(pr, q0, view.K2);
                    work->trQ[r + (size_t)k * s] += element_sum(pr, q0, YtWY);
                    work->rQ[r + (size_t)k * s] += element_sum(pr, q0, YrWY);
                }
            }
            sp_multiply(q, q, q, view.W, view.W, W2);
            sp_multiply(q, q, q, W2, view.W, W3);
            for (int i = 0; i < q; i++) {
                trace[s] += count * view.W[i + (size_t)q * i];
            }
            work->T[s + (size_t)k * s] += count * trace_product(q, view.W, view.W);
            work->trQ[s + (size_t)k * s] += trace_product(q, tau, W3);
            work->rQ[s + (size_t)k * s] += trace_product(q, rho, W3);
            continue;
        }
        index_pairs ps = pairs_of(model, s);
        trace[s] += count * element_sum(ps, q0, view.K);
        for (int r = 0; r <= s; r++) {
            if (model->level[r] == 0) {
                index_pairs pr = pairs_of(model, r);
                work->T[r + (size_t)k * s] += count * pair_sum(pr, ps, q0, view.K, view.K);
                work->trQ[r + (size_t)k * s] += pair_sum(pr, ps, q0, view.K, YtY);
                work->rQ[r + (size_t)k * s] += pair_sum(pr, ps, q0, view.K, YrY);
            }
        }
    }
}

/* From the highest level down: what all levels together predict (z) and Z'V^-1[X y] (hhat), in the
 * coordinates of root. */
static void descend(const sp_reduced *data, const sp_model *model, const sp_point *point,
                    const double *root, sp_reml_work *work) {
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
            rows_transform(q, d, root, work->an + qd * node, rest);
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

/* Sums over one node's members, for each parameter inside it: Ga_r = Z'V^-1 D_r V^-1 Z,
 * De_rs = the symmetric part of Z'V^-1 D_r V^-1 D_s V^-1 Z, y_r = Z'V^-1 D_r V^-1[X y]. */
typedef struct {
    double *Ga, *De, *y;
} node_sums;

/* Adds one cell to its node's sums; a: the sum of its rows less what is predicted, in the
 * coordinates of root. */
static void add_cell_sums(const sp_reduced *data, const sp_model *model, int k, int cell,
                          item_view view, const double *a, node_sums sums, double *scratch) {
    int q = data->q, q0 = model->dim[0], d = data->d;
    size_t qq = (size_t)q * q, qd = (size_t)q * d;
    double count = data->cell_count[cell];
    size_t m = sp_widest(model);
    double *H = scratch, *V = H + m * m, *WR = V + m * m, *WWR = WR + m * m;
    double *ya = WWR + m * m, *wa = ya + m * (size_t)d;
    sp_multiply_tn(q, q, q0, view.R, view.Y, H);
    sp_multiply_tn(q, q, q0, view.R, view.WY, V);
    sp_multiply(q, q, q, view.W, view.R, WR);
    for (int c = 0; c < q0; c++) {
        sp_rows_multiply(1, q, d, view.Y + (size_t)q * c, a, ya + (size_t)d * c);
    }
    for (int s = 0; s < k; s++) {
        if (!is_level(model, s, 0)) {
            continue;
        }
        double *Ga = sums.Ga + qq * s, *y = sums.y + qd * s;
        if (s == model->n_par) {
            for (int r = 0; r < s; r++) {
                if (model->level[r] == 0) {
                    index_pairs pr = pairs_of(model, r);
                    for (int x = 0; x < pr.n; x++) {
                        add_symmetric(q, count, H + (size_t)q * pr.i[x], V + (size_t)q * pr.j[x],
                                      sums.De + qq * pair_index(r, s));
                    }
                }
            }
            sp_multiply(q, q, q, view.W, WR, WWR);
            double *De = sums.De + qq * pair_index(s, s);
            for (int i = 0; i < q; i++) {
                for (int j = 0; j < q; j++) {
                    Ga[i + (size_t)q * j] +=
                        count * sp_dot((size_t)q, WR + (size_t)q * i, WR + (size_t)q * j);
                    De[i + (size_t)q * j] +=
                        count * sp_dot((size_t)q, WR + (size_t)q * i, WWR + (size_t)q * j);
                }
            }
            sp_rows_multiply(q, q, d, view.W, a, wa);
            for (int i = 0; i < q; i++) {
                for (int j = 0; j < q; j++) {
                    sp_axpy((size_t)d, WR[j + (size_t)q * i], wa + (size_t)d * j,
                            y + (size_t)d * i);
                }
            }
            continue;
        }
        index_pairs ps = pairs_of(model, s);
        for (int x = 0; x < ps.n; x++) {
            add_symmetric(q, count, H + (size_t)q * ps.i[x], H + (size_t)q * ps.j[x], Ga);
            for (int i = 0; i < q; i++) {
                sp_axpy((size_t)d, H[i + (size_t)q * ps.i[x]], ya + (size_t)d * ps.j[x],
                        y + (size_t)d * i);
            }
        }
        for (int r = 0; r <= s; r++) {
            if (model->level[r] != 0) {
                continue;
            }
            index_pairs pr = pairs_of(model, r);
            double *De = sums.De + qq * pair_index(r, s);
            for (int x = 0; x < pr.n; x++) {
                for (int w = 0; w < ps.n; w++) {
                    add_symmetric(q, count * view.K[pr.j[x] + (size_t)q0 * ps.i[w]],
                                  H + (size_t)q * pr.i[x], H + (size_t)q * ps.j[w], De);
                }
            }
        }
    }
}

/* Adds the pair's product of row blocks (q rows): the trace over the fixed columns, and rho. */
static void add_products(int q, int d, double alpha, const double *u, const double *v,
                         double *over_x, double *over_rho) {
    for (int i = 0; i < q; i++) {
        *over_x += alpha * sp_dot((size_t)d - 1, u + (size_t)d * i, v + (size_t)d * i);
        *over_rho += alpha * u[(size_t)d * i + d - 1] * v[(size_t)d * i + d - 1];
    }
}

/* One node of level >= 1, its members' sums complete: its effect on the traces of the parameters
 * inside it, the terms of its own parameters, and the sums that its parent needs (added to up,
 * unless up.Ga is NULL). */
static void close_node_derivatives(const sp_reduced *data, const sp_model *model,
                                   const sp_point *point, int k, int level, size_t node,
                                   node_sums sums, node_sums up, sp_reml_work *work, double *trace,
                                   double *P_single, double *scratch) {
    int q = data->q, d = data->d, ql = model->dim[level];
    size_t qq = (size_t)q * q, qd = (size_t)q * d, packed = sp_packed_size(d);
    const double *N = work->N + qq * node, *J = work->J + qq * node, *K = work->K + qq * node;
    const double *F = point->F[level], *hhat = work->hhat + qd * node;
    size_t m = sp_widest(model);
    double *shrink = scratch; /* I - J N */
    double *KF = shrink + m * m, *kappa = KF + m * m, *X = kappa + m * m, *Y = X + m * m;
    double *eta = Y + m * m, *Fy = eta + m * (size_t)d;
    double *NGa = Fy + m * (size_t)d;  /* q x q per parameter */
    double *Ny = NGa + qq * (size_t)k; /* q rows per parameter */

    for (int r = 0; r < k; r++) {
        if (r < model->n_par && model->level[r] >= level) {
            continue;
        }
        sp_multiply(q, q, q, N, sums.Ga + qq * r, NGa + qq * r);
        sp_rows_multiply(q, q, d, N, sums.y + qd * r, Ny + qd * r);
        trace[r] -= trace_product(q, N, sums.Ga + qq * r);
    }
    for (int s = 0; s < k; s++) {
        if (s < model->n_par && model->level[s] >= level) {
            continue;
        }
        for (int r = 0; r <= s; r++) {
            if (r < model->n_par && model->level[r] >= level) {
                continue;
            }
            size_t at = (size_t)r + (size_t)k * s;
            double crossed = 0.0; /* tr(N Ga_r N Ga_s) */
            for (int i = 0; i < q; i++) {
                for (int j = 0; j < q; j++) {
                    crossed += NGa[qq * r + i + (size_t)q * j] * NGa[qq * s + j + (size_t)q * i];
                }
            }
            work->T[at] += crossed - 2.0 * trace_product(q, N, sums.De + qq * pair_index(r, s));
            add_products(q, d, -1.0, sums.y + qd * r, Ny + qd * s, work->trQ + at, work->rQ + at);
        }
    }

    /* The node's own level joins V. */
    sp_multiply(q, q, q, J, N, shrink);
    for (int i = 0; i < q; i++) {
        for (int j = 0; j < q; j++) {
            shrink[i + (size_t)q * j] = (i == j) - shrink[i + (size_t)q * j];
        }
    }
    sp_multiply(q, q, ql, K, F, KF);
    sp_multiply_tn(ql, q, ql, F, KF, kappa);
    for (int a = 0; a < ql; a++) {
        sp_rows_multiply(1, q, d, F + (size_t)q * a, hhat, eta + (size_t)d * a);
    }
    if (up.Ga) {
        for (int s = 0; s < k; s++) {
            if (s < model->n_par && model->level[s] >= level) {
                continue;
            }
            for (int r = 0; r <= s; r++) {
                if (r < model->n_par && model->level[r] >= level) {
                    continue;
                }
                /* shrink (De - sym(Ga_r N Ga_s)) shrink' */
                sp_multiply(q, q, q, sums.Ga + qq * r, NGa + qq * s, X);
                sp_symmetrise(q, X);
                for (size_t i = 0; i < qq; i++) {
                    X[i] = sums.De[qq * pair_index(r, s) + i] - X[i];
                }
                sp_multiply(q, q, q, shrink, X, Y);
                sp_multiply_nt(q, q, q, Y, shrink, X);
                sp_axpy(qq, 1.0, X, up.De + qq * pair_index(r, s));
            }
        }
    }
    /* From here on sums hold the shrunken quantities. */
    for (int r = 0; r < k; r++) {
        if (r < model->n_par && model->level[r] >= level) {
            continue;
        }
        sp_multiply(q, q, q, shrink, sums.Ga + qq * r, X);
        sp_multiply_nt(q, q, q, X, shrink, sums.Ga + qq * r);
        sp_rows_multiply(q, q, d, shrink, sums.y + qd * r, Ny + qd * r);
        memcpy(sums.y + qd * r, Ny + qd * r, qd * sizeof(double));
        if (up.Ga) {
            sp_axpy(qq, 1.0, sums.Ga + qq * r, up.Ga + qq * r);
            sp_axpy(qd, 1.0, sums.y + qd * r, up.y + qd * r);
        }
    }
    for (int s = 0; s < model->n_par; s++) {
        if (model->level[s] != level) {
            continue;
        }
        index_pairs ps = pairs_of(model, s);
        trace[s] += element_sum(ps, ql, kappa);
        const double *u = eta + (size_t)d * ps.i[0], *v = eta + (size_t)d * ps.j[0];
        if (ps.n == 1) {
            sp_add_outer(d, 1.0, u, P_single + packed * s);
        } else {
            sp_add_outer_sym(d, 1.0, u, v, P_single + packed * s);
        }
        /* Inside the level, in and with this level. */
        for (int r = 0; r < k; r++) {
            if (r < model->n_par && model->level[r] > level) {
                continue;
            }
            int first = r < s ? r : s, second = r < s ? s : r;
            size_t at = (size_t)first + (size_t)k * second;
            if (r < model->n_par && model->level[r] == level) {
                if (r > s) {
                    continue;
                }
                index_pairs pr = pairs_of(model, r);
                work->T[at] += pair_sum(pr, ps, ql, kappa, kappa);
                for (int x = 0; x < pr.n; x++) {
                    for (int w = 0; w < ps.n; w++) {
                        add_products(1, d, kappa[pr.j[x] + (size_t)ql * ps.i[w]],
                                     eta + (size_t)d * pr.i[x], eta + (size_t)d * ps.j[w],
                                     work->trQ + at, work->rQ + at);
                    }
                }
                continue;
            }
            sp_multiply(q, q, ql, sums.Ga + qq * r, F, X);
            sp_multiply_tn(ql, q, ql, F, X, Y);
            work->T[at] += element_sum(ps, ql, Y);
            for (int a = 0; a < ql; a++) {
                sp_rows_multiply(1, q, d, F + (size_t)q * a, sums.y + qd * r, Fy + (size_t)d * a);
            }
            for (int x = 0; x < ps.n; x++) {
                add_products(1, d, 1.0, Fy + (size_t)d * ps.i[x], eta + (size_t)d * ps.j[x],
                             work->trQ + at, work->rQ + at);
            }
            if (up.Ga) {
                /* Ga*_r E_s K, symmetric part: columns Ga* f_i and K f_j. */
                double *GaF = X;
                for (int x = 0; x < ps.n; x++) {
                    add_symmetric(q, 1.0, GaF + (size_t)q * ps.i[x], KF + (size_t)q * ps.j[x],
                                  up.De + qq * pair_index(first, second));
                }
            }
        }
    }
    if (!up.Ga) {
        return;
    }
    for (int s = 0; s < model->n_par; s++) {
        if (model->level[s] != level) {
            continue;
        }
        index_pairs ps = pairs_of(model, s);
        for (int x = 0; x < ps.n; x++) {
            add_symmetric(q, 1.0, KF + (size_t)q * ps.i[x], KF + (size_t)q * ps.j[x],
                          up.Ga + qq * s);
            for (int i = 0; i < q; i++) {
                sp_axpy((size_t)d, KF[i + (size_t)q * ps.i[x]], eta + (size_t)d * ps.j[x],
                        up.y + qd * s + (size_t)d * i);
            }
        }
        for (int r = 0; r <= s; r++) {
            if (model->level[r] != level) {
                continue;
            }
            index_pairs pr = pairs_of(model, r);
            for (int x = 0; x < pr.n; x++) {
                for (int w = 0; w < ps.n; w++) {
                    add_symmetric(q, kappa[pr.j[x] + (size_t)ql * ps.i[w]],
                                  KF + (size_t)q * pr.i[x], KF + (size_t)q * ps.j[w],
                                  up.De + qq * pair_index(r, s));
                }
            }
        }
    }
}

/* Sums kept for node t of a level >= 2; slot 0 serves every node of level 1 in turn. */
static node_sums stored_sums(const sp_reduced *data, const sp_reml_work *work, int k, int level,
                             int t) {
    size_t slot = level < 2 ? 0 : 1 + work->offset[level] - work->offset[2] + (size_t)t;
    size_t qq = (size_t)data->q * data->q, qd = (size_t)data->q * data->d;
    node_sums sums = {work->node_Ga + slot * k * qq, work->node_De + slot * n_pairs((size_t)k) * qq,
                      work->node_y + slot * k * qd};
    return sums;
}

static void clear_sums(const sp_reduced *data, int k, size_t n_slots, node_sums sums) {
    size_t qq = (size_t)data->q * data->q, qd = (size_t)data->q * data->d;
    memset(sums.Ga, 0, n_slots * k * qq * sizeof(double));
    memset(sums.De, 0, n_slots * n_pairs((size_t)k) * qq * sizeof(double));
    memset(sums.y, 0, n_slots * k * qd * sizeof(double));
}

/* The levels above the units. */
static void add_nodes(const sp_reduced *data, const sp_model *model, const sp_point *point, int k,
                      const double *root, sp_reml_work *work, double *trace, double *P_single) {
    int q = data->q, d = data->d;
    size_t qd = (size_t)q * d;
    double *scratch = work->small, *rows = scratch + 5 * sp_widest(model) * sp_widest(model);
    double *inner = rows + qd;
    node_sums none = {NULL, NULL, NULL};
    node_sums current = stored_sums(data, work, k, 1, 0);
    clear_sums(data, k, 1 + n_upper_nodes(data, 2), current);
    descend(data, model, point, root, work);
    int c = 0;
    for (int t = 0; t < data->n_nodes[1]; t++) {
        const double *z = work->z + qd * (size_t)t;
        clear_sums(data, k, 1, current);
        for (; c < data->n_cells && data->cell_node[c] == t; c++) {
            int item = data->cell_item[c];
            double count = data->cell_count[c];
            item_view view = view_item(data, model, point, work, item, scratch);
            rows_transform(q, d, root, data->cell_sum + qd * c, rows);
            sp_rows_add(q, q, d, -count, view.R, z, rows);
            add_cell_sums(data, model, k, c, view, rows, current, inner);
            for (size_t i = 0; i < qd; i++) {
                rows[i] /= sqrt(count);
            }
            add_row_products(data, model, k, item, view, rows, work, P_single, inner);
        }
        node_sums up = none;
        if (data->n_levels > 2) {
            up = stored_sums(data, work, k, 2, data->parent[1][t]);
        }
        close_node_derivatives(data, model, point, k, 1, (size_t)t, current, up, work, trace,
                               P_single, scratch);
    }
    for (int l = 2; l < data->n_levels; l++) {
        for (int t = 0; t < data->n_nodes[l]; t++) {
            size_t node = work->offset[l] + (size_t)t;
            node_sums sums = stored_sums(data, work, k, l, t);
            node_sums up = none;
            if (l + 1 < data->n_levels) {
                up = stored_sums(data, work, k, l + 1, data->parent[l][t]);
            }
            close_node_derivatives(data, model, point, k, l, node, sums, up, work, trace, P_single,
                                   scratch);
        }
    }
}

/* Packed weights whose dot product with a packed symmetric matrix is tr(Phi .) and rho' . rho. */
static void trace_weights(int p, int d, const double *root, const double *Phi, double *weight_tau,
                          double *weight_rho) {
    const double *rho = root + (size_t)d * p;
    for (int j = 0; j < d; j++) {
        for (int i = j; i < d; i++) {
            double twice = i == j ? 1.0 : 2.0;
            *weight_tau++ = i < p ? twice * Phi[j + (size_t)p * i] : 0.0;
            *weight_rho++ = twice * rho[i] * rho[j];
        }
    }
}

static void fixed_covariance(int p, int d, const double *root, double *Phi) {
    for (int j = 0; j < p; j++) {
        for (int i = 0; i <= j; i++) {
            double sum = 0.0;
            for (int c = j; c < p; c++) {
                sum += root[i + (size_t)d * c] * root[j + (size_t)d * c];
            }
            Phi[i + (size_t)p * j] = Phi[j + (size_t)p * i] = sum;
        }
    }
}

/* P += root' (unpacked `from`) root, upper triangle mirrored. */
static void transform_products(int d, const double *root, const double *packed, double *full,
                               double *half, double *P) {
    sp_unpack(d, packed, full);
    rows_transform(d, d, root, full, half);
    for (int j = 0; j < d; j++) {
        const double *column = root + (size_t)d * j;
        for (int i = 0; i < d; i++) {
            double sum = 0.0;
            for (int l = 0; l < d; l++) {
                sum += column[l] * half[(size_t)d * l + i];
            }
            P[i + (size_t)d * j] += sum;
        }
    }
}

/* s: rows that are free of Z. */
static void add_free_rows(const sp_reduced *data, const sp_point *point, int k, sp_reml_work *work,
                          double *trace, double *P_shared) {
    int sigma = k - 1;
    double s = point->s;
    size_t packed = sp_packed_size(data->d), at = (size_t)sigma + (size_t)k * sigma;
    double n_free = (double)data->n - (double)data->q * data->n_units;
    trace[sigma] += n_free / s;
    work->T[at] += n_free / (s * s);
    sp_axpy(packed, 1.0 / (s * s), data->Cfree, P_shared + packed * sigma);
    work->trQ[at] += sp_dot(packed, work->weight_tau, data->Cfree) / (s * s * s);
    work->rQ[at] += sp_dot(packed, work->weight_rho, data->Cfree) / (s * s * s);
}

void sp_assemble(int p, int reml, const double *T, const double *trQ, const double *rQ,
                 sp_derivatives *out) {
    int k = out->k, d = p + 1;
    size_t dd = (size_t)d * d;
    for (int r = 0; r < k; r++) {
        const double *P = out->P + dd * r;
        out->trace_x[r] = 0.0;
        for (int i = 0; i < p; i++) {
            out->trace_x[r] += P[i + (size_t)d * i];
        }
        out->square[r] = P[p + (size_t)d * p];
    }
    for (int s = 0; s < k; s++) {
        for (int r = 0; r <= s; r++) {
            const double *Pr = out->P + dd * r, *Ps = out->P + dd * s;
            size_t at = (size_t)r + (size_t)k * s;
            double expected = T[at];
            if (reml) {
                double PP = 0.0;
                for (int j = 0; j < p; j++) {
                    PP += sp_dot((size_t)p, Pr + (size_t)d * j, Ps + (size_t)d * j);
                }
                expected += PP - 2.0 * trQ[at];
            }
            double average = rQ[at] - sp_dot((size_t)p, Pr + (size_t)d * p, Ps + (size_t)d * p);
            out->expected[at] = out->expected[s + (size_t)k * r] = 0.5 * expected;
            out->average[at] = out->average[s + (size_t)k * r] = 0.5 * average;
        }
    }
}

sp_status sp_reml_derivatives(const sp_reduced *data, const sp_model *model, const sp_point *point,
                              int reml, sp_reml_work *work, const sp_value *value,
                              sp_derivatives *out) {
    int k = out->k, d = data->d, p = data->p;
    size_t packed = sp_packed_size(d);
    if (data->crossed) {
        return sp_crossed_derivatives(data, model, point, reml, work->crossed, value, out);
    }
    double *P_shared = work->P_shared, *P_single = P_shared + packed * (size_t)k;
    double *scratch = work->small, *rows = scratch + 5 * sp_widest(model) * sp_widest(model);
    double *inner = rows + (size_t)data->q * d;

    size_t qq = (size_t)data->q * data->q;
    memset(work->tau, 0, (size_t)data->n_items * qq * sizeof(double));
    memset(work->rho, 0, (size_t)data->n_items * qq * sizeof(double));
    memset(P_shared, 0, 2 * packed * (size_t)k * sizeof(double));
    memset(out->trace, 0, (size_t)k * sizeof(double));
    memset(work->T, 0, (size_t)k * k * sizeof(double));
    memset(work->trQ, 0, (size_t)k * k * sizeof(double));
    memset(work->rQ, 0, (size_t)k * k * sizeof(double));
    fixed_covariance(p, d, value->root, work->Phi);
    trace_weights(p, d, value->root, work->Phi, work->weight_tau, work->weight_rho);

    for (int g = 0; g < data->n_items; g++) {
        item_view view = view_item(data, model, point, work, g, scratch);
        if (g < data->n_shared) {
            add_shared_products(data, model, k, g, view, work, P_shared, inner);
        } else if (data->n_levels == 1) {
            rows_transform(data->q, d, value->root, item_rows(data, g), rows);
            add_row_products(data, model, k, g, view, rows, work, P_single, inner);
        }
        if (data->n_levels == 1) {
            add_item_traces(data, model, k, g, view, work, out->trace, inner);
        }
    }
    if (data->n_levels > 1) {
        add_nodes(data, model, point, k, value->root, work, out->trace, P_single);
        for (int g = 0; g < data->n_items; g++) {
            item_view view = view_item(data, model, point, work, g, scratch);
            add_item_traces(data, model, k, g, view, work, out->trace, inner);
        }
    }
    if (k > model->n_par) {
        add_free_rows(data, point, k, work, out->trace, P_shared);
    }
    double *full = work->small, *half = full + (size_t)d * d;
    for (int r = 0; r < k; r++) {
        double *P = out->P + (size_t)d * d * r;
        sp_unpack(d, P_single + packed * r, P);
        transform_products(d, value->root, P_shared + packed * r, full, half, P);
    }
    sp_assemble(p, reml, work->T, work->trQ, work->rQ, out);
    return SP_OK;
}

/* ---- predictions of the random effects ------------------------------------------------------ */

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

void sp_reml_ranef(const sp_reduced *data, const sp_model *model, const sp_point *point,
                   sp_reml_work *work, const sp_value *value, int level, double *mean,
                   double *variance) {
    int q = data->q, d = data->d, ql = model->dim[level];
    size_t qq = (size_t)q * q, qd = (size_t)q * d;
    if (data->crossed) {
        sp_crossed_ranef(data, model, point, work->crossed, value, level, mean, variance);
        return;
    }
    const double *rho = value->root + (size_t)d * data->p;
    const double *F = point->F[level], *G = point->G[level];
    size_t m = sp_widest(model), mm = m * m;
    double *FG = work->small, *Kt = FG + mm, *X = Kt + mm, *Y = X + mm, *v = Y + mm, *w = v + m;
    double *M = w + 2 * m, *deep = M + qq;
    descend(data, model, point, value->root, work);
    sp_multiply(q, ql, ql, F, G, FG);
    for (int t = 0; t < data->n_nodes[level]; t++) {
        /* v = Z'V^-1 (y - X beta), Kt = Z'V^-1 Z for this group, all levels in V. */
        if (level > 0) {
            size_t node = work->offset[level] + (size_t)t;
            for (int i = 0; i < q; i++) {
                v[i] = work->hhat[qd * node + (size_t)d * i + d - 1];
            }
            memcpy(Kt, work->K + qq * node, qq * sizeof(double));
        } else {
            const double *R = data->R + qq * t, *a = data->a + qd * t;
            double *Om = X, *Ci = Y;
            sp_multiply(q, q, ql, R, F, Om);
            sp_multiply(q, ql, ql, Om, G, Kt);
            sp_multiply_nt(q, ql, q, Kt, Om, Ci);
            for (int i = 0; i < q; i++) {
                Ci[i + (size_t)q * i] += point->s;
            }
            sp_cholesky(q, Ci);
            sp_invert_lower(q, Ci);
            sp_multiply(q, q, q, Ci, R, X);
            sp_multiply_tn(q, q, q, X, X, Kt);
            for (int i = 0; i < q; i++) {
                w[i] = sp_dot((size_t)d, a + (size_t)d * i, rho);
                if (data->n_levels > 1) {
                    const double *z = work->z + qd * (size_t)data->parent[0][t];
                    for (int j = 0; j < q; j++) {
                        w[i] -= R[i + (size_t)q * j] * z[(size_t)d * j + d - 1];
                    }
                }
            }
            sp_multiply(q, q, 1, Ci, w, w + q);
            sp_multiply_tn(q, q, 1, X, w + q, v);
        }
        sp_multiply_tn(ql, q, 1, FG, v, mean + (size_t)ql * t);
        if (variance) {
            if (level + 1 < data->n_levels) {
                nested_gain(data, work, level + 1, data->parent[level][t], M, deep);
                sp_multiply(q, q, q, Kt, M, X);
                sp_multiply(q, q, q, X, Kt, Y);
                sp_axpy(qq, -1.0, Y, Kt);
            }
            sp_multiply(q, q, ql, Kt, FG, X);
            double *out = variance + (size_t)ql * ql * t;
            sp_multiply_tn(ql, q, ql, FG, X, out);
            for (size_t i = 0; i < (size_t)ql * ql; i++) {
                out[i] = G[i] - out[i];
            }
        }
    }
}
