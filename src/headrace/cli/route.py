"""`headrace route FILE --request …`: which route a request would take, and why, without a fleet.

`headrace.routing.explain` asks the policies that run; `route_words.py` says it to a person.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from headrace.cli.files import load_checked
from headrace.cli.route_words import Question, as_json, lines
from headrace.fleet.load import FleetFile
from headrace.fleet.reach import API_PATHS
from headrace.gateway.control import Key
from headrace.gateway.director import MARGIN
from headrace.gateway.errors import Failure
from headrace.gateway.key_file import key_path
from headrace.gateway.keys import read_keys
from headrace.gateway.prompt import Prompt, TokenRatio
from headrace.gateway.request import Peek, peek
from headrace.planning.settled import settled
from headrace.routing.explain import explain
from headrace.routing.from_fleet import routes_of
from headrace.routing.match import Asked, RouteTable

_KEY_HEADERS = {"authorization", "proxy-authorization", "x-api-key", "api-key", "cookie"}

RequestOption = Annotated[
    str, typer.Option("--request", "-r", help="The body: JSON, @FILE, or - for standard input.")
]
PathOption = Annotated[str, typer.Option(help="Where it is sent.")]
HeaderOption = Annotated[
    list[str] | None, typer.Option("--header", "-H", help="Such as 'x-team: search'; repeatable.")
]
KeyOption = Annotated[
    str | None, typer.Option(help="The caller's name in the key file; never a key itself.")
]
TenantOption = Annotated[
    str | None, typer.Option(help="The caller's tenant; default: as the key file says.")
]
TokensOption = Annotated[
    int | None, typer.Option(min=1, help="Exact tokens of the prompt; default: an estimate.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def route(  # noqa: PLR0917 - typer reads the options from the signature
    file: Annotated[Path, typer.Argument(help="The fleet file.")],
    request: RequestOption,
    path: PathOption = API_PATHS[0],
    header: HeaderOption = None,
    key: KeyOption = None,
    tenant: TenantOption = None,
    prompt_tokens: TokensOption = None,
    json: JsonOption = False,
) -> None:
    """Say which route a request would take, and why; status 1 if none would."""
    fleet = settled(load_checked(file)).file
    if path not in API_PATHS:
        raise typer.BadParameter(f"known: {', '.join(API_PATHS)}", param_hint="--path")
    caller, seen = _caller(fleet, key), _peek(request)
    asked = Asked(
        model=seen.model,
        path=path,
        headers=_headers(header or []),
        key=caller.name if caller else None,
        tenant=tenant or (caller.tenant if caller else None),
        prompt_tokens=prompt_tokens or 0,
        max_tokens=seen.max_tokens,
        stream=seen.stream,
    )
    question = _question(fleet, Prompt.of(seen), asked, caller)
    routes = routes_of(fleet.fleet)
    contexts = {name: one.max_model_len for name, one in fleet.fleet.deployments.items()}
    found = explain(routes, question.asked, question.identity, contexts, question.margin)
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(as_json(fleet, question, found))))
    else:
        for line in lines(fleet, question, found):
            typer.echo(line)
    if found.taken is None:
        typer.echo(f"headrace: {_nothing(RouteTable(routes), seen.model)}", err=True)
        raise typer.Exit(1)


def _nothing(table: RouteTable, model: str) -> str:
    """Return why there is no route, as the gateway's 404 would: with the aliases."""
    nearest = None if model in table.aliases else table.nearest(model)
    guess = f"; did you mean '{nearest}'?" if nearest else ""
    aliases = ", ".join(table.aliases) or "none"
    return f"no route takes this request{guess}; the aliases are: {aliases}"


def _body(request: str) -> bytes:
    if request == "-":
        return sys.stdin.buffer.read()
    if not request.startswith("@"):
        return request.encode(errors="surrogateescape")
    try:
        return Path(request[1:]).read_bytes()
    except OSError as error:
        message = f"{request[1:]} cannot be read: {error.strerror}"
        raise typer.BadParameter(message, param_hint="--request") from None


def _peek(request: str) -> Peek:
    seen = peek(_body(request))
    if isinstance(seen, Failure):
        hint = "" if request[:1] in {"{", "@", "-"} else " A file is given as @FILE."
        raise typer.BadParameter(f"{seen.message}{hint}", param_hint="--request")
    return seen


def _headers(given: list[str]) -> dict[bytes, bytes]:
    headers = {}
    for line in given:
        name, colon, value = line.partition(":")
        name = name.strip().lower()
        if not colon or not name:
            message = "expected a name, a colon and a value, such as 'x-team: search'"
            raise typer.BadParameter(message, param_hint="--header")
        if name in _KEY_HEADERS:
            message = f"{name} may carry a secret; say who calls with --key NAME"
            raise typer.BadParameter(message, param_hint="--header")
        headers[name.encode()] = value.strip().encode()
    return headers


def _caller(file: FleetFile, name: str | None) -> Key | None:
    """Return the caller's key as the key file has it."""
    if name is None:
        return None
    path = key_path(file)
    if path is None:
        message = "gateway.keys is not set in the fleet file, so nobody has a key"
        raise typer.BadParameter(message, param_hint="--key")
    keys = {key.name: key for key in read_keys(path)}
    if name not in keys:
        message = f"{path} has no key named '{name}'; known: {', '.join(keys) or 'none'}"
        raise typer.BadParameter(message, param_hint="--key")
    return keys[name]


def _question(file: FleetFile, prompt: Prompt, asked: Asked, key: Key | None) -> Question:
    """Put the request together; `asked` has the exact tokens of its prompt, or none."""
    exact = asked.prompt_tokens or prompt.exact
    ratio = TokenRatio()
    estimate = f"estimated: {prompt.size} bytes, {ratio.value:g} a token"
    return Question(
        asked=asked._replace(prompt_tokens=exact or prompt.tokens(ratio)),
        key=key,
        counted=estimate if exact is None else "exact",
        margin=MARGIN if exact is None else 0.0,
        identity={"conversation": prompt.identity(asked.key), "key": asked.key},
        open=file.fleet.gateway.keys is None,
    )
