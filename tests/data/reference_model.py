"""The models of runtime/ in numpy, float64 throughout, from config.json and the safetensors file alone.

Apart from transformers: it shows that what make_reference.py makes of transformers has no float32 left in it.
One sequence at a time, no cache. Buckets of T5's relative bias are worked out in float32, as the models define them.
"""
import json
import math
import os
import struct

import numpy as np

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def read_weights(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    weights = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        value = np.frombuffer(data[begin:end], DTYPES[entry["dtype"]])
        if entry["dtype"] == "BF16":
            value = (value.astype("<u4") << 16).view("<f4")
        weights[name] = value.astype(np.float64).reshape(entry["shape"])
    return weights


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
    "gelu_new": gelu_tanh,
    "gelu_fast": lambda x: 0.5 * x * (1 + np.tanh(0.7978845608 * x * (1 + 0.044715 * x * x))),
}


def rms_norm(x, weight, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight


def layer_norm(x, weight, bias, eps):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight + bias


def rope_of(config, head_dim, length):
    """Frequencies of the pairs and the factor of cos and sin, from either way of writing the configuration."""
    rope = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    kind = rope.get("rope_type", "default")
    theta = rope.get("rope_theta", config.get("rope_theta", config.get("rotary_emb_base", 10000.0)))
    share = rope.get("partial_rotary_factor", config.get("rotary_pct", 1.0))
    dim = int(head_dim * share)
    freq = np.array([theta ** (-2 * j / dim) for j in range(dim // 2)])
    if kind == "default":
        return freq, 1.0
    longest = config["max_position_embeddings"]
    if kind == "longrope":
        before = config.get("original_max_position_embeddings", rope.get("original_max_position_embeddings", longest))
        factor = rope.get("factor", longest / before)
        magnitude = math.sqrt(1 + math.log(factor) / math.log(before)) if factor > 1 else 1.0
        divisors = rope["long_factor" if length > before else "short_factor"]
        return freq / np.array(divisors), rope.get("attention_factor", magnitude)
    factor = rope["factor"]
    if kind == "dynamic":
        theta *= (factor * max(length / longest, 1) - (factor - 1)) ** (dim / (dim - 2))
        return np.array([theta ** (-2 * j / dim) for j in range(dim // 2)]), 1.0
    if kind == "linear":
        return freq / factor, 1.0
    before = config.get("original_max_position_embeddings", rope["original_max_position_embeddings"])
    if kind == "llama3":
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        turns = before * freq / (2 * math.pi)
        blend = np.clip((turns - low) / (high - low), 0, 1)
        return freq * (blend + (1 - blend) / factor), 1.0
    assert kind == "yarn", kind

    def pair_at(turns):
        return dim * math.log(before / (turns * 2 * math.pi)) / (2 * math.log(theta))
    first, last = pair_at(rope.get("beta_fast", 32)), pair_at(rope.get("beta_slow", 1))
    if rope.get("truncate", True):
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, dim - 1)
    ramp = np.clip((np.arange(dim // 2) - first) / (last - first), 0, 1)
    one, all_dims = rope.get("mscale"), rope.get("mscale_all_dim")
    magnitude = 0.1 * (one if one and all_dims else 1) * math.log(factor) + 1
    if one and all_dims:
        magnitude /= 0.1 * all_dims * math.log(factor) + 1
    magnitude = rope.get("attention_factor") or magnitude
    return freq * (1 - ramp + ramp / factor), magnitude


def rotate(x, freq, magnitude):
    """x [heads, len, head_dim]: pairs (j, j + n) of the first 2 n dimensions."""
    n = len(freq)
    angle = np.arange(x.shape[1])[:, None] * freq
    cos, sin = np.cos(angle) * magnitude, np.sin(angle) * magnitude
    a, b = x[..., :n], x[..., n:2 * n]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin, x[..., 2 * n:]], -1)


def causal_mask(n, window=None):
    query, key = np.arange(n)[:, None], np.arange(n)[None]
    seen = key <= query
    if window:
        seen &= query - key < window
    return np.where(seen, 0.0, -np.inf)


def heads_of(x, n_heads):
    return x.reshape(len(x), n_heads, -1).transpose(1, 0, 2)


def attend(q, k, v, scale, addend):
    """q [H, n, d], k and v [G, m, d] -> [n, H * d]; query head h reads key head h // (H // G)."""
    out = []
    for h in range(len(q)):
        g = h // (len(q) // len(k))
        scores = q[h] @ k[g].T * scale + (addend[h] if addend.ndim == 3 else addend)
        out.append(softmax(scores) @ v[g])
    return np.concatenate(out, -1)


class Llama:
    """Llama, Mistral, Qwen2."""

    def __init__(self, config, weights):
        self.c, self.w = config, weights

    def linear(self, name, x):
        y = x @ self.w[name + ".weight"].T
        return y + self.w[name + ".bias"] if name + ".bias" in self.w else y

    def run(self, ids):
        c, w, hidden = self.c, self.w, []
        heads, eps = c["num_attention_heads"], c["rms_norm_eps"]
        x = w["model.embed_tokens.weight"][ids]
        windows = [c.get("sliding_window")] * c["num_hidden_layers"]
        if c["model_type"] == "qwen2":
            windows = [w if kind == "sliding_attention" else None for w, kind in zip(windows, c["layer_types"])]
        for layer in range(c["num_hidden_layers"]):
            p = f"model.layers.{layer}."
            y = rms_norm(x, w[p + "input_layernorm.weight"], eps)
            q = heads_of(self.linear(p + "self_attn.q_proj", y), heads)
            k = heads_of(self.linear(p + "self_attn.k_proj", y), c["num_key_value_heads"])
            v = heads_of(self.linear(p + "self_attn.v_proj", y), c["num_key_value_heads"])
            rope = rope_of(c, q.shape[-1], len(x))
            y = attend(rotate(q, *rope), rotate(k, *rope), v, q.shape[-1] ** -0.5,
                       causal_mask(len(x), windows[layer]))
            x = x + self.linear(p + "self_attn.o_proj", y)
            y = rms_norm(x, w[p + "post_attention_layernorm.weight"], eps)
            y = ACTIVATIONS[c["hidden_act"]](self.linear(p + "mlp.gate_proj", y)) * self.linear(p + "mlp.up_proj", y)
            x = x + self.linear(p + "mlp.down_proj", y)
            hidden.append(x)
        x = rms_norm(x, w["model.norm.weight"], eps)
        return x @ w.get("lm_head.weight", w["model.embed_tokens.weight"]).T, np.array(hidden)


class GPT2:
    def __init__(self, config, weights):
        self.c, self.w = config, {"transformer." + name.removeprefix("transformer."): w for name, w in weights.items()}

    def linear(self, name, x):
        return x @ self.w[name + ".weight"] + self.w[name + ".bias"]

    def norm(self, name, x):
        return layer_norm(x, self.w[name + ".weight"], self.w[name + ".bias"], self.c["layer_norm_epsilon"])

    def run(self, ids):
        c, w, hidden = self.c, self.w, []
        x = w["transformer.wte.weight"][ids] + w["transformer.wpe.weight"][:len(ids)]
        for layer in range(c["n_layer"]):
            p = f"transformer.h.{layer}."
            qkv = self.linear(p + "attn.c_attn", self.norm(p + "ln_1", x))
            q, k, v = (heads_of(part, c["n_head"]) for part in np.split(qkv, 3, -1))
            scale = q.shape[-1] ** -0.5 if c["scale_attn_weights"] else 1.0
            if c["scale_attn_by_inverse_layer_idx"]:
                scale /= layer + 1
            y = attend(q, k, v, scale, causal_mask(len(x)))
            x = x + self.linear(p + "attn.c_proj", y)
            y = ACTIVATIONS[c["activation_function"]](self.linear(p + "mlp.c_fc", self.norm(p + "ln_2", x)))
            x = x + self.linear(p + "mlp.c_proj", y)
            hidden.append(x)
        unembedding = w.get("transformer.lm_head.weight", w["transformer.wte.weight"])
        return self.norm("transformer.ln_f", x) @ unembedding.T, np.array(hidden)


class GPTNeoX:
    def __init__(self, config, weights):
        self.c, self.w = config, weights

    def linear(self, name, x):
        y = x @ self.w[name + ".weight"].T
        return y + self.w[name + ".bias"] if name + ".bias" in self.w else y

    def norm(self, name, x):
        return layer_norm(x, self.w[name + ".weight"], self.w[name + ".bias"], self.c["layer_norm_eps"])

    def feed_forward(self, p, x):
        y = self.norm(p + "post_attention_layernorm", x)
        y = ACTIVATIONS[self.c["hidden_act"]](self.linear(p + "mlp.dense_h_to_4h", y))
        return self.linear(p + "mlp.dense_4h_to_h", y)

    def run(self, ids):
        c, w, hidden = self.c, self.w, []
        x = w["gpt_neox.embed_in.weight"][ids]
        heads = c["num_attention_heads"]
        for layer in range(c["num_hidden_layers"]):
            p = f"gpt_neox.layers.{layer}."
            qkv = self.linear(p + "attention.query_key_value", self.norm(p + "input_layernorm", x))
            q, k, v = qkv.reshape(len(x), heads, 3, -1).transpose(2, 1, 0, 3)
            rope = rope_of(c, q.shape[-1], len(x))
            y = attend(rotate(q, *rope), rotate(k, *rope), v, q.shape[-1] ** -0.5, causal_mask(len(x)))
            y = self.linear(p + "attention.dense", y)
            if c["use_parallel_residual"]:
                x = x + y + self.feed_forward(p, x)
            else:
                x = x + y
                x = x + self.feed_forward(p, x)
            hidden.append(x)
        return self.norm("gpt_neox.final_layer_norm", x) @ w["embed_out.weight" if "embed_out.weight" in w
                                                            else "lm_head.weight"].T, np.array(hidden)


class T5:
    """T5, mT5, umT5."""

    def __init__(self, config, weights):
        self.c, self.w = config, weights

    def bucket(self, distance, bidirectional):
        """distance: key - query, [n, m]."""
        buckets, furthest = self.c["relative_attention_num_buckets"], self.c["relative_attention_max_distance"]
        base = 0
        if bidirectional:
            buckets //= 2
            base, distance = (distance > 0) * buckets, abs(distance)
        else:
            distance = np.maximum(-distance, 0)
        exact = buckets // 2
        with np.errstate(divide="ignore"):
            log = np.log(distance.astype(np.float32) / np.float32(exact))
        far = log / np.float32(math.log(furthest / exact)) * np.float32(buckets - exact)
        far = np.minimum(exact + np.maximum(far, 0).astype(np.int64), buckets - 1)
        return base + np.where(distance < exact, distance, far)

    def attention(self, name, x, memory, addend):
        w, heads = self.w, self.c["num_heads"]
        q, k, v = (heads_of(value @ w[f"{name}.{part}.weight"].T, heads)
                   for part, value in (("q", x), ("k", memory), ("v", memory)))
        return attend(q, k, v, 1.0, addend) @ w[name + ".o.weight"].T

    def feed_forward(self, name, x):
        w = self.w
        kind = self.c["feed_forward_proj"]
        act = ACTIVATIONS[{"gated-gelu": "gelu_new"}.get(kind, kind.split("-")[-1])]
        if kind.startswith("gated-"):
            y = act(x @ w[name + ".wi_0.weight"].T) * (x @ w[name + ".wi_1.weight"].T)
        else:
            y = act(x @ w[name + ".wi.weight"].T)
        return y @ w[name + ".wo.weight"].T

    def stack(self, side, ids, memory=None):
        w, eps, hidden = self.w, self.c["layer_norm_epsilon"], []
        x = w["shared.weight"][ids]
        n = len(ids)
        distance = np.arange(n)[None] - np.arange(n)[:, None]
        buckets = self.bucket(distance, side == "encoder")
        for layer in range(self.c["num_layers" if side == "encoder" else "num_decoder_layers"]):
            p = f"{side}.block.{layer}.layer."
            table = w.get(p + "0.SelfAttention.relative_attention_bias.weight")
            if table is not None:  # of layer 0 only, but in umT5 each layer has its own
                bias = table[buckets].transpose(2, 0, 1)
                if side == "decoder":
                    bias = bias + causal_mask(n)
            y = rms_norm(x, w[p + "0.layer_norm.weight"], eps)
            x = x + self.attention(p + "0.SelfAttention", y, y, bias)
            last = 1
            if side == "decoder":
                y = rms_norm(x, w[p + "1.layer_norm.weight"], eps)
                x = x + self.attention(p + "1.EncDecAttention", y, memory, np.zeros((n, len(memory))))
                last = 2
            y = rms_norm(x, w[f"{p}{last}.layer_norm.weight"], eps)
            x = x + self.feed_forward(f"{p}{last}.DenseReluDense", y)
            hidden.append(x)
        return rms_norm(x, w[side + ".final_layer_norm.weight"], eps), np.array(hidden)

    def scaled(self):
        kind = self.c["model_type"]
        if kind == "mt5":
            return False
        return self.c.get("scale_decoder_outputs", self.c.get("tie_word_embeddings", True))

    def run(self, ids, decoder_ids):
        memory, _ = self.stack("encoder", ids)
        x, hidden = self.stack("decoder", decoder_ids, memory)
        if self.scaled():
            x = x * self.c["d_model"] ** -0.5
        return x @ self.w.get("lm_head.weight", self.w["shared.weight"]).T, hidden


FAMILIES = {"llama": Llama, "mistral": Llama, "qwen2": Llama, "gpt2": GPT2, "gpt_neox": GPTNeoX,
            "t5": T5, "mt5": T5, "umt5": T5}


def load(folder):
    with open(os.path.join(folder, "config.json")) as file:
        config = json.load(file)
    return FAMILIES[config["model_type"]](config, read_weights(os.path.join(folder, "model.safetensors")))
