/* Registration only: every routine R may call, by its name and number of arguments. */
#include "r_entries.h"
#include <R_ext/Rdynload.h>
#include <R_ext/Visibility.h>

static const R_CallMethodDef call_entries[] = {
    {"code_groups", (DL_FUNC)&code_groups, 1},
    {"code_group_pairs", (DL_FUNC)&code_group_pairs, 2},
    {"dyad_rows", (DL_FUNC)&r_dyad_rows, 2},
    {"dyad_ols", (DL_FUNC)&r_dyad_ols, 7},
    {"between_variance", (DL_FUNC)&r_between_variance, 2},
    {"lmm_reduce", (DL_FUNC)&lmm_reduce, 8},
    {"lmm_fit", (DL_FUNC)&lmm_fit, 5},
    {"lmm_infer", (DL_FUNC)&lmm_infer, 5},
    {"lmm_evaluate", (DL_FUNC)&lmm_evaluate, 4},
    {"lmm_adjustment", (DL_FUNC)&lmm_adjustment, 4},
    {"lmm_ranef", (DL_FUNC)&lmm_ranef, 4},
    {"lmm_replay", (DL_FUNC)&lmm_replay, 5},
    {"lmm_respond", (DL_FUNC)&lmm_respond, 3},
    {NULL, NULL, 0},
};

attribute_visible void R_init_samepage(DllInfo *dll) {
    R_registerRoutines(dll, NULL, call_entries, NULL, NULL);
    R_useDynamicSymbols(dll, FALSE);
    R_forceSymbols(dll, TRUE);
}
