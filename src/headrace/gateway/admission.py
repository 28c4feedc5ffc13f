"""Who may come in, and how much of everybody's may be inside at once.

`reader.py` asks here as soon as it has a request's head, so that a stranger's body is never read.
A request that is let in holds a `Share` until it is answered: the bytes of its body, and a place
among the requests of its key. The keys come from the runtime as hashes (`keys.py` reads the file).
What a key may use by the minute is looked at later, when its prompt is known (`limiting.py`).
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from headrace.gateway import errors
from headrace.gateway.control import Key, Limits
from headrace.gateway.errors import Failure

if TYPE_CHECKING:
    from headrace.gateway.request import Headers

MAX_KEY = 512
"""Longest API key that is looked at, in bytes."""
_START = 8


class KeyRing:
    """The keys that may call, by their hashes.

    The first bytes of a hash choose the few candidates; these are compared in constant time. What
    the choice could tell by its timing is a hash of the caller's own guess, which leads to no key.
    """

    def __init__(self, keys: Iterable[Key]) -> None:
        self._candidates: dict[bytes, list[tuple[bytes, Key]]] = {}
        for key in keys:
            digest = bytes.fromhex(key.digest)
            self._candidates.setdefault(digest[:_START], []).append((digest, key))

    def find(self, headers: Headers) -> Key | Failure:
        """Return whose key the headers carry (`Authorization: Bearer`, else `x-api-key`)."""
        given = _given(dict(headers))
        if not given:
            return errors.no_key()
        digest = hashlib.sha256(given[:MAX_KEY]).digest()
        for known, key in self._candidates.get(digest[:_START], ()):
            if hmac.compare_digest(known, digest):
                return key
        return errors.wrong_key()


def _given(fields: dict[bytes, bytes]) -> bytes:
    scheme, _, token = fields.get(b"authorization", b"").strip().partition(b" ")
    if scheme.lower() == b"bearer":
        return token.strip()
    return fields.get(b"x-api-key", b"").strip()


class Admission:
    """What all clients together hold. `bodies` is in bytes."""

    def __init__(self) -> None:
        self.bodies = 0
        self.max_bodies = Limits().max_bodies
        self.requests: Counter[str] = Counter()
        self._ring: KeyRing | None = None

    def configure(self, keys: Iterable[Key] | None, limits: Limits) -> None:
        """Take new keys (None: nobody is asked) and limits; what is inside stays."""
        self._ring = None if keys is None else KeyRing(keys)
        self.max_bodies = limits.max_bodies

    def enter(self, path: str, headers: Headers, length: int) -> Share | Failure:
        """Let a request in whose head is complete; `length` of its body in bytes, 0 if unknown."""
        key = None
        if self._ring is not None and path.startswith("/v1/"):
            found = self._ring.find(headers)
            if isinstance(found, Failure):
                return found
            key = found
            if key.streams is not None and self.requests[key.name] >= key.streams:
                return errors.key_limit(key.streams)
        if length and self.bodies + length > self.max_bodies:
            return errors.too_much_in_flight(self.max_bodies)
        return Share(self, key)


class Share:
    """What one request holds until `leave`. `key` is whose request it is, if anybody was asked."""

    __slots__ = ("_admission", "_size", "key")

    def __init__(self, admission: Admission, key: Key | None) -> None:
        self._admission: Admission | None = admission
        self.key = key
        self._size = 0
        if key is not None:
            admission.requests[key.name] += 1

    def grow(self, size: int) -> Failure | None:
        """Take `size` bytes more, unless that is too much for all clients together."""
        admission = self._admission
        if admission is None:
            return None
        if admission.bodies + size > admission.max_bodies:
            return errors.too_much_in_flight(admission.max_bodies)
        admission.bodies += size
        self._size += size
        return None

    def leave(self) -> None:
        """Give everything back; a second time changes nothing."""
        admission, self._admission = self._admission, None
        if admission is None:
            return
        admission.bodies -= self._size
        if self.key is not None:
            admission.requests[self.key.name] -= 1
            if not admission.requests[self.key.name]:
                del admission.requests[self.key.name]
