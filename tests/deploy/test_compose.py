"""The Compose file of a fleet: what it pins, limits and connects."""

import re
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it ships no types

from memos_mcp.engine.client_connection import GRACE_SECONDS
from memos_mcp.settings import Settings
from memos_mcp.transports.http import GRACE_SECONDS as HTTP_GRACE_SECONDS
from tests.docs.pages import ROOT

FOLDER = ROOT / "deploy/compose"
TEXT = (FOLDER / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]
ENGINES = [name for name in SERVICES if name.startswith("engine-")]
NODES = [name for name in SERVICES if name.startswith("qdrant-")]
PROXY = (FOLDER / "haproxy.cfg").read_text()
OF_THE_DRIVER = {"PGPASSWORD"}


def seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_limits_and_no_privileges(name: str) -> None:
    service = SERVICES[name]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "healthcheck" in service or name in ENGINES, "the image of the engines has a check of its own"
    assert service["restart"] == "unless-stopped"


def test_nothing_is_written_to_the_root_file_system_of_an_engine() -> None:
    alone = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["memos"]
    for service in [alone, *(SERVICES[name] for name in ENGINES)]:
        assert (service["read_only"], service["tmpfs"]) == (True, ["/tmp"])


def test_every_image_is_pinned_to_a_release() -> None:
    for service in SERVICES.values():
        name, _, tag = service["image"].partition(":")
        assert (
            tag.startswith("${MEMOS_TAG:?") if name == "memos-as" else re.fullmatch(r"v?\d+\.\d+(\.\d+)?-[a-z]+", tag)
        )


def test_the_engines_are_given_settings_that_exist_and_time_to_drain() -> None:
    assert len(ENGINES) == 2
    for name in ENGINES:
        given = SERVICES[name]["environment"]
        assert set(given) - OF_THE_DRIVER <= {f"MEMOS_{setting.upper()}" for setting in Settings.model_fields}
        took = float(given["MEMOS_DRAIN_SECONDS"]) + HTTP_GRACE_SECONDS + GRACE_SECONDS
        assert 0 < took < seconds(SERVICES[name]["stop_grace_period"])
    volumes = [SERVICES[name]["volumes"][0].partition(":")[0] for name in ENGINES]
    assert len(set(volumes)) == len(ENGINES), "two engines cannot share a data folder"


def test_the_engines_ask_every_node_for_shards_that_survive_the_loss_of_one() -> None:
    given = SERVICES[ENGINES[0]]["environment"]
    assert given["MEMOS_QDRANT_URL"].split(",") == [f"http://{node}:6333" for node in NODES]
    assert len(NODES) == 3
    assert int(given["MEMOS_QDRANT_REPLICAS"]) == 2
    assert int(given["MEMOS_QDRANT_SHARDS"]) % len(NODES) == 0
    first, *others = NODES
    assert "--bootstrap" not in SERVICES[first]["command"]
    for node in NODES:
        assert f"http://{node}:6335" in SERVICES[node]["command"]
        assert SERVICES[node]["environment"]["QDRANT__CLUSTER__ENABLED"] == "true"
    for node in others:
        assert f"http://{first}:6335" in SERVICES[node]["command"]


def test_only_the_engines_reach_the_stores_and_only_the_proxy_is_published() -> None:
    assert COMPOSE["networks"]["back"] == {"internal": True}
    for name, service in SERVICES.items():
        is_store = name == "postgres" or name in NODES
        assert service["networks"] == (["back"] if is_store else ["front", "back"] if name in ENGINES else ["front"])
        assert ("ports" in service) == (name == "proxy")
    assert SERVICES["proxy"]["ports"] == ["127.0.0.1:8766:8766"]


def test_the_proxy_is_given_each_engine() -> None:
    assert SERVICES["proxy"]["environment"] == {f"ENGINE_{name[-1]}": f"{name}:8766" for name in ENGINES}
    for name in ENGINES:
        assert PROXY.count(f'server {name} "${{ENGINE_{name[-1]}}}"') == 2


def test_no_secret_has_a_value_in_the_file() -> None:
    for secret in ("MEMOS_AUTH_TOKEN", "PGPASSWORD", "MEMOS_QDRANT_API_KEY", "POSTGRES_PASSWORD", "SERVICE__API_KEY"):
        assert re.findall(rf"{secret}: (.)", TEXT)
        assert set(re.findall(rf"{secret}: (.)", TEXT)) == {"$"}
