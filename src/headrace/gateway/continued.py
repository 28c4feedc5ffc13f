"""The rest of a broken stream, told by another replica as if the first had never broken.

Streams that break are few, so each event is parsed here: it gets the id, the time and the model of
the first replica's events, no second role, counts that cover the whole answer, and none of the text
that the client has already. `relay.py` is the hot path of streams that do not break.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

import msgspec

from headrace.gateway import usage
from headrace.gateway.chunked import LAST_CHUNK
from headrace.gateway.continuation import Resumption
from headrace.gateway.heads import AnswerHead
from headrace.gateway.relay import BrokenStreamError, StreamRelay, Write, cut_events
from headrace.gateway.transcript import Transcript
from headrace.gateway.usage import UNREADABLE, Usage

_DONE = b"data: [DONE]\n\n"
_NOT_OURS = ("prompt_token_ids", "prompt_text")
"""What only the first event of an answer says."""


class ContinuedRelay(StreamRelay):
    """Passes on a continuation; `transcript` goes on where the answer goes on.

    `ids` says that the client wants token ids.
    """

    __slots__ = ("_at", "_held", "_ids", "_overlap", "_resumption")

    def __init__(
        self, head: AnswerHead, write: Write, resumption: Resumption, transcript: Transcript, *,
        chunked: bool, withhold: bool, ids: bool,
    ) -> None:  # fmt: skip
        super().__init__(head, write, transcript, chunked=chunked, withhold=withhold)
        self._resumption = resumption
        self._overlap = resumption.overlap
        self._ids = ids
        self._at = resumption.tokens
        self._held: dict[str, Any] | None = None

    def feed(self, data: bytes) -> None:
        """Pass `data` on, event by event; raises FramingError and BrokenStreamError."""
        events, self._rest = cut_events(self._rest + self.body.payload(data))
        for event in events:
            self._pass(event.strip())

    def finish(self) -> None:
        """End the client's body."""
        self._release()
        if self._chunked:
            self._write(LAST_CHUNK)

    # -- inside -------------------------------------------------------------------------------

    def _pass(self, event: bytes) -> None:
        if event == _DONE.strip():
            if not self.complete:
                raise BrokenStreamError("ended the stream without a finish")
            self._release()
            self._send(_DONE)
            self.done_sent = True
        elif event.startswith(b"data:"):
            try:
                self._pass_json(_read(event[5:]))
            except (AttributeError, IndexError, KeyError, TypeError, ValueError):
                # The shape of what an engine sends is not ours to trust.
                raise BrokenStreamError("sent an event of an unknown shape") from None

    def _pass_json(self, event: dict[str, Any]) -> None:
        if words := usage.error_words(event):
            raise BrokenStreamError(words)
        choices = event.get("choices") or []
        if event.get("usage"):
            self._correct(event["usage"])
        if not choices:
            self._end_with(event)
            return
        choice = self._rewrapped(choices[0])
        if choice.get("finish_reason") == "abort":
            self.aborted = True
            raise BrokenStreamError("aborted the request")
        ids = choice.get("token_ids")
        if ids is not None:
            choice["token_ids"] = self._fresh_ids(ids) if self._ids else None
        if self._told(choice, ids) and not choice.get("finish_reason"):
            return
        self._tell(event, choice)

    def _tell(self, event: dict[str, Any], choice: dict[str, Any]) -> None:
        out = event | self.transcript.identity | {"choices": [choice]}
        for holder in (out, choice):
            for name in _NOT_OURS:
                if holder.get(name) is not None:
                    holder[name] = None
        if choice.get("finish_reason"):
            self.complete = True
            if self._withhold:
                self._held = out
                return
        self._send_event(out)

    def _told(self, choice: dict[str, Any], ids: list[int] | None) -> bool:
        """Drop from a choice what the client has already; whether nothing is left of it."""
        holder, name = (choice["delta"], "content") if "delta" in choice else (choice, "text")
        role = holder.pop("role", None) if name == "content" and self.transcript.role else None
        if name == "content":
            self._check_kind(holder)
        text = holder.get(name)
        if not isinstance(text, str):
            return role is not None and not any(holder.values())
        if role is not None and not text:
            return True
        self._note()
        fresh = "" if self._resumption.mute else self._fresh(text, ids)
        holder[name] = fresh
        return bool(text) and not fresh

    def _check_kind(self, delta: dict[str, Any]) -> None:
        """See that the answer goes on as plain text; from a tool call on it cannot be continued."""
        kinds = [name for name in delta if delta[name] and name not in ("role", "content")]
        if kinds:
            self.transcript.give_up(f"it is inside {kinds[0]}")
        if any(kind.startswith("reasoning") for kind in kinds):
            raise BrokenStreamError("went on with reasoning in the middle of an answer")

    def _note(self) -> None:
        self.events += 1
        self.last = monotonic()
        if self.first is None:
            self.first = self.last

    def _fresh(self, text: str, ids: list[int] | None) -> str:
        """Return the part of `text` that the client does not have, and note it as told."""
        common = _common(self._overlap, text)
        if text and common == len(text):
            self._overlap = self._overlap[common:]
            return ""
        self._overlap = ""
        self.transcript.piece(text[common:], ids)
        return text[common:]

    def _fresh_ids(self, ids: list[int]) -> list[int]:
        """Return the ids that the client does not have."""
        known = max(0, self.transcript.told_ids - self._at)
        self._at += len(ids)
        return ids[known:]

    def _rewrapped(self, choice: dict[str, Any]) -> dict[str, Any]:
        """Return the choice of a completion as a chat's, if that is what the client has."""
        if not self._resumption.rewrap:
            return dict(choice)
        finish = choice.get("finish_reason")
        stop = {"stop_reason": choice.get("stop_reason")} if finish else {}
        return {
            "index": 0,
            "delta": {"content": choice.get("text") or ""},
            "logprobs": None,
            "finish_reason": finish,
            **stop,
            "token_ids": choice.get("token_ids"),
        }

    def _correct(self, counts: dict[str, Any]) -> None:
        """Make an event's token counts those of the whole answer.

        The prompt that this replica saw ends with `tokens` tokens of the answer.
        """
        ours, prompt = self._resumption.tokens, self._resumption.prompt_tokens
        if prompt is None:
            prompt = max(0, int(counts.get("prompt_tokens") or 0) - ours)
        completion = int(counts.get("completion_tokens") or 0) + ours
        counts |= {"prompt_tokens": prompt, "completion_tokens": completion}
        counts["total_tokens"] = prompt + completion
        self.usage = Usage(prompt, completion)

    def _end_with(self, event: dict[str, Any]) -> None:
        """Pass on the usage event, or give its stamp back to the terminal event and drop it."""
        if not self._withhold:
            self._send_event(event | self.transcript.identity)
        elif self._held is not None and event.get("system_fingerprint"):
            self._held.setdefault("system_fingerprint", event["system_fingerprint"])

    def _release(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._send_event(held)

    def _send_event(self, event: dict[str, Any]) -> None:
        self._send(b"data: " + msgspec.json.encode(event) + b"\n\n")

    def _send(self, payload: bytes) -> None:
        out = self._framed(payload)
        self.bytes += len(out)
        self._write(out)


def _common(one: str, other: str) -> int:
    """Return how many characters both begin with."""
    pairs = zip(one, other, strict=False)
    different = (index for index, (a, b) in enumerate(pairs) if a != b)
    return next(different, min(len(one), len(other)))


def _read(data: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except UNREADABLE as error:
        raise BrokenStreamError(f"sent an event that is not JSON ({error})") from None
