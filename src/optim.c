#include "optim_inner.h"
#include "linalg.h"
#include <math.h>
#include <string.h>

/* ---- the model and its bases ---------------------------------------------------------------- */

int sp_model_size(const sp_blocks *blocks) {
    int n_par = 0;
    for (int b = 0; b < blocks->n_blocks; b++) {
        n_par += blocks->size[b] * (blocks->size[b] + 1) / 2;
    }
    return n_par;
}

int sp_block_offset(const sp_blocks *blocks, int block) {
    int offset = 0;
    for (int b = 0; b < block; b++) {
        if (blocks->level[b] == blocks->level[block]) {
            offset += blocks->size[b];
        }
    }
    return offset;
}

void sp_model_init(const sp_blocks *blocks, int n_levels, int q, int *level, int *row, int *col,
                   sp_model *model) {
    model->n_levels = n_levels;
    model->q = q;
    model->n_par = sp_model_size(blocks);
    model->level = level;
    model->row = row;
    model->col = col;
    memset(model->dim, 0, sizeof model->dim);
    for (int b = 0; b < blocks->n_blocks; b++) {
        int offset = model->dim[blocks->level[b]];
        for (int j = 0; j < blocks->size[b]; j++) {
            for (int i = j; i < blocks->size[b]; i++) {
                *level++ = blocks->level[b];
                *row++ = offset + i;
                *col++ = offset + j;
            }
        }
        model->dim[blocks->level[b]] += blocks->size[b];
    }
}

void sp_natural_basis(const sp_blocks *blocks, const sp_model *model, int level, double *F) {
    int q = model->q;
    memset(F, 0, (size_t)q * model->dim[level] * sizeof(double));
    for (int b = 0; b < blocks->n_blocks; b++) {
        if (blocks->level[b] == level) {
            int offset = sp_block_offset(blocks, b);
            const int *columns = sp_block_columns(blocks, b);
            for (int j = 0; j < blocks->size[b]; j++) {
                F[columns[j] + (size_t)q * (offset + j)] = 1.0;
            }
        }
    }
}
/* ---- the workspace --------------------------------------------------------------------------- */

static size_t carve(sp_search *o, double *memory) {
    size_t used = 0, d = (size_t)o->data->d, k = (size_t)o->model->n_par, q = (size_t)o->data->q;
    size_t squares = sp_total_squares(o->blocks), sizes = sp_total_size(o->blocks);
    o->value.root = sp_take(memory, &used, d * d);
    double *derivatives = sp_take(memory, &used, sp_derivatives_size((int)d, (int)k + 1));
    if (memory) {
        sp_derivatives_init((int)d, (int)k, derivatives, &o->derivatives);
    }
    for (int l = 0; l < o->model->n_levels; l++) {
        size_t dim = (size_t)o->model->dim[l];
        o->F[l] = sp_take(memory, &used, q * dim);
        o->G[l] = sp_take(memory, &used, dim * dim);
        o->root[l] = sp_take(memory, &used, dim * dim);
    }
    o->T = sp_take(memory, &used, squares);
    o->U = sp_take(memory, &used, squares);
    o->best_U = sp_take(memory, &used, squares);
    o->held = sp_take(memory, &used, 4 * squares + 2 * q * q + sizes * (q + sizes + 1));
    o->l = sp_take(memory, &used, sizes);
    o->best_l = sp_take(memory, &used, sizes);
    o->gradient = sp_take(memory, &used, k);
    o->scale = sp_take(memory, &used, k);
    o->x = sp_take(memory, &used, k);
    o->step = sp_take(memory, &used, k);
    o->scaled_g = sp_take(memory, &used, k);
    o->hessian = sp_take(memory, &used, k * k);
    o->fisher = sp_take(memory, &used, k * k);
    o->scaled_H = sp_take(memory, &used, k * k);
    o->information = sp_take(memory, &used, (k + 1) * (k + 1));
    o->joint = sp_take(memory, &used, 2 * (k + 1));
    o->work = sp_take(memory, &used, 8 * (k + 1 + sizes) + 2 * squares + (k + 1) * (k + 1));
    return used;
}

size_t sp_optimise_work_size(const sp_reduced *data, const sp_model *model,
                             const sp_blocks *blocks) {
    sp_search o;
    o.data = data;
    o.model = model;
    o.blocks = blocks;
    return carve(&o, NULL) + sp_reml_work_size(data, model);
}

size_t sp_factors_size(const sp_blocks *blocks) {
    return sp_total_squares(blocks) + sp_total_size(blocks);
}
/* ---- from start to end ----------------------------------------------------------------------- */

/* T of every block: the inverse of the triangular factor of Z over the level's groups, each of
 * average size, so that in the new basis a group's information is about one. */
static void whiten(sp_search *o) {
    const double nothing = 1e-12; /* what is left of a column that others make up, beside it */
    const sp_reduced *data = o->data;
    const double *total = data->z_factor;
    int q = data->q;
    double *rows = o->held;
    double *T = o->T;
    for (int b = 0; b < o->blocks->n_blocks; b++) {
        int n = o->blocks->size[b];
        const int *columns = sp_block_columns(o->blocks, b);
        double groups = sqrt((double)data->n_nodes[o->blocks->level[b]]);
        double *lower = rows + (size_t)q * n;
        for (int j = 0; j < n; j++) {
            memcpy(rows + (size_t)q * j, total + (size_t)q * columns[j],
                   (size_t)q * sizeof(double));
        }
        memset(T, 0, (size_t)n * n * sizeof(double));
        sp_update_factor(n, q, rows, T);
        memset(lower, 0, (size_t)n * n * sizeof(double));
        for (int j = 0; j < n; j++) {
            for (int i = 0; i <= j; i++) {
                lower[j + (size_t)n * i] = T[i + (size_t)n * j] / groups;
            }
        }
        double *used = lower + (size_t)n * n;
        for (int j = 0; j < n; j++) {
            const double *column = total + (size_t)q * columns[j];
            double length = sqrt(sp_dot((size_t)q, column, column));
            used[j] = T[j + (size_t)n * j] > nothing * length;
            lower[j + (size_t)n * j] = used[j] > 0.0 ? lower[j + (size_t)n * j] : 1.0;
        }
        sp_invert_lower(n, lower);
        /* A column that others make up adds nothing to V: its direction stays out. */
        for (int j = 0; j < n; j++) {
            for (int i = 0; i < n; i++) {
                T[i + (size_t)n * j] = used[j] * lower[j + (size_t)n * i];
            }
        }
        T += n * n;
    }
}
/* G (block after block, relative to s) at the present factors, and the rank of each. From the rows
 * of G's own root: beside columns that are much larger on the data's scale, T U l^2 U'T' would
 * leave no digits of a small variance. */
static void natural_matrices(sp_search *o, double *G, int *rank) {
    const double *T = o->T, *U = o->U, *l = o->l;
    double *root = o->held;
    for (int b = 0; b < o->blocks->n_blocks; b++) {
        int n = o->blocks->size[b];
        sp_multiply(n, n, n, T, U, root);
        rank[b] = 0;
        for (int j = 0; j < n; j++) {
            for (int i = 0; i < n; i++) {
                root[i + (size_t)n * j] *= l[j];
            }
            rank[b] += l[j] > 0.0;
        }
        sp_multiply_nt(n, n, n, root, root, G);
        T += n * n;
        U += n * n;
        G += n * n;
        l += n;
    }
}

sp_status sp_optimise(const sp_reduced *data, const sp_model *model, const sp_blocks *blocks,
                      int reml, const sp_control *control, double *memory, sp_start start,
                      double *factors, double *G, int *rank, sp_optimum *optimum, sp_check check,
                      void *check_data) {
    sp_search o;
    o.data = data;
    o.model = model;
    o.blocks = blocks;
    o.control = control;
    o.reml = reml;
    o.check = check;
    o.check_data = check_data;
    o.evaluations = 0;
    o.most_iterations = control->max_iterations;
    o.differentiated = 0;
    o.interrupted = 0;
    size_t used = carve(&o, memory), squares = sp_total_squares(blocks),
           sizes = sp_total_size(blocks);
    sp_reml_work_init(data, model, memory + used, &o.reml_work);
    for (int l = 0; l < model->n_levels; l++) {
        size_t dim = (size_t)model->dim[l];
        memset(o.F[l], 0, (size_t)data->q * dim * sizeof(double));
        memset(o.G[l], 0, dim * dim * sizeof(double));
        memset(o.root[l], 0, dim * dim * sizeof(double));
    }
    whiten(&o);

    optimum->criterion = INFINITY;
    optimum->reason = SP_REASON_START;
    if (start != SP_FROM_OPTIMUM) {
        optimum->iterations = optimum->evaluations = 0;
    }
    if (sp_find_lowest(&o, start, factors, optimum) != SP_OK) {
        return SP_INTERRUPTED;
    }
    double f = o.f;
    if (f != optimum->criterion || memcmp(o.U, factors, squares * sizeof(double)) != 0 ||
        memcmp(o.l, factors + squares, sizes * sizeof(double)) != 0) {
        memcpy(o.U, factors, squares * sizeof(double));
        memcpy(o.l, factors + squares, sizes * sizeof(double));
        sp_set_point(&o);
        f = sp_evaluate(&o);
    }
    if (o.interrupted) {
        return SP_INTERRUPTED;
    }
    optimum->evaluations += o.evaluations;
    if (!isfinite(f)) {
        optimum->fit = SP_FIT_FAILED;
        optimum->reason = SP_REASON_START;
        return SP_OK;
    }
    optimum->criterion = f - sp_noise_of(&o);
    optimum->s = o.value.quadratic / sp_degrees(&o);
    optimum->root = o.value.root;
    optimum->inflation = data->crossed ? 1.0 : o.value.inflation;
    natural_matrices(&o, G, rank);
    optimum->fit = optimum->reason != SP_REASON_NONE ? SP_FIT_FAILED
                   : sp_has_zero(&o)                 ? SP_FIT_BOUNDARY
                                                     : SP_FIT_OK;
    return SP_OK;
}
