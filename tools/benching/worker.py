"""Child process of a measurement: holds rows and runs one frame on command. One JSON object per line, in and out."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from benching.machine import matmul_peak, peak_memory, waiter  # noqa: E402

Stage = tuple[str, Callable[[], None]]


class Row(Protocol):
    """An implementation that renders a frame in stages."""

    facts: dict[str, str]

    def stages(self) -> list[Stage]:
        """Named steps of one frame, in order; each passes its result to the next."""
        ...

    def picture(self) -> Any:
        """Output of the last frame: (B, 3, 512, 512) float tensor in 0..1."""
        ...


class PlainRow:
    """The plain networks, ours or the official code's: M, stitching, W, G, then 8-bit levels on the CPU.

    Args:
        networks: motion_extractor, stitching, warping_module, spade_generator.
        given: The inputs, on the device.
        device: torch device.
        half: Autocast to float16, as the official code does on a graphics card.
        compiled: Compile W and G with max-autotune, as the official code can.
    """

    def __init__(
        self, networks: Mapping[str, Any], given: Mapping[str, Any], device: str, *, half: bool, compiled: bool
    ) -> None:
        import torch

        self.facts = {"precision": "fp16" if half else "fp32", "device": device}
        self._networks = {name: network.to(device) for name, network in networks.items()}
        if compiled:
            for name in ("warping_module", "spade_generator"):
                self._networks[name] = torch.compile(self._networks[name], mode="max-autotune")
        self._given, self._device, self._half = given, device, half
        count = len(given["driving"])
        self._volume = given["volume"].expand(count, -1, -1, -1, -1)
        self._source = given["source"].expand(count, -1, -1)
        self._out: Any = None
        self._picture: Any = None

    def stages(self) -> list[Stage]:
        """See Row."""
        return [
            ("M", self._motion),
            ("S", self._stitch),
            ("W", self._warp),
            ("G", self._draw),
            ("levels", self._levels),
        ]

    def _cast(self) -> Any:
        import torch

        return torch.autocast(self._device.partition(":")[0], dtype=torch.float16, enabled=self._half)

    def _motion(self) -> None:
        with self._cast():
            self._networks["motion_extractor"](self._given["image"])

    def _stitch(self) -> None:
        import torch

        driving = self._given["driving"]
        self._networks["stitching"](torch.cat((self._source.flatten(1), driving.flatten(1)), dim=1))

    def _warp(self) -> None:
        with self._cast():
            self._out = self._networks["warping_module"](
                self._volume, kp_source=self._source, kp_driving=self._given["driving"]
            )["out"]

    def _draw(self) -> None:
        with self._cast():
            self._picture = self._networks["spade_generator"](feature=self._out)

    def _levels(self) -> None:
        values = self._picture.float().cpu().numpy().transpose(0, 2, 3, 1)
        np.clip(np.clip(values, 0, 1) * 255, 0, 255).astype(np.uint8)

    def picture(self) -> Any:
        """See Row."""
        return self._picture


class FastRow(PlainRow):
    """Rewritten W and G, with all rewrites or all but one.

    Args:
        networks: The plain ones.
        given: See PlainRow.
        device: See PlainRow.
        precision: Type of the convolutions.
        off: Rewrite to switch off, or empty.
    """

    def __init__(
        self, networks: Mapping[str, Any], given: Mapping[str, Any], device: str, *, precision: str, off: str
    ) -> None:
        import torch

        from liveportrait.networks.fast import Rewrites
        from liveportrait.networks.fast.generator import FastGenerator
        from liveportrait.networks.fast.warping import FastWarping

        super().__init__(networks, given, device, half=False, compiled=False)
        self.facts["precision"] = precision
        rewrites = Rewrites().without(off) if off else Rewrites()
        kind = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        self._warping = FastWarping(networks["warping_module"].cpu(), rewrites, kind).to(device)
        self._generator = FastGenerator(networks["spade_generator"].cpu(), rewrites, kind).to(device)
        self._prepared = self._warping.prepare(given["volume"], given["source"])

    def stages(self) -> list[Stage]:
        """See Row."""
        return [("W", self._warp), ("G", self._draw)]

    def _warp(self) -> None:
        self._out = self._warping.warp(self._prepared, self._given["driving"])["out"]

    def _draw(self) -> None:
        self._picture = self._generator(self._out)


class WholeFrameRow(FastRow):
    """M, motion, S, W, G, levels and paste-back of the rewritten networks, on a card as one CUDA graph.

    Args:
        networks: The plain ones.
        given: See PlainRow.
        device: See PlainRow.
        precision: Type of the convolutions of W and G.
    """

    def __init__(self, networks: Mapping[str, Any], given: Mapping[str, Any], device: str, *, precision: str) -> None:
        import torch

        from benching.whole_frame import FrameMotion, WholeFrame, frame_place, one_graph
        from liveportrait.compose import Compositor
        from liveportrait.crop import Crop
        from liveportrait.engines.graph import CudaRecorder

        super().__init__(networks, given, device, precision=precision, off="")
        where, source = torch.device(device), given["source"]
        one = torch.ones((1, 1), device=where)
        rest = FrameMotion(
            source[0], source, torch.eye(3, device=where), 0 * source[:, 0], one, one, 0 * one, 0 * source[0]
        )
        picture = np.random.default_rng(0).integers(0, 255, (720, 1280, 3), np.uint8)
        place = frame_place(Compositor(picture, Crop.from_box(640.0, 360.0, 400.0), detail=False), where)
        frame = WholeFrame(
            self._networks["motion_extractor"], self._networks["stitching"], self._warping, self._generator
        )
        recorder = CudaRecorder(where) if where.type == "cuda" else None
        self._run = one_graph(frame, self._prepared, rest, place, recorder)
        self._crops = (given["image"] * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    def stages(self) -> list[Stage]:
        """See Row."""
        return [("M+S+W+G+paste", lambda: self._run(self._crops))]

    def picture(self) -> Any:
        """See Row; from the other rows' keypoints, which the whole frame computes by itself."""
        self._warp()
        self._draw()
        return self._picture


class EngineRow:
    """An engine as the program uses it; W and G are separate stages if the engine can run them separately.

    Args:
        name: Engine.
        weights: Folder of its weights.
        given: The inputs, on the CPU.
        device: See load_engine.
        precision: See load_engine.
        threads: CPU threads.
    """

    def __init__(
        self, name: str, weights: Path, given: Mapping[str, Any], device: str, precision: str, threads: int
    ) -> None:
        import importlib

        from liveportrait.engines import ENGINES
        from liveportrait.engines.runtime import SourceFeatures

        spec = next(spec for spec in ENGINES if spec.name == name)
        module, _, attribute = spec.factory.partition(":")
        asked = {"device": device, "precision": precision, "threads": threads}
        chosen = {key: value for key, value in asked.items() if key in spec.keywords}
        self._engine = engine = getattr(importlib.import_module(module), attribute)(weights, **chosen)
        engine.warm_up()
        self.facts = engine.describe()
        self._runtime = engine.runtime
        place = engine.runtime.device
        self._images = given["image"].to(place)
        self._features = SourceFeatures(given["volume"].to(place), given["source"].to(place))
        self._driving = given["driving"].to(place)
        self._x_d = given["driving"].numpy()
        self._portrait = SimpleNamespace(keypoints=given["source"].numpy())  # all that stitching uses
        self._out: Any = None
        self._picture: Any = None

    def stages(self) -> list[Stage]:
        """See Row."""
        apart = len(self._driving) == 1 or self._runtime.name.startswith("torch")  # others render one frame at a time
        drawing: list[Stage] = [("W", self._warp), ("G", self._draw)] if apart else [("W+G", self._both)]
        return [("M", self._motion), ("S", self._stitch), *drawing, ("levels", self._levels)]

    def _motion(self) -> None:
        with self._runtime.mode():
            self._runtime.motion(self._images)

    def _stitch(self) -> None:
        self._engine.stitch(self._portrait, self._x_d)

    def _warp(self) -> None:
        with self._runtime.mode():
            self._out = self._runtime.warp(self._features, self._driving)

    def _draw(self) -> None:
        with self._runtime.mode():
            self._picture = self._runtime.draw(self._out)

    def _both(self) -> None:
        import torch

        runtime = self._runtime
        with runtime.mode():
            parts = [runtime.draw(runtime.warp(self._features, part)) for part in self._driving.split(runtime.batch)]

            self._picture = torch.cat(parts)

    def _levels(self) -> None:
        from liveportrait.engines.runtime import to_levels

        to_levels(self._picture)

    def picture(self) -> Any:
        """See Row."""
        return self._picture


class Worker:
    """Executes commands."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._given: dict[str, Any] = {}
        self._networks: dict[str, Any] = {}
        self._wait: Callable[[], None] = lambda: None

    def order(self, order: dict[str, Any]) -> dict[str, Any]:
        """Execute one command and return its result."""
        import torch

        with torch.inference_mode():
            answer: dict[str, Any] = getattr(self, f"do_{order.pop('do')}")(**order)
        return answer

    def do_open(self, label: str, kind: str, folder: str, weights: str, device: str, threads: int, **how: Any) -> Any:
        """Create a row and render its first frame."""
        import torch

        torch.set_num_threads(threads)
        where = "cpu" if device == "auto" and not torch.cuda.is_available() else device.replace("auto", "cuda")
        self._wait = waiter(where) if kind != "engine" else waiter("cuda" if torch.cuda.is_available() else "cpu")
        if not self._given:
            with np.load(Path(folder) / "inputs.npz") as data:
                self._given = {name: torch.from_numpy(data[name]) for name in data.files}
        if kind == "engine":
            row: Row = EngineRow(how["engine"], Path(weights), self._given, device, how["precision"], threads)
        else:
            given = {name: tensor.to(where) for name, tensor in self._given.items()}
            if kind == "official":
                row = PlainRow(
                    self._official(Path(how["against"]), Path(weights)), given, where, half=how["half"],
                    compiled=how["compiled"],
                )  # fmt: skip
            elif kind == "plain":
                row = PlainRow(self._plain(Path(weights)), given, where, half=False, compiled=False)
            elif kind == "whole":
                row = WholeFrameRow(self._plain(Path(weights)), given, where, precision=how["precision"])
            else:
                row = FastRow(self._plain(Path(weights)), given, where, precision=how["precision"], off=how["off"])
        self._rows[label] = row
        self.do_frame(label)
        return {"facts": row.facts, "torch": str(torch.__version__)}

    def do_frame(self, label: str) -> Any:
        """Render one frame; returns [stage, wall seconds, CPU seconds] for each stage."""
        times = []
        for name, work in self._rows[label].stages():
            self._wait()
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            self._wait()
            times.append([name, time.perf_counter() - wall, time.process_time() - cpu])
        return {"times": times}

    def do_compare(self, label: str) -> Any:
        """Compare the last image with the reference; it is kept in the folder for comparison with other rows."""
        picture = self._rows[label].picture().float().cpu()
        difference = picture - self._given["reference"]
        return {"square": float(difference.square().mean()), "max_abs": float(difference.abs().max())}

    def do_save(self, label: str, path: str) -> Any:
        """Write the last image."""
        np.save(path, self._rows[label].picture().float().cpu().numpy())
        return {}

    def do_peak(self, device: str, threads: int, kinds: list[str]) -> Any:
        """Measure TFLOP/s of matrix products."""
        import torch

        torch.set_num_threads(threads)
        where = "cpu" if device == "auto" and not torch.cuda.is_available() else device.replace("auto", "cuda")
        return {kind: matmul_peak(where, kind) for kind in kinds}

    def do_memory(self) -> Any:
        """Peak memory in MiB: of the process, and on the card."""
        import torch

        card = torch.cuda.max_memory_allocated() / (1 << 20) if torch.cuda.is_available() else None
        return {"memory_mib": peak_memory(), "card_mib": card and round(card, 1)}

    def _plain(self, weights: Path) -> dict[str, Any]:
        from liveportrait.networks.loading import find_checkpoints, load_networks

        if not self._networks:
            found = find_checkpoints(weights)
            names = ("motion_extractor", "stitching", "warping_module", "spade_generator")
            self._networks = load_networks({name: found[name] for name in names})
        return self._networks

    def _official(self, against: Path, weights: Path) -> dict[str, Any]:
        from benching.official import CLASSES, load_official
        from liveportrait.networks.loading import find_checkpoints, load_networks

        found = find_checkpoints(weights)
        ours = load_networks({name: found[name] for name in CLASSES})
        return load_official(against, {name: network.state_dict() for name, network in ours.items()})


def main() -> int:
    """Execute commands until the input ends."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # keep output of libraries out of the answers
    worker = Worker()
    for line in sys.stdin:
        try:
            answer = worker.order(json.loads(line))
        except Exception as error:  # noqa: BLE001 - the parent handles failed rows
            answer = {"error": f"{type(error).__name__}: {str(error).strip() or 'no reason given'}"}
        channel.write(json.dumps(answer) + "\n")
        channel.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
