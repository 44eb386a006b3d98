# Grouped-query attention for models whose class in transformers has none. Written by gqa-convert --remote-code, which
# put it beside the weights; `AutoModel...from_pretrained(folder, trust_remote_code=True)` loads both.
#
# Licensed under the Apache License, Version 2.0 (http://www.apache.org/licenses/LICENSE-2.0). Distributed on an "AS IS"
# basis, without warranties or conditions of any kind, either express or implied.
"""
The stock model with fewer key and value heads. Each attention keeps the code of its class, and what surrounds it
changes: projections have rows for the heads that there are, and repeat what they give for each query head; a cache
takes each head once, and is shown with all of them. Parameters, gradients and caches are those of the fewer heads.
"""

import copy
import re
from functools import partial
from types import SimpleNamespace

import torch
import transformers
from torch import nn
from transformers.pytorch_utils import Conv1D


def repeat_heads(states, n_repeats):
    """[..., heads, length, head_dim]: each head n_repeats times, one behind the other."""
    return states.repeat_interleave(n_repeats, dim=-3)


class RepeatedLayers:
    """Layers of a cache, to be read."""

    def __init__(self, layers, n_repeats):
        self.layers = layers
        self.n_repeats = n_repeats

    def __getitem__(self, layer_idx):
        layer = self.layers[layer_idx]
        return SimpleNamespace(
            keys=repeat_heads(layer.keys, self.n_repeats), values=repeat_heads(layer.values, self.n_repeats)
        )


class RepeatedCache:
    """A cache of grouped heads, as an attention sees it that has one for each query head."""

    def __init__(self, cache, n_repeats):
        self.cache = cache
        self.n_repeats = n_repeats

    @property
    def layers(self):
        return RepeatedLayers(self.cache.layers, self.n_repeats)

    def update(self, key_states, value_states, *args, **kwargs):
        n = self.n_repeats
        keys, values = self.cache.update(key_states[:, ::n], value_states[:, ::n], *args, **kwargs)
        return repeat_heads(keys, n), repeat_heads(values, n)

    def __getattr__(self, name):
        return getattr(self.cache, name)


def show_repeated(cache, n_repeats):
    """What an attention gets for a cache, whatever it calls that argument; what else it gets stays."""
    if isinstance(cache, transformers.EncoderDecoderCache):
        shown = copy.copy(cache)  # which shares `is_updated`
        shown.self_attention_cache = RepeatedCache(cache.self_attention_cache, n_repeats)
        shown.cross_attention_cache = RepeatedCache(cache.cross_attention_cache, n_repeats)
        return shown
    return RepeatedCache(cache, n_repeats) if isinstance(cache, transformers.Cache) else cache


def show_repeated_caches(attention, args, kwargs, n_repeats):
    args = tuple(show_repeated(value, n_repeats) for value in args)
    return args, {key: show_repeated(value, n_repeats) for key, value in kwargs.items()}


class GroupedProjection:
    """
    Rows for fewer key and value heads than there are query heads; the output is that of the stock projection. By
    `layout`: "separate", the heads of k, or of v; "fused-qkv", all of q, of k, of v; "fused-kv", all of k, of v;
    "fused-group", for each key head its queries, itself, its value; "fused-blocks", four blocks, each with q, v, k.
    """

    @classmethod
    def of(cls, stock, layout, n_heads, n_kv_heads):
        n_parts = {"separate": 1, "fused-kv": 2}.get(layout, 3)
        is_conv1d = isinstance(stock, Conv1D)
        n_in, n_out = stock.weight.shape if is_conv1d else reversed(stock.weight.shape)
        head_dim = n_out // (n_parts * n_heads)
        n_out = head_dim * (n_heads + 2 * n_kv_heads if n_parts == 3 else n_parts * n_kv_heads)
        if is_conv1d:
            made = GroupedConv1D(n_out, n_in)
        else:
            made = GroupedLinear(n_in, n_out, bias=stock.bias is not None)
        made.layout, made.head_dim, made.n_heads, made.n_kv_heads = layout, head_dim, n_heads, n_kv_heads
        made.to(device=stock.weight.device, dtype=stock.weight.dtype)
        with torch.no_grad():  # where nothing is loaded, as the model's class draws them
            made.weight.copy_(stock.weight[:, :n_out] if is_conv1d else stock.weight[:n_out])
            if stock.bias is not None:
                made.bias.copy_(stock.bias[:n_out])
        return made

    def repeated(self, heads):
        """[..., n_kv_heads * head_dim], or a part of them: each head for all of its queries."""
        heads = heads.unflatten(-1, (-1, self.head_dim))
        return heads.repeat_interleave(self.n_heads // self.n_kv_heads, dim=-2).flatten(-2)

    def forward(self, hidden_states):
        states = super().forward(hidden_states)
        n_q, n_kv = self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim
        if self.layout == "separate":
            return self.repeated(states)
        if self.layout == "fused-kv":
            return torch.cat([self.repeated(part) for part in states.split(n_kv, dim=-1)], dim=-1)
        if self.layout == "fused-qkv":
            q, k, v = states.split((n_q, n_kv, n_kv), dim=-1)
            return torch.cat((q, self.repeated(k), self.repeated(v)), dim=-1)
        if self.layout == "fused-blocks":
            q, v, k = states.unflatten(-1, (4, -1)).split((n_q // 4, n_kv // 4, n_kv // 4), dim=-1)
            return torch.cat((q, self.repeated(v), self.repeated(k)), dim=-1).flatten(-2)
        n = self.n_heads // self.n_kv_heads
        q, k, v = states.unflatten(-1, (self.n_kv_heads, n + 2, self.head_dim)).split((n, 1, 1), dim=-2)
        return torch.stack((q, k.expand_as(q), v.expand_as(q)), dim=-2).flatten(-4)


class GroupedLinear(GroupedProjection, nn.Linear):
    pass


class GroupedConv1D(GroupedProjection, Conv1D):
    pass


class GroupedAttentions:
    """
    In front of the class of a stock model. `grouped` has for each kind of attention what the configuration calls it in
    `key_value_heads`, the pattern of its names ("%" is the layer), the projections of keys and values, their layout,
    and the key that says how many query heads there are. `inner`: where that is of a model within it, the key of that
    one's configuration, and its attribute.
    """

    grouped = ()
    inner = None

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        share_conversions(cls, next(base for base in cls.__mro__ if base.__module__.startswith("transformers.")))

    def __init__(self, config, *args, **kwargs):
        super().__init__(config, *args, **kwargs)
        if self.inner:
            config = getattr(config, self.inner[0])
        said = getattr(config, "key_value_heads", None) or {}
        for name, attention in list(self.named_modules()):
            if self.inner and self.inner[1] not in name.split("."):
                continue
            for kind, pattern, projections, layout, heads_key in self.grouped:
                found = re.search(rf"(^|\.){re.escape(pattern).replace('%', '([0-9]+)')}$", name)
                if found and said.get(kind):
                    n_heads = getattr(config, heads_key)
                    n_kv_heads = said[kind] if isinstance(said[kind], int) else said[kind][int(found[2])]
                    group(attention, projections, layout, n_heads, n_kv_heads)


def group(attention, projections, layout, n_heads, n_kv_heads):
    if n_kv_heads < 1 or n_heads % n_kv_heads:
        raise ValueError(f"key_value_heads: {n_heads} query heads cannot share {n_kv_heads} key and value heads")
    if n_kv_heads == n_heads:
        return
    for name in projections:
        holder, _, own_name = name.rpartition(".")
        holder = attention.get_submodule(holder)
        setattr(holder, own_name, GroupedProjection.of(getattr(holder, own_name), layout, n_heads, n_kv_heads))
    attention.register_forward_pre_hook(
        partial(show_repeated_caches, n_repeats=n_heads // n_kv_heads), with_kwargs=True
    )


def share_conversions(cls, stock):
    """Parameters may have had other names in older versions: transformers 5 knows them by class."""
    try:
        from transformers.conversion_mapping import (
            get_checkpoint_conversion_mapping,
            register_checkpoint_conversion_mapping,
        )
    except ImportError:  # transformers 4
        return
    renamed = get_checkpoint_conversion_mapping(stock.__name__)
    if renamed is None:
        renamed = get_checkpoint_conversion_mapping(stock.config_class.model_type)
    if renamed is not None:
        register_checkpoint_conversion_mapping(cls.__name__, renamed, overwrite=True)
