"""A copy's fleet file: what is taken over, what is changed, what is left out."""

from pathlib import Path

import pytest
from experiment_kit import write_twins
from ruamel.yaml import YAML

from headrace.experiments.change import AS_IT_IS, Change, copied, put
from headrace.experiments.copies import write
from headrace.fleet.load import load_fleet
from headrace.fleet.problems import FleetError
from headrace.models.lock import LockedFile, LockEntry, lock_path, read_lock, write_lock

ENTRY = LockEntry("file:///nowhere", "here", (LockedFile("a", 1, "0" * 64),))


def test_a_copy_has_the_deployment_one_route_and_addresses_of_its_own(tmp_path: Path) -> None:
    file = write_twins(tmp_path)
    data = copied(file, "chat", AS_IT_IS)
    assert data["deployments"]["chat"]["max_model_len"] == 1024
    assert data["deployments"]["chat"]["scaling"] == {"min": 1, "max": 1, "initial": 1}
    assert data["hardware"]["twins"]["tpot"] == "2ms"
    assert list(data["routes"].values()) == [{"match": {"model": ["friend"]}, "deployment": "chat"}]
    assert data["gateway"] == {"host": "127.0.0.1", "port": 0, "admin_port": 0}


def test_what_a_change_says_is_different_and_the_users_file_is_not(tmp_path: Path) -> None:
    file = write_twins(tmp_path)
    change = Change(
        "other",
        {"max_model_len": 512, "engine.flags.enable-prefix-caching": False, "max_num_seqs": None},
        {"kv_tokens": 4096},
        "file:///elsewhere",
        replicas=2,
    )
    data = copied(file, "chat", change)
    own = data["deployments"]["chat"]
    assert own["max_model_len"] == 512
    assert own["engine"] == {"flags": {"enable-prefix-caching": False}}
    assert "max_num_seqs" not in own
    assert own["scaling"]["min"] == own["scaling"]["max"] == 2
    assert data["hardware"]["twins"]["kv_tokens"] == 4096
    assert data["models"]["any"]["weights"] == "file:///elsewhere"
    assert copied(file, "chat", AS_IT_IS)["deployments"]["chat"]["max_num_seqs"] == 8


def test_what_the_plan_chose_stands_in_the_copy_as_a_value(tmp_path: Path) -> None:
    file = write_twins(tmp_path)
    file.document.data["deployments"]["chat"]["max_num_seqs"] = "auto"
    assert copied(file, "chat", AS_IT_IS)["deployments"]["chat"]["max_num_seqs"] == 8


def test_the_written_file_is_a_fleet_file_with_the_lock_of_the_same_weights(tmp_path: Path) -> None:
    file = write_twins(tmp_path)
    write_lock(lock_path(file.path), {"any": ENTRY, "other": ENTRY})
    (tmp_path / "copy").mkdir()
    path = write(tmp_path / "copy", file, "chat", AS_IT_IS)
    assert load_fleet(path).fleet.deployments["chat"].max_num_seqs == 8
    assert read_lock(lock_path(path)) == {"any": ENTRY}
    # Other weights have another entry, which pulling them makes.
    path = write(tmp_path / "copy", file, "chat", Change(weights="file:///elsewhere"))
    assert YAML(typ="safe").load(path)["models"]["any"]["weights"] == "file:///elsewhere"


def test_other_weights_do_not_inherit_a_lock(tmp_path: Path) -> None:
    file = write_twins(tmp_path)
    write_lock(lock_path(file.path), {"any": ENTRY})
    (tmp_path / "copy").mkdir()
    path = write(tmp_path / "copy", file, "chat", Change(weights="file:///elsewhere"))
    assert read_lock(lock_path(path)) == {}


def test_a_change_that_the_files_rules_refuse_is_refused(tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    path = write(
        tmp_path / "copy", write_twins(tmp_path), "chat", Change(fields={"max_model_len": 1})
    )
    with pytest.raises(FleetError, match="max_model_len"):
        load_fleet(path)


def test_a_field_is_put_where_its_path_says() -> None:
    data: dict[str, object] = {"a": {"b": 1}}
    put(data, "a.c.d", 2)
    put(data, "a.b", None)
    put(data, "x", 3)
    assert data == {"a": {"c": {"d": 2}}, "x": 3}
