"""Names of files from outside: which are safe to create, and which are worth having.

A hub, a wheel and a lock file all name files that we then write. None of them may name its way out
of the folder.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable

from headrace.models.errors import RefusedError, SourceError

_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")
_MAX_NAME = 240  # bytes; file systems allow 255 and we add a suffix

PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle", "*.joblib")
_WANTED = ("*.json", "*.safetensors", "*.model", "*.tiktoken", "*.jinja", "vocab.txt", "merges.txt")
_UNWANTED_FOLDERS = ("original", "onnx", "openvino", "runs", "coreml", "metal")
_MAX_FOLDERS = 2  # 1_Pooling/config.json of an embedding model is wanted; deeper trees are not


def safe_name(name: str) -> str:
    """Return a relative POSIX file name unchanged if it stays inside its folder.

    Raises RefusedError for absolute names, `..`, backslashes, control characters
    and the like.
    """
    parts = name.split("/")
    if _UNSAFE.search(name) or any(part in ("", ".", "..") for part in parts):
        raise RefusedError(f"the file name {name!r} could leave its folder, so nothing was written")
    if any(len(part.encode(errors="replace")) > _MAX_NAME for part in parts):
        raise RefusedError(f"the file name {name[:80]!r}... is too long")
    return name


def is_pickled(name: str) -> bool:
    """Whether a file name says that the file is a pickle (which runs code when loaded)."""
    return _matches(name.rsplit("/", 1)[-1].lower(), PICKLED)


def choose_files(names: Iterable[str], *, member: str | None, allow_pickle: bool) -> list[str]:
    """Pick the files that an engine needs from everything a repository holds, sorted.

    One GGUF file, where there is nothing but GGUF or `member` asks for it; else safetensors with
    configuration and tokenizer, without the duplicates that some repositories add (`original/`,
    `consolidated*`). Pickles only when there is nothing else and they are allowed.
    """
    everything = sorted({safe_name(name) for name in names})
    if member is not None:
        return [_pick_member(everything, member)]
    weights = _safetensors(everything)
    if not weights and (gguf := [name for name in everything if name.lower().endswith(".gguf")]):
        return [_only_gguf(gguf)]
    beside = [name for name in everything if _is_beside(name)]
    return sorted(beside + (weights or _pickles(everything, allow_pickle=allow_pickle)))


def _pick_member(names: list[str], member: str) -> str:
    if member not in names:
        raise SourceError(f"there is no {member}; there is: {', '.join(names[:20])}")
    return member


def _only_gguf(names: list[str]) -> str:
    if len(names) > 1:
        raise SourceError(
            f"there are several GGUF files; add one of them after a #: {', '.join(names[:20])}"
        )
    return names[0]


def _safetensors(names: list[str]) -> list[str]:
    top = [name for name in names if name.endswith(".safetensors") and "/" not in name]
    return [name for name in top if not name.startswith("consolidated")] or top


def _pickles(names: list[str], *, allow_pickle: bool) -> list[str]:
    found = [name for name in names if is_pickled(name) and "/" not in name]
    if not found:
        raise SourceError("there are no weights: neither *.safetensors nor *.gguf")
    if not allow_pickle:
        raise RefusedError(
            f"the only weights are pickles ({', '.join(found[:5])}), which run code when loaded; "
            "find a safetensors copy, or set allow_pickle for this model if you trust its author"
        )
    return [name for name in found if not name.startswith(("training_args", "optimizer"))]


def _is_beside(name: str) -> bool:
    *folders, last = name.split("/")
    if last.endswith(".safetensors") or len(folders) > _MAX_FOLDERS:
        return False
    return _matches(last, _WANTED) and not any(
        folder in _UNWANTED_FOLDERS or folder.startswith(".") for folder in folders
    )


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
