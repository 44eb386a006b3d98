"""What converting each fixture with mean pooling has to give, worked out apart from the C code.

    python expected.py            writes expected.json
    python expected.py --dump FIXTURE GROUPS FOLDER     writes each output tensor's bytes to FOLDER/NAME

numpy and h5py only (hdf5plugin for the one zstd file). Every tensor goes to Hugging Face's PyTorch name, shape and
orientation. K and V heads are pooled in float64: the values of a group are added in ascending order, beginning with
the first (so that -0 stays -0), divided by their number, and rounded once to the source's dtype, ties to even.
Where a group has one head, its bits are copied.
"""
import hashlib
import json
import os
import re
import struct
import sys

import h5py
import numpy as np

try:
    import hdf5plugin  # noqa: F401  (registers the zstd filter)
except ImportError:
    pass

BITS = {"F64": "<u8", "F32": "<u4", "F16": "<u2", "BF16": "<u2"}
LAYOUT = {"F32": (8, 23), "F16": (5, 10), "BF16": (8, 7)}  # exponent and mantissa bits


class Tensor:
    """A dtype's name and its values as unsigned integers."""

    def __init__(self, dtype, bits):
        self.dtype, self.bits = dtype, bits

    @property
    def shape(self):
        return self.bits.shape

    def map(self, f):
        return Tensor(self.dtype, f(self.bits))

    def bytes(self):
        return np.ascontiguousarray(self.bits).astype(BITS[self.dtype]).tobytes()


def to_float64(dtype, bits):
    if dtype == "BF16":
        return (bits.astype("<u4") << 16).view("<f4").astype(np.float64)
    return bits.astype(BITS[dtype]).view({"F64": "<f8", "F32": "<f4", "F16": "<f2"}[dtype]).astype(np.float64)


def from_float64(dtype, values):
    """One rounding, to nearest, ties to even, in integer arithmetic."""
    x = np.ascontiguousarray(values, np.float64).view(np.uint64)
    if dtype == "F64":
        return x
    ebits, mbits = LAYOUT[dtype]
    bias = (1 << (ebits - 1)) - 1
    sign = (x >> 63).astype(np.int64)
    exponent = ((x >> 52) & 0x7FF).astype(np.int64)
    fraction = (x & ((1 << 52) - 1)).astype(np.int64)
    assert (exponent != 0x7FF).all(), "infinity or not a number"
    significand = np.where(exponent > 0, fraction | (1 << 52), 0)  # subnormal doubles are far below all of these
    e = exponent - 1023
    emin = 1 - bias
    shift = np.minimum(52 - mbits + np.maximum(emin - e, 0), 62)
    kept = significand >> shift
    rest = significand & ((np.int64(1) << shift) - 1)
    half = np.int64(1) << (shift - 1)
    kept = kept + ((rest > half) | ((rest == half) & (kept & 1 == 1)))
    # A carry out of the mantissa runs into the exponent, which is right.
    result = np.where(e >= emin, ((e + bias) << mbits) + kept - (1 << mbits), kept)
    result = np.minimum(result, ((1 << ebits) - 1) << mbits)
    return (result | (sign << (ebits + mbits))).astype(BITS[dtype])


def pool(heads, groups, dtype):
    """heads: bits [n_kv, ...] -> [groups, ...]"""
    n = len(heads)
    assert n % groups == 0
    m = n // groups
    if m == 1:
        return heads
    values = to_float64(dtype, heads)
    out = []
    for g in range(groups):
        total = values[g * m].copy()
        for h in range(g * m + 1, (g + 1) * m):
            total = total + values[h]
        out.append(from_float64(dtype, total / np.float64(m)).reshape(total.shape))
    return np.stack(out)


# ---- reading ----

def read_safetensors(path):
    with open(path, "rb") as f:
        length, = struct.unpack("<Q", f.read(8))
        header, data = json.loads(f.read(length)), f.read()
    meta = header.pop("__metadata__", {})
    tensors = {}
    for name, t in header.items():
        begin, end = t["data_offsets"]
        tensors[name] = Tensor(t["dtype"], np.frombuffer(data[begin:end], BITS[t["dtype"]]).reshape(t["shape"]))
    return tensors, meta


def read_dataset(item):
    kind = item.id.get_type()
    if item.shape is None or isinstance(kind, h5py.h5t.TypeStringID):
        return None
    if isinstance(kind, h5py.h5t.TypeOpaqueID):
        return Tensor("BF16", np.frombuffer(item[()].tobytes(), "<u2").reshape(item.shape))
    if isinstance(kind, h5py.h5t.TypeIntegerID):
        if item.dtype == np.uint16 and item.attrs.get("dtype") == "bfloat16":
            return Tensor("BF16", item[()])
        return None
    if kind.get_size() == 2 and kind.get_ebias() == 127:
        raw = np.empty(item.shape, "<u2")
        item.id.read(h5py.h5s.ALL, h5py.h5s.ALL, raw, mtype=kind)
        return Tensor("BF16", raw)
    size = kind.get_size()
    value = np.asarray(item[()]).astype(f"<f{size}")  # big-endian goes over to little
    return Tensor({2: "F16", 4: "F32", 8: "F64"}[size], value.view(f"<u{size}"))


def attribute(item, name):
    if name in item.attrs:
        return list(item.attrs[name])
    parts, i = [], 0
    while f"{name}{i}" in item.attrs:
        parts += [s.decode() for s in item.attrs[f"{name}{i}"]]
        i += 1
    return parts


def layered(group):
    """Legacy Keras layout: (layer, weight name, tensor), in the order of the file's lists."""
    for layer in attribute(group, "layer_names"):
        for name in attribute(group[layer], "weight_names"):
            yield layer, name, read_dataset(group[layer][name])


def all_datasets(file):
    found = {}
    file.visititems(lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None)
    return {name: t for name, item in found.items() if (t := read_dataset(item)) is not None}


# ---- TensorFlow names ----

def from_tf(tensors):
    out = {}
    for name, t in tensors.items():
        parts = name.removesuffix(":0").replace("_._", ".").split("/")
        last = parts[-1]
        if last == "kernel":
            t = t.map(np.transpose)
        elif last == "bias" and len(t.shape) == 2 and t.shape[0] == 1:
            t = t.map(lambda x: x.reshape(-1))
        parts[-1] = {"kernel": "weight", "embeddings": "weight", "gamma": "weight", "beta": "bias"}.get(last, last)
        key = ".".join(parts)
        assert key not in out or out[key].bytes() == t.bytes(), key
        out[key] = t
    return out


# ---- KerasHub ----

def same(x):
    return x


def transposed(x):
    return x.T


def heads_first_out(x):  # [D, H, d] -> [H*d, D]
    return x.reshape(x.shape[0], -1).T


def heads_first_in(x):  # [H, d, D] -> [D, H*d]
    return x.reshape(-1, x.shape[-1]).T


def flat(x):
    return x.reshape(-1)


def joined_out(x):  # [D, H, d] -> [D, H*d]
    return x.reshape(x.shape[0], -1)


def joined_in(x):  # [H, d, D] -> [H*d, D]
    return x.reshape(-1, x.shape[-1])


def dense(keras, hf):
    return {keras + "/0": (hf + ".weight", transposed), keras + "/1": (hf + ".bias", same)}


def norm(keras, hf):
    return {keras + "/0": (hf + ".weight", same), keras + "/1": (hf + ".bias", same)}


def table_llama(n_layers):
    table = {
        "token_embedding/0": ("model.embed_tokens.weight", same), "token_embedding/1": ("lm_head.weight", transposed),
        **norm("sequence_output_layernorm", "model.norm")}
    for n in range(n_layers):
        k, h = f"transformer_layer_{n}/", f"model.layers.{n}."
        table.update({
            **norm(k + "self_attention_layernorm", h + "input_layernorm"),
            **norm(k + "feedforward_layernorm", h + "post_attention_layernorm"),
            k + "self_attention/attention_output/0": (h + "self_attn.o_proj.weight", heads_first_in),
            **dense(k + "feedforward_gate_dense", h + "mlp.gate_proj"),
            **dense(k + "feedforward_intermediate_dense", h + "mlp.up_proj"),
            **dense(k + "feedforward_output_dense", h + "mlp.down_proj")})
        for name in ("query", "key", "value"):
            table[f"{k}self_attention/{name}/0"] = (f"{h}self_attn.{name[0]}_proj.weight", heads_first_out)
            table[f"{k}self_attention/{name}/1"] = (f"{h}self_attn.{name[0]}_proj.bias", flat)
    return table


def table_gpt2(n_layers):
    table = {
        "token_embedding/0": ("transformer.wte.weight", same), "position_embedding/0": ("transformer.wpe.weight", same),
        **norm("layer_norm", "transformer.ln_f")}
    for n in range(n_layers):
        k, h = f"transformer_layer_{n}/", f"transformer.h.{n}."
        table.update({
            **norm(k + "self_attention_layer_norm", h + "ln_1"), **norm(k + "feedforward_layer_norm", h + "ln_2"),
            k + "self_attention/attention_output/0": (h + "attn.c_proj.weight", joined_in),
            k + "self_attention/attention_output/1": (h + "attn.c_proj.bias", same)})
        for keras, hf in (("feedforward_intermediate_dense", "mlp.c_fc"), ("feedforward_output_dense", "mlp.c_proj")):
            table.update(norm(k + keras, h + hf))  # Conv1D: [in, out] as in Keras
        for name in ("query", "key", "value"):  # put together to c_attn below
            table[f"{k}self_attention/{name}/0"] = (f"{h}attn.c_attn.weight|{name[0]}", joined_out)
            table[f"{k}self_attention/{name}/1"] = (f"{h}attn.c_attn.bias|{name[0]}", flat)
    return table


def table_gpt_neox(n_layers):
    table = {"token_embedding/0": ("gpt_neox.embed_in.weight", same), **norm("layer_norm", "gpt_neox.final_layer_norm")}
    for n in range(n_layers):
        k, h = f"transformer_layer_{n}/", f"gpt_neox.layers.{n}."
        table.update({
            **norm(k + "self_attention_layer_norm", h + "input_layernorm"),
            **norm(k + "feedforward_layer_norm", h + "post_attention_layernorm"),
            k + "self_attention/query_key_value/0": (h + "attention.query_key_value.weight", heads_first_out),
            k + "self_attention/query_key_value/1": (h + "attention.query_key_value.bias", flat),
            **dense(k + "self_attention/attention_output", h + "attention.dense"),
            **dense(k + "feedforward_intermediate_dense", h + "mlp.dense_h_to_4h"),
            **dense(k + "feedforward_output_dense", h + "mlp.dense_4h_to_h")})
    return table


def table_t5(n_layers, gated):
    table = {"token_embedding/0": ("shared.weight", same), "token_embedding/1": ("lm_head.weight", transposed)}
    for stack in ("encoder", "decoder"):
        table.update(norm(stack + "_output_layer_norm", stack + ".final_layer_norm"))
        for n in range(n_layers):
            k, h = f"transformer_{stack}_layer_{n}/", f"{stack}.block.{n}.layer."
            kinds = [("self_attention", "SelfAttention"), ("cross_attention", "EncDecAttention")]
            for j, (keras, hf) in enumerate(kinds[: 1 if stack == "encoder" else 2]):
                table.update(norm(f"{k}{keras}_layer_norm", f"{h}{j}.layer_norm"))
                for name in ("query", "key", "value", "output"):
                    table.update(dense(f"{k}{keras}/{name}_projector", f"{h}{j}.{hf}.{name[0]}"))
            last = f"{h}{1 if stack == 'encoder' else 2}."
            table[k + "self_attention/0"] = (h + "0.SelfAttention.relative_attention_bias.weight", same)
            table.update({
                **norm(k + "layer_norm", last + "layer_norm"),
                **dense(k + "input_projector", last + "DenseReluDense." + ("wi_0" if gated else "wi")),
                **dense(k + "gate_projector", last + "DenseReluDense.wi_1"),
                **dense(k + "output_projector", last + "DenseReluDense.wo")})
    return table


def keras_table(config):
    kind, c = config["class_name"], config["config"]
    n = c["num_layers"]
    if kind == "T5Backbone":
        return table_t5(n, c["use_gated_activation"])
    return {"LlamaBackbone": table_llama, "MistralBackbone": table_llama, "QwenBackbone": table_llama,
            "GPT2Backbone": table_gpt2, "GPTNeoXBackbone": table_gpt_neox}[kind](n)


def weights_h5_key(path, n_layers):
    """layers/llama_transformer_decoder_1/_self_attention_layer/_key_dense/vars/0 -> the layers' own names"""
    parts = path.removeprefix("layers/").split("/")
    index = parts.pop()
    assert parts.pop() == "vars"
    top = parts.pop(0)
    counter = int(m[1]) if (m := re.search(r"_(\d+)$", top)) else 0
    base = re.sub(r"_\d+$", "", top)
    if base == "t5_transformer_layer":
        stack = "encoder" if counter < n_layers else "decoder"
        top = f"transformer_{stack}_layer_{counter % n_layers}"
    elif base in ("transformer_decoder", "llama_transformer_decoder", "mistral_transformer_decoder",
                  "qwen_transformer_decoder", "gpt_neo_x_decoder"):
        top = f"transformer_layer_{counter}"
    else:
        top = {"reversible_embedding": "token_embedding", "layer_normalization": "layer_norm",
               "llama_layer_norm": "sequence_output_layernorm", "qwen_layer_norm": "sequence_output_layernorm",
               "mistral_layer_normalization": "sequence_output_layernorm", "t5_layer_norm": "encoder_output_layer_norm",
               "t5_layer_norm_1": "decoder_output_layer_norm"}.get(top, top)
    names = {"_self_attention_layer": "self_attention", "_qkv_dense": "query_key_value"}
    if base != "t5_transformer_layer":
        names.update({p + x + "_dense": {"output": "attention_output"}.get(x, x)
                      for x in ("query", "key", "value", "output") for p in ("", "_")})
        parts = [names.get(p, p.removeprefix("_")) for p in parts]
    return "/".join([top, *parts, index])


def whole_model_key(layer, name, position):
    """transformer_layer_0/self_attention/key/kernel -> .../key/0"""
    if name == "self_attention/embeddings":  # T5's relative bias lacks its layer's name
        return f"{layer}/self_attention/0"
    path, last = name.rsplit("/", 1)
    if re.search(r"/t5_layer_norm(_\d+)?$", path):  # numbered through the process: go by the order
        stack = [*(["self_attention_layer_norm"]), *(["cross_attention_layer_norm"] * ("decoder" in layer)), "layer_norm"]
        path = f"{layer}/{stack[position]}"
    return path + {"bias": "/1", "beta": "/1", "reverse_embeddings": "/1"}.get(last, "/0")


def put_together(tensors):
    """q, k and v of GPT-2 side by side."""
    parts = {}
    for name in [n for n in tensors if "|" in n]:
        whole, which = name.split("|")
        parts.setdefault(whole, {})[which] = tensors.pop(name)
    for name, p in parts.items():
        tensors[name] = Tensor(p["q"].dtype, np.concatenate([p[x].bits for x in "qkv"], axis=-1))
    return tensors


def from_keras(tensors, config):
    table = keras_table(config)
    out = {}
    for key, t in tensors.items():
        name, change = table[key]
        out[name] = t.map(change)
    return put_together(out)


# ---- a fixture as a whole ----

def load_json(path):
    with open(path) as f:
        return json.load(f)


def geometry(config):
    """(family, heads, kv heads) from whichever configuration there is."""
    kind, c = config.get("class_name"), config.get("config", config)
    if kind:
        family = {"T5Backbone": "t5", "LlamaBackbone": "llama", "MistralBackbone": "llama", "QwenBackbone": "llama",
                  "GPT2Backbone": "gpt2", "GPTNeoXBackbone": "gpt_neox"}[kind]
        heads = c.get("num_query_heads") or c["num_heads"]
        return family, heads, c.get("num_key_value_heads") or heads
    family = {"mt5": "t5", "umt5": "t5", "mistral": "llama", "qwen2": "llama"}.get(c["model_type"], c["model_type"])
    heads = c.get("num_heads") or c.get("n_head") or c["num_attention_heads"]
    return family, heads, c.get("num_key_value_heads") or heads


def load(folder):
    """-> (tensors under Hugging Face names, configuration)"""
    files = sorted(os.listdir(folder))
    config = load_json(os.path.join(folder, "config.json")) if "config.json" in files else None
    weights = [f for f in files if f.endswith((".h5", ".safetensors"))]
    tensors, tf, whole_model = {}, False, False
    for name in weights:
        path = os.path.join(folder, name)
        if name.endswith(".safetensors"):
            part, meta = read_safetensors(path)
            tf = meta["format"] == "tf"
            assert not tensors.keys() & part.keys()
            tensors.update(part)
            continue
        with h5py.File(path, "r") as f:
            if "model_weights" in f:
                model_config = json.loads(f.attrs["model_config"])
                whole_model = model_config["class_name"].endswith("Backbone")
                config = model_config if whole_model else config
                norms = {}
                for layer, weight, t in layered(f["model_weights"]):
                    if whole_model:
                        position = norms.get(layer, 0)
                        norms[layer] = position + ("/t5_layer_norm" in weight)
                        tensors[whole_model_key(layer, weight, position)] = t
                    else:
                        tf = True
                        tensors[weight.split("/", 1)[1]] = t
            elif "layer_names" in f.attrs and isinstance(f[f.attrs["layer_names"][0]], h5py.Dataset):
                tf = True
                for weight in f.attrs["layer_names"]:
                    tensors[weight] = read_dataset(f[weight])
            elif "layer_names" in f.attrs:
                tf = True
                for _, weight, t in layered(f):
                    stripped = weight.split("/", 1)[1]
                    assert stripped not in tensors or tensors[stripped].bytes() == t.bytes()
                    tensors[stripped] = t
            else:
                tensors.update(all_datasets(f))
    if tf:
        tensors = from_tf(tensors)
    elif "class_name" in config:
        if not whole_model:
            tensors = {weights_h5_key(k, config["config"]["num_layers"]): t for k, t in tensors.items()}
        tensors = from_keras(tensors, config)
    return tensors, config


def convert(tensors, config, groups):
    """-> (names that pooling rewrites, all output tensors)"""
    family, heads, kv = geometry(config)
    changed, out = [], {}
    for name, t in tensors.items():
        parts = name.split(".")
        owner = parts[-2] if len(parts) > 1 else ""
        if family == "t5" and parts[0] == "decoder" and owner in ("k", "v") \
                or family == "llama" and owner in ("k_proj", "v_proj"):
            d = t.shape[0] // kv
            pooled = pool(t.bits.reshape(kv, d, *t.shape[1:]), groups, t.dtype)
            t = Tensor(t.dtype, pooled.reshape(groups * d, *t.shape[1:]))
        elif family == "gpt2" and owner == "c_attn":
            q, k, v = np.split(t.bits, 3, axis=-1)
            d = q.shape[-1] // heads

            def columns(x):
                lead = x.shape[:-1]
                by_head = np.moveaxis(x.reshape(*lead, heads, d), -2, 0)
                return np.moveaxis(pool(by_head, groups, t.dtype), 0, -2).reshape(*lead, groups * d)
            t = Tensor(t.dtype, np.concatenate([q, columns(k), columns(v)], axis=-1))
        elif family == "gpt_neox" and owner == "query_key_value":
            view = t.bits.reshape(heads, 3, -1, *t.shape[1:])
            k, v = pool(view[:, 1], groups, t.dtype), pool(view[:, 2], groups, t.dtype)
            m = heads // groups
            rows = [x for g in range(groups) for x in [*view[g * m:(g + 1) * m, 0], k[g], v[g]]]
            t = Tensor(t.dtype, np.concatenate(rows, axis=0))
        else:
            out[name] = t
            continue
        out[name] = t
        changed.append(name)
    return sorted(changed), out


def describe(name, t):
    return {"name": name, "dtype": t.dtype, "shape": list(t.shape), "sha256": hashlib.sha256(t.bytes()).hexdigest()}


def choice_of_groups(kv):
    divisors = [g for g in range(1, kv + 1) if kv % g == 0]
    return divisors if len(divisors) <= 4 else [1, divisors[-3], divisors[-2], kv]


def main():
    fixtures = []
    for folder in [*(os.path.join("good", x) for x in sorted(os.listdir("good"))), "sample/t5-tiny16"]:
        if folder == "good/unknown-family":
            continue
        tensors, config = load(folder)
        family, heads, kv = geometry(config)
        cases = []
        for groups in choice_of_groups(kv):
            changed, out = convert(tensors, config, groups)
            cases.append({"groups": groups, "pooled": [describe(n, out[n]) for n in changed]})
        unchanged = [describe(n, t) for n, t in sorted(tensors.items()) if n not in changed]
        assert changed
        fixtures.append({
            "fixture": folder, "family": family, "heads": heads, "kv_heads": kv, "copied": unchanged, "cases": cases})
    text = json.dumps(fixtures, indent=1)
    text = re.sub(r'\{\s*"name": ("[^"]*"),\s*"dtype": ("[^"]*"),\s*"shape": \[([^\]]*)\],\s*"sha256": ("[^"]*")\s*\}',
                  lambda m: '{"name": %s, "dtype": %s, "shape": [%s], "sha256": %s}' % (
                      m[1], m[2], ", ".join(m[3].replace(",", " ").split()), m[4]), text)
    with open("expected.json", "w") as f:
        f.write(text + "\n")


def dump(folder, groups, target):
    tensors, config = load(folder)
    _, out = convert(tensors, config, int(groups))
    os.makedirs(target, exist_ok=True)
    for name, t in out.items():
        with open(os.path.join(target, name), "wb") as f:
            f.write(t.bytes())


if __name__ == "__main__":
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    dump(*sys.argv[2:]) if sys.argv[1:2] == ["--dump"] else main()
