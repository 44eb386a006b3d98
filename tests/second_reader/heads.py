"""Sections 6 to 8 of docs/gqa-format.md: what the shapes say, and whether
configuration and recipe agree with it.

The projections are found by their names in Hugging Face's transformers. From
each attention's shapes follows its number of key and value heads.
"""
import re

T5 = re.compile(r"(encoder|decoder)\.block\.(\d+)\.layer\.\d+\."
                r"(SelfAttention|EncDecAttention)\.([qkvo])\.(weight)")
LLAMA = re.compile(r"(?:.+\.)?layers\.(\d+)\.self_attn\."
                   r"([qkvo])_proj\.(weight|bias)")
GPT2 = re.compile(r"(?:.+\.)?h\.(\d+)\.attn\."
                  r"(c_attn|c_proj)\.(weight|bias)")
NEOX = re.compile(r"(?:.+\.)?layers\.(\d+)\.attention\."
                  r"(query_key_value|dense)\.(weight|bias)")

# model_type: names, and the keys of the heads, their size, the model's width
T5_KEYS = (T5, "num_heads", "d_kv", "d_model")
LLAMA_KEYS = (LLAMA, "num_attention_heads", "head_dim", "hidden_size")
FAMILIES = {
    "t5": T5_KEYS, "mt5": T5_KEYS, "umt5": T5_KEYS,
    "llama": LLAMA_KEYS, "mistral": LLAMA_KEYS, "qwen2": LLAMA_KEYS,
    "gpt2": (GPT2, "n_head", None, "n_embd"),
    "gpt_neox": (NEOX, "num_attention_heads", None, "hidden_size"),
}


class Disagree(Exception):
    """Why configuration, recipe and shapes cannot be those of one model."""


def need(condition, why):
    if not condition:
        raise Disagree(why)


def split(name, pattern):
    """((stack, layer, kind), part) of a projection's name, or None."""
    match = pattern.fullmatch(name)
    if not match:
        return None
    if pattern is T5:
        stack, layer, attention, part, what = match.groups()
        kind = "self" if attention == "SelfAttention" else "cross"
        return (stack, int(layer), kind), (part, what)
    layer, part, what = match.groups()
    return ("decoder", int(layer), "self"), (part, what)


def dimension(config, key):
    value = config.get(key)
    need(type(value) is int and value > 0,
         f"the configuration has no usable {key}")
    return value


def shapes_of(n_heads, n_kv_heads, size, width):
    """Section 7: the shape of each projection that an attention may have."""
    q, kv = n_heads * size, n_kv_heads * size
    return {
        ("q", "weight"): (q, width), ("q", "bias"): (q,),
        ("k", "weight"): (kv, width), ("k", "bias"): (kv,),
        ("v", "weight"): (kv, width), ("v", "bias"): (kv,),
        ("o", "weight"): (width, q), ("o", "bias"): (width,),
        ("c_attn", "weight"): (width, q + 2 * kv),
        ("c_attn", "bias"): (q + 2 * kv,),
        ("c_proj", "weight"): (q, width), ("c_proj", "bias"): (width,),
        ("query_key_value", "weight"): (q + 2 * kv, width),
        ("query_key_value", "bias"): (q + 2 * kv,),
        ("dense", "weight"): (width, q), ("dense", "bias"): (width,),
    }


def count_kv_heads(where, parts, n_heads, size, width):
    """G of one attention, after all its shapes were found to fit it."""
    if ("k", "weight") in parts:
        columns, unit = parts["k", "weight"][0], size
    elif ("c_attn", "weight") in parts:
        columns = parts["c_attn", "weight"][-1] - n_heads * size
        unit = 2 * size
    else:
        need(("query_key_value", "weight") in parts,
             f"{where} has no key weight")
        columns = parts["query_key_value", "weight"][0] - n_heads * size
        unit = 2 * size
    count = columns // unit
    need(columns == count * unit and count > 0 and n_heads % count == 0,
         f"{where} has no whole number of key heads")
    shapes = shapes_of(n_heads, count, size, width)
    for part, shape in parts.items():
        need(shape == shapes[part],
             f"{where}: {'.'.join(part)} is {list(shape)}, with {n_heads} "
             f"and {count} heads it has to be {list(shapes[part])}")
    return count


def check_config(config, n_heads, found):
    """Section 8: num_key_value_heads against the decoder's heads."""
    layers = {}
    for (stack, layer, _), count in found.items():
        if stack == "decoder":
            layers.setdefault(layer, set()).add(count)
    split_layer = any(len(counts) > 1 for counts in layers.values())
    told = config.get("num_key_value_heads")
    if told is None:
        need(split_layer or all(counts == {n_heads}
                                for counts in layers.values()),
             "num_key_value_heads is missing")
        return
    need(not split_layer, "num_key_value_heads cannot say that self- and "
         "cross-attention differ")
    if isinstance(told, list):
        need(len(told) == len(layers), f"num_key_value_heads has {len(told)} "
             f"numbers for {len(layers)} layers")
    for layer, counts in layers.items():
        number = told[layer] if isinstance(told, list) else told
        need(type(number) is int and counts == {number},
             f"layer {layer} has {counts} key heads, the configuration says "
             f"{number!r}")


def check_recipe(recipe, n_heads, found):
    """Section 6: the recipe's attentions against those in the file."""
    order = [(item["stack"], item["layer"], item["kind"])
             for item in recipe["attentions"]]
    need(order == sorted(found, key=lambda key: (
        key[0] == "decoder", key[1], key[2] == "cross")),
        "the recipe does not list the attentions of the model in order")
    for key, item in zip(order, recipe["attentions"]):
        count, before = item["n_kv_heads"], item["source_n_kv_heads"]
        written = {count}
        if recipe["expanded"]:
            # Where nothing was grouped either may be meant.
            written = {n_heads} if count < before else {count, n_heads}
        need(item["n_heads"] == n_heads and found[key] in written,
             f"the recipe says {item['n_heads']} and {count} heads for "
             f"{key}, there are {n_heads} and {found[key]}")


def check(config, recipe, tensors):
    """Raises Disagree; a model of no known family is not looked into."""
    if config.get("model_type") not in FAMILIES:
        return
    pattern, heads_key, size_key, width_key = FAMILIES[config["model_type"]]
    n_heads, width = dimension(config, heads_key), dimension(config,
                                                             width_key)
    if size_key and config.get(size_key) is not None:
        size = dimension(config, size_key)
    else:
        size = width // n_heads

    attentions = {}
    for tensor in tensors:
        place = split(tensor.name, pattern)
        if place:
            attentions.setdefault(place[0], {})[place[1]] = tensor.shape
    need(attentions, "there is no attention")
    found = {key: count_kv_heads("{} layer {} {}".format(*key), parts,
                                 n_heads, size, width)
             for key, parts in attentions.items()}
    check_config(config, n_heads, found)
    check_recipe(recipe, n_heads, found)
