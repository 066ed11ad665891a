"""The manifests for Kubernetes: what they name exists, and they fit one another."""

from pathlib import Path
from shutil import which
from subprocess import run
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it ships no types
from pydantic import SecretStr

from memos_mcp.engine.client_connection import GRACE_SECONDS
from memos_mcp.settings import Settings
from memos_mcp.transports.http import GRACE_SECONDS as HTTP_GRACE_SECONDS
from tests.docs.pages import ROOT

FOLDER = ROOT / "deploy/kubernetes"
LABELS = {"app.kubernetes.io/name": "memos-as"}
NAMES = {f"MEMOS_{name.upper()}": field for name, field in Settings.model_fields.items()}


def manifest(name: str) -> dict[str, Any]:
    (parsed,) = yaml.safe_load_all((FOLDER / name).read_text())
    assert isinstance(parsed, dict)
    return parsed


POD = manifest("deployment.yaml")["spec"]["template"]["spec"]
(ENGINE,) = POD["containers"]
CONFIG = manifest("settings.yaml")["data"]


@pytest.mark.parametrize("folder", [FOLDER, FOLDER / "autoscaling"], ids=["base", "autoscaling"])
def test_every_manifest_is_a_resource_of_its_kustomization(folder: Path) -> None:
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted(file.name for file in folder.glob("*.yaml") if file.name != "kustomization.yaml")


def test_the_settings_exist_and_those_that_are_secret_come_from_the_secret() -> None:
    from_secret = {one["name"]: one["valueFrom"]["secretKeyRef"] for one in ENGINE["env"]}
    assert set(CONFIG) | set(from_secret) <= set(NAMES)
    is_secret = {name for name in CONFIG | from_secret if NAMES[name].annotation == SecretStr | None}
    assert is_secret == set(from_secret)
    assert all(ref == {"name": "memos-as", "key": name} for name, ref in from_secret.items())


def test_an_engine_has_time_to_drain_after_the_service_has_noticed() -> None:
    drain = float(CONFIG["MEMOS_DRAIN_SECONDS"])
    assert ENGINE["readinessProbe"]["periodSeconds"] * ENGINE["readinessProbe"]["failureThreshold"] * 2 < drain
    assert drain + HTTP_GRACE_SECONDS + GRACE_SECONDS < POD["terminationGracePeriodSeconds"]


def test_the_probes_ask_by_a_name_that_is_allowed() -> None:
    paths = {}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        request = ENGINE[probe]["httpGet"]
        (header,) = request["httpHeaders"]
        assert header == {"name": "Host", "value": CONFIG["MEMOS_ALLOWED_HOSTS"].split(",")[-1]}
        paths[probe] = request["path"]
    assert paths == {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/healthz"}


def test_an_engine_runs_without_privileges_as_the_user_of_the_image() -> None:
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert f"USER {POD['securityContext']['runAsUser']}\n" in (ROOT / "Dockerfile").read_text()
    assert POD["automountServiceAccountToken"] is False
    assert ENGINE["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {mount["mountPath"] for mount in ENGINE["volumeMounts"]} == {"/data", "/tmp"}
    assert ENGINE["resources"]["requests"].keys() == {"cpu", "memory"}


def test_all_selectors_select_the_engines() -> None:
    template = manifest("deployment.yaml")["spec"]
    assert template["template"]["metadata"]["labels"] == LABELS == template["selector"]["matchLabels"]
    assert manifest("service.yaml")["spec"]["selector"] == LABELS
    assert manifest("disruption-budget.yaml")["spec"]["selector"]["matchLabels"] == LABELS
    assert manifest("network-policy.yaml")["spec"]["podSelector"]["matchLabels"] == LABELS
    target = manifest("autoscaling/autoscaler.yaml")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", manifest("deployment.yaml")["metadata"]["name"])


def test_an_upgrade_starts_a_new_engine_before_it_stops_one() -> None:
    spec = manifest("deployment.yaml")["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


@pytest.mark.skipif(which("kubectl") is None, reason="needs kubectl")
def test_kustomize_renders_the_manifests_with_and_without_the_autoscaler(tmp_path: Path) -> None:
    (tmp_path / "kubernetes").symlink_to(FOLDER)
    replicas = {}
    for name, components in (("base", ""), ("scaled", "components: [../kubernetes/autoscaling]\n")):
        overlay = tmp_path / name
        overlay.mkdir()
        (overlay / "kustomization.yaml").write_text(f"resources: [../kubernetes]\n{components}")
        command = ["kubectl", "kustomize", "--load-restrictor=LoadRestrictionsNone", str(overlay)]
        rendered = run(command, capture_output=True, text=True, check=True).stdout
        (deployment,) = [one for one in yaml.safe_load_all(rendered) if one["kind"] == "Deployment"]
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert container["image"] == "registry.example.com/memos-as:1.0.0"
        replicas[name] = deployment["spec"].get("replicas")
    assert replicas == {"base": 2, "scaled": None}
