"""More models of KerasHub as its users save them, of families that came after the first, and what Keras computes.

    python make_kerashub_decoders.py [NAME...]      (writes below kerashub/)

Written with keras-hub 0.32.0, keras 3.15.1, tensorflow-cpu 2.21.0, h5py 3.14.0.
"""
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import keras_hub
import numpy as np

from drawn_frames import drawn
from make_kerashub_tasks import VOCAB, Drawn, preset, rope, task_weights, unpacked, whole, write

M = keras_hub.models


def gemma(**options):
    """Its blocks take no epsilon but 1e-6."""
    return rope(M.GemmaCausalLM, M.GemmaBackbone, **{
        "head_dim": 6, "intermediate_dim": 20, "layer_norm_epsilon": 1e-6, **options})


def gemma3(**options):
    def task(backbone, preprocessor):
        return M.Gemma3CausalLM(backbone=backbone, preprocessor=preprocessor)

    return rope(task, M.Gemma3Backbone, **{
        "image_size": 16, "head_dim": 6, "layer_norm_epsilon": 1e-6, "use_post_ffw_norm": True,
        "use_post_attention_norm": True, **options})


def smollm3(**options):
    def backbone(num_query_heads, **options):
        return M.SmolLM3Backbone(num_attention_heads=num_query_heads, **options)

    return rope(M.SmolLM3CausalLM, backbone, **{
        "attention_bias": False, "attention_dropout": 0.0, "mlp_bias": True, "max_position_embeddings": 32,
        "rope_theta": 1000.0, "partial_rotary_factor": 1.0, "layer_types": ["full_attention"] * 2, **options})


class Decoder(Drawn):
    """T5Gemma's decoder, and its logits: what it looks back at are rows that are drawn, one a token."""

    def __init__(self, **options):
        types = ["full_attention"] * 2
        self.backbone = M.T5GemmaBackbone(**{
            "vocabulary_size": VOCAB, "encoder_hidden_dim": 12, "encoder_intermediate_dim": 10,
            "encoder_num_layers": 1, "encoder_num_attention_heads": 4, "encoder_num_key_value_heads": 4,
            "encoder_head_dim": 6, "encoder_layer_types": types[:1], "decoder_hidden_dim": 16,
            "decoder_intermediate_dim": 10, "decoder_num_layers": 2, "decoder_num_attention_heads": 4,
            "decoder_num_key_value_heads": 4, "decoder_head_dim": 6, "decoder_layer_types": types, **options})
        self.task = M.T5GemmaSeq2SeqLM(backbone=self.backbone, preprocessor=None)
        self.save, self.save_weights = self.task.save, self.task.save_weights

    def __call__(self, inputs):
        b, ids = self.backbone, inputs["decoder_token_ids"]
        rows = np.stack([[drawn(t, b.encoder_hidden_dim) for t in line] for line in inputs["encoder_token_ids"]])
        x = b.decoder_token_embedding(ids) * np.float32(b.decoder_hidden_dim ** 0.5)
        for layer in b.decoder_layers:
            x, _ = layer((x, keras.ops.convert_to_tensor(rows.astype("float32"))),
                         self_attention_padding_mask=np.ones_like(ids),
                         cross_attention_padding_mask=np.ones(rows.shape[:2], ids.dtype))
        logits = b.decoder_token_embedding(b.decoder_norm(x), reverse=True)
        cap = b.final_logit_softcapping
        return logits if cap is None else keras.ops.tanh(logits / cap) * cap


GEMMA2 = {"use_post_ffw_norm": True, "use_post_attention_norm": True, "attention_logit_soft_cap": 2.0,
          "final_logit_soft_cap": 3.0}

MODELS = {
    "gemma": lambda: (unpacked, gemma()),
    "gemma2": lambda: (preset, gemma(
        use_sliding_window_attention=True, sliding_window_size=5, num_key_value_heads=2, **GEMMA2)),
    "gemma2-full": lambda: (whole, gemma(**GEMMA2)),
    "gemma3": lambda: (unpacked, gemma3(
        use_sliding_window_attention=True, sliding_window_size=5, num_key_value_heads=2, final_logit_soft_cap=3.0)),
    "gemma3-full": lambda: (preset, gemma3(global_rope_scaling_factor=8.0)),
    "mixtral": lambda: (task_weights, rope(
        M.MixtralCausalLM, M.MixtralBackbone, num_key_value_heads=2, num_experts=3, top_k=2, sliding_window=5,
        rope_max_wavelength=1000)),
    # Its norms of queries and keys take 1e-5.
    "qwen3": lambda: (unpacked, rope(
        M.Qwen3CausalLM, M.Qwen3Backbone, num_key_value_heads=2, head_dim=6, layer_norm_epsilon=1e-5)),
    "qwen3-untied": lambda: (whole, rope(
        M.Qwen3CausalLM, M.Qwen3Backbone, head_dim=4, layer_norm_epsilon=1e-5, tie_word_embeddings=False,
        sliding_window_size=None)),
    "qwen_moe": lambda: (preset, rope(
        M.QwenMoeCausalLM, M.QwenMoeBackbone, num_key_value_heads=2, moe_intermediate_dim=6,
        shared_expert_intermediate_dim=7, num_experts=3, top_k=2)),
    # Its norms of queries and keys take 1e-6.
    "qwen3_moe": lambda: (unpacked, rope(
        M.Qwen3MoeCausalLM, M.Qwen3MoeBackbone, moe_intermediate_dim=6, num_experts=3, top_k=2,
        norm_top_k_prob=True, mlp_only_layers=[0], layer_norm_epsilon=1e-6, tie_word_embeddings=True)),
    "smollm3": lambda: (preset, smollm3(num_key_value_heads=2, rope_layer_enabled_list=[False, True])),
    "smollm3-mha": lambda: (task_weights, smollm3(mlp_bias=False, rope_layer_enabled_list=[])),
    "gemma-mqa": lambda: (preset, gemma(num_layers=1, num_key_value_heads=1)),
    "mixtral-mha": lambda: (unpacked, rope(
        M.MixtralCausalLM, M.MixtralBackbone, num_layers=1, num_experts=3, top_k=1, sliding_window=None,
        rope_scaling_factor=2.0)),
    "qwen_moe-mha": lambda: (unpacked, rope(
        M.QwenMoeCausalLM, M.QwenMoeBackbone, num_layers=1, moe_intermediate_dim=6, shared_expert_intermediate_dim=7,
        num_experts=3, top_k=2, norm_top_k_prob=True, tie_word_embeddings=True)),
    # A window that no text here exceeds: beyond it KerasHub computes another thing.
    "t5gemma": lambda: (preset, Decoder(
        decoder_num_key_value_heads=2, decoder_layer_types=["sliding_attention", "full_attention"],
        encoder_layer_types=["sliding_attention"], sliding_window=64, query_pre_attn_scalar=24.0,
        attn_logit_softcapping=2.0, final_logit_softcapping=3.0)),
    "t5gemma-mha": lambda: (unpacked, Decoder(
        decoder_num_layers=1, decoder_layer_types=["full_attention"], query_pre_attn_scalar=6, attention_bias=True,
        tie_word_embeddings=False, hidden_activation="silu", rms_norm_eps=1e-3, rope_max_wavelength=1000)),
    "t5gemma-whole": lambda: (whole, Decoder(decoder_num_layers=1, decoder_layer_types=["full_attention"])),
    "mixtral-whole": lambda: (whole, rope(
        M.MixtralCausalLM, M.MixtralBackbone, num_experts=2, top_k=1, sliding_window=None)),
    "qwen_moe-whole": lambda: (whole, rope(
        M.QwenMoeCausalLM, M.QwenMoeBackbone, moe_intermediate_dim=6, shared_expert_intermediate_dim=7,
        num_experts=2, top_k=1)),
    "qwen3_moe-whole": lambda: (whole, rope(
        M.Qwen3MoeCausalLM, M.Qwen3MoeBackbone, moe_intermediate_dim=6, num_experts=2, top_k=1,
        mlp_only_layers=[0], layer_norm_epsilon=1e-6)),
    # No caps, which transformers has where nothing is said.
    "gemma2-plain": lambda: (preset, gemma(
        num_layers=1, use_post_ffw_norm=True, use_post_attention_norm=True)),
    "qwen3_moe-grouped": lambda: (preset, rope(
        M.Qwen3MoeCausalLM, M.Qwen3MoeBackbone, num_layers=1, num_key_value_heads=2, head_dim=6,
        moe_intermediate_dim=6, num_experts=3, top_k=2, layer_norm_epsilon=1e-6)),
}


def main():
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    write({name: MODELS[name]() for name in sys.argv[1:] or MODELS})


if __name__ == "__main__":
    main()
