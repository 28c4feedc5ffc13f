"""What hardware has kernels for, as vLLM documents it, accelerator by accelerator."""

import dataclasses

import pytest

from headrace.capacity.schemes import candidates, needs_evidence, support
from headrace.hardware.accelerator import Accelerator
from headrace.hardware.catalogue import find_accelerator
from headrace.models.architecture import Architecture, Attention, Parameters

SOME = Parameters(embedding=1, attention=1, dense=1, experts=0, norms=0, head=1, active_experts=0)


def model(quantization: str | None) -> Architecture:
    full = Attention("full", 1, 1, 64, 64)
    return Architecture("M", (full,), 64, 1, 10, 10, "bfloat16", SOME, quantization=quantization)


@pytest.mark.parametrize(
    ("name", "fp8", "int8", "mxfp4"),
    [
        # fp8: W8A8 from Ada (8.9) on and on MI300, weight-only below; INT8: Turing to Hopper;
        # MXFP4: from Ampere (8.0) on
        ("T4", "weight-only", "W8A8", None),
        ("A10G", "weight-only", "W8A8", "weight-only"),
        ("A100-40GB", "weight-only", "W8A8", "weight-only"),
        ("L4", "W8A8", "W8A8", "weight-only"),
        ("RTX-4090", "W8A8", "W8A8", "weight-only"),
        ("H100", "W8A8", "W8A8", "weight-only"),
        ("B200", "W8A8", None, "computed on FP4"),
        ("RTX-PRO-6000", "W8A8", None, "computed on FP4"),
        ("MI300X", "W8A8", None, "weight-only"),
    ],
)
def test_kernels(name: str, fp8: str | None, int8: str | None, mxfp4: str | None) -> None:
    accelerator = find_accelerator(name)
    for scheme, how in (("fp8", fp8), ("int8", int8), ("mxfp4", mxfp4)):
        found = support(scheme, accelerator)
        assert found.runs == (how is not None), scheme
        assert how is None or found.how.startswith(how), scheme
    for scheme in ("awq", "gptq"):
        assert support(scheme, accelerator).how.startswith("weight-only")
    assert support("bf16", accelerator).how == "computed as stored"


def test_reasons_say_what_to_take_instead() -> None:
    assert "take fp8" in support("int8", find_accelerator("B200")).how
    assert "older than Ada and Hopper" in support("fp8", find_accelerator("A100-80GB")).how


def test_a_cpu_runs_few() -> None:
    cpu: Accelerator = dataclasses.replace(find_accelerator("L4"), name="cpu", kind="cpu")
    runs = [
        one for one in ("bf16", "fp8", "int8", "awq", "gptq", "mxfp4") if support(one, cpu).runs
    ]
    assert runs == ["bf16", "int8", "awq", "gptq"]


def test_the_published_form_needs_no_evidence_and_is_not_blown_up() -> None:
    assert candidates(model(None)) == ("bf16", "fp8", "int8", "awq")
    assert candidates(model("fp8")) == ("fp8", "awq")
    assert candidates(model("mxfp4")) == ("mxfp4",)
    assert not needs_evidence(model("fp8"), "fp8")
    assert needs_evidence(model(None), "fp8")
    assert needs_evidence(model("fp8"), "awq")
