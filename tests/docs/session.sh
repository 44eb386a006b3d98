#!/usr/bin/env bash
#
# Run the examples of a manual page or of a Markdown file, in order and in
# one folder, which holds the sample as model.h5 and config.json. Each must
# succeed, and print what the document shows where it shows anything.
#
# usage: session.sh FILE    (GQA_BUILD: the build folder)
#
# Examples are the lines that begin with "$ ", in the EXAMPLES section of a
# page and in the console blocks of a Markdown file; the lines below one, to
# the next one or the end of the block, are what it prints. A page's block
# without such a line is not run. A Markdown file's
# blocks "```json NAME" lie there as files NAME.
set -euo pipefail

file=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=$(cd "$GQA_BUILD" && pwd)
export PATH=$build/convert:$build/inspect:$build/uptrain:$build/verify:$PATH LC_ALL=C

case $file in
*.md)
    # shellcheck disable=SC2016 # these are not expansions
    session=$(sed -n '/^```console$/,/^```$/{/^```/!p}' "$file")
    ;;
*)
    session=$(sed -n '/^\.Sh EXAMPLES/,/^\.Sh SEE/p' "$file" |
        sed -n '/^\.Bd/,/^\.Ed/{/^\.Bd/d; p}' |
        sed -e 's/\\-/-/g' -e "s/\\\\(aq/'/g" -e 's/\\&//g' -e 's/\\e/\\/g')
    ;;
esac

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp "$root"/tests/data/sample/t5-tiny16/config.json "$scratch"
cp "$root"/tests/data/sample/t5-tiny16/tf_model.h5 "$scratch/model.h5"
ln -s "$root/tests" "$scratch/tests"
cd "$scratch"
[[ $file != *.md ]] || awk '/^```json ./ { name = $2; next }
    /^```$/ { name = "" }
    name { print >name }' "$file"

# To the byte, a compressed size depends on the version of zstd.
normalise() {
    sed -E -f "$root/tests/cli/join.sed" |
        sed -E -f "$root/tests/cli/normalise.sed" |
        sed -E -f "$root/tests/cli/rounding.sed" -e '/^$/d' \
            -e '/^Kind +\.gqa/s/\([0-9]+ bytes\)/(N bytes)/'
}

# Run $command; its output must be $expected, where that is not empty.
check() {
    [[ $command ]] || return 0
    echo "\$ $command"
    bash -c "$command" </dev/null >out || {
        echo "session.sh: that failed" >&2
        exit 1
    }
    [[ $expected ]] || return 0
    diff -u --label "shown in $(basename "$file")" --label "printed" \
        <(printf '%s' "$expected" | normalise) <(normalise <out)
}

command=
expected=
n=0
while IFS= read -r line; do
    if [[ $line == '$ '* ]]; then
        check
        command=${line#'$ '}
        expected=
        n=$((n + 1))
    elif [[ $line == .Ed ]]; then
        check
        command=
        expected=
    elif [[ $command == *\\ ]]; then
        command+=$'\n'$line
    elif [[ $line ]]; then
        expected+=$line$'\n'
    fi
done <<<"$session"
check
((n)) || {
    echo "session.sh: $file has no examples" >&2
    exit 1
}
