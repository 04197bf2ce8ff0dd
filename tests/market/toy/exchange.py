"""The toy's own side: its books, and what it answers. `tests.market.exchange` carries it, over a socket or without."""

from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode


class ToyExchange:
    """Books of one bid and one ask. Each change has a number, whether anybody is told of it or not."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.numbers: dict[str, int] = {}  # of each book's last change
        self.qty: dict[str, int] = {}
        self.books: dict[str, int] = {}  # the number of each book that is subscribed
        self.lists = {"A/USD", "B/USD"}
        self._books_given = 0

    def opened(self) -> list[bytes]:
        self.books.clear()
        return [b'{"hb":1}']

    def answer(self, frame: bytes) -> list[bytes]:
        request: dict[str, Any] = msgspec.json.decode(frame)
        self.requests.append(request)
        names, req_id = request.get("books", []), request["id"]
        if request["op"] == "unsub":
            for name in names:
                del self.books[name]
        if request["op"] != "sub":
            return [_encode({"ok": request["op"], "id": req_id})]
        if not self.lists.issuperset(names):
            return [_encode({"no": "no such market", "id": req_id})]
        for name in names:
            self._books_given += 1
            self.books[name] = self._books_given
        given = {str(self.books[name]): name for name in names}
        ack = _encode({"ok": "sub", "id": req_id, "books": given, "depth": request["depth"]})
        return [ack, *[self.snapshot(name) for name in names]]

    def snapshot(self, symbol: str) -> bytes:
        qty = str(self.qty.setdefault(symbol, 1))
        number = self.numbers.setdefault(symbol, 100)
        return _encode([self.books[symbol], "all", number, [["100.0", qty]], [["101.0", "2"]]])

    def change(self, symbol: str, *, of: int = 1) -> bytes:
        """The best bid's quantity changes, and it takes so many of its messages to say it."""
        first, last = self.numbers[symbol] + 1, self.numbers[symbol] + of
        self.numbers[symbol] = last
        self.qty[symbol] += 1
        return _encode([self.books[symbol], "new", first, last, [["100.0", str(self.qty[symbol])]], []])
