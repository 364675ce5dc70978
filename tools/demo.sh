#!/bin/sh
# Shows the main job on the example data: sh tools/demo.sh
# Installs what is missing, builds the package with its vignettes and installs it into the project's
# own library; the reports on the two studies are copied to reports/.

set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# shellcheck source=tools/setup.sh
. "$root/tools/setup.sh"

set_up demo || {
    say "The set-up failed; the reason stands above."
    exit 1
}

# The same sources are installed once.
stamp=$library/samepage.sources
if [ ! -d "$library/samepage" ] || [ "$(cat "$stamp" 2>/dev/null)" != "$(sources_hash)" ]; then
    say "Building and installing the package into $library"
    mkdir "$work/source"
    copy_sources "$work/source"
    rm -f "$stamp"
    vignettes=
    can_build_vignettes || vignettes=--no-build-vignettes
    # shellcheck disable=SC2086
    if ! { (cd "$work" && R CMD build --no-manual $vignettes source) &&
        R CMD INSTALL --library="$library" "$work"/samepage_*.tar.gz; } >"$work/log" 2>&1 </dev/null; then
        cat "$work/log"
        say "The package could not be built and installed; the reason stands above."
        exit 1
    fi
    sources_hash >"$stamp"
fi

if [ -z "${SAMEPAGE_SHARED:-}" ] && [ -d "$root/../shared" ]; then
    SAMEPAGE_SHARED=$(cd "$root/../shared" && pwd)
fi
export SAMEPAGE_SHARED="${SAMEPAGE_SHARED:-}"

Rscript --no-save "$root/tools/demo.R" </dev/null

say ""
if [ -f "$library/samepage/doc/study1.html" ]; then
    mkdir -p "$root/reports"
    cp "$library"/samepage/doc/study[12].html "$root/reports/"
    say "The whole analysis of both studies, with figures, to open in a browser:"
    say "    $root/reports/study1.html"
    say "    $root/reports/study2.html"
else
    say "The reports on the two studies are left out: they need pandoc, knitr and rmarkdown."
fi
say ""
say "To use the package yourself, start R and write"
say "    library(samepage, lib.loc = \"$library\")"
