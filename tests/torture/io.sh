#!/usr/bin/env bash
#
# No call of the system that fails, or does half, costs data or goes unsaid:
# representative runs of the tools, each again and again with another call
# failing or with a signal that ends it there (fail_io.c).
#
# usage: tests/torture/io.sh [--all | --tries N] [NAME]...
#
#   --all       each call in each way, not a sample; takes half an hour
#   --tries     so many, spread over a run (default: 40); those of the last
#               calls come on top
#   GQA_BUILD   environment: the build folder, without sanitizers (default:
#               build/release)
#
# NAME is that of a run below, or the part of it before the "-". Without one
# all are run. Ends with 77 where the system lets nobody watch calls.
set -euo pipefail

tries=40
# shellcheck source=tests/torture/begin.bash
source "$(dirname "$0")/begin.bash"

# torture NAME COMMAND [ARGUMENT]...: what it writes goes into out/
torture() {
    local name=$1 status=0
    shift
    is_wanted "$name" || return 0
    ran=$((ran + 1))
    echo "$name"
    "$torture/fail_io" -t "$tries" ${seed:+-s "$seed"} \
        "$torture/fail_alloc.so" out "$@" || status=$?
    ((status != 77)) || exit 77
    ((status == 0)) || failed=$((failed + 1))
}

# Inputs of their own, which must be the same in the end.
mkdir in
cp -r "$data"/runtime/llama "$data"/good/{tf-gpt2,t5-sharded,keras3-llama} \
    "$data"/good/{kerashub-gpt2-sharded,flat-gzip} in/
gqa-convert -q --threads 1 -g 1 in/llama in/model.gqa
gqa-convert -q --threads 1 -g 1 -m aligned --calibrate none in/llama in/aligned/
echo '1 2 3 4' >in/tokens.json
uptrain=(gqa-uptrain -q --threads 1 --backend cpu --steps 2 --batch 1
    --length 4 --samples 2 --eval-sequences 1 --rate 1e-3 --teacher in/llama)
"${uptrain[@]}" --checkpoint in/state in/model.gqa first.gqa
cp -r in untouched
# What is there already: an older conversion, files of that name.
mkdir older
gqa-convert -q --threads 1 -g 1 --expand in/llama older/model/
gqa-convert -q --threads 1 -g 1 --expand in/llama older/model.gqa
cp older/model/model.safetensors older/
echo older >older/logits.safetensors

convert=(gqa-convert --threads 1 -g 1)
inspect=(gqa-inspect --threads 1)
verify=(gqa-verify --threads 1 --no-run)
run=(gqa-verify --threads 1 --backend cpu --samples 1 --length 4)

torture convert-gqa "${convert[@]}" in/llama out/model.gqa
torture convert-safetensors "${convert[@]}" --json in/llama out/model.safetensors
torture convert-folder "${convert[@]}" in/llama out/model/
torture convert-shards "${convert[@]}" --shard-size 20K in/t5-sharded out/s/
torture convert-gguf-split "${convert[@]}" --shard-size 8K in/llama \
    out/model.gguf
torture convert-again "${convert[@]}" --expand in/model.gqa out/model.gqa
torture convert-aligned "${convert[@]}" -m aligned --calibrate none in/llama \
    out/model/
torture convert-aligned-again "${convert[@]}" in/aligned out/model.gqa
torture convert-tf "${convert[@]}" in/tf-gpt2 out/model.gqa
torture convert-keras "${convert[@]}" in/keras3-llama/model.h5 out/model.gqa
torture convert-kerashub "${convert[@]}" in/kerashub-gpt2-sharded out/k/
seed=older torture convert-force "${convert[@]}" --force in/llama out/model.gqa
seed=older torture convert-force-plain "${convert[@]}" --force in/llama \
    out/model.safetensors
seed=older torture convert-force-folder "${convert[@]}" --force in/llama out/model/
seed=older torture convert-force-shards "${convert[@]}" --force \
    --shard-size 20K in/t5-sharded out/model/
torture inspect-text "${inspect[@]}" --tensors in/llama
torture inspect-json "${inspect[@]}" --json --recipe --stats in/model.gqa
torture inspect-tf "${inspect[@]}" --json in/tf-gpt2
torture inspect-chunks "${inspect[@]}" --stats in/flat-gzip
torture verify-alone "${verify[@]}" in/model.gqa
torture verify-report "${verify[@]}" --format json \
    --report out/report.xml --against in/llama in/model.gqa
torture verify-aligned "${verify[@]}" --format json --against in/llama \
    in/aligned/
torture verify-tf "${verify[@]}" --against in/tf-gpt2 in/tf-gpt2
torture verify-run "${run[@]}" --tokens in/tokens.json \
    --report out/report.json --against in/llama in/model.gqa
seed=older torture verify-dump "${run[@]}" --dump-logits \
    out/logits.safetensors --against in/llama in/model.gqa
torture uptrain-gqa "${uptrain[@]}" in/model.gqa out/healed.gqa
torture uptrain-folder "${uptrain[@]}" --optimiser adafactor in/model.gqa out/healed/
torture uptrain-resumed "${uptrain[@]}" --checkpoint in/state in/model.gqa out/healed.gqa
torture uptrain-groups "${uptrain[@]}" --groups 1 --method mean \
    out/healed.safetensors
seed=older torture uptrain-force "${uptrain[@]}" --force in/model.gqa out/model/

diff -r untouched in || failed=$((failed + 1))
if ((ran == 0)); then
    echo "io.sh: no run of that name" >&2
    exit 2
fi
((failed == 0))
