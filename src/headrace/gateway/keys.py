"""The file of API keys: who may call, kept as hashes.

A YAML (or JSON) list that a person can review and a Kubernetes Secret can carry:

    - name: team-search
      sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      streams: 20
      tenant: search
      limits: {requests_per_minute: 600, tokens_per_minute: 200000, mode: enforce}

A key itself is shown once, when it is made, and is nowhere kept. It has 256 random bits, so a plain
SHA-256 of it cannot be turned back. `admission.py` compares; `headrace keys` writes.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from headrace.fleet.document import Document, read_document
from headrace.fleet.problems import FleetError, Problem
from headrace.gateway.control import Key
from headrace.routing.route import Limits

MAX_KEYS = 1000
_MAX_BYTES = 1 << 20
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FIELDS = ("name", "sha256", "streams", "tenant", "limits")
_LIMITS = ("requests_per_minute", "tokens_per_minute", "concurrency", "max_prompt", "max_output")
_MODES = ("enforce", "count")
_MOST = 10**12


def read_keys(path: Path) -> tuple[Key, ...]:
    """Return the keys of a file; FleetError names every line that is wrong."""
    _check_file(path)
    document = read_document(path)
    entries = document.data if document.data is not None else []
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        message = f"must be a list of at most {MAX_KEYS} keys, each with name and sha256"
        raise FleetError([Problem(path, 1, "", message)])
    problems = [
        Problem(path, document.line((index,)), "", message)
        for index, entry in enumerate(entries)
        for message in _mistakes(entry)
    ] or list(_doubles(path, document))
    if problems:
        raise FleetError(problems)
    return tuple(map(_key, entries))


def _key(entry: dict[str, Any]) -> Key:
    return Key(
        name=entry["name"],
        digest=entry["sha256"],
        streams=entry.get("streams"),
        tenant=entry.get("tenant"),
        limits=_limits(entry.get("limits")),
    )


def _limits(entry: dict[str, Any] | None) -> Limits | None:
    if not entry:
        return None
    counts: dict[str, Any] = {field: entry.get(field) for field in _LIMITS}
    return Limits(**counts, enforce=entry.get("mode") != "count")


def digest_of(key: str) -> str:
    """Return the SHA-256 of a key in hex, as the file has it."""
    return hashlib.sha256(key.encode()).hexdigest()


def add_key(
    path: Path, name: str, streams: int | None = None, tenant: str | None = None,
    limits: Limits | None = None,
) -> str:  # fmt: skip
    """Make a key, append its hash to the file (made if need be) and return the key.

    FleetError if the name is taken or not a name, or if the file is not usable.
    """
    for field, given in (("name", name), ("tenant", tenant)):
        if given is not None and not _NAME.fullmatch(given):
            raise FleetError([Problem(path, 0, "", _bad_name(field, given))])
    known = read_keys(path) if path.exists() else ()
    if any(key.name == name for key in known):
        message = f"has a key named '{name}' already; remove it first or choose another name"
        raise FleetError([Problem(path, 0, "", message)])
    key = f"hr-{secrets.token_urlsafe(32)}"
    bounds = {"streams": streams, "tenant": tenant, "limits": _shown(limits)}
    entries = _load(path)
    entries.append(
        {"name": name, "sha256": digest_of(key)}
        | {field: value for field, value in bounds.items() if value is not None}
    )
    _replace(path, entries)
    return key


def _shown(limits: Limits | None) -> dict[str, Any] | None:
    """Return limits as the file has them."""
    if limits is None:
        return None
    found = {field: getattr(limits, field) for field in _LIMITS}
    shown: dict[str, Any] = {field: value for field, value in found.items() if value is not None}
    return shown if limits.enforce else shown | {"mode": "count"}


def remove_key(path: Path, name: str) -> None:
    """Take a key out of the file; FleetError if it is not in it."""
    if all(key.name != name for key in read_keys(path)):
        raise FleetError([Problem(path, 0, "", f"has no key named '{name}'")])
    entries = _load(path)
    del entries[next(index for index, entry in enumerate(entries) if entry["name"] == name)]
    _replace(path, entries)


def _check_file(path: Path) -> None:
    try:
        found = path.stat()
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise FleetError([Problem(path, 0, "", message)]) from error
    message = ""
    if found.st_size > _MAX_BYTES:
        message = "is larger than 1 MiB, which no file of keys is"
    elif found.st_mode & _OTHERS_WRITE:
        message = f"can be written by others, who could let themselves in; chmod go-w {path}"
    elif found.st_uid not in (0, os.geteuid()):
        message = "belongs to another user, who could let anybody in; chown it"
    if message:
        raise FleetError([Problem(path, 0, "", message)])


def _mistakes(entry: Any) -> Iterator[str]:
    if not isinstance(entry, dict):
        yield "must have name and sha256"
        return
    yield from _unknown(entry, _FIELDS)
    name, digest, tenant, limits = (
        entry.get(field) for field in ("name", "sha256", "tenant", "limits")
    )
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        yield _bad_name("name", name)
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        yield "sha256 must be 64 lower-case hex digits; make keys with `headrace keys new`"
    yield from _bad_count("streams", entry.get("streams"))
    if tenant is not None and (not isinstance(tenant, str) or not _NAME.fullmatch(tenant)):
        yield _bad_name("tenant", tenant)
    if limits is not None:
        yield from _bad_limits(limits)


def _bad_limits(limits: Any) -> Iterator[str]:
    if not isinstance(limits, dict):
        yield f"limits must be a mapping with any of {', '.join(_LIMITS)}, mode"
        return
    yield from (f"limits: {message}" for message in _unknown(limits, (*_LIMITS, "mode")))
    for field in _LIMITS:
        yield from _bad_count(f"limits.{field}", limits.get(field))
    if limits.get("mode", "enforce") not in _MODES:
        yield f"limits.mode must be {' or '.join(_MODES)}"


def _unknown(entry: dict[Any, Any], known: tuple[str, ...]) -> Iterator[str]:
    if unknown := sorted(map(str, entry.keys() - set(known))):
        yield f"unknown {', '.join(unknown)}; known: {', '.join(known)}"


def _bad_count(field: str, value: object) -> Iterator[str]:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        yield f"{field} must be a whole number"
    elif not 1 <= value <= _MOST:
        yield f"{field} must be at least 1 and at most {_MOST}; to shut a key out, remove it"


def _bad_name(field: str, name: object) -> str:
    shown = repr(name)[:80] if isinstance(name, str) else "missing or not text"
    return f"{field} ({shown}) must be letters, digits, '.', '_' and '-', at most 63"


def _doubles(path: Path, document: Document) -> Iterator[Problem]:
    for field in ("name", "sha256"):
        seen: set[str] = set()
        for index, entry in enumerate(document.data or []):
            if entry[field] in seen:
                line = document.line((index, field))
                yield Problem(path, line, "", f"the same {field} is in the list above")
            seen.add(entry[field])


def _load(path: Path) -> Any:
    """Return the list with its comments and layout, to be changed and written back."""
    return (YAML(typ="rt").load(path.read_text()) if path.exists() else None) or []


def _replace(path: Path, entries: Any) -> None:
    """Write the file in one step, readable by its owner only. Two writers exclude each other."""
    yaml = YAML(typ="rt")
    yaml.width = 200
    text = io.StringIO()
    yaml.dump(entries, text)
    new = path.with_name(f"{path.name}.new")
    try:
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        message = f"another `headrace keys` is writing it; if none is, remove {new}"
        raise FleetError([Problem(path, 0, "", message)]) from error
    except OSError as error:
        message = f"cannot be written: {error.strerror}"
        raise FleetError([Problem(path, 0, "", message)]) from error
    with os.fdopen(file, "w") as out:
        out.write(text.getvalue())
        out.flush()
        os.fsync(out.fileno())
    new.replace(path)
