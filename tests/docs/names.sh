#!/usr/bin/env bash
#
# What the documents name is there: in backticks, the functions and types of
# the code (`gqa_produce()`, `turn()`, `struct gqa_check`) and the files and
# folders of the tree (`runtime/data/`, `convert/plan.c`, `plan.c`).
#
# usage: names.sh FILE...
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
folders='common|formats|runtime|convert|uptrain|inspect|verify|tests|man|docs'
folders+='|completions|scripts|cpu|cuda|data|measure|hdf5|safetensors|gqa'
folders+='|folder|write|model|families|foreign'

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Every path of the tree, also without the folders before it.
(cd "$root" && find common formats runtime align convert uptrain inspect verify tests man \
    docs completions scripts) |
    awk '{ print
        while (sub(/^[^\/]+\//, "") && $0 != "") print }' |
    sort -u >"$scratch/paths"
# Every word of the code that is called, declared or listed.
(cd "$root" && grep -rhoE --include='*.[ch]' --include='*.inl' \
    --include='*.cu' --include='*.cuh' '\b[A-Za-z_][A-Za-z0-9_]*\b' common \
    formats runtime align convert uptrain inspect verify tests) | sort -u >"$scratch/words"

n=0
missing=0

# known LIST NAME FILE
known() {
    n=$((n + 1))
    grep -qxF -e "$2" "$scratch/$1" || {
        echo "$3 names $2, which is not there"
        missing=$((missing + 1))
    }
}

# shellcheck disable=SC2016 # these are not expansions
for file; do
    while read -r name; do
        name=${name#struct }
        if [[ $name =~ ^([A-Za-z_][A-Za-z0-9_]*)\(\)$ ]]; then
            known words "${BASH_REMATCH[1]}" "$file"
        elif [[ $name =~ ^(gqa_[a-z0-9_]+|GQA_[A-Z0-9_]+)$ ]]; then
            known words "$name" "$file"
        elif [[ $name =~ ^[A-Za-z0-9_./-]+\.(c|h|inl|cu|cuh|cmake|sh|py)$ ||
            $name =~ ^($folders)/([A-Za-z0-9_./-]*)$ ]]; then
            # NAME stands for others.
            [[ $name =~ NAME ]] || known paths "${name%/}" "$file"
        fi
    done < <(sed '/^```/,/^```/d' "$file" | grep -oE '`[^`]+`' | tr -d '`')
done

echo "$n names, $missing missing"
((n > 0 && missing == 0))
