"""`tidelog sim exchange`: what it was asked for, checked and served."""

from pathlib import Path

from tidelog.cli.sim.peer import check, stopped, told
from tidelog.errors import ConfigError
from tidelog.runtime import SystemRuntime, run
from tidelog.sim.exchange import FAULTS, MARKETS_MAX, PAIRS, Pair, Recording, SimExchange, listing
from tidelog.sim.exchange.state import LEVELS
from tidelog.sim.exchange.wire.server import ExchangeServer

__all__ = ["serve_exchange"]

EVENTS_PER_S_MAX = 5_000  # of an exchange: half of what one process makes while it also serves
RATE = 20.0
SYMBOLS = "BTC/USD,ETH/USD"


def serve_exchange(
    *,
    port: int,
    seed: int,
    symbols: str | None,
    markets: int | None,
    rate: float | None,
    fault: tuple[str, ...],
    recorded: Path | None,
    list_faults: bool,
) -> None:
    """Serve an exchange until the process is to end; see `tidelog sim exchange`. ConfigError: it cannot be meant."""
    if list_faults:
        for one in FAULTS.values():
            print(f"{one.name:24} {one.doc}")
        return
    check("--port", port, 0, 65_535)
    if markets is not None:
        if symbols is not None or rate is not None:
            raise ConfigError("--markets brings symbols and paces of its own: leave --symbols and --rate out")
        check("--markets", markets, 1, MARKETS_MAX)
    per_second = RATE if rate is None else rate
    if not 0 < per_second <= EVENTS_PER_S_MAX:
        raise ConfigError(f"--rate {per_second:g}: give more than 0, and at most {EVENTS_PER_S_MAX}")
    faults = [told("--fault", text, FAULTS, "exchange --list-faults") for text in fault]
    listed = None if markets is None else listing(markets, seed=seed)
    pairs = [_pair(symbol) for symbol in (symbols or SYMBOLS).split(",")] if listed is None else [*listed.pairs]
    recording = None if recorded is None else Recording.from_file(recorded)
    start_us = int(SystemRuntime().now() * 1_000_000)
    simulated = SimExchange(
        seed=seed,
        pairs=pairs,
        rate=per_second,
        levels=LEVELS if listed is None else listed.levels,
        rhythms=None if listed is None else listed.rhythms,
        start_us=start_us,
        recording=recording,
    )
    for name, probability in faults:
        simulated.tell(name, probability=probability)
    try:
        run(_serve(simulated, port))
    except OSError as error:
        raise ConfigError(f"cannot listen on port {port}: {error.strerror}; give another --port")


async def _serve(simulated: SimExchange, port: int) -> None:
    stop = stopped()
    async with ExchangeServer(simulated, port=port, runtime=SystemRuntime()) as server:
        urls = [f"{protocol} {server.url(protocol)}" for protocol in ("v2", "v1")]
        urls += [f"private {protocol} {server.url(protocol, private=True)}" for protocol in ("v2", "v1")]
        print(", ".join([*urls, f"REST {server.rest_url}"]), flush=True)
        await stop.wait()


def _pair(symbol: str) -> Pair:
    if symbol not in PAIRS:
        raise ConfigError(f"--symbols {symbol}: there is no such market; there are {', '.join(PAIRS)}")
    return PAIRS[symbol]
