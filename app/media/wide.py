"""Map HDR and wide-gamut frames to sRGB with FFmpeg's scale filter where PyAV's reformatter can't."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

import av
import av.filter

from models.messages import msg

# FFmpeg's names of the code points of ITU-T H.273 (libavutil/pixdesc.c)
TRANSFERS: Final = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "linear", 13: "iec61966-2-1",
    14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084", 18: "arib-std-b67",
}  # fmt: skip
PRIMARIES: Final = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020", 11: "smpte431", 12: "smpte432",
}  # fmt: skip

# PyAV 17 (the newest for Python 3.10) only tags the result with the requested primaries and transfer curve
REFORMATTER_MAPS: Final = int(av.__version__.split(".")[0]) >= 18


class WideToRGB:
    """Converts frames to RGB with BT.709 primaries; the filter graph is kept while size and format stay the same.

    Args:
        size: Width and height of the result.
        flags: Names of swscale's flags, joined by "+".
    """

    def __init__(self, size: tuple[int, int], flags: str) -> None:
        self._size, self._flags = size, flags
        self._kind: tuple[Any, ...] = ()
        self._graph: Any = None

    def __call__(self, frame: Any, matrix: str, transfer: int, alpha: bool) -> Any:
        """The frame as rgb24 or rgba.

        Args:
            frame: PyAV video frame whose primaries and curve are tagged.
            matrix: Name of its YUV matrix in FFmpeg's scale filter, or "rgb".
            transfer: Code point of the curve of the result.
            alpha: Keep the transparency.

        Raises:
            ValueError: A primary or curve that FFmpeg can't map.
            av.FFmpegError: FFmpeg refuses the combination.
        """
        full = int(frame.color_range) == 2 or frame.format.name.startswith("yuvj")
        curve, primaries = TRANSFERS.get(int(frame.color_trc)), PRIMARIES.get(int(frame.color_primaries))
        if curve is None or primaries is None:
            raise ValueError(
                msg(
                    "no mapping from primaries {color_primaries}, curve {color_trc}",
                    int(frame.color_primaries), int(frame.color_trc)
                )
            )  # fmt: skip
        kind = (
            frame.width,
            frame.height,
            frame.format.name,
            full,
            matrix,
            curve,
            primaries,
            TRANSFERS[transfer],
            alpha,
        )
        if kind != self._kind:
            self._graph, self._kind = self._build(*kind), kind
        self._graph.push(frame)
        return self._graph.pull()

    def _build(
        self, width: int, height: int, format: Any, full: bool, matrix: str, curve: str, primaries: str, to: str,
        alpha: bool,
    ) -> Any:  # fmt: skip
        graph = av.filter.Graph()
        graph.threads = 1
        source = graph.add_buffer(width=width, height=height, format=format, time_base=Fraction(1, 1000))
        options = {
            "w": self._size[0], "h": self._size[1], "flags": self._flags,
            "in_range": "full" if full else "limited", "out_range": "full",
            "in_transfer": curve, "in_primaries": primaries, "out_transfer": to, "out_primaries": "bt709",
        }  # fmt: skip
        if matrix != "rgb":
            options["in_color_matrix"] = matrix
        scale = graph.add("scale", ":".join(f"{name}={value}" for name, value in options.items()))
        form = graph.add("format", "pix_fmts=rgba" if alpha else "pix_fmts=rgb24")
        chain = [source, scale, form, graph.add("buffersink")]
        for one, other in pairwise(chain):
            one.link_to(other)
        graph.configure()
        return graph
