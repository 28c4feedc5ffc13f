"""What holds for all tests.

A busy machine is no failure, so no generated case has a deadline, nor its making. And nothing depends on what was
served on this machine before: plans would go by the starts that its state folder remembers. Nor is a proxy asked for
what a test serves itself, and what is printed does not depend on the terminal, or the service, that runs the tests.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

for _name in ("COLUMNS", "LINES", "TERMINAL_WIDTH", "FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS"):
    os.environ.pop(_name, None)
settings.register_profile("headrace", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("headrace")


@pytest.fixture(scope="session", autouse=True)
def _no_proxy() -> None:
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1", "localhost")))


@pytest.fixture(scope="session", autouse=True)
def _no_history(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["HEADRACE_STATE"] = str(tmp_path_factory.mktemp("state"))
