#include "curvature.h"
#include "crossed.h"
#include "linalg.h"
#include <string.h>

/* The recursion of sp_reml_value, differentiated twice by hand: every quantity x there has x1 and
 * x2 here, its first and second derivative along the direction. */

/* Sums of the members of every node above the units, by work->offset. */
typedef struct {
    double *J1, *J2; /* q x q */
    double *h1, *h2; /* q rows of length d */
} node_jets;

static size_t n_nodes_above(const sp_reduced *data) {
    size_t sum = 0;
    for (int l = 1; l < data->n_levels; l++) {
        sum += (size_t)data->n_nodes[l];
    }
    return sum;
}

enum { N_SQUARES = 18, N_ROWS = 5 };

size_t sp_curvature_work_size(const sp_reduced *data, const sp_model *model) {
    if (data->crossed) {
        return 0;
    }
    size_t q = (size_t)data->q, d = (size_t)data->d, m = sp_widest(model);
    return n_nodes_above(data) * 2 * (q * q + q * d) + N_SQUARES * m * m + N_ROWS * q * d;
}

/* C += alpha A B, q x q. */
static void add_product(int q, double alpha, const double *A, const double *B, double *C) {
    for (int j = 0; j < q; j++) {
        for (int l = 0; l < q; l++) {
            sp_axpy((size_t)q, alpha * B[l + (size_t)q * j], A + (size_t)q * l, C + (size_t)q * j);
        }
    }
}

/* W1 = -W Om1 W and W2 = 2 W Om1 W Om1 W, with Om1 = R F G1 F'R' + s1 I. */
static void item_jets(const sp_reduced *data, const sp_model *model, const sp_point *point,
                      const sp_reml_work *work, int item, const sp_direction *direction, double *W1,
                      double *W2, double *scratch) {
    int q = data->q, q0 = model->dim[0];
    size_t qq = (size_t)q * q, mm = sp_widest(model) * sp_widest(model);
    const double *R = data->R + qq * data->item_unit[item], *W = work->W + qq * item;
    double *L = scratch, *LG = L + mm, *Om1 = LG + mm, *WOm1 = Om1 + mm;
    sp_multiply(q, q, q0, R, point->F[0], L);
    sp_multiply(q, q0, q0, L, direction->G[0], LG);
    sp_multiply_nt(q, q0, q, LG, L, Om1);
    for (int i = 0; i < q; i++) {
        Om1[i + (size_t)q * i] += direction->s;
    }
    sp_multiply(q, q, q, W, Om1, WOm1);
    sp_multiply(q, q, q, WOm1, W, W1);
    sp_multiply(q, q, q, WOm1, W1, W2);
    for (size_t i = 0; i < qq; i++) {
        W1[i] = -W1[i];
        W2[i] = 2.0 * W2[i];
    }
}

/* packed += sum over a, b of M_ab times the products B_ab of a shared item, M symmetric. */
static void contract_shared(const sp_reduced *data, int item, const double *M, double *packed) {
    int q = data->q;
    size_t size = sp_packed_size(data->d);
    const double *B = data->B + (size_t)q * (size_t)(q + 1) / 2 * size * (size_t)item;
    for (int b = 0; b < q; b++) {
        for (int a = 0; a <= b; a++) {
            sp_axpy(size, (a == b ? 1.0 : 2.0) * M[a + (size_t)q * b], B, packed);
            B += size;
        }
    }
}

/* The same for the products of q rows, times alpha. */
static void contract_rows(int q, int d, double alpha, const double *M, const double *rows,
                          double *packed) {
    for (int b = 0; b < q; b++) {
        for (int a = 0; a <= b; a++) {
            double weight = alpha * M[a + (size_t)q * b];
            if (a == b) {
                sp_add_outer(d, weight, rows + (size_t)d * a, packed);
            } else {
                sp_add_outer_sym(d, weight, rows + (size_t)d * a, rows + (size_t)d * b, packed);
            }
        }
    }
}

/* The weighted sum over the directions of an item's W2. */
static void sum_second(const sp_reduced *data, const sp_model *model, const sp_point *point,
                       const sp_reml_work *work, int item, int n_directions,
                       const sp_direction *directions, const double *weights, double *sum,
                       double *scratch) {
    size_t qq = (size_t)data->q * data->q, mm = sp_widest(model) * sp_widest(model);
    double *W1 = scratch, *W2 = W1 + mm, *inner = W2 + mm;
    memset(sum, 0, qq * sizeof(double));
    for (int m = 0; m < n_directions; m++) {
        item_jets(data, model, point, work, item, &directions[m], W1, W2, inner);
        sp_axpy(qq, weights[m], W2, sum);
    }
    sp_symmetrise(data->q, sum);
}

/* Multiplications that one item's W2 costs along n directions. */
static double second_work(const sp_reduced *data, int n_directions) {
    return 6.0 * data->q * data->q * data->q * n_directions;
}

static sp_status add_items(const sp_reduced *data, const sp_model *model, const sp_point *point,
                           const sp_reml_work *work, int n_directions,
                           const sp_direction *directions, const double *weights, double *scratch,
                           double *packed) {
    int q = data->q, d = data->d;
    size_t qd = (size_t)q * d;
    double *sum = scratch, *inner = sum + sp_widest(model) * sp_widest(model);
    int n_items = data->n_levels > 1 ? data->n_shared : data->n_items;
    sp_asking asking = sp_ask(data->check, data->check_data);
    const double item_work = second_work(data, n_directions) + 0.5 * q * q * d * d;
    for (int g = 0; g < n_items; g++) {
        if (sp_must_stop(&asking, item_work)) {
            return SP_INTERRUPTED;
        }
        sum_second(data, model, point, work, g, n_directions, directions, weights, sum, inner);
        if (g < data->n_shared) {
            contract_shared(data, g, sum, packed);
        } else {
            contract_rows(q, d, 1.0, sum, data->a + qd * data->item_unit[g], packed);
        }
    }
    /* The products of shared items are those within their cells. */
    for (int c = 0; c < data->n_cells; c++) {
        if (sp_must_stop(&asking, item_work)) {
            return SP_INTERRUPTED;
        }
        sum_second(data, model, point, work, data->cell_item[c], n_directions, directions, weights,
                   sum, inner);
        contract_rows(q, d, 1.0 / data->cell_count[c], sum, data->cell_sum + qd * c, packed);
    }
    return SP_OK;
}

/* Derivatives of J = sum R'W R and h = sum R'W a over the members of each node of level 1. */
static sp_status add_cells(const sp_reduced *data, const sp_model *model, const sp_point *point,
                           const sp_reml_work *work, const sp_direction *direction, node_jets jets,
                           double *scratch, sp_asking *asking) {
    int q = data->q, d = data->d;
    size_t qq = (size_t)q * q, qd = (size_t)q * d, mm = sp_widest(model) * sp_widest(model);
    double *W1 = scratch, *W2 = W1 + mm, *RW = W2 + mm, *inner = RW + mm;
    for (int c = 0; c < data->n_cells; c++) {
        if (sp_must_stop(asking, second_work(data, 2) + 2.0 * q * q * d)) {
            return SP_INTERRUPTED;
        }
        int item = data->cell_item[c];
        size_t node = (size_t)data->cell_node[c];
        const double *R = data->R + qq * data->item_unit[item], *a = data->cell_sum + qd * c;
        item_jets(data, model, point, work, item, direction, W1, W2, inner);
        sp_multiply_tn(q, q, q, R, W1, RW);
        add_product(q, data->cell_count[c], RW, R, jets.J1 + qq * node);
        sp_rows_add(q, q, d, 1.0, RW, a, jets.h1 + qd * node);
        sp_multiply_tn(q, q, q, R, W2, RW);
        add_product(q, data->cell_count[c], RW, R, jets.J2 + qq * node);
        sp_rows_add(q, q, d, 1.0, RW, a, jets.h2 + qd * node);
    }
    return SP_OK;
}

/* N1 and N2 of N = F X F', X = (I + G Jf)^-1 G, Jf = F'J F. */
static sp_status gain_jets(int q, int ql, const double *F, const double *G, const double *G1,
                           const double *J, const double *J1, const double *J2, size_t mm,
                           double *scratch, double *N1, double *N2) {
    double *JF = scratch, *Jf = JF + mm, *Jf1 = Jf + mm, *Jf2 = Jf1 + mm;
    double *M = Jf2 + mm, *M1 = M + mm, *M2 = M1 + mm, *X = M2 + mm, *X1 = X + mm, *X2 = X1 + mm;
    double *LU = X2 + mm;
    size_t bytes = (size_t)ql * ql * sizeof(double);
    double log_det;
    int sign;
    sp_multiply(q, q, ql, J, F, JF);
    sp_multiply_tn(ql, q, ql, F, JF, Jf);
    sp_multiply(q, q, ql, J1, F, JF);
    sp_multiply_tn(ql, q, ql, F, JF, Jf1);
    sp_multiply(q, q, ql, J2, F, JF);
    sp_multiply_tn(ql, q, ql, F, JF, Jf2);
    sp_multiply(ql, ql, ql, G, Jf, M);
    for (int i = 0; i < ql; i++) {
        M[i + (size_t)ql * i] += 1.0;
    }
    sp_multiply(ql, ql, ql, G1, Jf, M1);
    add_product(ql, 1.0, G, Jf1, M1);
    sp_multiply(ql, ql, ql, G, Jf2, M2);
    add_product(ql, 2.0, G1, Jf1, M2);

    memcpy(LU, M, bytes);
    memcpy(X, G, bytes);
    if (sp_solve(ql, ql, LU, X, &log_det, &sign)) {
        return SP_SINGULAR;
    }
    memcpy(LU, M, bytes);
    memcpy(X1, G1, bytes);
    add_product(ql, -1.0, M1, X, X1);
    if (sp_solve(ql, ql, LU, X1, &log_det, &sign)) {
        return SP_SINGULAR;
    }
    memset(X2, 0, bytes);
    add_product(ql, -1.0, M2, X, X2);
    add_product(ql, -2.0, M1, X1, X2);
    if (sp_solve(ql, ql, M, X2, &log_det, &sign)) {
        return SP_SINGULAR;
    }
    double *FX = JF;
    sp_symmetrise(ql, X1);
    sp_multiply(q, ql, ql, F, X1, FX);
    sp_multiply_nt(q, ql, q, FX, F, N1);
    sp_symmetrise(ql, X2);
    sp_multiply(q, ql, ql, F, X2, FX);
    sp_multiply_nt(q, ql, q, FX, F, N2);
    return SP_OK;
}

/* One node: takes weight times the second derivative of h'N h off, and hands the derivatives of
 * K = J - J N J and hh = (I - J N) h to its parent. */
static sp_status close_node(const sp_reduced *data, const sp_model *model, const sp_point *point,
                            const sp_reml_work *work, const sp_direction *direction, double weight,
                            int level, int t, node_jets jets, double *scratch, double *packed) {
    int q = data->q, d = data->d;
    size_t qq = (size_t)q * q, qd = (size_t)q * d, mm = sp_widest(model) * sp_widest(model);
    size_t node = work->offset[level] + (size_t)t;
    const double *J = work->J + qq * node, *N = work->N + qq * node, *h = work->h + qd * node;
    double *J1 = jets.J1 + qq * node, *J2 = jets.J2 + qq * node;
    const double *h1 = jets.h1 + qd * node, *h2 = jets.h2 + qd * node;
    double *N1 = scratch, *N2 = N1 + mm, *T = N2 + mm, *T1 = T + mm, *T2 = T1 + mm;
    double *inner = T2 + mm;
    double *rows = scratch + N_SQUARES * mm, *z = rows, *z1 = z + qd, *z2 = z1 + qd, *w = z2 + qd;
    double *Nh1 = w + qd;
    sp_symmetrise(q, J1);
    sp_symmetrise(q, J2);
    sp_status status = gain_jets(q, model->dim[level], point->F[level], point->G[level],
                                 direction->G[level], J, J1, J2, mm, inner, N1, N2);
    if (status != SP_OK) {
        return status;
    }

    /* (h'N h)'' = h'w + w'h + 2 h1'N h1, w = N h2 + 2 N1 h1 + N2 h / 2. */
    memset(rows, 0, N_ROWS * qd * sizeof(double));
    sp_rows_add(q, q, d, 1.0, N, h2, w);
    sp_rows_add(q, q, d, 2.0, N1, h1, w);
    sp_rows_add(q, q, d, 0.5, N2, h, w);
    sp_rows_add(q, q, d, 1.0, N, h1, Nh1);
    for (int i = 0; i < q; i++) {
        size_t at = (size_t)d * i;
        sp_add_outer_sym(d, -weight, h + at, w + at, packed);
        sp_add_outer_sym(d, -weight, h1 + at, Nh1 + at, packed);
    }
    if (level + 1 == data->n_levels) {
        return SP_OK;
    }

    size_t up = work->offset[level + 1] + (size_t)data->parent[level][t];
    double *K1 = jets.J1 + qq * up, *K2 = jets.J2 + qq * up;
    sp_multiply(q, q, q, N, J, T);
    sp_multiply(q, q, q, N1, J, T1);
    add_product(q, 1.0, N, J1, T1);
    sp_multiply(q, q, q, N2, J, T2);
    add_product(q, 2.0, N1, J1, T2);
    add_product(q, 1.0, N, J2, T2);
    sp_axpy(qq, 1.0, J1, K1);
    add_product(q, -1.0, J1, T, K1);
    add_product(q, -1.0, J, T1, K1);
    sp_axpy(qq, 1.0, J2, K2);
    add_product(q, -1.0, J2, T, K2);
    add_product(q, -2.0, J1, T1, K2);
    add_product(q, -1.0, J, T2, K2);

    double *hh1 = jets.h1 + qd * up, *hh2 = jets.h2 + qd * up;
    sp_rows_add(q, q, d, 1.0, N, h, z);
    sp_axpy(qd, 1.0, Nh1, z1);
    sp_rows_add(q, q, d, 1.0, N1, h, z1);
    sp_rows_add(q, q, d, 1.0, N2, h, z2);
    sp_rows_add(q, q, d, 2.0, N1, h1, z2);
    sp_rows_add(q, q, d, 1.0, N, h2, z2);
    sp_axpy(qd, 1.0, h1, hh1);
    sp_rows_add(q, q, d, -1.0, J1, z, hh1);
    sp_rows_add(q, q, d, -1.0, J, z1, hh1);
    sp_axpy(qd, 1.0, h2, hh2);
    sp_rows_add(q, q, d, -1.0, J2, z, hh2);
    sp_rows_add(q, q, d, -2.0, J1, z1, hh2);
    sp_rows_add(q, q, d, -1.0, J, z2, hh2);
    return SP_OK;
}

static sp_status add_nodes(const sp_reduced *data, const sp_model *model, const sp_point *point,
                           const sp_reml_work *work, const sp_direction *direction, double weight,
                           node_jets jets, double *scratch, double *packed, sp_asking *asking) {
    size_t nodes = n_nodes_above(data), q = (size_t)data->q;
    memset(jets.J1, 0, nodes * 2 * (q * q + q * (size_t)data->d) * sizeof(double));
    if (add_cells(data, model, point, work, direction, jets, scratch, asking)) {
        return SP_INTERRUPTED;
    }
    for (int l = 1; l < data->n_levels; l++) {
        for (int t = 0; t < data->n_nodes[l]; t++) {
            if (sp_must_stop(asking, second_work(data, 6) + 20.0 * data->q * data->q * data->d)) {
                return SP_INTERRUPTED;
            }
            sp_status status = close_node(data, model, point, work, direction, weight, l, t, jets,
                                          scratch, packed);
            if (status != SP_OK) {
                return status;
            }
        }
    }
    return SP_OK;
}

sp_status sp_reml_curvature(const sp_reduced *data, const sp_model *model, const sp_point *point,
                            const sp_reml_work *work, int n_directions,
                            const sp_direction *directions, const double *weights, double *memory,
                            double *packed) {
    if (data->crossed) {
        return sp_crossed_curvature(data, model, point, work->crossed, n_directions, directions,
                                    weights, packed);
    }
    size_t size = sp_packed_size(data->d), nodes = n_nodes_above(data);
    size_t qq = (size_t)data->q * data->q, qd = (size_t)data->q * data->d;
    node_jets jets = {memory, memory + nodes * qq, memory + 2 * nodes * qq,
                      memory + 2 * nodes * qq + nodes * qd};
    double *scratch = memory + 2 * nodes * (qq + qd);
    double free_rows = 0.0;
    for (int m = 0; m < n_directions; m++) {
        free_rows += weights[m] * directions[m].s * directions[m].s;
    }
    free_rows *= 2.0 / (point->s * point->s * point->s);
    for (size_t i = 0; i < size; i++) {
        packed[i] = free_rows * data->Cfree[i];
    }
    sp_status status =
        add_items(data, model, point, work, n_directions, directions, weights, scratch, packed);
    sp_asking asking = sp_ask(data->check, data->check_data);
    for (int m = 0; status == SP_OK && data->n_levels > 1 && m < n_directions; m++) {
        status = add_nodes(data, model, point, work, &directions[m], weights[m], jets, scratch,
                           packed, &asking);
    }
    return status;
}
