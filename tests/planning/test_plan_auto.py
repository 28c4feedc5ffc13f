"""What `auto` becomes: it starts, it stays inside the model, and what the file fixes is not touched."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from itertools import chain, combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as checks
from hypothesis import strategies as st
from plan_kit import CHAT, LLAMA, SHORT, SMALL, about, cpu

from headrace.planning.auto import settle
from headrace.planning.errors import PlanError
from headrace.planning.flags import Flag
from headrace.planning.plan import plan
from headrace.planning.subject import Subject

GPU = (
    "tensor_parallel",
    "gpu_memory_utilization",
    "max_model_len",
    "max_num_seqs",
    "max_num_batched_tokens",
)
CPU = ("kv_cache", "max_model_len", "max_num_seqs", "max_num_batched_tokens")
FIXED = {
    "tensor_parallel": "2", "pipeline_parallel": "1", "gpu_memory_utilization": "0.8", "max_model_len": "8192",
    "max_num_seqs": "50", "max_num_batched_tokens": "3000", "kv_cache": "1GiB",
}  # fmt: skip
READ = {"gpu_memory_utilization": float, "kv_cache": lambda _: 2**30}


def fields(names: tuple[str, ...], auto: frozenset[str]) -> str:
    return ", ".join(f"{name}: {'auto' if name in auto else FIXED[name]}" for name in names)


def subsets(names: tuple[str, ...]) -> list[frozenset[str]]:
    return [
        frozenset(one)
        for one in chain.from_iterable(combinations(names, n) for n in (1, 2, len(names)))
    ]


def chosen(subject: Subject) -> dict[str, Flag]:
    return {flag.name: flag for flag in settle(subject)[1]}


def holds(subject: Subject, names: tuple[str, ...], auto: frozenset[str]) -> None:
    """Check what is true of any settled subject."""
    settled, flags = settle(subject)
    assert {flag.name for flag in flags} == auto
    assert settled.deployment.open == frozenset()
    assert settled.fit.ok
    assert settled.setup.max_model_len <= settled.architecture.context
    assert settled.setup.max_num_seqs <= settled.setup.max_num_batched_tokens
    for flag in flags:
        assert getattr(settled.deployment, flag.name) == flag.value
        assert (flag.origin, bool(flag.why)) == ("auto", True)
    for name in set(names) - auto:
        assert getattr(settled.deployment, name) == READ.get(name, int)(FIXED[name])


@pytest.mark.parametrize(
    "auto", subsets((*GPU, "pipeline_parallel")), ids=lambda auto: "+".join(sorted(auto))
)
def test_open_flags_of_a_gpu(tmp_path: Path, auto: frozenset[str]) -> None:
    names = (*GPU, "pipeline_parallel")
    holds(about(tmp_path, deployment=fields(names, auto)), names, auto)


@pytest.mark.parametrize("auto", subsets(CPU), ids=lambda auto: "+".join(sorted(auto)))
@pytest.mark.usefixtures("small_cpu")
def test_open_flags_of_a_cpu(tmp_path: Path, auto: frozenset[str]) -> None:
    made = about(
        tmp_path, model=SMALL, hardware="kind: cpu", route=SHORT, deployment=fields(CPU, auto)
    )
    holds(made, CPU, auto)


def test_without_auto_nothing_is_chosen(tmp_path: Path) -> None:
    made = about(tmp_path)
    assert settle(made) == (made, ())


def test_lengths_come_from_the_requests(tmp_path: Path) -> None:
    made = about(
        tmp_path,
        deployment=fields(GPU[2:], frozenset(GPU[2:])),
        route="traffic: {rate: 1, prompt: {p50: 3000, p99: 3000}, output: {p50: 200, p99: 200}}",
    )
    flags = chosen(made)
    assert flags["max_model_len"].value == 3328  # 3,200 rounded up to 256
    # A request takes 200 blocks of 16; one block stays empty, and graphs are made for multiples of 8.
    blocks = settle(made)[0].fit.cache.blocks
    assert flags["max_num_seqs"].value == (blocks - 1) // 200 // 8 * 8
    assert flags["max_num_batched_tokens"].value == 4096  # the prompt in one step


def test_the_layout_with_the_fewest_accelerators_for_the_rate_is_taken(tmp_path: Path) -> None:
    parts = {
        "model": "hf://meta-llama/Llama-3.1-70B-Instruct@main",
        "hardware": "kind: gpu, product: A100-80GB",
    }
    least = math.inf
    for tensor in (1, 2, 4, 8):
        fixed = plan(
            about(tmp_path, deployment=f"tensor_parallel: {tensor}, max_model_len: 7424", **parts)
        )
        if fixed.fit.ok and fixed.capacity:
            least = min(least, tensor * math.ceil(5 / fixed.capacity))
    made = plan(about(tmp_path, deployment="tensor_parallel: auto, max_model_len: 7424", **parts))
    tensor = made.subject.setup.layout.tensor
    assert tensor * math.ceil(5 / made.capacity) == least
    assert f"TP{tensor} serves 5 requests/s with {least}" in made.chosen[0].why


def test_a_model_that_one_node_cannot_hold_gets_a_pipeline(tmp_path: Path) -> None:
    # 405B parameters are 812 GB in bf16; a node of 8 A100-80GB may use 625 of its 680 GB.
    made = about(
        tmp_path,
        model="hf://meta-llama/Llama-3.1-405B@main",
        hardware="kind: gpu, product: A100-80GB, nodes: 2",
        deployment="tensor_parallel: auto, pipeline_parallel: auto, max_model_len: 8192",
    )
    layout = settle(made)[0].setup.layout
    assert layout.pipeline > 1
    assert layout.accelerators * 85e9 * 0.92 > 812e9


@pytest.mark.parametrize("product", ["T4", "L4"])
def test_where_nothing_fits_the_bytes_say_why(tmp_path: Path, product: str) -> None:
    made = about(
        tmp_path,
        model="hf://meta-llama/Llama-3.1-405B@main",
        hardware=f"kind: gpu, product: {product}",
        deployment="tensor_parallel: auto",
    )
    with pytest.raises(
        PlanError, match=r"no layout on h will do: .* GB of weights .* GB more than"
    ):
        settle(made)
    fixed = about(
        tmp_path,
        model="hf://meta-llama/Llama-3.1-405B@main",
        hardware=f"kind: gpu, product: {product}",
        deployment="max_num_seqs: auto",
    )
    with pytest.raises(
        PlanError, match=r"^deployments\.d: does not fit: each of 1 .* GB more than"
    ):
        settle(fixed)


@pytest.mark.usefixtures("small_cpu")
def test_replicas_that_the_machine_has_no_room_for_are_refused(tmp_path: Path) -> None:
    made = about(
        tmp_path,
        model=SMALL,
        hardware="kind: cpu",
        route=SHORT,
        deployment="kv_cache: auto, scaling: {max: 9}",
    )
    # 9 x (0.27 GB of weights and 2 GB of processes) are more than 90 % of 16 GiB.
    with pytest.raises(PlanError, match=r"kv_cache: 9 replicas of 2\.\d GB .* lower scaling\.max"):
        settle(made)


@pytest.mark.usefixtures("small_cpu")
def test_all_replicas_of_a_cpu_fit_into_the_machine(tmp_path: Path) -> None:
    for replicas in (1, 2, 5):
        made = about(
            tmp_path,
            model=SMALL,
            hardware="kind: cpu",
            route="traffic: {rate: 1, prompt: {p50: 4000, p99: 6000}, output: {p50: 100, p99: 900}}",
            deployment=f"kv_cache: auto, scaling: {{max: {replicas}}}",
        )
        settled = settle(made)[0]
        each = settled.deployment.kv_cache + settled.weights.total
        assert replicas * each < 0.9 * 16 * 2**30


def test_kv_cache_is_for_cpus(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"kv_cache: on a GPU .* gpu_memory_utilization"):
        settle(about(tmp_path, deployment="kv_cache: auto"))


@pytest.mark.parametrize(
    ("deployment", "words"),
    [
        ("tensor_parallel: 3", r"tensor_parallel: 3 does not divide the 32 attention heads"),
        ("tensor_parallel: 3, pipeline_parallel: auto", r"tensor_parallel: 3 does not divide"),
        ("tensor_parallel: 16", r"tensor_parallel: TP16 would cross nodes of 8"),
        (
            "tensor_parallel: 8, pipeline_parallel: 2",
            r"tensor_parallel: TP8 x PP2 needs 2 nodes of 8, there are 1",
        ),
        ("max_model_len: 200000", r"max_model_len: 200,000 tokens, but m was made for 131,072"),
        (
            "max_num_batched_tokens: 16",
            r"max_num_batched_tokens: 16 tokens a step are fewer than max_num_seqs, 64",
        ),
    ],
)
def test_what_no_engine_would_start_names_its_field(
    tmp_path: Path, deployment: str, words: str
) -> None:
    for more in ("", ", gpu_memory_utilization: auto"):
        with pytest.raises(PlanError, match=rf"^deployments\.d\.{words}"):
            settle(about(tmp_path, deployment=deployment + more))


@pytest.mark.parametrize(
    "told",
    [
        "engine: {env: {VLLM_ALLOW_LONG_MAX_MODEL_LEN: '1'}}",
        "engine: {flags: {hf-overrides: '{}'}}",
    ],
)
def test_who_tells_the_engine_may_exceed_the_context(tmp_path: Path, told: str) -> None:
    made = about(tmp_path, deployment=f"max_model_len: 200000, {told}")
    assert settle(made)[0].setup.max_model_len == 200_000


def test_requests_at_once_stay_below_the_tokens_of_a_step(tmp_path: Path) -> None:
    flag = chosen(about(tmp_path, deployment="max_num_seqs: auto, max_num_batched_tokens: 100"))[
        "max_num_seqs"
    ]
    assert flag.value == 100
    assert flag.why.startswith("100 for what the file fixes, else ")


def test_a_step_has_a_token_for_each_request(tmp_path: Path) -> None:
    # In 4 x 2 ms an H100 reads 8e-3 * 989.5e12 / (2 * 8.03e9) = 493 tokens: steps are the shortest.
    route = "slo: {tpot: 2ms}, traffic: {rate: 1}"
    few = about(tmp_path, route=route, deployment="max_num_batched_tokens: auto")
    assert chosen(few)["max_num_batched_tokens"].value == 512
    many = about(
        tmp_path, route=route, deployment="max_num_seqs: 2000, max_num_batched_tokens: auto"
    )
    assert chosen(many)["max_num_batched_tokens"].value == 2000


def test_a_length_leaves_room_for_the_requests_that_the_file_wants_at_once(tmp_path: Path) -> None:
    # 2,000 requests sample at once: on an L4 that leaves less cache than the longest request needs.
    made = about(
        tmp_path,
        hardware="kind: gpu, product: L4",
        deployment="max_num_seqs: 2000, max_model_len: auto",
    )
    flag = chosen(made)["max_model_len"]
    assert flag.value < 7424
    assert "else 7,424" in flag.why


@pytest.mark.usefixtures("small_cpu")
def test_a_cpus_cache_that_the_file_fixes_bounds_the_requests_at_once(tmp_path: Path) -> None:
    parts = {"model": SMALL, "hardware": "kind: cpu"}
    route = "traffic: {rate: 1, prompt: {p50: 900, p99: 900}, output: {p50: 100, p99: 100}}"
    made = about(
        tmp_path,
        **parts,
        route=route,
        deployment="kv_cache: 225MiB, max_model_len: 1024, max_num_seqs: auto",
    )
    # 225 MiB are 80 blocks of 128 x 23,040 bytes, of which 79 are for requests of 8 blocks: 9.
    assert chosen(made)["max_num_seqs"].value == 9
    large = about(
        tmp_path,
        **parts,
        route=route,
        deployment="kv_cache: 4GiB, max_model_len: 1024, max_num_seqs: auto",
    )
    assert chosen(large)["max_num_seqs"].value == 32


@st.composite
def subjects(draw: st.DrawFn) -> Subject:
    """Draw a deployment on a GPU with some memory, some of it open."""
    model = draw(st.sampled_from([LLAMA, SMALL, "hf://openai/gpt-oss-20b@main"]))
    auto = draw(st.frozensets(st.sampled_from(GPU), min_size=1))
    fixed = {
        "tensor_parallel": draw(st.sampled_from([1, 2, 4])) if model != SMALL else 1,
        "gpu_memory_utilization": draw(st.sampled_from([0.5, 0.9])),
        "max_model_len": draw(st.sampled_from([64, 1000, 2048])),
        "max_num_seqs": draw(st.sampled_from([1, 100])),
        "max_num_batched_tokens": draw(st.sampled_from([100, 9000])),
    }
    words = ", ".join(
        f"{name}: {'auto' if name in auto else value}" for name, value in fixed.items()
    )
    p50, more = draw(st.integers(1, 5000)), draw(st.integers(0, 20_000))
    route = f"traffic: {{rate: 1, prompt: {{p50: {p50}, p99: {p50 + more}}}, output: {{p50: 9, p99: 99}}}}"
    with tempfile.TemporaryDirectory() as folder:
        return about(Path(folder), model=model, deployment=words, route=route)


def on(subject: Subject, memory: int) -> Subject:
    place = subject.place
    accelerator = replace(place.accelerator, memory=memory)
    return replace(
        subject, place=replace(place, nodes=replace(place.nodes, accelerator=accelerator))
    )


@checks(max_examples=40)
@given(subject=subjects(), memory=st.integers(2**30, 60 * 2**30))
def test_a_settled_subject_always_starts(subject: Subject, memory: int) -> None:
    try:
        settled, _ = settle(on(subject, memory))
    except PlanError as error:
        if "GB" not in str(error):  # other than too little memory, in bytes
            raise
        return
    assert settled.fit.ok
    assert settled.setup.max_model_len <= settled.architecture.context
    assert settled.setup.max_num_seqs <= settled.setup.max_num_batched_tokens


@checks(max_examples=25)
@given(
    low=st.integers(22, 65),
    more=st.integers(0, 30),
    length=st.sampled_from(["8192", "auto"]),
    step=st.sampled_from(["2048", "auto"]),
)
def test_more_memory_never_means_fewer_requests_at_once(
    low: int, more: int, length: str, step: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = about(
            Path(folder),
            route=CHAT,
            deployment=f"max_num_seqs: auto, max_model_len: {length}, max_num_batched_tokens: {step}",
        )
    few, many = (
        settle(on(made, size * 2**30))[0].setup.max_num_seqs for size in (low, min(low + more, 69))
    )
    assert few <= many


@checks(max_examples=10)
@given(low=st.integers(6, 64), more=st.integers(0, 64))
def test_more_memory_never_means_a_smaller_cache_on_a_cpu(low: int, more: int) -> None:
    sizes = []
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for memory in (low, low + more):
            patch.setattr(
                "headrace.planning.places.local_cpu",
                lambda m=memory: replace(cpu(), memory=m * 2**30),
            )
            made = about(
                Path(folder),
                model=SMALL,
                hardware="kind: cpu",
                route=SHORT,
                deployment="kv_cache: auto",
            )
            sizes.append(settle(made)[0].deployment.kv_cache)
    assert sizes[0] <= sizes[1]
