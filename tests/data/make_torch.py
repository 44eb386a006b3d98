"""Fixtures of the PyTorch half of transformers: safetensors and config.json by save_pretrained.

    python make_torch.py      (writes below good/)

Written with transformers 5.23.0, torch 2.15.0, safetensors 0.8.0, tokenizers 0.23.3.
"""
import os
import shutil

import numpy as np
import torch
import transformers as tr

from weights import awkward, fill

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64}


def kv_views(name, value, heads, kv):
    """Views [heads, n] of the K and V parts of a parameter."""
    parts = name.split(".")
    if parts[-2] in ("k", "v", "k_proj", "v_proj"):
        return [value.reshape(kv, -1)]
    if parts[-2] == "c_attn":  # [..., 3*H*d]: columns q | k | v
        third = value.shape[-1] // 3
        d = third // heads
        return [value[..., i * third:(i + 1) * third].reshape(-1, heads, d).transpose(1, 0, 2) for i in (1, 2)]
    if parts[-2] == "query_key_value":  # rows [H, 3, d]
        view = value.reshape(heads, 3, -1)
        return [view[:, 1], view[:, 2]]
    return []


def save(model, name, dtype, heads, kv=None, **options):
    done = {}
    for key, tensor in model.state_dict().items():
        if tensor.data_ptr() in done and tensor.numel():  # tied
            continue
        done[tensor.data_ptr()] = key
        value = fill(name + key, tensor.shape)
        for view in kv_views(key, value, heads, kv or heads):
            if view[0].size >= 9:
                flat = np.ascontiguousarray(view).reshape(len(view), -1)
                awkward(flat, dtype)
                view[...] = flat.reshape(view.shape)
        # Straight from float64: on random values two roundings would do no harm, the awkward ones are exact.
        tensor.copy_(torch.from_numpy(value).to(tensor.dtype))
    folder = os.path.join("good", name)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, **options)
    for file in os.listdir(folder):
        os.chmod(os.path.join(folder, file), 0o644)
    return folder


def build(cls, config, dtype):
    torch.set_default_dtype(torch.float32)
    return cls(config).to(DTYPES[dtype])


def t5(name, dtype, cls=tr.T5ForConditionalGeneration, config=tr.T5Config, heads=6, d=5, D=8, layers=1, untied=False, save_as={},
       **more):
    """untied: an lm_head of its own, as in the published v1.1 and mT5; this version of transformers ties it."""
    made = config(
        vocab_size=13, d_model=D, d_kv=d, d_ff=9, num_layers=layers, num_decoder_layers=layers, num_heads=heads,
        relative_attention_num_buckets=8, relative_attention_max_distance=16, decoder_start_token_id=0,
        pad_token_id=0, eos_token_id=1, **more)
    model = build(cls, made, dtype)
    if untied:
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
        model.config.tie_word_embeddings = False
    return save(model, name, dtype, heads, **save_as)


def causal(name, dtype, config_cls, cls, heads, kv, d, layers=1, save_as={}, **more):
    made = config_cls(
        vocab_size=13, hidden_size=heads * d, intermediate_size=10, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=kv, max_position_embeddings=32, bos_token_id=1,
        eos_token_id=2, **more)
    return save(build(cls, made, dtype), name, dtype, heads, kv, **save_as)


def tokenizer(folder):
    """What lies beside real models: a converter copies it, never reads it."""
    vocab = {"<pad>": 0, "</s>": 1, "<unk>": 2, **{c: i for i, c in enumerate("abcdefghij", 3)}}
    import tokenizers as tk
    tok = tk.Tokenizer(tk.models.WordLevel(vocab, unk_token="<unk>"))
    tok.pre_tokenizer = tk.pre_tokenizers.Whitespace()
    tr.PreTrainedTokenizerFast(
        tokenizer_object=tok, pad_token="<pad>", eos_token="</s>", unk_token="<unk>").save_pretrained(folder)


def main():
    t5("t5-v1_0", "F32", feed_forward_proj="relu")
    folder = t5("t5-v1_1", "BF16", heads=12, d=3, feed_forward_proj="gated-gelu", tie_word_embeddings=False,
                untied=True)
    tokenizer(folder)
    t5("flan-t5", "F16", heads=6, d=3, layers=2, feed_forward_proj="gated-gelu", tie_word_embeddings=False,
       n_positions=512, output_past=True)
    t5("mt5", "F32", tr.MT5ForConditionalGeneration, tr.MT5Config, heads=4, d=7, untied=True)
    t5("umt5", "BF16", tr.UMT5ForConditionalGeneration, tr.UMT5Config, layers=2, heads=4, d=5)
    t5("t5-sharded", "F32", feed_forward_proj="relu", save_as={"max_shard_size": "6KB"})

    causal("llama", "BF16", tr.LlamaConfig, tr.LlamaForCausalLM, 12, 12, 2)
    causal("llama-grouped", "F16", tr.LlamaConfig, tr.LlamaForCausalLM, 12, 6, 2, layers=2, tie_word_embeddings=True)
    causal("llama-f64", "F64", tr.LlamaConfig, tr.LlamaForCausalLM, 6, 6, 2)
    causal("mistral", "BF16", tr.MistralConfig, tr.MistralForCausalLM, 8, 4, 4)
    causal("qwen2", "F32", tr.Qwen2Config, tr.Qwen2ForCausalLM, 6, 6, 4)

    gpt2 = tr.GPT2Config(vocab_size=13, n_positions=8, n_embd=20, n_layer=1, n_head=4, n_inner=9)
    save(build(tr.GPT2LMHeadModel, gpt2, "F32"), "gpt2", "F32", 4)
    gpt2 = tr.GPT2Config(vocab_size=13, n_positions=8, n_embd=28, n_layer=1, n_head=4, n_inner=9)
    save(build(tr.GPT2Model, gpt2, "F16"), "gpt2-base", "F16", 4)
    for name, dtype, bias in (("gpt_neox", "BF16", True), ("gpt_neox-nobias", "F16", False)):
        heads = 4 if bias else 3
        neox = tr.GPTNeoXConfig(
            vocab_size=13, hidden_size=8 * heads, num_hidden_layers=1, num_attention_heads=heads, intermediate_size=9,
            max_position_embeddings=16, attention_bias=bias, bos_token_id=0, eos_token_id=0, rope_parameters={
                "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25})
        save(build(tr.GPTNeoXForCausalLM, neox, dtype), name, dtype, heads)


if __name__ == "__main__":
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    main()
