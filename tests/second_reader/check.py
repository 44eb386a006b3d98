"""Convert every fixture to .gqa and read the results with the second reader.

usage: check.py GQA-CONVERT TEST-DATA SCRATCH

Then files with one thing different (make_gqa.py) are given to both readers.
run.sh calls this.
"""
import io
import itertools
import json
import os
import shutil
import subprocess
import sys

import make_gqa
import read_gqa

OPTIONS = [
    ["--groups=1", "--attention=all", "--expand"],
    ["--groups=1", "--attention=decoder-self"],
    ["--layer-groups=0=1"],
    ["--layer-groups=0=1", "--expand"],
    ["--groups=1", "--dtype=bf16", "--method=first"],
    ["--groups=1", "--method=random", "--seed=7", "--expand"],
]
HERE = os.path.dirname(os.path.abspath(__file__))


class Check:
    def __init__(self, convert, data, scratch):
        self.convert, self.data, self.scratch = convert, data, scratch
        self.counts = dict.fromkeys(
            ["conversions", "tensors", "zstd", "options", "good", "bad",
             "forged"], 0)
        self.failures = 0

    def fail(self, what, why):
        print(f"FAILED {what}: {why}")
        self.failures += 1

    def path(self, name):
        return os.path.join(self.scratch, name)

    def run(self, *words):
        return subprocess.run(words, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=300,
                              errors="replace")

    def conversion(self, fixture, case, options):
        """One conversion; its tensors are those of expected.json."""
        groups = case["groups"]
        what = " ".join([fixture["fixture"], f"--groups {groups}", *options])
        out = self.path("out.gqa")
        done = self.run(self.convert, "--quiet", "--force", "--allow-extra",
                        f"--groups={groups}", *options,
                        os.path.join(self.data, fixture["fixture"]), out)
        if done.returncode or done.stderr:
            return self.fail(what, f"exit {done.returncode}: {done.stderr}")
        try:
            with open(out, "rb") as file:
                gqa = read_gqa.Gqa(file)
                gqa.verify()
                rows = gqa.rows()
        except read_gqa.Refused as error:
            return self.fail(what, error)
        want = [[tensor["name"], tensor["dtype"], tensor["shape"],
                 tensor["sha256"]]
                for tensor in fixture["copied"] + case["pooled"]]
        if sorted(rows) != sorted(want):
            for row in sorted(map(str, rows)):
                if row not in map(str, want):
                    print("only in the file:", row)
            for row in sorted(map(str, want)):
                if row not in map(str, rows):
                    print("only expected:", row)
            return self.fail(what, "other tensors than expected")
        self.counts["conversions"] += 1
        self.counts["tensors"] += len(rows)
        if shutil.which("zstd"):
            self.zstd(what, out)

    def zstd(self, what, path):
        """What the zstd program makes of it is the content."""
        plain = self.path("out.safetensors")
        with open(plain, "wb") as file:
            subprocess.run(["zstd", "-q", "-dc", path], stdout=file,
                           check=True)
        done = self.run(sys.executable, os.path.join(HERE, "read_gqa.py"),
                        "--against", plain, path)
        if done.returncode or ": ok: " not in done.stdout:
            return self.fail(what, done.stderr)
        with open(plain, "ab") as file:
            file.write(b"\0")
        done = self.run(sys.executable, os.path.join(HERE, "read_gqa.py"),
                        "--against", plain, path)
        if done.returncode != 2 or done.stdout:
            return self.fail(what, "a byte more makes no difference")
        self.counts["zstd"] += 1

    def fixtures(self):
        with open(os.path.join(self.data, "expected.json"), "rb") as file:
            expected = json.load(file)
        how = itertools.cycle([["--store"], ["--level=3"], []])
        for fixture in expected:
            cases = {case["groups"]: case for case in fixture["cases"]}
            some = sorted(cases)
            for groups in sorted({some[0], some[len(some) // 2]}):
                self.conversion(fixture, cases[groups], next(how))
        return expected

    def options(self):
        """Other shapes, types and configurations: section 7 and 8."""
        for fixture, options in itertools.product(
                ["flan-t5", "llama-grouped", "gpt2", "gpt_neox", "qwen2"],
                OPTIONS):
            what = " ".join([fixture, *options])
            out = self.path("out.gqa")
            done = self.run(self.convert, "--quiet", "--force", *options,
                            os.path.join(self.data, "good", fixture), out)
            try:
                if done.returncode or done.stderr:
                    raise read_gqa.Refused(done.stderr)
                with open(out, "rb") as file:
                    read_gqa.Gqa(file).verify()
            except read_gqa.Refused as error:
                self.fail(what, error)
            self.counts["options"] += 1

    def variant(self, verdict, what, data, groups):
        """Both readers on one file of make_gqa.py."""
        file = io.BytesIO(data)
        try:
            gqa = read_gqa.Gqa(file)
            gqa.verify()
            why = None
        except read_gqa.Refused as error:
            why = str(error)
        if (why is None) != (verdict == "good"):
            self.fail(what, f"the second reader: {why}")

        folder = self.path("variant")
        os.mkdir(folder)
        source = self.path("variant.gqa")
        with open(source, "wb") as file:
            file.write(data)
        out = os.path.join(folder, "out.gqa")
        done = self.run(self.convert, "--quiet", f"--groups={groups}",
                        "--allow-extra", source, out)
        left = os.listdir(folder)
        if done.returncode == 0 and verdict == "good":
            self.accepted(what, done, out)
        elif done.returncode == 0 and verdict == "forged":
            pass    # gqa-convert compares no digests of tensors
        elif done.returncode != 2 or verdict == "good":
            self.fail(what, f"gqa-convert: exit {done.returncode}: "
                      f"{done.stdout}{done.stderr}")
        elif left:
            self.fail(what, f"gqa-convert leaves {left}")
        elif done.stdout or "gqa-convert: " not in done.stderr:
            self.fail(what, f"gqa-convert says {done.stdout!r} and "
                      f"{done.stderr!r}")
        shutil.rmtree(folder)
        self.counts[verdict] += 1

    def accepted(self, what, done, out):
        if done.stderr:
            self.fail(what, f"gqa-convert: {done.stderr}")
        with open(out, "rb") as file:
            gqa = read_gqa.Gqa(file)
            gqa.verify()
        mine = {row[0]: row for row in self.rows}
        theirs = {row[0]: row for row in gqa.rows()}
        if any(theirs.get(name) != row for name, row in mine.items()):
            self.fail(what, "gqa-convert writes other tensors")

    def variants(self):
        """From a fixture with a scalar and a tensor of no bytes."""
        path = self.path("sound.gqa")
        groups = 3
        self.run(self.convert, f"--groups={groups}", "--allow-extra",
                 os.path.join(self.data, "good", "flat-odd"), path)
        with open(path, "rb") as file:
            gqa = read_gqa.Gqa(file)
            self.rows = gqa.rows()
            for verdict, what, data in make_gqa.variants(gqa):
                self.variant(verdict, what, data, groups)


def main():
    check = Check(*sys.argv[1:])
    expected = check.fixtures()
    check.options()
    check.variants()
    counts = check.counts
    print(f"{len(expected)} fixtures, {counts['conversions']} conversions, "
          f"{counts['tensors']} tensors; {counts['zstd']} compared with zstd; "
          f"{counts['options']} with other options; {counts['good']} good, "
          f"{counts['bad']} bad and {counts['forged']} forged files; "
          f"{check.failures} failures")
    complete = counts["conversions"] >= 2 * len(expected) > 0
    return 1 if check.failures or not complete else 0


if __name__ == "__main__":
    sys.exit(main())
