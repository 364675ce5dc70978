#include "between.h"
#include <float.h>
#include <math.h>

typedef struct {
    double score;       /* derivative of the restricted log likelihood, times 2 */
    double information; /* its expected information, times 2 */
} slope_at;

static double weighted_mean(int n, const double *y, const double *v, double tau2) {
    double sum = 0, total = 0;
    for (int j = 0; j < n; j++) {
        const double w = 1 / (v[j] + tau2);
        sum += w * y[j];
        total += w;
    }
    return sum / total;
}

static slope_at derivative(int n, const double *y, const double *v, double tau2) {
    const double mu = weighted_mean(n, y, v, tau2);
    double w1 = 0, w2 = 0, w3 = 0, q = 0;
    for (int j = 0; j < n; j++) {
        const double w = 1 / (v[j] + tau2), e = w * (y[j] - mu);
        w1 += w;
        w2 += w * w;
        w3 += w * w * w;
        q += e * e;
    }
    slope_at out;
    out.score = q - (w1 - w2 / w1);
    out.information = w2 - 2 * w3 / w1 + (w2 / w1) * (w2 / w1);
    return out;
}

static double minus_two_log(int n, const double *y, const double *v, double tau2) {
    const double mu = weighted_mean(n, y, v, tau2);
    double sum = 0, total = 0;
    for (int j = 0; j < n; j++) {
        const double w = 1 / (v[j] + tau2), e = y[j] - mu;
        sum += w * e * e - log(w);
        total += w;
    }
    return sum + log(total);
}

/* Whether to stop, asked before every look at all units. */
static int must_stop(sp_asking *asking, int n) {
    const double work = 20; /* of one unit: divisions and logarithms take their time */
    return sp_must_stop(asking, work * n);
}

/* The root of the score between a (score > 0) and b (score <= 0), in *root: Fisher scoring, and
 * halving where it would leave the bracket. */
static sp_status maximum_between(int n, const double *y, const double *v, double a, double b,
                                 double *root, sp_asking *asking) {
    double tau2 = (a + b) / 2;
    for (int i = 0; i < 200 && b - a > 4 * DBL_EPSILON * b; i++) {
        if (must_stop(asking, n)) {
            return SP_INTERRUPTED;
        }
        const slope_at s = derivative(n, y, v, tau2);
        if (s.score > 0) {
            a = tau2;
        } else {
            b = tau2;
        }
        double next = tau2 + s.score / s.information;
        if (!(next > a && next < b)) {
            next = (a + b) / 2;
        }
        const int settled = fabs(next - tau2) <= 1e-13 * tau2;
        tau2 = next;
        if (settled) {
            break;
        }
    }
    *root = tau2;
    return SP_OK;
}

sp_status sp_between_variance(int n, const double *y, const double *v, double *tau2, sp_check check,
                              void *check_data) {
    sp_asking asking = sp_ask(check, check_data);
    *tau2 = NAN;
    if (n < 2) {
        return SP_BAD_ARGUMENT;
    }
    double mean = 0, spread = 0, smallest = v[0];
    for (int j = 0; j < n; j++) {
        mean += y[j] / n;
        smallest = fmin(smallest, v[j]);
    }
    for (int j = 0; j < n; j++) {
        spread += (y[j] - mean) * (y[j] - mean);
    }
    if (!isfinite(spread)) {
        return SP_NOT_FINITE;
    }
    if (spread == 0) {
        *tau2 = 0;
        return SP_OK;
    }
    /* The score is negative for every tau2 that is large enough. */
    double upper = spread;
    while (derivative(n, y, v, upper).score > 0 && upper < DBL_MAX / 4) {
        if (must_stop(&asking, n)) {
            return SP_INTERRUPTED;
        }
        upper *= 2;
    }
    /* With an error variance of 0 the weights at 0 are infinite: start just above. */
    double lower = smallest > 0 ? 0 : upper * DBL_EPSILON * DBL_EPSILON;
    double before = derivative(n, y, v, lower).score;
    double best = INFINITY;
    if (before <= 0) {
        best = minus_two_log(n, y, v, lower);
        *tau2 = smallest > 0 ? 0 : lower;
    }
    /* Every maximum on a logarithmic grid, nearly always one. */
    const int points = 16;
    double left = lower;
    for (int i = 1; i <= points; i++) {
        const double right = upper * pow(10, (i - points) * 0.5);
        if (right <= left) {
            continue;
        }
        if (must_stop(&asking, n)) {
            return SP_INTERRUPTED;
        }
        const double score = derivative(n, y, v, right).score;
        if (before > 0 && score <= 0) {
            double root;
            if (maximum_between(n, y, v, left, right, &root, &asking)) {
                return SP_INTERRUPTED;
            }
            const double value = minus_two_log(n, y, v, root);
            if (value < best) {
                best = value;
                *tau2 = root;
            }
        }
        left = right;
        before = score;
    }
    return SP_OK;
}
