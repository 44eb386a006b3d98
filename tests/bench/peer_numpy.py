#!/usr/bin/env python3
"""What people write today: numpy (and h5py for .h5), whole tensors in memory.

Usage: peer_numpy.py INPUT OUTPUT.safetensors GROUPS HEADS
"""
import json
import struct
import sys

import numpy as np

source, target, groups, heads = sys.argv[1:3] + [int(a) for a in sys.argv[3:]]


def to_f32(bits):
    return (bits.astype("u4") << 16).view("f4")


def to_bf16(x):
    bits = x.astype("f4").view("u4")
    return ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16).astype("<u2")


def pool(bits):
    x = to_f32(bits).reshape(groups, heads // groups, -1, bits.shape[1])
    return to_bf16(x.mean(1, dtype="f8").reshape(-1, bits.shape[1]))


tensors = {}
if source.endswith(".h5"):
    import h5py
    with h5py.File(source) as h5:
        for name, d in h5.items():
            raw = np.empty(d.shape, "<u2")
            d.id.read(h5py.h5s.ALL, h5py.h5s.ALL, raw, mtype=d.id.get_type())
            tensors[name] = raw
else:
    with open(source, "rb") as f:
        n, = struct.unpack("<Q", f.read(8))
        for name, t in json.loads(f.read(n)).items():
            if name != "__metadata__":
                a, b = t["data_offsets"]
                f.seek(8 + n + a)
                tensors[name] = np.fromfile(f, "<u2", (b - a) // 2).reshape(
                    t["shape"])
for name in tensors:
    if ".k_proj." in name or ".v_proj." in name:
        tensors[name] = pool(tensors[name])
header, at = {}, 0
for name, t in tensors.items():
    header[name] = {"dtype": "BF16", "shape": list(t.shape),
                    "data_offsets": [at, at + t.nbytes]}
    at += t.nbytes
text = json.dumps(header).encode()
with open(target, "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text)
    for t in tensors.values():
        t.tofile(f)
