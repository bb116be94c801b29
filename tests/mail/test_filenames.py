"""File names are what FlexDeploy's users know, legal everywhere, and never twice."""

import pytest
from builders import a_step
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.events import Step
from worker.mail.filenames import archive_name, log_name, member_names

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=300)
STEP = st.builds(
    Step,
    number=st.integers(0, 3),
    name=st.one_of(st.sampled_from("aA"), TEXT),
    status=st.just("failed"),
    endpoint=st.one_of(st.just("e"), TEXT),
    execution_id=st.one_of(st.integers(0, 2), TEXT),
)


def a_failed_step(**fields: object) -> Step:
    """Step 3 of the contract's example."""
    plain = {"name": "Migrate", "endpoint": "db-01", "execution_id": 90211, "status": "failed"}
    return Step(**(a_step(3) | plain | fields))


def test_a_log_has_flexdeploys_name() -> None:
    """The three names of the contract."""
    step = a_failed_step()

    assert log_name("BillingService", step) == "BillingService_3_Migrate_db-01(90211).log"
    assert archive_name("BillingService") == "BillingService_logs.zip"
    assert member_names([step]) == ["3_Migrate_db-01(90211).log"]


def test_what_a_name_can_not_hold_becomes_an_underscore() -> None:
    """Characters that Windows forbids, control characters, and those that turn the direction of what follows."""
    step = a_failed_step(name='a/b\\c:d*e?f"g<h>i|j', endpoint="x\u202ey", execution_id="1/2")

    assert member_names([step]) == ["3_a_b_c_d_e_f_g_h_i_j_x_y(1_2).log"]
    assert archive_name("a\x00b\x1fc\x7fd") == "a_b_c_d_logs.zip"


@pytest.mark.parametrize("instance", [".hidden", " blank", "../../etc"])
def test_no_name_is_hidden_or_a_path(instance: str) -> None:
    """A name does not begin with a dot or a blank."""
    assert archive_name(instance)[0] == "_"
    assert log_name(instance, a_failed_step())[0] == "_"


def test_equal_names_are_numbered() -> None:
    """The second of two equal names gets (2); letter case makes no difference, as on Windows."""
    steps = [a_failed_step(), a_failed_step(), a_failed_step(name="MIGRATE"), a_failed_step(execution_id="90211) (2")]

    assert member_names(steps) == [
        "3_Migrate_db-01(90211).log",
        "3_Migrate_db-01(90211) (2).log",
        "3_MIGRATE_db-01(90211) (3).log",
        "3_Migrate_db-01(90211) (2) (2).log",
    ]


def test_many_equal_names_take_no_time() -> None:
    """Names are found in one go, however many are equal."""
    names = member_names([a_failed_step()] * 20_000)

    assert names[-1] == "3_Migrate_db-01(90211) (20000).log"


def test_an_overlong_name_keeps_its_end() -> None:
    """A name is cut where it says least: what tells two logs apart stays."""
    name = log_name("ü" * 200, a_failed_step())

    assert name.endswith("ü(90211).log")
    assert 253 <= len(name.encode()) <= 255


@given(steps=st.lists(STEP, max_size=12), instance=TEXT)
@settings(deadline=None)
def test_any_names_are_legal_and_unique(steps: list[Step], instance: str) -> None:
    """Whatever the steps are called, no two names are equal, and every file system can hold them."""
    names = member_names(steps)

    assert len({name.casefold() for name in names}) == len(steps)
    for name in [*names, archive_name(instance), *(log_name(instance, step) for step in steps)]:
        assert len(name.encode()) <= 255
        assert name.endswith((".log", ".zip"))
        assert not set(name) & set('/\\:*?"<>|\u202e')
        assert name[0] not in ". "
