"""Small encoders, and what transformers computes of those that are run: their last hidden states.

    python make_encoders.py [NAME...]                 (writes below encoders/)

Written with transformers 4.57.1, torch 2.7.1, safetensors 0.8.0, numpy 2.4.6.
"""
import os
import shutil
import sys

import numpy as np
import safetensors.numpy
import torch
import transformers as tr

import make_reference as made

SIZES = {"hidden_size": 16, "intermediate_size": 19, "num_hidden_layers": 2, "num_attention_heads": 4}
TEXT = {**SIZES, "vocab_size": 23, "max_position_embeddings": 12}


def save(name, family, head, **config):
    model = getattr(tr, family + head)(getattr(tr, family + "Config")(**config)).to(torch.float16)
    done = set()
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if tensor.data_ptr() not in done:
                shape = (*tensor.shape, *[1] * (2 - tensor.ndim))
                value = made.value_of(name, key if "." in key else key + ".weight", shape)
                tensor.copy_(torch.from_numpy(value.reshape(tensor.shape)).half())
            done.add(tensor.data_ptr())
    folder = os.path.join("encoders", name)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    os.chmod(os.path.join(folder, "model.safetensors"), 0o644)


MODELS = {
    "bert": lambda n: save(n, "Bert", "ForMaskedLM", **TEXT),
    "roberta": lambda n: save(n, "Roberta", "ForSequenceClassification", **TEXT),
    "electra": lambda n: save(n, "Electra", "ForPreTraining", embedding_size=8, **TEXT),
    "distilbert": lambda n: save(n, "DistilBert", "ForMaskedLM", vocab_size=23, dim=16, hidden_dim=19, n_layers=2,
                                 n_heads=4, max_position_embeddings=12),
    "albert": lambda n: save(n, "Albert", "ForMaskedLM", embedding_size=8, inner_group_num=2,
                             **{**TEXT, "num_hidden_layers": 3}),
    # Widths that are the same, and the module between them all the same.
    "albert-wide": lambda n: save(n, "Albert", "Model", embedding_size=16, **TEXT),
    # Layers 1 and 2 see one token on either side.
    "modernbert": lambda n: save(n, "ModernBert", "ForMaskedLM", pad_token_id=0, local_attention=2,
                                 **{**TEXT, "num_hidden_layers": 4}),
    "clip": lambda n: save(n, "CLIP", "Model", projection_dim=6, text_config={**TEXT, "bos_token_id": 1,
                           "eos_token_id": 2}, vision_config={**SIZES, "image_size": 8, "patch_size": 4}),
    "vit": lambda n: save(n, "ViT", "ForImageClassification", image_size=8, patch_size=4, **SIZES),
    "wav2vec2": lambda n: save(n, "Wav2Vec2", "ForCTC", vocab_size=23, conv_dim=[8], conv_stride=[5], conv_kernel=[10],
                               num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, **SIZES),
}


RUN = ["bert", "roberta", "distilbert", "electra", "albert", "albert-wide", "modernbert", "clip"]
LENGTHS = [9, 4, 1]


def layers_of(model):
    if model.config.model_type == "albert":
        return model.encoder.albert_layer_groups[0].albert_layers
    if model.config.model_type == "modernbert":
        return model.layers
    if model.config.model_type == "distilbert":
        return model.transformer.layer
    return model.encoder.layers if model.config.model_type == "clip_text_model" else model.encoder.layer


def reference(name):
    folder = os.path.join("encoders", name)
    config = tr.AutoConfig.from_pretrained(folder)
    model = getattr(tr, config.architectures[0]).from_pretrained(
        folder, dtype=torch.float64, attn_implementation="eager").eval().base_model
    if config.model_type == "clip":
        model = model.text_model
    pad = 0 if model.config.pad_token_id is None else model.config.pad_token_id
    hidden, ids = [], made.tokens(name, LENGTHS, TEXT["vocab_size"], pad=pad)
    for layer in layers_of(model):
        layer.register_forward_hook(lambda _, __, out: hidden.append(out[0] if isinstance(out, (tuple, list)) else out))
    with made.in_doubles(), torch.no_grad():
        rows = model(input_ids=ids, attention_mask=made.mask(LENGTHS)).last_hidden_state
    real = made.mask(LENGTHS)[..., None].bool()
    data = {"input_ids": ids, "lengths": torch.tensor(LENGTHS), "last_hidden_state": torch.where(real, rows, 0.0),
            "hidden": torch.where(real, torch.stack(hidden), 0.0)}
    assert rows.dtype == torch.float64 and all(torch.isfinite(value).all() for value in data.values())
    path = os.path.join(folder, "reference.safetensors")
    safetensors.numpy.save_file({key: np.ascontiguousarray(value.numpy()) for key, value in data.items()}, path)
    os.chmod(path, 0o644)


def main():
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    for name in sys.argv[1:] or MODELS:
        MODELS[name](name)
        if name in RUN:
            reference(name)


if __name__ == "__main__":
    main()
