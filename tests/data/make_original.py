"""Write original/: the model of llama2c/ in the layouts of Meta and of Mistral.

    python make_original.py      (after make_llama2c.py)

Written with torch 2.7.1, safetensors 0.8.0. Rows of q and k lie in the pairs that RoPE turns; names and keys are those
of the published code (llama/model.py, mistral_inference/args.py).
"""
import json
import os

import torch
from safetensors.torch import load_file, save_file

NAMES = {"model.embed_tokens": "tok_embeddings", "model.norm": "norm", "lm_head": "output",
         "input_layernorm": "attention_norm", "post_attention_layernorm": "ffn_norm",
         "self_attn.q_proj": "attention.wq", "self_attn.k_proj": "attention.wk", "self_attn.v_proj": "attention.wv",
         "self_attn.o_proj": "attention.wo", "mlp.gate_proj": "feed_forward.w1", "mlp.down_proj": "feed_forward.w2",
         "mlp.up_proj": "feed_forward.w3"}
HEADS, KV, DIM = 4, 2, 4


def rename(key):
    stem = key.removesuffix(".weight")
    if stem in NAMES:
        return NAMES[stem] + ".weight"
    layer, stem = stem.removeprefix("model.layers.").split(".", 1)
    return f"layers.{layer}.{NAMES[stem]}.weight"


def paired(key, w):
    heads = {"q_proj": HEADS, "k_proj": KV}.get(key.split(".")[-2])
    return w.view(heads, 2, DIM // 2, -1).transpose(1, 2).reshape(w.shape) if heads else w


state = {rename(k): paired(k, w) for k, w in load_file("llama2c/twin.safetensors").items()}
params = {"dim": 16, "n_layers": 2, "n_heads": HEADS, "n_kv_heads": KV, "vocab_size": -1, "norm_eps": 1e-5}
for name, more in (("meta", {"multiple_of": 2}), ("mistral", {"head_dim": DIM, "hidden_dim": 10, "sliding_window": 5})):
    os.makedirs(f"original/{name}", exist_ok=True)
    with open(f"original/{name}/params.json", "w") as file:
        json.dump(params | more, file)
torch.save(state, "original/meta/consolidated.00.pth")
save_file(state, "original/mistral/consolidated.safetensors")
os.chmod("original/mistral/consolidated.safetensors", 0o644)


def part(key, w, i, n, by_tokens):
    """What device i of n has of a tensor, as llama/model.py cuts it; the embedding of Llama 3 by tokens."""
    end = key.removesuffix(".weight").split(".")[-1]
    if end in ("wq", "wk", "wv", "w1", "w3", "output") or (end == "tok_embeddings" and by_tokens):
        return w.chunk(n, 0)[i].clone()
    if end in ("wo", "w2", "tok_embeddings"):
        return w.chunk(n, 1)[i].clone()
    return w


# One layer and an even number of tokens: half a matrix for each of two devices.
twin = {k: torch.cat([w, w[:1]]) if k in ("lm_head.weight", "model.embed_tokens.weight") else w
        for k, w in load_file("llama2c/twin.safetensors").items() if ".layers.1." not in k}
save_file(twin, "original/parts-twin.safetensors")
os.chmod("original/parts-twin.safetensors", 0o644)
state = {rename(k): paired(k, w) for k, w in twin.items()}
for name, by_tokens in (("meta-parts", False), ("meta3-parts", True)):
    os.makedirs(f"original/{name}", exist_ok=True)
    with open(f"original/{name}/params.json", "w") as file:
        json.dump(params | {"n_layers": 1, "multiple_of": 2}, file)
    for i in range(2):
        torch.save({k: part(k, w, i, 2, by_tokens) for k, w in state.items()},
                   f"original/{name}/consolidated.{i:02}.pth")
