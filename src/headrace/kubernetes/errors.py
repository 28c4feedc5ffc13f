"""What can go wrong between Headrace and a cluster and a person can mend.

ClusterError
  ContextError        no usable kubeconfig or credential plug-in (`kubeconfig.py`)
  UnreachableError    the API server does not answer, or its certificate is not trusted
  CredentialsError    401: it does not know the caller any more
  ForbiddenError      403: it knows the caller, who may not do this
  RejectedError       400 or 422: the object itself is refused; tried again, it will be again
  ConflictError       409: fields of an applied object belong to somebody else
  ExpiredError        410: a watch or a long list has to begin anew (`watch.py` does)
  UnavailableError    429 or 5xx, still after several tries
  MissingKindsError   the cluster lacks kinds that the fleet needs (`discovery.py`)
  NotReadyError       applied, but not serving (`apply.py`)

`cluster.py` raises what answers mean; network and retry policy is told there. Nothing is caught and
dropped: what is none of these is a defect of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any


class ClusterError(Exception):
    """The message is a sentence that says what is wrong and what to do."""


class ContextError(ClusterError):
    """There is no cluster to talk to."""


class UnreachableError(ClusterError):
    """Nobody answers."""


class CredentialsError(ClusterError):
    """The caller is not known."""


class ForbiddenError(ClusterError):
    """The caller may not do this."""


class RejectedError(ClusterError):
    """The object is refused as it is."""


class ExpiredError(ClusterError):
    """The version that was asked for is too old."""


class UnavailableError(ClusterError):
    """The API server cannot serve this now; it may say `after` how many seconds to ask again."""

    def __init__(self, message: str, after: float | None = None) -> None:
        self.after = after
        super().__init__(message)


class MissingKindsError(ClusterError):
    """The cluster does not know some kinds."""


class NotReadyError(ClusterError):
    """All is applied; not all of it serves."""


@dataclass(frozen=True)
class FieldConflict:
    """A field that another field manager set to something else."""

    field: str
    manager: str


class ConflictError(ClusterError):
    """Fields belong to others: `conflicts`. Without any, the object changed meanwhile."""

    def __init__(self, message: str, conflicts: Sequence[FieldConflict] = ()) -> None:
        self.conflicts = tuple(conflicts)
        super().__init__(message)


_MANAGER = re.compile(r'^conflict with "(?P<manager>[^"]*)"(?: with subresource "(?P<sub>[^"]*)")?')


def refusal(
    code: int, status: Mapping[str, Any], doing: str, context: str, after: str = ""
) -> ClusterError:
    """Return the error that an answer means; `doing` is what was tried, as in `apply Service a`.

    `after` is the answer's Retry-After.
    """
    seconds = float(after) if after.isdecimal() else None
    message = str(status.get("message") or HTTPStatus(code).phrase)
    failed = f"could not {doing}: {message}"
    if code >= HTTPStatus.INTERNAL_SERVER_ERROR or code == HTTPStatus.TOO_MANY_REQUESTS:
        return UnavailableError(f"could not {doing}: {context} answered {code}: {message}", seconds)
    match code:
        case HTTPStatus.UNAUTHORIZED:
            return CredentialsError(
                f"{context} no longer accepts these credentials (401); log in again, then repeat"
            )
        case HTTPStatus.FORBIDDEN:
            return ForbiddenError(f"may not {doing}: {message}")
        case HTTPStatus.CONFLICT:
            conflicts = _conflicts(status)
            return ConflictError(_owners(doing, conflicts) if conflicts else failed, conflicts)
    return ExpiredError(failed) if code == HTTPStatus.GONE else RejectedError(failed)


def _conflicts(status: Mapping[str, Any]) -> list[FieldConflict]:
    causes = (status.get("details") or {}).get("causes") or []
    found = []
    for cause in causes:
        if cause.get("reason") == "FieldManagerConflict":
            told = _MANAGER.match(cause.get("message", ""))
            manager = told["manager"] + (f" ({told['sub']})" if told["sub"] else "") if told else ""
            found.append(FieldConflict(cause.get("field", ""), manager or "another manager"))
    return found


def _owners(doing: str, conflicts: Sequence[FieldConflict]) -> str:
    by_manager: dict[str, list[str]] = {}
    for one in conflicts:
        by_manager.setdefault(one.manager, []).append(one.field)
    told = "; ".join(f"{', '.join(fields)}: set by {who}" for who, fields in by_manager.items())
    return f"could not {doing}: fields have another owner: {told}"
