"""What can go wrong between a source and a folder that an engine may load.

    WeightsError
    ├── SourceError        the source cannot give it: wrong name, nothing servable there
    │   ├── MissingError   404: not there
    │   └── AccessError    401 or 403: not for you
    ├── TransferError      the network failed, and so did the retries
    ├── DiskError          no space, no permission, a failing disk
    ├── AlteredError       bytes that are not those of the lock file, the hub or the wheel
    ├── RefusedError       bytes that would be dangerous to load or to unpack
    ├── FormatError        a file that is not what its name says
    │   └── UnknownError   well formed, but not known here
    └── LockError          the lock file cannot be read

Third-party errors are translated where they occur, with the cause chained; a caller needs only
these.
"""

from __future__ import annotations

import errno
from pathlib import Path


class WeightsError(Exception):
    """The weights of a model could not be had; the message says why and what to do."""


class SourceError(WeightsError):
    """The source cannot give what was asked."""


class MissingError(SourceError):
    """The source says that there is no such thing."""


class AccessError(SourceError):
    """The source refuses these credentials, or wants some."""


class TransferError(WeightsError):
    """The network failed, and so did the retries."""


class DiskError(WeightsError):
    """The disk is full, forbidden or failing."""


class AlteredError(WeightsError):
    """A file does not have the SHA-256 that was promised."""


class RefusedError(WeightsError):
    """A file that would run code when loaded, or write outside its folder when unpacked."""


class FormatError(WeightsError):
    """A file is not what its name says, or breaks its format's rules."""


class UnknownError(FormatError):
    """A model, an architecture or a quantization that is not known here."""


class LockError(WeightsError):
    """The lock file cannot be read."""


def disk_error(error: OSError, where: Path) -> DiskError:
    """Put an operating system's refusal into words."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskError(
            f"the disk that holds {where} is full; free some space, "
            "or set HEADRACE_CACHE to a folder on another disk (what was fetched so far is kept)"
        )
    return DiskError(f"{error.filename or where}: {error.strerror or error}")
