"""Public keys of the simulated accounts: a secret times the curve's generator. Slow, not constant in time: for no key.

Each seed has accounts of its own, so no table can hold their keys, and the node runs without the library that the extra
`senders` brings; a test compares both.

SEC 2, section 2.4.1: y² = x³ + 7 over the field of PRIME.
"""

from functools import cache
from typing import NamedTuple

__all__ = ["ORDER", "Point", "public_key"]

PRIME = 2**256 - 2**32 - 977
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


class Point(NamedTuple):
    x: int
    y: int


GENERATOR = Point(
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)


@cache
def _doublings() -> tuple[Point, ...]:
    """The generator times 1, 2, 4 and so on."""
    points = [GENERATOR]
    for _ in range(255):
        x, y = points[-1]
        slope = 3 * x * x * pow(2 * y, -1, PRIME) % PRIME
        third = (slope * slope - 2 * x) % PRIME
        points.append(Point(third, (slope * (x - third) - y) % PRIME))
    return tuple(points)


def public_key(secret: int) -> Point:
    """The point of a secret from 1 to ORDER - 1."""
    if not 0 < secret < ORDER:
        raise ValueError("a secret is from 1 to the order of the curve, exclusive")
    # Jacobian coordinates: x / z², y / z³, so that only the end costs an inversion
    x1, y1, z1 = 0, 0, 0
    for bit, (x2, y2) in enumerate(_doublings()):
        if not secret >> bit & 1:
            continue
        if z1 == 0:
            x1, y1, z1 = x2, y2, 1
            continue
        zz = z1 * z1 % PRIME
        h = (x2 * zz - x1) % PRIME  # never 0: the sum so far is less than the next power of two
        r = (y2 * zz * z1 - y1) % PRIME
        hh = h * h % PRIME
        hhh, v = h * hh % PRIME, x1 * hh % PRIME
        x3 = (r * r - hhh - 2 * v) % PRIME
        x1, y1, z1 = x3, (r * (v - x3) - y1 * hhh) % PRIME, z1 * h % PRIME
    inverse = pow(z1, -1, PRIME)
    square = inverse * inverse % PRIME
    return Point(x1 * square % PRIME, y1 * square * inverse % PRIME)
