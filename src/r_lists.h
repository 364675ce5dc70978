/* Lists in the SEXP layer. */
#ifndef SAMEPAGE_R_LISTS_H
#define SAMEPAGE_R_LISTS_H

#include "r_entries.h"
#include <string.h>

/* The element of that name; its absence is a mistake of the R code. */
static inline SEXP list_element(SEXP list, const char *name) {
    SEXP names = Rf_getAttrib(list, R_NamesSymbol);
    for (R_xlen_t i = 0; i < Rf_xlength(names); i++) {
        if (strcmp(CHAR(STRING_ELT(names, i)), name) == 0) {
            return VECTOR_ELT(list, i);
        }
    }
    Rf_error("internal error: no element '%s'", name);
    return R_NilValue;
}

#endif
