"""Prepare a job: open inputs, check names, load the engine, find the face of the source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.errors import UsageError
from app.expressions import expression_from
from app.frames.follow import timed
from app.frames.resources import Resources
from app.frames.scene import SceneMaker, SourceClock, animal_points
from app.frames.voices import RATE, SUFFIX
from app.loading import interruptible
from app.media.audio import AudioSource
from app.media.encode import LARGE
from app.media.limits import CLIP_PIXELS, CLIP_SIDE, fitting_clip
from app.media.reader import open_clip
from app.media.sizing import Sizing
from app.media.streams import STDOUT, stream_name
from app.media.timeline import output_duration, resample, sample_times, turning_times
from app.media.writer import check_clip, check_picture, clip_kind
from app.memory import keep_little
from app.options import notes_on, parse_rate
from app.render.job import (
    STILL_SUFFIXES,
    Job,
    Plan,
    is_numbered,
    make_folder,
    names_folder,
    output_path,
    side_by_side_path,
)
from app.render.unseen import UnseenDrivers
from liveportrait.animator import Scene
from liveportrait.expression import Expression
from liveportrait.template import is_template
from models.messages import msg

if TYPE_CHECKING:
    from app.events import CancelToken, EventStream
    from app.frames.timings import Timings
    from app.media.clip import ClipReader
    from liveportrait.template import MotionTemplate
    from liveportrait.track import MotionTrack


class Inputs:
    """The prepared inputs of a job. Use it in a ``with`` statement.

    Args:
        job: The job.
        events: Receives messages.
        token: Stops a long search for the first face.
        resources: Source of engine, tracker and encoded photo.
        dry: Create nothing, not even a folder.

    Attributes:
        source: The source as a clip.
        driving: The driving file as a clip, None for a motion template.
        template: The driving file as a motion template, None for a clip.
        unseen: Drivers that show no face, such as a voice; one may replace the driving file.
        others: Region -> file that drives it instead of the driving file.
        own_drivers: Faces with their own drivers.
        expression: Sliders on top of the motion, or None.
        output: Path of the result.
        comparison: Path of the comparison clip, or None.
        still_result: True if the result is one image.
        engine: The engine.
        tracker: Finds faces.
        scenes: Creates scenes from source frames.
        still: The scene of a source photo, None for a clip.
        first: The animated face of the first source frame that has one.
        side: Side of the crop in the first source frame with a face, in pixels.
        rate: Requested frame rate, or None.
        notes: Sentences for the user so far.

    Raises:
        AppError: The job can't be done; the sentence says why.
    """

    def __init__(
        self,
        job: Job,
        events: EventStream,
        token: CancelToken,
        resources: Resources | None = None,
        *,
        dry: bool = False,
    ) -> None:
        self._dry = dry
        self.job = job
        self.resources = resources or Resources()
        self.events = events
        self._token = token
        self.notes: list[str] = []
        self.rate = parse_rate(job.options.input.fps)
        self.still: Scene | None = None
        self._close = ExitStack()
        try:
            self._open()
        except BaseException:
            self._close.close()
            raise

    def __enter__(self) -> Inputs:
        return self

    def __exit__(self, *_: object) -> None:
        self._close.close()

    def note(self, sentence: str, *, warn: bool = False) -> None:
        """Send the user a note, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)
            (self.events.warn if warn else self.events.info)(sentence)

    # ---- opening --------------------------------------------------------------------------------------------------
    def _open(self) -> None:
        from app.frames.templates import check_fits

        job, options = self.job, self.job.options
        for sentence in notes_on(options):
            self.note(sentence)
        wanted = options.input
        self.expression = expression_from(wanted.expression, wanted.sliders, job.expression)
        if job.posed and self.expression is None:
            self.expression = Expression({})
        self.unseen = UnseenDrivers(job)
        if wanted.liveliness and not job.posed and not self.unseen.idles:
            self.note(msg("{driving} already moves the face; {option:idle} has no effect.", job.driving))
        parts, own = ({}, ()) if job.posed else (wanted.part_drivers, wanted.subject.drivers)
        self.others = {part: path for part, path in parts.items() if part not in self.unseen.parts}
        self.own_drivers = own
        self.source: ClipReader = self._close.enter_context(open_clip(job.source, *wanted.source_part, rate=self.rate))
        if self.large:
            keep_little()
        self._open_driving()
        for reader in (self.source, self.driving):
            for sentence in reader.notes if reader else []:
                self.note(sentence)
        if self.source.info.kind == "animation":
            self.note(msg("{source} is an animated image; only its first frame is used.", job.source))
        self.still_result = not self.moving and self.single
        Sizing.of(options.output, (1, 1))  # checked, like the points below, before the engine is loaded
        if wanted.length == "pingpong" and self.moving and not job.posed:
            raise UsageError(
                msg("{option:length}: pingpong needs a photo as the source, and {source} is a clip.", job.source),
                "Use loop, shortest, source or driving.",
            )
        self._check_names()
        animal_points(options)
        reasons: list[str] = []
        warn = partial(self.note, warn=True)
        self.engine = interruptible(
            lambda step: self.resources.engine(options, reasons.append, warn, step), self._token, self.events.info,
            "Loading the engine",
        )  # fmt: skip
        if self.template is not None:
            check_fits(self.template, job.driving, self.engine)
        self._note_silence()
        self._check_others()
        self.tracker = interruptible(
            lambda _: self.resources.tracker(options.input.finder),
            self._token,
            self.events.info,
            "Loading the face detector",
        )
        self.scenes = SceneMaker(self.engine, self.tracker, options, job.source)
        remarks: list[str] = []
        if self.moving:
            first = self.scenes.first_moving(self.source, self._token)
        else:
            shrunk = self._shrunk()
            if shrunk is None:
                self.still, remarks = self.resources.scene(job.source, options, self.engine, lambda: self._photo(None))
            else:  # such a scene is not cached
                self.still, remarks = self._photo(shrunk)
            first = self.still
            self.source.close()
        assert first.face is not None
        self.first = first.face
        self.side = first.face.crop.size
        self._check_comparison()
        for sentence in [*reasons, *remarks]:
            self.note(sentence)

    def _open_driving(self) -> None:
        from app.frames.templates import open_template

        job, part = self.job, self.job.options.input.driving_part
        self.driving: ClipReader | None = None
        self.template: MotionTemplate | None = None
        if job.posed or self.unseen.main is not None:
            return
        if is_template(job.driving):
            self.template = open_template(job.driving)
        else:
            self.driving = self._close.enter_context(open_clip(job.driving, *part, rate=self.rate, film=True))

    def _photo(self, size: tuple[int, int] | None) -> tuple[Scene, list[str]]:
        return self.scenes.still(next(iter(self.source)), size), self.scenes.notes

    def _shrunk(self) -> tuple[int, int] | None:
        """Size to which a photo is reduced because it exceeds the size limit of clips, or None.

        Raises:
            UsageError: The requested size exceeds the limit of clips.
        """
        options, info = self.job.options, self.source.info
        if self.still_result or not options.animation.paste_back or not self._writes_video():
            return None
        wanted = Sizing.of(options.output, (info.width, info.height)).size
        most = fitting_clip(*wanted)
        if most == wanted:
            return None
        pixels = f"{CLIP_PIXELS / 1e6:.1f}"
        if options.output.size:
            raise UsageError(
                msg(
                    "{option:size}: {wanted}x{wanted2} is too large; a clip can have at most {pixels} million pixels "
                    "and {clip_side} per side.",
                    wanted[0], wanted[1], pixels, CLIP_SIDE
                ),
                msg(
                    "Ask for at most {most}x{most2}, or for numbered images, such as shot-%05d.png.", most[0], most[1]
                )
            )  # fmt: skip
        self.note(
            msg(
                "{source} is {width}x{height}, and a clip can have at most {pixels} million pixels and {clip_side} "
                "per side (level 6.2 of H.264); the result is {most}x{most2}.",
                self.job.source, info.width, info.height, pixels, CLIP_SIDE, most[0], most[1]
            )
        )  # fmt: skip
        return most

    @property
    def panels(self) -> tuple[int, ...]:
        """Widths of the panels left of the result in the comparison clip."""
        width, height = self.sizing.size
        shown = [self.source.info] if self.driving is None else [self.driving.info, self.source.info]
        return tuple(max(1, min(2 * width, round(height * info.width / info.height))) for info in shown)

    def _check_comparison(self) -> None:
        """Check that the comparison does not exceed the size limit of clips.

        Raises:
            UsageError: It does.
        """
        width, height = self.sizing.size
        whole = width + sum(self.panels), height
        most = fitting_clip(*whole)
        if self.comparison is not None and most != whole and self._writes_video():
            side = max(width, height) * most[0] // whole[0]
            raise UsageError(
                msg(
                    "{option:side_by_side}: the comparison would be {whole}x{whole2}, and a clip can have at most "
                    "{clip_pixels:.1f} million pixels and {clip_side} per side.",
                    whole[0], whole[1], CLIP_PIXELS / 1000000.0, CLIP_SIDE
                ),
                msg("Add {option:max_side} {side}, or leave the comparison out.", side // 2 * 2)
            )  # fmt: skip

    def _writes_video(self) -> bool:
        """Whether the result is a file or stream of a video codec, not a GIF or images."""
        codec = self.job.options.output.codec
        path = Path(stream_name(codec)) if self.output == STDOUT else self.output
        return clip_kind(path, codec, self.alpha) == "video"

    @property
    def moving(self) -> bool:
        """Whether the source is a clip; only the first frame of an animated image is used."""
        return self.source.info.kind in ("video", "sequence") and self.source.info.frames != 1

    @property
    def alpha(self) -> bool:
        """Whether frames carry transparency."""
        return self.job.options.output.behind.clear(self.source.info.has_alpha)

    @property
    def large(self) -> bool:
        """Whether the source is a photo so large that memory matters more than time."""
        return not self.moving and self.source.info.width * self.source.info.height > LARGE

    @property
    def single(self) -> bool:
        """Whether the driving file is one image, or nothing drives the source."""
        if self.job.posed:
            return True
        if self.driving is None:
            return self.template is not None and len(self.template) == 1  # a driver without a face is never one image
        return self.driving.info.kind == "image"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the finished frames in pixels."""
        if self.job.options.animation.paste_back:
            if self.still is not None:
                return self.still.picture.shape[1], self.still.picture.shape[0]
            return self.source.info.width, self.source.info.height
        return self.side, self.side

    @property
    def sizing(self) -> Sizing:
        """How finished frames are brought to the size of the result."""
        return Sizing.of(self.job.options.output, self.size)

    @property
    def one_picture(self) -> bool:
        """Whether the output is one image (not a clip of one frame)."""
        if self.output == STDOUT:
            return self.still_result and self.job.options.output.codec in ("auto", "png")
        return self.still_result and self.output.suffix.lower() in STILL_SUFFIXES and not is_numbered(self.job)

    def _further(self) -> list[Path]:
        """Driving files besides the main one."""
        own = (driver.path for driver in self.own_drivers if driver.path not in self.unseen.own)
        return [*self.others.values(), *own]

    def open_template(self, path: Path) -> MotionTemplate:
        """A motion template that this engine can use.

        Raises:
            MediaError: The file is not a template.
            UsageError: It contains the keypoints of another engine.
        """
        from app.frames.templates import open_fitting

        return open_fitting(path, self.engine)

    def _check_names(self) -> None:
        options = self.job.options.output
        self.output = self.job.target or output_path(
            self.job, still=self.still_result, alpha=self.alpha, engine=self.job.options.program.engine
        )
        self.comparison: Path | None = None
        if self.output == STDOUT:
            if options.side_by_side:
                raise UsageError(
                    msg("{option:side_by_side} writes a second file, which can't go to standard output."),
                    "Use file names for both.",
                )
            if not self.one_picture:
                stream_name(options.codec)
            return
        if self.output.suffix.lower() in STILL_SUFFIXES and not self.still_result and not is_numbered(self.job):
            raise UsageError(
                msg("{option:output}: {output} is a single image, but the result is a clip.", self.output),
                msg(
                    "End the name in .mp4, or write {stem}-%05d{suffix} for numbered images.",
                    self.output.stem, self.output.suffix
                )
            )  # fmt: skip
        if self.job.posed and self.still_result and not self.one_picture:
            raise UsageError(
                msg("{option:output}: {output} is a clip, but the result is a single image.", self.output),
                msg("End the name in {what}.", ".png or .jpg"),
            )
        self.comparison = side_by_side_path(self.output) if options.side_by_side else None
        if self._dry and names_folder(options.output) and not self.output.parent.exists():
            return
        make_folder(self.output, options.output)
        for path in filter(None, (self.output, self.comparison)):
            if self.one_picture:
                check_picture(path, options.overwrite, self.job.files())
            else:
                alpha = self.alpha and path == self.output
                check_clip(path, options.codec, alpha, options.overwrite, self.job.files())

    def _check_others(self) -> None:
        """Check that drivers of parts and of other faces exist before any work is done."""
        for path in self._further():
            if is_template(path):
                self.open_template(path)
            else:
                open_clip(path, rate=self.rate, film=True).close()

    # ---- time and sound -------------------------------------------------------------------------------------------
    @property
    def rule(self) -> str:
        """Length rule for this pair of inputs (app.media.timeline)."""
        if not self.moving:
            return "pingpong" if self.job.options.input.length == "pingpong" and not self.single else "driving"
        held = self.driving is not None and self.driving.info.frames == 1
        return "source" if held or self.single else self.job.options.input.length

    @property
    def closed(self) -> bool:
        """Whether the end of the motion blends into its beginning, for a photo animated in a loop."""
        return not self.moving and not self.single and self.job.options.input.length == "loop"

    @property
    def clock(self) -> tuple[Fraction, Fraction | None]:
        """Frame rate of the result, and the unit of its time stamps (None: multiples of 1/rate)."""
        if self.rate is not None:
            return self.rate, None
        reader = self.source if self.job.posed or (self.moving and self.rule != "driving") else self.driving
        if reader is None and self.unseen.main is not None:
            return RATE, None
        if reader is None:
            from app.frames.templates import time_base_of

            assert self.template is not None
            return self.template.rate, time_base_of(self.template.times)
        return reader.info.rate, reader.info.time_base

    def steps(self, track: MotionTrack, timings: Timings) -> Iterator[tuple[Fraction, Any]]:
        """Times of the result, with the source frame that is on screen at each (None for a photo)."""
        rate, duration = self.rate, track.duration
        if not self.moving:
            turning = self.rule == "pingpong" and len(track) > 1
            own: Iterable[Fraction] = turning_times(track.times) if turning else track.times
            length = 2 * track.times[-1] if turning else duration
            for time in own if rate is None else sample_times(length, rate):
                yield time, None
            return
        frames: Iterator[Any] = timed(SourceClock(self.source, self.rule, duration), timings, "decode source")
        step = 1 / self.source.info.rate
        if self.rule == "driving":
            wanted: Iterable[Fraction] = track.times if rate is None else sample_times(duration, rate)
            yield from resample(frames, wanted, hold=True, step=step)
        elif rate is None:
            yield from frames
        else:
            wanted = sample_times(duration, rate) if self.rule == "shortest" else (k / rate for k in count())
            yield from resample(frames, wanted, hold=False, step=step)

    def expected(self, driving: Fraction | None) -> int | None:
        """Number of frames of the result, None if not known in advance.

        Args:
            driving: Length of the driving clip in seconds, or None if not known.
        """
        if self.still_result:
            return 1
        if self.rule == "pingpong":
            frame = 1 / (self.clock[0] if self.driving is None else self.driving.info.rate)
            return None if driving is None else max(1, round(2 * (driving - frame) * self.clock[0]))
        source = self.source.length if self.moving else None
        if driving is None or (self.moving and source is None):
            return None
        seconds = output_duration(source, driving, self.rule)  # type: ignore[arg-type]
        return max(1, round(seconds * self.clock[0]))

    def sound(self) -> tuple[AudioSource | None, str]:
        """Sound of the result, and its origin: driving, source or none."""
        wanted = self.job.options.output.audio
        if wanted == "none" or self.still_result:
            return None, "none"
        sides = ["driving", "source"] if wanted == "driving" else ["source", "driving"]
        for side in ["source"] if self.job.posed else sides:
            sound = self._sound_of(side)
            if sound.present:
                return sound, side
        return None, "none"

    def _note_silence(self) -> None:
        """Note that a template has no sound if its sound was requested or there is no other."""
        main = self.unseen.main
        spoken = main is not None and main.path.suffix.lower() == SUFFIX
        if not (self.template or spoken) or self.still_result or self.job.options.output.audio == "none":
            return
        what = msg("speech template") if spoken else msg("motion template")
        if self.output != STDOUT and self.output.suffix.lower() in (*STILL_SUFFIXES, ".gif"):
            return
        _, side = self.sound()
        if side == "none":
            self.note(msg("{driving} is a {what}, which has no sound; the result is silent.", self.job.driving, what))
        elif side == "source" and self.job.options.output.audio == "driving":
            self.note(
                msg("{driving} is a {what}, which has no sound; that of the source is used.", self.job.driving, what)
            )

    def _sound_of(self, side: str) -> AudioSource:
        """Sound of the used part; for motion that plays forward and backward, only of the forward part."""
        if side == "driving" and self.unseen.sound is not None:
            return self.unseen.sound
        reader = self.driving if side == "driving" else self.source
        path = self.job.driving if side == "driving" else self.job.source
        if reader is None:
            return AudioSource(path)
        longest = reader.length if self.rule == "pingpong" and side == "driving" else None
        return AudioSource.of_part(reader, longest)

    def plan(self) -> Plan:
        """What the job will do."""
        length = self.driving.length if self.driving is not None else self.unseen.length
        if self.template is not None:
            start, end = self.job.options.input.driving_part
            length = max(Fraction(0), min(end or self.template.duration, self.template.duration) - (start or 0))
        return Plan(
            output=self.output,
            side_by_side=self.comparison,
            engine=self.engine.name,
            device=self.engine.describe().get("device", "cpu"),
            size=self.sizing.size,
            rate="" if self.still_result else str(self.clock[0]),
            frames=self.expected(length),
            audio=self.sound()[1],
            notes=tuple(self.notes),
        )
