"""How much of some files is in memory already: what a start reads from the disk is the rest.

Asked of the kernel by `mincore` on sample pages, so that it takes milliseconds for any size. Who
wants to see a start on a new machine has it let go of them (`let_go`), which any user may:
`posix_fadvise` takes pages that nobody has mapped or changed; what an engine maps just now stays.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_SAMPLES = 512
"""Pages looked at in each file: the share is known to some percent, and nothing is read."""
_PROT_NONE, _MAP_SHARED = 0, 1


def resident(files: Iterable[Path]) -> float | None:
    """Return the share of the files' bytes that is in the page cache; None where nobody can say."""
    total = present = 0.0
    try:
        for file in files:
            size = file.stat().st_size
            total += size
            present += size * _share(file, size)
    except OSError:
        return None
    return round(present / total, 3) if total else None


def let_go(files: Iterable[Path]) -> int:
    """Take files out of the page cache, as far as that can be; return their bytes."""
    total = 0
    for file in files:
        with suppress(OSError), file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            total += os.fstat(opened.fileno()).st_size
    return total


def files_below(folders: Iterable[Path]) -> Iterator[Path]:
    """Yield all files of the folders and of those in them, each once: links are left out."""
    for folder in folders:
        for where, _, names in os.walk(folder):
            for path in (Path(where) / name for name in names):
                if path.is_file() and not path.is_symlink():
                    yield path


def _share(file: Path, size: int) -> float:
    """Return the share of one file; OSError if it cannot be mapped."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    pages = -(-size // mmap.PAGESIZE)
    if not pages:
        return 0.0
    with file.open("rb") as opened:
        where = libc.mmap(
            None, ctypes.c_size_t(size), _PROT_NONE, _MAP_SHARED, opened.fileno(), ctypes.c_long(0)
        )
    if where == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    try:
        step = max(1, pages // _SAMPLES)
        seen = [_is_in_memory(libc, where + page * mmap.PAGESIZE) for page in range(0, pages, step)]
    finally:
        libc.munmap(ctypes.c_void_p(where), ctypes.c_size_t(size))
    return sum(seen) / len(seen)


def _is_in_memory(libc: ctypes.CDLL, address: int) -> bool:
    found = ctypes.c_ubyte()
    asked = (ctypes.c_void_p(address), ctypes.c_size_t(mmap.PAGESIZE), ctypes.byref(found))
    if libc.mincore(*asked):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return bool(found.value & 1)
