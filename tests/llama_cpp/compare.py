"""Hold GGUF files of gqa-convert against llama.cpp: what it computes of them, against what gqa-verify does.

    python compare.py BIN SOURCE[:GROUPS]... [-- OPTION...]      (llama-cpp-python 0.3.36, gguf 0.19.0)

BIN is the build's folder with gqa-convert and gqa-verify. Each SOURCE (a folder of Hugging Face) becomes a GGUF file with
GROUPS KV heads (1 by default; the heads of the source: as it is), which the package gguf reads, and llama.cpp runs on
tokens that gqa-verify drew; its logits are compared with those of gqa-verify, computed in float64. OPTIONs are for
gqa-convert (--family, for gqa-verify, too); with --shard-size it is several files, each of which the package reads. Needs llama-cpp-python, gguf, numpy and safetensors.

The figure is the largest error over the largest logit. llama.cpp computes in float32, rounds what it multiplies with
weights of 16 bits to their type, and takes GELU, in the tanh form whatever the model asks for, from a table in float16.
"""
import ctypes
import glob
import os
import subprocess
import sys
import tempfile

import gguf
import llama_cpp
import numpy as np
from safetensors import safe_open


@llama_cpp.llama_log_callback
def quiet(level, text, data):
    if level >= 4:
        sys.stderr.write(text.decode())


def batch_of(tokens):
    batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
    batch.n_tokens = len(tokens)
    for i, token in enumerate(tokens):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = int(token), i, 1, 1
        batch.seq_id[i][0] = 0
    return batch


def logits_of(path, tokens, heard=None):
    """[tokens, vocabulary], as llama.cpp computes them; heard: what an encoder is given."""
    options = llama_cpp.llama_model_default_params()
    options.n_gpu_layers = 0
    model = llama_cpp.llama_model_load_from_file(path.encode(), options)
    if not model:
        raise SystemExit(f"{path}: llama.cpp does not load it")
    options = llama_cpp.llama_context_default_params()
    options.n_ctx = options.n_batch = options.n_ubatch = max(len(tokens), 0 if heard is None else len(heard))
    options.type_k = options.type_v = 0  # float32
    options.flash_attn_type = 0
    context = llama_cpp.llama_init_from_model(model, options)
    if heard is not None and llama_cpp.llama_encode(context, batch_of(heard)) != 0:
        raise SystemExit(f"{path}: llama.cpp does not run its encoder")
    batch = batch_of(tokens)
    if llama_cpp.llama_decode(context, batch) != 0:
        raise SystemExit(f"{path}: llama.cpp does not run it")
    n = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    out = np.ctypeslib.as_array(llama_cpp.llama_get_logits(context), (len(tokens), n)).astype(np.float64)
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return out


def compare(bin_folder, source, groups, options):
    family = options[options.index("--family"):][:2] if "--family" in options else []
    with tempfile.TemporaryDirectory() as folder:
        made, dump = os.path.join(folder, "made.gguf"), os.path.join(folder, "dump.safetensors")
        subprocess.run([f"{bin_folder}/convert/gqa-convert", "--quiet", "--groups", groups, *options, source, made],
                       check=True)
        files = sorted(glob.glob(os.path.join(folder, "made*.gguf")))
        made, parts = files[0], [gguf.GGUFReader(file) for file in files]
        keys = {k: f.contents() for k, f in parts[0].fields.items()}
        n_tensors = sum(len(part.tensors) for part in parts)
        for i, part in enumerate(parts):
            said = {k: f.contents() for k, f in part.fields.items() if k.startswith("split.")}
            assert len(parts) == 1 or said == {"split.no": i, "split.count": len(parts),
                                               "split.tensors.count": n_tensors}, said
        arch = keys["general.architecture"]
        length = str(min(24, keys[arch + ".context_length"]))
        subprocess.run([f"{bin_folder}/verify/gqa-verify", *family, "--quiet", "--samples", "1", "--length", length, "--dtype",
                        "f64", "--dump-logits", dump, "--against", source, made], stdout=subprocess.DEVNULL, check=False)
        with safe_open(dump, "np") as file:
            tokens, ours = file.get_tensor("input_ids")[0], file.get_tensor("logits")[0]
            heard = None
            if "labels" in file.keys():  # what a decoder is given, behind its first token
                heard = tokens
                tokens = [keys[arch + ".decoder_start_token_id"], *file.get_tensor("labels")[0][:-1]]
        theirs = logits_of(made, tokens, heard)
        error = np.abs(theirs - ours).max() / np.abs(ours).max()
        print(f"{os.path.basename(source.rstrip('/')):24} {arch:10} heads {keys[arch + '.attention.head_count']} on "
              f"{keys[arch + '.attention.head_count_kv']}, {n_tensors} tensors in {len(parts)} file(s), {len(tokens)} tokens: {error:.2e}",
              flush=True)


def main():
    arguments = sys.argv[1:]
    options = arguments[arguments.index("--") + 1:] if "--" in arguments else []
    sources = arguments[:arguments.index("--")] if "--" in arguments else arguments
    llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
    for source in sources[1:]:
        path, _, groups = source.partition(":")
        compare(sources[0], path, groups or "1", options)


main()
