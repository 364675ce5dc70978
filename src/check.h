/* Asking the caller whether to stop: often enough that he is answered at once, seldom enough that
 * it costs nothing. */
#ifndef SAMEPAGE_CHECK_H
#define SAMEPAGE_CHECK_H

/* Asks whether to stop (nonzero = stop); may be NULL. */
typedef int (*sp_check)(void *);

/* Work between two questions, in multiplications: some hundredths of a second. The C tests ask
 * sooner, so that small data reach every question. */
#ifdef SAMEPAGE_STANDALONE
#define SP_WORK_BETWEEN_CHECKS 500.0
#else
#define SP_WORK_BETWEEN_CHECKS 2e7
#endif

/* Who to ask, and the work done since he was asked last. */
typedef struct {
    sp_check check;
    void *check_data;
    double done;
} sp_asking;

/* Asks at once, then after so much work each time. */
static inline sp_asking sp_ask(sp_check check, void *check_data) {
    sp_asking asking = {check, check_data, SP_WORK_BETWEEN_CHECKS};
    return asking;
}

/* Asks only after so much work: an evaluation of small data is over before. */
static inline sp_asking sp_ask_later(sp_check check, void *check_data) {
    sp_asking asking = {check, check_data, 0.0};
    return asking;
}

/* Nonzero when the caller, asked because enough work was done, wants to stop. */
static inline int sp_must_stop(sp_asking *asking, double work) {
    asking->done += work;
    if (!asking->check || asking->done < SP_WORK_BETWEEN_CHECKS) {
        return 0;
    }
    asking->done = 0.0;
    return asking->check(asking->check_data);
}

#endif
