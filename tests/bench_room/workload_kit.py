"""Small tokenizers of the kinds that engines use, made here, and a chat template that counts."""

import functools
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from headrace.bench import lexicon
from headrace.bench.asks import Ask, Message, Prompt
from headrace.bench.tokens import FolderTokenizer

KINDS = ("bytes", "metaspace")
SYSTEM = "the good friend"


@functools.cache
def trained(kind: str) -> tokenizers.Tokenizer:
    """Return a BPE tokenizer: GPT-2's kind, or SentencePiece's with a token before every text."""
    words = " ".join(value for name, value in vars(lexicon).items() if name in _LISTS)
    made = tokenizers.Tokenizer(models.BPE())
    special = ["<|im_start|>", "<|im_end|>", "<s>"]
    if kind == "bytes":
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        made.decoder = decoders.Metaspace(prepend_scheme="first")
        alphabet = []
    trainer = trainers.BpeTrainer(
        vocab_size=8000, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    # Each word with and without the space before it, often enough to be whole in the end.
    roles = ["user", "system", "assistant"]
    made.train_from_iterator([f"{words} the a"] * 5 + [*words.split(), "the", *roles] * 5, trainer)
    if kind == "metaspace":
        made.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", made.token_to_id("<s>"))]
        )
    return made


_LISTS = ("_ADJECTIVES", "_NOUNS", "_VERBS", "_BETWEEN", "_JOINS")


def rendered(messages: tuple[Message, ...]) -> str:
    """Write a chat as SmolLM2's template does: a system message is put in where there is none."""
    if messages[0].role != "system":
        messages = (Message("system", SYSTEM), *messages)
    said = "".join(f"<|im_start|>{one.role}\n{one.content}<|im_end|>\n" for one in messages)
    return f"{said}<|im_start|>assistant\n"


def engine_count(kind: str, prompt: Prompt) -> int:
    """Count as an engine does: the whole rendered text at once."""
    if isinstance(prompt, str):
        return len(trained(kind).encode(prompt).ids)
    return len(trained(kind).encode(rendered(prompt), add_special_tokens=False).ids)


def folder(path: Path, kind: str = "bytes") -> FolderTokenizer:
    """Return a folder's tokenizer whose engine can be asked."""
    trained(kind).save(str(path / "tokenizer.json"))
    return FolderTokenizer(path, functools.partial(engine_count, kind))


def ids(kind: str, text: str) -> list[int]:
    """Return a text's tokens."""
    return list(trained(kind).encode(text, add_special_tokens=False).ids)


def hits(prompts: list[list[int]], block: int) -> tuple[int, int]:
    """Return blocks that a cache without limits has when they come, and all; parts count too."""
    seen: set[tuple[int, ...]] = set()
    found = total = 0
    for prompt in prompts:
        for end in range(block, len(prompt) + block, block):
            beginning = tuple(prompt[:end])
            total += 1
            found += beginning in seen
            seen.add(beginning)
    return found, total


def as_json(asks: list[Ask]) -> list[Any]:
    """Return asks as plain values, to compare whole loads."""
    found: list[Any] = msgspec.json.decode(msgspec.json.encode(asks))
    return found


def count_of(asks: list[Ask]) -> Counter[str]:
    """Return how many requests each shape has."""
    return Counter(ask.shape for ask in asks)
