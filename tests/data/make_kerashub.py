"""Fixtures of KerasHub: presets, shards, bfloat16 in its HDF5 encodings, and Keras 3's whole-model .h5.

    python make_kerashub.py      (writes below good/)

Written with keras-hub 0.32.0, keras 3.15.1, tensorflow-cpu 2.21.0, h5py 3.14.0, ml_dtypes 0.6.0.
"""
import json
import os
import shutil

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ["KERAS_BACKEND"] = "tensorflow"

import h5py
import keras_hub
import ml_dtypes
import numpy as np

from weights import awkward, fill, newer_format

M = keras_hub.models


def assign(model, seed, dtype="F32"):
    for i, v in enumerate(model.weights):  # paths are not unique: T5's two relative biases share one
        value = fill(f"{seed}{i}{v.path}", v.shape)
        heads = None
        if "/key" in v.path or "/value" in v.path:
            n = value.shape[-2]
            if value.ndim == 3:  # [D, H, d]
                heads = value.transpose(1, 0, 2)
            elif "attention" in v.path and not v.path.endswith("bias"):  # T5's [D, H*d]
                n = model.num_heads
                heads = value.reshape(value.shape[0], n, -1).transpose(1, 0, 2)
        if heads is not None and dtype:
            flat = np.ascontiguousarray(heads).reshape(len(heads), -1)
            awkward(flat, dtype)
            heads[...] = flat.reshape(heads.shape)
        np_dtype = ml_dtypes.bfloat16 if v.dtype == "bfloat16" else v.dtype
        v.assign(value.astype(np_dtype))
    return model


def t5(seed, **options):
    options = {"use_gated_activation": False, "num_layers": 1, **options}
    return assign(M.T5Backbone(
        vocabulary_size=16, num_heads=6, hidden_dim=8, intermediate_dim=11, key_value_dim=3, **options), seed)


def gpt2(seed, num_layers=2):
    return assign(M.GPT2Backbone(
        vocabulary_size=17, num_layers=num_layers, num_heads=4, hidden_dim=12, intermediate_dim=14,
        max_sequence_length=8), seed)


def llama(seed, heads, kv, layers=2, dtype="float32"):
    model = M.LlamaBackbone(
        vocabulary_size=16, num_layers=layers, num_query_heads=heads, num_key_value_heads=kv, hidden_dim=heads * 2,
        intermediate_dim=14, dtype=dtype)
    return assign(model, seed, "BF16" if dtype == "bfloat16" else "F32")


def mistral(seed):
    return assign(M.MistralBackbone(
        vocabulary_size=16, num_layers=1, num_query_heads=6, num_key_value_heads=6, hidden_dim=12,
        intermediate_dim=9), seed)


def qwen(seed):
    return assign(M.QwenBackbone(
        vocabulary_size=16, num_layers=2, num_query_heads=4, num_key_value_heads=4, hidden_dim=8,
        intermediate_dim=9, tie_word_embeddings=True), seed)


def gpt_neox(seed):
    return assign(M.GPTNeoXBackbone(
        vocabulary_size=16, num_layers=1, num_heads=3, hidden_dim=24, intermediate_dim=9, rotary_percentage=0.25,
        max_sequence_length=16), seed)


def folder(name):
    path = os.path.join("good", name)
    shutil.rmtree(path, ignore_errors=True)
    return path


def preset(model, name):
    path = folder(name)
    model.save_to_preset(path)
    undate(path)
    return path


def undate(path):
    """The time of writing would make every run differ."""
    name = os.path.join(path, "metadata.json")
    with open(name) as f:
        metadata = json.load(f)
    metadata["date_saved"] = "2025-01-01@00:00:00"
    with open(name, "w") as f:
        json.dump(metadata, f, indent=4)


def rewrite_bf16(source, target, encoding):
    """Copy a preset; every bfloat16 dataset goes over to another of the encodings in use."""
    path = folder(target)
    os.makedirs(path)
    for name in ("config.json", "metadata.json"):
        shutil.copyfile(os.path.join("good", source, name), os.path.join(path, name))
    kind = h5py.h5t.IEEE_F16LE.copy()  # bfloat16 as a floating-point type: 1 sign, 8 exponent, 7 mantissa bits
    kind.set_fields(15, 7, 8, 0, 7)
    kind.set_ebias(127)

    def copy(src, dst):
        for key, value in src.attrs.items():
            dst.attrs[key] = value
        for key, item in src.items():
            if isinstance(item, h5py.Group):
                copy(item, dst.create_group(key))
                continue
            raw = np.ascontiguousarray(item[()])
            if encoding == "opaque":
                dst.create_dataset(key, data=raw.view("V2").reshape(item.shape))
            elif encoding == "float":
                space = h5py.h5s.create_simple(item.shape)
                h5py.h5d.create(dst.id, key.encode(), kind, space).write(
                    h5py.h5s.ALL, h5py.h5s.ALL, raw.view("<u2"), mtype=kind)
            elif encoding == "uint16":
                dst.create_dataset(key, data=raw.view("<u2")).attrs["dtype"] = "bfloat16"

    with h5py.File(os.path.join("good", source, "model.weights.h5"), "r") as src:
        with h5py.File(os.path.join(path, "model.weights.h5"), "w") as dst:
            copy(src, dst)


def main():
    # The earliest HDF5 format is what all of these files have in the wild (and sample/ has); it is wasteful in
    # small ones.
    with newer_format(h5py):
        preset(llama("bf16", 6, 6, 1, "bfloat16"), "kerashub-llama-bf16")
        for encoding in ("opaque", "float", "uint16"):
            rewrite_bf16("kerashub-llama-bf16", "kerashub-llama-bf16-" + encoding, encoding)
        preset(t5("t5", num_layers=2, use_gated_activation=True, activation="gelu", tie_embedding_weights=False),
               "kerashub-t5")
        preset(gpt2("gpt2"), "kerashub-gpt2")
        preset(llama("llama", 6, 6), "kerashub-llama")
        preset(gpt_neox("neox"), "kerashub-gpt_neox")
        preset(mistral("mistral"), "kerashub-mistral")
        preset(qwen("qwen"), "kerashub-qwen")

        model = gpt2("sharded", num_layers=1)
        path = preset(model, "kerashub-gpt2-sharded")
        os.remove(os.path.join(path, "model.weights.h5"))
        model.save_weights(os.path.join(path, "model.weights.json"), max_shard_size=2700 / 1024**3)

        for name, model in (
                ("keras3-llama", llama("k3llama", 6, 3, 1)), ("keras3-gpt2", gpt2("k3gpt2", 1)),
                ("keras3-t5", t5("k3t5"))):
            path = folder(name)
            os.makedirs(path)
            model.save(os.path.join(path, "model.h5"))


if __name__ == "__main__":
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    main()
