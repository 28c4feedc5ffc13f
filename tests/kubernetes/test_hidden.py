"""No secret is in a diff, and yet its change is."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.kubernetes.diff import Difference, lines

OLD, NEW = "c2VjcmV0LW9sZA==", "c2VjcmV0LW5ldw=="


def secret(value: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "annotations": {LAST: f"data {value}"}},
        "data": {"key": value, "same": "dW5jaGFuZ2Vk"},
    }


LAST = "kubectl.kubernetes.io/last-applied-configuration"


def container(value: str, **more: Any) -> dict[str, Any]:
    one = {"env": [{"name": "MY_TOKEN", "value": value}], **more}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": one}


def argument(value: str) -> dict[str, Any]:
    return container("x", args=["serve", "--api-key", value, f"--hf-token={value}", "--max", "3"])


def text(value: str) -> dict[str, Any]:
    told = f"a: 1\napi_key: {value}\nenv: {{HF_TOKEN: {value}, B: 2}}\n- PASSWORD={value}\n"
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "m"},
        "data": {"file": told},
    }


@pytest.mark.parametrize("make", [secret, container, argument, text])
def test_a_changed_secret_is_seen_to_change_and_not_seen(make: Any) -> None:
    one = Difference("changed", make(NEW), make(OLD), make(NEW))
    shown = "\n".join(lines(one))
    assert OLD not in shown
    assert NEW not in shown
    removed = [line for line in shown.splitlines() if line.startswith("  -")]
    added = [line for line in shown.splitlines() if line.startswith("  +")]
    assert len(removed) == len(added) > 0
    assert all("<hidden" in line for line in (*removed, *added))


def test_what_is_no_secret_is_shown() -> None:
    def one(value: int) -> dict[str, Any]:
        told = f"a: 1\nmax_num_batched_tokens: {value}\n"
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "m"},
            "data": {"file": told, "token_secret": "hf-token"},
        }

    shown = "\n".join(lines(Difference("changed", one(2), one(1), one(2))))
    assert "max_num_batched_tokens: 1" in shown
    assert "max_num_batched_tokens: 2" in shown
