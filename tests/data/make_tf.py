"""Fixtures of the TensorFlow half of transformers: tf_model.h5 (whole, sharded), TF safetensors, Keras 2 .h5.

    python make_tf.py good                  (writes below good/)
    python make_tf.py sample MODEL_FOLDER   (T5 of MODEL_FOLDER, bf16 safetensors, as sample/t5-tiny16/tf_model.h5)

Written with transformers 4.46.3, tensorflow 2.17.1, tf-keras 2.17.0, h5py 3.16.0, safetensors 0.8.0.
"""
import json
import os
import shutil
import struct
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ["TF_USE_LEGACY_KERAS"] = "1"

import h5py
import numpy as np
import tf_keras
import transformers as tr
from tf_keras.src.saving.legacy import hdf5_format as legacy

from weights import awkward, fill, newer_format


def heads_of(value, name, n_kv):
    """View [H, n] of a K or V kernel [D, H*d], or None."""
    if name.split("/")[-2] not in ("k", "v", "k_proj", "v_proj") or value.ndim != 2:
        return None
    d = value.shape[1] // n_kv
    return value.reshape(value.shape[0], n_kv, d).transpose(1, 0, 2)


def assign(model, seed, n_kv=None):
    for w in model.weights:
        name = w.name.split("/", 1)[1]
        value = fill(seed + name.removesuffix(":0"), w.shape)
        if n_kv and (view := heads_of(value, name, n_kv)) is not None:
            flat = np.ascontiguousarray(view).reshape(n_kv, -1)
            awkward(flat, "F32")
            view[...] = flat.reshape(view.shape)
        w.assign(value.astype(np.float32))


def t5(seed, **changes):
    config = tr.T5Config(
        vocab_size=16, d_model=8, d_kv=5, d_ff=11, num_layers=1, num_decoder_layers=1, num_heads=6,
        relative_attention_num_buckets=8, relative_attention_max_distance=16, dropout_rate=0.0,
        decoder_start_token_id=0, **changes)
    model = tr.TFT5ForConditionalGeneration(config)
    model.build_in_name_scope()
    assign(model, seed, 6)
    return model


def gpt2(seed, n_layer=2):
    config = tr.GPT2Config(vocab_size=17, n_positions=8, n_embd=12, n_inner=7, n_layer=n_layer, n_head=4)
    model = tr.TFGPT2LMHeadModel(config)
    model.build_in_name_scope()
    assign(model, seed)
    return model


def mistral(seed):
    config = tr.MistralConfig(
        vocab_size=16, hidden_size=24, intermediate_size=9, num_hidden_layers=1, num_attention_heads=12,
        num_key_value_heads=6, max_position_embeddings=32, sliding_window=None)
    model = tr.TFMistralForCausalLM(config)
    model.build_in_name_scope()
    assign(model, seed, 6)
    return model


def save(model, name, **options):
    options.setdefault("safe_serialization", False)
    folder = os.path.join("good", name)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, **options)


def good():
    # The earliest HDF5 format is what all of these files have in the wild (and sample/ has); it is wasteful in
    # small ones.
    with newer_format(h5py):
        save(t5("t5", feed_forward_proj="relu"), "tf-t5-v1_0")
        save(t5("t5v11", feed_forward_proj="gated-gelu", tie_word_embeddings=False), "tf-t5-v1_1")
        save(t5("t5sharded", feed_forward_proj="relu"), "tf-t5-sharded", max_shard_size="7KB")
        save(gpt2("gpt2"), "tf-gpt2")
        save(gpt2("gpt2sharded", 1), "tf-gpt2-sharded", max_shard_size=2600)
        # Attribute lists too long for an object header are split into numbered ones; here most are too long.
        legacy.HDF5_OBJECT_HEADER_LIMIT = 240
        save(mistral("mistral"), "tf-mistral")
        legacy.HDF5_OBJECT_HEADER_LIMIT = 64512
    save(t5("t5safe", feed_forward_proj="relu"), "tf-t5-safetensors", safe_serialization=True)

    # A Keras 2 whole-model file: a functional model around the (serializable) main layer of GPT-2.
    config = tr.GPT2Config(vocab_size=17, n_positions=8, n_embd=15, n_inner=7, n_layer=1, n_head=3)
    main = tr.TFGPT2MainLayer(config, name="transformer")
    ids = tf_keras.Input((8,), dtype="int32", name="input_ids")
    model = tf_keras.Model(ids, main(ids).last_hidden_state)
    model.compile("adam", "mse")
    assign(model, "keras2")
    os.makedirs("good/keras2-gpt2", exist_ok=True)
    with newer_format(h5py):
        model.save("good/keras2-gpt2/model.h5", include_optimizer=True)
    config.save_pretrained("good/keras2-gpt2")


def safetensors_bf16(path):
    with open(path, "rb") as f:
        n, = struct.unpack("<Q", f.read(8))
        header, data = json.loads(f.read(n)), f.read()
    for name, t in header.items():
        if name != "__metadata__":
            assert t["dtype"] == "BF16"
            a, b = t["data_offsets"]
            yield name, (np.frombuffer(data[a:b], "<u2").astype(np.uint32) << 16).view(np.float32).reshape(t["shape"])


def sample(source):
    """The trained T5 in the form TensorFlow gives it: float32, values unchanged."""
    config = tr.T5Config.from_pretrained(source)
    model = tr.TFT5ForConditionalGeneration(config)
    model.build_in_name_scope()
    tensors = dict(safetensors_bf16(os.path.join(source, "model.safetensors")))
    for w in model.weights:
        path = w.name.removesuffix(":0").replace("_._", ".").split("/")
        path = path[-2:] if path[-2] == "shared" else path[1:]
        kernel = path[-1] == "kernel"
        name = ".".join(path[:-1] + ["weight"])
        value = tensors.pop(name)
        w.assign(value.T if kernel else value)
    assert not tensors, sorted(tensors)
    folder = os.path.join("sample", os.path.basename(os.path.normpath(source)))
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, safe_serialization=False)
    for extra in os.listdir(folder):
        if extra != "tf_model.h5":
            os.remove(os.path.join(folder, extra))
    shutil.copyfile(os.path.join(source, "config.json"), os.path.join(folder, "config.json"))


if __name__ == "__main__":
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    good() if sys.argv[1] == "good" else sample(sys.argv[2])
