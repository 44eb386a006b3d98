#!/usr/bin/env bash
#
# How near to its original a model comes that has fewer key and value heads, at
# once and after training on what the original itself draws, as a Markdown
# table. Each figure is gqa-verify's, on text that it draws or, where
# TEXT is set, on that file's.
#
# usage: tests/bench/uptraining.sh [MODEL [HEADS]...]
#
#   MODEL        a multi-head checkpoint (default: the sample)
#   HEADS        numbers of KV heads to try (default: 8 4 1)
#   TRAIN        environment: options of gqa-uptrain, such as
#                "--steps 1200 --batch 16 --length 1024"
#   CALIBRATE    of an aligned gqa-convert (default: that of README.md)
#   TEXT         a file of text to measure on, for models of bytes
#   GQA_BUILD    the build folder (default: build/release)
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "${GQA_BUILD:-$root/build/release}" && pwd)
export PATH=$build/convert:$build/uptrain:$build/verify:$PATH LC_ALL=C

model=${1-$root/tests/data/sample/t5-tiny16/tf_model.h5}
shift || true
(($# > 0)) || set -- 8 4 1
read -ra train <<<"${TRAIN-}"
read -ra calibrate <<<"${CALIBRATE---samples 64 --length 128}"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# row HEADS WHAT CHECKPOINT: a line of the table.
row() {
    local measure=()

    [[ -z ${TEXT-} ]] || measure=(--text "$TEXT")

    gqa-verify --json "${measure[@]}" --against "$model" "$3" \
        >"$scratch/report" || true
    awk -v heads="$1" -v what="$2" '
        /"name": "kl"/ { kl = 1 }
        kl && /"mean":/ { gsub(/[^0-9.e-]/, "", $2); mean = $2; kl = 0 }
        /"name": "top-1"/ { top = 1 }
        top && /"same":/ { gsub(/[^0-9.e-]/, "", $2); same = $2; top = 0 }
        /"name": "perplexity"/ { ppl = 1 }
        ppl && /"original":/ { gsub(/[^0-9.e-]/, "", $2); before = $2 }
        ppl && /"converted":/ {
            gsub(/[^0-9.e-]/, "", $2)
            after = $2
            ppl = 0
        }
        END {
            printf "| %s | %s | %.3g | %.1f %% | %.4g (%.4g) |\n",
                heads, what, mean, 100 * same, after, before
        }' "$scratch/report"
}

echo "| KV heads | | mean KL | same most likely token | perplexity (original) |"
echo "| --- | --- | --- | --- | --- |"
for heads; do
    for method in mean aligned; do
        options=()
        [[ $method == mean ]] || options=("${calibrate[@]}")
        gqa-convert -qf --groups "$heads" --method "$method" "${options[@]}" \
            "$model" "$scratch/$method.gqa"
        row "$heads" "$method" "$scratch/$method.gqa"
        status=0
        gqa-uptrain -qf "${train[@]}" --teacher "$model" \
            "$scratch/$method.gqa" "$scratch/healed.gqa" || status=$?
        case $status in
        0) row "$heads" "$method, trained" "$scratch/healed.gqa" ;;
        1) echo "| $heads | $method, trained | nothing gained | | |" ;;
        *) exit $status ;;
        esac
    done
done
