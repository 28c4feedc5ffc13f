"""What the API server says when it does not do what it was asked: Status objects, word for word.

Shapes are those of apimachinery's `api/errors`; clients read `code`, `reason` and `details.causes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.kubernetes.resource import Resource


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """Ends a request; `status` is the answer's body."""

    def __init__(self, status: dict[str, Any], after: int | None = None) -> None:
        self.status, self.after = status, after
        super().__init__(status["message"])

    @property
    def code(self) -> int:
        """The HTTP status."""
        return int(self.status["code"])


def status(code: int, reason: str, message: str, **details: Any) -> dict[str, Any]:
    """Return a Status of failure."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": details,
        "code": code,
    }


def _titled(resource: Resource) -> str:
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def not_found(resource: Resource, name: str) -> Refused:
    """Return the refusal of an object that is not there."""
    words = f'{_titled(resource)} "{name}" not found'
    return Refused(
        status(404, "NotFound", words, name=name, group=resource.group, kind=resource.plural)
    )


def no_such_path() -> Refused:
    """Return the refusal of a path that nothing serves, such as that of a missing CRD."""
    return Refused(status(404, "NotFound", "the server could not find the requested resource"))


def unauthorized() -> Refused:
    """Return the refusal of a token that is not valid (any more)."""
    return Refused(status(401, "Unauthorized", "Unauthorized"))


def forbidden(verb: str, resource: Resource, namespace: str | None) -> Refused:
    """Return RBAC's refusal."""
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    words = (
        f'{_titled(resource)} is forbidden: User "twin" cannot {verb} resource '
        f'"{resource.plural}" in API group "{resource.group}" {where}'
    )
    return Refused(status(403, "Forbidden", words, group=resource.group, kind=resource.plural))


def terminating(resource: Resource, name: str, namespace: str) -> Refused:
    """Return the refusal of a new object in a namespace that is being deleted."""
    words = (
        f'{_titled(resource)} "{name}" is forbidden: unable to create new content in namespace '
        f"{namespace} because it is being terminated"
    )
    cause = {"reason": "NamespaceTerminating", "message": f"namespace {namespace} is terminating"}
    return Refused(status(403, "Forbidden", words, name=name, causes=[cause]))


def invalid(resource: Resource, name: str, causes: Sequence[tuple[str, str]]) -> Refused:
    """Return the refusal of an object with (field, what is wrong)."""
    told = ", ".join(f"{field}: {message}" for field, message in causes)
    words = f'{resource.kind}.{resource.group} "{name}" is invalid: {told}'
    listed = [
        {"reason": "FieldValueInvalid", "message": message, "field": field}
        for field, message in causes
    ]
    return Refused(
        status(
            422,
            "Invalid",
            words if resource.group else words.replace(".", "", 1),
            name=name,
            group=resource.group,
            kind=resource.kind,
            causes=listed,
        )
    )


def bad_request(message: str) -> Refused:
    """Return the refusal of a request that makes no sense."""
    return Refused(status(400, "BadRequest", message))


def expired(message: str) -> dict[str, Any]:
    """Return the Status of a version that is too old, or of a page that cannot go on."""
    return status(410, "Expired", message)


def uid_differs(resource: Resource, name: str, asked: str, there: str) -> Refused:
    """Return the refusal of a deletion whose precondition does not hold."""
    words = (
        f'Operation cannot be fulfilled on {_titled(resource)} "{name}": the UID in the '
        f"precondition ({asked}) does not match the UID in record ({there}). The object might have "
        "been deleted and then recreated"
    )
    return Refused(status(409, "Conflict", words, name=name, kind=resource.plural))


def conflict(causes: Sequence[tuple[str, str]]) -> Refused:
    """Return the refusal of an apply; causes are (conflict with whom, field)."""
    count = len(causes)
    if count == 1:
        words = f"Apply failed with 1 conflict: {causes[0][0]}: {causes[0][1]}"
    else:
        whom = dict.fromkeys(who for who, _ in causes)
        told = "\n".join(
            f"{who.replace('conflict', 'conflicts', 1)}:\n"
            + "\n".join(f"- {field}" for other, field in causes if other == who)
            for who in whom
        )
        words = f"Apply failed with {count} conflicts: {told}"
    listed = [
        {"reason": "FieldManagerConflict", "message": who, "field": field} for who, field in causes
    ]
    return Refused(status(409, "Conflict", words, causes=listed))
