/* Reading the arguments of the entries: type, length and range of everything are checked before a
 * pointer is taken, so that a mistake of the R code ends in an R error and never in a read outside
 * an object. `what` names the argument in that error. */
#ifndef SAMEPAGE_R_ARGUMENTS_H
#define SAMEPAGE_R_ARGUMENTS_H

#include "r_entries.h"
#include "reduce.h"
#include <stddef.h>

/* Most columns of X or Z: far above what anybody fits, and low enough that no product of two widths
 * overflows an int. */
enum { ARG_MAX_COLUMNS = 20000 };

/* Elements of a double vector of length n. */
const double *arg_doubles(SEXP x, size_t n, const char *what);

/* The same, all finite. */
const double *arg_finite(SEXP x, size_t n, const char *what);

/* Elements of an integer vector of length n, all within from..to (NA is below every from). */
const int *arg_ints(SEXP x, size_t n, int from, int to, const char *what);

/* The same, and never decreasing. */
const int *arg_sorted_ints(SEXP x, size_t n, int from, int to, const char *what);

/* The columns of a design with n rows, in R's transient memory: those of a double matrix, or of a
 * list of double matrices and vectors (of n elements, or one for all rows). *n_columns receives
 * their number. */
const sp_column *arg_columns(SEXP x, int n, int *n_columns, const char *what);

/* One whole number within from..to. */
int arg_int(SEXP x, int from, int to, const char *what);

/* One finite number. */
double arg_double(SEXP x, const char *what);

/* TRUE or FALSE. */
int arg_flag(SEXP x, const char *what);

/* The same list; anything else is an error. */
SEXP arg_list(SEXP x, const char *what);

/* Ints of a call's own memory, one at least. */
int *allocate_ints(size_t n);

/* The core's question whether to stop: R jumps out of it when the user has interrupted. */
int check_interrupt(void *unused);

#endif
