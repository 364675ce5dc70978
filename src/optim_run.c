#include "optim_inner.h"
#include "linalg.h"
#include "step.h"
#include <float.h>
#include <math.h>
#include <string.h>

static const double two_pi = 6.283185307179586476925287;

/* ---- the point ------------------------------------------------------------------------------- */

double sp_noise_of(const sp_search *o) {
    const double roundings = 16.0; /* that sums of many terms do not cancel */
    return roundings * DBL_EPSILON *
           (fabs(o->value.log_det_v) + fabs(o->value.log_det_x) +
            sp_degrees(o) * o->value.inflation);
}

/* Whether some random effect is so large that s is nothing beside it. Where fixed and random
 * effects fit every row the optimum may lie at s = 0; what is left of s in double precision then is
 * noise. */
static int exceeds_precision(const sp_search *o) {
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

/* The bases and matrices as the criterion takes them, relative to s. */
static sp_point present_point(const sp_search *o) {
    sp_point point;
    for (int l = 0; l < o->model->n_levels; l++) {
        point.F[l] = o->F[l];
        point.G[l] = o->G[l];
        point.root[l] = o->root[l];
    }
    point.s = 1.0;
    return point;
}

double sp_evaluate(sp_search *o) {
    o->f = INFINITY;
    if (exceeds_precision(o)) {
        return o->f;
    }
    const sp_point point = present_point(o);
    o->evaluations++;
    o->differentiated = 0;
    sp_status status = sp_reml_value(o->data, o->model, &point, &o->reml_work, &o->value);
    o->interrupted = o->interrupted || status == SP_INTERRUPTED;
    if (status != SP_OK) {
        return o->f;
    }
    double nu = sp_degrees(o);
    o->f = nu * (log(two_pi * o->value.quadratic / nu) + 1.0) + o->value.log_det_v +
           (o->reml ? o->value.log_det_x : 0.0) + sp_noise_of(o);
    return o->f;
}

/* Gradient, Hessian and Fisher information (of the criterion, so twice the usual one), s profiled
 * out, at the point of the last sp_evaluate(); the basis may have been changed since, the matrix
 * not. */
static void differentiate(sp_search *o) {
    if (o->differentiated) {
        return;
    }
    o->differentiated = 1;
    int k = o->model->n_par;
    const sp_point point = present_point(o);
    sp_derivatives *D = &o->derivatives;
    sp_status status =
        sp_reml_derivatives(o->data, o->model, &point, o->reml, &o->reml_work, &o->value, D);
    o->interrupted = o->interrupted || status == SP_INTERRUPTED;
    double nu = sp_degrees(o), Q = o->value.quadratic;
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
static void set_block(sp_search *o, int block, const double *M) {
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
static void set_basis(sp_search *o, int block, const double *T, const double *U, const double *l) {
    int n = o->blocks->size[block], level = o->blocks->level[block], q = o->model->q;
    int offset = sp_block_offset(o->blocks, block);
    const int *columns = sp_block_columns(o->blocks, block);
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

void sp_set_point(sp_search *o) {
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
/* ---- scoring steps -------------------------------------------------------------------------- */

void sp_factor_blocks(sp_search *o, double *matrices) {
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
static void block_matrices(const sp_search *o, double *matrices) {
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
static double scoring_step(sp_search *o) {
    int k = o->model->n_par, n = k + 1;
    const sp_model *model = o->model;
    const sp_derivatives *D = &o->derivatives;
    double *E = o->information, *g = o->joint, *change = g + n, *G = o->x;
    double trace_s = sp_degrees(o); /* tr(V^-1 D_s), of P for REML */
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
static void move_blocks(const sp_search *o, double fraction, double *matrices, double *E) {
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

static int asked_to_stop(sp_search *o) {
    o->interrupted = o->interrupted || (o->check && o->check(o->check_data));
    return o->interrupted;
}

/* At most five scoring steps, each shortened at most three times, until one would gain less than a
 * Newton step does as well; f is the criterion here. */
static double scoring_phase(sp_search *o, double f) {
    const int most_steps = 5, most_attempts = 4;
    const double shorter = 0.25, little = 1.0; /* little: of -2 log L */
    size_t squares = sp_total_squares(o->blocks), sizes = sp_total_size(o->blocks);
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
            sp_factor_blocks(o, trial);
            sp_set_point(o);
            f_new = sp_evaluate(o);
            if (f_new < f) {
                break;
            }
            memcpy(o->U, o->best_U, squares * sizeof(double));
            memcpy(o->l, o->best_l, sizes * sizeof(double));
        }
        if (!(f_new < f)) {
            sp_set_point(o);
            return sp_evaluate(o);
        }
        /* A clipped step cannot gain what its slope predicts. */
        int enough = f - f_new < little && sp_has_zero(o);
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
static void factor_derivatives(sp_search *o) {
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
static void try_step(sp_search *o) {
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
static void accept_step(sp_search *o) {
    double *U = o->U, *l = o->l, *M = o->held;
    double *A = o->held + sp_total_squares(o->blocks);
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
    sp_set_point(o);
}

/* Sets a factor's small columns to zero, the smallest first, where the criterion does not rise.
 * Returns whether any was. */
static int drop_small(sp_search *o, double *f) {
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
            sp_set_point(o);
            double f_zero = sp_evaluate(o);
            /* Then f changes by its rounding only, whatever that says. */
            int nothing = held < no_digit && isfinite(f_zero);
            if (!nothing && !(f_zero <= *f + fmax(o->control->zero_tolerance, sp_noise_of(o)))) {
                l[j] = held;
                break;
            }
            *f = f_zero;
            dropped = 1;
        }
        l += n;
    }
    sp_set_point(o);
    return dropped;
}

/* What the step after one with this predicted fall would gain: with quadratic convergence the ratio
 * of two falls squares from step to step. */
static double next_fall(double previous, double predicted) {
    double ratio = predicted / previous;
    return predicted * ratio * ratio;
}

/* The region in which the quadratic model is trusted, and how the last step went. */
typedef struct {
    double radius, first_radius;
    double previous; /* fall predicted for the step before; 0: none yet */
    int refused, at_edge;
} trust;

/* After a step of this length, whose fall was `ratio` times the predicted one. */
static void change_radius(trust *region, double ratio, double length) {
    const double poor = 0.25, good = 0.75; /* shares of the predicted fall */
    const double shorter = 0.25, longer = 2.5, reached = 0.8;
    if (!(ratio >= poor)) {
        region->radius = shorter * length;
    } else if (ratio > good && length > reached * region->radius) {
        region->radius *= longer;
    }
}

/* Where the predicted fall is nothing: whether that is an optimum, or the region has shrunk to
 * nothing around a point that is none. */
static sp_reason end_of_steps(sp_search *o, const trust *region, double *f, double *predicted) {
    const double stuck = 1e-6, stuck_at_edge = 1.0; /* there rounding alone may predict less */
    if (!region->refused) {
        return SP_REASON_NONE;
    }
    sp_set_point(o);
    *f = sp_evaluate(o);
    if (region->at_edge) {
        /* The region has shrunk at the edge of what double precision can tell. */
        factor_derivatives(o);
        *predicted = sp_trust_region_step(o->model->n_par, o->scaled_g, o->scaled_H,
                                          region->first_radius, o->step, o->work);
    }
    return *predicted > (region->at_edge ? stuck_at_edge : stuck) ? SP_REASON_STUCK
                                                                  : SP_REASON_NONE;
}

/* Trust-region Newton from the present point until the predicted fall is nothing. */
static sp_reason newton_phase(sp_search *o, double *f, double *predicted) {
    const double safely = 0.01;        /* share of the tolerance that needs no step */
    const double quadratic = 1e-4;     /* falls below this square from step to step */
    const double least_radius = 1e-14; /* no parameter would change */
    int k = o->model->n_par;
    trust region = {-1.0, -1.0, 0.0, 0, 0};
    for (;; o->iterations++) {
        if (asked_to_stop(o)) {
            return SP_REASON_ITERATIONS; /* not read: the answer will be SP_INTERRUPTED */
        }
        if (!region.refused) {
            differentiate(o);
        }
        factor_derivatives(o);
        if (region.radius < 0.0) {
            region.radius = 0.5 * sqrt(sp_dot((size_t)k, o->scale, o->scale));
            region.first_radius = region.radius;
        }
        *predicted =
            sp_trust_region_step(k, o->scaled_g, o->scaled_H, region.radius, o->step, o->work);
        double noise = sp_noise_of(o), tolerance = fmax(o->control->fall_tolerance, noise);
        if (*predicted < (region.refused ? tolerance : safely * tolerance)) {
            return end_of_steps(o, &region, f, predicted);
        }
        if (o->iterations >= o->most_iterations) {
            return SP_REASON_ITERATIONS;
        }
        double length = sqrt(sp_dot((size_t)k, o->step, o->step));
        double next = next_fall(region.previous, *predicted);
        int last = !region.refused && (*predicted < tolerance ||
                                       (*predicted < quadratic && next < safely * tolerance));
        try_step(o);
        double f_new = sp_evaluate(o), ratio = (*f - f_new) / *predicted;
        region.at_edge = !isfinite(f_new);
        region.refused = !(f_new < *f || (last && f_new <= *f + noise));
        if (region.refused) {
            /* Back to the point: derivatives stay, its matrices must return. */
            sp_set_point(o);
        } else {
            *f = f_new;
            accept_step(o);
            if (last) {
                *predicted = fmin(next, *predicted);
                return SP_REASON_NONE;
            }
            region.previous = *predicted;
        }
        change_radius(&region, ratio, length);
        if (region.refused && region.radius < least_radius) {
            *f = sp_evaluate(o);
            return SP_REASON_STUCK;
        }
    }
}

double sp_run_from_start(sp_search *o, int newton_only, double *predicted, sp_reason *reason) {
    sp_set_point(o);
    double f = sp_evaluate(o);
    if (!isfinite(f)) {
        *reason = SP_REASON_START;
        return INFINITY;
    }
    if (!newton_only) {
        f = scoring_phase(o, f);
    }
    *reason = newton_phase(o, &f, predicted);
    for (int round = 0; round < 4 && !o->interrupted && drop_small(o, &f); round++) {
        f = sp_evaluate(o);
        *reason = newton_phase(o, &f, predicted);
    }
    return f;
}
