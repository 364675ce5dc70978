/* Where each dyad's rows begin, in one pass over the ids and times. */
#ifndef SAMEPAGE_DYAD_ROWS_H
#define SAMEPAGE_DYAD_ROWS_H

#include "status.h"

/* One id column: whole numbers (missing: INT_MIN) or doubles (missing: NaN). The other is NULL. */
typedef struct {
    const int *whole;
    const double *real;
} sp_id_column;

typedef struct {
    int in_order;     /* 1: ids never decrease and times never decrease within a dyad */
    int n_dyads;      /* runs of equal ids; meaningful when in_order */
    int n_no_id;      /* rows with a missing id */
    int n_no_time;    /* rows with a missing time */
    int n_duplicates; /* rows whose dyad and time are those of the row before */
    int most_rows;    /* most rows of one dyad, those without a time not counted */
    int most_times;   /* most different times of one dyad */
} sp_row_summary;

/* Purpose: checks the order of the rows and finds the first row of each dyad.
 * Shapes: ids[n_ids] columns of length n, outermost first; time[n]; starts[n + 1], 0-based,
 *   closed by n; duplicates[n_listed], 0-based rows, the first n_listed of them.
 * Precondition: within a dyad, rows without a time come last.
 * Status: SP_OK always; `summary->in_order` is 0 as soon as a row is out of place or without an
 *   id, and nothing else but the counts of the rows read so far is then filled. */
sp_status sp_dyad_rows(int n, int n_ids, int n_listed, const sp_id_column *ids, const double *time,
                       sp_row_summary *summary, int *starts, int *duplicates);

#endif
