"""torch.compile, if available: checks its requirements, and uses the mode that fits a manual CUDA graph."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


def compiler_missing(device: str) -> str:
    """Why torch.compile can't be used for a kind of device, or an empty string if it probably can.

    Args:
        device: "cpu", "cuda" or "mps".
    """
    if device == "mps":
        return "it is not used on MPS"
    if device == "cuda":
        return "" if importlib.util.find_spec("triton") else "the package triton is not installed"
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["cl"] if platform.system() == "Windows" else []
    names += ["g++", "clang++", "c++"]
    if not any(shutil.which(name.split()[0]) for name in names):
        return "there is no C++ compiler"
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    return "" if headers.is_file() else "the headers of Python are not installed"


def keep_compiled(folder: Path) -> None:
    """Store torch.compile's output in a folder for later starts; a folder chosen by the user takes precedence."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))


def compiled(function: Function, device: str) -> Function:
    """The function, compiled on its first call, for one set of shapes.

    Args:
        function: Pure tensor code without graph breaks.
        device: "cpu" or "cuda"; on CUDA, kernels are tuned, but no CUDA graphs are made: the whole frame is one
            already.
    """
    import torch

    mode = "max-autotune-no-cudagraphs" if device == "cuda" else None
    return cast(Function, torch.compile(function, mode=mode, fullgraph=True, dynamic=False))
