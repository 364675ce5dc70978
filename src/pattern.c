#include "pattern.h"
#include "linalg.h"
#include <stdint.h>
#include <string.h>

size_t sp_pattern_table_size(int n_units) {
    size_t size = 2;
    while (size < 2 * (size_t)n_units) {
        size *= 2;
    }
    return size;
}

int sp_worth_sharing(int q, int count) {
    return 2 * count > q + 1;
}

/* Mixes the bits of R's upper triangle (the rest is zero). Adding zero turns -0 into 0. */
static uint64_t hash_factor(int q, const double *R) {
    uint64_t hash = 1469598103934665603u;
    for (int c = 0; c < q; c++) {
        for (int r = 0; r <= c; r++) {
            double value = R[r + (size_t)q * c] + 0.0;
            uint64_t bits;
            memcpy(&bits, &value, sizeof bits);
            hash = (hash ^ bits) * 0x9E3779B97F4A7C15u;
            hash ^= hash >> 29;
        }
    }
    return hash;
}

static int same_factor(int q, const double *R, const double *S) {
    for (int i = 0; i < q * q; i++) {
        if (R[i] != S[i]) {
            return 0;
        }
    }
    return 1;
}

int sp_find_patterns(int n_units, int q, const double *R, int *unit_pattern, int *representative,
                     int *count, size_t table_size, int *table) {
    size_t block = (size_t)q * q;
    int n_patterns = 0;
    memset(table, -1, table_size * sizeof(int));
    for (int i = 0; i < n_units; i++) {
        size_t slot = (size_t)hash_factor(q, R + block * i) & (table_size - 1);
        while (table[slot] >= 0 &&
               !same_factor(q, R + block * i, R + block * representative[table[slot]])) {
            slot = (slot + 1) & (table_size - 1);
        }
        if (table[slot] < 0) {
            representative[n_patterns] = i;
            count[n_patterns] = 0;
            table[slot] = n_patterns++;
        }
        unit_pattern[i] = table[slot];
        count[table[slot]]++;
    }
    return n_patterns;
}

int sp_number_items(int n_units, int q, int n_patterns, const int *representative, const int *count,
                    int *unit_pattern, int *item_unit, double *item_count, int *n_shared,
                    int *item_of) {
    int n_items = 0;
    for (int g = 0; g < n_patterns; g++) {
        item_of[g] = -1;
        if (sp_worth_sharing(q, count[g])) {
            item_unit[n_items] = representative[g];
            item_count[n_items] = (double)count[g];
            item_of[g] = n_items++;
        }
    }
    *n_shared = n_items;
    for (int i = 0; i < n_units; i++) {
        int item = item_of[unit_pattern[i]];
        if (item < 0) {
            item_unit[n_items] = i;
            item_count[n_items] = 1.0;
            item = n_items++;
        }
        unit_pattern[i] = item;
    }
    return n_items;
}

const double *sp_centred_rows(int unit, int q, int d, const double *a, const sp_centres *centres,
                              double *centred) {
    size_t length = (size_t)q * d;
    const double *rows = a + length * unit;
    if (!centres) {
        return rows;
    }
    int cell = centres->unit_cell[unit];
    const double *sum = centres->sum + length * cell;
    for (size_t i = 0; i < length; i++) {
        centred[i] = rows[i] - sum[i] / centres->count[cell];
    }
    return centred;
}

sp_status sp_cross_products(int n_units, int q, int d, int n_shared, const int *unit_item,
                            const double *a, const sp_centres *centres, double *B, double *work,
                            sp_check check, void *check_data) {
    size_t packed = sp_packed_size(d);
    size_t per_item = (size_t)q * (q + 1) / 2 * packed;
    sp_asking asking = sp_ask(check, check_data);
    memset(B, 0, per_item * n_shared * sizeof(double));
    for (int i = 0; i < n_units; i++) {
        if (unit_item[i] >= n_shared) {
            continue;
        }
        if (sp_must_stop(&asking, (double)per_item)) {
            return SP_INTERRUPTED;
        }
        const double *rows = sp_centred_rows(i, q, d, a, centres, work);
        double *out = B + per_item * unit_item[i];
        for (int c = 0; c < q; c++) {
            for (int r = 0; r < c; r++) {
                sp_add_outer_sym(d, 0.5, rows + (size_t)d * r, rows + (size_t)d * c, out);
                out += packed;
            }
            sp_add_outer(d, 1.0, rows + (size_t)d * c, out);
            out += packed;
        }
    }
    return SP_OK;
}

int sp_find_cells(int n_units, int n_nodes, int n_items, const int *unit_item, const int *node,
                  int *cell_item, int *cell_node, double *cell_count, int *unit_cell, int *order,
                  int *stamp, int *start) {
    memset(start, 0, ((size_t)n_nodes + 1) * sizeof(int));
    for (int i = 0; i < n_units; i++) {
        start[node[i] + 1]++;
    }
    for (int t = 0; t < n_nodes; t++) {
        start[t + 1] += start[t];
    }
    for (int i = 0; i < n_units; i++) {
        order[start[node[i]]++] = i;
    }
    /* stamp: the last cell opened for an item; it counts only within the same group. */
    for (int g = 0; g < n_items; g++) {
        stamp[g] = -1;
    }
    int n_cells = 0;
    for (int k = 0; k < n_units; k++) {
        int i = order[k];
        int cell = stamp[unit_item[i]];
        if (cell < 0 || cell_node[cell] != node[i]) {
            cell = n_cells++;
            stamp[unit_item[i]] = cell;
            cell_item[cell] = unit_item[i];
            cell_node[cell] = node[i];
            cell_count[cell] = 0.0;
        }
        cell_count[cell] += 1.0;
        unit_cell[i] = cell;
    }
    return n_cells;
}

void sp_sum_cells(int n_units, int n_cells, int q, int d, const int *unit_cell, const double *a,
                  double *cell_sum) {
    size_t length = (size_t)q * d;
    memset(cell_sum, 0, length * n_cells * sizeof(double));
    for (int i = 0; i < n_units; i++) {
        sp_axpy(length, 1.0, a + length * i, cell_sum + length * unit_cell[i]);
    }
}
