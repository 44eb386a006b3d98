"""Frames that a token stands for, as runtime/frames.h says. Needs numpy alone."""
import numpy as np


def mix(x):
    """The finaliser of SplitMix64, of numpy's uint64."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9e3779b97f4a7c15)
        x = (x ^ x >> np.uint64(30)) * np.uint64(0xbf58476d1ce4e5b9)
        x = (x ^ x >> np.uint64(27)) * np.uint64(0x94d049bb133111eb)
    return x ^ x >> np.uint64(31)


def drawn(token, n):
    key = mix(np.uint64(token))
    for letter in b"frames":
        key = mix(key ^ np.uint64(letter))
    numbers = mix(mix(key) ^ mix(np.arange(n, dtype=np.uint64)))
    return np.sqrt(3) * (2 * ((numbers >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53 - 1)
