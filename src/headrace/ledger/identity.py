"""Who a gateway process is, so that another one on the machine can see that it has died.

A process id alone would do harm: it is used again, and means another process in another container.
So the identity has the namespace that the id belongs to, and when the process began.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def identity() -> str:
    """Return a name for a ledger of this process that no other has or will have."""
    began = _began(os.getpid()) or ""
    return f"{_namespace()}/{os.getpid()}/{began}/{secrets.token_hex(4)}"


def is_gone(gateway: str) -> bool:
    """Whether the process with this identity has ended, as far as can be seen from here."""
    namespace, _, rest = gateway.partition("/")
    pid, began, *_ = (*rest.split("/"), "", "")
    if not namespace or namespace != _namespace() or not pid.isdigit() or not began:
        return False
    return _began(int(pid)) != began


def _namespace() -> str:
    """Return the namespace of process ids, or nothing where there is no /proc."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _began(pid: int) -> str | None:
    """Return when a process began, in the kernel's ticks; None if it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else fields[18]
