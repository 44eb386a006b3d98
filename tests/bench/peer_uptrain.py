#!/usr/bin/env python3
"""A step of distillation as people write it with PyTorch, timed.

Usage: peer_uptrain.py CONFIG GROUPS BATCH LENGTH STEPS [--compile] [--recompute]

A Llama of the shape that CONFIG (a config.json) says, with random weights:
the original and one with GROUPS key and value heads, of which attention's
weights alone are trained towards the original's logits. bf16 autocast, frozen
weights held once and in bf16, attention by SDPA on cuDNN, fused AdamW,
gradients clipped. Prints tokens/s of the median step, and memory at its peak.
"""
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

flags = [a for a in sys.argv[1:] if a.startswith("--")]
path, *numbers = [a for a in sys.argv[1:] if not a.startswith("--")]
groups, batch, length, steps = map(int, numbers)
config = json.load(open(path))
width, heads = config["hidden_size"], config["num_attention_heads"]
layers, hidden = config["num_hidden_layers"], config["intermediate_size"]
vocab, eps = config["vocab_size"], config.get("rms_norm_eps", 1e-6)
dim = width // heads
device = torch.device("cuda")
torch.manual_seed(0)


def weight(rows, columns, trained=False):
    w = torch.randn(rows, columns, device=device) * columns**-0.5
    return torch.nn.Parameter(w) if trained else w.bfloat16()


def norm(x, w):
    return F.rms_norm(x.float(), (width,), w, eps).to(torch.bfloat16)


def turn(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


positions = torch.arange(length, device=device)[:, None]
rates = 10000.0 ** (-torch.arange(0, dim, 2, device=device) / dim)
cos, sin = (f(positions * rates).bfloat16() for f in (torch.cos, torch.sin))
shared = [
    {
        "gate": weight(hidden, width), "up": weight(hidden, width),
        "down": weight(width, hidden),
        "norm": torch.ones(width, device=device),
        "norm2": torch.ones(width, device=device),
    }
    for _ in range(layers)
]
embedding, unembedding = weight(vocab, width), weight(vocab, width)
last = torch.ones(width, device=device)


def attention(n, trained):
    return {
        "q": weight(width, width, trained), "k": weight(n * dim, width, trained),
        "v": weight(n * dim, width, trained), "o": weight(width, width, trained),
    }


teacher = [attention(heads, False) for _ in range(layers)]
student = [attention(groups, True) for _ in range(layers)]


def block(x, own, mine):
    y = norm(x, own["norm"])
    q, k, v = (
        F.linear(y, mine[name]).unflatten(-1, (-1, dim)).transpose(1, 2)
        for name in "qkv"
    )
    y = F.scaled_dot_product_attention(
        turn(q, cos, sin), turn(k, cos, sin), v, is_causal=True,
        enable_gqa=k.shape[1] != heads)
    x = x + F.linear(y.transpose(1, 2).flatten(2), mine["o"])
    y = norm(x, own["norm2"])
    y = F.silu(F.linear(y, own["gate"])) * F.linear(y, own["up"])
    return x + F.linear(y, own["down"])


def run(tokens, attentions, recompute=False):
    x = F.embedding(tokens, embedding)
    for own, mine in zip(shared, attentions):
        if recompute:
            x = checkpoint(block, x, own, mine, use_reentrant=False)
        else:
            x = block(x, own, mine)
    return F.linear(norm(x, last), unembedding)


def loss_of(tokens):
    with torch.no_grad():
        p = F.log_softmax(run(tokens, teacher).float(), -1)
    q = F.log_softmax(
        run(tokens, student, "--recompute" in flags).float(), -1)
    return F.kl_div(q.flatten(0, 1), p.flatten(0, 1), log_target=True,
                    reduction="batchmean")


if "--compile" in flags:
    loss_of = torch.compile(loss_of)
weights = [w for layer in student for w in layer.values()]
optimiser = torch.optim.AdamW(weights, lr=1e-4, betas=(0.9, 0.95),
                              weight_decay=0, fused=True)
seconds = []
with sdpa_kernel([SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION]):
    for step in range(steps):
        tokens = torch.randint(vocab, (batch, length), device=device)
        torch.cuda.synchronize()
        start = time.perf_counter()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = loss_of(tokens)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
median = statistics.median(seconds[steps // 3:])
print(f"{' '.join(flags) or 'eager'}: {batch * length / median:.0f} tokens/s, "
      f"{median * 1e3:.2f} ms a step, "
      f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB, "
      f"PyTorch {torch.__version__}, {torch.cuda.get_device_name()}")
