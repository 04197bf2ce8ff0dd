"""The compiled core, `tidelog_core`: whether it is here, and whether it is used.

It is a distribution of its own (`core/`), and everything works without it. `TIDELOG_CORE` says what is used: `auto`
(the core where it is installed, the default), `python`, or `native` (an error where the core is not installed).
"""

import importlib
import os
from collections.abc import Mapping
from functools import cache
from types import ModuleType
from typing import NamedTuple

from tidelog.errors import ConfigError

VARIABLE = "TIDELOG_CORE"
CONTRACT = 23  # what this tidelog and its core have agreed on: arguments, results, columns


class Core(NamedTuple):
    """The core's module, or None where Python does the work; and both in words."""

    module: ModuleType | None
    said: str


@cache
def core() -> Core:
    """The core as this process uses it, looked for once.

    Raises:
        ConfigError: `TIDELOG_CORE` is none of its values, or is `native` and the core cannot be used.
    """
    return found(os.environ)


def found(environment: Mapping[str, str]) -> Core:
    """The core as an environment wants it."""
    wanted = environment.get(VARIABLE, "").strip().lower() or "auto"
    if wanted not in ("auto", "python", "native"):
        raise ConfigError(f"{VARIABLE} is {wanted!r}: give auto, python or native")
    if wanted == "python":
        return Core(None, f"python ({VARIABLE}=python)")
    module, trouble = _imported()
    if module is None and wanted == "native":
        raise ConfigError(f"{VARIABLE}=native, but {trouble}: pip install ./core, or unset the variable")
    if module is None:
        return Core(None, f"python ({trouble})")
    return Core(module, f"native (tidelog-core {module.__version__}, {module.lanes()} lanes)")


def _imported() -> tuple[ModuleType | None, str]:
    try:
        module = importlib.import_module("tidelog_core")
    except ImportError as error:  # it, or its compiled part: built for another system, or another Python
        is_here = not isinstance(error, ModuleNotFoundError) or error.name != "tidelog_core"
        return None, f"tidelog-core cannot be loaded: {error}" if is_here else "tidelog-core is not installed"
    if not hasattr(module, "__version__"):  # a folder of its name, which Python takes for a package
        return None, "tidelog-core is not installed"
    if getattr(module, "CONTRACT", None) != CONTRACT:
        found = f"tidelog-core {module.__version__}"
        return None, f"{found} belongs to another version of tidelog and has to be installed again"
    return module, ""
