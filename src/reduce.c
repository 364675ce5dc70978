#include "reduce.h"
#include "linalg.h"
#include <float.h>
#include <math.h>
#include <string.h>

/* Rows gathered before they are merged into a triangular factor: enough to amortise a merge, few
 * enough to stay in cache. */
enum { MERGE_ROWS = 128 };

/* What comparing two rows in no order costs, in multiplications: it waits for the memory. */
#define WORK_OF_COMPARISON 20.0

/* A triangular factor of all rows seen so far (d x d), and the rows not yet merged into it
 * (MERGE_ROWS x d). */
typedef struct {
    int d, n_waiting;
    double *R, *waiting;
} row_stack;

size_t sp_reduce_work_size(int p, int q, int largest) {
    size_t d = (size_t)p + 1;
    return (size_t)largest * ((size_t)q + d) + 2 * MERGE_ROWS * d;
}

size_t sp_reduce_iwork_size(int n, int n_units, int largest) {
    return (size_t)n + (size_t)n_units + 1 + (size_t)largest;
}

int sp_largest_unit(int n, int n_units, const int *unit, int *count) {
    memset(count, 0, (size_t)n_units * sizeof(int));
    for (int i = 0; i < n; i++) {
        count[unit[i] - 1]++;
    }
    int largest = 0;
    for (int g = 0; g < n_units; g++) {
        largest = count[g] > largest ? count[g] : largest;
    }
    return largest;
}

/* start: n_units + 1, offsets of each unit in `order`; order: the rows, unit by unit. */
static void order_by_unit(const sp_rows *rows, int *start, int *order) {
    memset(start, 0, ((size_t)rows->n_units + 1) * sizeof(int));
    for (int i = 0; i < rows->n; i++) {
        start[rows->unit[i]]++;
    }
    for (int g = 0; g < rows->n_units; g++) {
        start[g + 1] += start[g];
    }
    for (int i = 0; i < rows->n; i++) {
        order[start[rows->unit[i] - 1]++] = i;
    }
    memmove(start + 1, start, (size_t)rows->n_units * sizeof(int));
    start[0] = 0;
}

static int precedes(const sp_rows *rows, int i, int j) {
    for (int c = 0; c < rows->q; c++) {
        double zi = sp_at(rows->Z[c], i), zj = sp_at(rows->Z[c], j);
        if (zi != zj) {
            return zi < zj;
        }
    }
    return 0;
}

/* Stable merge sort of one unit's rows by Z: the order depends on Z only, so that two units with
 * the same visits get bit-identical factors and can share them. */
static sp_status sort_by_design(const sp_rows *rows, int n_rows, int *order, int *held,
                                sp_asking *asking) {
    int sorted = 1;
    for (int i = 1; i < n_rows && sorted; i++) {
        sorted = !precedes(rows, order[i], order[i - 1]);
    }
    if (sorted) {
        return SP_OK;
    }
    const size_t n = (size_t)n_rows;
    for (size_t width = 1; width < n; width *= 2) {
        if (sp_must_stop(asking, WORK_OF_COMPARISON * (double)n)) {
            return SP_INTERRUPTED;
        }
        for (size_t left = 0; left + width < n; left += 2 * width) {
            size_t right = left + 2 * width < n ? left + 2 * width : n;
            memcpy(held, order + left, (right - left) * sizeof(int));
            size_t i = 0, j = width;
            for (size_t k = left; k < right; k++) {
                int take_right =
                    i == width || (j < right - left && precedes(rows, held[j], held[i]));
                order[k] = take_right ? held[j++] : held[i++];
            }
        }
    }
    return SP_OK;
}

/* Returns where the next column begins. */
static double *gather_column(sp_column column, int n_rows, const int *order, double *out) {
    for (int i = 0; i < n_rows; i++) {
        *out++ = sp_at(column, order[i]);
    }
    return out;
}

/* block: n_rows x (q + d), the unit's rows of [Z X y], times the square root of their weight. */
static void gather(const sp_rows *rows, int n_rows, const int *order, double *block) {
    for (int c = 0; c < rows->q; c++) {
        block = gather_column(rows->Z[c], n_rows, order, block);
    }
    for (int c = 0; c < rows->p; c++) {
        block = gather_column(rows->X[c], n_rows, order, block);
    }
    block = gather_column(rows->y, n_rows, order, block);
    if (rows->weights) {
        int n_columns = rows->q + rows->p + 1;
        block -= (size_t)n_rows * n_columns;
        for (int i = 0; i < n_rows; i++) {
            double root = sqrt(rows->weights[order[i]]);
            for (int c = 0; c < n_columns; c++) {
                block[i + (size_t)n_rows * c] *= root;
            }
        }
    }
}

static int all_finite(size_t n, const double *x) {
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) {
            return 0;
        }
    }
    return 1;
}

/* Householder reflections that make the first q columns of block (n_rows x n_columns) upper
 * triangular with a diagonal >= 0, applied to all columns. reflectors (or NULL) keeps them: q
 * vectors of length n_rows, q scales, q signs. */
static sp_status triangularise(int n_rows, int q, int n_columns, double *block, double *reflectors,
                               sp_asking *asking) {
    int steps = q < n_rows ? q : n_rows;
    double *scales = reflectors ? reflectors + (size_t)n_rows * q : NULL;
    for (int j = 0; j < steps; j++) {
        if (sp_must_stop(asking, (double)n_rows * n_columns)) {
            return SP_INTERRUPTED;
        }
        double *v = block + (size_t)n_rows * j;
        double below = sp_dot((size_t)(n_rows - j - 1), v + j + 1, v + j + 1);
        /* NaN differs from zero: it must spread, so that the caller sees it. */
        if (below != 0.0) {
            double head = v[j];
            double norm = sqrt(head * head + below);
            double reflected = head > 0.0 ? -norm : norm;
            v[j] = head - reflected;
            double scale = 2.0 / (v[j] * v[j] + below);
            for (int c = j + 1; c < n_columns; c++) {
                double *x = block + (size_t)n_rows * c;
                double along = scale * sp_dot((size_t)(n_rows - j), v + j, x + j);
                sp_axpy((size_t)(n_rows - j), -along, v + j, x + j);
            }
            if (reflectors) {
                memcpy(reflectors + (size_t)n_rows * j + j, v + j,
                       (size_t)(n_rows - j) * sizeof(double));
                scales[j] = scale;
            }
            v[j] = reflected;
            memset(v + j + 1, 0, (size_t)(n_rows - j - 1) * sizeof(double));
        }
        if (reflectors) {
            scales[q + j] = v[j] < 0.0 ? -1.0 : 1.0;
        }
        if (v[j] < 0.0) {
            for (int c = j; c < n_columns; c++) {
                block[j + (size_t)n_rows * c] *= -1.0;
            }
        }
    }
    return SP_OK;
}

/* A column inside the span of Z leaves rounding noise behind. Within rounding of the column it is
 * set to zero, which is as accurate and lets whole columns be skipped later (dyad-level predictors
 * and their products with time are all of this kind). */
static void clear_noise(int n_rows, int q, int d, double *columns) {
    const double noise = 16.0 * DBL_EPSILON;
    for (int c = 0; c < d; c++) {
        double *x = columns + (size_t)n_rows * c;
        double top = sp_dot((size_t)q, x, x);
        double rest = sp_dot((size_t)(n_rows - q), x + q, x + q);
        if (isfinite(top + rest) && rest <= noise * noise * (double)n_rows * (top + rest)) {
            memset(x + q, 0, (size_t)(n_rows - q) * sizeof(double));
        }
    }
}

/* Merges the waiting rows into the triangular factor. */
static void merge_rows(row_stack *stack) {
    int d = stack->d;
    size_t n = (size_t)stack->n_waiting;
    for (int j = 0; j < d; j++) {
        double *v = stack->waiting + (size_t)MERGE_ROWS * j;
        double below = sp_dot(n, v, v);
        if (below == 0.0) {
            continue;
        }
        double head = stack->R[j + (size_t)d * j];
        double norm = sqrt(head * head + below);
        double reflected = head > 0.0 ? -norm : norm;
        double v_head = head - reflected;
        double scale = 2.0 / (v_head * v_head + below);
        stack->R[j + (size_t)d * j] = reflected;
        for (int k = j + 1; k < d; k++) {
            double *x = stack->waiting + (size_t)MERGE_ROWS * k;
            double *r = stack->R + j + (size_t)d * k;
            double along = scale * (v_head * *r + sp_dot(n, v, x));
            *r -= along * v_head;
            sp_axpy(n, -along, v, x);
        }
    }
    stack->n_waiting = 0;
}

/* Adds one row whose elements are `stride` apart. */
static sp_status push_row(row_stack *stack, const double *row, size_t stride, sp_asking *asking) {
    if (stack->n_waiting == MERGE_ROWS) {
        if (sp_must_stop(asking, (double)MERGE_ROWS * stack->d * stack->d)) {
            return SP_INTERRUPTED;
        }
        merge_rows(stack);
    }
    for (int j = 0; j < stack->d; j++) {
        stack->waiting[stack->n_waiting + (size_t)MERGE_ROWS * j] = row[stride * j];
    }
    stack->n_waiting++;
    return SP_OK;
}

/* Takes the unit's results out of its triangularised block. */
static void store_unit(int n_rows, int q, int d, const double *block, double *R, double *a) {
    int filled = q < n_rows ? q : n_rows;
    memset(R, 0, (size_t)q * q * sizeof(double));
    memset(a, 0, (size_t)q * d * sizeof(double));
    for (int c = 0; c < q; c++) {
        int height = c + 1 < filled ? c + 1 : filled;
        memcpy(R + (size_t)q * c, block + (size_t)n_rows * c, (size_t)height * sizeof(double));
    }
    const double *columns = block + (size_t)n_rows * q;
    for (int r = 0; r < filled; r++) {
        for (int c = 0; c < d; c++) {
            a[(size_t)d * r + c] = columns[r + (size_t)n_rows * c];
        }
    }
}

sp_status sp_reduce_rows(const sp_rows *rows, double *R, double *a, double *Rfree, double *Rfull,
                         double *work, int *iwork, sp_check check, void *check_data) {
    int q = rows->q;
    int d = rows->p + 1;
    int *order = iwork;
    int *start = order + rows->n;
    int *held = start + rows->n_units + 1;
    row_stack free_rows = {d, 0, Rfree, work};
    row_stack all_rows = {d, 0, Rfull, work + (size_t)MERGE_ROWS * d};
    double *block = work + 2 * (size_t)MERGE_ROWS * d;
    sp_asking asking = sp_ask(check, check_data);

    memset(Rfree, 0, (size_t)d * d * sizeof(double));
    order_by_unit(rows, start, order);
    for (int g = 0; g < rows->n_units; g++) {
        int n_rows = start[g + 1] - start[g];
        int *members = order + start[g];
        if (sort_by_design(rows, n_rows, members, held, &asking)) {
            return SP_INTERRUPTED;
        }
        gather(rows, n_rows, members, block);
        if (triangularise(n_rows, q, q + d, block, NULL, &asking)) {
            return SP_INTERRUPTED;
        }
        store_unit(n_rows, q, d, block, R + (size_t)q * q * g, a + (size_t)q * d * g);
        if (n_rows > q) {
            double *columns = block + (size_t)n_rows * q;
            clear_noise(n_rows, q, d, columns);
            for (int r = q; r < n_rows; r++) {
                if (push_row(&free_rows, columns + r, (size_t)n_rows, &asking)) {
                    return SP_INTERRUPTED;
                }
            }
        }
    }
    merge_rows(&free_rows);
    memcpy(Rfull, Rfree, (size_t)d * d * sizeof(double));
    for (size_t r = 0; r < (size_t)rows->n_units * q; r++) {
        if (push_row(&all_rows, a + (size_t)d * r, 1, &asking)) {
            return SP_INTERRUPTED;
        }
    }
    merge_rows(&all_rows);
    return all_finite((size_t)rows->n_units * q * q, R) && all_finite((size_t)d * d, Rfull)
               ? SP_OK
               : SP_NOT_FINITE;
}

size_t sp_reflectors_size(int n, int n_units, int q) {
    return ((size_t)n + 2 * (size_t)n_units) * (size_t)q;
}

sp_status sp_keep_reflectors(const sp_rows *rows, int *order, int *start, double *reflectors,
                             double *Xfree, double *work, int *held, sp_check check,
                             void *check_data) {
    int q = rows->q;
    int d = rows->p + 1;
    sp_asking asking = sp_ask(check, check_data);
    memset(reflectors, 0, sp_reflectors_size(rows->n, rows->n_units, q) * sizeof(double));
    memset(Xfree, 0, (size_t)rows->n * rows->p * sizeof(double));
    order_by_unit(rows, start, order);
    for (int g = 0; g < rows->n_units; g++) {
        int n_rows = start[g + 1] - start[g];
        int *members = order + start[g];
        if (sort_by_design(rows, n_rows, members, held, &asking)) {
            return SP_INTERRUPTED;
        }
        gather(rows, n_rows, members, work);
        if (!all_finite((size_t)n_rows * (q + d), work)) {
            return SP_NOT_FINITE;
        }
        if (triangularise(n_rows, q, q + d, work, reflectors, &asking)) {
            return SP_INTERRUPTED;
        }
        reflectors += ((size_t)n_rows + 2) * q;
        if (n_rows > q) {
            double *columns = work + (size_t)n_rows * q;
            clear_noise(n_rows, q, rows->p, columns);
            for (int c = 0; c < rows->p; c++) {
                memcpy(Xfree + (size_t)rows->n * c + start[g] + q, columns + (size_t)n_rows * c + q,
                       (size_t)(n_rows - q) * sizeof(double));
            }
        }
    }
    return SP_OK;
}

void sp_reflect(int n_rows, int q, const double *reflectors, double *x) {
    int steps = q < n_rows ? q : n_rows;
    const double *scales = reflectors + (size_t)n_rows * q;
    for (int j = 0; j < steps; j++) {
        if (scales[j] > 0.0) {
            const double *v = reflectors + (size_t)n_rows * j;
            double along = scales[j] * sp_dot((size_t)(n_rows - j), v + j, x + j);
            sp_axpy((size_t)(n_rows - j), -along, v + j, x + j);
        }
        x[j] *= scales[q + j];
    }
}

void sp_rank_fixed(int n, int p, double tolerance, double *Rfull, int *kept, double *Rx,
                   double *coef, double *alias, sp_fixed *fixed) {
    int d = p + 1;
    int rank = 0;
    int n_aliased = 0;
    for (int c = 0; c < p; c++) {
        double *v = Rfull + (size_t)d * c;
        /* Reflections leave the norm of a column as it was. */
        double norm = sqrt(sp_dot((size_t)d, v, v));
        double below = sp_dot((size_t)(d - rank - 1), v + rank + 1, v + rank + 1);
        double remaining = sqrt(v[rank] * v[rank] + below);
        if (!(remaining > tolerance * norm)) {
            kept[p - 1 - n_aliased++] = c;
            continue;
        }
        double reflected = v[rank] > 0.0 ? -remaining : remaining;
        v[rank] -= reflected;
        double scale = 2.0 / (v[rank] * v[rank] + below);
        for (int k = c + 1; k < d; k++) {
            double *x = Rfull + (size_t)d * k;
            double along = scale * sp_dot((size_t)(d - rank), v + rank, x + rank);
            sp_axpy((size_t)(d - rank), -along, v + rank, x + rank);
        }
        v[rank] = reflected;
        kept[rank++] = c;
    }
    for (int j = 0; j < rank; j++) {
        for (int i = 0; i < rank; i++) {
            Rx[i + (size_t)rank * j] = i <= j ? Rfull[i + (size_t)d * kept[j]] : 0.0;
        }
    }
    /* An aliased column depends on the columns kept before it. */
    for (int j = 0; j < n_aliased; j++) {
        const double *x = Rfull + (size_t)d * kept[p - 1 - j];
        double *b = alias + (size_t)p * j;
        for (int i = rank - 1; i >= 0; i--) {
            b[i] = kept[i] < kept[p - 1 - j] ? x[i] : 0.0;
            for (int k = i + 1; k < rank; k++) {
                b[i] -= Rx[i + (size_t)rank * k] * b[k];
            }
            b[i] /= Rx[i + (size_t)rank * i];
        }
    }
    const double *y = Rfull + (size_t)d * p;
    memcpy(coef, y, (size_t)rank * sizeof(double));
    fixed->rank = rank;
    fixed->rss = sp_dot((size_t)(d - rank), y + rank, y + rank);
    fixed->y_scale = fixed->rss > 0.0 && n > rank ? sqrt(fixed->rss / (n - rank)) : 1.0;
}

sp_status sp_orthonormalise(size_t n_rows, int p, const sp_fixed *fixed, const int *kept,
                            const double *Rx, const double *coef, double *rows, sp_check check,
                            void *check_data) {
    int rank = fixed->rank;
    double *out = rows;
    sp_asking asking = sp_ask(check, check_data);
    const double work = 0.5 * rank * rank;
    for (size_t r = 0; r < n_rows; r++) {
        if (sp_must_stop(&asking, work)) {
            return SP_INTERRUPTED;
        }
        const double *in = rows + r * ((size_t)p + 1);
        double y = in[p];
        /* kept is increasing, so out[j] never overtakes an element still to be read. */
        for (int j = 0; j < rank; j++) {
            double x = in[kept[j]];
            const double *column = Rx + (size_t)rank * j;
            for (int i = 0; i < j; i++) {
                x -= out[i] * column[i];
            }
            out[j] = x / column[j];
            y -= out[j] * coef[j];
        }
        out[rank] = y / fixed->y_scale;
        out += rank + 1;
    }
    return SP_OK;
}

void sp_factor_units(int n, int q, const double *R, const int *unit, const double *count,
                     double *factor, double *work) {
    size_t qq = (size_t)q * q;
    memset(factor, 0, qq * sizeof(double));
    for (int i = 0; i < n; i++) {
        const double *from = R + qq * (unit ? unit[i] : i);
        const double weight = count ? sqrt(count[i]) : 1.0;
        for (size_t e = 0; e < qq; e++) {
            work[e] = weight * from[e];
        }
        sp_update_factor(q, q, work, factor);
    }
}

void sp_mean_squares(int n, int n_units, int q, int d, const double *R, const double *a,
                     const double *Cfree, double *mean_squares) {
    double n_free = n;
    for (int j = 0; j < q; j++) {
        double sum = 0.0, n_rows = 0.0;
        for (int u = 0; u < n_units; u++) {
            double y = a[((size_t)q * u + j) * d + d - 1];
            n_rows += R[(size_t)q * q * u + j + (size_t)q * j] > 0.0;
            sum += y * y;
        }
        mean_squares[j] = n_rows > 0.0 ? sum / n_rows : 0.0;
        n_free -= n_rows;
    }
    mean_squares[q] = n_free > 0.0 ? Cfree[sp_packed_size(d) - 1] / n_free : 0.0;
}

void sp_change_rows(size_t n_rows, int d, const double *root, double *rows) {
    for (size_t r = 0; r < n_rows; r++, rows += d) {
        rows[d - 1] = sp_dot((size_t)d, rows, root + (size_t)d * (d - 1));
        for (int c = d - 2; c >= 0; c--) {
            rows[c] = sp_dot((size_t)c + 1, rows, root + (size_t)d * c);
        }
    }
}

void sp_change_fixed(int p, const double *root, double y_scale, double *Rx, double *coef) {
    int d = p + 1;
    for (int i = 0; i < p; i++) {
        coef[i] -= y_scale * root[i + (size_t)d * p];
    }
    for (int i = p - 1; i >= 0; i--) {
        for (int k = i + 1; k < p; k++) {
            double multiple = root[i + (size_t)d * k];
            coef[i] -= multiple * coef[k];
            for (int j = k; j < p; j++) {
                Rx[i + (size_t)p * j] -= multiple * Rx[k + (size_t)p * j];
            }
        }
        double diagonal = root[i + (size_t)d * i];
        coef[i] /= diagonal;
        for (int j = i; j < p; j++) {
            Rx[i + (size_t)p * j] /= diagonal;
        }
    }
}
