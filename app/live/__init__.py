"""Animation in real time: capture -> tracking -> rendering -> pasting -> sinks, each in a thread of its own.

Between two threads lies a mailbox that holds the newest frame only; frames that nobody took are dropped and counted.
``LiveSession`` owns the parts, which share a ``SessionContext`` (settings, state, clock, reports):

    Capture         drives with one source at a time; waits for a camera that went away        capture.py
    PortraitStore   prepares portraits in the background; ClipPlayer plays those that move     portraits.py, clips.py
    Pipeline        the three working threads; Tracking makes motion of the driver's frames    pipeline.py, tracking.py
    PartLoader      reads drivers of parts of the face; NeutralFinder the neutral frame        parts.py, neutral.py
    Sinks           windows, recordings, virtual cameras                                       sinks.py

How a program uses it (the window does no more than this):

    session = LiveSession(options, live, events=events, on_change=callback)
    session.add_portrait("a", "portrait.jpg")              # prepared in the background; as many as you like
    session.add_sink(PreviewSink(on_frame))                # on_frame(LiveFrame) is called in the sink's thread
    session.set_driver(source_from_text("0"))              # camera, video file, template, still; None: sliders only
    session.start()
    session.select_portrait("a")                           # at once if it is ready
    session.set_options(options); session.set_expression(Expression({"smile": 0.5}))   # the next frame follows
    session.recentre(countdown=3)                          # new neutral pose; ``session.countdown`` counts down
    session.stats()                                        # fps, latency, dropped, camera modes, sinks
    session.stop(); session.close()

No method blocks but ``close``, ``wait_for`` and ``settle``; any may be called in any state and order. Commands are
carried out one after the other by the session's control thread. ``on_change(what)`` comes from the session's threads.

Drivers: ``camera_source`` (by name, number or ``CameraDevice``), ``file_source``, ``source_from_text``; cameras are
listed by ``app.media.cameras.list_cameras``, ``app.media.camera.snapshot`` makes a thumbnail.
Sinks: ``PreviewSink``, ``NullSink``, ``app.live.vcam.VirtualCameraSink``, ``app.live.recorder.RecorderSink``; or derive
from ``Sink``. States: ``app.live.states``. Options: ``app.live_options``.
"""

from app.live.frames import LiveFrame
from app.live.portraits import PortraitInfo
from app.live.session import LiveSession
from app.live.sinks import NullSink, PreviewSink, Sink
from app.live.states import TRANSITIONS, State
from app.live.stats import LiveStats, SinkInfo
from app.sources.camera import camera_source
from app.sources.named import source_from_text
from app.sources.player import file_source
from app.sources.sample import DriverSource, Sample, Source

__all__ = [
    "TRANSITIONS",
    "DriverSource",
    "LiveFrame",
    "LiveSession",
    "LiveStats",
    "NullSink",
    "PortraitInfo",
    "PreviewSink",
    "Sample",
    "Sink",
    "SinkInfo",
    "Source",
    "State",
    "camera_source",
    "file_source",
    "source_from_text",
]  # fmt: skip
