/* Scores of three dyads against values worked out from the textbook formulas with fifty digits:
 * lines from (X'X)^-1 X'y, standard errors from the gradient of the score in every single rating.
 */
#include "ctest.h"
#include "dyad_ols.h"
#include <string.h>

enum { DYADS = 4, ROWS = 15 };

/* A: both rated every session, and the lines do not cross. B: each missed one, and they cross.
 * C: two sessions, and the lines meet at the first. D: one rating, and a row without a time. */
static const int starts[DYADS + 1] = {0, 5, 11, 13, 15};
static const double time[ROWS] = {2, 3, 5, 9, 11, 1, 2, 4, 7, 8, 10, 0.5, 3.25, 6, NAN};
static const double first[ROWS] = {4.25, 4.75, 5.5, 5.25, 6.125, 3.5,   NAN, 4.125,
                                   5,    5.75, 6.5, 5,    6.125, 4.875, 3};
static const double second[ROWS] = {6.5,  6.25,  5.875, 6.75, 6,   5.25, 5,  NAN,
                                    4.75, 4.375, 4.5,   5,    4.5, NAN,  3.5};

typedef struct {
    int n_first[DYADS], n_second[DYADS], n_both[DYADS];
    double intercept_first[DYADS], intercept_second[DYADS], slope_first[DYADS];
    double slope_second[DYADS], slope_se_first[DYADS], slope_se_second[DYADS];
    double early_first[DYADS], early_second[DYADS], early_difference[DYADS], development[DYADS];
    double convergence[DYADS], convergence_se[DYADS], error_variance[DYADS];
} values;

static values found;
static sp_dyad_totals totals;
static double weights[3 * DYADS];

static sp_status run_with(const sp_dyad_options *options, const double *p, int from, int to) {
    sp_dyad_scores scores = {
        found.n_first,          found.n_second,    found.n_both,         found.intercept_first,
        found.intercept_second, found.slope_first, found.slope_second,   found.slope_se_first,
        found.slope_se_second,  found.early_first, found.early_second,   found.early_difference,
        found.development,      found.convergence, found.convergence_se, found.error_variance,
    };
    const sp_status status =
        sp_dyad_ols(from, to, starts, time, p, second, options, &scores, &totals, weights);
    if (to == DYADS) {
        sp_dyad_error_variance(0, DYADS, starts, time, p, second, options, &totals, weights,
                               &scores);
    }
    return status;
}

static sp_status run(sp_definition definition, int early_from_line) {
    const sp_dyad_options options = {definition, early_from_line, -INFINITY, INFINITY};
    memset(&found, 0, sizeof found);
    memset(&totals, 0, sizeof totals);
    totals.time_min = INFINITY;
    totals.time_max = -INFINITY;
    return run_with(&options, first, 0, DYADS);
}

/* The first `known` dyads are as expected, the others have no value. */
static void expect(const char *name, const double *actual, int known, const double *expected) {
    ct_near_all(name, known, actual, expected, 1e-14);
    for (int j = known; j < DYADS; j++) {
        ct_true("no value", isnan(actual[j]));
    }
}

static void check_definition(const char *name, sp_definition definition, const double *score,
                             const double *se, const double *error_variance) {
    run(definition, 0);
    printf("# %s\n", name);
    expect("score", found.convergence, 3, score);
    expect("standard error", found.convergence_se, 2, se);
    expect("error variance, pooled", found.error_variance, 3, error_variance);
}

int main(void) {
    ct_int("status", run(SP_FITTED, 0), SP_OK);
    ct_true("sessions rated",
            memcmp(found.n_first, (const int[]){5, 5, 2, 1}, sizeof found.n_first) == 0 &&
                memcmp(found.n_second, (const int[]){5, 5, 2, 0}, sizeof found.n_second) == 0 &&
                memcmp(found.n_both, (const int[]){5, 4, 2, 0}, sizeof found.n_both) == 0);
    expect("intercepts of the first rater", found.intercept_first, 3,
           (const double[]){4.2125, 2.965, 211.0 / 44});
    expect("slopes of the first rater", found.slope_first, 3,
           (const double[]){0.160416666666666667, 0.335, 9.0 / 22});
    expect("their standard errors", found.slope_se_first, 2,
           (const double[]){0.0530193666572955277, 0.0377491721763537485});
    expect("intercepts of the second rater", found.intercept_second, 3,
           (const double[]){6.3125, 5.25081699346405229, 56.0 / 11});
    expect("slopes of the second rater", found.slope_second, 3,
           (const double[]){-0.00625, -0.0849673202614379085, -2.0 / 11});
    expect("their standard errors", found.slope_se_second, 2,
           (const double[]){0.0532372180799193234, 0.0196191869872852681});
    expect("development", found.development, 3,
           (const double[]){0.0770833333333333333, 0.115972222222222222, 5.0 / 44});
    expect("first ratings of the first rater", found.early_first, 4,
           (const double[]){4.25, 3.5, 5, 4.875});
    expect("first ratings of the second rater", found.early_second, 3,
           (const double[]){6.5, 5.25, 5});
    expect("their difference at the first session rated by both", found.early_difference, 3,
           (const double[]){-2.25, -1.75, 0});

    ct_near_all("first and last session", 2, (const double[]){totals.time_min, totals.time_max},
                (const double[]){0.5, 11}, 0);
    ct_true("sessions counted", totals.n_both == 11 && totals.n_first_only == 2 &&
                                    totals.n_second_only == 1 && totals.n_unrated == 0 &&
                                    totals.n_outside == 0);
    ct_true("A alone does not cross; C meets at its first session",
            totals.n_not_crossing == 1 && totals.n_crossing == 2);
    ct_int("B's slopes differ from the slope of its difference", totals.n_slopes_differ, 1);

    check_definition(
        "fitted", SP_FITTED,
        (const double[]){1.0 / 6, 0.0130712074303405573, -0.590909090909090909},
        (const double[]){0.105464141703164613, 0.0419248419517612285},
        (const double[]){0.00692627475870874037, 0.00607415920737509762, 0.0549522625484329814});
    check_definition(
        "absolute", SP_ABSOLUTE,
        (const double[]){0.145833333333333333, 0.00972222222222222222, -0.590909090909090909},
        (const double[]){0.0852644976757606842, 0.054958045224258237},
        (const double[]){0.00520714671354479888, 0.00992022205367109847, 0.0804629154485252792});
    check_definition(
        "signed", SP_SIGNED, (const double[]){1.0 / 6, 0.418055555555555556, 0.590909090909090909},
        (const double[]){0.105464141703164613, 0.0549796539246930177},
        (const double[]){0.00758043981481481481, 0.0101072530864197531, 0.120284664830119376});
    check_definition(
        "squared", SP_SQUARED,
        (const double[]){0.338541666666666667, -0.000520833333333333333, -0.960227272727272727},
        (const double[]){0.271790503519710825, 0.202731795374634318},
        (const double[]){0.047122435418274177, 0.143871681060631319, 0.744670665620855015});

    /* C's line starts at exactly 0: its score is 0, and has no standard error. */
    run(SP_TOWARD_ZERO, 0);
    expect("toward zero", found.convergence, 3, (const double[]){1.0 / 6, 0.418055555555555556, 0});
    expect("its standard error", found.convergence_se, 2,
           (const double[]){0.105464141703164613, 0.0549796539246930177});
    expect("its error variance", found.error_variance, 2,
           (const double[]){0.00758043981481481481, 0.0101072530864197531});
    ct_int("a sign of 0 is counted", totals.n_sign_zero, 1);

    run(SP_FITTED, 1);
    expect("early level on the line of the first rater", found.early_first, 3,
           (const double[]){4.53333333333333333, 3.3, 5});
    expect("early level on the line of the second rater", found.early_second, 3,
           (const double[]){6.3, 5.16584967320261438, 5});
    expect("early difference of the lines", found.early_difference, 3,
           (const double[]){-1.76666666666666667, -1.86584967320261438, 0});

    /* Dyad by dyad is the same as all at once. */
    const sp_dyad_options all = {SP_FITTED, 1, -INFINITY, INFINITY};
    const values at_once = found;
    const sp_dyad_totals totals_at_once = totals;
    memset(&found, 0, sizeof found);
    memset(&totals, 0, sizeof totals);
    totals.time_min = INFINITY;
    totals.time_max = -INFINITY;
    for (int j = 0; j < DYADS; j++) {
        run_with(&all, first, j, j + 1);
    }
    ct_near_all("dyad by dyad: scores", 3, found.convergence, at_once.convergence, 0);
    ct_near_all("dyad by dyad: error variances", 3, found.error_variance, at_once.error_variance,
                0);
    ct_near("dyad by dyad: totals", totals.rss_first, totals_at_once.rss_first, 0);

    /* From 3 to 9: A keeps 3, 5 and 9, B keeps 4, 7 and 8, C its second session, D its rating. */
    const sp_dyad_options window = {SP_SIGNED, 0, 3, 9};
    memset(&totals, 0, sizeof totals);
    totals.time_min = INFINITY;
    totals.time_max = -INFINITY;
    run_with(&window, first, 0, DYADS);
    ct_true("window: sessions of the first rater",
            memcmp(found.n_first, (const int[]){3, 3, 1, 1}, sizeof found.n_first) == 0);
    /* A: D = -1.5, -.375, -1.5 at 3, 5, 9; x = -8/3, -2/3, 10/3; sum x D = -.75, sum x^2 = 56/3. */
    ct_near("window: slope of A's difference", found.convergence[0], -0.75 * 3 / 56, 1e-14);
    /* B: D = .25 and 1.375 at 7 and 8. */
    ct_near("window: slope of B's difference", found.convergence[1], 1.125, 1e-14);
    ct_true("window: C has one session, and no score", isnan(found.convergence[2]));
    ct_int("window: sessions outside", (long)totals.n_outside, 6);
    ct_near_all("window: first and last session", 2,
                (const double[]){totals.time_min, totals.time_max}, (const double[]){3, 9}, 0);

    /* A rating of 1e8 more on both sides changes no slope: the references take it off. */
    double shifted_first[ROWS], shifted_second[ROWS], shifted_time[ROWS];
    for (int i = 0; i < ROWS; i++) {
        shifted_first[i] = first[i] + 1e8;
        shifted_second[i] = second[i] + 1e8;
        shifted_time[i] = time[i] + 1e6;
    }
    sp_dyad_scores scores = {
        found.n_first,          found.n_second,    found.n_both,         found.intercept_first,
        found.intercept_second, found.slope_first, found.slope_second,   found.slope_se_first,
        found.slope_se_second,  found.early_first, found.early_second,   found.early_difference,
        found.development,      found.convergence, found.convergence_se, found.error_variance,
    };
    memset(&totals, 0, sizeof totals);
    sp_dyad_ols(0, DYADS, starts, shifted_time, shifted_first, shifted_second, &all, &scores,
                &totals, weights);
    ct_near_all("large offsets: scores", 3, found.convergence, at_once.convergence, 1e-13);
    ct_near_all("large offsets: standard errors", 2, found.convergence_se, at_once.convergence_se,
                1e-13);
    ct_near_all("large offsets: slopes", 3, found.slope_first, at_once.slope_first, 1e-13);

    /* An infinite rating is counted, once per dyad. */
    double broken[ROWS];
    memcpy(broken, first, sizeof broken);
    broken[1] = INFINITY;
    broken[2] = -INFINITY;
    broken[13] = INFINITY;
    memset(&totals, 0, sizeof totals);
    ct_int("infinite ratings: status", run_with(&all, broken, 0, DYADS), SP_NOT_FINITE);
    ct_int("infinite ratings: dyads", totals.n_infinite, 2);
    return ct_end();
}
