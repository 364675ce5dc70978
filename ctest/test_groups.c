/* Codes by first appearance, across chunks and a table that grows. */
#include "ctest.h"
#include "groups.h"
#include <stdlib.h>

static group_table make_table(size_t n_units) {
    group_table table;
    table.n_slots = group_table_slots(n_units);
    table.slots = calloc(table.n_slots, sizeof(int));
    table.unit_keys = calloc(table.n_slots / 2, sizeof(uint64_t));
    group_table_clear(&table);
    return table;
}

static void free_table(group_table *table) {
    free(table->slots);
    free(table->unit_keys);
}

int main(void) {
    const uint64_t keys[] = {7, 7, 3, 7, 0, 3};
    const int expected[] = {1, 1, 2, 1, 3, 2};
    int codes[6], unit_rows[64], same = 1;
    group_table table = make_table(6);
    group_codes(4, keys, 0, &table, codes, unit_rows);
    group_codes(2, keys + 4, 4, &table, codes + 4, unit_rows);
    for (int i = 0; i < 6; i++) {
        same = same && codes[i] == expected[i];
    }
    ct_true("codes run on from chunk to chunk", same);
    ct_int("units are counted", table.n_units, 3);
    ct_true("rows of first appearance",
            unit_rows[0] == 1 && unit_rows[1] == 3 && unit_rows[2] == 5);

    /* Keys that differ in their high bits only, as doubles of small integers do. */
    enum { MANY = 5000 };
    uint64_t *many = calloc(MANY, sizeof(uint64_t));
    int *many_codes = calloc(MANY, sizeof(int)), *many_rows = calloc(MANY, sizeof(int));
    for (int i = 0; i < MANY; i++) {
        many[i] = (uint64_t)(i % 2500) << 40;
    }
    group_table small = make_table(2500), large = make_table(MANY);
    group_codes(2500, many, 0, &small, many_codes, many_rows);
    group_table_copy(&small, &large);
    group_codes(2500, many + 2500, 2500, &large, many_codes + 2500, many_rows);
    same = 1;
    for (int i = 0; i < MANY; i++) {
        same = same && many_codes[i] == i % 2500 + 1;
    }
    ct_true("a larger table knows the units of the smaller", same);
    ct_int("and adds none", large.n_units, 2500);

    free_table(&table);
    free_table(&small);
    free_table(&large);
    free(many);
    free(many_codes);
    free(many_rows);
    return ct_end();
}
