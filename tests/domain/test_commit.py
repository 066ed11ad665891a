"""Commits as memories."""

from datetime import UTC, datetime

import pytest

from memos_mcp.domain.commit import MAX_PATHS_CHARS, MAX_SHOWN, ChangedFile, Commit, without_addresses
from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.memory import MAX_METADATA_CHARS

HASH = "0123456789abcdef0123456789abcdef01234567"
FILES = [ChangedFile("src/cart.py", 12, 3), ChangedFile("logo.png"), ChangedFile("b.py", 1, 0, former="a/a.py")]


def commit(message: str = "Fix the total", *, parents: int = 1, files: list[ChangedFile] | None = None) -> Commit:
    return Commit(HASH, parents, "Ann Lee", 1_700_000_000, message, files)


def test_a_commit_is_a_memory_of_its_message_files_author_and_date() -> None:
    memory = commit("Fix the total\n\nEmpty carts had none.\n", files=FILES).new_memory("shop")
    memory.check()
    assert memory.content == (
        "Fix the total\n\nEmpty carts had none.\n\ncommit 0123456789ab by Ann Lee\n"
        "src/cart.py +12 -3\nlogo.png\na/a.py -> b.py +1 -0"
    )
    assert (memory.kind, list(memory.tags)) == ("episodic", ["commit"])
    assert memory.occurred_at == datetime.fromtimestamp(1_700_000_000, UTC)
    assert memory.metadata == {
        "source": "shop",
        "commit": HASH,
        "author": "Ann Lee",
        "files": 3,
        "paths": ["a/a.py", "b.py", "logo.png", "src/cart.py"],
        "folders": ["a", "src"],
    }


def test_a_commit_whose_changes_are_not_known_names_no_files() -> None:
    memory = commit().new_memory("shop")
    assert memory.content == "Fix the total\n\ncommit 0123456789ab by Ann Lee"
    assert memory.metadata == {"source": "shop", "commit": HASH, "author": "Ann Lee"}


def test_the_most_changed_of_many_files_are_shown_and_the_others_are_counted() -> None:
    files = [ChangedFile(f"src/{'long' * 30}/{number:05}.py", number, 0) for number in range(5_000)]
    memory = commit(files=files).new_memory("shop")
    memory.check()
    *_, first, last = memory.content.split("\n")[-MAX_SHOWN - 1 :]
    assert first.endswith("04999.py +4999 -0")
    assert last == f"and {5_000 - MAX_SHOWN} more files"
    assert memory.metadata["files"] == 5_000
    assert 10 < len(memory.metadata["paths"]) < MAX_PATHS_CHARS / 100
    assert len(str(memory.metadata)) < MAX_METADATA_CHARS


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Signed-off-by: Ann Lee <ann@example.org>", "Signed-off-by: Ann Lee"),
        ("Co-authored-by: Bob <1+bob@users.noreply.github.com>\nx", "Co-authored-by: Bob\nx"),
        ("Reported-by: root <root@localhost>", "Reported-by: root"),
        ("Reported-by: Zoë <zoë@bücher.example>", "Reported-by: Zoë"),
        ("ask ann.lee+git@mail.example.org, please", "ask [e-mail], please"),
        ("Link: https://lore.example/r/20240101-1-ann@example.org", "Link: https://lore.example/r/[e-mail]"),
        ("mailto:ann@example.org", "mailto:[e-mail]"),
        ("update react@18.2.0 and @types/node@20.1.0", "update react@18.2.0 and @types/node@20.1.0"),
        ("use @property and logo@2x.png", "use @property and logo@2x.png"),
        ("a <b> and c@d", "a <b> and c@d"),
    ],
)
def test_addresses_are_removed_from_messages(message: str, expected: str) -> None:
    assert without_addresses(message) == expected


@pytest.mark.parametrize(
    ("author", "expected"), [("ann@example.org", "ann"), ("Ann <ann@example.org>", "Ann"), ("", "")]
)
def test_an_author_whose_name_is_an_address_has_no_address(author: str, expected: str) -> None:
    memory = Commit(HASH, 1, author, 0, "x").new_memory("shop")
    assert memory.metadata["author"] == expected
    assert "@" not in memory.content


def test_a_long_message_is_searched_for_addresses_in_linear_time() -> None:
    assert without_addresses("a" * 200_000 + " x@y.z" + "." * 1_000).startswith("aaa")


@pytest.mark.parametrize(
    "message",
    [
        "Merge branch 'cart'",
        "Merge branches 'a' and 'b' into main\n\n# Conflicts:\n#\tsrc/cart.py\n",
        "Merge remote-tracking branch 'origin/main'",
        "Merge pull request #7 from ann/cart",
        "Merge branch 'cart' into 'main'\n\nSee merge request shop/web!7",
        "Merge branch 'x'\n\nConflicts:\n\tsrc/cart.py\n\nSigned-off-by: Ann <ann@example.org>",
        "Merged in cart (pull request #7)",
        "",
    ],
)
def test_a_merge_that_git_described_has_no_reason(message: str) -> None:
    assert not commit(message, parents=2).has_reason


@pytest.mark.parametrize(
    ("message", "parents"),
    [
        ("Merge pull request #7 from ann/cart\n\nFix the total of empty carts", 2),
        ("Merge tag 'v6.1' of git://example.org/x\n\nPull fixes:\n - one", 2),
        ("Bring the cart back", 2),
        ("Merge branch 'cart'", 1),
    ],
)
def test_a_commit_that_somebody_described_has_a_reason(message: str, parents: int) -> None:
    assert commit(message, parents=parents).has_reason


def test_a_date_out_of_range_is_refused() -> None:
    with pytest.raises(Invalid, match="out of range"):
        Commit(HASH, 1, "Ann", 10**17, "x").new_memory("shop")
