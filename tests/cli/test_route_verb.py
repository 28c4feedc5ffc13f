"""`headrace route`, and the page about routes, whose fleet file must hold what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from headrace.cli.main import app
from headrace.fleet.load import load_fleet

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "routes.md"
HELLO = '{"model": "assistant", "messages": [{"role": "user", "content": "Hello"}]}'
SHORT = HELLO.replace("{", '{"max_tokens": 32, ', 1)


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """Write the page's fleet file: all its blocks together."""
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    file = tmp_path / "fleet.yaml"
    file.write_text("".join(blocks))
    return file


def ask(file: Path, request: str, *options: str, given: bytes | None = None) -> Result:
    return CliRunner().invoke(
        app, ["route", str(file), "--request", request, *options], input=given
    )


def answer(file: Path, request: str, *options: str) -> dict[str, dict[str, object]]:
    done = ask(file, request, *options, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, dict[str, object]] = json.loads(done.stdout)
    return found


def test_the_page_has_a_good_fleet(fleet: Path) -> None:
    assert list(load_fleet(fleet).fleet.routes) == ["documents", "autocomplete", "support", "chat"]


@pytest.mark.parametrize(
    ("request_", "options", "route", "line"),
    [
        (HELLO, [], "chat", "chat:"),
        (HELLO, ["--prompt-tokens", "2999"], "chat", "chat:"),
        (HELLO, ["--prompt-tokens", "3000"], "documents", "documents:"),
        (SHORT, ["--header", "X-App: editor"], "autocomplete", "autocomplete:"),
        (SHORT, ["--header", "x-app: browser"], "chat", "chat:"),
        (HELLO, ["--header", "x-app: editor"], "chat", "chat:"),
        (HELLO.replace("assistant", "support"), [], "support", "support:"),
    ],
)
def test_which_route(fleet: Path, request_: str, options: list[str], route: str, line: str) -> None:
    taken = answer(fleet, request_, *options)["taken"]
    assert taken["route"] == route
    lines = fleet.read_text().splitlines()
    assert lines[int(str(taken["line"])) - 1].strip().startswith(line)


def test_what_a_person_reads(fleet: Path) -> None:
    done = ask(fleet, HELLO, "--header", "x-app: editor")
    said = done.stdout.splitlines()
    # The message is {"role": "user", "content": "Hello"}: 36 bytes, 9 tokens of 4 bytes, 25 % are 2.
    assert said[:4] == [
        "request   model assistant, /v1/chat/completions, not streamed, no max_tokens",
        "          prompt: about 9 tokens, 7 to 11 (estimated: 36 bytes, 4 a token)",
        "not       documents: the prompt has about 9 tokens, not at least 3000",
        "not       autocomplete: max_tokens is not set, not at most 64",
    ]
    assert "route     chat (fleet.yaml:" in done.stdout
    assert re.search(r"^variant +fast +95 %", done.stdout, flags=re.MULTILINE)
    assert re.search(r"fast-int8 +5 %", done.stdout)
    assert "this conversation: weight" in done.stdout
    assert "to long: context (it does not fit), queue (more than 20s to wait)" in done.stdout


def test_a_prompt_that_does_not_fit_says_where_it_goes(fleet: Path) -> None:
    taken = answer(fleet, HELLO.replace("{", '{"max_tokens": 1200, ', 1), "--prompt-tokens", "2999")
    assert taken["taken"]["serves"] == {
        "deployment": "long",
        "cause": "context",
        "why": f"{taken['taken']['variant']['deployment']} cannot fit 2999 tokens of prompt and "  # type: ignore[index]
        "1200 of the answer in its context of 4096",
    }


def test_an_adapter_is_said_to_be_one(fleet: Path) -> None:
    request_ = HELLO.replace("assistant", "support")
    assert "adapter   support, a LoRA adapter of fast\n" in ask(fleet, request_).stdout
    assert answer(fleet, request_)["taken"]["adapter_of"] == ["fast"]
    assert answer(fleet, HELLO)["taken"]["adapter_of"] == []


def test_an_estimate_near_a_bound_is_said(fleet: Path) -> None:
    done = ask(fleet, HELLO.replace("Hello", "word " * 2300))
    assert "if the prompt has 3000 tokens, route documents would take it" in done.stdout


def test_one_conversation_has_one_variant(fleet: Path) -> None:
    turn = json.loads(HELLO)
    picks = set()
    for number in range(3):
        turn["messages"] += [{"role": "assistant", "content": f"{number}"}, turn["messages"][0]]
        picks.add(str(answer(fleet, json.dumps(turn))["taken"]["variant"]))
    assert len(picks) == 1


def test_the_body_comes_from_a_file_or_standard_input(fleet: Path) -> None:
    body = fleet.parent / "body.json"
    body.write_text(HELLO)
    direct = ask(fleet, HELLO).stdout
    assert ask(fleet, f"@{body}").stdout == direct
    assert ask(fleet, "-", given=HELLO.encode()).stdout == direct


def test_no_route_is_status_1_with_the_aliases(fleet: Path) -> None:
    done = ask(fleet, HELLO.replace("assistant", "asistant"))
    assert done.exit_code == 1
    assert done.stderr == (
        "headrace: no route takes this request; did you mean 'assistant'?; the aliases are: "
        "assistant, support\n"
    )
    assert "not       chat: model is asistant, not assistant" in done.stdout


KEYS = f"""\
- name: search-team
  sha256: {"a" * 64}
  streams: 20
"""


def test_a_caller_is_named_by_the_key_file(fleet: Path) -> None:
    text = fleet.read_text() + "\ngateway: {keys: keys.yaml}\n"
    narrow = "  chat:\n    match: {model: [assistant]}"
    assert narrow in text
    fleet.write_text(text.replace(narrow, narrow.replace("]}", "], key: [search-team]}")))
    keys = fleet.parent / "keys.yaml"
    keys.write_text(KEYS)
    keys.chmod(0o600)
    done = ask(fleet, HELLO, "--key", "search-team")
    assert done.exit_code == 0
    assert "from key search-team" in done.stdout
    assert "key search-team on all routes: 20 at once" in done.stdout
    nobody = ask(fleet, HELLO)
    assert nobody.exit_code == 1
    assert "chat: key is not given, not search-team" in nobody.stdout
    assert "say whose with --key NAME" in nobody.stdout
    assert "no key named 'other'" in " ".join(ask(fleet, HELLO, "--key", "other").stderr.split())


@pytest.mark.parametrize(
    ("request_", "options", "expected"),
    [
        ("{", [], "not valid JSON"),
        ("body.json", [], "A file is given as @FILE."),
        ("{}", [], "no model"),
        ("@/nothing/there.json", [], "cannot be read"),
        (HELLO, ["--header", "x-app"], "a colon"),
        (HELLO, ["--header", "Authorization: Bearer hunter2"], "may carry a secret"),
        (HELLO, ["--path", "/v1/models"], "known: /v1/chat/completions"),
        (HELLO, ["--key", "x"], "gateway.keys is not set"),
    ],
)
def test_wrong_usage_is_a_sentence(
    fleet: Path, request_: str, options: list[str], expected: str
) -> None:
    done = ask(fleet, request_, *options)
    assert done.exit_code == 2
    said = " ".join(done.stderr.replace("│", " ").split())
    assert expected in said
    assert "hunter2" not in said
