"""ONNX Runtime sessions for the embedded perception models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnxruntime


def create_session(path: Path, threads: int = 1) -> onnxruntime.InferenceSession:
    """Open an ONNX model on the CPU.

    The perception models take 1-3 ms per frame on one core; a graphics card stays free for the generator.

    Args:
        path: The .onnx file.
        threads: Threads inside one operator; more than one is slower for models this small.

    Raises:
        ModelError: The file is not a model that ONNX Runtime can open.
    """
    import onnxruntime

    from models.registry import ModelError

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no public base class
        raise ModelError(f"{path} can't be opened as an ONNX model ({str(error).splitlines()[0]}).") from error
