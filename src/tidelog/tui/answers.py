"""What the API answers, as far as it is shown: the fields by its own names. Unknown ones are passed over. Pure."""

from typing import Annotated, Any, TypeAlias

from msgspec import Meta, Struct

Whole: TypeAlias = int | Annotated[str, Meta(pattern="^[0-9]{1,80}$")]
Exact: TypeAlias = Annotated[str, Meta(pattern=r"^-?[0-9]{1,200}(\.[0-9]{1,200})?$")]
Moment: TypeAlias = Annotated[int, Meta(ge=0, le=2**62)]  # Unix time in microseconds


class BlockRef(Struct, frozen=True):
    number: int
    hash: str


class Commit(Struct, frozen=True):
    commit_seq: int
    first: int
    finalized: BlockRef | None
    changes: int


class Chain(Struct, frozen=True):
    chain_id: int
    profile: str
    checks: list[str]
    head: BlockRef | None
    checkpoint: Commit | None


class Chains(Struct, frozen=True):
    data: list[Chain]


class Block(Struct, frozen=True):
    number: int
    hash: str
    parent_hash: str
    miner: str
    gas_limit: Whole
    gas_used: Whole
    timestamp: Whole
    transaction_count: int | None
    log_count: int | None
    proof: dict[str, str]
    base_fee_per_gas: str | None = None
    extra: Any = None
    transactions: "list[Transaction] | None" = None


class Receipt(Struct, frozen=True):
    status: int | None
    gas_used: Whole
    log_count: int
    contract_address: str | None = None


class Transaction(Struct, frozen=True):
    block_number: int
    tx_index: int
    hash: str
    type: int
    from_address: str
    to_address: str | None
    value: str | None
    receipt: Receipt
    extra: Any = None


class Blocks(Struct, frozen=True):
    data: list[Block]


class OneBlock(Struct, frozen=True):
    finality: str
    head: BlockRef | None
    data: Block


class OneTransaction(Struct, frozen=True):
    data: Transaction


class Transactions(Struct, frozen=True):
    data: list[Transaction]


class Log(Struct, frozen=True):
    block_number: int
    log_index: int
    tx_index: int
    address: str
    topics: list[str]
    data: str


class Logs(Struct, frozen=True):
    data: list[Log]


class Change(Struct, frozen=True):
    seq: int
    kind: str
    number: int
    hash: str
    parent_hash: str


class Reset(Struct, frozen=True):
    seq: int


class Changes(Struct, frozen=True):
    data: list[Change]
    place: str | None
    reset: Reset | None = None


class Reorg(Struct, frozen=True):
    seq: int
    fork_number: int
    depth: int
    old_head: int
    old_head_hash: str
    new_head: int
    new_head_hash: str
    reason: str
    time: str | None


class Reorgs(Struct, frozen=True):
    data: list[Reorg]


class ColumnOf(Struct, frozen=True):
    name: str
    type: str
    indexed: bool


class EventTable(Struct, frozen=True):
    event: str
    columns: list[ColumnOf]


class Contract(Struct, frozen=True):
    name: str
    address: str
    events: list[EventTable]


class Contracts(Struct, frozen=True):
    data: list[Contract]


class Standing(Struct, frozen=True):
    state: str
    since_us: Moment
    until_us: Moment
    reason: str | None


class Market(Struct, frozen=True):
    recording: str
    symbol: str
    status: str | None
    book: Standing | None
    trades: Standing | None


class Markets(Struct, frozen=True):
    data: list[Market]


class RecordingCommit(Struct, frozen=True):
    commit_seq: int
    run: int
    seq: int
    time_us: Moment


class Level(Struct, frozen=True):
    price: Exact
    qty: Exact


class BookView(Struct, frozen=True):
    origin: str
    time_us: Moment
    age_ms: int
    proven_depth: int
    depth: int
    bids: list[Level]
    asks: list[Level]


class Book(Struct, frozen=True):
    recording: str
    checkpoint: RecordingCommit
    symbol: str
    standing: Standing | None
    data: BookView


class Trade(Struct, frozen=True):
    time_us: Moment
    ordinal: Whole
    side: str
    price: Exact
    qty: Exact


class Trades(Struct, frozen=True):
    checkpoint: RecordingCommit
    data: list[Trade]


class Candle(Struct, frozen=True):
    time_us: Moment
    open: Exact
    high: Exact
    low: Exact
    close: Exact
    volume: Exact
    trades: int
    complete: bool


class Candles(Struct, frozen=True):
    checkpoint: RecordingCommit
    interval_s: int
    data: list[Candle]


class Coverage(Struct, frozen=True):
    channel: str
    state: str
    since_us: Moment
    until_us: Moment
    reason: str | None
    closed_at: str | None = None


class Gap(Struct, frozen=True):
    scope: str
    first: Whole
    last: Whole
    reason: str
    opened_at: str | None
    closed_at: str | None


class Coverages(Struct, frozen=True):
    data: list[Coverage]
    gaps: list[Gap]


class Gaps(Struct, frozen=True):
    data: list[Gap]


class ChainStats(Struct, frozen=True):
    chain_id: int
    commits: int
    blocks: int
    transactions: int | None
    logs: int | None
    changes: int


class RecordingStats(Struct, frozen=True):
    recording: str
    commits: int
    symbols: int
    trades: int | None
    time: str | None


class Stats(Struct, frozen=True):
    chains: list[ChainStats]
    recordings: list[RecordingStats]


class Readiness(Struct, frozen=True):
    ready: bool
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Failure(Struct, frozen=True):
    code: str
    message: str


class Refusal(Struct, frozen=True):
    error: Failure
