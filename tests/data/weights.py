"""Weights of the fixtures: random, seeded by name, different in every tensor.

`fill(name, shape)` gives float64 values; `awkward(heads, mantissa, emin, emax)` writes into a view
[H, ...] of K or V the values on which a careless mean goes wrong. numpy only; `newer_format` patches the h5py it is given.
"""
import contextlib
import functools
import zlib

import numpy as np

# significand bits after the point, smallest and largest exponent of a normal number
FORMATS = {"F64": (52, -1022, 1023), "F32": (23, -126, 127), "F16": (10, -14, 15), "BF16": (7, -126, 127)}


def fill(name, shape, scale=0.25):
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    shape = tuple(int(n) for n in shape)
    return rng.standard_normal(shape) * scale + (1.0 if name.rsplit(".", 1)[0].endswith("norm") else 0.0)


def awkward(heads, dtype):
    """heads: writable view [H, n] (H >= 2, n >= 9), float64; every value is exact in `dtype`."""
    bits, emin, emax = FORMATS[dtype]
    ulp, tiny, huge = 2.0 ** -bits, 2.0 ** (emin - bits), (2.0 - 2.0 ** -bits) * 2.0 ** emax
    if dtype == "F64":
        huge /= 64  # the sum has to stay finite
    rows = [
        (1.0, 1.0 + ulp),                # m = 2: a tie, down to even
        (1.0 + ulp, 1.0 + 2 * ulp),      # a tie, up to even
        (tiny, 2 * tiny),                # ties among subnormals
        (tiny, 0.0),                     # ... to zero
        (huge, huge),                    # a sum that overflows in the type itself
        (huge, -huge, tiny),             # ... and one in which small terms vanish
        (4.0, 2 * ulp, 1e-3, 1e-3),      # a tie at m = 2
        (6.0, 3 * ulp, 2.0 ** emin * 4 if dtype == "F16" else 2.0 ** -(bits + 24)),
        # m = 3: just above a tie: wrong when rounded twice
    ]
    heads[:, 0] = -0.0
    for i, values in enumerate(rows, 1):
        for h, value in enumerate(values[: len(heads)]):
            heads[h, i] = value


@contextlib.contextmanager
def newer_format(h5py):
    """Files in the format of HDF5 1.8 to 1.10, not of the earliest: groups take a tenth of the room.

    Such groups carry the time of writing, so the bytes (not the contents) differ from run to run.
    """
    original = h5py.File.__init__
    h5py.File.__init__ = functools.partialmethod(original, libver=("v108", "v110"))
    try:
        yield
    finally:
        h5py.File.__init__ = original
