"""Bodies of messages: the same names and values as JSON or as msgpack; a header says which. Pure."""

from collections.abc import Callable
from typing import Any, Generic, Literal, TypeAlias, TypeVar, get_args

import msgspec

__all__ = ["ENCODINGS", "MEDIA_TYPES", "BodyDecoder", "Encoding", "encoder_of"]

Encoding: TypeAlias = Literal["json", "msgpack"]
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
MEDIA_TYPES: dict[Encoding, str] = {"json": "application/json", "msgpack": "application/msgpack"}

T = TypeVar("T")

_ENCODERS: dict[Encoding, Callable[[Any], bytes]] = {
    "json": msgspec.json.Encoder().encode,
    "msgpack": msgspec.msgpack.Encoder().encode,
}


def encoder_of(encoding: Encoding) -> Callable[[Any], bytes]:
    """What makes a body of a value."""
    return _ENCODERS[encoding]


class BodyDecoder(Generic[T]):
    """Reads bodies of one type in either encoding."""

    def __init__(self, type_: type[T]) -> None:
        self._decoders: dict[Encoding, Callable[[bytes], T]] = {
            "json": msgspec.json.Decoder(type_).decode,
            "msgpack": msgspec.msgpack.Decoder(type_).decode,
        }

    def read(self, encoding: Encoding, payload: bytes) -> T:
        """MsgspecError: it is none; of these ValidationError: it is of another type."""
        return self._decoders[encoding](payload)
