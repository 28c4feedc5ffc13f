"""Facts of a model of fleet.yaml: exact from its folder, else from the catalogue by its name.

Nothing here needs a network, so that a plan answers at once; `fetch_facts.py` asks a hub when the
user wants exactly what is there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from headrace.fleet.source import FileSource, HttpSource, HubSource, Source, WheelSource
from headrace.models.architecture import Architecture
from headrace.models.catalogue import need_known_model
from headrace.models.config import read_json, read_tensors
from headrace.models.errors import UnknownError
from headrace.models.names import is_pickled
from headrace.models.read_architecture import read_architecture
from headrace.models.weight_bytes import Weights, weights_by_formula, weights_from_tensors


@dataclass(frozen=True)
class ModelFacts:
    """What a model is, and what its weights weigh."""

    architecture: Architecture
    weights: Weights


def read_folder(folder: Path) -> ModelFacts:
    """Read a model's folder; FormatError names the file and the key."""
    architecture = read_architecture(read_json(folder / "config.json"))
    if not any(folder.glob("*.safetensors")) and any(
        is_pickled(path.name) for path in folder.iterdir()
    ):
        return ModelFacts(architecture, weights_by_formula(architecture))  # no header to read
    return ModelFacts(architecture, weights_from_tensors(read_tensors(folder), architecture))


def look_up(source: Source, folder: Path | None = None) -> ModelFacts:
    """Return the facts of a source, from its folder if there is one, else from the catalogue.

    UnknownError says what to do when neither knows the model.
    """
    if folder is not None and (folder / "config.json").is_file():
        return read_folder(folder)
    if isinstance(source, FileSource) and (Path(source.path) / "config.json").is_file():
        return read_folder(Path(source.path))
    try:
        architecture = need_known_model(_name(source))
    except UnknownError as error:
        raise UnknownError(
            f"{error}. Run `headrace weights pull` to plan from the files of {source}, "
            "or name a model of the catalogue"
        ) from error
    if _is_gguf(source):  # it is served as bfloat16, see gguf.py
        architecture = replace(architecture, quantization=None)
    return ModelFacts(architecture, weights_by_formula(architecture))


def _name(source: Source) -> str:
    match source:
        case HubSource():
            return source.repo
        case WheelSource():
            return source.package
        case HttpSource():
            parts = source.url.rstrip("/").split("/")
            return parts[-1] if source.is_folder else parts[-1].rpartition(".")[0]
        case FileSource():
            return Path(source.path).stem if _is_gguf(source) else Path(source.path).name


def _is_gguf(source: Source) -> bool:
    return str(source).lower().endswith(".gguf")
