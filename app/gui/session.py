"""The user's settings: portraits, driver, options, sliders. Immutable, so that undo is a list of sessions. No Qt."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, get_args

from app.choices import LARGEST_FACE, LOOPBACK, Subject, TrackingAddress, driver_address
from app.errors import AppError
from app.gui.keyframes import Keyframes
from app.live_options import LiveOptions, check_live, live_options
from app.options import OptionInfo, RenderOptions, all_options, find_option
from liveportrait.expression import POSE_SLIDERS, SLIDERS, Expression

DriverKind = Literal["sliders", "file", "camera", "still", "template", "tracking"]
LIVE_ONLY: Final[tuple[DriverKind, ...]] = ("camera", "tracking")  # drivers that can't be rendered
View = Literal["result", "side", "over"]
NO_KEYS: Final = Keyframes()
SCHEMA_VERSION: Final = 1
MERGE_SECONDS: Final = 1.0
PER_PORTRAIT: Final = Subject.NAMES  # options that belong to one portrait
MACHINE: Final = ("engine", "device")  # depend on the computer; set in their own dialog
RUN_OPTIONS: Final = frozenset({"output", "overwrite", "json_lines", "quiet"})  # requested when a job is created


def sample_portrait() -> Path:
    """The portrait that ships with the app."""
    return _sample("portrait.jpg")


def sample_driver() -> Path:
    """The driving clip that ships with the app."""
    return _sample("driving.mp4")


def _sample(name: str) -> Path:
    import assets

    return Path(str(assets.__file__)).parent / "sample" / name


@dataclass(frozen=True)
class PortraitItem:
    """One of the portraits.

    Attributes:
        path: Photo or video.
        subject: The part of it that is animated.
    """

    path: str
    subject: Subject = LARGEST_FACE

    @property
    def name(self) -> str:
        """Name of the file."""
        return Path(self.path).name

    @classmethod
    def of(cls, path: str, **values: str) -> PortraitItem:
        """A portrait with values of the options that belong to one portrait.

        Raises:
            ValueError: A value is not valid.
        """
        return cls(path, Subject.parse(**values))


@dataclass(frozen=True)
class Driver:
    """The driver of the portrait.

    Attributes:
        kind: Sliders only, a clip, a camera, a picture, or a motion template.
        source: File, or name or index of the camera; empty for sliders.
    """

    kind: DriverKind = "sliders"
    source: str = ""

    @classmethod
    def at(cls, address: str) -> Driver:
        """The face tracker or camera at an address. Raises ValueError if it is none."""
        return cls("tracking" if isinstance(driver_address(address), TrackingAddress) else "camera", address)

    @property
    def kept(self) -> str:
        """The source as it is saved: no password of a camera, and no port that is open to the network."""
        try:
            address = driver_address(self.source) if self.kind in LIVE_ONLY else None
        except ValueError:
            return ""
        if isinstance(address, TrackingAddress) and address.is_open:
            address = replace(address, host=LOOPBACK)
        return self.source if address is None else str(address)


@dataclass(frozen=True)
class Session:
    """Everything that the user can set and undo.

    Attributes:
        portraits: All portraits, in order.
        current: Index of the selected portrait; 0 if there is none.
        driver: The driver.
        values: Option name -> value, only those that differ from the default.
        sliders: Slider name -> value, only those that differ from neutral.
        eye_left: Fixed ratio of the eye on the left of the image, or None if it follows the driver.
        eye_right: The same for the other eye.
        lips: Fixed lip ratio, or None.
        live: Live option name -> value, only those that differ from the default.
        keyed: Whether the keyframes play where sliders alone drive.
        keys: The keyframes.
    """

    portraits: tuple[PortraitItem, ...] = ()
    current: int = 0
    driver: Driver = Driver()
    values: Mapping[str, Any] = field(default_factory=dict)
    sliders: Mapping[str, float] = field(default_factory=dict)
    eye_left: float | None = None
    eye_right: float | None = None
    lips: float | None = None
    live: Mapping[str, Any] = field(default_factory=dict)
    keyed: bool = False
    keys: Keyframes = NO_KEYS

    @property
    def portrait(self) -> PortraitItem | None:
        """The selected portrait."""
        return self.portraits[self.current] if self.current < len(self.portraits) else None

    @property
    def expression(self) -> Expression:
        """Sliders and fixed eye and lip ratios for the animation."""
        fixed = self.eye_left is not None or self.eye_right is not None
        eyes = (self.eye_left, self.eye_right) if fixed else None
        return Expression(dict(self.sliders), eyes, self.lips)

    def value(self, name: str) -> Any:
        """Value of an option; those that belong to one portrait come from the selected one."""
        if name in PER_PORTRAIT and self.portrait is not None:
            return self.portrait.subject.values[name]
        return self.values.get(name, find_option(name).default)

    def options(self, **changes: Any) -> RenderOptions:
        """All options, checked.

        Args:
            changes: Values that override those of the session, such as output.
        """
        values = dict(self.values)
        if self.portrait is not None:
            values |= self.portrait.subject.values
        return RenderOptions.from_values(values | changes)

    @property
    def files(self) -> list[Path]:
        """Input files: portraits, driver, and files named by options."""
        from app.render.job import files_of

        driver = [] if self.driver.kind in ("sliders", *LIVE_ONLY) else [Path(self.driver.source)]
        return [*(Path(one.path) for one in self.portraits), *driver, *files_of(self.options())]

    @property
    def lives(self) -> bool:
        """Whether the portrait is to breathe, blink and look around by itself."""
        return float(self.value("idle") or 0) > 0

    @property
    def plays(self) -> bool:
        """Whether something moves the portrait, and not only sliders pose it."""
        return self.driver.kind != "sliders" or self.keyed or self.lives or bool(self.value("voice"))

    @property
    def live_options(self) -> LiveOptions:
        """Live options, checked."""
        return check_live(self.live)

    def live_value(self, name: str) -> Any:
        """Value of a live option."""
        return self.live.get(name, _live_info(name).default)

    # ---- changes: each gives a new session ------------------------------------------------------------------------
    def with_value(self, name: str, value: Any) -> Session:
        """The session with one option changed.

        Raises:
            UsageError: The value is not valid for the option.
        """
        info = find_option(name)
        value = info.check(value)
        if name in PER_PORTRAIT and self.portrait is not None:
            own = {**self.portrait.subject.values, name: value}
            return self._with_portrait(PortraitItem.of(self.portrait.path, **own))
        values = {k: v for k, v in self.values.items() if k != name}
        if value != info.default:
            values[name] = value
        return replace(self, values=values)

    def with_live(self, name: str, value: Any) -> Session:
        """The session with one live option changed.

        Raises:
            UsageError: The value is not valid for the option.
        """
        value = getattr(check_live({name: value}), name)
        live = {k: v for k, v in self.live.items() if k != name}
        if value != _live_info(name).default:
            live[name] = value
        return replace(self, live=live)

    def with_values(self, values: Mapping[str, Any]) -> Session:
        """The session with exactly these option values; engine, device and options of one run or portrait are kept."""
        kept = {k: v for k, v in self.values.items() if find_option(k).run_only or k in MACHINE}
        session = replace(self, values=kept)
        for name, value in values.items():
            if not find_option(name).run_only and name not in PER_PORTRAIT:
                session = session.with_value(name, value)
        return session

    def with_slider(self, name: str, value: float) -> Session:
        """The session with one slider moved; the value is clamped to its range."""
        slider = SLIDERS[name]
        value = min(max(float(value), slider.minimum), slider.maximum)
        sliders = {k: v for k, v in self.sliders.items() if k != name}
        if not math.isclose(value, slider.default, abs_tol=1e-9):
            sliders[name] = value
        return replace(self, sliders=sliders)

    def with_opening(self, name: str, value: float | None) -> Session:
        """The session with a fixed ratio (eye_left, eye_right, lips); None follows the driver."""
        openings = {"eye_left": self.eye_left, "eye_right": self.eye_right, "lips": self.lips, name: value}
        return replace(self, eye_left=openings["eye_left"], eye_right=openings["eye_right"], lips=openings["lips"])

    def with_expression(self, expression: Expression) -> Session:
        """The session with all sliders of an expression; sliders that it doesn't name are reset."""
        eyes = expression.eye_ratio or (None, None)
        sliders = {k: v for k, v in expression.values.items() if v != SLIDERS[k].default}
        return replace(self, sliders=sliders, eye_left=eyes[0], eye_right=eyes[1], lips=expression.lip_ratio)

    def with_face(self, expression: Expression) -> Session:
        """The session with the face of an expression; the head keeps its pose unless the expression has one."""
        pose = {k: v for k, v in self.sliders.items() if k in POSE_SLIDERS}
        posed = not expression.values.keys().isdisjoint(POSE_SLIDERS)
        return self.with_expression(expression if posed else replace(expression, values={**pose, **expression.values}))

    def with_named(self, expression: Expression) -> Session:
        """The session with the pose of an expression, its face, or both: a part of which it names nothing is kept."""
        own = expression.values.keys() - set(POSE_SLIDERS)
        if own or expression.eye_ratio is not None or expression.lip_ratio is not None:
            return self.with_face(expression)
        face = {k: v for k, v in self.sliders.items() if k not in POSE_SLIDERS}
        return replace(
            self.with_expression(replace(expression, values={**face, **expression.values})),
            eye_left=self.eye_left,
            eye_right=self.eye_right,
            lips=self.lips,
        )

    def with_portraits(self, paths: list[str]) -> Session:
        """The session with portraits added and the first of them selected; known ones are not added again."""
        portraits = list(self.portraits)
        for path in paths:
            if path not in [item.path for item in portraits]:
                portraits.append(PortraitItem(path))
        current = [item.path for item in portraits].index(paths[0]) if paths else self.current
        return replace(self, portraits=tuple(portraits), current=current)

    def without_portrait(self, index: int) -> Session:
        """The session with one portrait removed."""
        portraits = self.portraits[:index] + self.portraits[index + 1 :]
        current = self.current - (index < self.current)
        return replace(self, portraits=portraits, current=max(0, min(current, len(portraits) - 1)))

    def with_current(self, index: int) -> Session:
        """The session with another portrait selected; the index wraps around."""
        return replace(self, current=index % len(self.portraits)) if self.portraits else self

    def _with_portrait(self, item: PortraitItem) -> Session:
        portraits = list(self.portraits)
        portraits[self.current] = item
        return replace(self, portraits=tuple(portraits))

    # ---- storage --------------------------------------------------------------------------------------------------
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        portraits = [{"path": item.path, **item.subject.values} for item in self.portraits]
        driver = {"kind": self.driver.kind, "source": self.driver.kept}
        rest = {**asdict(replace(self, keys=NO_KEYS)), "keys": self.keys.to_dict()}
        return {"schema_version": SCHEMA_VERSION, **rest, "portraits": portraits, "driver": driver}

    @classmethod
    def from_dict(cls, data: Any) -> Session:
        """Load a saved session. Unknown options and files that no longer exist are dropped."""
        if not isinstance(data, dict) or data.get("schema_version") != SCHEMA_VERSION:
            return cls()
        session = cls(_portraits(data.get("portraits")), driver=_driver(data.get("driver")))
        current = data.get("current", 0)
        if isinstance(current, int) and session.portraits:
            session = replace(session, current=max(0, min(current, len(session.portraits) - 1)))
        for name, value in _pairs(data.get("values")):
            try:
                session = session.with_value(name, value)
            except AppError:
                continue
        for name, value in _pairs(data.get("sliders")):
            if name in SLIDERS and _is_number(value):
                session = session.with_slider(name, value)
        for name, value in _pairs(data.get("live")):
            try:
                session = session.with_live(name, value)
            except (AppError, KeyError):
                continue
        if isinstance(data.get("keys"), dict):
            with suppress(ValueError):
                session = replace(session, keys=Keyframes.from_dict(data["keys"]), keyed=data.get("keyed") is True)
        for name in ("eye_left", "eye_right", "lips"):
            if _is_number(data.get(name)):
                session = session.with_opening(name, float(data[name]))
        return session


def _live_info(name: str) -> OptionInfo:
    return next(info for info in live_options() if info.name == name)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _pairs(data: Any) -> list[tuple[str, Any]]:
    return [(str(k), v) for k, v in data.items()] if isinstance(data, dict) else []


def missing_files(data: Any) -> list[str]:
    """Portraits and drivers of a saved session whose files no longer exist."""
    if not isinstance(data, dict):
        return []
    entries = data.get("portraits")
    entries = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    paths = [entry.get("path") for entry in entries]
    driver = data.get("driver")
    if isinstance(driver, dict) and driver.get("kind") in ("file", "still", "template"):
        paths.append(driver.get("source"))
    return [path for path in paths if isinstance(path, str) and path and not Path(path).exists()]


def _portraits(data: Any) -> tuple[PortraitItem, ...]:
    found = []
    for entry in data if isinstance(data, (list, tuple)) else ():
        names = {"path", *PER_PORTRAIT}
        if not (isinstance(entry, dict) and set(entry) <= names and all(isinstance(v, str) for v in entry.values())):
            continue
        if entry.get("path") and Path(entry["path"]).exists():
            with suppress(ValueError):
                found.append(PortraitItem.of(**entry))
    return tuple(found)


def _driver(data: Any) -> Driver:
    if not isinstance(data, dict) or data.get("kind") not in get_args(DriverKind):
        return Driver()
    source = data.get("source")
    source = source if isinstance(source, str) else ""
    if data["kind"] in ("file", "still", "template") and not Path(source).exists():
        return Driver()
    return Driver(data["kind"], source)


def first_session() -> Session:
    """The session of a first start: the sample portrait, driven by the sample clip."""
    return Session((PortraitItem(str(sample_portrait())),), driver=Driver("file", str(sample_driver())))


def panel_options() -> list[str]:
    """Names of the options that the control panel shows, in order."""
    hidden = RUN_OPTIONS | {"engine", "device", "face", "crop", "points", "landmarks", "sliders", "expression"}
    hidden |= {"signing_cert", "signing_key"}
    hidden |= {"pose_from", "exp_from", "lips_from", "eyes_from", "driver_for"}
    hidden |= {"idle"}  # beside the driver
    return [info.name for info in all_options() if info.name not in hidden]


def panel_live_options() -> list[str]:
    """Names of the live options that the control panel shows; the others have their own buttons."""
    return [info.name for info in live_options() if info.name not in ("camera", "mirror", "vcam", "record", "stream")]


class History:
    """Undo and redo of sessions.

    Changes with the same key within a second are one step, so that dragging a slider is undone at once.

    Args:
        session: The initial session.
        limit: Maximum number of steps kept.
        clock: Source of monotonic seconds.
    """

    def __init__(self, session: Session, limit: int = 500, clock: Callable[[], float] = time.monotonic) -> None:
        self.session = session
        self._limit = limit
        self._clock = clock
        self._past: list[tuple[Session, str]] = []
        self._future: list[tuple[Session, str]] = []
        self._key = ""
        self._at = -math.inf

    def push(self, session: Session, text: str, key: str = "") -> bool:
        """Take a change.

        Args:
            session: What it leads to.
            text: What the user did, for the menu.
            key: Changes with the same key in quick succession become one step; empty never merges.

        Returns:
            False if nothing changed.
        """
        if session == self.session:
            return False
        now = self._clock()
        merge = bool(key) and key == self._key and now - self._at < MERGE_SECONDS and bool(self._past)
        if not merge:
            self._past.append((self.session, text))
            del self._past[: -self._limit]
        self._future.clear()
        self._key, self._at = key, now
        self.session = session
        if merge and self._past[-1][0] == session:  # back at the start: there is nothing to undo
            self._past.pop()
            self._key = ""
        return True

    @property
    def undo_text(self) -> str:
        """Description of the step that undo would revert, or empty."""
        return self._past[-1][1] if self._past else ""

    @property
    def redo_text(self) -> str:
        """Description of the step that redo would repeat, or empty."""
        return self._future[-1][1] if self._future else ""

    def undo(self) -> Session:
        """Undo the last step."""
        return self._step(self._past, self._future)

    def redo(self) -> Session:
        """Redo the last undone step."""
        return self._step(self._future, self._past)

    def _step(self, source: list[tuple[Session, str]], target: list[tuple[Session, str]]) -> Session:
        if source:
            session, text = source.pop()
            target.append((self.session, text))
            self.session = session
            self._key = ""
        return self.session
