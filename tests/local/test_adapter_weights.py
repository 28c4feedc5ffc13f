"""LoRA adapters of a fleet file: pulled, locked and verified as models are, and given to the engine."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save
from typer.testing import CliRunner

from headrace.cli.main import app
from headrace.fleet.load import load_fleet
from headrace.hardware.machine import Machine
from headrace.local import prepare
from headrace.local.wanted import wanted_weights
from headrace.models.progress import silent

FLEET = """
fleet: test
models: {{small: {{weights: "file://{folder}/model"}}}}
hardware: {{here: {{kind: {kind}}}}}
deployments:
  chat:
    model: small
    hardware: here
    kv_cache: 1GiB
    adapters: {{pirate: {{weights: "file://{folder}/pirate"}}}}
routes:
  chat: {{match: {{model: [chat, pirate]}}, deployment: chat}}
"""
MACHINE = Machine((0,), 1, 2**40, 2**40)
TENSORS = save({"a.lora_A.weight": np.ones((4, 8), dtype=np.float32)})


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))


def write(folder: Path, kind: str = "cpu", rank: int = 4) -> Path:
    for name, config, tensors in (
        ("model", {"architectures": ["LlamaForCausalLM"]}, "model.safetensors"),
        ("pirate", {"peft_type": "LORA", "r": rank}, "adapter_model.safetensors"),
    ):
        (folder / name).mkdir(exist_ok=True)
        said = "adapter_config.json" if name == "pirate" else "config.json"
        (folder / name / said).write_text(json.dumps(config))
        (folder / name / tensors).write_bytes(TENSORS)
    file = folder / "fleet.yaml"
    file.write_text(FLEET.format(folder=folder, kind=kind))
    return file


def test_an_adapter_is_pulled_and_locked_beside_its_model(tmp_path: Path) -> None:
    file = load_fleet(write(tmp_path))
    folders = prepare.prepare_weights(file, silent)
    assert list(folders) == ["small", "chat/pirate"]
    locked = json.loads((tmp_path / "fleet.lock").read_text())["models"]
    assert list(locked) == ["chat/pirate", "small"]
    (made,) = prepare.blueprints(file, folders, {"chat": Path(sys.executable)}, MACHINE, ())
    (adapter,) = made.adapters
    assert (adapter.name, adapter.path, adapter.rank) == ("pirate", folders["chat/pirate"], 4)
    assert made.served_names == ("chat",)


def test_a_twin_has_the_adapters_names_and_nobodys_weights(tmp_path: Path) -> None:
    file = load_fleet(write(tmp_path, "emulated"))
    assert list(wanted_weights(file.fleet)) == []
    (made,) = prepare.blueprints(file, {}, {"chat": Path(sys.executable)}, MACHINE, ())
    assert [one.name for one in made.adapters] == ["pirate"]


def test_verify_finds_an_adapter_that_was_altered(tmp_path: Path) -> None:
    path = write(tmp_path)
    folders = prepare.prepare_weights(load_fleet(path), silent)
    good = CliRunner().invoke(app, ["weights", "verify", str(path)])
    assert good.exit_code == 0
    assert "chat/pirate: good: 2 files match the lock file" in good.output
    weights = folders["chat/pirate"] / "adapter_model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(TENSORS[:-1] + b"\x01")
    bad = CliRunner().invoke(app, ["weights", "verify", str(path)])
    assert bad.exit_code == 1
    assert "chat/pirate: adapter_model.safetensors: altered" in bad.output


def test_a_folder_that_is_no_adapter_is_refused_by_its_key(tmp_path: Path) -> None:
    path = write(tmp_path, rank=0)
    done = CliRunner().invoke(app, ["weights", "pull", str(path)])
    assert str(done.exception).startswith("chat/pirate: adapter_config.json: r must be a positive")
