/* The stand-alone prototypes of lapack.h against matrices whose factors are known by hand. */
#include "ctest.h"
#include "lapack.h"

int main(void) {
    int info = -1;
    const int n = 2;

    /* Eigenvalues of [2 1; 1 2] are 1 and 3. */
    double a[4] = {2.0, 1.0, 1.0, 2.0};
    double w[2];
    double work[64];
    const int lwork = 64;
    F77_CALL(dsyev)("V", "L", &n, a, &n, w, work, &lwork, &info SP_FCONE SP_FCONE);
    ct_int("dsyev: info", info, 0);
    ct_near_all("dsyev: eigenvalues", 2, w, (const double[]){1.0, 3.0}, 1e-14);

    /* [4 2; 2 10] = L L' with L = [2 0; 1 3]. */
    double s[4] = {4.0, 2.0, 2.0, 10.0};
    F77_CALL(dpotrf)("L", &n, s, &n, &info SP_FCONE);
    ct_int("dpotrf: info", info, 0);
    ct_near_all("dpotrf: factor", 2, s, (const double[]){2.0, 1.0}, 1e-14);
    ct_near("dpotrf: last pivot", s[3], 3.0, 1e-14);

    /* An indefinite matrix is reported by the order of the first minor that fails. */
    double indefinite[4] = {1.0, 2.0, 2.0, 1.0};
    F77_CALL(dpotrf)("L", &n, indefinite, &n, &info SP_FCONE);
    ct_int("dpotrf: indefinite", info, 2);

    /* Singular values of diag(3, -5) are 5 and 3. */
    double d[4] = {3.0, 0.0, 0.0, -5.0};
    double values[2];
    double u[4];
    double vt[4];
    F77_CALL(dgesvd)
    ("A", "A", &n, &n, d, &n, values, u, &n, vt, &n, work, &lwork, &info SP_FCONE SP_FCONE);
    ct_int("dgesvd: info", info, 0);
    ct_near_all("dgesvd: singular values", 2, values, (const double[]){5.0, 3.0}, 1e-14);

    return ct_end();
}
