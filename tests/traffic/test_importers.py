"""Each format in small, what is wrong with a file, and that any bytes are traffic or our error."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.traffic import importers, rows
from headrace.traffic.errors import TrafficError
from headrace.traffic.importers import read_traffic
from headrace.traffic.traffic import Traffic

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319600,3180,8
2023-11-16 18:18:03.9799600,110,27
"""
MOONCAKE = """{"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47]}
{"timestamp": 30535, "input_length": 6472, "output_length": 26, "hash_ids": [46, 2353]}
"""
QWEN = """{"chat_id": 159, "parent_chat_id": 55, "timestamp": 61.114, "input_length": 521, \
"output_length": 132, "type": "text", "turn": 2, "hash_ids": [1089, 1090]}
{"chat_id": 160, "parent_chat_id": -1, "timestamp": 61.614, "input_length": 9, "output_length": 3, \
"type": "search", "turn": 1, "hash_ids": [1]}
"""


def record(**fields: object) -> str:
    """Return a line as `headrace requests --json` prints it, shortened."""
    line = {
        "id": "0b7c", "time": "2026-11-20T10:00:00Z", "route": "chat", "outcome": "ok",
        "prompt_tokens": 100, "completion_tokens": 20, "tokens_from": "usage",
    } | fields  # fmt: skip
    return json.dumps(line) + "\n"


def read(tmp_path: Path, text: str | bytes, name: str = "trace") -> Traffic:
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_traffic(file)


def requests(traffic: Traffic) -> list[tuple[float, int, int]]:
    columns = (traffic.arrivals.tolist(), traffic.prompts.tolist(), traffic.outputs.tolist())
    return [(round(a, 4), p, o) for a, p, o in zip(*columns, strict=True)]


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        (AZURE, "Azure", [(0, 4808, 10), (0.052, 3180, 8), (60, 110, 27)]),
        (  # 2024: with a zone
            (
                "TIMESTAMP,ContextTokens,GeneratedTokens\n"
                "2024-05-10 00:00:00.009930+00:00,2162,5\n"
                "2024-05-10 00:00:01.017335+00:00,2399,6\n"
            ),
            "Azure",
            [(0, 2162, 5), (1.0074, 2399, 6)],
        ),
        (
            (
                "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
                "5,ChatGPT,472,18,490,Conversation log\n"
                "45,ChatGPT,1087,230,1317,Conversation log\n"
            ),
            "BurstGPT",
            [(0, 472, 18), (40, 1087, 230)],
        ),
        (
            (
                "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,"
                "Log Type\n0.5,ab,1.5,GPT-4,10,20,30,API log\n"
            ),
            "BurstGPT",
            [(0, 10, 20)],
        ),
        ("arrival,prompt,output\n0,10,20\n1.5,11,21\n", "CSV", [(0, 10, 20), (1.5, 11, 21)]),
        (  # columns in another order, others between them; pandas' floats; a byte order mark
            "\ufeffOutput , note,PROMPT,arrival\r\n7,x,12.0,2026-01-01T00:00:00Z\r\n",
            "CSV",
            [(0, 12, 7)],
        ),
        (MOONCAKE, "Mooncake", [(0, 6955, 52), (3.053, 6472, 26)]),
        (QWEN, "Qwen", [(0, 521, 132), (0.5, 9, 3)]),
        ('{"arrival": 1, "prompt": 2, "output": 3}', "JSON lines", [(0, 2, 3)]),
        (
            (
                '{"request_id": "bench-0", "input_toks": 2358, "output_toks": 531,'
                ' "arrival_time": 1787267980.0827, "queued_ts": 27536.6}\n'
            ),
            "vLLM run",
            [(0, 2358, 531)],
        ),
        (
            record() + record(time="2026-11-20T10:00:02.500000Z", prompt_tokens=7),
            "Headrace records",
            [(0, 100, 20), (2.5, 7, 20)],
        ),
        (  # what OpenAI's API answers, one answer a line
            (
                '{"id": "chatcmpl-1", "object": "chat.completion", "created": 1741569952, "usage":'
                ' {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29}}\n'
                '{"id": "chatcmpl-2", "object": "chat.completion", "created": 1741569955, "usage":'
                ' {"prompt_tokens": 20, "completion_tokens": 11, "total_tokens": 31}}\n'
            ),
            "access log",
            [(0, 19, 10), (3, 20, 11)],
        ),
        (  # a batch's output, and names of the Responses API; times in milliseconds
            (
                '{"ts": 1741569952000, "response": {"status_code": 200, "body": {"usage":'
                ' {"input_tokens": 5, "output_tokens": 6}}}}\n'
                '{"ts": 1741569952250, "response": {"body": {"usage":'
                ' {"input_tokens": 7, "output_tokens": 8}}}}\n'
            ),
            "access log",
            [(0, 5, 6), (0.25, 7, 8)],
        ),
    ],
)
def test_formats(
    tmp_path: Path, text: str, kind: str, expected: list[tuple[float, int, int]]
) -> None:
    traffic = read(tmp_path, text)
    assert requests(traffic) == expected
    assert kind in traffic.notes[0]
    assert traffic.source.endswith("trace")


def test_rows_out_of_order_are_sorted_and_it_is_said(tmp_path: Path) -> None:
    traffic = read(tmp_path, "arrival,prompt,output\n9,1,1\n3,2,2\n5,3,3\n")
    assert requests(traffic) == [(0, 2, 2), (2, 3, 3), (6, 1, 1)]
    assert "sorted" in traffic.notes[-1]


def test_requests_of_one_moment_stay_in_their_order(tmp_path: Path) -> None:
    lines = [f"5,{n},1" for n in range(1, 100)]
    traffic = read(tmp_path, "\n".join(["arrival,prompt,output", *lines, "1,100,1"]))
    assert traffic.prompts.tolist() == [100, *range(1, 100)]


def test_times_without_a_zone_are_utc(tmp_path: Path) -> None:
    lines = ("arrival,prompt,output", "2026-01-01T01:00:00+01:00,1,1", "2026-01-01 00:00:09,1,1")
    assert read(tmp_path, "\n".join(lines)).arrivals.tolist() == [0, 9]


def test_rows_in_order_need_no_note(tmp_path: Path) -> None:
    assert len(read(tmp_path, AZURE).notes) == 1


def test_failures_are_left_out_and_counted(tmp_path: Path) -> None:
    head = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    traffic = read(tmp_path, f"{head}1,m,5,0,5,API log\n2,m,5,6,11,API log\n3,m,9,0,9,API log\n")
    assert requests(traffic) == [(0, 5, 6)]
    assert traffic.notes[1].startswith("2 rows left out: had no prompt or no answer")


def test_of_a_fleets_records_only_answered_requests_count(tmp_path: Path) -> None:
    lines = (
        record(),
        record(outcome="refused", prompt_tokens=None, completion_tokens=None, tokens_from=None),
        record(shadow_of="0b7c"),
    )
    traffic = read(tmp_path, "".join(lines))
    assert traffic.count == 1
    assert [note[:17] for note in traffic.notes[1:]] == ["1 row left out: h", "1 row left out: w"]


def test_lines_of_a_log_without_usage_are_left_out(tmp_path: Path) -> None:
    log = (
        '{"level": "info", "message": "started", "time": "2026-01-01T00:00:00Z"}\n\n'
        '{"time": "2026-01-01T00:00:01Z", "prompt_tokens": 3, "completion_tokens": 4}\n'
        '{"time": "2026-01-01T00:00:02Z", "usage": null}\n'
    )
    traffic = read(tmp_path, log)
    assert requests(traffic) == [(0, 3, 4)]
    assert "2 rows left out: have no usage counts" in traffic.notes


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "trace: the file is empty"),
        (" \n\n", "trace: the file is empty"),
        ("arrival,prompt,output\n", "trace: no requests"),
        ("arrival,prompt,output\n1,0,0\n", "no requests .* 1 row left out"),
        ("arrival,prompt\n1,2\n", "trace:1: column missing for a CSV .*: output"),
        ("timestamp,contexttokens\n", "trace:1: column missing for an Azure.*: generatedtokens"),
        ("a,b,c\n1,2,3\n", "trace:1: no format has these columns; known are Azure"),
        ("arrival,prompt,output\n0,1,1\n1,-3,2\n", r"trace:3: prompt is negative \('-3'\)"),
        ("arrival,prompt,output\n-1,3,2\n", "trace:2: arrival is negative"),
        ("arrival,prompt,output\n0,x,1\n", "trace:2: prompt is no number"),
        ("arrival,prompt,output\n0,1.5,1\n", "trace:2: prompt is no whole number"),
        ("arrival,prompt,output\nnan,1,1\n", "trace:2: arrival is not finite"),
        ("arrival,prompt,output\n0,inf,1\n", "trace:2: prompt is not finite"),
        ("arrival,prompt,output\n0,,1\n", "trace:2: prompt is empty"),
        ("arrival,prompt,output\n0,1,99999999999\n", "trace:2: output is too large"),
        ("arrival,prompt,output\n0,1,1\n\n0,1\n", "trace:4: only 2 columns; expected at least 3"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n18:77,1,1\n", "trace:2: timestamp is no date"),
        (MOONCAKE + '{"timestamp": 1, "input_length": 2}\n', "trace:3: output_length is missing"),
        (MOONCAKE.replace("52", '"many"'), "trace:1: output_length is no number"),
        (MOONCAKE.replace("52", "true"), "trace:1: output_length is no number"),
        (MOONCAKE.replace("52", "[1]"), "trace:1: output_length is no number"),
        (MOONCAKE.replace("6472", "-6472"), "trace:2: input_length is negative"),
        (MOONCAKE + "{broken\n", "trace:3: no JSON object"),
        (MOONCAKE + "17\n", "trace:3: no JSON object"),
        ('{"a": ' + "[" * 100_000, "trace:1: no JSON object"),
        ('{"a": 1, "b": 2}\n', "trace: no format has these keys: a, b; needed are"),
        ("{}\n", "no format has these keys: none"),
        ("[]", "a JSON array; write one object a line"),
        (b"\x1f\x8b\x08\x00", "a gzip file; unpack"),
        (b"PAR1\x15", "a Parquet file"),
        (b"arrival,prompt,output\n0,1,1\n1,\xff,1\n", "trace:3: no UTF-8 text"),
        (f'arrival,prompt,output\n0,"{"1" * 200_000}",1\n', "trace:2: this is no CSV"),
    ],
)
def test_a_damaged_file_is_told_where_and_why(tmp_path: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(TrafficError, match=says):
        read(tmp_path, text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TrafficError, match=r"none\.csv: No such file"):
        read_traffic(tmp_path / "none.csv")
    with pytest.raises(TrafficError, match="Is a directory"):
        read_traffic(tmp_path)


def test_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importers, "MOST_BYTES", 100)
    with pytest.raises(TrafficError, match=r"larger than 0 MiB.*head -n"):
        read(tmp_path, AZURE)


def test_rows_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MOST_ROWS", 2)
    with pytest.raises(TrafficError, match=r"more than 2 requests.*head -n"):
        read(tmp_path, AZURE)


def check(traffic: Traffic) -> None:
    """Fail unless it is what `Traffic` promises."""
    assert len(traffic.arrivals) == len(traffic.prompts) == len(traffic.outputs) >= 1
    assert traffic.arrivals[0] == 0
    assert (traffic.arrivals[1:] >= traffic.arrivals[:-1]).all()
    assert (traffic.prompts >= 1).all()
    assert (traffic.outputs >= 1).all()


def traffic_or_our_error(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    try:
        traffic = read_traffic(file)
    except TrafficError as error:
        said = str(error)
    else:
        check(traffic)
        said = "".join((traffic.source, *traffic.notes))
    assert str(file) in said
    said.encode()  # no lone surrogates, which a terminal could not print


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "trace"


@given(data=st.binary(max_size=300))
def test_any_bytes(file: Path, data: bytes) -> None:
    traffic_or_our_error(file, data)


HEADS = (
    "TIMESTAMP,ContextTokens,GeneratedTokens",
    "Timestamp,Request tokens,Response tokens",
    "arrival,prompt,output",
)
GOOD = st.integers(1, 10**6)
CELLS = st.one_of(
    st.integers(-5, 10**12).map(str),
    st.floats().map(str),
    st.datetimes().map(str),
    st.datetimes(timezones=st.timezones()).map(lambda one: one.isoformat()),
    st.text(max_size=8),
)
GOOD_ROWS = st.tuples(GOOD, GOOD, GOOD).map(lambda row: ",".join(map(str, row)))
ROWS = st.lists(CELLS, min_size=2, max_size=4).map(",".join)


@settings(max_examples=200)
@given(head=st.sampled_from(HEADS), rows=st.lists(GOOD_ROWS, max_size=6), damage=ROWS | st.none())
def test_any_cells(file: Path, head: str, rows: list[str], damage: str | None) -> None:
    lines = [head, *rows, *([damage] if damage is not None else [])]
    traffic_or_our_error(file, "\n".join(lines).encode("utf-8", "surrogatepass"))


SHAPES = (
    ("timestamp", "input_length", "output_length"),
    ("chat_id", "timestamp", "input_length", "output_length"),
    ("arrival_time", "input_toks", "output_toks"),
    ("time", "prompt_tokens", "completion_tokens", "outcome", "tokens_from"),
    ("created", "input_tokens", "output_tokens"),
)
KEYS = st.sampled_from(sorted({key for shape in SHAPES for key in (*shape, "usage", "response")}))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | CELLS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


@st.composite
def logs(draw: st.DrawFn) -> list[dict[str, object]]:
    """Return lines of one format, of which the last may be damaged."""
    shape = draw(st.sampled_from(SHAPES))
    lines: list[dict[str, object]] = [
        {key: draw(GOOD) for key in shape} for _ in range(draw(st.integers(1, 4)))
    ]
    lines[-1] |= draw(st.dictionaries(KEYS, VALUES, max_size=2))
    return lines


@settings(max_examples=300)
@given(lines=logs())
def test_any_objects(file: Path, lines: list[dict[str, object]]) -> None:
    traffic_or_our_error(file, "\n".join(json.dumps(line) for line in lines).encode())
