#!/usr/bin/env bash
#
# Command-line tests. Each NAME.sh here runs in an empty folder, with the
# tools on PATH, the test data in $DATA, this folder in $CLI and the tree in
# $SOURCE. What it prints and its exit status must be what NAME.stdout,
# NAME.stderr and NAME.exit say; a missing one means empty, empty, 0. A script
# that ends with 77 is skipped.
#
# usage: tests/cli/run.sh [--update] [NAME]...
#
#   --update    write what came out as what is expected; read the diff
#   GQA_BUILD   environment: the build folder (default: build/dev)
#
# Without a name all are run.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=$(cd "${GQA_BUILD:-$root/build/dev}" && pwd)

export DATA=$root/tests/data
export CLI=$here
export SOURCE=$root
export PATH=$build/convert:$build/inspect:$build/uptrain:$build/verify:$build/tests/cli:$PATH
export GQA_PLUGINS=$build/tests/cli
export LC_ALL=C

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# What differs from run to run and from machine to machine, made the same.
normalise() {
    sed -E -f "$here/join.sed" "$1" |
        sed -E -f "$here/normalise.sed" -e "s|$DATA|DATA|g"
}

# golden FILE: what it holds, or what its absence means.
golden() {
    if [[ -e $1 ]]; then
        cat "$1"
    elif [[ $1 == *.exit ]]; then
        echo 0
    fi
}

# Write the golden file, or remove it where its absence says the same.
update() {
    local actual=$1 file=$2

    rm -f "$file"
    cmp -s "$actual" <(golden "$file") || cp "$actual" "$file"
}

run_case() {
    local name=$1 dir=$scratch/$1 status=0 failed=0 part

    mkdir -p "$dir/empty"
    (cd "$dir/empty" && exec timeout -k 10 300 bash "$here/$name.sh") \
        </dev/null >"$dir/out" 2>"$dir/err" || status=$?
    ((status != 77)) || return 77
    normalise "$dir/out" >"$dir/$name.stdout"
    normalise "$dir/err" >"$dir/$name.stderr"
    echo "$status" >"$dir/$name.exit"
    for part in stdout stderr exit; do
        if [[ $update ]]; then
            update "$dir/$name.$part" "$here/$name.$part"
        elif ! diff -u --label "$name.$part expected" \
            --label "$name.$part" <(golden "$here/$name.$part") \
            "$dir/$name.$part"; then
            failed=1
        fi
    done
    return $failed
}

update=
if [[ ${1-} == --update ]]; then
    update=yes
    shift
fi
if (($# == 0)); then
    for file in "$here"/*.sh; do
        [[ $file == */run.sh ]] || set -- "$@" "$(basename "$file" .sh)"
    done
fi

failures=0
skipped=0
for name in "$@"; do
    if [[ ! -e $here/$name.sh ]]; then
        echo "run.sh: no test $name" >&2
        exit 2
    fi
    status=0
    run_case "$name" || status=$?
    case $status in
    0) ;;
    77)
        echo "SKIPPED $name"
        skipped=77
        ;;
    *)
        echo "FAILED $name"
        failures=$((failures + 1))
        ;;
    esac
done
((failures == 0)) || exit 1
exit $skipped
