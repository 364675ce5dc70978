#include "step.h"
#include "linalg.h"
#include <math.h>
#include <string.h>

/* Length of the step -(H + shift)^-1 g in eigen-coordinates. */
static double step_length(int n, const double *lambda, const double *along, double shift) {
    double sum = 0.0;
    for (int i = 0; i < n; i++) {
        if (along[i] != 0.0) {
            double x = along[i] / (lambda[i] + shift);
            sum += x * x;
        }
    }
    return sqrt(sum);
}

/* step = -H^-1 g, a Newton step; 1 where H is not clearly positive definite. Nearly all steps are
 * such ones, and Cholesky's factor costs a small part of the eigenvalues. factor: n x n. Returns in
 * *fall what the quadratic predicts. */
static int newton_step(int n, const double *g, const double *H, double *step, double *fall,
                       double *factor) {
    const double clear = 1e-4; /* smallest of the factor's diagonal beside the largest */
    memcpy(factor, H, (size_t)n * n * sizeof(double));
    if (sp_cholesky(n, factor)) {
        return 1;
    }
    double least = factor[0], most = factor[0];
    for (int j = 1; j < n; j++) {
        least = fmin(least, factor[j + (size_t)n * j]);
        most = fmax(most, factor[j + (size_t)n * j]);
    }
    if (!(least > clear * most)) {
        return 1;
    }
    *fall = 0.0;
    for (int j = 0; j < n; j++) {
        step[j] = -g[j];
    }
    for (int j = 0; j < n; j++) {
        const double *column = factor + (size_t)n * j;
        step[j] /= column[j];
        *fall += 0.5 * step[j] * step[j];
        sp_axpy((size_t)(n - j - 1), -step[j], column + j + 1, step + j + 1);
    }
    for (int j = n - 1; j >= 0; j--) {
        const double *column = factor + (size_t)n * j;
        step[j] -= sp_dot((size_t)(n - j - 1), column + j + 1, step + j + 1);
        step[j] /= column[j];
    }
    return 0;
}

/* The shift in [low, high] at which the step ends at the region's edge, by halving: the length
 * falls as the shift grows. */
static double shift_to_edge(int n, const double *lambda, const double *along, double radius,
                            double low, double high) {
    const double near = 1e-3;      /* of the radius; the edge is itself a guess */
    const int most_halvings = 200; /* also where numbers are not finite */
    double shift = 0.0;
    for (int it = 0; it < most_halvings; it++) {
        shift = 0.5 * (low + high);
        if (shift == low || shift == high) {
            break;
        }
        double length = step_length(n, lambda, along, shift);
        if (fabs(length - radius) <= near * radius) {
            break;
        }
        if (length > radius) {
            low = shift;
        } else {
            high = shift;
        }
    }
    return shift;
}

double sp_trust_region_step(int n, const double *g, double *H, double radius, double *step,
                            double *work) {
    /* Beside the largest eigenvalue: eigenvalues of rounding, and the distance that a shift keeps
     * from the pole at the lowest. */
    const double flat_share = 1e-13, least_shift = 1e-14;
    const double slope_share = 1e-8; /* a slope of rounding, beside all of the gradient */
    const double tiny = 1e-300;      /* where all is zero */
    double *lambda = work, *along = lambda + n, *x = along + n, *factor = x + 4 * (size_t)n;
    double newton_fall;
    if (newton_step(n, g, H, step, &newton_fall, factor) == 0 &&
        sp_dot((size_t)n, step, step) <= radius * radius) {
        return newton_fall;
    }
    if (sp_eigen(n, H, lambda, x)) {
        memset(step, 0, (size_t)n * sizeof(double));
        return 0.0;
    }
    double largest = fmax(fabs(lambda[0]), fabs(lambda[n - 1]));
    double flat = flat_share * largest;
    double g_size = sqrt(sp_dot((size_t)n, g, g));
    for (int i = 0; i < n; i++) {
        along[i] = sp_dot((size_t)n, H + (size_t)n * i, g);
        /* A direction in which nothing changes (a redundant parameter) is left alone. */
        if (fabs(lambda[i]) <= flat && fabs(along[i]) <= slope_share * (g_size + 1.0)) {
            along[i] = 0.0;
        }
    }
    double lowest = lambda[0];
    double shift = 0.0;
    double extra = 0.0; /* along the first eigenvector */
    int newton = lowest > flat || (lowest >= -flat && along[0] == 0.0);
    if (!(newton && step_length(n, lambda, along, 0.0) <= radius)) {
        double low = lowest < 0.0 ? -lowest : 0.0;
        double floor_shift = low + least_shift * (largest + tiny);
        if (lowest < 0.0 && step_length(n, lambda, along, floor_shift) < radius) {
            /* Hard case: along the negative curvature until the region ends. */
            shift = floor_shift;
            double length = step_length(n, lambda, along, shift);
            extra = sqrt(radius * radius - length * length);
            extra = along[0] > 0.0 ? -extra : extra;
        } else {
            shift = shift_to_edge(n, lambda, along, radius, low, low + g_size / radius + tiny);
        }
    }
    double fall = 0.0;
    memset(step, 0, (size_t)n * sizeof(double));
    for (int i = 0; i < n; i++) {
        x[i] = along[i] != 0.0 ? -along[i] / (lambda[i] + shift) : 0.0;
        if (i == 0) {
            x[i] += extra;
        }
        fall -= x[i] * (along[i] + 0.5 * lambda[i] * x[i]);
        sp_axpy((size_t)n, x[i], H + (size_t)n * i, step);
    }
    return fall;
}

void sp_semidefinite_step(int n, double *H, const double *g, double *x, double *work) {
    const double nothing = 1e-10; /* eigenvalues below this share of the largest are rounding */
    double *lambda = work, *scale = lambda + n, *scaled_g = scale + n, *factor = scaled_g + 4 * n;
    double unused;
    for (int i = 0; i < n; i++) {
        double diagonal = H[i + (size_t)n * i];
        scale[i] = diagonal > 0.0 ? sqrt(diagonal) : 1.0;
        scaled_g[i] = g[i] / scale[i];
    }
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            H[i + (size_t)n * j] /= scale[i] * scale[j];
        }
    }
    if (newton_step(n, scaled_g, H, x, &unused, factor) == 0) {
        for (int i = 0; i < n; i++) {
            x[i] /= scale[i];
        }
        return;
    }
    sp_eigen(n, H, lambda, scaled_g + n);
    memset(x, 0, (size_t)n * sizeof(double));
    for (int c = 0; c < n; c++) {
        const double *vector = H + (size_t)n * c;
        if (lambda[c] > nothing * lambda[n - 1]) {
            double along = 0.0;
            for (int i = 0; i < n; i++) {
                along += vector[i] * scaled_g[i];
            }
            for (int i = 0; i < n; i++) {
                x[i] -= vector[i] * along / (lambda[c] * scale[i]);
            }
        }
    }
}
