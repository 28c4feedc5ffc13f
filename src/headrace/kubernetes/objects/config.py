"""The namespace, and the fleet file as Headrace's own Pods read it: settled, at cluster addresses.

What the file leaves open is filled in before, so that every Pod means the same fleet, whatever it
could find out about models; its comments stay. They read it again when it changes, so an edit of
routes or limits restarts nothing.
"""

from __future__ import annotations

import io
from typing import Any

from ruamel.yaml import YAML

from headrace.kubernetes import names
from headrace.kubernetes.notes import Noted
from headrace.kubernetes.objects.scene import Scene
from headrace.kubernetes.objects.security import level
from headrace.kubernetes.objects.storage import KEYS_FILE
from headrace.planning.flags import Flag

_EVERYWHERE = "0.0.0.0"  # noqa: S104 - inside a Pod, which a NetworkPolicy guards


def cluster_text(text: str, chosen: dict[str, tuple[Flag, ...]]) -> str:
    """Return a fleet file's text with chosen values filled in and the gateway's cluster ports."""
    yaml = YAML(typ="rt")
    yaml.width = 10**9
    data = yaml.load(text)
    for name, flags in chosen.items():
        for flag in flags:
            data["deployments"][name][flag.name] = _written(flag)
    gateway = data.setdefault("gateway", {})
    gateway.update(_gateway(has_keys="keys" in gateway))
    stream = io.StringIO()
    yaml.dump(data, stream)
    return stream.getvalue()


def _written(flag: Flag) -> Any:
    return f"{int(flag.value)}B" if flag.name == "kv_cache" else flag.value


def _gateway(*, has_keys: bool) -> dict[str, Any]:
    ports = {"port": names.API_PORT, "admin_port": names.ADMIN_PORT}
    found = {"host": _EVERYWHERE, "admin_host": _EVERYWHERE, **ports}
    return found | ({"keys": KEYS_FILE} if has_keys else {})


def namespace(scene: Scene, *, roots: bool) -> Noted:
    """Return the namespace, with the strictest Pod Security level that its Pods can have."""
    local = scene.options.storage.kind == "node-local"
    strictest, why = level(host_paths=local, roots=roots)
    labels = {
        names.MANAGED_BY: names.FIELD_MANAGER,
        names.PART_OF: scene.name,
        "pod-security.kubernetes.io/enforce": strictest,
    }
    meta = {
        "name": scene.namespace,
        "labels": Noted(labels, {"pod-security.kubernetes.io/enforce": why}),
    }
    return Noted({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})


def config_map(scene: Scene) -> Noted:
    """Return the ConfigMap with the fleet file and its lock."""
    data = Noted(
        {"fleet.yaml": scene.text, "fleet.lock": scene.lock},
        {"fleet.yaml": "settled, at the cluster's addresses; edit the file it came from"},
    )
    meta = scene.meta(names.config(scene.name), "config", "config")
    return Noted({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})
