/* Being asked to stop: counts how often a routine asks, then stops it at each of its questions. */
#ifndef SAMEPAGE_CTEST_STOPPING_H
#define SAMEPAGE_CTEST_STOPPING_H

#include "check.h"
#include "ctest.h"
#include "status.h"
#include <limits.h>

static inline int stop_at(void *left) {
    return --*(int *)left < 0;
}

/* run(what, check, check_data) calls the routine; it must ask at least `least` times. */
static inline void ct_stops(const char *name, int least, sp_status (*run)(void *, sp_check, void *),
                            void *what) {
    int left = INT_MAX;
    int fine = run(what, stop_at, &left) == SP_OK, asked = INT_MAX - left;
    for (int i = 0; i < asked; i++) {
        left = i;
        fine = fine && run(what, stop_at, &left) == SP_INTERRUPTED && left == -1;
    }
    printf("# %s asks %d times\n", name, asked);
    ct_true(name, fine && asked >= least);
}

#endif
