"""Recognise a pickle by its content, whatever its name says.

`torch.load` and `pickle.load` run code that the file brings along. The name is checked in
`names.py`; this module looks inside, at every file that was fetched.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from headrace.models.errors import RefusedError
from headrace.models.names import is_pickled

_PROTOCOLS = range(2, 6)  # protocols 0 and 1 have no magic; no known tool writes weights in them
_PROTO = 0x80
_TORCH_LEGACY = bytes.fromhex("6cfc9c46f9206aa85019")  # torch's magic number, little endian


def refuse_pickle(path: Path, name: str, *, allow: bool) -> None:
    """Raise RefusedError if a file is a pickle, by name or by content, unless that is allowed."""
    if allow or not (is_pickled(name) or _holds_pickle(path)):
        return
    raise RefusedError(
        f"{name} is a pickle, which runs code when it is loaded; find a safetensors copy, "
        "or set allow_pickle for this model if you trust its author"
    )


def _holds_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(b"PK"):
        return _zip_holds_pickle(path)
    starts = len(head) > 1 and head[0] == _PROTO and head[1] in _PROTOCOLS
    return (starts and not _begins_like_safetensors(head)) or _TORCH_LEGACY in head


def _begins_like_safetensors(head: bytes) -> bool:
    """Tell a safetensors file, whose header of 640 bytes makes it begin with 80 02, too."""
    return head[4:9] == b"\0\0\0\0{"


def _zip_holds_pickle(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return False
