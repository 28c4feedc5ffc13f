"""Make an INT8 variant of a model's folder, for engines that load compressed-tensors (W8A8).

The matrices of attention and feed-forward become int8 with one scale for each output channel,
symmetric, from the channel's largest weight; activations are quantized by the engine while it runs,
one scale for each token. Embeddings, norms, biases and the output head stay as they are. That is
the plainest scheme that loses little and needs no calibration texts; what it does to a model's
answers has to be measured (`headrace experiment quantization`).

The format: https://github.com/neuralmagic/compressed-tensors (`int-quantized`), as vLLM reads it.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from headrace.models import tensorfile
from headrace.models.config import check_folder, read_json, read_tensors
from headrace.models.disk import remove_tree, require_space
from headrace.models.errors import DiskError, FormatError, disk_error
from headrace.models.names import choose_files
from headrace.models.progress import Listener, Progress, silent
from headrace.models.tensorfile import LENGTH_BYTES, Tensor

Values = NDArray[np.float32]

LARGEST = 127
"""Of an int8 that has its negative too; -128 is left out so that the range is symmetric."""
_SLAB = 4 << 20  # values read at once: 16 MiB as float32
_MATRICES = (
    "q_proj", "k_proj", "v_proj", "o_proj", "qkv_proj",
    "gate_proj", "up_proj", "gate_up_proj", "down_proj",
)  # fmt: skip
_OTHER_SENSES = re.compile(r"vision|visual|audio|multi_modal|image")
"""Parts of a model that see or hear: small, sensitive, and kept whole."""
_FLOATS = {"BF16": 2, "F16": 2, "F32": 4}
_INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Variant:
    """What was made: the folder, its weights' bytes, and those of the original."""

    folder: Path
    bytes: int
    original: int
    matrices: int


def quantize_folder(source: Path, target: Path, progress: Listener = silent) -> Variant:
    """Write `target`, the INT8 variant of the Hugging Face folder `source`; whole or not at all.

    The same folder gives the same bytes. Raises FormatError for a model that is quantized already
    or has experts, and DiskError when there is no room or `target` is there.
    """
    check_folder(source)
    config = _checked(source)
    if target.exists():
        raise DiskError(f"{target} is there already; name another folder, or delete it")
    original = sum(one.bytes for one in read_tensors(source))
    require_space(target.parent, original, what="the INT8 variant")
    work = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        _fill(source, work, config, progress)
        check_folder(work)
        work.rename(target)
    except OSError as error:
        raise disk_error(error, target) from error
    finally:
        if work.exists():
            remove_tree(work)
    made = read_tensors(target)
    matrices = sum(one.dtype == "I8" for one in made)
    return Variant(target, sum(one.bytes for one in made), original, matrices)


def quantize(rows: Values, scales: Values) -> NDArray[np.int8]:
    """Round each row's values to whole multiples of its scale, to nearest and ties to even."""
    whole: Values = np.rint(rows / scales[:, None])
    return whole.clip(-LARGEST, LARGEST).astype(np.int8)


def row_scales(rows: Values) -> Values:
    """Return each row's largest absolute value divided by 127, and never 0 (a row of zeros)."""
    scales: Values = np.abs(rows).max(axis=1) / np.float32(LARGEST)
    return scales.clip(np.finfo(np.float32).tiny)


def _checked(source: Path) -> dict[str, Any]:
    config = read_json(source / "config.json")
    if "quantization_config" in config:
        raise FormatError(f"{source.name} is quantized already; take the original weights")
    tensors = read_tensors(source)
    if expert := next((one.name for one in tensors if ".experts." in one.name), None):
        raise FormatError(
            f"{source.name} is a mixture of experts ({expert}); only dense models can be quantized"
        )
    if odd := next((one for one in tensors if one.dtype not in _FLOATS), None):
        raise FormatError(f"{source.name}: {odd.name} is {odd.dtype}; wanted BF16, F16 or F32")
    if not any(_is_matrix(one) for one in tensors):
        raise FormatError(
            f"{source.name} has none of the matrices that are quantized here "
            f"({', '.join(_MATRICES)})"
        )
    return config


def _fill(source: Path, work: Path, config: dict[str, Any], progress: Listener) -> None:
    names = [path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()]
    seen = [name for name in names if not name.startswith(".")]  # a store's manifest is not ours
    chosen = choose_files(seen, member=None, allow_pickle=False)
    work.mkdir(parents=True)
    for name in chosen:
        if not name.endswith(".safetensors"):
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, work / name)
    written = {
        name: _convert(source / name, work / name, progress)
        for name in chosen
        if name.endswith(".safetensors")
    }
    quantized = {**config, "quantization_config": _scheme(read_tensors(source))}
    _write_json(work / "config.json", quantized)
    if (work / _INDEX).is_file():
        _write_json(work / _INDEX, _index(written))


def _scheme(tensors: Sequence[Tensor]) -> dict[str, Any]:
    """Describe the scheme as compressed-tensors does; what stays as it is, is named."""
    whole = [
        one.name.removesuffix(".weight")
        for one in tensors
        if one.name.endswith(".weight") and len(one.shape) > 1 and not _is_matrix(one)
    ]
    plain = {"num_bits": 8, "type": "int", "symmetric": True}
    return {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "quantization_status": "compressed",
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": {**plain, "strategy": "channel", "dynamic": False},
                "input_activations": {**plain, "strategy": "token", "dynamic": True},
            }
        },
        "ignore": sorted({*whole, "lm_head"}),
    }


def _index(written: Mapping[str, Sequence[Tensor]]) -> dict[str, Any]:
    total = sum(one.bytes for tensors in written.values() for one in tensors)
    places = {one.name: file for file, tensors in written.items() for one in tensors}
    return {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}


def _convert(path: Path, target: Path, progress: Listener) -> tuple[Tensor, ...]:
    """Write one safetensors file anew and return its tensors."""
    with path.open("rb") as reader, target.open("wb") as writer:
        size = path.stat().st_size
        length = tensorfile.header_length(path.name, reader.read(LENGTH_BYTES), size)
        old = tensorfile.parse_header(path.name, reader.read(length), size)
        data = _Data(reader, LENGTH_BYTES + length)
        placed = tensorfile.place(_renewed(old))
        writer.write(tensorfile.encode(placed, {"format": "pt"}))
        _write_tensors(data, {one.name: one for one in old}, placed, writer, progress)
        writer.flush()
        os.fsync(writer.fileno())
    return placed


def _renewed(old: Sequence[Tensor]) -> list[tuple[str, str, tuple[int, ...]]]:
    """List name, dtype and shape of the new tensors, the widest values first for alignment."""
    new: list[tuple[str, str, tuple[int, ...]]] = []
    for one in old:
        if _is_matrix(one):
            new.append((one.name, "I8", one.shape))
            new.append((one.name + "_scale", "F32", (one.shape[0], 1)))
        else:
            new.append((one.name, one.dtype, one.shape))
    return sorted(new, key=lambda one: (-_FLOATS.get(one[1], 1), one[0]))


def _write_tensors(
    data: _Data,
    old: Mapping[str, Tensor],
    placed: Sequence[Tensor],
    writer: IO[bytes],
    progress: Listener,
) -> None:
    scales: dict[str, Values] = {}
    for one in placed:
        if one.name not in old:
            matrix = one.name.removesuffix("_scale")
            scales[matrix] = np.concatenate([row_scales(rows) for rows in data.rows(old[matrix])])
            writer.write(scales[matrix].astype("<f4").tobytes())
        elif one.dtype == "I8":
            _write_matrix(data, old[one.name], scales[one.name], writer)
        else:
            for slab in data.slabs(old[one.name], 1):
                writer.write(slab)
        progress(Progress("convert", Path(writer.name).name, one.end, placed[-1].end))


def _write_matrix(data: _Data, tensor: Tensor, scales: Values, writer: IO[bytes]) -> None:
    done = 0
    for rows in data.rows(tensor):
        writer.write(quantize(rows, scales[done : done + len(rows)]).tobytes())
        done += len(rows)


@dataclass(frozen=True)
class _Data:
    """The data part of an open safetensors file, read some rows at a time."""

    file: IO[bytes]
    begin: int

    def rows(self, tensor: Tensor) -> Iterator[Values]:
        """Yield a matrix's rows as float32; FormatError for what is no number."""
        columns = tensor.shape[1]
        for slab in self.slabs(tensor, columns * _FLOATS[tensor.dtype]):
            values = _floats(slab, tensor.dtype).reshape(-1, columns)
            if not np.isfinite(values).all():
                raise FormatError(f"{tensor.name} holds values that are no numbers")
            yield values

    def slabs(self, tensor: Tensor, unit: int) -> Iterator[bytes]:
        """Yield a tensor's bytes, each time a multiple of `unit`."""
        step = max(1, _SLAB * 2 // unit) * unit
        for begin in range(tensor.begin, tensor.end, step):
            self.file.seek(self.begin + begin)
            yield self.file.read(min(step, tensor.end - begin))


def _floats(raw: bytes, dtype: str) -> Values:
    if dtype == "BF16":  # the upper half of a float32
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
    return np.frombuffer(raw, "<f2" if dtype == "F16" else "<f4").astype(np.float32)


def _is_matrix(tensor: Tensor) -> bool:
    module, _, last = tensor.name.rpartition(".")
    named = last == "weight" and module.rpartition(".")[2] in _MATRICES
    plain = not _OTHER_SENSES.search(module)
    return named and plain and len(tensor.shape) == 2 and math.prod(tensor.shape) > 0  # noqa: PLR2004 - a matrix


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_bytes(json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n")
