"""`headrace up` for tests: serves the fleet of a folder with the script engine, until it is told to end."""

import asyncio
import sys
from pathlib import Path

from fleet_kit import QUICK, blueprint

from headrace.fleet.load import load_fleet
from headrace.local.display import PlainDisplay
from headrace.local.reserve import listening, locked
from headrace.local.state import AlreadyUpError
from headrace.local.supervisor import Supervisor


async def main(folder: Path) -> int:
    file = load_fleet(folder / "fleet.yaml")
    with locked(file, folder / "s") as (state, lock), listening(file, state, lock) as reserved:
        return await Supervisor(file, [blueprint(file)], reserved, PlainDisplay(), pace=QUICK).run()


try:
    sys.exit(asyncio.run(main(Path(sys.argv[1]))))
except AlreadyUpError as error:
    sys.exit(str(error))
