import pytest

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.scope import Scope
from memos_mcp.engine.admission import Verdict, judge, scope_of

DATABASE = ["MEMOS_DATABASE_URL"]


@pytest.mark.parametrize("others", [False, True])
@pytest.mark.parametrize("foreground", [False, True])
def test_a_client_of_the_same_version_and_settings_is_welcome(others: bool, foreground: bool) -> None:
    assert judge("1.2.0", "1.2.0", [], others=others, foreground=foreground) == Verdict("welcome")


@pytest.mark.parametrize(("others", "differing"), [(False, []), (True, []), (False, DATABASE)])
def test_a_newer_client_gets_an_engine_of_its_own_version(others: bool, differing: list[str]) -> None:
    verdict = judge("1.2.0", "1.10.0", differing, others=others, foreground=False)
    assert verdict == Verdict("leaving", "memos-as 1.10.0 takes over from 1.2.0")


def test_a_newer_client_is_served_by_a_foreground_engine_with_a_note() -> None:
    verdict = judge("1.2.0", "1.3.0", [], others=False, foreground=True)
    assert verdict.answer == "welcome"
    assert verdict.note is not None
    assert "1.2.0" in verdict.note


def test_an_older_client_is_served_with_a_note() -> None:
    verdict = judge("1.2.0", "1.1.0", [], others=False, foreground=False)
    assert verdict.answer == "welcome"
    assert verdict.note == "a newer engine, 1.2.0, serves this client of version 1.1.0"


def test_other_settings_replace_an_engine_without_other_clients() -> None:
    verdict = judge("1.2.0", "1.2.0", DATABASE, others=False, foreground=False)
    assert verdict == Verdict("leaving", "the next client has other settings: MEMOS_DATABASE_URL")


@pytest.mark.parametrize("version", ["1.1.0", "1.2.0", "1.3.0"])
@pytest.mark.parametrize(("others", "foreground"), [(True, False), (True, True), (False, True)])
def test_other_settings_are_refused_by_name_when_the_engine_is_in_use(
    version: str, others: bool, foreground: bool
) -> None:
    verdict = judge("1.2.0", version, [*DATABASE, "MEMOS_QDRANT_URL"], others=others, foreground=foreground)
    assert verdict.answer == "refused"
    assert verdict.reason is not None
    assert "MEMOS_DATABASE_URL, MEMOS_QDRANT_URL" in verdict.reason
    assert "MEMOS_HOME of its own" in verdict.reason


def test_an_answer_has_only_the_fields_that_are_set() -> None:
    assert Verdict("welcome").payload() == {"answer": "welcome"}
    assert Verdict("refused", "no").payload() == {"answer": "refused", "reason": "no"}


@pytest.mark.parametrize("names", [("", "a"), ("n", "\n"), ("n", None), (1, "a"), ("n" * 256, "a")])
def test_a_scope_that_cannot_be_stored_is_refused(names: tuple[object, object]) -> None:
    with pytest.raises(Invalid, match="MEMOS_"):
        scope_of(*names)


def test_a_scope_has_the_given_names() -> None:
    assert scope_of("team", "tester") == Scope("team", "tester")
