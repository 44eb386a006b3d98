#!/usr/bin/env bash
#
# The figures of gqa-verify, held against those that a second program works
# out from the logits that both models gave.
#
# usage: tests/figures/run.sh
#
#   GQA_BUILD   environment: the build folder (default: build/dev)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=$(cd "${GQA_BUILD:-$root/build/dev}" && pwd)
models=$root/tests/data/runtime

if ! command -v python3 >/dev/null; then
    echo "no python3: skipped" >&2
    exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

# compare MODEL GROUPS [DTYPE]: with the tokens in the file `tokens`
compare() {
    "$build/convert/gqa-convert" -qf --groups "$2" "$models/$1" grouped.gqa
    "$build/verify/gqa-verify" -q --backend cpu --dtype "${3-f32}" --tokens tokens \
        --format json --report report.json --dump-logits logits.safetensors \
        --against "$models/$1" grouped.gqa
    echo "$1 to $2: $(python3 -B "$here/figures.py" report.json \
        logits.safetensors tokens)"
}

# Sequences of different lengths, so that padding must not be counted.
cat >tokens <<END
1 5 9 33 60 2 17 17 4 8 50 31 2 6
2 2 2
7 41 12 19 3 3 28 59 11 0 1
END
compare llama 1
compare gpt2 1
compare gpt_neox 1
compare gpt_neox 1 f64
cat >tokens <<END
1 5 9 60 12 | 3 4 44 17 9 1
2 2 2 51 | 7 60
8 | 1 2 3 4 5 6 7 8
END
compare t5-v1_1 2
