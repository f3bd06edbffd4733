"""Live outputs besides the preview: a recording, the virtual camera and streams. No Qt widgets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from app.gui.studio import Studio
    from app.live.recorder import Progress, RecorderSink
    from app.live.stats import SinkInfo

RECORDER: Final = "recorder"
CAMERA: Final = "virtual camera"


def recording_suffix(codec: str) -> str:
    """The first extension whose container holds a codec: .mp4, or .mov for ProRes."""
    from app.media.encode import ALLOWED, FORMATS

    return next((suffix for suffix, form in FORMATS.items() if codec in ALLOWED[form]), ".mp4")


class LiveOutputs:
    """Starts and stops the outputs of the live pipeline.

    Args:
        studio: Holds the pipeline.
    """

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._reported: set[str] = set()
        self.recording = False
        self.camera = False
        self.file: Path | None = None
        self._recorder: RecorderSink | None = None
        self._streams: dict[str, str] = {}  # address -> name of its sink

    def start_recording(self, path: Path) -> None:
        """Record to a file; the user has agreed to replace it.

        Raises:
            AppError: It can't be written there.
        """
        from app.live.recorder import RecorderSink

        session = self._studio.session
        output = session.options(overwrite=True).output
        path = path if path.suffix else path.with_suffix(recording_suffix(output.codec))
        sink = RecorderSink.of(path, output, session.live_options, session.files)
        self._reported.discard(RECORDER)
        self._recorder = sink
        self._studio.live.add_sink(sink)
        self.recording, self.file = True, path

    @property
    def progress(self) -> Progress | None:
        """How far the recording is, or None."""
        return self._recorder.progress if self.recording and self._recorder is not None else None

    def stop_recording(self) -> None:
        """Finish the recording."""
        self.recording = False
        self._studio.live.remove_sink(RECORDER)

    def start_camera(self) -> None:
        """Feed the virtual camera.

        Raises:
            AppError: The settings are not valid.
        """
        from app.live.vcam import VirtualCameraSettings, VirtualCameraSink

        self._reported.discard(CAMERA)
        self._studio.live.add_sink(VirtualCameraSink(VirtualCameraSettings.of(self._studio.session.live_options)))
        self.camera = True

    def stop_camera(self) -> None:
        """Stop the virtual camera."""
        self.camera = False
        self._studio.live.remove_sink(CAMERA)

    def start_stream(self, address: str) -> None:
        """Send the result to an address.

        Raises:
            ValueError: It is not valid.
        """
        from app.live.streams import make_sink
        from app.stream_targets import StreamTarget

        target = StreamTarget.parse(address)
        number, name = 1, target.shown
        while name in self._streams.values():
            number += 1
            name = f"{target.shown} ({number})"
        self._reported.discard(name)
        self._streams[address] = name
        self._studio.live.add_sink(make_sink(target, self._studio.session.live_options, name))

    def stop_stream(self, address: str) -> None:
        """Stop sending to an address."""
        name = self._streams.pop(address, "")
        if name:
            self._studio.live.remove_sink(name)

    @property
    def streams(self) -> dict[str, SinkInfo]:
        """Address -> state, for the streams that are on."""
        from app.live.stats import SinkInfo

        known = {info.name: info for info in self._studio.live.sinks}
        return {address: known.get(name, SinkInfo(name, "waiting")) for address, name in list(self._streams.items())}

    def look(self) -> list[str]:
        """Switch off outputs that have failed permanently; returns messages not shown yet."""
        sentences = []
        for info in self._studio.live.sinks:
            if info.status != "failed" or info.name not in (RECORDER, CAMERA, *self._streams.values()):
                continue
            if info.name not in self._reported:
                self._reported.add(info.name)
                sentences.append(info.message)
            if info.retrying:
                continue
            if info.name == RECORDER:
                self.stop_recording()
            elif info.name == CAMERA:
                self.stop_camera()
            else:
                self.stop_stream(next(address for address, name in self._streams.items() if name == info.name))
        return sentences
