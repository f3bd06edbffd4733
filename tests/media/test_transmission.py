"""Streams to receivers: what is sent, in this process; and a process that is lost, or whose receiver never answers."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
from pathlib import Path

import av
import numpy as np
import pytest

from app.errors import MissingError
from app.media import transmission
from app.media.transmission import Transmission, TransmissionError
from app.media.transmitter import FAILED, OPENED, PICTURE, SENT, Program, serve
from app.stream_targets import StreamTarget

SECRET = "Xy7sEcReT"
SIZE = 64, 48


def picture(value: int) -> np.ndarray:
    return np.full((SIZE[1], SIZE[0], 3), value, np.uint8)


def send_all(stream: Transmission) -> None:
    for number in range(1, 9):
        stream.send(picture(90), number / 30)


def spoken(url: str, form: str, frames: list[tuple[float, int]]) -> bytes:
    """What the transmitter answers to a program and pictures (time, grey)."""
    source = io.BytesIO()
    source.write(Program(url, form, *SIZE, 30.0, 500).packed())
    for time, value in frames:
        source.write(PICTURE.pack(time, picture(value).nbytes) + picture(value).tobytes())
    source.write(PICTURE.pack(0.0, 0))
    source.seek(0)
    answers = io.BytesIO()
    serve(source, answers)
    return answers.getvalue()


@pytest.mark.parametrize(("form", "name"), [("mpegts", "out.ts"), ("flv", "out.flv")])
def test_what_is_sent_keeps_colour_and_time(tmp_path: Path, form: str, name: str) -> None:
    frames = [(0.0, 40), (0.04, 80), (0.2, 120), (0.2, 160), (1.0, 200)]
    assert spoken(str(tmp_path / name), form, frames) == OPENED + len(frames) * SENT
    with av.open(str(tmp_path / name)) as file:
        assert file.streams.video[0].codec_context.name == "h264"
        seen = [(float(f.pts * f.time_base), int(f.to_ndarray(format="gray")[24, 32])) for f in file.decode(video=0)]
    first = seen[0][0]
    assert [round(time - first, 2) for time, _ in seen] == [0.0, 0.04, 0.2, 0.2, 1.0]
    assert np.abs(np.array([value for _, value in seen]) - [value for _, value in frames]).max() < 4


def test_failure_says_why_without_the_address() -> None:
    answer = spoken(f"/nowhere/{SECRET}/out.ts", "mpegts", [])
    assert answer.startswith(FAILED + b"No such file")
    assert SECRET.encode() not in answer
    assert spoken(f"nonsense://host/{SECRET}", "mpegts", []).startswith(FAILED + b"Protocol not found")


def test_source_that_breaks_off_ends_it(tmp_path: Path) -> None:
    data = Program(str(tmp_path / "a.ts"), "mpegts", *SIZE, 30.0, 500).packed() + PICTURE.pack(0.0, 9216) + b"\0\0"
    answers = io.BytesIO()
    serve(io.BytesIO(data), answers)
    assert answers.getvalue() == OPENED


def test_lost_process_and_silent_receiver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two real processes: one is killed while it sends, the other one waits for a server that never says a word."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver, socket.socket() as silent:
        receiver.settimeout(20)
        receiver.bind(("127.0.0.1", 0))
        stream = Transmission(StreamTarget.parse(f"udp://127.0.0.1:{receiver.getsockname()[1]}"), SIZE, 30.0, 500)
        stream.send(picture(90), 0.0)
        packet = receiver.recv(2048)
        assert len(packet) % 188 == 0
        assert packet[0] == 0x47  # MPEG-TS
        os.kill(stream.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        with pytest.raises(TransmissionError, match="the process that sends has ended"):
            send_all(stream)
        stream.close()
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setattr(transmission, "OPENING", 1.0)
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(
            TransmissionError, match=rf"^rtmp://{place} does not accept frames: no response for 1 s"
        ) as caught:
            Transmission(StreamTarget.parse(f"rtmp://{place}/live/{SECRET}"), SIZE, 30.0, 500)
        assert SECRET not in str(caught.value)


def test_protocol_that_ffmpeg_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transmission, "FORMS", {"srt": "mpegts"})
    target = StreamTarget("srt", "host", 9000, f"nonsense://host/{SECRET}")
    with pytest.raises(MissingError, match="built without its protocol") as caught:
        Transmission(target, SIZE, 30.0, 500)
    assert SECRET not in str(caught.value)


def test_program_reads_itself() -> None:
    program = Program("udp://host:1", "mpegts", 64, 48, 29.97, 500, microphone=True, zero=3.5)
    assert Program(**json.loads(program.packed()[4:])) == program
