"""The overview: each chain, each recording with its symbols, whether all is well, and the last reorgs. Pure."""

from collections.abc import Iterator

from tidelog.tui import questions
from tidelog.tui.answers import Chain, Chains, Market, Markets, Readiness, Reorg, Standing
from tidelog.tui.figures import age, clock, count, middle, rate
from tidelog.tui.lines import Line, Style, line, row
from tidelog.tui.place import Target
from tidelog.tui.questions import CHAINS, MARKETS, METRICS, READY, STATS, Question
from tidelog.tui.times import time_us
from tidelog.tui.views.recordings import STATES, recording_lines, stream_lines
from tidelog.tui.views.scene import Scene
from tidelog.tui.world import World, newest_reorgs

__all__ = ["asked", "draw", "entries", "known", "reorg_line", "standing_words"]

REORGS_SHOWN = 3
REASONS_SHOWN = 4
NOTES_SHOWN = 3  # last words of endpoints that failed of late


def asked(world: World) -> list[Question]:
    return [MARKETS, STATS, METRICS, *(question for _, question in _reorgs(world))]


def _reorgs(world: World) -> list[tuple[int, Question]]:
    return [(each.chain_id, questions.reorgs(each.chain_id)) for each in _chains(world)]


def _chains(world: World) -> list[Chain]:
    found = world.answer(CHAINS)
    return found.data if isinstance(found, Chains) else []


def _markets(world: World) -> list[Market]:
    """Those that are not proven first, then by name."""
    found = world.answer(MARKETS)
    shown = found.data if isinstance(found, Markets) else []
    return sorted(shown, key=lambda each: (each.recording, _worth(each) == "proven", each.symbol))


def _worth(market: Market) -> str:
    states = [each.state for each in (market.book, market.trades) if each is not None]
    return next((state for state in ("gap", "unproven") if state in states), "proven" if states else "none")


def entries(world: World) -> list[Target]:
    """What the cursor goes through."""
    return [Target(chain=each.chain_id) for each in _chains(world)] + [
        Target(recording=each.recording, symbol=each.symbol) for each in _markets(world)
    ]


def known(world: World) -> list[Target]:
    """All chains, and all symbols by name."""
    found = entries(world)
    chains = [each for each in found if each.chain is not None]
    return chains + sorted(
        (each for each in found if each.symbol is not None), key=lambda each: (each.recording or "", each.symbol or "")
    )


def draw(scene: Scene) -> list[Line]:
    """As many lines as there is room for."""
    health = list(_health(scene))
    chains = list(_chain_lines(scene))
    reorgs = list(_reorg_lines(scene))
    recordings = [*recording_lines(scene, _markets(scene.world)), *stream_lines(scene)]
    fixed = health + chains + reorgs + recordings
    symbols = _symbol_lines(scene, scene.rows - len(fixed))
    return [*health, *chains, *reorgs, *recordings, *symbols]


def _health(scene: Scene) -> Iterator[Line]:
    found = scene.world.answer(READY)
    if not isinstance(found, Readiness):
        return
    if found.ready:
        yield line(("healthy", "good"), ("  everything is caught up, within its limits", "dim"))
        return
    reasons = [scene.says(reason) for reason in found.reasons] or ["the reasons need a token with the scope metrics"]
    yield line(("not healthy", "bad"), f"  {reasons[0]}")
    for reason in reasons[1:REASONS_SHOWN]:
        yield line(f"             {reason}")
    if len(reasons) > REASONS_SHOWN:
        yield line((f"             and {len(reasons) - REASONS_SHOWN} more", "dim"))


CHAIN_COLUMNS = (10, -11, -7, -8, -17, -6, -7)


def _chain_lines(scene: Scene) -> Iterator[Line]:
    chains = _chains(scene.world)
    if not chains:
        return
    head = ("chain", "head", "behind", "blocks/s", "final", "reorgs", "refused")
    yield row([(cell, "title") for cell in head], CHAIN_COLUMNS)
    for at, chain in enumerate(chains):
        yield _chain_line(scene, chain, chosen=at == scene.place.cursor)
    yield from _endpoint_lines(scene)
    found = scene.world.answer(READY)
    for note in found.notes[:NOTES_SHOWN] if isinstance(found, Readiness) else ():
        yield line(("    ", ""), (scene.says(note), "dim"))


def _chain_line(scene: Scene, chain: Chain, *, chosen: bool) -> Line:
    samples = scene.samples
    behind = samples.total("tidelog_chain_blocks_behind", chain=str(chain.chain_id))
    refused = samples.total("tidelog_chain_proof_failures_total")
    head, commit = chain.head, chain.checkpoint
    final = "-"
    if head is not None and commit is not None and commit.finalized is not None:
        final = f"{count(commit.finalized.number)} (-{count(head.number - commit.finalized.number)})"
    found = scene.world.answer(questions.reorgs(chain.chain_id))
    reorgs = "-" if found is None else f"{len(found.data)}" if len(found.data) < 20 else "20+"
    cells: list[str | tuple[str, Style]] = [
        (f"{'>' if chosen else ' '} {chain.chain_id}", "chosen" if chosen else ""),
        "-" if head is None else count(head.number),
        ("-" if behind is None else count(int(behind)), "warn" if behind else ""),
        rate(scene.world.per_s(f"head {chain.chain_id}")),
        final,
        reorgs,
        ("-" if refused is None else count(int(refused)), "warn" if refused else ""),
    ]
    return row(cells, CHAIN_COLUMNS)


ENDPOINT_STATES = ("quarantined", "put_aside", "benched")


def _endpoint_lines(scene: Scene) -> Iterator[Line]:
    """Of all chains: the metrics do not say which chain an endpoint is of."""
    samples = scene.samples
    for sample in samples.of("tidelog_rpc_endpoint_identified"):
        name = sample.labels.get("endpoint", "")
        values = {
            part: samples.total(f"tidelog_rpc_endpoint_{part}", endpoint=name)
            for part in (*ENDPOINT_STATES, "strikes", "requests_in_flight", "requests_in_flight_max")
        }
        per_s = samples.total("tidelog_rpc_endpoint_calls_per_second", endpoint=name)
        most = samples.total("tidelog_rpc_endpoint_calls_per_second_max", endpoint=name)
        state = next((part.replace("_", " ") for part in ENDPOINT_STATES if values[part]), "ok")
        state = state if sample.value else "not identified"
        limit = "" if most is None or most == float("inf") else f" of {most:g}"
        flight = f"{values['requests_in_flight'] or 0:g}/{values['requests_in_flight_max'] or 0:g} in flight"
        yield line(
            f"    {scene.says(name)}  ",
            (state, "good" if state == "ok" else "bad"),
            f"  {rate(per_s)}{limit} calls/s  {flight}",
            (f"  {values['strikes']:g} failures in a row", "warn") if values["strikes"] else "",
        )


def _reorg_lines(scene: Scene) -> Iterator[Line]:
    for chain_id, reorg in newest_reorgs(scene.world, _reorgs(scene.world))[:REORGS_SHOWN]:
        yield reorg_line(scene, chain_id, reorg)


def reorg_line(scene: Scene, chain_id: int, reorg: Reorg) -> Line:
    """What one replaced by what."""
    old, new = (middle(scene.says(each), scene.glyphs) for each in (reorg.old_head_hash, reorg.new_head_hash))
    at_us = time_us(reorg.time)
    when = "" if at_us is None else f"{clock(at_us)} "
    return line(
        (when, "dim"),
        (f"{scene.says(reorg.reason)} ", "warn"),
        f"{chain_id}: {reorg.depth} dropped above {count(reorg.fork_number)}: {old} {scene.glyphs.to} {new}",
    )


def _symbol_lines(scene: Scene, room: int) -> Iterator[Line]:
    markets, chains = _markets(scene.world), len(_chains(scene.world))
    if not markets or room < 1:
        return
    shown = scene.window(len(markets), room - 1, before=chains)
    yield row(
        [(cell, "title") for cell in ("symbol", "book", "trades", "why not proven")],
        _symbol_columns(scene),
    )
    for at in shown:
        market = markets[at]
        chosen = chains + at == scene.place.cursor
        reasons = [each.reason for each in (market.book, market.trades) if each is not None and each.reason]
        cells: list[str | tuple[str, Style]] = [
            (f"{'>' if chosen else ' '} {scene.says(market.symbol)}", "chosen" if chosen else ""),
            standing_words(scene, market.book),
            standing_words(scene, market.trades),
            scene.says(reasons[0] if reasons else ""),
        ]
        yield row(cells, _symbol_columns(scene), scene.glyphs.dots)


def _symbol_columns(scene: Scene) -> tuple[int, ...]:
    return (16, 18, 18, max(8, scene.columns - 58))


def standing_words(scene: Scene, standing: Standing | None) -> tuple[str, Style]:
    """What a channel is worth, and since when."""
    if standing is None:
        return "-", "dim"
    since_s = (scene.now_us - standing.since_us) / 1e6
    return f"{scene.says(standing.state)} for {age(since_s, whole=True)}", STATES.get(standing.state, "")
