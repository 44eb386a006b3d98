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
FOLDERS = ("runtime/t5-v1_0", "runtime/t5-v1_1", "sample/t5-tiny16", "runtime/mt5", "runtime/umt5", "runtime/gpt2",
           "runtime/gpt2-variant", "runtime/gpt_neox", "runtime/gpt_neox-nobias", "runtime/gpt_neox-sequential",
           "families/longt5", "families/longt5-global", "families/bart", "families/mbart", "families/marian", "families/pegasus",
           "families/plbart", "families/m2m_100", "families/m2m_100-pad",
           "families/blenderbot", "families/whisper", "families/speech_to_text",
           "families/opt", "families/opt-post", "families/opt-350m", "families/bloom-normed",
           "families/gptj", "families/gpt_neo", "families/bloom",
           "families/codegen", "families/mpt", "families/mpt-six", "families/xglm", "families/biogpt",
           "families/openai_gpt", "families/persimmon", "families/blenderbot_small",
           "families/gpt_neox_japanese", "families/switch_transformers", "families/nllb_moe")
# KV heads, where not two.
GROUPS = {"codegen": "4", "mt5": "1", "gpt_neox": "1", "gpt_neox-nobias": "1", "gpt_neox-sequential": "1"}
# More than one number of KV heads, and those of the encoder.
VARIANTS = {"t5-v1_1": (("-l", "0=1,1=2"), ("-g", "2", "-a", "all"), ("-g", "2", "-a", "decoder-self")),
            "longt5-global": (("-g", "2", "-a", "all"),),
            "bart": (("-l", "0=1,1=2"), ("-g", "2", "-a", "all")),
            "gpt2": (("-l", "0=1,1=2"),), "gpt_neox": (("-l", "0=1,1=2"),)}


def inputs(config):
    torch.manual_seed(1)
    ids = torch.randint(3, config.vocab_size, (2, 9))
    if config.model_type == "whisper":
        return {"input_features": torch.randn(2, config.num_mel_bins, 2 * config.max_source_positions),
                "decoder_input_ids": ids}
    if config.model_type == "speech_to_text":
        return {"input_features": torch.randn(2, 16, config.input_feat_per_channel * config.input_channels),
                "decoder_input_ids": ids}
    return {"input_ids": ids, "decoder_input_ids": ids.flip(0)} if config.is_encoder_decoder else {"input_ids": ids}


def cache_bytes(out):
    """Of the cache that a run leaves; 5.24 calls it another name. None: the class keeps none."""
    cache = out.get("past_key_values", out.get("cache"))
    if cache is None:
        return None
    parts = (cache.self_attention_cache, cache.cross_attention_cache) if hasattr(cache, "is_updated") else (cache,)
    tensors = [t for part in parts for layer in part.layers for t in (layer.keys, layer.values)]
    return sum(t.untyped_storage().nbytes() for t in tensors)


def gradients(model, x):
    model.zero_grad()
    model(**x).logits.square().mean().backward()
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
    prompt = {key: value for key, value in x.items() if key != "decoder_input_ids"}
    how = dict(how, do_sample=False, min_new_tokens=8, max_new_tokens=8)
    try:
        expected = expanded.generate(**prompt, **how)
    except (ValueError, IndexError):
        return None
    return torch.equal(grouped.generate(**prompt, **how), expected)


def convert(build, source, folder, *more):
    subprocess.run([os.path.join(build, "convert/gqa-convert"), "-q", *more, source, folder + "/"], check=True)


def check(source, build, scratch, more):
    with open(os.path.join(source, "config.json"), encoding="utf-8") as file:
        named = json.load(file)["architectures"][0]
    convert(build, source, os.path.join(scratch, "grouped"), "--remote-code", *more)
    convert(build, source, os.path.join(scratch, "expanded"), "--expand", *more)
    with open(os.path.join(scratch, "grouped/config.json"), encoding="utf-8") as file:
        auto = next(key for key, name in json.load(file)["auto_map"].items() if name.endswith(".Grouped" + named))
    auto, stock = getattr(tr, auto), getattr(tr, named)
    faults, says = [], []
    for attention in ("eager", "sdpa"):
        how = {"attn_implementation": attention}
        try:
            expanded = stock.from_pretrained(os.path.join(scratch, "expanded"), **how).float().eval()
        except ValueError:
            continue
        grouped, info = auto.from_pretrained(os.path.join(scratch, "grouped"), trust_remote_code=True,
                                             output_loading_info=True, **how)
        grouped.float().eval()
        faults += [f"{key}: {value}" for key, value in info.items() if value]
        x = inputs(grouped.config)
        with torch.no_grad():
            a, b = grouped(**x), expanded(**x)
        difference = (a.logits - b.logits).abs().max().item()
        error = gradient_error(grouped, expanded, x)
        alike = [generates_alike(grouped, expanded, x, **more) for more in ({}, {"num_beams": 3})]
        saved = os.path.join(scratch, attention)
        grouped.save_pretrained(saved)
        again = auto.from_pretrained(saved, trust_remote_code=True, **how).float().eval()
        with torch.no_grad():
            returns = torch.equal(again(**x).logits, a.logits)
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
        name = os.path.basename(folder)
        if args.names and name not in args.names:
            continue
        source = os.path.join(HERE, folder)
        for more in (("-g", GROUPS.get(name, "2")), *VARIANTS.get(name, ())):
            with tempfile.TemporaryDirectory() as scratch:
                good &= check(source, args.build, scratch, more)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
