"""A client's request, and the one look that the gateway takes at its body.

`peek` decodes only the fields that routing and accounting need, so that a prompt of a megabyte
costs about a millisecond. The body then goes to the engine as it came, with one exception:
`ask_for_usage` splices in a request for token counts (see `relay.py` for the other half of that).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from headrace.gateway import errors

if TYPE_CHECKING:
    from headrace.gateway.errors import Failure

Headers = list[tuple[bytes, bytes]]
"""Names in lower case, in the order of arrival."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_USAGE = b'{"stream_options":{"include_usage":true},'
_MANY_PROMPTS = re.compile(rb'\[\s*["\[{]')


class Request(msgspec.Struct, kw_only=True):
    """One request as it came in; `body` is whole."""

    method: bytes
    target: bytes
    headers: Headers
    body: bytes
    http10: bool
    keep_alive: bool
    id: str

    @property
    def path(self) -> str:
        """The path without the query; an absolute-form target loses its scheme and host."""
        target = self.target
        if not target.startswith(b"/"):
            _, _, rest = target.partition(b"://")
            target = b"/" + rest.partition(b"/")[2]
        return target.partition(b"?")[0].decode("latin-1")


class _Body(msgspec.Struct):
    model: str | None = None
    stream: bool | None = None
    stream_options: msgspec.Raw = msgspec.Raw(b"")
    n: msgspec.Raw = msgspec.Raw(b"null")
    prompt: msgspec.Raw = msgspec.Raw(b"null")


class Peek(NamedTuple):
    """What the gateway knows of a body. `usage_asked`: the client gave its own `stream_options`.

    `one_answer` is false for `n` > 1 and for several prompts in one request.
    """

    model: str
    stream: bool
    usage_asked: bool
    one_answer: bool


_decoder = msgspec.json.Decoder(_Body)


def peek(body: bytes) -> Peek | Failure:
    """Return what the gateway needs from a JSON body, or why it is not usable."""
    try:
        seen = _decoder.decode(body)
    except msgspec.ValidationError as error:
        return errors.bad_request(f"The body has a field of the wrong type: {error}.")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return errors.bad_request(f"The body is not valid JSON: {error}.")
    if not seen.model:
        return errors.bad_request(
            "The body has no model. Name one that /v1/models lists.", param="model"
        )
    one_answer = bytes(seen.n) in (b"null", b"1") and not _MANY_PROMPTS.match(seen.prompt)
    usage_asked = bool(bytes(seen.stream_options))
    return Peek(seen.model, bool(seen.stream), usage_asked, one_answer)


def ask_for_usage(body: bytes) -> Sequence[bytes | memoryview]:
    """Return the body, in parts that share its memory, with usage asked for in its stream."""
    return _USAGE, memoryview(body)[body.index(b"{") + 1 :]


def request_id(given: bytes | None) -> str:
    """Return the client's id when it is a sane one (at most 128 plain characters), else a new one.

    Sane means safe in a header, in a log line and in a shell.
    """
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given.decode("ascii")
    return f"req-{os.urandom(16).hex()}"
