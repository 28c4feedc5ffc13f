"""Fleet files and their objects, for tests of what is rendered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from headrace.fleet.load import load_fleet
from headrace.kubernetes.options import Options
from headrace.kubernetes.render import Rendered, render

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
_COMMIT = "0e9e39f249a16976918f6564b8830bc894c89659"
_A, _B = "a" * 64, "b" * 64
LOCK = f"""{{"version": 1, "models": {{"m": {{
"source": "hf://meta-llama/Llama-3.1-8B-Instruct@main", "resolved": "{_COMMIT}", "files": [
{{"path": "config.json", "size": 1000, "sha256": "{_A}"}},
{{"path": "model.safetensors", "size": 16060522496, "sha256": "{_B}"}}]}}}}}}
"""
FLEET = """\
fleet: f
models:
  m: {{weights: "hf://meta-llama/Llama-3.1-8B-Instruct@main"}}
hardware:
  h: {{{hardware}}}
deployments:
  d:
    model: m
    hardware: h
    max_model_len: 4096
    {deployment}
routes:
  r: {{match: {{model: [m]}}, deployment: d{route}}}
{more}"""
GPU = "kind: gpu, product: H100"


def files(
    folder: Path,
    options: Options | None = None,
    *,
    hardware: str = GPU,
    deployment: str = "max_num_seqs: 64",
    route: str = "",
    more: str = "",
    lock: str | None = LOCK,
) -> list[Rendered]:
    """Render a fleet `f` with one deployment `d`."""
    path = folder / "fleet.yaml"
    path.write_text(FLEET.format(hardware=hardware, deployment=deployment, route=route, more=more))
    if lock is not None:
        (folder / "fleet.lock").write_text(lock)
    return render(load_fleet(path), options or Options())


def edited(folder: Path, *changes: tuple[str, str]) -> list[Rendered]:
    """Render that fleet with parts of its text replaced."""
    files(folder)
    path = folder / "fleet.yaml"
    text = path.read_text()
    for old, new in changes:
        text = text.replace(old, new)
    path.write_text(text)
    return render(load_fleet(path), Options())


def example(name: str, options: Options | None = None) -> list[Rendered]:
    """Render an example."""
    return render(load_fleet(EXAMPLES / name), options or Options())


def objects(rendered: Iterable[Rendered]) -> Iterator[dict[str, Any]]:
    """Yield all objects."""
    return (one for file in rendered for one in file.objects)


def one(rendered: Iterable[Rendered], kind: str, name: str) -> dict[str, Any]:
    """Return one object."""
    (found,) = (
        made
        for made in objects(rendered)
        if made["kind"] == kind and made["metadata"]["name"] == name
    )
    return found


def kinds(rendered: Iterable[Rendered]) -> set[str]:
    """Return all kinds."""
    return {made["kind"] for made in objects(rendered)}


def engine_pod(rendered: Iterable[Rendered]) -> dict[str, Any]:
    """Return the spec of the engine's Pod in `files`."""
    spec: dict[str, Any] = one(rendered, "Deployment", "f-d")["spec"]["template"]["spec"]
    return spec


def engine_container(rendered: Iterable[Rendered]) -> dict[str, Any]:
    """Return the engine's container in `files`."""
    (container,) = engine_pod(rendered)["containers"]
    assert isinstance(container, dict)
    return container
