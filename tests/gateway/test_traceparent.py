"""The header of W3C Trace Context, by the rules and examples of the recommendation."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.gateway.traces import new_traceparent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"  # the recommendation's own
GIVEN = f"00-{TRACE}-{SPAN}-01".encode()
SHAPE = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[0-3]")


def test_a_child_of_the_clients_span() -> None:
    header, trace = new_traceparent(GIVEN)
    assert (trace.trace_id, trace.parent_id, trace.sampled) == (TRACE, SPAN, True)
    assert header == f"00-{TRACE}-{trace.span_id}-01".encode()
    assert trace.span_id != SPAN


@pytest.mark.parametrize(
    ("flags", "sampled", "sent"),
    [("00", False, b"00"), ("01", True, b"01"), ("03", True, b"03"), ("ff", True, b"03")],
)
def test_what_the_client_did_not_sample_is_not_sampled(
    flags: str, sampled: bool, sent: bytes
) -> None:
    header, trace = new_traceparent(f"00-{TRACE}-{SPAN}-{flags}".encode())
    assert (trace.sampled, header[-2:]) == (sampled, sent)


def test_a_later_version_may_say_more() -> None:
    assert new_traceparent(f"cc-{TRACE}-{SPAN}-01-what".encode())[1].parent_id == SPAN


@pytest.mark.parametrize(
    "bad",
    [
        None, b"", b"x", GIVEN.upper(), GIVEN + b"-more", GIVEN[:-1], b" " + GIVEN, GIVEN + b"\n",
        f"ff-{TRACE}-{SPAN}-01".encode(), f"00-{'0' * 32}-{SPAN}-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(), f"cc-{TRACE}-{SPAN}-01what".encode(),
    ],
)  # fmt: skip
def test_without_a_good_header_a_trace_begins(bad: bytes | None) -> None:
    header, trace = new_traceparent(bad)
    assert trace.parent_id is None
    assert trace.trace_id != TRACE
    assert header == f"00-{trace.trace_id}-{trace.span_id}-01".encode()


@given(
    st.binary(max_size=80) | st.from_regex(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
)
def test_whatever_comes_what_goes_is_well_formed(given_: bytes) -> None:
    header, trace = new_traceparent(given_)
    assert SHAPE.fullmatch(header)
    assert header[3:35].decode() == trace.trace_id
    assert header[36:52].decode() == trace.span_id


def test_ids_differ() -> None:
    made = [new_traceparent(None)[1] for _ in range(1000)]
    assert len({one.trace_id for one in made} | {one.span_id for one in made}) == 2000
