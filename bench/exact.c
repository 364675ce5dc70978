/* The criterion of a mixed model with sigma^2 profiled out, by dense algebra in 113-bit arithmetic
 * (__float128, gcc). Written for reading and for being right, not for speed: it decides where two
 * programs' criteria differ by rounding. Called from R by .C().
 *
 *   V = I + sum over terms of (Z Lambda)(Z Lambda)' within the units of the term
 *   criterion = nu (log(2 pi r'V^-1 r / nu) + 1) + log|V| [+ log|X'V^-1 X| and nu = n - p for REML]
 *
 * In: n, p, X (n x p), y (n), n_terms, size (columns per term), Z (term after term, n x size),
 * unit (n x n_terms), Lambda (term after term, size x size), reml. Out: criterion. */
#include <quadmath.h>
#include <stdlib.h>

typedef __float128 quad;

static void add_term(int n, int size, const double *Z, const int *unit, const double *Lambda,
                     quad *scaled, quad *V) {
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < size; j++) {
            scaled[i * size + j] = 0;
            for (int k = 0; k < size; k++) {
                scaled[i * size + j] += (quad)Z[i + n * k] * (quad)Lambda[k + size * j];
            }
        }
    }
    for (int j = 0; j < n; j++) {
        for (int i = j; i < n; i++) {
            for (int k = 0; unit[i] == unit[j] && k < size; k++) {
                V[i + n * j] += scaled[i * size + k] * scaled[j * size + k];
            }
        }
    }
}

/* V = L L' in place; returns log|V|. */
static quad factor(int n, quad *V) {
    quad log_det = 0;
    for (int j = 0; j < n; j++) {
        for (int k = 0; k < j; k++) {
            quad multiple = V[j + n * k];
            for (int i = j; multiple != 0 && i < n; i++) {
                V[i + n * j] -= multiple * V[i + n * k];
            }
        }
        quad root = sqrtq(V[j + n * j]);
        log_det += 2 * logq(root);
        for (int i = j; i < n; i++) {
            V[i + n * j] /= root;
        }
    }
    return log_det;
}

static void forward_solve(int n, const quad *L, quad *x) {
    for (int j = 0; j < n; j++) {
        x[j] /= L[j + n * j];
        for (int i = j + 1; i < n; i++) {
            x[i] -= x[j] * L[i + n * j];
        }
    }
}

static quad dot(int n, const quad *x, const quad *y) {
    quad sum = 0;
    for (int i = 0; i < n; i++) {
        sum += x[i] * y[i];
    }
    return sum;
}

void exact_criterion(const int *n_rows, const int *n_fixed, const double *X, const double *y,
                     const int *n_terms, const int *size, const double *Z, const int *unit,
                     const double *Lambda, const int *reml, double *criterion) {
    int n = *n_rows, p = *n_fixed, widest = 1;
    for (int t = 0; t < *n_terms; t++) {
        widest = size[t] > widest ? size[t] : widest;
    }
    quad *V = calloc((size_t)n * n, sizeof(quad));
    quad *scaled = calloc((size_t)n * widest, sizeof(quad));
    quad *basis = calloc((size_t)n * (p + 1), sizeof(quad));
    for (int i = 0; i < n; i++) {
        V[i + n * i] = 1;
    }
    for (int t = 0; t < *n_terms; t++) {
        add_term(n, size[t], Z, unit + n * t, Lambda, scaled, V);
        Z += n * size[t];
        Lambda += size[t] * size[t];
    }
    quad sum = factor(n, V), square = 0;
    for (int c = 0; c <= p; c++) {
        quad *x = basis + n * c;
        for (int i = 0; i < n; i++) {
            x[i] = c < p ? X[i + n * c] : y[i];
        }
        forward_solve(n, V, x);
        for (int k = 0; k < c; k++) {
            quad along = dot(n, basis + n * k, x);
            for (int i = 0; i < n; i++) {
                x[i] -= along * basis[i + n * k];
            }
        }
        square = dot(n, x, x);
        quad length = sqrtq(square);
        for (int i = 0; c < p && i < n; i++) {
            x[i] /= length;
        }
        sum += c < p && *reml ? logq(square) : 0;
    }
    int nu = n - (*reml ? p : 0);
    *criterion = (double)(sum + nu * (logq(2 * M_PIq * square / nu) + 1));
    free(V);
    free(scaled);
    free(basis);
}
