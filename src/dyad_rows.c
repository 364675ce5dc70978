#include "dyad_rows.h"
#include <limits.h>
#include <math.h>

static int id_missing(const sp_id_column *id, int row) {
    return id->whole ? id->whole[row] == INT_MIN : isnan(id->real[row]);
}

/* -1, 0 or 1 as the row before is below, equal to or above this row. */
static int compare_with_previous(const sp_id_column *id, int row) {
    if (id->whole) {
        const int a = id->whole[row - 1], b = id->whole[row];
        return (a > b) - (a < b);
    }
    const double a = id->real[row - 1], b = id->real[row];
    return (a > b) - (a < b);
}

static void close_dyad(sp_row_summary *summary, int rows, int times) {
    if (rows > summary->most_rows) {
        summary->most_rows = rows;
    }
    if (times > summary->most_times) {
        summary->most_times = times;
    }
}

sp_status sp_dyad_rows(int n, int n_ids, int n_listed, const sp_id_column *ids, const double *time,
                       sp_row_summary *summary, int *starts, int *duplicates) {
    sp_row_summary found = {1, 0, 0, 0, 0, 0, 0};
    int rows = 0, times = 0;
    *summary = found;
    for (int row = 0; row < n; row++) {
        int order = row == 0 ? -1 : 0;
        for (int j = 0; j < n_ids; j++) {
            if (id_missing(&ids[j], row)) {
                summary->n_no_id++;
                summary->in_order = 0;
                return SP_OK;
            }
            if (order == 0) {
                order = compare_with_previous(&ids[j], row);
            }
        }
        if (order > 0) {
            summary->in_order = 0;
            return SP_OK;
        }
        if (order < 0) {
            close_dyad(summary, rows, times);
            starts[summary->n_dyads++] = row;
            rows = times = 0;
        }
        if (isnan(time[row])) {
            summary->n_no_time++;
            continue;
        }
        if (order == 0 && (isnan(time[row - 1]) || time[row] < time[row - 1])) {
            summary->in_order = 0;
            return SP_OK;
        }
        rows++;
        if (order == 0 && time[row] == time[row - 1]) {
            if (summary->n_duplicates < n_listed) {
                duplicates[summary->n_duplicates] = row;
            }
            summary->n_duplicates++;
        } else {
            times++;
        }
    }
    close_dyad(summary, rows, times);
    starts[summary->n_dyads] = n;
    return SP_OK;
}
