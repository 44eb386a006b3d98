"""Small decoders of families whose stock class takes no grouped heads, and what transformers computes of them.

    python make_older_decoders.py [NAME...]           (writes below families/)

As make_families.py, whose way of saving and running this shares.

Written with transformers 4.57.1, torch 2.7.1, safetensors 0.8.0, numpy 2.4.6.
"""
import functools
import os
import sys

import torch
import transformers as tr
from transformers.pytorch_utils import Conv1D
from transformers.models.codegen.modeling_codegen import CodeGenAttention
from transformers.models.ctrl import modeling_ctrl
from transformers.models.gpt2 import modeling_gpt2
from transformers.models.mpt.configuration_mpt import MptAttentionConfig
from transformers.models.xglm.modeling_xglm import XGLMSinusoidalPositionalEmbedding

import make_families
import make_reference as made

VOCAB = make_families.VOCAB
TOKENS = {"bos_token_id": 1, "eos_token_id": 2}
per_head = False  # c_attn has q, k, v of each head together
SHARED = {"vocab_size": VOCAB, **TOKENS}


def repeat_heads(key, value, heads, times):
    """As make_families's, of the layouts that these families have more."""
    parts = key.split(".")
    if parts[-2] == "c_attn" and per_head:
        view = value.reshape(heads, 3, -1)
        for h in range(heads):
            view[h, 1:] = view[h - h % times, 1:]
    elif parts[-2] == "qkv_proj":  # 4 blocks of [q | v | k]
        view = value.reshape(4, 3, heads // 4, -1)
        views = [view[:, 1].reshape(heads, -1), view[:, 2].reshape(heads, -1)]
        for which, flat in zip((1, 2), views):
            flat = flat.copy()
            for h in range(heads):
                flat[h] = flat[h - h % times]
            view[:, which] = flat.reshape(4, heads // 4, -1)
    elif parts[-2] in ("Wk", "Wv"):
        original(".".join([*parts[:-2], parts[-2][1], parts[-1]]), value, heads, times)
    elif parts[-2] == "Wqkv":
        for third in (1, 2):
            view = value.reshape(3, heads, -1)[third]
            for h in range(heads):
                view[h] = view[h - h % times]
    else:
        original(key, value, heads, times)


def save(name, family, head="ForCausalLM", repeat=None, **more):
    make_families.save(name, getattr(tr, family + head), getattr(tr, family + "Config")(**SHARED, **more),
                       repeat=repeat)


def gpt_neo(name, **more):
    save(name, "GPTNeo", hidden_size=24, num_layers=3, num_heads=4, max_position_embeddings=24, window_size=3,
         attention_types=[[["global", "local"], 1], [["local"], 1]], **more)


def mpt(name, heads=4, **more):
    save(name, "Mpt", d_model=6 * heads, n_heads=heads, n_layers=2, max_seq_len=24, **more)


def xglm(name, **more):
    save(name, "XGLM", d_model=24, ffn_dim=29, num_layers=2, attention_heads=4, max_position_embeddings=24, **more)


def biogpt(name, **more):
    save(name, "BioGpt", hidden_size=24, intermediate_size=29, num_hidden_layers=2, num_attention_heads=4,
         max_position_embeddings=24, **more)


def openai_gpt(name, **more):
    save(name, "OpenAIGPT", "LMHeadModel", n_embd=24, n_layer=2, n_head=4, n_positions=24, **more)


def codegen(name, **more):
    save(name, "CodeGen", n_embd=32, n_layer=2, n_head=8, n_positions=24, n_inner=29, rotary_dim=2, **more)


def persimmon(name, **more):
    save(name, "Persimmon", hidden_size=32, intermediate_size=29, num_hidden_layers=2, num_attention_heads=4,
         max_position_embeddings=64, **more)


def falcon(name, **more):
    save(name, "Falcon", hidden_size=32, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64, **more)


def gpt_bigcode(name, **more):
    global per_head
    per_head = True
    save(name, "GPTBigCode", n_embd=24, n_layer=2, n_head=4, n_positions=24, n_inner=29, **more)
    per_head = False


def gpt_neox_japanese(name, **more):
    save(name, "GPTNeoXJapanese", hidden_size=32, num_hidden_layers=2, num_attention_heads=4, rotary_pct=0.5,
         intermediate_multiple_size=2, max_position_embeddings=24, **more)


def imagegpt(name, **more):
    # Heads of 4: this version of transformers divides scores by the root's whole part.
    save(name, "ImageGPT", "ForCausalImageModeling", n_embd=16, n_layer=2, n_head=4, n_positions=24, **more)


def ctrl(name, **more):
    save(name, "CTRL", "LMHeadModel", n_embd=24, n_layer=2, n_head=4, n_positions=24, dff=29, **more)


def jais(name, repeat=None):
    """JAIS as its remote code writes it: a GPT-2 with ALiBi, a gate and scales of its own."""
    make_families.save(name, JaisModel, JaisConfig(
        **SHARED, n_embd=24, n_layer=2, n_head=6, n_positions=24, n_inner=29, position_embedding_type="alibi",
        activation_function="swiglu", mup_embeddings_scale=1.5, mup_width_scale=0.5, mup_output_alpha=1.25,
        mup_scale_qk_dot_by_d=True), repeat=repeat)


class JaisConfig(tr.GPT2Config):
    model_type = "jais"


class JaisModel(tr.GPT2LMHeadModel):
    config_class = JaisConfig

    def __init__(self, config):
        config.activation_function = "silu"
        super().__init__(config)
        config.activation_function = "swiglu"
        del self.transformer.wpe
        self.transformer.wpe = lambda positions: torch.zeros(1)
        self.transformer.wte.register_forward_hook(lambda _, __, out: out * config.mup_embeddings_scale)
        self.lm_head.register_forward_hook(
            lambda _, __, out: out * config.mup_width_scale * config.mup_output_alpha)
        for block in self.transformer.h:
            block.mlp.c_fc2 = Conv1D(config.n_inner, config.n_embd)
            block.mlp.forward = functools.partial(self.gated, block.mlp)
            block.attn.scale_attn_weights = False

    @staticmethod
    def gated(mlp, x):
        return mlp.c_proj(mlp.c_fc(x) * mlp.act(mlp.c_fc2(x)))


def jais_attention(module, query, key, value, mask, **_):
    slopes = torch.tensor(make_families.slopes_of(query.shape[1]), dtype=query.dtype)
    distance = torch.arange(key.shape[2])[None] - torch.arange(query.shape[2])[:, None]
    scores = query @ key.transpose(-1, -2) / query.shape[-1] + slopes[:, None, None] * distance
    scores = scores.masked_fill(distance > 0, torch.finfo(query.dtype).min)
    return (torch.softmax(scores, -1) @ value).transpose(1, 2), None


MODELS = {
    "falcon-7b": lambda n: falcon(n, multi_query=True, bias=False, ffn_hidden_size=29),
    "falcon-40b": lambda n: falcon(n, new_decoder_architecture=True, num_kv_heads=2, bias=False, ffn_hidden_size=29),
    "falcon-11b": lambda n: falcon(n, new_decoder_architecture=True, num_kv_heads=2, num_ln_in_parallel_attn=1,
                                   ffn_hidden_size=29),
    "gpt_bigcode": lambda n: gpt_bigcode(n, multi_query=False, repeat=2),
    "gpt_bigcode-mqa": lambda n: gpt_bigcode(n, multi_query=True),
    "gpt_neo": lambda n: gpt_neo(n, repeat=2),
    "mpt": lambda n: mpt(n, repeat=2),
    "mpt-clip": lambda n: mpt(n, attn_config=MptAttentionConfig(clip_qkv=0.75), repeat=2),
    "mpt-six": lambda n: mpt(n, heads=6),
    "xglm": lambda n: xglm(n, repeat=2),
    "xglm-pad": lambda n: xglm(n, pad_token_id=7),
    "biogpt": lambda n: biogpt(n, repeat=2),
    "openai_gpt": lambda n: openai_gpt(n, repeat=2),
    "codegen": lambda n: codegen(n, repeat=2),
    "persimmon": lambda n: persimmon(n, repeat=2),
    "gpt_neox_japanese": lambda n: gpt_neox_japanese(n, repeat=2),
    "ctrl": lambda n: ctrl(n, repeat=2),
    "jais": lambda n: jais(n, repeat=2),
    "imagegpt": lambda n: imagegpt(n, repeat=2),
}


def load(folder):
    """As make_families's, with what these families work out once in float64."""
    if folder.endswith("jais"):
        modeling_gpt2.eager_attention_forward = jais_attention
        return JaisModel.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
    if folder.endswith("imagegpt"):  # no auto class has it, and without a cache it fails
        model = tr.ImageGPTForCausalImageModeling.from_pretrained(folder, dtype=torch.float64).eval()
        forward = model.forward
        model.forward = lambda use_cache, **inputs: forward(**inputs)
        return model
    model = load_others(folder)
    with made.in_doubles():
        if folder.endswith("ctrl"):
            config = model.config
            model.transformer.pos_encoding = modeling_ctrl.positional_encoding(config.n_positions, config.n_embd,
                                                                               torch.float64)
        for module in model.modules():
            if isinstance(module, XGLMSinusoidalPositionalEmbedding):
                module.make_weights(*module.weights.shape, module.padding_idx)
            if isinstance(module, CodeGenAttention):
                dim = model.config.rotary_dim
                angles = torch.outer(torch.arange(model.config.n_positions, dtype=torch.float64),
                                     10000 ** -(torch.arange(0, dim, 2, dtype=torch.float64) / dim))
                module.scale_attn = torch.tensor(module.head_dim, dtype=torch.float64).sqrt()
                module.embed_positions = torch.cat((torch.sin(angles), torch.cos(angles)), dim=1)
    return model


def blocks_of(model):
    base = model.base_model
    return base.h if hasattr(base, "h") else base.blocks if hasattr(base, "blocks") else base.layers


original, load_others = make_families.repeat_heads, make_families.load


def main():
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    torch.set_num_threads(1)
    made.blocks_of = blocks_of
    make_families.repeat_heads, make_families.load = repeat_heads, load
    for name in sys.argv[1:] or MODELS:
        MODELS[name](name)
        make_families.reference(name)


if __name__ == "__main__":
    main()
