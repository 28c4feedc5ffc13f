"""The tokenizer that a GGUF file describes, as Hugging Face files.

GGUF holds vocabulary, merges and special ids, but names the splitting of text only by a word
(`tokenizer.ggml.pre`). We know what `smollm` stands for: each digit by itself, then GPT-2's
byte-level splitting (llama.cpp, LLAMA_VOCAB_PRE_TYPE_SMOLLM; SmolLM2's own tokenizer.json says the
same). Another word is an error, because a wrong split costs answers without ever failing.
"""

from __future__ import annotations

import json
from typing import Any

from tokenizers import Tokenizer

from headrace.models.errors import FormatError
from headrace.models.gguf_metadata import Metadata

_CONTROL, _USER_DEFINED = 3, 4  # tokenizer.ggml.token_type
_SPECIAL = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
_BYTE_LEVEL = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
    "use_regex": True,
}
_SMOLLM = {
    "type": "Sequence",
    "pretokenizers": [{"type": "Digits", "individual_digits": True}, _BYTE_LEVEL],
}


def tokenizer_files(metadata: Metadata, vocab_size: int, context: int) -> dict[str, dict[str, Any]]:
    """Build tokenizer.json and tokenizer_config.json.

    Raises FormatError if the tokenizer's kind is unknown or if it does not fit the model.
    """
    _check_kind(metadata)
    tokens = metadata.texts("tokenizer.ggml.tokens")
    _check_tokens(metadata, tokens, vocab_size)
    tokenizer = _tokenizer(metadata, tokens)
    _check_loads(metadata, tokenizer, tokens)
    return {
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": _tokenizer_config(metadata, tokens, context),
    }


def _check_kind(metadata: Metadata) -> None:
    model = metadata.text("tokenizer.ggml.model")
    pre = metadata.text("tokenizer.ggml.pre", "default")
    if (model, pre) != ("gpt2", "smollm"):
        raise FormatError(
            f"{metadata.name}: how its tokenizer ({model!r}, pre-tokenizer {pre!r}) splits text is "
            "not known here, and guessing would give wrong answers; take the model's safetensors"
        )
    if metadata.boolean("tokenizer.ggml.add_space_prefix", default=False):
        raise FormatError(f"{metadata.name}: a byte-level tokenizer with a space prefix is unknown")


def _check_tokens(metadata: Metadata, tokens: list[str], vocab_size: int) -> None:
    if len(tokens) != vocab_size:
        raise FormatError(
            f"{metadata.name} has {len(tokens):,} tokens for a vocabulary of {vocab_size:,}"
        )
    if len(set(tokens)) != len(tokens):
        raise FormatError(f"{metadata.name} lists a token twice")
    for name in _SPECIAL.values():
        token = metadata.token_id(name)
        if token is not None and not 0 <= token < vocab_size:
            raise FormatError(
                f"{metadata.name}: the {name} token {token} is outside the vocabulary"
            )


def _tokenizer(metadata: Metadata, tokens: list[str]) -> dict[str, Any]:
    merges = [merge.split(" ") for merge in metadata.texts("tokenizer.ggml.merges")]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _added_tokens(metadata, tokens),
        "normalizer": None,
        "pre_tokenizer": _SMOLLM,
        "post_processor": _begin(metadata, tokens),
        "decoder": {**_BYTE_LEVEL, "add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": merges,
        },
    }


def _added_tokens(metadata: Metadata, tokens: list[str]) -> list[dict[str, Any]]:
    """List the tokens that are matched whole in a text; control tokens are left out of output."""
    kinds = metadata.integers("tokenizer.ggml.token_type")
    if len(kinds) != len(tokens):
        raise FormatError(f"{metadata.name}: {len(kinds):,} token types for {len(tokens):,} tokens")
    return [
        {
            "id": index,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": kind == _CONTROL,
        }
        for index, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
        if kind in (_CONTROL, _USER_DEFINED)
    ]


def _begin(metadata: Metadata, tokens: list[str]) -> dict[str, Any] | None:
    """Put the first token before every text, where the file asks for it."""
    if not metadata.boolean("tokenizer.ggml.add_bos_token", default=False):
        return None
    first = metadata.integer("tokenizer.ggml.bos_token_id")
    special = {"SpecialToken": {"id": tokens[first], "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    second = {"Sequence": {"id": "B", "type_id": 1}}
    known = {"id": tokens[first], "ids": [first], "tokens": [tokens[first]]}
    return {
        "type": "TemplateProcessing",
        "single": [special, text],
        "pair": [special, text, second],
        "special_tokens": {tokens[first]: known},
    }


def _tokenizer_config(metadata: Metadata, tokens: list[str], context: int) -> dict[str, Any]:
    config: dict[str, Any] = {
        # This class takes tokenizer.json as it is; GPT2Tokenizer would put its own splitting there.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": context,
    }
    for key, name in _SPECIAL.items():
        token = metadata.token_id(name)
        if token is not None:
            config[key] = tokens[token]
    if template := metadata.text("tokenizer.chat_template", ""):
        config["chat_template"] = template
    return config


def _check_loads(metadata: Metadata, tokenizer: dict[str, Any], tokens: list[str]) -> None:
    try:
        loaded = Tokenizer.from_str(json.dumps(tokenizer))
    except Exception as error:  # tokenizers raises bare Exception for whatever is wrong
        raise FormatError(f"{metadata.name}: its tokenizer is inconsistent: {error}") from error
    if loaded.get_vocab_size(with_added_tokens=True) != len(tokens):
        raise FormatError(f"{metadata.name}: its special tokens are not in its vocabulary")
