"""What a store keeps so that searches look into few segments, judged by its rows: nothing that it has is overlooked.

Read apart from `tidelog.store.fingerprints`, and value by value.
"""

from collections.abc import Iterator

import apsw

from tidelog.sim.oracle.chain import require

PLACES = {  # columns, and where in a value its four bytes are, from its end
    "transactions": (("hash", -4), ("from_address", -8), ("to_address", -15), ("contract_address", -13)),
    "logs": (("address", -12), ("topic0", -10)),
}
PARTS = 256


def fingerprints_find(connection: apsw.Connection, chain_id: int) -> None:
    """Each value of a row is found, in its segment or in that one's section, if the segment says that it has any."""
    sections = {
        (scope, section): (first, parts)
        for scope, section, first, parts in connection.execute("SELECT scope, section, first, parts FROM sections")
    }
    require(all(scope == chain_id and 0 < parts <= PARTS for (scope, _), (_, parts) in sections.items()), "sections")
    numbers = sorted(section for _, section in sections)
    require(numbers == list(range(1, len(numbers) + 1)), "sections are numbered from 1 on")
    own = _kept(connection, "part, segment", "segment_fingerprints", chain_id)
    shared = _kept(connection, "section, bucket", "section_fingerprints", chain_id)
    for segment, state in connection.execute("SELECT segment, fingerprints FROM segments ORDER BY segment"):
        require(state == -1 or state == 0 or (chain_id, state) in sections, f"segment {segment} says what it has")
        if state == -1:
            continue
        first, parts = sections.get((chain_id, state), (0, 0))
        for value in _values(connection, segment):
            kept = own.get((value[0], segment), b"")
            entry = value
            if state > 0 and value[0] < parts:
                kept = shared.get((state, int.from_bytes(value[:2], "big")), b"")
                entry = value[2:] + ((segment - first) % 65_536).to_bytes(2, "big")
            require(entry in _entries(kept), f"segment {segment} has {value.hex()}, and its fingerprints have it not")


def _kept(connection: apsw.Connection, key: str, table: str, chain_id: int) -> dict[tuple[int, int], bytes]:
    found: dict[tuple[int, int], bytes] = {}
    for scope, one, two, packed in connection.execute(f"SELECT scope, {key}, fingerprints FROM {table}"):  # noqa: S608
        require(scope == chain_id and len(packed) % 4 == 0, f"{table} has whole entries of the chain")
        found[one, two] = packed
    return found


def _entries(packed: bytes) -> set[bytes]:
    return {packed[place : place + 4] for place in range(0, len(packed), 4)}


def _values(connection: apsw.Connection, segment: int) -> Iterator[bytes]:
    for table, columns in PLACES.items():
        for column, place in columns:
            query = f"SELECT {column} FROM {table} WHERE segment = ? AND {column} IS NOT NULL"  # noqa: S608
            for (value,) in connection.execute(query, (segment,)):
                yield value[place:][:4]
