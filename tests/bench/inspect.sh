#!/usr/bin/env bash
#
# gqa-inspect of a checkpoint of 100 GB, sparse: a real header, no data.
#
# Usage: inspect.sh BUILD
set -euo pipefail

build=$(realpath "$1")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 - <<'PYTHON'
import json, os, struct
d, ff, layers = 8192, 28672, 57
shapes = {"model.embed_tokens.weight": [128256, d],
          "lm_head.weight": [128256, d], "model.norm.weight": [d]}
for i in range(layers):
    p = "model.layers.%d." % i
    for n in "qkvo":
        shapes[p + "self_attn.%s_proj.weight" % n] = [d, d]
    for n in ("gate", "up"):
        shapes[p + "mlp.%s_proj.weight" % n] = [ff, d]
    shapes[p + "mlp.down_proj.weight"] = [d, ff]
    for n in ("input", "post_attention"):
        shapes[p + n + "_layernorm.weight"] = [d]
header, at = {"__metadata__": {"format": "pt"}}, 0
for name, s in shapes.items():
    n = 2 * s[0] * (s[1] if len(s) > 1 else 1)
    header[name] = {"dtype": "BF16", "shape": s, "data_offsets": [at, at + n]}
    at += n
text = json.dumps(header).encode()
with open("model.safetensors", "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text)
    f.truncate(8 + len(text) + at)
json.dump({"model_type": "llama", "num_attention_heads": 64,
           "num_key_value_heads": 64}, open("config.json", "w"))
PYTHON
stat -c '%s bytes' model.safetensors
for _ in 1 2 3 4 5; do
    command time -f '%e s, %M KiB' "$build/inspect/gqa-inspect" . >/dev/null
done
