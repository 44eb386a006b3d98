"""Models of KerasHub as its users save them, and what Keras computes of them.

    python make_kerashub_tasks.py [NAME]...     (writes below kerashub/; default: all)

Written with keras-hub 0.32.0, keras 3.15.1, torch 2.15.0, h5py 3.16.0, safetensors 0.8.0; OPT and those below it with
TensorFlow 2.21.0 as the backend (KERAS_BACKEND=tensorflow).
"""
import json
import os
import shutil
import sys
import zipfile
import zlib

os.environ.setdefault("KERAS_BACKEND", "torch")

import h5py
import keras
import keras_hub
import numpy as np
from keras_hub.src.utils.keras_utils import gelu_approximate
from safetensors.numpy import save_file

from drawn_frames import drawn
from weights import newer_format

M = keras_hub.models
VOCAB = 19
# Those that pay no heed to padding on the right; a Keras model takes the batch as it is.
TEXT = np.array([[3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8], [7, 9, 3, 2, 3, 8, 4, 6, 2, 6, 4, 3]])
TARGET = np.array([[0, 7, 1, 8, 2, 8, 1, 8, 2], [0, 5, 9, 0, 4, 5, 2, 3, 5]])


def filled(name, task):
    for i, variable in enumerate(task.backbone.weights):  # T5's two relative biases have one path
        if not variable.trainable:  # SmolLM3's frequencies of RoPE
            continue
        rng = np.random.default_rng(zlib.crc32(f"{name}{i}".encode()))
        value = rng.standard_normal(variable.shape) * 0.4
        if variable.path.split("/")[-1] in ("scale", "gamma", "weight"):
            value = 1 + value
        variable.assign(value.astype("float32"))
    return task


def rope(task, cls, **options):
    return task(cls(
        **{"vocabulary_size": VOCAB, "num_layers": 2, "num_query_heads": 4, "num_key_value_heads": 4,
           "hidden_dim": 16, "intermediate_dim": 10, "layer_norm_epsilon": 1e-3, **options}), preprocessor=None)


def t5(**options):
    return M.T5Seq2SeqLM(M.T5Backbone(
        vocabulary_size=VOCAB, num_layers=2, num_heads=4, hidden_dim=12, intermediate_dim=10, **options),
        preprocessor=None)


def learned(task, cls, n_layers=2, **options):
    return task(cls(
        **{"vocabulary_size": VOCAB, "num_layers": n_layers, "num_heads": 4, "hidden_dim": 16, "intermediate_dim": 10,
           **options}), preprocessor=None)


def falcon(n_layers=2):
    return M.FalconCausalLM(M.FalconBackbone(
        vocabulary_size=VOCAB, num_layers=n_layers, num_attention_heads=4, hidden_dim=12, intermediate_dim=10),
        preprocessor=None)


class Drawn:
    """What looks back at drawn rows, or hears drawn frames."""


class Listener(Drawn):
    """Whisper and its logits, of which KerasHub has no task. A token stands for two frames."""

    def __init__(self, n_layers=2):
        self.backbone = M.WhisperBackbone(
            vocabulary_size=VOCAB, num_layers=n_layers, num_heads=4, hidden_dim=16, intermediate_dim=10, num_mels=3,
            max_encoder_sequence_length=33, max_decoder_sequence_length=24)
        self.save = self.backbone.save

    def __call__(self, inputs):
        width = self.backbone.num_mels
        features = [np.concatenate([drawn(t, 2 * width) for t in ids]) for ids in inputs["encoder_token_ids"]]
        out = self.backbone({
            "encoder_features": np.stack(features).reshape(len(features), -1, width).astype("float32"),
            "decoder_token_ids": inputs["decoder_token_ids"],
            "decoder_padding_mask": inputs["decoder_padding_mask"]})
        return self.backbone.token_embedding(out["decoder_sequence_output"], reverse=True)


def compiled(task):
    """With variables of the optimizer, as many as the model has."""
    task.compile(optimizer=keras.optimizers.SGD(0.1, momentum=0.9), loss="mse")
    task.optimizer.build(task.trainable_variables)
    return task


# --- What Keras computes -----------------------------------------------------------------------------------------

def logits_of(task, ids, target=None):
    one = np.ones_like
    if target is None:
        inputs = {"token_ids": ids, "padding_mask": one(ids)}
    else:
        inputs = {"encoder_token_ids": ids, "encoder_padding_mask": one(ids), "decoder_token_ids": target,
                  "decoder_padding_mask": one(target)}
    return keras.ops.convert_to_numpy(task(inputs))


def greedy(task, ids, target):
    line = (ids if target is None else target[:, :1])[:1]
    start = line.shape[1]
    for _ in range(8):
        logits = logits_of(task, line) if target is None else logits_of(task, ids[:1], line)
        line = np.concatenate([line, logits[:, -1:].argmax(-1)], 1)
    return line[0, start:]


def reference(path, task):
    target = TARGET if isinstance(task, (M.Seq2SeqLM, Drawn)) else None
    tensors = {
        "input_ids": TEXT, "lengths": np.full(len(TEXT), TEXT.shape[1]),
        "logits": logits_of(task, TEXT, target).astype("float32"), "greedy": greedy(task, TEXT, target)}
    if target is not None:
        tensors["decoder_input_ids"] = target
        tensors["decoder_lengths"] = np.full(len(target), target.shape[1])
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, os.path.join(path, "reference.safetensors"))


# --- How it is saved ---------------------------------------------------------------------------------------------

def undate(path):
    """The time of writing would make every run differ."""
    name = os.path.join(path, "metadata.json")
    with open(name) as f:
        metadata = json.load(f)
    metadata["date_saved"] = "2025-01-01@00:00:00"
    with open(name, "w") as f:
        json.dump(metadata, f, indent=4)


def preset(task, path):
    task.backbone.save_to_preset(path)
    undate(path)


def task_weights(task, path):
    """The task's weights beside the backbone's configuration."""
    preset(task, path)
    task.save_weights(os.path.join(path, "model.weights.h5"))


def shards(task, path):
    preset(task, path)
    os.remove(os.path.join(path, "model.weights.h5"))
    task.save_weights(os.path.join(path, "model.weights.json"), max_shard_size=9000 / 1024**3)


def unpacked(task, path):
    """What is in a .keras."""
    packed = os.path.join(path, "task.keras")
    task.save(packed)
    with zipfile.ZipFile(packed) as file:
        file.extractall(path)
    os.remove(packed)
    undate(path)


def whole(task, path):
    task.save(os.path.join(path, "model.h5"))


def main(names):
    llama3 = {"rope_frequency_adjustment_factor": 8.0, "rope_low_freq_factor": 1.0, "rope_high_freq_factor": 4.0,
              "rope_pretraining_sequence_length": 16}
    models = {
        "t5-gelu": (unpacked, t5(activation="gelu")),
        "t5-gelu-approximate": (
            preset, t5(activation=gelu_approximate, key_value_dim=2, tie_embedding_weights=False)),
        "gpt2": (whole, M.GPT2CausalLM(M.GPT2Backbone(
            vocabulary_size=VOCAB, num_layers=2, num_heads=4, hidden_dim=12, intermediate_dim=10,
            max_sequence_length=24), preprocessor=None)),
        "gpt_neox": (task_weights, M.GPTNeoXCausalLM(M.GPTNeoXBackbone(
            vocabulary_size=VOCAB, num_layers=2, num_heads=4, hidden_dim=16, intermediate_dim=10,
            rotary_percentage=0.5, max_sequence_length=24), preprocessor=None)),
        "llama-llama3": (whole, compiled(rope(M.LlamaCausalLM, M.LlamaBackbone, **llama3))),
        "mistral": (unpacked, rope(
            M.MistralCausalLM, M.MistralBackbone, rope_scaling_factor=2.5, sliding_window=5, head_dim=6)),
        "mistral-full": (unpacked, compiled(rope(M.MistralCausalLM, M.MistralBackbone, sliding_window=None,
                                                 num_layers=1))),
        "phi3": (unpacked, rope(M.Phi3CausalLM, M.Phi3Backbone)),
        "qwen-sharded": (shards, compiled(rope(M.QwenCausalLM, M.QwenBackbone, rope_max_wavelength=1000))),
        "opt": (unpacked, learned(M.OPTCausalLM, M.OPTBackbone, max_sequence_length=24)),
        "opt-whole": (whole, learned(M.OPTCausalLM, M.OPTBackbone, 1, max_sequence_length=24)),
        "bloom": (preset, learned(
            M.BloomCausalLM, M.BloomBackbone, hidden_dim=12, intermediate_dim=48, layer_norm_epsilon=1e-3)),
        "bloom-whole": (whole, learned(M.BloomCausalLM, M.BloomBackbone, 1, hidden_dim=12, intermediate_dim=48)),
        "falcon": (unpacked, falcon()),
        "falcon-whole": (whole, compiled(falcon(1))),
        "bart": (task_weights, learned(M.BartSeq2SeqLM, M.BartBackbone, max_sequence_length=24)),
        "bart-whole": (whole, learned(M.BartSeq2SeqLM, M.BartBackbone, 1, max_sequence_length=24)),
        "whisper": (preset, Listener()),
        "whisper-whole": (whole, Listener(1)),
    }
    write({name: models[name] for name in names or models})


def write(models):
    for name, (save, task) in models.items():
        path = os.path.join("kerashub", name)
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
        filled(name, task)
        with newer_format(h5py):
            save(task, path)
        reference(path, task)


if __name__ == "__main__":
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    main(sys.argv[1:])
