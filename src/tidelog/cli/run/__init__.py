"""`tidelog run`: everything of a file at once, supervised."""

import os
from typing import Annotated

from cyclopts import Parameter

ConfigFile = Annotated[str, Parameter(name=["--config", "-c"], help="The file.", env_var="TIDELOG_CONFIG")]
DataDir = Annotated[
    str | None,
    Parameter(
        help="Base of relative paths in the file; else $TIDELOG_DATA_DIR, else $STATE_DIRECTORY, else its own folder."
    ),
]
DEFAULT_FILE = "tidelog.toml"


def surroundings(data_dir: str | None) -> dict[str, str]:
    """The environment, with the folder of data in it if one was given."""
    from tidelog.config import DATA_DIR

    return {**os.environ} if data_dir is None else {**os.environ, DATA_DIR: os.path.abspath(data_dir)}


def run(*, config: ConfigFile = DEFAULT_FILE, data_dir: DataDir = None) -> None:
    """Run everything in a configuration file: a process for each source and one for the API, restarted when they fail.

    SIGTERM and Ctrl-C end it in order within run.stop_timeout, SIGHUP reads the file again.
    """
    from tidelog.cli.run.supervisor import supervise

    supervise(config, data_dir)
