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
#' therapists start higher and patients end higher. That half of the patients
#' are in each treatment, and who treats how many, is our own reading.
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
#' # forms returned per dyad (synthetic data)
#' summary(as.vector(tapply(!is.na(study1$bdi), study1$patient, sum)))
NULL
