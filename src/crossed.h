/* The general path for crossed groupings: criterion, derivatives and predictions when the units do
 * not nest (a patient seen by two therapists).
 *
 * Units of the first level (the one with most of them) are eliminated one by one, as always; what
 * they leave couples all units of the other levels, the "outer" ones, in one dense system with a
 * column for each outer unit and random effect, N in all. Time grows with N^3 and memory with N^2,
 * whatever the nesting: slower than the path of reml.c, never less exact. Symbols are those of
 * reml.h, with one node that holds everything:
 *   J = U'V1^-1 U, h = U'V1^-1 [X y], N = Gamma (I + J Gamma)^-1, K = U'V^-1 U, hh = U'V^-1 [X y],
 * where U are the outer columns, V1 the covariance without them and Gamma = Var of their effects.
 */
#ifndef SAMEPAGE_CROSSED_H
#define SAMEPAGE_CROSSED_H

#include "curvature.h"
#include "reml.h"

/* What the reduction keeps beyond R and a. Outer units are numbered level by level; a "meeting" is
 * a first-level unit and an outer unit that share rows. */
struct sp_crossed {
    int n_outer;      /* outer units of all levels */
    const int *start; /* n_units + 1: a unit's first meeting */
    const int *outer; /* outer unit of each meeting */
    const double *u;  /* q x q per meeting: first q rows of Q_i' times the outer unit's columns */
    const double *A;  /* n_outer q square: cross-products of the outer columns, rows free of Z */
    const double *b;  /* n_outer q rows of length d: their products with [X y] */
    const double *centre; /* the like: effects near the predictions, any will do */
    const double *rest;   /* the like: b with [X y] less the outer columns times the centre */
    const double *C;      /* packed d x d: cross-products of what the centre leaves of [X y] */
};

/* Meetings of each unit. codes: per outer level the 1-based code of each of the n rows; n_nodes:
 * units of each outer level; order and start: rows unit by unit, 0-based.
 * Out: meeting_start (n_units + 1), outer (at most n * n_levels). stamp: n_outer ints.
 * Returns their number. */
int sp_find_meetings(int n_units, const int *order, const int *start, int n_levels,
                     const int *const *codes, const int *n_nodes, int *meeting_start, int *outer,
                     int *stamp);

/* The rows and all that was found out about them: order, start, reflectors and Xfree are those of
 * sp_keep_reflectors, fixed, kept, Rx and coef those of sp_rank_fixed, the rest as above. */
typedef struct {
    const sp_rows *rows;
    const int *order, *start;
    const double *reflectors, *Xfree;
    const sp_fixed *fixed;
    const int *kept;
    const double *Rx, *coef;
    int n_levels;
    const int *const *codes;
    const int *n_nodes, *meeting_start, *outer;
} sp_crossed_rows;

/* The rows a second time, for the pieces of sp_crossed. most_meetings: of one unit.
 * Out: u, A, b, centre, rest, C. work: sp_cross_work_size doubles; level: n_outer ints.
 * Status: SP_OK, SP_SINGULAR when elements are not finite, SP_INTERRUPTED. */
size_t sp_cross_work_size(const sp_crossed_rows *in, int largest, int most_meetings);
sp_status sp_cross_rows(const sp_crossed_rows *in, double *u, double *A, double *b, double *centre,
                        double *rest, double *C, double *work, int *level, sp_check check,
                        void *check_data);

/* The counterparts of the routines in reml.h and curvature.h, called by those. G must be positive
 * semidefinite here. */
size_t sp_crossed_work_size(const sp_reduced *data, const sp_model *model);
sp_status sp_crossed_value(const sp_reduced *data, const sp_model *model, const sp_point *point,
                           double *memory, sp_value *value);
sp_status sp_crossed_derivatives(const sp_reduced *data, const sp_model *model,
                                 const sp_point *point, int reml, double *memory,
                                 const sp_value *value, sp_derivatives *out);
sp_status sp_crossed_ranef(const sp_reduced *data, const sp_model *model, const sp_point *point,
                           double *memory, const sp_value *value, int level, double *mean,
                           double *variance);
sp_status sp_crossed_curvature(const sp_reduced *data, const sp_model *model, const sp_point *point,
                               double *memory, int n_directions, const sp_direction *directions,
                               const double *weights, double *packed);

#endif
