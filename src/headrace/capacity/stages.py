"""Which layers a pipeline stage has: needed for its weights (`weights_split.py`) and its KV cache.

An `Architecture` counts layers by what they keep; where a model mixes kinds they take turns, so
each kind is spread evenly over the model here. With one kind, or one stage, nothing is assumed.
"""

from __future__ import annotations

from collections.abc import Sequence

from headrace.capacity.setup import Setup


def stage_layers(setup: Setup) -> tuple[range, ...]:
    """Return the layers of each stage, as vLLM splits them unless it is told otherwise.

    What does not divide goes to the middle stages and then to the first: the last one has the
    output head as well.
    """
    layers, stages = setup.architecture.layers, setup.layout.pipeline
    if stages > layers:
        raise ValueError(
            f"{stages} pipeline stages are more than the {layers} layers of "
            f"{setup.architecture.name}; choose fewer stages"
        )
    counts = [layers // stages] * stages
    for place in range(2, layers % stages + 2):
        counts[-place] += 1
    ends = [sum(counts[: stage + 1]) for stage in range(stages)]
    return tuple(range(end - count, end) for end, count in zip(ends, counts, strict=True))


def spread(counts: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Return the layers of each kind, `counts` many, each kind evenly over the whole model."""
    order = sorted(
        ((layer + 0.5) / count, kind) for kind, count in enumerate(counts) for layer in range(count)
    )
    layers: list[list[int]] = [[] for _ in counts]
    for layer, (_, kind) in enumerate(order):
        layers[kind].append(layer)
    return tuple(map(tuple, layers))
