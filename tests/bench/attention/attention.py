#!/usr/bin/env python3
"""Attention kernels against float64 and against PyTorch's flash backend.

    attention.py LIBRARY.so [--check | --quick | --time]

--check compares with float64 on odd shapes, exit 1 on a failure; --quick is
one small launch of each kernel, for compute-sanitizer; --time prints a table
of times by CUDA-graph replay, both in this process, inputs rotated past the
L2. Without a device the exit status is 77.
"""
import ctypes
import sys

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

BANDWIDTH = 4.3e12
DECODE, PREFILL, HOPPER = range(3)  # as attention_library.cu numbers them
library = None


class Case:
    """One attention: tensors as gqa_attention_op lays them out."""

    def __init__(self, seqs, heads, groups, dim, counts, new=1, window=0,
                 causal=True, bias=False, dtype=torch.bfloat16, capacity=None,
                 fused=False, scale=None, seed=0):
        gen = torch.Generator("cuda").manual_seed(seed)
        capacity = capacity or max(counts)
        self.shape = (seqs, heads, groups, dim, new)
        self.counts, self.window, self.causal = counts, window, causal
        self.dtype, self.capacity = dtype, capacity
        self.scale = scale or dim ** -0.5
        # Fused: the heads of a row lie in blocks of group size + 2 (Q, K, V).
        self.per_block = heads // groups if fused else heads
        self.block = (heads // groups + 2) * dim if fused else 0
        self.width = groups * self.block if fused else heads * dim

        def normal(*size):
            return torch.randn(*size, device="cuda", generator=gen,
                               dtype=torch.float32).to(dtype)
        self.q = normal(seqs * new, self.width)
        self.k = normal(seqs, groups, capacity, dim)
        self.v = normal(seqs, groups, capacity, dim)
        for s, n in enumerate(counts):  # what lies past the keys is not read
            self.k[s, :, n:] = float("nan")
            self.v[s, :, n:] = float("nan")
        self.starts = torch.tensor([n - new if causal else 0 for n in counts],
                                   dtype=torch.int64, device="cuda")
        self.n_keys = torch.tensor(counts, dtype=torch.int64, device="cuda")
        self.reach = max(capacity, new)
        self.bias = torch.randn(heads, 2 * self.reach - 1, device="cuda",
                                generator=gen) if bias else None
        self.out = torch.full((seqs * new, heads * dim), float("nan"),
                              device="cuda", dtype=dtype)
        self.work = torch.full((seqs * new * heads * 128 * (dim + 2)
                                if new <= 64 else 1,), float("nan"),
                               device="cuda")

    def run(self, kind):
        seqs, heads, groups, dim, new = self.shape
        numbers = (ctypes.c_int64 * 15)(
            self.width, 0, self.per_block, self.block, seqs, new, heads,
            groups, dim, self.capacity, self.window, max(self.counts),
            self.reach, self.dtype == torch.bfloat16, self.causal)
        tensors = (self.out, self.q, self.k, self.v, self.starts, self.n_keys,
                   self.bias, self.work)
        pointers = (ctypes.c_void_p * 8)(
            *[None if t is None else t.data_ptr() for t in tensors])
        status = library.attention(
            numbers, pointers, ctypes.c_float(self.scale), kind,
            ctypes.c_void_p(torch.cuda.current_stream().cuda_stream))
        if status:
            raise SystemExit(f"launch failed: {status}")

    def query(self):
        """Q as [sequences, heads, new, dim]."""
        seqs, heads, groups, dim, new = self.shape
        if self.block:
            q = self.q.view(seqs, new, groups, heads // groups + 2, dim)
            q = q[:, :, :, :heads // groups].reshape(seqs, new, heads, dim)
        else:
            q = self.q.view(seqs, new, heads, dim)
        return q.transpose(1, 2)

    def reference(self):
        seqs, heads, groups, dim, new = self.shape
        q = self.query().double()
        out = torch.zeros(seqs, new, heads, dim, device="cuda",
                          dtype=torch.float64)
        for s, n in enumerate(self.counts):
            for h in range(heads):
                g = h // (heads // groups)
                score = q[s, h] @ self.k[s, g, :n].double().T * self.scale
                p = self.starts[s] + torch.arange(new, device="cuda")
                c = torch.arange(n, device="cuda")
                apart = c[None, :] - p[:, None]
                if self.bias is not None:
                    score += self.bias[h].double()[apart + self.reach - 1]
                if self.causal:
                    score[apart > 0] = float("-inf")
                    if self.window:
                        score[apart <= -self.window] = float("-inf")
                out[s, :, h] = score.softmax(-1) @ self.v[s, g, :n].double()
        return out.reshape(seqs * new, heads * dim)

    def flash(self, q):
        seqs, heads, groups, dim, new = self.shape
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            return F.scaled_dot_product_attention(
                q, self.k, self.v, scale=self.scale, enable_gqa=True,
                is_causal=new > 1)


def error(out, reference):
    return ((out.double() - reference).norm() / reference.norm()).item()


def check():
    cases = []
    for dim in (64, 128):
        for heads, groups in ((4, 4), (8, 2), (16, 2), (24, 1), (64, 1)):
            cases.append(dict(seqs=3, heads=heads, groups=groups, dim=dim,
                              counts=[1, 77, 513]))
    cases += [
        dict(seqs=2, heads=8, groups=2, dim=64, counts=[4099, 65]),
        dict(seqs=2, heads=8, groups=2, dim=128, counts=[5001, 4097],
             window=100),
        dict(seqs=2, heads=8, groups=2, dim=64, counts=[700, 130], bias=True,
             scale=1.0),
        dict(seqs=2, heads=8, groups=8, dim=64, counts=[300, 31],
             causal=False),
        dict(seqs=2, heads=8, groups=2, dim=64, counts=[200, 129],
             dtype=torch.float16),
        dict(seqs=2, heads=8, groups=2, dim=128, counts=[200, 129],
             capacity=333, fused=True, dtype=torch.float16),
        dict(seqs=2, heads=8, groups=2, dim=128, counts=[200, 129], new=5),
        dict(seqs=2, heads=8, groups=2, dim=64, counts=[200, 129], new=33,
             bias=True, window=50),
    ]
    long = [
        dict(seqs=2, heads=4, groups=2, dim=64, counts=[333, 400], new=333),
        dict(seqs=2, heads=4, groups=1, dim=128, counts=[257, 511], new=257),
        dict(seqs=2, heads=4, groups=4, dim=128, counts=[257, 300], new=200,
             window=70, fused=True),
        dict(seqs=2, heads=4, groups=2, dim=64, counts=[190, 99], new=130,
             causal=False, bias=True, scale=1.0, capacity=200),
        dict(seqs=1, heads=4, groups=2, dim=128, counts=[1000], new=1000,
             dtype=torch.float16),
        dict(seqs=1, heads=2, groups=2, dim=64, counts=[4200], new=4200),
    ]
    failed = 0
    for keys in cases + long:
        kinds = [DECODE] if keys.get("new", 1) <= 64 else []
        if keys.get("new", 1) > 1:
            kinds.append(PREFILL)
            if not keys.get("bias") and torch.cuda.get_device_capability()[0] == 9:
                kinds.append(HOPPER)
        for kind in kinds:
            case = Case(**keys)
            case.run(kind)
            first = case.out.clone()
            case.out.fill_(float("nan"))
            case.run(kind)
            err = error(case.out, case.reference())
            limit = 5e-3 if case.dtype == torch.bfloat16 else 1e-3
            good = err < limit and torch.equal(first, case.out)
            failed += not good
            print("ok  " if good else "FAIL",
                  ("decode ", "prefill", "hopper ")[kind], f"{err:.2e}", keys,
                  flush=True)
    return failed


def graph_ms(calls, rounds=20):
    """Median time of one call, by replay of a graph of them all."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for call in calls:
            call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    times = []
    for _ in range(rounds):
        a, b = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        a.record()
        graph.replay()
        b.record()
        b.synchronize()
        times.append(a.elapsed_time(b) / len(calls))
    return sorted(times)[len(times) // 2]


def timing():
    decode = [(32, 64, 64, 64, 4096), (32, 64, 32, 64, 4096),
              (32, 64, 16, 64, 4096), (32, 64, 8, 64, 4096),
              (32, 64, 4, 64, 4096), (32, 64, 1, 64, 4096),
              (32, 32, 32, 128, 4096), (32, 32, 8, 128, 4096),
              (32, 32, 4, 128, 4096), (1, 32, 8, 128, 32768),
              (16, 64, 8, 128, 8192), (1, 64, 8, 128, 131072),
              (128, 64, 8, 64, 512)]
    print("| B, H, G, d, N | flash ms | ours ms | flash / ours "
          "| share of the floor | error flash | error ours |")
    print("|---|---|---|---|---|---|---|")
    for seqs, heads, groups, dim, n in decode:
        size = 4 * seqs * groups * n * dim
        sets = max(2, min(16, int(4e8 / size) + 1))
        cases = [Case(seqs, heads, groups, dim, [n] * seqs, seed=i)
                 for i in range(sets)]
        calls = max(sets, 8)
        ours = [lambda c=cases[i % sets]: c.run(DECODE) for i in range(calls)]
        queries = [c.query().contiguous() for c in cases]
        theirs = [lambda c=cases[i % sets], q=queries[i % sets]: c.flash(q)
                  for i in range(calls)]
        a, b = graph_ms(theirs), graph_ms(ours)
        small = Case(1, heads, groups, dim, [n])
        small.run(DECODE)
        ref = small.reference()
        err = error(small.flash(small.query().contiguous())
                    .transpose(1, 2).reshape(1, -1), ref)
        print(f"| {seqs}, {heads}, {groups}, {dim}, {n} | {a:.4f} | {b:.4f} | "
              f"{a / b:.2f} | {size / BANDWIDTH * 1e3 / b:.0%} | {err:.1e} | "
              f"{error(small.out, ref):.1e} |", flush=True)
    hopper = torch.cuda.get_device_capability()[0] == 9
    kind = HOPPER if hopper else PREFILL
    print("\n| B, H, G, d, N causal prefill | flash TFLOP/s | ours TFLOP/s | "
          "flash / ours (time) | by mma.sync TFLOP/s |\n|---|---|---|---|---|")
    for seqs, heads, groups, dim, n in ((4, 32, 8, 128, 4096),
                                        (8, 64, 8, 64, 2048)):
        case = Case(seqs, heads, groups, dim, [n] * seqs, new=n)
        q = case.query().contiguous()
        work = 2 * seqs * heads * n * n * dim / 1e9
        a, b, c = (sorted(times)[1] for times in zip(*(
            [graph_ms([call] * 4) for call in (
                lambda: case.flash(q), lambda: case.run(kind),
                lambda: case.run(PREFILL))] for _ in range(3))))
        print(f"| {seqs}, {heads}, {groups}, {dim}, {n} | {work / a:.0f} | "
              f"{work / b:.0f} | {a / b:.2f} | {work / c:.0f} |", flush=True)


def main():
    global library
    if not torch.cuda.is_available():
        return 77
    library = ctypes.CDLL(sys.argv[1])
    mode = sys.argv[2] if len(sys.argv) > 2 else "--check"
    if mode == "--quick":
        for keys in (dict(new=1, counts=[100, 1000]),
                     dict(new=7, counts=[100, 61])):
            case = Case(2, 8, 2, 64, bias=True, window=90, **keys)
            case.run(DECODE)
            case.run(PREFILL)
        if torch.cuda.get_device_capability()[0] == 9:
            for dim in (64, 128):
                Case(2, 4, 2, dim, [400, 333], new=300, window=90).run(HOPPER)
        torch.cuda.synchronize()
        return 0
    if mode == "--time":
        timing()
        return 0
    return 1 if check() else 0


sys.exit(main())
