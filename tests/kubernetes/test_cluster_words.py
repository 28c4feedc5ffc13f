"""What a person reads when a cluster cannot be talked to, or does not want to."""

from __future__ import annotations

import json
import socket
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from lightkube.config.kubeconfig import KubeConfig
from twin_kit import SPACE, cluster_of, twin_and_cluster

from headrace.kubernetes.cluster import Cluster
from headrace.kubernetes.errors import (
    ContextError,
    CredentialsError,
    ForbiddenError,
    UnavailableError,
    UnreachableError,
)
from headrace.kubernetes.kubeconfig import find_config
from headrace.kubernetes.resource import DEPLOYMENTS, PODS
from headrace.kubernetes.twin.requests import Asked
from headrace.kubernetes.twin.server import Twin
from headrace.kubernetes.twin.statuses import Refused, status


def config(server: str, name: str = "work", **user: Any) -> dict[str, Any]:
    return {
        "current-context": name,
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": name, "context": {"cluster": "c", "user": "u"}}],
    }


def closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def test_nobody_there() -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    found = KubeConfig.from_dict(config(url)).get()
    assert found is not None
    async with Cluster(found, pauses=(0.0,)) as cluster:
        with pytest.raises(UnreachableError) as caught:
            await cluster.find(PODS, SPACE)
    assert str(caught.value).startswith(
        f"the API server of context 'work' ({url}) does not answer: "
    )
    assert str(caught.value).endswith("is it up, and can this machine reach it?")


async def test_expired_credentials() -> None:
    async with Twin() as twin, cluster_of(twin) as cluster:
        twin.requests.token = "renewed"  # noqa: S105
        with pytest.raises(CredentialsError, match=r"no longer accepts these credentials \(401\)"):
            await cluster.find(PODS, SPACE)
        assert len(twin.asked) == 1  # asking again is no use


async def test_forbidden_verbs_are_named() -> None:
    async with twin_and_cluster() as (twin, cluster):
        twin.requests.forbidden.add(("list", "deployments"))
        with pytest.raises(ForbiddenError) as caught:
            await cluster.find(DEPLOYMENTS, SPACE)
    assert str(caught.value) == (
        'may not list deployments: deployments.apps is forbidden: User "twin" cannot list '
        'resource "deployments" in API group "apps" in the namespace "shop"'
    )


async def test_overload_is_waited_out_as_long_as_patience_lasts() -> None:
    async with Twin() as twin, cluster_of(twin) as cluster:
        count = 0

        async def busy(_: Asked) -> None:
            nonlocal count
            count += 1
            raise Refused(status(429, "TooManyRequests", "too many requests"), after=0)

        twin.before = busy
        with pytest.raises(UnavailableError, match="429: too many requests"):
            await cluster.find(PODS, SPACE)
    assert count == 3  # the kit has two pauses


async def test_a_connection_that_breaks_is_tried_again() -> None:
    async with twin_and_cluster() as (twin, cluster):
        broken = 2

        async def breaks(_: Asked) -> None:
            nonlocal broken
            broken -= 1
            if broken >= 0:
                raise ConnectionResetError

        twin.before = breaks
        assert (await cluster.find(PODS, SPACE)).items == ()


def kubeconfig(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_the_first_of_several_files_that_has_the_context_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = kubeconfig(tmp_path / "one", config("http://one", "a"))
    two = kubeconfig(tmp_path / "two", config("http://two", "b"))
    monkeypatch.setenv("KUBECONFIG", f"{one}:{tmp_path / 'none'}:{two}")
    assert find_config().cluster.server == "http://one"
    assert find_config("b").cluster.server == "http://two"
    with pytest.raises(ContextError, match=r"no context 'c' in .*one, .*two"):
        find_config("c")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[1, 2]", "is no kubeconfig"),
        ("{", "is no kubeconfig"),
        ('{"clusters": [], "contexts": []}', "no current context"),
        (
            (
                '{"clusters": [], "current-context": "x",'
                ' "contexts": [{"name": "x", "context": {"cluster": "gone"}}]}'
            ),
            "context 'x' names 'gone', which is not there",
        ),
    ],
)
def test_a_file_that_is_no_kubeconfig(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, words: str
) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    monkeypatch.setenv("KUBECONFIG", str(path))
    with pytest.raises(ContextError, match=words):
        find_config()


def test_a_named_file_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere/config")
    with pytest.raises(ContextError, match="KUBECONFIG names /nowhere/config"):
        find_config()


def test_no_cluster_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ContextError, match="no cluster to talk to"):
        find_config()


def plug_in(folder: Path, body: str) -> Path:
    path = folder / "plug-in"
    path.write_text(f"#!{sys.executable}\nimport json, os, sys\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


async def test_a_plug_in_of_the_newest_protocol_brings_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = (
        "told = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
        "token = 'twin' if told['spec']['cluster']['server'].startswith('http://127') else '?'\n"
        "print(json.dumps({'apiVersion': told['apiVersion'], 'status': {'token': token}}))"
    )
    async with Twin() as twin:
        user = {
            "exec": {
                "apiVersion": "client.authentication.k8s.io/v1",
                "command": str(plug_in(tmp_path, body)),
            }
        }
        path = kubeconfig(tmp_path / "config", config(twin.url, **user))
        monkeypatch.setenv("KUBECONFIG", str(path))
        async with Cluster(find_config()) as cluster:
            assert (await cluster.find(PODS, SPACE)).items == ()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("sys.exit('please log in')", "please log in"),
        ("print('not json')", "no credentials for"),
        ("print('{}')", "no credentials for"),
    ],
)
async def test_a_plug_in_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, words: str
) -> None:
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "command": str(plug_in(tmp_path, body)),
        }
    }
    path = kubeconfig(tmp_path / "config", config("http://127.0.0.1:1", **user))
    monkeypatch.setenv("KUBECONFIG", str(path))
    async with Cluster(find_config(), pauses=()) as cluster:
        with pytest.raises(ContextError, match=words):
            await cluster.find(PODS, SPACE)


async def test_a_plug_in_that_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "command": str(tmp_path / "none"),
        }
    }
    path = kubeconfig(tmp_path / "config", config("http://127.0.0.1:1", **user))
    monkeypatch.setenv("KUBECONFIG", str(path))
    async with Cluster(find_config(), pauses=()) as cluster:
        with pytest.raises(ContextError, match="No such file"):
            await cluster.find(PODS, SPACE)
