#!/usr/bin/env bash
#
# What the runtime checks find over depths, widths and types, in a table: the
# smallest and the largest error / limit of each fault, and of right runs. A
# right run has to stay below 1.
#
# usage: tests/noise/run.sh NOISE [ARGUMENT]...
#
#   NOISE      the program: build/release/tests/noise/noise; of a build with
#              CUDA on a machine with a GPU, with --backend cuda behind it
#              and GQA_CUDA_PLUGIN naming gqa-cuda.so
#   SHAPES     environment: lines of LAYERS WIDTH KV_HEADS and more arguments,
#              instead of ours
#   DTYPES     environment: "f32 bf16 f16"
#
# Takes a quarter of an hour of two cores, 1 GB of memory and as much in
# $TMPDIR. What is run goes to stderr, the table to stdout.
set -euo pipefail

noise=$1
shift
shapes=${SHAPES:-1 5120 8 --ff 1024 --length 6
2 4096 32 --ff 1024 --length 6
2 4096 1 --ff 1024 --length 6
4 2048 4 --length 8
16 512 1
24 1024 2 --length 8
48 512 4
48 256 8}

while read -r layers width kv_heads more; do
    for uneven in 0 1; do
        for dtype in ${DTYPES:-f32 bf16 f16}; do
            # shellcheck disable=SC2086 # several words
            "$noise" --layers "$layers" --width "$width" \
                --kv-heads "$kv_heads" $more --uneven "$uneven" \
                --dtype "$dtype" "$@"
        done
    done
done <<<"$shapes" | tee /dev/stderr | awk '
    / layers of / { type = $2; sub(":", "", type); next }
    /^  / {
        way = substr($0, 20, 7)
        what = substr($0, 3, 16) "  " way
        ratio = substr($0, 28)
        ratio = ratio ~ /^ *inf/ ? 1e99 : ratio + 0
        if (!(what in seen)) { seen[what] = ++n; order[n] = what }
        key = type SUBSEP what
        if (!(key in low) || ratio < low[key]) low[key] = ratio
        if (!(key in high) || ratio > high[key]) high[key] = ratio
    }
    END {
        printf "| %-25s | %-17s | %-17s | %-17s |\n", "", "F32", "BF16", "F16"
        for (i = 1; i <= n; i++) {
            printf "| %-25s |", order[i]
            for (t = 1; t <= 3; t++) {
                type = t == 1 ? "F32" : t == 2 ? "BF16" : "F16"
                key = type SUBSEP order[i]
                printf " %-17s |", sprintf("%.2g .. %.2g", low[key], high[key])
            }
            print ""
        }
    }'
