"""Prompts from a file: JSON lines with `prompt` or `messages`, or plain text with one a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from headrace.bench.asks import Ask, Message, Prompt
from headrace.bench.room import Room
from headrace.bench.shape_lengths import output_lengths
from headrace.bench.tokens import Tokenizer, TokenizerError
from headrace.bench.workload_order import WorkloadOrder
from headrace.traffic.errors import TrafficError
from headrace.traffic.importers import read_bytes

MOST_BYTES = 256 << 20
"""Of a file."""
_Tokens = Annotated[int, msgspec.Meta(ge=1, le=10**6)]


class Line(msgspec.Struct, frozen=True):
    """One prompt; other keys are ignored. Answers' tokens as several tools call them."""

    prompt: str | None = None
    messages: tuple[Message, ...] = ()
    max_tokens: _Tokens | None = None
    output_tokens: _Tokens | None = None
    output_length: _Tokens | None = None
    place: int = msgspec.field(default=0, name="line in the file")
    """Of the file, from 1; no key of a line says it."""

    @property
    def output(self) -> int | None:
        """Tokens of the answer, where the line says."""
        return self.max_tokens or self.output_tokens or self.output_length


def read_prompts(file: Path) -> list[Line]:
    """Return the prompts of a file; TrafficError says which line is wrong."""
    text = _read(file)
    lines = [(n, one) for n, one in enumerate(text.split("\n"), start=1) if one.strip()]
    if not lines:
        raise TrafficError(f"{file}: there is no prompt in it")
    if not lines[0][1].lstrip().startswith("{"):
        return [Line(prompt=one.strip(), place=number) for number, one in lines]
    return [
        msgspec.structs.replace(_line(one, f"{file}:{number}"), place=number)
        for number, one in lines
    ]


def file_asks(
    order: WorkloadOrder,
    lines: Sequence[Line],
    tokenizer: Tokenizer,
    due: Sequence[float | None],
    room: Room,
) -> Iterator[Ask]:
    """Yield a request for each time, of the file's lines in their order, over and over."""
    outputs = output_lengths(order.output, len(due), order.seed)
    counted: dict[int, tuple[Prompt, int]] = {}
    for number, at in enumerate(due):
        place = number % len(lines)
        if place not in counted:
            prompt = _prompt(lines[place], chat=order.chat)
            counted[place] = prompt, _count(tokenizer, prompt, f"{order.file}:{lines[place].place}")
        prompt, tokens = counted[place]
        total, output = room.fit(tokens, lines[place].output or outputs[number], 1, fixed=True)
        if total:
            yield Ask(
                number=number,
                prompt=prompt,
                prompt_tokens=tokens,
                max_tokens=output,
                at=at,
                shape="file",
            )


def _count(tokenizer: Tokenizer, prompt: Prompt, place: str) -> int:
    try:
        return tokenizer.count(prompt)
    except TokenizerError as error:
        raise TrafficError(f"{place}: its tokens cannot be counted: {error}") from error


def _prompt(line: Line, *, chat: bool) -> Prompt:
    if line.messages and not chat:
        raise TrafficError("the file has messages, which only chats take; leave out --completions")
    if line.messages:
        return line.messages
    text = line.prompt or ""
    return (Message("user", text),) if chat else text


def _line(text: str, place: str) -> Line:
    try:
        line = msgspec.json.decode(text, type=Line)
    except (msgspec.DecodeError, RecursionError) as error:
        raise TrafficError(f"{place}: no prompt: {error}") from error
    if not line.prompt and not line.messages:
        raise TrafficError(f"{place}: neither `prompt` nor `messages` is there")
    return line


def _read(file: Path) -> str:
    try:
        return read_bytes(file, MOST_BYTES, "take a part of it").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TrafficError(f"{file}: no UTF-8 text ({error.reason})") from error
