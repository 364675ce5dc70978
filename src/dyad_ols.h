/* Per-dyad least squares of two raters: growth lines, the rate at which their discrepancy closes
 * under five definitions, and standard errors. */
#ifndef SAMEPAGE_DYAD_OLS_H
#define SAMEPAGE_DYAD_OLS_H

#include "status.h"

/* P and T: the first and the second rater's rating, D = P - T. */
typedef enum {
    SP_FITTED = 0,  /* minus the slope through |line of P - line of T| */
    SP_ABSOLUTE,    /* minus the slope of |D| */
    SP_SIGNED,      /* the slope of D */
    SP_TOWARD_ZERO, /* minus sign(line of D at the first session) times the slope of D */
    SP_SQUARED      /* minus the slope of D^2 */
} sp_definition;

typedef struct {
    sp_definition definition;
    int early_from_line; /* early level: 0 the first rating, 1 the growth line */
    double from, to;     /* sessions outside are left out; -inf and inf for none */
} sp_dyad_options;

/* One value per dyad; NaN where a value does not exist. All arrays are the caller's. */
typedef struct {
    int *n_first, *n_second, *n_both;
    double *intercept_first, *intercept_second;
    double *slope_first, *slope_second;
    double *slope_se_first, *slope_se_second;
    double *early_first, *early_second;
    double *early_difference; /* P - T, signed */
    double *development;      /* slope of (P + T) / 2 */
    double *convergence;
    double *convergence_se;
    double *error_variance; /* of convergence, residuals pooled over dyads */
} sp_dyad_scores;

/* Sums over dyads; start from zeros with time_min = inf and time_max = -inf. */
typedef struct {
    double rss_first, rss_second, rss_difference; /* residual sums of squares of the lines */
    double df_first, df_second, df_difference;
    double cross, cross_df; /* products of the raters' residuals, with its expectation's factor */
    double time_min, time_max;                                        /* of the sessions used */
    double n_both, n_first_only, n_second_only, n_unrated, n_outside; /* sessions */
    int n_infinite;      /* rated sessions with an infinite time or rating */
    int n_not_crossing;  /* dyads whose two lines do not cross or part within their course */
    int n_crossing;      /* dyads whose two lines do */
    int n_slopes_differ; /* slope of P minus slope of T is not the slope of D */
    int n_sign_zero;     /* line of D exactly 0 at the first session rated by both */
} sp_dyad_totals;

/* Purpose: scores of dyads from..to-1 (formulas in the help page of convergence()).
 * Shapes: starts[m + 1], time, first, second [starts[m]]; each array of `scores` [m].
 * Precondition: rows sorted by dyad, and by strictly increasing time within it; NaN is missing;
 *   a row without a time comes last in its dyad.
 * Status: SP_OK; SP_NOT_FINITE when a used time or rating is infinite (counted in totals).
 * Workspace: weights [3 * m], kept for sp_dyad_error_variance(), which fills error_variance. */
sp_status sp_dyad_ols(int from, int to, const int *starts, const double *time, const double *first,
                      const double *second, const sp_dyad_options *options, sp_dyad_scores *scores,
                      sp_dyad_totals *totals, double *weights);

/* Purpose: error variance of each dyad's convergence with the residual variances pooled over
 *   dyads, the v_j of the reliability.
 * Shapes and precondition: as above; `weights` and `totals` as sp_dyad_ols() left them for all
 *   dyads. Status: SP_OK. */
sp_status sp_dyad_error_variance(int from, int to, const int *starts, const double *time,
                                 const double *first, const double *second,
                                 const sp_dyad_options *options, const sp_dyad_totals *totals,
                                 const double *weights, sp_dyad_scores *scores);

#endif
