"""Takes files out of the page cache: a start then reads them from the disk, as a new machine does.

Any user may: `posix_fadvise` lets go of pages that nobody has mapped or changed. What another
engine has mapped just now stays, so `resident` says how much is left.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path


def let_go(folders: Iterable[Path]) -> int:
    """Take all files below the folders out of the page cache; return their bytes."""
    total = 0
    for path in _files(folders):
        with suppress(OSError):
            handle = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
                total += os.fstat(handle).st_size
            finally:
                os.close(handle)
    return total


def resident(folders: Iterable[Path]) -> float | None:
    """Return the share of the files' bytes that is in the page cache; None where it is not told."""
    there = pages = 0
    for path in _files(folders):
        counted = _pages(path)
        if counted is None:
            return None
        there, pages = there + counted[0], pages + counted[1]
    return there / pages if pages else None


def _pages(path: Path) -> tuple[int, int] | None:
    """Return how many pages of a file are in memory, and how many it has."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE) as view:
            count = -(-len(view) // mmap.PAGESIZE)
            told = (ctypes.c_ubyte * count)()
            begin = (ctypes.c_char * len(view)).from_buffer(view)
            failed = libc.mincore(
                ctypes.c_void_p(ctypes.addressof(begin)), ctypes.c_size_t(len(view)), told
            )
            del begin  # the view cannot be closed while something points into it
    except (OSError, ValueError, AttributeError):  # an empty file cannot be mapped
        return (0, 0) if path.stat().st_size == 0 else None
    return None if failed else (sum(page & 1 for page in told), count)


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        for where, _, names in os.walk(folder):
            for name in names:
                path = Path(where) / name
                if path.is_file() and not path.is_symlink():
                    yield path
