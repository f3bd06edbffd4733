"""Deterministic weights and inputs for the parity fixtures of the backbones (numpy only).

seed(name)  = first 8 bytes of SHA-256(utf-8 name), little endian
z(name, sh) = Generator(PCG64(seed)).standard_normal(sh) (float64, C order)
Every value is computed in float64 and cast to float32 at the end.

Rules, first match wins (k = state-dict key, sh = shape, mode = "A" | "B"):
  *.num_batches_tracked            0 (int64)
  *.running_mean                   0.1 z
  *.running_var                    0.5 + 0.5 |z|              (B: times 1e-5)
  *.gamma (layer scale)            0.5 + 0.1 z                (B: times 1e-3)
  smoothing.weight                 left as the model made it (fixed kernel)
  ndim >= 2                        z * sqrt(gain / fan_in), fan_in = prod(sh[1:]),
                                   gain = 1
  ndim == 1 and *.bias             0.1 z
  ndim == 1 (norm weight)          1 + 0.1 z                  (B: times sqrt(1e-5) when the
                                   sibling running_var exists, that is for batch norm)
Mode B makes normalisation epsilons visible: variances are of the order of 1e-5.
Input "name" of shape sh: z("input:" + name, sh), float32.
"""

import hashlib
import math

import numpy as np


def seed(name):
    return int.from_bytes(hashlib.sha256(name.encode("utf-8")).digest()[:8], "little")


def z(name, shape):
    return np.random.Generator(np.random.PCG64(seed(name))).standard_normal(shape)


def make_input(name, shape):
    return z("input:" + name, shape).astype(np.float32)


def make_weights(shapes, mode="A", gain=1.0):
    """shapes: {key: shape}. Returns {key: ndarray}; 'smoothing.weight' is skipped."""
    out = {}
    for k in sorted(shapes):
        sh = tuple(shapes[k])
        if k.endswith("num_batches_tracked"):
            out[k] = np.zeros(sh, np.int64)
            continue
        if k == "smoothing.weight":
            continue
        v = z(k, sh)
        if k.endswith("running_mean"):
            v = 0.1 * v
        elif k.endswith("running_var"):
            v = (0.5 + 0.5 * np.abs(v)) * (1e-5 if mode == "B" else 1.0)
        elif k.endswith(".gamma"):
            v = (0.5 + 0.1 * v) * (1e-3 if mode == "B" else 1.0)
        elif len(sh) >= 2:
            v = v * math.sqrt(gain / np.prod(sh[1:]))
        elif k.endswith(".bias"):
            v = 0.1 * v
        else:
            v = 1 + 0.1 * v
            if mode == "B" and (k[: -len("weight")] + "running_var") in shapes:
                v = v * math.sqrt(1e-5)
        out[k] = v.astype(np.float32)
    return out


def subsample(a, limit=2048):
    """Flatten in C order and take every step-th value, step = ceil(size / limit)."""
    a = np.ascontiguousarray(a).reshape(-1)
    step = -(-a.size // limit)
    return a[::step].copy()


def stats(a):
    a = a.astype(np.float64)
    return np.array([a.mean(), a.std(), np.abs(a).max(), a.min()])
