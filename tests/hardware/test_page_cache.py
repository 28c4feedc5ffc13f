"""The page cache: what of some files is in memory, and letting go of it."""

import os
from pathlib import Path

from headrace.hardware.page_cache import files_below, let_go, resident


def test_what_is_in_the_page_cache_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "w"
    file.write_bytes(b"x" * 8_000_000)
    assert resident([file]) == 1.0
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    assert resident([file]) == 0.0
    with file.open("rb") as opened:
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_RANDOM)  # no reading ahead
        opened.raw.read(4_000_000)
    found = resident([file])
    assert found is not None
    assert 0.4 < found < 0.6
    assert resident([]) is None
    assert resident([tmp_path / "none"]) is None


def test_files_leave_the_page_cache_and_come_back(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"x" * 2**20)
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())  # what is not on the disk cannot be let go of
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to(file)
    file.read_bytes()
    before = resident(files_below([tmp_path]))
    assert before is None or before == 1.0
    assert let_go(files_below([tmp_path])) == 2**20
    assert resident(files_below([tmp_path / "none"])) is None
