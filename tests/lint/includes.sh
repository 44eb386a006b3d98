#!/usr/bin/env bash
#
# Who may include whom: docs/architecture.md.
#
#   - arrows run down only: tools -> runtime -> formats -> common
#   - no tool includes another, but uptrain/ the door of convert/, which makes
#     what it trains
#   - the operations on a device, and what fills their table from outside
#     (the CUDA plug-in and what stands in its place in tests), reach
#     nothing of formats/ and no JSON
#   - HDF5's own types stay in formats/hdf5/library
#   - what is ours is included by its path from the top, of these folders:
#     never relative, never of tests/
#
# usage: tests/lint/includes.sh [FOLDER]   of the sources; "." if not given
set -euo pipefail
cd "${1-.}"

folders=(common formats runtime align convert uptrain inspect verify)
# Starting points of what must stay apart
apart=(runtime/backend.h runtime/ops.h runtime/cuda/*.cu
    tests/unit/plugin_stub.c tests/cli/hollow_plugin.c)

for file in "${apart[@]}"; do
    if [[ ! -f $file ]]; then
        echo "includes.sh: $file is not there" >&2
        exit 1
    fi
done

grep -rHE '^[[:space:]]*#[[:space:]]*include' \
    --include='*.[ch]' --include='*.inl' --include='*.cu' --include='*.cuh' \
    "${folders[@]}" tests/unit/plugin_stub.c tests/cli/hollow_plugin.c |
    awk -v apart="${apart[*]}" '
function complain(text) {
    print text
    failed = 1
}
function folder_of(path) {
    return path ~ /\// ? substr(path, 1, index(path, "/") - 1) : ""
}
BEGIN {
    rank["common"] = 1
    rank["formats"] = 2
    rank["runtime"] = 3
    rank["align"] = 4
    rank["convert"] = rank["inspect"] = rank["verify"] = 5
    rank["uptrain"] = 5
}
{
    file = substr($0, 1, index($0, ":") - 1)
    target = substr($0, index($0, ":") + 1)
    ours = target ~ /include[[:space:]]*"/
    sub(/^[^"<]*["<]/, "", target)
    sub(/[">].*$/, "", target)
    targets[file, n[file]++] = target
    if (target ~ /^(hdf5|H5[A-Za-z0-9_]*)\.h$/ || target ~ /hdf5\/library\/(private|h5)\.h$/)
        if (file !~ /^formats\/hdf5\/library\//)
            complain(file " includes " target ": HDF5 outside its folder")
    from = folder_of(file)
    to = folder_of(target)
    if (!(from in rank))
        next
    if (target ~ /(^|\/)\.\.?\//)
        complain(file " includes " target ": not by its path from the top")
    else if (ours && !(to in rank))
        complain(file " includes " target ": no folder of the sources")
    else if (!ours && (to in rank))
        complain(file " includes <" target ">: ours stand in quotes")
    if (!(to in rank))
        next
    if (rank[to] > rank[from])
        complain(file " includes " target ": an arrow that runs up")
    else if (rank[to] == 5 && to != from && !(from == "uptrain" && target == "convert/convert.h"))
        complain(file " includes " target ": one tool includes another")
}
END {
    n_apart = split(apart, queue, " ")
    for (i = 1; i <= n_apart; i++) {
        tail = 1
        split("", seen)
        split("", path)
        path[1] = queue[i]
        for (head = 1; head <= tail; head++)
            for (j = 0; j < n[path[head]]; j++) {
                target = targets[path[head], j]
                if (target in seen)
                    continue
                seen[target] = 1
                path[++tail] = target
                if (target ~ /jansson/)
                    complain(queue[i] " needs JSON: " path[head] \
                             " includes " target)
                if (target ~ /^formats\//)
                    complain(queue[i] " needs formats/: " path[head] \
                             " includes " target)
            }
    }
    if (NR == 0)
        complain("no includes were found")
    exit failed
}'
