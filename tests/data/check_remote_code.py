"""Whether transformers loads what gqa-convert --remote-code writes, and computes what a stock class makes of --expand.

    python check_remote_code.py [--build BUILD] [NAME...]

Of each model of families/ and runtime/ that has a module: it is converted to a folder with it and to one with --expand.
The first is loaded by its Auto class with nothing missing and nothing left over, the second by the stock class. Both
run in float32 on the CPU, with each implementation of attention that the class has: logits, greedy and beam search with
a cache, bytes of that cache; gradients, those of the expanded heads summed over each group; and the same again after
save_pretrained() and from_pretrained(). A class without groups in its configuration has to be the stock one.

Run with transformers 4.57.1 and 5.24.0, torch 2.7.1.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import torch
import transformers as tr

HERE = os.path.dirname(os.path.abspath(__file__))


def save(model, folder):
    """Random weights, norms and biases that matter."""
    for p in model.parameters():
        torch.nn.init.normal_(p, 1 if p.dim() == 1 else 0, 0.3)
    model.save_pretrained(folder)


def trocr_config():
    return tr.TrOCRConfig(vocab_size=47, d_model=16, decoder_layers=2, decoder_attention_heads=4, decoder_ffn_dim=19,
                          max_position_embeddings=24, cross_attention_hidden_size=12, pad_token_id=0)


def trocr_alone(folder):
    save(tr.TrOCRForCausalLM(trocr_config()), folder)


def vision_gpt2(folder):
    """As captioners are: a vision transformer, and a GPT-2 that sees it."""
    seen = tr.ViTConfig(hidden_size=12, intermediate_size=13, num_hidden_layers=1, num_attention_heads=2, image_size=8,
                        patch_size=4)
    text = tr.GPT2Config(vocab_size=47, n_positions=24, n_embd=16, n_layer=2, n_head=4, add_cross_attention=True,
                         is_decoder=True, bos_token_id=1, eos_token_id=2)
    config = tr.VisionEncoderDecoderConfig.from_encoder_decoder_configs(seen, text)
    config.decoder_start_token_id, config.pad_token_id = 1, 0
    save(tr.VisionEncoderDecoderModel(config), folder)


def musicgen(folder):
    read = tr.T5Config(vocab_size=47, d_model=12, d_ff=13, d_kv=6, num_layers=1, num_heads=2)
    heard = tr.EncodecConfig(num_filters=4, num_residual_layers=1, upsampling_ratios=[2, 2], codebook_size=64,
                             codebook_dim=8, hidden_size=8, num_lstm_layers=1, sampling_rate=16,
                             target_bandwidths=[1.5])
    codes = tr.MusicgenDecoderConfig(vocab_size=47, hidden_size=16, num_hidden_layers=2, num_attention_heads=4,
                                     ffn_dim=19, num_codebooks=2, max_position_embeddings=24, pad_token_id=47,
                                     bos_token_id=47)
    config = tr.MusicgenConfig(text_encoder=read.to_dict(), audio_encoder=heard.to_dict(), decoder=codes.to_dict())
    model = tr.MusicgenForConditionalGeneration(config)
    model.generation_config.decoder_start_token_id = model.generation_config.pad_token_id = 47
    save(model, folder)


# What is in this folder, and what is made when it is needed.
FOLDERS = ("runtime/t5-v1_0", "runtime/t5-v1_1", "sample/t5-tiny16", "runtime/mt5", "runtime/umt5", "runtime/gpt2",
           "runtime/gpt2-variant", "runtime/gpt_neox", "runtime/gpt_neox-nobias", "runtime/gpt_neox-sequential",
           "families/longt5", "families/longt5-global", "families/bart", "families/mbart", "families/marian", "families/pegasus",
           "families/plbart", "families/mvp", "families/m2m_100", "families/m2m_100-pad",
           "families/blenderbot", "families/whisper", "families/speech_to_text",
           "families/opt", "families/opt-post", "families/opt-350m", "families/bloom-normed",
           "families/gptj", "families/gpt_neo", "families/bloom",
           "families/codegen", "families/mpt", "families/mpt-six", "families/xglm", "families/biogpt",
           "families/openai_gpt", "families/persimmon", "families/blenderbot_small",
           "families/gpt_neox_japanese", "families/switch_transformers", "families/nllb_moe", "families/ctrl",
           "families/imagegpt",
           "families/led", "families/fsmt", "families/bigbird_pegasus", "families/pegasus_x", "families/pop2piano",
           "families/udop", "families/trocr", "families/trocr_sinusoidal", "families/blip2", trocr_alone, vision_gpt2, musicgen,
           "families/donut", "families/speech-bart", "families/marian-decoder", "families/bigbird_pegasus-decoder",
           "families/bert-decoder", "families/roberta-decoder",
           "encoders/albert", "encoders/bert", "encoders/clip", "encoders/distilbert", "encoders/electra",
           "families/falcon", "families/gpt_bigcode", "encoders/modernbert", "encoders/roberta", "encoders/wav2vec2")
# KV heads, where not two.
GROUPS = {"codegen": "4", "mt5": "1", "gpt_neox": "1", "gpt_neox-nobias": "1", "gpt_neox-sequential": "1"}
# More than one number of KV heads, and those of the encoder.
VARIANTS = {"t5-v1_1": (("-l", "0=1,1=2"), ("-g", "2", "-a", "all"), ("-g", "2", "-a", "decoder-self")),
            "longt5-global": (("-g", "2", "-a", "all"),),
            "fsmt": (("-g", "2", "-a", "all"),), "bigbird_pegasus": (("-g", "2", "-a", "all"),),
            "bart": (("-l", "0=1,1=2"), ("-g", "2", "-a", "all")),
            "gpt2": (("-l", "0=1,1=2"),), "gpt_neox": (("-l", "0=1,1=2"),)}


def inputs(config):
    torch.manual_seed(1)
    text = getattr(config, "decoder", None) or config.get_text_config()
    text = tr.MusicgenDecoderConfig(**text) if isinstance(text, dict) else text
    ids = torch.randint(3, (text.vocab_size or text.tgt_vocab_size) - 1, (2, 9))
    if config.model_type == "wav2vec2":
        return {"input_values": torch.randn(2, 64)}
    if config.model_type == "clip":
        seen = config.vision_config.image_size
        return {"input_ids": ids, "pixel_values": torch.randn(2, 3, seen, seen)}
    if config.model_type in ("vision-encoder-decoder", "blip-2"):
        seen = getattr(config, "encoder", None) or config.vision_config
        images = {"pixel_values": torch.randn(2, 3, seen.image_size, seen.image_size)}
        if config.model_type == "blip-2":
            ids[:, 0] = config.image_token_index
            return images | {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        return images | {"decoder_input_ids": ids}
    if config.model_type == "speech-encoder-decoder":
        return {"input_values": torch.randn(2, 64), "decoder_input_ids": ids}
    if config.model_type == "musicgen":
        codes = torch.randint(0, text.vocab_size, (2 * text.num_codebooks, 9))
        return {"input_ids": torch.randint(3, config.text_encoder.vocab_size, (2, 5)), "decoder_input_ids": codes}
    if config.model_type == "pop2piano":
        return {"input_features": torch.randn(2, 7, config.d_model), "decoder_input_ids": ids}
    if config.model_type == "udop":
        return {"input_ids": ids, "bbox": torch.rand(2, 9, 4), "decoder_input_ids": ids.flip(0)}
    if config.model_type == "whisper":
        return {"input_features": torch.randn(2, config.num_mel_bins, 2 * config.max_source_positions),
                "decoder_input_ids": ids}
    if config.model_type == "speech_to_text":
        return {"input_features": torch.randn(2, 16, config.input_feat_per_channel * config.input_channels),
                "decoder_input_ids": ids}
    return {"input_ids": ids, "decoder_input_ids": ids.flip(0)} if config.is_encoder_decoder else {"input_ids": ids}


def cache_bytes(out):
    """Of the cache that a run leaves; 5.24 calls it another name. None: the class keeps none."""
    out = out.get("language_model_outputs", out)
    cache = out.get("past_key_values", out.get("cache"))
    if cache is None:
        return None
    parts = (cache.self_attention_cache, cache.cross_attention_cache) if hasattr(cache, "is_updated") else (cache,)
    tensors = [t for part in parts for layer in part.layers for t in (layer.keys, layer.values)]
    return sum(t.untyped_storage().nbytes() for t in tensors if t is not None)


def logits(out):
    return out.logits_per_image if "logits_per_image" in out else out.logits


def gradients(model, x):
    model.zero_grad()
    logits(model(**x)).square().mean().backward()
    return {name: (p.detach(), p.grad) for name, p in model.named_parameters() if p.grad is not None}


def parts_of(grouped, expanded):
    """[n, m]: which of the m rows of a weight with all heads are which of the n with fewer; and where its rows lie."""
    axis = next(i for i, (a, b) in enumerate(zip(grouped.shape, expanded.shape)) if a != b)
    few, many = grouped.movedim(axis, 0).flatten(1), expanded.movedim(axis, 0).flatten(1)
    same = (few[:, None] == many[None]).all(-1)
    assert (same.sum(0) == 1).all(), "rows that are not those of one head"
    return same.float(), axis


def gradient_error(grouped, expanded, x):
    """The largest difference from gradients of expanded heads, summed over each group, as a share of the largest."""
    few, many = gradients(grouped, x), gradients(expanded, x)
    assert few.keys() == many.keys() and all(g.isfinite().all() for _, g in few.values())
    error = 0
    for name, (p, gradient) in few.items():
        expected = many[name][1]
        if p.shape != expected.shape:
            weight = name.removesuffix("bias").removesuffix("weight") + "weight"
            same, axis = parts_of(few[weight][0], many[weight][0])
            axis = 0 if p.dim() == 1 else axis
            expected = torch.tensordot(same, expected.movedim(axis, 0), 1).movedim(0, axis)
        error = max(error, (gradient - expected).abs().max())
    return error / max(g.abs().max() for _, g in few.values())


def generates_alike(grouped, expanded, x, **how):
    """None: the stock class cannot."""
    if not expanded.can_generate():
        return None
    prompt = {key: value for key, value in x.items() if key != "decoder_input_ids"}
    how = dict(how, do_sample=False, min_new_tokens=8, max_new_tokens=8)
    try:
        expected = expanded.generate(**prompt, **how)
    except (ValueError, IndexError, TypeError, AttributeError):
        return None
    if expanded.config.model_type == "imagegpt" and "num_beams" in how and tr.__version__.startswith("4."):
        return None  # which the name of the stock class alone makes possible
    return torch.equal(grouped.generate(**prompt, **how), expected)


def convert(build, source, folder, *more):
    """And let its configuration say what classes fail without."""
    subprocess.run([os.path.join(build, "convert/gqa-convert"), "-q", *more, source, folder + "/"], check=True)
    path = os.path.join(folder, "config.json")
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    if config["model_type"] == "blip-2":
        config["image_token_index"] = config["text_config"]["vocab_size"] - 1
    if config["model_type"] == "fsmt":  # for transformers 5 it is the decoder's
        config["vocab_size"] = config["tgt_vocab_size"]
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file)
    return config


def check(source, build, scratch, more):
    with open(os.path.join(source, "config.json"), encoding="utf-8") as file:
        named = json.load(file)["architectures"][0]
    config = convert(build, source, os.path.join(scratch, "grouped"), "--remote-code", *more)
    convert(build, source, os.path.join(scratch, "expanded"), "--expand", *more)
    auto = next(key for key, name in config["auto_map"].items() if name.endswith(".Grouped" + named))
    auto, stock = getattr(tr, auto), getattr(tr, named)
    faults, says = [], []
    for attention in ("eager", "sdpa"):
        how = {"attn_implementation": attention, "dtype": torch.float32}
        try:
            expanded, missing = stock.from_pretrained(os.path.join(scratch, "expanded"), output_loading_info=True, **how)
        except ValueError:
            continue
        grouped, info = auto.from_pretrained(os.path.join(scratch, "grouped"), trust_remote_code=True,
                                             output_loading_info=True, **how)
        for model in (grouped, expanded):  # Auto classes of transformers 4 do not tell it to models within others
            model.set_attn_implementation(attention)
            model.eval()
        faults += [f"{key}: {value}" for key, value in info.items() if set(value) != set(missing[key])]
        with torch.no_grad():  # what the stock class draws itself: transformers 5 does not tie Pop2Piano's logits
            for key in missing["missing_keys"]:
                grouped.get_parameter(key).copy_(expanded.get_parameter(key))
        x = inputs(grouped.config)
        with torch.no_grad():
            try:
                b = expanded(**x)
            except (AttributeError, IndexError):  # FSMT and Pop2Piano fail of their cache in transformers 4
                x["use_cache"] = False
                b = expanded(**x)
            a = grouped(**x)
        difference = (logits(a) - logits(b)).abs().max().item()
        error = gradient_error(grouped, expanded, x)
        alike = [generates_alike(grouped, expanded, x, **more) for more in ({}, {"num_beams": 3})]
        saved = os.path.join(scratch, attention)
        grouped.save_pretrained(saved)
        again = auto.from_pretrained(saved, trust_remote_code=True, **how).eval()
        again.set_attn_implementation(attention)
        with torch.no_grad():
            returns = torch.equal(logits(again(**x)), logits(a))
        cache = (cache_bytes(a), cache_bytes(b))
        says.append(f"{attention}: logits {difference:.1e}, gradients {error:.0e}, cache {cache[0]} of {cache[1]}")
        faults += ["logits"] * (difference > 0) + ["gradients"] * (error > 1e-6) + ["tokens"] * (False in alike)
        faults += ["re-saved"] * (not returns) + ["cache"] * (cache[0] is not None and cache[0] >= cache[1])
    shapes = [sorted((name, p.shape) for name, p in of(expanded.config).named_parameters()) for of in
              (stock, type(again))]
    faults += ["stock"] * (shapes[0] != shapes[1])
    print(f"{os.path.basename(source):20s} {' '.join(more):24s} {'; '.join(says)}{'  FAILED: ' if faults else ''}"
          f"{', '.join(faults)}", flush=True)
    return not faults


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=os.path.join(HERE, "../../build/release"))
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    tr.logging.set_verbosity_error()
    good = True
    for folder in FOLDERS:
        name = folder.__name__ if callable(folder) else os.path.basename(folder)
        if args.names and name not in args.names:
            continue
        how = ("-a", "encoder") if not callable(folder) and folder.startswith("encoders/") else ()
        for more in (("-g", GROUPS.get(name, "2"), *how), *VARIANTS.get(name, ())):
            with tempfile.TemporaryDirectory() as scratch:
                source = os.path.join(scratch, name) if callable(folder) else os.path.join(HERE, folder)
                if callable(folder):
                    folder(source)
                good &= check(source, args.build, scratch, more)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
