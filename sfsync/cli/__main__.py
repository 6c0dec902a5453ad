"""``python -m sfsync.cli``: the command line without an installed script."""

from sfsync.cli import main

main()
