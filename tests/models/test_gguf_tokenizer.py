"""The tokenizer out of a GGUF: small here; tests/real compares the real one with llama.cpp."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gguf_kit import MERGES, SPECIAL, TOKENS, VOCAB, write_gguf
from tokenizers import Tokenizer

from headrace.models.errors import FormatError
from headrace.models.gguf import Gguf
from headrace.models.progress import silent


def _convert(tmp_path: Path, **metadata: Any) -> Path:
    changed = {f"tokenizer.{key}": value for key, value in metadata.items()}
    folder = tmp_path / "out"
    Gguf(write_gguf(tmp_path / "m.gguf", metadata=changed)).convert(folder, silent)
    return folder


def _tokens(folder: Path, text: str) -> list[str]:
    tokens: list[str] = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).tokens
    return tokens


def test_text_is_split_as_smollm_does(tmp_path: Path) -> None:
    folder = _convert(tmp_path)
    assert _tokens(folder, "hello the") == ["hel", "l", "o", "Ġt", "he"]
    # "12" and "Ġ1" are in the vocabulary, but digits stand alone before merges are tried
    assert _tokens(folder, "12 1") == ["1", "2", "Ġ", "1"]
    # two spaces before a digit stay together, as in llama.cpp; GPT-2's pattern would part them
    assert _tokens(folder, "h  1") == ["h", "ĠĠ", "1"]
    assert _tokens(folder, "<|im_start|>h<|im_end|>") == ["<|im_start|>", "h", "<|im_end|>"]


@pytest.mark.parametrize("text", ["", "hello 12", "é 漢字 😀", "\r\n\t x", "<|im_end|>"])
def test_text_comes_back(tmp_path: Path, text: str) -> None:
    tokenizer = Tokenizer.from_file(str(_convert(tmp_path) / "tokenizer.json"))
    ids = tokenizer.encode(text).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_a_first_token_is_added_where_the_file_says_so(tmp_path: Path) -> None:
    folder = _convert(tmp_path, **{"ggml.add_bos_token": True})
    assert _tokens(folder, "h") == ["<|im_start|>", "h"]


def test_special_tokens_and_template_are_named(tmp_path: Path) -> None:
    config = json.loads((_convert(tmp_path) / "tokenizer_config.json").read_text())
    assert (config["bos_token"], config["eos_token"]) == ("<|im_start|>", "<|im_end|>")
    assert (config["unk_token"], config["pad_token"]) == ("<|endoftext|>", "<|im_end|>")
    assert config["chat_template"] == "{{ messages }}"
    assert config["model_max_length"] == 256


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"ggml.pre": "llama-bpe"}, "pre-tokenizer 'llama-bpe'.*guessing would give wrong"),
        ({"ggml.pre": None}, "pre-tokenizer 'default'"),
        ({"ggml.model": "llama"}, "tokenizer \\('llama'"),
        ({"ggml.add_space_prefix": True}, "space prefix"),
        ({"ggml.tokens": TOKENS[:-1]}, "tokens for a vocabulary"),
        ({"ggml.tokens": [*TOKENS[:-1], "a"]}, "lists a token twice"),
        ({"ggml.token_type": [1] * (VOCAB - 1)}, "token types"),
        ({"ggml.eos_token_id": VOCAB}, "eos token .* outside the vocabulary"),
        ({"ggml.merges": [*MERGES, "q 漢"]}, "inconsistent"),
        ({"ggml.merges": [*MERGES, "one"]}, "inconsistent"),
    ],
)
def test_what_is_unknown_or_inconsistent_is_refused(
    tmp_path: Path, metadata: dict[str, Any], says: str
) -> None:
    with pytest.raises(FormatError, match=says):
        _convert(tmp_path, **metadata)


def test_the_kit_has_three_special_tokens() -> None:
    assert TOKENS[:3] == SPECIAL
