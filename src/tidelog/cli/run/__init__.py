"""`tidelog run`: everything of a file at once, supervised."""

import os
from typing import Annotated

from cyclopts import Parameter

from tidelog.config import DATA_DIR
from tidelog.runtime import SystemRuntime
from tidelog.runtime import run as run_loop
from tidelog.telemetry import logger

ConfigFile = Annotated[str, Parameter(name=["--config", "-c"], help="The file.", env_var="TIDELOG_CONFIG")]
DataDir = Annotated[
    str | None,
    Parameter(help="What relative paths of the file are relative to; else $STATE_DIRECTORY, else its own folder."),
]
DEFAULT_FILE = "tidelog.toml"

_log = logger("run")


def surroundings(data_dir: str | None) -> dict[str, str]:
    """The environment, with the folder of data in it if one was given."""
    return {**os.environ} if data_dir is None else {**os.environ, DATA_DIR: os.path.abspath(data_dir)}


def run(*, config: ConfigFile = DEFAULT_FILE, data_dir: DataDir = None) -> None:
    """Run everything that a file says: a process for each source and one for the API, started again when they fail.

    SIGTERM and Ctrl-C end it in order within run.stop_timeout, SIGHUP reads the file again.
    """
    from tidelog.cli.run import logs
    from tidelog.cli.run.processes import checked, warnings_of
    from tidelog.cli.run.settings import SUPERVISOR
    from tidelog.cli.run.supervisor import Supervisor

    environ = surroundings(data_dir)
    loaded = checked(config, environ)
    logs.configure(loaded.value.logs, SUPERVISOR)

    for warning in warnings_of(loaded, config):
        _log.warning("configuration", reason=warning)

    async def main() -> None:
        await Supervisor(config, loaded, environ, SystemRuntime()).run()

    run_loop(main())
