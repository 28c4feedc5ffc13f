"""The file of keys: what is written, what is read, and what is refused with its line."""

from __future__ import annotations

import contextlib
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.fleet.problems import FleetError
from headrace.gateway.control import Key
from headrace.gateway.keys import add_key, digest_of, read_keys, remove_key
from headrace.routing.route import Limits

# `printf %s abc | sha256sum`, as in FIPS 180-2's first example
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "keys.yaml"
    path.write_text(text)
    path.chmod(0o600)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(FleetError) as caught:
        read_keys(path)
    return str(caught.value)


def test_the_digest_is_sha_256() -> None:
    assert digest_of("abc") == ABC


def test_made_keys_are_read_back_and_kept_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    first, second = add_key(path, "one"), add_key(path, "two", streams=3)
    assert read_keys(path) == (
        Key(name="one", digest=digest_of(first)),
        Key(name="two", digest=digest_of(second), streams=3),
    )
    assert first != second
    assert all(len(key) >= len("hr-") + 192 // 6 for key in (first, second))  # base64: 6 bits each
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert first not in path.read_text()
    assert list(tmp_path.iterdir()) == [path]


def test_limits_and_tenant_are_read_back_as_they_were_made(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    limits = Limits(
        requests_per_minute=60, tokens_per_minute=9000, concurrency=4, max_prompt=8000,
        max_output=500, enforce=False,
    )  # fmt: skip
    some = Limits(tokens_per_minute=1)
    made = [add_key(path, "one", 2, "acme", limits), add_key(path, "two", limits=some)]
    assert read_keys(path) == (
        Key(name="one", digest=digest_of(made[0]), streams=2, tenant="acme", limits=limits),
        Key(name="two", digest=digest_of(made[1]), limits=some),
    )


def test_limits_as_people_write_them(tmp_path: Path) -> None:
    text = f"""\
- name: one
  sha256: {ABC}
  tenant: acme
  limits: {{requests_per_minute: 60, mode: count}}
- {{name: two, sha256: {ABC[::-1]}, limits: {{}}}}
"""
    assert read_keys(file(tmp_path, text)) == (
        Key(
            name="one",
            digest=ABC,
            tenant="acme",
            limits=Limits(requests_per_minute=60, enforce=False),
        ),
        Key(name="two", digest=ABC[::-1]),
    )


def test_comments_and_order_survive(tmp_path: Path) -> None:
    path = file(tmp_path, f"# ours\n- name: one  # the first\n  sha256: {ABC}\n")
    add_key(path, "two")
    remove_key(path, "two")
    assert path.read_text() == f"# ours\n- name: one  # the first\n  sha256: {ABC}\n"
    remove_key(path, "one")
    assert read_keys(path) == ()


def test_json_will_do(tmp_path: Path) -> None:
    path = file(tmp_path, json.dumps([{"name": "one", "sha256": ABC, "streams": 1}]))
    assert read_keys(path) == (Key(name="one", digest=ABC, streams=1),)


def test_an_empty_file_lets_nobody_in(tmp_path: Path) -> None:
    assert read_keys(file(tmp_path, "# none yet\n")) == ()


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (f"- name: one\n  sha256: {ABC}\n- name: two\n  sha256: {ABC[:-1]}\n", 3, "64 lower-case"),
        (f"- name: one\n  sha256: {ABC.upper()}\n", 1, "64 lower-case"),
        (f"- name: one\n  sha256: {ABC}\n  stream: 3\n", 1, "unknown stream"),
        (f"- name: one\n  sha256: {ABC}\n  streams: 0\n", 1, "at least 1"),
        (f"- name: one\n  sha256: {ABC}\n  streams: true\n", 1, "whole number"),
        (f"- name: a b\n  sha256: {ABC}\n", 1, "letters, digits"),
        (f"- sha256: {ABC}\n", 1, "missing"),
        (f"- name: a\n  sha256: {ABC}\n- name: b\n  sha256: {ABC}\n", 4, "same sha256"),
        (f"- name: a\n  sha256: {ABC}\n- name: a\n  sha256: {ABC[::-1]}\n", 3, "same name"),
        (f"- name: a\n  sha256: {ABC}\n  tenant: a b\n", 1, "tenant ('a b') must be letters"),
        (f"- name: a\n  sha256: {ABC}\n  tenant: 7\n", 1, "tenant (missing or not text)"),
        (f"- name: a\n  sha256: {ABC}\n  limits: 7\n", 1, "limits must be a mapping"),
        (
            f"- name: a\n  sha256: {ABC}\n  limits: {{rpm: 7}}\n",
            1,
            "limits: unknown rpm; known: requests_per_minute",
        ),
        (
            f"- name: a\n  sha256: {ABC}\n  limits: {{concurrency: 0}}\n",
            1,
            "limits.concurrency must be at least 1",
        ),
        (
            f"- name: a\n  sha256: {ABC}\n  limits: {{max_prompt: 1.5}}\n",
            1,
            "limits.max_prompt must be a whole number",
        ),
        (
            f"- name: a\n  sha256: {ABC}\n  limits: {{max_output: {10**13}}}\n",
            1,
            "at most 1000000000000",
        ),
        (
            f"- name: a\n  sha256: {ABC}\n  limits: {{mode: shadow}}\n",
            1,
            "limits.mode must be enforce or count",
        ),
        (
            f"- name: a\n  sha256: {ABC}\n  limits: {{mode: [count]}}\n",
            1,
            "limits.mode must be enforce or count",
        ),
        ("name: one\n", 1, "must be a list"),
        ("- one\n", 1, "must have name"),
        ("- [", 1, "not valid YAML"),
        ("[]\n" * 3, 2, "not valid YAML"),
    ],
)
def test_mistakes_are_named_with_their_line(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    path = file(tmp_path, text)
    message = refusal(path)
    assert message.startswith(f"{path}:{line}: ")
    assert words in message


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = file(tmp_path, "[]")
    path.chmod(mode)
    assert "can be written by others" in refusal(path)


def test_a_missing_and_a_huge_file_are_refused(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path / "none")
    assert "larger than 1 MiB" in refusal(file(tmp_path, "#" * (2**20 + 1)))


def test_a_name_is_given_once(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    add_key(path, "one")
    for name, words in (("one", "already"), ("../x", "letters, digits"), ("", "letters, digits")):
        with pytest.raises(FleetError, match=words):
            add_key(path, name)
    with pytest.raises(FleetError, match="tenant"):
        add_key(path, "two", tenant="a b")
    with pytest.raises(FleetError, match="no key named 'two'"):
        remove_key(path, "two")


def test_two_writers_exclude_each_other(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    add_key(path, "one")
    before = path.read_text()
    path.with_name("keys.yaml.new").touch()
    with pytest.raises(FleetError, match="another `headrace keys`"):
        add_key(path, "two")
    assert path.read_text() == before


@given(text=st.text(max_size=200) | st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_file_is_read_or_refused(tmp_path: Path, text: str | bytes) -> None:
    path = tmp_path / "keys.yaml"
    path.write_bytes(text.encode("utf-8", "replace") if isinstance(text, str) else text)
    path.chmod(0o600)
    with contextlib.suppress(FleetError):
        assert isinstance(read_keys(path), tuple)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
FIELDS = st.sampled_from(["name", "sha256", "streams", "tenant", "limits", "else"])
LIMITS = st.dictionaries(
    st.sampled_from(["requests_per_minute", "concurrency", "mode", "else"]),
    SCALARS | st.sampled_from(["enforce", "count"]) | st.lists(SCALARS, max_size=2),
)
ENTRIES = st.dictionaries(FIELDS, SCALARS | LIMITS | st.sampled_from([ABC, "one"]))


@given(entries=st.lists(ENTRIES | SCALARS, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_list_is_read_as_it_stands_or_refused(tmp_path: Path, entries: list[Any]) -> None:
    path = file(tmp_path, json.dumps(entries))
    try:
        keys = read_keys(path)
    except FleetError as error:
        message = str(error)
    else:
        they_are_as_they_stand(keys, entries)
        return
    assert entries
    assert message.startswith(f"{path}:")


def they_are_as_they_stand(keys: tuple[Key, ...], entries: list[Any]) -> None:
    assert [key.name for key in keys] == [entry["name"] for entry in entries]
    for key, entry in zip(keys, entries, strict=True):
        limits = entry.get("limits") or {}
        assert (key.limits.requests_per_minute if key.limits else None) == limits.get(
            "requests_per_minute"
        )
        assert (key.limits is None or key.limits.enforce) == (limits.get("mode") != "count")
