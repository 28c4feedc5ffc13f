"""The safetensors format, as far as we need it: read a header, and write a file tensor by tensor.

The layout (https://huggingface.co/docs/safetensors): 8 bytes of header length, little endian; that
many bytes of JSON (name -> dtype, shape, offsets); the tensors' bytes without holes. The
safetensors library writes only what is all in memory at once, and reading its header needs no
framework, so both are done here, and tested against that library.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.models.errors import FormatError

MAX_HEADER = 100_000_000  # bytes; the limit of the format's own implementation
LENGTH_BYTES = 8
_MAX_DIMENSIONS = 16
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64, "C64": 64,
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """One tensor of a file: its safetensors dtype code, its shape, its place in the data part."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def bytes(self) -> int:
        """Return its size in the file."""
        return self.end - self.begin


def read_header(path: Path) -> tuple[Tensor, ...]:
    """Read which tensors a file holds, in the order of their bytes.

    Raises FormatError unless the header is well formed and the data part is covered without holes
    or overlaps, as the format demands: such a file is whole, whatever its values.
    """
    with path.open("rb") as file:
        size = path.stat().st_size
        length = header_length(path.name, file.read(LENGTH_BYTES), size)
        return parse_header(path.name, file.read(length), size)


def header_length(name: str, begin: bytes, size: int) -> int:
    """Read the length of a header from a file's first 8 bytes; `size` is the whole file's."""
    length = int.from_bytes(begin[:LENGTH_BYTES], "little")
    if size < LENGTH_BYTES or length > min(MAX_HEADER, size - LENGTH_BYTES):
        raise FormatError(
            f"{name} is not a whole safetensors file: {size:,} bytes, "
            f"of which the header would be {length:,}"
        )
    return length


def parse_header(name: str, raw: bytes, size: int) -> tuple[Tensor, ...]:
    """Read a header that was fetched from a file of `size` bytes; checked as `read_header` does."""
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{name}: the safetensors header is no JSON: {error}") from error
    if not isinstance(header, dict):
        raise FormatError(f"{name}: the safetensors header is no JSON object")
    header.pop("__metadata__", None)
    tensors = sorted(
        (_tensor(name, tensor, value) for tensor, value in header.items()),
        key=lambda tensor: (tensor.begin, tensor.end),
    )
    _check_cover(name, tensors, size - LENGTH_BYTES - len(raw))
    return tuple(tensors)


def layout(tensors: Iterable[tuple[str, tuple[int, ...]]], dtype: str) -> tuple[Tensor, ...]:
    """Place tensors of one dtype one after the other."""
    return place((name, dtype, shape) for name, shape in tensors)


def place(tensors: Iterable[tuple[str, str, tuple[int, ...]]]) -> tuple[Tensor, ...]:
    """Place tensors, given as name, dtype and shape, one after the other."""
    placed: list[Tensor] = []
    begin = 0
    for name, dtype, shape in tensors:
        end = begin + math.prod(shape) * _BITS[dtype] // 8
        placed.append(Tensor(name, dtype, shape, begin, end))
        begin = end
    return tuple(placed)


def encode(tensors: Iterable[Tensor], metadata: dict[str, str]) -> bytes:
    """Encode the header of a file in which these tensors' bytes follow in this order."""
    header: dict[str, Any] = {"__metadata__": metadata}
    for tensor in tensors:
        header[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": tensor.shape,
            "data_offsets": (tensor.begin, tensor.end),
        }
    raw = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    raw += b" " * (-len(raw) % 8)  # the data begin aligned, as the format's own writer does it
    return len(raw).to_bytes(8, "little") + raw


def _tensor(file: str, name: str, value: Any) -> Tensor:
    try:
        dtype, shape, (begin, end) = value["dtype"], tuple(value["shape"]), value["data_offsets"]
        bits = _BITS[dtype]
    except (TypeError, KeyError, ValueError, IndexError) as error:
        raise FormatError(f"{file}: tensor {name[:80]!r} is badly described") from error
    numbers = (*shape, begin, end)
    if len(shape) > _MAX_DIMENSIONS or not all(
        type(n) is int and 0 <= n < 1 << 63 for n in numbers
    ):
        raise FormatError(f"{file}: tensor {name[:80]!r} has an impossible shape or place")
    if math.prod(shape) * bits != (end - begin) * 8:
        raise FormatError(f"{file}: tensor {name[:80]!r} has not the bytes of its shape")
    return Tensor(name, dtype, shape, begin, end)


def _check_cover(file: str, tensors: list[Tensor], data: int) -> None:
    for tensor, begin in zip(tensors, _ends(tensors), strict=False):
        if tensor.begin != begin:
            raise FormatError(f"{file}: a hole or overlap before tensor {tensor.name[:80]!r}")
    if (end := tensors[-1].end if tensors else 0) != data:
        raise FormatError(
            f"{file} is cut short or too long: its tensors take {end:,} bytes, it has {data:,}"
        )


def _ends(tensors: list[Tensor]) -> Iterator[int]:
    yield 0
    yield from (tensor.end for tensor in tensors)
