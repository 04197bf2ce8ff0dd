"""Numbered SQL files, and which of them a store still needs. Reads package files, never a database."""

import hashlib
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from msgspec import Struct

from tidelog.errors import ConfigError, Corruption

__all__ = ["Migration", "Record", "Schema", "pending", "schema", "shipped"]


class Migration(Struct, frozen=True):
    """One SQL file, `NNNN_name.sql`: never edited once it was released."""

    number: int
    name: str
    sha256: str  # of the file, hex
    sql: str


class Schema(Struct, frozen=True):
    """What the migrations up to this number make of an empty store, in one step: the file `schema_NNNN.sql`."""

    number: int
    sql: str


class Record(Struct, frozen=True):
    """What a store's `migrations` table says about one that was applied."""

    name: str
    sha256: str


def shipped(package: str) -> tuple[Migration, ...]:
    """The migrations in a package's `migrations` folder, in order; their numbers run from 1 without a gap."""
    found = []
    # by path: `importlib.resources` takes as long to import as a store to open
    for entry in Path(import_module(package).__path__[0]).joinpath("migrations").glob("*.sql"):
        number, _, name = entry.stem.partition("_")
        content = entry.read_bytes()
        found.append(Migration(int(number), name, hashlib.sha256(content).hexdigest(), content.decode()))
    found.sort(key=lambda migration: migration.number)
    assert [migration.number for migration in found] == list(range(1, len(found) + 1)), package
    return tuple(found)


def schema(package: str) -> Schema:
    """The schema that a package has for an empty store."""
    (entry,) = Path(import_module(package).__path__[0]).glob("schema_*.sql")
    return Schema(int(entry.stem.removeprefix("schema_")), entry.read_text())


def pending(applied: Mapping[int, Record], migrations: Sequence[Migration], *, location: str) -> tuple[Migration, ...]:
    """The migrations to apply yet.

    Raises:
        ConfigError: the store has a migration that this tidelog does not know: it is too old.
        Corruption: the store's record of a migration is not the one that is shipped.
    """
    newest = max(applied, default=0)
    if newest > len(migrations):
        raise ConfigError(
            f"{location} has schema version {newest}, and this tidelog knows {len(migrations)}: "
            f"use the newer tidelog that wrote it"
        )
    for migration in migrations[:newest]:
        record = applied.get(migration.number)
        if record is None or record.sha256 != migration.sha256:
            raise Corruption(
                f"{location}: migration {migration.number} ({migration.name}) is recorded as "
                f"{record.sha256[:12] if record else 'missing'}, and its file is {migration.sha256[:12]}"
            )
    return tuple(migrations[newest:])
