"""Families as TensorFlow's half of transformers writes them, and what it computes of them in float32.

    python make_tf_families.py [NAME...]              (writes below tf/ and encoders/)

Written with transformers 4.46.3 (encoders: 4.57.1), tensorflow 2.18.0, tf-keras 2.18.0, h5py 3.16.0, safetensors 0.8.0.
"""
import os
import shutil
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ["TF_USE_LEGACY_KERAS"] = "1"

import h5py
import numpy as np
import safetensors.numpy
import transformers as tr

from weights import fill, newer_format

VOCAB = 23
GREEDY = 8


def save(name, model, below="tf"):
    model.build_in_name_scope()
    for weight in model.weights:
        # Positions that are computed are no variables that are trained.
        if "embed_positions" in weight.name and "Marian" in type(model).__name__:
            continue
        weight.assign(fill(name + weight.name.split("/", 1)[-1].removesuffix(":0"), weight.shape).astype(np.float32))
    folder = os.path.join(below, name)
    shutil.rmtree(folder, ignore_errors=True)
    with newer_format(h5py):
        model.save_pretrained(folder)
    if os.path.exists(os.path.join(folder, "generation_config.json")):
        os.remove(os.path.join(folder, "generation_config.json"))
    return model


def marian(name):
    return save(name, tr.TFMarianMTModel(tr.MarianConfig(
        vocab_size=VOCAB, decoder_vocab_size=VOCAB, d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=11,
        decoder_ffn_dim=11, encoder_attention_heads=4, decoder_attention_heads=4, max_position_embeddings=12,
        pad_token_id=0, eos_token_id=1, decoder_start_token_id=0)))


def whisper(name):
    return save(name, tr.TFWhisperForConditionalGeneration(tr.WhisperConfig(
        vocab_size=VOCAB, num_mel_bins=3, d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=11,
        decoder_ffn_dim=11, encoder_attention_heads=4, decoder_attention_heads=4, max_source_positions=6,
        max_target_positions=8, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=3)))


SIZES = {"hidden_size": 16, "intermediate_size": 11, "num_hidden_layers": 1, "num_attention_heads": 4}


def bert(name):
    """Its head has a name that stands for another in PyTorch."""
    return save(name, tr.TFBertForPreTraining(tr.BertConfig(**SIZES, vocab_size=VOCAB, max_position_embeddings=8)),
                "encoders")


def clip(name):
    """Everything lies behind the name of the class."""
    return save(name, tr.TFCLIPModel(tr.CLIPConfig(
        projection_dim=6, vision_config={**SIZES, "image_size": 8, "patch_size": 4},
        text_config={**SIZES, "vocab_size": VOCAB, "max_position_embeddings": 8, "bos_token_id": 1,
                     "eos_token_id": 2})), "encoders")


# Of sound: what it computes needs frames, which nothing here makes. Encoders are not run.
CONVERTED_ALONE = {"whisper": whisper, "tf-bert": bert, "tf-clip": clip}

MODELS = {"marian": marian}


def reference(name, model):
    ids = np.arange(3, 3 + 7)[None]
    text = [model.config.decoder_start_token_id]
    for _ in range(GREEDY):
        logits = model(input_ids=ids, decoder_input_ids=np.array([text])).logits.numpy()
        text.append(int(logits[0, -1].argmax()))
    data = {"input_ids": ids, "lengths": np.array([ids.shape[1]]), "decoder_input_ids": np.array([text[:-1]]),
            "decoder_lengths": np.array([GREEDY]), "logits": logits.astype(np.float64), "greedy": np.array(text[1:])}
    path = os.path.join("tf", name, "reference.safetensors")
    safetensors.numpy.save_file({key: np.ascontiguousarray(value) for key, value in data.items()}, path)
    os.chmod(path, 0o644)


def main():
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    for name in sys.argv[1:] or {**MODELS, **CONVERTED_ALONE}:
        if name in MODELS:
            reference(name, MODELS[name](name))
        else:
            CONVERTED_ALONE[name](name)


if __name__ == "__main__":
    main()
