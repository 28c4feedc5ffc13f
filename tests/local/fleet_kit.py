"""What the tests of a running fleet share: a fleet file, an engine that is a small script, a way to wait."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from headrace.engines.base import Launch, Placement, Resume
from headrace.fleet.document import Path_
from headrace.fleet.load import FleetFile, load_fleet
from headrace.fleet.problems import FleetError
from headrace.fleet.types import Deployment, Hardware
from headrace.local.blueprint import Blueprint
from headrace.local.edition import Edition
from headrace.local.replica import Pace
from headrace.local.state import StateDir
from headrace.local.supervisor import Supervisor
from headrace.routing.from_fleet import aliases
from headrace.view.events import Event
from headrace.view.status import FleetStatus

SCRIPT = Path(__file__).with_name("engine_script.py")
QUICK = Pace(
    watch=0.05, strikes=2, health=10.0, prompt=0.5, recovery=60.0, settle=0.1, short_grace=1.0
)

FLEET = """
fleet: test
models: {{small: {{weights: "file:///nowhere"}}}}
hardware: {{here: {{kind: cpu}}}}
deployments:
  chat:
    model: small
    hardware: here
    max_num_seqs: {room}
    scaling: {{min: {min}, max: {max}, initial: {min}, polling_interval: 1s, sync_period: 1s, cooldown: {cooldown},
               triggers: [{{signal: demand, target: 2}}], down: {{window: 1s}}}}
    lifecycle: {{startup: {startup}, drain: {drain}, grace: {grace}}}
routes:
  chat: {{match: {{model: [chat]}}, deployment: chat}}
gateway: {{port: {port}, admin_port: 0}}
"""


class ScriptEngine:
    """An engine whose behaviour is the content of a file."""

    name = "script"
    version = "1.0"
    stream_usage = False
    health_path = "/health"
    metrics_path = "/metrics"
    resume = Resume(chat=True, token_ids=True)

    def __init__(self, mode: Path) -> None:
        self.mode = mode

    def problems(self, deployment: Deployment, hardware: Hardware) -> Iterator[tuple[Path_, str]]:
        del deployment, hardware
        return iter(())

    def launch(self, deployment: Deployment, hardware: Hardware, placement: Placement) -> Launch:
        del hardware
        flag = deployment.engine.flags.get("mode")
        mode = self.mode.with_name(f"mode-{flag}") if flag else self.mode
        argv = (sys.executable, "-S", str(SCRIPT), str(placement.port), str(mode))
        return Launch(argv, {"HEADRACE_TEST": "1"})

    def adapter_room(self, deployment: Deployment) -> int | None:
        del deployment

    def phase(self, line: str) -> str | None:
        return line.removeprefix("PHASE ") if line.startswith("PHASE ") else None

    def kv_tokens(self, line: str) -> int | None:
        return int(line.removeprefix("CACHE ")) if line.startswith("CACHE ") else None

    def last_words(self, lines: Sequence[str]) -> str:
        return next((line for line in reversed(lines) if "Error" in line), "")

    def metric_sources(self) -> Mapping[str, Sequence[str]]:
        return {"generation_tokens": ("script_tokens_total",)}


@dataclass
class Recorder:
    """A display that remembers."""

    events: list[Event] = field(default_factory=list)
    served: list[FleetStatus] = field(default_factory=list)

    def show(self, happened: Event) -> None:
        self.events.append(happened)

    def serving(self, status: FleetStatus) -> None:
        self.served.append(status)

    async def run(self, status: Callable[[], FleetStatus]) -> None:
        pass

    def texts(self, kind: str) -> list[str]:
        return [event.text for event in self.events if event.kind == kind]


def write_fleet(folder: Path, **given: object) -> FleetFile:
    values = {
        "min": 1,
        "max": 2,
        "room": 4,
        "startup": "20s",
        "drain": "5s",
        "grace": "8s",
        "port": 0,
        "cooldown": "2s",
    }
    path = folder / "fleet.yaml"
    path.write_text(FLEET.format(**{**values, **given}))
    (folder / "mode").write_text("good")
    return load_fleet(path)


class ScriptLoader:
    """Makes editions whose engines are scripts; `full` is what it says instead of finding room."""

    def __init__(self) -> None:
        self.full = ""

    def load(self, path: Path) -> Edition:
        return self.edition(load_fleet(path))

    def edition(self, file: FleetFile) -> Edition:
        fleet = file.fleet
        return Edition(
            file,
            tuple(
                Blueprint(
                    name=name,
                    deployment=deployment,
                    hardware=fleet.hardware[deployment.hardware],
                    engine=ScriptEngine(file.path.with_name("mode")),
                    python=Path(sys.executable),
                    model_path=file.path.parent,
                    aliases=aliases(fleet, name),
                )
                for name, deployment in fleet.deployments.items()
            ),
        )

    def check_room(
        self, edition: Edition, surges: Sequence[Blueprint], active: Mapping[str, int]
    ) -> None:
        del surges, active
        if self.full:
            raise FleetError([edition.file.problem(("deployments", "chat"), self.full)])


@dataclass
class Running:
    """A fleet that serves inside the test's own process."""

    supervisor: Supervisor
    display: Recorder
    address: str
    task: asyncio.Task[int]
    folder: Path
    state: StateDir
    loader: ScriptLoader

    def status(self) -> FleetStatus:
        return self.supervisor.status()

    def states(self) -> list[str]:
        deployments = self.status().deployments
        return [str(replica.state) for one in deployments for replica in one.replicas]

    def pids(self) -> list[int]:
        replicas = self.status().deployments[0].replicas
        return [replica.pid for replica in replicas if replica.pid]

    def edited(self, *changes: tuple[str, str], to: str = "next.yaml") -> Path:
        """Write the fleet file with parts replaced; return the new file's path."""
        text = (self.folder / "fleet.yaml").read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = self.folder / to
        path.write_text(text)
        return path

    def mode(self, mode: str) -> None:
        (self.folder / "mode").write_text(mode)


Up = Callable[..., Awaitable[Running]]
"""Brings a fleet up in a mode of the script engine; see conftest.py."""


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for it; only what is broken takes so many seconds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - other processes set no events here
            await asyncio.sleep(0.02)
