"""What the API says of a chain, against the node that it came from; how final; what is refused, and how."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.api import stored
from tests.api.served import BLOCKS, CHAIN, Filled, Reply, Served, sqlite_url
from tests.chain.answers import answers_of, proven
from tests.sim.asking import ask
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store

HEAD = BLOCKS + 1  # after the reorg of two blocks by three
FINALIZED = HEAD - 8


def asked(full: Filled, method: str, *params: object) -> Any:
    return ask(full.node, method, *params)


def decimal(quantity: str | None) -> str | None:
    return None if quantity is None else str(int(quantity, 16))


class TestBlocks:
    def test_a_block_is_as_the_node_has_it(self, api: Served, full: Filled) -> None:
        for number in (0, 7, HEAD):
            told = asked(full, "eth_getBlockByNumber", hex(number), False)
            block = api.get(f"{CHAIN}/blocks/{number}", transactions="hashes").data
            plain = {
                "hash": "hash",
                "parent_hash": "parentHash",
                "ommers_hash": "sha3Uncles",
                "miner": "miner",
                "state_root": "stateRoot",
                "transactions_root": "transactionsRoot",
                "receipts_root": "receiptsRoot",
                "logs_bloom": "logsBloom",
                "extra_data": "extraData",
                "mix_hash": "mixHash",
                "nonce": "nonce",
                "withdrawals_root": "withdrawalsRoot",
                "parent_beacon_block_root": "parentBeaconBlockRoot",
                "requests_hash": "requestsHash",
                "transaction_hashes": "transactions",
                "uncles": "uncles",
            }
            assert {name: block[name] for name in plain} == {name: told.get(key) for name, key in plain.items()}
            numbers = {"number": "number", "gas_limit": "gasLimit", "gas_used": "gasUsed", "timestamp": "timestamp"}
            assert {name: block[name] for name in numbers} == {n: int(told[key], 16) for n, key in numbers.items()}
            assert block["difficulty"] == decimal(told["difficulty"])
            assert block["base_fee_per_gas"] == decimal(told["baseFeePerGas"])
            assert block["proof"]["transactions"] == "passed"
            assert [w["amount_gwei"] for w in block["withdrawals"]] == [
                int(w["amount"], 16) for w in told["withdrawals"]
            ]

    def test_a_block_is_found_by_number_hash_and_tag(self, api: Served, full: Filled) -> None:
        for name, number in (("latest", HEAD), ("finalized", FINALIZED), ("safe", FINALIZED), ("5", 5)):
            block = api.get(f"{CHAIN}/blocks/{name}").data
            assert block["number"] == number
            assert api.get(f"{CHAIN}/blocks/{block['hash']}").data == block

    def test_full_transactions_carry_their_receipts(self, api: Served, full: Filled) -> None:
        block = api.get(f"{CHAIN}/blocks/latest", transactions="full").data
        told = asked(full, "eth_getBlockReceipts", hex(HEAD))
        assert block["transaction_count"] == len(block["transactions"]) == len(told)
        for transaction, receipt in zip(block["transactions"], told, strict=True):
            assert transaction["hash"] == receipt["transactionHash"]
            assert transaction["receipt"]["gas_used"] == int(receipt["gasUsed"], 16)
            assert transaction["receipt"]["status"] == int(receipt["status"], 16)

    def test_blocks_are_listed_once_in_either_order(self, api: Served) -> None:
        down = api.pages(f"{CHAIN}/blocks", limit=9)
        assert [len(page) for page in down] == [9, 9, 9, 9, 6]
        numbers = [block["number"] for page in down for block in page]
        assert numbers == list(range(HEAD, -1, -1))
        up = api.all(f"{CHAIN}/blocks", limit=9, order="asc")
        assert [block["number"] for block in up] == numbers[::-1]
        assert [b["number"] for b in api.all(f"{CHAIN}/blocks", limit=2, from_=3, to=7)] == [7, 6, 5, 4, 3]


class TestTransactions:
    def test_transactions_of_every_type_are_as_the_node_has_them(self, api: Served, full: Filled) -> None:
        seen = set()
        for number in range(1, HEAD + 1):
            for told in asked(full, "eth_getBlockByNumber", hex(number), True)["transactions"]:
                if told["type"] in seen:
                    continue
                seen.add(told["type"])
                found = api.get(f"{CHAIN}/transactions/{told['hash']}").data
                receipt = asked(full, "eth_getTransactionReceipt", told["hash"])
                plain = {"hash": "hash", "from_address": "from", "to_address": "to", "input": "input"}
                assert {name: found[name] for name in plain} == {name: told[key] for name, key in plain.items()}
                assert (found["value"], found["nonce"]) == (decimal(told["value"]), int(told["nonce"], 16))
                assert found["max_fee_per_gas"] == decimal(told.get("maxFeePerGas"))
                entries = [(e["address"], e["storageKeys"]) for e in told.get("accessList") or ()]
                assert [(e["address"], e["storage_keys"]) for e in found["access_list"] or ()] == entries
                signed = [item["address"] for item in told.get("authorizationList") or ()]
                assert [item["address"] for item in found["authorization_list"] or ()] == signed
                assert (found["blob_versioned_hashes"] or []) == (told.get("blobVersionedHashes") or [])
                assert found["receipt"]["effective_gas_price"] == decimal(receipt["effectiveGasPrice"])
                assert [(log["address"], log["topics"], log["data"]) for log in found["logs"]] == [
                    (log["address"], log["topics"], log["data"]) for log in receipt["logs"]
                ]
        assert seen == {"0x0", "0x1", "0x2", "0x3", "0x4"}

    async def test_a_hash_in_two_blocks_is_the_later_ones_and_names_the_earlier(
        self, tmp_path: Path, shared: Path
    ) -> None:
        """A chain that takes a transaction in twice (Aurora). A node's index of hashes has the later block."""
        lines = (shared / "cases" / "chain" / "dup.jsonl").read_text().splitlines()
        given = [answers_of(case["block"], case["receipts"], 1) for case in map(json.loads, lines)]
        rows = {block.number: block for block in (proven(answers)[0] for answers in given)}
        tx_hash = "0x6cef089801e89107d5a2002c7b39bfab1be00217fc76e9e49bdb4c9206c4f1cf"
        url = sqlite_url(tmp_path)
        store = await open_store(url, SystemRuntime())
        await stored.fill(store, 19, 23, rows=rows, finalized=21)
        await store.close()
        path = f"/v1/chains/1/transactions/{tx_hash}"
        with Served(url) as api:
            latest, final = api.get(path), api.get(path, at_most="finalized")
            call = {"jsonrpc": "2.0", "id": 1, "method": "eth_getTransactionByHash", "params": [tx_hash]}
            node = api.post("/rpc/1", call).json["result"]
        assert (latest.data["block_number"], latest.json["also_at"]) == (22, [{"block_number": 20, "tx_index": 0}])
        assert node["blockNumber"] == hex(22)
        assert (final.data["block_number"], final.json["also_at"]) == (20, [])
        assert len(final.data["logs"]) == 1

    def test_transactions_of_an_address_are_listed_once_in_either_order(self, api: Served, full: Filled) -> None:
        every = [
            told
            for number in range(HEAD + 1)
            for told in asked(full, "eth_getBlockByNumber", hex(number), True)["transactions"]
        ]

        def created(told: Any) -> Any:
            return asked(full, "eth_getTransactionReceipt", told["hash"])["contractAddress"]

        made = next(found for told in every if (found := created(told)) is not None)
        for address in {made, every[0]["from"], every[3]["to"], every[-1]["from"]} - {None}:
            wanted = [told["hash"] for told in every if address in (told["from"], told["to"], created(told))]
            path = f"{CHAIN}/addresses/{address}/transactions"
            assert [found["hash"] for found in api.all(path, limit=2, order="asc")] == wanted
            assert [found["hash"] for found in api.all(path, limit=3)] == wanted[::-1]
            upper = f"{CHAIN}/addresses/0x{address[2:].upper()}/transactions"
            assert [found["hash"] for found in api.all(upper)] == wanted[::-1]


class TestLogs:
    def of(self, full: Filled, **given: object) -> list[tuple[str, str, str]]:
        found = asked(full, "eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest", **given})
        return [(log["blockHash"], log["transactionHash"], log["logIndex"]) for log in found]

    def search(self, api: Served, **given: object) -> list[tuple[str, str, str]]:
        found: list[Any] = []
        cursor = None
        while True:
            reply = api.post(f"{CHAIN}/logs", {"from_block": 0, "limit": 7, "cursor": cursor, **given})
            found += reply.data
            cursor = reply.json["next"]
            if cursor is None:
                return [(log["block_hash"], log["transaction_hash"], hex(log["log_index"])) for log in found]

    def test_every_form_of_a_filter_means_what_the_node_means(self, api: Served, full: Filled) -> None:
        logs = asked(full, "eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"})
        first, other = logs[0], next(log for log in logs if log["address"] != logs[0]["address"])
        long = next(log for log in logs if len(log["topics"]) > 2)
        forms: list[dict[str, Any]] = [
            {},
            {"address": first["address"]},
            {"address": [first["address"], other["address"]]},
            {"address": []},
            {"topics": [first["topics"][0]]},
            {"topics": [[first["topics"][0], other["topics"][0]]]},
            {"topics": [None, long["topics"][1]]},
            {"topics": [None, [long["topics"][1]], long["topics"][2]]},
            {"topics": []},
            {"address": long["address"], "topics": [long["topics"][0], None]},
            {"address": first["address"], "topics": [other["topics"][0]]},
        ]
        for form in forms:
            assert self.search(api, **form) == self.of(full, **form), form

    def test_an_empty_list_of_topics_is_any_topic(self, api: Served) -> None:
        """As go-ethereum has it, where every topic that is asked for has to be there."""
        logs = api.post(f"{CHAIN}/logs", {"from_block": 0, "limit": 1_000}).data
        for least in (1, 2, 4):
            found = api.post(f"{CHAIN}/logs", {"from_block": 0, "limit": 1_000, "topics": [[]] * least}).data
            assert found == [log for log in logs if len(log["topics"]) >= least]

    def test_log_searches_by_range_block_and_order(self, api: Served, full: Filled) -> None:
        every = self.of(full)
        assert self.search(api, order="desc") == every[::-1]
        block = next(b for n in range(HEAD) if (b := api.get(f"{CHAIN}/blocks/{n}").data)["log_count"])
        wanted = [log for log in every if log[0] == block["hash"]]
        assert self.search(api, from_block=None, block_hash=block["hash"]) == wanted
        assert self.search(api, from_block=block["number"], to_block=block["number"]) == wanted
        latest = api.post(f"{CHAIN}/logs", {}).data  # as eth_getLogs: the latest block
        assert {log["block_number"] for log in latest} <= {HEAD}
        plain = api.post(f"{CHAIN}/logs", {"from_block": 0, "hashes": False}).data
        assert "block_hash" not in plain[0]

    @pytest.mark.parametrize(
        ("given", "status", "said"),
        [
            ({"from_block": 9, "to_block": 3}, 400, "is above to_block"),
            ({"block_hash": "0x" + "00" * 32}, 404, "no such block"),
            ({"block_hash": "0x" + "00" * 32, "from_block": 1}, 400, "one or the other"),
            ({"address": ["0x" + "00" * 20] * 101}, 400, "at most 100"),
            ({"topics": [["0x" + "00" * 32] * 101]}, 400, "topics[0]: 101"),
            ({"topics": [None] * 5}, 400, "topics"),
            ({"address": "0x12"}, 400, "address"),
            ({"fromBlock": 1}, 400, "unknown field `fromBlock`"),
            ({"from_block": "5"}, 400, "from_block"),
            ({"hashes": 0}, 400, "hashes"),
            ({"limit": 1_001}, 400, "the most of one answer"),
            ([], 400, "body"),
        ],
    )
    def test_rejects_log_filters_that_cannot_be_meant(self, api: Served, given: object, status: int, said: str) -> None:
        reply = api.post(f"{CHAIN}/logs", given)
        assert reply.status == status, reply
        assert said in reply.error


class TestFinality:
    def test_every_answer_says_how_far_the_store_is(self, api: Served, full: Filled) -> None:
        head = asked(full, "eth_getBlockByNumber", "latest", False)["hash"]
        paths = ("blocks", "blocks/3", "changes", "reorgs", f"addresses/0x{'00' * 20}/transactions")
        replies = [api.get(f"{CHAIN}/{path}") for path in paths] + [api.post(f"{CHAIN}/logs", {})]
        for reply in replies:
            assert reply.json["head"] == {"number": HEAD, "hash": head}
            assert reply.json["checkpoint"]["finalized"]["number"] == FINALIZED
            assert reply.json["checkpoint"]["commit_seq"] > 0

    @pytest.mark.parametrize(
        ("block", "finality"),
        [(str(FINALIZED), "finalized"), (str(FINALIZED + 1), "unfinalized"), ("latest", "unfinalized")],
    )
    def test_the_finality_of_a_block(self, api: Served, block: str, finality: str) -> None:
        assert api.get(f"{CHAIN}/blocks/{block}").json["finality"] == finality

    @pytest.mark.parametrize(
        ("query", "finality"),
        [
            ({"to": FINALIZED}, "finalized"),
            ({"at_most": "finalized"}, "finalized"),
            ({"at_most": "safe"}, "finalized"),
            ({"to": FINALIZED + 1}, "unfinalized"),
            ({"order": "asc", "limit": 3}, "finalized"),
            ({"order": "asc"}, "unfinalized"),
        ],
    )
    def test_the_finality_of_a_list(self, api: Served, query: dict[str, Any], finality: str) -> None:
        assert api.get(f"{CHAIN}/blocks", **query).json["finality"] == finality

    def test_at_most_bounds_all_that_is_shown(self, api: Served, full: Filled) -> None:
        late = asked(full, "eth_getBlockByNumber", hex(HEAD), False)
        for path in (f"blocks/{HEAD}", f"blocks/{late['hash']}", f"transactions/{late['transactions'][0]}"):
            assert api.get(f"{CHAIN}/{path}").status == 200
            assert api.get(f"{CHAIN}/{path}", at_most="finalized").status == 404
        assert api.get(f"{CHAIN}/blocks/latest", at_most="finalized").data["number"] == FINALIZED
        assert api.get(f"{CHAIN}/blocks", at_most="finalized").data[0]["number"] == FINALIZED
        logs = api.post(f"{CHAIN}/logs", {"from_block": 0, "at_most": "finalized"}).data
        assert max(log["block_number"] for log in logs) <= FINALIZED


class TestCaching:
    def again(self, api: Served, path: str, tag: str) -> Reply:
        return api.ask("GET", path, headers={"if-none-match": tag})

    def test_final_answers_may_be_cached(self, api: Served) -> None:
        for path, kept in (
            (f"{CHAIN}/blocks/3", "immutable"),
            (f"{CHAIN}/blocks/finalized", "no-cache"),  # what the tag names moves on
            (f"{CHAIN}/blocks?to=9", "no-cache"),  # a backfill may add to it
        ):
            first = api.get(path)
            assert kept in first.headers["cache-control"]
            tag = first.headers["etag"]
            for shown in (tag, f'"other", {tag}', tag.removeprefix("W/"), "*"):
                reply = self.again(api, path, shown)
                assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", tag)
            assert self.again(api, path, 'W/"other"').status == 200

    def test_unfinalized_answers_may_not_be_cached(self, api: Served) -> None:
        for path in ("blocks/latest", f"blocks/{HEAD}", "blocks", "changes", "reorgs"):
            reply = api.get(f"{CHAIN}/{path}")
            assert reply.headers["cache-control"] == "no-store"
            assert "etag" not in reply.headers


class TestOutbox:
    def test_changes_lead_to_the_canonical_chain(self, api: Served, full: Filled) -> None:
        applied: list[str] = []
        changes = api.all(f"{CHAIN}/changes", limit=10)
        for change in changes:
            if change["kind"] == "apply":
                applied.append(change["hash"])
            else:
                assert applied.pop() == change["hash"]
        assert [change["seq"] for change in changes] == list(range(1, len(changes) + 1))
        assert applied == [asked(full, "eth_getBlockByNumber", hex(n), False)["hash"] for n in range(HEAD + 1)]
        assert api.get(f"{CHAIN}/changes", after=5).data == changes[5:]
        assert api.get(f"{CHAIN}/changes", after=len(changes)).data == []

    def test_reorgs_are_listed(self, api: Served) -> None:
        (reorg,) = api.get(f"{CHAIN}/reorgs").data
        assert (reorg["fork_number"], reorg["depth"], reorg["reason"]) == (BLOCKS - 2, 2, "reorg")
        assert (reorg["old_head"], reorg["new_head"]) == (BLOCKS, HEAD)


def test_chains_and_stats(api: Served, full: Filled) -> None:
    (chain,) = api.get("/v1/chains").data
    assert (chain["chain_id"], chain["profile"], chain["head"]["number"]) == (1337, "anvil", HEAD)
    stats = api.get("/v1/stats").json
    (counts,) = stats["chains"]
    assert (counts["blocks"], counts["head"]["number"]) == (HEAD + 1, HEAD)
    told = [asked(full, "eth_getBlockByNumber", hex(number), False) for number in range(HEAD + 1)]
    assert counts["transactions"] == sum(len(block["transactions"]) for block in told)
    assert counts["logs"] == len(asked(full, "eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"}))
    (recording,) = stats["recordings"]
    assert (recording["recording"], recording["symbols"], recording["trades"]) == ("kraken", 2, 6)


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/v1/chains/1/blocks", 404, "no chain 1"),
        ("/v1/chains/x/blocks", 400, "chain: give a whole number"),
        (f"/v1/chains/{2**63}/blocks", 400, "chain"),
        (f"{CHAIN}/blocks/{HEAD + 1}", 404, f"blocks 0 to {HEAD}"),
        (f"{CHAIN}/blocks/9999999999999999999", 404, "no block"),
        (f"{CHAIN}/blocks/pending", 400, "block: this is not what it has to be: a number, a hash, or latest"),
        (f"{CHAIN}/blocks/0x{'00' * 32}", 404, "no block 0x"),
        (f"{CHAIN}/blocks?limits=1", 400, "did you mean 'limit'?"),
        (f"{CHAIN}/blocks?limit=0", 400, "limit"),
        (f"{CHAIN}/blocks?limit=1001", 400, "the most of one answer, 1000"),
        (f"{CHAIN}/blocks?limit=1_0", 400, "limit"),
        (f"{CHAIN}/blocks?limit=null", 400, "limit"),
        (f"{CHAIN}/blocks?to=", 400, "to"),
        (f"{CHAIN}/blocks?limit=1&limit=1", 400, "twice"),
        (f"{CHAIN}/blocks?from=-1", 400, "from"),
        (f"{CHAIN}/blocks?order=up", 400, "order"),
        (f"{CHAIN}/blocks?at_most=earliest", 400, "at_most"),
        (f"{CHAIN}/blocks?cursor=AAAA", 400, "no cursor of this list"),
        (f"{CHAIN}/blocks?%ff=1", 400, "cannot be read"),
        (f"{CHAIN}/blocks?" + "&".join(f"a{i}=1" for i in range(40)), 400, "32 fields"),
        (f"{CHAIN}/blocks?a={'1' * 9_000}", 400, "8192 bytes"),
        (f"{CHAIN}/changes?after=1&cursor=AAAA", 400, "one of them"),
        (f"{CHAIN}/transactions/0x12", 400, "tx_hash: this is not what it has to be: a hash: 32 bytes"),
        (f"{CHAIN}/transactions/0x{'00' * 32}", 404, "no transaction"),
        (f"{CHAIN}/addresses/0x12/transactions", 400, "address"),
        ("/v1/nothing", 404, "no such route"),
        ("/", 404, "no such route"),
    ],
)
def test_chain_routes_refuse_mistakes_in_one_sentence(api: Served, path: str, status: int, said: str) -> None:
    reply = api.get(path)
    assert reply.status == status, reply
    assert said in reply.error


def test_methods_and_media_types(api: Served) -> None:
    reply = api.ask("DELETE", f"{CHAIN}/blocks")
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert reply.error
    for accept, status in (("application/json", 200), ("text/html, */*;q=0.1", 200), ("text/html", 406)):
        assert api.ask("GET", "/v1/chains", headers={"accept": accept}).status == status
    for given, status in (("application/json; charset=utf-8", 200), ("text/plain", 415), ("", 415)):
        assert api.ask("POST", f"{CHAIN}/logs", headers={"content-type": given}, body=b"{}").status == status
    plain = {"content-type": "application/json", "content-encoding": "identity"}
    assert api.ask("POST", f"{CHAIN}/logs", headers=plain, body=b"{}").status == 200
    for path in (f"{CHAIN}/logs", "/rpc/1"):
        headers = {"content-type": "application/json", "content-encoding": "gzip"}
        reply = api.ask("POST", path, headers=headers, body=gzip.compress(b"{}"))
        assert (reply.status, reply.headers["accept-encoding"]) == (415, "identity")
        assert "not compressed" in reply.error
    for body in (b"[" * 5_000, b'{"topics": ' + b"[" * 5_000, b"{", b"null", b"\xff", b'{"limit": 1e400}'):
        reply = api.ask("POST", f"{CHAIN}/logs", headers={"content-type": "application/json"}, body=body)
        assert reply.status == 400
        assert reply.error
    assert "body" in api.ask("POST", f"{CHAIN}/logs", headers={"content-type": "application/json"}, body=b"").error
    assert api.post(f"{CHAIN}/logs", {"from_block": "0x1"}).error == (
        "body: from_block: '0x1' is not among what it may be; a number has no quotes, and is decimal"
    )
    large = api.ask("POST", f"{CHAIN}/logs", headers={"content-type": "application/json"}, body=b" " * 300_000)
    assert (large.status, large.error) == (413, "the body is longer than 262144 bytes")
