"""Anybody's files become objects: folders, several documents in a file, standard input, Lists.

What cannot be read becomes a finding with its line, and the rest of the file is still looked at. A
fleet file is recognised and left to `fleet_files.py`; YAML that is neither is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from headrace.preflight.finding import Finding
from headrace.preflight.objects import Resource, unpacked
from headrace.preflight.rules.reading import NOT_YAML, TEMPLATE
from headrace.preflight.yaml_nodes import UnreadableError, parse

MAX_BYTES = 8 << 20
_GIVE = "give a file or a folder that is there, and that you may read"
_SUFFIXES = {".yaml", ".yml", ".json"}
_PASSED_OVER = {".git", ".venv", "node_modules", "__pycache__"}
_SEPARATOR = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_DEFINITION = re.compile(r"^kind:\s*['\"]?CustomResourceDefinition\b", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\{\{.*?\}\}", re.DOTALL)


@dataclass
class Reading:
    """What was read: objects, fleet files, the text of each file, and what could not be read."""

    resources: list[Resource] = field(default_factory=list)
    fleets: list[Path] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def read(paths: Iterable[Path], standard_input: str = "") -> Reading:
    """Read files and folders, each file once; `-` is standard input, which the caller has read."""
    reading = Reading()
    seen = set()
    for path in paths:
        if str(path) == "-":
            _take("<stdin>", standard_input, reading)
            continue
        for file in _files(path):
            if (real := file.resolve()) not in seen:
                seen.add(real)
                _take_file(file, reading)
    return reading


def _files(path: Path) -> Iterator[Path]:
    """Yield a file that is named, or the YAML and JSON files below a folder in order."""
    if not path.is_dir():
        yield path
        return
    for file in sorted(path.rglob("*")):
        parts = file.relative_to(path).parts
        hidden = _PASSED_OVER & set(parts) or any(one.endswith(".evidence") for one in parts)
        if file.suffix.lower() in _SUFFIXES and file.is_file() and not hidden:
            yield file


def _take_file(file: Path, reading: Reading) -> None:
    name = str(file)
    try:
        raw = file.read_bytes() if file.stat().st_size <= MAX_BYTES else None
        text = raw.decode("utf-8-sig") if raw is not None else None
    except OSError as error:
        _broken(reading, name, 1, f"cannot be read: {error.strerror}", _GIVE)
    except UnicodeDecodeError:
        _broken(reading, name, 1, "is not text in UTF-8")
    else:
        if text is None:
            _broken(reading, name, 1, f"is larger than {MAX_BYTES >> 20} MiB; give its parts")
        else:
            _take(name, text, reading)


def _take(name: str, text: str, reading: Reading) -> None:
    reading.texts[name] = text
    for number, (line, part) in enumerate(_documents(text)):
        if _DEFINITION.search(part):
            continue
        try:
            root = parse(part, line)
        except UnreadableError as error:
            if _PLACEHOLDER.search(part):
                _template(reading, name, line, part)
            else:
                _broken(reading, name, error.line, f"not valid YAML: {error}")
            continue
        if root is None:
            continue
        if _is_fleet(Resource(name, root)):
            reading.fleets.append(Path(name))
            continue
        reading.resources += unpacked(Resource(name, root, number))


def _documents(text: str) -> Iterator[tuple[int, str]]:
    """Split at the lines `---`, so that one broken document does not hide the others."""
    starts = [0, *(match.end() for match in _SEPARATOR.finditer(text))]
    ends = [*(match.start() for match in _SEPARATOR.finditer(text)), len(text)]
    for start, end in zip(starts, ends, strict=True):
        yield text.count("\n", 0, start) + 1, text[start:end]


def _is_fleet(resource: Resource) -> bool:
    root = resource.root
    return not resource.kind and bool(root["fleet"]) and bool(root["deployments"] or root["models"])


def _broken(reading: Reading, file: str, line: int, message: str, fix: str = NOT_YAML.fix) -> None:
    reading.findings.append(Finding(NOT_YAML, file, line, "", message, fix))


def _template(reading: Reading, file: str, line: int, part: str) -> None:
    match = _PLACEHOLDER.search(part)
    line += part.count("\n", 0, match.start()) if match else 0
    message = "is a template, not a manifest: nothing in this document was looked at"
    reading.findings.append(Finding(TEMPLATE, file, line, "", message, TEMPLATE.fix))
