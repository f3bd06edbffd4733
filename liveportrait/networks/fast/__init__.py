"""Exact rewrites of the two expensive networks, W and G: same weights, same images, less computation.

Each fast module is built from the plain one of :mod:`liveportrait.networks`, loaded with the official checkpoint:

- W: keypoint motions are translations, so the 22 sampled feature volumes and the heat maps are products of one factor
  per axis; the sampling grid is the identity plus mask times shift, because the mask sums to 1; every 3-D convolution
  is a 2-D one with the depth as batch; batch norms are folded; a nearest upsampling before a convolution becomes four
  convolutions of 2x2 at low resolution; values that depend on the source only are computed once.
- G: spectral norms are folded; scale and shift of a SPADE layer come from one convolution; the two normalisations of
  one block's input are one, taken before the upsampling; all conditioning convolutions of one size are one.

Convolutions run in the module's type (float32, bfloat16, float16); coordinates, softmax, sampling grid, statistics of
norms and the final sigmoid stay in float32. :class:`Rewrites` switches single rewrites off, to measure each.
"""

from __future__ import annotations

from liveportrait.networks.fast.rewrites import ABLATIONS, Rewrites

__all__ = ["ABLATIONS", "Rewrites"]
