/* Steps of the optimiser: quadratic models of n parameters. */
#ifndef SAMEPAGE_STEP_H
#define SAMEPAGE_STEP_H

/* Minimises g's + s'Hs / 2 over |s| <= radius, exactly, H n x n (overwritten). Returns the
 * predicted fall. work: n^2 + 6 n doubles. */
double sp_trust_region_step(int n, const double *g, double *H, double radius, double *step,
                            double *work);

/* step = -pseudo-inverse(H) g for a positive semidefinite H (n x n, overwritten), its rank found
 * after scaling to a unit diagonal. work: n^2 + 6 n doubles. */
void sp_semidefinite_step(int n, double *H, const double *g, double *step, double *work);

#endif
