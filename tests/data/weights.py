"""Weights of the fixtures: random, seeded by name, different in every tensor.

`fill(name, shape)` gives float64 values; `awkward(heads, mantissa, emin, emax)` writes into a view
[H, ...] of K or V the values on which a careless mean goes wrong. numpy only; `newer_format` patches the h5py it is given.
"""
import contextlib
import functools
import zlib

import numpy as np

# significand bits after the point, smallest and largest exponent of a normal number
FORMATS = {"F64": (52, -1022, 1023), "F32": (23, -126, 127), "F16": (10, -14, 15), "BF16": (7, -126, 127)}


def fill(name, shape, scale=0.25):
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    shape = tuple(int(n) for n in shape)
    return rng.standard_normal(shape) * scale + (1.0 if name.rsplit(".", 1)[0].endswith("norm") else 0.0)


def awkward(heads, dtype):
    """heads: writable view [H, n] (H >= 2, n >= 9), float64; every value is exact in `dtype`."""
    bits, emin, emax = FORMATS[dtype]
    ulp, tiny, huge = 2.0 ** -bits, 2.0 ** (emin - bits), (2.0 - 2.0 ** -bits) * 2.0 ** emax
    if dtype == "F64":
        huge /= 64  # the sum has to stay finite
    rows = [
        (1.0, 1.0 + ulp),                # m = 2: a tie, down to even
        (1.0 + ulp, 1.0 + 2 * ulp),      # a tie, up to even
        (tiny, 2 * tiny),                # ties among subnormals
        (tiny, 0.0),                     # ... to zero
        (huge, huge),                    # a sum that overflows in the type itself
        (huge, -huge, tiny),             # ... and one in which small terms vanish
        (4.0, 2 * ulp, 1e-3, 1e-3),      # a tie at m = 2
        (6.0, 3 * ulp, 2.0 ** emin * 4 if dtype == "F16" else 2.0 ** -(bits + 24)),
        # m = 3: just above a tie: wrong when rounded twice
    ]
    heads[:, 0] = -0.0
    for i, values in enumerate(rows, 1):
        for h, value in enumerate(values[: len(heads)]):
            heads[h, i] = value


@contextlib.contextmanager
def newer_format(h5py):
    """Files in the format of HDF5 1.10, not of the earliest: groups take a tenth of the room.

    Such groups carry the time of writing, so the bytes (not the contents) differ from run to run.
    """
    original = h5py.File.__init__
    h5py.File.__init__ = functools.partialmethod(original, libver=("v110", "v110"), meta_block_size=256)
    try:
        yield
    finally:
        h5py.File.__init__ = original


def round_to(value, dtype):
    """float64 -> the bits of F64, F32, F16 or BF16 (BF16 as uint16): one rounding, ties to even."""
    if dtype != "BF16":
        with np.errstate(over="ignore", under="ignore"):
            return value.astype({"F64": "<f8", "F32": "<f4", "F16": "<f2"}[dtype])
    bits = np.asarray(value, "<f4").view("<u4").astype(np.uint64)  # random values: two roundings do no harm here
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


def state(shapes, seed, n_kv, dtype):
    """name -> array in `dtype`; names that hold K or V rows get awkward values."""
    tensors = {}
    for name, shape in shapes.items():
        value = fill(seed + name, shape)
        if name.split(".")[-2] in ("k", "v", "k_proj", "v_proj"):
            awkward(value.reshape(n_kv, -1), dtype)
        tensors[name] = round_to(value, dtype)
    return tensors


def llama(heads, kv, d, layers=1, vocab=11, d_ff=7):
    """Shapes and config.json of a tiny Llama."""
    D = heads * d
    shapes = {"model.embed_tokens.weight": (vocab, D), "model.norm.weight": (D,), "lm_head.weight": (vocab, D)}
    for i in range(layers):
        p = f"model.layers.{i}."
        shapes.update({
            p + "input_layernorm.weight": (D,), p + "post_attention_layernorm.weight": (D,),
            p + "self_attn.q_proj.weight": (D, D), p + "self_attn.k_proj.weight": (kv * d, D),
            p + "self_attn.v_proj.weight": (kv * d, D), p + "self_attn.o_proj.weight": (D, D),
            p + "mlp.gate_proj.weight": (d_ff, D), p + "mlp.up_proj.weight": (d_ff, D),
            p + "mlp.down_proj.weight": (D, d_ff)})
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": vocab, "hidden_size": D,
        "intermediate_size": d_ff, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": kv, "hidden_act": "silu", "rms_norm_eps": 1e-06, "rope_theta": 10000.0,
        "max_position_embeddings": 32, "tie_word_embeddings": False, "attention_bias": False}
    return shapes, config


def t5(heads, d, D, vocab=11, d_ff=7, buckets=8):
    """Shapes and config.json of a tiny T5 v1.1, one layer a stack."""
    shapes = {"shared.weight": (vocab, D), "lm_head.weight": (vocab, D)}
    for stack, n in (("encoder", 1), ("decoder", 2)):
        p = stack + ".block.0.layer."
        for j, kind in enumerate(("SelfAttention", "EncDecAttention")[:n]):
            shapes.update({f"{p}{j}.{kind}.{x}.weight": (heads * d, D) for x in "qkv"})
            shapes[f"{p}{j}.{kind}.o.weight"] = (D, heads * d)
            shapes[f"{p}{j}.layer_norm.weight"] = (D,)
        shapes[p + "0.SelfAttention.relative_attention_bias.weight"] = (buckets, heads)
        ff = f"{p}{n}.DenseReluDense."
        shapes.update({ff + "wi_0.weight": (d_ff, D), ff + "wi_1.weight": (d_ff, D), ff + "wo.weight": (D, d_ff)})
        shapes[f"{p}{n}.layer_norm.weight"] = (D,)
        shapes[stack + ".final_layer_norm.weight"] = (D,)
    config = {
        "architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "vocab_size": vocab, "d_model": D,
        "d_kv": d, "d_ff": d_ff, "num_layers": 1, "num_decoder_layers": 1, "num_heads": heads,
        "relative_attention_num_buckets": buckets, "relative_attention_max_distance": 16,
        "feed_forward_proj": "gated-gelu", "layer_norm_epsilon": 1e-06, "tie_word_embeddings": False,
        "is_encoder_decoder": True, "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1}
    return shapes, config
