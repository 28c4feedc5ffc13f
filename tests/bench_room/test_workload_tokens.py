"""Who counts tokens: the engine's own where it can be asked, and never an estimate in disguise."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from workload_kit import engine_count, folder, ids

from headrace.bench import engine_tokens
from headrace.bench.asks import Message, Prompt
from headrace.bench.engine_tokens import Endpoint, EngineTokenizer, count_by_usage, discover
from headrace.bench.tokens import Estimate, FolderTokenizer, TokenizerError
from headrace.bench.workload import build
from headrace.bench.workload_order import Length, Shape, WorkloadOrder
from headrace.emulation.behaviour import Behaviour
from headrace.emulation.engine import TwinEngine
from headrace.emulation.faces import FACES
from headrace.emulation.http import Server

CHAT = (Message("user", "the water house"),)
Page = Callable[[dict[str, Any]], Any]
Pages = dict[str, Page]


@contextmanager
def serving(pages: Pages) -> Iterator[str]:
    """Answer these paths: with an object, bytes as they are, or 404 where there is none."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            page = pages.get(self.path)
            found = page(body) if page else None
            data = found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response(404 if page is None else 200)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _answer  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def prompt_of(body: dict[str, Any]) -> Prompt:
    if "messages" in body:
        return tuple(Message(one["role"], one["content"]) for one in body["messages"])
    return str(body["prompt"])


def engine(kind: str = "bytes", **more: Page) -> Pages:
    """Return the pages of an engine that counts."""

    def tokenize(body: dict[str, Any]) -> Any:
        if body.get("add_special_tokens") is False:
            found = ids(kind, body["prompt"])
            return {"count": len(found), "tokens": found}
        return {"count": engine_count(kind, prompt_of(body)), "tokens": []}

    return {
        "/v1/models": lambda _: {"data": [{"id": "m"}]},
        "/tokenize": tokenize,
        **{f"/{name}": page for name, page in more.items()},
    }


def chatting(kind: str = "bytes") -> Pages:
    """Return the pages of an endpoint that only answers, and says how many tokens it read."""

    def answer(body: dict[str, Any]) -> Any:
        assert body["max_tokens"] == 1
        return {"usage": {"prompt_tokens": engine_count(kind, prompt_of(body))}}

    return {
        "/v1/models": lambda _: {"data": [{"id": "other"}, {"id": "m"}]},
        "/v1/chat/completions": answer,
        "/v1/completions": answer,
    }


def test_an_engine_counts_and_encodes() -> None:
    with serving(engine("metaspace")) as address:
        asked = EngineTokenizer(Endpoint(address + "/v1/"))
        assert asked.count("the water house") == 4
        assert asked.count(CHAT) == engine_count("metaspace", CHAT)
        assert asked.encode("the water house") == ids("metaspace", "the water house")
        order = WorkloadOrder(shapes=(Shape("x", Length(77, 77), Length(1, 1)),), count=5)
        for ask in build(order, asked):
            assert engine_count("metaspace", ask.prompt) == 77


def test_a_folder_is_taken_if_the_engine_agrees(tmp_path: Path) -> None:
    folder(tmp_path, "bytes")
    with serving(engine("bytes")) as address, serving(engine("metaspace")) as other:
        found = discover(address, "m", folder=tmp_path)
        assert isinstance(found, FolderTokenizer)
        assert found.exact
        assert found.count(CHAT) == engine_count("bytes", CHAT)
        found = discover(other, "m", folder=tmp_path)
        assert isinstance(found, EngineTokenizer)
        # a gateway that counts nothing, a replica behind it that does
        with serving(chatting()) as gateway:
            found = discover(gateway, "m", folder=tmp_path / "none", engine=address)
            assert found.label == f"the engine's own tokenizer ({address}/tokenize)"


def test_usage_tells_where_nobody_else_counts(tmp_path: Path) -> None:
    folder(tmp_path, "bytes")
    with serving(chatting()) as address:
        found = discover(address, "m", folder=tmp_path)
        assert isinstance(found, FolderTokenizer)
        assert found.exact
        assert count_by_usage(Endpoint(address, "m"))(CHAT) == engine_count("bytes", CHAT)
        found = discover(address, "m")
        assert isinstance(found, Estimate)
        assert not found.exact
        assert found.label.startswith("an estimate, because ")
        assert "/tokenize: 404" in found.label
        # the template's tokens were asked, the words are guessed
        assert found.count(CHAT) == engine_count("bytes", CHAT)
    with serving(chatting("metaspace")) as address:
        assert isinstance(discover(address, "m", folder=tmp_path), Estimate)


def test_nobody_answers(tmp_path: Path) -> None:
    folder(tmp_path)
    gone = "http://127.0.0.1:9"
    found = discover(gone, "m")
    assert isinstance(found, Estimate)
    assert found.count("the water house") == 3
    assert found.count(CHAT) == 8
    own = discover(gone, "m", folder=tmp_path)
    assert not own.exact
    assert own.label.endswith("what a chat's template adds is an estimate")
    assert own.count("the water house") == engine_count("bytes", "the water house")
    assert own.count(CHAT) == engine_count("bytes", "the water house") + 5
    assert isinstance(discover("no address", "m"), Estimate)


@pytest.mark.parametrize(
    "answer",
    [b"", b"rubbish", b"[1]", b"\xff{}", {"count": -1}, {"count": "7"}, {"count": True}, {}, None],
    ids=str,
)
def test_answers_that_are_none(answer: Any) -> None:
    with serving(engine(tokenize=lambda _: answer)) as address:
        asked = EngineTokenizer(Endpoint(address, "m"))
        with pytest.raises(TokenizerError, match=r"tokens|no JSON object"):
            asked.count("x")
        assert isinstance(discover(address, "m"), Estimate)


def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_tokens, "MOST_ANSWER", 1000)
    with serving(engine(tokenize=lambda _: {"count": 1, "more": "x" * 2000})) as address:
        asked = EngineTokenizer(Endpoint(address, "m"))
        with pytest.raises(TokenizerError, match="an answer without end"):
            asked.count("x")


@pytest.mark.parametrize("models", [{}, {"data": 5}, {"data": []}, {"data": [5]}], ids=str)
def test_an_endpoint_that_lists_nothing(models: Any) -> None:
    with serving({"/v1/models": lambda _: models}) as address:
        with pytest.raises(TokenizerError, match="lists no model"):
            Endpoint(address)
        assert Endpoint(address, "m").model == "m"


def test_a_key_is_sent_where_there_is_one() -> None:
    with serving(engine()) as address:
        endpoint = Endpoint(address, "m", "secret")
        assert endpoint._http.headers["authorization"] == "Bearer secret"
        assert "authorization" not in Endpoint(address, "m")._http.headers


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[]", b"\xff"])
def test_a_folder_without_a_tokenizer(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(TokenizerError, match=r"tokenizer.json: "):
        FolderTokenizer(tmp_path)


async def test_a_twin_counts_what_it_is_sent() -> None:
    kind = FACES["vllm"]
    behaviour = Behaviour(version=kind.VERSION, metrics_port=None)
    face, server = kind(TwinEngine(behaviour, list[int]().append)), Server()
    port = await face.listen(server, "127.0.0.1", 0)

    def made() -> None:
        found = discover(f"http://127.0.0.1:{port}", "any alias")
        assert isinstance(found, EngineTokenizer)
        order = WorkloadOrder(shapes=(Shape("x", Length(120, 200), Length(4, 4)),), count=40)
        asks = build(order, found)
        assert all(found.count(ask.prompt) == ask.prompt_tokens for ask in asks)
        assert len({ask.prompt[0].content[:60] for ask in asks if ask.prompt}) == 40  # type: ignore[union-attr]

    try:
        await asyncio.to_thread(made)
    finally:
        await server.close()
