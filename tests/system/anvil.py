"""A real node: anvil, started, stopped, killed, and started again with the chain that it last wrote down.

Everything that a test does to it goes over JSON-RPC by Python's own HTTP client, not by tidelog's.
"""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

from tests.command import until
from tests.patience import HANGS_S
from tests.ports import reserved_port
from tidelog.chain.encoding.rlp import encode_bytes, encode_int, encode_list
from tidelog.sim.node.chain.transactions import Account, Authorization, Payload, keccak, signed

__all__ = ["Anvil", "RpcFailure", "program"]

CHAIN_ID = 31337
GWEI = 10**9
GAS = 400_000  # for any transaction here, so that nothing has to be estimated

# The first keys of anvil's fixed mnemonic, "test test ... junk", which everybody knows.
SENDER = Account(
    0xAC0974BEC39A17E36BA4A6B4D238FF944BACB478CBED5EFCAE784D7BF4F2FF80,
    bytes.fromhex("f39fd6e51aad88f6f4ce6ab8827279cfffb92266"),
)
SIGNER = Account(
    0x59C6995E998F97A5A0044966F0945389DC9E86DAE88C7A8412F4603B6B78690D,
    bytes.fromhex("70997970c51812dc3a010c7d01b50e0d17dc79c8"),
)
SENDER_TEXT, SIGNER_TEXT = "0x" + SENDER.address.hex(), "0x" + SIGNER.address.hex()

# A contract by hand: it logs with no topic to four, then as often as the first word of its input says.
_LOGS = (
    "602a600052"  # memory[0] = 42
    "60206000a0"  # LOG0 with 32 bytes of data
    "600160206000a1"  # LOG1
    "6002600160206000a2"  # LOG2
    "60036002600160006000a3"  # LOG3 without data
    "600460036002600160206000a4"  # LOG4
)
_LOOP = len(_LOGS) // 2 + 3  # where the loop begins, behind the loading of its count
_RUNTIME = (
    f"{_LOGS}600035"  # count = input[0]
    f"5b801560{_LOOP + 19:02x}57"  # while count
    "8060206000a1"  # LOG1 with the count as its topic
    f"6001900360{_LOOP:02x}56"  # count -= 1
    "5b00"
)
_LOG_AT_CREATION = "600560006000a1"
_SIZE, _START = f"60{len(_RUNTIME) // 2:02x}", f"60{len(_LOG_AT_CREATION) // 2 + 12:02x}"
LOGGER = f"0x{_LOG_AT_CREATION}{_SIZE}{_START}600039{_SIZE}6000f3{_RUNTIME}"
REVERTER = "0x6460006000fd6000526005601bf3"  # returns the code PUSH 0, PUSH 0, REVERT

BLOB = bytes(131_072)  # the zero polynomial: commitment and proof are the point at infinity (EIP-4844)
INFINITY = b"\xc0" + bytes(47)
BLOB_HASH = b"\x01" + hashlib.sha256(INFINITY).digest()[1:]


class RpcFailure(Exception):
    """The node answered with an error."""


def program() -> Path | None:
    """The binary: TIDELOG_ANVIL, or what `.ci/anvil .anvil` has installed; None if it is not here."""
    named = os.environ.get("TIDELOG_ANVIL")
    if named:
        return Path(named)
    found = sorted(Path(__file__).parents[2].glob(".anvil/node_modules/@foundry-rs/anvil-*/bin/anvil"))
    return found[0] if found else None


class Anvil:
    """One node that mines when it is told to; `stop` keeps its chain, `kill9` loses what came since."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self._binary = binary
        self._state = folder / "anvil-state.json"
        self.port = reserved_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.logger = self.reverter = ""  # addresses, once `deploy` was called

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(
            [
                *(str(self._binary), "--host", "127.0.0.1", "--port", str(self.port), "--silent", "--no-mining"),
                *("--timestamp", "1700000000", "--state", str(self._state)),
            ],
            stdin=subprocess.DEVNULL,
        )
        until(self._answers, "anvil to answer")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "anvil ended at once"
        with contextlib.suppress(OSError):
            return bool(self.rpc("eth_chainId") == hex(CHAIN_ID))
        return False

    def stop(self) -> None:
        """End it in order; it writes its chain down, and `start` goes on with that."""
        self._end(signal.SIGTERM)

    def kill9(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, sent: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(sent)
            self._process.wait(HANGS_S)
            self._process = None

    # -- questions and orders ------------------------------------------------------------------------------

    def rpc(self, method: str, *params: Any) -> Any:
        """One call's result."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=HANGS_S) as response:
            answer = json.loads(response.read())
        if "error" in answer:
            raise RpcFailure(f"{method}: {answer['error']}")
        return answer["result"]

    @property
    def head(self) -> int:
        return int(self.rpc("eth_blockNumber"), 16)

    def head_hash(self) -> bytes:
        return bytes.fromhex(self.rpc("eth_getBlockByNumber", "latest", False)["hash"][2:])

    def mine(self, count: int = 1) -> None:
        """Mine blocks; the first takes every transaction that waits."""
        self.rpc("anvil_mine", hex(count))

    def send(self, **fields: Any) -> str:
        """A transaction of the sender's that the node signs; its hash. It waits for `mine`."""
        sent: str = self.rpc("eth_sendTransaction", {"from": SENDER_TEXT, "gas": hex(GAS), **fields})
        return sent

    def deploy(self) -> None:
        """Mine a block that makes the contract that logs and the one that reverts."""
        made = [self.send(data=code) for code in (LOGGER, REVERTER)]
        self.mine()
        receipts = [self.rpc("eth_getTransactionReceipt", tx) for tx in made]
        assert [receipt["status"] for receipt in receipts] == ["0x1", "0x1"]
        self.logger, self.reverter = [receipt["contractAddress"] for receipt in receipts]

    def log(self, count: int) -> None:
        """Send a call that makes `count` logs and 5 more."""
        gas = hex(60_000 + 2_000 * count)
        self.send(to=self.logger, data=f"0x{count:064x}", gas=gas)

    def mine_every_type(self) -> None:
        """Mine a block with transactions of types 0, 1, 2 and 4, one that logs and one that fails.

        Type 3 is not among them: see `mine_blob`.
        """
        price = hex(10 * GWEI)
        key = "0x" + "07" * 32
        self.send(to=SIGNER_TEXT, value="0x1", gasPrice=price, type="0x0")
        accessed = [{"address": self.logger, "storageKeys": [key]}, {"address": SIGNER_TEXT, "storageKeys": []}]
        self.send(to=SIGNER_TEXT, value="0x2", gasPrice=price, type="0x1", accessList=accessed)
        self.send(to=SIGNER_TEXT, value=hex(10**20), type="0x2", accessList=accessed)
        self.log(3)
        self.send(to=self.reverter)
        self._send_authorization()
        self.mine()

    def _payload(self, kind: int, **fields: Any) -> Payload:
        nonce = int(self.rpc("eth_getTransactionCount", SENDER_TEXT, "pending"), 16)
        return Payload(kind, CHAIN_ID, nonce, 10 * GWEI, GWEI, GAS, SIGNER.address, 4, b"", **fields)

    def mine_blob(self) -> None:
        """Mine a block with a transaction of type 3.

        Its transactions root is wrong: anvil 1.7.1 puts the form with blob, commitment and proof under it,
        which travels between pools only (EIP-4844, "Networking"), instead of the transaction itself.
        """
        transaction = signed(self._payload(3, blob_fee_cap=GWEI, blob_hashes=(BLOB_HASH,)), SENDER)
        point = encode_list((encode_bytes(INFINITY),))
        pooled = encode_list((transaction.raw[1:], encode_list((encode_bytes(BLOB),)), point, point))
        self.rpc("eth_sendRawTransaction", "0x03" + pooled.hex())
        self.mine()

    def _send_authorization(self) -> None:
        """A transaction of type 4 by which the signer's account becomes the contract that logs."""
        nonce = int(self.rpc("eth_getTransactionCount", SIGNER_TEXT, "pending"), 16)
        target = bytes.fromhex(self.logger[2:])
        terms = encode_list((encode_int(CHAIN_ID), encode_bytes(target), encode_int(nonce)))
        signature = SIGNER.sign(keccak(b"\x05" + terms), nonce)  # EIP-7702's magic
        entry = Authorization(CHAIN_ID, target, nonce, signature)
        transaction = signed(self._payload(4, authorizations=(entry,)), SENDER)
        self.rpc("eth_sendRawTransaction", "0x" + transaction.raw.hex())
