"""What the client gets is what the engine said, byte for byte, and the engine gets the body so."""

from __future__ import annotations

import json
from pathlib import Path

from harness import DONE, PLAIN, STREAM, engine, rig, token, usage_event


async def test_a_plain_answer_passes_untouched_and_is_recorded(tmp_path: Path) -> None:
    async with engine() as one, rig(records=tmp_path / "log") as it:
        it.replicas(one)
        body = b'{ "model":"m-alias",\t"messages":[{"content":"h\\u00e9"}], "x": 1e400 }'
        wire = await it.post(body, authorization="Bearer secret", x_custom="kept", te="trailers")
        asked = await one.next()
        assert asked.body == body
        headers = asked.headers()
        assert headers["x-custom"] == "kept"
        assert headers["host"] == f"127.0.0.1:{one.port}"
        assert not {"authorization", "te", "cookie"} & headers.keys()
        reply = {"choices": [{"finish_reason": "stop"}]}
        asked.answer_json(reply | {"usage": {"prompt_tokens": 3, "completion_tokens": 9}})
        answer = await wire.answer()
        assert answer.status == 200
        assert answer.json()["choices"] == reply["choices"]
        assert answer.headers["x-headrace-route"] == "r"
        assert answer.headers["x-headrace-deployment"] == "d"
        assert answer.headers["x-headrace-replica"] == f"d-{one.port}"
        assert answer.headers["x-headrace-attempts"] == "1"
        (record,) = it.records_written()
        assert record["outcome"] == "ok"
        assert record["error"] is None
        assert (record["prompt_tokens"], record["completion_tokens"]) == (3, 9)
        assert record["tokens_from"] == "usage"
        assert record["id"] == answer.headers["x-request-id"] == headers["x-request-id"]
        assert "secret" not in (tmp_path / "log").read_text()
        assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


async def test_usage_is_asked_for_and_withheld(tmp_path: Path) -> None:
    """The expected bytes are what the engine sends when nobody asks for usage."""
    stamp = ',"system_fingerprint":"vllm-0.32.0-0123abcd"'
    async with engine() as one, rig(records=tmp_path / "log") as it:
        it.replicas(one)
        wire = await it.post(STREAM)
        asked = await one.next()
        assert json.loads(asked.body) == STREAM | {"stream_options": {"include_usage": True}}
        asked.start_stream()
        for text in ("a", "b", '"prompt_tokens"', "c"):
            asked.send_chunk(token(text))
        asked.send_chunk(token("d", "length"))
        asked.send_chunk(usage_event(7, 5, stamp))
        asked.end_stream()
        answer = await wire.answer()
        expected = [token(text) for text in ("a", "b", '"prompt_tokens"', "c")]
        assert answer.body == b"".join([*expected, token("d", "length", stamp), DONE])
        (record,) = it.records_written()
        assert (record["prompt_tokens"], record["completion_tokens"]) == (7, 5)
        assert record["tokens_from"] == "usage"
        assert record["ttft_s"] <= record["duration_s"]
        assert record["tpot_s"] >= 0


async def test_usage_that_the_client_asked_for_reaches_it() -> None:
    body = STREAM | {"stream_options": {"include_usage": True}}
    async with engine() as one, rig() as it:
        it.replicas(one)
        wire = await it.post(body)
        asked = await one.next()
        assert json.loads(asked.body) == body
        asked.start_stream()
        sent = [token("a"), token("b", "stop"), usage_event(7, 2)]
        for event in sent:
            asked.send_chunk(event)
        asked.end_stream()
        assert (await wire.answer()).body == b"".join([*sent, DONE])


async def test_nothing_is_spliced_where_it_could_not_be_taken_out_again() -> None:
    bodies = [
        STREAM | {"n": 2},
        STREAM | {"stream_options": None},
        STREAM | {"prompt": ["a", "b"]},
        PLAIN,
    ]
    async with engine() as one, rig() as it:
        it.replicas(one)
        for body in bodies:
            await it.post(body)
            assert json.loads((await one.next()).body) == body


async def test_an_engine_without_stream_usage_is_counted_by_events(tmp_path: Path) -> None:
    async with engine() as one, rig(stream_usage=False, records=tmp_path / "log") as it:
        it.replicas(one)
        wire = await it.post(STREAM)
        asked = await one.next()
        assert json.loads(asked.body) == STREAM
        asked.start_stream()
        asked.send_chunk(token("a"))
        asked.send_chunk(token("b", "stop"))
        asked.end_stream()
        assert (await wire.answer()).body == token("a") + token("b", "stop") + DONE
        (record,) = it.records_written()
        assert (record["completion_tokens"], record["tokens_from"]) == (2, "events")


async def test_an_http_1_0_client_gets_the_stream_without_chunks() -> None:
    async with engine() as one, rig() as it:
        it.replicas(one)
        wire = await it.connect()
        body = json.dumps(STREAM).encode()
        wire.send(
            b"POST /v1/completions HTTP/1.0\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        asked = await one.next()
        asked.start_stream()
        asked.send_chunk(token("a"))
        asked.send_chunk(token("b", "stop"))
        asked.end_stream()
        answer = await wire.answer()
        assert "transfer-encoding" not in answer.headers
        assert answer.body == token("a") + token("b", "stop") + DONE


async def test_a_stream_that_ends_with_the_connection() -> None:
    async with engine() as one, rig() as it:
        it.replicas(one)
        wire = await it.post(STREAM)
        asked = await one.next()
        asked.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        asked.send(token("a") + token("b", "stop") + DONE)
        asked.writer.close()
        answer = await wire.answer()
        assert answer.headers["transfer-encoding"] == "chunked"
        assert answer.body == token("a") + token("b", "stop") + DONE


async def test_engine_errors_pass_through(tmp_path: Path) -> None:
    async with engine() as one, rig(records=tmp_path / "log") as it:
        it.replicas(one)
        wire = await it.post(STREAM)
        (await one.next()).answer_json({"error": {"message": "too long"}}, "400 Bad Request")
        answer = await wire.answer()
        assert (answer.status, answer.json()) == (400, {"error": {"message": "too long"}})
        (record,) = it.records_written()
        assert (record["status"], record["outcome"]) == (400, "engine_refused")


async def test_connections_are_used_again() -> None:
    async with engine() as one, rig() as it:
        it.replicas(one)
        wire = await it.connect()
        for count in range(3):
            wire.post(PLAIN)
            asked = await one.next()
            asked.answer_json({"n": count})
            assert (await wire.answer()).json() == {"n": count}
        assert one.connections == 1
