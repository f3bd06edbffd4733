"""The Engine protocol: the interface of an animation engine, whatever keypoints it uses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from liveportrait.crop import Crop
from liveportrait.motion import Array, DeltaSpace, Motion
from liveportrait.options import MouthMotion
from models.covered import Half
from models.face import Face

Image = npt.NDArray[np.uint8]
Known = npt.NDArray[np.bool_]


@dataclass
class Portrait:
    """One encoded source crop.

    Attributes:
        motion: The source's own pose and expression (one frame).
        canonical: (K, 3) canonical keypoints.
        keypoints: (1, K, 3) source keypoints x_s.
        crop: (S, S, 3 or 4) uint8 RGB(A) source crop.
        features: Engine-specific data of the source.
        covered: Half of the face that a mask or goggles hide, "upper", "lower" or "": its expression does not change.
    """

    motion: Motion
    canonical: Array
    keypoints: Array
    crop: Image
    features: Any = None
    covered: Half = ""


@dataclass(frozen=True)
class Surroundings:
    """What is known about a crop besides its pixels and the landmarks.

    Attributes:
        cover: (S, S) float32 0..1, hair over eyes or mouth: it moves with the face, and nothing is drawn over it.
        worn: (S, S) float32 0..1, things worn on the face, such as a mask: like cover, and they don't bend.
        others: (S, S) float32 0..1, pixels of other people and their surroundings: they stay as they are.
        behind: Completes the background from other frames of the same clip: gets the crop (S, S, 3) and where it is
            known (S, S), returns both with more of it known.
    """

    cover: Array | None = None
    worn: Array | None = None
    others: Array | None = None
    behind: Callable[[Image, Known], tuple[Image, Known]] | None = None

    def __bool__(self) -> bool:
        return any(part is not None for part in (self.cover, self.worn, self.others, self.behind))


class Engine(ABC):
    """Animates one square crop.

    Attributes:
        name: Engine name ("mesh", "torch", ...).
        family: Keypoint family; motions and templates are interchangeable within one ("mesh478", "liveportrait21").
        keypoints: Number of keypoints K.
        crop_size: Side of the square crop in pixels.
        delta_space: Where delta is added (liveportrait.motion).
        scaled_translation: True if relative translation is measured in units of the face's own scale.
        camera_turns: True if relative turns are about the axes of the camera (a nod of the driver is a nod in the
            image, however the source is turned), False if about those of the source's head (official rule).
        regions: Region name -> (K, 3) mask (bool, or share 0..1) of its delta values; at least "all", "exp", "lip",
            "eyes"; "official" restricts source-video and absolute motion (spec motion.md section 3, EXP_FULL);
            "lids" and "lip_opening" are the values that eye and lip retargeting replace, else all of "eyes" and
            "lip".
        alpha: True if render keeps a fourth channel.
        reads_pixels: False if read_motion needs only the landmarks and the size of the crop.
        exact_at_rest: True if render returns the crop itself, bit for bit, where no keypoint moved.
        animals: True if the sources are animals: they have no face landmarks (encode_unseen), and motion is absolute,
            from the driver's reference.
        side_view: Degrees of yaw from which a source counts as seen from the side: limit_turn then allows little.
        keeps_others: True if encode_in leaves other people in the crop where they are.
        keeps_worn: True if things worn on a face keep their shape (encode_in), whatever the expression.
        shows_behind: True if encode_in can use the background of other frames.
        max_crop: Largest side in pixels of a crop that follows the source's own size; it may be changed between
            portraits. 0 if crop_size is fixed.
        batch: Best number of frames per call; it may be lowered when memory runs out.
    """

    name: str
    family: str
    keypoints: int
    crop_size: int = 512
    delta_space: DeltaSpace = "camera"
    scaled_translation: bool = False
    camera_turns: bool = False
    regions: Mapping[str, npt.NDArray[Any]]
    alpha: bool = False
    reads_pixels: bool = True
    exact_at_rest: bool = False
    animals: bool = False
    side_view: float = np.inf
    keeps_others: bool = False
    keeps_worn: bool = False
    shows_behind: bool = False
    max_crop: int = 0
    batch: int = 1

    def fit_crop(self, crop: Crop, image: Image | None = None) -> Crop:
        """The crop that the engine prefers over the given one, which frames the face.

        It covers about the same area. LivePortrait takes the crop as it is: upright, with a side of crop_size.
        """
        return crop

    @abstractmethod
    def encode(self, crop: Image, face: Face) -> Portrait:
        """Prepare a source.

        Args:
            crop: (S, S, 3 or 4) uint8 RGB(A), S = crop_size.
            face: Landmarks in crop pixels.
        """

    def encode_in(self, crop: Image, face: Face, around: Surroundings) -> Portrait:
        """Prepare a source about which more is known than its pixels.

        Engines that generate a whole image with a network don't use the extra information and call encode.

        Args:
            crop: See encode.
            face: See encode.
            around: Covers of the face, other people, and the background.
        """
        return self.encode(crop, face)

    def encode_unseen(self, crop: Image) -> Portrait:
        """Prepare a source without landmarks, such as an animal.

        Args:
            crop: See encode.

        Raises:
            ValueError: The engine needs landmarks.
        """
        raise ValueError(f"the {self.name} engine needs a face with landmarks.")

    @abstractmethod
    def read_motion(self, crop: Image, face: Face) -> Motion:
        """Read one driving frame (N = 1) from its crop and the landmarks in crop pixels."""

    @abstractmethod
    def render(self, portrait: Portrait, x_d: Array) -> Image:
        """Draw the portrait at driving keypoints.

        Args:
            portrait: From encode.
            x_d: (B, K, 3) crop units.

        Returns:
            (B, S, S, 3 or 4) uint8, same channels as portrait.crop.
        """

    def own_smile(self, portrait: Portrait) -> float:
        """How much a source smiles, 0..1, as far as the engine can tell."""
        return 0.0

    def mouth_share(self, portrait: Portrait, mouth: MouthMotion) -> float:
        """Share 0..1 of the source's own mouth expression that the driver's replaces in relative motion.

        Args:
            portrait: The source.
            mouth: The option. "auto" leaves it to the engine; LivePortrait adds to the source's own (official rule).
        """
        return float(mouth == "absolute")

    def fit_delta(
        self, portrait: Portrait, change: Array, driving: Motion, reference: Motion, replaced: float = 0.0
    ) -> Array:
        """Fit a relative expression change of the driver to the proportions of the source.

        Args:
            portrait: The source.
            change: (N, K, 3) driving.delta - reference.delta.
            driving: N driving frames.
            reference: The neutral frame (N = 1).
            replaced: Share 0..1 of the source's own mouth expression that the driver's replaces (mouth_share).

        Returns:
            (N, K, 3) change to add to the source's delta. LivePortrait: the same values (official rule), and the
            driver's own values on the lips as far as they are replaced.
        """
        if replaced <= 0:
            return change
        lips = np.float32(replaced) * np.asarray(self.regions["lip"], np.float32)
        return np.asarray(change + lips * (driving.delta - portrait.motion.delta - change), np.float32)

    def fit_absolute(self, portrait: Portrait, driving: Motion) -> Array:
        """(N, K, 3) delta of the source under absolute motion. LivePortrait: the driver's own (official rule)."""
        return driving.delta

    def limit_delta(self, portrait: Portrait, delta: Array) -> Array:
        """Limit amplified expressions (N, K, 3) to human ones. LivePortrait: unchanged (official rule)."""
        return delta

    def limit_turn(self, portrait: Portrait, rotation: Array) -> Array:
        """Limit rotations (N, 3, 3) to what the source can show. LivePortrait: unchanged."""
        return rotation

    def neutral_of(self, driving: Motion) -> Motion | None:
        """Neutral frame of the person in a single driving image (N = 1), or None if the engine has none."""
        return None

    @abstractmethod
    def stitch(self, portrait: Portrait, x_d: Array) -> Array:
        """(B, K, 3) driving keypoints, changed so that shoulders and border stay with the source."""

    @abstractmethod
    def retarget_eyes(self, portrait: Portrait, ratios: Array) -> Array:
        """(B, K, 3) offsets in crop units that bring the source's eyes to ratios (B, 2), left and right."""

    @abstractmethod
    def retarget_lips(self, portrait: Portrait, ratios: Array) -> Array:
        """(B, K, 3) offsets in crop units that bring the source's lips to ratios (B, 1)."""

    @abstractmethod
    def slider_delta(self, portrait: Portrait, sliders: Mapping[str, float]) -> Array:
        """(1, K, 3) expression offsets of named sliders (liveportrait.expression lists names and ranges)."""

    def warm_up(self) -> None:  # noqa: B027 (optional hook)
        """Run once so that the first real frame is not slow, and check the numbers (no NaN)."""

    def tune(self) -> None:  # noqa: B027 (optional hook)
        """Search for a faster configuration on this machine and remember it; may take minutes. Called after warm_up."""

    def describe(self) -> dict[str, str]:
        """Where each part runs, for `animate doctor`."""
        return {"engine": self.name, "keypoints": str(self.keypoints), "crop": f"{self.crop_size} px"}
