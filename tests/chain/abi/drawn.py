"""Types and values that Hypothesis draws, as eth-abi has them, and the same values as tidelog reads them."""

from decimal import Context, Decimal
from typing import Any

from hypothesis import strategies as st

from tidelog.chain.abi.types import Array, Elementary, Kind, Parameter, Tuple, Type, array_of, elementary

NAMES = [
    *("address", "bool", "uint8", "uint112", "uint256", "int8", "int24", "int256"),
    *("bytes1", "bytes4", "bytes32", "function", "fixed168x10", "ufixed128x18"),
]
WORDS = st.sampled_from(NAMES).map(elementary)
TEXTS = st.sampled_from(["string", "bytes"]).map(elementary)
LEAVES: st.SearchStrategy[Type] = WORDS | TEXTS


def _compound(inner: st.SearchStrategy[Type]) -> st.SearchStrategy[Type]:
    arrays = st.builds(array_of, inner, st.none() | st.integers(1, 3))
    tuples = st.lists(inner, min_size=1, max_size=3).map(lambda types: Tuple.of(tuple(parameters(types))))
    return arrays | tuples


TYPES: st.SearchStrategy[Type] = st.recursive(LEAVES, _compound, max_leaves=6)


def parameters(types: list[Type]) -> list[Parameter]:
    return [Parameter("", each) for each in types]


def values_of(given: Type) -> st.SearchStrategy[Any]:
    """Values as eth-abi encodes them."""
    if isinstance(given, Tuple):
        return st.tuples(*(values_of(member.type) for member in given.parameters))
    if isinstance(given, Array):
        least, most = (given.length, given.length) if given.length is not None else (0, 3)
        return st.lists(values_of(given.item), min_size=least, max_size=most).map(tuple)
    return _leaf(given)


def _leaf(given: Elementary) -> st.SearchStrategy[Any]:
    size = given.size
    unsigned = given.kind in (Kind.UINT, Kind.UFIXED)
    low, high = (0, (1 << size) - 1) if unsigned else (-(1 << max(size, 1) - 1), (1 << max(size, 1) - 1) - 1)
    match given.kind:
        case Kind.ADDRESS:
            return st.binary(min_size=20, max_size=20).map(lambda value: f"0x{value.hex()}")
        case Kind.BOOL:
            return st.booleans()
        case Kind.FIXED_BYTES:
            return st.binary(min_size=size, max_size=size)
        case Kind.BYTES:
            return st.binary(max_size=70)
        case Kind.STRING:
            return st.text(st.characters(codec="utf-8"), max_size=30)
        case Kind.UINT | Kind.INT:
            return st.integers(low, high)
        case Kind.UFIXED | Kind.FIXED:
            return st.integers(low, high).map(lambda value: Decimal(value).scaleb(-given.places, Context(prec=100)))


def ours(given: Type, value: Any) -> Any:
    """A value of eth-abi as tidelog has it: an address is bytes."""
    if isinstance(given, Tuple):
        return tuple(ours(member.type, each) for member, each in zip(given.parameters, value, strict=True))
    if isinstance(given, Array):
        return tuple(ours(given.item, each) for each in value)
    return bytes.fromhex(value[2:]) if given.kind is Kind.ADDRESS else value
