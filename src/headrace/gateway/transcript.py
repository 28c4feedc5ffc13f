"""What a streaming client has been told so far, kept so cheaply that every stream can afford it.

On the hot path `relay.py` appends the JSON string of each event's text to `strings`: a slice of the
bytes that pass, a few bytes a token, nothing parsed. Unusual events are kept as they are, and read
("folded") only when there are many or when the stream breaks. `continuation.py` makes a request
for the rest of the answer from what `read` returns.
"""

from __future__ import annotations

import contextlib
import re
from array import array
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from headrace.gateway.usage import UNREADABLE

MAX_RAW = 32 * 1024
"""Bytes of unread events after which they are folded."""
MAX_KEPT = 1024 * 1024
"""Bytes of text, as JSON, beyond which an answer is not continued: some 200,000 tokens."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_STRINGS = re.compile(rb'(?:"(?:[^"\\]|\\.)*")*')
_ORDINARY_DELTA = frozenset(("role", "content"))


_Id = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]


class _Choice(msgspec.Struct):
    index: int = 0
    delta: dict[str, Any] | None = None
    text: str | None = None
    finish_reason: str | None = None
    token_ids: list[_Id] | None = None
    prompt_token_ids: list[_Id] | None = None


class _Event(msgspec.Struct):
    id: str = ""
    object: str = ""
    created: int = 0
    model: str = ""
    choices: list[_Choice] | None = None
    prompt_token_ids: list[_Id] | None = None


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_strings = msgspec.json.Decoder(list[str]).decode
_encode = msgspec.json.encode


@dataclass(frozen=True)
class Told:
    """What was told: the answer's text in `pieces` (one an event), and what every event says.

    `ids` are the token ids of the pieces, `ends` how many of them each piece ends with; both None
    unless the engine gave ids for all. `obstacle` says why this cannot be continued (``: it can).
    """

    pieces: list[str]
    identity: dict[str, Any]
    role: bool
    obstacle: str
    ids: list[int] | None = None
    ends: list[int] | None = None
    prompt_ids: list[int] | None = None

    @property
    def whole(self) -> int:
        """How many pieces there are up to the last that is not empty.

        Empty ones after it are tokens of a character that is not complete: the client has nothing
        of them.
        """
        count = len(self.pieces)
        while count and not self.pieces[count - 1]:
            count -= 1
        return count

    def tokens(self, pieces: int) -> int:
        """Return how many tokens the first `pieces` are; without ids, one each."""
        if self.ends is None:
            return pieces
        return self.ends[pieces - 1] if pieces else 0


class Transcript:
    """One client's stream. `obstacle` says why it is not kept any more (``: it is)."""

    __slots__ = ("_ends", "_ids", "_raw", "_segments", "identity", "obstacle", "prompt_ids",
                 "role", "strings", "told_ids")  # fmt: skip

    def __init__(self) -> None:
        self.strings = bytearray()
        self.obstacle = ""
        self.identity: dict[str, Any] = {}
        self.role = False
        self.told_ids = 0
        """Token ids that the client has, those included that are said again."""
        self.prompt_ids: array[int] | None = None
        self._ids: array[int] | None = array("I")
        self._ends = array("I")
        self._segments: list[bytes | bytearray] = []
        self._raw = 0

    @property
    def empty(self) -> bool:
        """Whether the client has nothing yet that another replica would say again."""
        return not (self._segments or self.strings or self.identity or self.obstacle)

    def event(self, event: bytes) -> None:
        """Keep one event as it is."""
        if self.obstacle or not event.startswith(b"data:"):
            return
        if self.strings:
            self._segments.append(self.strings)
            self.strings = bytearray()
        self._segments.append(event)
        self._raw += len(event)
        if self._raw > MAX_RAW:
            self._fold()

    def piece(self, text: str, ids: list[int] | None) -> None:
        """Keep the text of one token that was not told by an event of the ordinary shape."""
        self.strings += _encode(text)
        self._count(ids)

    def trim(self) -> None:
        """Keep within bounds; called each second."""
        if len(self.strings) > MAX_KEPT:
            self.give_up("the answer is too long to be kept")
        elif self.obstacle:
            self.give_up(self.obstacle)

    def give_up(self, why: str) -> None:
        """Keep nothing any more."""
        self.obstacle = why
        self._segments, self._raw = [], 0
        self.strings.clear()
        self._ids, self._ends, self.prompt_ids = None, array("I"), None

    def read(self) -> Told:
        """Return everything told so far."""
        self._fold()
        pieces = self._pieces()
        ids = self._ids if self._ids is not None and len(self._ends) == len(pieces) else None
        return Told(
            pieces=pieces,
            identity=self.identity,
            role=self.role,
            obstacle=self.obstacle,
            ids=ids.tolist() if ids is not None else None,
            ends=self._ends.tolist() if ids is not None else None,
            prompt_ids=self.prompt_ids.tolist() if self.prompt_ids is not None else None,
        )

    def rewind(self, told: Told) -> None:
        """Forget the tokens at the end that gave no text: another replica says them again."""
        self.strings = bytearray(b"".join(map(_encode, told.pieces[: told.whole])))
        if self._ids is not None:
            self.told_ids = max(self.told_ids, len(self._ids))
            del self._ids[told.tokens(told.whole) :]
        del self._ends[told.whole :]

    # -- inside -------------------------------------------------------------------------------

    def _pieces(self) -> list[str]:
        strings = bytes(self.strings)
        if _STRINGS.fullmatch(strings):
            with contextlib.suppress(ValueError):  # a lone half of a surrogate pair
                return _decode_strings(b"[" + b",".join(_STRING.findall(strings)) + b"]")
        self.give_up("its events could not be read")
        return []

    def _fold(self) -> None:
        """Read the events that were kept as they are."""
        if not self._segments:
            self._without_ids(self.strings)
            return
        segments, self._segments, self._raw = [*self._segments, self.strings], [], 0
        self.strings = bytearray()
        for segment in segments:
            if isinstance(segment, bytearray):
                self.strings += segment
                self._without_ids(segment)
            else:
                self._read_event(segment)

    def _without_ids(self, strings: bytearray) -> None:
        """Take note that text went by whose ids nobody saw (an ordinary event has none)."""
        if strings and not self._ends:
            self._ids = None

    def _read_event(self, raw: bytes) -> None:
        data = raw.strip()
        if not data.startswith(b"data:") or self.obstacle:
            return
        try:
            event = _decode_event(data[5:])
        except UNREADABLE:
            self.give_up("one of its events could not be read")
            return
        if not self.identity:
            self.identity = {
                "id": event.id,
                "object": event.object,
                "created": event.created,
                "model": event.model,
            }
        if event.prompt_token_ids is not None:
            self.prompt_ids = array("I", event.prompt_token_ids)
        for choice in event.choices or ():
            self._read_choice(choice)

    def _read_choice(self, choice: _Choice) -> None:
        if choice.index:
            self.give_up("it is one of several answers")
        if choice.prompt_token_ids is not None:
            self.prompt_ids = array("I", choice.prompt_token_ids)
        text = choice.text
        if choice.delta is not None:
            text = self._read_delta(choice.delta)
        if text is not None and not self.obstacle:
            self.piece(text, choice.token_ids)

    def _read_delta(self, delta: dict[str, Any]) -> str | None:
        special = [name for name in delta if delta[name] and name not in _ORDINARY_DELTA]
        if special:
            self.give_up(f"it is inside {special[0]}")
        content = delta.get("content")
        if delta.get("role") and not self.role:
            self.role = True
            if not content:
                return None  # the event that opens a chat is no token
        return content if isinstance(content, str) else None

    def _count(self, ids: list[int] | None) -> None:
        if ids is None:
            self._ids = None
        if self._ids is not None and ids is not None:
            self._ids.extend(ids)
            self._ends.append(len(self._ids))
