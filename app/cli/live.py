"""`animate live`: a portrait driven in real time, with or without the window."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.choices import driver_address
from app.cli.flags import argument, command, make_app, option_flag, switch, text_flag
from app.cli.output import choose_sink, complain, say
from app.clip_options import PART_OPTIONS
from app.errors import AppError, ExitCode, MissingError, UsageError
from app.live_options import check_live, live_options
from app.options import all_options, parse_reference
from app.presets import resolve
from app.speech_options import VOICE
from app.stream_targets import parse_targets
from models.installation import install_hint
from models.messages import msg

if TYPE_CHECKING:
    from app.events import CancelToken, EventStream
    from app.live import LiveSession, LiveStats, Sink
    from app.live_options import LiveOptions
    from app.options import RenderOptions
    from liveportrait.expression import Expression

PANEL = "Session"
LEFT_OUT = (
    "length", "fps", "output", "side_by_side", "audio", "points", "size", "fit", "max_side", "voice",
    *PART_OPTIONS,
)  # fmt: skip
NOT_IN_WINDOW = ("vcam", "record", "overwrite", "json_lines", "quiet")  # the window has its own controls for these
ELSEWHERE = (*NOT_IN_WINDOW, "camera", "expression", "sliders")
SHARED = tuple(info for info in all_options() if info.name not in LEFT_OUT)
START = 60.0  # seconds until the first frame at most: engine, portrait and camera have to start
FAILING = 8.0  # seconds to wait for a failing camera at the start
REPORT = 1.0  # seconds between progress events

app = make_app("Animate the face in PHOTO from a camera, in real time.")


def live(values: Mapping[str, Any]) -> int:
    """Animate the face in PHOTO from a camera, a video file, a photo or a motion template, in real time."""
    given = {i.name: values[i.name] for i in SHARED if values[i.name] is not None}
    config = Path(values["config"]) if values["config"] else None
    resolved = resolve(given, preset=values["preset"] or "", config=config)
    options = resolved.options
    wanted = check_live({i.name: values[i.name] for i in live_options() if values[i.name] is not None}, flags=True)
    if wanted.voice_driver and wanted.camera:
        raise UsageError("--voice and --driver both name the driver.", "Give one of them.")
    from app.media.midi import Bindings

    Bindings.parse(wanted.midi_map)
    seconds = _seconds(values["seconds"])
    photo = Path(values["photo"])
    _check(options)
    if not values["no_window"]:
        return _window(photo, options, wanted, _given(values))
    wanted = replace(wanted, camera=VOICE) if wanted.voice_driver else wanted
    from app.media import senders
    from app.media.virtual_camera import how_to, package_missing

    for path in options.input.part_drivers.values():
        _check_part(path)
    for flag, asked in (("--microphone", wanted.microphone), ("--voice", wanted.voice_driver)):
        if asked and importlib.util.find_spec("sounddevice") is None:
            raise MissingError(f"{flag}: hearing it needs the package sounddevice.", install_hint("mic"))
    if wanted.vcam and package_missing():
        raise MissingError(
            "--vcam: the virtual camera needs the package pyvirtualcam.",
            f"{install_hint('vcam')}. {how_to()}",
        )
    from app.cli.animate import stop_on_signals
    from app.events import CancelToken, Event, EventStream

    for target in parse_targets(wanted.stream):
        if (missing := senders.package_missing(target.protocol)) is not None:
            raise missing
    program = options.program
    sink = choose_sink(json_lines=program.json_lines, quiet=program.quiet)
    events, token = EventStream(sink), CancelToken()
    try:
        with stop_on_signals(token):
            stats, recorded = run_session(
                photo, options, wanted, seconds=seconds, events=events, token=token, settings=resolved.files
            )
    finally:
        sink.close()
    if program.json_lines:
        data = {**stats.to_json(), "recorded": recorded}
        events.emit(Event("result", data=data))
    elif not program.quiet:
        say(
            f"{stats.mean_fps:.1f} frames/s, capture to shown {stats.latency_ms_median:.0f} ms (95 %: "
            f"{stats.latency_ms_p95:.0f} ms), {stats.shown} frames shown, {stats.dropped} dropped."
        )
    return int(ExitCode.OK)


def run_session(
    photo: Path,
    options: RenderOptions,
    live: LiveOptions,
    *,
    seconds: float,
    events: EventStream,
    token: CancelToken,
    settings: tuple[Path, ...] = (),
) -> tuple[LiveStats, str | None]:
    """Run a session without a window until the time is over or it is stopped.

    Args:
        photo: The portrait.
        options: Input, animation, output (of the recording) and program options.
        live: Live options.
        seconds: Seconds from the first frame on; 0 runs until it is stopped.
        events: Receives messages and progress.
        token: Stops the session.
        settings: Files that the options were read from; the recording must not replace them.

    Returns:
        The statistics, and the name of the recording or None.

    Raises:
        AppError: The session could not start, or the recording failed.
    """
    from app.expressions import expression_from
    from app.frames.resources import Resources
    from app.live import LiveSession, NullSink, source_from_text
    from app.live.recorder import RecorderSink
    from app.live.streams import stream_sinks
    from app.live.track_recorder import TrackRecorderSink, records_track
    from app.live.vcam import VirtualCameraSettings, VirtualCameraSink
    from app.loading import interruptible
    from app.media.camera import Mode

    width, height = live.size
    mode = Mode(width, height, live.camera_rate, live.camera_mjpg)
    source = source_from_text(live.camera, mode, mirror=live.mirror, turn=int(live.camera_turn))
    expression = expression_from(options.input.expression, options.input.sliders)
    recorder: Sink | None = None
    if live.record:
        read = [*_inputs(photo, options, live), *settings]
        if records_track(live.record):
            recorder = TrackRecorderSink(live.record, overwrite=options.output.overwrite, inputs=read)
        else:
            recorder = RecorderSink.of(live.record, options.output, live, read)
    resources = Resources()
    engine = interruptible(
        lambda step: resources.engine(options, events.info, events.warn, step), token, events.info, "Loading the engine"
    )
    interruptible(  # loads the models here, since Ctrl-C does not reach the session's threads
        lambda _: resources.tracker(options.input.finder), token, events.info, "Loading the face detector"
    )
    with LiveSession(options, live, engine=engine, events=events, resources=resources) as session:
        session.set_expression(expression)
        if live.vcam:
            session.add_sink(VirtualCameraSink(VirtualCameraSettings.of(live)))
        session.add_sink(NullSink())
        for stream in stream_sinks(live):
            session.add_sink(stream)
        if recorder is not None:
            session.add_sink(recorder)
        session.add_portrait("photo", photo)
        _await(session, token, lambda: session.portrait("photo").status != "waiting" or session.error is not None)
        info = session.portrait("photo")
        if session.error is not None or info.error is not None:
            raise session.error or info.error or AppError("The session did not start.")
        for note in info.notes:
            events.info(note)
        session.set_driver(source)
        session.start()
        with _controllers(live, session, expression, events):
            _await_first(session, token, live.vcam)
            _watch(session, seconds, events, token)
        session.stop()
        session.settle(None)
        stats = session.stats()
    return stats, _recorded(stats, live)


@contextmanager
def _controllers(
    live: LiveOptions, session: LiveSession, base: Expression | None, events: EventStream
) -> Iterator[None]:
    """Let MIDI controllers move the sliders of a session, from an expression on, if asked for.

    Raises:
        AppError: The input can't be opened.
    """
    if not live.midi:
        yield
        return
    from app.media.midi import Bindings, MidiInput
    from liveportrait.expression import Expression

    start = base or Expression({})
    values = dict(start.values)

    def moved(name: str, value: float) -> None:
        values[name] = value
        session.set_expression(replace(start, values=dict(values)))

    controllers = MidiInput(live.midi, Bindings.parse(live.midi_map), moved)
    events.info(msg("The sliders follow the MIDI input {name}.", controllers.name))
    try:
        yield
    finally:
        controllers.close()


def _inputs(photo: Path, options: RenderOptions, live: LiveOptions) -> list[Path]:
    """Files that the session reads."""
    from app.render.job import files_of

    named = live.camera and live.camera != VOICE and driver_address(live.camera) is None
    driver = [Path(live.camera)] if named else []
    return [photo, *driver, *files_of(options)]


def _check_part(path: Path) -> None:
    """Check a file that drives a part of the face, so that the command fails at once and not during the session.

    Raises:
        AppError: It can't be read.
    """
    from app.frames.templates import open_template
    from app.frames.voices import open_track
    from app.media.reader import open_clip
    from liveportrait.template import is_template

    if is_template(path):
        open_template(path)
    elif open_track(path) is None:
        open_clip(path, film=True).close()


def _await(session: LiveSession, token: CancelToken, ready: Callable[[], bool], timeout: float = START) -> bool:
    """Wait for a condition of the session, or until it is stopped."""
    left = timeout
    while left > 0 and not token.cancelled:
        if session.wait_for(ready, 0.2):
            return True
        left -= 0.2
    token.check()
    return False


def _await_first(session: LiveSession, token: CancelToken, virtual: bool) -> None:
    """Wait for the first frame.

    Raises:
        AppError: The driver delivers none, or there is no virtual camera on this computer. A busy one is tried again
            while the other outputs continue.
    """

    def shown() -> bool:  # the neutral portrait does not count
        driven = session.stats().captured > 0 or session.awaited != ""  # a tracker may begin to send later
        return driven and any(s.name == "none" and s.shown for s in session.sinks)

    def over() -> bool:
        broken = session.driver_error is not None and session.driver is not None and session.driver.kind != "camera"
        return shown() or session.error is not None or session.draw_error is not None or broken

    _await(session, token, over, FAILING)
    if not shown():
        _await(session, token, lambda: over() or session.driver_error is not None)
    if not shown():
        known = session.error or session.draw_error or session.driver_error
        raise known or AppError("No frames received.", "Check whether another program uses the camera.")
    if not virtual:
        return
    _await(session, token, lambda: any(s.name == "virtual camera" and s.status != "waiting" for s in session.sinks), 10)
    failed = next((s for s in session.sinks if s.name == "virtual camera" and s.status == "failed"), None)
    if failed is not None and not failed.retrying:
        raise MissingError(failed.message)


def _watch(session: LiveSession, seconds: float, events: EventStream, token: CancelToken) -> None:
    """Report progress until the time is over."""
    from app.events import Event

    events.emit(Event("phase", "live", message="Live"))
    start = reported = session.clock()
    while not token.cancelled and session.error is None:
        now = session.clock()
        if now - reported >= REPORT:
            reported = now
            stats = session.stats()
            left = max(0.0, seconds - (now - start)) if seconds else None
            figures = {"latency_ms": round(stats.latency_ms, 2), "dropped": stats.dropped, "state": stats.state}
            text = f"Live, {stats.latency_ms:.0f} ms, {stats.dropped} dropped"
            events.emit(
                Event("progress", "live", stats.shown, None, fps=stats.fps, eta=left, message=text, data=figures)
            )
        if seconds and now - start >= seconds:
            return
        rest = seconds - (now - start) if seconds else 1.0
        session.wait_for(lambda: token.cancelled or session.error is not None, min(0.1, rest))
    if session.error is not None:
        raise session.error


def _recorded(stats: LiveStats, live: LiveOptions) -> str | None:
    """Name of the recording.

    Raises:
        AppError: It failed.
    """
    recorder = next((s for s in stats.sinks if s.name == "recorder"), None)
    if recorder is None:
        return None
    if recorder.status == "failed":
        raise AppError(recorder.message)
    return live.record


def _seconds(text: str | None) -> float:
    if text is None:
        return 0.0
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e7:
        raise UsageError(f"--seconds: {text!r} is not a number of seconds above 0.")
    return value


def _given(values: Mapping[str, Any]) -> list[str]:
    """Flags that were given but are set in the window itself."""
    infos = [info for info in (*live_options(), *SHARED) if info.name in NOT_IN_WINDOW]
    flags = [info.flags[-1] for info in infos if values[info.name] is not None]
    return flags + (["--seconds"] if values["seconds"] else [])


def _check(options: RenderOptions) -> None:
    reference = parse_reference(options.animation.reference)
    if isinstance(reference, int):
        raise UsageError("--reference: live motion has no numbered frames.", "Use auto or first.")


def _window_module() -> Any:
    """The window's module, or None if it can't be loaded."""
    try:
        return importlib.import_module("app.gui.main")
    except ImportError:
        return None


def _window(photo: Path, options: RenderOptions, live: LiveOptions, left: list[str]) -> int:
    """Open the window with this portrait, driver, options and sliders.

    Args:
        photo: The portrait.
        options: Options of the session.
        live: Live options; a file named as the camera is opened.
        left: Flags that were given but have no effect there.
    """
    from app.expressions import expression_from

    expression = expression_from(options.input.expression, options.input.sliders)
    window = _window_module()
    if window is None:
        raise MissingError("The window can't start here.", "Add --no-window to run without it.")
    address = live.camera if driver_address(live.camera) is not None else ""
    driver = Path(live.camera) if live.camera and not address and Path(live.camera).exists() else None
    left = [*left, *(["--camera"] if live.camera and driver is None and not address else [])]
    if left:
        complain(f"{', '.join(left)}: set in the window itself; these flags apply only with --no-window.", "warning")
    files = (photo,) if driver is None else (photo, driver)
    values = {i.name: v for i in SHARED if (v := options.values()[i.name]) != i.default and i.name not in ELSEWHERE}
    chosen = {
        i.name: v for i in live_options() if (v := getattr(live, i.name)) != i.default and i.name not in ELSEWHERE
    }
    start = window.Start(files=files, values=values, live=chosen, expression=expression, address=address)
    return int(window.main(start))


command(
    app,
    [
        argument("photo", "PHOTO", "Photo of the face to animate."),
        *(option_flag(info) for info in live_options()),
        switch("no_window", ["--no-window"], "Run without the window.", PANEL),
        text_flag("seconds", ["--seconds"], "N", "Stop after this many seconds, counted from the first frame.", PANEL),
        *(option_flag(info) for info in SHARED),
        text_flag("preset", ["--preset"], "NAME", "Start from a preset, see animate --help.", PANEL),
        text_flag("config", ["--config"], "FILE", "Read options from a TOML or JSON file; flags win over it.", PANEL),
        switch("debug", ["--debug"], "Show the traceback of an error.", PANEL),
    ],
    live,
    armed=True,
    help=live.__doc__,
)
