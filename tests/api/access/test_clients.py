"""Who asks, what one client may use, and what it waits for: the pure part of limits by client."""

import asyncio

import pytest

from tests.patience import HANGS_S
from tidelog.api.access.clients import (
    CLIENTS_MAX,
    FIRST_S,
    POINTS_FREE,
    POINTS_MAX,
    POINTS_OF_TOKEN,
    POINTS_PER_S,
    Clients,
    client_of,
    key_of,
)
from tidelog.api.access.seats import IDLE_S, SPARE, NoSeat, Seat, Seats
from tidelog.api.http.options import ApiOptions
from tidelog.errors import ConfigError

KEYS = [
    ("192.0.2.7", "192.0.2.7"),
    ("::ffff:192.0.2.7", "192.0.2.7"),
    ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
    ("2001:db8:1:2::1%eth0", "2001:db8:1:2::/64"),
    ("", ""),
    ("/run/a.sock", "/run/a.sock"),
]


@pytest.mark.parametrize(("address", "key"), KEYS)
def test_a_client_is_an_address_or_an_ipv6_network(address: str, key: str) -> None:
    assert key_of(address) == key


TRUSTED = ApiOptions(trusted_proxies=("10.0.0.0/8", "127.0.0.1")).trusted
FORWARDED = [
    # who connects   X-Forwarded-For                    who asks
    ("192.0.2.1", [], "192.0.2.1"),
    ("192.0.2.1", ["198.51.100.9"], "192.0.2.1"),  # nobody believes it
    ("10.1.1.1", [], "10.1.1.1"),
    ("10.1.1.1", ["198.51.100.9"], "198.51.100.9"),
    ("10.1.1.1", ["203.0.113.1, 198.51.100.9"], "198.51.100.9"),  # the first one is the client's own word
    ("10.1.1.1", ["203.0.113.1", "198.51.100.9"], "198.51.100.9"),
    ("10.1.1.1", ["198.51.100.9, 10.2.2.2, 127.0.0.1"], "198.51.100.9"),  # proxies behind each other
    ("10.1.1.1", ["10.3.3.3"], "10.3.3.3"),  # all of them are ours
    ("10.1.1.1", ["198.51.100.9, unknown"], "10.1.1.1"),
    ("10.1.1.1", ["198.51.100.9, unknown, 10.2.2.2"], "10.2.2.2"),
    ("10.1.1.1", [",,,"], "10.1.1.1"),
    ("10.1.1.1", ["198.51.100.9:49152"], "198.51.100.9"),  # some proxies write the port, too
    ("10.1.1.1", ["198.51.100.9:49152, 10.2.2.2:443"], "198.51.100.9"),
    ("10.1.1.1", ["[2001:db8::5]:49152"], "2001:db8::/64"),
    ("10.1.1.1", ["[2001:db8::5]"], "2001:db8::/64"),
    ("10.1.1.1", ["[", "]", ":", "[]:1"], "10.1.1.1"),
    ("127.0.0.1", ["2001:db8::5"], "2001:db8::/64"),
    ("10.1.1.1", ["198.51.100.9," * 10_000 + "10.2.2.2"], "198.51.100.9"),
    ("10.1.1.1", ["\xff"], "10.1.1.1"),
]


@pytest.mark.parametrize(("peer", "forwarded", "client"), FORWARDED)
def test_a_trusted_proxy_names_the_client(peer: str, forwarded: list[str], client: str) -> None:
    headers = [(b"x-forwarded-for", each.encode("latin-1")) for each in forwarded]
    assert client_of({"client": (peer, 1), "headers": headers}, TRUSTED) == client


def test_rejects_a_trusted_proxy_that_is_no_network() -> None:
    with pytest.raises(ConfigError, match=r"such as 10\.0\.0\.0/8"):
        ApiOptions(trusted_proxies=("nginx",))


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def clients(clock: Clock) -> Clients:
    return Clients(ApiOptions(client_requests_max=2, client_streams_max=1), clock)


def test_one_client_has_its_share_and_another_has_its_own(clients: Clients) -> None:
    assert [clients.take("a", "requests") for _ in range(3)] == [True, True, False]
    assert [clients.take("a", "streams") for _ in range(2)] == [True, False]
    assert clients.take("b", "requests")
    clients.give_back("a", "requests")
    assert clients.take("a", "requests")


def test_the_wait_grows_with_what_is_wrong_ends_and_goes_away(clients: Clients, clock: Clock) -> None:
    waits = [clients.fault("a", POINTS_OF_TOKEN) for _ in range(40)]
    free = int(POINTS_FREE / POINTS_OF_TOKEN)
    assert waits[:free] == [0.0] * free
    assert waits[free] == 2 * FIRST_S
    assert waits == sorted(waits)
    assert waits[-1] == ApiOptions().delay_max_s
    assert clients.fault("b", POINTS_OF_TOKEN) == 0.0
    clock.now_s += (POINTS_MAX - POINTS_FREE) / POINTS_PER_S + POINTS_OF_TOKEN
    assert clients.fault("a", POINTS_OF_TOKEN) == 0.0  # half a minute without any


def test_mistakes_at_a_person_s_pace_are_never_held_back(clients: Clients, clock: Clock) -> None:
    for _ in range(1_000):
        assert clients.fault("a", 1.0) == 0.0
        clock.now_s += 1.0 / POINTS_PER_S


def test_a_maximum_delay_of_zero_delays_nothing(clock: Clock) -> None:
    clients = Clients(ApiOptions(delay_max_s=0.0), clock)
    assert {clients.fault("a", POINTS_OF_TOKEN) for _ in range(100)} == {0.0}


def test_clients_in_use_stay_when_idle_ones_are_evicted(clients: Clients) -> None:
    assert clients.take("first", "streams")
    for number in range(2 * CLIENTS_MAX):
        clients.fault(str(number), 1.0)
    assert len(clients) == CLIENTS_MAX
    assert not clients.take("first", "streams")
    clients.give_back("first", "streams")


# -- connections -------------------------------------------------------------------------------------------


class Room:
    """Four seats, three for one client, and the connections that took one."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.seats = Seats(4, 3, clock)
        self.dropped: list[Seat] = []

    def come(self, client: str | None, *, busy: bool = False) -> Seat:
        seats: list[Seat] = []
        seats.append(self.seats.take(client, lambda: self.dropped.append(seats[0])))
        if busy:
            seats[0].busy()
        self.clock.now_s += 0.01
        return seats[0]


@pytest.fixture
def room(clock: Clock) -> Room:
    return Room(clock)


def test_an_idle_connection_makes_room_for_a_new_one_of_its_client(room: Room) -> None:
    first, second, third = (room.come("a") for _ in range(3))
    with pytest.raises(NoSeat) as refused:  # they have had no time to ask yet
        room.come("a")
    assert (refused.value.status, room.dropped) == (429, [])
    room.clock.now_s += IDLE_S
    first.busy()
    room.come("a")
    assert room.dropped == [second]
    assert second.gone.is_set()
    first.idle()
    room.come("a")
    assert room.dropped == [second, third]
    assert len(room.seats) == 3


def test_when_full_the_client_with_the_most_connections_loses_its_longest_idle_one(room: Room) -> None:
    """512 idle connections made everybody else wait; now they are the ones to go."""
    other = room.come("b")
    longest, *_ = (room.come("a") for _ in range(3))
    room.clock.now_s += IDLE_S
    room.come("c")
    assert room.dropped == [longest]
    assert not other.gone.is_set()


def test_when_full_and_all_of_that_client_are_busy_another_s_idle_one_goes(room: Room) -> None:
    for _ in range(3):
        room.come("a", busy=True)
    idle = room.come("b")
    room.clock.now_s += IDLE_S
    assert room.come("c").refusal is None
    assert room.dropped == [idle]


def test_spare_connections_answer_health_checks_when_all_are_busy(room: Room) -> None:
    for client in "aaab":
        room.come(client, busy=True)
    spare = [room.come(f"c{number}", busy=True) for number in range(SPARE)]
    assert {seat.refusal for seat in spare} == {(503, "too many connections are open: try again")}
    with pytest.raises(NoSeat) as refused:
        room.come("d")
    assert refused.value.status == 503
    for seat in spare:
        seat.leave()
        seat.leave()
    assert len(room.seats) == 4


def test_connections_of_a_proxy_count_for_no_client(room: Room) -> None:
    assert len([room.come(None, busy=True) for _ in range(4)]) == 4


async def test_the_end_of_a_connection_is_signalled(room: Room) -> None:
    seat = room.come("a")
    asyncio.get_running_loop().call_later(0.01, seat.leave)
    async with asyncio.timeout(HANGS_S):
        await seat.gone.wait()
