"""The command line without a store or an org."""

from tests.commandline import home, sfsync

__all__ = ["home", "sfsync"]
