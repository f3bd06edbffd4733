"""NDI, Spout and Syphon against stand-ins that have the interface of their packages and check how they are used."""

from __future__ import annotations

import sys
from fractions import Fraction
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from app.errors import MissingError
from app.media.senders import SenderError, open_sender

RED = np.full((24, 32, 3), (250, 20, 30), np.uint8)


def modules(monkeypatch: pytest.MonkeyPatch, **found: Any) -> None:
    """Make modules importable; dots are written as two underscores."""
    for name, content in found.items():
        module = ModuleType(name.replace("__", "."))
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name.replace("__", "."), module)


def test_ndi(monkeypatch: pytest.MonkeyPatch) -> None:
    """cyndilib: a frame is described before the sender is opened, then bytes of exactly its size are written."""
    sent: list[tuple[str, int, int, Fraction, np.ndarray]] = []

    class VideoSendFrame:
        def set_resolution(self, width: int, height: int) -> None:
            self.size = width, height

        def set_frame_rate(self, rate: Fraction) -> None:
            self.rate = rate

        def set_fourcc(self, kind: str) -> None:
            assert kind == "RGBA"

    class Sender:
        def __init__(self, ndi_name: str) -> None:
            self.name, self.is_open = ndi_name, False

        def set_video_frame(self, frame: VideoSendFrame) -> None:
            assert not self.is_open
            self.frame = frame

        def open(self) -> None:
            self.is_open = True

        def write_video_async(self, data: memoryview) -> bool:
            assert self.is_open
            width, height = self.frame.size
            assert data.ndim == 1
            assert data.nbytes == 4 * width * height
            sent.append((self.name, width, height, self.frame.rate, np.frombuffer(data, np.uint8)))
            return True

        def close(self) -> None:
            self.is_open = False

    modules(
        monkeypatch, cyndilib={}, cyndilib__sender={"Sender": Sender},
        cyndilib__video_frame={"VideoSendFrame": VideoSendFrame}, cyndilib__wrapper={},
        cyndilib__wrapper__ndi_structs={"FourCC": SimpleNamespace(RGBA="RGBA")},
    )  # fmt: skip
    sender = open_sender("ndi", "Portrait", 29.97)
    sender.send(RED)
    sender.send(np.dstack([RED, np.full(RED.shape[:2], 7, np.uint8)])[:10])
    sender.close()
    assert [one[:4] for one in sent] == [
        ("Portrait", 32, 24, Fraction(2997, 100)), ("Portrait", 32, 10, Fraction(2997, 100)),
    ]  # fmt: skip
    assert sent[0][4][:4].tolist() == [250, 20, 30, 255]
    assert sent[1][4][:4].tolist() == [250, 20, 30, 7]


def test_spout(monkeypatch: pytest.MonkeyPatch) -> None:
    """SpoutGL: contiguous pixels with their width before their height; a frame is announced by the sender's name."""
    told: list[Any] = []
    taken = [True, True, False]

    class SpoutSender:
        def setSenderName(self, name: str) -> None:
            told.append(name)

        def sendImage(self, pixels: Any, width: int, height: int, kind: int, invert: bool, fbo: int) -> bool:
            view = memoryview(pixels)
            assert view.c_contiguous
            assert view.nbytes == 4 * width * height
            told.append((width, height, kind, invert, fbo))
            return taken.pop(0)

        def setFrameSync(self, name: str) -> None:
            told.append(f"sync {name}")

        def releaseSender(self) -> None:
            told.append("released")

    modules(monkeypatch, SpoutGL={"SpoutSender": SpoutSender})
    sender = open_sender("spout", "Portrait", 30.0)
    sender.send(RED)
    sender.send(RED[:, ::2])
    with pytest.raises(SenderError):
        sender.send(RED)
    sender.close()
    assert told == [
        "Portrait", (32, 24, 0x1908, False, 0), "sync Portrait", (16, 24, 0x1908, False, 0), "sync Portrait",
        (32, 24, 0x1908, False, 0), "released",
    ]  # fmt: skip


def test_syphon(monkeypatch: pytest.MonkeyPatch) -> None:
    """syphon-python: pixels are copied into a texture of the server's device, which is then published."""
    told: list[Any] = []

    class SyphonMetalServer:
        device = "device"

        def __init__(self, name: str) -> None:
            told.append(name)

        def publish_frame_texture(self, texture: Any) -> None:
            told.append(("published", texture["size"], texture["pixels"][0, 0].tolist()))

        def stop(self) -> None:
            told.append("stopped")

    def create(device: str, width: int, height: int) -> Any:
        assert device == "device"
        return {"size": (width, height)}

    def copy(pixels: np.ndarray, texture: Any) -> None:
        assert pixels.shape == (texture["size"][1], texture["size"][0], 4)
        texture["pixels"] = pixels

    modules(
        monkeypatch, syphon={"SyphonMetalServer": SyphonMetalServer}, syphon__utils={},
        syphon__utils__raw={"create_mtl_texture": create}, syphon__utils__numpy={"copy_image_to_mtl_texture": copy},
    )  # fmt: skip
    sender = open_sender("syphon", "Portrait", 30.0)
    sender.send(RED)
    sender.close()
    assert told == ["Portrait", ("published", (32, 24), [250, 20, 30, 255]), "stopped"]


@pytest.mark.parametrize(("protocol", "package"), [("ndi", "cyndilib"), ("spout", "SpoutGL"), ("syphon", "syphon")])
def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, protocol: Any, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingError, match=package) as caught:
        open_sender(protocol, "Portrait", 30.0)
    assert "nstall" in caught.value.hint
