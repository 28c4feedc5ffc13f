"""Every way to spread one replica over given nodes: tensor parallel, pipeline, and what forbids it.

Tensor parallelism shares each layer and has all its accelerators talk twice a layer, so it stays
inside a node; a pipeline gives each stage some of the layers and talks once a stage, so it may
cross nodes, but shortens no token's time. Whether a layout has the memory is `fits.py`'s;
`choose.py` weighs those that do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from headrace.capacity.setup import Layout
from headrace.hardware.accelerator import Accelerator
from headrace.models.architecture import Architecture

SLOW_LINK = 1e11
"""Bytes a second and direction; NVLink and its like are above, PCIe below."""


@dataclass(frozen=True)
class Nodes:
    """`count` nodes of `per_node` accelerators each, all of them free for this model."""

    accelerator: Accelerator
    per_node: int
    count: int = 1

    def __post_init__(self) -> None:
        for name in ("per_node", "count"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")

    @classmethod
    def usual(cls, accelerator: Accelerator, count: int = 1) -> Nodes:
        """Return nodes as they are usually sold."""
        return cls(accelerator, accelerator.per_node, count)

    def spanned(self, layout: Layout) -> int:
        """Return the nodes that one replica is spread over: a stage stays inside a node."""
        stages = self.per_node // layout.tensor
        return -(-layout.pipeline // stages)


def layouts(architecture: Architecture, nodes: Nodes) -> Iterator[Layout]:
    """Yield those that the engine starts, best first as `preference` sees it."""
    found = [shape for shape in _shapes(nodes) if not refusal(architecture, nodes, shape)]
    yield from sorted(found, key=lambda shape: preference(nodes, shape))


def refusal(architecture: Architecture, nodes: Nodes, layout: Layout) -> str | None:
    """Return why vLLM would not start `layout` there, None if it would; memory is not looked at."""
    tensor, pipeline = layout.tensor, layout.pipeline
    if rest := architecture.heads % tensor:
        return (
            f"{tensor} does not divide the {architecture.heads} attention heads"
            f" ({architecture.heads} = {architecture.heads // tensor} x {tensor} + {rest})"
        )
    for kind in architecture.attention:
        if kind.kind not in ("mla", "state") and not _shared(kind.kv_heads, tensor):
            return (
                f"{kind.kv_heads} KV heads can neither be shared out over {tensor} ranks nor"
                f" copied evenly: one number has to divide the other"
            )
    if pipeline > architecture.layers:
        return f"{pipeline} stages, but only {architecture.layers} layers"
    return _room(nodes, layout)


def _room(nodes: Nodes, layout: Layout) -> str | None:
    if layout.tensor > nodes.per_node:
        return (
            f"TP{layout.tensor} would cross nodes of {nodes.per_node}: every layer would wait for"
            f" the network ({nodes.accelerator.network.name}); make stages of a pipeline of nodes"
        )
    if (spanned := nodes.spanned(layout)) > nodes.count:
        return f"{layout} needs {spanned} nodes of {nodes.per_node}, there are {nodes.count}"
    return None


def preference(nodes: Nodes, layout: Layout) -> tuple[int, int, int]:
    """Return a sort key: few nodes, then few stages, then few accelerators."""
    return nodes.spanned(layout), layout.pipeline, layout.accelerators


def _shapes(nodes: Nodes) -> Iterator[Layout]:
    for tensor in range(1, nodes.per_node + 1):
        for pipeline in range(1, nodes.per_node // tensor * nodes.count + 1):
            yield Layout(tensor, pipeline)


def _shared(kv_heads: int, tensor: int) -> bool:
    return kv_heads % tensor == 0 or tensor % kv_heads == 0
