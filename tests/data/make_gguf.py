"""Write gguf/: models of runtime/, good/ and families/ as llama.cpp's converters have them, and one that is quantised.

    python make_gguf.py

Written with gguf 0.19.0, safetensors 0.8.0, numpy 2.4.6. Names, orders of rows and keys are those of llama.cpp's
convert_hf_to_gguf.py.
"""
import json
import os

import gguf
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

Q = gguf.GGMLQuantizationType


def load(folder):
    import torch
    with safe_open(os.path.join(folder, "model.safetensors"), "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    with open(os.path.join(folder, "config.json")) as file:
        config = json.load(file)
    return {k: (v.view(torch.uint16).numpy(), Q.BF16) if v.dtype == torch.bfloat16 else
            (v.numpy(), Q.F16 if v.dtype == torch.float16 else Q.F32) for k, v in tensors.items()}, config


def paired(w, heads):
    """Rows of each head: i and i + dim / 2 side by side."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def by_kind(w, heads):
    """[q, k, v] of each head to all q, all k, all v."""
    return np.concatenate(list(w.reshape(heads, 3, -1, *w.shape[1:]).swapaxes(0, 1))).reshape(w.shape)


LLAMA = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
         "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
         "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down"}
GPT2 = {"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm", "ln_1": "attn_norm",
        "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_2": "ffn_norm", "mlp.c_fc": "ffn_up",
        "mlp.c_proj": "ffn_down"}
NEOX = {"embed_in": "token_embd", "embed_out": "output", "final_layer_norm": "output_norm",
        "input_layernorm": "attn_norm", "attention.query_key_value": "attn_qkv", "attention.dense": "attn_output",
        "post_attention_layernorm": "ffn_norm", "mlp.dense_h_to_4h": "ffn_up", "mlp.dense_4h_to_h": "ffn_down"}


def name_of(key, names):
    body, leaf = key.rsplit(".", 1)
    for prefix in ("transformer.", "gpt_neox."):
        body = body.removeprefix(prefix)
    for start in ("model.layers.", "h.", "layers."):
        if body.startswith(start):
            layer, body = body[len(start):].split(".", 1)
            return f"blk.{layer}.{names[body]}.{leaf}"
    return f"{names[body]}.{leaf}"


def writer(name, arch, **several):
    os.makedirs("gguf", exist_ok=True)
    made = gguf.GGUFWriter(f"gguf/{name}.gguf", arch, **several)
    made.add_token_list(["a", "b", "c"])
    made.add_string("general.name", name)
    return made


def finish(made):
    made.write_header_to_file()
    made.write_kv_data_to_file()
    made.write_tensors_to_file()
    made.close()


def heads_of(key, config):
    kv = config.get("num_key_value_heads", config["num_attention_heads"])
    return {"q_proj": config["num_attention_heads"], "k_proj": kv}.get(key.split(".")[-2])


def llama(name, folder, arch="llama", **several):
    tensors, c = load(folder)
    made = writer(name, arch, **several)
    made.add_context_length(c["max_position_embeddings"])
    made.add_embedding_length(c["hidden_size"])
    made.add_block_count(c["num_hidden_layers"])
    made.add_feed_forward_length(c["intermediate_size"])
    made.add_head_count(c["num_attention_heads"])
    made.add_head_count_kv(c["num_key_value_heads"])
    made.add_layer_norm_rms_eps(c["rms_norm_eps"])
    made.add_rope_freq_base((c.get("rope_parameters") or c).get("rope_theta", 10000.0))
    if c.get("head_dim"):
        made.add_key_length(c["head_dim"])
        made.add_value_length(c["head_dim"])
    for key, (w, dtype) in tensors.items():
        heads = heads_of(key, c) if arch in ("llama", "internlm2") else None
        w = paired(w, heads) if heads else w
        made.add_tensor(name_of(key, LLAMA), w.view(np.uint8) if dtype == Q.BF16 else w, raw_dtype=dtype)
    finish(made)


def quantised():
    """A Llama of one layer, 2 heads of 16: rows of one block."""
    rng = np.random.default_rng(1)
    made = writer("quantised", "llama")
    made.add_context_length(16)
    made.add_embedding_length(32)
    made.add_block_count(1)
    made.add_feed_forward_length(32)
    made.add_head_count(2)
    made.add_layer_norm_rms_eps(1e-5)
    types = [Q.Q8_0, Q.Q4_0, Q.Q4_1]
    for i, (ours, theirs) in enumerate(LLAMA.items()):
        key = ours if ours.startswith(("model", "lm_head")) else "model.layers.0." + ours
        theirs = theirs if key == ours else "blk.0." + theirs
        if "norm" in theirs:
            made.add_tensor(theirs + ".weight", np.ones(32, np.float32))
            continue
        w = rng.standard_normal((8 if "." not in theirs else 32, 32), dtype=np.float32)
        made.add_tensor(theirs + ".weight", gguf.quants.quantize(w, types[i % 3]), raw_dtype=types[i % 3])
    finish(made)


def blocks():
    """Of each type a block of any bits, scales of 2 ** -7 to 2 ** -6, and what gguf says it stands for, in float32."""
    rng = np.random.default_rng(2)
    out = b""
    for kind in (Q.Q5_0, Q.Q5_1, Q.Q2_K, Q.Q3_K, Q.Q4_K, Q.Q5_K, Q.Q6_K):
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        block = rng.integers(0, 256, size, dtype=np.uint8)
        at = {Q.Q5_1: (0, 2), Q.Q2_K: (80, 82), Q.Q3_K: (108,), Q.Q4_K: (0, 2), Q.Q5_K: (0, 2), Q.Q6_K: (208,)}
        for i in at.get(kind, (0,)):
            block[i + 1] = 0x20 | block[i + 1] & 0x83
        out += bytes(block) + gguf.quants.dequantize(block[None], kind).astype("<f4").tobytes()
    with open("gguf/blocks.bin", "wb") as file:
        file.write(out)


def gpt2(name, folder):
    tensors, c = load(folder)
    made = writer(name, "gpt2")
    made.add_context_length(c["n_positions"])
    made.add_embedding_length(c["n_embd"])
    made.add_block_count(c["n_layer"])
    made.add_feed_forward_length(c["n_inner"] or 4 * c["n_embd"])
    made.add_head_count(c["n_head"])
    made.add_layer_norm_eps(c["layer_norm_epsilon"])
    for key, (w, dtype) in tensors.items():
        turned = key.split(".")[-2] in ("c_attn", "c_proj", "c_fc") and w.ndim == 2
        made.add_tensor(name_of(key, GPT2), np.ascontiguousarray(w.T) if turned else w, raw_dtype=dtype)
    finish(made)


def gpt_neox(name, folder):
    tensors, c = load(folder)
    rope = c.get("rope_parameters") or {}
    made = writer(name, "gptneox")
    made.add_context_length(c["max_position_embeddings"])
    made.add_embedding_length(c["hidden_size"])
    made.add_block_count(c["num_hidden_layers"])
    made.add_feed_forward_length(c["intermediate_size"])
    made.add_head_count(c["num_attention_heads"])
    made.add_layer_norm_eps(c["layer_norm_eps"])
    share = rope.get("partial_rotary_factor", c.get("rotary_pct", 0.25))
    made.add_rope_dimension_count(int(share * c["hidden_size"] // c["num_attention_heads"]))
    made.add_rope_freq_base(float(rope.get("rope_theta", c.get("rotary_emb_base", 10000))))
    made.add_parallel_residual(c.get("use_parallel_residual", True))
    for key, (w, dtype) in tensors.items():
        if key.split(".")[-2] == "query_key_value":
            w = by_kind(w, c["num_attention_heads"])
        made.add_tensor(name_of(key, NEOX), w.view(np.uint8) if dtype == Q.BF16 else w, raw_dtype=dtype)
    finish(made)


def t5(name, folder):
    tensors, c = load(folder)
    made = writer(name, "t5")
    made.add_context_length(c.get("n_positions", 512))
    made.add_embedding_length(c["d_model"])
    made.add_feed_forward_length(c["d_ff"])
    made.add_block_count(c["num_layers"])
    made.add_decoder_block_count(c["num_decoder_layers"])
    made.add_head_count(c["num_heads"])
    made.add_key_length(c["d_kv"])
    made.add_value_length(c["d_kv"])
    made.add_layer_norm_eps(c["layer_norm_epsilon"])
    made.add_relative_attn_buckets_count(c["relative_attention_num_buckets"])
    made.add_layer_norm_rms_eps(c["layer_norm_epsilon"])
    made.add_decoder_start_token_id(c["decoder_start_token_id"])
    for key, (w, dtype) in tensors.items():
        made.add_tensor(key_of("T5", key, c["num_layers"]), w.view(np.uint8) if dtype == Q.BF16 else w, raw_dtype=dtype)
    finish(made)


def key_of(arch, name, n_layers):
    """A tensor's name by gguf's own table, whose names of Bloom have no prefix."""
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[arch], n_layers)
    if name.endswith("e_score_correction_bias"):  # of EXAONE, where others have it
        name = name.replace("mlp.e_score", "mlp.gate.e_score").replace("_bias", ".bias")
    name = name.removeprefix("transformer.") if arch in ("BLOOM", "CHATGLM") else name
    found = names.get_name(name, try_suffixes=(".weight", ".bias"))
    assert found, name
    return found


def stacked(tensors):
    """Experts as one tensor."""
    made = {}
    for key, (w, dtype) in tensors.items():
        body, experts, rest = key.partition(".experts.")
        if not experts:
            made[key] = w, dtype
        elif rest.startswith("0."):
            all_of_them = [k for k in tensors if k.startswith(body + experts) and k.endswith(rest[1:])]
            one_by_one = [tensors[f"{body}.experts.{i}{rest[1:]}"][0] for i in range(len(all_of_them))]
            made[f"{body}.experts{rest[1:]}"] = np.stack(one_by_one), dtype
    return made


def halved(tensors):
    """Gate and up of GraniteMoE's experts, which lie in one tensor, as two, by the names that other models have."""
    made = {}
    for key, (w, dtype) in tensors.items():
        if key.endswith("input_linear.weight"):
            apart = key.replace("block_sparse_moe.input_linear", "mlp.experts.%s_proj").replace(
                "shared_mlp.input_linear", "mlp.shared_mlp.%s_proj")
            made[apart % "gate"], made[apart % "up"] = ((half, dtype) for half in np.split(w, 2, axis=-2))
        else:
            made[key] = w, dtype
    return made


def mixtral_keys(made, c):
    common_keys(made, c)
    made.add_expert_count(c["num_local_experts"])
    made.add_expert_used_count(c["num_experts_per_tok"])
    made.add_rope_dimension_count(c["hidden_size"] // c["num_attention_heads"])


def more_layer(tensors, n_layers):
    """A layer that predicts the token after the next, like the last one, and what else it has."""
    made = dict(tensors)
    last, more = f"model.layers.{n_layers - 1}.", f"model.layers.{n_layers}."
    for key, value in tensors.items():
        if key.startswith(last):
            made[more + key[len(last):]] = value
    w, dtype = tensors[last + "input_layernorm.weight"]
    for name in ("enorm", "hnorm", "shared_head.norm"):
        made[f"{more}{name}.weight"] = w, dtype
    made[more + "eh_proj.weight"] = np.concatenate([np.diag(w), np.diag(w)], axis=1), dtype
    return made


def family(name, arch, change=lambda key, w, c: w, keys=lambda made, c: None, n_more=0):
    """A model of families/: rows are float32, as the converter has them, and matrices what they were.

    The width of the feed-forward is the model's; for phi2 and falcon the converter takes 4 times the stream's, which
    theirs are.
    """
    tensors, c = load(f"families/{name}")
    n_layers = next(c[k] for k in ("num_hidden_layers", "n_layer", "n_layers", "num_layers") if k in c)
    heads = next(c[k] for k in ("num_attention_heads", "n_head", "n_heads") if k in c)
    width = next(c[k] for k in ("hidden_size", "n_embd", "d_model") if k in c)
    inner = next((c[k] for k in ("intermediate_size", "ffn_hidden_size", "n_inner") if k in c), 4 * width)
    positions = next((c[k] for k in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length") if k in c), 2048)
    made = writer(name, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH[arch]])
    made.add_context_length(positions)
    made.add_embedding_length(width)
    made.add_block_count(n_layers + n_more)
    if n_more:
        made.add_nextn_predict_layers(n_more)
        tensors = more_layer(tensors, n_layers)
    made.add_feed_forward_length(inner)
    made.add_head_count(heads)
    made.add_bos_token_id(c["bos_token_id"])
    made.add_eos_token_id(c["eos_token_id"])
    if c.get("pad_token_id") is not None:
        made.add_pad_token_id(c["pad_token_id"])
    keys(made, c)
    if arch == "APERTUS":
        tensors = apertus_extra(made, tensors, c)
    for key, (w, dtype) in halved(stacked(tensors)).items():
        if key.endswith("shared_expert_gate.weight"):  # as the converter was until 2025
            w = w.squeeze()
        w = change(key, w.astype(np.float32) if w.ndim == 1 else w, c)
        made.add_tensor(key_of(arch, key, n_layers + n_more), w, raw_dtype=Q.F32 if w.ndim == 1 else dtype)
    finish(made)


def common_keys(made, c):
    made.add_head_count_kv(c.get("num_key_value_heads", c["num_attention_heads"]))
    if c.get("head_dim"):
        made.add_key_length(c["head_dim"])
        made.add_value_length(c["head_dim"])
    if c.get("rope_theta"):
        made.add_rope_freq_base(c["rope_theta"])
    if "rms_norm_eps" in c:
        made.add_layer_norm_rms_eps(c["rms_norm_eps"])
    eps = c.get("layer_norm_eps", c.get("norm_epsilon"))
    if eps:
        made.add_layer_norm_eps(eps)


def apertus_extra(made, tensors, c):
    """Constants of each layer's activation are keys; RoPE's divisors a tensor."""
    for what in ("alpha_n", "alpha_p", "beta", "eps"):
        getattr(made, f"add_xielu_{what}")([
            float(tensors[f"model.layers.{i}.mlp.act_fn.{what}"][0].item()) for i in range(c["num_hidden_layers"])])
    rope, dim = c["rope_scaling"], c["hidden_size"] // c["num_attention_heads"]
    low, high = (rope["original_max_position_embeddings"] / rope[f"{k}_freq_factor"] for k in ("low", "high"))
    factors = []
    for i in range(0, dim, 2):
        length = 2 * np.pi * c["rope_theta"] ** (i / dim)
        share = (rope["original_max_position_embeddings"] / length - rope["low_freq_factor"]) / (
            rope["high_freq_factor"] - rope["low_freq_factor"])
        factors.append(1 if length < high else rope["factor"] if length > low else
                       1 / ((1 - share) / rope["factor"] + share))
    made.add_tensor(gguf.TENSOR_NAMES[gguf.MODEL_TENSOR.ROPE_FREQS] + ".weight", np.array(factors, np.float32))
    return {key: value for key, value in tensors.items() if "act_fn" not in key}


def phi3_keys(made, c):
    common_keys(made, c)
    made.add_rope_scaling_orig_ctx_len(c["original_max_position_embeddings"])
    made.add_rope_dimension_count(int(c["partial_rotary_factor"] * c["hidden_size"]) // c["num_attention_heads"])
    made.add_sliding_window(c["sliding_window"] or 0)


def phi2_keys(made, c):
    made.add_head_count_kv(c["num_attention_heads"])
    made.add_layer_norm_eps(c["layer_norm_eps"])
    made.add_rope_dimension_count(int(c["partial_rotary_factor"] * c["hidden_size"]) // c["num_attention_heads"])
    made.add_add_bos_token(False)


def gemma_keys(made, c):
    made.add_head_count_kv(c["num_key_value_heads"])
    made.add_layer_norm_rms_eps(c["rms_norm_eps"])
    made.add_key_length(c["head_dim"])
    made.add_value_length(c["head_dim"])


def gemma2_keys(made, c):
    gemma_keys(made, c)
    made.add_attn_logit_softcapping(c["attn_logit_softcapping"])
    made.add_final_logit_softcapping(c["final_logit_softcapping"])
    made.add_sliding_window(c["sliding_window"])


def layer_norm_keys(made, c):
    common_keys(made, c)
    made.add_rope_dimension_count(int(c["partial_rotary_factor"] * (c["hidden_size"] // c["num_attention_heads"])))
    made.add_parallel_residual(c["use_parallel_residual"])


def bloom_keys(made, c):
    made.add_head_count_kv(c["n_head"])
    made.add_layer_norm_eps(c["layer_norm_epsilon"])


def falcon_kv(c):
    return c["num_kv_heads"] if c["new_decoder_architecture"] else 1


def falcon_keys(made, c):
    made.add_tensor_data_layout("jploski")
    made.add_head_count_kv(falcon_kv(c))
    made.add_layer_norm_eps(c["layer_norm_epsilon"])


def olmo_keys(made, c):
    common_keys(made, c)
    made.add_layer_norm_eps(1e-5)


def command_r_keys(made, c):
    common_keys(made, c)
    made.add_logit_scale(c["logit_scale"])
    made.add_rope_scaling_type(gguf.RopeScalingType.NONE)


def experts_keys(made, c):
    common_keys(made, c)
    made.add_expert_count(c.get("num_experts", c.get("n_routed_experts")))
    made.add_expert_used_count(c["num_experts_per_tok"])
    if "moe_intermediate_size" in c:
        made.add_expert_feed_forward_length(c["moe_intermediate_size"])
    if c.get("shared_expert_intermediate_size"):
        made.add_expert_shared_feed_forward_length(c["shared_expert_intermediate_size"])


def deepseek_keys(made, c):
    experts_keys(made, c)
    made.add_rope_dimension_count(c["hidden_size"] // c["num_attention_heads"])
    made.add_rope_scaling_type(gguf.RopeScalingType.NONE)
    made.add_leading_dense_block_count(c["first_k_dense_replace"])
    made.add_expert_weights_scale(1.0)
    made.add_expert_shared_count(c["n_shared_experts"])


def chosen_keys(made, c):
    """Of experts by sigmoids, in groups."""
    experts_keys(made, c)
    made.add_expert_group_count(c["n_group"])
    made.add_expert_group_used_count(c["topk_group"])
    made.add_expert_weights_norm(c["norm_topk_prob"])
    made.add_expert_weights_scale(c["routed_scaling_factor"])
    made.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    made.add_expert_shared_count(c.get("n_shared_experts", c.get("num_shared_experts")))
    if "first_k_dense_replace" in c:
        made.add_leading_dense_block_count(c["first_k_dense_replace"])
    if "partial_rotary_factor" in c:
        made.add_rope_dimension_count(int(c["partial_rotary_factor"] * c["head_dim"]))
    if "rope_parameters" in c:
        made.add_rope_freq_base(c["rope_parameters"]["rope_theta"])


def exaone4_keys(made, c):
    common_keys(made, c)
    if c["sliding_window"] is not None:
        windows_keys(made, c)


def olmo3_keys(made, c):
    common_keys(made, c)
    windows_keys(made, c)
    made.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
    made.add_rope_scaling_factor(c["rope_scaling"]["factor"])


def exaone_moe_keys(made, c):
    chosen_keys(made, c)
    windows_keys(made, c)
    made.add_expert_shared_feed_forward_length(c["moe_intermediate_size"] * c["num_shared_experts"])
    made.add_rope_scaling_type(gguf.RopeScalingType.NONE)


def ernie_moe_keys(made, c):
    common_keys(made, c)
    made.add_expert_count(c["moe_num_experts"])
    made.add_expert_used_count(c["moe_k"])
    made.add_interleave_moe_layer_step(c["moe_layer_interval"])
    made.add_leading_dense_block_count(c["moe_layer_start_index"])
    made.add_expert_feed_forward_length(c["moe_intermediate_size"])
    made.add_expert_shared_count(c["moe_num_shared_experts"])
    made.add_expert_shared_feed_forward_length(c["moe_intermediate_size"] * c["moe_num_shared_experts"])


def hunyuan_moe_keys(made, c):
    common_keys(made, c)
    made.add_expert_count(c["num_experts"])
    made.add_expert_used_count(c["moe_topk"][0])
    made.add_sep_token_id(c["sep_token_id"])
    made.add_expert_shared_count(1)
    made.add_expert_feed_forward_length(c["intermediate_size"])
    made.add_expert_shared_feed_forward_length(c["intermediate_size"])


def minimax_keys(made, c):
    common_keys(made, c)
    made.add_rope_freq_base(c["rope_parameters"]["rope_theta"])
    made.add_rope_dimension_count(c["rotary_dim"])
    made.add_expert_count(c["num_local_experts"])
    made.add_expert_used_count(c["num_experts_per_tok"])
    made.add_expert_feed_forward_length(c["intermediate_size"])
    made.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)


def jais2_keys(made, c):
    common_keys(made, c)
    made.add_rope_freq_base(c["rope_parameters"]["rope_theta"])
    made.add_rope_dimension_count(c["head_dim"])


def gemma3_keys(made, c):
    gemma_keys(made, c)
    made.add_rope_freq_base(c["rope_theta"])
    made.add_rope_freq_base_swa(c["rope_local_base_freq"])
    made.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
    made.add_rope_scaling_factor(c["rope_scaling"]["factor"])
    windows_keys(made, c)


def windows_keys(made, c):
    made.add_sliding_window(c["sliding_window"])
    made.add_sliding_window_pattern([kind == "sliding_attention" for kind in c["layer_types"]])


def cohere2_keys(made, c):
    command_r_keys(made, c)
    windows_keys(made, c)


def mpt_keys(made, c):
    made.add_layer_norm_eps(1e-5)
    if c["attn_config"]["clip_qkv"] is not None:
        made.add_clamp_kqv(c["attn_config"]["clip_qkv"])
    made.add_max_alibi_bias(c["attn_config"]["alibi_bias_max"])


def granite_keys(made, c):
    common_keys(made, c)
    made.add_attention_scale(c["attention_multiplier"])
    made.add_embedding_scale(c["embedding_multiplier"])
    made.add_residual_scale(c["residual_multiplier"])
    made.add_logit_scale(c["logits_scaling"])


def granite_moe_keys(made, c):
    granite_keys(made, c)
    made.add_expert_count(c["num_local_experts"])
    made.add_expert_used_count(c["num_experts_per_tok"])


def granite_moe_shared_keys(made, c):
    granite_moe_keys(made, c)
    made.add_expert_shared_feed_forward_length(c["shared_intermediate_size"])


def minicpm_keys(made, c):
    common_keys(made, c)
    made.add_embedding_scale(c["scale_emb"])
    made.add_residual_scale(c["scale_depth"] / c["num_hidden_layers"] ** 0.5)
    made.add_logit_scale(c["hidden_size"] / c["dim_model_base"])


def partial_keys(made, c):
    common_keys(made, c)
    made.add_layer_norm_eps(c.get("norm_eps", 1e-5))
    made.add_rope_dimension_count(int(c["partial_rotary_factor"] * c["head_dim"]))


def chatglm_keys(made, c):
    made.add_head_count_kv(c.get("multi_query_group_num", c.get("num_key_value_heads")))
    made.add_layer_norm_rms_eps(c.get("layernorm_epsilon", c.get("rms_norm_eps")))
    made.add_rope_dimension_count(c["hidden_size"] // c["num_attention_heads"] // 2)
    made.add_rope_freq_base(10000)


def orion_keys(made, c):
    common_keys(made, c)
    made.add_layer_norm_eps(c["rms_norm_eps"])


def starcoder_keys(made, c):
    made.add_head_count_kv(1)
    made.add_layer_norm_eps(c["layer_norm_epsilon"])


def bloom_rows(key, w, c):
    return by_kind(w, c["n_head"]) if "query_key_value" in key else w


def falcon_rows(key, w, c):
    """Groups of [q..., k, v] to all q, all k, all v."""
    if "query_key_value" not in key:
        return w
    kv, heads = falcon_kv(c), c["num_attention_heads"]
    groups = w.reshape(kv, heads // kv + 2, -1, *w.shape[1:])
    parts = groups[:, :-2], groups[:, [-2]], groups[:, [-1]]
    return np.concatenate([p.reshape(-1, *w.shape[1:]) for p in parts])


def olmo_rows(key, w, c):
    heads = heads_of(key, c)
    return paired(w, heads) if heads and key.endswith(".weight") else w


def llama_rows(key, w, c):
    heads = heads_of(key, c)
    return paired(w, heads) if heads else w


def one_more(key, w, c):
    return w + 1 if key.endswith("norm.weight") else w


llama("llama-grouped", "runtime/llama-grouped")
llama("llama-parts", "runtime/llama-grouped", split_max_tensors=9)
llama("llama-first", "runtime/llama-grouped", split_max_tensors=12, small_first_shard=True)
llama("internlm2", "runtime/llama-grouped", "internlm2")
llama("exaone", "runtime/llama-grouped", "exaone")
llama("qwen2", "good/qwen2", "qwen2")
gpt2("gpt2", "good/gpt2")
gpt_neox("gpt_neox", "good/gpt_neox")
quantised()
blocks()
family("phi3", "PHI3", keys=phi3_keys)
family("qwen3", "QWEN3", keys=common_keys)
family("phi", "PHI2", keys=phi2_keys)
family("gemma", "GEMMA", one_more, gemma_keys)
family("gemma2", "GEMMA2", one_more, gemma2_keys)
family("stablelm", "STABLELM", keys=layer_norm_keys)
family("stablelm-parallel", "STABLELM", keys=layer_norm_keys)
family("bloom", "BLOOM", bloom_rows, bloom_keys)
family("falcon-7b", "FALCON", falcon_rows, falcon_keys)
family("falcon-40b", "FALCON", falcon_rows, falcon_keys)
family("olmo", "OLMO", olmo_rows, olmo_keys)
family("olmo2", "OLMO2", keys=common_keys)
family("cohere", "COMMAND_R", keys=command_r_keys)
family("starcoder2", "STARCODER2", keys=common_keys)
family("mixtral", "LLAMA", olmo_rows, mixtral_keys)
family("qwen2_moe-all", "QWEN2MOE", keys=experts_keys)
family("qwen3_moe-all", "QWEN3MOE", keys=experts_keys)
family("olmoe", "OLMOE", keys=experts_keys)
family("deepseek", "DEEPSEEK", llama_rows, deepseek_keys)
family("gemma3", "GEMMA3", one_more, gemma3_keys)
family("cohere2", "COHERE2", keys=cohere2_keys)
family("mpt", "MPT", keys=mpt_keys)
family("mpt-clip", "MPT", keys=mpt_keys)
family("granite", "GRANITE", llama_rows, granite_keys)
family("granitemoe", "GRANITE_MOE", llama_rows, granite_moe_keys)
family("smollm3", "SMOLLM3", llama_rows, common_keys)
family("nemotron", "NEMOTRON", one_more, partial_keys)
family("glm4", "GLM4", keys=partial_keys)
family("ernie4_5", "ERNIE4_5", keys=common_keys)
family("apertus", "APERTUS", keys=common_keys)
family("arcee", "ARCEE", llama_rows, common_keys)
family("seed_oss", "SEED_OSS", keys=common_keys)
family("xverse", "XVERSE", olmo_rows, common_keys)
family("orion", "ORION", keys=orion_keys)
family("minicpm", "MINICPM", olmo_rows, minicpm_keys)
family("gpt_bigcode-mqa", "STARCODER", keys=starcoder_keys)
t5("t5-v1_0", "runtime/t5-v1_0")
t5("t5-v1_1", "runtime/t5-v1_1")
t5("umt5", "runtime/umt5")
family("chatglm2", "CHATGLM", keys=chatglm_keys)
family("glm", "CHATGLM", keys=chatglm_keys)
family("exaone4", "EXAONE4", keys=exaone4_keys)
family("exaone4-full", "EXAONE4", keys=exaone4_keys)
family("exaone_moe", "EXAONE_MOE", keys=exaone_moe_keys, n_more=1)
family("glm4_moe", "GLM4_MOE", keys=chosen_keys, n_more=1)
family("solar_open", "GLM4_MOE", keys=chosen_keys)
family("dots1", "DOTS1", keys=chosen_keys)
family("ernie4_5_moe", "ERNIE4_5_MOE", keys=ernie_moe_keys)
family("hunyuan", "HUNYUAN_DENSE", keys=common_keys)
family("hunyuan-moe", "HUNYUAN_MOE", keys=hunyuan_moe_keys)
family("minimax_m2", "MINIMAXM2", keys=minimax_keys)
family("granitemoeshared", "GRANITE_MOE", llama_rows, granite_moe_shared_keys)
family("olmo3", "OLMO2", keys=olmo3_keys)
family("jais2", "JAIS2", keys=jais2_keys)
