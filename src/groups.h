/* Codes of groups: equal keys get equal codes, numbered by first appearance. */
#ifndef SAMEPAGE_GROUPS_H
#define SAMEPAGE_GROUPS_H

#include <stddef.h>
#include <stdint.h>

/* An open-addressing table. The caller owns both arrays; a slot holds a unit's code or 0. */
typedef struct {
    size_t n_slots;      /* a power of two */
    int n_units;         /* units seen so far */
    int *slots;          /* n_slots */
    uint64_t *unit_keys; /* at least n_slots / 2: key of each unit */
} group_table;

/* Number of slots that leaves room for n_units units at a load of at most one half. */
size_t group_table_slots(size_t n_units);

/* Empties a table whose arrays the caller has just allocated. */
void group_table_clear(group_table *table);

/* Copies the units of a smaller table into a larger one, which the caller has cleared. */
void group_table_copy(const group_table *from, group_table *to);

/*
 * Codes (from 1) of n_rows keys, continuing from what the table holds.
 * unit_rows receives the row (row_offset + its place, from 1) of each new unit.
 * Precondition: table->n_units + n_rows <= table->n_slots / 2.
 */
void group_codes(int n_rows, const uint64_t *keys, int row_offset, group_table *table, int *codes,
                 int *unit_rows);

#endif
