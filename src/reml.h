/* Step 3 of the fit: the criterion and its exact derivatives at given parameters.
 *
 * V = s I + sum over levels Z F_l G_l F_l' Z', where Z holds the union of all random-effects
 * columns, F_l (q x q_l) is a basis for level l (a selection of columns, or the optimiser's own)
 * and G_l a symmetric q_l x q_l matrix. The parameters are elements of the G_l and, last, s. V is
 * linear in them; a singular G_l is an ordinary point.
 *
 * Level 0 are the units (dyads); a group of a higher level is a "node". All that a node needs of
 * its members are sums of small matrices, so the same step serves any number of nested levels.
 *
 * With D_r the derivative of V in parameter r (V is linear, so D_r is constant), X for [X y] where
 * rho follows, Phi = (X'V^-1 X)^-1 and rho = (-beta, 1):
 *   P_r  = X'V^-1 D_r V^-1 X,  Q_rs = X'V^-1 D_r V^-1 D_s V^-1 X,  T_rs = tr(V^-1 D_r V^-1 D_s)
 *   -2 log L      log|V| + rho'X'V^-1 X rho + n log 2pi, for REML + log|X'V^-1 X| - p log 2pi
 *   its gradient  tr(V^-1 D_r) - rho'P_r rho, for REML - tr(Phi P_r)
 *   expected      [T_rs - 2 tr(Phi Q_rs) + tr(Phi P_r Phi P_s)] / 2, for ML T_rs / 2
 *   average       [rho'Q_rs rho - v_r'Phi v_s] / 2, v_r the part of P_r rho that belongs to X
 *   observed      2 average - expected
 * (Gilmour, Thompson and Cullis 1995, doi.org/10.2307/2533274, for the average.) */
#ifndef SAMEPAGE_REML_H
#define SAMEPAGE_REML_H

#include "reduce.h"
#include "status.h"
#include <stddef.h>

enum { SP_MAX_LEVELS = 8 };

/* What crossed groupings need instead of cells and parents (crossed.h). */
typedef struct sp_crossed sp_crossed;

/* The reduced data, read only. An item is a pattern that units share, or one unit by itself. */
typedef struct {
    int n, p, q, d; /* rows, rank of X, columns of Z, p + 1 */
    int n_levels;
    int n_units, n_items, n_shared, n_cells;
    const double *R;                       /* q x q per unit */
    const double *a;                       /* q rows of length d per unit */
    const int *item_unit;                  /* a unit with the item's R */
    const double *item_count;              /* units of the item */
    const double *B;                       /* cross-products of the shared items (pattern.h) */
    const double *Cfree;                   /* packed d x d: cross-products of the rows free of Z */
    const double *z_factor, *mean_squares; /* for the search's start (reduce.h) */
    /* Cells: units of one node of level 1 that share an item, node by node. */
    const int *cell_item, *cell_node;
    const double *cell_count, *cell_sum;
    int n_nodes[SP_MAX_LEVELS];       /* n_nodes[0] = n_units */
    const int *parent[SP_MAX_LEVELS]; /* parent[l]: node of level l + 1 of each node of l */
    const sp_crossed *crossed;        /* NULL when every level nests in the next */
    sp_check check;                   /* asked now and then: an evaluation can take seconds */
    void *check_data;
} sp_reduced;

/* The covariance parameters: element (row, col) of G at `level`, and s last. */
typedef struct {
    int n_levels, q;
    int dim[SP_MAX_LEVELS]; /* q_l */
    int n_par;              /* without s */
    const int *level, *row, *col;
} sp_model;

/* Rows and columns that a small scratch matrix needs: terms that share columns can make a level's
 * own dimension exceed q. */
static inline size_t sp_widest(const sp_model *model) {
    int m = model->q;
    for (int l = 0; l < model->n_levels; l++) {
        m = model->dim[l] > m ? model->dim[l] : m;
    }
    return (size_t)m;
}

/* Where to evaluate. */
typedef struct {
    const double *F[SP_MAX_LEVELS]; /* q x q_l */
    const double *G[SP_MAX_LEVELS]; /* q_l x q_l */
    /* q_l x q_l with root root' = G, or NULL where G has none or nobody knows it: with it, large
     * effects cost half as many digits. Crossed groupings need it. */
    const double *root[SP_MAX_LEVELS];
    double s;
} sp_point;

/* The criterion's parts. rho = (-beta, 1); beta belongs to the orthonormal X. */
typedef struct {
    double log_det_v; /* log|V| */
    double log_det_x; /* log|X'V^-1 X| */
    double quadratic; /* (y - X beta)'V^-1 (y - X beta) */
    double *root;     /* d x d: columns 1..p a root of Phi = (X'V^-1 X)^-1, column d = rho */
    /* The digits that solving for beta cost, as the largest ratio of a diagonal element of
     * [X y]'V^-1[X y] to what the columns before leave of it. */
    double inflation;
} sp_value;

/* Derivatives with respect to the k parameters (n_par, or n_par + 1 with s), P_r in the coordinates
 * of `root`. */
typedef struct {
    int k;
    double *trace;    /* k: tr(V^-1 D_r) */
    double *trace_x;  /* k: tr(Phi P_r) */
    double *square;   /* k: rho'P_r rho */
    double *P;        /* d x d per parameter: root'P_r root */
    double *expected; /* k x k expected information of log L */
    double *average;  /* k x k average information */
} sp_derivatives;

typedef struct sp_reml_work sp_reml_work;
struct sp_reml_work {
    double *Ci, *W;                             /* q x q per item */
    double *Rn, *an, *Cn;                       /* per node of levels >= 1 */
    double *J, *N, *K, *h, *z, *hhat;           /* the same */
    double *node_Ga, *node_De, *node_y;         /* per node of levels >= 2 */
    double *cv, *Phi, *weight_tau, *weight_rho; /* d x d sized */
    double *root_rows;                          /* root by its rows, d x d */
    double *weights;                            /* per product of a shared item: its weight in CV */
    double *level_sums; /* sums for the traces of the levels' own parameters */
    double *P_shared, *T, *trQ, *rQ;
    double *small;                /* scratch */
    size_t offset[SP_MAX_LEVELS]; /* first node of a level among all nodes */
    double *crossed;              /* workspace of crossed.c, which uses none of the above */
};

/* Doubles of workspace; k is the number of parameters with s. */
size_t sp_reml_work_size(const sp_reduced *data, const sp_model *model);
void sp_reml_work_init(const sp_reduced *data, const sp_model *model, double *memory,
                       sp_reml_work *work);

/* Criterion's parts at a point.
 * In: data, model, point. Out: value, whose root (d x d) is the caller's; work keeps what the
 * derivatives and predictions need.
 * Status: SP_OK; SP_SINGULAR when V, or X'V^-1 X, is not positive definite there or nothing of y is
 * left over; SP_NOT_FINITE when a part of the criterion is not finite. */
sp_status sp_reml_value(const sp_reduced *data, const sp_model *model, const sp_point *point,
                        sp_reml_work *work, sp_value *value);

/* Derivatives at the point of the last sp_reml_value, whose work and value they read. out->k says
 * whether s is one of the parameters. Status: SP_OK, SP_INTERRUPTED. */
sp_status sp_reml_derivatives(const sp_reduced *data, const sp_model *model, const sp_point *point,
                              int reml, sp_reml_work *work, const sp_value *value,
                              sp_derivatives *out);

/* Ci = inverse Cholesky factor (q x q) of s I + L G L', L = R F at a level, and its log
 * determinant. scratch: two matrices of q x the level's dimension. */
sp_status sp_factor_level(int q, const double *R, const sp_model *model, const sp_point *point,
                          int level, double s, double *Ci, double *log_det, double *scratch);

/* What both paths end with. root and the parts of the criterion that concern X, from the packed
 * [X y]'V^-1[X y]; full: d x d, C: p x p workspace. */
sp_status sp_solve_fixed(int p, const double *cv, double *full, double *C, sp_value *value);

/* Expected and average information (and trace_x, square) from P and the upper triangles of
 * T_rs, tr(Phi Q_rs) and rho'Q_rs rho, k x k each. */
void sp_assemble(int p, int reml, const double *T, const double *trQ, const double *rQ,
                 sp_derivatives *out);

/* Doubles of a derivatives object, and its set-up in caller's memory. */
size_t sp_derivatives_size(int d, int k);
void sp_derivatives_init(int d, int k, double *memory, sp_derivatives *out);

/* Best linear unbiased predictions of one level at the point of the last sp_reml_value:
 * mean (q_l per node), and, unless NULL, variance (q_l x q_l per node), conditional on the
 * parameters and beta. Status: SP_OK, SP_INTERRUPTED. */
sp_status sp_reml_ranef(const sp_reduced *data, const sp_model *model, const sp_point *point,
                        sp_reml_work *work, const sp_value *value, int level, double *mean,
                        double *variance);

#endif
