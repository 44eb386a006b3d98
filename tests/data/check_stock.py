"""Whether transformers loads what gqa-convert groups, and computes what gqa's runtime does.

    python check_stock.py [--build BUILD] [--keep] [NAME...]

Of each model of families/ whose class takes fewer KV heads: it is converted to a folder, which is loaded with nothing
missing and nothing left over, and run in float64; run_reference then runs the same folder, and says how far it is from
that. --keep writes what transformers computed to families/NAME/grouped.safetensors, which a test holds the conversion
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
import make_reference as made

# Those that stock classes do not load at all: remote code, and what has no grouped class.
NOT_STOCK = {*make_families.REMOTE, "apertus", "chatglm", "bloom", "bloom-base", "falcon", "falcon-parallel", "gptj", "opt",
             "opt-post"}


def check(name, build, keep):
    source = os.path.join("families", name)
    with tempfile.TemporaryDirectory() as scratch:
        folder = os.path.join(scratch, name)
        config = tr.AutoConfig.from_pretrained(source).get_text_config()
        groups = max(config.num_key_value_heads // 2, 1)
        subprocess.run([os.path.join(build, "convert/gqa-convert"), "-q", "-g", str(groups), source, folder + "/"],
                       check=True)
        whole = tr.AutoConfig.from_pretrained(folder)
        auto = tr.AutoModelForImageTextToText if hasattr(whole, "vision_config") else tr.AutoModelForCausalLM
        _, info = auto.from_pretrained(folder, output_loading_info=True)
        faults = {k: v for k, v in info.items() if v}
        path = os.path.join(source, "grouped.safetensors") if keep else os.path.join(scratch, "reference.safetensors")
        make_families.reference(name, folder, path)
        run = subprocess.run([os.path.join(build, "tests/reference/run_reference"), "--dtype", "F64", "--limit", "1e-9",
                              folder, path], capture_output=True, text=True)
        logits = [line for line in run.stdout.splitlines() if line.startswith("logits")]
        print(f"{name:18s} {config.num_key_value_heads} -> {groups}  {logits[0] if logits else run.stderr.strip()}"
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
    made.blocks_of = make_families.blocks_of
    tr.logging.set_verbosity_error()
    names = options.names or sorted(set(make_families.MODELS) - NOT_STOCK)
    sys.exit(not all([check(name, os.path.abspath(options.build), options.keep) for name in names]))


if __name__ == "__main__":
    main()
