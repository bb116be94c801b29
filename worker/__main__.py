"""``python -m worker`` is the command ``countersign``."""

from worker.cli import main

main(prog_name="countersign")
