"""Whether transformers loads what gqa-convert groups, and computes what gqa's runtime does.

    python check_stock.py [--build BUILD] [--keep] [NAME...]

Of each model of families/ whose class takes fewer KV heads: it is converted to a folder, which is loaded with nothing
missing and nothing left over, and run in float64; run_reference then runs the same folder, and says how far it is from
that. Of those whose configuration says KV heads by words, every number that it can say is tried, and --expand. --keep writes what transformers computed to families/NAME/grouped.safetensors, which a test holds the conversion
against from then on.

Written with transformers 4.57.1, torch 2.7.1.
"""
import argparse
import os
import subprocess
import sys
import tempfile

import torch
import transformers as tr

import make_families
import make_older_decoders
import make_reference as made

# Those that stock classes do not load at all: remote code, and what has no grouped class.
NOT_STOCK = {*make_families.REMOTE, "chatglm", "bloom", "bloom-base", "bloom-normed", "opt-350m", "gptj", "opt", "opt-post", "blip2"}

# KV heads that words of the configuration say, and numbers that they can say of fewer.
SAID = {"falcon": (8, 1, 8), "falcon-parallel": (8, 1, 8), "falcon-7b": (1, 1), "falcon-40b": (2, 1, 2),
        "falcon-11b": (2, 1, 2), "gpt_bigcode": (4, 1, 4), "gpt_bigcode-mqa": (1, 1)}


def runs(name):
    """What is tried: KV heads before and after, and more options."""
    if name in SAID:
        before, *after = SAID[name]
        return [(before, n, more) for n in after for more in ((), ("--expand",))]
    config = tr.AutoConfig.from_pretrained(os.path.join("families", name)).get_text_config()
    return [(config.num_key_value_heads, max(config.num_key_value_heads // 2, 1), ())]


def check(name, build, keep, before, groups, more):
    source = os.path.join("families", name)
    with tempfile.TemporaryDirectory() as scratch:
        folder = os.path.join(scratch, name)
        subprocess.run([os.path.join(build, "convert/gqa-convert"), "-q", "-g", str(groups), *more, source,
                        folder + "/"], check=True)
        whole = tr.AutoConfig.from_pretrained(folder)
        auto = tr.AutoModelForImageTextToText if hasattr(whole, "vision_config") else tr.AutoModelForCausalLM
        _, info = auto.from_pretrained(folder, output_loading_info=True)
        faults = {k: v for k, v in info.items() if v}
        path = os.path.join(source, "grouped.safetensors") if keep else os.path.join(scratch, "reference.safetensors")
        make_families.reference(name, folder, path)
        run = subprocess.run([os.path.join(build, "tests/reference/run_reference"), "--dtype", "F64", "--limit", "1e-9",
                              folder, path], capture_output=True, text=True)
        logits = [line for line in run.stdout.splitlines() if line.startswith("logits")]
        print(f"{name:18s} {before} -> {' '.join([str(groups), *more])}  {logits[0] if logits else run.stderr.strip()}"
              f"{'' if run.returncode == 0 else '  FAILED'}{'  ' + str(faults) if faults else ''}", flush=True)
        return run.returncode == 0 and not faults


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="../../build/release")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    torch.set_num_threads(1)
    make_families.load = make_older_decoders.load
    tr.logging.set_verbosity_error()
    names = options.names or sorted({*make_families.MODELS, *SAID} - NOT_STOCK)
    build = os.path.abspath(options.build)
    results = []
    for name in names:
        made.blocks_of = (make_older_decoders if name in make_older_decoders.MODELS else make_families).blocks_of
        results += [check(name, build, options.keep and name not in SAID, *run) for run in runs(name)]
    sys.exit(not all(results))


if __name__ == "__main__":
    main()
