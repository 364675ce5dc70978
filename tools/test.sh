#!/bin/sh
# Checks everything: sh tools/test.sh
# Or only some parts, for a developer in a hurry: sh tools/test.sh c testthat
# Parts: static c testthat sanitize docs readme lint check
# Parts that take long, run only when named: sh tools/test.sh valgrind gctorture
# With SAMEPAGE_SLOW=true in the environment the slow tests of testthat run as well.
# The last line is "N passed, N failed, N skipped"; the exit code is 1 when anything failed.

set -u
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
parts=${*:-static c testthat sanitize docs readme lint check}
tab=$(printf '\t')
passed=0
failed=0
skipped=0
failures=
skips=
check_pid=

finish() {
    [ -z "$check_pid" ] || kill "$check_pid" 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# shellcheck source=tools/setup.sh
. "$root/tools/setup.sh"

wants() {
    case " $parts " in *" $1 "*) return 0 ;; *) return 1 ;; esac
}

heading() {
    printf '\n== %s\n' "$*"
}

passes() {
    passed=$((passed + 1))
    say "ok       $1"
}

# fails NAME [LOG]: counts a failure and shows its log.
fails() {
    failed=$((failed + 1))
    failures="$failures
  $1"
    say "FAILED   $1"
    if [ -n "${2:-}" ] && [ -s "$2" ]; then
        tail -n 200 "$2" | sed 's/^/         | /'
    fi
}

# skips NAME REASON
skips() {
    skipped=$((skipped + 1))
    skips="$skips
  $1: $2"
    say "skipped  $1: $2"
}

# try NAME COMMAND...: one item, passed when the command succeeds.
try() {
    item=$1
    shift
    log=$work/item.log
    if "$@" >"$log" 2>&1 </dev/null; then
        passes "$item"
    else
        fails "$item" "$log"
    fi
}

# conclude: the lists and the one line that counts.
conclude() {
    heading "Result"
    if [ -n "$missing" ]; then
        say "Could not be installed here:"
        printf '%s' "$missing" | sed 's/^/  /'
    fi
    [ -z "$skips" ] || say "Skipped:$skips"
    [ -z "$failures" ] || say "Failed:$failures"
    say "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
}

# static: what can be seen in the files ------------------------------------------------------

tracked_files() {
    if has git && git -C "$root" rev-parse --git-dir >/dev/null 2>&1; then
        git -C "$root" ls-files
    else
        (cd "$work/source" && find . -type f | sed 's#^\./##')
    fi
}

# Folders of one machine, and URLs beyond those a user can cite, have no place in the sources. The
# names of package registries are read from this machine's configuration, so none is written here.
no_machine_words() {
    tracked_files >"$work/tracked"
    hosts=$(
        Rscript --no-save -e 'cat(sub("^[a-z]+://([^/]+).*$", "\\1", getOption("repos")), sep = "\n")'
        cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
            sed -n 's#^[^\#]*[a-z]*://\([^/ ]*\).*#\1#p'
    )
    {
        printf '%s\n' '(^|[^[:alnum:]_.])/(work|home|root|tmp/wt)/'
        for host in $hosts; do
            case $host in *.*) printf '%s\n' "$host" | sed 's/\./\\./g' ;; esac
        done
    } | sort -u >"$work/words"
    found=$(cd "$root" && tr '\n' '\0' <"$work/tracked" |
        xargs -0 grep -InE -f "$work/words" -- /dev/null | grep -v '^tools/test\.sh:.*tmp/wt')
    addresses=$(cd "$root" && tr '\n' '\0' <"$work/tracked" |
        xargs -0 grep -InoE 'https?://[[:alnum:].-]+' -- /dev/null |
        grep -vE '://(doi\.org|orcid\.org|opensource\.org|creativecommons\.org)$')
    [ -z "$found$addresses" ] || {
        say "Folders of one machine, package registries or uncitable addresses in tracked files:"
        printf '%s\n' "$found" "$addresses"
        return 1
    }
}

# Below the SEXP layer the core compiles without R; lapack.h is its one door.
no_r_headers() {
    # shellcheck disable=SC2010 # names in src/ have no blanks
    core=$(cd "$root/src" && ls ./*.[ch] | grep -vE '^\./(r_.*\.[ch]|init\.c|lapack\.h)$')
    found=$(cd "$root/src" && for file in $core; do
        grep -nHE '#[[:space:]]*include[[:space:]]*["<](R|Rinternals|Rmath|Rdefines|Rconfig|Rversion|Rembedded|R_ext/[[:alnum:]_]+|r_entries)\.h[">]' "$file"
    done)
    [ -z "$found" ] || {
        say "R headers below the SEXP layer:"
        say "$found"
        return 1
    }
}

shell_scripts() {
    (cd "$root" && ls tools/*.sh && grep -lE '^#!.*(sh|bash)$' .ci/* 2>/dev/null)
}

scripts_parse() {
    code=0
    for file in $(shell_scripts); do
        case $file in
        *.sh) sh -n "$root/$file" || code=1 ;;
        *) bash -n "$root/$file" || code=1 ;;
        esac
    done
    return "$code"
}

shellcheck_scripts() {
    # shellcheck disable=SC2046
    (cd "$root" && shellcheck -x -e SC2317 $(shell_scripts))
}

clang_format_files() {
    # shellcheck disable=SC2046
    (cd "$root" && clang-format --dry-run --Werror $(ls src/*.[ch] ctest/*.[ch]))
}

# The SEXP layer with R's headers, all warnings on. R's own registration casts function pointers.
sexp_layer_compiles() {
    code=0
    for standard in c99 c17 c2x; do
        # shellcheck disable=SC2046
        gcc -std=$standard -fsyntax-only -Wall -Wextra -Wpedantic -Wstrict-prototypes \
            -Wno-cast-function-type -Werror $(R CMD config --cppflags) \
            "$root"/src/r_*.c "$root"/src/init.c || code=1
    done
    return "$code"
}

run_static() {
    heading "Sources"
    try "no machine's folders, registries or stray addresses in tracked files" no_machine_words
    try "no R header below the SEXP layer" no_r_headers
    try "shell scripts parse" scripts_parse
    if has shellcheck; then
        try "shellcheck" shellcheck_scripts
    else
        skips "shellcheck" "it is not installed"
    fi
    if has clang-format; then
        try "C sources are formatted (make format)" clang_format_files
    else
        skips "C sources are formatted" "clang-format is not installed"
    fi
    try "SEXP layer compiles as C99, C17 and C23 without warnings" sexp_layer_compiles
}

# c: the core without R ----------------------------------------------------------------------

# build_c NAME COMPILER FLAGS...: the pure files and every test, in $work/NAME.
build_c() {
    folder=$work/$1
    compiler=$2
    shift 2
    mkdir -p "$folder" || return 1
    objects=
    for file in "$root"/src/*.c; do
        base=$(basename "$file" .c)
        case $base in r_* | init) continue ;; esac
        "$compiler" "$@" -DSAMEPAGE_STANDALONE -I"$root/src" -c "$file" -o "$folder/$base.o" || return 1
        objects="$objects $folder/$base.o"
    done
    code=0
    for file in "$root"/ctest/test_*.c; do
        # shellcheck disable=SC2086
        "$compiler" "$@" -DSAMEPAGE_STANDALONE -I"$root/src" -I"$root/ctest" "$file" $objects \
            -o "$folder/$(basename "$file" .c)" -llapack -lblas -lm || code=1
    done
    return "$code"
}

# reached_end LOG: whether the test said it reached its end with as many checks as it printed.
reached_end() {
    planned=$(sed -n 's/^1\.\.\([0-9][0-9]*\)$/\1/p' "$1")
    printed=$(grep -cE '^(not )?ok ' "$1")
    [ -n "$planned" ] && [ "$planned" -gt 0 ] && [ "$planned" = "$printed" ]
}

# count_c TEST: every check of one test file, run under gcc's sanitizers.
count_c() {
    log=$work/$1.log
    "$work/gcc/$1" >"$log" 2>&1 </dev/null
    code=$?
    good=$(grep -c '^ok ' "$log")
    bad=$(grep -c '^not ok ' "$log")
    passed=$((passed + good))
    say "ok       $1: $good checks"
    if [ "$bad" -gt 0 ]; then
        grep '^not ok ' "$log" >"$work/bad"
        while read -r line; do
            fails "$1: ${line#not ok }"
        done <"$work/bad"
        sed 's/^/         | /' "$log"
    fi
    if ! reached_end "$log"; then
        fails "$1: it stopped before its end (exit code $code)" "$log"
    elif [ "$code" -ne 0 ] && [ "$bad" -eq 0 ]; then
        fails "$1: exit code $code although every check passed" "$log"
    fi
}

# again NAME COMMAND...: one more run of a test in another configuration is one item.
again() {
    item=$1
    shift
    log=$work/item.log
    if "$@" >"$log" 2>&1 </dev/null && reached_end "$log" && ! grep -q '^not ok ' "$log"; then
        passes "$item"
    else
        fails "$item" "$log"
    fi
}

run_c() {
    heading "C tests of the core"
    tests=$(cd "$root/ctest" && for file in test_*.c; do basename "$file" .c; done)
    strict='-Wall -Wextra -Wpedantic -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror -g'
    sanitize='-O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all'

    log=$work/build.log
    # shellcheck disable=SC2086
    if build_c gcc gcc -std=c99 $strict $sanitize >"$log" 2>&1; then
        passes "core and C tests compile as C99 with gcc, no warnings"
        for name in $tests; do
            count_c "$name"
        done
    else
        fails "core and C tests compile as C99 with gcc, no warnings" "$log"
    fi

    echo 'int main(void) { return 0; }' >"$work/empty.c"
    # shellcheck disable=SC2086
    if ! has clang; then
        skips "C tests with clang's sanitizers" "clang is not installed"
    elif ! clang $sanitize "$work/empty.c" -o "$work/empty" >/dev/null 2>&1; then
        skips "C tests with clang's sanitizers" "clang's sanitizer runtime is not installed"
    elif build_c clang clang -std=c2x $strict $sanitize >"$log" 2>&1; then
        passes "core and C tests compile as C23 with clang, no warnings"
        for name in $tests; do
            again "$name with clang's sanitizers" "$work/clang/$name"
        done
    else
        fails "core and C tests compile as C23 with clang, no warnings" "$log"
    fi

    if ! has valgrind; then
        skips "C tests under valgrind" "valgrind is not installed"
    elif
        # shellcheck disable=SC2086
        build_c valgrind gcc -std=c17 $strict -O2 >"$log" 2>&1
    then
        passes "core and C tests compile as C17 with gcc, no warnings"
        for name in $tests; do
            again "$name under valgrind" valgrind -q --error-exitcode=99 --leak-check=full \
                --errors-for-leak-kinds=all "$work/valgrind/$name"
        done
    else
        fails "core and C tests compile as C17 with gcc, no warnings" "$log"
    fi
}

# the package, built and installed -------------------------------------------------------------

build_package() (
    vignettes=
    can_build_vignettes || vignettes=--no-build-vignettes
    # shellcheck disable=SC2086
    cd "$work" && R CMD build --no-manual $vignettes source
)

install_package() {
    mkdir -p "$work/lib" &&
        R CMD INSTALL --no-docs --library="$work/lib" "$tarball"
}

# testthat: the tests as they stand in the tarball ------------------------------------------------

# suite NAME COMMAND...: runs the tests with this R; leaves $work/NAME.tsv, .log and their number in
# rows. 0 when R reached the end of the tests, whatever their results.
suite() {
    name=$1
    shift
    mkdir -p "$work/$name" && tar -C "$work/$name" -xzf "$tarball" samepage/tests || return 1
    : >"$work/$name.tsv"
    NOT_CRAN=true "$@" --no-echo --no-restore --no-save --file="$root/tools/testthat.R" \
        --args "$work/$name/samepage/tests/testthat" "$work/$name.tsv" >"$work/$name.log" 2>&1 </dev/null
    code=$?
    [ "$code" -eq 0 ] || echo "R ended with exit code $code" >>"$work/$name.log"
    rows=$(grep -cv "^end$tab" "$work/$name.tsv")
    [ "$code" -eq 0 ] && [ "$rows" -gt 0 ] && [ "$(tail -n 1 "$work/$name.tsv")" = "end$tab$rows" ]
}

run_testthat() {
    heading "Tests of the package"
    if ! has_r_package testthat; then
        skips "testthat" "testthat is not installed"
        return
    fi
    ended=
    suite plain R && ended=yes
    while IFS=$tab read -r status file test detail; do
        case $status in
        passed) passed=$((passed + 1)) ;;
        failed) fails "$file: $test" ;;
        skipped) skips "$file: $test" "$detail" ;;
        esac
    done <"$work/plain.tsv"
    if [ -n "$ended" ]; then
        grep -E '^(FAILURE|ERROR|WARNING|  \|)' "$work/plain.log"
        say "ok       $rows tests of testthat ran"
    else
        fails "testthat ran to its end" "$work/plain.log"
    fi
    try "every snapshot is recorded" snapshots_unchanged
}

# A snapshot that is new, changed or no longer used leaves a difference behind.
snapshots_unchanged() {
    mkdir -p "$work/source/tests/testthat/_snaps" "$work/plain/samepage/tests/testthat/_snaps"
    diff -r "$work/source/tests/testthat/_snaps" "$work/plain/samepage/tests/testthat/_snaps"
}

# The same tests again, the package compiled or called in another way: one item each ----------------

# install_as NAME SOURCE CFLAGS [LDFLAGS]: SOURCE, compiled with these flags, into $work/lib-NAME.
install_as() {
    mkdir -p "$work/lib-$1" &&
        printf 'CFLAGS = %s\nLDFLAGS += %s\n' "$3" "${4:-}" >"$work/Makevars-$1" &&
        R_MAKEVARS_USER="$work/Makevars-$1" R CMD INSTALL --no-docs --no-test-load \
            --library="$work/lib-$1" "$2"
}

# same_results NAME: every test ended as it did in the plain run, where there was one.
same_results() {
    if [ -s "$work/plain.tsv" ]; then
        diff "$work/plain.tsv" "$work/$1.tsv"
    else
        ! grep "^failed$tab" "$work/$1.tsv"
    fi
}

# suite_again ITEM NAME COMMAND...: passes when the tests end as they should and nothing stands in
# the file $work/NAME.report afterwards, which the caller's function inspect_NAME may write.
suite_again() {
    item=$1
    name=$2
    shift 2
    ended=
    suite "$name" "$@" && ended=yes
    "inspect_$name" >"$work/$name.report" 2>&1
    if [ -n "$ended" ] && [ ! -s "$work/$name.report" ]; then
        passes "$item ($rows tests)"
    else
        cat "$work/$name.report" >>"$work/$name.log"
        fails "$item" "$work/$name.log"
    fi
}

# sanitize: AddressSanitizer sees the end of each larger block of R_alloc, since R takes it from
# malloc. What R has not freed when it quits is its own: the package's core allocates nothing.
run_sanitize() {
    heading "Tests of the package under ASAN and UBSAN"
    item="testthat under ASAN and UBSAN"
    if ! has_r_package testthat; then
        skips "$item" "testthat is not installed"
        return
    fi
    compiler=$(R CMD config CC)
    preload=
    for runtime in libasan.so libubsan.so libstdc++.so; do
        # shellcheck disable=SC2086 # the compiler may come with flags
        file=$($compiler -print-file-name="$runtime")
        case $file in
        /*) preload="$preload $file" ;;
        *)
            skips "$item" "$compiler has no $runtime"
            return
            ;;
        esac
    done
    flags='-fsanitize=address,undefined -fno-sanitize-recover=all'
    if install_as sanitize "$tarball" "-g -O1 -fno-omit-frame-pointer $flags" "$flags" \
        >"$work/item.log" 2>&1; then
        suite_again "$item" sanitize env LD_PRELOAD="${preload# }" ASAN_OPTIONS=detect_leaks=0 \
            UBSAN_OPTIONS=print_stacktrace=1 R_LIBS="$work/lib-sanitize:$R_LIBS" R
    else
        fails "$item: compilation" "$work/item.log"
    fi
}

inspect_sanitize() {
    same_results sanitize
}

# valgrind: only what has a frame in the package's library counts; R, its regular expressions and
# other packages have findings of their own. valgrind computes R's long double sums in double, so
# tests that hang on their last digits may fail there: what it says about memory is what counts.
# Comparisons with lme4 and its like are left out, since their time is spent in those packages.
run_valgrind() {
    heading "Tests of the package under valgrind"
    item="testthat under valgrind"
    if ! has_r_package testthat || ! has valgrind; then
        skips "$item" "testthat or valgrind is not installed"
    elif install_as valgrind "$tarball" "-g -O1 -fno-omit-frame-pointer" >"$work/item.log" 2>&1; then
        suite_again "$item" valgrind env SAMEPAGE_PEERS=false R_LIBS="$work/lib-valgrind:$R_LIBS" \
            R -d "valgrind --leak-check=full --num-callers=40 --log-file=$work/memory.log"
    else
        fails "$item: compilation" "$work/item.log"
    fi
}

# Findings are paragraphs of the log: lines of one process between lines that hold its number only.
# A frame of ours is "(FILE.c:LINE)", since Debian's libraries carry no names of sources.
inspect_valgrind() {
    [ -s "$work/memory.log" ] || echo "valgrind wrote nothing"
    ours=$(cd "$root/src" && printf '%s|' ./*.c | sed 's#\./##g; s/\./[.]/g')
    awk -v ours="[(](${ours}samepage[.]so)[:)]|samepage[.]so[)]" '{ sub(/^==[0-9]+== ?/, "") }
        NF == 0 { if (paragraph ~ ours) print paragraph
                  paragraph = ""; next }
        { paragraph = paragraph $0 "\n" }' "$work/memory.log"
}

# gctorture: a collection at every allocation of the C entries; see torture.R.
run_gctorture() {
    heading "Tests of the package under gctorture"
    item="testthat under gctorture"
    if ! has_r_package testthat; then
        skips "$item" "testthat is not installed"
        return
    fi
    mkdir "$work/torture" && tar -C "$work/torture" -xzf "$tarball" &&
        cp "$root/tools/torture.R" "$work/torture/samepage/R/"
    if install_as gctorture "$work/torture/samepage" "-g -O1" >"$work/item.log" 2>&1; then
        : >"$work/tortured"
        suite_again "$item" gctorture env SAMEPAGE_TORTURE="$work/tortured" \
            R_LIBS="$work/lib-gctorture:$R_LIBS" R
        sort "$work/tortured" | uniq -c | while read -r times entry; do
            say "         $entry: $times calls"
        done
    else
        fails "$item: compilation" "$work/item.log"
    fi
}

# Every entry that is registered was called.
inspect_gctorture() {
    same_results gctorture
    Rscript --no-save -e 'dll <- library.dynam("samepage", "samepage", commandArgs(TRUE))
        cat(names(getDLLRegisteredRoutines(dll)$.Call), sep = "\n")' "$work/lib" </dev/null |
        while read -r entry; do
            grep -qx "$entry" "$work/tortured" || echo "no test calls the entry $entry"
        done
}


# docs: man/ and NAMESPACE are what roxygen2 makes of the sources ----------------------------------

documentation_is_fresh() {
    cp -R "$work/source" "$work/docs" || return 1
    (cd "$work/docs" && Rscript --no-save -e 'roxygen2::roxygenise(load_code = roxygen2::load_installed)') ||
        return 1
    for made in NAMESPACE DESCRIPTION man; do
        diff -r "$work/source/$made" "$work/docs/$made" || {
            say "$made is not what roxygen2 makes of the sources: run make document"
            return 1
        }
    done
}

# In a table of markdown a bar needs a backslash, which Rd then shows: terms such as (1 | dyad) are
# for copying.
bars_as_typed() {
    ! grep -n '\\|' "$root"/man/*.Rd
}

run_docs() {
    heading "Documentation"
    try "help pages show bars as they are typed" bars_as_typed
    if has_r_package roxygen2; then
        try "man/ and NAMESPACE are up to date (make document)" documentation_is_fresh
    else
        skips "man/ and NAMESPACE are up to date" "roxygen2 is not installed"
    fi
}

# readme -------------------------------------------------------------------------------------------

readme_commands_exist() {
    code=0
    commands=$(grep -oE '(sh tools/[[:alnum:]_.-]+|make [a-z]+|Rscript [[:alnum:]_./-]+)' "$root/README.md" | sort -u)
    [ -n "$commands" ] || {
        say "README.md names no command"
        return 1
    }
    while read -r program target; do
        case $program in
        make) grep -q "^$target:" "$root/Makefile" ;;
        *) [ -f "$root/$target" ] ;;
        esac || {
            say "README.md names '$program $target', which does not exist"
            code=1
        }
    done <<COMMANDS
$commands
COMMANDS
    return "$code"
}

readme_example_runs() {
    # shellcheck disable=SC2016
    sed -n '/^```r$/,/^```$/p' "$root/README.md" | grep -v '^```' >"$work/readme.R"
    [ -s "$work/readme.R" ] || {
        say "README.md has no example"
        return 1
    }
    (cd "$work" && Rscript --no-save -e 'options(device = function(...) pdf(NULL))' \
        -e 'source("readme.R", echo = TRUE, max.deparse.length = Inf)')
}

run_readme() {
    heading "README"
    try "commands in README exist" readme_commands_exist
    try "example in README runs" readme_example_runs
}

# lint ---------------------------------------------------------------------------------------------

run_lint() {
    heading "Lint"
    if has_r_package lintr; then
        try "lintr" Rscript --no-save "$root/tools/lint.R" "$work/source"
    else
        skips "lintr" "lintr is not installed"
    fi
}

# check --------------------------------------------------------------------------------------------

# The tests ran above, each counted once, so not here again. Two of CRAN's checks ask the internet
# (addresses, the time); their answers are no property of the package. With --as-cran R also asks it
# about suggested packages that are absent and stops where there is no answer, so without them the
# check is the ordinary one.
start_check() {
    options=--no-tests
    has pdflatex || options="$options --no-manual"
    can_build_vignettes || options="$options --ignore-vignettes"
    # shellcheck disable=SC2046
    absent_suggests=$(absent_r $(r_packages Suggests))
    [ -n "$absent_suggests" ] || options="$options --as-cran"
    # shellcheck disable=SC2086
    (
        cd "$work" && _R_CHECK_CRAN_INCOMING_REMOTE_=false _R_CHECK_SYSTEM_CLOCK_=false \
            _R_CHECK_FORCE_SUGGESTS_=false R_RD4PDF=times,hyper \
            exec R CMD check $options "$tarball"
    ) >"$work/check.log" 2>&1 </dev/null &
    check_pid=$!
}

# Every line of every note must stand in cran-comments.md, where it is explained. Only the note about
# suggested packages that this machine cannot have is told by the set-up already.
notes_are_explained() {
    awk -v absent="$absent_suggests" '
        /^\* / { on = 0 }
        /^\* .* NOTE$/ { on = absent == "" || !/checking package dependencies/ }
        on { sub(/ \[[0-9.]+s\/[0-9.]+s\]/, ""); print }' "$check_log" | sed 's/^[* \t]*//; s/[ \t]*$//' |
        grep . >"$work/notes"
    code=0
    while read -r line; do
        grep -Fq -- "$line" "$root/cran-comments.md" || {
            say "not explained in cran-comments.md: $line"
            code=1
        }
    done <"$work/notes"
    return "$code"
}

run_check() {
    heading "R CMD check"
    wait "$check_pid"
    code=$?
    check_pid=
    check_log=$work/samepage.Rcheck/00check.log
    status=$(sed -n 's/^Status: //p' "$check_log" 2>/dev/null)
    say "Status: ${status:-none, the check did not reach its end}"
    if [ "$code" -ne 0 ] || [ -z "$status" ] || grep -qE '(ERROR|WARNING)$' "$check_log"; then
        {
            grep -vE '^\* .*OK$' "$work/check.log"
            if ! grep -qE '^\* checking whether package .* can be installed .*OK$' "$work/check.log"; then
                cat "$work"/samepage.Rcheck/00install.out
            fi
        } >"$work/item.log" 2>&1
        fails "R CMD check: no error, no warning" "$work/item.log"
    else
        passes "R CMD check: no error, no warning"
        try "R CMD check: every note is explained in cran-comments.md" notes_are_explained
    fi
    if [ -n "$absent_suggests" ]; then
        skips "R CMD check --as-cran" "suggested packages are absent, so the check was the ordinary one"
    fi
    if ! can_build_vignettes && [ -d "$root/vignettes" ]; then
        skips "vignettes" "pandoc, knitr or rmarkdown is not installed"
    fi
    if ! has pdflatex; then
        skips "PDF manual" "there is no TeX here"
    elif grep -q '^\* checking PDF version of manual ... .*OK$' "$check_log"; then
        passes "PDF manual"
    else
        fails "PDF manual" "$work/check.log"
    fi
}

# --------------------------------------------------------------------------------------------------

# run_r: what needs the package built and installed. It stops where there is nothing to go on with.
run_r() {
    heading "Build"
    try "R CMD build" build_package
    tarball=$(ls "$work"/samepage_*.tar.gz 2>/dev/null)
    [ -n "$tarball" ] || return 0
    try "R CMD INSTALL" install_package
    [ -d "$work/lib/samepage" ] || return 0
    R_LIBS="$work/lib:$R_LIBS"
    if wants check; then
        start_check
    fi
    for part in testthat sanitize valgrind gctorture docs readme lint check; do
        if wants "$part"; then
            "run_$part"
        fi
    done
}

heading "Set-up"
if ! set_up test; then
    fails "set-up"
    conclude
    exit
fi
say "R library of this project: $library"

if [ -z "${SAMEPAGE_SHARED:-}" ] && [ -d "$root/../shared" ]; then
    SAMEPAGE_SHARED=$(cd "$root/../shared" && pwd)
fi
export SAMEPAGE_SHARED="${SAMEPAGE_SHARED:-}"
say "Reference data: ${SAMEPAGE_SHARED:-none; tests that need them are skipped}"

mkdir "$work/source"
copy_sources "$work/source"

for part in static c; do
    if wants "$part"; then
        "run_$part"
    fi
done
for part in testthat sanitize valgrind gctorture docs readme lint check; do
    if wants "$part"; then
        run_r
        break
    fi
done
conclude
