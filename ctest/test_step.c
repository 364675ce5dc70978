/* The optimiser's steps against their definitions. */
#include "ctest.h"
#include "step.h"

static double size_of(int n, const double *x) {
    double sum = 0.0;
    for (int i = 0; i < n; i++) {
        sum += x[i] * x[i];
    }
    return sqrt(sum);
}

static void trust_region(void) {
    double step[3], work[27];
    /* Inside the region: Newton's step -g / h, fall g'g / 2h. */
    double H[9] = {2.0, 0, 0, 0, 4.0, 0, 0, 0, 0.5};
    const double g[3] = {1.5, -2.0, 0.25};
    double fall = sp_trust_region_step(3, g, H, 10.0, step, work);
    ct_near_all("Newton's step", 3, step, (const double[]){-0.75, 0.5, -0.5}, 1e-14);
    ct_near("its fall", fall, (2.25 / 2 + 4.0 / 4 + 0.0625 / 0.5) / 2, 1e-14);

    /* With directions that lean on each other: H^-1 = [2 -1; -1 2] / 3. */
    double L[4] = {2.0, 1.0, 1.0, 2.0};
    fall = sp_trust_region_step(2, (const double[]){3.0, 0.0}, L, 10.0, step, work);
    ct_near_all("Newton's step across", 2, step, (const double[]){-2.0, 1.0}, 1e-14);
    ct_near("and its fall", fall, 3.0, 1e-14);

    /* On its edge: |step| = radius and (H + mu) step = -g for one mu > 0. */
    double E[9] = {2.0, 0, 0, 0, 4.0, 0, 0, 0, 0.5};
    fall = sp_trust_region_step(3, g, E, 0.3, step, work);
    ct_near("on the edge of the region", size_of(3, step), 0.3, 1.1e-3);
    const double mu = -g[0] / step[0] - 2.0;
    ct_true("with a positive shift", mu > 0.0);
    ct_near("the same in every direction", -g[1] / step[1] - 4.0, mu, 1e-12);
    ct_near("and in the last", -g[2] / step[2] - 0.5, mu, 1e-12);
    const double predicted =
        -(g[0] * step[0] + g[1] * step[1] + g[2] * step[2] + step[0] * step[0] +
          2 * step[1] * step[1] + 0.25 * step[2] * step[2]);
    ct_near("the fall of the model there", fall, predicted, 1e-14);

    /* A saddle with no gradient: along the negative curvature, to the edge. */
    double S[4] = {1.0, 0.0, 0.0, -3.0};
    fall = sp_trust_region_step(2, (const double[]){0.0, 0.0}, S, 0.7, step, work);
    ct_near("no gradient: nothing across", step[0], 0.0, 1e-12);
    ct_near("all along the negative curvature", fabs(step[1]), 0.7, 1e-12);
    ct_near("which falls by 3 r^2 / 2", fall, 1.5 * 0.49, 1e-12);

    /* The hard case: the gradient has nothing along the lowest eigenvector. */
    double C[4] = {2.0, 0.0, 0.0, -1.0};
    fall = sp_trust_region_step(2, (const double[]){-0.9, 0.0}, C, 2.0, step, work);
    ct_near("hard case: across, -g / (h + 1)", step[0], 0.3, 1e-9);
    ct_near("the rest along the curvature", fabs(step[1]), sqrt(4.0 - 0.09), 1e-9);
    ct_near("and the fall of both", fall, 0.9 * 0.3 - 0.09 + (4.0 - 0.09) / 2, 1e-9);

    /* Negative curvature with a gradient along it goes down, not up. */
    double D[4] = {2.0, 0.0, 0.0, -1.0};
    sp_trust_region_step(2, (const double[]){0.5, 0.2}, D, 1.0, step, work);
    ct_true("down the gradient", step[0] < 0.0 && step[1] < 0.0);
    ct_near("to the edge", size_of(2, step), 1.0, 1.1e-3);

    /* A redundant direction is left alone. */
    double R[4] = {2.0, 0.0, 0.0, 0.0};
    fall = sp_trust_region_step(2, (const double[]){1.0, 0.0}, R, 5.0, step, work);
    ct_near_all("nothing along a flat direction", 2, step, (const double[]){-0.5, 0.0}, 1e-14);
    ct_near("fall without it", fall, 0.25, 1e-14);
}

/* Of rank two, with a column that a factor of a thousand makes as good as any other. */
static void semidefinite(void) {
    const double a[3] = {1.0, 0.0, 2000.0}, b[3] = {0.0, 3.0, 3000.0};
    double H[9], kept[9], step[3], work[27];
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++) {
            kept[i + 3 * j] = H[i + 3 * j] = a[i] * a[j] + b[i] * b[j];
        }
    }
    /* In the range of H, so that H step = -g has solutions. */
    const double g[3] = {a[0] - b[0], a[1] - b[1], a[2] - b[2]};
    sp_semidefinite_step(3, H, g, step, work);
    for (int i = 0; i < 3; i++) {
        double product = 0.0;
        for (int j = 0; j < 3; j++) {
            product += kept[i + 3 * j] * step[j];
        }
        ct_near("H step = -g", product, -g[i], 1e-9);
    }
    /* Scaled, the shortest solution is orthogonal to the null space (2000, 1000, -1) / scale. */
    const double null_vector[3] = {2000.0, 1000.0, -1.0};
    double along = 0.0;
    for (int i = 0; i < 3; i++) {
        along += null_vector[i] * kept[i + 3 * i] * step[i];
    }
    ct_near("nothing along what H does not know", along, 0.0, 1e-6);

    double full[4] = {2e6, 1e3, 1e3, 2.0}; /* [2 1; 1 2] with a unit a thousand times smaller */
    sp_semidefinite_step(2, full, (const double[]){3e3, 0.0}, step, work);
    ct_near_all("all is known: Newton's step", 2, step, (const double[]){-2e-3, 1.0}, 1e-14);

    double zero[4] = {0.0, 0.0, 0.0, 4.0};
    sp_semidefinite_step(2, zero, (const double[]){0.0, 2.0}, step, work);
    ct_near_all("a parameter without information stays", 2, step, (const double[]){0.0, -0.5},
                1e-15);
}

int main(void) {
    trust_region();
    semidefinite();
    return ct_end();
}
