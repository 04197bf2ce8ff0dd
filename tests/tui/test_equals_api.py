"""What is shown equals what the API answers: each figure on a screen is looked up in answers that were read apart."""

import asyncio
import re
from typing import Any

from tests.api.served import CHAIN, Filled, Served
from tests.market.recorded import START_US
from tests.tui.hearing import drawn, heard
from tidelog.cli.top.answers import HttpAnswers
from tidelog.cli.top.inside import store_answers
from tidelog.runtime import SystemRuntime
from tidelog.tui.asking import Reply
from tidelog.tui.place import Place, Target
from tidelog.tui.screen import asked
from tidelog.tui.world import World

NOW_US = START_US + 120_000_000
BTC = Target(chain=1337, recording="kraken", symbol="BTC/USD")


def shown(served: Served, place: Place, columns: int = 200) -> str:
    def ask(path: str, body: bytes | None) -> Reply:
        method = "GET" if body is None else "POST"
        reply = served.ask(method, path, headers={"content-type": "application/json"}, body=body)
        return Reply(reply.status, reply.body)

    return "\n".join(drawn(heard(ask, place, NOW_US), place, NOW_US, columns=columns, rows=100))


def short(text: str) -> str:
    return f"{text[:8]}…{text[-4:]}"


def test_the_overview(served: Served) -> None:
    text = shown(served, Place())
    (chain,) = served.get("/v1/chains").data
    head, final = chain["head"]["number"], chain["checkpoint"]["finalized"]["number"]
    (reorg,) = served.get(f"{CHAIN}/reorgs").data
    (row,) = re.findall(r"^> 1337 (.*)$", text, re.MULTILINE)
    assert row.split() == [str(head), "-", "-", str(final), f"(-{head - final})", "1", "-"]
    said = f"{reorg['depth']} dropped above {reorg['fork_number']}: "
    assert f"{said}{short(reorg['old_head_hash'])} → {short(reorg['new_head_hash'])}" in text
    stats = served.get("/v1/stats").json["recordings"][0]
    markets = served.get("/v1/markets").data
    states = [market["book"]["state"] for market in markets if market["book"]]
    (row,) = re.findall(r"^kraken (.*)$", text, re.MULTILINE)
    assert row.split()[1] == str(stats["trades"])
    assert f"{states.count('proven')} / {states.count('unproven')} / {states.count('gap')}" in row
    for market in markets:
        (row,) = re.findall(rf"^[> ] {market['symbol']} (.*)$", text, re.MULTILINE)
        for channel in ("book", "trades"):
            assert market[channel] is None or market[channel]["state"] in row
    ready = served.get("/readyz").json
    assert ("not healthy" not in text) == ready["ready"]


def test_a_symbol(served: Served) -> None:
    text = shown(served, Place(view="market", target=BTC))
    book = served.get("/v1/markets/BTC-USD/book").json
    data = book["data"]
    assert f"PROVEN to {data['proven_depth']} levels of {data['depth']}" in text
    assert f"as of commit {book['checkpoint']['commit_seq']}" in text
    for side, name in (("asks", "ask"), ("bids", "bid")):
        rows = re.findall(rf"^{name} +(\S+) +(\S+)", text, re.MULTILINE)
        levels = [(level["price"], level["qty"]) for level in data[side]]
        assert rows == (levels[::-1] if side == "asks" else levels)
    trades = served.get("/v1/markets/BTC-USD/trades").data
    told = re.findall(r"\d\d:\d\d:\d\d ([bs])[ !](\S+) (\S+)$", text, re.MULTILINE)
    assert told == [(trade["side"][0], trade["qty"], trade["price"]) for trade in trades]
    gap = max(served.get("/v1/markets/BTC-USD/gaps", order="desc").data, key=lambda gap: gap["opened_at"])
    assert f"({gap['reason']})" in text
    assert ("still missing" in text) == (gap["closed_at"] is None)


def test_the_coverage_strip_says_what_the_coverage_says(served: Served) -> None:
    lines = shown(served, Place(view="market", target=BTC), columns=607).splitlines()  # a column for each second
    seen: set[str] = set()
    for channel in ("book", "trade"):
        strip = next(line for line in lines if line.startswith(f"{channel:7}")).removeprefix(f"{channel:7}")
        intervals = [each for each in served.all("/v1/markets/BTC-USD/coverage") if each["channel"] == channel]
        marks = {"proven": "━", "unproven": "?", "gap": "░"}
        lasting = {marks[each["state"]] for each in intervals if each["until_us"] - each["since_us"] > 2_000_000}
        seen |= lasting
        assert lasting <= set(strip)
        assert set(strip) - {" "} <= {marks[each["state"]] for each in intervals}
    assert seen


def test_candles(served: Served) -> None:
    text = shown(served, Place(view="candles", target=BTC, interval="1m"))
    candles = served.get("/v1/markets/BTC-USD/candles", interval="1m").data
    last = candles[0]
    assert "O {open}  H {high}  L {low}  C {close}".format(**last) in text
    assert text.splitlines()[1].endswith(" ?") != last["complete"]
    unfinished = [candle for candle in candles if not candle["complete"]]
    marks = next(line for line in text.splitlines() if set(line) == {" ", "?"} or set(line) == {"?"})
    assert marks.count("?") == len(unfinished)


def test_a_chain(served: Served) -> None:
    text = shown(served, Place(view="chain", target=BTC))
    changes = served.all(f"{CHAIN}/changes", after=0)
    last = {change["hash"]: change["kind"] for change in changes}
    rows = re.findall(r"^([+>-]) +([\d,]+)  (0x\S+)", text, re.MULTILINE)
    told = {name: mark for mark, _, name in rows}
    assert told == {short(block): "-" if kind == "revert" else told[short(block)] for block, kind in last.items()}
    assert {short(block) for block, kind in last.items() if kind == "revert"} == {
        name for name, mark in told.items() if mark == "-"
    }
    for block in served.all(f"{CHAIN}/blocks"):
        (row,) = [line for line in text.splitlines() if short(block["hash"]) in line and "reorg" not in line]
        assert row.split()[3:5] == [str(block["transaction_count"]), str(block["log_count"])]


def test_a_block(served: Served) -> None:
    found = next(block for block in served.all(f"{CHAIN}/blocks") if block["log_count"] > 1)
    for name in (str(found["number"]), found["hash"]):
        text = shown(served, Place(view="block", target=BTC.with_(Target(block=name))))
        assert found["hash"] in text
        checks = {"passed": "+", "not_computable": "?", "not_applicable": "-"}
        for check, outcome in found["proof"].items():
            assert f"{checks[outcome]}{check}" in text.split()
        transactions = served.get(f"{CHAIN}/blocks/{name}", transactions="full").data["transactions"]
        told = re.findall(r"^[> ] tx (\d+) (0x\S+) ", text, re.MULTILINE)
        assert told == [(str(each["tx_index"]), short(each["hash"])) for each in transactions]
        assert len(re.findall(r"^[> ]     log \d+ ", text, re.MULTILINE)) == found["log_count"]
    one = transactions[0]["hash"]
    text = shown(served, Place(view="block", target=BTC.with_(Target(block=one))))
    assert f"transaction {one} in block {found['number']:,}" in text


def test_an_address(served: Served) -> None:
    block = served.get(f"{CHAIN}/blocks", order="desc").data[0]
    transactions = served.get(f"{CHAIN}/blocks/{block['number'] - 1}", transactions="full").data["transactions"]
    address = transactions[0]["from_address"]
    text = shown(served, Place(view="address", target=BTC.with_(Target(address=address))))
    found = served.all(f"{CHAIN}/addresses/{address}/transactions")
    assert re.findall(r"^[> ] tx \d+ (0x\S+) ", text, re.MULTILINE) == [short(each["hash"]) for each in found]


def test_what_is_not_there_is_told(served: Served) -> None:
    text = shown(served, Place(view="block", target=BTC.with_(Target(block="99999999"))))
    assert "99999999" in text
    assert "(404)" in text


def test_a_store_answers_as_its_api(small: Filled, served: Served) -> None:
    """`--db` reads by the same routes, without a server."""
    questions: dict[str, Any] = {}
    for view in ("overview", "market", "candles", "chain", "block", "address"):
        target = BTC.with_(Target(block="7", address="0x" + "1" * 40))
        for question in asked(World(), Place(view=view, target=target), NOW_US):
            questions[question.key] = question

    async def both() -> None:
        http = HttpAnswers(f"http://{served.server.host}:{served.server.port}", None)
        try:
            async with store_answers(small.url, (), SystemRuntime()) as inside:
                for question in questions.values():
                    one = await http.ask(question.path, question.body, 240.0)
                    other = await inside.ask(question.path, question.body, 240.0)
                    assert one.status == other.status, question
                    if not question.path.startswith("/metrics") and "/book" not in question.path:  # ages
                        assert one.body == other.body, question
        finally:
            await http.close()

    asyncio.run(both())
    assert len(questions) > 12
