"""The safetensors format, against the format's own library."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save

from headrace.models.errors import FormatError
from headrace.models.tensorfile import encode, layout, read_header


def _file(folder: Path, header: Any, data: bytes = b"") -> Path:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = folder / "m.safetensors"
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + data)
    return path


def test_reads_what_the_library_writes(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    arrays = {
        "a": np.ones((2, 3), np.float32),
        "b": np.ones(5, np.int8),
        "c": np.ones((), np.float16),
    }
    path.write_bytes(save(arrays, {"format": "pt"}))
    tensors = {tensor.name: tensor for tensor in read_header(path)}
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "a": (2, 3),
        "b": (5,),
        "c": (),
    }
    assert (tensors["a"].dtype, tensors["a"].end - tensors["a"].begin) == ("F32", 24)


def test_writes_what_the_library_reads(tmp_path: Path) -> None:
    placed = layout([("x", (2, 2)), ("y", (3,))], "F32")
    values = np.arange(7, dtype="<f4")
    path = tmp_path / "m.safetensors"
    path.write_bytes(encode(placed, {"format": "pt"}) + values.tobytes())
    with safe_open(path, "np") as file:
        assert file.metadata() == {"format": "pt"}
        assert file.get_tensor("x").tolist() == [[0, 1], [2, 3]]
        assert file.get_tensor("y").tolist() == [4, 5, 6]


def _one(**changes: Any) -> dict[str, Any]:
    return {"t": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}


@pytest.mark.parametrize(
    ("header", "data", "says"),
    [
        (_one(), b"x" * 7, "cut short"),
        (_one(), b"x" * 9, "too long"),
        (_one(data_offsets=[4, 12]), b"x" * 12, "hole"),
        (_one(data_offsets=[8, 0]), b"x" * 8, "not the bytes"),
        (_one(dtype="F99"), b"x" * 8, "badly described"),
        (_one(shape=[-2]), b"x" * 8, "impossible"),
        (_one(shape=[2.0]), b"x" * 8, "impossible"),
        (_one(shape=[True, 2]), b"x" * 8, "impossible"),
        (_one(shape=[3]), b"x" * 8, "not the bytes"),
        (_one(shape=7), b"x" * 8, "badly described"),
        (_one(data_offsets=[0]), b"x" * 8, "badly described"),
        ({"t": None}, b"", "badly described"),
        ([], b"", "no JSON object"),
        (b"{", b"", "no JSON"),
        (b"[" * 100_000, b"", "no JSON"),
        (b"\xff", b"", "no JSON"),
    ],
)
def test_refuses_a_broken_header(tmp_path: Path, header: Any, data: bytes, says: str) -> None:
    with pytest.raises(FormatError, match=says):
        read_header(_file(tmp_path, header, data))


@pytest.mark.parametrize(
    "content", [b"", b"\x01", b"\xff" * 8, (10**9).to_bytes(8, "little") + b"{}"]
)
def test_refuses_what_is_no_file_of_the_format(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(FormatError, match="not a whole safetensors file"):
        read_header(path)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
_ENTRY = st.fixed_dictionaries(
    {"dtype": st.just("F32") | _JSON, "shape": _JSON, "data_offsets": _JSON}
)


@settings(deadline=None)
@given(
    st.binary(max_size=64) | st.dictionaries(st.text(max_size=3), _ENTRY | _JSON).map(json.dumps)
)
@example(b"")
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes | str
) -> None:
    folder = tmp_path_factory.mktemp("f")
    raw = content.encode() if isinstance(content, str) else content
    for path in (_file(folder, raw), _file(folder, raw, b"x" * 8)):
        with contextlib.suppress(FormatError):
            read_header(path)
