"""The networks as ONNX files: static shapes, one frame, built from the rewritten modules and cached by content.

Two forms: "native" ends in a 5-D GridSample, which ONNX Runtime's CPU and CUDA providers and TensorRT support; "gather"
uses eight gathers instead, for runtimes that only sample in 4-D. In half precision the convolutions are float16 or
bfloat16 and everything that affects coordinates stays float32: the types are in the file, so no runtime has to choose.
W is also written as two files, one for the part that depends on the source only and one for each frame.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from liveportrait.networks.fast.generator import FastGenerator
from liveportrait.networks.fast.kept import find_kept, keep_file
from liveportrait.networks.fast.rewrites import Rewrites
from liveportrait.networks.fast.warping import FastWarping, WarpSource
from liveportrait.networks.generator import SPADEGenerator
from liveportrait.networks.motion_extractor import HEADS, MotionExtractor
from liveportrait.networks.warping import WarpingNetwork
from models.export import OPSET, write_onnx
from models.messages import msg
from models.registry import ModelError

Sampler = Literal["native", "gather"]
Half = Literal["fp16", "bf16"]
INPUT_SIZE: Final = 256
VERSION: Final = 3
"""Part of every file's key; incremented when the graphs change."""
PARTS: Final = {
    "appearance": "appearance_feature_extractor", "motion": "motion_extractor",
    "warping": "warping_module", "source": "warping_module", "frame": "warping_module", "generator": "spade_generator",
}  # fmt: skip
"""Name of a file -> network."""
WARPING_INPUTS: Final = ("feature_3d", "kp_source", "kp_driving")
SOURCE_OUTPUTS: Final = ("compressed", "background", "heat_z", "heat_y", "heat_x")
"""Inputs of W that depend on the source, besides f_s and x_s; see warping.WarpSource."""
BFLOAT_OPSET: Final = 22
"""The first one whose convolutions may be bfloat16."""


@dataclass(frozen=True)
class ExportedPair:
    """Files of W and G.

    Attributes:
        warping: Inputs WARPING_INPUTS (1, 32, 16, s, s), (1, 21, 3), (1, 21, 3); output "out" (1, 256, s, s).
        generator: Input "feature" (1, 256, s, s); output "image" (1, 3, 8s, 8s) in 0..1. All inputs and outputs are
            float32.
        sampler: Form of the last sampling in W.
    """

    warping: Path
    generator: Path
    sampler: Sampler


@dataclass(frozen=True)
class ExportedNetworks:
    """Files of an engine.

    Attributes:
        source: First half of W, once per source: inputs "feature_3d" and "kp_source"; outputs SOURCE_OUTPUTS.
        frame: Second half of W: inputs "feature_3d", "kp_source", SOURCE_OUTPUTS, "kp_driving"; output "out" as in
            ExportedPair.
        generator: As in ExportedPair.
        appearance: F (export_one), or None if it runs elsewhere.
        motion: M, likewise.
    """

    source: Path
    frame: Path
    generator: Path
    appearance: Path | None = None
    motion: Path | None = None


def export_networks(
    networks: Mapping[str, nn.Module],
    folder: Path,
    *,
    sampler: Sampler = "native",
    half: Half | None = None,
    processor: bool = False,
    readers: bool = False,
    size: int = 64,
    say: Callable[[str], None] | None = None,
) -> ExportedNetworks:
    """Write the networks of an engine, with W in two halves, or find files written earlier.

    Args:
        networks: See export_one.
        folder: See export_pair.
        sampler: See export_pair.
        half: Type of the convolutions if not float32.
        processor: See export_one.
        readers: Also write F and M.
        size: See export_pair.
        say: See export_pair.

    Raises:
        ModelError: As for export_pair.
        ValueError: There is no such sampler.
    """

    def write(part: str, half: Half | None) -> Path:
        return export_one(
            part, networks, folder, sampler=sampler, half=half or False, processor=processor, size=size, say=say
        )

    return ExportedNetworks(
        write("source", None),
        write("frame", half),
        write("generator", half),
        write("appearance", None) if readers else None,
        write("motion", None) if readers else None,
    )


def export_pair(
    warping: WarpingNetwork,
    generator: SPADEGenerator,
    folder: Path,
    *,
    sampler: Sampler = "native",
    half: bool = False,
    size: int = 64,
    say: Callable[[str], None] | None = None,
) -> ExportedPair:
    """Write W and G as ONNX files, or find files written earlier.

    Args:
        warping: The plain module with its weights.
        generator: The plain module with its weights.
        folder: Folder of the files; created if missing.
        sampler: See the module.
        half: float16 convolutions.
        size: Height and width of the feature maps; 64 for the official weights.
        say: Called with a line on each file that is written.

    Raises:
        ModelError: The packages onnx and onnxscript are missing, or the folder can't be written.
        ValueError: There is no such sampler.
    """
    networks = {"warping_module": warping, "spade_generator": generator}
    first, second = (
        export_one(part, networks, folder, sampler=sampler, half=half, size=size, say=say)
        for part in ("warping", "generator")
    )
    return ExportedPair(first, second, sampler)


def export_one(
    part: str,
    networks: Mapping[str, nn.Module],
    folder: Path,
    *,
    sampler: Sampler = "native",
    half: bool | Half = False,
    processor: bool = False,
    size: int = 64,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Write one network as an ONNX file, or find a file written earlier.

    Args:
        part: "appearance" or "motion", input "image" (1, 3, 256, 256) in 0..1, output "feature_3d" (1, 32, 16, 64, 64)
            or one per motion_extractor.HEADS; or "warping" or "generator", see ExportedPair; or "source" or "frame",
            see ExportedNetworks.
        networks: Network name (liveportrait.networks.NAMES) -> plain module with its weights, on any device.
        folder: See export_pair.
        sampler: See export_pair.
        half: True or "fp16" for float16 convolutions, "bf16" for bfloat16 ones; F, M and "source" are in float32.
        processor: W uses fewer products along the depth, which is faster on CPUs; in bfloat16 only where it costs no
            precision.
        size: See export_pair.
        say: See export_pair.

    Returns:
        The file; its name ends with its content's key (liveportrait.networks.fast.kept).

    Raises:
        ModelError: As for export_pair.
        ValueError: There is no such part or sampler.
    """
    if sampler not in get_args(Sampler):
        raise ValueError(f"There is no sampler '{sampler}'; choose one of {', '.join(get_args(Sampler))}.")
    if part not in PARTS:
        raise ValueError(f"There is no part '{part}'; choose one of {', '.join(PARTS)}.")
    network = networks[PARTS[part]]
    word = "fp32" if not half or part in ("appearance", "motion", "source") else "fp16" if half is True else half
    form = f"{word}-{size}"
    name = {"generator": f"generator-{form}", "source": f"source-{form}"}.get(part, f"{part}-fp32")
    if part in ("warping", "frame"):
        name = f"{part}-{sampler}{'-processor' if processor else ''}-{form}"
    stem = f"{name}-{weights_key(network)}"

    def write(path: Path) -> None:
        graph, example, inputs, outputs = _graph(part, network, sampler, TYPES[word], processor, size)
        opset = BFLOAT_OPSET if word == "bf16" else OPSET
        write_onnx(graph, example, path, inputs=inputs, outputs=outputs, opset=opset)

    found = find_kept(folder, stem, say=say)
    if found is None:
        if say is not None:
            say(f"Writing {stem}.onnx; this is done once.")
        try:
            found = keep_file(folder, stem, write)
        except OSError as error:
            raise ModelError(msg("{folder} can't be written: {reason}.", folder, error.strerror or error)) from error
    return found


TYPES: Final = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def _graph(
    part: str, network: nn.Module, sampler: Sampler, kind: torch.dtype, processor: bool, size: int
) -> tuple[nn.Module, tuple[Tensor, ...], tuple[str, ...], tuple[str, ...]]:
    """Arguments of the exporter: module, example and names of inputs and outputs."""
    if any(tensor.device.type != "cpu" for tensor in network.parameters()):
        network = copy.deepcopy(network).cpu()
    image = (torch.full((1, 3, INPUT_SIZE, INPUT_SIZE), 0.5),)
    if part == "appearance":
        return _Appearance(network), image, ("image",), ("feature_3d",)
    if part == "motion":
        return _Heads(cast(MotionExtractor, network)), image, ("image",), tuple(HEADS)
    rewrites = Rewrites(gather_sampler=sampler == "gather", depth_products=processor)
    if part == "generator":
        drawer = _Generator(FastGenerator(cast(SPADEGenerator, network), rewrites, kind))
        return drawer, (torch.zeros(1, 256, size, size),), ("feature",), ("image",)
    points, volume = torch.zeros(1, 21, 3), torch.zeros(1, 32, 16, size, size)
    warping = FastWarping(cast(WarpingNetwork, network), rewrites, kind)
    if kind == torch.bfloat16:
        warping.drop_toom()
    if part == "warping":
        return _Warping(warping), (volume, points, points + 0.1), WARPING_INPUTS, ("out",)
    if part == "source":
        return _Source(warping), (volume, points), WARPING_INPUTS[:2], SOURCE_OUTPUTS
    *_, compressed, background, heat = warping.prepare(volume, points)
    inputs = (*WARPING_INPUTS[:2], *SOURCE_OUTPUTS, WARPING_INPUTS[2])
    return _Frame(warping), (volume, points, compressed, background, *heat, points + 0.1), inputs, ("out",)


def weights_key(network: nn.Module) -> str:
    """First 16 digits of the SHA-256 of a network's weights, their names and the version of the graphs."""
    digest = hashlib.sha256(f"{VERSION}".encode())
    for name, value in network.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


class _Appearance(nn.Module):
    """F with an argument name that the exporter uses for its graph."""

    def __init__(self, appearance: nn.Module) -> None:
        super().__init__()
        self.appearance = appearance

    def forward(self, image: Tensor) -> Tensor:
        """See export_one."""
        volume: Tensor = self.appearance(image)
        return volume


class _Heads(nn.Module):
    """M with its heads as a tuple, from one product: TensorRT-RTX can't compile seven small ones in float32."""

    def __init__(self, motion: MotionExtractor) -> None:
        super().__init__()
        self.detector = motion.detector
        heads = [cast(nn.Linear, motion.detector.get_submodule(f"fc_{name}")) for name in HEADS]
        self.weight = nn.Parameter(torch.cat([head.weight for head in heads]).detach(), False)
        self.bias = nn.Parameter(torch.cat([head.bias for head in heads]).detach(), False)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """See export_one."""
        values = functional.linear(self.detector.features(image), self.weight, self.bias)
        return values.split(list(HEADS.values()), dim=1)


class _Warping(nn.Module):
    """W with one output."""

    def __init__(self, warping: nn.Module) -> None:
        super().__init__()
        self.warping = warping

    def forward(self, feature_3d: Tensor, kp_source: Tensor, kp_driving: Tensor) -> Tensor:
        """See ExportedPair."""
        out: Tensor = self.warping(feature_3d, kp_driving, kp_source)["out"]
        return out.float()


class _Source(nn.Module):
    """First half of W."""

    def __init__(self, warping: FastWarping) -> None:
        super().__init__()
        self.warping = warping

    def forward(self, feature_3d: Tensor, kp_source: Tensor) -> tuple[Tensor, ...]:
        """See ExportedNetworks."""
        *_, compressed, background, heat = self.warping.prepare(feature_3d, kp_source)
        return compressed, background, *heat


class _Frame(nn.Module):
    """Second half of W."""

    def __init__(self, warping: FastWarping) -> None:
        super().__init__()
        self.warping = warping

    def forward(
        self, feature_3d: Tensor, kp_source: Tensor, compressed: Tensor, background: Tensor,
        heat_z: Tensor, heat_y: Tensor, heat_x: Tensor, kp_driving: Tensor,
    ) -> Tensor:  # fmt: skip
        """See ExportedNetworks."""
        source = WarpSource(feature_3d, kp_source, compressed, background, (heat_z, heat_y, heat_x))
        return self.warping.warp(source, kp_driving)["out"].float()


class _Generator(nn.Module):
    """G with an argument name that the exporter uses for its graph."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, feature: Tensor) -> Tensor:
        """See ExportedPair."""
        image: Tensor = self.generator(feature)
        return image
