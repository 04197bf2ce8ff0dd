"""Frames made ahead of time, so that sending them is all that is left to do: for benchmarks."""

from tidelog.sim.exchange.core import START_US, SimExchange
from tidelog.sim.exchange.delivery import Message
from tidelog.sim.exchange.markets.pairs import PAIRS
from tidelog.sim.exchange.protocol import v1, v2
from tidelog.sim.exchange.protocol.dialect import quoted
from tidelog.sim.exchange.protocol.recording import Recording
from tidelog.sim.exchange.session import Session
from tidelog.sim.exchange.state import LEVELS

STEP_US = 100


def firehose(
    *,
    updates: int,
    seed: int = 0,
    symbol: str = "BTC/USD",
    depth: int = 10,
    protocol: str = "v2",
    rounds: int = 1,
    per_second: float | None = None,
) -> Recording:
    """A snapshot and so many updates of a book, all checksums right, played as fast as a reader takes them.

    A server plays it at most `per_second` frames fast, if that is given; the wire inside a process knows no time.
    Every round begins with the snapshot, so the rounds fit together. To be given to a `SimExchange`.
    """
    dialect = v1 if protocol == "v1" else v2
    exchange = SimExchange(
        seed=seed, pairs=(PAIRS[symbol],), rate=1_000_000 / STEP_US, levels=LEVELS, start_us=START_US
    )
    session = exchange.connect("/" if protocol == "v1" else "/v2")
    assert isinstance(session, Session), "nothing refuses the first connection of an honest exchange"
    name = quoted(dialect.name_of(PAIRS[symbol]))
    if protocol == "v1":
        request = f'{{"event":"subscribe","pair":[{name}],"subscription":{{"name":"book","depth":{depth}}}}}'
    else:
        request = f'{{"method":"subscribe","params":{{"channel":"book","symbol":[{name}],"depth":{depth}}}}}'
    session.receive(request.encode())
    frames: list[bytes] = []
    while len(frames) <= updates:
        while session.outbox:
            message = session.outbox.popleft()
            if isinstance(message, Message) and message.frame.channel == "book" and message.frame.kind != "ack":
                frames.append(message.frame.data)
        exchange.advance(STEP_US)
    return Recording(frames[: updates + 1], paced=False, rounds=rounds, per_second=per_second)
