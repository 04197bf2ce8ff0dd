"""Events for people: the same JSON as ever, and no exponent in it."""

import msgspec
import pytest

from tests.market.kraken.frames import V1, V2
from tidelog.market.events import Started
from tidelog.market.kraken import v1, v2
from tidelog.market.written import written


@pytest.mark.parametrize(
    "event",
    [*map(v2.decode, V2.values()), *map(v1.decode, V1.values()), Started("v2")],
    ids=lambda event: type(event).__name__,
)
def test_events_are_written_as_before(event: object) -> None:
    before = msgspec.json.encode(event)
    for number, plain in ((b"1E-8", b"0.00000001"), (b"0E-8", b"0.00000000"), (b"0E-10", b"0.0000000000")):
        before = before.replace(b'"%b"' % number, b'"%b"' % plain)
    assert msgspec.json.encode(written(event)) == before


def test_numbers_are_written_without_exponents() -> None:
    trade = V2["trade"].replace(b"0.5117", b"5.12E-7").replace(b"40.00000000", b"1E+3")
    text = msgspec.json.encode(written(v2.decode(trade)))
    assert b'"price":"0.000000512","qty":"1000"' in text
    book = V2["book update"].replace(b"0.5657", b"9.30E-6").replace(b"1098.3947558", b"0E-8")
    assert b'"price":0.00000930,"qty":0.00000000' in msgspec.json.encode(written(v2.decode(book)))
