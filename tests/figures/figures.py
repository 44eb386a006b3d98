#!/usr/bin/env python3
"""Recompute gqa-verify's figures from the logits that it dumped.

A second program, written from docs/fidelity.md alone: KL divergence,
perplexities and top-1 of --dump-logits must be those of the report. Nothing
but Python's standard library.

usage: figures.py REPORT.json LOGITS.safetensors TOKENS.txt

TOKENS.txt is what --tokens was given: numbers on each line, labels behind a
"|". Exit status: 0 all figures agree to 1e-9, 1 one does not.
"""
import array
import json
import math
import struct
import sys

LIMIT = 1e-9    # relative; absolute below 1


def read_safetensors(path):
    with open(path, "rb") as file:
        data = file.read()
    (n,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + n])
    return {name: (entry, data[8 + n + entry["data_offsets"][0]:
                               8 + n + entry["data_offsets"][1]])
            for name, entry in header.items() if name != "__metadata__"}


def floats(tensor):
    entry, data = tensor
    values = array.array({"F32": "f", "F64": "d"}[entry["dtype"]], data)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def read_next(path, n_decoder):
    """For each sequence, the token that follows each position, or None."""
    result = []
    with open(path) as file:
        lines = [line for line in file if line.strip()]
    for line, length in zip(lines, n_decoder):
        tokens, _, labels = line.partition("|")
        if labels:
            follow = [int(t) for t in labels.split()]
            follow = [None if t < 0 else t for t in follow]
        else:
            follow = [int(t) for t in tokens.split()][1:] + [None]
        result.append(follow[:length] + [None] * (length - len(follow)))
    return result


def log_softmax(row):
    most = max(row)
    log_sum = most + math.log(math.fsum(math.exp(x - most) for x in row))
    return [x - log_sum for x in row]


def percentile(values, share):
    """The smallest that at least this share of all does not pass."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered) - 1e-12), 1) - 1]


def compute(path, tokens):
    tensors = read_safetensors(path)
    lengths = struct.unpack("<%dq" % tensors["lengths"][0]["shape"][0],
                            tensors["lengths"][1])
    shape = tensors["logits"][0]["shape"]
    assert tensors["original.logits"][0]["shape"] == shape
    converted = floats(tensors["logits"])
    original = floats(tensors["original.logits"])
    follow = read_next(tokens, lengths)
    kl, same, places, log_p, log_q = [], 0, [], [], []
    _, longest, vocab = shape
    for s, length in enumerate(lengths):
        for i in range(length):
            at = (s * longest + i) * vocab
            p = log_softmax(original[at:at + vocab])
            q = log_softmax(converted[at:at + vocab])
            kl.append(max(math.fsum(math.exp(a) * (a - b)
                                    for a, b in zip(p, q)), 0))
            places.append((s, i))
            same += p.index(max(p)) == q.index(max(q))
            if follow[s][i] is not None:
                log_p.append(p[follow[s][i]])
                log_q.append(q[follow[s][i]])
    n = len(log_p)
    differences = [a - b for a, b in zip(log_p, log_q)]
    mean = math.fsum(differences) / n
    squares = math.fsum((d - mean) ** 2 for d in differences)
    worst = places[kl.index(max(kl))]
    return {
        ("finite", "positions"): len(kl),
        ("kl", "mean"): math.fsum(kl) / len(kl),
        ("kl", "p50"): percentile(kl, 0.5),
        ("kl", "p99_9"): percentile(kl, 0.999),
        ("kl", "max"): max(kl),
        ("kl", "max_sequence"): worst[0],
        ("kl", "max_position"): worst[1],
        ("kl-p99", "p99"): percentile(kl, 0.99),
        ("top-1", "same"): same / len(kl),
        ("perplexity", "original"): math.exp(-math.fsum(log_p) / n),
        ("perplexity", "converted"): math.exp(-math.fsum(log_q) / n),
        ("perplexity", "increase"): math.expm1(mean),
        ("perplexity", "log_difference"): mean,
        ("perplexity", "log_difference_error"):
            math.sqrt(squares / (n - 1) / n),
        ("perplexity", "tokens"): n,
    }


def main():
    report, logits, tokens = sys.argv[1:]
    with open(report) as file:
        checks = {check["name"]: check["values"]
                  for check in json.load(file)["checks"]
                  if check["group"] == "fidelity"}
    wrong = 0
    for (check, key), mine in compute(logits, tokens).items():
        theirs = checks[check][key]
        if abs(mine - theirs) > LIMIT * max(abs(mine), 1):
            print(f"{check} {key}: {theirs!r} in the report, {mine!r} here")
            wrong += 1
    print(f"{wrong} figures differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
