"""Recorded traces, whatever their format: `read_traffic` looks at the file and says what it is.

`tables.py` reads CSV, `json_lines.py` JSON lines; both collect into `rows.py`. Files are bounded,
because a plan reads them while its user waits: a part of a week's trace says as much.
"""

from __future__ import annotations

from pathlib import Path

from headrace.traffic.errors import TrafficError
from headrace.traffic.json_lines import read_json_lines
from headrace.traffic.tables import read_table
from headrace.traffic.traffic import Traffic

MOST_BYTES = 256 * 2**20
"""Of a file; `rows.MOST_ROWS` bounds its requests."""
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PAR1": "Parquet",
}


def read_traffic(file: Path) -> Traffic:
    """Read a recorded trace; its notes say what it was read as, and what was left out.

    Known are the Azure LLM traces of 2023 and 2024, BurstGPT, Mooncake, Qwen-Bailian, records of
    `headrace requests --json`, access logs with usage counts, and CSV or JSON lines with `arrival`
    (seconds, or dates), `prompt` and `output` (tokens). TrafficError says where a file is damaged.
    """
    part = f"a part is enough for a plan: head -n 1000000 {file}"
    text = _text(read_bytes(file, MOST_BYTES, part), file)
    first = text.lstrip()[:1]
    if not first:
        raise TrafficError(f"{file}: the file is empty")
    if first == "[":
        raise TrafficError(f"{file}: a JSON array; write one object a line: jq -c '.[]' {file}")
    return (read_json_lines if first == "{" else read_table)(text, str(file))


def read_bytes(file: Path, most: int, advice: str) -> bytes:
    """Return what is in a file; TrafficError if it cannot be read, or is larger than `most` bytes.

    `advice` says what to do then.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(most + 1)
    except OSError as error:
        raise TrafficError(f"{file}: {error.strerror or error}") from error
    if len(data) > most:
        raise TrafficError(f"{file}: larger than {most // 2**20} MiB; {advice}")
    return data


def _text(data: bytes, file: Path) -> str:
    for magic, kind in _MAGIC.items():
        if data.startswith(magic):
            raise TrafficError(f"{file}: a {kind} file; unpack or convert it to CSV or JSON lines")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TrafficError(f"{file}:{line}: no UTF-8 text ({error.reason})") from error
