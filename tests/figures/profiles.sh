#!/usr/bin/env bash
#
# How far conversions of a trained model are from it, right ones and broken
# ones: the table of docs/fidelity.md.
#
# usage: tests/figures/profiles.sh MODEL [KV_HEADS]...
#
#   MODEL       a folder with a trained Llama or T5, whose decoder is grouped
#   KV_HEADS    numbers of them (default: 8 4 2 1)
#   GQA_BUILD   environment: the build folder (default: build/release)
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "${GQA_BUILD:-$root/build/release}" && pwd)
export PATH=$build/convert:$build/verify:$build/tests/cli:$PATH
model=${1:?usage: profiles.sh MODEL [KV_HEADS]...}
shift
(($# > 0)) || set -- 8 4 2 1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The keys of all attentions that were grouped, from the recipe.
list_keys() {
    python3 - "$1" <<'END'
import json, struct, sys

with open(sys.argv[1], "rb") as file:
    size, = struct.unpack("<Q", file.read(8))
    header = json.loads(file.read(size))
for name in header:
    if name.endswith("k_proj.weight") or (
        name.startswith("decoder") and name.endswith(".k.weight")
    ):
        print(name)
END
}

# say NAME CONVERTED [OPTION]...: a line for it, and for each of its scale
say() {
    gqa-verify --samples 4 --length 256 --format json "${@:3}" \
        --against "$model" "$2" >"$scratch/report.json" || (($? == 1))
    python3 - "$1" "$scratch/report.json" <<'END'
import json, sys

name, path = sys.argv[1:]
checks = {
    check["name"]: check["values"]
    for check in json.load(open(path))["checks"]
    if check["group"] == "fidelity"
}


def line(name, kl, p99, same, increase):
    print(f"{name:28} KL {kl:7.3f}  p99 {p99:6.2f}  top-1 {100 * same:5.1f} %"
          f"  perplexity {100 * increase:+.0f} %")


line(name, checks["kl"]["mean"], checks["kl-p99"]["p99"],
     checks["top-1"]["same"], checks["perplexity"]["increase"])
for key in "scale-first", "scale-random":
    if key in checks:
        scale = checks[key]
        line(f"  {key}", scale["kl_mean"], scale["kl_p99"], scale["same"],
             scale["increase"])
END
}

for groups; do
    gqa-convert -qf --groups "$groups" --dtype f32 "$model" \
        "$scratch/mean.safetensors"
    say "$groups, mean" "$scratch/mean.safetensors" --scale
    mapfile -t keys < <(list_keys "$scratch/mean.safetensors")

    cp "$scratch/mean.safetensors" "$scratch/broken.safetensors"
    for key in "${keys[@]}"; do
        break_weights "$scratch/broken.safetensors" "$key" transpose
    done
    say "$groups, K transposed" "$scratch/broken.safetensors"

    cp "$scratch/mean.safetensors" "$scratch/broken.safetensors"
    for key in "${keys[@]}"; do
        value=${key/k_proj/v_proj}
        break_weights "$scratch/broken.safetensors" "$key" \
            exchange "${value/.k.weight/.v.weight}"
    done
    say "$groups, K and V swapped" "$scratch/broken.safetensors"
done
