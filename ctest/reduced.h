/* The core's way from rows to reduced data, as the SEXP layer goes it, in memory from calloc. */
#ifndef SAMEPAGE_CTEST_REDUCED_H
#define SAMEPAGE_CTEST_REDUCED_H

#include "dense.h"
#include "inference.h"
#include "linalg.h"
#include "pattern.h"
#include "reduce.h"

/* Reduced data, model and units of one dense_model, and everything they point to. */
typedef struct {
    sp_status status;
    sp_reduced data;
    sp_model model;
    sp_blocks blocks;
    sp_units units;
    int *kept; /* columns of X, the kept ones first */
    void *owned[128];
    int n_owned;
} reduced_case;

static inline void *own(reduced_case *c, void *memory) {
    return c->owned[c->n_owned++] = memory;
}

static inline double *own_doubles(reduced_case *c, size_t n) {
    return own(c, dense_new(n));
}

static inline int *own_ints(reduced_case *c, size_t n) {
    return own(c, calloc(n > 0 ? n : 1, sizeof(int)));
}

static inline void reduced_free(reduced_case *c) {
    for (int i = 0; i < c->n_owned; i++) {
        free(c->owned[i]);
    }
}

/* Covariance blocks of the dense model, as the core describes them. */
static inline void reduced_blocks(const dense_model *m, reduced_case *c) {
    int *level = own_ints(c, DENSE_BLOCKS), *size = own_ints(c, DENSE_BLOCKS);
    int *columns = own_ints(c, 8 * DENSE_BLOCKS), used = 0;
    for (int b = 0; b < m->n_blocks; b++) {
        level[b] = m->level[b];
        size[b] = m->size[b];
        for (int j = 0; j < m->size[b]; j++) {
            columns[used++] = m->columns[b][j];
        }
    }
    c->blocks.n_blocks = m->n_blocks;
    c->blocks.level = level;
    c->blocks.size = size;
    c->blocks.columns = columns;
    size_t n_par = (size_t)sp_model_size(&c->blocks);
    sp_model_init(&c->blocks, m->n_levels, m->q, own_ints(c, n_par), own_ints(c, n_par),
                  own_ints(c, n_par), &c->model);
}

static inline void reduced_nodes(const dense_model *m, reduced_case *c) {
    sp_reduced *data = &c->data;
    data->n_levels = m->n_levels;
    for (int l = 0; l < m->n_levels; l++) {
        data->n_nodes[l] = m->n_groups[l];
        data->parent[l] = NULL;
        if (l + 1 < m->n_levels) {
            int *parent = own_ints(c, (size_t)m->n_groups[l]);
            for (int i = 0; i < m->n; i++) {
                parent[m->group[l][i] - 1] = m->group[l + 1][i] - 1;
            }
            data->parent[l] = parent;
        }
    }
}

static inline void reduced_items(const dense_model *m, reduced_case *c) {
    sp_reduced *data = &c->data;
    size_t units = (size_t)data->n_units;
    int *unit_item = own_ints(c, units), *first = own_ints(c, units), *count = own_ints(c, units);
    int *item_of = own_ints(c, units), *item_unit = own_ints(c, units);
    double *item_count = own_doubles(c, units);
    size_t slots = sp_pattern_table_size(data->n_units);
    int n_patterns = sp_find_patterns(data->n_units, m->q, data->R, unit_item, first, count, slots,
                                      own_ints(c, slots));
    data->n_items = sp_number_items(data->n_units, m->q, n_patterns, first, count, unit_item,
                                    item_unit, item_count, &data->n_shared, item_of);
    data->item_unit = item_unit;
    data->item_count = item_count;
    size_t q = (size_t)m->q;
    sp_centres centres = {NULL, NULL, NULL};
    data->n_cells = 0;
    if (m->n_levels > 1) {
        int *cell_item = own_ints(c, units), *cell_node = own_ints(c, units);
        int *unit_cell = own_ints(c, units);
        double *cell_count = own_doubles(c, units);
        data->n_cells = sp_find_cells(data->n_units, data->n_nodes[1], data->n_items, unit_item,
                                      data->parent[0], cell_item, cell_node, cell_count, unit_cell,
                                      own_ints(c, units), own_ints(c, units),
                                      own_ints(c, (size_t)data->n_nodes[1] + 1));
        double *cell_sum = own_doubles(c, (size_t)data->n_cells * q * data->d);
        sp_sum_cells(data->n_units, data->n_cells, m->q, data->d, unit_cell, data->a, cell_sum);
        data->cell_item = cell_item;
        data->cell_node = cell_node;
        data->cell_count = cell_count;
        data->cell_sum = cell_sum;
        centres.unit_cell = unit_cell;
        centres.count = cell_count;
        centres.sum = cell_sum;
    }
    double *B =
        own_doubles(c, (size_t)data->n_shared * (q * (q + 1) / 2) * sp_packed_size(data->d));
    sp_cross_products(data->n_units, m->q, data->d, data->n_shared, unit_item, data->a,
                      m->n_levels > 1 ? &centres : NULL, B, own_doubles(c, q * data->d), NULL,
                      NULL);
    data->B = B;
}

/* Reduces the rows; status is that of sp_reduce_rows, and nothing else is filled unless SP_OK. */
static inline void reduced_init(const dense_model *m, reduced_case *c) {
    memset(c, 0, sizeof *c);
    int d_all = m->p + 1, n_units = m->n_groups[0];
    size_t dd = (size_t)d_all * d_all, q = (size_t)m->q;
    sp_column X[64], Z[16];
    sp_matrix_columns(m->n, m->p, m->X, X);
    sp_matrix_columns(m->n, m->q, m->Z, Z);
    sp_rows rows = {m->n, m->p, m->q, n_units, X, {m->y, 1}, Z, m->weights, m->group[0]};
    int *counts = own_ints(c, (size_t)n_units);
    int largest = sp_largest_unit(m->n, n_units, m->group[0], counts);
    double *R = own_doubles(c, q * q * n_units), *a = own_doubles(c, q * d_all * n_units);
    double *Rfree = own_doubles(c, dd), *Rfull = own_doubles(c, dd),
           *free_rows = own_doubles(c, dd);
    c->status = sp_reduce_rows(
        &rows, R, a, Rfree, Rfull, own_doubles(c, sp_reduce_work_size(m->p, m->q, largest)),
        own_ints(c, sp_reduce_iwork_size(m->n, n_units, largest)), NULL, NULL);
    if (c->status != SP_OK) {
        return;
    }
    double *Rx = own_doubles(c, dd), *coef = own_doubles(c, (size_t)d_all);
    sp_fixed fixed;
    c->kept = own_ints(c, (size_t)m->p);
    sp_rank_fixed(m->n, m->p, 1e-7, Rfull, c->kept, Rx, coef, own_doubles(c, dd), &fixed);
    sp_orthonormalise((size_t)n_units * q, m->p, &fixed, c->kept, Rx, coef, a, NULL, NULL);
    for (int i = 0; i < d_all; i++) {
        for (int j = i; j < d_all; j++) {
            free_rows[(size_t)d_all * i + j] = Rfree[i + (size_t)d_all * j];
        }
    }
    sp_orthonormalise((size_t)d_all, m->p, &fixed, c->kept, Rx, coef, free_rows, NULL, NULL);
    sp_reduced *data = &c->data;
    data->n = m->n;
    data->check = NULL;
    data->check_data = NULL;
    data->p = fixed.rank;
    data->q = m->q;
    data->d = data->p + 1;
    data->n_units = n_units;
    data->R = R;
    data->a = a;
    double *Cfree = own_doubles(c, sp_packed_size(data->d));
    for (int i = 0; i < d_all; i++) {
        for (int j = 0, at = 0; j < data->d; j++) {
            for (int k = j; k < data->d; k++, at++) {
                Cfree[at] +=
                    free_rows[(size_t)data->d * i + j] * free_rows[(size_t)data->d * i + k];
            }
        }
    }
    data->Cfree = Cfree;
    double *z_factor = own_doubles(c, q * q), *mean_squares = own_doubles(c, q + 1);
    sp_factor_units(n_units, m->q, R, NULL, NULL, z_factor, own_doubles(c, q * q));
    sp_mean_squares(m->n, n_units, m->q, data->d, R, a, Cfree, mean_squares);
    data->z_factor = z_factor;
    data->mean_squares = mean_squares;
    reduced_nodes(m, c);
    reduced_items(m, c);
    reduced_blocks(m, c);
    c->units.Rx = Rx;
    c->units.coef = coef;
    c->units.y_scale = fixed.y_scale;
    for (int i = 0; m->weights && i < m->n; i++) {
        c->units.sum_log_weights += log(m->weights[i]);
    }
}

/* Matrices, block after block, from parameters. Returns the residual variance. */
static inline double reduced_matrices(const reduced_case *c, const double *parameters, double *G) {
    for (int b = 0; b < c->blocks.n_blocks; b++) {
        int n = c->blocks.size[b];
        for (int j = 0; j < n; j++) {
            for (int i = j; i < n; i++) {
                G[i + n * j] = G[j + n * i] = *parameters++;
            }
        }
        G += n * n;
    }
    return *parameters;
}

/* The results at given parameters, with memory of their own in `c`. */
static inline sp_results reduced_results(reduced_case *c) {
    size_t p = (size_t)c->data.p, k = (size_t)c->model.n_par + 1;
    sp_results out = {NAN,
                      own_doubles(c, p),
                      own_doubles(c, p * p),
                      own_doubles(c, p * p * k),
                      own_doubles(c, k),
                      own_doubles(c, k * k),
                      own_doubles(c, k * k),
                      own_doubles(c, k * k)};
    return out;
}

#endif
