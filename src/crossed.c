#include "crossed.h"
#include "lapack.h"
#include "linalg.h"
#include "spd.h"
#include <math.h>
#include <string.h>

/* ---- the rows ------------------------------------------------------------------------------- */

int sp_find_meetings(int n_units, const int *order, const int *start, int n_levels,
                     const int *const *codes, const int *n_nodes, int *meeting_start, int *outer,
                     int *stamp) {
    int n_outer = 0, count = 0;
    for (int l = 0; l < n_levels; l++) {
        n_outer += n_nodes[l];
    }
    for (int o = 0; o < n_outer; o++) {
        stamp[o] = -1;
    }
    for (int g = 0; g < n_units; g++) {
        meeting_start[g] = count;
        int first = 0;
        for (int l = 0; l < n_levels; l++) {
            for (int i = start[g]; i < start[g + 1]; i++) {
                int o = first + codes[l][order[i]] - 1;
                if (stamp[o] != g) {
                    stamp[o] = g;
                    outer[count++] = o;
                }
            }
            first += n_nodes[l];
        }
    }
    meeting_start[n_units] = count;
    return count;
}

size_t sp_cross_work_size(const sp_crossed_rows *in, int largest, int most_meetings) {
    size_t q = (size_t)in->rows->q, side = 0;
    for (int l = 0; l < in->n_levels; l++) {
        side += q * (size_t)in->n_nodes[l];
    }
    return (size_t)largest * (q * (size_t)most_meetings + (size_t)in->rows->p + 2) + side * side +
           sp_packed_size(in->fixed->rank + 1);
}

/* The outer columns of one unit, rotated: Z where the row belongs to the outer unit, else 0. */
static void rotate_outer(const sp_rows *rows, int n_rows, const int *members,
                         const double *reflectors, const int *codes, int code, double *columns) {
    for (int c = 0; c < rows->q; c++, columns += n_rows) {
        for (int i = 0; i < n_rows; i++) {
            double z = codes[members[i]] == code ? sp_at(rows->Z[c], members[i]) : 0.0;
            columns[i] = rows->weights ? sqrt(rows->weights[members[i]]) * z : z;
        }
        sp_reflect(n_rows, rows->q, reflectors, columns);
    }
}

/* One unit's rows after rotation: the outer columns (n_rows x q per meeting) and, of the rows free
 * of the unit's own Z, [X y] (rows of length d). */
typedef struct {
    int n_rows, n_free, n_meetings;
    const int *outer;
    double *columns, *free_rows;
} rotated_unit;

static rotated_unit rotate_unit(const sp_crossed_rows *in, int unit, const double *reflectors,
                                const int *level, double *work) {
    const sp_rows *rows = in->rows;
    int q = rows->q, p = rows->p, first = in->start[unit];
    const int *members = in->order + first;
    rotated_unit r;
    r.n_rows = in->start[unit + 1] - first;
    r.n_free = r.n_rows > q ? r.n_rows - q : 0;
    r.n_meetings = in->meeting_start[unit + 1] - in->meeting_start[unit];
    r.outer = in->outer + in->meeting_start[unit];
    r.columns = work;
    r.free_rows = work + (size_t)r.n_rows * q * r.n_meetings;
    for (int m = 0; m < r.n_meetings; m++) {
        int code = r.outer[m] + 1;
        for (int l = 0; l < level[r.outer[m]]; l++) {
            code -= in->n_nodes[l];
        }
        rotate_outer(rows, r.n_rows, members, reflectors, in->codes[level[r.outer[m]]], code,
                     r.columns + (size_t)r.n_rows * q * m);
    }
    double *y = r.free_rows + (size_t)r.n_free * (p + 1);
    for (int i = 0; i < r.n_rows; i++) {
        y[i] = sp_at(rows->y, members[i]) * (rows->weights ? sqrt(rows->weights[members[i]]) : 1.0);
    }
    sp_reflect(r.n_rows, q, reflectors, y);
    for (int i = 0; i < r.n_free; i++) {
        double *row = r.free_rows + (size_t)i * (p + 1);
        for (int c = 0; c < p; c++) {
            row[c] = in->Xfree[first + q + i + (size_t)rows->n * c];
        }
        row[p] = y[q + i];
    }
    sp_orthonormalise((size_t)r.n_free, p, in->fixed, in->kept, in->Rx, in->coef, r.free_rows, NULL,
                      NULL);
    return r;
}

static size_t outer_column(const rotated_unit *r, int q, int column) {
    return (size_t)r->outer[column / q] * q + (size_t)(column % q);
}

/* A += U'U over the unit's free rows. */
static sp_status add_gram(const rotated_unit *r, int q, size_t side, double *A, sp_asking *asking) {
    for (int m = 0; m < r->n_meetings * q; m++) {
        if (sp_must_stop(asking, (double)r->n_free * r->n_meetings * q)) {
            return SP_INTERRUPTED;
        }
        const double *x = r->columns + (size_t)r->n_rows * m + q;
        double *column = A + side * outer_column(r, q, m);
        for (int k = 0; k < r->n_meetings * q; k++) {
            column[outer_column(r, q, k)] +=
                sp_dot((size_t)r->n_free, r->columns + (size_t)r->n_rows * k + q, x);
        }
    }
    return SP_OK;
}

/* b += U'[X y] over the unit's free rows. */
static sp_status add_outer_products(const rotated_unit *r, int q, int d, double *b,
                                    sp_asking *asking) {
    for (int m = 0; m < r->n_meetings * q; m++) {
        if (sp_must_stop(asking, (double)r->n_free * d)) {
            return SP_INTERRUPTED;
        }
        const double *x = r->columns + (size_t)r->n_rows * m + q;
        double *row = b + (size_t)d * outer_column(r, q, m);
        for (int i = 0; i < r->n_free; i++) {
            sp_axpy((size_t)d, x[i], r->free_rows + (size_t)d * i, row);
        }
    }
    return SP_OK;
}

/* [X y] -= U centre in the unit's free rows. */
static sp_status subtract_centre(rotated_unit *r, int q, int d, const double *centre,
                                 sp_asking *asking) {
    for (int m = 0; m < r->n_meetings * q; m++) {
        if (sp_must_stop(asking, (double)r->n_free * d)) {
            return SP_INTERRUPTED;
        }
        const double *x = r->columns + (size_t)r->n_rows * m + q;
        const double *row = centre + (size_t)d * outer_column(r, q, m);
        for (int i = 0; i < r->n_free; i++) {
            sp_axpy((size_t)d, -x[i], row, r->free_rows + (size_t)d * i);
        }
    }
    return SP_OK;
}

/* The centre: least squares of [X y] on the outer columns, made unique by a small ridge. Whatever
 * it is, results are the same; that it is close to the predictions keeps their digits. factor:
 * side x side. */
static sp_status solve_centre(size_t side, int d, const double *A, const double *b, double *factor,
                              double *centre, sp_check check, void *check_data) {
    const double ridge = 1e-8, one = 1.0;
    int n = (int)side;
    memcpy(factor, A, side * side * sizeof(double));
    for (size_t i = 0; i < side; i++) {
        double *diagonal = factor + i * (side + 1);
        *diagonal = *diagonal > 0.0 ? (1.0 + ridge) * *diagonal : 1.0;
    }
    sp_status status = sp_spd_factor(side, factor, check, check_data);
    if (status != SP_OK) {
        return status;
    }
    memcpy(centre, b, side * (size_t)d * sizeof(double));
    F77_CALL(dtrsm)
    ("R", "L", "T", "N", &d, &n, &one, factor, &n, centre, &d SP_FCONE SP_FCONE SP_FCONE SP_FCONE);
    F77_CALL(dtrsm)
    ("R", "L", "N", "N", &d, &n, &one, factor, &n, centre, &d SP_FCONE SP_FCONE SP_FCONE SP_FCONE);
    return SP_OK;
}

sp_status sp_cross_rows(const sp_crossed_rows *in, double *u, double *A, double *b, double *centre,
                        double *rest, double *C, double *work, int *level, sp_check check,
                        void *check_data) {
    const sp_rows *rows = in->rows;
    int q = rows->q, d = in->fixed->rank + 1, n_outer = 0;
    for (int l = 0; l < in->n_levels; l++) {
        for (int t = 0; t < in->n_nodes[l]; t++) {
            level[n_outer++] = l;
        }
    }
    size_t side = (size_t)n_outer * q, packed = sp_packed_size(d);
    double *factor = work, *inner = work + side * side;
    memset(A, 0, side * side * sizeof(double));
    memset(b, 0, side * (size_t)d * sizeof(double));
    memset(rest, 0, side * (size_t)d * sizeof(double));
    memset(C, 0, packed * sizeof(double));
    sp_asking asking = sp_ask(check, check_data);
    for (int pass = 0; pass < 2; pass++) {
        const double *reflectors = in->reflectors;
        for (int g = 0; g < rows->n_units; g++) {
            rotated_unit r = rotate_unit(in, g, reflectors, level, inner);
            reflectors += ((size_t)r.n_rows + 2) * q;
            if (pass == 1) {
                if (subtract_centre(&r, q, d, centre, &asking) ||
                    add_outer_products(&r, q, d, rest, &asking) ||
                    sp_must_stop(&asking, 0.5 * r.n_free * d * d)) {
                    return SP_INTERRUPTED;
                }
                sp_add_crossprod(r.n_free, d, r.free_rows, C);
                continue;
            }
            for (int c = 0; c < q * r.n_meetings; c++) {
                for (int i = 0; i < q; i++) {
                    *u++ = i < r.n_rows ? r.columns[i + (size_t)r.n_rows * c] : 0.0;
                }
            }
            if (add_gram(&r, q, side, A, &asking) || add_outer_products(&r, q, d, b, &asking)) {
                return SP_INTERRUPTED;
            }
        }
        sp_status status =
            pass == 0 ? solve_centre(side, d, A, b, factor, centre, check, check_data) : SP_OK;
        if (status != SP_OK) {
            return status;
        }
    }
    return SP_OK;
}

/* ---- the dense system ----------------------------------------------------------------------- */

/* Workspace, and where the outer units' columns lie in the basis of the point. N columns, d rows:
 * "rows" arrays hold N rows of length d. Inner parameters are those of the first level and s. */
typedef struct {
    size_t N;
    int n_inner, *inner;
    int first[SP_MAX_LEVELS + 1];     /* first outer unit of each level >= 1 */
    size_t column[SP_MAX_LEVELS + 1]; /* its column */
    size_t stride;                    /* doubles per meeting in uF */
    double *uF;                       /* q x dim per meeting: u in the basis */
    double *W;                        /* q x q per unit */
    double *J, *gain, *shrink, *K;    /* N x N: J, N, H = I - N J, K */
    double *factor, *half;            /* N x N: Cholesky factor, and scratch */
    double *free;                     /* N x N: A in the basis */
    double *Ga;                       /* N x N per inner parameter */
    double *root_G, *root_Gt;         /* M with M M' = G, level after level, and M' */
    double *h, *z, *c, *hh;           /* rows; z = M c */
    double *rest;                     /* rows: outer columns times what z leaves of the free rows */
    double *raw, *raw_out;            /* rows with q columns per outer unit */
    double *Y, *wide_rows, *wide_out; /* rows per parameter, inner or outer */
    double *cv, *Phi, *P, *C, *small; /* P: d x d; C: d x d, what z leaves of the free rows */
    double *T, *trQ, *rQ;
} system;

static int inner_parameters(const sp_model *model) {
    int n = 1;
    for (int r = 0; r < model->n_par; r++) {
        n += model->level[r] == 0;
    }
    return n;
}

static size_t carve(const sp_reduced *data, const sp_model *model, double *memory, system *o) {
    size_t used = 0, q = (size_t)data->q, d = (size_t)data->d, k = (size_t)model->n_par + 1;
    size_t squares = 0, widest = q;
    o->N = 0;
    o->first[0] = o->first[1] = 0;
    o->n_inner = inner_parameters(model);
    for (int l = 0; l < model->n_levels; l++) {
        size_t dim = (size_t)model->dim[l];
        squares += dim * dim;
        widest = dim > widest ? dim : widest;
        if (l > 0) {
            o->column[l] = o->N;
            o->N += dim * (size_t)data->n_nodes[l];
            o->first[l + 1] = o->first[l] + data->n_nodes[l];
        }
    }
    size_t N = o->N, NN = N * N, rows = N * d;
    o->stride = q * widest;
    o->uF = sp_take(memory, &used, o->stride * (size_t)data->crossed->start[data->n_units]);
    o->W = sp_take(memory, &used, q * q * (size_t)data->n_units);
    o->J = sp_take(memory, &used, NN);
    o->gain = sp_take(memory, &used, NN);
    o->shrink = sp_take(memory, &used, NN);
    o->K = sp_take(memory, &used, NN);
    o->factor = sp_take(memory, &used, NN);
    o->half = sp_take(memory, &used, NN);
    o->free = sp_take(memory, &used, NN);
    o->Ga = sp_take(memory, &used, NN * (size_t)o->n_inner);
    o->root_G = sp_take(memory, &used, squares);
    o->root_Gt = sp_take(memory, &used, squares);
    o->h = sp_take(memory, &used, rows);
    o->z = sp_take(memory, &used, rows);
    o->c = sp_take(memory, &used, rows);
    o->hh = sp_take(memory, &used, rows);
    o->rest = sp_take(memory, &used, rows);
    size_t side = q * (size_t)data->crossed->n_outer;
    o->raw = sp_take(memory, &used, side * d);
    o->raw_out = sp_take(memory, &used, side * d);
    o->Y = sp_take(memory, &used, rows * k);
    o->wide_rows = sp_take(memory, &used, rows);
    o->wide_out = sp_take(memory, &used, rows);
    o->cv = sp_take(memory, &used, sp_packed_size(data->d));
    o->Phi = sp_take(memory, &used, d * d);
    o->P = sp_take(memory, &used, d * d);
    o->C = sp_take(memory, &used, d * d);
    o->T = sp_take(memory, &used, k * k);
    o->trQ = sp_take(memory, &used, k * k);
    o->rQ = sp_take(memory, &used, k * k);
    o->inner = (int *)(void *)sp_take(memory, &used, (size_t)o->n_inner);
    o->small =
        sp_take(memory, &used, d * d + 8 * widest * widest + 2 * q * d + (2 * k + 4) * q * q);
    return used;
}

size_t sp_crossed_work_size(const sp_reduced *data, const sp_model *model) {
    system o;
    return carve(data, model, NULL, &o);
}

static int level_of(const system *o, int outer) {
    int level = 1;
    while (outer >= o->first[level + 1]) {
        level++;
    }
    return level;
}

static size_t column_of(const system *o, const sp_model *model, int level, int outer) {
    return o->column[level] + (size_t)model->dim[level] * (size_t)(outer - o->first[level]);
}

/* C (m x n) = alpha op(A) op(B) + beta C with inner size k, in slices between which the caller is
 * asked whether to stop. */
static sp_status multiply(const sp_reduced *data, char ta, char tb, size_t m, size_t n, size_t k,
                          double alpha, const double *A, const double *B, double beta, double *C) {
    const size_t slice = (size_t)sp_slice(m > k ? m : k);
    int rows = (int)m, inner = (int)k, lda = ta == 'N' ? rows : inner;
    int ldb = tb == 'N' ? inner : (int)n;
    for (size_t c = 0; c < n; c += slice) {
        int width = (int)(n - c < slice ? n - c : slice);
        const double *Bc = tb == 'N' ? B + k * c : B + c;
        if (data->check && data->check(data->check_data)) {
            return SP_INTERRUPTED;
        }
        F77_CALL(dgemm)
        (&ta, &tb, &rows, &width, &inner, &alpha, A, &lda, Bc, &ldb, &beta, C + m * c,
         &rows SP_FCONE SP_FCONE);
    }
    return SP_OK;
}

/* rows (d x N) times a matrix (N x N). */
static sp_status rows_times(const sp_reduced *data, size_t d, size_t N, const double *rows,
                            const double *M, double *out) {
    return multiply(data, 'N', 'N', d, N, N, 1.0, rows, M, 0.0, out);
}

/* M, column blocks of width dim times a small matrix on the right (B dim x dim), for every outer
 * unit: out = M (block diagonal of B). n_rows x N. */
static void times_blocks(const system *o, const sp_reduced *data, const sp_model *model,
                         size_t n_rows, const double *M, const double *blocks, double *out) {
    const double *B = blocks + (size_t)model->dim[0] * model->dim[0];
    for (int l = 1; l < model->n_levels; l++) {
        size_t dim = (size_t)model->dim[l];
        for (int t = 0; t < data->n_nodes[l]; t++) {
            size_t at = o->column[l] + dim * (size_t)t;
            for (size_t j = 0; j < dim; j++) {
                double *to = out + n_rows * (at + j);
                memset(to, 0, n_rows * sizeof(double));
                for (size_t i = 0; i < dim; i++) {
                    sp_axpy(n_rows, B[i + dim * j], M + n_rows * (at + i), to);
                }
            }
        }
        B += dim * dim;
    }
}

static void transpose(size_t N, double *M) {
    for (size_t j = 0; j < N; j++) {
        for (size_t i = 0; i < j; i++) {
            double held = M[i + N * j];
            M[i + N * j] = M[j + N * i];
            M[j + N * i] = held;
        }
    }
}

/* SP_SINGULAR where a matrix has no root, being no covariance matrix. */
static sp_status set_roots(const sp_model *model, const sp_point *point, system *o) {
    double *root = o->root_G, *transposed = o->root_Gt;
    for (int l = 0; l < model->n_levels; l++) {
        int n = model->dim[l];
        if (!point->root[l]) {
            return SP_SINGULAR;
        }
        memcpy(root, point->root[l], (size_t)n * n * sizeof(double));
        for (int j = 0; j < n; j++) {
            for (int i = 0; i < n; i++) {
                transposed[j + (size_t)n * i] = root[i + (size_t)n * j];
            }
        }
        root += (size_t)n * n;
        transposed += (size_t)n * n;
    }
    return SP_OK;
}

/* A and h = b / s, of q columns per outer unit, in the basis of the point. */
static void set_free(const sp_reduced *data, const sp_model *model, const sp_point *point,
                     system *o) {
    const sp_crossed *crossed = data->crossed;
    size_t q = (size_t)data->q, d = (size_t)data->d, N = o->N, side = q * (size_t)crossed->n_outer;
    for (int t = 0; t < crossed->n_outer; t++) {
        int lt = level_of(o, t);
        size_t dim_t = (size_t)model->dim[lt], at = column_of(o, model, lt, t);
        const double *Ft = point->F[lt];
        for (size_t j = 0; j < dim_t; j++) {
            double *row = o->h + d * (at + j);
            memset(row, 0, d * sizeof(double));
            for (size_t c = 0; c < q; c++) {
                double weight = Ft[c + q * j] / point->s;
                sp_axpy(d, weight, crossed->b + d * (q * (size_t)t + c), row);
            }
        }
        for (int v = 0; v < crossed->n_outer; v++) {
            int lv = level_of(o, v);
            size_t dim_v = (size_t)model->dim[lv], to = column_of(o, model, lv, v);
            const double *Fv = point->F[lv];
            for (size_t j = 0; j < dim_t; j++) {
                for (size_t i = 0; i < dim_v; i++) {
                    double sum = 0.0;
                    for (size_t c = 0; c < q; c++) {
                        const double *column = crossed->A + q * (size_t)v + side * (q * t + c);
                        double along = 0.0;
                        for (size_t e = 0; e < q; e++) {
                            along += Fv[e + q * i] * column[e];
                        }
                        sum += along * Ft[c + q * j];
                    }
                    o->free[to + i + N * (at + j)] = sum;
                }
            }
        }
    }
}

/* u in the basis, for every meeting. */
static void set_meetings(const sp_reduced *data, const sp_model *model, const sp_point *point,
                         system *o) {
    const sp_crossed *crossed = data->crossed;
    int q = data->q;
    for (int m = 0; m < crossed->start[data->n_units]; m++) {
        int level = level_of(o, crossed->outer[m]);
        sp_multiply(q, q, model->dim[level], crossed->u + (size_t)q * q * m, point->F[level],
                    o->uF + o->stride * (size_t)m);
    }
}

/* Multiplications that a unit's meetings with each other cost, so many times over. */
static double meeting_work(const sp_crossed *crossed, int q, int unit, int times) {
    double columns = (double)(crossed->start[unit + 1] - crossed->start[unit]) * q;
    return columns * (columns + q) * times;
}

/* M (N x N) += uF' V uF over the meetings of one unit; V is symmetric. Vu: q. */
static void add_meeting_products(const sp_reduced *data, const sp_model *model, const system *o,
                                 int unit, const double *V, double *Vu, double *M) {
    const sp_crossed *crossed = data->crossed;
    int q = data->q;
    for (int m = crossed->start[unit]; m < crossed->start[unit + 1]; m++) {
        int level_m = level_of(o, crossed->outer[m]);
        size_t at = column_of(o, model, level_m, crossed->outer[m]);
        for (int j = 0; j < model->dim[level_m]; j++) {
            sp_multiply(q, q, 1, V, o->uF + o->stride * (size_t)m + (size_t)q * j, Vu);
            double *column = M + o->N * (at + (size_t)j);
            for (int v = crossed->start[unit]; v < crossed->start[unit + 1]; v++) {
                int level_v = level_of(o, crossed->outer[v]);
                double *to = column + column_of(o, model, level_v, crossed->outer[v]);
                const double *uF = o->uF + o->stride * (size_t)v;
                for (int i = 0; i < model->dim[level_v]; i++) {
                    to[i] += sp_dot((size_t)q, uF + (size_t)q * i, Vu);
                }
            }
        }
    }
}

/* rows += uF' x over the meetings of one unit; x has q rows of length d. */
static void add_meeting_rows(const sp_reduced *data, const sp_model *model, const system *o,
                             int unit, const double *x, double *rows) {
    const sp_crossed *crossed = data->crossed;
    int q = data->q;
    size_t d = (size_t)data->d;
    for (int m = crossed->start[unit]; m < crossed->start[unit + 1]; m++) {
        int level = level_of(o, crossed->outer[m]);
        double *row = rows + d * column_of(o, model, level, crossed->outer[m]);
        const double *uF = o->uF + o->stride * (size_t)m;
        for (int j = 0; j < model->dim[level]; j++, row += d) {
            for (int i = 0; i < q; i++) {
                sp_axpy(d, *uF++, x + d * (size_t)i, row);
            }
        }
    }
}

/* x (q rows of length d) -= uF rows over the meetings of one unit. */
static void subtract_meetings(const sp_reduced *data, const sp_model *model, const system *o,
                              int unit, const double *rows, double *x) {
    const sp_crossed *crossed = data->crossed;
    int q = data->q;
    size_t d = (size_t)data->d;
    for (int m = crossed->start[unit]; m < crossed->start[unit + 1]; m++) {
        int level = level_of(o, crossed->outer[m]);
        const double *row = rows + d * column_of(o, model, level, crossed->outer[m]);
        const double *uF = o->uF + o->stride * (size_t)m;
        for (int j = 0; j < model->dim[level]; j++, row += d) {
            for (int i = 0; i < q; i++) {
                sp_axpy(d, -*uF++, row, x + d * (size_t)i);
            }
        }
    }
}

/* S (q x q) = uF M uF' over the meetings of one unit. */
static void meeting_sandwich(const sp_reduced *data, const sp_model *model, const system *o,
                             int unit, const double *M, double *S) {
    const sp_crossed *crossed = data->crossed;
    int q = data->q;
    memset(S, 0, (size_t)q * q * sizeof(double));
    for (int m = crossed->start[unit]; m < crossed->start[unit + 1]; m++) {
        int level_m = level_of(o, crossed->outer[m]);
        size_t at = column_of(o, model, level_m, crossed->outer[m]);
        const double *um = o->uF + o->stride * (size_t)m;
        for (int v = crossed->start[unit]; v < crossed->start[unit + 1]; v++) {
            int level_v = level_of(o, crossed->outer[v]);
            size_t to = column_of(o, model, level_v, crossed->outer[v]);
            const double *uv = o->uF + o->stride * (size_t)v;
            for (int j = 0; j < model->dim[level_m]; j++) {
                for (int i = 0; i < model->dim[level_v]; i++) {
                    double weight = M[to + (size_t)i + o->N * (at + (size_t)j)];
                    for (int c = 0; c < q; c++) {
                        sp_axpy((size_t)q, weight * um[c + q * j], uv + (size_t)q * i,
                                S + (size_t)q * c);
                    }
                }
            }
        }
    }
}

/* ---- the criterion -------------------------------------------------------------------------- */

/* P (d x d) += alpha sum of x_i y_i', made symmetric. */
static void add_row_products(size_t n, int d, double alpha, const double *x, const double *y,
                             double *P) {
    for (size_t i = 0; i < n; i++, x += d, y += d) {
        for (int c = 0; c < d; c++) {
            sp_axpy((size_t)d, 0.5 * alpha * y[c], x, P + (size_t)d * c);
            sp_axpy((size_t)d, 0.5 * alpha * x[c], y, P + (size_t)d * c);
        }
    }
}

/* W, J and h from the units, as if there were no outer effects. */
static sp_status add_units(const sp_reduced *data, const sp_model *model, const sp_point *point,
                           system *o, double *log_det) {
    int q = data->q, d = data->d;
    size_t qq = (size_t)q * q, NN = o->N * o->N;
    double *Wa = o->small, *Ci = Wa + (size_t)q * d, *scratch = Ci + qq;
    sp_asking asking = sp_ask(data->check, data->check_data);
    set_free(data, model, point, o);
    set_meetings(data, model, point, o);
    for (size_t i = 0; i < NN; i++) {
        o->J[i] = o->free[i] / point->s;
    }
    for (int g = 0; g < data->n_units; g++) {
        double *W = o->W + qq * (size_t)g, log_det_unit;
        if (sp_must_stop(&asking, meeting_work(data->crossed, q, g, q))) {
            return SP_INTERRUPTED;
        }
        sp_status status = sp_factor_level(q, data->R + qq * (size_t)g, model, point, 0, point->s,
                                           Ci, &log_det_unit, scratch);
        if (status != SP_OK) {
            return status;
        }
        *log_det += log_det_unit;
        sp_multiply_tn(q, q, q, Ci, Ci, W);
        sp_rows_multiply(q, q, d, W, data->a + (size_t)q * d * g, Wa);
        add_meeting_products(data, model, o, g, W, scratch, o->J);
        add_meeting_rows(data, model, o, g, Wa, o->h);
    }
    return SP_OK;
}

/* gain = M (I + M'J M)^-1 M' with M the root of Gamma, its determinant, c = (I + M'J M)^-1 M'h and
 * z = M c = gain h. */
static sp_status close_system(const sp_reduced *data, const sp_model *model, system *o,
                              double *log_det) {
    size_t N = o->N, d = (size_t)data->d;
    if (N == 0) { /* no outer level has random effects */
        return SP_OK;
    }
    double *S = o->factor, *half = o->half;
    times_blocks(o, data, model, N, o->J, o->root_G, half);
    transpose(N, half);
    times_blocks(o, data, model, N, half, o->root_G, S);
    for (size_t i = 0; i < N; i++) {
        S[i + N * i] += 1.0;
    }
    sp_status status = sp_spd_factor(N, S, data->check, data->check_data);
    if (status != SP_OK) {
        return status;
    }
    for (size_t i = 0; i < N; i++) {
        *log_det += 2.0 * log(S[i + N * i]);
    }
    status = sp_spd_inverse(N, S, half, data->check, data->check_data);
    if (status != SP_OK) {
        return status;
    }
    times_blocks(o, data, model, d, o->h, o->root_G, o->z);
    status = rows_times(data, d, N, o->z, S, o->c);
    times_blocks(o, data, model, d, o->c, o->root_Gt, o->z);
    times_blocks(o, data, model, N, S, o->root_Gt, half);
    transpose(N, half);
    times_blocks(o, data, model, N, half, o->root_Gt, o->gain);
    return status;
}

/* What z leaves of the free rows: rest = U'([X y] - U z), C = ([X y] - U z)'([X y] - U z), from the
 * sums about the centre, so that large outer effects do not take the digits with them. */
static sp_status set_rest(const sp_reduced *data, const sp_model *model, const sp_point *point,
                          system *o) {
    const sp_crossed *crossed = data->crossed;
    size_t q = (size_t)data->q, d = (size_t)data->d, side = q * (size_t)crossed->n_outer;
    double *shift = o->raw, *moved = o->raw_out;
    for (int t = 0; t < crossed->n_outer; t++) {
        int level = level_of(o, t);
        const double *z = o->z + d * column_of(o, model, level, t), *F = point->F[level];
        for (size_t c = 0; c < q; c++) {
            double *row = shift + d * (q * (size_t)t + c);
            for (size_t i = 0; i < d; i++) {
                row[i] = -crossed->centre[d * (q * (size_t)t + c) + i];
            }
            for (size_t j = 0; j < (size_t)model->dim[level]; j++) {
                sp_axpy(d, F[c + q * j], z + d * j, row);
            }
        }
    }
    sp_status status = multiply(data, 'N', 'N', d, side, side, -1.0, shift, crossed->A, 0.0, moved);
    sp_unpack((int)d, crossed->C, o->C);
    sp_axpy(side * d, 1.0, crossed->rest, moved);
    add_row_products(side, (int)d, -1.0, shift, crossed->rest, o->C);
    add_row_products(side, (int)d, -1.0, shift, moved, o->C);
    memset(o->rest, 0, o->N * d * sizeof(double));
    for (int t = 0; t < crossed->n_outer; t++) {
        int level = level_of(o, t);
        double *row = o->rest + d * column_of(o, model, level, t);
        for (size_t j = 0; j < (size_t)model->dim[level]; j++, row += d) {
            for (size_t c = 0; c < q; c++) {
                sp_axpy(d, point->F[level][c + q * j], moved + d * (q * (size_t)t + c), row);
            }
        }
    }
    return status;
}

/* The rows of one unit less the outer effects: a - uF z. */
static void unit_residual(const sp_reduced *data, const sp_model *model, const system *o, int unit,
                          double *residual) {
    size_t qd = (size_t)data->q * data->d;
    memcpy(residual, data->a + qd * (size_t)unit, qd * sizeof(double));
    subtract_meetings(data, model, o, unit, o->z, residual);
}

/* cv = [X y]'V^-1[X y] and hh = U'V^-1[X y]. With the residuals r = [X y] - U z the former is
 * r'V1^-1 r + c'c, a sum of squares in which nothing cancels. */
static void close_products(const sp_reduced *data, const sp_model *model, const sp_point *point,
                           system *o) {
    int q = data->q, d = data->d;
    double *residual = o->small, *product = residual + (size_t)q * d, *full = o->P;
    for (size_t i = 0; i < (size_t)d * d; i++) {
        full[i] = o->C[i] / point->s;
    }
    for (size_t i = 0; i < o->N * (size_t)d; i++) {
        o->hh[i] = o->rest[i] / point->s;
    }
    for (int g = 0; g < data->n_units; g++) {
        unit_residual(data, model, o, g, residual);
        sp_rows_multiply(q, q, d, o->W + (size_t)q * q * (size_t)g, residual, product);
        add_row_products((size_t)q, d, 1.0, residual, product, full);
        add_meeting_rows(data, model, o, g, product, o->hh);
    }
    add_row_products(o->N, d, 1.0, o->c, o->c, full);
    double *packed = o->cv;
    for (int j = 0; j < d; j++) {
        for (int i = j; i < d; i++) {
            *packed++ = full[i + (size_t)d * j];
        }
    }
}

/* Everything that depends on the parameters, in the basis of the point; log_det gains log|V|. */
static sp_status prepare(const sp_reduced *data, const sp_model *model, const sp_point *point,
                         system *o, double *log_det) {
    double n_free = (double)data->n - (double)data->q * data->n_units;
    *log_det += n_free * log(point->s);
    sp_status status = set_roots(model, point, o);
    if (status == SP_OK) {
        status = add_units(data, model, point, o, log_det);
    }
    if (status == SP_OK) {
        status = close_system(data, model, o, log_det);
    }
    if (status == SP_OK) {
        status = set_rest(data, model, point, o);
    }
    if (status == SP_OK) {
        close_products(data, model, point, o);
    }
    return status;
}

sp_status sp_crossed_value(const sp_reduced *data, const sp_model *model, const sp_point *point,
                           double *memory, sp_value *value) {
    system o;
    carve(data, model, memory, &o);
    value->log_det_v = 0.0;
    sp_status status = prepare(data, model, point, &o, &value->log_det_v);
    return status == SP_OK ? sp_solve_fixed(data->p, o.cv, o.Phi, o.small, value) : status;
}

/* ---- derivatives ---------------------------------------------------------------------------- */

/* out (n rows of length d) = in times root (d x d), row by row; not in place. */
static void rows_transform(size_t n, int d, const double *root, const double *in, double *out) {
    for (size_t i = 0; i < n; i++, in += d) {
        for (int c = 0; c < d; c++) {
            *out++ = sp_dot((size_t)d, in, root + (size_t)d * c);
        }
    }
}

/* Sums of two rows arrays' products, for tr(Phi .) over the first p columns and for the last. */
static void add_traces(size_t n, int p, double alpha, const double *x, const double *y, double *trQ,
                       double *rQ) {
    size_t d = (size_t)p + 1;
    for (size_t i = 0; i < n; i++, x += d, y += d) {
        *trQ += alpha * sp_dot((size_t)p, x, y);
        *rQ += alpha * x[p] * y[p];
    }
}

/* D = R E R' for an element of the first level's G, or I for s. */
static void unit_direction(const sp_reduced *data, const sp_model *model, const sp_point *point,
                           int unit, int parameter, double *small, double *D) {
    int q = data->q;
    memset(D, 0, (size_t)q * q * sizeof(double));
    if (parameter == model->n_par) {
        for (int i = 0; i < q; i++) {
            D[i + (size_t)q * i] = 1.0;
        }
        return;
    }
    int row = model->row[parameter], col = model->col[parameter];
    const double *R = data->R + (size_t)q * q * unit, *F = point->F[0];
    double *x = small, *y = x + q;
    sp_multiply(q, q, 1, R, F + (size_t)q * row, x);
    sp_multiply(q, q, 1, R, F + (size_t)q * col, y);
    double weight = row == col ? 0.5 : 1.0;
    for (int j = 0; j < q; j++) {
        for (int i = 0; i < q; i++) {
            D[i + (size_t)q * j] = weight * (x[i] * y[j] + y[i] * x[j]);
        }
    }
}

/* The list of inner parameters: those of the first level, then s if it is one of the k. */
static int list_inner(const sp_model *model, int k, int *inner) {
    int n = 0;
    for (int r = 0; r < model->n_par; r++) {
        if (model->level[r] == 0) {
            inner[n++] = r;
        }
    }
    if (k > model->n_par) {
        inner[n++] = model->n_par;
    }
    return n;
}

/* Everything the units give to the inner parameters. */
static sp_status add_unit_derivatives(const sp_reduced *data, const sp_model *model,
                                      const sp_point *point, system *o, int k, int n_inner,
                                      const int *inner, const double *root, sp_derivatives *out) {
    int q = data->q, d = data->d, p = data->p;
    size_t qq = (size_t)q * q, qd = (size_t)q * d, NN = o->N * o->N, Nd = o->N * (size_t)d;
    double *residual = o->small, *product = residual + qd, *sandwich = product + qd;
    double *V = sandwich + qq, *DW = V + qq, *D = DW + qq, *WD = D + qq;
    double *scratch = WD + qq * (size_t)n_inner;
    sp_asking asking = sp_ask(data->check, data->check_data);
    for (int g = 0; g < data->n_units; g++) {
        const double *W = o->W + qq * (size_t)g;
        if (sp_must_stop(&asking, meeting_work(data->crossed, q, g, q * (n_inner + q)))) {
            return SP_INTERRUPTED;
        }
        unit_residual(data, model, o, g, product);
        rows_transform((size_t)q, d, root, product, residual);
        meeting_sandwich(data, model, o, g, o->gain, sandwich);
        for (int i = 0; i < n_inner; i++) {
            int r = inner[i];
            double *WDr = WD + qq * (size_t)i;
            unit_direction(data, model, point, g, r, scratch, D);
            sp_multiply(q, q, q, W, D, WDr);
            sp_multiply(q, q, q, WDr, W, V);
            for (int j = 0; j < q; j++) {
                out->trace[r] += WDr[j + (size_t)q * j];
            }
            sp_rows_multiply(q, q, d, V, residual, product);
            add_row_products((size_t)q, d, 1.0, residual, product, out->P + (size_t)d * d * r);
            add_meeting_products(data, model, o, g, V, scratch, o->Ga + NN * (size_t)i);
            add_meeting_rows(data, model, o, g, product, o->Y + Nd * (size_t)r);
            for (int e = 0; e <= i; e++) {
                const double *WDs = WD + qq * (size_t)e;
                size_t at = (size_t)inner[e] + (size_t)k * r;
                sp_multiply(q, q, q, WDs, V, DW); /* W D_s W D_r W */
                for (int c = 0; c < q; c++) {
                    for (int j = 0; j < q; j++) {
                        size_t jc = (size_t)j + (size_t)q * c;
                        o->T[at] += WDs[jc] * WDr[c + (size_t)q * j] - 2.0 * DW[jc] * sandwich[jc];
                        const double *x = residual + (size_t)d * j, *y = residual + (size_t)d * c;
                        o->trQ[at] += DW[jc] * sp_dot((size_t)p, x, y);
                        o->rQ[at] += DW[jc] * x[p] * y[p];
                    }
                }
            }
        }
    }
    return SP_OK;
}

/* s: the rows free of the units' own Z. rest_root: o->rest in the coordinates of root. */
static void add_free_derivatives(const sp_reduced *data, const sp_point *point, system *o, int k,
                                 int slot, const double *root, const double *rest_root,
                                 sp_derivatives *out) {
    int d = data->d, p = data->p, sigma = k - 1;
    size_t N = o->N, NN = N * N, at = (size_t)sigma + (size_t)k * sigma, dd = (size_t)d * d;
    double s = point->s, s2 = s * s;
    double n_free = (double)data->n - (double)data->q * data->n_units;
    out->trace[sigma] += n_free / s;
    o->T[at] += n_free / s2 - 2.0 * sp_dot(NN, o->gain, o->free) / (s2 * s);
    sp_axpy(NN, 1.0 / s2, o->free, o->Ga + NN * (size_t)slot);
    sp_axpy(N * (size_t)d, 1.0 / s2, rest_root, o->Y + N * (size_t)d * sigma);
    double *half = o->Phi, *C = o->small; /* C in the coordinates of root */
    sp_multiply(d, d, d, o->C, root, half);
    sp_multiply_tn(d, d, d, root, half, C);
    sp_axpy(dd, 1.0 / s2, C, out->P + dd * (size_t)sigma);
    for (int i = 0; i < p; i++) {
        o->trQ[at] += C[i + (size_t)d * i] / (s2 * s);
    }
    o->rQ[at] += C[p + (size_t)d * p] / (s2 * s);
}

/* The outer effects' share in the inner parameters: Ga becomes Ga H; traces, T and Q. */
static sp_status close_inner(const sp_reduced *data, const sp_model *model, const sp_point *point,
                             system *o, int k, int n_inner, const int *inner, sp_derivatives *out) {
    size_t N = o->N, NN = N * N, d = (size_t)data->d, Nd = N * d;
    double *scratch = o->factor;
    double *Gamma = o->small, *to = Gamma;
    for (int l = 0; l < model->n_levels; l++) {
        size_t squares = (size_t)model->dim[l] * model->dim[l];
        memcpy(to, point->G[l], squares * sizeof(double));
        to += squares;
    }
    for (int i = 0; i < n_inner; i++) {
        double *Ga = o->Ga + NN * (size_t)i;
        out->trace[inner[i]] -= sp_dot(NN, o->gain, Ga);
        sp_status status = multiply(data, 'N', 'N', N, N, N, 1.0, Ga, o->shrink, 0.0, scratch);
        if (status != SP_OK) {
            return status;
        }
        memcpy(Ga, scratch, NN * sizeof(double));
    }
    for (int i = 0; i < n_inner; i++) {
        /* N Ga = Gamma (Ga H)', so tr(N Ga_r N Ga_s) = sum of (Gamma GH_r' Gamma) GH_s. */
        double *GH = o->Ga + NN * (size_t)i, *half = o->half;
        times_blocks(o, data, model, N, GH, Gamma, half);
        transpose(N, half);
        times_blocks(o, data, model, N, half, Gamma, scratch);
        sp_status status =
            rows_times(data, d, N, o->Y + Nd * (size_t)inner[i], o->gain, o->wide_out);
        if (status != SP_OK) {
            return status;
        }
        for (int e = 0; e <= i; e++) {
            size_t at = (size_t)inner[e] + (size_t)k * inner[i];
            o->T[at] += sp_dot(NN, scratch, o->Ga + NN * (size_t)e);
            add_traces(N, data->p, -1.0, o->wide_out, o->Y + Nd * (size_t)inner[e], o->trQ + at,
                       o->rQ + at);
        }
    }
    return SP_OK;
}

/* rows out = E_r hh for an outer parameter. */
static void outer_direction(const system *o, const sp_reduced *data, const sp_model *model,
                            int parameter, double *out) {
    size_t d = (size_t)data->d;
    int level = model->level[parameter];
    size_t row = (size_t)model->row[parameter], col = (size_t)model->col[parameter];
    memset(out, 0, o->N * d * sizeof(double));
    for (int t = 0; t < data->n_nodes[level]; t++) {
        size_t at = o->column[level] + (size_t)model->dim[level] * (size_t)t;
        memcpy(out + d * (at + row), o->hh + d * (at + col), d * sizeof(double));
        memcpy(out + d * (at + col), o->hh + d * (at + row), d * sizeof(double));
    }
}

/* tr(E_r K E_s K) of two outer parameters. */
static double outer_trace(const system *o, const sp_reduced *data, const sp_model *model, int r,
                          int s) {
    int lr = model->level[r], ls = model->level[s];
    size_t a = (size_t)model->row[r], b = (size_t)model->col[r];
    size_t c = (size_t)model->row[s], e = (size_t)model->col[s], N = o->N;
    double sum = 0.0;
    for (int v = 0; v < data->n_nodes[ls]; v++) {
        size_t to = o->column[ls] + (size_t)model->dim[ls] * (size_t)v;
        const double *Kc = o->K + N * (to + c), *Ke = o->K + N * (to + e);
        for (int t = 0; t < data->n_nodes[lr]; t++) {
            size_t at = o->column[lr] + (size_t)model->dim[lr] * (size_t)t;
            sum += Kc[at + a] * Ke[at + b] + Ke[at + a] * Kc[at + b];
        }
    }
    return sum * (a == b ? 1.0 : 2.0) * (c == e ? 0.5 : 1.0);
}

/* The outer parameters, among themselves and with the inner ones. */
static sp_status close_outer(const sp_reduced *data, const sp_model *model, system *o, int k,
                             int n_inner, const int *inner, sp_derivatives *out) {
    size_t N = o->N, NN = N * N, d = (size_t)data->d, Nd = N * d;
    int p = data->p;
    sp_status status = SP_OK;
    for (int r = 0; r < model->n_par; r++) {
        if (model->level[r] > 0) {
            outer_direction(o, data, model, r, o->Y + Nd * (size_t)r);
        }
    }
    for (int s = 0; s < model->n_par && status == SP_OK; s++) {
        int level = model->level[s];
        if (level == 0) {
            continue;
        }
        double *es = o->Y + Nd * (size_t)s, *P = out->P + d * d * (size_t)s;
        size_t row = (size_t)model->row[s], col = (size_t)model->col[s];
        double twice = row == col ? 1.0 : 2.0;
        for (int t = 0; t < data->n_nodes[level]; t++) {
            size_t at = o->column[level] + (size_t)model->dim[level] * (size_t)t;
            out->trace[s] += twice * o->K[at + row + N * (at + col)];
            add_row_products(1, (int)d, twice, o->hh + d * (at + row), o->hh + d * (at + col), P);
        }
        status = rows_times(data, d, N, es, o->K, o->wide_out);
        for (int r = 0; r <= s; r++) {
            if (model->level[r] > 0) {
                size_t at = (size_t)r + (size_t)k * s;
                o->T[at] += outer_trace(o, data, model, r, s);
                add_traces(N, p, 1.0, o->Y + Nd * (size_t)r, o->wide_out, o->trQ + at, o->rQ + at);
            }
        }
    }
    for (int i = 0; i < n_inner && status == SP_OK; i++) {
        const double *GH = o->Ga + NN * (size_t)i;
        int r = inner[i];
        status = rows_times(data, d, N, o->Y + Nd * (size_t)r, o->shrink, o->wide_out);
        for (int s = 0; s < model->n_par; s++) {
            int level = model->level[s];
            if (level == 0) {
                continue;
            }
            size_t at = r < s ? (size_t)r + (size_t)k * s : (size_t)s + (size_t)k * r;
            size_t row = (size_t)model->row[s], col = (size_t)model->col[s];
            for (int t = 0; t < data->n_nodes[level]; t++) {
                size_t to = o->column[level] + (size_t)model->dim[level] * (size_t)t;
                o->T[at] += (row == col ? 1.0 : 2.0) *
                            sp_dot(N, o->shrink + N * (to + row), GH + N * (to + col));
            }
            add_traces(N, p, 1.0, o->Y + Nd * (size_t)s, o->wide_out, o->trQ + at, o->rQ + at);
        }
    }
    return status;
}

/* shrink = H = I - gain J, and K = J H. */
static sp_status set_shrink(const sp_reduced *data, system *o) {
    size_t N = o->N;
    memset(o->shrink, 0, N * N * sizeof(double));
    for (size_t i = 0; i < N; i++) {
        o->shrink[i + N * i] = 1.0;
    }
    sp_status status = multiply(data, 'N', 'N', N, N, N, -1.0, o->gain, o->J, 1.0, o->shrink);
    return status == SP_OK ? multiply(data, 'N', 'N', N, N, N, 1.0, o->J, o->shrink, 0.0, o->K)
                           : status;
}

sp_status sp_crossed_derivatives(const sp_reduced *data, const sp_model *model,
                                 const sp_point *point, int reml, double *memory,
                                 const sp_value *value, sp_derivatives *out) {
    system o;
    carve(data, model, memory, &o);
    int k = out->k, d = data->d, *inner = o.inner;
    size_t N = o.N, Nd = N * (size_t)d, kk = (size_t)k * k;
    int n_inner = list_inner(model, k, inner);
    /* The basis may have changed since the criterion was evaluated. */
    double log_det = 0.0;
    sp_status status = prepare(data, model, point, &o, &log_det);
    if (status == SP_OK) {
        status = set_shrink(data, &o);
    }
    if (status != SP_OK) {
        return status;
    }
    memset(out->trace, 0, (size_t)k * sizeof(double));
    memset(out->P, 0, (size_t)d * d * k * sizeof(double));
    memset(o.T, 0, kk * sizeof(double));
    memset(o.trQ, 0, kk * sizeof(double));
    memset(o.rQ, 0, kk * sizeof(double));
    memset(o.Ga, 0, N * N * (size_t)n_inner * sizeof(double));
    memset(o.Y, 0, Nd * (size_t)(model->n_par + 1) * sizeof(double));
    status = add_unit_derivatives(data, model, point, &o, k, n_inner, inner, value->root, out);
    if (status != SP_OK) {
        return status;
    }
    if (k > model->n_par) {
        rows_transform(N, d, value->root, o.rest, o.wide_rows);
        add_free_derivatives(data, point, &o, k, n_inner - 1, value->root, o.wide_rows, out);
    }
    rows_transform(N, d, value->root, o.hh, o.wide_rows);
    memcpy(o.hh, o.wide_rows, Nd * sizeof(double));
    status = close_inner(data, model, point, &o, k, n_inner, inner, out);
    if (status == SP_OK) {
        status = close_outer(data, model, &o, k, n_inner, inner, out);
    }
    if (status == SP_OK) {
        sp_assemble(data->p, reml, o.T, o.trQ, o.rQ, out);
    }
    return status;
}

/* ---- predictions and curvature -------------------------------------------------------------- */

sp_status sp_crossed_ranef(const sp_reduced *data, const sp_model *model, const sp_point *point,
                           double *memory, const sp_value *value, int level, double *mean,
                           double *variance) {
    system o;
    carve(data, model, memory, &o);
    int q = data->q, d = data->d, n = model->dim[level];
    size_t qq = (size_t)q * q, qd = (size_t)q * d;
    const double *rho = value->root + (size_t)d * data->p;
    if (level > 0) {
        for (int t = 0; t < data->n_nodes[level]; t++) {
            size_t at = o.column[level] + (size_t)n * (size_t)t;
            for (int j = 0; j < n; j++) {
                *mean++ = sp_dot((size_t)d, o.z + (size_t)d * (at + (size_t)j), rho);
                for (int i = 0; variance && i < n; i++) {
                    *variance++ = o.gain[at + (size_t)i + o.N * (at + (size_t)j)];
                }
            }
        }
        return SP_OK;
    }
    double *residual = o.small, *r = residual + qd, *Wr = r + q, *sandwich = Wr + q;
    double *M = sandwich + qq, *RF = M + qq, *C = RF + o.stride, *GC = C + (size_t)n * n;
    sp_asking asking = sp_ask(data->check, data->check_data);
    for (int g = 0; g < data->n_units; g++) {
        if (sp_must_stop(&asking, variance ? meeting_work(data->crossed, q, g, q * q) : 0.0)) {
            return SP_INTERRUPTED;
        }
        const double *W = o.W + qq * (size_t)g;
        unit_residual(data, model, &o, g, residual);
        for (int i = 0; i < q; i++) {
            r[i] = sp_dot((size_t)d, residual + (size_t)d * i, rho);
        }
        sp_multiply(q, q, 1, W, r, Wr);
        sp_multiply(q, q, n, data->R + qq * (size_t)g, point->F[0], RF);
        sp_multiply_tn(n, q, 1, RF, Wr, C);
        sp_multiply(n, n, 1, point->G[0], C, mean);
        mean += n;
        if (variance) {
            /* W - W uF N uF' W, the unit's own rows of V^-1 */
            meeting_sandwich(data, model, &o, g, o.gain, sandwich);
            sp_multiply(q, q, q, W, sandwich, M);
            sp_multiply(q, q, q, M, W, sandwich);
            for (size_t i = 0; i < qq; i++) {
                M[i] = W[i] - sandwich[i];
            }
            double *MRF = GC;
            sp_multiply(q, q, n, M, RF, MRF);
            sp_multiply_tn(n, q, n, RF, MRF, C);
            sp_multiply(n, n, n, point->G[0], C, GC);
            sp_multiply(n, n, n, GC, point->G[0], variance);
            for (int i = 0; i < n * n; i++) {
                variance[i] = point->G[0][i] - variance[i];
            }
            variance += (size_t)n * n;
        }
    }
    return SP_OK;
}

/* What the units give to Y and to the second derivative along one direction. */
static void add_unit_curvature(const sp_reduced *data, const sp_model *model, const sp_point *point,
                               const system *o, const sp_direction *direction, double *Y,
                               double *P) {
    int q = data->q, d = data->d, n = model->dim[0];
    size_t qq = (size_t)q * q, qd = (size_t)q * d;
    double *residual = o->small, *product = residual + qd, *D = product + qd, *WD = D + qq;
    double *V = WD + qq, *DV = V + qq, *RF = DV + qq, *RFG = RF + o->stride;
    for (int g = 0; g < data->n_units; g++) {
        const double *W = o->W + qq * (size_t)g;
        unit_residual(data, model, o, g, residual);
        sp_multiply(q, q, n, data->R + qq * (size_t)g, point->F[0], RF);
        sp_multiply(q, n, n, RF, direction->G[0], RFG);
        sp_multiply_nt(q, n, q, RFG, RF, D);
        for (int i = 0; i < q; i++) {
            D[i + (size_t)q * i] += direction->s;
        }
        sp_multiply(q, q, q, W, D, WD);
        sp_multiply(q, q, q, WD, W, V);
        sp_multiply(q, q, q, WD, V, DV);
        sp_rows_multiply(q, q, d, V, residual, product);
        add_meeting_rows(data, model, o, g, product, Y);
        sp_rows_multiply(q, q, d, DV, residual, product);
        add_row_products((size_t)q, d, 1.0, residual, product, P);
    }
}

/* With Y = U'V1^-1 D V1^-1 ([X y] - U z) and e = E hh the half of the second derivative is
 * sum r'W D W D W r + s1^2 C / s^3 - Y'N Y + Y'H e + e'H'Y + e'K e. */
static sp_status add_curvature(const sp_reduced *data, const sp_model *model, const sp_point *point,
                               system *o, const sp_direction *direction, double *P) {
    size_t N = o->N, d = (size_t)data->d, Nd = N * d;
    double s = point->s, s1 = direction->s;
    double *Y = o->Y, *e = o->wide_rows, *out = o->wide_out;
    memset(Y, 0, Nd * sizeof(double));
    memset(P, 0, d * d * sizeof(double));
    add_unit_curvature(data, model, point, o, direction, Y, P);
    sp_axpy(Nd, s1 / (s * s), o->rest, Y);
    sp_axpy(d * d, s1 * s1 / (s * s * s), o->C, P);

    double *blocks = o->small, *to = blocks;
    for (int l = 0; l < model->n_levels; l++) {
        size_t squares = (size_t)model->dim[l] * model->dim[l];
        memcpy(to, direction->G[l], squares * sizeof(double));
        to += squares;
    }
    times_blocks(o, data, model, d, o->hh, blocks, e);
    sp_status status = rows_times(data, d, N, Y, o->gain, out);
    add_row_products(N, (int)d, -1.0, out, Y, P);
    if (status == SP_OK) {
        status = rows_times(data, d, N, Y, o->shrink, out);
        add_row_products(N, (int)d, 2.0, out, e, P);
    }
    if (status == SP_OK) {
        status = rows_times(data, d, N, e, o->K, out);
        add_row_products(N, (int)d, 1.0, out, e, P);
    }
    return status;
}

sp_status sp_crossed_curvature(const sp_reduced *data, const sp_model *model, const sp_point *point,
                               double *memory, int n_directions, const sp_direction *directions,
                               const double *weights, double *packed) {
    system o;
    carve(data, model, memory, &o);
    size_t d = (size_t)data->d;
    memset(packed, 0, sp_packed_size(data->d) * sizeof(double));
    double *P = o.P;
    sp_status status = set_shrink(data, &o);
    for (int m = 0; m < n_directions && status == SP_OK; m++) {
        status = add_curvature(data, model, point, &o, &directions[m], P);
        for (size_t j = 0, at = 0; j < d; j++) {
            for (size_t i = j; i < d; i++, at++) {
                packed[at] += 2.0 * weights[m] * P[i + d * j];
            }
        }
    }
    return status;
}
