"""Live outputs besides the preview: a recording and the virtual camera. No Qt widgets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from app.gui.studio import Studio

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
        self._told: set[str] = set()
        self.recording = False
        self.camera = False
        self.file: Path | None = None

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
        self._told.discard(RECORDER)
        self._studio.live.add_sink(sink)
        self.recording, self.file = True, path

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

        self._told.discard(CAMERA)
        self._studio.live.add_sink(VirtualCameraSink(VirtualCameraSettings.of(self._studio.session.live_options)))
        self.camera = True

    def stop_camera(self) -> None:
        """Stop the virtual camera."""
        self.camera = False
        self._studio.live.remove_sink(CAMERA)

    def look(self) -> list[str]:
        """Switch off outputs that have failed permanently; returns messages not shown yet."""
        sentences = []
        for info in self._studio.live.sinks:
            if info.status != "failed" or info.name not in (RECORDER, CAMERA):
                continue
            if info.name not in self._told:
                self._told.add(info.name)
                sentences.append(info.message)
            if info.retrying:
                continue
            if info.name == RECORDER:
                self.stop_recording()
            else:
                self.stop_camera()
        return sentences
