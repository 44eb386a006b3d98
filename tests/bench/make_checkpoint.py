#!/usr/bin/env python3
"""Write a bf16 Llama checkpoint of about a given size, for the benchmarks.

Usage: make_checkpoint.py GB FOLDER [--hdf5 | --torch | --gguf | --sparse]

Weights are normal with deviation 0.02, drawn once (64 MiB) and repeated at
odd offsets: as hard to compress as trained ones, and quick to write. Needs
numpy, and h5py for --hdf5 (one flat file, contiguous, bf16 as 2-byte
floats, the same bytes), torch for --torch, gguf for --gguf. With --sparse, which needs neither and takes no
time, all weights are 0 and lie in a hole of the file: for bench_load.
"""
import json
import math
import os
import struct
import sys

D, HEADS, HEAD_DIM, FF, VOCAB = 4096, 32, 128, 11008, 32000


def tensors(gb):
    layer = {
        "input_layernorm.weight": [D],
        "post_attention_layernorm.weight": [D],
        "self_attn.q_proj.weight": [HEADS * HEAD_DIM, D],
        "self_attn.k_proj.weight": [HEADS * HEAD_DIM, D],
        "self_attn.v_proj.weight": [HEADS * HEAD_DIM, D],
        "self_attn.o_proj.weight": [D, HEADS * HEAD_DIM],
        "mlp.gate_proj.weight": [FF, D],
        "mlp.up_proj.weight": [FF, D],
        "mlp.down_proj.weight": [D, FF],
    }
    per_layer = sum(2 * math.prod(s) for s in layer.values())
    shapes = {"model.embed_tokens.weight": [VOCAB, D],
              "lm_head.weight": [VOCAB, D], "model.norm.weight": [D]}
    rest = gb * 10**9 - sum(2 * math.prod(s) for s in shapes.values())
    n_layers = max(1, round(rest / per_layer))
    for i in range(n_layers):
        for name, shape in layer.items():
            shapes["model.layers.%d.%s" % (i, name)] = shape
    return n_layers, dict(sorted(shapes.items()))


def make_pool(np):
    normal = np.random.default_rng(1).standard_normal(32 << 20, dtype="f4")
    return ((normal * np.float32(0.02)).view("u4") >> 16).astype("<u2")


GGUF_NAMES = {
    "model.embed_tokens": "token_embd", "lm_head": "output",
    "model.norm": "output_norm", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def write_gguf(path, n_layers, shapes, content):
    import gguf
    made = gguf.GGUFWriter(path, "llama")
    made.add_context_length(4096)
    made.add_embedding_length(D)
    made.add_block_count(n_layers)
    made.add_feed_forward_length(FF)
    made.add_head_count(HEADS)
    made.add_layer_norm_rms_eps(1e-5)
    for i, (name, shape) in enumerate(shapes.items()):
        stem = name.removesuffix(".weight")
        if stem.startswith("model.layers."):
            layer, stem = stem.split(".", 3)[2:]
            theirs = "blk.%s.%s.weight" % (layer, GGUF_NAMES[stem])
        else:
            theirs = GGUF_NAMES[stem] + ".weight"
        made.add_tensor(theirs, content(i, shape).reshape(shape).view("u1"),
                        raw_dtype=gguf.GGMLQuantizationType.BF16)
    made.write_header_to_file()
    made.write_kv_data_to_file()
    made.write_tensors_to_file()
    made.close()


def main():
    gb, folder = float(sys.argv[1]), sys.argv[2]
    n_layers, shapes = tensors(gb)
    os.makedirs(folder, exist_ok=True)
    sparse = "--sparse" in sys.argv
    if not sparse:
        import numpy as np
        pool = make_pool(np)
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"],
              "hidden_size": D, "num_attention_heads": HEADS,
              "num_key_value_heads": HEADS, "head_dim": HEAD_DIM,
              "intermediate_size": FF, "num_hidden_layers": n_layers,
              "vocab_size": VOCAB, "torch_dtype": "bfloat16"}
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(config, f, indent=2)

    def content(i, shape):
        n, at = math.prod(shape), 7919 * (i + 1) % len(pool)
        while n:
            part = pool[at:at + n]
            yield part
            n, at = n - len(part), 0

    if "--hdf5" in sys.argv:
        import h5py
        bf16 = h5py.h5t.IEEE_F32LE.copy()
        bf16.set_fields(15, 7, 8, 0, 7)
        bf16.set_size(2)
        bf16.set_ebias(127)
        with h5py.File(os.path.join(folder, "model.h5"), "w") as h5:
            for i, (name, shape) in enumerate(shapes.items()):
                space = h5py.h5s.create_simple(tuple(shape))
                d = h5py.h5d.create(h5.id, name.encode(), bf16, space)
                data = np.concatenate(list(content(i, shape)))
                d.write(h5py.h5s.ALL, h5py.h5s.ALL, data, mtype=bf16)
        return
    if "--torch" in sys.argv:
        import torch
        torch.save({name: torch.from_numpy(np.concatenate(list(
            content(i, shape)))).view(torch.bfloat16).view(shape)
            for i, (name, shape) in enumerate(shapes.items())},
            os.path.join(folder, "pytorch_model.bin"))
        return
    if "--gguf" in sys.argv:
        write_gguf(os.path.join(folder, "model.gguf"), n_layers, shapes,
                   lambda i, shape: np.concatenate(list(content(i, shape))))
        return
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        n = 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape,
                        "data_offsets": [at, at + n]}
        at += n
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(folder, "model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        if sparse:
            f.truncate(8 + len(text) + at)
            return
        for i, shape in enumerate(shapes.values()):
            for part in content(i, shape):
                part.tofile(f)


main()
