/* The variance between units: closed forms, and a root found with fifty digits elsewhere. */
#include "between.h"
#include "ctest.h"

static double between(int n, const double *y, const double *v) {
    double tau2 = -1;
    sp_between_variance(n, y, v, &tau2, NULL, NULL);
    return tau2;
}

int main(void) {
    const double y[] = {0.31, -0.12, 0.55, 0.04, -0.27};

    /* Equal error variances v: the sample variance 0.10887 minus v, or 0. */
    const double equal[] = {0.02, 0.02, 0.02, 0.02, 0.02};
    ct_near("equal error variances", between(5, y, equal), 0.08887, 1e-13);
    const double large[] = {0.3, 0.3, 0.3, 0.3, 0.3};
    ct_near("more error than spread", between(5, y, large), 0, 0);
    const double none[] = {0, 0, 0, 0, 0};
    ct_near("no error at all", between(5, y, none), 0.10887, 1e-13);

    /* Two units: their difference is all there is, ((y1 - y2)^2 - v1 - v2) / 2. */
    const double two[] = {1.7, -0.45}, two_v[] = {0.9, 0.13};
    ct_near("two units", between(2, two, two_v), (2.15 * 2.15 - 1.03) / 2, 1e-13);
    const double near[] = {1.7, 1.45};
    ct_near("two units closer than their errors", between(2, near, two_v), 0, 0);

    const double v[] = {0.02, 0.05, 0.011, 0.083, 0.037};
    ct_near("unequal error variances", between(5, y, v), 0.095175718829643907535, 1e-12);

    /* Maxima at 0.0205 and at 1.0857, the second one higher by 0.128 in -2 log likelihood. */
    const double y2[] = {0.181, 2.014, 3.494, -1.247, 0.403};
    const double v2[] = {0.0116, 2.3498, 1.344, 3.7738, 0.0078};
    ct_near("the highest of two maxima", between(5, y2, v2), 1.08567898238307211, 1e-12);

    /* Units of measurement. */
    double tiny_y[5], tiny_v[5];
    for (int j = 0; j < 5; j++) {
        tiny_y[j] = y[j] * 1e-9;
        tiny_v[j] = v[j] * 1e-18;
    }
    ct_near("scores of the order 1e-9", between(5, tiny_y, tiny_v) * 1e18, 0.095175718829643907535,
            1e-12);

    double tau2;
    const double flat[] = {0.4, 0.4, 0.4};
    ct_near("equal scores", between(3, flat, v), 0, 0);
    ct_int("one unit is refused", sp_between_variance(1, y, v, &tau2, NULL, NULL), SP_BAD_ARGUMENT);
    ct_true("and has no answer", isnan(tau2));
    const double infinite[] = {0.1, INFINITY, 0.2};
    ct_int("an infinite score", sp_between_variance(3, infinite, v, &tau2, NULL, NULL),
           SP_NOT_FINITE);
    return ct_end();
}
