#include "inference.h"
#include "curvature.h"
#include "linalg.h"
#include <math.h>
#include <string.h>

/* The natural point: bases that select columns, matrices G in the units of the reduced data. */
typedef struct {
    sp_point point;
    double *F[SP_MAX_LEVELS], *G[SP_MAX_LEVELS], *root[SP_MAX_LEVELS];
    sp_value value;
    sp_derivatives derivatives;
    sp_reml_work work;
    double *Ru, *Ru_rows, *X, *scratch;
} natural;

static size_t carve(const sp_reduced *data, const sp_model *model, double *memory, natural *at) {
    size_t used = 0, d = (size_t)data->d, k = (size_t)model->n_par + 1, widest = 0;
    for (int l = 0; l < model->n_levels; l++) {
        size_t dim = (size_t)model->dim[l];
        at->F[l] = sp_take(memory, &used, (size_t)data->q * dim);
        at->G[l] = sp_take(memory, &used, dim * dim);
        at->root[l] = sp_take(memory, &used, dim * dim);
        widest = dim > widest ? dim : widest;
    }
    at->scratch = sp_take(memory, &used, widest * (widest + 5));
    at->value.root = sp_take(memory, &used, d * d);
    double *derivatives = sp_take(memory, &used, sp_derivatives_size((int)d, (int)k));
    at->Ru = sp_take(memory, &used, d * d);
    at->Ru_rows = sp_take(memory, &used, d * d);
    at->X = sp_take(memory, &used, d * d);
    if (memory) {
        sp_derivatives_init((int)d, (int)k, derivatives, &at->derivatives);
        sp_reml_work_init(data, model, memory + used, &at->work);
    }
    return used;
}

size_t sp_results_work_size(const sp_reduced *data, const sp_model *model) {
    natural at;
    return carve(data, model, NULL, &at) + sp_reml_work_size(data, model);
}

/* root root' = G (n x n) by the eigenvectors of the correlations. Returns 0 where G is no
 * covariance matrix, rounding aside. work: n * (n + 5). */
static int square_root(int n, const double *G, double *root, double *work) {
    const double rounding = 1e-12; /* of an eigenvalue of correlations, per row */
    double *A = work, *scale = A + (size_t)n * n, *w = scale + n;
    if (n > 0 && (sp_eigen_scaled(n, G, A, scale, w, w + n) || !(w[0] >= -rounding * n))) {
        return 0;
    }
    for (int j = 0; j < n; j++) {
        for (int i = 0; i < n; i++) {
            root[i + (size_t)n * j] = scale[i] * A[i + (size_t)n * j] * sqrt(fmax(w[j], 0.0));
        }
    }
    return 1;
}

static void set_natural(const sp_model *model, const sp_blocks *blocks, const sp_units *units,
                        const double *G, double s, natural *at) {
    double variance_scale = units->y_scale * units->y_scale;
    for (int l = 0; l < model->n_levels; l++) {
        size_t dim = (size_t)model->dim[l];
        memset(at->G[l], 0, dim * dim * sizeof(double));
        sp_natural_basis(blocks, model, l, at->F[l]);
        at->point.F[l] = at->F[l];
        at->point.G[l] = at->G[l];
    }
    for (int b = 0; b < blocks->n_blocks; b++) {
        int n = blocks->size[b], level = blocks->level[b];
        int offset = sp_block_offset(blocks, b), dim = model->dim[level];
        for (int j = 0; j < n; j++) {
            for (int i = 0; i < n; i++) {
                at->G[level][offset + i + (size_t)dim * (offset + j)] =
                    G[i + (size_t)n * j] / variance_scale;
            }
        }
        G += n * n;
    }
    for (int l = 0; l < model->n_levels; l++) {
        int known = square_root(model->dim[l], at->G[l], at->root[l], at->scratch);
        at->point.root[l] = known ? at->root[l] : NULL;
    }
    at->point.s = s / variance_scale;
}

/* Solves Rx x = b in place, Rx upper triangular. */
static void back_solve(int p, const double *Rx, double *b) {
    for (int i = p - 1; i >= 0; i--) {
        b[i] /= Rx[i + (size_t)p * i];
        sp_axpy((size_t)i, -b[i], Rx + (size_t)p * i, b);
    }
}

double sp_criterion(const sp_reduced *data, const sp_units *units, int reml, double reduced) {
    int p = data->p;
    double nu = (double)data->n - (reml ? p : 0);
    double sum = reduced + 2.0 * nu * log(units->y_scale) - units->sum_log_weights;
    for (int i = 0; reml && i < p; i++) {
        sum += 2.0 * log(fabs(units->Rx[i + (size_t)p * i]));
    }
    return sum;
}

static double criterion_at(const sp_reduced *data, const sp_units *units, int reml,
                           const sp_value *value) {
    const double log_two_pi = 1.837877066409345483560659;
    double nu = (double)data->n - (reml ? data->p : 0);
    double sum = nu * log_two_pi + value->log_det_v + value->quadratic;
    return sp_criterion(data, units, reml, reml ? sum + value->log_det_x : sum);
}

void sp_beta(const sp_reduced *data, const sp_units *units, const double *root, double *beta) {
    int p = data->p;
    const double *rho = root + (size_t)data->d * p;
    for (int j = 0; j < p; j++) {
        beta[j] = units->coef[j] - units->y_scale * rho[j];
    }
    back_solve(p, units->Rx, beta);
}

static void multiply_by(double factor, size_t n, double *x) {
    for (size_t i = 0; i < n; i++) {
        x[i] *= factor;
    }
}

/* Ru (p x p) = Rx^-1 times the root of Phi: Ru Ru' is the covariance of beta beside y_scale^2. */
static void root_in_user_units(int p, const sp_units *units, const double *root, double *Ru) {
    for (int j = 0; j < p; j++) {
        memcpy(Ru + (size_t)p * j, root + ((size_t)p + 1) * j, (size_t)p * sizeof(double));
        back_solve(p, units->Rx, Ru + (size_t)p * j);
    }
}

sp_status sp_results_at(const sp_reduced *data, const sp_model *model, const sp_blocks *blocks,
                        const sp_units *units, int reml, const double *G, double s, double *memory,
                        sp_results *out) {
    natural at;
    carve(data, model, memory, &at);
    set_natural(model, blocks, units, G, s, &at);
    sp_status status = sp_reml_value(data, model, &at.point, &at.work, &at.value);
    if (status != SP_OK) {
        return status;
    }
    status =
        sp_reml_derivatives(data, model, &at.point, reml, &at.work, &at.value, &at.derivatives);
    if (status != SP_OK) {
        return status;
    }

    int p = data->p, d = data->d, k = model->n_par + 1;
    double variance_scale = units->y_scale * units->y_scale;
    const double *root = at.value.root;
    out->criterion = criterion_at(data, units, reml, &at.value);
    sp_beta(data, units, root, out->beta);
    root_in_user_units(p, units, root, at.Ru);
    /* Ru's columns are the rows of Ru'. */
    for (int j = 0; j < p; j++) {
        for (int i = 0; i < p; i++) {
            at.Ru_rows[j + (size_t)p * i] = at.Ru[i + (size_t)p * j];
        }
    }
    sp_rows_times(p, p, p, at.Ru_rows, p, at.Ru, p, p, out->vcov);
    multiply_by(variance_scale, (size_t)p * p, out->vcov);
    const sp_derivatives *D = &at.derivatives;
    for (int r = 0; r < k; r++) {
        double *P = at.X;
        for (int j = 0; j < p; j++) {
            memcpy(P + (size_t)p * j, D->P + (size_t)d * d * r + (size_t)d * j,
                   (size_t)p * sizeof(double));
        }
        double *RuP = at.value.root; /* no longer needed */
        sp_rows_times(p, p, p, at.Ru_rows, p, P, p, p, RuP);
        sp_rows_times(p, p, p, RuP, p, at.Ru, p, p, out->dvcov + (size_t)p * p * r);
        out->gradient[r] =
            (D->trace[r] - (reml ? D->trace_x[r] : 0.0) - D->square[r]) / variance_scale;
    }
    double square_scale = variance_scale * variance_scale;
    for (size_t i = 0; i < (size_t)k * k; i++) {
        out->expected[i] = D->expected[i] / square_scale;
        out->average[i] = D->average[i] / square_scale;
        out->observed[i] = 2.0 * out->average[i] - out->expected[i];
    }
    return SP_OK;
}

sp_status sp_ranef_at(const sp_reduced *data, const sp_model *model, const sp_blocks *blocks,
                      const sp_units *units, const double *G, double s, double *memory,
                      double *const *mean, double *const *variance) {
    natural at;
    carve(data, model, memory, &at);
    set_natural(model, blocks, units, G, s, &at);
    sp_status status = sp_reml_value(data, model, &at.point, &at.work, &at.value);
    for (int l = 0; status == SP_OK && l < model->n_levels; l++) {
        status = sp_reml_ranef(data, model, &at.point, &at.work, &at.value, l, mean[l],
                               variance ? variance[l] : NULL);
    }
    for (int l = 0; status == SP_OK && l < model->n_levels; l++) {
        size_t ql = (size_t)model->dim[l], groups = (size_t)data->n_nodes[l];
        multiply_by(units->y_scale, ql * groups, mean[l]);
        if (variance) {
            multiply_by(units->y_scale * units->y_scale, ql * ql * groups, variance[l]);
        }
    }
    return status;
}

/* A symmetric k x k matrix of the parameters, sum over m of weight_m u_m u_m'; each u_m as matrices
 * by level. */
typedef struct {
    double *weight, *vectors, *scale, *matrices, *eigen_work;
    sp_direction *each;
} directions;

static size_t carve_directions(const sp_model *model, double *memory, directions *out) {
    size_t used = 0, k = (size_t)model->n_par + 1, squares = 0;
    for (int l = 0; l < model->n_levels; l++) {
        squares += (size_t)model->dim[l] * model->dim[l];
    }
    out->weight = sp_take(memory, &used, k);
    out->vectors = sp_take(memory, &used, k * k);
    out->scale = sp_take(memory, &used, k);
    out->matrices = sp_take(memory, &used, k * squares);
    out->eigen_work = sp_take(memory, &used, 3 * k);
    out->each = (sp_direction *)(void *)sp_take(memory, &used,
                                                k * (sizeof(sp_direction) / sizeof(double) + 1));
    return used;
}

/* A parameter vector, times a factor, as matrices by level. Returns the end of `matrices`. */
static double *set_direction(const sp_model *model, const double *parameters, double factor,
                             double *matrices, sp_direction *direction) {
    for (int l = 0; l < model->n_levels; l++) {
        size_t dim = (size_t)model->dim[l];
        direction->G[l] = matrices;
        memset(matrices, 0, dim * dim * sizeof(double));
        for (int r = 0; r < model->n_par; r++) {
            if (model->level[r] == l) {
                size_t row = (size_t)model->row[r], col = (size_t)model->col[r];
                matrices[row + dim * col] = matrices[col + dim * row] = factor * parameters[r];
            }
        }
        matrices += dim * dim;
    }
    direction->s = factor * parameters[model->n_par];
    return matrices;
}

/* The directions of W (k x k), each times a factor. W is scaled to a unit diagonal first:
 * parameters may differ by many orders of magnitude. */
static sp_status split_covariance(const sp_model *model, const double *W, double factor,
                                  directions *out) {
    int k = model->n_par + 1;
    double *scale = out->scale, *matrices = out->matrices;
    for (int r = 0; r < k; r++) {
        scale[r] = sqrt(fabs(W[r + (size_t)k * r]));
    }
    for (int t = 0; t < k; t++) {
        for (int r = 0; r < k; r++) {
            double product = scale[r] * scale[t];
            out->vectors[r + (size_t)k * t] = product > 0.0 ? W[r + (size_t)k * t] / product : 0.0;
        }
    }
    if (sp_eigen(k, out->vectors, out->weight, out->eigen_work)) {
        return SP_LAPACK;
    }
    for (int m = 0; m < k; m++) {
        double *vector = out->vectors + (size_t)k * m;
        for (int r = 0; r < k; r++) {
            vector[r] *= scale[r];
        }
        matrices = set_direction(model, vector, factor, matrices, &out->each[m]);
    }
    return SP_OK;
}

/* out (p x p) = root' full root without their last row and column (full, root: d x d). X: p x p. */
static void in_root_coordinates(int p, const double *root, const double *full, double *X,
                                double *out) {
    size_t d = (size_t)p + 1;
    for (int j = 0; j < p; j++) {
        for (int i = 0; i < p; i++) {
            X[i + (size_t)p * j] = sp_dot((size_t)j + 1, full + d * i, root + d * j);
        }
    }
    for (int j = 0; j < p; j++) {
        for (int i = 0; i < p; i++) {
            out[i + (size_t)p * j] = sp_dot((size_t)i + 1, root + d * i, X + (size_t)p * j);
        }
    }
}

/* out (p x p) -= 2 / divisor times the sum of W_rs P_r P_s over X, in the coordinates of root. X:
 * p x p. */
static void subtract_squares(int p, const sp_derivatives *derivatives, const double *W,
                             double divisor, double *X, double *out) {
    int k = derivatives->k;
    size_t d = (size_t)p + 1;
    for (int r = 0; r < k; r++) {
        const double *Pr = derivatives->P + d * d * r;
        memset(X, 0, (size_t)p * p * sizeof(double)); /* sum over s of W_rs P_s */
        for (int s = 0; s < k; s++) {
            const double *Ps = derivatives->P + d * d * s;
            for (int j = 0; j < p; j++) {
                sp_axpy((size_t)p, W[r + (size_t)k * s] / divisor, Ps + d * j, X + (size_t)p * j);
            }
        }
        for (int j = 0; j < p; j++) {
            for (int i = 0; i < p; i++) {
                out[i + (size_t)p * j] -= 2.0 * sp_dot((size_t)p, Pr + d * i, X + (size_t)p * j);
            }
        }
    }
}

size_t sp_adjustment_work_size(const sp_reduced *data, const sp_model *model) {
    directions unused;
    size_t d = (size_t)data->d;
    return sp_results_work_size(data, model) + carve_directions(model, NULL, &unused) +
           sp_packed_size(data->d) + 2 * d * d + sp_curvature_work_size(data, model);
}

/* With W = sum of w_m u_m u_m', the sum over r and s of W_rs (Q_rs + Q_sr) is the sum over m of w_m
 * times the second derivative of X'V^-1 X along u_m. */
sp_status sp_adjustment_at(const sp_reduced *data, const sp_model *model, const sp_blocks *blocks,
                           const sp_units *units, const double *G, double s, const double *W,
                           double *memory, double *adjustment) {
    int p = data->p, d = data->d, k = model->n_par + 1;
    double variance_scale = units->y_scale * units->y_scale;
    natural at;
    directions of_W;
    size_t used = carve(data, model, memory, &at) + sp_reml_work_size(data, model);
    used += carve_directions(model, memory + used, &of_W);
    double *packed = sp_take(memory, &used, sp_packed_size(d));
    double *full = sp_take(memory, &used, (size_t)d * d);
    double *inner = sp_take(memory, &used, (size_t)d * d);
    set_natural(model, blocks, units, G, s, &at);
    sp_status status = sp_reml_value(data, model, &at.point, &at.work, &at.value);
    if (status == SP_OK) {
        status = split_covariance(model, W, 1.0 / variance_scale, &of_W);
    }
    if (status == SP_OK) {
        status = sp_reml_curvature(data, model, &at.point, &at.work, k, of_W.each, of_W.weight,
                                   memory + used, packed);
    }
    if (status == SP_OK) {
        status =
            sp_reml_derivatives(data, model, &at.point, 1, &at.work, &at.value, &at.derivatives);
    }
    if (status != SP_OK) {
        return status;
    }
    sp_unpack(d, packed, full);
    in_root_coordinates(p, at.value.root, full, at.X, inner);
    subtract_squares(p, &at.derivatives, W, variance_scale * variance_scale, at.X, inner);
    root_in_user_units(p, units, at.value.root, at.Ru);
    sp_multiply(p, p, p, at.Ru, inner, at.X);
    sp_multiply_nt(p, p, p, at.X, at.Ru, adjustment);
    multiply_by(variance_scale, (size_t)p * p, adjustment);
    return SP_OK;
}

size_t sp_face_work_size(int k, int n_squares) {
    return 4 * (size_t)k * k + 8 * (size_t)k + 6 * (size_t)n_squares;
}

/* Factor F (n x n) of one block: F F' = G over its first `rank` columns, the others span the rest.
 * Eigenvectors of the correlation-scaled matrix, largest first. work: n * n + 5 n. */
static void block_factor(int n, const double *G, int rank, double *F, double *work) {
    double *A = work, *scale = A + (size_t)n * n, *w = scale + n;
    sp_eigen_scaled(n, G, A, scale, w, w + n);
    for (int j = 0; j < n; j++) {
        const double *vector = A + (size_t)n * (n - 1 - j);
        double root = j < rank && w[n - 1 - j] > 0.0 ? sqrt(w[n - 1 - j]) : 1.0;
        for (int i = 0; i < n; i++) {
            F[i + (size_t)n * j] = scale[i] * vector[i] * root;
        }
    }
}

/* Jacobian (k rows) of the parameters with respect to the face's coordinates, and the curvature
 * that the face itself adds to the information: for one block, from its row and column on. Returns
 * the number of coordinates added. */
static int block_face(int n, int rank, const double *F, const double *gradient, int first_row,
                      int first_col, int k, double *J, double *curvature, double *Gamma) {
    /* Gamma = F' (gradient matrix) F */
    double *E = Gamma + (size_t)n * n, *EF = E + (size_t)n * n;
    int r = 0;
    for (int j = 0; j < n; j++) {
        for (int i = j; i < n; i++, r++) {
            E[i + (size_t)n * j] = E[j + (size_t)n * i] = i == j ? gradient[r] : 0.5 * gradient[r];
        }
    }
    sp_multiply(n, n, n, E, F, EF);
    sp_multiply_tn(n, n, n, F, EF, Gamma);
    int c = first_col;
    for (int j = 0; j < rank; j++) {
        for (int i = j; i < n; i++, c++) {
            const double *u = F + (size_t)n * i, *v = F + (size_t)n * j;
            double *column = J + first_row + (size_t)k * c;
            for (int b = 0; b < n; b++) {
                for (int a = b; a < n; a++) {
                    *column++ = u[a] * v[b] + v[a] * u[b];
                }
            }
            /* A regular G is a point like others: its own coordinates have no curvature, and what
             * the optimiser left of the gradient stays out. Near a singular one it must stay in:
             * the information along the face can be so small that it counts. */
            for (int e = j; rank < n && e < n; e++) {
                curvature[c + (size_t)k * (c + e - i)] = Gamma[i + (size_t)n * e];
            }
        }
    }
    return c - first_col;
}

/* Marks rows of J (k x n) that depend linearly on the rows before them. J is overwritten. */
static void dependent_rows(int k, int n, double *J, int *dependent) {
    const double tolerance = 1e-7;
    for (int r = 0; r < k; r++) {
        double before = 0.0, after = 0.0;
        for (int c = 0; c < n; c++) {
            before += J[r + (size_t)k * c] * J[r + (size_t)k * c];
        }
        for (int pass = 0; pass < 2; pass++) {
            for (int i = 0; i < r; i++) {
                if (dependent[i]) {
                    continue;
                }
                double along = 0.0;
                for (int c = 0; c < n; c++) {
                    along += J[r + (size_t)k * c] * J[i + (size_t)k * c];
                }
                for (int c = 0; c < n; c++) {
                    J[r + (size_t)k * c] -= along * J[i + (size_t)k * c];
                }
            }
        }
        for (int c = 0; c < n; c++) {
            after += J[r + (size_t)k * c] * J[r + (size_t)k * c];
        }
        dependent[r] = !(sqrt(after) > tolerance * sqrt(before));
        for (int c = 0; c < n; c++) {
            J[r + (size_t)k * c] = dependent[r] ? 0.0 : J[r + (size_t)k * c] / sqrt(after);
        }
    }
}

/* The face's coordinates at G: J (k rows) and the observed information of the likelihood in them
 * (information, square). OJ: k x k, block: 6 matrices of the largest block. Returns their number.
 */
static int face_information(const sp_blocks *blocks, int k, const double *G, const int *rank,
                            const double *gradient, const double *observed, double *J,
                            double *information, double *OJ, double *block) {
    int row = 0, n = 0;
    memset(J, 0, (size_t)k * k * sizeof(double));
    memset(information, 0, (size_t)k * k * sizeof(double));
    for (int b = 0; b < blocks->n_blocks; b++) {
        int size = blocks->size[b];
        double *F = block, *rest = F + (size_t)size * size;
        block_factor(size, G, rank[b], F, rest);
        n += block_face(size, rank[b], F, gradient + row, row, n, k, J, information, rest);
        row += size * (size + 1) / 2;
        G += size * size;
    }
    J[k - 1 + (size_t)k * n] = 1.0; /* s */
    n++;
    sp_multiply(k, k, n, observed, J, OJ);
    for (int j = 0; j < n; j++) {
        double *column = information + (size_t)k * j;
        for (int i = 0; i < n; i++) {
            column[i] += sp_dot((size_t)k, J + (size_t)k * i, OJ + (size_t)k * j);
        }
        memmove(information + (size_t)n * j, column, (size_t)n * sizeof(double));
    }
    return n;
}

/* Marks the parameters that a direction of no information (load, k) moves by more than rounding,
 * beside all that the face's coordinates (J, scaled) move them. */
static void mark_loaded(int k, int n, const double *J, const double *scale, const double *load,
                        int *redundant) {
    const double rounding = 1e-6;
    for (int r = 0; r < k; r++) {
        double size = 0.0;
        for (int i = 0; i < n; i++) {
            double x = J[r + (size_t)k * i] / scale[i];
            size += x * x;
        }
        redundant[r] = redundant[r] || fabs(load[r]) > rounding * sqrt(size);
    }
}

int sp_face_covariance(const sp_blocks *blocks, int k, const double *G, const int *rank,
                       const double *gradient, const double *observed, double *memory,
                       double *covariance, int *redundant) {
    const double nothing = 1e-12; /* beside the largest eigenvalue */
    size_t kk = (size_t)k * k;
    double *J = memory, *information = J + kk, *vectors = information + kk, *scale = vectors + kk;
    double *w = scale + k, *rest = w + 6 * (size_t)k;
    int undetermined = 0,
        n = face_information(blocks, k, G, rank, gradient, observed, J, information, vectors, rest);
    sp_eigen_scaled(n, information, vectors, scale, w, w + n);
    /* covariance = J (information)^+ J', of the scaled information */
    double *load = w + n; /* k */
    memset(covariance, 0, kk * sizeof(double));
    memset(redundant, 0, (size_t)k * sizeof(int));
    for (int c = 0; c < n; c++) {
        memset(load, 0, (size_t)k * sizeof(double));
        for (int i = 0; i < n; i++) {
            sp_axpy((size_t)k, vectors[i + (size_t)n * c] / scale[i], J + (size_t)k * i, load);
        }
        if (w[c] > nothing * w[n - 1]) {
            for (int j = 0; j < k; j++) {
                sp_axpy((size_t)k, load[j] / w[c], load, covariance + (size_t)k * j);
            }
        } else {
            undetermined = 1;
            mark_loaded(k, n, J, scale, load, redundant);
        }
    }
    if (!undetermined) {
        dependent_rows(k, n, J, redundant);
    }
    return undetermined;
}
