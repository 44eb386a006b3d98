"""Configurations and what transformers makes of them when it saves them again.

Run by a Python with transformers 4.57.1 and by one with 5.24.0, in turn:

    python4 make_configs.py        # the originals, and what 4 makes of them
    python5 make_configs.py        # what 5 makes of all there is
    python4 make_configs.py        # what 4 makes of that

Each file in configs/ is an object: "original", "4", "5", "45" (by 4, then by
5) and "54". Keys of generation that 5 moves into generation_config.json are
left out: the configuration alone is saved.
"""

import json
import os
import tempfile

import transformers

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "configs")
MAJOR = transformers.__version__[0]

LLAMA = dict(architectures=["LlamaForCausalLM"], model_type="llama",
             hidden_size=32, num_attention_heads=4, intermediate_size=48,
             num_hidden_layers=2, vocab_size=97, torch_dtype="bfloat16")
T5 = dict(architectures=["T5ForConditionalGeneration"], d_ff=51, d_kv=8,
          d_model=32, decoder_start_token_id=0, dropout_rate=0.1,
          eos_token_id=1, initializer_factor=1.0, is_encoder_decoder=True,
          layer_norm_epsilon=1e-06, model_type="t5", n_positions=512,
          num_heads=4, num_layers=2, output_past=True, pad_token_id=0,
          relative_attention_num_buckets=32,
          task_specific_params={"summarization": {
              "num_beams": 4, "prefix": "summarize: "}}, vocab_size=107)
MT5 = dict(architectures=["MT5ForConditionalGeneration"], d_ff=51, d_kv=8,
           d_model=32, decoder_start_token_id=0, dropout_rate=0.1,
           eos_token_id=1, feed_forward_proj="gated-gelu",
           initializer_factor=1.0, is_encoder_decoder=True,
           layer_norm_epsilon=1e-06, model_type="mt5", num_decoder_layers=2,
           num_heads=4, num_layers=2, pad_token_id=0,
           relative_attention_num_buckets=32, tie_word_embeddings=False,
           tokenizer_class="T5Tokenizer", use_cache=True, vocab_size=107)
MISTRAL = dict(LLAMA, architectures=["MistralForCausalLM"],
               model_type="mistral", num_key_value_heads=2,
               sliding_window=4096, rope_theta=10000.0)
QWEN2 = dict(LLAMA, architectures=["Qwen2ForCausalLM"], model_type="qwen2",
             num_key_value_heads=4, sliding_window=4096,
             use_sliding_window=False, max_window_layers=28, rope_theta=1e6,
             bos_token_id=1, eos_token_id=2, tie_word_embeddings=True)

ORIGINALS = {
    "llama": LLAMA,
    "llama-llama3": dict(
        LLAMA, rope_theta=500000.0, rope_scaling=dict(
            factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
            original_max_position_embeddings=8192, rope_type="llama3"),
        bos_token_id=128000, eos_token_id=[128001, 128008, 128009],
        max_position_embeddings=131072, tie_word_embeddings=True,
        rms_norm_eps=1e-5),
    "llama-linear": dict(LLAMA, rope_scaling=dict(type="linear", factor=2.0),
                         pad_token_id=-1, max_position_embeddings=4096),
    "llama-yarn": dict(
        LLAMA, max_position_embeddings=8192, rope_scaling=dict(
            rope_type="yarn", factor=4.0,
            original_max_position_embeddings=2048)),
    "mistral": MISTRAL,
    "mistral-full": dict(MISTRAL, sliding_window=None, rope_theta=1e6),
    "qwen2": QWEN2,
    "qwen2-sliding": dict(QWEN2, use_sliding_window=True, max_window_layers=1,
                          sliding_window=16),
    "gpt2": dict(
        activation_function="gelu_new", architectures=["GPT2LMHeadModel"],
        attn_pdrop=0.1, bos_token_id=50256, embd_pdrop=0.1,
        eos_token_id=50256, initializer_range=0.02, layer_norm_epsilon=1e-05,
        model_type="gpt2", n_ctx=1024, n_embd=48, n_head=4, n_layer=2,
        n_positions=1024, resid_pdrop=0.1, summary_activation=None,
        summary_first_dropout=0.1, summary_proj_to_labels=True,
        summary_type="cls_index", summary_use_proj=True,
        task_specific_params={"text-generation": {
            "do_sample": True, "max_length": 50}}, vocab_size=103),
    "gpt_neox": dict(
        architectures=["GPTNeoXForCausalLM"], bos_token_id=0, eos_token_id=0,
        hidden_act="gelu", hidden_size=48, initializer_range=0.02,
        intermediate_size=96, layer_norm_eps=1e-5,
        max_position_embeddings=2048, model_type="gpt_neox",
        num_attention_heads=4, num_hidden_layers=2, rotary_emb_base=10000,
        rotary_pct=0.25, tie_word_embeddings=False, torch_dtype="float16",
        use_cache=True, use_parallel_residual=True, vocab_size=101),
    "t5": T5,
    "t5-v1_1": dict(T5, feed_forward_proj="gated-gelu",
                    tie_word_embeddings=False, num_decoder_layers=2,
                    use_cache=True),
    "mt5": MT5,
    "umt5": dict(MT5, architectures=["UMT5ForConditionalGeneration"],
                 model_type="umt5", dense_act_fn="gelu_new",
                 is_gated_act=True, scalable_attention=True,
                 torch_dtype="float32"),
    "opt": dict(
        architectures=["OPTForCausalLM"], activation_function="relu",
        bos_token_id=2, do_layer_norm_before=True, eos_token_id=2, ffn_dim=48,
        hidden_size=32, init_std=0.02, layerdrop=0.0,
        max_position_embeddings=64, model_type="opt", num_attention_heads=4,
        num_hidden_layers=2, pad_token_id=1, prefix="</s>",
        torch_dtype="float16", vocab_size=97, word_embed_proj_dim=32),
    "falcon": dict(
        architectures=["FalconForCausalLM"], alibi=False, bias=False,
        bos_token_id=11, eos_token_id=11, hidden_size=32,
        layer_norm_epsilon=1e-5, model_type="falcon", multi_query=True,
        new_decoder_architecture=False, num_attention_heads=4,
        num_hidden_layers=2, parallel_attn=True, torch_dtype="bfloat16",
        vocab_size=97),
    "mixtral": dict(
        LLAMA, architectures=["MixtralForCausalLM"], model_type="mixtral",
        num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2,
        sliding_window=None, rope_theta=1e6, tie_word_embeddings=False),
    "cohere2": dict(
        LLAMA, architectures=["Cohere2ForCausalLM"], model_type="cohere2",
        num_key_value_heads=2, logit_scale=0.25, sliding_window=16,
        sliding_window_pattern=4, rope_theta=50000, bos_token_id=5,
        eos_token_id=6, pad_token_id=0),
    "gemma3": dict(
        LLAMA, architectures=["Gemma3ForCausalLM"], model_type="gemma3_text",
        num_key_value_heads=2, head_dim=8, sliding_window=16,
        sliding_window_pattern=6, query_pre_attn_scalar=8,
        hidden_activation="gelu_pytorch_tanh", attn_logit_softcapping=None,
        final_logit_softcapping=None, rope_theta=1000000,
        rope_local_base_freq=10000, rope_scaling=None, bos_token_id=2,
        eos_token_id=[1, 10], pad_token_id=0),
    "qwen2_moe": dict(
        QWEN2, architectures=["Qwen2MoeForCausalLM"], model_type="qwen2_moe",
        moe_intermediate_size=16, num_experts=4, num_experts_per_tok=2,
        norm_topk_prob=False, max_window_layers=21, sliding_window=32768,
        tie_word_embeddings=False),
    "phimoe": dict(
        LLAMA, architectures=["PhiMoEForCausalLM"], model_type="phimoe",
        num_key_value_heads=2, attention_bias=True, lm_head_bias=True,
        num_local_experts=4, num_experts_per_tok=2,
        router_jitter_noise=0.01, rope_theta=10000.0, bos_token_id=1,
        eos_token_id=2, sliding_window=None, tie_word_embeddings=False),
    "llama-capitals": dict(LLAMA, architectures=["LLaMAForCausalLM"]),
    "mpt": dict(
        architectures=["MPTForCausalLM"], attn_config=dict(
            alibi=True, alibi_bias_max=8, attn_impl="torch", attn_pdrop=0,
            attn_type="multihead_attention", attn_uses_sequence_id=False,
            clip_qkv=None, prefix_lm=False, qk_ln=False, softmax_scale=None),
        d_model=32, expansion_ratio=4, max_seq_len=64, model_type="mpt",
        n_heads=4, n_layers=2, torch_dtype="bfloat16", use_cache=False,
        vocab_size=97),
    "marian": dict(
        architectures=["MarianMTModel"], activation_function="swish",
        bos_token_id=0, d_model=32, decoder_attention_heads=4,
        decoder_ffn_dim=48, decoder_layers=2, decoder_start_token_id=96,
        encoder_attention_heads=4, encoder_ffn_dim=48, encoder_layers=2,
        eos_token_id=0, is_encoder_decoder=True, max_position_embeddings=64,
        model_type="marian", num_hidden_layers=2, pad_token_id=96,
        scale_embedding=True, static_position_embeddings=True, vocab_size=97),
    "whisper": dict(
        architectures=["WhisperForConditionalGeneration"],
        activation_function="gelu", bos_token_id=95, d_model=32,
        decoder_attention_heads=4, decoder_ffn_dim=48, decoder_layers=2,
        decoder_start_token_id=96, encoder_attention_heads=4,
        encoder_ffn_dim=48, encoder_layers=2, eos_token_id=95,
        is_encoder_decoder=True, max_source_positions=16,
        max_target_positions=16, model_type="whisper", num_hidden_layers=2,
        num_mel_bins=8, pad_token_id=95, scale_embedding=False,
        vocab_size=97),
}

# Of a kind that 5 refuses.
ORIGINALS_OF_4 = {
    "phi3-su": dict(
        LLAMA, architectures=["Phi3ForCausalLM"], model_type="phi3",
        max_position_embeddings=64, original_max_position_embeddings=16,
        num_key_value_heads=4, sliding_window=32, rope_theta=10000.0,
        bos_token_id=1, eos_token_id=2, pad_token_id=2, rope_scaling=dict(
            type="su", long_factor=[1.1, 2.0, 4.0, 8.0],
            short_factor=[1.0, 1.1, 1.25, 1.5])),
}

# A language model within others; of Mistral 3's tower RoPE is said as of a
# language model.
VISION = dict(hidden_size=16, intermediate_size=24, num_attention_heads=2,
              num_hidden_layers=1, patch_size=2, image_size=4)
NESTED = {
    "llava": dict(
        architectures=["LlavaForConditionalGeneration"], ignore_index=-100,
        image_token_index=96, model_type="llava", pad_token_id=95,
        projector_hidden_act="gelu", text_config=LLAMA,
        tie_word_embeddings=False, torch_dtype="float16", vocab_size=97,
        vision_config=dict(VISION, model_type="clip_vision_model",
                           projection_dim=8, vocab_size=97),
        vision_feature_layer=-2, vision_feature_select_strategy="default"),
    "smolvlm": dict(
        architectures=["SmolVLMForConditionalGeneration"], image_seq_len=64,
        image_token_id=96, model_type="smolvlm", scale_factor=2,
        text_config=LLAMA, tie_word_embeddings=False, torch_dtype="bfloat16",
        vision_config=dict(VISION, model_type="smolvlm_vision",
                           max_image_size=dict(longest_edge=4))),
    "mistral3": dict(
        architectures=["Mistral3ForConditionalGeneration"],
        image_token_index=10, model_type="mistral3",
        multimodal_projector_bias=False, projector_hidden_act="gelu",
        spatial_merge_size=2, text_config=MISTRAL, torch_dtype="bfloat16",
        vision_config=dict(VISION, head_dim=8, model_type="pixtral",
                           hidden_act="gelu", num_channels=3,
                           rope_theta=10000.0),
        vision_feature_layer=-1),
    "qwen2_vl": dict(
        architectures=["Qwen2VLForConditionalGeneration"],
        image_token_id=94, model_type="qwen2_vl", vision_start_token_id=92,
        vision_end_token_id=93, video_token_id=95, text_config=dict(
            QWEN2, model_type="qwen2_vl_text", rope_scaling=dict(
                mrope_section=[1, 1, 2], type="mrope")),
        vision_config=dict(depth=1, embed_dim=16, hidden_size=32,
                           in_chans=3, mlp_ratio=2, model_type="qwen2_vl",
                           num_heads=2, patch_size=2)),
    "gemma3-vision": dict(
        architectures=["Gemma3ForConditionalGeneration"],
        boi_token_index=93, eoi_token_index=94, eos_token_id=[1, 10],
        image_token_index=95, initializer_range=0.02, mm_tokens_per_image=4,
        model_type="gemma3", text_config=dict(
            LLAMA, model_type="gemma3_text", num_key_value_heads=2,
            sliding_window=16), torch_dtype="bfloat16",
        vision_config=dict(VISION, model_type="siglip_vision_model",
                           vision_use_head=False)),
}


def resave(config):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "config.json")
        with open(path, "w") as file:
            json.dump(config, file)
        transformers.AutoConfig.from_pretrained(folder).save_pretrained(folder)
        with open(path) as file:
            return json.load(file)


def main():
    os.makedirs(HERE, exist_ok=True)
    originals = {**ORIGINALS, **ORIGINALS_OF_4, **NESTED}
    for name, original in originals.items():
        path = os.path.join(HERE, name + ".json")
        forms = {}
        if os.path.exists(path):
            with open(path) as file:
                forms = json.load(file)
        forms["original"] = original
        if MAJOR == "4" or name not in ORIGINALS_OF_4:
            forms[MAJOR] = resave(original)
        other = "5" if MAJOR == "4" else "4"
        if other in forms:
            forms[other + MAJOR] = resave(forms[other])
        with open(path, "w") as file:
            file.write("{\n" + ",\n".join(
                json.dumps(key) + ": " + json.dumps(forms[key])
                for key in sorted(forms)) + "\n}\n")


main()
