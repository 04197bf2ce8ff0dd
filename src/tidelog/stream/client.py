"""A chain's changes from NATS JetStream, for programs of one's own: the front of `consumer`."""

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime

from tidelog.runtime import SystemRuntime
from tidelog.stream.consumer import consume
from tidelog.stream.following import StreamItem
from tidelog.stream.jetstream import JetStream, Login, StreamSettings
from tidelog.stream.messages import changes_subject, stream_name

__all__ = ["changes"]


def changes(
    servers: str | Sequence[str],
    *,
    chain: int,
    after: str | datetime = "0",
    stream: str | None = None,
    login: Login | None = None,
) -> AsyncGenerator[StreamItem, None]:
    """A chain's changes from JetStream, each once and in order, for ever.

    While the server is away, or the stream is filled again, it waits. Close it, or cancel its task, to stop.

    Args:
        servers: nats://host:port, or several servers of one cluster.
        chain: the chain id (EIP-155).
        after: the `place` behind what was applied; "0": the beginning; "now": what comes from now on; a time with its
            zone: what the stream took then or later.
        stream: the stream's name, if it is not `tidelog-chain-ID`.
        login: credentials and TLS, where the server wants them.

    Raises:
        ConfigError: the server refuses us, `after` cannot be read, or nats-py is not installed.
        Rejected: a message is not tidelog's, or of a later version.
    """
    urls = [servers] if isinstance(servers, str) else list(servers)
    transport = JetStream(urls, StreamSettings(stream or stream_name(chain), changes_subject(chain)), login)
    return consume(transport, SystemRuntime(), chain=chain, after=after)
