"""HTTP manners: what is retried, what is said, and who sees the token."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from weights_kit import EAGER, Page, Site, serve

from headrace.models.errors import (
    AccessError,
    FormatError,
    MissingError,
    RefusedError,
    SourceError,
    TransferError,
)
from headrace.models.progress import Progress, silent
from headrace.models.web import Again, Retry, Web, open_client


def test_a_passing_failure_is_retried_and_told(site: Site, web: Web) -> None:
    site.pages["/x"] = Page(b"[1]", answers=[503, 429])
    heard: list[Progress] = []
    assert web.json(f"{site.url}/x", heard.append) == [1]
    assert [event.step for event in heard] == ["retry", "retry"]
    assert "answered 503" in heard[0].note


def test_retries_are_bounded(site: Site, web: Web) -> None:
    site.pages["/x"] = Page(answers=[500] * 99)
    with pytest.raises(TransferError, match="answered 500; gave up after 3 attempts"):
        web.json(f"{site.url}/x", silent)
    assert len(site.requests) == 3


@pytest.mark.parametrize(
    ("code", "error", "says"),
    [
        (401, AccessError, r"access refused \(401\); the hint"),
        (403, AccessError, r"access refused \(403\); the hint"),
        (404, MissingError, "not found"),
        (410, MissingError, "not found"),
        (418, SourceError, "unexpected answer 418"),
    ],
)
def test_a_lasting_failure_is_said_at_once(
    site: Site, code: int, error: type[Exception], says: str
) -> None:
    site.pages["/x"] = Page(answers=[code])
    with open_client() as client, pytest.raises(error, match=says):
        Web(client, retry=EAGER, hint="the hint").json(f"{site.url}/x", silent)
    assert len(site.requests) == 1


def test_the_token_follows_a_redirect_at_home_and_never_abroad(site: Site) -> None:
    with serve() as abroad, open_client() as client:
        abroad.pages["/there"] = Page(b"2")
        site.pages["/home"] = Page(b"1")
        site.pages["/a"] = Page(location="/home")
        site.pages["/b"] = Page(location=f"{abroad.url}/there")
        web = Web(client, {"Authorization": "Bearer s3cret"}, EAGER)
        assert web.json(f"{site.url}/a", silent) == 1
        assert web.json(f"{site.url}/b", silent) == 2
    assert site.asked("/home")[0]["Authorization"] == "Bearer s3cret"
    assert site.asked("/b")[0]["Authorization"] == "Bearer s3cret"
    assert "Authorization" not in abroad.asked("/there")[0]


def test_a_circle_of_redirects_ends(site: Site, web: Web) -> None:
    site.pages["/x"] = Page(location="/x")
    with pytest.raises(SourceError, match="circles"):
        web.json(f"{site.url}/x", silent)


def test_https_is_never_left() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"Location": "http://elsewhere/x"})

    client = httpx.Client(transport=httpx.MockTransport(answer))
    with client, pytest.raises(RefusedError, match="not fetched unencrypted"):
        Web(client, retry=EAGER).json("https://h/x", silent)


def test_nobody_there_says_which_host() -> None:
    with serve() as gone:
        url = gone.url
    with open_client() as client, pytest.raises(TransferError, match=r"127.0.0.1"):
        Web(client, retry=EAGER).json(f"{url}/x", silent)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000])
def test_what_is_no_json_is_an_error(site: Site, web: Web, body: bytes) -> None:
    site.pages["/x"] = Page(body)
    with pytest.raises(FormatError, match="no JSON"):
        web.json(f"{site.url}/x", silent)


def test_a_broken_proxy_setting_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "gopher://x")
    with pytest.raises(TransferError, match="proxy or certificate settings"), open_client():
        pass


@given(st.integers(1, 100), st.floats(0, 1e6))
def test_pauses_grow_within_bounds(failures: int, asked: float) -> None:
    retry = Retry(base=0.5, cap=20.0, patience=120.0)
    pause = retry.pause(failures, asked)
    assert 0.25 <= pause <= 120.0
    if asked == 0:
        assert (
            min(20.0, 0.5 * 2 ** (failures - 1)) / 2
            <= pause
            <= min(20.0, 0.5 * 2 ** (failures - 1))
        )


def test_new_bytes_reset_the_count_but_old_ones_do_not() -> None:
    made = [0]
    gains = iter([5, 5, 5, 3, 4])  # the last two are below the best, so they are no progress

    def attempt() -> None:
        gain = next(gains)
        made[0] = made[0] + gain if gain == 5 else gain
        raise Again("cut")

    with open_client() as client, pytest.raises(TransferError):
        Web(client, retry=EAGER).persist(attempt, "x", silent, lambda: made[0])
    assert next(gains, None) is None
