"""Which quantizations an accelerator runs, and how: candidates for `choose.py`.

What a kernel needs is vLLM 0.32's (its documentation of FP8 and INT8, the table of supported
hardware, and `get_min_capability` of each scheme). A quantized model is another model: how good its
answers are no arithmetic tells, so all but the form in which a model was published are marked as
needing evidence.
"""

from __future__ import annotations

from dataclasses import dataclass

from headrace.hardware.accelerator import Accelerator
from headrace.models.architecture import Architecture
from headrace.models.weight_bytes import stored_scheme

UNQUANTIZED = ("bf16", "fp16", "fp32")
EIGHT_BITS = ("fp8", "int8")
FOUR_BITS = ("awq", "gptq")
"""Alike in bytes and kernels: what is planned for one holds for the other."""
CPU_KERNELS = (*UNQUANTIZED, "int8", *FOUR_BITS)
"""What vLLM's CPU build runs."""
TURING = ("T4",)
AMD = ("MI300X",)


@dataclass(frozen=True)
class Support:
    """Whether a scheme runs on an accelerator, and how, in words."""

    runs: bool
    how: str


def candidates(architecture: Architecture) -> tuple[str, ...]:
    """Return the schemes to consider, the one in which the model is published first.

    One published in 4 bits cannot gain; one published in 8 can only go down to 4.
    """
    own = stored_scheme(architecture)
    if own in UNQUANTIZED:
        return (own, *EIGHT_BITS, FOUR_BITS[0])
    return (own, FOUR_BITS[0]) if own in EIGHT_BITS else (own,)


def needs_evidence(architecture: Architecture, scheme: str) -> bool:
    """Say whether the answers have to be measured before anyone is served by it."""
    return scheme != stored_scheme(architecture)


def support(scheme: str, accelerator: Accelerator) -> Support:
    """Say what `accelerator` does with weights in `scheme`."""
    name = accelerator.name
    if accelerator.kind == "cpu":
        return _on_cpu(scheme, name)
    match scheme:
        case "fp8":
            return _fp8(accelerator)
        case "int8":
            return _int8(accelerator)
        case "mxfp4" | "nvfp4":
            return _fp4(scheme, accelerator)
        case "bf16" | "fp16" | "fp32":
            return Support(runs=True, how="computed as stored")
        case _:
            return Support(runs=True, how="weight-only: unpacked to 16 bits for computing")


def _on_cpu(scheme: str, name: str) -> Support:
    if scheme in CPU_KERNELS:
        return Support(runs=True, how="runs on a CPU")
    return Support(runs=False, how=f"vLLM has no {scheme} kernels for {name}, a CPU")


def _fp8(accelerator: Accelerator) -> Support:
    if "fp8" in accelerator.compute:
        return Support(runs=True, how="W8A8: 8-bit weights and activations, on FP8 hardware")
    return Support(
        runs=True,
        how=f"weight-only (W8A16): {accelerator.name} is older than Ada and Hopper and has no FP8"
        " hardware, so it saves memory and reading, and prefill computes as bf16 does",
    )


def _int8(accelerator: Accelerator) -> Support:
    name, compute = accelerator.name, accelerator.compute
    if "fp4" in compute:
        return Support(runs=False, how=f"vLLM has no INT8 kernels for Blackwell ({name}): take fp8")
    if name in AMD or "int8" not in compute:
        return Support(runs=False, how=f"vLLM has no INT8 (W8A8) kernels for {name}")
    return Support(runs=True, how="W8A8: 8-bit weights and activations, on INT8 hardware")


def _fp4(scheme: str, accelerator: Accelerator) -> Support:
    if "fp4" in accelerator.compute:
        return Support(runs=True, how="computed on FP4 hardware")
    if scheme == "mxfp4" and accelerator.name in TURING:
        return Support(
            runs=False, how=f"{accelerator.name} is too old: MXFP4 needs Ampere or newer"
        )
    return Support(
        runs=True, how=f"weight-only: {accelerator.name} has no FP4 hardware, computes as bf16 does"
    )
