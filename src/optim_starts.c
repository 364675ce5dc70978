#include "optim_inner.h"
#include "linalg.h"
#include <limits.h>
#include <math.h>
#include <string.h>

/* The weight that the units' rows of y give each column of Z, on the whitened scale: their mean
 * square in row j beside that of the free rows. weight: q. */
static void moment_weights(const sp_search *o, double *weight) {
    const double largest_start = 1000.0;
    const double *mean_squares = o->data->mean_squares;
    int q = o->data->q;
    double s = mean_squares[q];
    for (int j = 0; j < q; j++) {
        double l = s > 0.0 ? sqrt(fmax(mean_squares[j] / s - 1.0, 0.0)) : 1.0;
        weight[j] = fmin(fmax(l, SP_SMALLEST_START), largest_start);
    }
}

/* The starts with one weight for all directions; two of them lie far from any boundary. */
enum { DISTANT_START = 2, FARTHEST_START = 4, COMMON_STARTS = 5 };

/* Numbers at which the further kinds of starts begin: without some or any of the random effects,
 * from estimates, scattered. */
static int empty_start(const sp_search *o) {
    return COMMON_STARTS + 2 * (int)sp_total_size(o->blocks);
}

static int estimates_start(const sp_search *o) {
    int n_blocks = o->blocks->n_blocks;
    return empty_start(o) + 1 + (n_blocks > 1 ? n_blocks : 0);
}

static int scattered_start(const sp_search *o) {
    return estimates_start(o) + 2;
}

/* Start number `start`: 0 gives every direction the weight of its moments, 1 weight one, 2 ten, 3 a
 * thousand, 4 a hundred thousand (where hardly a row is to spare); the next ones weight ten to one
 * direction and a tenth to the rest, then a thousand and one; then no weight to any, and none to
 * one block. Beside an optimum there may be another without some of the random effects, which a
 * search from any weights can miss. */
static void set_start(sp_search *o, int start) {
    const double weights[COMMON_STARTS] = {0.0, 1.0, 10.0, 1000.0, 1e5};
    double *U = o->U, *l = o->l, *moments = o->work;
    int direction = COMMON_STARTS, n_directions = (int)sp_total_size(o->blocks);
    int empty = empty_start(o);
    moment_weights(o, moments);
    for (int b = 0; b < o->blocks->n_blocks; b++) {
        int n = o->blocks->size[b];
        const int *columns = sp_block_columns(o->blocks, b);
        memset(U, 0, (size_t)n * n * sizeof(double));
        for (int j = 0; j < n; j++, direction++) {
            double moment = moments[columns[j]];
            U[j + (size_t)n * j] = 1.0;
            if (start < COMMON_STARTS) {
                l[j] = start == 0 ? moment : weights[start];
            } else if (start < COMMON_STARTS + n_directions) {
                l[j] = start == direction ? 10.0 : 0.1;
            } else if (start < empty) {
                l[j] = start - n_directions == direction ? 1000.0 : 1.0;
            } else {
                l[j] = start == empty || start == empty + 1 + b ? 0.0 : moment;
            }
        }
        U += n * n;
        l += n;
    }
}

/* Starts scattered over weights from a tenth to a hundred thousand and over directions, this many
 * for each direction: where rows to spare are few, optima lie anywhere, hidden ones in a fiftieth
 * of that range. */
enum { SOME_SCATTERED = 4, ALL_SCATTERED = 12 };

static int end_of_scattered(const sp_search *o, int per_direction) {
    return scattered_start(o) + per_direction * (int)sp_total_size(o->blocks);
}

/* The base phi of an additive recurrence that fills the unit cube of `n` dimensions evenly, with
 * steps phi^-1, phi^-2, ...: phi^(n + 1) = phi + 1, the golden ratio when n is 1. Source: Roberts
 * (2018), The unreasonable effectiveness of quasirandom sequences. */
static double golden_base(int n) {
    double phi = 2.0;
    for (int i = 0; i < 30; i++) {
        phi = pow(1.0 + phi, 1.0 / (n + 1.0));
    }
    return phi;
}

static void set_scattered_start(sp_search *o, int start) {
    const double least = -1.0, range = 6.0; /* powers of ten */
    double *U = o->U, *l = o->l, *v = o->work;
    double base = golden_base(2 * (int)sp_total_size(o->blocks)), step = 1.0;
    for (int b = 0; b < o->blocks->n_blocks; b++) {
        int n = o->blocks->size[b];
        double length = 0.0;
        for (int j = 0; j < n; j++) {
            step /= base;
            l[j] = pow(10.0, least + range * fmod(start * step, 1.0));
            step /= base;
            v[j] = fmod(0.5 + start * step, 1.0) - 0.5;
            length += v[j] * v[j];
        }
        /* U mirrors the axes in the plane across v. */
        for (int j = 0; j < n; j++) {
            for (int i = 0; i < n; i++) {
                U[i + (size_t)n * j] = (i == j) - 2.0 * v[i] * v[j] / length;
            }
        }
        U += n * n;
        l += n;
    }
}

/* One group's own estimate c of a block's effects, on the whitened scale: least squares of the last
 * column of `rows` on R, as small as possible where R leaves it open. sum (n x n) += c c'. R: q x
 * q; rows: q rows of length d. scratch: q n + n n + 2 n. */
static void add_own_estimate(const sp_search *o, int block, const double *T, const double *R,
                             const double *rows, double *sum, double *scratch) {
    const double ridge = 1e-8;
    int q = o->data->q, d = o->data->d, n = o->blocks->size[block];
    const int *columns = sp_block_columns(o->blocks, block);
    double *white = scratch, *normal = white + (size_t)q * n, *c = normal + (size_t)n * n;
    double *half = c + n;
    for (int j = 0; j < n; j++) {
        c[j] = 0.0;
        for (int i = 0; i < q; i++) {
            double element = 0.0;
            for (int k = 0; k < n; k++) {
                element += R[i + (size_t)q * columns[k]] * T[k + (size_t)n * j];
            }
            white[i + (size_t)q * j] = element;
            c[j] += element * rows[(size_t)d * i + d - 1];
        }
    }
    sp_multiply_tn(n, q, n, white, white, normal);
    for (int j = 0; j < n; j++) {
        normal[j + (size_t)n * j] += ridge;
    }
    if (sp_cholesky(n, normal)) {
        return;
    }
    sp_invert_lower(n, normal);
    sp_multiply(n, n, 1, normal, c, half);
    sp_multiply_tn(n, n, 1, normal, half, c);
    for (int j = 0; j < n; j++) {
        sp_axpy((size_t)n, c[j], c, sum + (size_t)n * j);
    }
}

/* The start from the groups' own estimates, each counted once; with `one_direction` from the
 * largest direction of them only. Where some groups are very small and others very large it lies
 * far from the moments, in which a group has the weight of its rows: groups of a row or two may
 * stand far apart in a direction of which the large ones know that they do not. */
static void set_from_estimates(sp_search *o, int one_direction) {
    const sp_reduced *data = o->data;
    size_t qq = (size_t)data->q * data->q, qd = (size_t)data->q * data->d;
    size_t squares = sp_total_squares(o->blocks);
    double s = data->mean_squares[data->q], *matrices = o->held, *scratch = matrices + squares;
    double *T = o->T, *sum = matrices, *l = o->l;
    memset(matrices, 0, squares * sizeof(double));
    for (int b = 0; b < o->blocks->n_blocks; b++) {
        int n = o->blocks->size[b], level = o->blocks->level[b], n_groups = data->n_nodes[level];
        const double *R = data->R, *rows = data->a;
        if (level > 0) {
            R = o->reml_work.Rn + qq * o->reml_work.offset[level];
            rows = o->reml_work.an + qd * o->reml_work.offset[level];
        }
        for (int g = 0; g < n_groups; g++) {
            add_own_estimate(o, b, T, R + qq * (size_t)g, rows + qd * (size_t)g, sum, scratch);
        }
        for (int i = 0; i < n * n; i++) {
            sum[i] /= n_groups * (s > 0.0 ? s : 1.0);
        }
        T += n * n;
        sum += n * n;
    }
    sp_factor_blocks(o, matrices);
    for (int b = 0; b < o->blocks->n_blocks; b++) {
        for (int j = 1; one_direction && j < o->blocks->size[b]; j++) {
            l[j] = 0.0;
        }
        l += o->blocks->size[b];
    }
}

/* The factors' columns far above the residuals times a number; returns whether there were any. */
static int scale_large(sp_search *o, double times) {
    const double far = 1e4;
    size_t sizes = sp_total_size(o->blocks);
    int found = 0;
    for (size_t i = 0; i < sizes; i++) {
        if (o->best_l[i] > far) {
            o->l[i] = o->best_l[i] * times;
            found = 1;
        }
    }
    return found;
}

/* Whether the likelihood grows without bound as s goes to zero beside the random effects of the
 * present point, whose criterion is *f (computed anew where effects are large: there a search ends
 * in rounding, and what it saw last may not be seen again). Where fixed and random effects give
 * every row of y exactly, -2 log L has a term in log(s) times the dimensions of y that they leave:
 * then it falls by as much when s becomes a hundredth as it rose when s was a hundred times as
 * large. */
static int is_unbounded(sp_search *o, double *f) {
    const double alike = 0.2;                       /* of rises that are whole numbers times 4.6 */
    const double per_dimension = 4.605170185988091; /* log(100) */
    size_t sizes = sp_total_size(o->blocks);
    memcpy(o->best_l, o->l, sizes * sizeof(double));
    if (!isfinite(*f) || !scale_large(o, 0.1)) {
        return 0;
    }
    sp_set_point(o);
    double rise = sp_evaluate(o) - *f, noise = sp_noise_of(o);
    scale_large(o, 0.01);
    sp_set_point(o);
    double rise_before = sp_evaluate(o) - *f - rise;
    memcpy(o->l, o->best_l, sizes * sizeof(double));
    sp_set_point(o);
    *f = sp_evaluate(o);
    noise = fmax(noise, sp_noise_of(o));
    double dimensions = floor(rise / per_dimension + 0.5);
    return noise < 0.1 && dimensions >= 1.0 && fabs(rise - dimensions * per_dimension) < alike &&
           fabs(rise - rise_before) < alike;
}

/* Factors that were given. Those of another response may lie on a boundary that is not this one's;
 * a search begun there would have to leave it by a saddle. */
static void set_given(sp_search *o, sp_start start, const double *factors) {
    size_t squares = sp_total_squares(o->blocks), sizes = sp_total_size(o->blocks);
    memcpy(o->U, factors, squares * sizeof(double));
    for (size_t i = 0; i < sizes; i++) {
        double l = factors[squares + i];
        o->l[i] = start == SP_FROM_OTHER ? fmax(l, SP_SMALLEST_START) : l;
    }
}

/* Groups of a level with one factor R of Z, looked at together. */
typedef struct {
    const double *R;
    double count;
} alike;

/* Units are alike within an item; on the general path, and at higher levels, each group is a kind
 * of its own. */
static int n_kinds(const sp_reduced *data, int level) {
    return level == 0 && !data->crossed ? data->n_items : data->n_nodes[level];
}

/* Above the units at the point of the last sp_evaluate(), and on nested levels only. */
static alike groups_of_kind(const sp_search *o, int level, int kind) {
    const sp_reduced *data = o->data;
    size_t qq = (size_t)data->q * data->q;
    alike groups = {data->R + qq * (size_t)kind, 1.0};
    if (level > 0) {
        groups.R = o->reml_work.Rn + qq * (o->reml_work.offset[level] + (size_t)kind);
    } else if (!data->crossed) {
        groups.R = data->R + qq * (size_t)data->item_unit[kind];
        groups.count = data->item_count[kind];
    }
    return groups;
}

/* Rows beyond those that the units' own effects can fit. */
static double spare_rows(const sp_search *o) {
    double spare = o->data->n;
    int q = o->data->q;
    for (int g = 0; g < n_kinds(o->data, 0); g++) {
        alike units = groups_of_kind(o, 0, g);
        for (int j = 0; j < q; j++) {
            spare -= units.R[j + (size_t)q * j] > 0.0 ? units.count : 0.0;
        }
    }
    return spare;
}

/* Whether some group's effect is known much better than the average group's. */
static int has_giants(const sp_search *o) {
    const double giant = 5.0;
    const sp_reduced *data = o->data;
    size_t q = (size_t)data->q;
    for (int l = 0; l < (data->crossed ? 1 : data->n_levels); l++) {
        for (size_t j = 0; j < q; j++) {
            double largest = 0.0, total = 0.0;
            for (int g = 0; g < n_kinds(data, l); g++) {
                alike groups = groups_of_kind(o, l, g);
                double square = sp_dot(q, groups.R + q * j, groups.R + q * j);
                largest = fmax(largest, square);
                total += groups.count * square;
            }
            if (largest * data->n_nodes[l] > giant * total) {
                return 1;
            }
        }
    }
    return 0;
}

/* How many optima the criterion may have; hidden ones, to which scoring steps do not lead. */
typedef enum { ONE_OPTIMUM, TWO_OPTIMA, MANY_OPTIMA, SCATTERED_OPTIMA, HIDDEN_OPTIMA } optima;

/* Hidden ones where hardly a row is to spare; many, anywhere, where rows to spare are few beside
 * the parameters; many also where groups of a level are few, or of very different sizes. With more
 * rows there may still be one optimum on a boundary and one far from it, or one without any random
 * effects. */
static optima expected_optima(const sp_search *o) {
    const int many = 10, two = 100; /* rows to spare per parameter */
    const double small = 10.0;      /* times few units: with more, optima are not hidden */
    const sp_reduced *data = o->data;
    int fewest = data->n_units, k = o->model->n_par, few = o->control->few_units;
    for (int b = 0; b < o->blocks->n_blocks; b++) {
        int groups = data->n_nodes[o->blocks->level[b]];
        fewest = groups < fewest ? groups : fewest;
    }
    if (few == 0) {
        return ONE_OPTIMUM; /* the caller wants one start only */
    }
    double spare = spare_rows(o);
    int crowded = spare <= fmax(few, many * k);
    if (crowded && data->n_units <= small * few) {
        return spare <= few ? HIDDEN_OPTIMA : SCATTERED_OPTIMA;
    }
    if (crowded || fewest <= few || has_giants(o)) {
        return MANY_OPTIMA;
    }
    return spare <= two * k ? TWO_OPTIMA : ONE_OPTIMUM;
}

/* A run from one start; the best so far is left in `factors`. Scoring steps are long, and mostly
 * lead to one optimum from wherever they start; with Newton's only it may end in another. */
static sp_status run_start(sp_search *o, int start, int newton_only, sp_start given,
                           double *factors, sp_optimum *optimum) {
    const double same = 1e-9; /* optima that differ by noise */
    size_t squares = sp_total_squares(o->blocks), sizes = sp_total_size(o->blocks);
    sp_reason reason = SP_REASON_NONE;
    double predicted = 0.0;
    o->iterations = 0;
    if (start < 0) {
        set_given(o, given, factors);
    } else if (start < estimates_start(o)) {
        set_start(o, start);
    } else if (start < scattered_start(o)) {
        set_from_estimates(o, start > estimates_start(o));
    } else {
        set_scattered_start(o, start - scattered_start(o) + 1);
    }
    double f = sp_run_from_start(o, newton_only, &predicted, &reason);
    const int unbounded = is_unbounded(o, &f);
    if (o->interrupted) {
        return SP_INTERRUPTED;
    }
    reason = unbounded ? SP_REASON_UNBOUNDED : reason;
    optimum->iterations += o->iterations;
    /* A later start must win by more than noise, so that equal optima keep the first. */
    if (!isfinite(optimum->criterion) || unbounded || f < optimum->criterion - same ||
        (optimum->reason != SP_REASON_NONE && reason == SP_REASON_NONE &&
         f <= optimum->criterion + same)) {
        optimum->criterion = f;
        optimum->reason = reason;
        optimum->predicted_fall = predicted;
        memcpy(factors, o->U, squares * sizeof(double));
        memcpy(factors + squares, o->l, sizes * sizeof(double));
    }
    return SP_OK;
}

/* Whether a start after the first is worth its time; all are while none has been `found`. */
static int is_needed(const sp_search *o, int start, int found, optima optima, int at_boundary) {
    int is_estimate = start >= estimates_start(o) && start < scattered_start(o);
    int is_distant = (start >= DISTANT_START && start < FARTHEST_START) || is_estimate;
    int is_empty = start >= empty_start(o) && start < estimates_start(o);
    if (is_estimate && o->data->crossed) {
        return 0; /* the general path keeps no sums of its outer groups */
    }
    if (!found) {
        return 1;
    }
    switch (optima) {
    case HIDDEN_OPTIMA:
        return 1;
    case SCATTERED_OPTIMA:
        return start < end_of_scattered(o, SOME_SCATTERED);
    case MANY_OPTIMA:
        return start < scattered_start(o);
    case TWO_OPTIMA:
        return is_empty || (at_boundary && is_distant);
    default:
        return 0;
    }
}

/* The lowest of several runs may end within a long curved valley: it goes on for ten times as many
 * iterations as a run has. */
static sp_status finish_lowest(sp_search *o, double *factors, sp_optimum *optimum) {
    if (optimum->reason != SP_REASON_ITERATIONS || o->control->few_units == 0) {
        return SP_OK;
    }
    o->most_iterations =
        o->control->max_iterations < INT_MAX / 10 ? 10 * o->control->max_iterations : INT_MAX;
    return run_start(o, -1, 1, SP_FROM_OPTIMUM, factors, optimum);
}

sp_status sp_find_lowest(sp_search *o, sp_start given, double *factors, sp_optimum *optimum) {
    int first = given == SP_FROM_DATA ? 0 : -1, at_boundary = 0;
    optima optima = ONE_OPTIMUM;
    for (int start = first; start < end_of_scattered(o, ALL_SCATTERED); start++) {
        if (start > first &&
            !is_needed(o, start, isfinite(optimum->criterion), optima, at_boundary)) {
            continue;
        }
        int is_optimum = start < 0 && given == SP_FROM_OPTIMUM;
        int newton_only = is_optimum || start >= scattered_start(o);
        if (run_start(o, start, newton_only, given, factors, optimum) != SP_OK) {
            return SP_INTERRUPTED;
        }
        if (start > first && !newton_only && optima == HIDDEN_OPTIMA &&
            optimum->reason != SP_REASON_UNBOUNDED &&
            run_start(o, start, 1, given, factors, optimum) != SP_OK) {
            return SP_INTERRUPTED;
        }
        if (optimum->reason == SP_REASON_UNBOUNDED) {
            break;
        }
        if (start == first) {
            optima = expected_optima(o);
            at_boundary = sp_has_zero(o);
        }
    }
    return finish_lowest(o, factors, optimum);
}
