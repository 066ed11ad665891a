"""The image and the compose file name what there is."""

import re

import pytest
import yaml  # type: ignore[import-untyped]  # it ships no types

from memos_mcp.settings import Settings
from tests.docs.pages import ROOT
from tests.docs.stand_ins import check_compose

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())


def test_the_image_copies_files_that_exist() -> None:
    for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE):
        *sources, _ = line.split()
        assert all((ROOT / source).exists() for source in sources)


def test_the_compose_file_gives_settings_that_exist() -> None:
    given = set(COMPOSE["services"]["memos"]["environment"]) - {"PGPASSWORD"}
    assert given <= {f"MEMOS_{name.upper()}" for name in Settings.model_fields}


def test_the_page_on_docker_sets_what_the_compose_file_requires(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs/operations.md").read_text()
    (exported,) = re.findall(r"^export (.* QDRANT_API_KEY=.*)$", page, re.MULTILINE)
    for word in exported.split():
        monkeypatch.setenv(*word.split("="))
    check_compose()
