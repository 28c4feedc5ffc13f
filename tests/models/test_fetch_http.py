"""A file over HTTP: cut, continued, changed meanwhile, wrong."""

from __future__ import annotations

import random
from hashlib import sha256
from pathlib import Path

import pytest
from weights_kit import EAGER, Page, Site

from headrace.fleet.source import HttpSource
from headrace.models.errors import RefusedError, SourceError, TransferError
from headrace.models.fetch_http import HttpOrigin, fetch
from headrace.models.plan import Planned
from headrace.models.progress import silent
from headrace.models.web import Web

OLD, NEW = random.Random(1).randbytes(300_000), random.Random(2).randbytes(200_000)


def _digest(body: bytes) -> str:
    return sha256(body).hexdigest()


def test_a_file_arrives_with_its_digest(site: Site, web: Web, tmp_path: Path) -> None:
    site.pages["/m"] = Page(OLD)
    got = fetch(web, Planned("d/m.gguf", f"{site.url}/m"), tmp_path / "files", silent)
    assert (got.path, got.size, got.sha256) == ("d/m.gguf", 300_000, _digest(OLD))
    assert (tmp_path / "files/d/m.gguf").read_bytes() == OLD


def test_a_cut_connection_is_continued_at_the_byte(site: Site, web: Web, tmp_path: Path) -> None:
    site.pages["/m"] = Page(OLD, '"v1"', cuts=[100_000, 50_000])
    got = fetch(web, Planned("m", f"{site.url}/m"), tmp_path / "files", silent)
    assert got.sha256 == _digest(OLD)
    first, second, third = site.asked("/m")
    assert "Range" not in first
    assert (second["Range"], second["If-Range"]) == ("bytes=100000-", '"v1"')
    assert third["Range"] == "bytes=150000-"


def test_a_later_pull_continues_where_one_gave_up(site: Site, web: Web, tmp_path: Path) -> None:
    page = site.pages["/m"] = Page(OLD, '"v1"', cuts=[250_000, 0, 0, 0])
    file = Planned("m", f"{site.url}/m")
    with pytest.raises(TransferError, match="kept"):
        fetch(web, file, tmp_path / "files", silent)
    assert not (tmp_path / "files/m").exists()
    page.cuts.clear()
    site.requests.clear()
    assert fetch(web, file, tmp_path / "files", silent).sha256 == _digest(OLD)
    assert site.asked("/m")[0]["Range"] == "bytes=250000-"


def test_a_file_that_changed_meanwhile_is_fetched_anew(
    site: Site, web: Web, tmp_path: Path
) -> None:
    site.pages["/m"] = Page(OLD, '"v1"', cuts=[100_000, 0, 0, 0])
    file = Planned("m", f"{site.url}/m")
    with pytest.raises(TransferError):
        fetch(web, file, tmp_path / "files", silent)
    site.pages["/m"] = Page(NEW, '"v2"')
    assert fetch(web, file, tmp_path / "files", silent).sha256 == _digest(NEW)


def test_a_server_that_ignores_if_range_cannot_mix_versions(
    site: Site, web: Web, tmp_path: Path
) -> None:
    site.pages["/m"] = Page(OLD, '"v1"', cuts=[100_000, 0, 0, 0])
    file = Planned("m", f"{site.url}/m")
    with pytest.raises(TransferError):
        fetch(web, file, tmp_path / "files", silent)
    site.pages["/m"] = Page(NEW, '"v2"', careless=True)
    assert fetch(web, file, tmp_path / "files", silent).sha256 == _digest(NEW)


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_a_strong_etag_nothing_is_continued(
    site: Site, web: Web, tmp_path: Path, etag: str
) -> None:
    page = site.pages["/m"] = Page(OLD, etag, cuts=[100_000, 0, 0, 0])
    file = Planned("m", f"{site.url}/m")
    with pytest.raises(TransferError):
        fetch(web, file, tmp_path / "files", silent)
    page.cuts.clear()
    site.requests.clear()
    assert fetch(web, file, tmp_path / "files", silent).sha256 == _digest(OLD)
    assert "Range" not in site.asked("/m")[0]


def test_another_commits_part_is_not_continued(site: Site, web: Web, tmp_path: Path) -> None:
    site.pages["/c1/m"] = Page(OLD, cuts=[100_000, 0, 0, 0])
    site.pages["/c2/m"] = Page(NEW)
    with pytest.raises(TransferError):
        fetch(web, Planned("m", f"{site.url}/c1/m", immutable=True), tmp_path / "f", silent)
    got = fetch(web, Planned("m", f"{site.url}/c2/m", immutable=True), tmp_path / "f", silent)
    assert got.sha256 == _digest(NEW)


def test_spoilt_bytes_from_earlier_cost_one_more_try(site: Site, web: Web, tmp_path: Path) -> None:
    page = site.pages["/m"] = Page(OLD, '"v1"', cuts=[100_000, 0, 0, 0])
    file = Planned("m", f"{site.url}/m", sha256=_digest(OLD))
    with pytest.raises(TransferError):
        fetch(web, file, tmp_path / "files", silent)
    part = tmp_path / "files.parts/m.part"
    part.write_bytes(b"x" + part.read_bytes()[1:])
    page.cuts.clear()
    assert fetch(web, file, tmp_path / "files", silent).sha256 == _digest(OLD)


def test_a_finished_file_is_not_fetched_twice(site: Site, web: Web, tmp_path: Path) -> None:
    site.pages["/m"] = Page(OLD, '"v1"')
    sure = Planned("m", f"{site.url}/m", sha256=_digest(OLD))
    fetch(web, sure, tmp_path / "files", silent)
    fetch(web, sure, tmp_path / "files", silent)
    assert len(site.requests) == 1
    unsure = Planned("m", f"{site.url}/m")  # nothing is promised, so the server is asked (416)
    assert fetch(web, unsure, tmp_path / "files", silent).sha256 == _digest(OLD)
    assert site.requests[1][1]["Range"] == "bytes=300000-"
    site.pages["/m"] = Page(NEW, '"v2"')
    assert fetch(web, unsure, tmp_path / "files", silent).sha256 == _digest(NEW)


def test_a_server_without_ranges_sends_all_again(site: Site, web: Web, tmp_path: Path) -> None:
    site.pages["/m"] = Page(OLD, '"v1"', cuts=[100_000], ranges=False)
    got = fetch(web, Planned("m", f"{site.url}/m"), tmp_path / "files", silent)
    assert got.sha256 == _digest(OLD)


def test_compressed_bytes_are_refused(site: Site, web: Web, tmp_path: Path) -> None:
    site.pages["/m"] = Page(OLD, headers={"Content-Encoding": "gzip"})
    with pytest.raises(SourceError, match="compressed"):
        fetch(web, Planned("m", f"{site.url}/m"), tmp_path / "files", silent)


def test_a_web_folder_needs_its_files_named(web: Web) -> None:
    with pytest.raises(SourceError, match="no listing"):
        HttpOrigin(HttpSource("https://h/d/"), (), web.client, EAGER).plan(None)


def test_a_web_folder_gives_the_files_named(site: Site, web: Web, tmp_path: Path) -> None:
    site.pages["/d/a%20b.json"] = Page(b"{}")
    source = HttpSource(f"{site.url}/d/")
    origin = HttpOrigin(source, ("a b.json",), web.client, EAGER)
    (file,) = origin.plan(None).files
    assert origin.fetch(file, tmp_path, silent).size == 2
    with pytest.raises(RefusedError):
        HttpOrigin(source, ("../x.json",), web.client, EAGER).plan(None)


def test_one_web_file_is_named_by_its_address(web: Web) -> None:
    source = HttpSource("https://h/d/my%20model.gguf")
    (file,) = HttpOrigin(source, (), web.client, EAGER).plan(None).files
    assert file.name == "my model.gguf"
    with pytest.raises(RefusedError):
        HttpOrigin(HttpSource("https://h/d/..%2Fx"), (), web.client, EAGER).plan(None)
