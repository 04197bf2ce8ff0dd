"""What creates a contract: another one, whose event names the address. Pure."""

from msgspec import Struct

from tidelog.errors import ConfigError

__all__ = ["CREATION_RULE", "Creation"]

CREATION_RULE = "CONTRACT.EVENT.ARGUMENT, such as uniswap_v3_factory.PoolCreated.pool"


class Creation(Struct, frozen=True):
    """`factory.PoolCreated.pool`: every address that this argument names, from that log on."""

    contract: str  # the name of the one that creates
    event: str  # its name or canonical signature
    argument: str

    @classmethod
    def read(cls, text: str) -> "Creation":
        """What people write. ConfigError: it has not three parts."""
        contract, _, rest = text.partition(".")
        event, _, argument = rest.rpartition(".")
        if not (contract and event and argument):
            raise ConfigError(f"give {CREATION_RULE}")
        return cls(contract, event, argument)

    @property
    def text(self) -> str:
        """As it is written and stored."""
        return f"{self.contract}.{self.event}.{self.argument}"
