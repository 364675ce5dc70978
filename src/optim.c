#include "optim.h"
#include "linalg.h"
#include "step.h"
#include <float.h>
#include <math.h>
#include <string.h>

static const double two_pi = 6.283185307179586476925287;

/* The smallest weight a direction starts with: from zero it would not move. */
static const double smallest_start = 0.3;

/* ---- the model and its bases ---------------------------------------------------------------- */

int sp_model_size(const sp_blocks *blocks) {
    int n_par = 0;
    for (int b = 0; b < blocks->n_blocks; b++) {
        n_par += blocks->size[b] * (blocks->size[b] + 1) / 2;
    }
    return n_par;
}

int sp_block_offset(const sp_blocks *blocks, int block) {
    int offset = 0;
    for (int b = 0; b < block; b++) {
        if (blocks->level[b] == blocks->level[block]) {
            offset += blocks->size[b];
        }
    }
    return offset;
}

void sp_model_init(const sp_blocks *blocks, int n_levels, int q, int *level, int *row, int *col,
                   sp_model *model) {
    model->n_levels = n_levels;
    model->q = q;
    model->n_par = sp_model_size(blocks);
    model->level = level;
    model->row = row;
    model->col = col;
    memset(model->dim, 0, sizeof model->dim);
    for (int b = 0; b < blocks->n_blocks; b++) {
        int offset = model->dim[blocks->level[b]];
        for (int j = 0; j < blocks->size[b]; j++) {
            for (int i = j; i < blocks->size[b]; i++) {
                *level++ = blocks->level[b];
                *row++ = offset + i;
                *col++ = offset + j;
            }
        }
        model->dim[blocks->level[b]] += blocks->size[b];
    }
}

static const int *block_columns(const sp_blocks *blocks, int block) {
    const int *columns = blocks->columns;
    for (int b = 0; b < block; b++) {
        columns += blocks->size[b];
    }
    return columns;
}

void sp_natural_basis(const sp_blocks *blocks, const sp_model *model, int level, double *F) {
    int q = model->q;
    memset(F, 0, (size_t)q * model->dim[level] * sizeof(double));
    for (int b = 0; b < blocks->n_blocks; b++) {
        if (blocks->level[b] == level) {
            int offset = sp_block_offset(blocks, b);
            const int *columns = block_columns(blocks, b);
            for (int j = 0; j < blocks->size[b]; j++) {
                F[columns[j] + (size_t)q * (offset + j)] = 1.0;
            }
        }
    }
}

/* ---- state ---------------------------------------------------------------------------------- */

/* The optimiser's own view. Per block: G = (T U diag(l)) (.)', T whitening the block's columns;
 * d = max(l, 1) and the basis F = T U diag(d), so that G = F diag(l / d)^2 F' with entries of
 * ordinary size whatever the scale of the data. */
typedef struct {
    const sp_reduced *data;
    const sp_model *model;
    const sp_blocks *blocks;
    const sp_control *control;
    int reml;
    sp_check check;
    void *check_data;
    sp_reml_work reml_work;
    sp_value value;
    sp_derivatives derivatives;
    double *F[SP_MAX_LEVELS], *G[SP_MAX_LEVELS], *root[SP_MAX_LEVELS];
    double *T, *U, *l, *best_U, *best_l, *held; /* blocks one after the other */
    double *gradient, *hessian, *fisher, *scale, *x, *step, *scaled_g, *scaled_H, *work;
    double *information, *joint; /* with s: (k + 1) x (k + 1), and two vectors of k + 1 */
    int differentiated;          /* gradient, hessian and fisher are those of the present point */
    double f;                    /* what evaluate() answered last */
    int evaluations, iterations;
    int interrupted; /* the caller asked to stop */
} search;

static size_t total_squares(const sp_blocks *blocks) {
    size_t sum = 0;
    for (int b = 0; b < blocks->n_blocks; b++) {
        sum += (size_t)blocks->size[b] * blocks->size[b];
    }
    return sum;
}

static size_t total_size(const sp_blocks *blocks) {
    size_t sum = 0;
    for (int b = 0; b < blocks->n_blocks; b++) {
        sum += (size_t)blocks->size[b];
    }
    return sum;
}

static size_t carve(search *o, double *memory) {
    size_t used = 0, d = (size_t)o->data->d, k = (size_t)o->model->n_par, q = (size_t)o->data->q;
    size_t squares = total_squares(o->blocks), sizes = total_size(o->blocks);
    o->value.root = sp_take(memory, &used, d * d);
    double *derivatives = sp_take(memory, &used, sp_derivatives_size((int)d, (int)k + 1));
    if (memory) {
        sp_derivatives_init((int)d, (int)k, derivatives, &o->derivatives);
    }
    for (int l = 0; l < o->model->n_levels; l++) {
        size_t dim = (size_t)o->model->dim[l];
        o->F[l] = sp_take(memory, &used, q * dim);
        o->G[l] = sp_take(memory, &used, dim * dim);
        o->root[l] = sp_take(memory, &used, dim * dim);
    }
    o->T = sp_take(memory, &used, squares);
    o->U = sp_take(memory, &used, squares);
    o->best_U = sp_take(memory, &used, squares);
    o->held = sp_take(memory, &used, 4 * squares + 2 * q * q + sizes * (q + sizes + 1));
    o->l = sp_take(memory, &used, sizes);
    o->best_l = sp_take(memory, &used, sizes);
    o->gradient = sp_take(memory, &used, k);
    o->scale = sp_take(memory, &used, k);
    o->x = sp_take(memory, &used, k);
    o->step = sp_take(memory, &used, k);
    o->scaled_g = sp_take(memory, &used, k);
    o->hessian = sp_take(memory, &used, k * k);
    o->fisher = sp_take(memory, &used, k * k);
    o->scaled_H = sp_take(memory, &used, k * k);
    o->information = sp_take(memory, &used, (k + 1) * (k + 1));
    o->joint = sp_take(memory, &used, 2 * (k + 1));
    o->work = sp_take(memory, &used, 8 * (k + 1 + sizes) + 2 * squares + (k + 1) * (k + 1));
    return used;
}

size_t sp_optimise_work_size(const sp_reduced *data, const sp_model *model,
                             const sp_blocks *blocks) {
    search o;
    o.data = data;
    o.model = model;
    o.blocks = blocks;
    return carve(&o, NULL) + sp_reml_work_size(data, model);
}

size_t sp_factors_size(const sp_blocks *blocks) {
    return total_squares(blocks) + total_size(blocks);
}

static double degrees(const search *o) {
    return (double)o->data->n - (o->reml ? o->data->p : 0);
}

/* Rounding noise of the criterion at the point of the last evaluate(). Where random effects are far
 * above the residuals and fixed effects say the same as they do, most of it is what solving for
 * beta costs. */
static double noise_of(const search *o) {
    const double roundings = 16.0; /* that sums of many terms do not cancel */
    return roundings * DBL_EPSILON *
           (fabs(o->value.log_det_v) + fabs(o->value.log_det_x) + degrees(o) * o->value.inflation);
}

/* Whether some random effect is so large that s is nothing beside it. Where fixed and random
 * effects fit every row the optimum may lie at s = 0; what is left of s in double precision then is
 * noise. */
static int exceeds_precision(const search *o) {
    const double *l = o->l;
    for (int b = 0; b < o->blocks->n_blocks; b++) {
        int n = o->blocks->size[b], level = o->blocks->level[b];
        size_t offset = (size_t)sp_block_offset(o->blocks, b), dim = (size_t)o->model->dim[level];
        for (int i = 0; i < n; i++) {
            double square = 0.0;
            for (int j = 0; j < n; j++) {
                double element = o->root[level][offset + i + dim * (offset + j)];
                square += element * element;
            }
            if (sqrt(square) * fmax(l[i], 1.0) > o->control->largest_effect) {
                return 1;
            }
        }
        l += n;
    }
    return 0;
}

/* The criterion with s profiled out, at the present F and G, and as much more as rounding may hide:
 * no point looks low because its digits are lost. Infinite outside the domain. */
static double evaluate(search *o) {
    o->f = INFINITY;
    if (exceeds_precision(o)) {
        return o->f;
    }
    sp_point point;
    for (int l = 0; l < o->model->n_levels; l++) {
        point.F[l] = o->F[l];
        point.G[l] = o->G[l];
        point.root[l] = o->root[l];
    }
    point.s = 1.0;
    o->evaluations++;
    o->differentiated = 0;
    sp_status status = sp_reml_value(o->data, o->model, &point, &o->reml_work, &o->value);
    o->interrupted = o->interrupted || status == SP_INTERRUPTED;
    if (status != SP_OK) {
        return o->f;
    }
    double nu = degrees(o);
    o->f = nu * (log(two_pi * o->value.quadratic / nu) + 1.0) + o->value.log_det_v +
           (o->reml ? o->value.log_det_x : 0.0) + noise_of(o);
    return o->f;
}

/* Gradient, Hessian and Fisher information (of the criterion, so twice the usual one), s profiled
 * out, at the point of the last evaluate(); the basis may have been changed since, the matrix not.
 */
static void differentiate(search *o) {
    if (o->differentiated) {
        return;
    }
    o->differentiated = 1;
    int k = o->model->n_par;
    sp_point point;
    for (int l = 0; l < o->model->n_levels; l++) {
        point.F[l] = o->F[l];
        point.G[l] = o->G[l];
        point.root[l] = o->root[l];
    }
    point.s = 1.0;
    sp_derivatives *D = &o->derivatives;
    sp_status status =
        sp_reml_derivatives(o->data, o->model, &point, o->reml, &o->reml_work, &o->value, D);
    o->interrupted = o->interrupted || status == SP_INTERRUPTED;
    double nu = degrees(o), Q = o->value.quadratic;
    for (int r = 0; r < k; r++) {
        D->trace[r] -= o->reml ? D->trace_x[r] : 0.0;
        o->gradient[r] = D->trace[r] - nu * D->square[r] / Q;
    }
    for (int i = 0; i < k; i++) {
        for (int j = 0; j < k; j++) {
            size_t at = (size_t)i + (size_t)k * j;
            o->fisher[at] = 2.0 * D->expected[at] - D->trace[i] * D->trace[j] / nu;
            o->hessian[at] = -2.0 * D->expected[at] + 4.0 * nu / Q * D->average[at] -
                             nu / (Q * Q) * D->square[i] * D->square[j];
        }
    }
}

/* G of one block set to M M' (size x size, M in the block's basis). */
static void set_block(search *o, int block, const double *M) {
    int n = o->blocks->size[block], level = o->blocks->level[block];
    int offset = sp_block_offset(o->blocks, block), dim = o->model->dim[level];
    for (int j = 0; j < n; j++) {
        for (int i = 0; i < n; i++) {
            double sum = 0.0;
            for (int c = 0; c < n; c++) {
                sum += M[i + (size_t)n * c] * M[j + (size_t)n * c];
            }
            size_t at = (size_t)(offset + i) + (size_t)dim * (offset + j);
            o->G[level][at] = sum;
            o->root[level][at] = M[i + (size_t)n * j];
        }
    }
}

/* F of one block: its columns of Z times T U diag(d). */
static void set_basis(search *o, int block, const double *T, const double *U, const double *l) {
    int n = o->blocks->size[block], level = o->blocks->level[block], q = o->model->q;
    int offset = sp_block_offset(o->blocks, block);
    const int *columns = block_columns(o->blocks, block);
    for (int j = 0; j < n; j++) {
        double d = fmax(l[j], 1.0);
        for (int i = 0; i < n; i++) {
            double sum = 0.0;
            for (int c = 0; c < n; c++) {
                sum += T[i + (size_t)n * c] * U[c + (size_t)n * j];
            }
            o->F[level][columns[i] + (size_t)q * (offset + j)] = sum * d;
        }
    }
}

/* Bases and matrices of all blocks from their factors U diag(l). */
static void set_point(search *o) {
    double *T = o->T, *U = o->U, *l = o->l, *M = o->held;
    for (int b = 0; b < o->blocks->n_blocks; b++) {
        int n = o->blocks->size[b];
        set_basis(o, b, T, U, l);
        memset(M, 0, (size_t)n * n * sizeof(double));
        for (int j = 0; j < n; j++) {
            M[j + (size_t)n * j] = l[j] / fmax(l[j], 1.0);
        }
        set_block(o, b, M);
        T += n * n;
        U += n * n;
        l += n;
    }
}

/* T of every block: the inverse of the triangular factor of Z over the level's groups, each of
 * average size, so that in the new basis a group's information is about one. */
static void whiten(search *o) {
    const double nothing = 1e-12; /* what is left of a column that others make up, beside it */
    const sp_reduced *data = o->data;
    const double *total = data->z_factor;
    int q = data->q;
    double *rows = o->held;
    double *T = o->T;
    for (int b = 0; b < o->blocks->n_blocks; b++) {
        int n = o->blocks->size[b];
        const int *columns = block_columns(o->blocks, b);
        double groups = sqrt((double)data->n_nodes[o->blocks->level[b]]);
        double *lower = rows + (size_t)q * n;
        for (int j = 0; j < n; j++) {
            memcpy(rows + (size_t)q * j, total + (size_t)q * columns[j],
                   (size_t)q * sizeof(double));
        }
        memset(T, 0, (size_t)n * n * sizeof(double));
        sp_update_factor(n, q, rows, T);
        memset(lower, 0, (size_t)n * n * sizeof(double));
        for (int j = 0; j < n; j++) {
            for (int i = 0; i <= j; i++) {
                lower[j + (size_t)n * i] = T[i + (size_t)n * j] / groups;
            }
        }
        double *used = lower + (size_t)n * n;
        for (int j = 0; j < n; j++) {
            const double *column = total + (size_t)q * columns[j];
            double length = sqrt(sp_dot((size_t)q, column, column));
            used[j] = T[j + (size_t)n * j] > nothing * length;
            lower[j + (size_t)n * j] = used[j] > 0.0 ? lower[j + (size_t)n * j] : 1.0;
        }
        sp_invert_lower(n, lower);
        /* A column that others make up adds nothing to V: its direction stays out. */
        for (int j = 0; j < n; j++) {
            for (int i = 0; i < n; i++) {
                T[i + (size_t)n * j] = used[j] * lower[j + (size_t)n * i];
            }
        }
        T += n * n;
    }
}

/* ---- scoring steps -------------------------------------------------------------------------- */

/* The factor U diag(l) of every block's trial matrix (blocks one after the other in `matrices`,
 * overwritten), negative eigenvalues set to zero. */
static void factor_blocks(search *o, double *matrices) {
    double *U = o->U, *l = o->l;
    for (int b = 0; b < o->blocks->n_blocks; b++) {
        int n = o->blocks->size[b];
        double *vectors = matrices, *values = o->work;
        sp_eigen(n, vectors, values, o->work + n);
        /* Largest first: a zero column must be the last for the triangular factor to reach every
         * direction around it. */
        for (int j = 0; j < n; j++) {
            double value = values[n - 1 - j];
            l[j] = value > 0.0 ? sqrt(value) : 0.0;
            memcpy(U + (size_t)n * j, vectors + (size_t)n * (n - 1 - j),
                   (size_t)n * sizeof(double));
        }
        matrices += n * n;
        U += n * n;
        l += n;
    }
}

/* At the present point, in the basis T: every block's matrix U diag(l^2) U'. */
static void block_matrices(const search *o, double *matrices) {
    const double *U = o->U, *l = o->l;
    for (int b = 0; b < o->blocks->n_blocks; b++) {
        int n = o->blocks->size[b];
        for (int j = 0; j < n; j++) {
            for (int i = 0; i < n; i++) {
                double sum = 0.0;
                for (int c = 0; c < n; c++) {
                    sum += U[i + (size_t)n * c] * l[c] * l[c] * U[j + (size_t)n * c];
                }
                matrices[i + (size_t)n * j] = sum;
            }
        }
        matrices += n * n;
        U += n * n;
        l += n;
    }
}

/* Fisher's scoring step for G and s together: on balanced data it ends at the answer, where a step
 * in G / s alone would still feel the s of a poor G. What concerns s follows from the rest, since V
 * is the sum of its parameters times their derivatives. Leaves the change of G / s in o->step and
 * returns the fall that half the slope along it predicts. */
static double scoring_step(search *o) {
    int k = o->model->n_par, n = k + 1;
    const sp_model *model = o->model;
    const sp_derivatives *D = &o->derivatives;
    double *E = o->information, *g = o->joint, *change = g + n, *G = o->x;
    double trace_s = degrees(o); /* tr(V^-1 D_s), of P for REML */
    g[k] = 0.0;
    for (int r = 0; r < k; r++) {
        int level = model->level[r];
        G[r] = o->G[level][model->row[r] + (size_t)model->dim[level] * model->col[r]];
        g[r] = 0.5 * o->gradient[r];
        g[k] -= G[r] * g[r];
        trace_s -= G[r] * D->trace[r];
    }
    double corner = 0.5 * trace_s;
    for (int r = 0; r < k; r++) {
        double with_s = 0.5 * D->trace[r];
        for (int u = 0; u < k; u++) {
            E[r + (size_t)n * u] = D->expected[r + (size_t)k * u];
            with_s -= G[u] * D->expected[r + (size_t)k * u];
        }
        E[r + (size_t)n * k] = E[k + (size_t)n * r] = with_s;
        corner -= G[r] * with_s;
    }
    E[k + (size_t)n * k] = corner;
    sp_semidefinite_step(n, E, g, change, o->work);
    double s = 1.0 + change[k], fall = 0.0;
    for (int r = 0; r < k; r++) {
        o->step[r] = s > 0.0 ? (change[r] - G[r] * change[k]) / s : change[r];
        fall -= 0.5 * o->step[r] * o->gradient[r];
    }
    return fall;
}

/* matrices += fraction * step, the step being in the basis F = T U diag(d) of the point. */
static void move_blocks(const search *o, double fraction, double *matrices, double *E) {
    const double *U = o->U, *l = o->l, *step = o->step;
    for (int b = 0; b < o->blocks->n_blocks; b++) {
        int n = o->blocks->size[b];
        for (int j = 0; j < n; j++) {
            for (int i = j; i < n; i++) {
                double change = fraction * *step++ * fmax(l[i], 1.0) * fmax(l[j], 1.0);
                E[i + (size_t)n * j] = change;
                E[j + (size_t)n * i] = change;
            }
        }
        for (int j = 0; j < n; j++) {
            for (int i = 0; i < n; i++) {
                double sum = 0.0;
                for (int c = 0; c < n; c++) {
                    for (int e = 0; e < n; e++) {
                        sum += U[i + (size_t)n * c] * E[c + (size_t)n * e] * U[j + (size_t)n * e];
                    }
                }
                matrices[i + (size_t)n * j] += sum;
            }
        }
        matrices += n * n;
        U += n * n;
        l += n;
    }
}

static int asked_to_stop(search *o) {
    o->interrupted = o->interrupted || (o->check && o->check(o->check_data));
    return o->interrupted;
}

static int has_zero(const search *o) {
    size_t n = total_size(o->blocks);
    for (size_t i = 0; i < n; i++) {
        if (o->l[i] == 0.0) {
            return 1;
        }
    }
    return 0;
}

/* At most five scoring steps, each shortened at most three times, until one would gain less than a
 * Newton step does as well; f is the criterion here. */
static double scoring_phase(search *o, double f) {
    const int most_steps = 5, most_attempts = 4;
    const double shorter = 0.25, little = 1.0; /* little: of -2 log L */
    size_t squares = total_squares(o->blocks), sizes = total_size(o->blocks);
    double *matrices = o->held + squares, *trial = matrices + squares, *E = trial + squares;
    for (int it = 0; it < most_steps; it++) {
        if (asked_to_stop(o)) {
            return f;
        }
        differentiate(o);
        if (scoring_step(o) < little) {
            break;
        }
        block_matrices(o, matrices);
        memcpy(o->best_U, o->U, squares * sizeof(double));
        memcpy(o->best_l, o->l, sizes * sizeof(double));
        double fraction = 1.0, f_new = INFINITY;
        for (int attempt = 0; attempt < most_attempts; attempt++, fraction *= shorter) {
            memcpy(trial, matrices, squares * sizeof(double));
            move_blocks(o, fraction, trial, E);
            factor_blocks(o, trial);
            set_point(o);
            f_new = evaluate(o);
            if (f_new < f) {
                break;
            }
            memcpy(o->U, o->best_U, squares * sizeof(double));
            memcpy(o->l, o->best_l, sizes * sizeof(double));
        }
        if (!(f_new < f)) {
            set_point(o);
            return evaluate(o);
        }
        /* A clipped step cannot gain what its slope predicts. */
        int enough = f - f_new < little && has_zero(o);
        f = f_new;
        if (enough) {
            break;
        }
    }
    return f;
}

/* ---- Newton steps --------------------------------------------------------------------------- */

/* Gradient, Hessian and scale for the lower triangular x of G = (Lambda + x)(Lambda + x)',
 * Lambda = diag(l / d), at x = 0: the Jacobian of G is diagonal there. */
static void factor_derivatives(search *o) {
    const double rounding = 1e-14, tiny = 1e-300; /* tiny: where there is no information at all */
    int k = o->model->n_par;
    double *jacobian = o->x;
    const double *l = o->l;
    int r = 0;
    /* What no unit tells of (the covariance of two arms' effects, when a unit is in one arm) has
     * information of rounding only, which must not become a scale. */
    double most = 0.0;
    for (int i = 0; i < k; i++) {
        most = fmax(most, o->fisher[i + (size_t)k * i]);
    }
    for (int b = 0; b < o->blocks->n_blocks; b++) {
        int n = o->blocks->size[b];
        for (int j = 0; j < n; j++) {
            double lambda = l[j] / fmax(l[j], 1.0);
            for (int i = j; i < n; i++, r++) {
                double unit = i == j ? 2.0 : 1.0;
                jacobian[r] = unit * lambda;
                double information = unit * unit * o->fisher[r + (size_t)k * r];
                o->scale[r] = sqrt(information > rounding * most ? information : fmax(most, tiny));
            }
        }
        l += n;
    }
    for (int i = 0; i < k; i++) {
        o->scaled_g[i] = jacobian[i] * o->gradient[i] / o->scale[i];
        for (int j = 0; j < k; j++) {
            o->scaled_H[i + (size_t)k * j] =
                jacobian[i] * o->hessian[i + (size_t)k * j] * jacobian[j];
        }
    }
    /* Second derivatives of G itself: C[(i,j), (i',j)] = 2 Gamma_ii'. */
    r = 0;
    for (int b = 0; b < o->blocks->n_blocks; b++) {
        int n = o->blocks->size[b];
        const double *gamma = o->gradient + r; /* the block's gradient, lower triangle */
        for (int j = 0, column = r; j < n; column += n - j, j++) {
            for (int i = j; i < n; i++) {
                for (int e = j; e < n; e++) {
                    int low = i < e ? i : e, high = i < e ? e : i;
                    double g = gamma[low * n - low * (low - 1) / 2 + high - low];
                    o->scaled_H[column + i - j + (size_t)k * (column + e - j)] +=
                        i == e ? 2.0 * g : g;
                }
            }
        }
        r += n * (n + 1) / 2;
    }
    for (int i = 0; i < k; i++) {
        for (int j = 0; j < k; j++) {
            o->scaled_H[i + (size_t)k * j] /= o->scale[i] * o->scale[j];
        }
    }
}

/* The point at x = o->step / scale: M = Lambda + x per block, kept in o->held for accept_step. */
static void try_step(search *o) {
    const double *l = o->l;
    double *M = o->held;
    int r = 0;
    for (int b = 0; b < o->blocks->n_blocks; b++) {
        int n = o->blocks->size[b];
        memset(M, 0, (size_t)n * n * sizeof(double));
        for (int j = 0; j < n; j++) {
            for (int i = j; i < n; i++, r++) {
                M[i + (size_t)n * j] =
                    (i == j ? l[j] / fmax(l[j], 1.0) : 0.0) + o->step[r] / o->scale[r];
            }
        }
        set_block(o, b, M);
        M += n * n;
        l += n;
    }
}

/* New factors U diag(l): the singular value decomposition of U diag(d) M. */
static void accept_step(search *o) {
    double *U = o->U, *l = o->l, *M = o->held;
    double *A = o->held + total_squares(o->blocks);
    for (int b = 0; b < o->blocks->n_blocks; b++) {
        int n = o->blocks->size[b];
        for (int j = 0; j < n; j++) {
            for (int i = 0; i < n; i++) {
                double sum = 0.0;
                for (int c = 0; c < n; c++) {
                    sum += U[i + (size_t)n * c] * fmax(l[c], 1.0) * M[c + (size_t)n * j];
                }
                A[i + (size_t)n * j] = sum;
            }
        }
        sp_left_svd(n, A, l, U, o->work);
        U += n * n;
        l += n;
        M += n * n;
    }
    set_point(o);
}

/* Sets a factor's small columns to zero, the smallest first, where the criterion does not rise.
 * Returns whether any was. */
static int drop_small(search *o, double *f) {
    const double small = 0.05;
    const double no_digit = 1e-10; /* a factor whose square changes no digit of V */
    int dropped = 0;
    double *l = o->l;
    for (int b = 0; b < o->blocks->n_blocks; b++) {
        int n = o->blocks->size[b];
        for (int j = n - 1; j >= 0 && l[j] < small; j--) {
            if (l[j] == 0.0) {
                continue;
            }
            double held = l[j];
            l[j] = 0.0;
            set_point(o);
            double f_zero = evaluate(o);
            /* Then f changes by its rounding only, whatever that says. */
            int nothing = held < no_digit && isfinite(f_zero);
            if (!nothing && !(f_zero <= *f + fmax(o->control->zero_tolerance, noise_of(o)))) {
                l[j] = held;
                break;
            }
            *f = f_zero;
            dropped = 1;
        }
        l += n;
    }
    set_point(o);
    return dropped;
}

/* What the step after one with this predicted fall would gain: with quadratic convergence the ratio
 * of two falls squares from step to step. */
static double next_fall(double previous, double predicted) {
    double ratio = predicted / previous;
    return predicted * ratio * ratio;
}

/* Trust-region Newton from the present point until the predicted fall is nothing. */
static sp_reason newton_phase(search *o, double *f, double *predicted) {
    const double stuck = 1e-6, stuck_at_edge = 1.0; /* there rounding alone may predict less */
    const double safely = 0.01;                     /* share of the tolerance that needs no step */
    const double quadratic = 1e-4;                  /* falls below this square from step to step */
    const double poor = 0.25, good = 0.75;          /* shares of the predicted fall */
    const double shorter = 0.25, longer = 2.5, reached = 0.8; /* of the radius */
    const double least_radius = 1e-14;                        /* no parameter would change */
    int k = o->model->n_par;
    double radius = -1.0, first_radius = -1.0, previous = 0.0; /* predicted before; 0: not yet */
    int refused = 0, at_edge = 0;
    for (;; o->iterations++) {
        if (asked_to_stop(o)) {
            return SP_REASON_ITERATIONS; /* not read: the answer will be SP_INTERRUPTED */
        }
        if (!refused) {
            differentiate(o);
        }
        factor_derivatives(o);
        if (radius < 0.0) {
            radius = first_radius = 0.5 * sqrt(sp_dot((size_t)k, o->scale, o->scale));
        }
        *predicted = sp_trust_region_step(k, o->scaled_g, o->scaled_H, radius, o->step, o->work);
        double noise = noise_of(o), tolerance = fmax(o->control->fall_tolerance, noise);
        if (*predicted < (refused ? tolerance : safely * tolerance)) {
            if (refused) {
                set_point(o);
                *f = evaluate(o);
            }
            if (refused && at_edge) {
                /* The region has shrunk at the edge of what double precision can tell. */
                factor_derivatives(o);
                *predicted = sp_trust_region_step(k, o->scaled_g, o->scaled_H, first_radius,
                                                  o->step, o->work);
            }
            return *predicted > (at_edge ? stuck_at_edge : stuck) && refused ? SP_REASON_STUCK
                                                                             : SP_REASON_NONE;
        }
        if (o->iterations >= o->control->max_iterations) {
            return SP_REASON_ITERATIONS;
        }
        double length = sqrt(sp_dot((size_t)k, o->step, o->step));
        double next = next_fall(previous, *predicted);
        int last = !refused && (*predicted < tolerance ||
                                (*predicted < quadratic && next < safely * tolerance));
        try_step(o);
        double f_new = evaluate(o);
        double ratio = (*f - f_new) / *predicted;
        at_edge = !isfinite(f_new);
        if (f_new < *f || (last && f_new <= *f + noise)) {
            *f = f_new;
            accept_step(o);
            refused = 0;
            if (last) {
                *predicted = fmin(next, *predicted);
                return SP_REASON_NONE;
            }
            previous = *predicted;
        } else {
            /* Back to the point: derivatives stay, its matrices must return. */
            set_point(o);
            refused = 1;
        }
        if (!(ratio >= poor)) {
            radius = shorter * length;
        } else if (ratio > good && length > reached * radius) {
            radius *= longer;
        }
        if (refused && radius < least_radius) {
            *f = evaluate(o);
            return SP_REASON_STUCK;
        }
    }
}

/* To an optimum from the present factors, or with Newton's steps only. */
static double run_from_start(search *o, int newton_only, double *predicted, sp_reason *reason) {
    set_point(o);
    double f = evaluate(o);
    if (!isfinite(f)) {
        *reason = SP_REASON_START;
        return INFINITY;
    }
    if (!newton_only) {
        f = scoring_phase(o, f);
    }
    *reason = newton_phase(o, &f, predicted);
    for (int round = 0; round < 4 && !o->interrupted && drop_small(o, &f); round++) {
        f = evaluate(o);
        *reason = newton_phase(o, &f, predicted);
    }
    return f;
}

/* The weight that the units' rows of y give each column of Z, on the whitened scale: their mean
 * square in row j beside that of the free rows. weight: q. */
static void moment_weights(const search *o, double *weight) {
    const double largest_start = 1000.0;
    const double *mean_squares = o->data->mean_squares;
    int q = o->data->q;
    double s = mean_squares[q];
    for (int j = 0; j < q; j++) {
        double l = s > 0.0 ? sqrt(fmax(mean_squares[j] / s - 1.0, 0.0)) : 1.0;
        weight[j] = fmin(fmax(l, smallest_start), largest_start);
    }
}

/* The starts with one weight for all directions; two of them lie far from any boundary. */
enum { DISTANT_START = 2, FARTHEST_START = 4, COMMON_STARTS = 5 };

/* Numbers at which the further kinds of starts begin: without some or any of the random effects,
 * from estimates, turned between two directions. */
static int empty_start(const search *o) {
    return COMMON_STARTS + 2 * (int)total_size(o->blocks);
}

static int estimates_start(const search *o) {
    int n_blocks = o->blocks->n_blocks;
    return empty_start(o) + 1 + (n_blocks > 1 ? n_blocks : 0);
}

static int turned_start(const search *o) {
    return estimates_start(o) + 2;
}

/* Start number `start`: 0 gives every direction the weight of its moments, 1 weight one, 2 ten, 3 a
 * thousand, 4 a hundred thousand (where hardly a row is to spare); the next ones weight ten to one
 * direction and a tenth to the rest, then a thousand and one; then no weight to any, and none to
 * one block. Beside an optimum there may be another without some of the random effects, which a
 * search from any weights can miss. */
static void set_start(search *o, int start) {
    const double weights[COMMON_STARTS] = {0.0, 1.0, 10.0, 1000.0, 1e5};
    double *U = o->U, *l = o->l, *moments = o->work;
    int direction = COMMON_STARTS, n_directions = (int)total_size(o->blocks);
    int empty = empty_start(o);
    moment_weights(o, moments);
    for (int b = 0; b < o->blocks->n_blocks; b++) {
        int n = o->blocks->size[b];
        const int *columns = block_columns(o->blocks, b);
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

/* Starts between two directions of a block, a thousand along their sum or their difference and one
 * across: where units are few, optima can lie along lines at any angle. */
static int n_turned_starts(const search *o) {
    int sum = 0;
    for (int b = 0; b < o->blocks->n_blocks; b++) {
        sum += o->blocks->size[b] * (o->blocks->size[b] - 1);
    }
    return sum;
}

static void set_turned_start(search *o, int start) {
    const double half_root = 0.7071067811865476;
    double *U = o->U, *l = o->l;
    for (int b = 0, next = 0; b < o->blocks->n_blocks; b++) {
        int n = o->blocks->size[b];
        memset(U, 0, (size_t)n * n * sizeof(double));
        for (int j = 0; j < n; j++) {
            U[j + (size_t)n * j] = 1.0;
            l[j] = 1.0;
        }
        /* Column i becomes the sum of two and column j their difference. */
        for (int j = 0; j < n; j++) {
            for (int i = 0; i < j; i++, next += 2) {
                if (start == next || start == next + 1) {
                    U[i + (size_t)n * i] = U[j + (size_t)n * i] = half_root;
                    U[i + (size_t)n * j] = half_root;
                    U[j + (size_t)n * j] = -half_root;
                    l[start == next ? i : j] = 1000.0;
                }
            }
        }
        U += n * n;
        l += n;
    }
}

/* One group's own estimate c of a block's effects, on the whitened scale: least squares of the last
 * column of `rows` on R, as small as possible where R leaves it open. sum (n x n) += c c'. R: q x
 * q; rows: q rows of length d. scratch: q n + n n + 2 n. */
static void add_own_estimate(const search *o, int block, const double *T, const double *R,
                             const double *rows, double *sum, double *scratch) {
    const double ridge = 1e-8;
    int q = o->data->q, d = o->data->d, n = o->blocks->size[block];
    const int *columns = block_columns(o->blocks, block);
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
static void set_from_estimates(search *o, int one_direction) {
    const sp_reduced *data = o->data;
    size_t qq = (size_t)data->q * data->q, qd = (size_t)data->q * data->d;
    size_t squares = total_squares(o->blocks);
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
    factor_blocks(o, matrices);
    for (int b = 0; b < o->blocks->n_blocks; b++) {
        for (int j = 1; one_direction && j < o->blocks->size[b]; j++) {
            l[j] = 0.0;
        }
        l += o->blocks->size[b];
    }
}

/* The factors' columns far above the residuals times a number; returns whether there were any. */
static int scale_large(search *o, double times) {
    const double far = 1e4;
    size_t sizes = total_size(o->blocks);
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
static int is_unbounded(search *o, double *f) {
    const double alike = 0.2;                       /* of rises that are whole numbers times 4.6 */
    const double per_dimension = 4.605170185988091; /* log(100) */
    size_t sizes = total_size(o->blocks);
    memcpy(o->best_l, o->l, sizes * sizeof(double));
    if (!isfinite(*f) || !scale_large(o, 0.1)) {
        return 0;
    }
    set_point(o);
    double rise = evaluate(o) - *f, noise = noise_of(o);
    scale_large(o, 0.01);
    set_point(o);
    double rise_before = evaluate(o) - *f - rise;
    memcpy(o->l, o->best_l, sizes * sizeof(double));
    set_point(o);
    *f = evaluate(o);
    noise = fmax(noise, noise_of(o));
    double dimensions = floor(rise / per_dimension + 0.5);
    return noise < 0.1 && dimensions >= 1.0 && fabs(rise - dimensions * per_dimension) < alike &&
           fabs(rise - rise_before) < alike;
}

/* Factors that were given. Those of another response may lie on a boundary that is not this one's;
 * a search begun there would have to leave it by a saddle. */
static void set_given(search *o, sp_start start, const double *factors) {
    size_t squares = total_squares(o->blocks), sizes = total_size(o->blocks);
    memcpy(o->U, factors, squares * sizeof(double));
    for (size_t i = 0; i < sizes; i++) {
        double l = factors[squares + i];
        o->l[i] = start == SP_FROM_OTHER ? fmax(l, smallest_start) : l;
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

/* Above the units at the point of the last evaluate(), and on nested levels only. */
static alike groups_of_kind(const search *o, int level, int kind) {
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
static double spare_rows(const search *o) {
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
static int has_giants(const search *o) {
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
typedef enum { ONE_OPTIMUM, TWO_OPTIMA, MANY_OPTIMA, HIDDEN_OPTIMA } optima;

/* Many where groups of a level are few, or rows to spare beside the parameters, or where groups are
 * of very different sizes. With more rows there may still be one optimum on a boundary and one far
 * from it, or one without any random effects. */
static optima expected_optima(const search *o) {
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
    if (spare <= few && data->n_units <= small * few) {
        return HIDDEN_OPTIMA;
    }
    if (fewest <= few || spare <= few || spare <= many * k || has_giants(o)) {
        return MANY_OPTIMA;
    }
    return spare <= two * k ? TWO_OPTIMA : ONE_OPTIMUM;
}

/* A run from one start; the best so far is left in `factors`. Scoring steps are long, and mostly
 * lead to one optimum from wherever they start; with Newton's only it may end in another. */
static sp_status run_start(search *o, int start, int newton_only, sp_start given, double *factors,
                           sp_optimum *optimum) {
    const double same = 1e-9; /* optima that differ by noise */
    size_t squares = total_squares(o->blocks), sizes = total_size(o->blocks);
    sp_reason reason = SP_REASON_NONE;
    double predicted = 0.0;
    o->iterations = 0;
    if (start < 0) {
        set_given(o, given, factors);
    } else if (start < estimates_start(o)) {
        set_start(o, start);
    } else if (start < turned_start(o)) {
        set_from_estimates(o, start > estimates_start(o));
    } else {
        set_turned_start(o, start - turned_start(o));
    }
    double f = run_from_start(o, newton_only, &predicted, &reason);
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
static int is_needed(const search *o, int start, int found, optima optima, int at_boundary) {
    int is_estimate = start >= estimates_start(o) && start < turned_start(o);
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
    case MANY_OPTIMA:
        return start < turned_start(o);
    case TWO_OPTIMA:
        return is_empty || (at_boundary && is_distant);
    default:
        return 0;
    }
}

/* Runs from the factors given, if any, and from every other start that is needed; the best are left
 * in `factors`. */
static sp_status find_lowest(search *o, sp_start given, double *factors, sp_optimum *optimum) {
    int first = given == SP_FROM_DATA ? 0 : -1, at_boundary = 0;
    optima optima = ONE_OPTIMUM;
    for (int start = first; start < turned_start(o) + n_turned_starts(o); start++) {
        if (start > first &&
            !is_needed(o, start, isfinite(optimum->criterion), optima, at_boundary)) {
            continue;
        }
        int nearby = start < 0 && given == SP_FROM_OPTIMUM;
        if (run_start(o, start, nearby, given, factors, optimum) != SP_OK) {
            return SP_INTERRUPTED;
        }
        if (start > first && optima == HIDDEN_OPTIMA && optimum->reason != SP_REASON_UNBOUNDED &&
            run_start(o, start, 1, given, factors, optimum) != SP_OK) {
            return SP_INTERRUPTED;
        }
        if (optimum->reason == SP_REASON_UNBOUNDED) {
            break;
        }
        if (start == first) {
            optima = expected_optima(o);
            at_boundary = has_zero(o);
        }
    }
    return SP_OK;
}

/* G (block after block, relative to s) at the present factors, and the rank of each. From the rows
 * of G's own root: beside columns that are much larger on the data's scale, T U l^2 U'T' would
 * leave no digits of a small variance. */
static void natural_matrices(search *o, double *G, int *rank) {
    const double *T = o->T, *U = o->U, *l = o->l;
    double *root = o->held;
    for (int b = 0; b < o->blocks->n_blocks; b++) {
        int n = o->blocks->size[b];
        sp_multiply(n, n, n, T, U, root);
        rank[b] = 0;
        for (int j = 0; j < n; j++) {
            for (int i = 0; i < n; i++) {
                root[i + (size_t)n * j] *= l[j];
            }
            rank[b] += l[j] > 0.0;
        }
        sp_multiply_nt(n, n, n, root, root, G);
        T += n * n;
        U += n * n;
        G += n * n;
        l += n;
    }
}

sp_status sp_optimise(const sp_reduced *data, const sp_model *model, const sp_blocks *blocks,
                      int reml, const sp_control *control, double *memory, sp_start start,
                      double *factors, double *G, int *rank, sp_optimum *optimum, sp_check check,
                      void *check_data) {
    search o;
    o.data = data;
    o.model = model;
    o.blocks = blocks;
    o.control = control;
    o.reml = reml;
    o.check = check;
    o.check_data = check_data;
    o.evaluations = 0;
    o.differentiated = 0;
    o.interrupted = 0;
    size_t used = carve(&o, memory), squares = total_squares(blocks), sizes = total_size(blocks);
    sp_reml_work_init(data, model, memory + used, &o.reml_work);
    for (int l = 0; l < model->n_levels; l++) {
        size_t dim = (size_t)model->dim[l];
        memset(o.F[l], 0, (size_t)data->q * dim * sizeof(double));
        memset(o.G[l], 0, dim * dim * sizeof(double));
        memset(o.root[l], 0, dim * dim * sizeof(double));
    }
    whiten(&o);

    optimum->criterion = INFINITY;
    optimum->reason = SP_REASON_START;
    if (start != SP_FROM_OPTIMUM) {
        optimum->iterations = optimum->evaluations = 0;
    }
    if (find_lowest(&o, start, factors, optimum) != SP_OK) {
        return SP_INTERRUPTED;
    }
    double f = o.f;
    if (f != optimum->criterion || memcmp(o.U, factors, squares * sizeof(double)) != 0 ||
        memcmp(o.l, factors + squares, sizes * sizeof(double)) != 0) {
        memcpy(o.U, factors, squares * sizeof(double));
        memcpy(o.l, factors + squares, sizes * sizeof(double));
        set_point(&o);
        f = evaluate(&o);
    }
    if (o.interrupted) {
        return SP_INTERRUPTED;
    }
    optimum->evaluations += o.evaluations;
    if (!isfinite(f)) {
        optimum->fit = SP_FIT_FAILED;
        optimum->reason = SP_REASON_START;
        return SP_OK;
    }
    optimum->criterion = f - noise_of(&o);
    optimum->s = o.value.quadratic / degrees(&o);
    optimum->root = o.value.root;
    optimum->inflation = data->crossed ? 1.0 : o.value.inflation;
    natural_matrices(&o, G, rank);
    optimum->fit = optimum->reason != SP_REASON_NONE ? SP_FIT_FAILED
                   : has_zero(&o)                    ? SP_FIT_BOUNDARY
                                                     : SP_FIT_OK;
    return SP_OK;
}
