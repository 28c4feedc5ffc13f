"""The kustomization over all files, so that a team patches what is its own without editing ours."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.kubernetes.notes import Noted


def kustomization(paths: Iterable[str]) -> Noted:
    """Return the list of files; namespaces and labels are in the objects already."""
    return Noted(
        {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": sorted(paths),
        },
        {"resources": "names carry no hash: `headrace apply` and this give the same objects"},
    )
