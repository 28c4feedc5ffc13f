"""Plots of cost and latency: places, labels, bounds."""

import itertools
from dataclasses import replace

import pytest
from matplotlib.figure import Figure
from svg_kit import elements, markers, texts

from headrace.capacity.choose import Choice, Ranked, choose
from headrace.capacity.cost import cost
from headrace.capacity.cost_curve import Point
from headrace.capacity.efficiency import UNCALIBRATED
from headrace.capacity.layouts import Nodes
from headrace.capacity.lengths import Lengths
from headrace.capacity.options import Ask, Offer, Option
from headrace.capacity.slo import Slo, slo_for
from headrace.capacity.steady import State
from headrace.hardware.catalogue import find_accelerator
from headrace.models.catalogue import need_known_model
from headrace.pages.html import page
from headrace.planning import sections
from headrace.planning.choice_plots import Latency, best, cost_latency, cost_rate, digits
from headrace.planning.labels import Label, place

SLO = slo_for("interactive")


def asked(slo: Slo = SLO) -> Ask:
    return Ask(need_known_model("Llama-3.1-70B"), Lengths.fixed(1000, 300), 5, slo, 8192)


@pytest.fixture(scope="module")
def chat() -> Choice:
    """A 70B for interactive chat at 5 requests/s."""
    offers = [
        Offer(Nodes.usual(find_accelerator(name)), price)
        for name, price in (("A100-80GB", 2.5), ("H100", 3.95))
    ]
    return choose(asked(), offers)


def state(rate: float, tpot: float, ttft: float = 0.5) -> State:
    return State(rate, 10, 15, ttft, ttft, tpot, tpot, 5, 300 * rate)


def ranked(option: Option, place: int, price: float, tpot: float) -> Ranked:
    bill = cost(price, 5, 1000, 300)
    return Ranked(place, replace(option, cost=bill, state=state(5, tpot)), "nothing")


def choice(*kept: Ranked) -> Choice:
    return Choice(kept, (), (), (), ())


def test_the_line_has_what_nothing_beats(chat: Choice) -> None:
    option = chat.kept[0].option
    made = [
        ranked(option, number, price, tpot)
        for number, (price, tpot) in enumerate(
            ((10, 0.05), (10, 0.06), (12, 0.04), (15, 0.045), (20, 0.02)), 1
        )
    ]
    assert [one.place for one in best(made, "tpot")] == [1, 3, 5]


def test_a_point_for_each_option_where_its_figures_are(chat: Choice) -> None:
    option = chat.kept[0].option
    svg = cost_latency(
        choice(*(ranked(option, n, price, tpot) for n, (price, tpot) in enumerate(
            ((18, 0.040), (36, 0.030), (54, 0.020)), 1))), SLO,
    )  # fmt: skip
    (x1, y1), (x2, y2), (x3, y3) = markers(svg, "s1")
    assert x1 - x2 == pytest.approx(x2 - x3, abs=1e-3)  # 40, 30, 20 ms
    assert y1 - y2 == pytest.approx(y2 - y3, abs=1e-3)  # 18, 36, 54 an hour
    assert x1 > x2
    assert y1 > y2
    named = [text for text in texts(svg) if option.name in text]
    assert named == [f"{n}: {option.name}" for n in (1, 2, 3)]


def test_the_bars_have_the_length_of_the_error(chat: Choice) -> None:
    """40 ms are 28 to 52 at 30 %, twice as long as those of 20."""
    option = chat.kept[0].option
    svg = cost_latency(choice(ranked(option, 1, 18, 0.04), ranked(option, 2, 36, 0.02)), SLO)
    lines = [
        [float(number) for number in path.get("d", "").replace("M", "").replace("L", "").split()]
        for path in elements(svg, "path")
        if "stroke-width: 0.6" in path.get("style", "") and "d" in path.attrib
    ]
    long, short = sorted((abs(x2 - x1) for x1, _, x2, _ in lines), reverse=True)[:2]
    assert long / short == pytest.approx(2, rel=1e-3)
    points = markers(svg, "s1")
    assert long == pytest.approx(0.6 * 2 * (points[0][0] - points[1][0]), rel=1e-3)


def test_every_place_is_written_once(chat: Choice) -> None:
    latencies: tuple[Latency, ...] = ("tpot", "ttft")
    for latency in latencies:
        written = [
            "".join(text.itertext()).partition(":")[0]
            for text in elements(cost_latency(chat, SLO, latency), "text")
            if "font-size: 7.497px" in text.get("style", "")
        ]
        assert sorted(written, key=int) == [str(one.place) for one in chat.kept]


def test_slos_near_and_far(chat: Choice) -> None:
    assert "SLO 60 ms" in texts(cost_latency(chat, SLO))
    assert "SLO 900 s, far to the right" in texts(cost_latency(chat, Slo(900, 1), "ttft"))


def test_nothing_to_plot() -> None:
    assert cost_latency(choice(), SLO) == ""
    assert cost_rate((), SLO, UNCALIBRATED) == ""


def test_what_costs_nothing_is_plotted_too(chat: Choice) -> None:
    free = ranked(chat.kept[0].option, 1, 0, 0.04)
    assert "0.2" in texts(cost_latency(choice(free), SLO))  # an axis from 0 to 1


def test_names_from_a_file_stay_names(chat: Choice, recwarn: pytest.WarningsRecorder) -> None:
    """Neither markup nor a formula, nor something that fonts or documents cannot hold."""
    option = chat.kept[0].option
    name = '_$x^2$ </text></svg><script>alert("1")</script> & 日本\x00\ud800'
    setup = replace(option.setup, accelerator=replace(option.setup.accelerator, name=name))
    odd = replace(option, fit=replace(option.fit, setup=setup))
    found = choice(ranked(odd, 1, 10, 0.04))
    svg = cost_latency(found, SLO)
    assert not recwarn.list
    shown = name.replace("\x00", "\ufffd").replace("\ud800", "\ufffd")
    assert any(shown in text for text in texts(svg))
    text = page(name, sections.cost_latency(found, SLO, name))
    assert b"<script" not in text.encode()
    assert "$x^2$ &lt;/text&gt;&lt;/svg&gt;&lt;script&gt;" in text


def points() -> list[Point]:
    """At 3.60 an hour, 1 request a second costs 1 per 1,000."""
    return [
        Point(state(rate, 0.01 * rate, 0.1 * rate), cost(3.6, rate, 1000, 300))
        for rate in (1, 2, 3, 4)
    ]


def test_cost_and_times_by_rate() -> None:
    svg = cost_rate(points(), Slo(1, 0.05), UNCALIBRATED, rate=3, single=cost(3.6, 0.1, 1000, 300))
    for colour in ("s1", "s4"):
        places = markers(svg, colour)
        steps = [(x2 - x1, y1 - y2) for (x1, y1), (x2, y2) in itertools.pairwise(places)]
        assert len(steps) == 3
        assert steps == [pytest.approx(steps[0], abs=1e-3)] * 3  # times grow with the rate
    costs = [y for _, y in markers(svg, "s3")]
    assert costs[1] - costs[0] == pytest.approx(costs[3] - costs[1], abs=1e-3)  # 1, 1/2, 1/4
    assert {"planned: 3.00/s", "one request at a time: 10.0", "SLO 1 s", "SLO 50 ms"} <= {
        *texts(svg)
    }


def test_an_slo_far_above_leaves_the_times_their_room() -> None:
    svg = cost_rate(points(), Slo(60, 0.5), UNCALIBRATED)
    assert "SLO 60 s,above" in "".join(texts(svg))


def test_labels_of_one_place_go_around_it_and_never_cover_each_other() -> None:
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(0, 10), ylim=(0, 10))
    labels = [Label(5, 5, f"label {number}") for number in range(60)]
    lost = place(axes, labels, 6)
    assert lost == 60 - 10  # around a point there is room for so many
    written = [text.get_window_extent() for text in axes.texts if text.get_text()]
    assert len(written) == 60 - lost
    assert not any(one.overlaps(other) for n, one in enumerate(written) for other in written[:n])


def test_the_short_label_where_the_long_one_has_no_room() -> None:
    figure = Figure(figsize=(1.5, 1), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(0, 10), ylim=(0, 10))
    assert place(axes, [Label(5, 5, "long words " * 9, "1")], 6) == 0
    assert [text.get_text() for text in axes.texts] == ["1"]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0351, "0.0351"),
        (4, "4.00"),
        (123.4, "123"),
        (999.7, "1,000"),
        (1234.4, "1,234"),
        (0, "0.00"),
    ],
)
def test_three_digits(value: float, written: str) -> None:
    assert digits(value) == written
