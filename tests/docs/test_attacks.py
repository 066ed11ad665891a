"""The table of attacks names tests that exist."""

import re

from tests.docs.pages import ROOT

MINIMUM = 40


def test_every_attack_of_the_table_is_a_test() -> None:
    section = (ROOT / "docs" / "security.md").read_text(encoding="utf-8").partition("## Attacks on HTTP\n")[2]
    rows = re.findall(r"^\| (.+) \| (.+) \| `(test_\w+)` \|$", section, re.MULTILINE)
    assert len(rows) == section.count("\n| ") - 1 >= MINIMUM
    assert len({attack for attack, _, _ in rows}) == len(rows)
    files = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    defined = {name for text in files for name in re.findall(r"^(?:async )?def (test_\w+)\(", text, re.MULTILINE)}
    assert [test for _, _, test in rows if test not in defined] == []
