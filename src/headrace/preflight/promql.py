"""What a PromQL expression reads and how it adds up, as far as rules need it; no full parser.

Names are found outside of strings and label matchers, so `{model_name="vllm:x"}` names no metric.
"""

from __future__ import annotations

import re

_STRING = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|`[^`]*`')
_COMMENT = re.compile(r"#[^\n]*")
_NAMED = re.compile(r"__name__\s*=\s*[\"']([A-Za-z_:][\w:]*)[\"']")
_MATCHERS = re.compile(r"\{[^{}]*\}")
_GROUPING = re.compile(
    r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)", re.IGNORECASE
)
_WORD = re.compile(r"(?<![\w:.])[A-Za-z_:][\w:]*(?!\s*\()(?![\w:])")
_CALL = re.compile(r"([a-z_]+)\s*(?:(?:by|without)\s*\([^()]*\)\s*)?\(", re.IGNORECASE)
_WORDS = {"or", "and", "unless", "bool", "offset", "inf", "nan", "atan2", "start", "end"}
_SUFFIX = re.compile(r"_(bucket|sum|count|total|created)$")
_AT_REST = re.compile(r"\s*>=\s*0\s+or\s+\(?\s*0\s*\*.*$", re.DOTALL)
_TAIL = re.compile(
    r"\s+or\s+(vector\s*\([^()]*\)|on\s*\(\s*\)\s*vector\s*\([^()]*\))\s*$", re.IGNORECASE
)
_NOT_ADDITIVE = {"avg", "max", "min", "quantile", "histogram_quantile", "stddev"}
_ONE = re.compile(
    r"\b(sum|avg|max|min|count|quantile|stddev|stdvar|group|topk|bottomk|limitk|scalar|absent\w*)\s*(by|without)?\s*\(",
    re.IGNORECASE,
)
_EACH = re.compile(r"\w+\s*by\s*\(([^()]*)\)|.*\)\s*by\s*\(([^()]*)\)$", re.IGNORECASE | re.DOTALL)
_EACH_POD = {"pod", "instance", "container", "engine", "endpoint", "node"}
_COMPLETION = re.compile(r"\b(rate|irate|increase|delta)\s*\(")
_DURATION = re.compile(r"\[[^\[\]]*\]")
_PERIOD = re.compile(r"(\d+)(ms|[smhdwy])")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}


def metric_names(expression: str) -> tuple[str, ...]:
    """Return the metrics that an expression reads, in its order, each once."""
    named = _NAMED.findall(expression)
    bare = _DURATION.sub(" ", _GROUPING.sub(" ", _MATCHERS.sub(" ", _without_text(expression))))
    words = [word for word in _WORD.findall(bare) if word.lower() not in _WORDS]
    return tuple(dict.fromkeys([*words, *named]))


def family(name: str) -> str:
    """Return a metric without the suffix of its kind: `x_seconds_bucket` is `x_seconds`."""
    return _SUFFIX.sub("", name)


def matcher(expression: str, label: str) -> tuple[str, str] | None:
    """Return operator and value of the first matcher of a label, such as ("=~", "chat-.*")."""
    found = re.search(
        rf"[{{,]\s*{re.escape(label)}\s*(=~|!~|!=|=)\s*[\"']([^\"']*)[\"']", expression
    )
    return (found[1], found[2]) if found else None


def averages(expression: str) -> str | None:
    """Return why a query's value does not grow with replicas; None if it adds up over them.

    A quantile, a mean, a largest value; or a sum divided by a count.
    """
    bare = _bare(_AT_REST.sub("", expression.strip()))
    call = _CALL.match(bare)
    if call and call[1].lower() in _NOT_ADDITIVE and _whole(bare):
        return f"{call[1].lower()}()"
    parts = _split_top(bare, "/")
    if len(parts) > 1 and re.search(r"\bcount\s*(by|without|\()|_count\b", parts[1], re.IGNORECASE):
        return "a sum divided by a count"
    return None


def _bare(expression: str) -> str:
    """Return it without matchers, text, what comes after, and brackets around all of it."""
    bare = _MATCHERS.sub(" ", _without_text(_TAIL.sub("", expression))).strip()
    while bare.startswith("(") and _closes(bare) == len(bare) - 1:
        bare = bare[1:-1].strip()
    return bare


def many_series(expression: str) -> bool:
    """Whether it certainly has a series for each Pod: nothing adds them up, or by Pod only."""
    bare = _bare(expression.strip())
    if any((one := matcher(expression, label)) and one[0] == "=" for label in ("pod", "instance")):
        return False
    if not _ONE.search(bare):
        return True
    if not _CALL.match(bare) or not _whole(bare):
        return False
    each = _EACH.match(bare)
    labels = re.findall(r"\w+", (each[1] or each[2] or "") if each else "")
    return bool(set(labels) & _EACH_POD)


def undefined_at_rest(expression: str) -> bool:
    """Whether it is NaN while nothing happens: a quantile or a mean of nothing, kept as it is.

    `>= 0` drops NaN; `or` alone does not, for NaN is there.
    """
    bare = _MATCHERS.sub(" ", _without_text(expression))
    parts = _split_top(bare.strip(), "/")
    mean = len(parts) > 1 and _COMPLETION.search(parts[-1]) is not None
    return (mean or "histogram_quantile" in bare) and not re.search(r">=?\s*0", bare)


def is_rate(expression: str) -> bool:
    """Whether it looks at how fast a counter grows."""
    return _COMPLETION.search(_without_text(expression)) is not None


def longest_range(expression: str) -> float:
    """Return the longest stretch that it looks back over, such as 300 for `[5m]`; 0 if none."""
    ranges = (text.partition(":")[0] for text in _DURATION.findall(_without_text(expression)))
    each = (sum(int(n) * _SECONDS[unit] for n, unit in _PERIOD.findall(one)) for one in ranges)
    return max(each, default=0)


def _without_text(expression: str) -> str:
    return _COMMENT.sub(" ", _STRING.sub(" ", expression))


def _whole(bare: str) -> bool:
    """Whether the first call spans the whole expression, a grouping after it aside."""
    start = bare.find("(")
    grouped = re.match(r"[a-z_]+\s*(by|without)\s*\([^()]*\)\s*\(", bare, re.IGNORECASE)
    if grouped:
        start = grouped.end() - 1
    rest = bare[_closes(bare, start) + 1 :]
    return not re.sub(r"^\s*(by|without)\s*\([^()]*\)", "", rest, flags=re.IGNORECASE).strip()


def _closes(bare: str, start: int = 0) -> int:
    depth = 0
    for index in range(start, len(bare)):
        depth += (bare[index] == "(") - (bare[index] == ")")
        if depth == 0:
            return index
    return len(bare)


def _split_top(bare: str, operator: str) -> list[str]:
    parts, depth, last = [], 0, 0
    for index, letter in enumerate(bare):
        depth += (letter == "(") - (letter == ")")
        if letter == operator and depth == 0:
            parts.append(bare[last:index])
            last = index + 1
    return [*parts, bare[last:]]
