"""Small models for the runtime, and what transformers computes with them when nothing in it is left in float32.

    python make_reference.py [NAME...]                (writes below runtime/)
    python make_reference.py sample FOLDER            (the sample; FOLDER: its bf16 safetensors original)
    python make_reference.py freed GQA_CONVERT        (a folder as gqa-convert writes it, with pairs of RoPE freed)
    python make_reference.py check                    (against the numpy models of reference_model.py)

Norms, softmax and rotary angles of transformers are float32 whatever the model's type; `in_doubles` puts float64 in
the place of float32 for all of its code. Only the buckets of T5's relative bias stay float32: they are whole numbers,
and the models are trained with those.

Written with transformers 5.23.0 (longrope and dynamic: 5.24.0; freed: 4.57.1), torch 2.15.0, safetensors 0.8.0,
numpy 2.4.6.
"""
import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
import zlib

import numpy as np
import safetensors.numpy
import torch
import transformers as tr
from transformers.models.longt5 import modeling_longt5
from transformers.models.mt5 import modeling_mt5
from transformers.models.switch_transformers import modeling_switch_transformers
from transformers.models.t5 import modeling_t5
from transformers.models.umt5 import modeling_umt5

import reference_model

F64, F32, F16, BF16 = torch.float64, torch.float32, torch.float16, torch.bfloat16
GREEDY = 8
VOCAB = 61


# Models

def value_of(name, key, shape):
    """Random, seeded by name, of a size at which every tensor tells in the logits."""
    rng = np.random.default_rng(zlib.crc32(f"{name}/{key}".encode()))
    value = rng.standard_normal(shape)
    kind = key.rsplit(".", 2)[-2]
    if "norm" in kind or kind.startswith("ln_"):
        return 0.3 * value + (1.0 if key.endswith("weight") else 0.0)
    if key.endswith("bias"):
        return 0.5 * value
    if kind in ("embed_tokens", "wte", "wpe", "shared", "embed_in", "relative_attention_bias"):
        return value
    inputs = shape[0] if kind in ("c_attn", "c_proj", "c_fc") else shape[1]
    return value * 1.2 * inputs**-0.5


def repeat_heads(key, value, heads, times):
    """Make the K and V heads of each group of `times` equal: grouping then leaves the function alone."""
    parts = key.split(".")
    if parts[-2] in ("k", "v"):
        views = [value.reshape(heads, -1)]
    elif parts[-2] == "c_attn":
        thirds = np.split(value.reshape(-1, value.shape[-1]), 3, -1)
        views = [third.reshape(len(third), heads, -1).transpose(1, 0, 2) for third in thirds[1:]]
    elif parts[-2] == "query_key_value":
        view = value.reshape(heads, 3, -1)
        views = [view[:, 1], view[:, 2]]
    else:
        return
    for view in views:
        for h in range(heads):
            view[h] = view[h - h % times]


def save(name, cls, config, dtype=F32, untied=False, repeat=None, legacy=False):
    model = cls(config)
    if untied and isinstance(config, (tr.T5Config, tr.MT5Config)):  # this version of transformers ties them
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
        model.config.tie_word_embeddings = False
    model.to(dtype)
    done = set()
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if tensor.data_ptr() in done:  # tied
                continue
            done.add(tensor.data_ptr())
            value = value_of(name, key, tuple(tensor.shape))
            if repeat:
                repeat_heads(key, value, config.num_attention_heads, repeat)
            tensor.copy_(torch.from_numpy(value).to(dtype))
    folder = os.path.join("runtime", name)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    if os.path.exists(os.path.join(folder, "generation_config.json")):
        os.remove(os.path.join(folder, "generation_config.json"))
    os.chmod(os.path.join(folder, "model.safetensors"), 0o644)
    if legacy:
        older_config(os.path.join(folder, "config.json"))


def older_config(path):
    """The keys of RoPE as transformers 4 wrote them; most published models have these."""
    with open(path) as file:
        config = json.load(file)
    rope = config.pop("rope_parameters")
    if config["model_type"] == "gpt_neox":
        config["rotary_emb_base"] = rope["rope_theta"]
        config["rotary_pct"] = rope["partial_rotary_factor"]
    else:
        config["rope_theta"] = rope.pop("rope_theta")
        config["rope_scaling"] = rope if rope["rope_type"] != "default" else None
    with open(path, "w") as file:
        file.write(json.dumps(config, indent=2, sort_keys=True) + "\n")


def llama(name, heads, kv, head_dim, hidden, rope=None, family="Llama", dtype=F32, legacy=False, context=64, **more):
    config = getattr(tr, family + "Config")(
        vocab_size=VOCAB, hidden_size=hidden, intermediate_size=29, num_hidden_layers=2, num_attention_heads=heads,
        num_key_value_heads=kv, head_dim=head_dim, max_position_embeddings=context, bos_token_id=1, eos_token_id=2,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, **(rope or {})}, rms_norm_eps=1e-5, **more)
    save(name, getattr(tr, family + "ForCausalLM"), config, dtype, legacy=legacy)


def gpt2(name, dtype=F32, repeat=None, cls=tr.GPT2LMHeadModel, n_inner=31, **more):
    config = tr.GPT2Config(vocab_size=VOCAB, n_positions=24, n_embd=20, n_layer=2, n_head=4, n_inner=n_inner,
                           bos_token_id=1, eos_token_id=2, **more)
    save(name, cls, config, dtype, repeat=repeat)


def gpt_neox(name, heads, head_dim, parallel=True, dtype=F32, repeat=None, legacy=False, bias=True):
    config = tr.GPTNeoXConfig(
        vocab_size=VOCAB, hidden_size=heads * head_dim, num_hidden_layers=2, num_attention_heads=heads,
        intermediate_size=31, max_position_embeddings=64, attention_bias=bias, use_parallel_residual=parallel,
        bos_token_id=1, eos_token_id=2, rope_parameters={
            "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25})
    save(name, tr.GPTNeoXForCausalLM, config, dtype, repeat=repeat, legacy=legacy)


def t5(name, family="T5", heads=4, d_kv=5, untied=False, resaved=False, dtype=F32, repeat=None, **more):
    config = getattr(tr, family + "Config")(
        vocab_size=VOCAB, d_model=20, d_kv=d_kv, d_ff=29, num_layers=2, num_decoder_layers=2, num_heads=heads,
        relative_attention_num_buckets=8, relative_attention_max_distance=16, decoder_start_token_id=0,
        pad_token_id=0, eos_token_id=1, **more)
    save(name, getattr(tr, family + "ForConditionalGeneration"), config, dtype, untied, repeat)
    if resaved:  # read and written again, it is said to be tied, and keeps its own lm_head
        path = os.path.join("runtime", name, "config.json")
        with open(path) as file:
            config = {**json.load(file), "tie_word_embeddings": True}
        with open(path, "w") as file:
            file.write(json.dumps(config, indent=2, sort_keys=True) + "\n")


LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 32}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "beta_fast": 4.0, "beta_slow": 1.0}
LONG = {"rope_type": "longrope", "short_factor": [1.0, 1.25, 1.5, 2.0], "long_factor": [1.0, 3.0, 9.0, 1e30]}
GATED = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}

MODELS = {
    "llama": lambda n: llama(n, 3, 3, 8, 24),
    "llama-grouped": lambda n: llama(n, 12, 4, 6, 36, dtype=F16, attention_bias=True, mlp_bias=True,
                                     tie_word_embeddings=True),
    "llama-f64": lambda n: llama(n, 4, 2, 4, 16, dtype=F64, tie_word_embeddings=True),
    "llama-mqa": lambda n: llama(n, 6, 1, 4, 24, dtype=BF16, legacy=True),
    "llama-linear": lambda n: llama(n, 6, 2, 8, 24, {"rope_type": "linear", "factor": 2.5}, dtype=BF16, legacy=True),
    "llama-llama3": lambda n: llama(n, 4, 2, 16, 24, {**LLAMA3, "rope_theta": 500.0}, dtype=F16, legacy=True),
    "llama-yarn": lambda n: llama(n, 4, 2, 16, 24, {**YARN, "rope_theta": 100.0}, dtype=BF16),
    "llama-yarn-factor": lambda n: llama(
        n, 2, 1, 16, 24, {**YARN, "rope_theta": 100.0, "attention_factor": 0.75}, dtype=F16, legacy=True),
    "llama-yarn-mscale": lambda n: llama(
        n, 4, 2, 16, 24, {**YARN, "rope_theta": 100.0, "mscale": 1.3, "mscale_all_dim": 0.7, "truncate": False},
        dtype=F16),
    "llama-longrope": lambda n: llama(n, 4, 2, 8, 24, LONG, dtype=F16, legacy=True, original_max_position_embeddings=8),
    "llama-longrope-short": lambda n: llama(
        n, 4, 2, 8, 24, {**LONG, "factor": 4.0, "original_max_position_embeddings": 24}, dtype=BF16),
    "llama-longrope-factor": lambda n: llama(
        n, 4, 2, 8, 24, {**LONG, "attention_factor": 0.75, "factor": 1.0}, dtype=F16, context=8, legacy=True),
    "llama-dynamic": lambda n: llama(n, 4, 2, 8, 24, {"rope_type": "dynamic", "factor": 2.5}, dtype=F16, context=8,
                                     legacy=True),
    "mistral": lambda n: llama(n, 6, 3, 6, 24, family="Mistral", sliding_window=5, dtype=F16),
    "mistral-full": lambda n: llama(n, 6, 2, 4, 24, family="Mistral", sliding_window=None, dtype=BF16, legacy=True),
    "qwen2": lambda n: llama(n, 6, 2, 4, 24, family="Qwen2", dtype=F16, tie_word_embeddings=False),
    "qwen2-tied": lambda n: llama(n, 4, 2, 6, 20, family="Qwen2", tie_word_embeddings=True, dtype=BF16, legacy=True),
    "qwen2-sliding": lambda n: llama(n, 6, 2, 4, 24, family="Qwen2", dtype=F16, use_sliding_window=True,
                                     sliding_window=3, max_window_layers=1),
    "gpt2": gpt2,
    "gpt2-base": lambda n: gpt2(n, F16, cls=tr.GPT2Model),
    "gpt2-variant": lambda n: gpt2(n, F16, n_inner=None, scale_attn_weights=False, tie_word_embeddings=False,
                                   scale_attn_by_inverse_layer_idx=True, activation_function="gelu_fast"),
    "gpt2-repeated": lambda n: gpt2(n, F16, repeat=2),
    "gpt_neox": lambda n: gpt_neox(n, 2, 16),
    "gpt_neox-sequential": lambda n: gpt_neox(n, 3, 8, parallel=False, dtype=BF16, legacy=True),
    "gpt_neox-nobias": lambda n: gpt_neox(n, 3, 8, bias=False, dtype=BF16),
    "gpt_neox-repeated": lambda n: gpt_neox(n, 4, 8, dtype=F16, repeat=2),
    "t5-v1_0": lambda n: t5(n, feed_forward_proj="relu"),
    "t5-v1_1": lambda n: t5(n, untied=True, dtype=BF16, **GATED),
    "t5-resaved": lambda n: t5(n, untied=True, resaved=True, dtype=BF16, **GATED),
    "t5-tied-unscaled": lambda n: t5(n, dtype=F16, **GATED),
    "t5-repeated": lambda n: t5(n, heads=6, d_kv=6, repeat=3, dtype=F16, feed_forward_proj="relu"),
    "mt5": lambda n: t5(n, "MT5", heads=3, d_kv=7, untied=True, dtype=BF16, feed_forward_proj="gated-gelu"),
    "umt5": lambda n: t5(n, "UMT5", dtype=BF16, feed_forward_proj="gated-gelu"),
}

# Of the text, where RoPE goes by it: all beyond the context, which transformers tells from a batch as a whole.
LENGTHS = {"llama-longrope": [11, 9, 10], "llama-longrope-factor": [11, 9, 10], "llama-dynamic": [11, 11, 11]}


# What they compute

@contextlib.contextmanager
def in_doubles():
    """torch.float32 and Tensor.float() mean float64, but in the buckets of T5's relative bias."""
    single, to_single = torch.float32, torch.Tensor.float
    classes = [modeling_t5.T5Attention, modeling_mt5.MT5Attention, modeling_umt5.UMT5Attention,
               modeling_switch_transformers.SwitchTransformersAttention, modeling_longt5.LongT5Attention,
               modeling_longt5.LongT5LocalAttention, modeling_longt5.LongT5TransientGlobalAttention]
    buckets = [vars(c)["_relative_position_bucket"] for c in classes]

    def in_singles(method):
        function = getattr(method, "__func__", method)

        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            torch.Tensor.float = to_single
            try:
                return function(*args, **kwargs)
            finally:
                torch.Tensor.float = torch.Tensor.double
        return staticmethod(wrapped) if isinstance(method, staticmethod) else wrapped

    for cls, bucket in zip(classes, buckets):
        cls._relative_position_bucket = in_singles(bucket)
    torch.float32 = torch.float = torch.float64
    torch.Tensor.float = torch.Tensor.double
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(single)
        torch.float32 = torch.float = single
        torch.Tensor.float = to_single
        for cls, bucket in zip(classes, buckets):
            cls._relative_position_bucket = bucket


def load(folder):
    """The model on double tensors: loaded as usual, its rotary frequencies worked out again in float64."""
    config = tr.AutoConfig.from_pretrained(folder)
    auto = tr.AutoModelForSeq2SeqLM if config.is_encoder_decoder else tr.AutoModelForCausalLM
    model = auto.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
    if hasattr(model.base_model, "rotary_emb"):
        with in_doubles():
            model.base_model.rotary_emb = type(model.base_model.rotary_emb)(model.config)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        assert tensor.dtype in (torch.float64, torch.bool), (name, tensor.dtype)
    return model


def blocks_of(model):
    base = model.base_model
    if model.config.is_encoder_decoder:
        return model.decoder.block
    return base.h if hasattr(base, "h") else base.layers


def run(model, **inputs):
    """Logits [n, len, vocab] and the residual stream after each (decoder) block [layers, n, len, d]."""
    hidden = []
    hooks = [
        b.register_forward_hook(lambda _, __, out: hidden.append(out[0] if isinstance(out, (tuple, list)) else out))
        for b in blocks_of(model)]
    with torch.no_grad():
        logits = model(use_cache=False, **inputs).logits
    for hook in hooks:
        hook.remove()
    assert logits.dtype == torch.float64
    return logits, torch.stack(hidden)


def tokens(name, lengths, vocab, pad=0):
    rng = np.random.default_rng(zlib.crc32(f"{name}/input_ids".encode()))
    ids = rng.integers(3, vocab, (len(lengths), max(lengths)))
    ids[np.arange(ids.shape[1])[None] >= np.array(lengths)[:, None]] = pad
    return torch.from_numpy(ids)


def mask(lengths):
    return (torch.arange(int(max(lengths)))[None] < torch.tensor(lengths)[:, None]).long()


def greedy(model, ids, start):
    """Argmax after argmax, from the whole of the text each time, padded to the length that it will have: RoPE may go by
    that."""
    both = model.config.is_encoder_decoder
    text, margin = ([start] if both else ids.tolist()), np.inf
    fixed = {"input_ids": ids[None]} if both else {}
    length = len(text) + GREEDY
    for _ in range(GREEDY):
        padded = torch.tensor([text + (length - len(text)) * [0]])
        logits, _ = run(model, **fixed, **{"decoder_input_ids" if both else "input_ids": padded})
        best = logits[0, len(text) - 1].topk(2)
        margin = min(margin, float(best.values[0] - best.values[1]))
        text.append(int(best.indices[0]))
    assert margin > 1e-4, f"two tokens {margin} apart: float32 might choose the other"
    return torch.tensor(text[-GREEDY:])


def reference(name, folder, lengths, decoder_lengths):
    model = load(folder)
    with in_doubles():
        vocab = model.config.vocab_size
        ids = tokens(name, lengths, vocab)
        data = {"input_ids": ids, "lengths": torch.tensor(lengths)}
        inputs, written = {"input_ids": ids, "attention_mask": mask(lengths)}, lengths
        if model.config.is_encoder_decoder:
            start = model.config.decoder_start_token_id
            decoder_ids = tokens(name + "/decoder", decoder_lengths, vocab)
            decoder_ids[:, 0] = start
            data.update(decoder_input_ids=decoder_ids, decoder_lengths=torch.tensor(decoder_lengths))
            inputs.update(decoder_input_ids=decoder_ids, decoder_attention_mask=mask(decoder_lengths))
            written = decoder_lengths
        logits, hidden = run(model, **inputs)
        real = mask(written)[..., None].bool()
        data["logits"] = torch.where(real, logits, 0.0)
        data["hidden"] = torch.where(real, hidden, 0.0)
        data["greedy"] = greedy(model, ids[0, :lengths[0]], getattr(model.config, "decoder_start_token_id", None))
    assert torch.isfinite(data["logits"]).all() and torch.isfinite(data["hidden"]).all()
    folder = os.path.join("runtime", name)
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "reference.safetensors")
    safetensors.numpy.save_file({key: np.ascontiguousarray(value.numpy()) for key, value in data.items()}, path)
    os.chmod(path, 0o644)


# Check

def distance(got, want):
    return np.linalg.norm(got - want) / np.linalg.norm(want)


def sequences(data):
    """Inputs of each sequence without its padding, and the slice of the results that is theirs."""
    for i, length in enumerate(data["lengths"]):
        ids = [data["input_ids"][i, :length]]
        if "decoder_lengths" in data:
            length = data["decoder_lengths"][i]
            ids.append(data["decoder_input_ids"][i, :length])
        yield ids, (i, slice(0, length))


def check(name, folder):
    """The numpy model gives the same logits, residual stream and greedy tokens."""
    data = safetensors.numpy.load_file(os.path.join("runtime", name, "reference.safetensors"))
    model = reference_model.load(folder)
    worst = 0.0
    for ids, (i, part) in sequences(data):
        logits, hidden = model.run(*ids)
        worst = max(worst, distance(logits, data["logits"][i, part]), distance(hidden, data["hidden"][:, i, part]))
    *fixed, text = next(sequences(data))[0]
    text = text[:1].tolist() if fixed else text.tolist()
    length = len(text) + GREEDY
    for _ in range(GREEDY):
        padded = text + (length - len(text)) * [0]
        text.append(int(model.run(*fixed, padded)[0][len(text) - 1].argmax()))
    print(f"{name:20} {worst:.1e} from numpy")
    assert worst <= 1e-12 and text[-GREEDY:] == data["greedy"].tolist(), name


def check_each_tensor_tells(name, folder):
    """A mistake in any one tensor is seen in the logits."""
    data = safetensors.numpy.load_file(os.path.join("runtime", name, "reference.safetensors"))
    model = reference_model.load(folder)
    ids, (i, part) = next(sequences(data))
    for key, value in model.w.items():
        model.w[key] = value + 1e-3 * np.random.default_rng(1).standard_normal(value.shape)
        change = distance(model.run(*ids)[0], data["logits"][i, part])
        model.w[key] = value
        assert change > 3e-5, f"{name}: 1e-3 on {key} moves the logits by {change} only"


FREED = os.path.join("runtime", "llama-freed")


def main():
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["check"]:
        for name in MODELS:
            check(name, os.path.join("runtime", name))
            check_each_tensor_tells(name, os.path.join("runtime", name))
    elif sys.argv[1:2] == ["freed"]:
        subprocess.run([sys.argv[2], "-q", "-f", "-m", "aligned", "--calibrate", "none", "--groups", "1",
                        "runtime/llama-linear", FREED + "/"], check=True)
        for name in ("README.md", "gqa-manifest.json"):
            os.remove(os.path.join(FREED, name))
        reference("llama-freed", FREED, [11, 1, 6], None)
        check("llama-freed", FREED)
    elif sys.argv[1:2] == ["sample"]:
        reference("t5-tiny16", sys.argv[2], [7, 1, 6], [5, 3, 1])
        check("t5-tiny16", sys.argv[2])
    else:
        for name in sys.argv[1:] or MODELS:
            MODELS[name](name)
            both = name.split("-")[0] in ("t5", "mt5", "umt5")
            lengths = [19, 8, 1] if both else LENGTHS.get(name, [11, 1, 6])
            reference(name, os.path.join("runtime", name), lengths, [9, 1, 6])


if __name__ == "__main__":
    main()
