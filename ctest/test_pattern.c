/* Sharing of triangular factors, its bookkeeping and its sums, on cases worked by hand. */
#include "ctest.h"
#include "pattern.h"
#include <stdlib.h>
#include <string.h>

static void ints(const char *name, int n, const int *actual, const int *expected) {
    int same = 1;
    for (int i = 0; i < n; i++) {
        same = same && actual[i] == expected[i];
    }
    ct_true(name, same);
}

static void sizes(void) {
    ct_int("table for one unit", (long)sp_pattern_table_size(1), 2);
    ct_int("table for two", (long)sp_pattern_table_size(2), 4);
    ct_int("table for 100000", (long)sp_pattern_table_size(100000), 262144);
    ct_int("width 1 shares from 2 units on", sp_worth_sharing(1, 1) * 10 + sp_worth_sharing(1, 2),
           1);
    ct_int("width 2 from 2", sp_worth_sharing(2, 1) * 10 + sp_worth_sharing(2, 2), 1);
    ct_int("width 3 from 3", sp_worth_sharing(3, 2) * 10 + sp_worth_sharing(3, 3), 1);
    ct_int("width 5 from 4", sp_worth_sharing(5, 3) * 10 + sp_worth_sharing(5, 4), 1);
}

/* Seven units of width 2: patterns A B A C A B D, where the second A has -0 below the diagonal and
 * D differs from A in the last bit of one element. */
static void sharing(void) {
    const double A[4] = {1.7320508075688772, 0.0, 2.5, 0.7071067811865476};
    const double B[4] = {1.4142135623730951, 0.0, -2.5, 0.7071067811865476};
    const double C[4] = {1.0, 0.0, 3.5, 0.0};
    double R[28];
    memcpy(R, A, sizeof A);
    memcpy(R + 4, B, sizeof B);
    memcpy(R + 8, A, sizeof A);
    memcpy(R + 12, C, sizeof C);
    memcpy(R + 16, A, sizeof A);
    memcpy(R + 20, B, sizeof B);
    memcpy(R + 24, A, sizeof A);
    R[9] = -0.0;
    R[27] = nextafter(A[3], 1.0);
    int unit[7], first[7], count[7], table[16];
    ct_int("four patterns", sp_find_patterns(7, 2, R, unit, first, count, 16, table), 4);
    ints("numbered by first appearance", 7, unit, (const int[]){0, 1, 0, 2, 0, 1, 3});
    ints("their first units", 4, first, (const int[]){0, 1, 3, 6});
    ints("their units", 4, count, (const int[]){3, 2, 1, 1});

    int item_unit[7], n_shared, item_of[7];
    double item_count[7];
    ct_int("two shared items and two single ones",
           sp_number_items(7, 2, 4, first, count, unit, item_unit, item_count, &n_shared, item_of),
           4);
    ct_int("shared", n_shared, 2);
    ints("item of each unit, shared ones first", 7, unit, (const int[]){0, 1, 0, 2, 0, 1, 3});
    ints("a unit of each item", 4, item_unit, (const int[]){0, 1, 3, 6});
    ct_near_all("units of each item", 4, item_count, (const double[]){3, 2, 1, 1}, 0.0);

    /* Single patterns come after the shared ones, whatever their place among the units. */
    memcpy(R, C, sizeof C);
    ct_int("patterns of C B A C A B D", sp_find_patterns(7, 2, R, unit, first, count, 16, table),
           4);
    const int singles[4] = {1, 1, 1, 1};
    ct_int(
        "nothing shared: an item per unit",
        sp_number_items(7, 2, 4, first, singles, unit, item_unit, item_count, &n_shared, item_of),
        7);
    ct_int("no shared one among them", n_shared, 0);
    ints("in the order of the units", 7, unit, (const int[]){0, 1, 2, 3, 4, 5, 6});

    /* Factors that are not finite are refused earlier; here they only must not hang. */
    for (int i = 0; i < 28; i++) {
        R[i] = NAN;
    }
    ct_int("NaN equals nothing", sp_find_patterns(7, 2, R, unit, first, count, 16, table), 7);
}

/* A full table: every second slot taken, the keys small whole numbers. */
static void crowded(void) {
    enum { UNITS = 4096 };
    double *R = calloc(UNITS, sizeof(double));
    int *unit = calloc(UNITS, sizeof(int)), *first = calloc(UNITS, sizeof(int));
    int *count = calloc(UNITS, sizeof(int)), *table = calloc(2 * UNITS, sizeof(int));
    int right = 1;
    for (int i = 0; i < UNITS; i++) {
        R[i] = (double)(i % 2048);
    }
    ct_int("2048 patterns twice",
           sp_find_patterns(UNITS, 1, R, unit, first, count, sp_pattern_table_size(UNITS), table),
           2048);
    for (int i = 0; i < UNITS; i++) {
        right = right && unit[i] == i % 2048 && count[unit[i]] == 2 && first[unit[i]] == i % 2048;
    }
    ct_true("each unit with its own", right);
    free(R);
    free(unit);
    free(first);
    free(count);
    free(table);
}

/* Three units of width 2 with rows of length 2; units 1 and 3 share item 0, unit 2 is single. */
static void products(void) {
    const double a[12] = {1.5, -2.0, 0.5, 3.0, 9.0, 9.0, 9.0, 9.0, -1.0, 4.0, 2.5, 0.25};
    const int item[3] = {0, 1, 0};
    double B[9], row[4];
    sp_cross_products(3, 2, 2, 1, item, a, NULL, B, row, NULL, NULL);
    /* (1,1): first rows (1.5, -2) and (-1, 4); (1,2): half sums of both orders; (2,2). */
    const double expected[9] = {3.25, -7.0, 20.0,  0.75 - 2.5, (4.5 - 1.0 - 0.25 + 10.0) / 2,
                                -5.0, 6.5,  2.125, 9.0625};
    ct_near_all("cross-products", 9, B, expected, 1e-15);
    sp_cross_products(3, 2, 2, 0, item, a, NULL, B, row, NULL, NULL);
    ct_near_all("nothing shared: nothing written", 9, B, expected, 1e-15);

    /* Units 1 and 3 are a cell: about its mean each is half their difference, which is
     * (2.5, -6) in the first rows and (-2, 2.75) in the second. */
    const int cell[3] = {0, 1, 0};
    const double count[2] = {2.0, 1.0};
    const double sum[8] = {0.5, 2.0, 3.0, 3.25, 9.0, 9.0, 9.0, 9.0};
    const sp_centres centres = {cell, count, sum};
    const double within[9] = {3.125, -7.5, 18.0,  -2.5,   (3.4375 + 6.0) / 2,
                              -8.25, 2.0,  -2.75, 3.78125};
    sp_cross_products(3, 2, 2, 1, item, a, &centres, B, row, NULL, NULL);
    ct_near_all("cross-products within cells", 9, B, within, 1e-15);
}

/* Six units in two groups, the groups' units apart; items 0 1 0 0 1 2. */
static void cells(void) {
    const int item[6] = {0, 1, 0, 0, 1, 2}, node[6] = {1, 0, 1, 0, 0, 0};
    int cell_item[6], cell_node[6], unit_cell[6], order[6], stamp[6], start[3];
    double count[6];
    ct_int("four cells",
           sp_find_cells(6, 2, 3, item, node, cell_item, cell_node, count, unit_cell, order, stamp,
                         start),
           4);
    ints("their groups, in order", 4, cell_node, (const int[]){0, 0, 0, 1});
    ints("their items", 4, cell_item, (const int[]){1, 0, 2, 0});
    ct_near_all("their units", 4, count, (const double[]){2, 1, 1, 2}, 0.0);
    ints("cell of each unit", 6, unit_cell, (const int[]){3, 0, 3, 1, 0, 2});

    const double a[12] = {1.5, 2.5, -4.0, 0.125, 3.25, 8.0, 7.0, -1.0, 0.5, 0.75, 2.0, 3.0};
    double sum[8];
    sp_sum_cells(6, 4, 1, 2, unit_cell, a, sum);
    ct_near_all("sums of their rows", 8, sum,
                (const double[]){-3.5, 0.875, 7.0, -1.0, 2.0, 3.0, 4.75, 10.5}, 1e-15);
}

int main(void) {
    sizes();
    sharing();
    crowded();
    products();
    cells();
    return ct_end();
}
