"""The API as something that runs for long: opened on a store, and ended in order. `serve` and `run` share it."""

from collections.abc import Callable

from tidelog.api.http.backend import Backend
from tidelog.api.http.options import ApiOptions, JournalSource
from tidelog.api.server.serve import ApiServer, settled
from tidelog.cli.options import LogLevel
from tidelog.cli.out import say
from tidelog.cli.sources.stopping import Stop
from tidelog.runtime import Runtime, SystemRuntime, run
from tidelog.store import open_store
from tidelog.store.tokens import listed
from tidelog.telemetry import ApiMetrics, configure_logs, logger
from tidelog.telemetry.otel import traced

EXPOSED = (
    "there is no TLS, so everybody on the way can read tokens and answers: give --tls-cert, or listen on 127.0.0.1 "
    "behind a proxy that has it"
)

_log = logger("api")


def run_server(db: str, options: ApiOptions, journals: tuple[JournalSource, ...], *, log_level: LogLevel) -> None:
    """Serve until interrupted."""
    configure_logs(level=log_level)
    with traced("serve"):
        run(_serve(db, options, journals))


async def _serve(db: str, options: ApiOptions, journals: tuple[JournalSource, ...]) -> None:
    stop = Stop()
    stop.on_signals()
    await serve_until(
        stop, db, SystemRuntime(), options, journals, ApiMetrics(), lambda url: say(f"listening on {url}", flush=True)
    )


async def serve_until(
    stop: Stop,
    db: str,
    runtime: Runtime,
    options: ApiOptions,
    journals: tuple[JournalSource, ...],
    metrics: ApiMetrics,
    listening: Callable[[str], None],
) -> None:
    """Serve until it is asked to stop; what is open then has `options.stop_s` to end.

    Raises:
        ConfigError: there is no such store, it is not up to date, or the address cannot be had.
    """
    store = await open_store(
        db,
        runtime,
        readonly=True,
        statement_timeout_s=options.statement_timeout_s,
        readers=options.readers,
        patience_s=options.store_patience_s,
    )
    try:
        server = ApiServer(Backend(store, runtime, options, journals, metrics))
        async with store.snapshot() as snapshot:
            tokens = await listed(snapshot)
        if not tokens and not options.loopback:
            _log.warning("no_token", advice="every request is refused until `tidelog token create` has made one")
        if not (options.loopback or options.tls_cert or options.trusted_proxies):
            _log.warning("exposed", url=server.url, reason=EXPOSED)
        stop.then(server.stop)
        settled()
        await server.run(listening)
    finally:
        await store.close()
