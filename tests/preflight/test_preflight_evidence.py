"""Rules about what a fleet rests on: each with a mistake, and silent where it is mended."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from preflight_kit import ids, line_of

from headrace.evidence.deployment import fingerprint
from headrace.evidence.result import Evidence, Support, Variant, made
from headrace.evidence.store import evidence_folder, keep
from headrace.fleet.load import load_fleet
from headrace.planning.settled import settled
from headrace.preflight.check import preflight
from headrace.preflight.finding import Finding
from headrace.preflight.fleet_evidence import check_evidence
from headrace.preflight.rules.evidence import EVIDENCE_RULES
from headrace.starts.ledger import kept_path, record
from headrace.starts.start import Start

FLEET = """\
fleet: f
models:
  m: {weights: "hf://meta-llama/Llama-3.1-8B-Instruct@main"}
hardware:
  h: {kind: gpu, product: H100}
deployments:
  d:
    model: m
    hardware: h
    engine: {name: vllm, version: 0.32.0, flags: {block-size: 16}}
    max_model_len: 4096
    max_num_seqs: 16
    lifecycle: {startup: 5m, drain: 60s, grace: 75s}
    scaling: {triggers: [{signal: demand, target: 12}], min: 0, max: 2}
routes:
  r: {match: {model: [m]}, deployment: d}
"""
BOTH = (
    Support(setting="max_model_len", value=4096, says="enough"),
    Support(setting="max_num_seqs", value=16, says="the knee"),
)


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))


def write(folder: Path, text: str = FLEET) -> Path:
    file = folder / "fleet.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def found(folder: Path, text: str = FLEET) -> list[Finding]:
    return list(preflight([write(folder, text)]).open)


def measure(folder: Path, text: str = FLEET, supports: tuple[Support, ...] = BOTH) -> Evidence:
    """Keep a result that was taken on the file as `text` has it."""
    file = write(folder, text)
    one = Variant(name="as it is", fingerprint=fingerprint(load_fleet(file), "d"))
    kept = made(experiment="baseline", deployment="d", variants=(one,), supports=supports)
    keep(file, kept)
    return kept


def test_settings_that_rest_on_nothing_are_one_line(tmp_path: Path) -> None:
    (one,) = found(tmp_path)
    assert (one.rule.id, one.line) == ("HR801", line_of(FLEET, "  d:"))
    assert one.message.startswith("max_model_len and max_num_seqs rest on no measurement")
    measure(tmp_path)
    assert found(tmp_path) == []


def test_what_nobody_chose_and_what_the_plan_chose_rests_on_something(tmp_path: Path) -> None:
    text = FLEET.replace(
        "    max_model_len: 4096\n    max_num_seqs: 16\n", "    max_num_seqs: auto\n"
    )
    assert ids(found(tmp_path, text)) == ["HR202"]  # nobody chose a length: the model's, 131,072


def test_what_changed_since_is_named_once_for_all_its_settings(tmp_path: Path) -> None:
    kept = measure(
        tmp_path, FLEET.replace("0.32.0", "0.31.0").replace("block-size: 16", "block-size: 32")
    )
    (one,) = found(tmp_path)
    assert (one.rule.id, one.line) == ("HR802", line_of(FLEET, "  d:"))
    assert one.message == (
        f"max_model_len and max_num_seqs rest on {kept.id}, which is stale:"
        " engine vllm 0.31.0 -> vllm 0.32.0; engine.flags.block-size 32 -> 16"
    )
    measure(tmp_path)
    assert found(tmp_path) == []


def test_a_stale_setting_alone_is_found_on_its_line(tmp_path: Path) -> None:
    measure(tmp_path, supports=BOTH[:1])
    measure(
        tmp_path,
        FLEET.replace("seqs: 16", "seqs: 64"),
        supports=(Support(setting="max_num_seqs", value=64),),
    )
    (one,) = found(tmp_path)
    assert (one.rule.id, one.line) == ("HR802", line_of(FLEET, "max_num_seqs"))
    assert one.message.endswith("which is stale: max_num_seqs 64 -> 16")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    max_model_len", "    quantization: fp8\n    max_model_len"),
        ("meta-llama/Llama-3.1-8B-Instruct", "hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4"),
        ("meta-llama/Llama-3.1-8B-Instruct", "x/llama-w8a8"),
    ],
)
def test_quantized_weights_want_their_answers_compared(tmp_path: Path, old: str, new: str) -> None:
    text = FLEET.replace(old, new)
    measure(tmp_path, text)
    (one,) = found(tmp_path, text)
    assert one.rule.id == "HR803"
    assert one.line in (
        line_of(text, "    model: m"),
        line_of(text, "quantization: fp8") if "fp8" in text else 0,
    )
    measure(tmp_path, text, supports=(Support(setting="quantization", value="fp8"),))
    assert found(tmp_path, text) == []


def test_weights_quantized_here_are_known_by_their_configuration(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "num_attention_heads": 4,
        "num_key_value_heads": 2, "num_hidden_layers": 2, "intermediate_size": 128, "vocab_size": 256,
        "max_position_embeddings": 8192, "torch_dtype": "bfloat16",
    }  # fmt: skip
    text = FLEET.replace("hf://meta-llama/Llama-3.1-8B-Instruct@main", f"file://{folder}")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.bin").write_bytes(b"x")
    assert ids(found(tmp_path, text)) == ["HR801"]
    weights = {"weights": {"type": "int", "num_bits": 8}}
    scheme = {"quant_method": "compressed-tensors", "config_groups": {"group_0": weights}}
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": scheme}))
    assert ids(found(tmp_path, text)) == ["HR801", "HR803"]


def start(seconds: float, number: int, **fields: object) -> Start:
    given = {
        "id": f"s{number}", "deployment": "d", "runtime": "local", "began": "2026-11-28T10:00:00Z",
        "outcome": "ready", "phases": {"load": seconds}, "engine": "vllm", "version": "0.32.0",
        "model": "m", "hardware": "H100",
    } | fields  # fmt: skip
    return Start(**given)  # type: ignore[arg-type]


LIMITS = [
    (
        "startup: 5m",
        "startup: 100s",
        "lifecycle.startup",
        "100s to start; of 2 starts one took 130 s",
    ),
    ("max: 2}", "max: 2}\n    queue: {max_wait: 90s}", "queue.max_wait", "waits 90s; of 2 starts"),
    ("max: 2}", "max: 2, cooldown: 1m}", "scaling.cooldown", "rests after 1m without work"),
]


@pytest.mark.parametrize(("old", "new", "field", "said"), LIMITS)
def test_limits_below_the_measured_start(
    tmp_path: Path, old: str, new: str, field: str, said: str
) -> None:
    text = FLEET.replace(old, new)
    measure(tmp_path, text)
    assert found(tmp_path, text) == []
    for number, seconds in enumerate((120.0, 130.0)):
        record(kept_path(tmp_path / "fleet.yaml"), start(seconds, number))
    (one,) = found(tmp_path, text)
    assert one.rule.id == "HR804"
    assert one.where == f"deployments.d.{field}"
    assert said in one.message
    assert found(tmp_path) == []


@pytest.mark.parametrize(
    "fields",
    [{"emulated": True}, {"version": "0.30.0"}, {"outcome": "failed"}, {"deployment": "e"}],
)
def test_starts_of_something_else_set_no_limit(tmp_path: Path, fields: dict[str, object]) -> None:
    measure(tmp_path)
    for number in range(3):
        record(kept_path(tmp_path / "fleet.yaml"), start(1000, number, **fields))
    assert found(tmp_path) == []


def test_what_lies_beside_a_file_is_read_once_for_all_its_deployments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = FLEET.partition("deployments:\n")[2].partition("routes:")[0]
    text = FLEET.replace(one, "".join(one.replace("  d:", f"  {name}:") for name in "def"))
    text += "".join(
        f"  {name}: {{match: {{model: [{name}]}}, deployment: {name}}}\n" for name in "ef"
    )
    kept = measure(tmp_path, text)
    record(kept_path(tmp_path / "fleet.yaml"), start(1, 1))
    opened: list[str] = []
    real = Path.open

    def counting(self: Path, *args: Any, **more: Any) -> Any:
        opened.append(self.name)
        return real(self, *args, **more)

    whole = settled(load_fleet(write(tmp_path, text)))
    monkeypatch.setattr(Path, "open", counting)
    assert list(check_evidence(whole)) == []
    for name in (f"{kept.id}.json", "fleet.starts.jsonl", "fleet.lock"):
        assert opened.count(name) == 1, name


def test_one_start_sets_no_limit(tmp_path: Path) -> None:
    measure(tmp_path)
    record(kept_path(tmp_path / "fleet.yaml"), start(1000, 1))
    assert found(tmp_path) == []


@pytest.mark.parametrize(
    "flags",
    [
        'speculative-config: \'{"method": "ngram", "num_speculative_tokens": 3}\'',
        "speculative_config.method: ngram, speculative-config.num_speculative_tokens: 3",
    ],
)
def test_guessing_wants_to_be_measured(tmp_path: Path, flags: str) -> None:
    text = FLEET.replace("block-size: 16", flags)
    measure(tmp_path, text)
    (one,) = found(tmp_path, text)
    assert (one.rule.id, one.line) == ("HR805", line_of(text, "flags:"))
    now = fingerprint(load_fleet(write(tmp_path, text)), "d")
    name = next(name for name in now.flags if "spec" in name)
    measure(tmp_path, text, supports=(Support(setting=name, value=now.flags[name]),))
    assert found(tmp_path, text) == []


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    kept = measure(tmp_path)
    path = evidence_folder(tmp_path / "fleet.yaml") / f"{kept.id}.json"
    content = path.read_text()
    path.write_text(f"<<<<<<< HEAD\n{content}")
    assert ids(found(tmp_path)) == ["HR806", "HR801"]
    assert ids(preflight([tmp_path]).open) == ["HR806", "HR801"]
    path.write_text(content)
    assert found(tmp_path) == []


def test_a_setting_that_a_measurement_speaks_against(tmp_path: Path) -> None:
    against = Support(setting="max_num_seqs", value=16, holds=False, says="64 serves 1.7 times")
    kept = measure(tmp_path, supports=(BOTH[0], against))
    (one,) = found(tmp_path)
    assert (one.rule.id, one.line) == ("HR807", line_of(FLEET, "max_num_seqs"))
    assert f"64 serves 1.7 times ({kept.id}" in one.message


def test_times_go_by_what_the_file_writes(tmp_path: Path) -> None:
    measure(tmp_path, supports=(*BOTH, Support(setting="lifecycle.drain", value="1m")))
    assert found(tmp_path) == []
    text = FLEET.replace("drain: 60s", "drain: 30s")
    (one,) = found(tmp_path, text)
    assert (one.rule.id, one.line) == ("HR802", line_of(text, "drain: 30s"))
    assert one.message.endswith("stale: lifecycle.drain 1m -> 30s")


def test_an_old_result_is_stale(tmp_path: Path) -> None:
    file = write(tmp_path)
    one = Variant(name="as it is", fingerprint=fingerprint(load_fleet(file), "d"))
    taken = datetime.now(UTC) - timedelta(days=500)
    keep(file, made(experiment="b", deployment="d", variants=(one,), supports=BOTH, taken=taken))
    (stale,) = found(tmp_path)
    assert stale.rule.id == "HR802"
    assert stale.message.endswith("it is 16 months old")


def test_twins_have_nothing_to_measure(tmp_path: Path) -> None:
    assert found(tmp_path, FLEET.replace("kind: gpu", "kind: emulated")) == []


def test_a_result_from_another_cpu_is_no_matter_of_files(tmp_path: Path) -> None:
    text = FLEET.replace("kind: gpu, product: H100", "kind: cpu, cores: 4")
    text = text.replace("    max_model_len", "    kv_cache: 1GiB\n    max_model_len")
    kept = measure(tmp_path, text, supports=(*BOTH, Support(setting="kv_cache", value=2**30)))
    assert kept.variants[0].fingerprint.hardware.cores == 4
    assert found(tmp_path, text.replace("cores: 4", "cores: 1")) == []


def test_a_damaged_lock_file_is_a_problem_of_the_fleet(tmp_path: Path) -> None:
    write(tmp_path).with_suffix(".lock").write_text("{")
    assert ids(found(tmp_path)) == ["HR004"]


def test_every_rule_is_tried_here() -> None:
    text = Path(__file__).read_text("utf-8")
    assert all(text.count(f'"{rule.id}"') for rule in EVIDENCE_RULES)
