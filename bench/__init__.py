"""Ours against what a user would pick instead, in one run: ``python -m bench``. See README.md here."""
