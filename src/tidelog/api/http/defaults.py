"""The default limits of an API server, each with its reason.

The defaults serve one machine's own programs. A server for many raises what it can carry. Numbers alone: a help text
shows them, and imports nothing else for that.
"""

DEFAULT_HOST = "127.0.0.1"  # reading is harmless, being read by strangers may not be
DEFAULT_PORT = 8420

PAGE_DEFAULT = 100
PAGE_MAX = 1_000  # rows of one answer: a page of full transactions stays near a megabyte
BODY_BYTES_MAX = 256 * 1024  # a log filter of the most addresses and topics takes 40 kB, a batch of calls a few more
HEAD_BYTES_MAX = 32 * 1024  # the request line and headers: h11 and nginx stop between 16 and 32 KiB
QUERY_BYTES_MAX = 8 * 1024  # of a request line: what other servers take
ADDRESSES_MAX = 100  # of one log filter: each is a search in an index of its own
TOPICS_MAX = 100  # alternatives of one position
BLOCK_RANGE_MAX = 10_000  # blocks that a log filter may span: the customary limit of public nodes
REQUEST_S = 10.0  # for one answer; a client that waits longer has left
STATEMENT_S = 5.0  # for one statement: below REQUEST_S, so that the database stops before we do
READERS = 4  # snapshots at once; each is a thread, or a connection
STORE_PATIENCE_S = 1.0  # while the store is away: a client that gets 503 at once tries again by itself
REQUESTS_MAX = 64  # answered or waiting at once: sixteen for each reader, which is a wait below REQUEST_S
CONNECTIONS_MAX = 512  # sockets; an idle one makes room, and beyond it a client reads 503
STREAMS_MAX = 128  # of them, live streams
CLIENT_CONNECTIONS_MAX = 256  # of one address: half of each, so that none has all
CLIENT_REQUESTS_MAX = 32
CLIENT_STREAMS_MAX = 64
DELAY_MAX_S = 5.0  # that a refusal to a client that sends wrong tokens is delayed: below REQUEST_S
HEALTH_CONNECTIONS_MAX = 64  # on the port for health: probes, scrapers, a person
KEEP_ALIVE_S = 30.0  # an idle connection
STOP_S = 5.0  # between a signal and the end: open streams are closed by then
STANDBY_LAG_MAX_S = 30.0  # that a standby may lag and count as ready: two blocks of Ethereum, and a vacuum
TOKENS_S = 1.0  # how old the list of tokens may be: how long a revoked one still works
