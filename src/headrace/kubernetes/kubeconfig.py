"""Which cluster is meant, and with whose credentials: the files, order and words of kubectl.

lightkube reads the files and does certificates, tokens and credential plug-ins. Here is the order
(KUBECONFIG, then the usual file, then the Pod's own account: a person's choice wins over where the
command happens to run) and what lightkube lacks: several files in KUBECONFIG, and plug-ins that
speak v1 of their protocol, which is v1beta1 but for its name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.config.models import NameValue, User, UserExec
from lightkube.core.exceptions import ConfigError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from headrace.kubernetes.errors import ContextError

_USUAL = Path("~/.kube/config")
_SPOKEN = "client.authentication.k8s.io/v1beta1"
_SAME = "client.authentication.k8s.io/v1"


def find_config(context: str | None = None) -> SingleConfig:
    """Return the context of that name, or the current one; ContextError if there is none."""
    files = list(_files())
    for path in files:
        config = _read(path)
        name = context or config.current_context
        if name and name in config.contexts:
            return _chosen(config, name, path)
    if context is None and not files:
        return _of_pod()
    told = ", ".join(map(str, files)) or str(_USUAL)
    if context is not None:
        raise ContextError(
            f"no context '{context}' in {told}; `kubectl config get-contexts` lists them"
        )
    raise ContextError(
        f"no current context in {told}; choose one with --context or `kubectl config`"
    )


def _files() -> Iterator[Path]:
    named = os.environ.get("KUBECONFIG", "")
    if named:
        paths = [Path(part).expanduser() for part in named.split(os.pathsep) if part]
        there = [path for path in paths if path.is_file()]
        if not there:
            raise ContextError(f"KUBECONFIG names {named}, where there is no file")
        yield from there
    elif _USUAL.expanduser().is_file():
        yield _USUAL.expanduser()


def _read(path: Path) -> KubeConfig:
    try:
        return KubeConfig.from_dict(YAML(typ="safe").load(path), fname=path)
    except OSError as error:
        raise ContextError(f"{path} cannot be read: {error.strerror}") from error
    except (YAMLError, KeyError, TypeError, AttributeError, msgspec.ValidationError) as error:
        raise ContextError(f"{path} is no kubeconfig: {error}") from error


def _chosen(config: KubeConfig, name: str, path: Path) -> SingleConfig:
    try:
        found = config.get(name)
    except KeyError as error:
        raise ContextError(f"{path}: context '{name}' names {error}, which is not there") from error
    if found is None:  # only with a default, which is not given
        raise ContextError(f"{path}: no context '{name}'")
    return found._replace(user=_spoken(found.user or User(), found))


def _spoken(user: User, config: SingleConfig) -> User:
    """Return the user with a plug-in that lightkube can call and that knows its cluster."""
    if user.exec is None:
        return user
    told = {
        "apiVersion": user.exec.apiVersion,
        "kind": "ExecCredential",
        "spec": {"interactive": False, "cluster": {"server": config.cluster.server}},
    }
    env = [*(user.exec.env or []), NameValue("KUBERNETES_EXEC_INFO", json.dumps(told))]
    version = _SPOKEN if user.exec.apiVersion == _SAME else user.exec.apiVersion
    plug = UserExec(version, user.exec.command, env, user.exec.args, user.exec.installHint)
    return msgspec.structs.replace(user, exec=plug)


def _of_pod() -> SingleConfig:
    try:
        found = KubeConfig.from_service_account().get()
    except (ConfigError, KeyError) as error:
        raise ContextError(
            f"no cluster to talk to: no {_USUAL}, no KUBECONFIG, and this is no Pod"
        ) from error
    if found is None:
        raise ContextError("the Pod's service account names no cluster")
    return found
