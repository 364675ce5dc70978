/* The list "reduced", which lmm_reduce() answers and the other entries read. */
#ifndef SAMEPAGE_R_REDUCED_H
#define SAMEPAGE_R_REDUCED_H

/* Its elements, in order. */
enum {
    RED_N,
    RED_N_X,
    RED_KEPT,
    RED_P,
    RED_Q,
    RED_N_NODES,
    RED_R,
    RED_A,
    RED_ITEM_UNIT,
    RED_ITEM_COUNT,
    RED_N_SHARED,
    RED_B,
    RED_C_FREE,
    RED_FREE_ROWS,
    RED_Z_FACTOR,
    RED_MEAN_SQUARES,
    RED_CELL_ITEM,
    RED_CELL_NODE,
    RED_CELL_COUNT,
    RED_CELL_SUM,
    RED_PARENTS,
    RED_RX,
    RED_COEF,
    RED_Y_SCALE,
    RED_RSS,
    RED_SUM_LOG_WEIGHTS,
    RED_ALIASED,
    RED_ALIAS_COEF,
    RED_CROSSED,
    RED_REBASED,
    RED_LENGTH
};

#endif
