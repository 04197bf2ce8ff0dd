"""tidelog: crash-safe, provable ingestion of EVM chains and exchange feeds."""

from importlib.metadata import version

__version__ = version("tidelog")
