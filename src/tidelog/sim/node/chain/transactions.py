"""Signed transactions of every type that Ethereum has, invented from a random source.

They are really signed, so that a sender can be recovered, and no two are alike. The signing keys come
from the seed and the signature nonces from a short fixed list, which gives the keys away to anybody who
looks and makes a signature cost microseconds: these accounts guard nothing.
"""

import random
from functools import lru_cache

from msgspec import Struct
from sha3 import keccak_256

from tidelog.chain.encoding.rlp import EMPTY_LIST, encode_bytes, encode_int, encode_list
from tidelog.sim.node.chain import secp256k1

SIGNATURE_NONCES = 16  # so many different `r`; each costs one multiplication on the curve, once
SET_CODE_MAGIC = b"\x05"  # EIP-7702: what an authorization's signing hash begins with
CREATION_SHARE = 0.08  # of the transactions whose type may create a contract
BLOBS_MAX = 2  # per transaction of type 3
ADDRESS_POOL = 64  # contracts that are called and that log: repeated, as on a real chain


def keccak(data: bytes) -> bytes:
    return bytes(keccak_256(data).digest())


class Signature(Struct, frozen=True):
    y_parity: int
    r: int
    s: int


class Account(Struct, frozen=True):
    secret: int
    address: bytes

    def sign(self, digest: bytes, salt: int) -> Signature:
        """ECDSA over a 32-byte hash, with `s` in the lower half (EIP-2); `salt` picks the nonce."""
        r, odd, inverse = _signature_nonce(salt % SIGNATURE_NONCES)
        s = inverse * (int.from_bytes(digest, "big") + r * self.secret) % secp256k1.ORDER
        if s > secp256k1.ORDER // 2:
            return Signature(odd ^ 1, r, secp256k1.ORDER - s)
        return Signature(odd, r, s)


@lru_cache(maxsize=SIGNATURE_NONCES)
def _signature_nonce(index: int) -> tuple[int, int, int]:
    """(r, parity of R's y, inverse of k) of one fixed nonce."""
    secret = int.from_bytes(keccak(b"signature nonce" + bytes((index,))), "big") % secp256k1.ORDER
    point = secp256k1.public_key(secret)
    return point.x % secp256k1.ORDER, point.y & 1, pow(secret, -1, secp256k1.ORDER)


def account(seed: str) -> Account:
    """The account whose key follows from `seed`."""
    secret = int.from_bytes(keccak(seed.encode()), "big") % secp256k1.ORDER
    public = secp256k1.public_key(secret)
    return Account(secret, keccak(public.x.to_bytes(32, "big") + public.y.to_bytes(32, "big"))[12:])


class Authorization(Struct, frozen=True):
    """An entry of an authorization list (EIP-7702)."""

    chain_id: int
    address: bytes
    nonce: int
    signature: Signature


class Payload(Struct, frozen=True):
    """What is signed. For types 0 and 1 the gas price is both `fee_cap` and `tip`."""

    type: int
    chain_id: int | None  # None: type 0 as signed before EIP-155
    nonce: int
    fee_cap: int
    tip: int
    gas: int
    to: bytes | None
    value: int
    input: bytes
    access_list: tuple[tuple[bytes, tuple[bytes, ...]], ...] = ()
    blob_fee_cap: int = 0
    blob_hashes: tuple[bytes, ...] = ()
    authorizations: tuple[Authorization, ...] = ()


class Transaction(Struct, frozen=True):
    """A signed transaction; `raw` is what the trie holds, and `hash` its hash."""

    payload: Payload
    sender: bytes
    signature: Signature
    v: int
    raw: bytes
    hash: bytes

    def price(self, base_fee: int) -> int:
        """The effective gas price, in wei."""
        return min(self.payload.fee_cap, base_fee + self.payload.tip)

    @property
    def created(self) -> bytes | None:
        """The address of the contract that it creates, if it does."""
        if self.payload.to is not None:
            return None
        return keccak(encode_list((encode_bytes(self.sender), encode_int(self.payload.nonce))))[12:]


def signed(payload: Payload, sender: Account) -> Transaction:
    """Sign a payload as its type asks (EIP-155, 2930, 1559, 4844, 7702)."""
    fields = _fields(payload)
    salt = payload.nonce
    if payload.type:
        prefix = bytes((payload.type,))
        signature = sender.sign(keccak(prefix + encode_list(fields)), salt)
        v = signature.y_parity
    else:
        prefix = b""
        replay = () if payload.chain_id is None else (encode_int(payload.chain_id), b"\x80", b"\x80")
        signature = sender.sign(keccak(encode_list((*fields, *replay))), salt)
        v = signature.y_parity + (27 if payload.chain_id is None else 35 + 2 * payload.chain_id)
    raw = prefix + encode_list((*fields, encode_int(v), encode_int(signature.r), encode_int(signature.s)))
    return Transaction(payload, sender.address, signature, v, raw, keccak(raw))


def _fields(payload: Payload) -> list[bytes]:
    """The fields before the signature, encoded, in the order of the payload's type."""
    kind = payload.type
    fields = [encode_int(payload.chain_id or 0)] if kind else []
    fields.append(encode_int(payload.nonce))
    if kind >= 2:
        fields.append(encode_int(payload.tip))
    fields += (
        encode_int(payload.fee_cap),
        encode_int(payload.gas),
        encode_bytes(payload.to or b""),
        encode_int(payload.value),
        encode_bytes(payload.input),
    )
    if kind >= 1:
        fields.append(_access_list(payload.access_list))
    if kind == 3:
        fields.append(encode_int(payload.blob_fee_cap))
        fields.append(encode_list([encode_bytes(blob) for blob in payload.blob_hashes]))
    if kind == 4:
        fields.append(encode_list([_authorization(entry) for entry in payload.authorizations]))
    return fields


def _access_list(entries: tuple[tuple[bytes, tuple[bytes, ...]], ...]) -> bytes:
    if not entries:
        return EMPTY_LIST
    return encode_list(
        [
            encode_list((encode_bytes(address), encode_list([encode_bytes(key) for key in keys])))
            for address, keys in entries
        ]
    )


def _authorization(entry: Authorization) -> bytes:
    signature = entry.signature
    return encode_list(
        (
            encode_int(entry.chain_id),
            encode_bytes(entry.address),
            encode_int(entry.nonce),
            encode_int(signature.y_parity),
            encode_int(signature.r),
            encode_int(signature.s),
        )
    )


@lru_cache(maxsize=ADDRESS_POOL)
def contract(index: int) -> bytes:
    """One of the ADDRESS_POOL contracts."""
    return keccak(b"contract" + bytes((index,)))[12:]


def any_contract(rng: random.Random) -> bytes:
    return contract(rng.randrange(ADDRESS_POOL))


def invented(
    rng: random.Random,
    kind: int,
    sender: Account,
    nonce: int,
    *,
    chain_id: int,
    base_fee: int,
    blob_fee: int,
    call: tuple[bytes, bytes] | None = None,
) -> Transaction:
    """A transaction of type `kind` that a block with these fees can hold, in wei.

    Args:
        call: to whom it is, and its input; by chance if not given.
    """
    tip = rng.randrange(1, 3 * 10**9)
    fee_cap = 2 * base_fee + tip
    legacy = kind < 2
    creates = kind < 3 and rng.random() < CREATION_SHARE and call is None
    data = rng.randbytes(rng.choice((0, 4, 36, 68, 100, 164)) if not creates else rng.randrange(64, 200))
    if call is not None:
        data = call[1]
    access_list: tuple[tuple[bytes, tuple[bytes, ...]], ...] = ()
    if kind and rng.random() < 0.3:
        keys = tuple([rng.randbytes(32) for _ in range(rng.randrange(3))])
        access_list = ((any_contract(rng), keys), (any_contract(rng), ()))
    payload = Payload(
        type=kind,
        chain_id=None if kind == 0 and rng.random() < 0.25 else chain_id,
        nonce=nonce,
        fee_cap=fee_cap,
        tip=fee_cap if legacy else tip,
        gas=21_000 + 16 * len(data) + rng.randrange(30_000, 200_000),
        to=None if creates else any_contract(rng) if call is None else call[0],
        value=rng.choice((0, 1, rng.randrange(10**18), rng.randrange(10**24))),
        input=data,
        access_list=access_list,
        blob_fee_cap=2 * blob_fee if kind == 3 else 0,
        blob_hashes=_blob_hashes(rng) if kind == 3 else (),
        authorizations=_authorizations(rng, sender, nonce, chain_id) if kind == 4 else (),
    )
    return signed(payload, sender)


def _blob_hashes(rng: random.Random) -> tuple[bytes, ...]:
    return tuple([b"\x01" + rng.randbytes(31) for _ in range(rng.randint(1, BLOBS_MAX))])


def _authorizations(rng: random.Random, sender: Account, nonce: int, chain_id: int) -> tuple[Authorization, ...]:
    """One or two delegations, one of them perhaps for any chain (chain id 0)."""
    entries = []
    for offset in range(rng.randint(1, 2)):
        chain, address, its_nonce = rng.choice((0, chain_id)), any_contract(rng), nonce + 1 + offset
        body = encode_list((encode_int(chain), encode_bytes(address), encode_int(its_nonce)))
        signature = sender.sign(keccak(SET_CODE_MAGIC + body), its_nonce)
        entries.append(Authorization(chain, address, its_nonce, signature))
    return tuple(entries)
