"""Every decoder of what others send: whatever comes, its documented error, and memory in proportion to the input.

The decoders' own tests search their grammars; here all of them get the same wounded, deep and huge input. A search that
goes on: `TIDELOG_HYPOTHESIS=search`.
"""

import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from tests.chain.answers import simulated
from tests.market.kraken.frames import V1, V2
from tests.market.kraken.mutations import mutated
from tidelog.api.chain.logs import LogFilter
from tidelog.api.http.cursors import open_cursor, seal
from tidelog.api.http.parameters import time_us
from tidelog.api.http.problems import Refused
from tidelog.api.rpc.envelope import Refusal, read_requests
from tidelog.api.rpc.limits import RpcLimits
from tidelog.api.rpc.params import block_id, log_filter
from tidelog.batch import Checkpoint
from tidelog.chain.decode.strict import decode_block, decode_header, decode_receipts
from tidelog.chain.encoding import rlp
from tidelog.chain.endpoint.jsonrpc import Call, decode, http_error
from tidelog.chain.forks.position import decode_position
from tidelog.chain.rows.tables import BLOCKS
from tidelog.cli.run.file.settings import Settings
from tidelog.config import EndpointUrl
from tidelog.config.document import parse
from tidelog.errors import ConfigError, Corruption, Rejected, SourceError
from tidelog.market.journal.retention import size_of
from tidelog.market.kraken import v1, v2
from tidelog.market.session.controls import decode_control

CALLS = [Call("eth_chainId"), Call("eth_blockNumber")]
LIMITS = RpcLimits()


class Decoder(NamedTuple):
    """What reads bytes of others, what it may raise, and something sound to start from."""

    read: Callable[[bytes], object]
    raises: tuple[type[Exception], ...]
    sound: tuple[bytes, ...]


def text(data: bytes) -> str:
    """As the web server and the command line hand it over."""
    return data.decode("utf-8", "replace")


def raw(data: bytes) -> Raw:
    """A member of a request, which `read_requests` has found to be JSON of bounded depth."""
    requests = read_requests(b'{"jsonrpc":"2.0","id":1,"method":"x","params":[' + data + b"]}", LIMITS)
    call = requests.calls[0]
    params = getattr(call, "params", [])
    return params[0] if params else Raw(b"null")


FILTER = (
    b'{"fromBlock":"0x1","toBlock":"latest","address":"0x'
    + b"11" * 20
    + b'","topics":[null,["0x'
    + b"22" * 32
    + b'"]]}'
)
REST_FILTER = b'{"from_block":1,"to_block":"latest","address":["0x' + b"11" * 20 + b'"],"topics":[],"limit":5}'
ANSWER = b'[{"jsonrpc":"2.0","id":0,"result":"0x1"},{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no"}}]'
POSITION = b'{"first":0,"head":1,"head_hash":"0x' + b"11" * 32 + b'","changes":2}'

DECODERS = {
    "RLP": Decoder(rlp.decode, (ValueError,), (b"\xc8\x83cat\x83dog", rlp.encode([b"a" * 60, [[], b""]]))),
    "a stream of RLP": Decoder(
        lambda data: list(islice(rlp.decode_stream(data), 1_000)), (ValueError,), (b"\x83cat\xc0",)
    ),
    "a JSON-RPC answer": Decoder(lambda data: decode(data, CALLS), (SourceError,), (ANSWER,)),
    "an HTTP error": Decoder(
        lambda data: http_error(500, {"retry-after": text(data)}, data, now=0.0), (), (ANSWER, b"<html>502</html>")
    ),
    "a block": Decoder(decode_block, (Rejected,), (simulated("prague").block,)),
    "a header": Decoder(decode_header, (Rejected,), (simulated("prague").block,)),
    "receipts": Decoder(decode_receipts, (Rejected,), (simulated("prague").receipts,)),
    "v1": Decoder(v1.decode, (Rejected,), tuple(V1.values())),
    "v2": Decoder(v2.decode, (Rejected,), tuple(V2.values())),
    "a cursor": Decoder(
        lambda data: open_cursor(text(data), BLOCKS, ("list",)), (Refused,), (seal(BLOCKS, ("list",), (1, 5)).encode(),)
    ),
    "a JSON-RPC request": Decoder(lambda data: read_requests(data, LIMITS), (Refusal,), (b'{"jsonrpc":"2.0"}',)),
    "a JSON-RPC filter": Decoder(lambda data: log_filter(raw(data), LIMITS), (Refusal,), (FILTER,)),
    "a block's name": Decoder(lambda data: block_id(raw(data)), (Refusal,), (b'{"blockNumber":"0x1"}', b'"0x1"')),
    "a REST filter": Decoder(
        lambda data: msgspec.json.decode(data, type=LogFilter),
        (msgspec.DecodeError, RecursionError, UnicodeDecodeError),  # as the route turns into 400
        (REST_FILTER,),
    ),
    "a time": Decoder(lambda data: time_us("from", text(data)), (Refused,), (b"2024-05-01T12:30:00Z",)),
    "an endpoint's URL": Decoder(
        lambda data: EndpointUrl(text(data)), (ConfigError,), (b"https://user:key@host:80/v2/KEY?k=v#f",)
    ),
    "a configuration": Decoder(
        lambda data: parse(text(data), Settings, file="tidelog.toml", environ={}),
        (ConfigError,),
        (b'[[chain]]\nname = "eth"\nrpc = ["http://h:1/"]\n', b"[api]\nport = 1\n"),
    ),
    "a size": Decoder(lambda data: size_of(text(data)), (ConfigError,), (b"10GiB", b"1.5GB")),
    "a checkpoint": Decoder(
        lambda data: decode_position(Checkpoint("chain:1", 1, 1, text(data))), (Corruption,), (POSITION,)
    ),
    "a marker": Decoder(decode_control, (Corruption,), (b'{"type":"Connected"}',)),
}


@pytest.mark.parametrize("name", DECODERS)
@given(data=st.data())
def test_anything_at_all(name: str, data: st.DataObject) -> None:
    decoder = DECODERS[name]
    given_ = data.draw(st.one_of(mutated(decoder.sound), st.binary(max_size=200)))
    with suppress(*decoder.raises):
        decoder.read(given_)


SIZE = 100_000  # of a huge input
MEMORY_PER_BYTE = 150  # that reading may take: a list of empty lists takes some 60, and one of small objects more
HUGE = {
    "brackets": b"[" * SIZE,
    "braces": b'{"a":' * (SIZE // 5),
    "nested and closed": b"[" * (SIZE // 2) + b"]" * (SIZE // 2),
    "lists": b"[" + b"[]," * (SIZE // 3) + b"[]]",
    "a number": b"9" * SIZE,
    "a fraction": b"0." + b"1" * SIZE,
    "an exponent": b"1e" + b"9" * SIZE,
    "a text": b'"' + b"a" * SIZE + b'"',
    "escapes": b'"' + b"\\u0000" * (SIZE // 6) + b'"',
    "half an escape": b'"' + b"\\" * SIZE,
    "spaces": b" " * SIZE,
    "zeros": b"\x00" * SIZE,
    "lists of RLP": b"\xc1" * SIZE,
    "a size of RLP": b"\xff" * SIZE,
    "hex": b'"0x' + b"f" * SIZE + b'"',
    "a URL": b"http://" + b"a:" * (SIZE // 2),
    "percents": b"http://h/" + b"%41" * (SIZE // 3),
    "fields": b"{" + b",".join(b'"%d":0' % number for number in range(SIZE // 12)) + b"}",
}


@pytest.mark.parametrize("name", DECODERS)
def test_deep_and_huge(name: str) -> None:
    """A RecursionError, or memory or time without bound, would end the process: a timeout of the suite is the limit."""
    decoder = DECODERS[name]
    for what, given_ in HUGE.items():
        tracemalloc.start()
        try:
            with suppress(*decoder.raises):
                decoder.read(given_)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < MEMORY_PER_BYTE * len(given_), what
