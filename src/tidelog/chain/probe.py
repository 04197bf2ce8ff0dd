"""Find out which checks hold on a chain that no profile describes.

Once, when the chain is first seen: blocks near the finalized one are proven from every endpoint, check by
check. A check is kept where it held for all blocks from more than half of the endpoints; the result is said
loudly and stored with the chain.
"""

from collections.abc import Sequence

from tidelog.chain.blocks import Bundle, RawBlock
from tidelog.chain.pool import Pool
from tidelog.chain.profiles import ALL, PROFILES, Profile
from tidelog.chain.proof import Result, assess
from tidelog.chain.rpc import Endpoint
from tidelog.chain.wire import decode_block, decode_receipts
from tidelog.errors import ProofFailure, Rejected, Unreachable
from tidelog.runtime import Runtime
from tidelog.telemetry import logger

PROBE_BLOCKS = 8  # enough to meet every usual type of transaction on a busy chain
PROBE_DEPTH = 16  # below the head: away from where answers are still moving

_log = logger("probe")


async def profile_for(chain_id: int, pool: Pool, runtime: Runtime) -> Profile:
    """The known profile, or one that is probed now.

    Raises:
        Unreachable: no endpoint gave whole blocks to probe.
    """
    known = PROFILES.get(chain_id)
    if known is not None:
        return known
    blank = Profile(f"chain-{chain_id}")

    async def work(endpoint: Endpoint) -> set[str]:
        tips = await endpoint.tips()
        last = max(0, tips.latest.number - PROBE_DEPTH)
        raws = await endpoint.blocks(range(max(0, last - PROBE_BLOCKS + 1), last + 1))
        try:
            return await runtime.compute(lambda: _held(raws, blank))
        except ProofFailure as failure:
            raise Rejected(str(failure), endpoint=endpoint.name) from None

    answers = await pool.survey(work)
    if not answers:
        raise Unreachable(f"chain {chain_id} is not known, and no endpoint gave blocks to probe it by")
    held = tuple(check for check in ALL if sum(check in checks for checks in answers.values()) * 2 > len(answers))
    _log.warning(
        "chain_probed",
        chain=chain_id,
        holds=list(held),
        not_computable=[check for check in ALL if check not in held],
        endpoints=len(answers),
    )
    return Profile(f"chain-{chain_id}", checks=held)


def _held(raws: Sequence[RawBlock], profile: Profile) -> set[str]:
    """The checks that no block fails."""
    held = set(ALL)
    for raw in raws:
        bundle = Bundle(decode_block(raw.block), decode_receipts(raw.receipts))
        outcomes: dict[str, Result | ProofFailure] = assess(bundle, profile)
        held -= {check for check, outcome in outcomes.items() if isinstance(outcome, ProofFailure)}
    return held
