"""Who is let in, who is not, and that neither costs a secret."""

from __future__ import annotations

import json

import pytest
from guarded import SECRET, guard, key
from harness import PLAIN, STREAM, engine, rig, token, until

BEARER = {"Authorization": f"Bearer {SECRET}"}
AUTHORISATIONS = [
    {},
    {"Authorization": "Bearer wrong"},
    {"Authorization": f"Bearer {SECRET}x"},
    {"Authorization": f"Bearer {SECRET[:-1]}"},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer "},
    {"Authorization": f"Basic {SECRET}"},
    {"Authorization": SECRET},
    {"X-Api-Key": "wrong"},
    {"X-Api-Key": ""},
    {"Authorization": "Bearer wrong", "X-Api-Key": SECRET},
    {"Cookie": f"key={SECRET}"},
]


@pytest.mark.parametrize("headers", AUTHORISATIONS)
async def test_without_a_known_key_nobody_gets_in(headers: dict[str, str]) -> None:
    async with rig() as it:
        guard(it, key("one", SECRET))
        answer = await (await it.post(PLAIN, **headers)).answer()
        assert (answer.status, answer.code) == (401, "invalid_api_key")
        assert answer.headers["www-authenticate"] == "bearer"
        assert answer.json()["error"]["type"] == "invalid_request_error"
        assert SECRET not in answer.body.decode()


@pytest.mark.parametrize(
    "headers",
    [
        BEARER,
        {"authorization": f"bearer {SECRET}"},
        {"Authorization": f"BEARER   {SECRET}  "},
        {"X-Api-Key": SECRET},
        {"Authorization": "Basic eDp5", "x-api-key": SECRET},
    ],
)
async def test_a_known_key_gets_in_and_goes_no_further(headers: dict[str, str]) -> None:
    async with engine() as one, rig() as it:
        guard(it, key("other", "hr-other"), key("one", SECRET))
        it.replicas(one)
        wire = await it.post(PLAIN, **headers)
        asked = await one.next()
        assert SECRET not in asked.head
        assert not {"authorization", "x-api-key"} & asked.headers().keys()
        asked.answer_json({})
        assert (await wire.answer()).status == 200


async def test_health_and_description_are_open_and_models_are_not() -> None:
    async with rig() as it:
        guard(it)
        for path, status in (("/healthz", 200), ("/readyz", 200), ("/openapi.json", 200)):
            wire = await it.connect()
            wire.get(path)
            assert (await wire.answer()).status == status
        wire = await it.connect()
        wire.get("/v1/models")
        assert (await wire.answer()).status == 401


@pytest.mark.parametrize(
    "target",
    [
        "/v1/models", "//v1/models", "/v1//models", "/./v1/models", "/x/../v1/models", "/V1/models",
        "/%76%31/models", "/v1/models/", "/v1/models/m", "/v1%2fmodels", "/v1/models?key=x",
        "http://g/v1/models", "http://g//v1/models", "http:///v1/models", "http://g?/v1/models",
        "HTTP://g/v1/models", "/v1/models;x", "/v1\\models", "/v1/models%00",
    ],
)  # fmt: skip
async def test_no_way_of_writing_the_path_leads_past_the_key(target: str) -> None:
    async with rig() as it:
        guard(it)
        wire = await it.connect()
        wire.get(target)
        assert (await wire.answer()).status in (400, 401, 404)


async def test_a_strangers_body_is_not_read() -> None:
    async with rig() as it:
        guard(it)
        wire = await it.connect()
        wire.send(
            b"POST /v1/completions HTTP/1.1\r\nHost: g\r\nExpect: 100-continue\r\n"
            b"Content-Length: 1000000\r\nX-Request-Id: mine\r\n\r\n"
        )
        answer = await wire.answer()
        assert (answer.status, answer.headers["x-request-id"]) == (401, "mine")
        assert await wire.closed()


async def test_two_authorizations_are_one_too_many() -> None:
    async with rig() as it:
        guard(it, key("one", SECRET))
        wire = await it.connect()
        wire.send(
            f"GET /v1/models HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {SECRET}\r\n"
            "Authorization: Bearer other\r\n\r\n".encode()
        )
        assert (await wire.answer()).status == 400


async def test_new_keys_count_at_once_and_running_streams_go_on() -> None:
    async with engine() as one, rig() as it:
        guard(it, key("one", SECRET))
        it.replicas(one)
        stream, idle = await it.post(STREAM, **BEARER), await it.connect()
        asked = await one.next()
        asked.start_stream()
        asked.send_chunk(token("a"))
        await stream.head()
        guard(it, key("two", "hr-two"))
        idle.post(PLAIN, **BEARER)
        assert (await idle.answer()).status == 401
        asked.send_chunk(token("b", "stop"))
        asked.end_stream()
        assert (await stream.chunks()).endswith(b"[DONE]\n\n")
        guard(it, anybody=True)
        wire = await it.connect()
        wire.get("/v1/models")
        assert (await wire.answer()).status == 200


async def test_a_key_has_so_many_requests_at_once() -> None:
    async with engine() as one, rig() as it:
        guard(it, key("one", SECRET, streams=2), key("two", "hr-two"))
        it.replicas(one)
        first, second = await it.post(PLAIN, **BEARER), await it.post(STREAM, **BEARER)
        asked = [await one.next(), await one.next()]
        refused = await (await it.post(PLAIN, **BEARER)).answer()
        assert (refused.status, refused.code) == (429, "key_limit")
        assert refused.headers["retry-after"] == "1"
        other = await it.post(PLAIN, Authorization="Bearer hr-two")
        (await one.next()).answer_json({})
        assert (await other.answer()).status == 200
        plain = next(one for one in asked if not json.loads(one.body).get("stream"))
        plain.answer_json({})  # an answer makes room
        assert (await first.answer()).status == 200
        third = await it.post(PLAIN, **BEARER)
        await one.next()
        third.writer.close()  # so does a client that hangs up
        second.writer.close()
        await until(lambda: not it.gateway.admission.requests)
        fourth = await it.post(PLAIN, **BEARER)
        (await one.next()).answer_json({})
        assert (await fourth.answer()).status == 200
        assert not it.gateway.admission.requests
