"""The schema as text: the commented file that `init` writes, and the table of keys in the documentation."""

import json
from collections.abc import Iterator
from typing import Any

from msgspec import NODEFAULT
from msgspec.inspect import Field, LiteralType, StructType

from tidelog.cli.run.file.settings import Settings
from tidelog.config import ConfigValue
from tidelog.config.shape import described, items, plain, shape_of

__all__ = ["commented_file", "reference_table"]

WIDTH = 100  # of a line of the file

# keys that the file shows although they have a default: they say what the file is about
_WRITTEN = {("store", "url"), ("market", "symbols"), ("api", "enabled")}

# tables that the file shows behind "#": they need something that most do not have
_EXAMPLES = {"stream"}

_HEAD = """\
# What `tidelog run` runs. `tidelog config check` says whether it is good, `tidelog config show` what it means.
#
# A key behind "#" has what it has by default, or is an example where that is said. Relative paths are relative to
# --data-dir, else to systemd's $STATE_DIRECTORY, else to the folder of this file. Durations are written as "500ms",
# "5s", "2m", "1h", "1d", sizes as "64KiB", "500MiB", "2GB".
# A variable of the environment overrides a key: TIDELOG__API__PORT, TIDELOG__CHAIN__MAINNET__POLL (or __0__ for the
# first). In secrets and in URLs, ${NAME} is what the environment's variable NAME holds: keep keys there, or keep
# this file to yourself (mode 0600).
"""


def commented_file() -> str:
    """A file with every key, which is valid as it is."""
    parts = [_HEAD]
    for table, shape, several in _tables():
        if table.encode_name in _EXAMPLES:
            parts.append("\n".join(["", *_example(table.encode_name, table, shape)]) + "\n")
            continue
        header = f"[[{table.encode_name}]]" if several else f"[{table.encode_name}]"
        lines = ["", f"# {described(table)['description']}", header]
        below: list[str] = []
        for field in shape.fields:
            each = items(field.type)
            if isinstance(each, StructType):
                below += _example(f"{table.encode_name}.{field.encode_name}", field, each)
            else:
                lines += _entry(table.encode_name, field)
        parts.append("\n".join([*lines, *below]) + "\n")
    return "".join(parts)


def reference_table() -> str:
    """Every key as a row of a Markdown table."""
    lines = ["| key | default | what it is |", "|---|---|---|"]
    for table, shape, several in _tables():
        lines += _rows(f"{table.encode_name}.NAME" if several else table.encode_name, shape)
    return "\n".join(lines) + "\n"


def _rows(prefix: str, shape: StructType) -> Iterator[str]:
    for field in shape.fields:
        each = items(field.type)
        if isinstance(each, StructType):
            yield from _rows(f"{prefix}.{field.encode_name}.NAME", each)
            continue
        default = "required" if field.required else "" if _default(field) is None else f"`{_toml(_default(field))}`"
        about = str(described(field)["description"]) + _choices(field)
        yield f"| `{prefix}.{field.encode_name}` | {default} | {about} |"


def _example(header: str, table: Field, shape: StructType) -> Iterator[str]:
    """A table of a table, of which there may be none: behind "#" with all its keys."""
    yield f"# {described(table)['description']} An example:"
    yield f"# [[{header}]]"
    for field in shape.fields:
        for line in _entry(header, field):
            yield line if line.startswith("# ") else f"# {line}"


def _tables() -> Iterator[tuple[Field, StructType, bool]]:
    for field in shape_of(Settings).fields:
        each = items(field.type)
        shape = each if each is not None else plain(field.type)
        assert isinstance(shape, StructType)
        yield field, shape, each is not None


def _entry(table: str, field: Field) -> Iterator[str]:
    about = described(field)
    default, examples = _default(field), about.get("examples", [])
    written = field.required or (table, field.encode_name) in _WRITTEN
    is_example = default is None or (written and default == [])
    value = examples[0] if (is_example or field.required) and examples else default
    note = "" if written or not is_example else " An example:"
    yield f"# {about['description']}{_choices(field)}{note}"
    yield f"{'' if written else '# '}{field.encode_name} = {_toml(value)}"


def _choices(field: Field) -> str:
    shape = plain(field.type)
    return f" One of {', '.join(map(str, shape.values))}." if isinstance(shape, LiteralType) else ""


def _default(field: Field) -> Any:
    """As the file would have it; None: there is none."""
    if field.default is NODEFAULT or field.default is None:
        return None
    if isinstance(field.default, ConfigValue):
        return field.default.by_default() or field.default.shown()
    return list(field.default) if isinstance(field.default, tuple) else field.default


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)  # strings, numbers and booleans are written alike
