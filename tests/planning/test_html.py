"""The page: one file, nothing fetched, nothing run, figures beside every plot."""

from html.parser import HTMLParser

import pytest

from headrace.capacity.cost import cost
from headrace.capacity.cost_curve import Point
from headrace.capacity.efficiency import UNCALIBRATED
from headrace.capacity.memory import Budget, Part
from headrace.capacity.slo import slo_for
from headrace.capacity.steady import State
from headrace.capacity.waste import Context, Slots, Waste
from headrace.pages.html import Section, Table, page
from headrace.pages.theme import DARK, LIGHT
from headrace.planning import sections, tables

VOID = {"meta"}


class Tags(HTMLParser):
    """Every tag with its attributes, and what text is under which tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.text.append((self.open[-1], data))


def budget() -> Budget:
    part = Part("weights", 40 * 10**9, 38 * 10**9, 42 * 10**9, "formula")
    return Budget(100 * 10**9, 92 * 10**9, (part,))


def waste(refused: float = 0.0) -> Waste:
    one = Slots(1400, 12_288)
    return Waste(4096, 16, refused, one, Slots(1400, 1408), one, Slots(1400, 1408))


def point(rate: float) -> Point:
    return Point(
        State(rate, 10, 15, 0.2, 0.5, 0.01, 0.02, 5, 300 * rate), cost(3.6, rate, 700, 300)
    )


@pytest.fixture(scope="module")
def whole() -> str:
    return page(
        "A plan",
        [
            Section("chat"),
            sections.memory(budget(), "stage 1"),
            sections.concurrency([Context(1024, 0.25, 100, 0.0), Context(8192, 0, 12.5, 20.04)]),
            sections.slots(waste()),
            sections.cost_rate(
                [point(1), point(2)], slo_for("batch"), UNCALIBRATED, currency="EUR"
            ),
        ],
        "for review",
    )


def test_a_page_is_one_file_that_runs_and_fetches_nothing(whole: str) -> None:
    tags = Tags(whole)
    assert not tags.open
    assert {"script", "link", "img", "iframe", "object", "base"}.isdisjoint(
        tag for tag, _ in tags.seen
    )
    for _, attributes in tags.seen:
        assert not [name for name in attributes if name.startswith("on")]
        links = [attributes[name] for name in ("href", "src", "xlink:href") if name in attributes]
        assert all(link is not None and link.startswith("#") for link in links)
    policy = [each["content"] for tag, each in tags.seen if tag == "meta" and "http-equiv" in each]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert "@import" not in whole


def test_what_a_reader_needs_is_there(whole: str) -> None:
    tags = Tags(whole)
    assert tags.text[0] == ("title", "A plan")
    headings = [(tag, text) for tag, text in tags.text if tag in {"h1", "h2", "h3"}]
    assert headings == [
        ("h1", "A plan"),
        ("h2", "chat"),
        ("h3", "Memory by part, stage 1"),
        ("h3", "Concurrency against context"),
        ("h3", "Static against paged"),
        ("h3", "Cost and latency against rate"),
    ]
    names = [each["aria-label"] or "" for tag, each in tags.seen if tag == "svg"]
    assert [name.partition(":")[0] for name in names] == [
        "Memory of one accelerator, 100.0 GB",
        "Requests at once by max_model_len",
        "Slots reserved and wasted",
        "One replica by its rate (uncalibrated, ±30 %)",
    ]
    assert [tag for tag, _ in tags.seen].count("table") == 4
    assert ("lang", "en") in next(each for tag, each in tags.seen if tag == "html").items()
    assert "@media print" in whole
    assert "prefers-color-scheme:dark" in whole


def test_strings_are_text_wherever_they_are() -> None:
    evil = '"><script>alert(1)</script>&\x00\ud800'
    text = page(
        evil, [Section(evil, (evil,), "", (Table((evil, evil), ((evil, evil),), (), evil),))], evil
    )
    text.encode()
    tags = Tags(text)
    assert not [tag for tag, _ in tags.seen if tag == "script"]
    shown = [content for _, content in tags.text if "alert(1)" in content]
    assert shown == ['"><script>alert(1)</script>&\ufffd\ufffd'] * 10


def test_rows_have_heads_and_columns_sides() -> None:
    text = page("t", [Section("s", tables=(Table(("what", "n"), (("a", "1"), ("b", "2"))),))])
    assert '<th scope="col" class="words">what</th><th scope="col">n</th>' in text
    assert '<tr><th scope="row" class="words">a</th><td>1</td></tr>' in text


def test_the_figures_of_each_plot() -> None:
    assert tables.memory(budget()).rows[:2] == (
        ("weights", "40.0 GB", "38.0 GB", "42.0 GB", "formula"),
        ("KV cache", "52.0 GB", "50.0 GB", "54.0 GB", "what is left of what the engine may use"),
    )
    assert tables.concurrency(
        [Context(1024, 0.25, 100, 0.0), Context(8192, 0, 12.5, 20.04)]
    ).rows == (
        ("1,024", "100.0", "none is short enough", "25.00%"),
        ("8,192", "12.5", "20.0", "0.00%"),
    )
    assert [row[1:] for row in tables.slots(waste()).rows[:2]] == [
        ("1,400", "12,288", "88.6%"),
        ("1,400", "1,408", "0.6%"),
    ]
    # 3.60 an hour over 2 requests/s of 1,000 tokens: 0.50 per 1,000 of them, or per million tokens
    assert tables.cost_rate([point(2)]).rows == (
        ("2.00", "10.0", "600", "0.500", "0.500", "500 ms", "20 ms"),
    )


def test_what_is_refused_is_said() -> None:
    assert "25.00% of requests are longer" in sections.slots(waste(0.25)).paragraphs[-1]


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_can_be_told_from_the_paper(colours: dict[str, str]) -> None:
    """WCAG 2: 4.5 to 1 for text, 3 to 1 for what is drawn."""
    paper = luminance(colours["paper"])
    for name, colour in colours.items():
        light, dark = sorted((paper, luminance(colour)), reverse=True)
        contrast = (light + 0.05) / (dark + 0.05)
        if name in {"ink", "muted", "bad"}:
            assert contrast >= 4.5, name
        elif name.startswith("s"):
            assert contrast >= 3, name


def luminance(colour: str) -> float:
    """https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_what_stands_between_backticks_is_code_and_no_backtick_is_seen() -> None:
    found = page("a `b`", [Section("then", ("Run `headrace plan <x>` and one ` alone.",))])
    assert "Run <code>headrace plan &lt;x&gt;</code> and one ` alone." in found
    assert "<title>a `b`</title>" in found
