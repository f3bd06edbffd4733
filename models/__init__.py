"""Perception and weights."""

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.networks import create

# ONNX Runtime 1.32 and later sends usage data with an identifier that it stores in the user's cache; this app opts out.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# OpenVINO sends it on import, unless this package can't be imported.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

__all__ = ["create", "list_models"]


def list_models(pattern: str = "*") -> list[str]:
    """Names of models with weights and of networks that ``create`` can build, by a shell pattern, naturally sorted."""
    from models.networks import list_architectures
    from models.registry import list_models as with_weights
    from models.registry import natural_key

    return sorted({*with_weights(pattern), *list_architectures(pattern)}, key=natural_key)


def __getattr__(name: str) -> Any:
    if name == "create":
        from models.networks import create

        return create
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
