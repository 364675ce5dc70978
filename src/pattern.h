/* Step 2 of the fit: units with the same triangular factor share every matrix that depends on the
 * parameters. A pattern that enough units share keeps their cross-products B only; the others stay
 * single units. */
#ifndef SAMEPAGE_PATTERN_H
#define SAMEPAGE_PATTERN_H

#include "check.h"
#include "status.h"
#include <stddef.h>

/* Sharing of R (q x q per unit, n_units of them): unit_pattern[i] is the 0-based pattern of unit i,
 * patterns numbered by first appearance. representative[g] is its first unit, count[g] its number
 * of units (both n_units long at most). table: table_size ints, a power of two >= 2 n_units.
 * Returns the number of patterns. */
int sp_find_patterns(int n_units, int q, const double *R, int *unit_pattern, int *representative,
                     int *count, size_t table_size, int *table);

/* Smallest power of two >= 2 n_units. */
size_t sp_pattern_table_size(int n_units);

/* Whether sharing pays: contracting B costs q (q + 1) / 2 matrices, single units q each. */
int sp_worth_sharing(int q, int count);

/* Decides which patterns are shared and numbers the "items" of the fit: shared patterns first, then
 * every unit of the others as an item of its own.
 * In and out: unit_pattern, on return the item of each unit.
 * Out: item_unit   a unit with the item's R (n_items, at most n_units)
 *      item_count  units of the item
 *      n_shared    number of shared items
 * item_of: n_patterns ints of workspace. Returns the number of items. */
int sp_number_items(int n_units, int q, int n_patterns, const int *representative, const int *count,
                    int *unit_pattern, int *item_unit, double *item_count, int *n_shared,
                    int *item_of);

/* The mean of each unit's cell, as sum and count, where there is a level above the units. */
typedef struct {
    const int *unit_cell;
    const double *count, *sum;
} sp_centres;

/* The rows a of one unit (q of length d) less the mean of its cell, in `centred`; centres NULL:
 * the rows themselves. */
const double *sp_centred_rows(int unit, int q, int d, const double *a, const sp_centres *centres,
                              double *centred);

/* Cross-products of the shared items: for a <= b of the q rows (column by column of the upper
 * triangle) the packed d x d matrix sum over the item's units of (a_a' a_b + a_b' a_a) / 2, the
 * rows centred in their cells: with effects of the level above that are large, products about
 * zero would leave no digits of what is within.
 * B: n_shared * q (q + 1) / 2 packed matrices. work: q * d. Status: SP_OK, SP_INTERRUPTED. */
sp_status sp_cross_products(int n_units, int q, int d, int n_shared, const int *unit_item,
                            const double *a, const sp_centres *centres, double *B, double *work,
                            sp_check check, void *check_data);

/* Cells: units of one second-level group that share an item. node: 0-based second-level group of
 * each unit. Out (each n_units long at most): cell_item, cell_node, cell_count, unit_cell; cells
 * are numbered group by group. Workspace: order, stamp (n_units or n_items, the larger),
 * start (n_nodes + 1). Returns the number of cells. */
int sp_find_cells(int n_units, int n_nodes, int n_items, const int *unit_item, const int *node,
                  int *cell_item, int *cell_node, double *cell_count, int *unit_cell, int *order,
                  int *stamp, int *start);

/* Sum of the rows a over the units of each cell (q rows of length d per cell). */
void sp_sum_cells(int n_units, int n_cells, int q, int d, const int *unit_cell, const double *a,
                  double *cell_sum);

#endif
