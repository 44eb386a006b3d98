"""Write torch/: models of good/ as PyTorch writes them, each the same tensors bit for bit.

    python make_torch_files.py

Written with torch 2.7.1, safetensors 0.8.0.
"""
import argparse
import collections
import json
import os
import shutil

import torch
from safetensors.torch import load_file


def tensors(name):
    folder = os.path.join("good", name)
    files = sorted(f for f in os.listdir(folder) if f.endswith(".safetensors"))
    return {f: load_file(os.path.join(folder, f)) for f in files}


def folder_of(name, model):
    folder = os.path.join("torch", name)
    os.makedirs(folder, exist_ok=True)
    shutil.copy(os.path.join("good", model, "config.json"), folder)
    return folder


def write_plain():
    for name, model, is_zip in (("zip", "llama", True), ("old", "gpt2", False)):
        state = collections.OrderedDict(tensors(model)["model.safetensors"])
        state._metadata = collections.OrderedDict({"": {"version": 1}})
        torch.save(state, os.path.join(folder_of(name, model), "pytorch_model.bin"),
                   _use_new_zipfile_serialization=is_zip)


def write_sharded():
    folder = folder_of("sharded", "t5-sharded")
    files = tensors("t5-sharded")
    with open("good/t5-sharded/model.safetensors.index.json") as file:
        index = json.load(file)
    new = {f: f"pytorch_model-{i + 1:05}-of-{len(files):05}.bin" for i, f in enumerate(files)}
    for f, state in files.items():
        torch.save(state, os.path.join(folder, new[f]))
    index["weight_map"] = {k: new[f] for k, f in index["weight_map"].items()}
    with open(os.path.join(folder, "pytorch_model.bin.index.json"), "w") as file:
        json.dump(index, file, indent=2)


def laid_out(state):
    """The same values: transposed, parts of one storage, repeated names, parameters."""
    one = torch.cat([torch.zeros(3, dtype=torch.bfloat16)] + [v.flatten() for v in state.values()])
    at, out = 3, {}
    for i, (name, value) in enumerate(state.items()):
        view = one[at:at + value.numel()].view(value.shape)
        at += value.numel()
        if i % 3 == 1 and value.dim() == 2:
            view = value.t().contiguous().t()
        elif i % 3 == 2 and value.dim() == 2:
            wide = torch.zeros(value.shape[0], value.shape[1] + 5, dtype=value.dtype)
            wide[:, 2:-3] = value
            view = torch.nn.Parameter(wide[:, 2:-3])
        assert torch.equal(view, value)
        out[name] = view
    return out


def write_trainer():
    state = tensors("llama")["model.safetensors"]
    torch.save({
        "epoch": 3, "loss": 0.25, "is_best": False, "seed": 2 ** 70, "rng": torch.get_rng_state()[:16],
        "args": argparse.Namespace(lr=1e-3, layers=[1, 2]), "device": torch.device("cpu"), "when": None,
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(2, 2)}}, "param_groups": [{"params": [0], "betas": (0.9, 0.99)}]},
        "model": laid_out(state),
    }, os.path.join(folder_of("trainer", "llama"), "step-3.ckpt"), pickle_protocol=4)


def write_several():
    """Two state dicts and a history, by each protocol in the form of before 1.6, and in an archive."""
    folder = os.path.join("torch", "several")
    os.makedirs(folder, exist_ok=True)
    state = {"a.weight": torch.arange(6.).view(2, 3), "b.bias": torch.ones(2)}
    average = {name: value / 2 for name, value in state.items()}
    both = {"model": state, "state": {"ema": average}, "same": state, "losses": [0.5, 1, None, True] * 5}
    for protocol in (2, 3, 4, 5):
        torch.save(both, os.path.join(folder, f"old-{protocol}.pt"), pickle_protocol=protocol,
                   _use_new_zipfile_serialization=False)
    torch.save(both, os.path.join(folder, "new.pt"))


torch.manual_seed(1)
write_plain()
write_sharded()
write_trainer()
write_several()
