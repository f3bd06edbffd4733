"""Opens and runs an ONNX file in a separate process, with limited memory and time; see models.probe.

A script, not a module: it runs isolated from the current folder and gets the search path from its caller.
Arguments: the file, the side for inputs of free size, bytes of memory, then the search path. It prints one JSON object.
"""

from __future__ import annotations

import sys

MAX_VALUES = 64_000_000


def main() -> None:
    """Probe the file given by the arguments."""
    path, side, memory, *places = sys.argv[1:]
    sys.path[:] = [place for place in places if place]
    import json

    answer: dict[str, object]
    try:
        _limit(int(memory))
        answer = _probe(path, int(side))
    except MemoryError:
        answer = {"fault": "it needs too much memory"}
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors have no public base class
        answer = {"fault": (str(error).splitlines() or [type(error).__name__])[0][:300]}
    sys.stdout.write(json.dumps(answer) + "\n")


def _limit(memory: int) -> None:
    try:
        import resource
    except ImportError:  # Windows: only the caller's time limit applies
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def _probe(path: str, side: int) -> dict[str, object]:
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = [[entry.name, entry.type, list(entry.shape)] for entry in session.get_inputs()]
    outputs = [[entry.name, entry.type, list(entry.shape)] for entry in session.get_outputs()]
    answer: dict[str, object] = {"inputs": inputs, "outputs": outputs}
    feed = {}
    for name, kind, shape in inputs:
        lengths = [length if isinstance(length, int) else 1 if at == 0 else side for at, length in enumerate(shape)]
        lengths = [3 if at == 1 and not isinstance(shape[at], int) else n for at, n in enumerate(lengths)]
        if kind not in ("tensor(uint8)", "tensor(float)"):
            return answer | {"fault": f"its input {name!r} is of the type {kind}"}
        if any(length < 1 for length in lengths) or np.prod(lengths, dtype=object) > MAX_VALUES:
            return answer | {"fault": f"its input {name!r} has the shape {shape}"}
        feed[name] = np.zeros(lengths, np.uint8 if kind == "tensor(uint8)" else np.float32)
    shapes = {}
    for (name, _, _), value in zip(outputs, session.run(None, feed), strict=True):
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
            return answer | {"fault": f"its output {name!r} is not an array of numbers"}
        if value.size > MAX_VALUES:
            return answer | {"fault": f"its output {name!r} has the shape {list(value.shape)}"}
        shapes[name] = list(value.shape)
    return answer | {"shapes": shapes}


if __name__ == "__main__":
    main()
