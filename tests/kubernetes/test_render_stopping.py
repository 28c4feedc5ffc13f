"""The grace period holds all that happens before SIGKILL; expected values are sums written out."""

from __future__ import annotations

from pathlib import Path

import pytest
from render_kit import engine_container, engine_pod, files, one
from ruamel.yaml import YAML

from headrace.engines.container import Drain
from headrace.fleet.types import Lifecycle
from headrace.kubernetes.objects.lifecycle import stop


def _lifecycle(drain: float, grace: float) -> Lifecycle:
    return Lifecycle(startup="10m", drain=f"{drain}s", grace=f"{grace}s")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("inside", "seconds", "drain", "grace", "made"),
    [
        (True, 60.0, 60, 90, (5, 90)),  # 5 + 60 + 10 = 75: the file's 90 hold it
        (True, 60.0, 60, 70, (5, 75)),  # 75 are needed
        (True, 90.0, 20, 60, (5, 105)),  # an engine that takes 90 s whatever the file says
        (True, None, 120, 130, (5, 135)),  # no deadline of its own: the file's drain is it
        (False, None, 60, 90, (65, 90)),  # cut at SIGTERM: 5 + 60 before it, and 10
        (False, None, 60, 70, (65, 75)),
        (True, 0.2, 0.2, 30, (5, 30)),  # fractions count whole
    ],
)
def test_sums(
    inside: bool, seconds: float | None, drain: float, grace: float, made: tuple[int, int]
) -> None:
    found = stop(_lifecycle(drain, grace), Drain(inside, seconds, tells=False, note="n"))
    assert (found.sleep, found.grace) == made
    assert found.grace >= found.sleep + 10


def test_a_new_vllm_drains_itself_after_a_short_prestop(tmp_path: Path) -> None:
    made = files(tmp_path, deployment="lifecycle: {startup: 5m, drain: 60s, grace: 62s}")
    assert engine_pod(made)["terminationGracePeriodSeconds"] == 75
    assert engine_container(made)["lifecycle"] == {"preStop": {"sleep": {"seconds": 5}}}
    args = engine_container(made)["args"]
    assert args[args.index("--shutdown-timeout") + 1] == "60"


def test_an_old_vllm_is_kept_from_sigterm_for_the_whole_drain(tmp_path: Path) -> None:
    made = files(
        tmp_path,
        deployment="lifecycle: {startup: 5m, drain: 60s, grace: 62s}\n"
        "    engine: {name: vllm, version: 0.10.2}",
    )
    assert "--shutdown-timeout" not in engine_container(made)["args"]
    assert engine_container(made)["lifecycle"] == {"preStop": {"sleep": {"seconds": 65}}}
    assert engine_pod(made)["terminationGracePeriodSeconds"] == 75


def test_the_gateway_waits_for_the_longest_drain(tmp_path: Path) -> None:
    made = files(tmp_path, deployment="lifecycle: {startup: 5m, drain: 3m, grace: 4m}")
    pod = one(made, "Deployment", "f-gateway")["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 5 + 180 + 10


def test_the_startup_probe_lasts_as_long_as_the_file_says(tmp_path: Path) -> None:
    made = engine_container(files(tmp_path, deployment="lifecycle: {startup: 20m}"))["startupProbe"]
    assert made["periodSeconds"] * made["failureThreshold"] == 1200


def test_reasons_with_their_sums_are_in_the_file(tmp_path: Path) -> None:
    made = files(tmp_path, deployment="lifecycle: {startup: 5m, drain: 60s, grace: 62s}")
    (text,) = (file.text for file in made if file.path == "20-d-engine.yaml")
    assert (
        "preStop 5 s + drain 60 s + exit 10 s = 75 s; more than lifecycle.grace (62 s)"
        in " ".join(line.strip(" #") for line in text.splitlines())
    )
    assert YAML(typ="safe").load_all(text)
