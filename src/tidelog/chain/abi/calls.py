"""Input of transactions, decoded: what a call's arguments are, or why the input does not fit the function."""

from collections.abc import Iterable
from typing import NamedTuple

from tidelog.chain.abi.entries import Function
from tidelog.chain.abi.events import Misfit
from tidelog.chain.abi.reader import Refused, Value, data_reader

__all__ = ["CallDecoder", "DecodedCall"]

SELECTOR_BYTES = 4


class DecodedCall(NamedTuple):
    function: Function
    values: tuple[Value, ...]


class CallDecoder:
    """Decodes the input of calls of several functions, by the selector.

    Bytes behind the last argument are read over: a contract does the same, and front ends put their mark there.
    """

    def __init__(self, functions: Iterable[Function]) -> None:
        self._by_selector = {
            function.selector: (function, data_reader([each.type for each in function.parameters], trailing=True))
            for function in functions
        }

    def decode(self, data: bytes) -> DecodedCall | Misfit | None:
        """None: it is a call of none of these functions."""
        found = self._by_selector.get(data[:SELECTOR_BYTES])
        if found is None:
            return None
        function, read = found
        try:
            return DecodedCall(function, read(data[SELECTOR_BYTES:]))
        except Refused as error:
            return Misfit(str(error))
