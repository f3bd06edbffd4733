"""Live motion: neutral pose, countdown, lost faces; the slot and the governor."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from live_stubs import StubEngine

from app.live.mailbox import Mailbox
from app.live.quality import CALM, FORGIVE, Governor, Quality
from app.live.settings import Settings
from app.live_options import LiveOptions
from app.options import RenderOptions
from liveportrait.live_channel import SEARCH, LiveChannel
from liveportrait.motion import Motion, euler_from_rotation, rotation_from_euler
from liveportrait.options import AnimationOptions

STEP = 1 / 30
SMOOTH, PLAIN = AnimationOptions(), AnimationOptions(smooth=0)


def look(yaw: float = 0.0, lips: float = 0.0, x: float = 0.0) -> Motion:
    """A look of the driver: head turn in degrees, opening of the lips, place."""
    return Motion(
        rotation_from_euler(0, yaw, 0), np.array([[x, 0, 0]], np.float32), np.ones((1, 1), np.float32),
        np.zeros((1, 4, 3), np.float32), np.full((1, 2), 0.3, np.float32), np.full((1, 1), lips, np.float32), "stub",
    )  # fmt: skip


def yaw_of(frame: Motion | None) -> float:
    assert frame is not None
    return float(euler_from_rotation(frame.rotation)[0, 1])


def run(motion: LiveChannel, looks: list[Motion | None], start: float = 0.0, reference: str = "auto") -> list:
    options = AnimationOptions(smooth=0, reference=reference)
    return [motion(each, start + i * STEP, options) for i, each in enumerate(looks)]


class TestMailbox:
    def test_newest_stays(self) -> None:
        slot: Mailbox[int] = Mailbox()
        for i in range(5):
            slot.put(i)
        assert (slot.take(0), slot.dropped, slot.count) == (4, 4, 5)
        assert slot.take(0) is None

    def test_deep_slot_drops_the_oldest(self) -> None:
        slot: Mailbox[int] = Mailbox(3)
        for i in range(5):
            slot.put(i)
        slot.close()
        slot.put(9)
        assert [slot.take(), slot.take(), slot.take(), slot.take()] == [2, 3, 4, None]
        assert slot.dropped == 2

    @pytest.mark.parametrize("wake", ["wake", "close"])
    def test_a_waiting_taker_wakes(self, wake: str) -> None:
        slot: Mailbox[int] = Mailbox()
        got: list[int | None] = []
        thread = threading.Thread(target=lambda: got.append(slot.take(60)))
        thread.start()
        getattr(slot, wake)()
        thread.join(60)
        assert got == [None]


class TestNeutral:
    def test_is_the_most_neutral_look_of_the_first_second(self) -> None:
        motion = LiveChannel(StubEngine())
        # a bad moment at the start: turned, mouth open; neutral after half a second
        looks: list[Motion | None] = [look(yaw=25, lips=0.3)] * 15 + [look(x=0.1)] * 10 + [look(yaw=-15)] * 80
        steps = run(motion, looks)
        np.testing.assert_allclose(steps[0].reference.rotation, looks[0].rotation)
        np.testing.assert_allclose(steps[-1].reference.rotation, np.eye(3)[None], atol=1e-6)
        assert steps[-1].reference.translation[0, 0] == pytest.approx(0.1)

    def test_way_to_it_is_eased(self) -> None:
        steps = run(LiveChannel(StubEngine()), [look(yaw=25, lips=0.3)] * 15 + [look()] * 60)
        x = np.array([s.reference.lip_ratio[0, 0] for s in steps])
        assert x[0] == pytest.approx(0.3)
        assert x[-1] == 0
        assert np.abs(np.diff(x)).max() < 0.09

    def test_nothing_later_changes_it(self) -> None:
        motion = LiveChannel(StubEngine())
        run(motion, [look(yaw=10)] * 60)
        steps = run(motion, [look()] * 30, start=SEARCH + 2)
        np.testing.assert_allclose(steps[-1].reference.rotation, look(yaw=10).rotation, atol=1e-6)

    def test_first(self) -> None:
        steps = run(LiveChannel(StubEngine()), [look(yaw=12)] * 3 + [look()] * 60, reference="first")
        np.testing.assert_allclose(steps[-1].reference.rotation, look(yaw=12).rotation, atol=1e-6)

    def test_search_begins_with_the_first_face(self) -> None:
        motion = LiveChannel(StubEngine())
        steps = run(motion, [None] * 90)
        assert steps == [None] * 90
        steps = run(motion, [look(yaw=20)] * 10 + [look()] * 60, start=3.0)
        np.testing.assert_allclose(steps[-1].reference.rotation, np.eye(3)[None], atol=1e-6)

    def test_recentre_after_a_countdown(self) -> None:
        told: list[int] = []
        motion = LiveChannel(StubEngine(), told.append)
        run(motion, [look()] * 60)
        motion.recentre(2.0 + 3.0)
        # the sitter has moved: a step in the pose; in the window she also opens her mouth for a moment
        window = [look(yaw=8, x=0.3)] * 95 + [look(yaw=8, x=0.3, lips=0.4)] * 5 + [look(yaw=8, x=0.3)] * 60
        steps = run(motion, window, start=2.0)
        assert told == [3, 2, 1, 0]
        before, after = steps[80].reference, steps[-1].reference
        np.testing.assert_allclose(before.rotation, np.eye(3)[None], atol=1e-6)
        np.testing.assert_allclose(after.rotation, look(yaw=8).rotation, atol=1e-6)
        assert (after.translation[0, 0], after.lip_ratio[0, 0]) == (pytest.approx(0.3), 0)

    def test_recentre_without_a_face_takes_the_first_one_later(self) -> None:
        motion = LiveChannel(StubEngine())
        run(motion, [look()] * 60)
        motion.recentre(2.0)
        run(motion, [None] * 60, start=2.0)
        steps = run(motion, [look(yaw=9)] * 60, start=4.0)
        np.testing.assert_allclose(steps[-1].reference.rotation, look(yaw=9).rotation, atol=1e-6)

    def test_reset_forgets(self) -> None:
        motion = LiveChannel(StubEngine())
        run(motion, [look(yaw=10)] * 60)
        motion.reset()
        assert motion(None, 9.0, SMOOTH) is None
        assert motion(look(), 9.1, SMOOTH) is not None

    def test_known_reference_stays_until_another_one_is_asked_for(self) -> None:
        motion = LiveChannel(StubEngine())
        motion.start_from(look(yaw=3))
        steps = run(motion, [look(yaw=20)] * 5 + [look()] * 60)
        np.testing.assert_allclose(steps[-1].reference.rotation, look(yaw=3).rotation, atol=1e-6)
        motion.recentre(3.0)
        steps = run(motion, [look(yaw=9)] * 60, start=3.0)
        assert yaw_of(steps[-1].reference) == pytest.approx(9, abs=1e-3)


class TestShown:
    def test_a_jump_in_the_clip_bridges_nothing(self) -> None:
        """Who seeks while the face is lost sees the frame that was sought, not the way back to it."""
        motion = LiveChannel(StubEngine())
        run(motion, [look()] * 60)
        run(motion, [look(yaw=20)] * 3 + [None] * 60, start=60 * STEP)
        step = motion(look(yaw=12), 124 * STEP, PLAIN, jump=True)
        assert yaw_of(step.motion) == pytest.approx(12, abs=1e-3)

    def test_lost_face_is_held_then_eased_and_comes_back_smoothly(self) -> None:
        motion = LiveChannel(StubEngine())
        run(motion, [look()] * 40)
        steps = run(motion, [look(x=0.5)] * 30 + [None] * 60 + [look(x=0.5)] * 30, start=1.4)
        x = np.array([s.motion.translation[0, 0] for s in steps])
        assert x[30:40] == pytest.approx(0.5)
        assert x[89] == pytest.approx(0.0, abs=1e-5)
        assert x[-1] == pytest.approx(0.5)
        assert np.abs(np.diff(x[30:])).max() < 0.15
        assert motion.lost == 60

    def test_jitter_is_steadied_and_movement_followed(self) -> None:
        noise = np.random.default_rng(0).normal(0, 0.002, 90)
        motion = LiveChannel(StubEngine())
        x = np.array([motion(look(x=float(v)), i * STEP, SMOOTH).motion.translation[0, 0] for i, v in enumerate(noise)])
        assert x[30:].std() < 0.6 * noise[30:].std()
        x = np.array([motion(look(x=0.4), (90 + i) * STEP, SMOOTH).motion.translation[0, 0] for i in range(6)])
        assert x[2] > 0.3

    def test_nothing_is_smoothed_across_a_jump(self) -> None:
        motion = LiveChannel(StubEngine())
        motion(look(x=0.0), 0.0, SMOOTH)
        assert motion(look(x=0.01), STEP, SMOOTH).motion.translation[0, 0] < 0.0099
        assert motion(look(x=0.02), 2 * STEP, SMOOTH, jump=True).motion.translation[0, 0] == pytest.approx(0.02)
        assert motion(look(x=0.03), 60.0, SMOOTH).motion.translation[0, 0] == pytest.approx(0.03)


def feed(governor: Governor, seconds: float, busy: float, start: float = 0.0, **how: float) -> list[str]:
    """Frames at 30 a second, each drawn in ``busy`` seconds."""
    told = [governor(start + i * STEP, busy, 30.0, how.get("actual", 30.0)) for i in range(round(seconds * 30))]
    return [text for text in told if text]


class TestGovernor:
    def test_fitting_speed_changes_nothing(self) -> None:
        governor = Governor(512)
        assert feed(governor, 30, 0.025) == []
        assert governor.size == 512

    def test_too_slow_is_lowered_to_what_fits_and_said(self) -> None:
        governor = Governor(1024)
        told = feed(governor, 2, 0.1, actual=10.0)  # three times too slow
        assert governor.size == 512
        assert told == ["The animated crop was reduced from 1024 to 512 px to hold 30 frames/s."]

    def test_time_left_raises_step_by_step(self) -> None:
        governor = Governor(512, (1024, 768, 640, 512))
        told = feed(governor, CALM + 3, 0.008)
        assert governor.size == 640
        assert len(told) == 1
        feed(governor, 2 * CALM + 5, 0.008, start=100)
        assert governor.size == 1024

    def test_no_seesaw(self) -> None:
        """A size that was too slow is not tried again soon."""
        governor = Governor(640)
        feed(governor, 2, 0.032)
        assert governor.size == 512
        assert feed(governor, FORGIVE - 5, 0.008, start=2.0) == []
        feed(governor, CALM + 7, 0.008, start=FORGIVE - 3)
        assert governor.size == 640

    def test_slow_elsewhere_is_not_blamed_on_drawing(self) -> None:
        governor = Governor(512)
        assert feed(governor, 10, 0.010, actual=15.0) == []

    def test_smallest_says_so_once(self) -> None:
        governor = Governor(320)
        told = feed(governor, 10, 0.2, actual=5.0)
        assert told == ["This computer manages 5 of 30 frames/s; the others are dropped."]

    def test_small_portrait(self) -> None:
        """Steps are taken from the portrait's own square, and no larger size is tried that would change nothing."""
        governor = Governor(512)
        for i in range(600):
            assert governor(i * STEP, 0.005, 30.0, 30.0, 400) == ""
        for i in range(600, 700):
            governor(i * STEP, 0.04, 30.0, 25.0, 400)
        assert governor.size < 400

    def test_engines_without_sizes_are_left_alone(self) -> None:
        quality, engine = Quality(), StubEngine()
        assert not quality.renew(engine, Settings(), 0.0)
        told = [quality.watch(i * STEP, 0.2, 30.0, 5.0, 64) for i in range(90)]
        assert any("manages 5 of 30" in text for text in told)
        assert engine.max_crop == StubEngine().max_crop

    def test_option_chooses_size_and_ceiling(self) -> None:
        engine = StubEngine()
        engine.max_crop = 1024  # type: ignore[attr-defined]
        quality = Quality()
        assert quality.renew(engine, Settings(), 0.0)
        assert engine.max_crop == 512
        options = RenderOptions.from_values({"max_crop": 768})
        quality.renew(engine, Settings(options), 0.0)
        for i in range(900):
            quality.watch(i * STEP, 0.001, 30.0, 30.0, 768)
        assert engine.max_crop == 768
        quality.renew(engine, Settings(options, LiveOptions(adapt=False)), 0.0)
        for i in range(90):
            quality.watch(i * STEP, 0.2, 30.0, 5.0, 768)
        assert engine.max_crop == 768
