"""Small encoder-decoders that are built in, and what transformers computes of them.

    python make_encoder_decoders.py [NAME...]         (writes below families/)

As make_families.py, of models that read a text and write another, and of classes of theirs that make no logits of
tokens: encoders alone and classifiers, of which the last hidden state is kept in place of logits.

Written with transformers 4.57.1, torch 2.7.1, safetensors 0.8.0, numpy 2.4.6.
"""
import os
import shutil
import sys

import numpy as np
import safetensors.numpy
import torch
import transformers as tr
from transformers.models.marian.modeling_marian import MarianSinusoidalPositionalEmbedding

import make_families
import make_reference as made

VOCAB = 47
LENGTHS, DECODER_LENGTHS = [9, 4, 1], [6, 1, 4]
# In pieces of four tokens: three with what is left over, one with it, none.
LENGTHS_OF = {"longt5-global": [14, 7, 3], "longt5-encoder": [14, 7, 3]}


def value_of(name, key, shape):
    key = key.replace("LayerNorm", "layer_norm")
    if key == "final_logits_bias":
        return made.value_of(name, "lm_head.bias", shape)
    if len(shape) > 2 or not key.endswith(("weight", "bias")):  # of pictures and sound
        return made.value_of(name, key + ".bias", shape)
    return made.value_of(name, key, shape)


def save(name, family, repeat=None, model="ForConditionalGeneration", **more):
    write(name, getattr(tr, family + model)(getattr(tr, family + "Config")(**more)), repeat)


def write(name, model, repeat=None):
    dtype = torch.float16
    model.to(dtype)
    done = set()
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if tensor.data_ptr() in done:  # tied
                continue
            done.add(tensor.data_ptr())
            value = value_of(name, key, tuple(tensor.shape))
            if repeat and "." in key:
                text = getattr(model.config, "decoder", model.config)
                heads = text.num_attention_heads  # an encoder's, where there might be one
                if not text.is_encoder_decoder:
                    heads = getattr(text, "decoder_attention_heads", heads)
                make_families.repeat_heads(key, value, heads, repeat)
            tensor.copy_(torch.from_numpy(value).to(dtype))
    folder = os.path.join("families", name)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    if os.path.exists(os.path.join(folder, "generation_config.json")):
        os.remove(os.path.join(folder, "generation_config.json"))
    os.chmod(os.path.join(folder, "model.safetensors"), 0o644)


def bart(name, family, start=2, heads=4, **more):
    save(name, family, vocab_size=VOCAB, d_model=16, encoder_layers=1, decoder_layers=2, encoder_ffn_dim=19,
         decoder_ffn_dim=21, encoder_attention_heads=heads, decoder_attention_heads=4, max_position_embeddings=20,
         decoder_start_token_id=start, **more)


def switch(name, **more):
    save(name, "SwitchTransformers", vocab_size=VOCAB, d_model=16, d_kv=4, d_ff=19, num_layers=2, num_decoder_layers=2,
         num_heads=4, num_sparse_encoder_layers=1, num_sparse_decoder_layers=1, num_experts=3, decoder_start_token_id=0,
         relative_attention_num_buckets=8, relative_attention_max_distance=16, repeat=2, **more)


def nllb_moe(name, **more):
    save(name, "NllbMoe", vocab_size=VOCAB, d_model=16, encoder_layers=3, decoder_layers=2, encoder_ffn_dim=9,
         decoder_ffn_dim=11, encoder_attention_heads=4, decoder_attention_heads=4, max_position_embeddings=20,
         num_experts=3, encoder_sparse_step=3, decoder_sparse_step=2, repeat=2, **more)


def longt5(name, num_layers=1, **more):
    save(name, "LongT5", vocab_size=VOCAB, d_model=16, d_kv=4, d_ff=19, num_layers=num_layers, num_decoder_layers=2,
         num_heads=4, decoder_start_token_id=0, relative_attention_num_buckets=8, relative_attention_max_distance=16,
         **more)


def t5(name, family, model, repeat=None, **more):
    save(name, family, model=model, repeat=repeat, vocab_size=VOCAB, d_model=16, d_kv=5, d_ff=19, num_layers=2,
         num_decoder_layers=2, num_heads=4, decoder_start_token_id=0, relative_attention_num_buckets=8,
         relative_attention_max_distance=16, **more)


def udop(name):
    save(name, "Udop", vocab_size=VOCAB, d_model=16, d_kv=4, d_ff=19, num_layers=1, num_decoder_layers=2, num_heads=4,
         decoder_start_token_id=0, image_size=8, patch_size=4, max_2d_position_embeddings=8, repeat=2)


def encoder_apart(name, family, **more):
    """One whose encoder has attentions of a make that is not described."""
    save(name, family, **{**dict(vocab_size=VOCAB, d_model=16, encoder_layers=1, decoder_layers=2, encoder_ffn_dim=19,
                                 decoder_ffn_dim=21, encoder_attention_heads=4, decoder_attention_heads=4,
                                 decoder_start_token_id=2), **more})


CONVERTED_ALONE = {
    "pegasus_x": lambda n: encoder_apart(n, "PegasusX", max_position_embeddings=12, num_global_tokens=2, block_size=4),
}

MODELS = {
    "t5-encoder": lambda n: t5(n, "T5", "EncoderModel", repeat=2),
    "t5-tokens": lambda n: t5(n, "T5", "ForTokenClassification", feed_forward_proj="gated-gelu", num_labels=3),
    "t5-classes": lambda n: t5(n, "T5", "ForSequenceClassification", repeat=2, feed_forward_proj="gated-gelu",
                               tie_word_embeddings=False, num_labels=3),
    "mt5-answers": lambda n: t5(n, "MT5", "ForQuestionAnswering", tie_word_embeddings=False),
    "umt5-encoder": lambda n: t5(n, "UMT5", "EncoderModel", repeat=2),
    "longt5-encoder": lambda n: longt5(n, num_layers=2, local_radius=2, global_block_size=4,
                                       encoder_attention_type="transient-global", repeat=2, model="EncoderModel"),
    "bart": lambda n: bart(n, "Bart", repeat=2),
    "bart-base": lambda n: bart(n, "Bart", model="Model", scale_embedding=True, activation_function="relu"),
    "plbart": lambda n: bart(n, "PLBart"),
    "mvp": lambda n: bart(n, "Mvp", repeat=2),
    "marian": lambda n: bart(n, "Marian", start=0, pad_token_id=0, eos_token_id=1, repeat=2, model="MTModel"),
    "marian-two": lambda n: bart(n, "Marian", start=0, pad_token_id=0, eos_token_id=1, repeat=2, model="MTModel",
                                 share_encoder_decoder_embeddings=False, decoder_vocab_size=VOCAB),
    "mbart": lambda n: bart(n, "MBart", heads=2, scale_embedding=True),
    "pegasus": lambda n: bart(n, "Pegasus", start=0, scale_embedding=True),
    "m2m_100": lambda n: bart(n, "M2M100", repeat=2),
    "m2m_100-pad": lambda n: bart(n, "M2M100", pad_token_id=0),
    "blenderbot": lambda n: bart(n, "Blenderbot", start=1),
    "blenderbot_small": lambda n: bart(n, "BlenderbotSmall", start=1, scale_embedding=True, repeat=2),
    "longt5": lambda n: longt5(n, local_radius=2, repeat=2),
    "longt5-global": lambda n: longt5(n, num_layers=2, local_radius=2, global_block_size=4,
                                      encoder_attention_type="transient-global", repeat=2),
    "switch_transformers": switch,
    "switch_transformers-full": lambda n: switch(n, expert_capacity=2, router_bias=True),
    "nllb_moe": nllb_moe,
    "nllb_moe-bias": lambda n: nllb_moe(n, router_bias=True),
    "udop": udop,
    # Two tokens on either side in the first layer, three in the second.
    "led": lambda n: encoder_apart(n, "LED", max_encoder_position_embeddings=16, max_decoder_position_embeddings=12,
                                   encoder_layers=2, attention_window=[4, 6]),
    # Inputs that are short enough to be attended to as a whole.
    "bigbird_pegasus": lambda n: encoder_apart(n, "BigBirdPegasus", max_position_embeddings=12),
    "bigbird_pegasus-bias": lambda n: encoder_apart(n, "BigBirdPegasus", max_position_embeddings=12, use_bias=True,
                                                    scale_embedding=False, attention_type="original_full"),
    # More tokens to read than to write.
    "fsmt": lambda n: encoder_apart(n, "FSMT", vocab_size=None, src_vocab_size=VOCAB + 2, tgt_vocab_size=VOCAB,
                                    max_position_embeddings=12, langs=["a", "b"]),
    "pop2piano": lambda n: save(n, "Pop2Piano", vocab_size=VOCAB, composer_vocab_size=3, d_model=16, d_kv=4, d_ff=19,
                                num_layers=1, num_decoder_layers=2, num_heads=4, decoder_start_token_id=0,
                                relative_attention_num_buckets=8, relative_attention_max_distance=16, repeat=2),
}


def load(folder):
    """The model on double tensors, positions that are computed worked out again in float64."""
    config = tr.AutoConfig.from_pretrained(folder)
    # A model without its head is the base of one with it.
    cls = {"BartModel": tr.BartForConditionalGeneration}.get(
        config.architectures[0], getattr(tr, config.architectures[0]))
    model = cls.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
    with made.in_doubles():
        for module in model.modules():
            if isinstance(module, MarianSinusoidalPositionalEmbedding):
                rows, width = module.weight.shape
                angles = np.outer(np.arange(rows), 10000.0 ** (-np.arange(0, width, 2) / width))
                module.weight.data = torch.from_numpy(np.concatenate([np.sin(angles), np.cos(angles)], axis=1))
            elif hasattr(module, "_cast_classifier"):
                module.dtype = torch.float64
            elif hasattr(module, "make_weights"):
                module.make_weights(config.max_position_embeddings + 2, module.embedding_dim, module.padding_idx)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        assert tensor.dtype in (torch.float64, torch.bool), (name, tensor.dtype)
    return model


def blocks_of(model):
    if hasattr(model, "led"):
        return model.led.decoder.layers
    return model.decoder.block if hasattr(model, "decoder") else model.model.decoder.layers


def makes_logits(model):
    return "ConditionalGeneration" in type(model).__name__ or "MTModel" in type(model).__name__


def reference_of_rows(name, model):
    """What the last stack gives, where no logits of tokens are made of it."""
    base = getattr(model, "transformer", model)
    last = getattr(base, "decoder", base.encoder)
    lengths, hidden = LENGTHS_OF.get(name, LENGTHS), []
    ids = made.tokens(name, lengths, VOCAB)
    data = {"input_ids": ids, "lengths": torch.tensor(lengths)}
    inputs, read = {"input_ids": ids, "attention_mask": made.mask(lengths)}, lengths
    if last is not base.encoder:
        decoder_ids, read = made.tokens(name + "/decoder", DECODER_LENGTHS, VOCAB), DECODER_LENGTHS
        decoder_ids[:, 0] = model.config.decoder_start_token_id
        data.update(decoder_input_ids=decoder_ids, decoder_lengths=torch.tensor(read))
        inputs.update(decoder_input_ids=decoder_ids, decoder_attention_mask=made.mask(read), use_cache=False)
    for block in last.block:
        block.register_forward_hook(lambda _, __, out: hidden.append(out[0] if isinstance(out, (tuple, list)) else out))
    last.register_forward_hook(lambda _, __, out: data.update(last_hidden_state=out[0]))
    with torch.no_grad():
        base(**inputs)
    real = made.mask(read)[..., None].bool()
    data["last_hidden_state"] = torch.where(real, data["last_hidden_state"], 0.0)
    data["hidden"] = torch.where(real, torch.stack(hidden), 0.0)
    assert data["last_hidden_state"].dtype == torch.float64
    return data


def reference(name):
    model = load(os.path.join("families", name))
    if not makes_logits(model):
        with made.in_doubles():
            return keep(name, reference_of_rows(name, model))
    with made.in_doubles():
        start, lengths = model.config.decoder_start_token_id, LENGTHS_OF.get(name, LENGTHS)
        ids, decoder_ids = made.tokens(name, lengths, VOCAB), made.tokens(name + "/decoder", DECODER_LENGTHS, VOCAB)
        decoder_ids[:, 0] = start
        if model.config.model_type == "udop":  # all of the text lies in one place of the page
            forward = model.forward
            model.forward = lambda input_ids, **more: forward(
                input_ids=input_ids, bbox=torch.zeros(*input_ids.shape, 4), **more)
        logits, hidden = made.run(model, input_ids=ids, attention_mask=made.mask(lengths),
                                  decoder_input_ids=decoder_ids, decoder_attention_mask=made.mask(DECODER_LENGTHS))
        if model.config.model_type == "fsmt":  # its layers have sequences side by side
            hidden = hidden.transpose(1, 2)
        real = made.mask(DECODER_LENGTHS)[..., None].bool()
        data = {"input_ids": ids, "lengths": torch.tensor(lengths), "decoder_input_ids": decoder_ids,
                "decoder_lengths": torch.tensor(DECODER_LENGTHS), "logits": torch.where(real, logits, 0.0),
                "hidden": torch.where(real, hidden, 0.0), "greedy": made.greedy(model, ids[0, :lengths[0]], start)}
    keep(name, data)


def keep(name, data):
    assert all(torch.isfinite(value).all() for value in data.values())
    path = os.path.join("families", name, "reference.safetensors")
    safetensors.numpy.save_file({key: np.ascontiguousarray(value.numpy()) for key, value in data.items()}, path)
    os.chmod(path, 0o644)


def main():
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    torch.set_num_threads(1)
    made.blocks_of = blocks_of
    for name in sys.argv[1:] or {**MODELS, **CONVERTED_ALONE}:
        (CONVERTED_ALONE.get(name) or MODELS[name])(name)
        if name in MODELS:
            reference(name)


if __name__ == "__main__":
    main()
