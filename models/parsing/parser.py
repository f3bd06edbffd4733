"""Face parsing at run time: one of our ONNX files, or a user's file of the common BiSeNet or LaPa kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
import numpy.typing as npt

from models.parsing.classes import BISENET, CLASSES, IGNORED, LAPA, Labels, fold, index
from models.parsing.square import Square, face_square
from models.probe import open_model
from models.registry import ModelError
from models.weights import model_path

if TYPE_CHECKING:
    import onnxruntime

Image = npt.NDArray[np.uint8]
Map = npt.NDArray[np.float32]
MEAN: Final = (123.675, 116.28, 103.53)
STD: Final = (58.395, 57.12, 57.375)
FOREIGN: Final = {len(BISENET): BISENET, len(LAPA): LAPA}
"""Number of outputs of a third-party network -> order of its labels."""
SIDES: Final = (32, 2048)
"""Smallest and largest input."""
OURS: Final = "parsing_classes"
"""Metadata entry with the names of the classes, separated by commas."""


@dataclass(frozen=True)
class Parsed:
    """Result of a parser for one image.

    Attributes:
        probabilities: (C, S, S) in the crop.
        names: Class of each.
        square: Position of the crop in the image.
        shape: Height and width of the image.
    """

    probabilities: Map
    names: tuple[str, ...]
    square: Square
    shape: tuple[int, int]

    def share(self, names: Iterable[str]) -> Map:
        """(H, W) 0..1: probability of these classes at each pixel; outside the crop, its border is repeated."""
        wanted = {fold(name, len(CLASSES)) for name in names}
        total = np.zeros(self.probabilities.shape[1:], np.float32)
        for name, values in zip(self.names, self.probabilities, strict=True):
            if name in wanted:
                total += values
        return self._placed(total, cv2.INTER_LINEAR)

    def labels(self) -> Labels:
        """(H, W) label of the most probable class."""
        height, width = self.shape
        best = np.zeros((height, width), np.float32) - 1
        out = np.full((height, width), IGNORED, np.uint8)
        for name, values in zip(self.names, self.probabilities, strict=True):
            placed = self._placed(values, cv2.INTER_LINEAR)
            better = placed > best
            out[better], best = index(name), np.maximum(best, placed)
        return out

    def _placed(self, values: Map, interpolation: int) -> Map:
        matrix = self.square.matrix(values.shape[0])
        flags = interpolation | cv2.WARP_INVERSE_MAP
        return np.asarray(
            cv2.warpAffine(values, matrix, self.shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32
        )


class FaceParser:
    """Parses faces; the session is opened on first use.

    Args:
        model: Registered name with weights ("parse/osa_micro"), or the path of an ONNX file: one written by
            tools/train_parser.py, or one with 19 outputs in the order of the common BiSeNet parsers or 11 in that of
            LaPa, which takes images normalised by ImageNet's mean and deviation.
        threads: Threads of the session.
    """

    def __init__(self, model: str | Path, threads: int = 1) -> None:
        self.model = str(model)
        self._threads = threads

    @cached_property
    def path(self) -> Path:
        """The file.

        Raises:
            ModelError: There is none; the text says what to do.
        """
        return parser_path(self.model)

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        session = open_model(self.path, self._threads)
        inputs = session.get_inputs()
        shape = inputs[0].shape if len(inputs) == 1 else []
        if len(shape) != 4 or shape[1] != 3 or inputs[0].type != "tensor(float)":
            raise ModelError(
                f"{self.path} is not a face parser: its input has the shape {shape}, not (1, 3, size, size)."
            )
        sides = {side for side in shape[2:] if isinstance(side, int)}
        if len(sides) > 1 or not all(SIDES[0] <= side <= SIDES[1] for side in sides):
            raise ModelError(
                f"{self.path} needs images of {shape[3]} x {shape[2]} px; only squares of {SIDES[0]} to "
                f"{SIDES[1]} px are supported."
            )
        return session

    @cached_property
    def _own(self) -> tuple[str, ...]:
        """Classes of one of our files; empty for others."""
        named = self._session.get_modelmeta().custom_metadata_map.get(OURS, "")
        names = tuple(filter(None, named.split(",")))
        if unknown := [name for name in names if name not in CLASSES]:
            raise ModelError(f"{self.path} has the unknown class {unknown[0]!r}.")
        return names

    @property
    def size(self) -> int:
        """Side of the network's input images."""
        sides = [side for side in self._session.get_inputs()[0].shape[2:] if isinstance(side, int)]
        return sides[0] if sides else 512

    def __call__(self, rgb: Image, points: npt.NDArray[np.floating]) -> Parsed:
        """Parse one face.

        Args:
            rgb: (H, W, 3) uint8.
            points: (478, 2 or 3) mesh in its pixels.

        Raises:
            ModelError: The file is missing, or is not a face parser.
        """
        square = face_square(points)
        size = self.size
        matrix = square.matrix(size)
        if square.side > 1.7 * size:  # against aliasing
            rgb = np.asarray(cv2.GaussianBlur(rgb, (0, 0), 0.4 * square.side / size), np.uint8)
        view = cv2.warpAffine(rgb, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        pixels = np.asarray(view, np.float32)
        if not self._own:
            pixels = np.asarray((pixels - np.asarray(MEAN)) / np.asarray(STD), np.float32)
        feed = {self._session.get_inputs()[0].name: np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])}
        answer = np.asarray(self._session.run([self._session.get_outputs()[0].name], feed)[0])
        found = np.asarray(answer, np.float32) if answer.dtype.kind in "fiub" else np.zeros(0, np.float32)
        names = self._own or self._foreign(found.shape)
        if found.ndim != 4 or found.shape[1] != len(names):
            raise ModelError(f"{self.path} outputs {found.shape} for {len(names)} classes; it is not a face parser.")
        if not 1 <= min(found.shape[2:]) <= max(found.shape[2:]) <= SIDES[1] or not np.isfinite(found).all():
            raise ModelError(
                f"{self.path} outputs values that are not finite or of an unsupported size; it is damaged."
            )
        maps = found[0]
        if not self._own:
            maps = np.exp(maps - maps.max(axis=0, keepdims=True)).astype(np.float32)
            maps = np.asarray(maps / maps.sum(axis=0, keepdims=True), np.float32)
        return Parsed(maps, names, square, (rgb.shape[0], rgb.shape[1]))

    def _foreign(self, shape: Sequence[int]) -> tuple[str, ...]:
        if len(shape) != 4 or shape[1] not in FOREIGN:
            raise ModelError(
                f"{self.path} outputs {tuple(shape)}; a face parser that was not trained with this program must have "
                "19 outputs in the order of BiSeNet, or 11 in that of LaPa."
            )
        return FOREIGN[shape[1]]


def parser_path(model: str) -> Path:
    """File of a parser.

    Args:
        model: Registered name or path.

    Raises:
        ModelError: There is no such file or name, or it is the name of a network without weights.
    """
    if model.lower().endswith(".onnx"):
        path = Path(model).expanduser()
        if not path.is_file():
            raise ModelError(f"{model} does not exist; pass the ONNX file of a face parser.")
        return path
    from models.backbones import BACKBONES
    from models.registry import list_models

    if model in list_models("parse/*"):
        return model_path(model)
    with_weights = list_models("parse/*")
    hint = f"those with weights are {', '.join(with_weights)}" if with_weights else "none is shipped"
    if model.partition("/")[0] == "parse" and model.partition("/")[2] in BACKBONES:
        raise ModelError(f"{model} is a network without weights ({hint}); train one with tools/train_parser.py.")
    raise ModelError(f"There is no face parser {model!r}; {hint}, or pass the path of an ONNX file.")
