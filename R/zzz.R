.onLoad <- function(libname, pkgname) {
  if (isNamespaceLoaded("lme4")) {
    register_lme4_methods()
  }
  setHook(packageEvent("lme4", "onLoad"), register_lme4_methods)
}
