"""A block with its transactions and logs, or a transaction; and what a contract's address logged of late. Pure."""

import re
from collections.abc import Iterator

from tidelog.tui import questions
from tidelog.tui.answers import Block, Contracts, Log, Logs, OneBlock, OneTransaction, Transaction, Transactions
from tidelog.tui.decoding import decoded, names_of
from tidelog.tui.figures import age, count, middle
from tidelog.tui.lines import Line, Style, line
from tidelog.tui.place import Place, Target
from tidelog.tui.questions import Question
from tidelog.tui.views.chain import _state
from tidelog.tui.views.scene import Scene
from tidelog.tui.world import World

__all__ = ["asked", "asked_of_address", "draw", "draw_address", "entries", "entries_of_address"]

HASH_CHARS = 66
LONG_HEX = re.compile(r"0x[0-9a-fA-F]{40,64}\b")
ADDRESS_BLOCKS = 1_000  # that are searched for what an address logged
STEP_BLOCKS = 100  # in which that search moves on
WEI_DIGITS = 18


def asked(world: World, place: Place) -> list[Question]:
    """What was searched by its hash may be a block or a transaction: both are asked, until one is there."""
    chain, name = place.target.chain, place.target.block
    if chain is None or name is None:
        return []
    block = questions.block(chain, name)
    asked = [questions.contracts(chain), block]
    if len(name) == HASH_CHARS:
        transaction = questions.transaction(chain, name)
        if not isinstance(world.answer(block), OneBlock):
            asked.append(transaction)
        found = world.answer(transaction)
        if isinstance(found, OneTransaction):
            number = found.data.block_number
            return [*asked, questions.logs(chain, from_block=number, to_block=number)]
        return [*asked, questions.logs(chain, block_hash=name)]
    return [*asked, questions.logs(chain, from_block=int(name), to_block=int(name))] if name.isdecimal() else asked


def _logs_question(world: World, place: Place) -> Question:
    return asked(world, place)[-1]


def entries(world: World, place: Place) -> list[Target]:
    """The lines that the cursor goes through: a transaction, or a log, which leads to its address."""
    chain = place.target.chain
    return [
        Target(chain=chain, block=each.hash)
        if isinstance(each, Transaction)
        else Target(chain=chain, address=each.address)
        for each in _items(world, place)
    ]


def _items(world: World, place: Place) -> list[Transaction | Log]:
    """Each transaction, and behind it its logs."""
    chain, name = place.target.chain, place.target.block
    if chain is None or name is None:
        return []
    block = world.answer(questions.block(chain, name))
    one = world.answer(questions.transaction(chain, name)) if len(name) == HASH_CHARS else None
    transactions: list[Transaction] = []
    if isinstance(block, OneBlock):
        transactions = block.data.transactions or []
    elif isinstance(one, OneTransaction):
        transactions = [one.data]
    found = world.answer(_logs_question(world, place))
    logs = found.data if isinstance(found, Logs) else []
    by_transaction: dict[int, list[Log]] = {}
    for log in logs:
        by_transaction.setdefault(log.tx_index, []).append(log)
    items: list[Transaction | Log] = []
    for transaction in transactions:
        items += [transaction, *by_transaction.pop(transaction.tx_index, [])]
    if not transactions:
        items += logs
    return items


def draw(scene: Scene) -> list[Line]:
    chain, name = scene.place.target.chain, scene.place.target.block
    if chain is None or name is None:
        return [line("no block is chosen: search one by / with its number or its hash")]
    question = questions.block(chain, name)
    found = scene.world.answer(question)
    if isinstance(found, OneBlock):
        head = list(_block_head(scene, found))
    elif isinstance(one := scene.world.answer(questions.transaction(chain, name)), OneTransaction):
        head = [line(("transaction ", "title"), scene.says(name), f" in block {count(one.data.block_number)}")]
    else:
        failing = scene.world.failing.get(question.key)
        words = "no answer yet" if failing is None else scene.says(failing.words)
        return [line((f"{scene.says(name)}  ", "title"), (words, "warn"))]
    return [*head, *_item_lines(scene, _items(scene.world, scene.place), scene.rows - len(head))]


def _block_head(scene: Scene, found: OneBlock) -> Iterator[Line]:
    block = found.data
    depth = "" if found.head is None else f"  {count(found.head.number - block.number)} below the head"
    old_s = scene.now_us / 1e6 - int(block.timestamp)
    final: tuple[str, Style] = ("final", "good") if found.finality == "finalized" else ("a reorg may drop it", "warn")
    yield line((f"block {count(block.number)}  ", "title"), scene.says(block.hash))
    yield line(final, f"{depth}  {age(old_s)} old  parent {middle(scene.says(block.parent_hash), scene.glyphs)}")
    gas = f"gas {count(int(block.gas_used))} of {count(int(block.gas_limit))}"
    base = "" if block.base_fee_per_gas is None else f"  base fee {scene.says(block.base_fee_per_gas)} wei"
    extra = "" if block.extra is None else f"  extra {scene.says(block.extra)}"
    yield line(f"{gas}{base}  by {middle(scene.says(block.miner), scene.glyphs)}{extra}")
    yield line(("checks  ", "title"), *_checks(scene, block))


def _checks(scene: Scene, block: Block) -> Iterator[str | tuple[str, Style]]:
    marks: dict[str, tuple[str, Style]] = {"passed": ("+", "good"), "not_computable": ("?", "warn")}
    for name, outcome in block.proof.items():
        mark, style = marks.get(outcome, ("-", "dim"))
        yield (f"{mark}{scene.says(name)} ", style)


def _item_lines(scene: Scene, items: list[Transaction | Log], room: int) -> Iterator[Line]:
    if not items:
        yield line(("no transactions and no logs", "dim"))
        return
    chain = scene.place.target.chain or 0
    contracts = scene.world.answer(questions.contracts(chain))
    named = contracts.data if isinstance(contracts, Contracts) else []
    names = names_of(named)
    for at in scene.window(len(items), room):
        item = items[at]
        mark, style = (">", "chosen") if at == scene.place.cursor else (" ", "")
        if isinstance(item, Transaction):
            yield line((f"{mark} {_transaction_words(scene, item)}", style))
        else:
            words = decoded(item, named)
            said = f"topics {' '.join(item.topics)} data {item.data}" if words is None else words
            name = names.get(item.address.lower()) or middle(item.address, scene.glyphs)
            yield line(
                (f"{mark}     log {item.log_index} {scene.says(name)} {_shortened(scene, scene.says(said))}", style)
            )


def _shortened(scene: Scene, text: str) -> str:
    """Addresses and hashes in it shortened in their middle."""
    return LONG_HEX.sub(lambda each: middle(each[0], scene.glyphs), text)


def _transaction_words(scene: Scene, transaction: Transaction) -> str:
    short = [middle(each, scene.glyphs) for each in (transaction.hash, transaction.from_address)]
    to = "creates " + (transaction.receipt.contract_address or "?") if transaction.to_address is None else ""
    to = to or middle(transaction.to_address or "", scene.glyphs)
    state = {1: "ok", 0: "FAILED"}.get(-1 if transaction.receipt.status is None else transaction.receipt.status, "")
    value = "" if transaction.value in (None, "0") else f"  {_ether(transaction.value or '0')}"
    extra = "" if transaction.extra is None else f"  extra {transaction.extra}"
    gas = count(int(transaction.receipt.gas_used))
    return scene.says(f"tx {transaction.tx_index} {short[0]} {short[1]} -> {to} {state} gas {gas}{value}{extra}")


def _ether(wei: str) -> str:
    whole, part = wei[:-WEI_DIGITS] or "0", wei[-WEI_DIGITS:].rjust(WEI_DIGITS, "0").rstrip("0")
    return f"{whole}.{part}" if part else whole


def asked_of_address(world: World, place: Place) -> list[Question]:
    """What it logged in the last blocks, and its transactions."""
    chain, address = place.target.chain, place.target.address
    if chain is None or address is None:
        return []
    state = _state(world, chain)
    asked = [questions.address_transactions(chain, address), questions.contracts(chain)]
    if state is not None and state.head is not None and state.checkpoint is not None:
        begin = max(state.checkpoint.first, state.head.number - ADDRESS_BLOCKS) // STEP_BLOCKS * STEP_BLOCKS
        begin = max(begin, state.checkpoint.first)
        question = questions.logs(chain, address=address, from_block=begin, to_block="latest", order="desc")
        asked.append(question._replace(slot=f"logs {chain} {address}"))
    return asked


def _items_of_address(world: World, place: Place) -> list[Transaction | Log]:
    """Its logs and transactions, the newest first."""
    found: list[Transaction | Log] = []
    for question in asked_of_address(world, place):
        answer = world.answer(question)
        if isinstance(answer, Transactions | Logs):
            found += answer.data
    return sorted(
        found,
        key=lambda each: (each.block_number, each.tx_index, -1 if isinstance(each, Transaction) else each.log_index),
        reverse=True,
    )


def entries_of_address(world: World, place: Place) -> list[Target]:
    return [Target(chain=place.target.chain, block=str(each.block_number)) for each in _items_of_address(world, place)]


def draw_address(scene: Scene) -> list[Line]:
    place = scene.place
    if place.target.address is None:
        return [line("no address is chosen: search one by /")]
    items = _items_of_address(scene.world, place)
    head = [
        line(("address ", "title"), scene.says(place.target.address)),
        line((f"its transactions, and what it logged in the last {ADDRESS_BLOCKS} blocks", "dim")),
    ]
    return [*head, *_item_lines(scene, items, scene.rows - len(head))]
