#' Study 1, a synthetic sample: 96 dyads over 14 sessions
#'
#' **These data are synthetic.** No patient or therapist stands behind any row.
#' They have the structure of the first study of Nissen-Lie et al. (2020), whose
#' own data are not public: a randomised trial of cognitive behavioural (CBT)
#' and interpersonal (IPT) therapy for depression, in which patient and
#' therapist rated their alliance after each of up to 14 sessions and the
#' patient filled in the Beck Depression Inventory before each session.
#'
#' What agrees with the published sample: 96 dyads; 34 therapists, 25 of whom
#' give CBT and 9 IPT (each therapist one treatment only); pre-treatment BDI-II
#' with mean 35.8, SD 9.5 and range 14 to 58; 59.4 % of the patients on
#' medication; both alliance ratings rise, patients' ratings spread wider,
#' therapists start higher and patients end higher, and the two do not converge
#' on average. That half of the patients are in each treatment, and who treats
#' how many, is our own reading.
#'
#' # Calibration
#'
#' The data are made to return Table I of the paper when the paper's analysis is
#' run on them (see the examples). A large pool of dyads was drawn by
#' [generate_dyads()]. 96 of them were selected whose scores, attendance and
#' outcomes come near the table: the published standard errors, what carries
#' Model 3's effects into Model 2's, the variances and the AIC. Then their BDI
#' scores were moved as little as possible until the fitted models gave the
#' published cells, and rounded to whole numbers; at most five ratings of first
#' sessions were moved by one step of the scale. Last, what ratings deviate by from
#' each rater's line was drawn anew, as wide as in real sessions (SD about .3), in
#' ways that leave each line and each first rating as they were. What no cell asks
#' for, such as the shape of the residuals or the differences between therapists,
#' stayed as it was drawn. [compare_published()] marks every cell; those listed in
#' [published_exempt] contradict other printed ones.
#'
#' Seven patients left after the first session, five with a BDI score and two
#' without (it was taken out). They have no convergence score, so that Model 1 is
#' fitted to 94 dyads, Models 2 and 3 to 89. The published line of Model 1 lies
#' above that of Model 2 at both ends, which the same dyads would hardly give
#' (see the vignette `study1`). That there were such patients, and how many, is
#' our reading.
#'
#' The script that makes the data is `data-raw/study1.R` in the package's
#' sources.
#'
#' @format A data frame with one row per dyad and session attended:
#' \describe{
#'   \item{patient}{factor, 96 levels: the dyad.}
#'   \item{therapist}{factor, 34 levels; a therapist treats one to several
#'     patients.}
#'   \item{treatment}{factor, `CBT` or `IPT`, constant within therapists.}
#'   \item{session}{session number, 1 to 14.}
#'   \item{wai_patient, wai_therapist}{Working Alliance Inventory rated by the
#'     patient and by the therapist: mean of 12 items, 1 to 7, in steps of 1/12;
#'     `NA` where the form is missing.}
#'   \item{bdi}{BDI-II before the session, 0 to 63; `NA` where missing.}
#'   \item{bdi_pre}{BDI-II before treatment, one value per dyad.}
#'   \item{medication}{factor, `no` or `yes`: antidepressant medication at the
#'     start.}
#' }
#' @source Synthetic, made by `data-raw/study1.R`.
#' @references Nissen-Lie, H. A., Solbakken, O. A., Falkenström, F.,
#'   Wampold, B. E., Holmqvist, R., Ekeblad, A., & Monsen, J. T. (2020). Does it
#'   make a difference to be more "on the same page"? Investigating the role of
#'   alliance convergence for outcomes in two different samples. *Psychotherapy
#'   Research*. \doi{10.1080/10503307.2020.1823030}
#' @docType data
#' @keywords datasets
#' @name study1
#' @usage study1
#' @family synthetic samples
#' @examples
#' str(study1)
#' # BDI forms per dyad (synthetic data)
#' summary(as.vector(tapply(!is.na(study1$bdi), study1$patient, sum)))
#'
#' # the paper's analysis, on these synthetic data
#' scores <- convergence(
#'   wai_patient + wai_therapist ~ session | patient, data = study1,
#'   per = "course", transform = "log", early_discrepancy = "log_absolute"
#' )
#' models <- convergence_models(
#'   bdi ~ session | patient, data = study1, scores = scores,
#'   initial_row = "drop", rows = "available",
#'   center = c("initial", "convergence", "early_wai_patient", "early_wai_therapist", "development")
#' )
#' table(compare_published(models, "study1")$mark)
NULL

#' Study 2, a synthetic sample: 139 dyads at five occasions
#'
#' **These data are synthetic.** No patient or therapist stands behind any row.
#' They have the structure of the second study of Nissen-Lie et al. (2020),
#' whose own data are not public: a naturalistic study of mostly long outpatient
#' therapies at eight sites, in which patient and therapist rated their alliance
#' after sessions 3, 12 and 20, and the patient's general symptoms were measured
#' at sessions 1, 3, 12 and 20 and at the end of the treatment.
#'
#' What agrees with the published sample: 139 dyads, 52 therapists, 8 sites; age
#' with mean 35.7, SD 9.52 and range 20 to 62; 74.4 % women; symptoms before
#' treatment with mean 1.39, SD 0.62 and range 0.16 to 3.34; more than 20
#' sessions in every treatment, at most 364; complete alliance ratings; patients
#' rate the alliance higher, it rises, and the two ratings converge on average;
#' 67 treatments end by session 40.
#' No whole number of women among 139 patients makes 74.4 %; 99 of 133 does, so
#' that the sex of six patients is not recorded here. How patients are spread
#' over therapists and therapists over sites is our own reading.
#'
#' The three models of the paper, fitted to these data as in the vignette
#' `study2`, return its Table II: fixed effects within one unit of the last printed
#' digit, their standard errors within the rounding or 5 %, variances and
#' covariances within the rounding or 5 % (their standard errors 10 %), apart from
#' the cells that cannot be ([published_exempt]). For this, dyads drawn by
#' [generate_dyads()] were chosen so that their alliance scores spread and correlate
#' as the published standard errors imply. Symptoms were drawn about growth lines
#' that depend on these scores as published, and single symptom scores then moved
#' by as little as possible until the fitted models agreed. So effects found in
#' these data are the published ones because they were put there.
#' Three ratings carry much error into a score. Ratings here deviate from their
#' lines by an SD of about .2, less than real ones may: with .4 the published
#' spread of the scores would be nothing but error.
#'
#' Forty first GSI scores are missing. With complete outcomes and centred predictors
#' Models 1 and 2 would have the same slope, and the published ones differ. How many were
#' missing the paper does not say; with forty the published standard errors and
#' covariances go together.
#'
#' The script that makes the data is `data-raw/study2.R` in the package's
#' sources.
#'
#' @format A data frame with five rows per dyad:
#' \describe{
#'   \item{patient}{factor, 139 levels: the dyad.}
#'   \item{therapist}{factor, 52 levels; a therapist treats one to several
#'     patients.}
#'   \item{site}{factor, 8 levels, constant within therapists.}
#'   \item{sessions}{number of sessions of the whole treatment.}
#'   \item{age}{in years, at the start.}
#'   \item{sex}{factor, `man` or `woman`; `NA` for six patients.}
#'   \item{gsi_pre}{GSI before treatment, one value per dyad.}
#'   \item{occasion}{0 to 4: sessions 1, 3, 12 and 20 and the end of treatment.}
#'   \item{session}{session number of the occasion.}
#'   \item{wai_patient, wai_therapist}{Working Alliance Inventory rated by the
#'     patient and by the therapist: mean of 12 items, 1 to 7, in steps of 1/12;
#'     at occasions 1, 2 and 3 only, complete there.}
#'   \item{gsi}{Global Severity Index of the SCL-90-R: mean of 90 items, 0 to 4,
#'     in steps of 1/90; `NA` at occasion 0 for forty patients.}
#' }
#' @source Synthetic, made by `data-raw/study2.R`.
#' @inherit study1 references
#' @docType data
#' @keywords datasets
#' @name study2
#' @usage study2
#' @family synthetic samples
#' @examples
#' str(study2)
#' # mean ratings and symptoms by occasion (synthetic data)
#' aggregate(
#'   cbind(wai_patient, wai_therapist, gsi) ~ occasion,
#'   data = study2, FUN = mean, na.rm = TRUE, na.action = na.pass
#' )
NULL
