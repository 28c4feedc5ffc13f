"""A client's request, and the one look that the gateway takes at its body.

`peek` decodes only the fields that routing and accounting need, so that a prompt of a megabyte
costs about a millisecond; `prompt.py` looks at the prompt itself, if it has to. The body then goes
to the engine as it came, but that `asking_for` splices in a request for token counts or ids (see
`relay.py` for the other half), and `renamed` the name by which the engine knows the model.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from headrace.gateway import errors

if TYPE_CHECKING:
    from headrace.gateway.admission import Share
    from headrace.gateway.errors import Failure

Headers = list[tuple[bytes, bytes]]
"""Names in lower case, in the order of arrival."""

MAX_MODEL = 256
"""Longest model name that is looked for, in characters; records and messages repeat it."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_USAGE = b'"stream_options":{"include_usage":true},'
_IDS = b'"return_token_ids":true,'
_PIECE = 64 * 1024
_FLAT = 512
"""Bytes in which nothing can be nested too deeply."""
_SPARE = 40
"""Frames of the stack that reading a body leaves free: what reads it again does so from deeper."""
NULL = msgspec.Raw(b"null")
_MODEL = b'"model"'
_ESCAPED_ASCII = b"\\u00"
_MODEL_FIRST = re.compile(rb'\s*\{\s*"model"\s*:\s*("[^"\\]*")')
_MANY_PROMPTS = re.compile(rb'\[\s*["\[{]')


class Request(msgspec.Struct, kw_only=True):
    """One request as it came in; `body` is whole, `target` a path with its query.

    `share` is what it holds of the gateway until it is answered.
    """

    method: bytes
    target: bytes
    headers: Headers
    body: bytes
    http10: bool
    keep_alive: bool
    id: str
    share: Share | None = None

    @property
    def path(self) -> str:
        """The path without the query."""
        return path_of(self.target)


def origin_form(target: bytes) -> bytes:
    """Return the target as a path with its query: an absolute URL loses its scheme and host."""
    if target.startswith(b"/"):
        return target
    _, _, rest = target.partition(b"://")
    host = re.split(rb"[/?]", rest, maxsplit=1)[0]
    rest = rest[len(host) :]
    return rest if rest.startswith(b"/") else b"/" + rest


def path_of(target: bytes) -> str:
    """Return the path of a target in origin form."""
    return target.partition(b"?")[0].decode("latin-1")


class _Body(msgspec.Struct):
    model: str | None = None
    stream: bool | None = None
    stream_options: msgspec.Raw = msgspec.Raw(b"")
    n: msgspec.Raw = NULL
    prompt: msgspec.Raw = NULL
    messages: msgspec.Raw = NULL
    tools: msgspec.Raw = NULL
    input: msgspec.Raw = NULL
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    return_token_ids: msgspec.Raw = NULL


class Peek(NamedTuple):
    """What the gateway knows of a body. `usage_asked`: the client gave its own `stream_options`.

    `one_answer` is false for `n` > 1 and for several prompts in one request; `ids_asked`: the
    client said whether it wants token ids. `max_tokens` is the answer's bound, None without one.
    `prompt`, `messages`, `tools` and `input` are raw JSON, `null` where absent.
    """

    model: str
    stream: bool
    usage_asked: bool
    one_answer: bool
    ids_asked: bool = False
    max_tokens: int | None = None
    prompt: msgspec.Raw = NULL
    messages: msgspec.Raw = NULL
    tools: msgspec.Raw = NULL
    input: msgspec.Raw = NULL


_decoder = msgspec.json.Decoder(_Body)


def peek(body: bytes) -> Peek | Failure:
    """Return what the gateway needs from a JSON body, or why it is not usable."""
    seen = _decode(body)
    if isinstance(seen, str):
        return errors.bad_request(seen)
    if not seen.model:
        message = "The body has no model. Name one that /v1/models lists."
        return errors.bad_request(message, param="model")
    if len(seen.model) > MAX_MODEL:
        message = f"The name of the model is longer than {MAX_MODEL} characters."
        return errors.bad_request(message, param="model")
    one_answer = bytes(seen.n) in (b"null", b"1") and not _MANY_PROMPTS.match(seen.prompt)
    usage_asked = bool(bytes(seen.stream_options))
    ids_asked = bytes(seen.return_token_ids) != b"null"
    bound = seen.max_completion_tokens
    return Peek(
        model=seen.model,
        stream=bool(seen.stream),
        usage_asked=usage_asked,
        one_answer=one_answer,
        ids_asked=ids_asked,
        max_tokens=seen.max_tokens if bound is None else bound,
        prompt=seen.prompt,
        messages=seen.messages,
        tools=seen.tools,
        input=seen.input,
    )


def _decode(body: bytes) -> _Body | str:
    """Return the fields, or what is wrong. Of a key that is there twice the last counts.

    Python's `json` and `orjson`, which engines use, see it so too.
    """
    if not _is_utf8(body):
        return "The body is not UTF-8, which JSON has to be."
    try:
        return _decode_from(_SPARE if len(body) > _FLAT else 0, body)
    except RecursionError:
        return "The body nests too deeply: objects in objects, lists in lists."
    except msgspec.ValidationError as error:
        return f"The body has a field of the wrong type: {error}."
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return f"The body is not valid JSON: {error}."


def _decode_from(depth: int, body: bytes) -> _Body:
    """Decode so many frames further down the stack."""
    return _decode_from(depth - 1, body) if depth else _decoder.decode(body)


def asking_for(body: bytes, *, usage: bool, ids: bool) -> Sequence[bytes | memoryview]:
    """Return the body, in parts that share its memory, asking its stream for counts or ids too."""
    more = (_USAGE if usage else b"") + (_IDS if ids else b"")
    return (b"{" + more, memoryview(body)[body.index(b"{") + 1 :]) if more else (body,)


def renamed(body: bytes, model: str) -> bytes:
    """Return a body that names this model.

    Most bodies begin with their model and cannot have a second, not even one that is spelt with
    escapes; then it is exchanged in place. Else all keys are read, but no value.
    """
    name = msgspec.json.encode(model)
    first = _MODEL_FIRST.match(body)
    if first is not None and body.count(_MODEL) == 1 and _ESCAPED_ASCII not in body:
        return body[: first.start(1)] + name + body[first.end(1) :]
    fields = _fields(body)
    fields["model"] = msgspec.Raw(name)
    return msgspec.json.encode(fields)


def bounded(body: bytes, max_tokens: int) -> bytes:
    """Return a body whose answer has at most so many tokens."""
    fields = _fields(body)
    name = "max_completion_tokens" if "max_completion_tokens" in fields else "max_tokens"
    fields[name] = msgspec.Raw(b"%d" % max_tokens)
    return msgspec.json.encode(fields)


_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _is_utf8(body: bytes) -> bool:
    """Whether the body is UTF-8 throughout, without a second copy of it: fields may be skipped."""
    if body.isascii():
        return True
    decode = codecs.getincrementaldecoder("utf-8")().decode
    try:
        for at in range(0, len(body), _PIECE):
            decode(body[at : at + _PIECE])
        decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def request_id(given: bytes | None) -> str:
    """Return the client's id when it is a sane one (at most 128 plain characters), else a new one.

    Sane means safe in a header, in a log line and in a shell.
    """
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given.decode("ascii")
    return f"req-{os.urandom(16).hex()}"
