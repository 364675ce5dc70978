#include "groups.h"

size_t group_table_slots(size_t n_units) {
    size_t n_slots = 64;
    while (n_slots < 2 * n_units) {
        n_slots *= 2;
    }
    return n_slots;
}

void group_table_clear(group_table *table) {
    table->n_units = 0;
    for (size_t i = 0; i < table->n_slots; i++) {
        table->slots[i] = 0;
    }
}

/* Fibonacci hashing after folding: ids are often small integers or doubles whose low bits are 0. */
static size_t first_slot(uint64_t key, size_t n_slots) {
    key ^= key >> 32;
    key *= UINT64_C(0x9E3779B97F4A7C15);
    key ^= key >> 29;
    return (size_t)key & (n_slots - 1);
}

static size_t find_slot(uint64_t key, const group_table *table) {
    size_t slot = first_slot(key, table->n_slots);
    while (table->slots[slot] != 0 && table->unit_keys[table->slots[slot] - 1] != key) {
        slot = (slot + 1) & (table->n_slots - 1);
    }
    return slot;
}

void group_table_copy(const group_table *from, group_table *to) {
    for (int unit = 0; unit < from->n_units; unit++) {
        to->slots[find_slot(from->unit_keys[unit], to)] = unit + 1;
        to->unit_keys[unit] = from->unit_keys[unit];
    }
    to->n_units = from->n_units;
}

void group_codes(int n_rows, const uint64_t *keys, int row_offset, group_table *table, int *codes,
                 int *unit_rows) {
    for (int row = 0; row < n_rows; row++) {
        /* Rows of one unit mostly stand together. */
        if (row > 0 && keys[row] == keys[row - 1]) {
            codes[row] = codes[row - 1];
            continue;
        }
        const size_t slot = find_slot(keys[row], table);
        if (table->slots[slot] == 0) {
            table->unit_keys[table->n_units] = keys[row];
            unit_rows[table->n_units] = row_offset + row + 1;
            table->n_units++;
            table->slots[slot] = table->n_units;
        }
        codes[row] = table->slots[slot];
    }
}
