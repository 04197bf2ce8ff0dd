"""What an endpoint says that contracts logged in a range of blocks, as rows: eth_getLogs and a header of each block.

Each log has to be one that was asked for, and in a block whose header hashes to the hash that the log names, has a
bloom over what the log has, and lists the log's transaction in its place. That the endpoint leaves nothing out is its
word, and so is that these blocks are the chain's: their headers lead to no other. Of a log's transaction the hash alone
is there. Pure.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tidelog.batch import Row
from tidelog.chain import extra as own
from tidelog.chain.blocks import Block, Bundle, Header
from tidelog.chain.decode.lenient import Oddities, plain_logs
from tidelog.chain.decode.strict import ReadHeader, decode_header
from tidelog.chain.encoding import headers
from tidelog.chain.encoding.items import keccak
from tidelog.chain.encoding.rlp import EMPTY_LIST
from tidelog.chain.endpoint.jsonrpc import misread
from tidelog.chain.proof.outcome import CHECKS, PASSED, Outcome, Proof, Result
from tidelog.chain.rows.layout import BlockRows, to_rows
from tidelog.chain.rows.tables import TRANSACTIONS
from tidelog.chain.select.selection import HASH_ONLY, LEFT_OUT, Selection, bloom_decides, bloom_has, narrowed
from tidelog.chain.verify import Rules
from tidelog.errors import Rejected

__all__ = [
    "ASKED_PARENT", "AskedLog", "LogFilter", "LogQuery", "asked_blocks", "decode_logs", "held_header", "is_asked",
    "require_apart",
]  # fmt: skip

ASKED_PARENT = Result(Outcome.NOT_COMPUTABLE, "asked")
"""Of a block whose header leads to no other: an endpoint has it under its number."""
TOPICS_MAX = 4
_NO_BLOOM, _NO_UNCLES = bytes(256), keccak(EMPTY_LIST)


class LogQuery(Struct, frozen=True):
    """Which logs to ask for: of any of these addresses, with any of these first topics (None: with any at all)."""

    addresses: tuple[bytes, ...]
    topics: tuple[bytes, ...] | None

    def params(self, low: int, high: int) -> dict[str, Any]:
        """The argument of eth_getLogs."""
        found: dict[str, Any] = {
            "fromBlock": hex(low),
            "toBlock": hex(high),
            "address": [_hex(address) for address in self.addresses],
        }
        if self.topics is not None:
            found["topics"] = [[_hex(topic) for topic in self.topics]]
        return found


class LogFilter(Struct, frozen=True):
    """Which logs are wanted: of each address from a block on, ascending by that, with any of these first topics."""

    addresses: tuple[tuple[int, bytes], ...]
    topics: tuple[bytes, ...] | None

    def query(self, place: int, count: int) -> LogQuery:
        """Those of some of the addresses, from `place` on."""
        return LogQuery(tuple([address for _, address in self.addresses[place : place + count]]), self.topics)


class AskedLog(Struct, frozen=True, order=True):
    """One log, as it was answered."""

    number: int
    index: int
    block_hash: bytes
    tx_index: int
    tx_hash: bytes
    address: bytes
    topics: tuple[bytes, ...]
    data: bytes

    def row(self, chain_id: int) -> Row:
        """The row of `logs`."""
        topics = (*self.topics, *(None,) * (TOPICS_MAX - len(self.topics)))
        return (chain_id, self.number, self.index, self.tx_index, self.address, *topics, self.data, 0)


class _Wire(Struct, rename="camel"):
    address: str
    topics: list[str]
    data: str
    block_number: str | int
    block_hash: str
    transaction_hash: str
    transaction_index: str | int
    log_index: str | int
    removed: bool | None = False


class _Brief(Struct):
    transactions: list[str] | None = None


_wires = msgspec.json.Decoder(list[_Wire])
_brief = msgspec.json.Decoder(_Brief)


def decode_logs(
    answer: bytes, query: LogQuery, low: int, high: int, oddities: Oddities | None = None
) -> list[AskedLog]:
    """An answer to eth_getLogs, by block and index. Rejected: it is of the wrong shape, or of something else.

    Args:
        oddities: collects what was odd.
    """
    try:
        try:
            found = _logs(answer)
        except ValueError:
            found = _logs(plain_logs(answer, Oddities() if oddities is None else oddities))
    except (ValueError, RecursionError) as error:
        raise Rejected(misread("eth_getLogs", answer, error)) from None
    addresses, topics = frozenset(query.addresses), None if query.topics is None else frozenset(query.topics)
    for log in found:
        where = f"eth_getLogs: log {log.index} of block {log.number}"
        if not low <= log.number <= high:
            raise Rejected(f"{where}, where blocks {low} to {high} were asked for")
        if log.address not in addresses or (topics is not None and log.topics[:1] not in {(each,) for each in topics}):
            raise Rejected(f"{where} is none of those that were asked for")
    require_apart(found)
    return found


def require_apart(logs: Sequence[AskedLog]) -> None:
    """Rejected: of these logs, by block and index, two have one place, or a place in a block two transactions."""
    for last, log in pairwise(logs):
        if last.number == log.number:
            where = f"eth_getLogs: log {log.index} of block {log.number}"
            if last.index == log.index:
                raise Rejected(f"{where} comes twice")
            if last.tx_index > log.tx_index or (last.tx_index == log.tx_index) != (last.tx_hash == log.tx_hash):
                raise Rejected(f"{where} is of another transaction than its place says")


def _logs(answer: bytes) -> list[AskedLog]:
    return sorted(_log(wire, place) for place, wire in enumerate(_wires.decode(answer)))


def _log(wire: _Wire, place: int) -> AskedLog:
    if wire.removed:
        raise Rejected(f"eth_getLogs: log {place} of the answer is marked as removed")
    if len(wire.topics) > TOPICS_MAX:
        raise ValueError(f"{len(wire.topics)} topics - at `$[{place}].topics`")
    return AskedLog(
        _number(wire.block_number, place, "blockNumber"),
        _number(wire.log_index, place, "logIndex"),
        _bytes(wire.block_hash, 32, place, "blockHash"),
        _number(wire.transaction_index, place, "transactionIndex"),
        _bytes(wire.transaction_hash, 32, place, "transactionHash"),
        _bytes(wire.address, 20, place, "address"),
        tuple([_bytes(topic, 32, place, "topics") for topic in wire.topics]),
        _bytes(wire.data, None, place, "data"),
    )


def _number(value: str | int, place: int, name: str) -> int:
    number = value if isinstance(value, int) else int(value[2:] or "0", 16) if value[:2] == "0x" else -1
    if not 0 <= number < 2**63:
        raise ValueError(f"no number - at `$[{place}].{name}`")
    return number


def _bytes(text: str, size: int | None, place: int, name: str) -> bytes:
    value = bytes.fromhex(text[2:]) if text[:2] == "0x" else None
    if value is None or (size is not None and len(value) != size) or 2 * len(value) + 2 != len(text):
        raise ValueError(f"no {'data' if size is None else f'{size} bytes'} - at `$[{place}].{name}`")
    return value


def asked_blocks(
    logs: Sequence[AskedLog],
    answers: Mapping[int, bytes],
    rules: Rules,
    selection: Selection,
    *,
    endpoint: str,
    redact: Callable[[str], str],
    now_ms: int,
) -> list[BlockRows]:
    """The rows of the blocks that the logs are of, ascending.

    Args:
        answers: by number, the block as the endpoint has it, without its transactions.

    Raises:
        Rejected: logs and headers contradict each other.
    """
    by_block: dict[int, list[AskedLog]] = {}
    for log in logs:
        by_block.setdefault(log.number, []).append(log)
    blocks = [
        selection.of(_block(answers.get(number, b"null"), number, found, rules, endpoint, redact, now_ms))
        for number, found in by_block.items()
    ]
    return [block for block in blocks if block.logs]


def _block(
    answer: bytes,
    number: int,
    logs: Sequence[AskedLog],
    rules: Rules,
    endpoint: str,
    redact: Callable[[str], str],
    now_ms: int,
) -> BlockRows:
    header, extra, _ = held_header(answer, number, rules)
    decides = bloom_decides(rules.spec, number)
    transactions = _listed(answer)
    for log in logs:
        where = f"eth_getLogs: log {log.index} of block {number}"
        if log.block_hash != header.hash:
            raise Rejected(f"{where} is of {_hex(log.block_hash)}, and the block is {_hex(header.hash)}")
        if decides and not all(bloom_has(header.logs_bloom, item) for item in (log.address, *log.topics)):
            raise Rejected(f"{where}: the bloom of the block's header excludes it")
        if transactions is not None and transactions[log.tx_index : log.tx_index + 1] != [_hex(log.tx_hash)]:
            raise Rejected(f"{where} is of transaction {_hex(log.tx_hash)}, which is not number {log.tx_index} there")
    if extra is not None:
        extra, _ = own.bounded(redact(extra), own.OBJECT_BYTES_MAX, headers.COMMITTED)
    said = {"hash": PASSED if "hash" in rules.spec.at(number).checks else LEFT_OUT, "parent": ASKED_PARENT}
    proof = Proof({name: said.get(name, LEFT_OUT) for name in CHECKS})
    rows = to_rows(
        rules.chain_id,
        Bundle(Block(header, (), (), None, extra), ()),
        proof,
        covered=0,
        endpoint=endpoint,
        ingested_at_ms=now_ms,
    )
    hashes = {log.tx_index: log.tx_hash for log in logs}
    bare = [_hash_only(rules.chain_id, number, index, tx_hash) for index, tx_hash in sorted(hashes.items())]
    log_rows = [log.row(rules.chain_id) for log in logs]
    return narrowed(BlockRows(rows.block, bare, log_rows, []), log_rows)


def held_header(answer: bytes, number: int, rules: Rules) -> ReadHeader:
    """The header of the block that was asked for by number. Rejected: it is not there, or not what it says it is."""
    if answer == b"null":
        raise Rejected(f"null for the header of block {number}")
    read = decode_header(answer)
    header = read.header
    if header.number != number:
        raise Rejected(f"block {header.number} where {number} was asked for")
    if "hash" in rules.spec.at(number).checks:
        hashed = headers.as_hashed(_completed(header))
        if hashed is None:
            left_out = ", ".join(read.oddities.absent)
            without = f": without {left_out}, which it leaves out, nothing can be asked here" if left_out else ""
            raise Rejected(f"the header of block {number} does not hash to its hash{without}")
        read = read._replace(header=hashed)
    return read


def _completed(header: Header) -> Header:
    """With nothing in the place of what an answer left out."""
    if header.logs_bloom and header.ommers_hash:
        return header
    return replace(header, logs_bloom=header.logs_bloom or _NO_BLOOM, ommers_hash=header.ommers_hash or _NO_UNCLES)


def _listed(answer: bytes) -> list[str] | None:
    """The hashes of the block's transactions; None where it lists none."""
    try:
        listed = _brief.decode(answer).transactions
    except ValueError:
        return None
    return None if listed is None else [text.lower() for text in listed]


def _hash_only(chain_id: int, number: int, index: int, tx_hash: bytes) -> Row:
    said: dict[str, Any] = {
        "chain_id": chain_id,
        "block_number": number,
        "tx_index": index,
        "hash": tx_hash,
        "type": HASH_ONLY,
        "from_address": b"",
        **dict.fromkeys(("cumulative_gas_used", "gas_used", "log_count", "covered"), 0),
    }
    return tuple([said.get(name) for name in TRANSACTIONS.names])


def is_asked(proof_text: str) -> bool:
    """Whether a block of this proof is one of which an endpoint was asked."""
    return f"parent{ASKED_PARENT.outcome.value}({ASKED_PARENT.reason})" in proof_text


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
