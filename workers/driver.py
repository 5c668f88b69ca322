"""`python -m workers.driver`: drives the search that a line on stdin names, `TENANT/SEARCH_ID`, to its terminal record.

It imports what it needs while it waits for the line, so that one may be started before there is a search.
Exit code 0 says that the search has ended; with any other the dispatcher starts a fresh driver.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import threading

import structlog

from service.settings import Settings
from service.store.errors import StaleEpoch
from service.store.record import Record
from workers import logs, ray_session, tune_folder
from workers.adoption import adopt
from workers.parent import die_with_parent
from workers.search_run import Abandoned, SearchRun, import_tune

EXIT_STALE = 3
EXIT_ABANDONED = 4
EXIT_ERROR = 5


async def drive(tenant: str, search_id: str, epoch: int, settings: Settings) -> int:
    """Drive a search; return the exit code of the process."""
    log = structlog.get_logger("driver")
    record = await Record.open(settings, check=False)
    try:
        await record.take_over(tenant, search_id, epoch)
        truth = await record.load(tenant, search_id)
        if truth.log.terminal is not None:
            return 0
        adopted = await adopt(record, truth, epoch)
        status = await SearchRun(record, truth, adopted, epoch, settings).run()
        log.info("search ended", status=status)
    except StaleEpoch as error:
        log.warning("overtaken", error=str(error))
        return EXIT_STALE
    except Abandoned as error:
        log.warning("giving up for a fresh driver", error=str(error))
        return EXIT_ABANDONED
    except Exception:
        log.exception("driver failed")
        return EXIT_ERROR
    finally:
        await record.close()
    return 0


def main() -> None:
    """Read who and what from stdin and the environment, and drive."""
    os.environ.update(ray_session.TUNE_ENVIRONMENT)
    threading.Thread(target=import_tune, name="imports", daemon=True).start()
    line = sys.stdin.buffer.readline().decode()
    if not line.endswith("\n"):
        os._exit(0)  # nobody will ever name a search; the imports need not be waited for
    die_with_parent()
    tenant, _, search_id = line.strip().partition("/")
    epoch, settings = int(os.environ["LTH_EPOCH"]), Settings()
    logs.configure(settings, process="driver", search=search_id)
    asyncio.run(_drive_and_leave(tenant, search_id, epoch, settings))


async def _drive_and_leave(tenant: str, search_id: str, epoch: int, settings: Settings) -> None:
    code = await drive(tenant, search_id, epoch, settings)
    shutil.rmtree(tune_folder.of(settings.home, search_id, epoch), ignore_errors=True)
    # Tune may wait for idle actors for seconds after the last level, and nothing of it is needed any more.
    os._exit(code)


if __name__ == "__main__":
    main()
