"""What the user configures, as frozen values: a file, the environment over it, and secrets that never print.

Knows no setting by name: the schema is a struct of the caller's.
"""

from tidelog.config.document import DATA_DIR, Loaded, Override, load, parse, read_text
from tidelog.config.endpoint import EndpointUrl
from tidelog.config.handed import handed, taken
from tidelog.config.hosts import are_hosts, is_host
from tidelog.config.shown import Shown, shown
from tidelog.config.values import (
    ConfigValue,
    Duration,
    FilePath,
    Name,
    PeerUrl,
    Reading,
    Secret,
    Size,
)

__all__ = [
    "DATA_DIR",
    "ConfigValue",
    "Duration",
    "EndpointUrl",
    "FilePath",
    "Loaded",
    "Name",
    "Override",
    "PeerUrl",
    "Reading",
    "Secret",
    "Shown",
    "Size",
    "are_hosts",
    "handed",
    "is_host",
    "load",
    "parse",
    "read_text",
    "shown",
    "taken",
]
