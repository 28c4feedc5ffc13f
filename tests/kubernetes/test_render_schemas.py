"""Everything that is rendered is taken by Kubernetes 1.35 to 1.37 and the CRDs, field by field."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jsonschema_rs
import pytest
from packaging.version import Version
from render_kit import EXAMPLES, example, files, kinds, objects, one
from schemas import VERSIONS, validate

from headrace.kubernetes.options import Expose, Options, Storage
from headrace.kubernetes.render import Rendered

FLEETS = (
    "laptop.yaml",
    "twin.yaml",
    *(f"kubernetes/{path.name}" for path in sorted((EXAMPLES / "kubernetes").glob("*.yaml"))),
)
VARIANTS = {
    "usual": Options(),
    "prometheus": Options(scaler="prometheus", expose=Expose("ingress", "llm.example.com")),
    "node-local": Options(storage=Storage("node-local"), namespace="elsewhere"),
    "route": Options(
        expose=Expose("httproute", "llm.example.com", "infra/public"), keda=Version("2.16")
    ),
    "bare": Options(without=frozenset({"keda", "prometheus", "gateway-api"})),
}


@cache
def _made(fleet: str, variant: str) -> list[Rendered]:
    return example(fleet, VARIANTS[variant])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("fleet", FLEETS)
def test_every_object_is_valid(fleet: str, variant: str) -> None:
    made = list(objects(_made(fleet, variant)))
    assert len(made) > 10
    for one_ in made:
        for version in VERSIONS:
            validate(one_, version)


def test_all_kinds_were_looked_at() -> None:
    seen = {kind for fleet in FLEETS for name in VARIANTS for kind in kinds(_made(fleet, name))}
    assert seen == {
        "Namespace", "ConfigMap", "Deployment", "LeaderWorkerSet", "Service", "PodDisruptionBudget",
        "PersistentVolumeClaim", "Job", "ScaledObject", "PodMonitor", "PrometheusRule",
        "NetworkPolicy", "ServiceAccount", "Role", "RoleBinding", "HTTPRoute", "Ingress",
        "Kustomization",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "name", "path"),
    [
        ("Deployment", "f-d", ("spec", "stratgy")),
        ("Deployment", "f-d", ("spec", "template", "spec", "dnsPolicies")),
        ("ScaledObject", "f-d", ("spec", "cooldownPeriods")),
        ("PodMonitor", "f-d", ("spec", "podMetricsEndpoint")),
        ("NetworkPolicy", "f-d", ("spec", "ingres")),
    ],
)
def test_a_misspelt_field_is_refused(
    tmp_path: Path, kind: str, name: str, path: tuple[str, ...]
) -> None:
    made = one(files(tmp_path), kind, name)
    validate(made, "1.37")
    inside = made
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = 1
    with pytest.raises((AssertionError, jsonschema_rs.ValidationError)):
        validate(made, "1.37")
