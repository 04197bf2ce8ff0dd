"""A chain: its blocks as they come and go. Pure."""

from collections.abc import Iterator

from tidelog.tui import questions
from tidelog.tui.answers import Block, Blocks, Chain, Chains, Change, Reorgs
from tidelog.tui.figures import age, count, middle, rate
from tidelog.tui.lines import Line, Style, line, row
from tidelog.tui.place import Target
from tidelog.tui.questions import CHAINS, Question
from tidelog.tui.views.overview import reorg_line
from tidelog.tui.views.scene import Scene
from tidelog.tui.world import World

__all__ = ["asked", "draw", "entries", "proof_words"]

BLOCKS = 100
COLUMNS = (1, -11, 13, -5, -6, -6, -8, 30)
REORGS_SHOWN = 2


def asked(world: World, chain: int) -> list[Question]:
    """The changes wait until it is known where they end."""
    found = _state(world, chain)
    asked = [questions.blocks(chain, BLOCKS), questions.reorgs(chain)]
    if found is not None and found.checkpoint is not None:
        asked.append(questions.changes(chain, world.place, found.checkpoint.changes))
    return asked


def _state(world: World, chain: int) -> Chain | None:
    found = world.answer(CHAINS)
    chains = found.data if isinstance(found, Chains) else []
    return next((each for each in chains if each.chain_id == chain), None)


def _shown(world: World, chain: int) -> list[tuple[str, int, str]]:
    """What happened to each block last, the newest first: applied ("+") or reverted ("-"), its number and hash."""
    last: dict[str, Change] = {}
    for change in world.changes:
        last.pop(change.hash, None)
        last[change.hash] = change
    if last:
        rows = [("-" if each.kind == "revert" else "+", each.number, each.hash) for each in last.values()]
        # a block that went stands where it stood, beside the one in its place; the rest by number
        return sorted(rows, key=lambda each: (each[1], each[0] == "+"), reverse=True)
    found = world.answer(questions.blocks(chain, BLOCKS))
    return [("+", each.number, each.hash) for each in found.data] if isinstance(found, Blocks) else []


def entries(world: World, chain: int) -> list[Target]:
    return [Target(chain=chain, block=block_hash) for _, _, block_hash in _shown(world, chain)]


def draw(scene: Scene) -> list[Line]:
    chain = scene.place.target.chain
    if chain is None:
        return [line("there is no chain")]
    head = [*_head(scene, chain), *_reorgs(scene, chain)]
    found = scene.world.answer(questions.blocks(chain, BLOCKS))
    blocks = {each.hash: each for each in found.data} if isinstance(found, Blocks) else {}
    shown = _shown(scene.world, chain)
    titles = ("", "block", "hash", "txs", "logs", "gas", "age", "proof")
    head.append(row([(cell, "title") for cell in titles], _columns(scene)))
    window = scene.window(len(shown), scene.rows - len(head))
    return [*head, *(_block_line(scene, shown[at], blocks, chosen=at == scene.place.cursor) for at in window)]


def _columns(scene: Scene) -> tuple[int, ...]:
    return (*COLUMNS[:-1], max(10, scene.columns - 64))


def _head(scene: Scene, chain: int) -> Iterator[Line]:
    state = _state(scene.world, chain)
    if state is None or state.head is None or state.checkpoint is None:
        yield line((f"chain {chain}  ", "title"), ("nothing is stored yet", "warn"))
        return
    final = state.checkpoint.finalized
    below = "nothing is final" if final is None else f"final up to {count(final.number)}"
    yield line(
        (f"chain {chain}  {scene.says(state.profile)}  ", "title"),
        f"head {count(state.head.number)}  {below}  {rate(scene.world.per_s(f'head {chain}'))} blocks/s",
        (f"  commit {count(state.checkpoint.commit_seq)}", "dim"),
    )


def _reorgs(scene: Scene, chain: int) -> Iterator[Line]:
    found = scene.world.answer(questions.reorgs(chain))
    for reorg in found.data[:REORGS_SHOWN] if isinstance(found, Reorgs) else []:
        yield reorg_line(scene, chain, reorg)


def _block_line(scene: Scene, shown: tuple[str, int, str], blocks: dict[str, Block], *, chosen: bool) -> Line:
    kind, number, block_hash = shown
    block = blocks.get(block_hash)
    style: Style = "chosen" if chosen else "bad" if kind == "-" else ""
    name = middle(scene.says(block_hash), scene.glyphs)
    place: list[str | tuple[str, Style]] = [
        (">" if chosen else kind, style),
        (count(number), style),
        (name, style),
    ]
    if kind == "-":
        return row([*place, "", "", "", "", ("dropped by a reorg", "bad")], _columns(scene))
    if block is None:
        return row([*place, "", "", "", "", ""], _columns(scene))
    gas = int(block.gas_used) / max(1, int(block.gas_limit))
    old_s = scene.now_us / 1e6 - int(block.timestamp)
    cells = ["?" if each is None else count(each) for each in (block.transaction_count, block.log_count)]
    return row([*place, *cells, f"{gas:.1%}", age(old_s), proof_words(scene, block)], _columns(scene))


def proof_words(scene: Scene, block: Block) -> tuple[str, Style]:
    """What the checks of a block say, in a few words."""
    passed = sum(outcome == "passed" for outcome in block.proof.values())
    missing = [scene.says(name) for name, outcome in block.proof.items() if outcome == "not_computable"]
    if missing:
        return f"{passed} checks, not: {', '.join(missing)}", "warn"
    return f"proven, {passed} checks", "good"
