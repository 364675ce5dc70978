# published_tables and published_exempt: Tables I and II of Nissen-Lie et al.
# (2020) <doi:10.1080/10503307.2020.1823030> as printed, and the cells of them
# that cannot be. Run from the package's root: Rscript data-raw/published-tables.R
#
# The figures are typed in as text, so that the last printed digit is known
# (".50" is not ".5"). Columns: term, then estimate, SE and p of Model 1, 2, 3;
# a dash where a model does not have the term.

table_1 <- "
intercept                    33.4  1.16 <.001   32.78  .84 <.001   32.43 1.50 <.001
time                         -.79  .13  <.001   -.82   .14 <.001   -.94  .25  <.001
initial                      -     -    -        .88   .08 <.001    .77  .10  <.001
convergence                  -     -    -       1.19  2.44 .626    -.05  2.87 .986
convergence:time             -     -    -       -.08   .39 .831    -.333 .46  .484
early_wai_patient            -     -    -       -     -    -       -.69  1.45 .635
early_wai_therapist          -     -    -       -     -    -      -4.42  2.03 .032
development                  -     -    -       -     -    -        .66  1.61 .683
early_discrepancy            -     -    -       -     -    -       1.05  3.33 .753
early_wai_patient:time       -     -    -       -     -    -       -.08  .23  .745
early_wai_therapist:time     -     -    -       -     -    -       -.16  .32  .615
development:time             -     -    -       -     -    -       -.87  .29  .004
early_discrepancy:time       -     -    -       -     -    -        .37  .55  .504
development:convergence:time -     -    -       -     -    -        .11  .73  .881
intercept_variance           49.84 9.35 <.001   50.78 1.30 <.001   49.10 9.22 <.001
covariance                   -1.85 1.11 .096    -1.81 1.10 .099    -1.94 1.13 .086
slope_variance                1.24 .26  <.001    1.31 .26  <.001    1.22 .26  <.001
aic                          6953  -    -        6500 -    -        6449 -    -
"

table_2 <- "
intercept                     1.28 .04  <.001    1.28 .02  <.001    1.28 .02  <.001
time                         -.10  .01  <.001   -.08  .01  <.001   -.09  .01  <.001
initial                      -     -    -        .92  .03  <.001    .88  .03  <.001
convergence                  -     -    -       -.12  .08  .153    -.34  .18  .050
convergence:time             -     -    -        .03  .06  .648    -.04  .12  .775
early_wai_patient            -     -    -        -    -    -        .02  .03  .568
early_wai_therapist          -     -    -        -    -    -       -.02  .04  .562
development                  -     -    -        -    -    -       -.01  .04  .856
early_discrepancy            -     -    -        -    -    -        .09  .06  .143
early_wai_patient:time       -     -    -        -    -    -       -.003 .02  .888
early_wai_therapist:time     -     -    -        -    -    -       -.02  .02  .430
development:time             -     -    -        -    -    -       -.01  .02  .422
early_discrepancy:time       -     -    -        -    -    -        .02  .04  .709
development:convergence:time -     -    -        -    -    -        .04  .08  .590
intercept_variance            .34  .04  <.001    .002 .001 <.001    .002 .000 <.001
covariance                   -.017 .007 .010     .0005 .002 .060    .004 .003 .095
slope_variance                .01  .002 <.001    .01  .002 <.001    .011 .002 <.001
aic                          1379  -    -        461  -    -        509  -    -
"

read_table <- function(text, study) {
  cells <- utils::read.table(
    text = text, colClasses = "character", na.strings = "-",
    col.names = c(
      "term", paste0(c("estimate_", "std.error_", "p.value_"), rep(1:3, each = 3))
    )
  )
  models <- lapply(1:3, function(model) {
    columns <- paste0(c("estimate_", "std.error_", "p.value_"), model)
    rows <- stats::setNames(cells[columns], c("estimate", "std.error", "p.value"))
    effect <- ifelse(
      cells$term %in% c("intercept_variance", "covariance", "slope_variance"), "ran_pars",
      ifelse(cells$term == "aic", "fit", "fixed")
    )
    rows <- data.frame(study = study, model = model, effect = effect, term = cells$term, rows)
    rows[!is.na(rows$estimate), ]
  })
  do.call(rbind, models)
}
published_tables <- rbind(read_table(table_1, 1L), read_table(table_2, 2L))
rownames(published_tables) <- NULL

# Which cells cannot be, and why in a sentence. The vignettes recompute each.
exempt <- function(study, model, effect, term, statistic, reason) {
  data.frame(study, model, effect, term, statistic, reason)
}
model_1 <- paste(
  "Model 1 has no initial symptoms, so that its intercept variance must be Model 2's plus what",
  "they explain, near 120 and not 50."
)
small_variance <- paste(
  "SE(intercept) prints as .02, so that the intercepts vary by .031 at least with 139 dyads, and",
  "no variance component of theirs can have an SE below .0038."
)
criteria <- paste(
  "With five occasions Model 1's 1379 needs a residual variance of .27 and Model 2's 461 one of",
  ".08, but a dyad's predictors do not change the residual variance."
)
published_exempt <- rbind(
  exempt(1L, 1L, "ran_pars", "intercept_variance", "estimate", model_1),
  exempt(1L, 1L, "ran_pars", "intercept_variance", "std.error", model_1),
  exempt(1L, 1L, "ran_pars", "covariance", "std.error", model_1),
  exempt(1L, 2L, "ran_pars", "intercept_variance", "std.error", paste(
    "No sample of 96 dyads gives a variance of 50.78 an SE below 7.4."
  )),
  exempt(2L, 1L, "fixed", "intercept", "std.error", paste(
    "An SE that prints as .04 needs an intercept variance below .28 with 139 dyads; printed is .34."
  )),
  exempt(2L, 2L, "ran_pars", "intercept_variance", "std.error", small_variance),
  exempt(2L, 3L, "ran_pars", "intercept_variance", "std.error", small_variance),
  exempt(2L, 2L, "ran_pars", "intercept_variance", "p.value", small_variance),
  exempt(2L, 3L, "ran_pars", "intercept_variance", "p.value", small_variance),
  exempt(2L, 2L, "ran_pars", "covariance", "p.value", paste(
    "A covariance of .0005 with SE .002 gives p = .80."
  )),
  exempt(2L, 3L, "fixed", "convergence", "p.value", "Printed .050: on neither side of .05."),
  exempt(2L, 1L, "fit", "aic", "estimate", criteria),
  exempt(2L, 2L, "fit", "aic", "estimate", criteria),
  exempt(2L, 3L, "fit", "aic", "estimate", criteria)
)

save(published_tables, file = "data/published_tables.rda", version = 2, compress = "xz")
save(published_exempt, file = "data/published_exempt.rda", version = 2, compress = "xz")
