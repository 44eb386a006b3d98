"""Write llama2c/: one model in the two float32 forms of llama2.c, and in safetensors.

    python make_llama2c.py

Written with numpy 2.4.6 and safetensors 0.8.0, by the description of the format in llama2.c's export.py and run.c:
Hugging Face's rows of q and k (i and i + dim / 2) lie in pairs there.
"""
import os
import struct

import numpy as np
from safetensors.numpy import save_file

D, FF, LAYERS, HEADS, KV, VOCAB, LENGTH = 16, 10, 2, 4, 2, 11, 8
DIM = D // HEADS
rng = np.random.default_rng(1)


def new(*shape):
    return rng.standard_normal(shape, dtype=np.float32)


def paired(w, heads):
    return w.reshape(heads, 2, DIM // 2, -1).swapaxes(1, 2)


os.makedirs("llama2c", exist_ok=True)
stacks = {"input_layernorm": new(LAYERS, D), "post_attention_layernorm": new(LAYERS, D),
          "self_attn.q_proj": new(LAYERS, D, D), "self_attn.k_proj": new(LAYERS, KV * DIM, D),
          "self_attn.v_proj": new(LAYERS, KV * DIM, D), "self_attn.o_proj": new(LAYERS, D, D),
          "mlp.gate_proj": new(LAYERS, FF, D), "mlp.down_proj": new(LAYERS, D, FF), "mlp.up_proj": new(LAYERS, FF, D)}
embedding, unembedding, norm = new(VOCAB, D), new(VOCAB, D), new(D)
tensors = {f"model.layers.{i}.{k}.weight": v[i] for k, v in stacks.items() for i in range(LAYERS)}
tensors |= {"model.embed_tokens.weight": embedding, "lm_head.weight": unembedding, "model.norm.weight": norm}
save_file(tensors, "llama2c/twin.safetensors", {"format": "pt"})

heads = {"self_attn.q_proj": HEADS, "self_attn.k_proj": KV}
raw = {k: (np.stack([paired(w, heads[k]) for w in v]) if k in heads else v).tobytes() for k, v in stacks.items()}
matrices = [f"self_attn.{p}_proj" for p in "qkvo"], ["mlp.gate_proj", "mlp.down_proj", "mlp.up_proj"]
angles = np.outer(np.arange(LENGTH), 10000.0 ** (-np.arange(0, DIM, 2) / DIM)).astype(np.float32)
numbers = struct.pack("<5i", D, FF, LAYERS, HEADS, KV)

with open("llama2c/v0.bin", "wb") as file:
    file.write(numbers + struct.pack("<2i", -VOCAB, LENGTH) + embedding.tobytes() + raw["input_layernorm"])
    file.write(b"".join(raw[k] for k in matrices[0]) + raw["post_attention_layernorm"])
    file.write(b"".join(raw[k] for k in matrices[1]) + norm.tobytes())
    file.write(np.cos(angles).tobytes() + np.sin(angles).tobytes() + unembedding.tobytes())
with open("llama2c/v1.bin", "wb") as file:
    file.write((b"24ka" + struct.pack("<i", 1) + numbers + struct.pack("<2i", VOCAB, LENGTH) + b"\0").ljust(256, b"\0"))
    file.write(raw["input_layernorm"] + raw["post_attention_layernorm"] + norm.tobytes() + embedding.tobytes())
    file.write(b"".join(raw[k] for k in matrices[0] + matrices[1]) + unembedding.tobytes())
