"""Events decoded a second of processor time, beside eth-abi in the same run: `python -m bench.abi`.

Two events: an ERC-20's transfer, and one with a string. eth-abi gets the same work: each indexed argument from its
topic, the rest from the data. The answers are compared before anything is measured.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from eth_abi.abi import decode, encode

from tidelog.chain.abi.entries import Event
from tidelog.chain.abi.events import EventDecoder, LogDecoder
from tidelog.chain.abi.signatures import parse_event
from tidelog.chain.abi.slices import Log

EVENTS = 100_000
ROUNDS = 5
SIGNATURES = {
    "ERC-20 transfer": "Transfer(address indexed from, address indexed to, uint256 value)",
    "with a string": "NameRegistered(address indexed owner, string name, uint256 expires)",
}


def logs_of(event: Event) -> list[Log]:
    """Different ones, again and again."""
    assert event.topic0 is not None
    logs: list[Log] = []
    for number in range(1000):
        who = number.to_bytes(20, "big").rjust(32, b"\0")
        plain = [parameter.type.name for parameter in event.parameters if not parameter.indexed]
        values = [f"name-{number}.eth" * 2 if name == "string" else number * 10**18 for name in plain]
        second = who if len(event.indexed) > 1 else None
        logs.append((event.topic0, who, second, None, encode(plain, values)))
    return logs * (EVENTS // len(logs))


def by_eth_abi(event: Event) -> Callable[[Log], tuple[Any, ...]]:
    indexed = [[parameter.type.name] for parameter in event.indexed]
    plain = [parameter.type.name for parameter in event.parameters if not parameter.indexed]

    def read(log: Log) -> tuple[Any, ...]:
        topics = [decode(names, topic)[0] for names, topic in zip(indexed, log[1:4], strict=False) if topic is not None]
        return (*topics, *decode(plain, log[4]))

    return read


def rate(work: Callable[[], Sequence[Any]]) -> float:
    """The best of several rounds: other work on the machine only makes it slower."""
    best = 0.0
    for _ in range(ROUNDS):
        begin = time.process_time()
        done = len(work())
        best = max(best, done / (time.process_time() - begin))
    return best


def main() -> None:
    for name, signature in SIGNATURES.items():
        event = parse_event(signature)
        logs = logs_of(event)
        decoder, mixed, read = EventDecoder(event), LogDecoder([event]), by_eth_abi(event)
        few = logs[: EVENTS // 50]
        for log in few[:100]:
            ours = decoder.decode(*log)
            assert isinstance(ours, tuple)
            assert [f"0x{each.hex()}" if isinstance(each, bytes) else each for each in ours] == list(read(log))
        sliced = rate(lambda logs=logs, decoder=decoder: decoder.decode_all(logs))  # type: ignore[misc]
        one = rate(lambda logs=logs, mixed=mixed: [mixed.decode(*log) for log in logs])  # type: ignore[misc]
        slow = rate(lambda few=few, decoder=decoder: [decoder.read(*log) for log in few])  # type: ignore[misc]
        other = rate(lambda few=few, read=read: [read(log) for log in few])  # type: ignore[misc]
        print(
            f"abi, {name}: {sliced:,.0f} events/s decoded together, {one:,.0f} one by one, {slow:,.0f} by the reader "
            f"for any types; eth-abi {other:,.0f}: {sliced / other:.0f} times"
        )


if __name__ == "__main__":
    main()
