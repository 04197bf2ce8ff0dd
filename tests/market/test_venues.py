"""What every exchange has to bring, whichever it is; and what is registered."""

import msgspec
import pytest
from msgspec import UNSET

from tests.market.toy.venue import VENUES as TOY
from tidelog.errors import ConfigError
from tidelog.market import venues
from tidelog.market.book.levels import Book
from tidelog.market.book.proof import Check
from tidelog.market.events import BookSnapshot, Event, Rejection, Stream
from tidelog.market.kraken import v1
from tidelog.market.kraken.refusals import refusal_of
from tidelog.market.session.rules import Refusal
from tidelog.market.venue import Venue

ALL = [*venues.VENUES.values(), *TOY.values()]
BID, ASK = (v1.Level("1.0", "1.00"),), (v1.Level("2.0", "1.00"),)


@pytest.fixture(params=ALL, ids=[venue.protocol for venue in ALL])
def venue(request: pytest.FixtureRequest) -> Venue:
    venue: Venue = request.param
    return venue


def test_books_of_every_depth_can_be_asked_for_and_no_other(venue: Venue) -> None:
    depths = venue.streams.depths
    assert list(depths) == sorted(set(depths))
    for depth in depths:
        stream = venue.streams.stream("book", depth=depth, interval=1)
        assert (stream.channel, stream.depth) == ("book", depth)
        assert venue.streams.has_symbols(stream)
        assert not venue.streams.is_private(stream)
    with pytest.raises(ConfigError):
        venue.streams.stream("book", depth=max(depths) + 1, interval=1)
    with pytest.raises(ConfigError):
        venue.streams.stream("no such channel", depth=depths[0], interval=1)


def test_requests_are_frames_of_their_own_and_name_the_symbols(venue: Venue) -> None:
    stream = venue.streams.stream("book", depth=venue.streams.depths[0], interval=1)
    frames = [
        venue.requests.subscribe(stream, ("A/USD", "B/USD"), 7).frame,
        venue.requests.unsubscribe(stream, ("A/USD", "B/USD"), 7).frame,
        venue.requests.ping(7).frame,
    ]
    assert len(set(frames)) == 3
    for frame in frames[:2]:
        assert b"A/USD" in frame
        assert b"B/USD" in frame
    assert all(b"7" in frame for frame in frames)


def test_token_is_in_no_redacted_request(venue: Venue) -> None:
    request = venue.requests.subscribe(Stream("executions"), (), 7, "the-token")
    assert b"the-token" not in request.redacted
    assert "the-token" not in repr(request)


def test_limits_leave_room_below_one_another(venue: Venue) -> None:
    limits = venue.rules.limits
    assert 0 < limits.ping_after_us < limits.silent_us
    assert 0 < limits.outage_first_us <= limits.outage_max_us
    assert min(limits.requests_per_s, limits.symbols_per_request, limits.attempts_max, limits.fills_shown) > 0
    assert all(least_us <= limits.silence.pace.stale_max_us for least_us in limits.silence.stale_least_us.values())


def test_decoder_of_a_new_connection_knows_nothing_of_another(venue: Venue) -> None:
    assert venue.decoder() is not venue.decoder()
    assert venue.decoder().state is UNSET
    venue.decoder().resume(UNSET)


def test_proof_proves_a_book_by_the_evidence_that_the_book_gives(venue: Venue) -> None:
    book = Book("A/USD", 10, venue.proof)
    first = book.apply(BookSnapshot("A/USD", BID, ASK, None))
    assert first is Check.UNCHECKED, "a message that carries nothing proves nothing"
    checksum, sequence = book.evidence()
    assert book.apply(BookSnapshot("A/USD", BID, ASK, checksum, None, sequence)) is Check.MATCHED
    assert book.proven_depth in venues.provable_depths(10) | {10}
    again = Book.restored(book.state, venue.proof)
    assert (again.state, again.proven_depth) == (book.state, book.proven_depth)
    assert msgspec.json.decode(msgspec.json.encode(book.state), type=type(book.state)) == book.state


def test_kraken_stores_nothing_of_what_other_exchanges_need() -> None:
    """Its journals and digests are what they were before there was another exchange."""
    event: Event = BookSnapshot("A/USD", (), (), 1)
    book = Book("A/USD", 10, venues.venue_of("v2").proof)
    assert b"sequence" not in msgspec.json.encode(event)
    assert b"proof" not in msgspec.json.encode(book.state)


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        ("Exceeded msg rate", Refusal.THROTTLED),
        ("ESession:Invalid session", Refusal.TOKEN),
        ("invalid session", Refusal.TOKEN),
        ("Already subscribed", Refusal.ALREADY),
        ("already subscribed to that", Refusal.ALREADY),
        ("Currency pair not supported A/USD", Refusal.OTHER),
        ("the text has Exceeded msg rate in its middle", Refusal.OTHER),
    ],
)
def test_kraken_words_of_a_refusal(words: str, refusal: Refusal) -> None:
    assert refusal_of(Rejection(words)) is refusal
