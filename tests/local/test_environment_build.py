import subprocess
import sys
import threading
from pathlib import Path

import pytest

from headrace.engines.environment import Environment
from headrace.local import environment
from headrace.local.environment import EnvironmentFailedError, ensure_environment
from headrace.local.errors import SetUpInterruptedError


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A package without network: a folder that pip installs."""
    source = tmp_path / "tiny"
    source.mkdir()
    (source / "tiny_engine.py").write_text("VERSION = '1'\n")
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "tiny-engine"\nversion = "1"\n'
    )
    (source / "backend.py").write_text(BACKEND)
    return source


BACKEND = """
import zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "tiny_engine-1-py3-none-any.whl"
    with zipfile.ZipFile(folder + "/" + name, "w") as z:
        z.write("tiny_engine.py")
        z.writestr("tiny_engine-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: tiny-engine\\nVersion: 1\\n")
        z.writestr("tiny_engine-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        z.writestr("tiny_engine-1.dist-info/RECORD", "")
    return name
"""


def imports(python: Path) -> str:
    command = [str(python), "-c", "import tiny_engine; print(tiny_engine.VERSION)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_it_is_made_once_and_found_again(tmp_path: Path, wheel: Path) -> None:
    said: list[str] = []
    wanted = Environment("tiny-cpu-1", (str(wheel),))
    python = ensure_environment(wanted, tmp_path / "cache", said.append)
    assert imports(python) == "1"
    assert said[0].endswith("1 packages, once")
    assert any(line.startswith("Installing collected packages") for line in said)
    said.clear()
    assert ensure_environment(wanted, tmp_path / "cache", said.append) == python
    assert said == []


def test_one_that_was_interrupted_is_made_again(
    tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Environment("tiny-cpu-1", (str(wheel),))
    monkeypatch.setattr(environment, "_run", _fake)
    folder = ensure_environment(wanted, tmp_path, lambda _: None).parent.parent
    assert (folder / ".complete").exists()
    (folder / ".complete").unlink()
    (folder / "half").touch()
    monkeypatch.setattr(environment, "_run", _interrupted)
    with pytest.raises(
        SetUpInterruptedError, match=r"the environment tiny-cpu-1-.* was being made"
    ):
        ensure_environment(wanted, tmp_path, lambda _: None)
    assert not (folder / ".complete").exists()
    assert not (folder / "half").exists()


def _interrupted(argv: list[str], *_: object) -> None:
    if "venv" in argv:
        Path(argv[-1]).mkdir()
        return
    raise KeyboardInterrupt


def test_a_failure_shows_the_end_of_what_pip_said(tmp_path: Path) -> None:
    wanted = Environment("tiny-cpu-1", ("/no/such/package.whl",))
    with pytest.raises(EnvironmentFailedError, match=r"(?s)tiny-cpu-1 failed.*no/such/package"):
        ensure_environment(wanted, tmp_path, lambda _: None)


def test_where_the_index_has_no_cpu_wheels_the_way_out_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    wanted = Environment("tiny-cpu-1", ("tiny-engine==1+cpu",))
    with pytest.raises(EnvironmentFailedError, match=r"pip config set global\.extra-index-url"):
        ensure_environment(wanted, tmp_path, lambda _: None)


def test_another_list_is_another_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "_run", _fake)
    first = ensure_environment(Environment("e", ("a==1",)), tmp_path, lambda _: None)
    second = ensure_environment(Environment("e", ("a==2",)), tmp_path, lambda _: None)
    assert first != second


def test_a_second_process_waits_and_finds_it_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, built = threading.Event(), threading.Event(), []

    def slow(argv: list[str], *_: object) -> None:
        _fake(argv)
        built.append(argv)
        begun.set()
        assert go_on.wait(20)

    monkeypatch.setattr(environment, "_run", slow)
    said: list[str] = []
    wanted = Environment("e", ("a==1",))
    first = threading.Thread(target=ensure_environment, args=(wanted, tmp_path, lambda _: None))

    def tell(line: str) -> None:
        said.append(line)
        go_on.set()

    first.start()
    assert begun.wait(20)
    ensure_environment(wanted, tmp_path, tell)
    first.join()
    assert len(said) == 1
    assert "another process is making e-" in said[0]
    assert len(built) == 2  # one venv, one pip


def _fake(argv: list[str], *_: object) -> None:
    if argv[:3] == [sys.executable, "-m", "venv"]:
        Path(argv[-1]).mkdir(exist_ok=True)


def test_packages_are_counted_while_pip_is_silent(tmp_path: Path) -> None:
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    (site / "pip-1.dist-info").mkdir(parents=True)
    said: list[str] = []
    counted = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        counted.set()

    with environment._counting(tmp_path, 9, say, every=0.01):
        (site / "a-1.dist-info").mkdir()
        assert counted.wait(10)
    assert said[0] == "installed 1 of 9 packages"
