#!/usr/bin/env bash
#
# No allocation that fails gives a wrong result: representative runs of the
# tools, each again and again with another allocation failing (fail_each.c).
#
# usage: tests/torture/run.sh [--all | --tries N] [NAME]...
#
#   --all       each allocation, not a sample; takes hours of one processor
#   --tries     so many allocations, spread over a run (default: 60); the last
#               ones of each process come on top
#   GQA_BUILD   environment: the build folder, without sanitizers (default:
#               build/release)
#
# NAME is that of a run below, or the part of it before the "-". Without one
# all are run.
set -euo pipefail

tries=60
# shellcheck source=tests/torture/begin.bash
source "$(dirname "$0")/begin.bash"

# torture NAME COMMAND [ARGUMENT]...: what it writes goes into out/
torture() {
    local name=$1
    shift
    is_wanted "$name" || return 0
    ran=$((ran + 1))
    echo "$name"
    "$torture/fail_each" -t "$tries" ${seed:+-s "$seed"} \
        "$torture/fail_alloc.so" out "$@" || failed=$((failed + 1))
}

llama=$data/runtime/llama
tf=$data/good/tf-gpt2
sharded=$data/good/t5-sharded
keras=$data/good/keras3-llama/model.h5
kerashub=$data/good/kerashub-gpt2-sharded
gqa-convert -q --threads 1 -g 1 "$llama" model.gqa
gqa-convert -q --threads 1 -g 1 "$llama" model.safetensors
gqa-convert -q --threads 1 -g 1 --expand model.gqa expanded.gqa
gqa-convert -q --threads 1 -g 2 "$data/families/internlm2" thirds.gguf
gqa-convert -q --threads 1 -g 1 -m aligned --calibrate none "$llama" aligned/
gqa-convert -q --threads 1 -g 1 --remote-code "$tf" module/
echo '1 2 3 4' >tokens.json
cp model.gqa grün.gqa
uptrain=(gqa-uptrain -q --threads 1 --backend cpu --steps 2 --batch 1
    --length 4 --samples 2 --eval-sequences 1 --rate 1e-3 --teacher "$llama")
"${uptrain[@]}" --checkpoint state model.gqa first.gqa
# What is there already: an older conversion, and links to its files.
mkdir -p older/links
gqa-convert -q --threads 1 -g 1 "$llama" older/model/
ln -s ../model/model.safetensors ../model/config.json older/links/

convert=(gqa-convert --threads 1 -g 1)
inspect=(gqa-inspect --threads 1)
verify=(gqa-verify --threads 1 --no-run)
run=(gqa-verify --threads 1 --backend cpu --samples 1 --length 4)

torture convert-safetensors "${convert[@]}" "$llama" out/model.gqa
torture convert-threads gqa-convert --threads 2 -g 1 "$llama" out/model.gqa
torture convert-torch "${convert[@]}" "$data/torch/trainer" out/model.gqa
torture convert-module "${convert[@]}" --remote-code "$tf" out/model/
torture convert-gguf "${convert[@]}" --dequantise \
    "$data/gguf/quantised.gguf" out/model.gqa
torture convert-experts "${convert[@]}" "$data/gguf/mixtral.gguf" out/model.gqa
torture convert-halves "${convert[@]}" "$data/gguf/granitemoe.gguf" \
    out/model.gguf
torture convert-thirds "${convert[@]}" thirds.gguf out/model.gguf
torture convert-llama2c "${convert[@]}" "$data/llama2c/v0.bin" out/model.gqa
torture convert-original "${convert[@]}" "$data/original/meta" out/model.gqa
torture convert-archive "${convert[@]}" "$data/keras/deflated.keras" \
    out/model.gqa
torture convert-store "${convert[@]}" --store "$llama" out/model.gqa
torture convert-json "${convert[@]}" --json "$llama" out/model.safetensors
torture convert-dry-run "${convert[@]}" --json --dry-run "$llama" out/model.gqa
torture convert-shards "${convert[@]}" --json --shard-size 20K "$sharded" out/s/
torture convert-gguf-split "${convert[@]}" --shard-size 8K "$llama" \
    out/model.gguf
torture convert-gqa "${convert[@]}" --expand model.gqa out/model/
torture convert-gqa-again "${convert[@]}" --json expanded.gqa out/model.gqa
torture convert-aligned "${convert[@]}" -m aligned --calibrate none "$llama" \
    out/model/
torture convert-aligned-again "${convert[@]}" --expand aligned out/model.gqa
torture convert-tf "${convert[@]}" "$tf" out/model.gqa
torture convert-keras "${convert[@]}" --json "$keras" out/model.safetensors
torture convert-kerashub "${convert[@]}" "$kerashub" out/model.gqa
seed=older torture convert-force "${convert[@]}" --force "$llama" out/model/
seed=older torture convert-overlap "${convert[@]}" --force out/links out/model/
seed=older torture convert-linked "${convert[@]}" --force \
    out/links/model.safetensors out/model/
torture inspect-text "${inspect[@]}" --tensors "$llama"
torture inspect-json "${inspect[@]}" --json --kv-cache --recipe --stats model.gqa
torture inspect-gqa "${inspect[@]}" --kv-cache --recipe --stats grün.gqa
torture inspect-tf "${inspect[@]}" --json "$tf"
torture inspect-chunks "${inspect[@]}" --stats "$data/good/flat-gzip"
torture verify-alone "${verify[@]}" model.gqa
torture verify-against "${verify[@]}" --format json --report out/report.xml \
    --against "$llama" model.gqa
torture verify-tap "${verify[@]}" --format tap --against "$llama" expanded.gqa
torture verify-aligned "${verify[@]}" --format json --against "$llama" aligned/
torture verify-module "${verify[@]}" --format json --against "$tf" module/
torture verify-tf "${verify[@]}" --against "$tf" "$tf"
torture verify-run "${run[@]}" --format json --generate 2 --scale \
    --report out/report.json --against "$llama" model.gqa
torture verify-data "${run[@]}" --tokens tokens.json \
    --dump-logits out/logits.safetensors --against "$llama" model.gqa
torture uptrain-gqa "${uptrain[@]}" model.gqa out/healed.gqa
torture uptrain-folder "${uptrain[@]}" --optimiser adafactor model.gqa out/healed/
torture uptrain-resumed "${uptrain[@]}" --checkpoint state model.gqa out/healed.gqa
torture uptrain-groups "${uptrain[@]}" --groups 1 --method mean \
    out/healed.safetensors

if ((ran == 0)); then
    echo "run.sh: no run of that name" >&2
    exit 2
fi
((failed == 0))
