"""The program's first moment: Ctrl-C while the command line is imported is no traceback."""

import subprocess
import sys
import tomllib
from pathlib import Path

ENTRY = "headrace.__main__:run"
INTERRUPTED = """
import sys

class Impatient:
    def find_spec(self, name, path=None, target=None):
        if name == "headrace.planning":  # in the midst of what the command line imports
            raise KeyboardInterrupt

sys.meta_path.insert(0, Impatient())
from headrace.__main__ import run
assert "headrace.cli" not in sys.modules
run()
"""


def test_ctrl_c_during_imports_is_a_line_and_a_status() -> None:
    found = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stderr) == (130, "\nheadrace: interrupted\n")


def test_the_program_begins_there() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["scripts"]["headrace"] == ENTRY
