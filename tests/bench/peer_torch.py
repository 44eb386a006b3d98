#!/usr/bin/env python3
"""What people write today with torch and safetensors.

Usage: peer_torch.py INPUT.safetensors OUTPUT.safetensors GROUPS HEADS
"""
import sys

from safetensors.torch import load_file, save_file

source, target, groups, heads = sys.argv[1:3] + [int(a) for a in sys.argv[3:]]
tensors = load_file(source)
for name, t in tensors.items():
    if ".k_proj." in name or ".v_proj." in name:
        pooled = t.double().view(groups, heads // groups, -1, t.shape[1])
        tensors[name] = pooled.mean(1).to(t.dtype).reshape(-1, t.shape[1])
save_file(tensors, target, metadata={"format": "pt"})
