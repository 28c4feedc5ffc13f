"""Which layouts an engine starts, by vLLM's own rules: heads, KV heads, nodes."""

import pytest

from headrace.capacity.layouts import Nodes, communication, copies, layouts, refusal, refused
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
    assert (nodes.spanned(Layout(8, 2)), nodes.replicas(Layout(8, 2))) == (2, 1)
    across = refusal(LLAMA_405B, nodes, Layout(16))
    assert across is not None
    assert "every layer would wait for the network (InfiniBand" in across


def test_a_stage_stays_inside_a_node() -> None:
    # of nodes of 8, TP4 x PP3 takes one and a half; half of the second is left unused
    nodes = Nodes.usual(A100, 2)
    assert (nodes.spanned(Layout(4, 3)), nodes.replicas(Layout(4, 3))) == (2, 1)
    # of nodes of 6 a stage of TP4 leaves 2 accelerators idle
    assert Nodes(A100, 6, 3).spanned(Layout(4, 3)) == 3
    assert refusal(LLAMA_405B, Nodes(A100, 6, 2), Layout(4, 3)) == (
        "TP4 x PP3 needs 3 nodes of 6, there are 2"
    )


def test_replicas_side_by_side() -> None:
    nodes = Nodes.usual(A100, 3)
    assert nodes.replicas(Layout(2)) == 12
    assert nodes.replicas(Layout(2, 3)) == 3  # 6 of 8, one a node
    assert nodes.replicas(Layout(8, 2)) == 1


def test_kv_heads_are_copied_beyond_their_number_and_must_divide() -> None:
    assert copies(LLAMA_405B, Layout(8)) == 1
    assert copies(LLAMA_405B, Layout(16)) == 2
    assert copies(model(48, 6, 10), Layout(8)) == 1
    why = refusal(model(48, 6, 10), Nodes(A100, 8), Layout(8))
    assert why is not None
    assert why.startswith("6 KV heads can neither be shared out over 8 ranks")
    # one compressed head of MLA is on every rank, and hinders nothing
    assert refusal(model(128, 1, 61, kind="mla"), Nodes(A100, 8), Layout(8)) is None
    assert "kept on 8 of them" in communication(
        model(128, 1, 61, kind="mla"), Nodes(A100, 8), Layout(8)
    )


def test_reasons_for_each_degree_that_cannot_be() -> None:
    found = {one.layout.tensor: one.why for one in refused(LLAMA_70B, Nodes(A100, 8))}
    assert set(found) == {3, 5, 6, 7}
    assert found[5] == "5 does not divide the 64 attention heads (64 = 12 x 5 + 4)"


def test_more_stages_than_layers_are_none() -> None:
    why = refusal(model(8, 8, 2), Nodes(A100, 8), Layout(1, 3))
    assert why == "3 stages, but only 2 layers"


def test_links_are_named() -> None:
    fast = communication(LLAMA_70B, Nodes(A100, 8), Layout(2))
    assert fast == "TP2 sums activations 160 times a step, NVLink 3, 600 GB/s both directions"
    slow = communication(LLAMA_70B, Nodes(find_accelerator("L4"), 8), Layout(8))
    assert slow.endswith("over PCIe that is felt in every token")
    far = communication(LLAMA_405B, Nodes.usual(A100, 2), Layout(8, 2))
    assert "2 stages, and a token goes through all of them in turn (InfiniBand" in far
    assert (
        communication(LLAMA_8B, Nodes(A100, 8), Layout()) == "one accelerator, nothing to pass on"
    )


@pytest.mark.parametrize("bad", [(0, 1), (8, 0)])
def test_nodes_have_something(bad: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        Nodes(A100, *bad)
