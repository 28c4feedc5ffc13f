"""Names from outside, and the choice among them."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.models.errors import RefusedError, SourceError
from headrace.models.names import choose_files, safe_name


@pytest.mark.parametrize("name", ["a", "a.json", "1_Pooling/config.json", "...", "a b", "é.json"])
def test_plain_names_stay(name: str) -> None:
    assert safe_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "/a", "a/", "a//b", "a/../b", "../a", "a/..", "./a", "a\\b", "..\\a", "a\0", "a\nb",
     "x" * 300],
)  # fmt: skip
def test_names_that_climb_or_hide_are_refused(name: str) -> None:
    with pytest.raises(RefusedError):
        safe_name(name)


@given(st.text(alphabet=st.sampled_from("ab./\\\0:~"), max_size=12))
def test_a_safe_name_is_inside_its_folder(name: str) -> None:
    try:
        safe_name(name)
    except RefusedError:
        return
    path = PurePosixPath("/folder") / name
    assert ".." not in path.parts
    assert path.is_relative_to("/folder")
    assert path != PurePosixPath("/folder")


def _choose(*names: str, member: str | None = None, allow_pickle: bool = False) -> list[str]:
    return choose_files(names, member=member, allow_pickle=allow_pickle)


def test_safetensors_win_over_everything_else() -> None:
    chosen = _choose(
        "README.md", "config.json", "tokenizer.json", "tokenizer.model", "chat_template.jinja",
        "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
        "model.safetensors.index.json", "pytorch_model.bin", "consolidated.safetensors",
        "original/params.json", "original/consolidated.00.pth", "onnx/model.onnx", "onnx/config.json",
        ".gitattributes", "x.gguf", "modeling.py", "1_Pooling/config.json", "a/b/c/d.json",
    )  # fmt: skip
    assert chosen == [
        "1_Pooling/config.json", "chat_template.jinja", "config.json",
        "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
        "model.safetensors.index.json", "tokenizer.json", "tokenizer.model",
    ]  # fmt: skip


def test_consolidated_is_taken_where_it_is_all_there_is() -> None:
    assert "consolidated.safetensors" in _choose("params.json", "consolidated.safetensors")


def test_one_gguf_is_taken_and_several_need_a_choice() -> None:
    assert _choose("README.md", "x.gguf") == ["x.gguf"]
    with pytest.raises(SourceError, match=r"after a #: a\.gguf, b\.gguf"):
        _choose("a.gguf", "b.gguf")
    assert _choose("a.gguf", "b.gguf", member="b.gguf") == ["b.gguf"]
    with pytest.raises(SourceError, match=r"there is no c\.gguf; there is: a\.gguf"):
        _choose("a.gguf", member="c.gguf")


def test_pickles_only_when_allowed() -> None:
    names = ("config.json", "pytorch_model.bin", "training_args.bin", "optimizer.pt")
    with pytest.raises(RefusedError, match="allow_pickle"):
        _choose(*names)
    assert _choose(*names, allow_pickle=True) == ["config.json", "pytorch_model.bin"]


def test_no_weights_at_all_is_said() -> None:
    with pytest.raises(SourceError, match="no weights"):
        _choose("config.json")
