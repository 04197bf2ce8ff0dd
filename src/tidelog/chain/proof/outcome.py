"""What became of the checks of a block, and the one line of text that a store keeps of it. Pure."""

import enum
import re
from collections.abc import Mapping

from msgspec import Struct

from tidelog.chain.proof.spec import ALL
from tidelog.errors import Corruption

CHECKS = (*ALL, "senders")


class Outcome(enum.Enum):
    """What became of a check; the value is its sign in the text form."""

    PASSED = "+"
    NOT_COMPUTABLE = "?"
    NOT_APPLICABLE = "-"


class Result(Struct, frozen=True):
    """One check's outcome, with the reason where it was not computable."""

    outcome: Outcome
    reason: str = ""


PASSED = Result(Outcome.PASSED)
NOT_APPLICABLE = Result(Outcome.NOT_APPLICABLE)


class Proof(Struct, frozen=True):
    """The outcome of every check of one block."""

    results: Mapping[str, Result]

    def holds(self, check: str) -> bool:
        """Whether the check was made and passed."""
        return self.results[check].outcome is Outcome.PASSED

    @property
    def roots(self) -> bool:
        """Hash, transactions, receipts, bloom and (where there are any) withdrawals all hold."""
        names = ("hash", "transactions", "receipts", "bloom")
        return all(map(self.holds, names)) and (self.results["withdrawals"].outcome is not Outcome.NOT_COMPUTABLE)

    @property
    def lowered(self) -> tuple[str, ...]:
        """The checks that could not be computed."""
        return tuple(name for name, result in self.results.items() if result.outcome is Outcome.NOT_COMPUTABLE)

    def __str__(self) -> str:
        """Such as `hash+ parent+ uncles+ transactions?(type 0x76) .. withdrawals- senders-`."""
        return " ".join(
            f"{name}{result.outcome.value}" + (f"({result.reason})" if result.reason else "")
            for name, result in self.results.items()
        )


_RESULT = re.compile(r"(\w+)([+?-])(?:\(([^)]*)\))?(?: |$)")


def parse_proof(text: str) -> Proof:
    """The inverse of `str(proof)`; Corruption for anything else."""
    proof = Proof({name: Result(Outcome(sign), reason) for name, sign, reason in _RESULT.findall(text)})
    if tuple(proof.results) != CHECKS or str(proof) != text:
        raise Corruption(f"no proof reads {text!r}")
    return proof


def with_parent(proof: Proof) -> Proof:
    """The proof of a block whose parent link has been checked since."""
    return Proof({**proof.results, "parent": PASSED})
