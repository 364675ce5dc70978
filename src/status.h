/* What a call of the core can answer. "The call failed" and "what the fit found" are two things. */
#ifndef SAMEPAGE_STATUS_H
#define SAMEPAGE_STATUS_H

/* Outcome of a call. */
typedef enum {
    SP_OK = 0,
    SP_BAD_ARGUMENT, /* a shape or value the caller should have refused */
    SP_NOT_FINITE,   /* a NaN or Inf in the data or in a result */
    SP_SINGULAR,     /* a factorisation met a matrix it cannot factor */
    SP_LAPACK,       /* LAPACK reported an error */
    SP_INTERRUPTED   /* the caller's check asked to stop */
} sp_status;

/* What the optimiser found. */
typedef enum {
    SP_FIT_OK = 0,
    SP_FIT_BOUNDARY, /* optimum with a singular covariance matrix: an answer */
    SP_FIT_FAILED    /* no optimum reached: the reason is a second value */
} sp_fit;

#endif
