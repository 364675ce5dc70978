# Installs packages that Debian lacks from the CRAN mirror this machine is configured for.
#   Rscript tools/cran.R plan    LIBRARY NAME...   names of the absent dependencies of NAME...
#   Rscript tools/cran.R install LIBRARY NAME...   installs NAME... and absent dependencies
# What is installed already is never replaced: packages compiled by Debian and newer builds from
# CRAN are not mixed. A package that would need that, or a newer R, is left out, and the reason is
# printed as "cannot install NAME: reason".

args <- commandArgs(TRUE)
task <- args[1]
library_path <- args[2]
wanted <- args[-(1:2)]

# A user's own option stands; without one ("@CRAN@" asks at a terminal) there is nothing to ask.
repos <- getOption("repos")
if (is.null(repos) || !nzchar(repos[1]) || repos[1] == "@CRAN@") {
  message(paste0("cannot install ", wanted, ": no CRAN mirror is configured (option \"repos\")\n"))
  quit(status = 1)
}

# Filtered to what this version of R can take; the unfiltered list only explains refusals.
# A mirror may lack one form of its list, which R warns about before it reads the next.
on_cran <- suppressWarnings(available.packages())
if (nrow(on_cran) == 0) {
  message(paste0("cannot install ", wanted, ": the CRAN mirror does not answer\n"))
  quit(status = 1)
}
everything <- suppressWarnings(available.packages(filters = list()))
hard <- c("Depends", "Imports", "LinkingTo")
own <- rownames(installed.packages(priority = "base"))

# The requirements of a package as a data frame: name, op, version.
requirements <- function(name) {
  field <- on_cran[name, hard]
  part <- trimws(unlist(strsplit(field[!is.na(field)], ",")))
  part <- part[nzchar(part)]
  pattern <- "^([A-Za-z0-9.]+)[[:space:]]*(\\(([<>=]+)[[:space:]]*([^)]+)\\))?.*$"
  out <- data.frame(
    name = sub(pattern, "\\1", part),
    op = sub(pattern, "\\3", part),
    version = trimws(sub(pattern, "\\4", part))
  )
  out[!out$name %in% c("R", own), ]
}

satisfied <- function(installed, op, version) {
  !nzchar(op) || do.call(op, list(package_version(installed), package_version(version)))
}

# Every absent package that `name` needs (itself included), or a reason why it cannot be had.
plan_for <- function(name) {
  todo <- name
  done <- character()
  while (length(todo) > 0) {
    package <- todo[1]
    todo <- todo[-1]
    if (package %in% done) next
    done <- c(done, package)
    if (!package %in% rownames(on_cran)) {
      needs <- if (package %in% rownames(everything)) everything[package, "Depends"] else NA
      return(list(reason = if (is.na(needs)) {
        paste(package, "is not on CRAN")
      } else {
        paste0(package, " on CRAN needs ", needs, "; this is R ", getRversion())
      }))
    }
    need <- requirements(package)
    for (i in seq_len(nrow(need))) {
      dependency <- need$name[i]
      if (!nzchar(system.file(package = dependency))) {
        todo <- c(todo, dependency)
      } else if (!satisfied(packageVersion(dependency), need$op[i], need$version[i])) {
        return(list(reason = paste0(
          package, " on CRAN needs ", dependency, " ", need$op[i], " ", need$version[i],
          "; this system has ", packageVersion(dependency), ", which is not replaced"
        )))
      }
    }
  }
  list(packages = done)
}

plans <- lapply(stats::setNames(wanted, wanted), plan_for)
possible <- !vapply(plans, function(plan) is.null(plan$packages), NA)
packages <- unique(unlist(lapply(plans[possible], `[[`, "packages")))

if (task == "plan") {
  cat(setdiff(packages, wanted), sep = "\n")
} else {
  for (name in wanted[!possible]) {
    cat("cannot install ", name, ": ", plans[[name]]$reason, "\n", sep = "")
  }
  absent <- packages[!nzchar(vapply(packages, function(x) system.file(package = x), ""))]
  if (length(absent) > 0) {
    install.packages(absent, lib = library_path, dependencies = FALSE, quiet = TRUE)
  }
}
