"""Facts of a model on a hub without its weights: config.json, and the headers of its tensors.

A header is some 100 kB at the begin of files of gigabytes, so it is asked for by range (RFC 9110,
section 14). Only for users who want that exactly; `look_up.py` answers without a network.
"""

from __future__ import annotations

import httpx

from headrace.fleet.source import HubSource
from headrace.models.errors import FormatError, SourceError
from headrace.models.fetch_http import content_range
from headrace.models.fetch_hub import HubOrigin
from headrace.models.look_up import ModelFacts
from headrace.models.plan import Planned
from headrace.models.progress import Listener, silent
from headrace.models.read_architecture import read_architecture
from headrace.models.tensorfile import LENGTH_BYTES, Tensor, header_length, parse_header
from headrace.models.web import Again, Retry, Web
from headrace.models.weight_bytes import weights_by_formula, weights_from_tensors

_FIRST = 256 << 10  # bytes asked at once, more than most headers have


def fetch_facts(
    source: HubSource,
    client: httpx.Client,
    retry: Retry | None = None,
    progress: Listener = silent,
    *,
    exact: bool = True,
) -> ModelFacts:
    """Ask a hub what a model is; without `exact` its config.json is all that is fetched.

    Raises WeightsError. Pickled weights, which have no header, are counted by formula.
    """
    origin = HubOrigin(source, client, retry or Retry(), progress, allow_pickle=True)
    files = {file.name: file for file in origin.plan(None).files}
    architecture = read_architecture(_config(origin.web, files, source, progress))
    shards = [file for name, file in files.items() if name.endswith(".safetensors")]
    if not (exact and shards):
        return ModelFacts(architecture, weights_by_formula(architecture))
    headers = (_fetch_header(origin.web, file, progress) for file in shards)
    tensors = [tensor for header in headers for tensor in header]
    return ModelFacts(architecture, weights_from_tensors(tensors, architecture))


def _config(
    web: Web, files: dict[str, Planned], source: HubSource, progress: Listener
) -> dict[str, object]:
    if (file := files.get("config.json")) is None:
        raise SourceError(
            f"{source} has no config.json; name the repository that its files were made from"
        )
    config = web.json(file.place, progress)
    if not isinstance(config, dict):
        raise FormatError("config.json holds no JSON object")
    return config


def _fetch_header(web: Web, file: Planned, progress: Listener) -> tuple[Tensor, ...]:
    begin, size = _fetch_range(web, file, 0, _FIRST, progress)
    end = LENGTH_BYTES + header_length(file.name, begin, size)
    if end > len(begin):
        begin += _fetch_range(web, file, len(begin), end, progress)[0]
    return parse_header(file.name, begin[LENGTH_BYTES:end], size)


def _fetch_range(
    web: Web, file: Planned, begin: int, end: int, progress: Listener
) -> tuple[bytes, int]:
    """Return the bytes from `begin` to before `end`, or to the file's end, and the file's size."""

    def attempt() -> tuple[bytes, int]:
        with web.open(file.place, {"Range": f"bytes={begin}-{end - 1}"}) as response:
            first, size = _placed(response, file)
            if first > begin or size is None:
                raise SourceError(
                    f"{response.url.host} does not say which bytes of {file.name} it sends, "
                    "so its header cannot be read; use another mirror, or `headrace weights pull`"
                )
            return _read(response, begin - first, min(end, size) - first), size

    return web.persist(attempt, file.name, progress)


def _placed(response: httpx.Response, file: Planned) -> tuple[int, int | None]:
    """Return where the answer's bytes begin, and the file's size; some servers send all of it."""
    if response.status_code == httpx.codes.OK:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdigit() else file.size
    begin, total = content_range(response)
    return begin or 0, total if total is not None else file.size


def _read(response: httpx.Response, begin: int, end: int) -> bytes:
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) >= end:
            return bytes(body[begin:end])
    raise Again(f"{response.url.host} sent {len(body):,} of {end:,} bytes")
