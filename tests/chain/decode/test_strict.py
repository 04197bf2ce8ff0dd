"""JSON-RPC answers: what is of the wrong shape is `Rejected` with the field's path, and nothing else ever escapes."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.chain.answers import Answers, recorded, simulated
from tidelog.chain.blocks import AccessEntry
from tidelog.chain.decode.strict import ReadHeader, decode_block, decode_header, decode_headers, decode_receipts
from tidelog.errors import Rejected

Block: TypeAlias = dict[str, Any]
Receipts: TypeAlias = list[dict[str, Any]]

BLOCK, RECEIPTS = simulated("prague").parsed()
DROP = object()


def of_type(kind: str) -> int:
    """The place of the first transaction of a type."""
    return next(i for i, tx in enumerate(BLOCK["transactions"]) if tx["type"] == kind)


def with_access() -> int:
    return next(i for i, tx in enumerate(BLOCK["transactions"]) if tx.get("accessList") and tx["accessList"][0])


LOGGED = next(i for i, receipt in enumerate(RECEIPTS) if receipt["logs"])


def put(whole: Any, path: str, value: object) -> bytes:
    """The JSON of `whole` with the value at `path` (as `transactions.3.gas`) replaced or dropped."""
    copy = json.loads(json.dumps(whole))
    *keys, last = [int(key) if key.isdecimal() else key for key in path.split(".")]
    holder = copy
    for key in keys:
        holder = holder[key]
    if value is DROP:
        del holder[last]
    else:
        holder[last] = value
    return json.dumps(copy).encode()


def rejection(decode: Callable[[bytes], object], answer: bytes) -> str:
    with pytest.raises(Rejected) as caught:
        decode(answer)
    return str(caught.value)


# -- scalars: what is strict, and what is forgiven -----------------------------------------------------------

QUANTITIES = [  # (text, its value or what is wrong)
    ("0x0", 0),
    ("0x", 0),  # some nodes' zero
    ("0x1f", 31),
    ("0x1F", 31),
    ("0x001f", 31),
    ("0x7fffffffffffffff", 2**63 - 1),
    ("0x8000000000000000", 2**63),
    ("0xffffffffffffffff", 2**64 - 1),
    ("0x10000000000000000", "is beyond 64 bits"),
    ("0x1" + "0" * 64, "is beyond 256 bits"),
    ("0x" + "f" * 100_000, "is beyond 256 bits"),
    ("", "is not"),
    ("1f", "is not"),
    ("31", "is not"),
    ("0X1f", 31),
    ("x1f", "is not"),
    ("0xx1", "is not"),
    ("0x0x1", "is not"),
    ("-0x1", "is not"),
    ("+0x1", "is not"),
    ("0x-1", "is not"),
    (" 0x1", "is not"),
    ("0x1 ", "is not"),
    ("0x1\n", "is not"),
    ("0x1_0", "is not"),
    ("0xg", "is not"),
    ("0x１", "is not"),  # a full-width digit, which int() reads
    ("٠x1", "is not"),
    ("0b1", "is not"),
    (31, 31),  # a JSON number
    (2**53 - 1, 2**53 - 1),
    (2**53, "Expected `str`"),  # a node may have rounded it
    (10**30, "Expected `str`"),
    (-1, "Expected `str`"),
    (1.0, "Expected `str`"),
    (1.5, "Expected `str`"),
    (True, "Expected `str`"),
    (None, "Expected `str`"),
    ([], "Expected `str`"),
    ({}, "Expected `str`"),
]


@pytest.mark.parametrize(("text", "meaning"), QUANTITIES, ids=lambda value: str(value)[:24])
def test_decodes_quantities_of_64_bits_or_refuses_them(text: Any, meaning: int | str) -> None:
    answer = put(BLOCK, "gasUsed", text)
    if isinstance(meaning, int):
        assert decode_header(answer).header.gas_used == meaning
    else:
        error = rejection(decode_header, answer)
        assert meaning in error
        assert "`$.gasUsed`" in error
        assert len(error) < 250


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("0x" + "f" * 64, 2**256 - 1),
        ("0x8000000000000000", 2**63),
        ("0x1" + "0" * 64, "is beyond 256 bits"),
        ("0x", 0),
        ("0x-1", "is not"),
    ],
)
def test_decodes_quantities_of_256_bits_or_refuses_them(text: str, meaning: int | str) -> None:
    place = f"transactions.{of_type('0x2')}.value"
    answer = put(BLOCK, place, text)
    if isinstance(meaning, int):
        assert decode_block(answer).transactions[of_type("0x2")].value == meaning
    else:
        assert f"`$.transactions[{of_type('0x2')}].value`" in rejection(decode_block, answer)


HEX32 = "ab" * 32


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("0x" + HEX32, True),
        ("0x" + HEX32.upper(), True),
        ("0x" + HEX32[:-1], False),
        ("0x" + HEX32[:-2], False),
        ("0x" + HEX32 + "a", False),
        ("0x" + HEX32 + "ab", False),
        (HEX32 + "ab", False),
        ("0X" + HEX32, True),
        ("0x" + HEX32[:-2] + "  ", False),  # fromhex forgives white space
        ("0x" + " " * 4 + HEX32[:-4], False),
        ("0x" + "0x" + HEX32[:-2], False),
        ("0x" + HEX32[:-2] + "0x", False),
        ("0x" + HEX32[:-1] + "g", False),
        ("0x" + HEX32[:-1] + "１", False),
        ("0x", False),
        ("", False),
        (5, False),
    ],
    ids=lambda value: str(value)[-12:],
)
def test_decodes_hashes_or_refuses_them(text: Any, good: bool) -> None:
    answer = put(BLOCK, "stateRoot", text)
    if good:
        assert decode_header(answer).header.state_root == bytes.fromhex(HEX32)
    else:
        assert "`$.stateRoot`" in rejection(decode_header, answer)


@pytest.mark.parametrize("text", ["0x0", "0xa b", "0xab ", " 0xab", "ab", "0x０a", "0xgg", "0", 5, [], False])
def test_decodes_data_or_refuses_it(text: Any) -> None:
    answer = put(BLOCK, "extraData", text)
    assert "`$.extraData`" in rejection(decode_header, answer)


# -- fields: (part, path, value, where the rejection points) ---------------------------------------------------

T0, T1, T2, T3, T4 = (of_type(kind) for kind in ("0x0", "0x1", "0x2", "0x3", "0x4"))


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("number", DROP, "number"),
        ("number", None, "$.number"),
        ("number", "0x8000000000000000", "$.number"),
        ("hash", DROP, "hash"),
        ("miner", "0x" + "00" * 19, "$.miner"),
        ("miner", None, "$.miner"),
        ("logsBloom", "0x" + "00" * 255, "$.logsBloom"),
        ("nonce", "0x0", "$.nonce"),
        ("nonce", "0x" + "0g" * 8, "$.nonce"),
        ("stateRoot", DROP, "stateRoot"),
        ("sha3Uncles", "0x00", "$.sha3Uncles"),
        ("gasUsed", None, "$.gasUsed"),
        ("difficulty", "0x1" + "0" * 64, "$.difficulty"),
        ("timestamp", "0x10000000000000000", "$.timestamp"),
        ("baseFeePerGas", "7", "$.baseFeePerGas"),
        ("blobGasUsed", "0x10000000000000000", "$.blobGasUsed"),
        ("withdrawalsRoot", "0x00", "$.withdrawalsRoot"),
        ("uncles", ["0x00"], "$.uncles[0]"),
        ("uncles", ["0x" + "zz" * 32], ""),
        ("uncles", {}, "$.uncles"),
        ("transactions", DROP, "transactions"),
        ("transactions", None, "Expected `array`"),
        ("transactions", {}, "Expected `array`"),
        ("transactions.0", None, "$[0]"),
        ("transactions.0", "0x" + "00" * 32, "$[0]"),  # hashes only, where whole transactions were asked for
        ("withdrawals", {}, "$.withdrawals"),
        ("withdrawals.0", None, "$.withdrawals[0]"),
        ("withdrawals.0.amount", "0x10000000000000000", "$.withdrawals[0].amount"),
        ("withdrawals.0.amount", DROP, "amount"),
        ("withdrawals.0.address", "0x" + "zz" * 20, "$.withdrawals[0].address"),
        (f"transactions.{T0}.from", DROP, "from"),
        (f"transactions.{T0}.from", None, f"$[{T0}].from"),
        (f"transactions.{T0}.to", "0x00", f"$[{T0}].to"),
        (f"transactions.{T0}.type", "0x100", f"$.transactions[{T0}].type"),
        (f"transactions.{T0}.type", "legacy", f"$.transactions[{T0}].type"),
        (f"transactions.{T0}.gasPrice", DROP, f"type 0 - at `$.transactions[{T0}].gasPrice`"),
        (f"transactions.{T0}.v", None, f"type 0 - at `$.transactions[{T0}].v`"),
        (f"transactions.{T0}.v", "0x10000000000000000", f"$.transactions[{T0}].v"),
        (f"transactions.{T0}.r", "0x1" + "0" * 64, f"$.transactions[{T0}].r"),
        (f"transactions.{T0}.nonce", "0x10000000000000000", f"$.transactions[{T0}].nonce"),
        (f"transactions.{T0}.input", "0x0", f"$.transactions[{T0}].input"),
        (f"transactions.{T1}.chainId", DROP, f"type 1 - at `$.transactions[{T1}].chainId`"),
        (f"transactions.{T2}.maxFeePerGas", DROP, f"type 2 - at `$.transactions[{T2}].maxFeePerGas`"),
        (f"transactions.{T2}.accessList", {}, f"$[{T2}].accessList"),
        (f"transactions.{T2}.accessList", [{"address": "0x"}], f"$[{T2}].accessList[0]"),
        (f"transactions.{T2}.accessList", [{"address": "0x" + "z" * 40, "storageKeys": []}], f"{T2}].accessList"),
        (f"transactions.{T2}.accessList", [{"address": "0x" + "0" * 40, "storageKeys": ["0x" + "z" * 64]}], ".access"),
        (f"transactions.{T3}.to", None, f"type 3 - at `$.transactions[{T3}].to`"),
        (f"transactions.{T3}.blobVersionedHashes", DROP, f"type 3 - at `$.transactions[{T3}].blobVersionedHashes`"),
        (f"transactions.{T3}.blobVersionedHashes", ["0x01"], f"$[{T3}].blobVersionedHashes[0]"),
        (f"transactions.{T4}.authorizationList", DROP, f"type 4 - at `$.transactions[{T4}].authorizationList`"),
        (f"transactions.{T4}.authorizationList.0.r", DROP, f"$[{T4}].authorizationList[0]"),
        (f"transactions.{T4}.authorizationList.0.yParity", DROP, f"$.transactions[{T4}].authorizationList"),
        (f"transactions.{T4}.authorizationList.0.yParity", "", f"$.transactions[{T4}].authorizationList"),
        (f"transactions.{T4}.authorizationList.0.s", "-0x1", f"$.transactions[{T4}].authorizationList"),
    ],
)
def test_refuses_a_block_of_the_wrong_shape(path: str, value: object, where: str) -> None:
    error = rejection(decode_block, put(BLOCK, path, value))
    assert error.startswith("block answer of the wrong shape: ")
    assert where in error


L = LOGGED


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("0", None, "$[0]"),  # one receipt null inside a batch
        ("0.blockHash", DROP, "blockHash"),
        ("0.transactionHash", "0x00", "$[0].transactionHash"),
        ("0.cumulativeGasUsed", DROP, "cumulativeGasUsed"),
        ("0.cumulativeGasUsed", "0x10000000000000000", "$[0].cumulativeGasUsed"),
        ("0.gasUsed", None, "$[0].gasUsed"),
        ("0.status", None, "neither status nor root - at `$[0]`"),
        ("0.status", DROP, "neither status nor root - at `$[0]`"),
        ("0.status", "1", "$[0].status"),
        ("0.status", 1.0, "$[0].status"),
        ("0.root", "0x00", "$[0].root"),
        ("0.type", "0x100", "$[0].type"),
        ("0.logsBloom", "0x00", "$[0].logsBloom"),
        ("0.contractAddress", "0x00", "$[0].contractAddress"),
        (f"{LOGGED}.logs", None, f"$[{LOGGED}].logs"),  # the bloom says that there are some
        ("0.logs", DROP, "logs"),
        (f"{L}.logs.0", None, f"$[{L}].logs[0]"),
        (f"{L}.logs.0.topics", "0x", f"$[{L}].logs[0].topics"),
        (f"{L}.logs.0.topics", ["0x" + "00" * 32] * 5, f"$[{L}].logs[0].topics"),
        (f"{L}.logs.0.topics", ["0x00"], f"$[{L}].logs[0].topics[0]"),
        (f"{L}.logs.0.topics", ["0x" + "zz" * 32], f"$[{L}].logs[0].topics"),
        (f"{L}.logs.0.address", "0x" + "zz" * 20, f"$[{L}].logs[0].address"),
        (f"{L}.logs.0.data", "0xabc", f"$[{L}].logs[0].data"),
        (f"{L}.logs.0.data", DROP, "data"),
        (f"{L}.logs.0.logIndex", "x", f"$[{L}].logs[0].logIndex"),
    ],
)
def test_refuses_receipts_of_the_wrong_shape(path: str, value: object, where: str) -> None:
    error = rejection(decode_receipts, put(RECEIPTS, path, value))
    assert error.startswith("receipts answer of the wrong shape: ")
    assert where in error


@pytest.mark.parametrize("decode", [decode_block, decode_receipts, decode_header])
def test_what_is_no_json_is_said_to_be_none_where_it_ends(decode: Callable[[bytes], object]) -> None:
    long = b'{"number":"0x1","extraData":"0x%s",<html>502 Bad Gateway</html>}' % (b"00" * 400)
    for answer in (long, b"<html>502 Bad Gateway</html>"):
        error = rejection(decode, answer)
        assert " answer is no JSON (JSON is malformed: " in error
        assert "<html>502 Bad Gateway</html>" in error
        assert len(error) < 400
    for answer in (b"", b'{"number":', b"\xff"):
        assert " answer is no JSON (" in rejection(decode, answer)


@pytest.mark.parametrize("answer", [b"", b" ", b"null", b"[]", b"{}", b"5", b'"0x1"', b"\xff", b"{", b"<html>", b"[1]"])
def test_refuses_what_is_no_block_at_all(answer: bytes) -> None:
    rejection(decode_block, answer)
    rejection(decode_header, answer)
    if answer == b"[]":
        assert decode_receipts(answer) == ()
    else:
        rejection(decode_receipts, answer)


@pytest.mark.parametrize("brackets", [b"[" * 100_000, b'{"a":' * 100_000, b'{"transactions":' + b"[" * 100_000])
def test_refuses_deep_nesting(brackets: bytes) -> None:
    for decode in (decode_block, decode_header, decode_receipts):
        rejection(decode, brackets)


def test_refuses_deep_nesting_in_an_unknown_field() -> None:
    whole = json.dumps(BLOCK).encode()
    deep = whole[:-1] + b', "sauce": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    assert "nested too deeply" in rejection(decode_block, deep)


# -- what real nodes leave out, double, or spell otherwise -----------------------------------------------------


def test_reads_a_transaction_without_a_type() -> None:
    answer = put(BLOCK, f"transactions.{T0}.type", DROP)
    assert decode_block(answer).transactions[T0].type == 0
    assert decode_receipts(put(RECEIPTS, f"{T0}.type", DROP))[T0].type is None


@pytest.mark.parametrize(
    ("v", "y_parity", "kept"),
    [
        ("0x1", "0x1", 1),
        ("0x1", DROP, 1),
        (DROP, "0x1", 1),
        ("0x25", "0x0", 0),  # an EIP-155 style v beside the parity
        (None, "0x0", 0),
    ],
)
def test_reads_v_or_the_parity_of_y(v: object, y_parity: object, kept: int) -> None:
    answer = json.loads(put(BLOCK, f"transactions.{T2}.yParity", y_parity))
    assert decode_block(put(answer, f"transactions.{T2}.v", v)).transactions[T2].v == kept


def test_the_parity_of_a_legacy_transaction_is_not_its_v() -> None:
    tx = decode_block(put(BLOCK, f"transactions.{T0}.yParity", "0x1")).transactions[T0]
    assert tx.v == int(BLOCK["transactions"][T0]["v"], 16)


def test_an_authorization_may_call_its_parity_v() -> None:
    path = f"transactions.{T4}.authorizationList.0"
    parity = BLOCK["transactions"][T4]["authorizationList"][0]["yParity"]
    answer = json.loads(put(BLOCK, f"{path}.v", parity))
    entries = decode_block(put(answer, f"{path}.yParity", DROP)).transactions[T4].authorization_list
    assert entries is not None
    assert entries[0].y_parity == int(parity, 16)


def test_storage_keys_may_be_null() -> None:
    at = with_access()
    entry = {"address": "0x" + "11" * 20, "storageKeys": None}
    answer = put(BLOCK, f"transactions.{at}.accessList", [entry])
    assert decode_block(answer).transactions[at].access_list == (AccessEntry(b"\x11" * 20, ()),)


def test_a_root_beside_a_status_is_left_out() -> None:
    receipt = decode_receipts(put(RECEIPTS, "0.root", "0x" + "00" * 32))[0]
    assert (receipt.status is None, receipt.root) == (False, None)


@pytest.mark.parametrize("name", ["blockHash", "blockNumber", "transactionHash", "transactionIndex", "logIndex"])
def test_a_log_may_leave_out_where_it_stands(name: str) -> None:
    assert decode_receipts(put(RECEIPTS, f"{L}.logs.0.{name}", DROP))[L].logs[0]
    assert decode_receipts(put(RECEIPTS, f"{L}.logs.0.{name}", None))[L].logs[0]


@pytest.mark.parametrize("value", [DROP, None, []])
def test_reads_a_block_without_a_list_of_uncles(value: object) -> None:
    assert decode_block(put(BLOCK, "uncles", value)).uncles == ()


def test_no_withdrawals_are_not_an_empty_list_of_them() -> None:
    assert decode_block(put(BLOCK, "withdrawals", DROP)).withdrawals is None
    assert decode_block(put(BLOCK, "withdrawals", [])).withdrawals == ()


def test_a_header_with_the_hashes_of_its_transactions() -> None:
    answer = put(BLOCK, "transactions", ["0x" + "00" * 32])
    assert decode_header(answer).header == decode_block(json.dumps(BLOCK).encode()).header


# -- fields that nobody knows ----------------------------------------------------------------------------------


def test_unknown_fields_of_block_transaction_and_receipt_are_kept_as_they_were_written() -> None:
    text = b'{"z": [1, 2.50, 123456789012345678901234567890, 1e400], "\\u00e9": null}'
    compact = '{"z":[1,2.50,123456789012345678901234567890,1e400],"\\u00e9":null}'

    def with_field(whole: Any, path: str) -> bytes:
        return put(whole, path, "@").replace(b'"@"', text)

    block = decode_block(with_field(BLOCK, "sauce"))
    assert block.extra is not None
    assert '"sauce":' + compact in block.extra
    assert json.loads(block.extra).keys() == {"sauce", "size"}  # geth's own size is not hashed either
    assert decode_block(with_field(BLOCK, "transactions.1.sauce")).transactions[1].extra == '{"sauce":' + compact + "}"
    assert decode_receipts(with_field(RECEIPTS, f"{T0}.sauce"))[T0].extra == '{"sauce":' + compact + "}"


def test_unknown_fields_come_in_one_order() -> None:
    one = decode_block(put(json.loads(put(BLOCK, "b", 1)), "a", 2)).extra
    two = decode_block(put(json.loads(put(BLOCK, "a", 2)), "b", 1)).extra
    assert one == two


def test_unknown_fields_elsewhere_are_ignored() -> None:
    for whole, path, decode in (
        (BLOCK, "withdrawals.0.sauce", decode_block),
        (RECEIPTS, f"{L}.logs.0.removed", decode_receipts),
    ):
        assert decode(put(whole, path, False)) == decode(json.dumps(whole).encode())


# -- nothing but Rejected escapes ------------------------------------------------------------------------------


def small() -> Answers:
    """A block of one transaction of each type, its receipts with one log."""
    block = {**BLOCK, "transactions": [BLOCK["transactions"][i] for i in (T0, T4)]}
    receipts = [{**RECEIPTS[L], "logs": RECEIPTS[L]["logs"][:1]}]
    return Answers(json.dumps(block).encode(), json.dumps(receipts).encode(), 1)


@pytest.mark.parametrize("part", ["block", "receipts"])
def test_every_truncation_is_rejected(part: str) -> None:
    answers = small()
    whole, decode = (answers.block, decode_block) if part == "block" else (answers.receipts, decode_receipts)
    decode(whole)
    for end in range(len(whole)):
        with pytest.raises(Rejected):
            decode(whole[:end])
    for tail in (b"x", b"{}", b"]", b"\x00"):
        with pytest.raises(Rejected):
            decode(whole + tail)


FUZZED = 400  # each takes microseconds


def survives(answer: bytes) -> None:
    for decode in (decode_block, decode_header, decode_receipts):
        with suppress(Rejected):
            decode(answer)


@settings(max_examples=FUZZED)
@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(answer: bytes) -> None:
    survives(answer)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=70) | st.just("0x0"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=FUZZED)
@given(st.data())
def test_any_value_in_any_place_is_decoded_or_refused(data: st.DataObject) -> None:
    answers = small()
    for whole in (json.loads(answers.block), json.loads(answers.receipts)):
        holder = whole
        while True:
            keys = sorted(holder) if isinstance(holder, dict) else range(len(holder))
            key = data.draw(st.sampled_from(keys))
            inner = holder[key]
            if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
                break
            holder = inner
        holder[key] = data.draw(values)
        survives(msgspec.json.encode(whole))


@settings(max_examples=FUZZED)
@given(st.data())
def test_an_answer_with_any_byte_changed_is_decoded_or_refused(data: st.DataObject) -> None:
    answers = small()
    for whole in (answers.block, answers.receipts):
        at = data.draw(st.integers(0, len(whole) - 1))
        size = data.draw(st.integers(0, 4))
        survives(whole[:at] + data.draw(st.binary(max_size=4)) + whole[at + size :])


@pytest.mark.parametrize(("chain", "number"), [("ethereum", 1000000), ("cronos", 10000), ("arbitrum", 150000000)])
def test_recorded_answers_with_bytes_changed_are_decoded_or_refused(shared: Path, chain: str, number: int) -> None:
    answers = recorded(shared, chain, number)
    for whole in (answers.block, answers.receipts):
        for at in range(0, len(whole), max(1, len(whole) // 150)):
            survives(whole[:at] + b"9" + whole[at + 1 :])
            survives(whole[:at] + b'"' + whole[at:])


@pytest.mark.parametrize("folder", ["bittensor-testnet/6646068", "tempo-mainnet/17708868", "stable-testnet/59083166"])
def test_answers_of_chains_with_types_and_shapes_of_their_own(shared: Path, folder: str) -> None:
    for name in ("block", "receipts"):
        survives((shared / "data/evm/rpc" / folder / f"{name}.json").read_bytes())


def test_headers_are_decoded_together_as_each_is_alone() -> None:
    usual = json.dumps(BLOCK).encode()
    later = json.dumps({**BLOCK, "number": "0x7", "gasUsed": "0x12"}).encode()
    odd = json.dumps({**BLOCK, "gasUsed": BLOCK["gasUsed"].upper().replace("X", "x")}).encode()
    short = json.dumps({**BLOCK, "stateRoot": "0x12"}).encode()
    own = json.dumps({**BLOCK, "l1BlockNumber": "0x5"}).encode()
    for answers in ([usual], [usual, later, odd, own], [usual, short, later], [usual, b"null", odd], [b"[["], []):
        alone: list[ReadHeader | None] = []
        for answer in answers:
            try:
                alone.append(decode_header(answer))
            except Rejected:
                alone.append(None)
        assert decode_headers(answers) == alone
