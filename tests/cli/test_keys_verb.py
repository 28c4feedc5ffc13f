"""`headrace keys`, and the warning of a fleet that is open to everybody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "laptop.yaml"


def headrace(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "headrace", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_key_is_shown_once(tmp_path: Path) -> None:
    made = headrace("keys", "new", "search", "--streams", "3", folder=tmp_path)
    assert made.returncode == 0
    secret = made.stdout.strip()
    assert secret.startswith("hr-")
    assert "not shown again" in made.stderr
    assert secret not in made.stderr
    listed = headrace("keys", "list", folder=tmp_path)
    assert "search" in listed.stdout
    assert "3 at once" in listed.stdout
    assert secret not in listed.stdout + (tmp_path / "keys.yaml").read_text()
    twice = headrace("keys", "new", "search", folder=tmp_path)
    assert (twice.returncode, twice.stdout) == (1, "")
    assert "already" in twice.stderr
    assert headrace("keys", "remove", "search", folder=tmp_path).returncode == 0
    gone = headrace("keys", "remove", "search", folder=tmp_path)
    assert gone.stderr == "headrace: keys.yaml: has no key named 'search'\n"


def test_limits_are_written_and_listed(tmp_path: Path) -> None:
    made = headrace(
        "keys", "new", "search", "--tenant", "acme", "--requests-per-minute", "60",
        "--tokens-per-minute", "9000", "--concurrency", "4", "--max-prompt", "800",
        "--max-output", "50", "--count-only", folder=tmp_path,
    )  # fmt: skip
    assert made.returncode == 0
    assert headrace("keys", "new", "plain", folder=tmp_path).returncode == 0
    first, second = headrace("keys", "list", folder=tmp_path).stdout.splitlines()
    assert first.endswith(
        "tenant acme, 60 requests/min, 9000 tokens/min, 4 at once in all gateways, "
        "800 tokens a prompt, 50 tokens an answer, only counted"
    )
    assert second.endswith("no bound")
    for option in ("--count-only", "--concurrency=0"):
        assert headrace("keys", "new", "odd", option, folder=tmp_path).returncode == 2


def test_validate_warns_of_a_gateway_that_is_open_to_everybody(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    assert text.count("host: 127.0.0.1") == 1
    (tmp_path / "fleet.yaml").write_text(text.replace("host: 127.0.0.1", "host: 0.0.0.0"))
    done = headrace("validate", "fleet.yaml", folder=tmp_path)
    assert done.returncode == 0
    assert done.stderr.startswith("headrace: warning: fleet.yaml:")
    assert "headrace keys new" in done.stderr
