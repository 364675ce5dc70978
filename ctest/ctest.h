/* Checks for the stand-alone C tests. Each check prints one line, "ok name" or "not ok name" with
 * what was found; main() ends with `return ct_end();`, which prints the number of checks (so that
 * a test that stops half-way is seen) and answers 1 when any of them failed. */
#ifndef SAMEPAGE_CTEST_H
#define SAMEPAGE_CTEST_H

#include <math.h>
#include <stdio.h>

static int ct_checks = 0;
static int ct_failures = 0;

static inline void ct_true(const char *name, int condition) {
    ct_checks++;
    if (condition) {
        printf("ok %s\n", name);
    } else {
        ct_failures++;
        printf("not ok %s\n", name);
    }
    fflush(stdout);
}

static inline void ct_int(const char *name, long actual, long expected) {
    ct_true(name, actual == expected);
    if (actual != expected)
        printf("# found %ld, expected %ld\n", actual, expected);
}

/* |actual - expected| <= tolerance * max(|expected|, 1) for each of n values. NaN never passes. */
static inline void ct_near_all(const char *name, int n, const double *actual,
                               const double *expected, double tolerance) {
    int bad = -1;
    for (int i = 0; i < n && bad < 0; i++) {
        const double size = fabs(expected[i]) > 1.0 ? fabs(expected[i]) : 1.0;
        if (!(fabs(actual[i] - expected[i]) <= tolerance * size))
            bad = i;
    }
    ct_true(name, bad < 0);
    if (bad >= 0)
        printf("# element %d: found %.17g, expected %.17g\n", bad, actual[bad], expected[bad]);
}

static inline void ct_near(const char *name, double actual, double expected, double tolerance) {
    ct_near_all(name, 1, &actual, &expected, tolerance);
}

static inline int ct_end(void) {
    printf("1..%d\n", ct_checks);
    fflush(stdout);
    return ct_failures > 0;
}

#endif
