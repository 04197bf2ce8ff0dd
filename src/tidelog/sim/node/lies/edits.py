"""JSON that lies change: quantities, hex data, and whole answers, recursively. Pure."""

from collections.abc import Callable
from typing import Any


def plus_one(quantity: str) -> str:
    return hex(int(quantity, 16) + 1)


def flipped(text: str) -> str:
    """Hex data with its last bit flipped."""
    return text[:-1] + format(int(text[-1], 16) ^ 1, "x")


def texts(value: Any, change: Callable[[str], str]) -> Any:
    """The same JSON with every hex text changed."""
    if isinstance(value, str):
        return change(value) if value.startswith("0x") else value
    if isinstance(value, list):
        return [texts(item, change) for item in value]
    if isinstance(value, dict):
        return {name: texts(item, change) for name, item in value.items()}
    return value


def without(value: Any, names: tuple[str, ...]) -> Any:
    if isinstance(value, list):
        return [without(item, names) for item in value]
    if isinstance(value, dict):
        return {name: without(item, names) for name, item in value.items() if name not in names}
    return value
