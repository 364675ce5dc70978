/* SEXP layer of groups.c. */
#include "groups.h"
#include "r_entries.h"
#include <limits.h>
#include <string.h>

/* Rows per call of the core, and calls between two checks for an interrupt. */
#define CHUNK 1024
#define CHUNKS_BETWEEN_CHECKS 256

/* One 64-bit key per row: equal ids, equal keys. Strings are cached by R, so the address will do.
 */
static void row_keys(SEXP ids, R_xlen_t from, int n_rows, uint64_t *keys) {
    switch (TYPEOF(ids)) {
    case LGLSXP:
    case INTSXP: {
        const int *values = INTEGER(ids) + from;
        for (int row = 0; row < n_rows; row++) {
            keys[row] = (uint32_t)values[row];
        }
        break;
    }
    case REALSXP: {
        const double *values = REAL(ids) + from;
        for (int row = 0; row < n_rows; row++) {
            const double value = values[row] == 0.0 ? 0.0 : values[row];
            memcpy(keys + row, &value, sizeof value);
        }
        break;
    }
    default: /* character */
        for (int row = 0; row < n_rows; row++) {
            keys[row] = (uint64_t)(uintptr_t)STRING_ELT(ids, from + row);
        }
    }
}

static void pair_keys(const int *outer, const int *inner, int n_rows, uint64_t *keys) {
    for (int row = 0; row < n_rows; row++) {
        keys[row] = ((uint64_t)(uint32_t)outer[row] << 32) | (uint32_t)inner[row];
    }
}

static group_table new_table(size_t n_units) {
    group_table table;
    table.n_slots = group_table_slots(n_units);
    table.slots = (int *)R_alloc(table.n_slots, sizeof(int));
    table.unit_keys = (uint64_t *)R_alloc(table.n_slots / 2, sizeof(uint64_t));
    group_table_clear(&table);
    return table;
}

/* list(codes, rows of the first appearance); `inner` is R_NilValue or a second code vector. */
static SEXP code_rows(SEXP ids, SEXP inner) {
    if (TYPEOF(ids) != LGLSXP && TYPEOF(ids) != INTSXP && TYPEOF(ids) != REALSXP &&
        TYPEOF(ids) != STRSXP) {
        Rf_error("ids must be logical, integer, double or character");
    }
    const R_xlen_t n_long = XLENGTH(ids);
    if (n_long > INT_MAX) {
        Rf_error("more than 2^31 - 1 rows");
    }
    const int n = (int)n_long;
    SEXP codes = PROTECT(Rf_allocVector(INTSXP, n));
    int *code = INTEGER(codes);
    uint64_t *keys = (uint64_t *)R_alloc(CHUNK, sizeof(uint64_t));
    group_table table = new_table(CHUNK);
    int *unit_rows = (int *)R_alloc(table.n_slots / 2, sizeof(int));

    for (R_xlen_t start = 0; start < n_long; start += CHUNK) {
        if (start / CHUNK % CHUNKS_BETWEEN_CHECKS == 0) {
            R_CheckUserInterrupt();
        }
        const int from = (int)start;
        const int n_rows = n - from < CHUNK ? n - from : CHUNK;
        if ((size_t)table.n_units + (size_t)n_rows > table.n_slots / 2) {
            const group_table smaller = table;
            const int *smaller_rows = unit_rows;
            table = new_table(smaller.n_slots);
            unit_rows = (int *)R_alloc(table.n_slots / 2, sizeof(int));
            group_table_copy(&smaller, &table);
            memcpy(unit_rows, smaller_rows, (size_t)smaller.n_units * sizeof(int));
        }
        if (inner == R_NilValue) {
            row_keys(ids, from, n_rows, keys);
        } else {
            pair_keys(INTEGER(ids) + from, INTEGER(inner) + from, n_rows, keys);
        }
        group_codes(n_rows, keys, from, &table, code + from, unit_rows);
    }

    SEXP rows = PROTECT(Rf_allocVector(INTSXP, table.n_units));
    memcpy(INTEGER(rows), unit_rows, (size_t)table.n_units * sizeof(int));
    SEXP answer = PROTECT(Rf_allocVector(VECSXP, 2));
    SET_VECTOR_ELT(answer, 0, codes);
    SET_VECTOR_ELT(answer, 1, rows);
    UNPROTECT(3);
    return answer;
}

SEXP code_groups(SEXP ids) {
    return code_rows(ids, R_NilValue);
}

SEXP code_group_pairs(SEXP outer, SEXP inner) {
    if (TYPEOF(outer) != INTSXP || TYPEOF(inner) != INTSXP || XLENGTH(outer) != XLENGTH(inner)) {
        Rf_error("codes must be two integer vectors of one length");
    }
    return code_rows(outer, inner);
}
