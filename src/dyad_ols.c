#include "dyad_ols.h"
#include <float.h>
#include <math.h>
#include <stddef.h>

#define BY_FIRST 1
#define BY_SECOND 2
#define BY_BOTH 3

/* A least-squares line y = value + slope (t - time), time and value being means. Times and
 * values are relative to the dyad's references, so that large offsets cost no digits. */
typedef struct {
    int n;
    double time, value, stt, slope, rss;
} line;

/* What one dyad's rows say. Index -1: no such session. */
typedef struct {
    int begin, end;
    double t0, p0, q0; /* references: the first used time, and the first value of each rater */
    line first, second, difference, mean;
    line course; /* all sessions rated by either: n, time and stt only */
    int at_first, at_second, at_both, at_start, at_end; /* rows of first ratings, of the ends */
} dyad;

typedef struct {
    const double *time, *first, *second;
    const sp_dyad_options *options;
} rows;

/* Which raters rated the session in this row: 0 also for a row outside the window. */
static int rated_by(const rows *data, int row) {
    const double t = data->time[row];
    if (!(t >= data->options->from && t <= data->options->to)) {
        return 0;
    }
    return (isnan(data->first[row]) ? 0 : BY_FIRST) | (isnan(data->second[row]) ? 0 : BY_SECOND);
}

static double difference_at(const rows *data, int row) {
    return data->first[row] - data->second[row];
}

static double value_at(const line *fit, double time) {
    return fit->value + fit->slope * (time - fit->time);
}

static void set_slope(line *fit, double sty) {
    fit->slope = fit->n >= 2 ? sty / fit->stt : NAN;
}

static void set_means(line *fit) {
    if (fit->n > 0) {
        fit->time /= fit->n;
        fit->value /= fit->n;
    }
}

static double residual_variance(const line *fit) {
    return fit->n >= 3 ? fit->rss / (fit->n - 2) : NAN;
}

/* First pass: who rated what, the references and the means. */
static void read_sessions(const rows *data, dyad *d, sp_dyad_totals *totals) {
    const line empty = {0, 0, 0, 0, NAN, 0};
    d->first = d->second = d->difference = d->mean = d->course = empty;
    d->at_first = d->at_second = d->at_both = d->at_start = d->at_end = -1;
    for (int row = d->begin; row < d->end; row++) {
        const int by = rated_by(data, row);
        if (by == 0) {
            const double t = data->time[row];
            if (t < data->options->from || t > data->options->to) {
                totals->n_outside++;
            } else if (!isnan(t)) {
                totals->n_unrated++;
            }
            continue;
        }
        if (d->at_start < 0) {
            d->at_start = row;
            d->t0 = data->time[row];
        }
        d->at_end = row;
        const double t = data->time[row] - d->t0;
        d->course.n++;
        d->course.time += t;
        if (by & BY_FIRST) {
            if (d->at_first < 0) {
                d->at_first = row;
                d->p0 = data->first[row];
            }
            d->first.n++;
            d->first.time += t;
            d->first.value += data->first[row] - d->p0;
        }
        if (by & BY_SECOND) {
            if (d->at_second < 0) {
                d->at_second = row;
                d->q0 = data->second[row];
            }
            d->second.n++;
            d->second.time += t;
            d->second.value += data->second[row] - d->q0;
        }
        if (by == BY_BOTH) {
            if (d->at_both < 0) {
                d->at_both = row;
            }
            d->difference.n++;
            d->difference.time += t;
            d->difference.value += difference_at(data, row);
        }
    }
    totals->n_both += d->difference.n;
    totals->n_first_only += d->first.n - d->difference.n;
    totals->n_second_only += d->second.n - d->difference.n;
    set_means(&d->first);
    set_means(&d->second);
    set_means(&d->difference);
    set_means(&d->course);
    d->mean = d->difference;
    if (d->course.n > 0) {
        totals->time_min = fmin(totals->time_min, data->time[d->at_start]);
        totals->time_max = fmax(totals->time_max, data->time[d->at_end]);
    }
}

/* Second pass: sums of squares and products about the means, and with them the slopes. */
static void fit_lines(const rows *data, dyad *d) {
    double first = 0, second = 0, difference = 0, mean = 0;
    for (int row = d->begin; row < d->end; row++) {
        const int by = rated_by(data, row);
        if (by == 0) {
            continue;
        }
        const double t = data->time[row] - d->t0;
        const double from_start = t - d->course.time;
        d->course.stt += from_start * from_start;
        if (by & BY_FIRST) {
            const double x = t - d->first.time;
            d->first.stt += x * x;
            first += x * (data->first[row] - d->p0 - d->first.value);
        }
        if (by & BY_SECOND) {
            const double x = t - d->second.time;
            d->second.stt += x * x;
            second += x * (data->second[row] - d->q0 - d->second.value);
        }
        if (by == BY_BOTH) {
            const double x = t - d->difference.time;
            d->difference.stt += x * x;
            difference += x * (difference_at(data, row) - d->difference.value);
            mean += x * ((data->first[row] - d->p0) + (data->second[row] - d->q0));
        }
    }
    d->mean.stt = d->difference.stt;
    set_slope(&d->first, first);
    set_slope(&d->second, second);
    set_slope(&d->difference, difference);
    set_slope(&d->mean, mean / 2);
}

/* Third pass: residual sums of squares; returns the sum of products of the two raters' residuals
 * over the sessions rated by both. */
static double add_residuals(const rows *data, dyad *d) {
    double cross = 0;
    for (int row = d->begin; row < d->end; row++) {
        const int by = rated_by(data, row);
        if (by == 0) {
            continue;
        }
        const double t = data->time[row] - d->t0;
        double p = 0, q = 0;
        if (by & BY_FIRST) {
            p = data->first[row] - d->p0 - value_at(&d->first, t);
            d->first.rss += p * p;
        }
        if (by & BY_SECOND) {
            q = data->second[row] - d->q0 - value_at(&d->second, t);
            d->second.rss += q * q;
        }
        if (by == BY_BOTH) {
            const double e = difference_at(data, row) - value_at(&d->difference, t);
            d->difference.rss += e * e;
            cross += p * q;
        }
    }
    return cross;
}

/* Sums over the sessions C rated by both of 1, x, y and x y, with x and y the time about the mean
 * time of each rater's own sessions. */
typedef struct {
    double n, x, y, xy, xx, yy;
} matched_moments;

static matched_moments moments_of(const dyad *d) {
    const double x = d->difference.time - d->first.time;
    const double y = d->difference.time - d->second.time;
    matched_moments c;
    c.n = d->difference.n;
    c.x = c.n * x;
    c.y = c.n * y;
    c.xy = d->difference.stt + c.n * x * y;
    c.xx = d->difference.stt + c.n * x * x;
    c.yy = d->difference.stt + c.n * y * y;
    return c;
}

static int all_matched(const dyad *d) {
    return d->first.n == d->difference.n && d->second.n == d->difference.n;
}

/* The factor k with E(sum of products of residuals) = k cov(P, T within a session): the sum of the
 * products of the elements of I - H_P and I - H_T in rows and columns C, H the hat matrices. It is
 * n - 2 when both rated the same sessions. */
static double cross_factor(const dyad *d) {
    if (d->first.n < 3 || d->second.n < 3) {
        return 0;
    }
    if (all_matched(d)) {
        return d->difference.n - 2;
    }
    const matched_moments c = moments_of(d);
    const double n_p = d->first.n, n_t = d->second.n;
    const double stt_p = d->first.stt, stt_t = d->second.stt;
    const double trace_p = c.n / n_p + c.xx / stt_p;
    const double trace_t = c.n / n_t + c.yy / stt_t;
    const double product = c.n * c.n / (n_p * n_t) + c.y * c.y / (n_p * stt_t) +
                           c.x * c.x / (stt_p * n_t) + c.xy * c.xy / (stt_p * stt_t);
    const double factor = c.n - trace_p - trace_t + product;
    /* Below this, the matched sessions say nothing about the covariance but rounding. */
    return factor > 1e-8 * c.n ? factor : 0;
}

/* A covariance that the two variances allow; 0 where no matched session informs about it. */
static double covariance_of(double cross, double factor, double var_p, double var_t) {
    if (!(factor > 0)) {
        return 0;
    }
    const double limit = sqrt(var_p * var_t);
    return fmax(-limit, fmin(limit, cross / factor));
}

/* The sign of a value computed from terms of size `scale`: what is rounding error counts as 0. */
static int sign_of(double value, double scale) {
    if (fabs(value) <= 16 * DBL_EPSILON * scale) {
        return 0;
    }
    return value > 0 ? 1 : -1;
}

/* The distance of the two raters' lines at time t, and its sign. */
static double gap_at(const dyad *d, double t, int *sign) {
    const double p = value_at(&d->first, t), q = value_at(&d->second, t);
    const double gap = (d->p0 - d->q0) + (p - q);
    *sign = sign_of(gap, fabs(d->p0) + fabs(d->q0) + fabs(p) + fabs(q));
    return gap;
}

/* "fitted": the score, and the sums of squares and products of its weights on the single ratings,
 * weights[0] = sum a_i^2 (P), weights[1] = sum b_i^2 (T), weights[2] = sum over C of a_i b_i. */
static double fitted_score(const rows *data, const dyad *d, sp_dyad_totals *totals,
                           double *weights) {
    if (d->first.n < 2 || d->second.n < 2) {
        return NAN;
    }
    double score = 0, sum = 0, sum_p = 0, sum_t = 0;
    int start = 0, end = 0;
    for (int row = d->at_start; row <= d->at_end; row++) {
        if (rated_by(data, row) == 0) {
            continue;
        }
        const double t = data->time[row] - d->t0;
        const double w = (t - d->course.time) / d->course.stt;
        int sign;
        const double gap = gap_at(d, t, &sign);
        const double derivative = -w * sign;
        score -= w * fabs(gap);
        sum += derivative;
        sum_p += derivative * (t - d->first.time);
        sum_t += derivative * (t - d->second.time);
        if (row == d->at_start) {
            start = sign;
        }
        end = sign;
    }
    /* Lines that meet at the first session part from there, and "toward_zero" says 0 of them. */
    if (start * end < 0 || (start == 0 && end != 0)) {
        totals->n_crossing++;
    } else {
        totals->n_not_crossing++;
    }
    if (start == 0 && end == 0) {
        /* The two lines are one: |gap| has no derivative there, and the score no standard error. */
        return score;
    }
    const matched_moments c = moments_of(d);
    const double n_p = d->first.n, n_t = d->second.n;
    const double stt_p = d->first.stt, stt_t = d->second.stt;
    weights[0] = sum * sum / n_p + sum_p * sum_p / stt_p;
    weights[1] = sum * sum / n_t + sum_t * sum_t / stt_t;
    weights[2] = c.n * sum * sum / (n_p * n_t) + sum * sum_t * c.y / (n_p * stt_t) +
                 sum * sum_p * c.x / (n_t * stt_p) + sum_p * sum_t * c.xy / (stt_p * stt_t);
    return score;
}

/* "toward_zero"; weights[0] = 1 / Stt. */
static double toward_zero_score(const rows *data, const dyad *d, sp_dyad_totals *totals,
                                double *weights) {
    if (d->difference.n < 2) {
        return NAN;
    }
    const double move = d->difference.slope * (data->time[d->at_both] - d->t0 - d->difference.time);
    const double scale = fabs(data->first[d->at_both]) + fabs(data->second[d->at_both]) +
                         fabs(d->difference.value) + fabs(move);
    const int sign = sign_of(d->difference.value + move, scale);
    if (sign == 0) {
        totals->n_sign_zero++;
        return 0;
    }
    weights[0] = 1 / d->difference.stt;
    return -sign * d->difference.slope;
}

/* "absolute" and "squared": minus the slope of a function of D over the sessions rated by both. */
static double transformed_score(const rows *data, const dyad *d, double *weights) {
    if (d->difference.n < 2) {
        return NAN;
    }
    const int squared = data->options->definition == SP_SQUARED;
    double mean = 0, score = 0, spread = 0;
    for (int row = d->at_both; row <= d->at_end; row++) {
        if (rated_by(data, row) == BY_BOTH) {
            const double gap = difference_at(data, row);
            mean += squared ? gap * gap : fabs(gap);
        }
    }
    mean /= d->difference.n;
    for (int row = d->at_both; row <= d->at_end; row++) {
        if (rated_by(data, row) == BY_BOTH) {
            const double gap = difference_at(data, row);
            const double t = data->time[row] - d->t0;
            const double w = (t - d->difference.time) / d->difference.stt;
            const double expected = value_at(&d->difference, t);
            score -= w * ((squared ? gap * gap : fabs(gap)) - mean);
            spread += w * w * expected * expected;
        }
    }
    if (squared) {
        weights[0] = 4 * spread;
        weights[1] = 2 / d->difference.stt;
    }
    return score;
}

/* Variance of |X| for X normal. */
static double folded_variance(double mean, double variance) {
    const double sd = sqrt(variance);
    if (!(sd > 0) || fabs(mean) > 8 * sd) {
        return variance;
    }
    const double z = mean / sd;
    const double two_over_pi = 0.636619772367581343076;
    const double folded =
        sqrt(two_over_pi) * exp(-z * z / 2) + z * erf(z * 0.707106781186547524401);
    return variance * (1 + z * z - folded * folded);
}

static double absolute_variance(const rows *data, const dyad *d, double variance) {
    double sum = 0;
    for (int row = d->at_both; row <= d->at_end; row++) {
        if (rated_by(data, row) == BY_BOTH) {
            const double t = data->time[row] - d->t0;
            const double w = (t - d->difference.time) / d->difference.stt;
            sum += w * w * folded_variance(value_at(&d->difference, t), variance);
        }
    }
    return sum;
}

/* Error variance of the score from the residual variances of P, T and D and the covariance of P
 * and T, for every definition but "absolute", which goes through the sessions again. */
static double score_variance(sp_definition definition, const double *weights, double var_p,
                             double var_t, double cov, double var_d) {
    double fitted;
    switch (definition) {
    case SP_FITTED:
        fitted = weights[0] * var_p + weights[1] * var_t - 2 * weights[2] * cov;
        /* Not fmax(): a missing variance must stay missing. */
        return fitted < 0 ? 0 : fitted;
    case SP_SQUARED:
        return weights[0] * var_d + weights[1] * var_d * var_d;
    default:
        return weights[0] * var_d;
    }
}

static void add_totals(const dyad *d, double cross, double factor, sp_dyad_totals *totals) {
    if (d->first.n >= 3) {
        totals->rss_first += d->first.rss;
        totals->df_first += d->first.n - 2;
    }
    if (d->second.n >= 3) {
        totals->rss_second += d->second.rss;
        totals->df_second += d->second.n - 2;
    }
    if (d->difference.n >= 3) {
        totals->rss_difference += d->difference.rss;
        totals->df_difference += d->difference.n - 2;
    }
    if (factor > 0) {
        totals->cross += cross;
        totals->cross_df += factor;
    }
    if (d->difference.n >= 2 && !all_matched(d)) {
        const double p = d->first.slope, q = d->second.slope, slope = d->difference.slope;
        totals->n_slopes_differ += fabs(p - q - slope) > 1e-9 * (fabs(p) + fabs(q) + fabs(slope));
    }
}

static double intercept_of(const line *fit, double t0, double reference) {
    return reference + fit->value - fit->slope * (t0 + fit->time);
}

static int is_infinite(const rows *data, const dyad *d) {
    for (int row = d->begin; row < d->end; row++) {
        if (rated_by(data, row) != 0 &&
            (isinf(data->time[row]) || isinf(data->first[row]) || isinf(data->second[row]))) {
            return 1;
        }
    }
    return 0;
}

static void write_early(const rows *data, const dyad *d, int j, sp_dyad_scores *scores) {
    double p = NAN, q = NAN, gap = NAN;
    if (data->options->early_from_line) {
        /* The dyad's first session has time 0 after the reference is taken off. */
        int sign;
        p = d->first.n >= 2 ? d->p0 + value_at(&d->first, 0) : NAN;
        q = d->second.n >= 2 ? d->q0 + value_at(&d->second, 0) : NAN;
        gap = isnan(p) || isnan(q) ? NAN : gap_at(d, 0, &sign);
    } else {
        p = d->at_first >= 0 ? data->first[d->at_first] : NAN;
        q = d->at_second >= 0 ? data->second[d->at_second] : NAN;
        gap = d->at_both >= 0 ? difference_at(data, d->at_both) : NAN;
    }
    scores->early_first[j] = p;
    scores->early_second[j] = q;
    scores->early_difference[j] = gap;
}

sp_status sp_dyad_ols(int from, int to, const int *starts, const double *time, const double *first,
                      const double *second, const sp_dyad_options *options, sp_dyad_scores *scores,
                      sp_dyad_totals *totals, double *weights) {
    const rows data = {time, first, second, options};
    for (int j = from; j < to; j++) {
        dyad d = {.begin = starts[j], .end = starts[j + 1]};
        double *w = weights + 3 * (size_t)j;
        w[0] = w[1] = w[2] = NAN;
        read_sessions(&data, &d, totals);
        fit_lines(&data, &d);
        const double cross = add_residuals(&data, &d);
        const double factor = cross_factor(&d);
        if (!isfinite(d.first.rss + d.second.rss + d.difference.rss)) {
            totals->n_infinite += is_infinite(&data, &d);
        }
        add_totals(&d, cross, factor, totals);

        double score, variance;
        const double var_p = residual_variance(&d.first), var_t = residual_variance(&d.second);
        const double var_d = residual_variance(&d.difference);
        switch (options->definition) {
        case SP_FITTED:
            score = fitted_score(&data, &d, totals, w);
            break;
        case SP_SIGNED:
            score = d.difference.slope;
            w[0] = d.difference.n >= 2 ? 1 / d.difference.stt : NAN;
            break;
        case SP_TOWARD_ZERO:
            score = toward_zero_score(&data, &d, totals, w);
            break;
        default:
            score = transformed_score(&data, &d, w);
        }
        if (options->definition == SP_ABSOLUTE) {
            variance = d.difference.n >= 3 ? absolute_variance(&data, &d, var_d) : NAN;
        } else {
            const double cov = covariance_of(cross, factor, var_p, var_t);
            variance = score_variance(options->definition, w, var_p, var_t, cov, var_d);
        }

        scores->n_first[j] = d.first.n;
        scores->n_second[j] = d.second.n;
        scores->n_both[j] = d.difference.n;
        scores->intercept_first[j] = intercept_of(&d.first, d.t0, d.p0);
        scores->intercept_second[j] = intercept_of(&d.second, d.t0, d.q0);
        scores->slope_first[j] = d.first.slope;
        scores->slope_second[j] = d.second.slope;
        scores->slope_se_first[j] = sqrt(var_p / d.first.stt);
        scores->slope_se_second[j] = sqrt(var_t / d.second.stt);
        write_early(&data, &d, j, scores);
        scores->development[j] = d.mean.slope;
        scores->convergence[j] = score;
        scores->convergence_se[j] = sqrt(variance);
    }
    return totals->n_infinite > 0 ? SP_NOT_FINITE : SP_OK;
}

sp_status sp_dyad_error_variance(int from, int to, const int *starts, const double *time,
                                 const double *first, const double *second,
                                 const sp_dyad_options *options, const sp_dyad_totals *totals,
                                 const double *weights, sp_dyad_scores *scores) {
    const rows data = {time, first, second, options};
    const double var_p = totals->df_first > 0 ? totals->rss_first / totals->df_first : NAN;
    const double var_t = totals->df_second > 0 ? totals->rss_second / totals->df_second : NAN;
    const double var_d =
        totals->df_difference > 0 ? totals->rss_difference / totals->df_difference : NAN;
    const double cov = covariance_of(totals->cross, totals->cross_df, var_p, var_t);
    for (int j = from; j < to; j++) {
        if (options->definition != SP_ABSOLUTE) {
            scores->error_variance[j] = score_variance(options->definition, weights + 3 * (size_t)j,
                                                       var_p, var_t, cov, var_d);
            continue;
        }
        scores->error_variance[j] = NAN;
        if (scores->n_both[j] >= 2) {
            sp_dyad_totals unused = {0};
            dyad d = {.begin = starts[j], .end = starts[j + 1]};
            read_sessions(&data, &d, &unused);
            fit_lines(&data, &d);
            scores->error_variance[j] = absolute_variance(&data, &d, var_d);
        }
    }
    return SP_OK;
}
