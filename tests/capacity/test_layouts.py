"""Which layouts an engine starts, by vLLM's own rules: heads, KV heads, nodes."""

import pytest

from headrace.capacity.layouts import Nodes, layouts, refusal
from headrace.capacity.setup import Layout
from headrace.hardware.catalogue import find_accelerator
from headrace.models.architecture import Architecture, Attention, Parameters

SOME = Parameters(embedding=1, attention=1, dense=1, experts=0, norms=0, head=1, active_experts=0)
A100 = find_accelerator("A100-80GB")


def model(heads: int, kv_heads: int, layers: int, *, kind: str = "full") -> Architecture:
    attention = Attention(kind, layers, kv_heads, 128, 128)  # type: ignore[arg-type]
    return Architecture("Made", (attention,), heads * 128, heads, 1000, 8192, "bfloat16", SOME)


LLAMA_8B = model(32, 8, 32)
LLAMA_70B = model(64, 8, 80)
LLAMA_405B = model(128, 8, 126)


def names(architecture: Architecture, nodes: Nodes) -> list[str]:
    return [str(layout) for layout in layouts(architecture, nodes)]


def test_inside_a_node_tensor_parallel_comes_first() -> None:
    # 4 accelerators: TP3 does not divide 32; PP inside what TP leaves
    assert names(LLAMA_8B, Nodes(A100, 4)) == [
        "TP1", "TP2", "TP4", "TP1 x PP2", "TP2 x PP2", "TP1 x PP3", "TP1 x PP4",
    ]  # fmt: skip


def test_twelve_do_not_divide_128_heads() -> None:
    why = refusal(LLAMA_405B, Nodes(A100, 12), Layout(12))
    assert why == "12 does not divide the 128 attention heads (128 = 10 x 12 + 8)"
    # nor does 6 or 3; of twelve only 1, 2 and 4 can share a layer
    twelve = [
        layout for layout in layouts(LLAMA_405B, Nodes(A100, 4, 3)) if layout.accelerators == 12
    ]
    assert [str(layout) for layout in twelve] == ["TP4 x PP3", "TP2 x PP6", "TP1 x PP12"]


def test_sixteen_are_two_nodes_and_a_pipeline() -> None:
    nodes = Nodes.usual(A100, 2)
    assert refusal(LLAMA_405B, nodes, Layout(8, 2)) is None
    assert nodes.spanned(Layout(8, 2)) == 2
    across = refusal(LLAMA_405B, nodes, Layout(16))
    assert across is not None
    assert "every layer would wait for the network (InfiniBand" in across


def test_a_stage_stays_inside_a_node() -> None:
    # of nodes of 8, TP4 x PP3 takes one and a half; half of the second is left unused
    nodes = Nodes.usual(A100, 2)
    assert nodes.spanned(Layout(4, 3)) == 2
    # of nodes of 6 a stage of TP4 leaves 2 accelerators idle
    assert Nodes(A100, 6, 3).spanned(Layout(4, 3)) == 3
    assert refusal(LLAMA_405B, Nodes(A100, 6, 2), Layout(4, 3)) == (
        "TP4 x PP3 needs 3 nodes of 6, there are 2"
    )


def test_kv_heads_must_divide_or_be_divided() -> None:
    why = refusal(model(48, 6, 10), Nodes(A100, 8), Layout(8))
    assert why is not None
    assert why.startswith("6 KV heads can neither be shared out over 8 ranks")
    # one compressed head of MLA is on every rank, and hinders nothing
    assert refusal(model(128, 1, 61, kind="mla"), Nodes(A100, 8), Layout(8)) is None


def test_more_stages_than_layers_are_none() -> None:
    why = refusal(model(8, 8, 2), Nodes(A100, 8), Layout(1, 3))
    assert why == "3 stages, but only 2 layers"


@pytest.mark.parametrize("bad", [(0, 1), (8, 0)])
def test_nodes_have_something(bad: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        Nodes(A100, *bad)
