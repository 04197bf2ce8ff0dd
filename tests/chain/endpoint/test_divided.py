"""The answer to a batch, as the compiled core divides it: the parts that Python finds, or none at all."""

import json
import random
from typing import Any

import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from tests.chain.native import needs_core
from tidelog.chain.decode.strict import decode_block
from tidelog.chain.endpoint import jsonrpc
from tidelog.chain.endpoint.jsonrpc import Call
from tidelog.errors import Rejected, SourceError

pytestmark = needs_core

FORMS = (
    '{{"jsonrpc":"2.0","id":{id},"result":{result}}}',
    '{{"id":{id},"jsonrpc":"2.0","result":{result}}}',
    '{{"jsonrpc":"2.0","result":{result},"id":{id}}}',
)
BLOCK = {"hash": "0x01", "transactions": [{"hash": "0x02", "accessList": []}], "withdrawals": []}
SCALARS = st.none() | st.booleans() | st.integers() | st.text(alphabet='0x"\\{}[],:é ', max_size=6) | st.just("jsonrpc")
RESULTS = st.recursive(
    st.just(BLOCK) | SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab{"), inner, max_size=3),
    max_leaves=6,
)


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def batch(results: list[Any], form: str, order: list[int]) -> bytes:
    return f"[{','.join(form.format(id=i + 1, result=compact(results[i])) for i in order)}]".encode()


def in_python(body: bytes, count: int, monkeypatch: pytest.MonkeyPatch) -> list[bytes] | None:
    """The parts as Python finds them; None where it finds an error, or none at all."""
    with monkeypatch.context() as patch:
        patch.setattr(jsonrpc, "_divided", lambda body, count: None)
        try:
            found = jsonrpc.decode(body, [Call("eth_call")] * count)
        except SourceError:
            return None
    return (
        None
        if any(isinstance(each, SourceError) for each in found)
        else [each for each in found if isinstance(each, bytes)]
    )


def divided(body: bytes, count: int) -> list[bytes] | None:
    parts = jsonrpc._divided(body, count)
    return None if parts is None else [part for part in parts if isinstance(part, bytes)]


def is_json(part: bytes) -> bool:
    try:
        jsonrpc._answers(b'{"id":1,"result":' + part + b"}")
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("form", FORMS)
def test_a_part_that_is_no_json_is_said_to_be_none_on_either_path(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    body = batch([BLOCK, {"number": "WORDS"}], form, [0, 1]).replace(b'"WORDS"', b"<html>502 Bad Gateway</html>")
    calls = [Call("eth_getBlockByNumber")] * 2
    _, part = jsonrpc.decode(body, calls)
    assert isinstance(part, bytes)
    with pytest.raises(Rejected, match=r"^block answer is no JSON \(.*<html>502 Bad Gateway</html>"):
        decode_block(part)
    monkeypatch.setattr(jsonrpc, "_divided", lambda body, count: None)
    with pytest.raises(Rejected, match=r"^no JSON-RPC answer \(.*<html>502 Bad Gateway</html>"):
        jsonrpc.decode(body, calls)


@pytest.mark.parametrize("form", FORMS)
def test_the_usual_forms_are_divided(form: str) -> None:
    results: list[Any] = [BLOCK, [BLOCK, BLOCK], None, "0x1"]
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        assert divided(batch(results, form, order), 4) == [compact(result).encode() for result in results]


@pytest.mark.parametrize("body", [b'{"jsonrpc":"2.0","id":1,"result":{}}', b"", b"[]", b"null"])
def test_one_answer_alone_is_left_to_python(body: bytes) -> None:
    assert divided(body, 1) is None


@example(results=[BLOCK, {"a": [{"jsonrpc": "2.0", "id": 2, "result": {}}]}], form=FORMS[0], seed=0, changes=0)
@example(results=[{}, {}], form='{{"jsonrpc":"2.0","id":{id},"result":{result},"more":{{}}}}', seed=0, changes=0)
@given(
    results=st.lists(RESULTS, min_size=2, max_size=4),
    form=st.sampled_from(FORMS),
    seed=st.integers(0, 2**32),
    changes=st.integers(0, 2),
)
def test_what_is_divided_python_divides_alike(results: list[Any], form: str, seed: int, changes: int) -> None:
    """Whatever the results are, and whatever is changed: of a body that is no JSON, a part is none either."""
    rng = random.Random(seed)
    body = bytearray(batch(results, form, rng.sample(range(len(results)), len(results))))
    for _ in range(changes):
        place = rng.randrange(len(body))
        body[place : place + rng.choice((0, 1, 1))] = rng.choice((b"", b"{", b"}", b"[", b"]", b'"', b",", b"1", b"\\"))
    parts = divided(bytes(body), len(results))
    event("divided" if parts is not None else "left to Python")
    if parts is None:
        return
    with pytest.MonkeyPatch.context() as patch:
        theirs = in_python(bytes(body), len(results), patch)
    assert parts == theirs or (theirs is None and not all(map(is_json, parts)))
