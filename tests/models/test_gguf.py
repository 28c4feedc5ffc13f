"""GGUF to Hugging Face: the weights, the configuration, and everything that must be refused."""

from __future__ import annotations

import contextlib
import json
import struct
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_kit import HEAD_DIM, HIDDEN, LAYERS, VOCAB, llama_weights, write_gguf
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from headrace.models import gguf as gguf_module
from headrace.models.architecture import Attention
from headrace.models.config import check_folder
from headrace.models.errors import FormatError
from headrace.models.gguf import Gguf, to_bfloat16
from headrace.models.look_up import read_folder
from headrace.models.progress import silent


def _bits(folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Read a bfloat16 file: numpy knows no bfloat16, so the raw 16-bit patterns."""
    path = folder / "model.safetensors"
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    header.pop("__metadata__")
    data = raw[8 + length :]
    return {
        name: np.frombuffer(data[slice(*entry["data_offsets"])], "<u2").reshape(entry["shape"])
        for name, entry in header.items()
    }


@pytest.mark.parametrize("slab", [1, 1000, 1 << 22])
def test_every_weight_comes_back_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slab: int
) -> None:
    monkeypatch.setattr(gguf_module, "_SLAB", slab)
    weights = llama_weights()
    Gguf(write_gguf(tmp_path / "m.gguf", weights=weights)).convert(tmp_path / "out", silent)
    bits = _bits(tmp_path / "out")
    assert set(bits) == set(weights)
    for name, array in weights.items():
        np.testing.assert_array_equal(bits[name], to_bfloat16(array), err_msg=name)


def test_the_library_of_the_format_opens_the_result(tmp_path: Path) -> None:
    files = Gguf(write_gguf(tmp_path / "m.gguf")).convert(tmp_path / "out", silent)
    with safe_open(tmp_path / "out/model.safetensors", "np") as opened:
        assert opened.metadata() == {"format": "pt"}
        assert len(opened.keys()) == 2 + 9 * LAYERS
    for file in files:
        body = (tmp_path / "out" / file.path).read_bytes()
        assert (len(body), sha256(body).hexdigest()) == (file.size, file.sha256)
    assert [file.path for file in files] == sorted(
        path.name for path in (tmp_path / "out").iterdir()
    )


def test_the_same_file_becomes_the_same_bytes(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf")
    assert Gguf(path).convert(tmp_path / "a", silent) == Gguf(path).convert(tmp_path / "b", silent)


def test_the_configuration_says_what_the_metadata_say(tmp_path: Path) -> None:
    gguf = Gguf(write_gguf(tmp_path / "m.gguf"))
    gguf.convert(tmp_path / "out", silent)
    check_folder(tmp_path / "out")
    facts = read_folder(tmp_path / "out")
    made = facts.architecture
    assert made.attention == (Attention("full", 2, kv_heads=2, head_size=16, head_size_v=16),)
    assert (made.hidden, made.heads) == (64, 4)
    assert (made.vocab, made.context, made.dtype) == (VOCAB, 256, "bfloat16")
    # embeddings + final norm + 2 layers of (2 norms, q, k, v, o, gate, up, down)
    layer = 2 * 64 + 64 * 64 + 2 * 32 * 64 + 64 * 64 + 3 * 96 * 64
    assert made.parameters.total == VOCAB * 64 + 64 + 2 * layer
    assert facts.weights.total == gguf.converted_bytes == 2 * made.parameters.total
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert (config["rope_theta"], config["rms_norm_eps"]) == (100_000.0, 1e-5)
    assert (config["bos_token_id"], config["eos_token_id"], config["pad_token_id"]) == (1, 2, 2)
    assert config["tie_word_embeddings"] is True


def test_an_output_matrix_of_its_own_unties_the_embeddings(tmp_path: Path) -> None:
    weights = {**llama_weights(), "lm_head.weight": llama_weights(1)["model.embed_tokens.weight"]}
    Gguf(write_gguf(tmp_path / "m.gguf", weights=weights)).convert(tmp_path / "out", silent)
    assert json.loads((tmp_path / "out/config.json").read_text())["tie_word_embeddings"] is False
    bits = _bits(tmp_path / "out")["lm_head.weight"]
    np.testing.assert_array_equal(bits, to_bfloat16(weights["lm_head.weight"]))


def test_q8_0_blocks_are_scale_times_integer(tmp_path: Path) -> None:
    """Q8_0 is a float16 scale and 32 int8 values (ggml's block_q8_0); computed here by hand."""
    path = write_gguf(tmp_path / "m.gguf", quantized=frozenset({"blk.0.ffn_up.weight"}))
    gguf = Gguf(path)
    raw = gguf.tensors["blk.0.ffn_up.weight"].data[5].tobytes()
    blocks = [struct.unpack("<e32b", raw[at : at + 34]) for at in range(0, len(raw), 34)]
    expected = np.array([scale * value for scale, *values in blocks for value in values], "f4")
    gguf.convert(tmp_path / "out", silent)
    row = _bits(tmp_path / "out")["model.layers.0.mlp.up_proj.weight"][5]
    np.testing.assert_array_equal(row, to_bfloat16(expected))


@pytest.mark.parametrize(
    ("value", "bits"),
    [
        (1.0, 0x3F80),
        (-2.0, 0xC000),
        (0.0, 0x0000),
        (-0.0, 0x8000),
        (1 + 2**-8, 0x3F80),  # half-way: down to the even one
        (1 + 3 * 2**-8, 0x3F82),  # half-way: up to the even one
        (1 + 2**-8 + 2**-20, 0x3F81),
        (1 + 2**-8 - 2**-20, 0x3F80),
        (3.14159265, 0x4049),  # 3.140625
        (2.0**-140, 0x0000),  # subnormal, below half of the smallest bfloat16
        (2.0**-133, 0x0001),  # the smallest bfloat16
    ],
)
def test_rounding_to_bfloat16(value: float, bits: int) -> None:
    assert to_bfloat16(np.array([value], np.float32)).tolist() == [bits]


@given(st.floats(width=32, min_value=-(2.0**126), max_value=2.0**126))
def test_rounding_is_to_the_nearest(value: float) -> None:
    (bits,) = to_bfloat16(np.array([value], np.float32)).tolist()

    def number(pattern: int) -> float:
        return float(struct.unpack("<f", struct.pack("<I", (pattern & 0xFFFF) << 16))[0])

    error = abs(number(bits) - value)
    magnitude = bits & 0x7FFF
    assert error <= abs(number(bits + 1) - value)
    assert magnitude == 0 or error <= abs(number(bits - 1) - value)


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"llama.block_count": 3}, "lacks 9 tensors, such as blk.2.attn_k.weight"),
        ({"llama.block_count": 1}, "has not, such as blk.1"),
        ({"llama.block_count": 4_000_000_000}, "claims 4,000,000,000 layers and holds 20"),
        ({"llama.block_count": None}, "says nothing of llama.block_count"),
        ({"llama.block_count": 0}, "must be positive"),
        ({"llama.block_count": "2"}, "must be one whole number"),
        ({"llama.attention.head_count_kv": [2, 2]}, "must be one whole number"),
        ({"llama.embedding_length": 72}, "heads of 18, of which 16 are rotated"),
        ({"llama.feed_forward_length": 97}, r"is \(96, 64\), the metadata asks for \(97, 64\)"),
        ({"llama.attention.head_count_kv": 3}, "cannot share"),
        ({"llama.attention.head_count_kv": 4}, "attn_k.weight is"),
        ({"llama.rope.dimension_count": 8}, "cannot be converted"),
        ({"llama.vocab_size": VOCAB + 1}, "the metadata asks for"),
        ({"llama.rope.scaling.type": "yarn"}, "scaled positions"),
        ({"llama.expert_count": 8}, "experts"),
        ({"general.parameter_count": 7}, "claims 7 parameters"),
    ],
)
def test_metadata_and_tensors_must_agree(
    tmp_path: Path, metadata: dict[str, Any], says: str
) -> None:
    with pytest.raises(FormatError, match=says):
        Gguf(write_gguf(tmp_path / "m.gguf", metadata=metadata))


def test_a_missing_or_unknown_tensor_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"lacks 1 tensors, such as blk.1.attn_v.weight"):
        Gguf(write_gguf(tmp_path / "a.gguf", drop="blk.1.attn_v.weight"))
    factors = {"rope_freqs.weight": np.ones(HEAD_DIM // 2, np.float32)}
    with pytest.raises(FormatError, match=r"such as rope_freqs.weight"):
        Gguf(write_gguf(tmp_path / "b.gguf", extra=factors))


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf")
    path.write_bytes(path.read_bytes().replace(b"llama", b"mamba", 2))
    with pytest.raises(FormatError, match="architecture 'mamba'"):
        Gguf(path)


def test_values_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    weights = llama_weights()
    weights["model.norm.weight"][HIDDEN - 1] = np.inf
    gguf = Gguf(write_gguf(tmp_path / "m.gguf", weights=weights))
    with pytest.raises(FormatError, match=r"output_norm.weight holds values that are no numbers"):
        gguf.convert(tmp_path / "out", silent)


@pytest.mark.parametrize("keep", [0, 3, 20, 200, 5000, -1000])
def test_a_cut_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = write_gguf(tmp_path / "m.gguf")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FormatError, match="not a whole GGUF file"):
        Gguf(path)


@pytest.mark.parametrize("kind", [0, 8, 9])
def test_a_false_count_does_not_run_away(tmp_path: Path, kind: int) -> None:
    """One array of 2**60 bytes, texts or arrays; the library's own reader would go on for years."""
    array = struct.pack("<Q1sIIQ", 1, b"k", 9, kind, 1 << 60)
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + array + b"\0" * 99)
    with pytest.raises(FormatError, match="not a whole GGUF file"):
        Gguf(path)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3000), st.binary(min_size=1, max_size=8))
def test_a_damaged_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, at: int, bytes_: bytes
) -> None:
    folder = tmp_path_factory.mktemp("g")
    path = write_gguf(folder / "m.gguf")
    body = bytearray(path.read_bytes())
    body[at : at + len(bytes_)] = bytes_
    path.write_bytes(body)
    with contextlib.suppress(FormatError):
        Gguf(path).convert(folder / "out", silent)


def test_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"<html>" * 100)
    with pytest.raises(FormatError, match="not a whole GGUF file"):
        Gguf(path)
