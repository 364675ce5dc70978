/* Order, starts and duplicates of rows, in cases small enough to read off. */
#include "ctest.h"
#include "dyad_rows.h"
#include <limits.h>

enum { LISTED = 2 };

static sp_row_summary summary;
static int starts[16], duplicates[LISTED];

static void run(int n, int n_ids, const sp_id_column *ids, const double *time) {
    sp_dyad_rows(n, n_ids, LISTED, ids, time, &summary, starts, duplicates);
}

static void run_whole(int n, const int *id, const double *time) {
    const sp_id_column ids = {id, NULL};
    run(n, 1, &ids, time);
}

int main(void) {
    /* Dyads 4, 7 and 9 with 3, 1 and 2 rows; one row of dyad 4 has no time. */
    run_whole(6, (const int[]){4, 4, 4, 7, 9, 9}, (const double[]){-2, 0.5, NAN, 31, 2, 3});
    ct_true("rows in order", summary.in_order);
    ct_int("dyads", summary.n_dyads, 3);
    ct_true("starts are closed by the number of rows",
            starts[0] == 0 && starts[1] == 3 && starts[2] == 4 && starts[3] == 6);
    ct_int("rows without a time", summary.n_no_time, 1);
    ct_int("most rows of a dyad, those without a time not counted", summary.most_rows, 2);
    ct_int("most times of a dyad", summary.most_times, 2);
    ct_int("no duplicates", summary.n_duplicates, 0);

    run_whole(3, (const int[]){4, 7, 4}, (const double[]){1, 1, 2});
    ct_true("a dyad that comes back is out of order", !summary.in_order);
    run_whole(3, (const int[]){4, 4, 4}, (const double[]){1, 3, 2});
    ct_true("a time that goes back is out of order", !summary.in_order);
    run_whole(3, (const int[]){4, 4, 4}, (const double[]){1, NAN, 2});
    ct_true("a row without a time must come last in its dyad", !summary.in_order);
    run_whole(3, (const int[]){4, 7, 7}, (const double[]){5, 1, 2});
    ct_true("a time may go back from dyad to dyad", summary.in_order);
    run_whole(3, (const int[]){4, INT_MIN, 7}, (const double[]){1, 2, 3});
    ct_true("a missing id is out of order, and counted", !summary.in_order && summary.n_no_id == 1);

    /* Four rows at time 2: three of them repeat the one before, two are listed. */
    run_whole(6, (const int[]){3, 3, 3, 3, 3, 5}, (const double[]){1, 2, 2, 2, 2, 2});
    ct_true("duplicates are still in order", summary.in_order);
    ct_int("duplicates are counted", summary.n_duplicates, 3);
    ct_true("and the first of them listed", duplicates[0] == 2 && duplicates[1] == 3);
    ct_int("most rows with duplicates", summary.most_rows, 5);
    ct_int("most times with duplicates", summary.most_times, 2);
    run_whole(4, (const int[]){3, 3, 5, 5}, (const double[]){NAN, NAN, 1, 1.5});
    ct_int("two rows without a time are no duplicates", summary.n_duplicates, 0);

    /* Ids 1 and 2 repeat in both clusters; ids are doubles. */
    const sp_id_column nested[] = {{(const int[]){1, 1, 1, 2, 2}, NULL},
                                   {NULL, (const double[]){1, 1, 2.25, 1, 2.25}}};
    run(5, 2, nested, (const double[]){1, 2, 1, 1, 1});
    ct_true("ids of two columns in order", summary.in_order);
    ct_int("a dyad is a cluster and an id", summary.n_dyads, 4);
    ct_true("starts with two id columns", starts[1] == 2 && starts[2] == 3 && starts[3] == 4);
    const sp_id_column back[] = {{(const int[]){2, 1}, NULL}, {NULL, (const double[]){1, 2}}};
    run(2, 2, back, (const double[]){1, 1});
    ct_true("the outer id decides on the order", !summary.in_order);
    const sp_id_column missing[] = {{NULL, (const double[]){1, NAN}}};
    run(2, 1, missing, (const double[]){1, 2});
    ct_true("a missing id among doubles", !summary.in_order && summary.n_no_id == 1);

    run_whole(0, (const int[]){0}, (const double[]){0});
    ct_true("no rows", summary.in_order && summary.n_dyads == 0 && starts[0] == 0);
    return ct_end();
}
