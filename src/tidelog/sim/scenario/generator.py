"""Draw a schedule from a seed. What may go wrong, how often, and for how long is decided here and nowhere else."""

import random
from collections.abc import Callable, Sequence

import msgspec

from tidelog.sim.exchange import FAULTS, ODD_MARKETS
from tidelog.sim.exchange.wire.rest import DENIALS
from tidelog.sim.node.lies import LIES
from tidelog.sim.node.limits import PLANS
from tidelog.sim.scenario import schedule as plan
from tidelog.sim.streams.receiver import ANSWERS
from tidelog.sim.world.disk import FAULTS as DISK_FAULTS

EVENTS = (4, 14)
BUSY_S = (30.0, 70.0)
BLOCKS = (0, 25)

HEADS_LIES = sorted(name for name, lie in LIES.items() if lie.push is not None)
RECEIPTS_LIES = [
    "receipts_by_number_only", "receipts_crash", "receipts_doubled", "receipts_invalid_params", "receipts_with_nulls",
    "method_refused_whole",
]  # fmt: skip
ODDITIES = sorted(name for name, lie in LIES.items() if lie.harmless)
HANGING_LIES = ("stall", "stall_body", "trickle")  # in which an endpoint accepts a request and does not answer it
LATER_LIES = (
    "chain_id_huge",
    "stall_body",
    "trickle",
    "pruned",
    "block_stale",
)  # drawn apart, so that older seeds keep their meaning
UNCLE_LIES = ("uncle_altered", "uncle_hash_wrong", "uncle_null", "uncle_unsupported", "uncles_missing")
HIDING_ALIKE = ("logs_at_random", "receipt_logs_missing")  # what proves it as well
ASKED_LIES = sorted(
    [*HIDING_ALIKE, *(name for name, lie in LIES.items() if lie.methods == ("eth_getLogs",))]
)  # where that is asked
HIDING_LIES = ("asked_log_altered", "asked_log_doubled", "asked_logs_at_random", "asked_logs_missing")
APART_LIES = {*HEADS_LIES, *RECEIPTS_LIES, *ODDITIES, *LATER_LIES, *UNCLE_LIES, *ASKED_LIES}
CHAIN_LIES = sorted(LIES.keys() - APART_LIES)
ASKED_BLOCKS = (40, 90)  # that a chain has at the start: what is final of them is asked about
CHAIN_POINTS = ("ledger.before_commit", "store.rolled_back", "store.written", "store.committed", "ledger.after_commit")

MARKET_BUSY_S = (15.0, 35.0)
SYMBOLS = ("BTC/USD", "ETH/USD")  # that every recording has
# Left out: a message that comes byte by byte, of which picows makes whole frames before anything of ours sees it; the
# real thing is in tests/net/test_websocket.py and tests/sim/test_exchange_server.py. What is drawn apart is below.
MARKET_LEFT_OUT = {"trickle"}
DRAWN_APART = {"sequence_gap", "huge", "nesting", "fragments", "precision_change", "reserved_bits"}
SAID = ("ack_misnumbered", "subscription_ended", "time_ahead")
TOLD = (
    "checksum_absent",
    "fills_alike",
    "market_refused",
    "side_absent",
    "snapshot_old",
    "trades_apart",
    "trades_backwards",
)
MARKET_FAULTS = sorted(FAULTS.keys() - MARKET_LEFT_OUT - DRAWN_APART - {*TOLD, *SAID})
MARKET_POINTS = (
    "journal.before_commit", "journal.after_commit", "loader.before_commit", "loader.after_commit",
    "store.written", "store.committed",
)  # fmt: skip
SHARD_POINTS = ("shards.left", "shards.given_up", "shards.claimed", "shards.taken")

# What came later is drawn by chance of its own, so that a seed keeps the rest of its meaning.
HEADS_CHANCE = 0.3
UNKNOWN_CHANCE = 0.3
RECEIPTS_CHANCE = 0.3
LIMITS_CHANCE = 0.4
TROUBLED_CHANCE = 0.3
UNCLES_CHANCE = 0.2
RESTORES_CHANCE = 0.2
PRUNED_CHANCE = 0.2
STALE_CHANCE = 0.2
UNTAGGED_BLOCKS = (60, 70)  # about as many as a block is below the head when it is final by depth
UNTAGGED_GROWS = 80
UNTAGGED_STALE_CHANCE = 0.5
DAYS_S = 200.0  # as a subscription is silent for days: for longer than things go wrong
LAGGING_CHANCE = 0.1
HELD = (20, 30)  # blocks: more than several forks reach back
LAGGING_BLOCKS = (50, 90)
HANGING_CHANCE = 0.3
HANGING_S = 90.0  # twice as long as an endpoint that was awaited without a deadline would cost, and more
FRAMES_CHANCE = 0.3
ODDITIES_CHANCE = 0.4
FRAMES = ("fragments", "huge", "nesting")
ODD_CHANCE = 0.3
STATUSES = ("cancel_only", "post_only", "limit_only", "maintenance")
SPELLED_CHANCE = 0.3
INSTRUMENTS_CHANCE = 0.15
ODD_MARKETS_CHANCE = 0.2
MARKETS_CHANCE = 0.03  # such a run takes several times as long as the others
MARKETS = (6, 12)
CALM_S = (300.0, 600.0)
ODD_FAULTS = ("precision_change", "reserved_bits")
TOLD_CHANCE = 0.4
SAID_CHANCE = 0.3
BLOOMLESS_CHANCE = 0.3
LOSS_CHANCE = 0.15
PRIVATE_CHANCE = 0.3
PRIVATE_CHANNELS = {"v1": ("ownTrades", "openOrders"), "v2": ("executions", "balances")}


def generate(
    kind: str,
    seed: int,
    *,
    steps: int | None = None,
    contracts: bool = False,
    selection: bool = False,
    asked: bool = False,
    untagged: bool = False,
    engine: str = "",
    shards: bool = False,
) -> plan.Schedule:
    """The schedule of a seed.

    Args:
        steps: how many events it has, if that is not drawn as well.
        contracts: whether the chain has some; not drawn, so that what a seed has found once it finds again.
        selection: whether only what these log is held of the blocks; alike.
        asked: whether endpoints are asked what these logged in history, which is proven at the end; alike.
        untagged: whether its nodes have no tag for what is final; alike.
        engine: what the changes are published to, of `schedule.ENGINES`; "": to nothing; alike.
        shards: whether several programs record a market together; alike.
    """
    rng = random.Random(f"{seed} {kind} schedule")
    count = rng.randint(*EVENTS) if steps is None else steps
    if kind == plan.CHAIN:
        chain = _heads(random.Random(f"{seed} {kind} heads"), _chain(rng, seed, count), faults=steps != 0)
        chain = _receipts(random.Random(f"{seed} {kind} receipts"), chain, faults=steps != 0)
        chain = _oddities(random.Random(f"{seed} {kind} oddities"), chain, faults=steps != 0)
        chain = _limits(random.Random(f"{seed} {kind} limits"), chain, faults=steps != 0)
        chain = _hanging(random.Random(f"{seed} {kind} hanging"), chain, faults=steps != 0)
        chain = _uncles(random.Random(f"{seed} {kind} uncles"), chain, faults=steps != 0)
        chain = _unknown(random.Random(f"{seed} {kind} unknown"), chain)
        chain = msgspec.structs.replace(chain, contracts=contracts or selection or asked)
        if selection:
            chain = _selection(random.Random(f"{seed} {kind} selection"), chain)
        if asked:
            chain = _asked(random.Random(f"{seed} {kind} asked"), chain, faults=steps != 0)
        chain = _lagging(random.Random(f"{seed} {kind} lagging"), chain)
        chain = _restores(random.Random(f"{seed} {kind} restores"), chain, faults=steps != 0)
        chain = _pruned(random.Random(f"{seed} {kind} pruned"), chain, faults=steps != 0)
        chain = _stale(random.Random(f"{seed} {kind} stale"), chain, faults=steps != 0)
        if untagged:
            chain = _untagged(random.Random(f"{seed} {kind} untagged"), chain, faults=steps != 0)
        if engine:
            chain = _published(chain, engine, CHAIN_POINTS, ("header", "logs"), faults=steps != 0)
        return chain
    if shards:
        schedule = _shards(random.Random(f"{seed} {kind} shards"), seed, count)
        return _losses(random.Random(f"{seed} {kind} shards losses"), schedule, faults=steps != 0)
    schedule = _frames(random.Random(f"{seed} {kind} frames"), _market(rng, seed, count), faults=steps != 0)
    schedule = _private(random.Random(f"{seed} {kind} private"), schedule, faults=steps != 0)
    schedule = _odd(random.Random(f"{seed} {kind} odd"), schedule, faults=steps != 0)
    schedule = _told(random.Random(f"{seed} {kind} told"), schedule, faults=steps != 0)
    schedule = _said(random.Random(f"{seed} {kind} said"), schedule, faults=steps != 0)
    schedule = _losses(random.Random(f"{seed} {kind} losses"), schedule, faults=steps != 0)
    schedule = _many(random.Random(f"{seed} {kind} calm"), schedule)
    schedule = _instruments(random.Random(f"{seed} {kind} instruments"), schedule)
    schedule = _odd_markets(random.Random(f"{seed} {kind} odd markets"), schedule)
    if engine:
        if engine != plan.NATS:  # of a lost journal a gap comes: these are judged without
            kept = tuple([each for each in schedule.events if not isinstance(each.do, plan.LoseJournal)])
            schedule = msgspec.structs.replace(schedule, events=kept)
        schedule = _published(schedule, engine, MARKET_POINTS, ("events",), faults=steps != 0)
    return schedule


def _chain(rng: random.Random, seed: int, count: int) -> plan.Schedule:
    busy_s = round(rng.uniform(*BUSY_S), 1)
    replicas = rng.choice((1, 2, 3, 3))
    draw: list[tuple[int, Callable[[], plan.Action]]] = [
        (3, lambda: plan.Fork(depth := rng.randint(1, 10), max(0, depth + rng.choice((-2, -1, 0, 1, 1, 2))))),
        (1, lambda: plan.Grow(rng.randint(2, 20))),
        (4, lambda: _lie(rng, replicas)),
        (1, lambda: plan.Down(_replica(rng, replicas), _span(rng))),
        (1, lambda: plan.Slow(rng.randrange(replicas), round(rng.uniform(0.5, 40.0), 1), _span(rng))),
        (1, lambda: plan.Lag(rng.randrange(replicas), rng.randint(1, 6), _span(rng))),
        (5, lambda: _crash(rng)),
        (1, lambda: plan.Restart()),
        (1, lambda: plan.Takeover()),
        (1, lambda: plan.Jump(round(rng.uniform(-86_400, 86_400), 1))),
        (2, lambda: _disk(rng)),
        (1, lambda: plan.SlowDisk(round(rng.uniform(0.1, 5.0), 2), _span(rng))),
        (1, lambda: plan.Rival(_span(rng))),
        (1, lambda: plan.Uncertain(rng.randint(1, 2))),
    ]
    events = [_event(rng, busy_s, draw, CHAIN_POINTS, "request") for _ in range(count)]
    return plan.Schedule(
        plan.CHAIN,
        seed,
        busy_s,
        tuple(events),
        replicas=replicas,
        blocks=rng.randint(*BLOCKS),
        grows_at_end=rng.random() < 0.5,
    )


def _market(rng: random.Random, seed: int, count: int) -> plan.Schedule:
    busy_s = round(rng.uniform(*MARKET_BUSY_S), 1)
    draw: list[tuple[int, Callable[[], plan.Action]]] = [
        (8, lambda: plan.Fault(rng.choice(MARKET_FAULTS), rng.choice((0.02, 0.1, 0.5)), _span(rng))),
        (2, lambda: plan.Cut(rng.choice((1000, 1006, 1011, 1012, 1013)))),
        (2, lambda: plan.Refuse(_span(rng))),
        (5, lambda: _crash(rng)),
        (1, lambda: plan.Restart()),
        (1, lambda: plan.Takeover()),
        (1, lambda: plan.Jump(round(rng.uniform(-86_400, 86_400), 1))),
        (3, lambda: _disk(rng)),
        (2, lambda: plan.SlowDisk(round(rng.uniform(0.1, 5.0), 2), _span(rng))),
        (1, lambda: plan.Rival(_span(rng))),
        (2, lambda: plan.Churn(rng.randint(3, 20), rng.choice((None, *SYMBOLS)))),
        (2, lambda: plan.Reload()),
    ]
    events = [_event(rng, busy_s, draw, MARKET_POINTS, "frame") for _ in range(count)]
    protocol = "v2" if rng.random() < 0.7 else "v1"
    return plan.Schedule(plan.MARKET, seed, busy_s, tuple(events), protocol=protocol)


def _shards(rng: random.Random, seed: int, count: int) -> plan.Schedule:
    """Several programs of one recording, and layouts that change."""
    busy_s = round(rng.uniform(*MARKET_BUSY_S), 1)
    draw: list[tuple[int, Callable[[], plan.Action]]] = [
        (6, lambda: plan.Divide(rng.random() < 0.7)),
        (6, lambda: _crash(rng)),
        (1, lambda: plan.Restart()),
        (1, lambda: plan.Cut(rng.choice((1000, 1006, 1012)))),
        (1, lambda: plan.Refuse(_span(rng))),
        (2, lambda: _disk(rng)),
        (1, lambda: plan.SlowDisk(round(rng.uniform(0.1, 5.0), 2), _span(rng))),
        (1, lambda: plan.Rival(_span(rng))),
        (1, lambda: plan.Uncertain(rng.randint(1, 2))),
    ]
    events = [_event(rng, busy_s, draw, (*MARKET_POINTS, *SHARD_POINTS), "frame") for _ in range(count)]
    return plan.Schedule(plan.MARKET, seed, busy_s, tuple(events), shards=rng.randint(2, 4))


def _unknown(rng: random.Random, schedule: plan.Schedule) -> plan.Schedule:
    """Perhaps a chain that tidelog does not know. Its lies are one endpoint's of three: most of them say what holds."""
    told = schedule.uncles or schedule.limits or schedule.hanging or schedule.troubled
    if rng.random() >= UNKNOWN_CHANCE or told:
        return schedule
    events = [_of_one(event) for event in schedule.events]
    return msgspec.structs.replace(
        schedule,
        events=tuple(events),
        replicas=3,
        oddity=rng.choice(("transactions_root", "storage_root", "bloom_superset")),
        odd_from=rng.choice((0, rng.randint(1, 40))),
        quiet=rng.random() < 0.5,
    )


def _selection(rng: random.Random, schedule: plan.Schedule) -> plan.Schedule:
    """Of the blocks only what contracts log is held; perhaps on a chain whose blooms say nothing."""
    schedule = msgspec.structs.replace(schedule, selection=True)
    if schedule.oddity or rng.random() >= BLOOMLESS_CHANCE:
        return schedule
    plain = msgspec.structs.replace(schedule, uncles=False, limits="", hanging=None, troubled=False)
    events = tuple([_of_one(event) for event in schedule.events])
    return msgspec.structs.replace(plain, events=events, replicas=3, oddity="bloom_empty")


def _asked(rng: random.Random, schedule: plan.Schedule, *, faults: bool) -> plan.Schedule:
    """Endpoints are asked what contracts logged in history, and leave out, alter or make up some of it."""
    draw: list[tuple[int, Callable[[], plan.Action]]] = [(1, lambda: _lie(rng, schedule.replicas, ASKED_LIES))]
    count = rng.randint(1, 4) if faults else 0
    events = [_event(rng, schedule.busy_s, draw, CHAIN_POINTS, "request") for _ in range(count)]
    if faults:
        replica = _replica(rng, schedule.replicas)
        hiding = plan.Lie(rng.choice(HIDING_LIES), replica, rng.choice((0.3, 1.0)), schedule.busy_s)
        events.append(plan.Event(plan.Time(0.0), hiding))
    plain = msgspec.structs.replace(schedule, oddity="", odd_from=0, quiet=False, selection=True, asked=True)
    return msgspec.structs.replace(
        plain, blocks=rng.randint(*ASKED_BLOCKS), events=(*schedule.events, *events), troubled=False
    )


def _of_one(event: plan.Event) -> plan.Event:
    """A lie as one endpoint's: most of them say what holds on a chain that nobody knows."""
    if not isinstance(event.do, plan.Lie):
        return event
    return plan.Event(event.at, msgspec.structs.replace(event.do, replica=0))


def _heads(rng: random.Random, schedule: plan.Schedule, *, faults: bool) -> plan.Schedule:
    """Perhaps a subscription to new heads, and what is wrong with it."""
    if rng.random() >= HEADS_CHANCE:
        return schedule
    draw: list[tuple[int, Callable[[], plan.Action]]] = [
        (3, lambda: plan.Lie(rng.choice(HEADS_LIES), 0, rng.choice((0.2, 0.5, 1.0)), rng.choice((_span(rng), DAYS_S)))),
        (1, lambda: plan.Down(0, _span(rng))),
    ]
    count = rng.randint(1, 4) if faults else 0
    added = [_event(rng, schedule.busy_s, draw, CHAIN_POINTS, "request") for _ in range(count)]
    return msgspec.structs.replace(schedule, events=(*schedule.events, *added), heads=True)


def _receipts(rng: random.Random, schedule: plan.Schedule, *, faults: bool) -> plan.Schedule:
    """Perhaps receipts of whole blocks that fail, for as long as things go wrong: the single ones are right."""
    if not faults or rng.random() >= RECEIPTS_CHANCE:
        return schedule
    replica = _replica(rng, schedule.replicas)
    lie = plan.Lie(rng.choice(RECEIPTS_LIES), replica, rng.choice((0.2, 1.0, 1.0)), DAYS_S)
    event = plan.Event(plan.Time(round(rng.uniform(0.0, 5.0), 3)), lie)
    return msgspec.structs.replace(schedule, events=(*schedule.events, event))


def _oddities(rng: random.Random, schedule: plan.Schedule, *, faults: bool) -> plan.Schedule:
    """Perhaps a node that says things in other words, from the start on: its blocks are taken as all others are."""
    if not faults or rng.random() >= ODDITIES_CHANCE:
        return schedule
    names = rng.sample(ODDITIES, rng.randint(1, 4))
    replica, probability = rng.randrange(schedule.replicas), rng.choice((0.3, 1.0, 1.0))
    added = [plan.Event(plan.Time(0.0), plan.Lie(name, replica, probability, schedule.busy_s)) for name in names]
    return msgspec.structs.replace(schedule, events=(*schedule.events, *added))


def _limits(rng: random.Random, schedule: plan.Schedule, *, faults: bool) -> plan.Schedule:
    """Perhaps providers' plans, for all of the run, and a block that cannot be had for a while."""
    if not faults:
        return schedule
    limits = rng.choice(sorted(PLANS)) if rng.random() < LIMITS_CHANCE else ""
    return msgspec.structs.replace(schedule, limits=limits, troubled=rng.random() < TROUBLED_CHANCE)


def _hanging(rng: random.Random, schedule: plan.Schedule, *, faults: bool) -> plan.Schedule:
    """Perhaps an endpoint that hangs, or names a chain that cannot be; and one that hangs when all else is well."""
    if rng.random() < HANGING_CHANCE and faults:
        draw: list[tuple[int, Callable[[], plan.Action]]] = [
            (3, lambda: plan.Lie(rng.choice(HANGING_LIES), rng.randrange(schedule.replicas), 1.0, _span(rng))),
            (1, lambda: plan.Lie("chain_id_huge", rng.randrange(schedule.replicas), 1.0, _span(rng))),
        ]
        added = [_event(rng, schedule.busy_s, draw, CHAIN_POINTS, "request") for _ in range(rng.randint(1, 3))]
        schedule = msgspec.structs.replace(schedule, events=(*schedule.events, *added))
    if schedule.replicas > 1 and not schedule.limits and rng.random() < HANGING_CHANCE:
        hanging = plan.Lie(rng.choice(HANGING_LIES), rng.randrange(schedule.replicas), 1.0, HANGING_S)
        schedule = msgspec.structs.replace(schedule, hanging=hanging)
    return schedule


def _uncles(rng: random.Random, schedule: plan.Schedule, *, faults: bool) -> plan.Schedule:
    """Perhaps a chain of before the merge, and what is said wrongly of its uncles."""
    if rng.random() >= UNCLES_CHANCE:
        return schedule
    draw: list[tuple[int, Callable[[], plan.Action]]] = [(1, lambda: _lie(rng, schedule.replicas, UNCLE_LIES))]
    count = rng.randint(1, 4) if faults else 0
    added = [_event(rng, schedule.busy_s, draw, CHAIN_POINTS, "request") for _ in range(count)]
    return msgspec.structs.replace(schedule, events=(*schedule.events, *added), uncles=True)


def _lagging(rng: random.Random, schedule: plan.Schedule) -> plan.Schedule:
    """Perhaps a chain whose finality lags behind what is held of it. No trouble: that would be with a final block."""
    if rng.random() >= LAGGING_CHANCE:
        return schedule
    blocks = max(schedule.blocks, rng.randint(*LAGGING_BLOCKS))
    return msgspec.structs.replace(schedule, blocks=blocks, held=rng.randint(*HELD), troubled=False)


def _restores(rng: random.Random, schedule: plan.Schedule, *, faults: bool) -> plan.Schedule:
    """Perhaps a copy of the store, and a while later its restoration."""
    if not faults or rng.random() >= RESTORES_CHANCE:
        return schedule
    added = []
    for _ in range(rng.randint(1, 3)):
        copied_s, restored_s = sorted(round(rng.uniform(0.0, schedule.busy_s), 3) for _ in range(2))
        added += [plan.Event(plan.Time(copied_s), plan.Copy()), plan.Event(plan.Time(restored_s), plan.Restore())]
    return msgspec.structs.replace(schedule, events=(*schedule.events, *added))


def _pruned(rng: random.Random, schedule: plan.Schedule, *, faults: bool) -> plan.Schedule:
    """Perhaps a balancer, some of whose nodes have no history. No trouble: that would keep blocks from it as well."""
    if not faults or rng.random() >= PRUNED_CHANCE or schedule.troubled:
        return schedule
    replica = 0 if schedule.oddity else _replica(rng, schedule.replicas)
    lie = plan.Lie("pruned", replica, rng.choice((0.1, 0.3, 1.0)), rng.choice((_span(rng), schedule.busy_s)))
    event = plan.Event(plan.Time(round(rng.uniform(0.0, 5.0), 3)), lie)
    return msgspec.structs.replace(schedule, events=(*schedule.events, event))


def _stale(rng: random.Random, schedule: plan.Schedule, *, faults: bool) -> plan.Schedule:
    """Perhaps an endpoint that gives by number what reorgs have dropped, and such reorgs, until these are final."""
    if not faults or rng.random() >= STALE_CHANCE:
        return schedule
    replica = 0 if schedule.oddity else _replica(rng, schedule.replicas)
    events = [plan.Event(plan.Time(0.0), plan.Lie("block_stale", replica, rng.choice((0.5, 1.0, 1.0)), DAYS_S))]
    for _ in range(rng.randint(1, 2)):
        depth = rng.randint(1, 6)
        time = plan.Time(round(rng.uniform(1.0, schedule.busy_s / 2), 3))
        events.append(plan.Event(time, plan.Fork(depth, depth + rng.randint(0, 1))))
    return msgspec.structs.replace(schedule, events=(*schedule.events, *events))


def _untagged(rng: random.Random, schedule: plan.Schedule, *, faults: bool) -> plan.Schedule:
    """A chain whose blocks are final by depth, and that grows by so many. No trouble: that would be with a final block.

    Perhaps all endpoints give by number what a reorg has dropped, until it is deep enough.
    """
    events = [*schedule.events]
    if faults and rng.random() < UNTAGGED_STALE_CHANCE:
        depth = rng.randint(1, 6)
        fork = plan.Fork(depth, depth + rng.randint(0, 1))
        events.append(plan.Event(plan.Time(0.0), plan.Lie("block_stale", None, 1.0, DAYS_S)))
        events.append(plan.Event(plan.Time(round(rng.uniform(1.0, 5.0), 3)), fork))
    grown = 0
    while grown < UNTAGGED_GROWS:
        grow = plan.Grow(rng.randint(1, 8))
        grown += grow.count
        events.append(plan.Event(plan.Time(round(rng.uniform(5.0, schedule.busy_s), 3)), grow))
    return msgspec.structs.replace(
        schedule,
        events=tuple(events),
        blocks=max(schedule.blocks, rng.randint(*UNTAGGED_BLOCKS)),
        untagged=True,
        held=0,
        oddity="",
        odd_from=0,
        quiet=False,
        troubled=False,
    )


def _published(
    schedule: plan.Schedule, engine: str, points: tuple[str, ...], details: Sequence[str], *, faults: bool
) -> plan.Schedule:
    """What is published of the changes, or of the recording, and what goes wrong with it."""
    of = "streams" if engine == plan.NATS else engine
    rng = random.Random(f"{schedule.seed} {schedule.kind} {of}")
    draw = _hook_draw(rng) if engine == plan.WEBHOOKS else _stream_draw(rng)
    if engine == plan.KAFKA:
        draw.append((2, lambda: plan.StreamRepeats(rng.randint(1, 3))))
    steps = "request" if schedule.kind == plan.CHAIN else "frame"
    added = [_event(rng, schedule.busy_s, draw, points, steps) for _ in range(rng.randint(3, 9))]
    detail = rng.choice(details)
    events = (*schedule.events, *(added if faults else ()))
    if detail == "logs" and schedule.limits and PLANS[schedule.limits].response_bytes is not None:
        schedule = msgspec.structs.replace(schedule, limits="")  # no answer would hold a block of so many logs
    return msgspec.structs.replace(schedule, events=events, stream=detail, engine=engine)


def _stream_draw(rng: random.Random) -> list[tuple[int, Callable[[], plan.Action]]]:
    """What goes wrong with a stream."""
    return [
        (1, lambda: plan.StreamLoss("restarted")),
        (2, lambda: plan.StreamLoss("tail", rng.randint(1, 30))),
        (1, lambda: plan.StreamLoss("forgotten")),
        (2, lambda: plan.StreamLoss("copied")),
        (2, lambda: plan.StreamLoss("restored")),
        (2, lambda: plan.StreamDown(_span(rng))),
        (1, lambda: plan.StreamSilence(_span(rng))),
        (3, lambda: plan.StreamDoubt(rng.randint(1, 3))),
        (6, lambda: plan.StreamKill(rng.choice(("publisher", "consumer", "rival")))),
    ]


def _hook_draw(rng: random.Random) -> list[tuple[int, Callable[[], plan.Action]]]:
    """What goes wrong with webhooks."""
    return [
        (6, lambda: plan.Answers(rng.choice(ANSWERS), rng.randint(1, 5))),
        (4, lambda: plan.StreamKill("publisher")),
        (2, lambda: plan.StreamDown(_span(rng))),
        (1, lambda: plan.StreamLoss("forgotten")),
        (1, lambda: plan.StreamLoss("copied")),
        (1, lambda: plan.StreamLoss("restored")),
    ]


def _with_faults(
    rng: random.Random, schedule: plan.Schedule, names: Sequence[str], probabilities: Sequence[float], most: int
) -> plan.Schedule:
    """With so many of these faults of the exchange at most, and one at least."""
    draw: list[tuple[int, Callable[[], plan.Action]]] = [
        (1, lambda: plan.Fault(rng.choice(names), rng.choice(probabilities), _span(rng))),
    ]
    added = [_event(rng, schedule.busy_s, draw, MARKET_POINTS, "frame") for _ in range(rng.randint(1, most))]
    return msgspec.structs.replace(schedule, events=(*schedule.events, *added))


def _frames(rng: random.Random, schedule: plan.Schedule, *, faults: bool) -> plan.Schedule:
    """Perhaps messages that come in pieces, or are more than can be read."""
    if not faults or rng.random() >= FRAMES_CHANCE:
        return schedule
    return _with_faults(rng, schedule, FRAMES, (0.02, 0.1), 3)


def _told(rng: random.Random, schedule: plan.Schedule, *, faults: bool) -> plan.Schedule:
    """Perhaps frames that say what they say in an odd way, or say the past."""
    if not faults or rng.random() >= TOLD_CHANCE:
        return schedule
    return _with_faults(rng, schedule, TOLD, (0.1, 0.5, 1.0), 4)


def _said(rng: random.Random, schedule: plan.Schedule, *, faults: bool) -> plan.Schedule:
    """Perhaps subscriptions that the exchange ends, answers to nothing that was asked, and its clock that is wrong."""
    if not faults or rng.random() >= SAID_CHANCE:
        return schedule
    return _with_faults(rng, schedule, SAID, (0.02, 0.1, 0.5), 3)


def _private(rng: random.Random, schedule: plan.Schedule, *, faults: bool) -> plan.Schedule:
    """Perhaps the private channels as well, and what goes wrong with them."""
    if rng.random() >= PRIVATE_CHANCE:
        return schedule
    both = PRIVATE_CHANNELS[schedule.protocol]
    channels = both if rng.random() < 0.6 else (rng.choice(both),)  # with one alone, its token may expire
    draw: list[tuple[int, Callable[[], plan.Action]]] = [
        (4, lambda: plan.Fault("sequence_gap", rng.choice((0.1, 0.5)), _span(rng))),
        (1, lambda: plan.Fault("snapshot_lost", 0.5, _span(rng))),
        (2, lambda: plan.Deny(rng.choice(sorted(DENIALS)), _span(rng))),
    ]
    count = rng.randint(1, 4) if faults else 0
    added = [_event(rng, schedule.busy_s, draw, MARKET_POINTS, "frame") for _ in range(count)]
    events = [*map(_forwards, schedule.events), *added]
    return msgspec.structs.replace(schedule, events=tuple(events), private=channels)


def _odd(rng: random.Random, schedule: plan.Schedule, *, faults: bool) -> plan.Schedule:
    """Perhaps what an exchange does more rarely."""
    if not faults or rng.random() >= ODD_CHANCE:
        return schedule
    draw: list[tuple[int, Callable[[], plan.Action]]] = [
        (2, lambda: plan.Fault(rng.choice(ODD_FAULTS), rng.choice((0.02, 0.1)), _span(rng))),
        (1, lambda: plan.List(rng.choice(SYMBOLS), rng.choice(("refused", "ignored")), _span(rng))),
        (1, lambda: plan.Halt(rng.choice((None, *SYMBOLS)), rng.choice(STATUSES), _span(rng))),
    ]
    added = [_event(rng, schedule.busy_s, draw, MARKET_POINTS, "frame") for _ in range(rng.randint(1, 2))]
    return msgspec.structs.replace(schedule, events=(*schedule.events, *added))


def _losses(rng: random.Random, schedule: plan.Schedule, *, faults: bool) -> plan.Schedule:
    """Perhaps a journal that is moved away."""
    if not faults or rng.random() >= LOSS_CHANCE:
        return schedule
    times = [round(rng.uniform(0.0, schedule.busy_s), 3) for _ in range(rng.randint(1, 2))]
    added = [plan.Event(plan.Time(time_s), plan.LoseJournal()) for time_s in times]
    return msgspec.structs.replace(schedule, events=(*schedule.events, *added))


def _many(rng: random.Random, schedule: plan.Schedule) -> plan.Schedule:
    """Perhaps symbols in another spelling; perhaps more markets, most of them quiet, and a time to watch them."""
    if rng.random() < SPELLED_CHANCE:
        schedule = msgspec.structs.replace(schedule, spelled=True)
    if rng.random() >= MARKETS_CHANCE:
        return schedule
    # a subscription that stalls in a quiet market is found after an hour: longer than a run lasts
    events = [event for event in schedule.events if not (isinstance(event.do, plan.Fault) and event.do.name == "stall")]
    calm_s = round(rng.uniform(*CALM_S), 1)
    return msgspec.structs.replace(schedule, events=tuple(events), markets=rng.randint(*MARKETS), calm_s=calm_s)


def _instruments(rng: random.Random, schedule: plan.Schedule) -> plan.Schedule:
    """Perhaps the instruments as well, which v1 has no channel for."""
    if rng.random() >= INSTRUMENTS_CHANCE or schedule.protocol == "v1" or schedule.markets:
        return schedule
    return msgspec.structs.replace(schedule, instruments=True)


def _odd_markets(rng: random.Random, schedule: plan.Schedule) -> plan.Schedule:
    """Perhaps markets that are new, thin, empty at times, or whose prices are tiny."""
    if rng.random() >= ODD_MARKETS_CHANCE or schedule.markets:
        return schedule
    names = rng.sample(sorted(ODD_MARKETS), rng.randint(1, 4))
    return msgspec.structs.replace(schedule, odd_markets=tuple(sorted(names)))


def _forwards(event: plan.Event) -> plan.Event:
    """The exchange wants nonces that grow: with a clock that was set back meanwhile, a program gets no token."""
    return plan.Event(event.at, plan.Jump(abs(event.do.s))) if isinstance(event.do, plan.Jump) else event


def _event(
    rng: random.Random,
    busy_s: float,
    draw: list[tuple[int, Callable[[], plan.Action]]],
    points: tuple[str, ...],
    peer: str,
) -> plan.Event:
    action = rng.choices([make for _, make in draw], [weight for weight, _ in draw])[0]()
    if isinstance(action, plan.Crash | plan.Fork) and rng.random() < 0.6:
        return plan.Event(_inside(rng, points, peer, isinstance(action, plan.Crash)), action)
    return plan.Event(plan.Time(round(rng.uniform(0.0, busy_s), 3)), action)


def _inside(rng: random.Random, points: tuple[str, ...], peer: str, kills: bool) -> plan.Trigger:
    """Not a moment but a place: a point of the code, a request, a step between two awaits."""
    if kills and rng.random() < 0.5:
        return plan.Step(rng.randint(1, 4), rng.randint(1, 900))
    place = rng.random()
    if place < 0.2:
        return plan.Point(peer, rng.randint(1, 150))
    if place < 0.5 and kills:
        return rng.choice((plan.Point("disk.write", rng.randint(1, 500)), plan.Point("disk.sync", rng.randint(1, 60))))
    name = rng.choice(points)
    return plan.Point(name, rng.randint(1, 30))


def _span(rng: random.Random) -> float:
    return round(rng.uniform(1.0, 20.0), 1)


def _replica(rng: random.Random, replicas: int) -> int | None:
    return None if rng.random() < 0.3 else rng.randrange(replicas)


def _lie(rng: random.Random, replicas: int, lies: Sequence[str] = CHAIN_LIES) -> plan.Lie:
    return plan.Lie(rng.choice(lies), _replica(rng, replicas), rng.choice((0.2, 0.5, 1.0)), _span(rng))


def _crash(rng: random.Random) -> plan.Crash:
    return plan.Crash(rng.choice((None, 0.0, 0.5, 0.9)))


def _disk(rng: random.Random) -> plan.DiskFault:
    return plan.DiskFault(rng.choice(sorted(DISK_FAULTS)), rng.randint(0, 20), rng.choice((1, 1, 3, 30)))
