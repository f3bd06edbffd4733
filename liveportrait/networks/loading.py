"""Official checkpoints -> networks, without executing any code in a file.

A checkpoint is read by torch's weights-only reader or by safetensors, then converted to the official keys: outer
wrappers and data-parallel prefixes are removed, one of the three networks is selected from the stitching file, and
other spellings of spectral norm are translated. Loading itself is strict.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from liveportrait.networks import NAMES, build_network, require_torch
from models.forms import archive_fault, form_fault
from models.installation import install_hint
from models.messages import msg
from models.registry import ModelError
from models.weights import record_loaded

if TYPE_CHECKING:
    from torch import Tensor, nn

Variant = Literal["human", "animals"]

SUFFIXES: Final = (".safetensors", ".pth", ".pt", ".bin")
STITCHING_FILE: Final = "stitching_retargeting_module"
STITCHING_PARTS: Final = {"stitching": "retarget_shoulder", "lip": "retarget_mouth", "eye": "retarget_eye"}
BASE_FOLDERS: Final[Mapping[Variant, tuple[str, ...]]] = {
    "human": ("liveportrait/base_models", "base_models", "."),
    "animals": ("liveportrait_animals/base_models_v1.1", "base_models_v1.1", "."),
}
STITCHING_FOLDERS: Final = ("liveportrait/retargeting_models", "retargeting_models", ".")
WRAPPERS: Final = ("state_dict", "model", "model_state_dict")
LFS_MARK: Final = b"version https://git-lfs.github.com/spec/"
SHOWN_KEYS: Final = 3


def find_checkpoints(folder: Path, variant: Variant = "human") -> dict[str, Path]:
    """Find the files of all networks.

    Args:
        folder: The official ``pretrained_weights`` folder, its ``liveportrait`` folder, or a folder that contains the
            files directly; .safetensors is preferred to .pth.
        variant: Which weights; stitching and retargeting are the human ones in both cases.

    Returns:
        Network name -> file; the three small networks share one file.

    Raises:
        ModelError: A file is missing.
    """
    if variant not in BASE_FOLDERS:
        raise ModelError(f"There are no '{variant}' weights; choose one of {', '.join(BASE_FOLDERS)}.")
    found = {}
    for name in NAMES:
        stem = STITCHING_FILE if name in STITCHING_PARTS else name
        places = STITCHING_FOLDERS if name in STITCHING_PARTS else BASE_FOLDERS[variant]
        candidates = [folder / place / f"{stem}{suffix}" for place in places for suffix in SUFFIXES]
        path = next((path for path in candidates if path.is_file()), None)
        if path is None:
            raise ModelError(
                f"{stem}.pth is not in {folder} (looked in {', '.join(places)}); that folder must be the official "
                "pretrained_weights folder or contain its files."
            )
        found[name] = path
    return found


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint file unchanged.

    Args:
        path: A .safetensors file or a torch checkpoint.

    Returns:
        Tensors by key, possibly nested, on the CPU.

    Raises:
        ModelError: The file is missing, empty, a Git LFS pointer, truncated, or contains more than tensors.
    """
    require_torch()
    import torch

    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(len(LFS_MARK))
    except OSError as error:
        raise ModelError(msg("{path} can't be read: {reason}.", path, error.strerror or error)) from error
    if size == 0:
        raise ModelError(f"{path} is empty; download it again.")
    if head == LFS_MARK:
        raise ModelError(
            f"{path} is a Git LFS pointer, not the weights; run 'git lfs pull' there or download the file."
        )
    fault = archive_fault(path, size) if head[:2] == b"PK" else ""
    if path.suffix == ".safetensors":
        _safetensors_reader(path)
        fault = form_fault(path)
    if "malicious" in fault:
        raise ModelError(f"{path} {fault}; it was rejected and nothing in it was executed.")
    if fault:
        raise ModelError(f"{path} is truncated or damaged ({size:,} bytes): it {fault}; download it again.")
    try:
        if path.suffix == ".safetensors":
            return dict(_safetensors_reader(path)(path, device="cpu"))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if head[:1] == b"\x80" or head[:2] == b"PK":
            raise ModelError(
                f"{path} contains objects other than tensors; it was rejected and nothing in it was executed."
            ) from error
        raise ModelError(f"{path} is not a checkpoint.") from error
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{path} is truncated or damaged ({size:,} bytes); download it again.") from error
    if not isinstance(content, Mapping):
        raise ModelError(f"{path} contains a {type(content).__name__} instead of named weights.")
    return dict(content)


def official_state_dict(content: Mapping[str, Any], name: str, path: Path) -> dict[str, Tensor]:
    """Convert the content of a checkpoint to the official keys of one network.

    Args:
        content: From read_checkpoint.
        name: Network name.
        path: File name for error messages.

    Returns:
        Tensors by official key; not yet checked against the network.

    Raises:
        ModelError: The part of that network is missing, or an entry is not a tensor.
    """
    import torch

    content = _unwrap(content)
    if name in STITCHING_PARTS:
        content = _stitching_part(content, STITCHING_PARTS[name], path)
    state: dict[str, Tensor] = {}
    for key, value in content.items():
        if not isinstance(value, torch.Tensor):
            raise ModelError(f"{path}: '{key}' is a {type(value).__name__}, not a tensor.")
        state[str(key).removeprefix("module.")] = value
    return state


def load_network(
    name: str, path: Path, content: Mapping[str, Any] | None = None, *, checked: bool = False
) -> nn.Module:
    """Build a network with the weights of a file.

    Args:
        name: Network name.
        path: Checkpoint file.
        content: Result of read_checkpoint for the file, if already read.
        checked: The content comes from a conversion, whose numbers were checked when it was made.

    Returns:
        The network in float32 on the CPU, in evaluation mode, gradients off.

    Raises:
        ModelError: The file can't be read or doesn't contain this network.
    """
    require_torch()
    import torch

    state = official_state_dict(read_checkpoint(path) if content is None else content, name, path)
    with torch.device("meta"), _unset_numbers():
        network = build_network(name)
    expected = network.state_dict()
    _translate_spectral_norm(state, expected)
    for key, value in expected.items():
        if key.endswith("num_batches_tracked"):  # unused in evaluation mode; some conversions omit it
            state.setdefault(key, torch.zeros((), dtype=value.dtype))
    _check(state, expected, name, path)
    state = {key: state[key].to(value.dtype).contiguous() for key, value in expected.items()}
    if not checked and not all(_finite(value) for value in state.values()):
        raise ModelError(f"{path} contains values that are not numbers (NaN or infinite); download it again.")
    network.load_state_dict(state, strict=True, assign=True)
    return network.requires_grad_(False)


def load_networks(checkpoints: Mapping[str, Path], *, convert: bool = False) -> dict[str, nn.Module]:
    """Load networks from their files; a shared file is read once.

    Args:
        checkpoints: Network name -> file, see find_checkpoints.
        convert: Cache the content of a torch checkpoint as a safetensors file (models.converted) once it has been
            validated, and load it from there next time; record the hashes of installed files.

    Returns:
        Network name -> network, see load_network.
    """
    files: dict[Path, list[str]] = {}
    for name, path in checkpoints.items():
        files.setdefault(path, []).append(name)
    networks: dict[str, nn.Module] = {}
    for path, names in files.items():
        networks |= _load_file(path, names, convert=convert and path.suffix != ".safetensors")
    if convert:
        record_loaded(files)
    return {name: networks[name] for name in checkpoints}


def _load_file(path: Path, names: list[str], *, convert: bool) -> dict[str, nn.Module]:
    """The networks of one file, from its conversion if there is one."""
    from models.converted import changed_fault, find_converted, save_converted

    if convert and (kept := find_converted(path)) is not None:
        try:
            states = _split(read_checkpoint(kept))
            return {name: load_network(name, kept, states[name], checked=True) for name in names}
        except (ModelError, KeyError):
            pass  # not written by this version: use the original, and convert it again
    if (convert or path.suffix == ".safetensors") and (fault := changed_fault(path)):
        raise ModelError(f"{path} {fault}; download it again, or import it again if the change was intended.")
    content = read_checkpoint(path)
    networks = {name: load_network(name, path, content) for name in names}
    if convert and networks:
        write = _safetensors_writer()
        if write is not None:
            save_converted(path, partial(write, _joined(networks)))
    return networks


def _split(content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Conversion -> network name -> state dict."""
    states: dict[str, dict[str, Any]] = {}
    for key, value in content.items():
        name, _, own = key.partition("/")
        states.setdefault(name, {})[own] = value
    return states


def _joined(networks: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """State dicts of several networks as one."""
    return {f"{name}/{key}": value for name, net in networks.items() for key, value in net.state_dict().items()}


def _safetensors_writer() -> Callable[[dict[str, Tensor], Path], object] | None:
    """Writer of safetensors files, or None if the package is missing: then nothing is converted."""
    try:
        from safetensors.torch import save_file
    except ImportError:
        return None
    return save_file


def _safetensors_reader(path: Path) -> Callable[..., Mapping[str, Tensor]]:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise ModelError(f"{path} needs the package safetensors. {install_hint('torch')}") from error
    return load_file


def _unset_numbers() -> AbstractContextManager[object]:
    """Skip random initialisation: on the meta device, that alone would import torch's compiler."""
    import torch
    from torch.overrides import TorchFunctionMode

    unset = torch.Tensor.normal_, torch.nn.functional.normalize  # the vectors of spectral norm

    class Unset(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return args[0] if func in unset else func(*args, **(kwargs or {}))

    return Unset()


def _finite(value: Tensor) -> bool:
    """Whether all numbers are finite; for values of normal size, the sum shows it in one pass."""
    import torch

    return bool(torch.isfinite(value.sum())) or bool(torch.isfinite(value).all())


def _unwrap(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Remove an outer {"state_dict": ...} or similar."""
    for wrapper in WRAPPERS:
        inner = content.get(wrapper)
        if isinstance(inner, Mapping):
            return inner
    return content


def _stitching_part(content: Mapping[str, Any], part: str, path: Path) -> Mapping[str, Any]:
    """One network of the stitching file: nested (official), flattened with a prefix (safetensors), or on its own."""
    inner = content.get(part)
    if isinstance(inner, Mapping):
        return _unwrap(inner)
    flat = {key[len(part) :].lstrip("._"): value for key, value in content.items() if str(key).startswith(part)}
    if flat:
        return {key.removeprefix("module_"): value for key, value in flat.items()}
    if all(str(key).removeprefix("module.").startswith("mlp.") for key in content):
        return content
    raise ModelError(f"{path} has no part '{part}'; it is not the official stitching file.")


def _translate_spectral_norm(state: dict[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Convert torch's newer spelling of spectral norm, and weights with the norm divided out, to the old one."""
    import torch

    for original in [key for key in expected if key.endswith(".weight_orig")]:
        stem = original.removesuffix("weight_orig")
        newer = f"{stem}parametrizations.weight."
        for new, old in (("original", "weight_orig"), ("0._u", "weight_u"), ("0._v", "weight_v")):
            if newer + new in state:
                state[stem + old] = state.pop(newer + new)
        folded = f"{stem}weight"
        if folded in state and original not in state:
            weight = state.pop(folded).float()
            matrix = weight.flatten(1)
            u = torch.nn.functional.normalize(matrix.sum(1), dim=0)
            v = matrix.T @ u
            state |= {original: weight, f"{stem}weight_u": u, f"{stem}weight_v": v / (u @ (matrix @ v))}


def _check(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], name: str, path: Path) -> None:
    """Compare keys, shapes and types, and report differences."""
    missing = [key for key in expected if key not in state]
    unexpected = [key for key in state if key not in expected]
    if missing or unexpected:
        parts = [f"{word} {_some(keys)}" for word, keys in (("lacks", missing), ("has unknown", unexpected)) if keys]
        raise ModelError(f"{path} doesn't contain the {name} network: it {' and '.join(parts)}.")
    for key, value in expected.items():
        got = state[key]
        if got.shape != value.shape:
            raise ModelError(
                f"{path} doesn't contain the {name} network: '{key}' has the shape {tuple(got.shape)}, not "
                f"{tuple(value.shape)}."
            )
        if got.layout != value.layout or got.device.type != "cpu" or got.is_quantized:
            raise ModelError(f"{path} doesn't contain the {name} network: '{key}' is not a plain tensor.")
        if got.is_floating_point() != value.is_floating_point():
            raise ModelError(f"{path} doesn't contain the {name} network: '{key}' is of type {got.dtype}.")


def _some(keys: list[str]) -> str:
    shown = ", ".join(f"'{key}'" for key in keys[:SHOWN_KEYS])
    return msg("{shown} and {count} more", shown, len(keys) - SHOWN_KEYS) if len(keys) > SHOWN_KEYS else shown
