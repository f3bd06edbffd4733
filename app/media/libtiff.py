"""Keeps the libtiff inside Pillow from writing to standard error past everybody; Pillow raises what matters."""

from __future__ import annotations

import contextlib
import ctypes
from functools import lru_cache

from PIL import _imaging


@lru_cache(maxsize=1)
def silence() -> bool:
    """Take libtiff's error and warning handlers away; whether they could be found.

    Looked up through Pillow's own extension module, a name is found in the very libtiff that this is linked to, bundled
    or of the system (dlsym searches dependencies). On Windows libtiff is inside the module and hides its names.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        library = ctypes.CDLL(_imaging.__file__)
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            function = getattr(library, name)
            function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_void_p
            function(None)
        return True
    return False
