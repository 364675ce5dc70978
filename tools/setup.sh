# shellcheck shell=sh
# Sourced by demo.sh and test.sh, never run by itself. Needs: root (the checkout).
# set_up PROFILE installs what needs.txt and DESCRIPTION ask for and this machine lacks, without a
# prompt, and leaves in
#   library      the project's own R library (first in R_LIBS),
#   missing      names of what could not be had, one a line "name: reason".
# It returns 1 only when the package cannot be built at all, or apt failed at something it should do.

: "${root:?}"
LC_ALL=C.UTF-8
DEBIAN_FRONTEND=noninteractive
export LC_ALL DEBIAN_FRONTEND
missing=
library=
apt_updated=

say() {
    printf '%s\n' "$*"
}

one_line() {
    printf '%s' "$1" | tr '\n' ' '
}

has() {
    command -v "$1" >/dev/null 2>&1
}

# fields of DESCRIPTION ---------------------------------------------------------------------

# r_packages FIELD...: package names of the fields, without versions, R itself and R's own packages.
r_packages() {
    awk -v fields=" $* " '
        /^[^ \t]/ { name = $0; sub(/:.*/, "", name); on = index(fields, " " name " ")
                    sub(/^[^:]*:/, "") }
        on { gsub(/\([^)]*\)/, ""); gsub(/[ \t]/, ""); n = split($0, part, ",")
             for (i = 1; i <= n; i++) if (part[i] != "") print part[i] }
    ' "$root/DESCRIPTION" |
        grep -vxE 'R|base|compiler|datasets|graphics|grDevices|grid|methods|parallel|splines|stats|stats4|tcltk|tools|utils'
}

# needs PROFILE KIND: lines "name command" of needs.txt; the test profile contains the demo's.
needs() {
    awk -v profile="$1" -v kind="$2" '
        /^#/ || NF == 0 { next }
        ($1 == "demo" || $1 == profile) && $2 == kind { print $3, $4 }
    ' "$root/tools/needs.txt"
}

# apt ---------------------------------------------------------------------------------------

has_dpkg() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# as_root COMMAND...: runs it as root or fails where this user has no way to without a prompt.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@" </dev/null
    elif has sudo && sudo -n true 2>/dev/null </dev/null; then
        sudo -n env DEBIAN_FRONTEND=noninteractive "$@" </dev/null
    else
        return 1
    fi
}

can_install() {
    has apt-get && as_root true
}

apt_candidate() {
    apt-cache policy "$1" 2>/dev/null | grep -q '^  Candidate: [^(]'
}

apt_update() {
    [ -z "$apt_updated" ] || return 0
    apt_updated=yes
    say "Refreshing the list of Debian packages"
    # A failure is not the end: the old list, or another source in it, may be enough.
    as_root apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 update >"$setup_log" 2>&1 || {
        cat "$setup_log"
        say "apt-get update failed (its output is above); going on with the list as it is."
    }
}

# apt_install NAME...: installs them; a failure with an old list is retried with a new one.
apt_install() {
    say "Installing from Debian (this can take some minutes): $*"
    for attempt in 1 2; do
        as_root apt-get -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 \
            -o Acquire::Retries=3 install "$@" >"$setup_log" 2>&1 && return 0
        if [ "$attempt" = 1 ] && [ -z "$apt_updated" ]; then
            apt_update
        else
            break
        fi
    done
    cat "$setup_log"
    say "apt-get install failed (its output is above)."
    return 1
}

# lacks NAME REASON
lacks() {
    missing="${missing}$1: $2
"
    say "Not available: $1 ($2)"
}

# R -----------------------------------------------------------------------------------------

# Debian's r-cran-* packages belong to Debian's R; beside any other R they would bring a second one.
r_is_debian() {
    has dpkg-query || return 1
    has R || return 0
    dpkg-query -S "$(readlink -f "$(command -v R)")" >/dev/null 2>&1
}

# The library of this project, one for each R version since compiled packages belong to one.
use_library() {
    library="$root/library/R-$(Rscript --vanilla -e 'cat(as.character(getRversion()[, 1:2]))' </dev/null)"
    mkdir -p "$library"
    R_LIBS="$library${R_LIBS:+:$R_LIBS}"
    export R_LIBS
}

# absent_r NAME...: those of them that R does not find.
absent_r() {
    [ $# -gt 0 ] || return 0
    Rscript --no-save --no-restore -e '
        name <- commandArgs(TRUE)
        found <- vapply(name, function(x) nzchar(system.file(package = x)), NA)
        cat(name[!found], sep = "\n")' "$@" </dev/null
}

has_r_package() {
    [ -z "$(absent_r "$1")" ]
}

can_build_vignettes() {
    has pandoc && has_r_package knitr && has_r_package rmarkdown
}

debian_name() {
    printf 'r-cran-%s' "$1" | tr '[:upper:]' '[:lower:]'
}

# set-up ------------------------------------------------------------------------------------

set_up() {
    profile=$1
    setup_log=$(mktemp)
    set_up_steps
    set_up_code=$?
    rm -f "$setup_log"
    return "$set_up_code"
}

set_up_steps() {
    # 1. Commands and development files.
    wanted=$(needs "$profile" deb | while read -r name command; do
        if [ "$command" != - ]; then
            has "$command" || echo "$name"
        elif [ "$name" = r-base-dev ] && ! r_is_debian; then
            has cc && has make || echo build-essential
        elif has dpkg-query; then
            has_dpkg "$name" || echo "$name"
        fi
    done)

    # 2. R packages. Before R is there, all of them.
    packages=$(r_packages Depends Imports LinkingTo; needs "$profile" R)
    if [ "$profile" = test ]; then
        packages="$packages
$(r_packages Suggests)"
    fi
    packages=$(printf '%s\n' "$packages" | sed 's/ .*//' | grep . | sort -u)
    if has Rscript; then
        use_library
        # shellcheck disable=SC2086 # names without blanks, one argument each
        absent=$(absent_r $packages) || return 1
    else
        absent=$packages
    fi
    [ -n "$wanted$absent" ] || return 0

    # 3. Debian first.
    if can_install; then
        install=
        if [ -n "$wanted" ] || r_is_debian; then
            candidates=$wanted
            if r_is_debian; then
                for name in $absent; do
                    candidates="$candidates $(debian_name "$name")"
                done
            fi
            for name in $candidates; do
                apt_candidate "$name" || apt_update
                if apt_candidate "$name"; then
                    install="$install $name"
                fi
            done
        fi
        if [ -n "$install" ]; then
            # shellcheck disable=SC2086
            apt_install $install || return 1
        fi
    elif [ -n "$wanted" ]; then
        wanted_line=$(one_line "$wanted")
        say "This machine lacks: $wanted_line"
        say "You are neither root nor allowed to use sudo without a password. Ask an administrator for"
        say "    apt-get install --no-install-recommends $wanted_line"
    fi
    for name in $wanted; do
        if ! has_dpkg "$name" 2>/dev/null; then
            lacks "$name" "not installed, and this user or this system cannot install it"
        fi
    done
    if ! has Rscript; then
        say "R is needed and could not be installed."
        return 1
    fi
    if ! has make || ! has cc; then
        say "A C compiler and make are needed to build the package and could not be installed."
        return 1
    fi
    [ -n "$library" ] || use_library

    # 4. What Debian does not have: CRAN, into the project's own library.
    # shellcheck disable=SC2086
    absent=$(absent_r $absent) || return 1
    if [ -n "$absent" ]; then
        # Dependencies Debian can supply come from there, so that only the rest is compiled.
        if can_install && r_is_debian; then
            install=
            # shellcheck disable=SC2086
            for name in $(Rscript --no-save "$root/tools/cran.R" plan "$library" $absent </dev/null); do
                if apt_candidate "$(debian_name "$name")"; then
                    install="$install $(debian_name "$name")"
                fi
            done
            if [ -n "$install" ]; then
                # shellcheck disable=SC2086
                apt_install $install || return 1
            fi
        fi
        say "Installing from CRAN into $library: $(one_line "$absent")"
        # shellcheck disable=SC2086
        Rscript --no-save "$root/tools/cran.R" install "$library" $absent </dev/null >"$setup_log" 2>&1 ||
            cat "$setup_log"
        # shellcheck disable=SC2086
        for name in $(absent_r $absent); do
            reason=$(sed -n "s/^cannot install $name: //p" "$setup_log" | head -n 1)
            lacks "R package $name" "${reason:-its installation failed}"
        done
    fi
    # The package itself cannot be installed without its imports.
    # shellcheck disable=SC2046
    absent=$(absent_r $(r_packages Depends Imports LinkingTo)) || return 1
    if [ -n "$absent" ]; then
        cat "$setup_log"
        say "The package needs these R packages, which could not be installed: $(one_line "$absent")"
        return 1
    fi
}

# the package's own sources -------------------------------------------------------------------

# copy_sources FOLDER: the checkout without what builds leave behind.
copy_sources() {
    tar -C "$root" --exclude=./.git --exclude=./library --exclude=./reports --exclude='*.o' --exclude='*.so' \
        --exclude='*.Rcheck' --exclude='./*.tar.gz' -cf - . | tar -C "$1" -xf -
}

# sources_hash: changes when the installed package would.
sources_hash() {
    (
        cd "$root" || exit 1
        R --version | head -n 1
        can_build_vignettes && echo "with vignettes"
        find DESCRIPTION NAMESPACE LICENSE R src data inst man vignettes -type f ! -name '*.o' ! -name '*.so' \
            2>/dev/null | sort | while read -r file; do cksum "$file"; done
    ) | cksum
}
