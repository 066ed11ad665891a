"""The benchmark of a fleet, with few kills: it also shows that two versions serve side by side under load."""

import random
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import rolling_upgrade


@pytest.mark.slow
def test_clients_of_a_fleet_see_no_error_and_lose_nothing_while_engines_are_killed_and_upgraded() -> None:
    with TemporaryDirectory(prefix="memos-test-", ignore_cleanup_errors=True) as folder:
        tally = rolling_upgrade.run(Path(folder), 2, random.Random(9), quiet=True)
    assert (tally.kills, tally.upgraded, tally.restarts_on_newer_schema) == (2, 2, 1)
    assert tally.acknowledged > tally.during_upgrade > 0
    assert (tally.lost, tally.duplicates, tally.shown, tally.failed_clients) == (0, 0, [], [])
