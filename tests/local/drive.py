"""`headrace up` for tests: serves the fleet of a folder with the script engine, until it is told to end."""

import asyncio
import sys
from pathlib import Path

from fleet_kit import QUICK, ScriptLoader

from headrace.fleet.load import load_fleet
from headrace.local.reserve import listening, locked
from headrace.local.state import AlreadyUpError
from headrace.local.supervisor import Supervisor
from headrace.view.display import PlainDisplay


async def main(folder: Path) -> int:
    file = load_fleet(folder / "fleet.yaml")
    with locked(file, folder / "s") as (state, lock), listening(file, state, lock) as reserved:
        loader = ScriptLoader()
        edition = loader.edition(file)
        return await Supervisor(edition, reserved, PlainDisplay(), loader, pace=QUICK).run()


try:
    sys.exit(asyncio.run(main(Path(sys.argv[1]))))
except AlreadyUpError as error:
    sys.exit(str(error))
