"""An engine's temporary files are in a folder of the replica's own, which goes with it."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import pytest
from fleet_kit import Up, until

from headrace.local import temporary


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Give a short path: a fleet whose sockets would not fit has no such folders."""
    with TemporaryDirectory() as short:
        yield Path(short)


def test_the_folder_is_new_each_time_private_and_gone_in_the_end(tmp_path: Path) -> None:
    made = temporary.made(tmp_path, "chat-1")
    assert made == tmp_path / "tmp" / "chat-1"
    assert made.stat().st_mode & 0o777 == 0o700
    (made / "left").write_text("")
    assert temporary.made(tmp_path, "chat-1") == made
    assert list(made.iterdir()) == []
    temporary.removed(tmp_path, "chat-1")
    temporary.removed(tmp_path, "chat-1")
    assert not made.exists()


def test_where_a_socket_would_not_fit_there_is_none() -> None:
    # 107 bytes less a slash and the 36 of a UUID.
    fits = "/" + "s" * (107 - 37 - len("//tmp/chat-1"))
    assert temporary.LONGEST_SOCKET_PATH == 107
    assert temporary.made(Path(fits + "s"), "chat-1") is None


def test_what_outlives_an_engine_stays_outside_and_where_a_person_put_it() -> None:
    outer = {"A": "1", "TMPDIR": "/old", "RAY_TMPDIR": "/mine"}
    assert temporary.environment(outer, None) == outer
    found = temporary.environment(outer, Path("/s/tmp/chat-1"))
    cache = Path(found.pop("TORCHINDUCTOR_CACHE_DIR"))
    assert found == {"A": "1", "TMPDIR": "/s/tmp/chat-1", "RAY_TMPDIR": "/mine"}
    assert cache.parent == Path(gettempdir())
    assert str(os.getuid()) in cache.name


async def test_what_an_engine_leaves_goes_with_it(up: Up) -> None:
    running = await up("untidy")
    await until(lambda: bool(running.display.served))
    left = running.folder / (running.folder / "left").read_text()  # an absolute path
    assert left.exists()
    assert left.is_relative_to(running.folder)
    running.supervisor.hurry()
    assert await running.task == 0
    assert not left.exists()
