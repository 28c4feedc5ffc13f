"""Pickles under any name."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from headrace.models.errors import RefusedError
from headrace.models.pickles import refuse_pickle


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_is_found_by_content(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps({"w": [1.0]}, protocol))
    with pytest.raises(RefusedError, match="runs code"):
        refuse_pickle(path, path.name, allow=False)
    refuse_pickle(path, path.name, allow=True)


def test_a_torch_archive_is_found_by_content(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    with pytest.raises(RefusedError):
        refuse_pickle(path, path.name, allow=False)


@pytest.mark.parametrize("name", ["a.bin", "a.PT", "d/a.pth", "a.ckpt", "a.pkl"])
def test_a_pickle_is_found_by_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"harmless")
    with pytest.raises(RefusedError):
        refuse_pickle(path, name, allow=False)


@pytest.mark.parametrize("content", [b"", b"{}", b"GGUF", b"PK\x03\x04 broken", b"\x80"])
def test_other_files_pass(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    refuse_pickle(path, path.name, allow=False)


@settings(deadline=None)
@given(padding=st.integers(0, 1600))
def test_no_safetensors_file_is_taken_for_a_pickle(
    tmp_path_factory: pytest.TempPathFactory, padding: int
) -> None:
    path = tmp_path_factory.mktemp("p") / "m.safetensors"
    path.write_bytes(save({"w": np.zeros(1, np.float32)}, {"pad": "x" * padding}))
    refuse_pickle(path, path.name, allow=False)


def test_the_header_length_that_looks_like_a_pickle(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    for padding in range(640):
        body = save({"w": np.zeros(1, np.float32)}, {"pad": "x" * padding})
        if body[:2] == b"\x80\x02":  # a header of exactly 640 bytes
            break
    else:
        pytest.fail("no padding gave a header of 640 bytes")
    path.write_bytes(body)
    refuse_pickle(path, path.name, allow=False)
