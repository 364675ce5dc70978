.onLoad <- function(libname, pkgname) {
  register_when_loaded("lme4", register_lme4_methods)
  register_when_loaded("emmeans", register_emmeans_methods)
  register_when_loaded("car", register_car_methods)
  register_when_loaded("multcomp", register_multcomp_methods)
}

# Methods on the generics of a package that need not be there.
register_when_loaded <- function(package, register) {
  if (isNamespaceLoaded(package)) {
    register()
  }
  setHook(packageEvent(package, "onLoad"), register)
}
