"""What vLLM's log says: which start-up phase begins, how large the KV cache came out, why it died.

Written against recorded logs of 0.32.0 (`tests/engines/data`); older versions use the same
sentences where noted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_PHASES = (
    ("non-default args:", "import"),
    ("Starting to load model", "load"),
    ("Loading weights took", "kv cache"),
    ("KV cache size:", "warm-up"),
    ("Starting vLLM server on", "serve"),
    ("Starting vLLM API server", "serve"),  # up to about 0.20
)
_KV_TOKENS = re.compile(r"KV cache size: ([\d,]+) tokens")
_PREFIX = re.compile(r"^(\([^)]*pid=\d+\)\s+)?([A-Z]+ \d\d-\d\d \d\d:\d\d:\d\d \[[^\]]+\] ?)?")
_EXCEPTION = re.compile(r"^((?:\w+\.)*)(\w*(?:Error|Exception))(?:: (.*))?$")
_REFUSAL = re.compile(r"^\S+: (?:error: (.+)|(Error while finding module.+))$")
_WRAPPERS = re.compile(
    r"Engine core initialization failed|^EngineCore encountered an issue|^Worker failed with error|"
    r"WorkerProc initialization failed|See stack trace \(above\)|^cancelled$"
)
_DETAIL = re.compile(r"\s*\[type=\w+, input_value=.*$", re.DOTALL)
_PLAIN = {"ValueError", "RuntimeError", "Exception"}
_LONGEST = 500


def phase(line: str) -> str | None:
    """Return the start-up phase that this line begins: import, load, kv cache, warm-up or serve."""
    return next((name for mark, name in _PHASES if mark in line), None)


def kv_cache_tokens(line: str) -> int | None:
    """Return the tokens of the KV cache if this line tells them."""
    found = _KV_TOKENS.search(line)
    return int(found[1].replace(",", "")) if found else None


def last_words(lines: Sequence[str]) -> str:
    """Return the last reason that is not merely another process's report of it; else ''."""
    plain = [_PREFIX.sub("", line.rstrip("\n"), count=1) for line in lines]
    return next(_reasons(plain), "")


def _reasons(plain: Sequence[str]) -> Iterator[str]:
    for index in range(len(plain) - 1, -1, -1):
        refusal = _REFUSAL.match(plain[index])
        exception = _EXCEPTION.match(plain[index])
        if refusal:
            yield refusal[1] or refusal[2]
        elif exception and not _WRAPPERS.search(exception[3] or ""):
            yield _sentence(exception[2], exception[3] or "", plain[index + 1 :])


def _sentence(kind: str, text: str, following: Sequence[str]) -> str:
    if kind == "ValidationError":  # pydantic says what is wrong on the next lines, indented
        text = _validation(following)
    text = _DETAIL.sub("", text).strip()
    text = text if kind in _PLAIN | {"ValidationError"} and text else f"{kind}: {text}".rstrip(": ")
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _validation(following: Sequence[str]) -> str:
    body: list[str] = []
    for line in following:
        if line.lstrip().startswith("For further information"):
            break
        body.append(line.strip().removeprefix("Value error, "))
    return "\n".join(part for part in body if part)
