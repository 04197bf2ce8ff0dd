"""Places in a journal, as streams say them: the number of a record, and when its run began. Pure.

A run of the feed writes its records alone, so of two journals, or two states of one, that have a run of the same
beginning, the run's records are the same as far as both have them. That is what a writer is to a chain's changes:
`chain.forks.bookmarks` finds what two histories have in common.
"""

from tidelog.chain.forks.bookmarks import Mark, Place
from tidelog.market.events import EventId
from tidelog.market.shards.layout import first_run, shard_of_run

__all__ = ["behind", "id_of", "number_of"]

SEQ_BITS = 36  # of a record's number in its run: two thousand a second for a year


def number_of(id_: EventId) -> int:
    """A record's id as one number, which grows with it within a shard's journal."""
    run = id_.run - first_run(shard_of_run(id_.run)) + 1
    return run << SEQ_BITS | id_.seq


def id_of(number: int, shard: int = 1) -> EventId:
    """The id of a number of `number_of`, in the journal of a shard."""
    return EventId((number >> SEQ_BITS) + first_run(shard) - 1, number & (1 << SEQ_BITS) - 1)


def behind(place: Place, id_: EventId, begun_us: int) -> Place:
    """The place behind a record that comes next.

    Args:
        begun_us: when the record's run began.
    """
    return place.behind(Mark(number_of(id_), begun_us))
