"""`tidelog status`: asks a `tidelog run` on this machine how it is."""

import sys

from tidelog.cli.options import FORM, Form
from tidelog.cli.run import DEFAULT_FILE, ConfigFile, DataDir


def status(
    *, config: ConfigFile = DEFAULT_FILE, data_dir: DataDir = None, live: bool = False, form: Form = FORM
) -> None:
    """Say whether everything in a configuration file runs and has caught up; exit code 0 if so, else 3.

    Args:
        live: only whether it runs: what has yet to catch up is no reason for another exit code.
    """
    from tidelog.cli.run.asking import print_status

    sys.exit(print_status(config, data_dir, form, live=live))
