"""What goes wrong in a simulated run, as data: drawn from a seed, printed, shrunk, given back.

An event has a trigger (a moment, a point of the code, a step of a process) and an action. Everything is plain
JSON: `--schedule FILE` takes what was printed.
"""

from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from tidelog.errors import ConfigError

CHAIN, MARKET = "chain", "market"
NATS, KAFKA, WEBHOOKS = ENGINES = "nats", "kafka", "webhooks"


class Time(Struct, frozen=True, tag="time"):
    """Seconds after the start."""

    s: float


class Point(Struct, frozen=True, tag="point"):
    """The `nth` time that any process reaches a named point of the code; see `Runtime.reached`."""

    name: str
    nth: int


class Step(Struct, frozen=True, tag="step"):
    """Before the `nth` step of the `life`-th process: between any two of them something was awaited."""

    life: int
    nth: int


Trigger: TypeAlias = Time | Point | Step


class Crash(Struct, frozen=True, tag="crash"):
    """Kill the process. With `power` its disk loses what was not synced, but for this share of the sectors."""

    power: float | None = None


class Restart(Struct, frozen=True, tag="restart"):
    """Ask the process to end in order; it is started again."""


class Takeover(Struct, frozen=True, tag="takeover"):
    """The program is started though it runs already: the newer one fences the older."""


class Jump(Struct, frozen=True, tag="jump"):
    """The wall clock jumps."""

    s: float


class DiskFault(Struct, frozen=True, tag="disk"):
    """See `disk.FAULTS`: after `skip` operations of its kind, `times` of them fail."""

    kind: str
    skip: int = 0
    times: int = 1


class SlowDisk(Struct, frozen=True, tag="slow_disk"):
    sync_s: float
    for_s: float


class Rival(Struct, frozen=True, tag="rival"):
    """Another program holds the database's write lock."""

    for_s: float


class Uncertain(Struct, frozen=True, tag="uncertain"):
    """The next commits succeed, and the connection is lost before that is said."""

    times: int = 1


class Grow(Struct, frozen=True, tag="grow"):
    count: int


class Fork(Struct, frozen=True, tag="fork"):
    """Replace the last `depth` blocks by `length` others; never below what is final."""

    depth: int
    length: int


class Lie(Struct, frozen=True, tag="lie"):
    """A replica, or with None all of them, tells the lie for a while."""

    name: str
    replica: int | None
    probability: float
    for_s: float


class Down(Struct, frozen=True, tag="down"):
    replica: int | None
    for_s: float


class Slow(Struct, frozen=True, tag="slow"):
    replica: int
    by_s: float
    for_s: float


class Lag(Struct, frozen=True, tag="lag"):
    """A replica is so many blocks behind."""

    replica: int
    blocks: int
    for_s: float


class Fault(Struct, frozen=True, tag="fault"):
    """The exchange shows a fault for a while; see `tidelog sim exchange --list-faults`."""

    name: str
    probability: float
    for_s: float


class Cut(Struct, frozen=True, tag="cut"):
    """The exchange ends every connection, with this code."""

    code: int


class List(Struct, frozen=True, tag="list"):
    """Requests about a symbol are `refused`, or `ignored`, for a while."""

    symbol: str
    how: Literal["refused", "ignored"]
    for_s: float


class Halt(Struct, frozen=True, tag="halt"):
    """A market, or with None the exchange, has another status for a while; in maintenance nothing moves."""

    symbol: str | None
    status: str
    for_s: float


class Refuse(Struct, frozen=True, tag="refuse"):
    """Nothing listens at the exchange's address."""

    for_s: float


class Deny(Struct, frozen=True, tag="deny"):
    """Whoever asks the exchange for a token gets another answer; see `rest.DENIALS`."""

    how: str
    for_s: float


class Churn(Struct, frozen=True, tag="churn"):
    """A consumer comes, reads `reads` events and goes; `wanted` symbols are left and followed again."""

    reads: int
    symbol: str | None = None


class Reload(Struct, frozen=True, tag="reload"):
    """The loader is cancelled, and another begins."""


class LoseJournal(Struct, frozen=True, tag="lose_journal"):
    """The program is killed, and its journal moved away before it is started again."""


class Divide(Struct, frozen=True, tag="divide"):
    """The symbols are divided anew among the shards, which are stopped in order or `killed`, and start with that."""

    killed: bool = False


class Copy(Struct, frozen=True, tag="copy"):
    """The operator takes a copy of the store."""


class Restore(Struct, frozen=True, tag="restore"):
    """The program is killed, and the last copy put in the place of the store."""


class StreamLoss(Struct, frozen=True, tag="stream_loss"):
    """The stream's server is killed and comes back.

    `how` is "restarted", "tail" (its last `count` messages were not on its disk), "forgotten" (its folder is gone) or
    "restored" (its files are those of the last copy); "copied": it is not killed, and the operator takes the copy.
    Of webhooks it is the publisher that is killed, and the file with its state that is forgotten or restored.
    """

    how: str
    count: int = 0


class StreamDown(Struct, frozen=True, tag="stream_down"):
    """Nobody reaches the stream's server."""

    for_s: float


class StreamSilence(Struct, frozen=True, tag="stream_silence"):
    """Whoever reads the stream is given nothing, until it begins to read anew once this is over."""

    for_s: float


class StreamDoubt(Struct, frozen=True, tag="stream_doubt"):
    """The next answers to publishers are lost, after some of their messages were taken."""

    times: int


class StreamRepeats(Struct, frozen=True, tag="stream_repeats"):
    """Readers are given once more what they were given before, so many times."""

    times: int


class Answers(Struct, frozen=True, tag="answers"):
    """How the receiver of webhooks answers the next ones.

    `how` is "refused", "busy", "late" (it has taken the message, and is not heard in time), "lost" (nothing came to it)
    or "twice" (it came twice).
    """

    how: str
    times: int


class StreamKill(Struct, frozen=True, tag="stream_kill"):
    """The "publisher" or the "consumer" is killed; "rival": a second publisher is started beside the first."""

    who: str


Action: TypeAlias = (
    Crash | Restart | Takeover | Jump | DiskFault | SlowDisk | Rival | Uncertain
    | Grow | Fork | Lie | Down | Slow | Lag
    | Fault | Cut | List | Halt | Refuse | Deny | Churn | Reload | LoseJournal
    | Copy | Restore | Divide
    | StreamLoss | StreamDown | StreamSilence | StreamDoubt | StreamRepeats | StreamKill | Answers
)  # fmt: skip


class Event(Struct, frozen=True):
    at: Trigger
    do: Action


class Schedule(Struct, frozen=True):
    """One scenario, whole: everything else follows from `seed`."""

    kind: str
    seed: int
    busy_s: float  # how long things go wrong; then comes the quiet phase
    events: tuple[Event, ...]
    replicas: int = 1
    blocks: int = 0  # that the chain has at the start
    grows_at_end: bool = True
    hanging: Lie | None = None  # told at the end, when all else is well: the sync has to keep up beside it
    held: int = 0  # so many blocks are held in memory, and finality lags behind them; 0: as many as ever
    heads: bool = False  # a newHeads subscription wakes the sync, of replica 0
    oddity: str = ""  # of `block_builder.ODDITIES`: tidelog does not know the chain, which is odd in this way ...
    odd_from: int = 0  # ... from this block on
    quiet: bool = False  # ... and has no transaction below it
    uncles: bool = False  # the chain is one of before the merge, whose blocks have some
    contracts: bool = False  # the chain has contracts, of which some have tables, others in each life
    selection: bool = False  # ... and of whose blocks nothing else is held but headers
    asked: bool = False  # ... while in history endpoints are asked what these log, which is proven at the end
    untagged: bool = False  # no node has a tag for what is final: it is so by depth
    stream: str = ""  # it is published to a stream: a chain's changes with "header" or "logs", a recording's "events"
    engine: str = NATS  # what keeps the stream; or to which webhooks go
    protocol: str = "v2"
    spelled: bool = False  # the user writes symbols in another form than events do
    instruments: bool = False  # the channel of that name is followed as well
    markets: int = 0  # so many, at paces of their own, some of them quiet; 0: two that are always busy
    odd_markets: tuple[str, ...] = ()  # of `natures.ODD_MARKETS`, beside these two
    calm_s: float = 0.0  # after what goes wrong: a time in which nothing may be lost
    limits: str = ""  # the plan of every replica, by its name in `limits.PLANS`, also in the quiet phase
    troubled: bool = False  # before the quiet phase a block cannot be had: what is before it has to be stored
    shards: int = 0  # so many programs record the markets together; 0: one does, with all that is below
    private: tuple[str, ...] = ()  # channels of the account that are recorded too, by a program of their own


def encode(schedule: Schedule) -> str:
    """One line of JSON."""
    return msgspec.json.encode(schedule).decode()


def decode(text: bytes | str) -> Schedule:
    """ConfigError if it is no schedule."""
    try:
        schedule = msgspec.json.decode(text, type=Schedule)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"--schedule holds no schedule as `tidelog sim run` prints it: {error}") from None
    if schedule.kind not in (CHAIN, MARKET):
        raise ConfigError(f"--schedule: kind {schedule.kind!r}: there are {CHAIN} and {MARKET}")
    if schedule.engine not in ENGINES:
        raise ConfigError(f"--schedule: engine {schedule.engine!r}: there are {', '.join(ENGINES)}")
    return schedule


def without(schedule: Schedule, at: int, count: int) -> Schedule:
    """The schedule without `count` of its events, from the place `at` on."""
    events = schedule.events[:at] + schedule.events[at + count :]
    return msgspec.structs.replace(schedule, events=events)
