/* The SEXP layer: declarations of every routine that R may call. Included by init.c and r_*.c only.
 */
#ifndef SAMEPAGE_R_ENTRIES_H
#define SAMEPAGE_R_ENTRIES_H

#define R_NO_REMAP
#include <R.h>
#include <Rinternals.h>

/* r_groups.c */
SEXP code_groups(SEXP ids);
SEXP code_group_pairs(SEXP outer, SEXP inner);
SEXP r_dyad_rows(SEXP ids, SEXP time);
SEXP r_dyad_ols(SEXP starts, SEXP time, SEXP first, SEXP second, SEXP definition, SEXP early,
                SEXP window);
SEXP r_between_variance(SEXP y, SEXP v);

/* r_lmm.c */
SEXP lmm_reduce(SEXP X, SEXP y, SEXP Z, SEXP groups, SEXP n_units, SEXP weights, SEXP tolerance,
                SEXP crossed);
SEXP lmm_fit(SEXP reduced, SEXP blocks_list, SEXP reml, SEXP control_list, SEXP start);
SEXP lmm_infer(SEXP reduced, SEXP blocks_list, SEXP parameters, SEXP rank, SEXP reml);
SEXP lmm_evaluate(SEXP reduced, SEXP blocks_list, SEXP parameters, SEXP reml);
SEXP lmm_adjustment(SEXP reduced, SEXP blocks_list, SEXP parameters, SEXP covariance);
SEXP lmm_ranef(SEXP reduced, SEXP blocks_list, SEXP parameters, SEXP with_variance);

/* r_respond.c */
SEXP lmm_replay(SEXP X, SEXP Z, SEXP unit, SEXP weights, SEXP reduced);
SEXP lmm_respond(SEXP reduced, SEXP replay, SEXP y);

#endif
