"""Keep Pillow's libtiff from writing to standard error; Pillow raises the errors that matter."""

from __future__ import annotations

import contextlib
import ctypes
from functools import lru_cache

from PIL import _imaging


@lru_cache(maxsize=1)
def silence() -> bool:
    """Remove libtiff's error and warning handlers; returns whether they were found.

    They are looked up through Pillow's extension module, since dlsym searches the dependencies: this finds the libtiff
    that Pillow is linked to, bundled or of the system. On Windows libtiff is linked in statically and exports no names.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        library = ctypes.CDLL(_imaging.__file__)
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            function = getattr(library, name)
            function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_void_p
            function(None)
        return True
    return False
