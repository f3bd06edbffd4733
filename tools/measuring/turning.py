"""Portraits turned away and back: the photo itself is the ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from app.media.images import read_image
from measuring import sheets
from measuring.heads import Head, Image
from measuring.pairs import photo_head
from measuring.pictures import Palette, oval_mask, psnr, ssim_map
from measuring.program import Program
from models.matte import PersonMatte
from models.topology import FACE_POINTS

COLUMNS = {"turned": 1, "left": 1, "psnr": 1, "ssim": 3, "l1": 2, "foreign_turned": 4, "foreign_back": 4}
WIDEST = 25.0
"""Range of the slider in degrees."""
NEAR = 1.0
"""Largest deviation of the head from its pose in the photo, in degrees, for pixels to be comparable."""


def measure(program: Program, photo: Path, degrees: float, folder: Path) -> dict[str, Any]:
    """Turn a portrait, use the result as a new photo, and turn that back.

    Returns:
        turned: degrees that the head turned according to the tracker; left: remaining degrees after turning back; psnr,
            ssim and l1 inside the face relative to the photo, aligned by landmarks; foreign: share of the face with a
            colour of the background, in excess of the photo's.
    """
    before = read_image(photo).rgb
    head = photo_head(photo)
    away, back = folder / f"{photo.stem}-turned.png", folder / f"{photo.stem}-back.png"
    program("edit", photo, "--yaw", f"{degrees:g}", "-o", away)
    turned = photo_head(away)
    reach = abs(turned.yaw - head.yaw)
    returned = _back(program, away, back, turned, head.yaw, degrees)
    colours = Palette.of(before, head, PersonMatte()(before))
    own = colours.foreign(before, head)
    after = read_image(back).rgb
    return {
        "turned": reach, "left": abs(returned.yaw - head.yaw), **inside_face(before, head, after, returned),
        "foreign_turned": max(0.0, colours.foreign(read_image(away).rgb, turned) - own),
        "foreign_back": max(0.0, colours.foreign(after, returned) - own),
    }  # fmt: skip


def _back(program: Program, away: Path, back: Path, turned: Head, wanted: float, degrees: float) -> Head:
    """Turn back to the wanted yaw: first by the same slider value, then corrected by the remaining error."""
    slider = -degrees
    program("edit", away, "--yaw", f"{slider:.2f}", "-o", back)
    came = photo_head(back).yaw - turned.yaw
    if abs(turned.yaw + came - wanted) > NEAR and abs(came) > 1:
        slider = float(np.clip(slider * (wanted - turned.yaw) / came, -WIDEST, WIDEST))
        program("edit", away, "--yaw", f"{slider:.2f}", "-o", back)
    return photo_head(back)


def inside_face(before: Image, head: Head, after: Image, returned: Head) -> dict[str, float]:
    """PSNR, SSIM and L1 inside a face after aligning the second image with the first."""
    found, wanted = (h.points[:FACE_POINTS].astype(np.float32) for h in (returned, head))
    matrix, _ = cv2.estimateAffinePartial2D(found, wanted, method=cv2.LMEDS)
    size = before.shape[1], before.shape[0]
    laid = cv2.warpAffine(after, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = oval_mask(before.shape, head)
    difference = laid[mask].astype(np.float32) - before[mask]
    return {
        "psnr": psnr(difference),
        "ssim": float(ssim_map(before, np.asarray(laid, np.uint8))[mask].mean()),
        "l1": float(np.abs(difference).mean()),
    }


def shown(label: str, photo: Path, folder: Path) -> sheets.Shown:
    """Photo, turned and turned back, for a sheet."""
    paths = photo, folder / f"{photo.stem}-turned.png", folder / f"{photo.stem}-back.png"
    return sheets.Shown(label, [sheets.view(read_image(path).rgb, zoom=False) for path in paths])
