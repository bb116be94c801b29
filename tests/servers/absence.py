"""A server that is not there to a skipped test, or to a failed one where ``CI=true`` says that it must be there."""

import os
from typing import NoReturn

import pytest


def missing(server: str, remedy: str) -> NoReturn:
    """Skip the test, or fail it in CI; ``remedy`` says what to do about it."""
    reason = f"no {server}: {remedy}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
