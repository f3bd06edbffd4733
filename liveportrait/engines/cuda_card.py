"""Queries NVIDIA's driver for the graphics card directly, so that no package has to be installed."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

MAJOR, MINOR = 75, 76
"""Attribute numbers of a card's compute capability."""
LIBRARY: Final = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
NAME_SIZE: Final = 256

Load = Callable[[str], Any]


class NoCardError(RuntimeError):
    """There is no usable NVIDIA card; the text is the reason, as part of a sentence."""


@dataclass(frozen=True)
class Card:
    """One graphics card.

    Attributes:
        name: The driver's name for it.
        capability: Compute capability, such as (8, 9).
        driver: Highest CUDA version that the driver supports, such as (13, 0).
        index: Its number.
    """

    name: str
    capability: tuple[int, int]
    driver: tuple[int, int] = (0, 0)
    index: int = 0

    @property
    def sm(self) -> str:
        """The compute capability in compiler notation, such as "sm89"."""
        return f"sm{self.capability[0]}{self.capability[1]}"


def card_index(device: str) -> int:
    """Number of the card for "auto", "cuda" or "cuda:1"."""
    number = device.partition(":")[2]
    return int(number) if number.isdigit() else 0


def find_card(index: int = 0, load: Load = ctypes.CDLL) -> Card:
    """Query the driver for a card.

    Args:
        index: Number of the card, in the order of $CUDA_VISIBLE_DEVICES.
        load: Loads the driver's library.

    Raises:
        NoCardError: No driver, or no card of that number.
    """
    try:
        driver = load(LIBRARY)
    except OSError as error:
        raise NoCardError("no NVIDIA driver is installed") from error
    if (code := driver.cuInit(0)) != 0:
        raise NoCardError(f"the NVIDIA driver finds no working card (error {code})")
    count, version = ctypes.c_int(), ctypes.c_int()
    driver.cuDeviceGetCount(ctypes.byref(count))
    driver.cuDriverGetVersion(ctypes.byref(version))
    if index >= count.value:
        raise NoCardError(f"there is no NVIDIA card number {index}" if index else "the NVIDIA driver finds no card")
    device, name = ctypes.c_int(), ctypes.create_string_buffer(NAME_SIZE)
    driver.cuDeviceGet(ctypes.byref(device), index)
    driver.cuDeviceGetName(name, NAME_SIZE, device)
    parts = []
    for attribute in (MAJOR, MINOR):
        value = ctypes.c_int()
        driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        parts.append(value.value)
    known = version.value // 1000, version.value % 1000 // 10
    return Card(name.value.decode("utf-8", "replace"), (parts[0], parts[1]), known, index)
