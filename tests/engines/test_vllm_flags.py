"""Flags by version: what is refused, and what the refusal says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engines.vllm_flags import (
    HISTORY,
    OWNED,
    REFUSED,
    flag_arguments,
    flag_problems,
    has_flag,
    listed,
)
from headrace.fleet.types import Scalar


def problem(name: str, value: Scalar, version: str = "0.32.0") -> str:
    return next((message for _, message in flag_problems({name: value}, version)), "")


def test_gone_flag_names_version_and_replacement() -> None:
    message = problem("swap-space", 4)
    assert "vLLM 0.32.0 has no --swap-space" in message
    assert "gone since 0.18" in message
    assert "kv-offloading-size" in message


@pytest.mark.parametrize(
    ("name", "last", "first_without"),
    [
        ("swap-space", "0.17.1", "0.18.1"),
        ("num-scheduler-steps", "0.10.0", "0.10.2"),
        ("disable-log-requests", "0.16.0", "0.17.1"),
        ("task", "0.12.0", "0.13.0"),
        ("max-num-partial-prefills", "0.26.0", "0.28.0"),
    ],
)
def test_flags_are_gone_where_the_published_wheels_say(
    name: str, last: str, first_without: str
) -> None:
    assert has_flag(name, last)
    assert not has_flag(name, first_without)


@pytest.mark.parametrize(
    ("name", "before", "first"),
    [
        ("shutdown-timeout", "0.17.1", "0.18.1"),
        ("max-num-queued-reqs", "0.28.0", "0.30.0"),
        ("enable-log-requests", "0.9.2", "0.10.2"),
        ("max-num-active-seqs", "0.30.0", "0.31.0"),
    ],
)
def test_flags_begin_where_the_published_wheels_say(name: str, before: str, first: str) -> None:
    assert not has_flag(name, before)
    assert has_flag(name, first)


def test_future_flag_says_what_to_use_until_then() -> None:
    message = problem("speculative-config", "{}", "0.7.3")
    assert "it came with 0.8" in message
    assert "speculative-model" in message


def test_misspelt_flag_gets_the_nearest_name() -> None:
    assert "did you mean 'enable-prefix-caching'?" in problem("enable-prefix-cachin", True)


def test_flag_of_a_field_names_the_field() -> None:
    assert "max_num_seqs" in problem("max-num-seqs", 4)
    assert "max_num_seqs" in problem("max_num_seqs", 4)
    assert "lifecycle.drain" in problem("shutdown-timeout", 4)


def test_secrets_and_other_doors_are_refused() -> None:
    for name in ("api-key", "hf-token", "uds", "config"):
        message = problem(name, "topsecret")
        assert message.startswith("not here")
        assert "topsecret" not in message


def test_negative_spelling_is_put_right() -> None:
    assert "enable-prefix-caching: false" in problem("no-enable-prefix-caching", True)
    assert "without the leading dashes: seed" in problem("--seed", 1)


def test_values_have_the_right_kind() -> None:
    assert "takes a value" in problem("seed", True)
    assert "either true or false" in problem("enable-prefix-caching", "yes")
    assert not problem("seed", 1)
    assert not problem("enable-prefix-caching", False)
    assert not problem("disable-log-stats", True)


def test_dotted_names_are_checked_by_their_head() -> None:
    assert not problem("compilation-config.mode", 3)
    assert "did you mean 'compilation-config'?" in problem("compilation-confg.mode", 3)


def test_other_versions_are_checked_by_history_alone() -> None:
    assert not problem("flag-of-tomorrow", 1, "0.40.0")
    assert "gone since" in problem("swap-space", 4, "0.40.0")


def test_our_tables_and_the_list_of_0_32_agree() -> None:
    """The list came from vLLM's own parser, the history from published wheels."""
    known = listed()
    assert len(known) > 300
    for name in HISTORY:
        assert has_flag(name, "0.32.0") == (name in known), name
    assert OWNED.keys() <= known.keys()
    assert REFUSED.keys() <= known.keys()


def test_arguments() -> None:
    assert flag_arguments("enforce_eager", True) == ["--enforce-eager"]
    assert flag_arguments("enforce-eager", False) == ["--no-enforce-eager"]
    assert flag_arguments("disable-log-stats", False) == []
    assert flag_arguments("seed", 7) == ["--seed", "7"]
    assert flag_arguments("max-model-len", -1) == ["--max-model-len=-1"]


@given(
    st.text(min_size=1, max_size=40),
    st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=9)),
    st.sampled_from(["0.8.5", "0.18.1", "0.32.0", "0.99.0"]),
)
def test_any_flag_gets_at_most_one_sentence(name: str, value: Scalar, version: str) -> None:
    found = list(flag_problems({name: value}, version))
    assert len(found) <= 1
    assert all(written == name and message for written, message in found)
