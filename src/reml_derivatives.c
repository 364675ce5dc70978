#include "crossed.h"
#include "reml_inner.h"
#include <math.h>
#include <string.h>

/* The derivatives cost most of a fit, and most models have two columns of Z, an intercept and a
 * slope. Loops over two cost more than what they do, so what is done per item and per node (the
 * functions `_sized` and what they call) is compiled twice: for any size and for two. */

/* ---- small helpers -------------------------------------------------------------------------- */

/* Position of the pair (r, s) of parameters, r <= s. */
static size_t pair_index(int r, int s) {
    return (size_t)s * (size_t)(s + 1) / 2 + (size_t)r;
}

/* Place of an element of a symmetric n x n matrix among those of its lower triangle. */
static size_t element_at(int n, int i, int j) {
    size_t low = (size_t)(i < j ? i : j), high = (size_t)(i < j ? j : i);
    return low * (size_t)n - low * (low + 1) / 2 + high;
}

/* Trace of A B for symmetric n x n matrices. */
SP_INLINE double trace_product(int n, const double *A, const double *B) {
    return sp_dot((size_t)n * n, A, B);
}

/* A += alpha (u v' + v u') / 2. */
SP_INLINE void add_symmetric(int n, double alpha, const double *u, const double *v, double *A) {
    if (n == 2) {
        double off = 0.5 * alpha * (u[0] * v[1] + v[0] * u[1]);
        A[0] += 0.5 * alpha * (u[0] * v[0] + v[0] * u[0]);
        A[1] += off;
        A[2] += off;
        A[3] += 0.5 * alpha * (u[1] * v[1] + v[1] * u[1]);
        return;
    }
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

SP_INLINE index_pairs pairs_of(const sp_model *model, int r) {
    int a = model->row[r], b = model->col[r];
    index_pairs pairs = {a == b ? 1 : 2, {a, b}, {b, a}};
    return pairs;
}

SP_INLINE double element_sum(index_pairs r, int n, const double *A) {
    double sum = 0.0;
    for (int x = 0; x < r.n; x++) {
        sum += A[r.i[x] + (size_t)n * r.j[x]];
    }
    return sum;
}

static double derivatives_work(const sp_reduced *data, int k) {
    return sp_value_work(data) * (k + 1);
}

/* ---- sums over the units or nodes of one level, for the parameters of that level ------------- */

/* Element (i, j) is the mean of A_ij and A_ji. */
SP_INLINE void take_elements(int n, const double *A, double *elements) {
    if (n == 2) {
        elements[0] = A[0];
        elements[1] = 0.5 * (A[1] + A[2]);
        elements[2] = A[3];
        return;
    }
    for (int j = 0; j < n; j++) {
        *elements++ = A[j + (size_t)n * j];
        for (int i = j + 1; i < n; i++) {
            *elements++ = 0.5 * (A[i + (size_t)n * j] + A[j + (size_t)n * i]);
        }
    }
}

/* What a unit or node does to the traces of its level's parameters depends on the parameters only
 * through elements of K = F'Z'V^-1 Z F and of one more such matrix: sums of K (t) and, for each of
 * T_rs, tr(Phi Q_rs) and rho'Q_rs rho, of the products of an element of K (rows) with one of the
 * other matrix (columns). Ts, Qs and Rs are those of s with an element. */
typedef struct {
    double *t, *Ts, *Qs, *Rs; /* w: elements of K */
    double *T, *Q, *R;        /* w x w */
} level_sums;

static level_sums sums_of_level(const sp_model *model, const sp_reml_work *work, int level) {
    double *memory = work->level_sums;
    for (int l = 0; l < level; l++) {
        memory += sp_level_sums_size(model->dim[l]);
    }
    size_t w = sp_packed_size(model->dim[level]), ww = w * w;
    double *squares = memory + 4 * w;
    level_sums sums = {memory,  memory + w,   memory + 2 * w,  memory + 3 * w,
                       squares, squares + ww, squares + 2 * ww};
    return sums;
}

/* products += the elements of K (given as such) times those of M (n x n). scratch: one w. */
SP_INLINE void add_element_products(int n, const double *K, const double *M, double *products,
                                    double *scratch) {
    size_t w = sp_packed_size(n);
    take_elements(n, M, scratch);
    if (n == 2) {
        for (int e = 0; e < 3; e++) {
            products[3 * e] += scratch[e] * K[0];
            products[3 * e + 1] += scratch[e] * K[1];
            products[3 * e + 2] += scratch[e] * K[2];
        }
        return;
    }
    for (size_t e = 0; e < w; e++) {
        sp_axpy(w, scratch[e], K, products + w * e);
    }
}

SP_INLINE void add_elements(int n, double alpha, const double *A, double *sums, double *scratch) {
    take_elements(n, A, scratch);
    sp_axpy(sp_packed_size(n), alpha, scratch, sums);
}

/* From elements to parameters: D of a parameter is one element on the diagonal, or two equal ones
 * off it. */
static void collect_level(const sp_model *model, const sp_reml_work *work, int k, int level,
                          double *trace) {
    int n = model->dim[level], sigma = model->n_par;
    size_t w = sp_packed_size(n);
    level_sums sums = sums_of_level(model, work, level);
    for (int s = 0; s < model->n_par; s++) {
        if (model->level[s] != level) {
            continue;
        }
        index_pairs ps = pairs_of(model, s);
        size_t of_s = element_at(n, ps.i[0], ps.j[0]);
        trace[s] += ps.n * sums.t[of_s];
        if (k > sigma && level == 0) {
            size_t at = (size_t)s + (size_t)k * sigma;
            work->T[at] += ps.n * sums.Ts[of_s];
            work->trQ[at] += ps.n * sums.Qs[of_s];
            work->rQ[at] += ps.n * sums.Rs[of_s];
        }
        for (int r = 0; r <= s; r++) {
            if (model->level[r] != level) {
                continue;
            }
            index_pairs pr = pairs_of(model, r);
            size_t at = (size_t)r + (size_t)k * s;
            for (int x = 0; x < pr.n; x++) {
                for (int y = 0; y < ps.n; y++) {
                    size_t from =
                        element_at(n, pr.j[x], ps.i[y]) + w * element_at(n, pr.i[x], ps.j[y]);
                    work->T[at] += sums.T[from];
                    work->trQ[at] += sums.Q[from];
                    work->rQ[at] += sums.R[from];
                }
            }
        }
    }
}

/* ---- items ---------------------------------------------------------------------------------- */

/* What the derivatives need of one item: Y = W L with L = R F, K = L'Y; and for s (NULL without
 * it) WY = W Y, W2 = W W. */
typedef struct {
    const double *R, *W;
    double *Y, *K, *WY, *W2;
} item_view;

/* scratch: 5 square matrices, four of which the view keeps. */
SP_INLINE item_view view_item(int q, int q0, const sp_reduced *data, const sp_model *model,
                              const sp_point *point, const sp_reml_work *work, int item, int with_s,
                              double *scratch) {
    size_t mm = sp_widest(model) * sp_widest(model);
    double *L = scratch + 4 * mm;
    item_view view = {
        sp_item_R(data, item), work->W + (size_t)q * q * item, scratch, scratch + mm, NULL, NULL};
    sp_multiply(q, q, q0, view.R, point->F[0], L);
    sp_multiply(q, q, q0, view.W, L, view.Y);
    sp_multiply_tn(q0, q, q0, L, view.Y, view.K);
    if (with_s) {
        view.WY = scratch + 2 * mm;
        view.W2 = scratch + 3 * mm;
        sp_multiply(q, q, q0, view.W, view.Y, view.WY);
        sp_multiply(q, q, q, view.W, view.W, view.W2);
    }
    return view;
}

/* Traces of the part of V that belongs to `count` units of an item. taken (q0 x q0, or NULL): what
 * the node above takes off the second K of T_rs, for one unit. scratch: a square matrix and two
 * sets of elements. */
SP_INLINE void add_unit_traces(int q0, const sp_model *model, item_view view, double count,
                               const double *taken, sp_reml_work *work, double *scratch) {
    size_t w = sp_packed_size(q0), size = (size_t)q0 * q0;
    level_sums sums = sums_of_level(model, work, 0);
    double *second = scratch, *K = second + size, *elements = K + w;
    take_elements(q0, view.K, K);
    sp_axpy(w, count, K, sums.t);
    for (size_t i = 0; i < size; i++) {
        second[i] = count * (taken ? view.K[i] - taken[i] : view.K[i]);
    }
    add_element_products(q0, K, second, sums.T, elements);
}

/* The same for s. taken (q0 x q0) belongs to T_rs with an element, taken_s to that with itself. */
SP_INLINE void add_unit_traces_s(int q, int q0, const sp_model *model, int k, item_view view,
                                 double count, const double *taken, double taken_s,
                                 sp_reml_work *work, double *trace, double *scratch) {
    level_sums sums = sums_of_level(model, work, 0);
    double *K2 = scratch, *elements = K2 + (size_t)q0 * q0;
    sp_multiply_tn(q0, q, q0, view.Y, view.Y, K2);
    add_elements(q0, count, K2, sums.Ts, elements);
    if (taken) {
        add_elements(q0, -count, taken, sums.Ts, elements);
    }
    for (int i = 0; i < q; i++) {
        trace[k - 1] += count * view.W[i + (size_t)q * i];
        work->T[(size_t)k * k - 1] += count * view.W2[i + (size_t)q * i];
    }
    work->T[(size_t)k * k - 1] -= count * taken_s;
}

/* The traces that weight an item's products of rows: YMY = Y'M Y (q0 x q0) where M (q x q) holds
 * the traces, over X or over rho, of the products of the rows. */
SP_INLINE void add_row_traces(int q0, const sp_model *model, item_view view, const double *over_x,
                              const double *over_rho, sp_reml_work *work, double *scratch) {
    level_sums sums = sums_of_level(model, work, 0);
    double *K = scratch, *elements = K + sp_packed_size(q0);
    take_elements(q0, view.K, K);
    add_element_products(q0, K, over_x, sums.Q, elements);
    add_element_products(q0, K, over_rho, sums.R, elements);
}

/* The same for s, from M itself, tau over X and rho. */
SP_INLINE void add_row_traces_s(int q, int q0, const sp_model *model, int k, item_view view,
                                const double *tau, const double *rho, sp_reml_work *work,
                                double *scratch) {
    size_t mm = sp_widest(model) * sp_widest(model), both = (size_t)k * k - 1;
    level_sums sums = sums_of_level(model, work, 0);
    double *MY = scratch, *YMWY = MY + mm, *W3 = YMWY + mm, *elements = W3 + mm;
    sp_multiply(q, q, q0, tau, view.Y, MY);
    sp_multiply_tn(q0, q, q0, MY, view.WY, YMWY);
    add_elements(q0, 1.0, YMWY, sums.Qs, elements);
    sp_multiply(q, q, q0, rho, view.Y, MY);
    sp_multiply_tn(q0, q, q0, MY, view.WY, YMWY);
    add_elements(q0, 1.0, YMWY, sums.Rs, elements);
    sp_multiply(q, q, q, view.W2, view.W, W3);
    work->trQ[both] += trace_product(q, tau, W3);
    work->rQ[both] += trace_product(q, rho, W3);
}

static const double *shared_products(const sp_reduced *data, int item) {
    size_t q = (size_t)data->q;
    return data->B + q * (q + 1) / 2 * sp_packed_size(data->d) * (size_t)item;
}

/* P_r of the unit-level parameters and s += a shared item's products. weights: q (q + 1) / 2. */
SP_INLINE void add_shared_products(int q, const sp_reduced *data, const sp_model *model, int k,
                                   int item, item_view view, sp_reml_work *work, double *weights) {
    size_t packed = sp_packed_size(data->d);
    const double *B = shared_products(data, item);
    for (int r = 0; r < k; r++) {
        if (r == model->n_par) {
            sp_shared_weights(q, view.W2, weights);
        } else if (model->level[r] == 0) {
            const double *u = view.Y + (size_t)q * model->row[r];
            const double *v = view.Y + (size_t)q * model->col[r];
            double twice = u == v ? 1.0 : 2.0, *weight = weights;
            for (int b = 0; b < q; b++) {
                for (int a = 0; a < b; a++) {
                    *weight++ = twice * (u[a] * v[b] + v[a] * u[b]);
                }
                *weight++ = twice * u[b] * v[b];
            }
        } else {
            continue;
        }
        sp_add_columns(packed, sp_packed_size(q), B, weights, work->P_shared + packed * r);
    }
}

/* tau and rho (q x q): traces over the columns of X (weighted by Phi) and over rho of a shared
 * item's products. */
SP_INLINE void trace_shared_products(int q, const sp_reduced *data, const sp_reml_work *work,
                                     int item, double *tau, double *rho) {
    size_t packed = sp_packed_size(data->d);
    const double *B = shared_products(data, item);
    for (int b = 0; b < q; b++) {
        for (int a = 0; a <= b; a++) {
            size_t at = (size_t)a + (size_t)q * b, mirrored = (size_t)b + (size_t)q * a;
            sp_dot_both(packed, B, work->weight_tau, work->weight_rho, tau + at, rho + at);
            tau[mirrored] = tau[at];
            rho[mirrored] = rho[at];
            B += packed;
        }
    }
}

/* One shared item: what its products add to the traces and to P. */
SP_INLINE void add_shared_item(int q, int q0, const sp_reduced *data, const sp_model *model, int k,
                               int item, item_view view, sp_reml_work *work, double *scratch) {
    size_t mm = sp_widest(model) * sp_widest(model);
    double *tau = scratch, *rho = tau + mm, *MY = rho + mm, *over_x = MY + mm,
           *over_rho = over_x + mm;
    trace_shared_products(q, data, work, item, tau, rho);
    sp_multiply(q, q, q0, tau, view.Y, MY);
    sp_multiply_tn(q0, q, q0, view.Y, MY, over_x);
    sp_multiply(q, q, q0, rho, view.Y, MY);
    sp_multiply_tn(q0, q, q0, view.Y, MY, over_rho);
    add_row_traces(q0, model, view, over_x, over_rho, work, over_rho + mm);
    if (k > model->n_par) {
        add_row_traces_s(q, q0, model, k, view, tau, rho, work, over_rho + mm);
    }
    add_shared_products(q, data, model, k, item, view, work, tau);
}

/* Traces over the first p columns and over the last one of the products of n rows of length d. */
SP_INLINE void trace_rows(int n, int d, const double *rows, double *over_x, double *over_rho) {
    int p = d - 1;
    for (int b = 0; b < n; b++) {
        for (int a = 0; a <= b; a++) {
            const double *u = rows + (size_t)d * a, *v = rows + (size_t)d * b;
            size_t at = (size_t)a + (size_t)n * b, mirrored = (size_t)b + (size_t)n * a;
            over_x[at] = over_x[mirrored] = sp_dot((size_t)p, u, v);
            over_rho[at] = over_rho[mirrored] = u[p] * v[p];
        }
    }
}

/* P_r += the products of rows that a level's own parameters are elements of: row i with row j. */
SP_INLINE void add_own_products(int ql, int d, const sp_model *model, int level, const double *rows,
                                double *P_single) {
    size_t packed = sp_packed_size(d);
    for (int r = 0; r < model->n_par; r++) {
        if (model->level[r] != level) {
            continue;
        }
        const double *u = rows + (size_t)d * model->row[r], *v = rows + (size_t)d * model->col[r];
        double *P = P_single + packed * r;
        if (u != v) {
            sp_add_outer_sym(d, 1.0, u, v, P);
        } else if (ql == 2 && r + 1 < model->n_par && model->level[r + 1] == level &&
                   model->row[r + 1] != model->col[r + 1]) {
            /* Two correlated effects: variance, covariance, variance. */
            sp_add_products(d, u, u + d, P, P + packed, P + 2 * packed);
            r += 2;
        } else {
            sp_add_outer(d, 1.0, u, P);
        }
    }
}

/* q rows of an item in the coordinates of root: what they add to P_r (P_single, in these
 * coordinates) and to the traces. ya: Y' times the rows (q0 rows). */
SP_INLINE void add_rows_item(int q, int q0, const sp_reduced *data, const sp_model *model, int k,
                             item_view view, const double *rows, const double *ya,
                             sp_reml_work *work, double *P_single, double *scratch) {
    int d = data->d;
    size_t packed = sp_packed_size(d), mm = sp_widest(model) * sp_widest(model);
    double *over_x = scratch, *over_rho = over_x + mm, *wa = over_rho + mm;
    add_own_products(q0, d, model, 0, ya, P_single);
    trace_rows(q0, d, ya, over_x, over_rho);
    add_row_traces(q0, model, view, over_x, over_rho, work, wa);
    if (k > model->n_par) {
        sp_rows_multiply(q, q, d, view.W, rows, wa);
        sp_add_crossprod(q, d, wa, P_single + packed * model->n_par);
        trace_rows(q, d, rows, over_x, over_rho);
        add_row_traces_s(q, q0, model, k, view, over_x, over_rho, work, wa);
    }
}

/* ya (q0 rows) = Y' times q rows. */
SP_INLINE void project_rows(int q, int q0, int d, item_view view, const double *rows, double *ya) {
    for (int c = 0; c < q0; c++) {
        sp_rows_multiply(1, q, d, view.Y + (size_t)q * c, rows, ya + (size_t)d * c);
    }
}

/* One item of a design of one level, or a shared one of several levels, whose units' own traces
 * wait for their nodes. */
SP_INLINE void add_item_sized(int q, int q0, const sp_reduced *data, const sp_model *model,
                              const sp_point *point, int k, int item, sp_reml_work *work,
                              double *trace, double *P_single) {
    int d = data->d, with_s = k > model->n_par;
    size_t mm = sp_widest(model) * sp_widest(model);
    double *rest = work->small + 5 * mm;
    item_view view = view_item(q, q0, data, model, point, work, item, with_s, work->small);
    if (data->n_levels == 1) {
        double count = data->item_count[item];
        add_unit_traces(q0, model, view, count, NULL, work, rest);
        if (with_s) {
            add_unit_traces_s(q, q0, model, k, view, count, NULL, 0.0, work, trace, rest);
        }
    }
    if (item < data->n_shared) {
        add_shared_item(q, q0, data, model, k, item, view, work, rest);
    } else {
        double *rows = rest, *ya = rows + (size_t)q * d, *inner = ya + (size_t)q0 * d;
        sp_rows_transform(q, d, work->root_rows, sp_item_rows(data, item), rows);
        project_rows(q, q0, d, view, rows, ya);
        add_rows_item(q, q0, data, model, k, view, rows, ya, work, P_single, inner);
    }
}

static void add_item(const sp_reduced *data, const sp_model *model, const sp_point *point, int k,
                     int item, sp_reml_work *work, double *trace, double *P_single) {
    int q = data->q, q0 = model->dim[0];
    if (q == 2 && q0 == 2) {
        add_item_sized(2, 2, data, model, point, k, item, work, trace, P_single);
    } else {
        add_item_sized(q, q0, data, model, point, k, item, work, trace, P_single);
    }
}

static sp_status add_items_derivatives(const sp_reduced *data, const sp_model *model,
                                       const sp_point *point, int k, sp_reml_work *work,
                                       double *trace, double *P_single, sp_asking *asking) {
    int n_items = data->n_levels == 1 ? data->n_items : data->n_shared;
    const double item_work = derivatives_work(data, k);
    for (int g = 0; g < n_items; g++) {
        if (sp_must_stop(asking, item_work)) {
            return SP_INTERRUPTED;
        }
        add_item(data, model, point, k, g, work, trace, P_single);
    }
    return SP_OK;
}

/* ---- nodes ---------------------------------------------------------------------------------- */

/* Sums over one node's members, for each parameter inside it: Ga_r = Z'V^-1 D_r V^-1 Z,
 * y_r = Z'V^-1 D_r V^-1[X y] and, where a level above needs it (NULL otherwise), De_rs = the
 * symmetric part of Z'V^-1 D_r V^-1 D_s V^-1 Z. */
typedef struct {
    double *Ga, *De, *y;
} node_sums;

/* Whether a parameter's D lies inside the nodes of a level. */
static int is_inside(const sp_model *model, int r, int level) {
    return r >= model->n_par || model->level[r] < level;
}

/* A += alpha u v' in symmetric form: the mean with its transpose, or for a pair of equal elements
 * of D their sum. */
SP_INLINE void add_pair(index_pairs pairs, int n, double alpha, const double *U, const double *V,
                        double *A) {
    for (int x = 0; x < pairs.n; x++) {
        add_symmetric(n, alpha, U + (size_t)n * pairs.i[x], V + (size_t)n * pairs.j[x], A);
    }
}

/* rows (q of length d) += for each pair of D's elements column i of H times row j of `in`. */
SP_INLINE void add_pair_rows(index_pairs pairs, int q, int d, const double *H, const double *in,
                             double *rows) {
    for (int x = 0; x < pairs.n; x++) {
        sp_rows_add(q, 1, d, 1.0, H + (size_t)q * pairs.i[x], in + (size_t)d * pairs.j[x], rows);
    }
}

/* De of one level's own parameters: the level's K = F'Z'V^-1 Z F, and H = Z'V^-1 Z F (q rows). */
static void add_level_De(const sp_model *model, int level, double count, const double *K,
                         const double *H, double *De) {
    int q = model->q, ql = model->dim[level];
    size_t qq = (size_t)q * q;
    for (int s = 0; s < model->n_par; s++) {
        if (model->level[s] != level) {
            continue;
        }
        index_pairs ps = pairs_of(model, s);
        for (int r = 0; r <= s; r++) {
            if (model->level[r] != level) {
                continue;
            }
            index_pairs pr = pairs_of(model, r);
            for (int x = 0; x < pr.n; x++) {
                for (int w = 0; w < ps.n; w++) {
                    add_symmetric(q, count * K[pr.j[x] + (size_t)ql * ps.i[w]],
                                  H + (size_t)q * pr.i[x], H + (size_t)q * ps.j[w],
                                  De + qq * pair_index(r, s));
                }
            }
        }
    }
}

/* One cell: its units' own traces and what it adds to its node's sums. N is the node's; rows, the
 * sum of the units' rows less what is predicted, and ya = Y' rows are in the coordinates of root.
 */
SP_INLINE void add_cell(int q, int q0, const sp_model *model, int d, double count, item_view view,
                        const double *N, const double *ya, node_sums sums, sp_reml_work *work,
                        double *scratch) {
    size_t qq = (size_t)q * q, mm = sp_widest(model) * sp_widest(model);
    double *H = scratch, *NH = H + mm, *taken = NH + mm;
    sp_multiply_tn(q, q, q0, view.R, view.Y, H);
    sp_multiply(q, q, q0, N, H, NH);
    sp_multiply_tn(q0, q, q0, H, NH, taken);
    for (size_t i = 0; i < (size_t)q0 * q0; i++) {
        taken[i] *= 2.0;
    }
    add_unit_traces(q0, model, view, count, taken, work, taken + mm);
    for (int s = 0; s < model->n_par; s++) {
        if (model->level[s] == 0) {
            index_pairs pairs = pairs_of(model, s);
            add_pair(pairs, q, count, H, H, sums.Ga + qq * s);
            add_pair_rows(pairs, q, d, H, ya, sums.y + (size_t)q * d * s);
        }
    }
    if (sums.De) {
        add_level_De(model, 0, count, view.K, H, sums.De);
    }
}

/* The same for s. */
SP_INLINE void add_cell_s(int q, int q0, const sp_model *model, int k, int d, double count,
                          item_view view, const double *N, const double *rows, node_sums sums,
                          sp_reml_work *work, double *trace, double *scratch) {
    int s = model->n_par;
    size_t qq = (size_t)q * q, mm = sp_widest(model) * sp_widest(model);
    double *H = scratch, *V = H + mm, *WR = V + mm, *WWR = WR + mm, *De = WWR + mm;
    double *NV = De + mm, *taken = NV + mm, *wa = taken + mm;
    sp_multiply_tn(q, q, q0, view.R, view.Y, H);
    sp_multiply_tn(q, q, q0, view.R, view.WY, V);
    sp_multiply(q, q, q, view.W, view.R, WR);
    sp_multiply(q, q, q, view.W, WR, WWR);
    sp_multiply_tn(q, q, q, WR, WWR, De);
    sp_multiply(q, q, q0, N, V, NV);
    sp_multiply_tn(q0, q, q0, H, NV, taken);
    for (size_t i = 0; i < (size_t)q0 * q0; i++) {
        taken[i] *= 2.0;
    }
    add_unit_traces_s(q, q0, model, k, view, count, taken, 2.0 * trace_product(q, N, De), work,
                      trace, wa);
    if (sums.De) {
        for (int r = 0; r < s; r++) {
            if (model->level[r] == 0) {
                add_pair(pairs_of(model, r), q, count, H, V, sums.De + qq * pair_index(r, s));
            }
        }
        sp_axpy(qq, count, De, sums.De + qq * pair_index(s, s));
    }
    double *Ga = sums.Ga + qq * s;
    for (int i = 0; i < q; i++) {
        for (int j = 0; j < q; j++) {
            Ga[i + (size_t)q * j] +=
                count * sp_dot((size_t)q, WR + (size_t)q * i, WR + (size_t)q * j);
        }
    }
    sp_rows_multiply(q, q, d, view.W, rows, wa);
    for (int i = 0; i < q; i++) {
        for (int j = 0; j < q; j++) {
            sp_axpy((size_t)d, WR[j + (size_t)q * i], wa + (size_t)d * j,
                    sums.y + (size_t)q * d * s + (size_t)d * i);
        }
    }
}

/* Adds the pair's product of row blocks (q rows): the trace over the fixed columns, and rho. */
SP_INLINE void add_products(int q, int d, double alpha, const double *u, const double *v,
                            double *over_x, double *over_rho) {
    double x = *over_x, rho = *over_rho;
    for (int i = 0; i < q; i++) {
        x += alpha * sp_dot((size_t)d - 1, u + (size_t)d * i, v + (size_t)d * i);
        rho += alpha * u[(size_t)d * i + d - 1] * v[(size_t)d * i + d - 1];
    }
    *over_x = x;
    *over_rho = rho;
}

/* What a node takes off the traces of the parameters inside it. NGa (q x q per parameter) gets
 * N Ga_r; Ny: q rows. The term in De is missing at level 1, whose cells know it. */
SP_INLINE void add_inside_traces(int q, const sp_reduced *data, const sp_model *model, int k,
                                 int level, const double *N, node_sums sums, sp_reml_work *work,
                                 double *trace, double *NGa, double *Ny) {
    int d = data->d;
    size_t qq = (size_t)q * q, qd = (size_t)q * d;
    for (int s = 0; s < k; s++) {
        if (!is_inside(model, s, level)) {
            continue;
        }
        sp_multiply(q, q, q, N, sums.Ga + qq * s, NGa + qq * s);
        sp_rows_multiply(q, q, d, N, sums.y + qd * s, Ny);
        trace[s] -= trace_product(q, N, sums.Ga + qq * s);
        for (int r = 0; r <= s; r++) {
            if (!is_inside(model, r, level)) {
                continue;
            }
            size_t at = (size_t)r + (size_t)k * s;
            const double *A = NGa + qq * r, *B = NGa + qq * s;
            double T = work->T[at];
            for (int i = 0; i < q; i++) {
                for (int j = 0; j < q; j++) {
                    T += A[i + (size_t)q * j] * B[j + (size_t)q * i];
                }
            }
            if (level > 1) {
                T -= 2.0 * trace_product(q, N, sums.De + qq * pair_index(r, s));
            }
            work->T[at] = T;
            add_products(q, d, -1.0, sums.y + qd * r, Ny, work->trQ + at, work->rQ + at);
        }
    }
}

/* What a node needs of its own level: eta = F'Z'V^-1[X y] (q_l rows), KF = K F and
 * kappa = F'K F. Its own parameters' part of P and of the traces. */
SP_INLINE void add_own_traces(int ql, const sp_reduced *data, const sp_model *model, int level,
                              const double *kappa, const double *eta, sp_reml_work *work,
                              double *P_single, double *scratch) {
    int d = data->d;
    size_t mm = sp_widest(model) * sp_widest(model), w = sp_packed_size(ql);
    level_sums sums = sums_of_level(model, work, level);
    double *over_x = scratch, *over_rho = over_x + mm, *K = over_rho + mm, *elements = K + w;
    trace_rows(ql, d, eta, over_x, over_rho);
    take_elements(ql, kappa, K);
    sp_axpy(w, 1.0, K, sums.t);
    add_element_products(ql, K, kappa, sums.T, elements);
    add_element_products(ql, K, over_x, sums.Q, elements);
    add_element_products(ql, K, over_rho, sums.R, elements);
    add_own_products(ql, d, model, level, eta, P_single);
}

/* Traces of a parameter inside the node with one of its own. SF = (I - N J) F. */
SP_INLINE void add_mixed_traces(int q, int ql, const sp_reduced *data, const sp_model *model, int k,
                                int level, const double *SF, const double *eta, node_sums sums,
                                sp_reml_work *work, double *scratch) {
    int d = data->d;
    size_t qq = (size_t)q * q, qd = (size_t)q * d, mm = sp_widest(model) * sp_widest(model);
    double *GaF = scratch, *FGaF = GaF + mm, *Fy = FGaF + mm;
    for (int r = 0; r < k; r++) {
        if (!is_inside(model, r, level)) {
            continue;
        }
        sp_multiply(q, q, ql, sums.Ga + qq * r, SF, GaF);
        sp_multiply_tn(ql, q, ql, SF, GaF, FGaF);
        for (int a = 0; a < ql; a++) {
            sp_rows_multiply(1, q, d, SF + (size_t)q * a, sums.y + qd * r, Fy + (size_t)d * a);
        }
        for (int s = 0; s < model->n_par; s++) {
            if (model->level[s] != level) {
                continue;
            }
            size_t at = r < s ? (size_t)r + (size_t)k * s : (size_t)s + (size_t)k * r;
            index_pairs ps = pairs_of(model, s);
            work->T[at] += element_sum(ps, ql, FGaF);
            for (int x = 0; x < ps.n; x++) {
                add_products(1, d, 1.0, Fy + (size_t)d * ps.i[x], eta + (size_t)d * ps.j[x],
                             work->trQ + at, work->rQ + at);
            }
        }
    }
}

/* up.De of two parameters inside the node: shrink (De - sym(Ga_r N Ga_s)) shrink'. scratch: 2
 * square matrices. */
static void pass_up_De(const sp_reduced *data, const sp_model *model, int k, int level,
                       node_sums sums, const double *NGa, const double *shrink, node_sums up,
                       double *scratch) {
    int q = data->q;
    size_t qq = (size_t)q * q;
    double *X = scratch, *Y = X + qq;
    for (int s = 0; s < k; s++) {
        if (!is_inside(model, s, level)) {
            continue;
        }
        for (int r = 0; r <= s; r++) {
            if (!is_inside(model, r, level)) {
                continue;
            }
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

/* up.Ga and up.y of a parameter r inside the node, and up.De of r with the node's own ones, Ga E_s
 * K: columns of Ga F and of K F. scratch: 2 square matrices. */
static void pass_up_inside(const sp_reduced *data, const sp_model *model, const double *F, int r,
                           int level, node_sums sums, const double *KF, const double *shrink,
                           node_sums up, double *scratch) {
    int q = data->q, d = data->d, ql = model->dim[level];
    size_t qq = (size_t)q * q, qd = (size_t)q * d, m = sp_widest(model);
    double *Ga = scratch, *X = Ga + m * m, *GaF = X;
    sp_multiply(q, q, q, shrink, sums.Ga + qq * r, X);
    sp_multiply_nt(q, q, q, X, shrink, Ga);
    sp_axpy(qq, 1.0, Ga, up.Ga + qq * r);
    sp_rows_add(q, q, d, 1.0, shrink, sums.y + qd * r, up.y + qd * r);
    sp_multiply(q, q, ql, Ga, F, GaF);
    for (int s = 0; s < model->n_par; s++) {
        if (model->level[s] == level) {
            size_t at = r < s ? pair_index(r, s) : pair_index(s, r);
            add_pair(pairs_of(model, s), q, 1.0, GaF, KF, up.De + qq * at);
        }
    }
}

/* The node as a member of the one above: its sums, and those of its own parameters, join `up`.
 * NGa: N Ga_r; KF = K F, kappa = F'K F, eta as above. */
static void pass_up(const sp_reduced *data, const sp_model *model, const sp_point *point, int k,
                    int level, size_t node, node_sums sums, const double *NGa, const double *KF,
                    const double *kappa, const double *eta, const sp_reml_work *work, node_sums up,
                    double *scratch) {
    int q = data->q, d = data->d;
    size_t qq = (size_t)q * q, qd = (size_t)q * d;
    double *shrink = scratch, *rest = shrink + qq; /* shrink = I - J N */
    sp_multiply(q, q, q, work->J + qq * node, work->N + qq * node, shrink);
    for (int i = 0; i < q; i++) {
        for (int j = 0; j < q; j++) {
            shrink[i + (size_t)q * j] = (i == j) - shrink[i + (size_t)q * j];
        }
    }
    pass_up_De(data, model, k, level, sums, NGa, shrink, up, rest);
    for (int r = 0; r < k; r++) {
        if (is_inside(model, r, level)) {
            pass_up_inside(data, model, point->F[level], r, level, sums, KF, shrink, up, rest);
        }
    }
    for (int s = 0; s < model->n_par; s++) {
        if (model->level[s] == level) {
            index_pairs pairs = pairs_of(model, s);
            add_pair(pairs, q, 1.0, KF, KF, up.Ga + qq * s);
            add_pair_rows(pairs, q, d, KF, eta, up.y + qd * s);
        }
    }
    add_level_De(model, level, 1.0, kappa, KF, up.De);
}

/* One node of level >= 1, its members' sums complete (up.Ga is NULL at the highest level). */
SP_INLINE void close_node_sized(int q, int ql, const sp_reduced *data, const sp_model *model,
                                const sp_point *point, int k, int level, size_t node,
                                node_sums sums, node_sums up, sp_reml_work *work, double *trace,
                                double *P_single, double *scratch) {
    int d = data->d;
    size_t qq = (size_t)q * q, qd = (size_t)q * d, m = sp_widest(model);
    const double *N = work->N + qq * node, *F = point->F[level], *hhat = work->hhat + qd * node;
    double *KF = scratch, *kappa = KF + m * m, *SF = kappa + m * m, *JF = SF + m * m;
    double *eta = JF + m * m, *NGa = eta + m * (size_t)d, *Ny = NGa + qq * (size_t)k;
    double *rest = Ny + qd;
    add_inside_traces(q, data, model, k, level, N, sums, work, trace, NGa, Ny);

    sp_multiply(q, q, ql, work->K + qq * node, F, KF);
    sp_multiply_tn(ql, q, ql, F, KF, kappa);
    for (int a = 0; a < ql; a++) {
        sp_rows_multiply(1, q, d, F + (size_t)q * a, hhat, eta + (size_t)d * a);
    }
    add_own_traces(ql, data, model, level, kappa, eta, work, P_single, rest);

    sp_multiply(q, q, ql, work->J + qq * node, F, JF);
    sp_multiply(q, q, ql, N, JF, SF);
    for (size_t i = 0; i < (size_t)q * ql; i++) {
        SF[i] = F[i] - SF[i];
    }
    add_mixed_traces(q, ql, data, model, k, level, SF, eta, sums, work, rest);
    if (up.Ga) {
        pass_up(data, model, point, k, level, node, sums, NGa, KF, kappa, eta, work, up, rest);
    }
}

static void close_node_derivatives(const sp_reduced *data, const sp_model *model,
                                   const sp_point *point, int k, int level, size_t node,
                                   node_sums sums, node_sums up, sp_reml_work *work, double *trace,
                                   double *P_single, double *scratch) {
    int q = data->q, ql = model->dim[level];
    if (q == 2 && ql == 2) {
        close_node_sized(2, 2, data, model, point, k, level, node, sums, up, work, trace, P_single,
                         scratch);
    } else {
        close_node_sized(q, ql, data, model, point, k, level, node, sums, up, work, trace, P_single,
                         scratch);
    }
}

/* Sums kept for node t of a level >= 2; slot 0 serves every node of level 1 in turn. */
static node_sums stored_sums(const sp_reduced *data, const sp_reml_work *work, int k, int level,
                             int t) {
    size_t slot = level < 2 ? 0 : 1 + work->offset[level] - work->offset[2] + (size_t)t;
    size_t qq = (size_t)data->q * data->q, qd = (size_t)data->q * data->d;
    node_sums sums = {work->node_Ga + slot * k * qq,
                      data->n_levels > 2 ? work->node_De + slot * sp_packed_size(k) * qq : NULL,
                      work->node_y + slot * k * qd};
    return sums;
}

static void clear_sums(const sp_reduced *data, int k, size_t n_slots, node_sums sums) {
    size_t qq = (size_t)data->q * data->q, qd = (size_t)data->q * data->d;
    memset(sums.Ga, 0, n_slots * k * qq * sizeof(double));
    memset(sums.y, 0, n_slots * k * qd * sizeof(double));
    if (sums.De) {
        memset(sums.De, 0, n_slots * sp_packed_size(k) * qq * sizeof(double));
    }
}

/* One cell of a node of level 1, into the node's sums. */
SP_INLINE void add_node_cell_sized(int q, int q0, const sp_reduced *data, const sp_model *model,
                                   const sp_point *point, int k, int cell, node_sums sums,
                                   sp_reml_work *work, double *trace, double *P_single) {
    int d = data->d, with_s = k > model->n_par, item = data->cell_item[cell];
    size_t qq = (size_t)q * q, qd = (size_t)q * d, mm = sp_widest(model) * sp_widest(model);
    size_t node = (size_t)data->cell_node[cell];
    const double *z = work->z + qd * node, *N = work->N + qq * node;
    double *rows = work->small + 5 * mm, *ya = rows + qd, *inner = ya + (size_t)q0 * d;
    double count = data->cell_count[cell];
    item_view view = view_item(q, q0, data, model, point, work, item, with_s, work->small);
    sp_rows_transform(q, d, work->root_rows, data->cell_sum + qd * cell, rows);
    sp_rows_add(q, q, d, -count, view.R, z, rows);
    project_rows(q, q0, d, view, rows, ya);
    add_cell(q, q0, model, d, count, view, N, ya, sums, work, inner);
    if (with_s) {
        add_cell_s(q, q0, model, k, d, count, view, N, rows, sums, work, trace, inner);
    }
    /* As one set of rows for all units of the cell. */
    for (size_t i = 0; count != 1.0 && i < qd + (size_t)q0 * d; i++) {
        rows[i] /= sqrt(count);
    }
    add_rows_item(q, q0, data, model, k, view, rows, ya, work, P_single, inner);
}

static void add_node_cell(const sp_reduced *data, const sp_model *model, const sp_point *point,
                          int k, int cell, node_sums sums, sp_reml_work *work, double *trace,
                          double *P_single) {
    int q = data->q, q0 = model->dim[0];
    if (q == 2 && q0 == 2) {
        add_node_cell_sized(2, 2, data, model, point, k, cell, sums, work, trace, P_single);
    } else {
        add_node_cell_sized(q, q0, data, model, point, k, cell, sums, work, trace, P_single);
    }
}

/* The levels above the units. */
static sp_status add_nodes(const sp_reduced *data, const sp_model *model, const sp_point *point,
                           int k, sp_reml_work *work, double *trace, double *P_single,
                           sp_asking *asking) {
    const node_sums none = {NULL, NULL, NULL};
    node_sums current = stored_sums(data, work, k, 1, 0);
    clear_sums(data, k, 1 + sp_n_upper_nodes(data, 2), current);
    sp_descend(data, model, point, work);
    const double part_work = derivatives_work(data, k);
    int c = 0;
    for (int l = 1; l < data->n_levels; l++) {
        for (int t = 0; t < data->n_nodes[l]; t++) {
            if (sp_must_stop(asking, part_work)) {
                return SP_INTERRUPTED;
            }
            node_sums sums = stored_sums(data, work, k, l, t);
            if (l == 1) {
                clear_sums(data, k, 1, sums);
            }
            for (; l == 1 && c < data->n_cells && data->cell_node[c] == t; c++) {
                if (sp_must_stop(asking, part_work)) {
                    return SP_INTERRUPTED;
                }
                add_node_cell(data, model, point, k, c, sums, work, trace, P_single);
            }
            node_sums up = none;
            if (l + 1 < data->n_levels) {
                up = stored_sums(data, work, k, l + 1, data->parent[l][t]);
            }
            close_node_derivatives(data, model, point, k, l, work->offset[l] + (size_t)t, sums, up,
                                   work, trace, P_single, work->small);
        }
    }
    return SP_OK;
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

static void fixed_covariance(int p, int d, const double *root_rows, double *Phi) {
    for (int j = 0; j < p; j++) {
        for (int i = 0; i <= j; i++) {
            Phi[i + (size_t)p * j] = Phi[j + (size_t)p * i] = sp_dot(
                (size_t)(p - j), root_rows + (size_t)d * i + j, root_rows + (size_t)d * j + j);
        }
    }
}

/* P += root' (unpacked `packed`) root, exactly symmetric. Of full root only what the upper triangle
 * of the answer needs is computed: rows l and l + 1 from column l on. full, half: d x d. */
static void transform_products(int d, const double *root, const double *root_rows,
                               const double *packed, double *full, double *half, double *P) {
    sp_unpack(d, packed, full);
    double *part = half + (size_t)d * d; /* two rows */
    for (int l = 0; l < d; l += 2) {
        int rows = l + 1 < d ? 2 : 1, length = d - l;
        sp_rows_times(rows, d, length, full + (size_t)d * l, d, root_rows + l, d, l, part);
        for (int i = 0; i < rows; i++) {
            memcpy(half + (size_t)d * (l + i) + l, part + (size_t)length * i,
                   (size_t)length * sizeof(double));
        }
        /* Rows l and l + 1 of root' are columns of root, with l + 2 elements. */
        sp_rows_times(rows, l + rows, length, root + (size_t)d * l, d, half + l, d, d, part);
        for (int i = 0; i < rows; i++) {
            for (int c = i; c < length; c++) {
                double *at = P + (size_t)d * (l + i) + l + c;
                *at += part[(size_t)length * i + c];
                P[(size_t)d * (l + c) + l + i] = *at;
            }
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
                    size_t diagonal = ((size_t)d + 1) * j;
                    PP += Pr[diagonal] * Ps[diagonal] +
                          2.0 * sp_dot((size_t)(p - j - 1), Pr + diagonal + 1, Ps + diagonal + 1);
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
    memset(P_shared, 0, 2 * packed * (size_t)k * sizeof(double));
    memset(out->trace, 0, (size_t)k * sizeof(double));
    memset(work->T, 0, (size_t)k * k * sizeof(double));
    memset(work->trQ, 0, (size_t)k * k * sizeof(double));
    memset(work->rQ, 0, (size_t)k * k * sizeof(double));
    memset(work->level_sums, 0, sp_all_level_sums_size(model) * sizeof(double));
    sp_set_root_rows(d, value->root, work->root_rows);
    fixed_covariance(p, d, work->root_rows, work->Phi);
    trace_weights(p, d, value->root, work->Phi, work->weight_tau, work->weight_rho);

    sp_asking asking = sp_ask_later(data->check, data->check_data);
    sp_status status =
        add_items_derivatives(data, model, point, k, work, out->trace, P_single, &asking);
    if (status == SP_OK && data->n_levels > 1) {
        status = add_nodes(data, model, point, k, work, out->trace, P_single, &asking);
    }
    if (status != SP_OK) {
        return status;
    }
    for (int l = 0; l < data->n_levels; l++) {
        collect_level(model, work, k, l, out->trace);
    }
    if (k > model->n_par) {
        add_free_rows(data, point, k, work, out->trace, P_shared);
    }
    double *full = work->small, *half = full + (size_t)d * d;
    for (int r = 0; r < k; r++) {
        double *P = out->P + (size_t)d * d * r;
        sp_unpack(d, P_single + packed * r, P);
        transform_products(d, value->root, work->root_rows, P_shared + packed * r, full, half, P);
    }
    sp_assemble(p, reml, work->T, work->trQ, work->rQ, out);
    return SP_OK;
}
