"""What `headrace bench` measures: the fleet that is up on this machine, or an address.

Of a fleet it knows more: the promises of the route, the traffic it expects, the tokenizer, the
metrics pages of gateway and engines, and the setting that the results belong to.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
import typer

from headrace.bench.target import Page, Target, TargetError, place
from headrace.cli.bench_route import route_of
from headrace.cli.running import find_fleet, served_file
from headrace.fleet.load import FleetFile
from headrace.fleet.routes import Route
from headrace.local.errors import LocalError
from headrace.models.store import pulled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.bench.asks import Ask
    from headrace.bench.scrape import Listing
    from headrace.fleet.types import Fleet
    from headrace.view.status import DeploymentStatus, FleetStatus

KEYS = ("HEADRACE_KEY", "OPENAI_API_KEY")
"""Environment variables with an API key; the first that is set counts."""


@dataclass(frozen=True)
class Subject:
    """What is measured, and what is known about it; `weights` is the model's folder.

    A fleet's `listing` asks which metrics pages there are at that moment; an address has those of
    the target.
    """

    target: Target
    name: str
    beside: Path
    listing: Listing | None = None
    context: int | None = None
    route: Route | None = None
    weights: Path | None = None
    setting: dict[str, Any] = field(default_factory=dict)
    fleet: Fleet | None = None

    def asked(self, asks: Sequence[Ask]) -> Subject:
        """Return it with the route that these requests take."""
        if self.fleet is None:
            return self
        route = route_of(self.fleet, self.target.model, asks, chat=self.target.chat)
        return replace(self, route=route)

    @property
    def slo(self) -> dict[str, float]:
        """What the route promises, in seconds."""
        if self.route is None:
            return {}
        promised = self.route.slo
        both = {"ttft": promised.ttft, "tpot": promised.tpot}
        return {name: seconds for name, seconds in both.items() if seconds is not None}

    def with_pages(self) -> Subject:
        """Return it with the metrics pages that there are now; LocalError if it went down."""
        if self.listing is None:
            return self
        if (found := asyncio.run(self.listing())) is None:
            raise LocalError("the fleet ended meanwhile")
        return replace(self, target=msgspec.structs.replace(self.target, scrape=tuple(found)))


def key() -> str | None:
    """Return the API key from the environment, if there is one; BadParameter if it is none."""
    found = next((os.environ[name] for name in KEYS if os.environ.get(name)), None)
    if found and not (found.isascii() and found.isprintable()):
        raise typer.BadParameter("the key in the environment has letters that no key has")
    return found


def addressed(url: str, model: str | None, *, chat: bool, pages: list[str]) -> Subject:
    """Return an endpoint by its address; BadParameter if it cannot be one."""
    if model is None:
        raise typer.BadParameter("--url needs --model as well: the name that requests give")
    try:
        where = place(url)
    except TargetError as error:
        raise typer.BadParameter(str(error), param_hint="--url") from None
    if urlsplit(url).query or urlsplit(url).fragment:
        raise typer.BadParameter(f"'{url}' has more than a path", param_hint="--url")
    address, more = url.rstrip("/"), _named(pages)
    target = Target(address=address, model=model, key=key(), chat=chat, scrape=more)
    return Subject(target, f"{model}-{where.host}", Path.cwd())


def of_fleet(file: Path | None, model: str | None, *, chat: bool, pages: list[str]) -> Subject:
    """Return the running fleet's gateway; LocalError if none is up, or its file was edited.

    BadParameter for its model.
    """
    from headrace.local import client  # noqa: PLC0415 - the other verbs start faster
    from headrace.local.metrics_pages import following  # noqa: PLC0415 - as above

    state = find_fleet(file)
    status = asyncio.run(client.status(state))
    asked = model or status.plain or next((one for d in status.deployments for one in d.models), "")
    served = next((one for one in status.deployments if asked in one.models), None)
    if served is None:
        known = ", ".join(dict.fromkeys(one for d in status.deployments for one in d.models))
        raise typer.BadParameter(f"the fleet serves no '{asked}'; it serves {known}")
    loaded = served_file(status)
    target = Target(address=status.address, model=asked, key=key(), chat=chat)
    listing = following(state, loaded.fleet, _named(pages))
    return _known(target, listing, status, served, loaded)


def _known(
    target: Target,
    listing: Listing,
    status: FleetStatus,
    served: DeploymentStatus,
    file: FleetFile,
) -> Subject:
    from headrace.evidence.deployment import fingerprint  # noqa: PLC0415 - as above
    from headrace.planning.settled import settled  # noqa: PLC0415 - as above

    whole = settled(file).file
    deployment = whole.fleet.deployments[served.name]
    return Subject(
        target,
        f"{status.fleet}-{target.model}",
        Path(status.file).parent,
        listing,
        deployment.max_model_len,
        route_of(whole.fleet, target.model, chat=target.chat),
        pulled(whole.path, deployment.model),
        msgspec.to_builtins(fingerprint(whole, served.name)),
        whole.fleet,
    )


def _named(pages: list[str]) -> tuple[Page, ...]:
    """Return pages as people give them: `http://…/metrics`, with `gateway=` before it if so."""
    return tuple(_page(text) for text in pages)


def _page(text: str) -> Page:
    name, _, url = text.rpartition("=") if not text.startswith("http") else ("", "", text)
    try:
        where = place(url)
    except TargetError as error:
        raise typer.BadParameter(str(error), param_hint="--metrics") from None
    engine = f"engine:{name or where.authority}"
    return Page(url=url, source=name if name == "gateway" else engine)
