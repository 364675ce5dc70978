# Reference results of SPSS, SAS and JMP from the shared folder, and the differences from
# them. bench/inference.R prints what the tests bound.

# --- SPSS MIXED ----------------------------------------------------------------------

spss_data <- function(name) {
  data <- utils::read.csv(shared_path("oracles", "spss", paste0(name, ".csv")), sep = ";")
  for (column in c("subject", "period", "sequence", "treatment")) {
    data[[column]] <- factor(data[[column]])
  }
  data$log_pk <- log(as.numeric(data$PK))
  data[!is.na(data$log_pk), ]
}

spss_expected <- function(name) {
  all <- utils::read.csv(shared_path("oracles", "spss", "expected.csv"))
  all <- all[all$dataset == name, ]
  stats::setNames(all$value, all$quantity)
}

spss_fit <- function(name) {
  lmm(log_pk ~ period + sequence + treatment + (1 | subject), data = spss_data(name))
}

# Largest differences per group of quantities, in units of SPSS's last printed digit.
spss_differences <- function() {
  apart <- function(ours, truth, digits) {
    if (anyNA(truth)) NA else max(abs(as.vector(ours) - as.vector(truth))) * 10^digits
  }
  sapply(c("rds1", "rds3", "rds12"), simplify = FALSE, function(name) {
    truth <- spss_expected(name)
    fit <- spss_fit(name)
    varcomp <- summary(fit)$varcomp
    treatment <- summary(fit)$coefficients["treatmentT", ]
    tests <- anova(fit, type = 3, basis = "last")
    terms <- c("period", "sequence", "treatment")
    c(
      criteria = apart(
        information_criteria(fit), truth[c("m2rll", "aic", "aicc", "caic", "bic")], 8
      ),
      variances = apart(varcomp$estimate, truth[c("subject_variance", "residual_variance")], 6),
      errors = apart(varcomp$std.error, truth[c("subject_variance_se", "residual_variance_se")], 6),
      treatment = apart(
        treatment[c("Estimate", "Std. Error")], truth[c("treatment_estimate", "treatment_se")], 8
      ),
      df = apart(treatment["df"], truth["treatment_df"], 8),
      `type III F` = apart(tests[terms, "F value"], truth[paste0("type3_F_", terms)], 3),
      `type III df` = apart(tests[terms, "DenDF"], truth[paste0("type3_ddf_", terms)], 3)
    )
  })
}

# --- SAS MIXED -----------------------------------------------------------------------

sas_result <- function(name) {
  utils::read.csv(shared_path("oracles", "sas", paste0("results_", name, ".csv")))
}

pastry_dough <- function() {
  dough <- utils::read.csv(
    shared_path("oracles", "sas", "data_pastry_dough_experiment_chapter_7.csv")
  )
  names(dough) <- c("day", "flow", "moisture", "screw", "longitudinal", "cross")
  coded <- function(x) (x - mean(range(x))) / (diff(range(x)) / 2)
  dough$FR <- coded(dough$flow)
  dough$MC <- coded(dough$moisture)
  dough$SS <- coded(dough$screw)
  dough
}

# Each model with the columns of SAS's order.
sas_cases <- function() {
  data(sleepstudy, package = "lme4", envir = environment())
  sleepstudy$days2 <- sleepstudy$Days^2
  # `parameters`: ours in SAS's order, which goes through the triangle row by row.
  case <- function(formula, data = sleepstudy, order = NULL, parameters = NULL) {
    list(formula = formula, data = data, order = order, parameters = parameters)
  }
  list(
    sleep_study = case(Reaction ~ Days + (Days || Subject)),
    sleep_study_corr = case(Reaction ~ Days + (Days | Subject)),
    sleep_study_quadratic = case(Reaction ~ Days + days2 + (Days + days2 || Subject)),
    sleep_study_corr_quadratic = case(
      Reaction ~ Days + days2 + (Days + days2 | Subject),
      parameters = c(1, 2, 4, 3, 5, 6, 7)
    ),
    sleep_study_some_corr_quadratic = case(
      Reaction ~ Days + days2 + (1 | Subject) + (0 + Days + days2 | Subject)
    ),
    # SAS lists the products before the squares.
    pastry_dough = case(
      longitudinal ~ (FR + MC + SS)^2 + I(FR^2) + I(MC^2) + I(SS^2) + (1 | day), pastry_dough(),
      c(1:4, 8:10, 5:7)
    )
  )
}

# Largest relative differences; covariances of the covariance parameters relative to the
# product of their standard errors.
sas_differences <- function() {
  apart <- function(ours, theirs) max(abs(ours / theirs - 1))
  cases <- sas_cases()
  sapply(names(cases), simplify = FALSE, function(name) {
    case <- cases[[name]]
    table <- function(...) {
      table <- summary(lmm(case$formula, data = case$data, ...))$coefficients
      if (is.null(case$order)) table else table[case$order, ]
    }
    plain <- table()
    adjusted <- table(df = "kenward-roger", information = "observed")
    sw <- sas_result(paste0(name, "_sas_sw"))
    kr <- sas_result(paste0(name, "_sas_kr"))
    asycov <- sas_result(paste0(name, "_sas_asycov"))
    asycov <- as.matrix(asycov[grep("^CovP[0-9]", names(asycov))])
    ours <- component(lmm(case$formula, data = case$data), "vcov_parameters")
    if (!is.null(case$parameters)) {
      ours <- ours[case$parameters, case$parameters]
    }
    c(
      estimate = apart(plain[, "Estimate"], sw$Estimate),
      se = apart(plain[, "Std. Error"], sw$StdErr), df = apart(plain[, "df"], sw$DF),
      asycov = max(abs(ours - asycov) / sqrt(outer(diag(asycov), diag(asycov)))),
      kr.se = apart(adjusted[, "Std. Error"], kr$StdErr), kr.df = apart(adjusted[, "df"], kr$DF)
    )
  })
}
