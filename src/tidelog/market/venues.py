"""The registry of exchanges, a line for each. Code outside an exchange's folder finds it here."""

from collections.abc import Mapping

from tidelog.errors import ConfigError
from tidelog.market.kraken.venue import VENUES as KRAKEN
from tidelog.market.venue import Venue

VENUES: dict[str, Venue] = {}
DEFAULT = "v2"  # the protocol of a feed, and of frames that do not say theirs


def register(venues: Mapping[str, Venue]) -> None:
    """Make protocols known, by their names. ValueError: one of them is known already, as another one."""
    for name, venue in venues.items():
        if name != venue.protocol or VENUES.get(name, venue) is not venue:
            raise ValueError(f"protocol {name!r} is registered twice, or under another name")
    VENUES.update(venues)


def venue_of(protocol: str) -> Venue:
    """The venue of a protocol.

    Raises:
        ConfigError: there is none.
    """
    venue = VENUES.get(protocol)
    if venue is None:
        raise ConfigError(f"protocol {protocol!r}: say {' or '.join(VENUES)}")
    return venue


def provable_depths(depth: int) -> set[int]:
    """The numbers of levels to which a book of that depth can be proven, whichever exchange it is of."""
    return {0, *[venue.proof().depth(depth) for venue in VENUES.values()]}


register(KRAKEN)
