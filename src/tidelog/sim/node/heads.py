"""The newHeads of one WebSocket: what is subscribed, and what is due. Bytes in, bytes out; no socket.

What is due is worked out from the head last announced, so that a slow reader costs no memory.
"""

from typing import Any

import msgspec

from tidelog.sim.node.node import Replica, SimNode

SUBSCRIPTIONS_MAX = 100  # per socket, so that a client in a loop does not grow it for ever


class Heads:
    """The subscriptions of one socket to one replica."""

    def __init__(self, node: SimNode, replica: Replica) -> None:
        self._node = node
        self._replica = replica
        self._subscriptions: list[str] = []
        self._issued = 0
        self._last = node.tip(replica).hash

    def answer(self, body: bytes) -> bytes | None:
        """The answer to eth_subscribe and eth_unsubscribe; None if the call is another."""
        try:
            call: Any = msgspec.json.decode(body)
        except msgspec.DecodeError:
            return None
        method = call.get("method") if isinstance(call, dict) else None
        if method not in ("eth_subscribe", "eth_unsubscribe"):
            return None
        params = call.get("params") or [None]
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": call.get("id")}
        if method == "eth_unsubscribe":
            found = params[0] in self._subscriptions
            if found:
                self._subscriptions.remove(params[0])
            reply["result"] = found
        elif params[0] != "newHeads":
            reply["error"] = {"code": -32601, "message": f'no "{params[0]}" subscription in eth namespace'}
        elif len(self._subscriptions) >= SUBSCRIPTIONS_MAX:
            reply["error"] = {"code": -32000, "message": "too many subscriptions"}
        else:
            if not self._subscriptions:
                self._last = self._node.tip(self._replica).hash
            self._issued += 1
            self._subscriptions.append(hex(self._issued))
            reply["result"] = self._subscriptions[-1]
        return msgspec.json.encode(reply)

    def due(self) -> list[bytes]:
        """The notifications that the chain's last change makes, if any."""
        if not self._subscriptions:
            return []
        headers, self._last = self._node.announce(self._replica, self._last)
        return [_notification(subscription, header) for header in headers for subscription in self._subscriptions]


def _notification(subscription: str, header: bytes) -> bytes:
    params = {"subscription": subscription, "result": msgspec.Raw(header)}
    return msgspec.json.encode({"jsonrpc": "2.0", "method": "eth_subscription", "params": params})
