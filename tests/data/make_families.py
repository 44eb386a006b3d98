"""Small models of families (formats/families, or families/*.json where it is not built in), and what transformers computes.

    python make_families.py [NAME...]                 (writes below families/)

As make_reference.py, whose way of putting float64 in the place of float32 this shares.

Written with transformers 4.57.1 (LATER: 5.24.0), torch 2.15.0, safetensors 0.8.0, numpy 2.4.6.
"""
import contextlib
import copy
import json
import os
import shutil
import sys
import types

import safetensors.numpy
import numpy as np
import torch
import transformers as tr
from transformers.models.llama import modeling_llama
from transformers.models.gptj.modeling_gptj import GPTJAttention

import make_reference as made

VOCAB = 47
LENGTHS = [7, 1, 4]


def repeat_heads(key, value, heads, times):
    parts = key.split(".")
    if parts[-2] in ("k_proj", "v_proj"):
        key = ".".join([*parts[:-2], parts[-2][0], parts[-1]])
    elif parts[-2] == "qkv_proj":  # rows of q, k, v
        for third in np.split(value, 3)[1:]:
            view = third.reshape(heads, -1)
            for h in range(heads):
                view[h] = view[h - h % times]
    made.repeat_heads(key, value, heads, times)


def save(name, cls, config, dtype=torch.float16, repeat=None):
    model = cls(config).to(dtype)
    done = set()
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if tensor.data_ptr() in done:  # tied
                continue
            done.add(tensor.data_ptr())
            if not tensor.is_floating_point() or tensor.ndim == 0:
                continue
            key = key.replace("LayerNorm", "layer_norm")
            if "." not in key:  # BLIP-2's query_tokens
                key = f"model.{key}"
            value = made.value_of(name, key if tensor.ndim > 1 or key.endswith("weight") else key + ".bias",
                                  tuple(tensor.shape))
            if key.endswith("experts.gate_up_proj"):  # beyond what gate and up are kept within
                value *= 4
            text = config.get_text_config()
            if repeat and "vision" not in key:
                repeat_heads(key, value, text.num_attention_heads, repeat)
            tensor.copy_(torch.from_numpy(value).to(dtype))
    folder = os.path.join("families", name)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    if os.path.exists(os.path.join(folder, "generation_config.json")):
        os.remove(os.path.join(folder, "generation_config.json"))
    os.chmod(os.path.join(folder, "model.safetensors"), 0o644)


def stablelm(name, kv=4, **more):
    save(name, tr.StableLmForCausalLM, tr.StableLmConfig(
        vocab_size=VOCAB, hidden_size=32, intermediate_size=29, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=kv, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, **more))


def phi(name, kv=4, repeat=None, **more):
    save(name, tr.PhiForCausalLM, tr.PhiConfig(
        vocab_size=VOCAB, hidden_size=32, intermediate_size=29, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=kv, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, **more),
        repeat=repeat)


def qwen3(name, kv=4, repeat=None, **more):
    save(name, tr.Qwen3ForCausalLM, tr.Qwen3Config(
        vocab_size=VOCAB, hidden_size=32, intermediate_size=29, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=kv, head_dim=6, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, **more),
        repeat=repeat)


def cohere(name, kv=4, repeat=None):
    save(name, tr.CohereForCausalLM, tr.CohereConfig(
        vocab_size=VOCAB, hidden_size=32, intermediate_size=29, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=kv, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2),
        repeat=repeat)


# Norms without weights have none that could be initialised.
tr.OPTPreTrainedModel._init_weights = lambda *_: None


def opt(name, repeat=None, **more):
    save(name, tr.OPTForCausalLM, tr.OPTConfig(
        vocab_size=VOCAB, hidden_size=24, ffn_dim=29, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=16, bos_token_id=1, eos_token_id=2, pad_token_id=0,
        **{"word_embed_proj_dim": 24, **more}), repeat=repeat)


def bloom(name, heads, cls=tr.BloomForCausalLM, repeat=None, **more):
    save(name, cls, tr.BloomConfig(vocab_size=VOCAB, hidden_size=4 * heads, n_layer=2, n_head=heads, bos_token_id=1,
                                   eos_token_id=2, **more), repeat=repeat)


def gptj(name, repeat=None, **more):
    save(name, tr.GPTJForCausalLM, tr.GPTJConfig(
        vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2, **more),
        repeat=repeat)


def gemma2(name, kv=4, repeat=None):
    save(name, tr.Gemma2ForCausalLM, tr.Gemma2Config(
        vocab_size=VOCAB, hidden_size=32, intermediate_size=29, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=kv, head_dim=6, query_pre_attn_scalar=24, sliding_window=3, final_logit_softcapping=30.0,
        attn_logit_softcapping=5.0, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2),
        repeat=repeat)


def falcon(name, repeat=None, **more):
    save(name, tr.FalconForCausalLM, tr.FalconConfig(
        vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=8, alibi=True, multi_query=False,
        bos_token_id=1, eos_token_id=2, **more), repeat=repeat)


def decoder(name, kind, kv=4, repeat=None, cls=None, config=None, **more):
    """A model whose configuration has Llama's keys: tr.<kind>ForCausalLM."""
    keys = dict(vocab_size=VOCAB, hidden_size=32, intermediate_size=29, num_hidden_layers=2, num_attention_heads=4,
                num_key_value_heads=kv, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    keys.update(more)
    save(name, cls or getattr(tr, kind + "ForCausalLM"), getattr(tr, config or kind + "Config")(**keys),
         repeat=repeat)


def nested(name, cls, config, text, repeat=None, **more):
    """A text model inside a larger one, whose vision tower is as small as can be."""
    vision = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, image_size=4,
                  patch_size=2)
    inner = dict(vocab_size=VOCAB, hidden_size=32, intermediate_size=29, num_hidden_layers=2, num_attention_heads=4,
                 num_key_value_heads=4, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    save(name, cls, config(text_config={**inner, **text}, vision_config={**vision, **more.pop("vision", {})}, **more),
         repeat=repeat)


# What transformers 4 has no classes for: made with 5.24.
LATER = {
    "exaone": lambda n: decoder(n, "Exaone", cls=tr.LlamaForCausalLM, repeat=2),
    "exaone_moe": lambda n: decoder(n, "ExaoneMoe", repeat=2, num_experts=4, num_experts_per_tok=2,
                                    moe_intermediate_size=6, sliding_window=3,
                                    layer_types=["sliding_attention", "full_attention"]),
    "internlm3": lambda n: decoder(n, "InternLM3", cls=tr.LlamaForCausalLM, kv=2, head_dim=6, attention_bias=True,
                                   mlp_bias=True),
    "jais2": lambda n: decoder(n, "Jais2", repeat=2),
    "hyperclovax": lambda n: decoder(n, "HyperCLOVAX", repeat=2, embedding_multiplier=3.0, logits_scaling=0.5,
                                     attention_multiplier=0.3),
    "cwm": lambda n: decoder(n, "Cwm", kv=2, head_dim=6, sliding_window=3, eos_token_id=2, rope_parameters={
        "rope_type": "llama3", "rope_theta": 1000000.0, "factor": 16.0, "high_freq_factor": 4.0,
        "low_freq_factor": 1.0, "original_max_position_embeddings": 32}),
    "minimax_m2": lambda n: decoder(n, "MiniMaxM2", repeat=2, head_dim=8, intermediate_size=6, num_local_experts=5,
                                    num_experts_per_tok=3, rotary_dim=4),
    "solar_open": lambda n: decoder(n, "SolarOpen", kv=2, head_dim=6, attention_bias=True, n_routed_experts=4,
                                    num_experts_per_tok=2, moe_intermediate_size=6, routed_scaling_factor=1.5),
}

QWEN_VISION = {"depth": 1, "embed_dim": 8, "num_heads": 2, "mlp_ratio": 1, "patch_size": 2, "spatial_merge_size": 1,
               "temporal_patch_size": 1}

MODELS = {
    "exaone4": lambda n: decoder(n, "Exaone4", repeat=2, sliding_window=3, sliding_window_pattern="LLLG",
                                 layer_types=["sliding_attention", "full_attention"]),
    "exaone4-full": lambda n: decoder(n, "Exaone4", kv=2, sliding_window=None,
                                      layer_types=["full_attention", "full_attention"]),
    "gpt_oss": lambda n: decoder(n, "GptOss", repeat=2, head_dim=8, intermediate_size=6, num_local_experts=4,
                                 num_experts_per_tok=2, sliding_window=3, rope_theta=1000.0, rope_scaling={
                                     "rope_type": "yarn", "factor": 4.0, "beta_fast": 4.0, "beta_slow": 1.0,
                                     "truncate": False, "original_max_position_embeddings": 16}),
    "hunyuan-moe": lambda n: decoder(n, "HunYuanMoEV1", kv=2, head_dim=6, intermediate_size=6, num_experts=4,
                                     moe_topk=[2, 2]),
    "ministral": lambda n: decoder(n, "Ministral", repeat=2, head_dim=8, sliding_window=3),
    "vaultgemma": lambda n: decoder(n, "VaultGemma", repeat=2, head_dim=6, query_pre_attn_scalar=24, sliding_window=3,
                                    attn_logit_softcapping=5.0,
                                    layer_types=["sliding_attention", "full_attention"]),
    "granitemoeshared": lambda n: decoder(n, "GraniteMoeShared", repeat=2, intermediate_size=6, num_local_experts=4,
                                          num_experts_per_tok=2, shared_intermediate_size=7, embedding_multiplier=3.0,
                                          residual_multiplier=0.4, logits_scaling=2.5, attention_multiplier=0.3),
    "granitemoehybrid": lambda n: decoder(n, "GraniteMoeHybrid", repeat=2, shared_intermediate_size=13,
                                          num_local_experts=0, num_experts_per_tok=0, layer_types=["attention"] * 2,
                                          mamba_n_heads=4, position_embedding_type="rope", embedding_multiplier=3.0,
                                          residual_multiplier=0.4, logits_scaling=2.5, attention_multiplier=0.3),
    "ernie4_5_moe": lambda n: decoder(n, "Ernie4_5_Moe", repeat=2, moe_num_experts=4, moe_k=2, moe_intermediate_size=6,
                                      moe_num_shared_experts=1),
    "glm4_moe": lambda n: decoder(n, "Glm4Moe", repeat=2, head_dim=8, attention_bias=True, n_routed_experts=5,
                                  num_experts_per_tok=2, moe_intermediate_size=6, routed_scaling_factor=1.5,
                                  use_qk_norm=True),
    "dots1": lambda n: decoder(n, "Dots1", kv=2, n_routed_experts=6, num_experts_per_tok=2, moe_intermediate_size=4,
                               n_shared_experts=2, n_group=3, topk_group=2, first_k_dense_replace=1, sliding_window=3,
                               max_window_layers=1, norm_topk_prob=True, routed_scaling_factor=2.5),
    "baichuan": lambda n: decoder(n, "Llama", repeat=2),
    "baichuan_alibi": lambda n: decoder(n, "Llama", kv=6, repeat=2, hidden_size=36, num_attention_heads=6),
    "chatglm": lambda n: chatglm(n),
    "chatglm2-long": lambda n: decoder(n, "Glm", repeat=2, head_dim=8, attention_bias=True, rope_theta=500000.0),
    "chatglm2": lambda n: decoder(n, "Glm", kv=2, head_dim=8, attention_bias=True),
    "deepseek": lambda n: decoder(n, "Qwen2Moe", repeat=2, num_experts=4, num_experts_per_tok=2, qkv_bias=False,
                                  moe_intermediate_size=6, shared_expert_intermediate_size=6, mlp_only_layers=[0]),
    "internlm": lambda n: decoder(n, "Llama", repeat=2, attention_bias=True),
    "internlm2": lambda n: decoder(n, "Llama", kv=2),
    "minicpm": lambda n: decoder(n, "Granite", repeat=2, embedding_multiplier=12.0, residual_multiplier=0.99,
                                 logits_scaling=2.0, attention_multiplier=8**-0.5, tie_word_embeddings=True),
    "orion": lambda n: decoder(n, "StableLm", repeat=2, partial_rotary_factor=1.0),
    "qwen": lambda n: decoder(n, "Qwen2", repeat=2),
    "diffllama": lambda n: decoder(n, "DiffLlama", head_dim=8),
    "hunyuan": lambda n: decoder(n, "HunYuanDenseV1", kv=2, head_dim=6),
    "hunyuan-alpha": lambda n: decoder(n, "HunYuanDenseV1", repeat=2, head_dim=6, rope_scaling={
        "type": "dynamic", "alpha": 100.0, "factor": 2.0}),
    "xverse": lambda n: decoder(n, "Llama", repeat=2),
    "granite": lambda n: decoder(n, "Granite", repeat=2, embedding_multiplier=3.0, residual_multiplier=0.4,
                                 logits_scaling=2.5, attention_multiplier=0.3),
    "granitemoe": lambda n: decoder(n, "GraniteMoe", kv=2, intermediate_size=6, num_local_experts=4, num_experts_per_tok=2,
                                    embedding_multiplier=3.0, residual_multiplier=0.4, logits_scaling=2.5,
                                    attention_multiplier=0.3),
    "mixtral": lambda n: decoder(n, "Mixtral", repeat=2, intermediate_size=6, num_local_experts=4,
                                 num_experts_per_tok=2, sliding_window=3),
    "olmoe": lambda n: decoder(n, "Olmoe", intermediate_size=6, num_experts=5, num_experts_per_tok=3),
    "olmoe-clip": lambda n: decoder(n, "Olmoe", intermediate_size=6, num_experts=3, num_experts_per_tok=2,
                                    clip_qkv=0.75),
    "phimoe": lambda n: decoder(n, "Phimoe", repeat=2, intermediate_size=6, num_local_experts=4, num_experts_per_tok=2,
                                attention_bias=True, lm_head_bias=True, router_jitter_noise=0.2),
    "qwen2_moe": lambda n: decoder(n, "Qwen2Moe", repeat=2, num_experts=4, num_experts_per_tok=2,
                                   moe_intermediate_size=6, shared_expert_intermediate_size=7, num_hidden_layers=3,
                                   mlp_only_layers=[1]),
    "qwen2_moe-all": lambda n: decoder(n, "Qwen2Moe", repeat=2, num_experts=3, num_experts_per_tok=2,
                                       moe_intermediate_size=6, shared_expert_intermediate_size=7),
    "qwen3_moe": lambda n: decoder(n, "Qwen3Moe", kv=2, head_dim=6, num_experts=4, num_experts_per_tok=2,
                                   moe_intermediate_size=6, norm_topk_prob=True, decoder_sparse_step=2),
    "qwen3_moe-all": lambda n: decoder(n, "Qwen3Moe", kv=2, head_dim=6, num_experts=3, num_experts_per_tok=2,
                                       moe_intermediate_size=6, norm_topk_prob=True),
    "llava": lambda n: nested(n, tr.LlavaForConditionalGeneration, tr.LlavaConfig, {"model_type": "llama"}, repeat=2,
                              vision={"model_type": "clip_vision_model"}, image_token_index=46),
    "llava_next": lambda n: nested(n, tr.LlavaNextForConditionalGeneration, tr.LlavaNextConfig, {
        "model_type": "mistral", "num_key_value_heads": 2, "sliding_window": 3, "head_dim": 6},
        vision={"model_type": "clip_vision_model"}, image_token_index=46),
    "gemma3-vision": lambda n: nested(n, tr.Gemma3ForConditionalGeneration, tr.Gemma3Config, {
        "head_dim": 6, "query_pre_attn_scalar": 24, "sliding_window": 3, "rope_local_base_freq": 100.0,
        "layer_types": ["sliding_attention", "full_attention"]}, mm_tokens_per_image=1, image_token_index=46),
    "blip2": lambda n: nested(n, tr.Blip2ForConditionalGeneration, tr.Blip2Config, {
        "model_type": "opt", "hidden_size": 24, "ffn_dim": 29, "word_embed_proj_dim": 24,
        "max_position_embeddings": 16}, repeat=2, num_query_tokens=1, qformer_config={
            "vocab_size": VOCAB, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 2, "encoder_hidden_size": 8}),
    "qwen2_vl": lambda n: nested(n, tr.Qwen2VLForConditionalGeneration, tr.Qwen2VLConfig, {
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 1, 1]}}, repeat=2, vision=QWEN_VISION),
    "qwen2_5_vl": lambda n: nested(n, tr.Qwen2_5_VLForConditionalGeneration, tr.Qwen2_5_VLConfig, {
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 1, 1]}, "num_key_value_heads": 2},
        vision={**QWEN_VISION, "out_hidden_size": 32, "intermediate_size": 8, "window_size": 4,
                "fullatt_block_indexes": [0]}),
    "smolvlm": lambda n: nested(n, tr.SmolVLMForConditionalGeneration, tr.SmolVLMConfig, {"model_type": "llama"},
                                repeat=2, image_token_id=46, scale_factor=1),
    "apertus": lambda n: decoder(n, "Apertus", repeat=2),
    "llama-answers": lambda n: decoder(n, "Llama", repeat=2, cls=tr.LlamaForQuestionAnswering),
    "arcee": lambda n: decoder(n, "Arcee", repeat=2, head_dim=6),
    "ernie4_5": lambda n: decoder(n, "Ernie4_5", repeat=2, head_dim=6, use_bias=True),
    "gemma": lambda n: decoder(n, "Gemma", repeat=2, head_dim=6),
    "glm": lambda n: decoder(n, "Glm", repeat=2, head_dim=8),
    "glm4": lambda n: decoder(n, "Glm4", kv=2, head_dim=8),
    "helium": lambda n: decoder(n, "Helium", repeat=2, head_dim=8),
    "nemotron": lambda n: decoder(n, "Nemotron", repeat=2, head_dim=8),
    "olmo": lambda n: decoder(n, "Olmo", repeat=2, attention_bias=True),
    "olmo-clip": lambda n: decoder(n, "Olmo", repeat=2, clip_qkv=0.75),
    "cohere2": lambda n: decoder(n, "Cohere2", repeat=2, sliding_window=3, num_hidden_layers=2,
                                 layer_types=["sliding_attention", "full_attention"]),
    "gemma3": lambda n: decoder(n, "Gemma3", repeat=2, cls=tr.Gemma3ForCausalLM, config="Gemma3TextConfig", head_dim=6,
                                query_pre_attn_scalar=24, sliding_window=3, rope_theta=10000.0,
                                rope_local_base_freq=100.0, rope_scaling={"rope_type": "linear", "factor": 8.0},
                                layer_types=["sliding_attention", "full_attention"]),
    "olmo2": lambda n: decoder(n, "Olmo2", repeat=2),
    "olmo2-grouped": lambda n: decoder(n, "Olmo2", kv=2, attention_bias=True),
    "olmo3": lambda n: decoder(n, "Olmo3", sliding_window=3, layer_types=["sliding_attention", "full_attention"],
                               rope_scaling={"rope_type": "linear", "factor": 4.0}),
    "phi3": lambda n: decoder(n, "Phi3", repeat=2),
    "smollm3": lambda n: decoder(n, "SmolLM3", repeat=2, no_rope_layers=[1, 0], pad_token_id=0),
    "phi3-long": lambda n: decoder(n, "Phi3", kv=2, sliding_window=3, partial_rotary_factor=0.75,
                                   original_max_position_embeddings=16, rope_scaling={
                                       "type": "longrope", "short_factor": [1.0, 1.1, 1.3],
                                       "long_factor": [1.2, 2.0, 4.0]}),
    "seed_oss": lambda n: decoder(n, "SeedOss", repeat=2, head_dim=6, attention_out_bias=True, mlp_bias=True),
    "starcoder2": lambda n: decoder(n, "Starcoder2", repeat=2, sliding_window=3),
    "gptj": lambda n: gptj(n, rotary_dim=6, repeat=2),
    "gemma2": lambda n: gemma2(n, repeat=2),
    "falcon": lambda n: falcon(n, parallel_attn=False, bias=True, repeat=2),
    "falcon-parallel": lambda n: falcon(n),
    "stablelm": lambda n: stablelm(n, use_qkv_bias=True),
    "stablelm-parallel": lambda n: stablelm(n, kv=2, use_parallel_residual=True),
    "phi": lambda n: phi(n, repeat=2),
    "phi-grouped": lambda n: phi(n, kv=2),
    "phi-norms": lambda n: phi(n, kv=2, qk_layernorm=True),
    "qwen3": lambda n: qwen3(n, repeat=2),
    "qwen3-grouped": lambda n: qwen3(n, kv=2, use_sliding_window=True, sliding_window=3, max_window_layers=1),
    "cohere": lambda n: cohere(n, repeat=2),
    "roberta-decoder": lambda n: save(n, tr.RobertaForCausalLM, tr.RobertaConfig(
        vocab_size=VOCAB, hidden_size=16, intermediate_size=19, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=24, is_decoder=True, tie_word_embeddings=False, bos_token_id=1, eos_token_id=2)),
    "opt": lambda n: opt(n, repeat=2),
    "opt-plain": lambda n: opt(n, repeat=2, layer_norm_elementwise_affine=False),
    "opt-unnormed": lambda n: opt(n, _remove_final_layer_norm=True),
    "opt-post": lambda n: opt(n, do_layer_norm_before=False, activation_function="gelu"),
    "opt-350m": lambda n: opt(n, do_layer_norm_before=False, word_embed_proj_dim=10, repeat=2),
    "bloom": lambda n: bloom(n, 8, repeat=2),
    "bloom-base": lambda n: bloom(n, 6, tr.BloomModel),
    "bloom-normed": lambda n: bloom(n, 8, repeat=2, apply_residual_connection_post_layernorm=True),
}


def load(folder):
    """The model on double tensors, its rotary frequencies worked out again in float64."""
    if folder.endswith("chatglm"):
        return load_chatglm(folder)
    # Falcon's eager attention adds ALiBi twice.
    kind = "sdpa" if "falcon" in folder else "eager"
    config = tr.AutoConfig.from_pretrained(folder)
    auto = tr.AutoModelForImageTextToText if hasattr(config, "vision_config") else tr.AutoModelForCausalLM
    if folder.endswith("-answers"):
        auto = tr.AutoModelForQuestionAnswering
    model = auto.from_pretrained(folder, dtype=torch.float64, attn_implementation=kind).eval()
    model.double()  # routers of some are kept in float32
    if folder.endswith("blip2"):  # it does not run without a picture
        model = model.language_model
    with made.in_doubles():
        for module in model.modules():
            if folder.endswith("deepseek") and hasattr(module, "shared_expert_gate"):  # its shared expert has none
                module.shared_expert_gate.forward = lambda x: torch.full((*x.shape[:-1], 1), torch.inf)
            if hasattr(module, "rotary_emb_local"):  # Gemma 3
                local = copy.deepcopy(module.config)
                local.rope_theta, local.rope_scaling = local.rope_local_base_freq, {"rope_type": "default"}
                module.rotary_emb_local = type(module.rotary_emb)(local)
            if hasattr(module, "rotary_embs"):  # OLMo 3
                module.rotary_embs["sliding_attention"] = type(module.rotary_embs["full_attention"])(
                    model.config, rope_type="default")
                module.rotary_embs["full_attention"] = type(module.rotary_embs["full_attention"])(model.config)
            if hasattr(module, "rotary_emb"):
                module.rotary_emb = type(module.rotary_emb)(getattr(module, "config", model.config))
            if isinstance(module, GPTJAttention):
                dim = model.config.rotary_dim
                angles = torch.outer(torch.arange(model.config.n_positions, dtype=torch.float64),
                                     10000 ** -(torch.arange(0, dim, 2, dtype=torch.float64) / dim))
                module.scale_attn = torch.tensor(module.head_dim, dtype=torch.float64).sqrt()
                module.embed_positions = torch.cat((torch.sin(angles), torch.cos(angles)), dim=1)
    if folder.endswith("apertus"):  # its activation rounds its constants to bfloat16, whatever it is loaded as
        said = safetensors.numpy.load_file(os.path.join(folder, "model.safetensors"))
        for name, module in model.named_modules():
            for key in ("alpha_p", "alpha_n", "beta", "eps") if hasattr(module, "alpha_p") else ():
                getattr(module, key).data = torch.from_numpy(said[f"{name}.{key}"]).double()
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        known = (torch.float64, torch.bool, torch.int64)
        assert tensor.dtype in known or "vis" in name, (name, tensor.dtype)
    return model


# What remote code writes, which transformers has no classes for: models that compute the same as one that it has,
# under other names and keys, and with projections laid together.

def together(tensors, names, to):
    """Rows of several matrices (or vectors) of a layer as one."""
    for key in [k for k in tensors if names[0] in k]:
        parts = [tensors.pop(key.replace(names[0], n)) for n in names]
        tensors[key.replace(names[0], to)] = np.concatenate(parts)


def by_group(tensors, heads, kv, to):
    """[q..., k, v] for each KV head."""
    for key in [k for k in tensors if "self_attn.q_proj" in k]:
        q, k, v = (tensors.pop(key.replace("q_proj", n)) for n in ("q_proj", "k_proj", "v_proj"))
        split = [part.reshape(kv, -1, *part.shape[1:]) for part in (q, k, v)]
        tensors[key.replace("self_attn.q_proj", to)] = np.concatenate(split, 1).reshape(-1, *q.shape[1:])


def renamed(tensors, names):
    for old, new in names.items():
        for key in [k for k in tensors if old in k]:
            tensors[key.replace(old, new)] = tensors.pop(key)


def as_baichuan(tensors, config):
    together(tensors, ["q_proj", "k_proj", "v_proj"], "W_pack")
    del config["num_key_value_heads"]


def as_baichuan_alibi(tensors, config):
    """Baichuan's 13B, of which no key says that it has ALiBi."""
    as_baichuan(tensors, config)
    config["model_max_length"] = config.pop("max_position_embeddings")


def slopes_of(heads):
    """Of ALiBi, where their number is no power of 2 too."""
    most = 2**int(np.log2(heads))
    slopes = [2.0**(-8 * (i + 1) / most) for i in range(most)]
    return slopes + [2.0**(-4 * (2 * i + 1) / most) for i in range(heads - most)]


@contextlib.contextmanager
def alibi_in_llama(heads):
    """Llama's code with ALiBi in place of RoPE."""
    rotate, mask = modeling_llama.apply_rotary_pos_emb, modeling_llama.create_causal_mask
    slopes = slopes_of(heads)

    def with_slopes(**keys):
        made_of = mask(**keys)
        distance = torch.arange(made_of.shape[-1])[None] - torch.arange(made_of.shape[-2])[:, None]
        return made_of + torch.tensor(slopes, dtype=torch.float64)[:, None, None] * distance

    modeling_llama.apply_rotary_pos_emb = lambda q, k, *_: (q, k)
    modeling_llama.create_causal_mask = with_slopes
    try:
        yield
    finally:
        modeling_llama.apply_rotary_pos_emb, modeling_llama.create_causal_mask = rotate, mask


def as_internlm(tensors, config):
    config["bias"] = config.pop("attention_bias")
    del config["num_key_value_heads"]


def as_internlm2(tensors, config):
    by_group(tensors, config["num_attention_heads"], config["num_key_value_heads"], "attention.wqkv")
    renamed(tensors, {"self_attn.o_proj": "attention.wo", "mlp.gate_proj": "feed_forward.w1",
                      "mlp.up_proj": "feed_forward.w3", "mlp.down_proj": "feed_forward.w2",
                      "input_layernorm": "attention_norm", "post_attention_layernorm": "ffn_norm",
                      "embed_tokens": "tok_embeddings", "lm_head": "output"})
    config["bias"] = False


def as_orion(tensors, config):
    config["rms_norm_eps"] = config.pop("layer_norm_eps")


def as_qwen(tensors, config):
    together(tensors, ["q_proj", "k_proj", "v_proj"], "c_attn")
    renamed(tensors, {"self_attn.o_proj": "attn.c_proj", "self_attn": "attn", "mlp.gate_proj": "mlp.w2",
                      "mlp.up_proj": "mlp.w1", "mlp.down_proj": "mlp.c_proj", "input_layernorm": "ln_1",
                      "post_attention_layernorm": "ln_2", "embed_tokens": "wte", "model.norm": "model.ln_f",
                      "model.layers": "transformer.h", "model.": "transformer."})
    for old, new in {"rms_norm_eps": "layer_norm_epsilon", "rope_theta": "rotary_emb_base",
                     "max_position_embeddings": "seq_length"}.items():
        config[new] = config.pop(old)
    config.update(no_bias=True, kv_channels=8, intermediate_size=2 * config["intermediate_size"])
    del config["num_key_value_heads"]


def as_chatglm2(tensors, config):
    together(tensors, ["q_proj", "k_proj", "v_proj"], "query_key_value")
    renamed(tensors, {"self_attn.o_proj": "self_attention.dense", "self_attn": "self_attention",
                      "gate_up_proj": "dense_h_to_4h", "down_proj": "dense_4h_to_h",
                      "model.layers": "transformer.encoder.layers", "model.norm": "transformer.encoder.final_layernorm",
                      "model.embed_tokens": "transformer.embedding.word_embeddings",
                      "lm_head": "transformer.output_layer"})
    for old, new in {"rms_norm_eps": "layernorm_epsilon", "num_key_value_heads": "multi_query_group_num",
                     "intermediate_size": "ffn_hidden_size", "num_hidden_layers": "num_layers",
                     "head_dim": "kv_channels", "vocab_size": "padded_vocab_size",
                     "max_position_embeddings": "seq_length", "attention_bias": "add_qkv_bias"}.items():
        config[new] = config.pop(old)
    config.update(rmsnorm=True, add_bias_linear=False, apply_residual_connection_post_layernorm=False)


def as_chatglm2_long(tensors, config):
    """ChatGLM3-6B-32K and GLM-4: rope_ratio times 10000 is the base of RoPE."""
    as_chatglm2(tensors, config)
    config["rope_ratio"] = config.pop("rope_theta") / 10000


def as_minicpm(tensors, config):
    config.update(scale_emb=config.pop("embedding_multiplier"), scale_depth=config.pop("residual_multiplier") * 2**0.5,
                  dim_model_base=config["hidden_size"] / config.pop("logits_scaling"))
    del config["attention_multiplier"]


def as_deepseek(tensors, config):
    renamed(tensors, {"shared_expert.": "shared_experts."})
    for key in [k for k in tensors if "shared_expert_gate" in k]:
        del tensors[key]
    for key in ("shared_expert_intermediate_size", "decoder_sparse_step", "mlp_only_layers", "qkv_bias"):
        config.pop(key, None)
    config.update(n_routed_experts=config.pop("num_experts"), n_shared_experts=1, first_k_dense_replace=1,
                  moe_layer_freq=1)


CONVERTED_ALONE = {"diffllama"}

REMOTE = {"baichuan": as_baichuan, "baichuan_alibi": as_baichuan_alibi, "chatglm2": as_chatglm2, "chatglm2-long": as_chatglm2_long,
          "deepseek": as_deepseek, "internlm": as_internlm,
          "internlm2": as_internlm2, "minicpm": as_minicpm, "orion": as_orion, "qwen": as_qwen,
          "xverse": lambda tensors, config: config.pop("num_key_value_heads")}


class GlmBlock(torch.nn.Module):
    """A layer of ChatGLM-6B, as its remote code computes it."""

    def __init__(self, config):
        super().__init__()
        d = config["hidden_size"]
        self.heads, self.alpha = config["num_attention_heads"], (2 * config["num_layers"]) ** 0.5
        self.input_layernorm, self.post_attention_layernorm = (
            torch.nn.LayerNorm(d, config["layernorm_epsilon"]) for _ in range(2))
        self.attention, self.mlp = torch.nn.Module(), torch.nn.Module()
        self.attention.query_key_value, self.attention.dense = torch.nn.Linear(d, 3 * d), torch.nn.Linear(d, d)
        self.mlp.dense_h_to_4h, self.mlp.dense_4h_to_h = torch.nn.Linear(d, 4 * d), torch.nn.Linear(4 * d, d)

    @staticmethod
    def turned(x, places):
        """Halves of each head by places of two kinds, each of pairs (j, j + a quarter of the head)."""
        parts = []
        for half, place in zip(x.chunk(2, -1), places):
            n = half.shape[-1] // 2
            angles = place[..., None].double() * 10000 ** -(torch.arange(n, dtype=torch.float64) / n)
            cos, sin = angles.cos()[:, :, None], angles.sin()[:, :, None]
            a, b = half[..., :n], half[..., n:]
            parts += [a * cos - b * sin, b * cos + a * sin]
        return torch.cat(parts, -1)

    def forward(self, x, places, mask):
        n, length, d = x.shape
        x = self.input_layernorm(x)
        qkv = self.attention.query_key_value(x).view(n, length, self.heads, -1)
        q, k, v = qkv.chunk(3, -1)
        q, k = self.turned(q, places), self.turned(k, places)
        scores = torch.einsum("nqhi,nkhi->nhqk", q, k) / q.shape[-1] ** 0.5
        weights = scores.masked_fill(~mask[:, None], -10000.0).softmax(-1)
        out = self.attention.dense(torch.einsum("nhqk,nkhi->nqhi", weights, v).reshape(n, length, d))
        x = self.post_attention_layernorm(x * self.alpha + out)
        inner = self.mlp.dense_h_to_4h(x)
        inner = 0.5 * inner * (1 + torch.tanh(0.7978845608028654 * inner * (1 + 0.044715 * inner * inner)))
        return x * self.alpha + self.mlp.dense_4h_to_h(inner)


class GlmModel(torch.nn.Module):
    """ChatGLM-6B behind a context of `context` tokens, whose last is the one that it fills in."""

    def __init__(self, config):
        super().__init__()
        self.config = tr.PretrainedConfig(is_encoder_decoder=False)
        d = config["hidden_size"]
        self.transformer = torch.nn.Module()
        self.transformer.word_embeddings = torch.nn.Embedding(config["vocab_size"], d)
        self.transformer.layers = torch.nn.ModuleList(GlmBlock(config) for _ in range(config["num_layers"]))
        self.transformer.final_layernorm = torch.nn.LayerNorm(d, config["layernorm_epsilon"])
        self.lm_head = torch.nn.Linear(d, config["vocab_size"], bias=False)

    def forward(self, input_ids, context=0, **_):
        length = input_ids.shape[1]
        at = torch.arange(length)[None]
        mask = (at <= at[0][:, None]) | (at < context)
        places = (torch.where(at < context, at, max(context - 1, 0)), (at - context + 1).clamp(min=0))
        x = self.transformer.word_embeddings(input_ids)
        for layer in self.transformer.layers:
            x = layer(x, places, mask[None] if mask.ndim == 2 else mask)
        return types.SimpleNamespace(logits=self.lm_head(self.transformer.final_layernorm(x)))


def chatglm(name):
    """ChatGLM-6B, which transformers does not have."""
    config = {"model_type": "chatglm", "architectures": ["ChatGLMModel"], "hidden_size": 32, "num_layers": 2,
              "num_attention_heads": 4, "inner_hidden_size": 128, "vocab_size": VOCAB, "max_sequence_length": 64,
              "layernorm_epsilon": 1e-5, "position_encoding_2d": True, "torch_dtype": "float16"}
    tensors = {}
    for key, tensor in GlmModel(config).state_dict().items():
        value = made.value_of(name, key, tuple(tensor.shape))
        made.repeat_heads(key, value, 4, 2)
        tensors[key] = value.astype(np.float16)
    folder = os.path.join("families", name)
    os.makedirs(folder, exist_ok=True)
    safetensors.numpy.save_file(tensors, os.path.join(folder, "model.safetensors"), {"format": "pt"})
    os.chmod(os.path.join(folder, "model.safetensors"), 0o644)
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file, indent=2)


def load_chatglm(folder):
    with open(os.path.join(folder, "config.json")) as file:
        model = GlmModel(json.load(file)).double()
    tensors = safetensors.numpy.load_file(os.path.join(folder, "model.safetensors"))
    model.load_state_dict({key: torch.from_numpy(value).double() for key, value in tensors.items()})
    return model.eval()


def disguise(name):
    """The same model as remote code writes it."""
    folder = os.path.join("families", name)
    path = os.path.join(folder, "model.safetensors")
    tensors = dict(safetensors.numpy.load_file(path))
    with open(os.path.join(folder, "config.json")) as file:
        config = json.load(file)
    REMOTE[name](tensors, config)
    config["model_type"] = {"chatglm2": "chatglm", "chatglm2-long": "chatglm", "baichuan_alibi": "baichuan"}.get(name, name)
    config["architectures"] = ["ForCausalLM"]
    os.remove(path)
    safetensors.numpy.save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, path, {"format": "pt"})
    os.chmod(path, 0o644)
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file, indent=2, sort_keys=True)


def blocks_of(model):
    if isinstance(model, GlmModel):
        return model.transformer.layers
    if hasattr(model.config, "vision_config"):
        inner = model.model.text_model if hasattr(model.model, "text_model") else model.model.language_model
        return inner.layers
    base = model.base_model if model.base_model is not model else model.model  # Gemma 3's prefix is another
    if hasattr(base, "decoder"):
        base = base.decoder
    if base.config.model_type == "roberta":
        return base.encoder.layer
    return base.h if hasattr(base, "h") else base.layers


def reference_of_rows(name, model):
    """What the layers give a head that makes no logits of tokens."""
    with made.in_doubles(), torch.no_grad():
        ids, hidden = made.tokens(name, LENGTHS, VOCAB), []
        for block in blocks_of(model):
            block.register_forward_hook(
                lambda _, __, out: hidden.append(out[0] if isinstance(out, (tuple, list)) else out))
        rows = model.base_model(input_ids=ids, attention_mask=made.mask(LENGTHS), use_cache=False).last_hidden_state
        real = made.mask(LENGTHS)[..., None].bool()
        data = {"input_ids": ids, "lengths": torch.tensor(LENGTHS), "last_hidden_state": torch.where(real, rows, 0.0),
                "hidden": torch.where(real, torch.stack(hidden), 0.0)}
    assert rows.dtype == torch.float64 and all(torch.isfinite(value).all() for value in data.values())
    path = os.path.join("families", name, "reference.safetensors")
    safetensors.numpy.save_file({key: np.ascontiguousarray(value.numpy()) for key, value in data.items()}, path)
    os.chmod(path, 0o644)


def reference(name, folder=None, path=None):
    """What the model of a folder computes, of tokens that the name tells."""
    model = load(folder or os.path.join("families", name))
    if name.endswith("-answers"):
        return reference_of_rows(name, model)
    with made.in_doubles():
        ids = made.tokens(name, LENGTHS, VOCAB)
        logits, hidden = made.run(model, input_ids=ids, attention_mask=made.mask(LENGTHS))
        real = made.mask(LENGTHS)[..., None].bool()
        data = {"input_ids": ids, "lengths": torch.tensor(LENGTHS), "logits": torch.where(real, logits, 0.0),
                "hidden": torch.where(real, hidden, 0.0), "greedy": made.greedy(model, ids[0, :LENGTHS[0]], None)}
    assert torch.isfinite(data["logits"]).all() and torch.isfinite(data["hidden"]).all()
    path = path or os.path.join("families", name, "reference.safetensors")
    safetensors.numpy.save_file({key: np.ascontiguousarray(value.numpy()) for key, value in data.items()}, path)
    os.chmod(path, 0o644)


def main():
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    torch.set_num_threads(1)
    made.blocks_of = blocks_of
    is_later = tr.__version__ >= "5"
    for name in sys.argv[1:] or (LATER if is_later else MODELS):
        (LATER | MODELS)[name](name)
        with alibi_in_llama(6) if name == "baichuan_alibi" else contextlib.nullcontext():
            if name not in CONVERTED_ALONE:
                reference(name)
        if name in REMOTE:
            disguise(name)


if __name__ == "__main__":
    main()
