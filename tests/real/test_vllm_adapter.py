"""The vLLM adapter against real vLLM on this machine's CPU: what it launches starts, says and answers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import psutil
import pytest
from fleet_process import START

from headrace.capacity.fits import fit
from headrace.capacity.kv import CPU_BLOCK
from headrace.capacity.memory import replica_memory
from headrace.capacity.setup import Setup
from headrace.engines.base import LoraAdapter, Placement
from headrace.engines.known_prompt import judge, probe_request
from headrace.engines.metrics import read_metrics
from headrace.engines.vllm import Vllm
from headrace.engines.vllm_log import kv_cache_tokens
from headrace.fleet.types import Deployment, Engine, Hardware
from headrace.hardware.catalogue import find_accelerator
from headrace.hardware.machine import read_machine
from headrace.models.catalogue import need_known_model
from headrace.models.weight_bytes import weights_by_formula
from headrace.planning.check import check
from headrace.planning.check_log import read_log

KV = 768 * 2**20
LONGEST = 2048
TOKEN = 2 * 30 * 3 * 64 * 2
"""Bytes of keys and values of 30 layers with 3 heads of 64, in bf16."""


def deployment(**engine: object) -> Deployment:
    fields = {
        "model": "smollm2",
        "hardware": "here",
        "engine": Engine.model_validate({"version": "0.32.0", **engine}),
        "max_model_len": LONGEST,
        "max_num_seqs": 8,
        "kv_cache": f"{KV // 2**20}MiB",
        "lifecycle": {"drain": "30s", "grace": "60s"},
    }
    return Deployment.model_validate(fields)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Running:
    process: subprocess.Popen[bytes]
    log: Path
    client: httpx.Client

    @property
    def lines(self) -> list[str]:
        return self.log.read_text(errors="replace").splitlines()


def start(
    python: Path,
    model: Path,
    folder: Path,
    wanted: Deployment,
    adapters: tuple[LoraAdapter, ...] = (),
) -> Running:
    vllm, hardware, port = Vllm("0.32.0"), Hardware(kind="cpu"), free_port()
    assert list(vllm.problems(wanted, hardware)) == []
    names = ("smollm2", "smollm2-135m")
    cores = read_machine().cores
    place = Placement(python, model, names, "127.0.0.1", port, cores, adapters)
    launch = vllm.launch(wanted, hardware, place)
    log = folder / "engine.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            launch.argv,
            env={**os.environ, **launch.env},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Running(
        process,
        log,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=START, trust_env=False),
    )


def wait_healthy(running: Running, seconds: float = START) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if running.process.poll() is not None:
            pytest.fail(Vllm("0.32.0").last_words(running.lines))
        try:
            if running.client.get("/health").status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    pytest.fail("not healthy in time:\n" + "\n".join(running.lines[-20:]))


def stop(running: Running) -> None:
    running.client.close()
    running.process.send_signal(signal.SIGTERM)
    try:
        running.process.wait(START)
    finally:
        if running.process.poll() is None:
            os.killpg(running.process.pid, signal.SIGKILL)
            running.process.wait()


@pytest.fixture(scope="module")
def engine(
    vllm_python: Path, smollm2: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    running = start(vllm_python, smollm2, tmp_path_factory.mktemp("vllm"), deployment())
    try:
        wait_healthy(running)
        yield running
    finally:
        stop(running)


def test_phases_come_in_order_and_all_of_them(engine: Running) -> None:
    vllm = Vllm("0.32.0")
    seen = [phase for line in engine.lines if (phase := vllm.phase(line))]
    assert seen == ["import", "load", "kv cache", "warm-up", "serve"]


def test_no_deprecation_warning_reaches_the_log(engine: Running) -> None:
    assert not [line for line in engine.lines if "DeprecationWarning" in line]


def test_its_processes_share_one_import_and_have_the_cores_that_a_plain_start_gives_them(
    engine: Running,
) -> None:
    """Measured on a plain start: the server and the core may use all, the worker's threads have one each."""
    assert not [line for line in engine.lines if line.startswith("headrace:")]
    cores = set(read_machine().cores)
    children = psutil.Process(engine.process.pid).children(recursive=True)
    (forking,) = {one.ppid() for one in children} - {engine.process.pid}
    copies = [one for one in children if one.ppid() == forking]
    assert len(copies) == 2
    worker, core = sorted(copies, key=lambda one: one.name(), reverse=True)
    assert (worker.name(), core.name()) == ("VLLM::Worker", "VLLM::EngineCore")
    assert set(psutil.Process(engine.process.pid).cpu_affinity()) == cores
    assert set(core.cpu_affinity()) == cores
    bound = [frozenset(os.sched_getaffinity(thread.id)) for thread in worker.threads()]
    assert set().union(*bound) == cores
    assert {len(one) for one in bound} == {1}


def test_kv_cache_has_the_tokens_that_the_arithmetic_says(engine: Running) -> None:
    told = [tokens for line in engine.lines if (tokens := kv_cache_tokens(line)) is not None]
    assert told == [KV // (TOKEN * CPU_BLOCK) * CPU_BLOCK]


def test_the_plan_is_what_the_engine_says_to_the_block(engine: Running) -> None:
    """768 MiB // 2,949,120 bytes = 273 blocks; 273 / 16 = 17.06 requests of 2,048 tokens."""
    architecture = need_known_model("SmolLM2-135M")
    planned = Setup(
        architecture,
        weights_by_formula(architecture),
        replace(find_accelerator("L4"), kind="cpu"),
        max_model_len=LONGEST,
        max_num_seqs=8,
        max_num_batched_tokens=2048,
        kv_bytes=KV,
        block=CPU_BLOCK,
    )
    result = check(fit(planned, "0.32.0"), read_log(engine.log), "0.32.0")
    assert result.settings == ()
    counts = {row.part: row.said for row in result.rows if row.exactly}
    assert counts["KV block"] == TOKEN * CPU_BLOCK
    assert counts["KV blocks"] == KV // (TOKEN * CPU_BLOCK)
    assert counts["KV tokens"] == KV // (TOKEN * CPU_BLOCK) * CPU_BLOCK
    assert counts["requests of 2,048 tokens"] == 17.06
    assert result.good


def test_known_prompt_is_answered_rightly_under_both_names(engine: Running) -> None:
    for name in ("smollm2", "smollm2-135m"):
        path, body = probe_request(None, name)
        assert judge(None, engine.client.post(path, json=body).json()) is None


def test_every_canonical_metric_is_present_and_counts(engine: Running) -> None:
    vllm = Vllm("0.32.0")
    path, body = probe_request(None, "smollm2")
    before = read_metrics(engine.client.get("/metrics").text, vllm.metric_sources())
    engine.client.post(path, json=body).raise_for_status()
    after = read_metrics(engine.client.get("/metrics").text, vllm.metric_sources())
    assert [name for name, sample in after.items() if sample is None] == []
    old, new = before["generation_tokens"], after["generation_tokens"]
    assert old is not None
    assert new is not None
    assert new.value - old.value == body["max_tokens"]


def test_structured_outputs_work_in_the_pinned_environment(engine: Running) -> None:
    body = {
        "model": "smollm2",
        "prompt": "yes or no?",
        "max_tokens": 5,
        "structured_outputs": {"choice": ["yes", "no"]},
    }
    answer = engine.client.post("/v1/completions", json=body)
    assert answer.json()["choices"][0]["text"] in {"yes", "no"}


def test_memory_is_within_what_capacity_says(engine: Running, smollm2: Path) -> None:
    weights = sum(file.stat().st_size for file in smollm2.glob("*.safetensors"))
    session = [
        p for p in Path("/proc").iterdir() if p.name.isdigit() and _session(p) == engine.process.pid
    ]
    used = sum(_pss(process) for process in session)
    assert len(session) >= 3
    assert weights + KV < used < replica_memory(weights, KV)


def _session(process: Path) -> int:
    try:
        return os.getsid(int(process.name))
    except OSError:
        return -1


def _pss(process: Path) -> int:
    try:
        rollup = (process / "smaps_rollup").read_text()
    except OSError:
        return 0
    return next(
        int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:")
    )


def test_too_large_a_kv_cache_ends_with_the_engines_own_words(
    vllm_python: Path, smollm2: Path, tmp_path: Path
) -> None:
    wanted = deployment().model_copy(update={"kv_cache": 2**50})
    running = start(vllm_python, smollm2, tmp_path, wanted)
    try:
        assert running.process.wait(START) != 0
    finally:
        if running.process.poll() is None:
            stop(running)
    words = Vllm("0.32.0").last_words(running.lines)
    assert "less than requested memory for kv (1048576.0 GiB)" in words
    assert "\n" not in words
