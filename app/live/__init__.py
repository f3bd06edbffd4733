"""Animation in real time: capture -> tracking -> rendering -> pasting -> sinks, each in its own thread.

Threads are connected by mailboxes that hold only the latest frame; frames that were not taken are dropped and counted.
``LiveSession`` owns the parts, which share a ``SessionContext`` (settings, state, clock, reports):

    Capture         runs one driver at a time; retries a camera that went away             capture.py
    PortraitStore   prepares portraits in the background; ClipPlayer plays those that move     portraits.py, clips.py
    Pipeline        the three working threads; Tracking finds the motion of a driver's frame  pipeline.py, tracking.py
    ChannelLoader   reads the channel of a driving file; PartLoader those of parts             channel.py, parts.py
    Sinks           windows, recordings, virtual cameras                                       sinks.py

Usage (the window uses the same API):

    session = LiveSession(options, live, events=events, on_change=callback)
    session.add_portrait("a", "portrait.jpg")              # prepared in the background; any number
    session.add_sink(PreviewSink(on_frame))                # on_frame(LiveFrame) is called in the sink's thread
    session.set_driver(source_from_text("0"))              # camera, video file, template, still; None: sliders only
    session.start()
    session.select_portrait("a")                           # immediate if it is ready
    session.set_options(options); session.set_expression(Expression({"smile": 0.5}))   # applies to the next frame
    session.recentre(countdown=3)                          # new neutral pose; ``session.countdown`` counts down
    session.stats()                                        # fps, latency, dropped, camera modes, sinks
    session.stop(); session.close()

Only ``close``, ``wait_for`` and ``settle`` block; all methods may be called in any state and order. Commands are
executed in order by the session's control thread. ``on_change(what)`` is called from the session's threads.

Drivers: ``camera_source`` (by name, number or ``CameraDevice``), ``file_source``, ``source_from_text``; cameras are
listed by ``app.media.cameras.list_cameras``, ``app.media.camera.snapshot`` makes a thumbnail.
Sinks: ``PreviewSink``, ``NullSink``, ``app.live.vcam.VirtualCameraSink``, ``app.live.recorder.RecorderSink``; or a
subclass of ``Sink``. States: ``app.live.states``. Options: ``app.live_options``.
"""

from app.live.frames import LiveFrame
from app.live.portraits import PortraitInfo
from app.live.session import LiveSession
from app.live.sinks import NullSink, PreviewSink, Sink
from app.live.states import TRANSITIONS, State
from app.live.stats import LiveStats, SinkInfo
from app.sources.camera import camera_source
from app.sources.named import file_source, source_from_text
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
