"""The calls of one question, in parts that are sent together."""

from tidelog.chain.endpoint.asking import Asking
from tidelog.chain.endpoint.jsonrpc import Call
from tidelog.errors import Unsupported

CALLS = [Call(method, (number,)) for number in range(3) for method in ("a", "b")]


def test_a_part_is_divided_by_method_then_halved() -> None:
    asking = Asking(CALLS)
    asking.divide(asking.next_part(6))
    first, second = asking.next_part(6), asking.next_part(6)
    assert [[CALLS[place].method for place in part] for part in (first, second)] == [["a"] * 3, ["b"] * 3]
    asking.divide(second)
    assert [list(asking.next_part(6)) for _ in range(2)] == [[1], [3, 5]]
    assert not asking.waiting


def test_a_method_that_is_refused_alone_is_refused_for_all_that_wait() -> None:
    asking, error = Asking(CALLS), Unsupported("no such method")
    assert list(asking.next_part(2)) == [0, 1]
    asking.refuse_method(1, error)
    assert list(asking.next_part(6)) == [2, 4]
    assert not asking.waiting
    for place in (0, 2, 4):
        asking.found(place, b"1")
    assert asking.results() == [b"1", error] * 3
