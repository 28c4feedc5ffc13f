"""Tokens by asking whoever serves the model, and the choice among all who could count.

vLLM and SGLang count at `/tokenize`, chat template included; any endpoint of the API tells the
tokens of a prompt in the usage of an answer, which costs an answer of one token and is therefore
asked for the template alone.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec

from headrace.bench.asks import Message, Prompt
from headrace.bench.target import Target
from headrace.bench.tokens import (
    Counter,
    Estimate,
    FolderTokenizer,
    Tokenizer,
    TokenizerError,
)

PATIENCE = 20.0
"""Seconds for one answer, as a whole."""
MOST_ANSWER = 32 << 20
"""Bytes of one answer: the ids of some millions of tokens."""
_SAMPLE = "Water turns 3 wheels; it's the river's work, day & night."
"""Contractions, digits and signs: where tokenizers differ."""
_SHOWN = 200


class Endpoint:
    """An address to ask, such as http://127.0.0.1:8000 (with or without `/v1`), and a key for it.

    `model` None is the first that the endpoint lists.
    """

    def __init__(self, address: str, model: str | None = None, key: str | None = None) -> None:
        self.address = address.rstrip("/").removesuffix("/v1")
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self._http = httpx.Client(timeout=PATIENCE, headers=headers)
        weakref.finalize(self, self._http.close)
        self.model = self._known(model)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return what comes back; TokenizerError if that is nothing, an error, or no object."""
        return self._ask("POST", path, {"model": self.model, **body})

    def _known(self, model: str | None) -> str:
        """Return a name by which this endpoint knows the model: aliases are the gateway's."""
        found = _listed(self._ask("GET", "/v1/models").get("data"))
        names = [one.get("id") for one in found if isinstance(one, dict)]
        if model in names or (model is not None and not names):
            return str(model)
        if not names:
            raise TokenizerError(f"{self.address} lists no model")
        return str(names[0])

    def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        url = self.address + path
        try:
            with self._http.stream(method, url, json=body) as answer:
                data = _bounded(answer, url)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise TokenizerError(f"{url}: {str(error) or type(error).__name__}") from error
        if answer.status_code != httpx.codes.OK:
            raise TokenizerError(f"{url}: {answer.status_code} {answer.reason_phrase}")
        try:
            return msgspec.json.decode(data, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise TokenizerError(f"{url}: the answer is no JSON object") from error


def _bounded(answer: httpx.Response, url: str) -> bytes:
    data, end = bytearray(), time.monotonic() + PATIENCE
    for part in answer.iter_bytes():
        data += part
        if len(data) > MOST_ANSWER or time.monotonic() > end:
            raise TokenizerError(f"{url}: an answer without end")
    return bytes(data)


class EngineTokenizer:
    """The engine's own tokenizer, at its `/tokenize` and `/detokenize`."""

    exact = True

    def __init__(self, endpoint: Endpoint) -> None:
        self.label = f"the engine's own tokenizer ({endpoint.address}/tokenize)"
        self._endpoint = endpoint

    def count(self, prompt: Prompt) -> int:
        """Return a prompt's tokens."""
        return _whole(self._endpoint.post("/tokenize", _question(prompt)).get("count"))

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text alone."""
        body = {"prompt": text, "add_special_tokens": False}
        return [
            _whole(one) for one in _listed(self._endpoint.post("/tokenize", body).get("tokens"))
        ]


def count_by_usage(endpoint: Endpoint) -> Counter:
    """Return a function that lets the endpoint answer a prompt with one token, and reads usage."""

    def count(prompt: Prompt) -> int:
        path = "/v1/completions" if isinstance(prompt, str) else "/v1/chat/completions"
        asked = _question(prompt) | {"max_tokens": 1, "temperature": 0}
        asked.pop("add_generation_prompt", None)
        usage = endpoint.post(path, asked).get("usage")
        return _whole(usage.get("prompt_tokens") if isinstance(usage, dict) else None)

    return count


def discover(
    address: str,
    model: str,
    *,
    folder: Path | None = None,
    engine: str | None = None,
    key: str | None = None,
) -> Tokenizer:
    """Return the best tokenizer for what `address` serves as `model`; its label says which.

    `folder` is the model's where it was pulled, `engine` the address of one replica where `address`
    is a gateway's. The folder's counts are quick, but are taken only if whoever serves agrees with
    them on a sample. Never an error: at worst an estimate.
    """
    why: list[str] = []
    asked = _counter(address, model, engine, key, why)
    if folder is not None:
        try:
            return _agreed(folder, asked)
        except TokenizerError as error:
            why.append(str(error))
    if isinstance(asked, EngineTokenizer):
        return asked
    return Estimate("; ".join(why) or "nobody could be asked", asked)


def discover_for(target: Target, folder: Path | None = None) -> Tokenizer:
    """Return the best tokenizer for a target, as `discover` does; its pages name a replica."""
    engine = next((page.url for page in target.scrape if page.source.startswith("engine:")), None)
    return discover(
        target.address,
        target.model,
        folder=folder,
        engine=engine.rpartition("/")[0] if engine else None,
        key=target.key,
    )


def _agreed(folder: Path, asked: EngineTokenizer | Counter | None) -> FolderTokenizer:
    """Return the folder's tokenizer if it counts a sample as the engine does."""
    ask = asked.count if isinstance(asked, EngineTokenizer) else asked
    own = FolderTokenizer(folder, ask)
    if ask is None:
        return own
    for sample in (_SAMPLE, (Message("user", _SAMPLE),)):
        mine, theirs = _tried(own.count, sample), _tried(ask, sample)
        if None not in {mine, theirs} and mine != theirs:
            raise TokenizerError(f"{folder} counts {mine} tokens where the engine counts {theirs}")
    return own


def _tried(count: Counter, prompt: Prompt) -> int | None:
    """Return a count; None where whoever serves takes no such prompts, as a model without chats."""
    try:
        return count(prompt)
    except TokenizerError:
        return None


def _counter(
    address: str, model: str, engine: str | None, key: str | None, why: list[str]
) -> EngineTokenizer | Counter | None:
    """Return who counts: an engine at `/tokenize`, else any endpoint by usage; None if nobody."""
    for place, its_key in ((engine, None), (address, key)):
        try:
            if place is not None:
                found = EngineTokenizer(Endpoint(place, model, its_key))
                found.count(_SAMPLE)
                return found
        except TokenizerError as error:
            why.append(str(error))
    try:
        count = count_by_usage(Endpoint(address, model, key))
        count((Message("user", _SAMPLE),))
    except TokenizerError as error:
        why.append(str(error))
        return None
    return count


def _question(prompt: Prompt) -> dict[str, Any]:
    if isinstance(prompt, str):
        return {"prompt": prompt}
    messages = [{"role": one.role, "content": one.content} for one in prompt]
    return {"messages": messages, "add_generation_prompt": True}


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TokenizerError(f"the endpoint counts {ascii(value)[:_SHOWN]} tokens")
    return value
