"""API keys while a fleet is up: read again when written, kept when unreadable."""

from pathlib import Path

import httpx
import pytest
from fleet_kit import Running, Up, until

from headrace.fleet.problems import FleetError
from headrace.gateway.key_file import KeyFile
from headrace.gateway.keys import add_key, remove_key
from headrace.local import supervisor


def test_a_file_is_changed_when_it_is_written_replaced_or_gone(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    add_key(path, "one")
    keys = KeyFile(path)
    keys.read()
    assert not keys.changed()
    add_key(path, "two")
    assert keys.changed()
    keys.read()
    assert [key.name for key in keys.keys or ()] == ["one", "two"]
    path.unlink()
    assert keys.changed()
    with pytest.raises(FleetError, match="cannot be read"):
        keys.read()
    assert [key.name for key in keys.keys or ()] == ["one", "two"]
    assert not keys.changed()  # said once, not every two seconds


def test_without_a_file_nobody_is_asked_and_nothing_changes() -> None:
    keys = KeyFile(None)
    keys.read()
    assert keys.keys is None
    assert not keys.changed()


async def status(running: Running, key: str) -> int:
    async with httpx.AsyncClient(trust_env=False) as http:
        headers = {"authorization": f"Bearer {key}"}
        return (await http.get(f"{running.address}/models", headers=headers)).status_code


async def test_a_key_is_taken_away_while_the_fleet_serves(
    up: Up, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_KEYS_EVERY", 0.05)
    path = tmp_path / "keys.yaml"
    good, bad = add_key(path, "good"), add_key(path, "bad")
    running = await up(port="0, keys: keys.yaml")
    await until(lambda: running.states() == ["ready"])
    assert [await status(running, key) for key in (good, bad, "hr-none")] == [200, 200, 401]
    remove_key(path, "bad")
    await until(lambda: any("read again: 1" in text for text in running.display.texts("gateway")))
    while await status(running, bad) != 401:  # the gateway hears of it a moment later
        pass
    assert await status(running, good) == 200
    path.write_text("- {name: good}\n")
    await until(lambda: bool(running.display.texts("note")))
    assert "the API keys stay as they were" in running.display.texts("note")[0]
    assert await status(running, good) == 200
    assert good not in str(running.display.events)
