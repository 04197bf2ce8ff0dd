"""How much one JSON-RPC request may ask for: every limit with its reason. Values only."""

from msgspec import Struct

BODY_BYTES_MAX = 256 * 1024  # a batch of 100 calls, each with a filter of many addresses
DEPTH_MAX = 16  # a filter in a call in a batch nests 7 deep
BATCH_MAX = 100  # calls: what public nodes allow is between 10 and 1,000; one snapshot lasts as long as the batch
BLOCKS_MAX = 10_000  # that a log filter may span: the customary limit of public nodes
LOGS_MAX = 10_000  # of one answer: the customary limit too
ADDRESSES_MAX = 100  # of one filter: each is a search in an index of its own
TOPICS_MAX = 100  # alternatives of one position
RESPONSE_BYTES_MAX = 32 * 1024 * 1024  # of a batch, and of a filter's logs; geth's is 25 MB


class RpcLimits(Struct, frozen=True, kw_only=True):
    """The limits of one request. What goes beyond is refused, and the refusal says what would be allowed."""

    body_bytes_max: int = BODY_BYTES_MAX
    batch_max: int = BATCH_MAX
    blocks_max: int = BLOCKS_MAX
    logs_max: int = LOGS_MAX
    addresses_max: int = ADDRESSES_MAX
    topics_max: int = TOPICS_MAX
    response_bytes_max: int = RESPONSE_BYTES_MAX
