"""The words of the command line, and what comes out of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml as pyyaml
from click.testing import Result
from packaging.version import Version
from render_kit import ROOT, files
from typer.testing import CliRunner

from headrace.cli.main import app
from headrace.kubernetes.options import (
    Expose,
    OptionError,
    Storage,
    parse_expose,
    parse_gpus,
    parse_keda,
    parse_storage,
    parse_without,
)


def test_words_that_mean_something() -> None:
    assert parse_expose("none") == Expose()
    assert parse_expose("ingress=a.example.com") == Expose("ingress", "a.example.com")
    assert parse_expose("httproute=*.example.com@infra/public") == Expose(
        "httproute", "*.example.com", "infra/public"
    )
    assert parse_storage("rwx") == Storage()
    assert parse_storage("rwx=nfs") == Storage("rwx", "nfs")
    assert parse_storage("node-local") == Storage("node-local")
    assert parse_without("keda, lws") == {"keda", "lws"}
    assert parse_without("") == frozenset()
    assert parse_keda("2.16.1") == Version("2.16.1")
    assert parse_gpus(["h=8"], {"h": 1}) == {"h": 8}


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_expose, "ingress"),
        (parse_expose, "ingress="),
        (parse_expose, "ingress=a b"),
        (parse_expose, "ingress=a@b/c"),
        (parse_expose, "httproute=a@b"),
        (parse_expose, "route=a"),
        (parse_storage, "rwx="),
        (parse_storage, "nfs"),
        (parse_without, "istio"),
        (parse_keda, "2.15"),
        (parse_keda, "new"),
        (lambda text: parse_gpus([text], {"h": 1}), "x=8"),
        (lambda text: parse_gpus([text], {"h": 1}), "h=many"),
    ],
)
def test_words_that_mean_nothing(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(OptionError, match=r"--\w+ "):
        parse(text)


def _run(*words: str) -> Result:
    return CliRunner().invoke(app, ["render", *words], catch_exceptions=False)


def test_all_on_one_page(tmp_path: Path) -> None:
    made = files(tmp_path)
    found = _run(str(tmp_path / "fleet.yaml"))
    assert found.exit_code == 0
    documents = list(pyyaml.safe_load_all(found.stdout))
    expected = [dict(one) for file in made for one in file.objects]
    assert documents == expected[:-1]  # the kustomization is for folders


def test_a_folder_and_what_is_left_over_in_it(tmp_path: Path) -> None:
    made = files(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    (out / "20-gone-engine.yaml").write_text("")
    found = _run(str(tmp_path / "fleet.yaml"), "-o", str(out))
    assert found.exit_code == 0
    assert {path.name for path in out.iterdir()} == {one.path for one in made} | {
        "20-gone-engine.yaml"
    }
    for one in made:
        assert (out / one.path).read_text() == one.text
    assert "20-gone-engine.yaml is not of this fleet any more; delete it" in found.stderr
    listed = pyyaml.safe_load((out / "kustomization.yaml").read_text())["resources"]
    assert set(listed) == {one.path for one in made} - {"kustomization.yaml"}


def test_what_is_not_locked_is_warned_of_once(tmp_path: Path) -> None:
    files(tmp_path, lock=None)
    found = _run(str(tmp_path / "fleet.yaml"), "-o", str(tmp_path / "out"))
    assert found.stderr.count("NOT READY TO APPLY") == 1


def test_a_wrong_word_is_wrong_usage(tmp_path: Path) -> None:
    files(tmp_path)
    found = _run(str(tmp_path / "fleet.yaml"), "--storage", "nfs")
    assert found.exit_code == 2
    assert "write rwx, rwx=CLASS or node-local" in " ".join(found.stderr.split())


def test_the_image_runs_as_the_user_that_pods_ask_for() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["headrace"\]$', text, re.MULTILINE)
