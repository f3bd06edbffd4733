"""Find, check, import and, on request only, download model files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from models.registry import ModelError, ModelSpec, get_model

ENVIRONMENT: Final = "PORTRAIT_MODELS"
"""Variable that names one more folder to look for models in."""


def bundled_folder() -> Path:
    """Folder of the models that ship with the app."""
    import assets

    return Path(str(assets.__file__)).parent / "models"


def user_folder() -> Path:
    """Folder that imports and downloads go to: $PORTRAIT_MODELS, or the user's cache."""
    if chosen := os.environ.get(ENVIRONMENT):
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("portrait-animate", appauthor=False)) / "models"


def find_model(model: str | ModelSpec) -> list[Path]:
    """Paths of a model's files, in the order of its spec: shipped ones first, then the user's folder.

    Raises:
        ModelError: A file is not there; the sentence says which and how to get it.
    """
    spec = get_model(model) if isinstance(model, str) else model
    folders = (bundled_folder(), user_folder())
    paths = []
    for file in spec.files:
        found = next((folder / file.name for folder in folders if (folder / file.name).is_file()), None)
        if found is None:
            raise ModelError(f"{file.name} of model {spec.name} is missing; put it into {user_folder()}.")
        paths.append(found)
    return paths


def model_path(name: str) -> Path:
    """Path of a model that is one file.

    Raises:
        ModelError: It is missing, or the model has several files.
    """
    paths = find_model(name)
    if len(paths) != 1:
        raise ModelError(f"Model {name} has {len(paths)} files where one is expected.")
    return paths[0]
