"""The chart, rendered by Helm itself (its SDK) and held against Kubernetes' own schemas."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.config import load_config

CHART = Path(__file__).parents[2] / "docker" / "helm" / "weir"
KUBERNETES = ("1.29", "1.33", "1.37")
EVERYTHING: dict[str, Any] = {
    "policies": {"default": "version: 1\nname: default\nrules: []\n"},
    "env": [{"name": "WEIR_REDIS_URL", "value": "redis://redis:6379/0"}],
    "imagePullSecrets": [{"name": "pull"}],
    "gpu": {"enabled": True},
    "autoscaling": {"queueDepth": {"enabled": True}},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "podAnnotations": {"a/b": "c"}, "podLabels": {"team": "a"}, "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {"nodeAffinity": {}}, "priorityClassName": "high",
}  # fmt: skip


def needed(name: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return __import__(name)
    except ImportError:
        if os.environ.get("WEIR_CI"):
            pytest.fail(f"{name} is missing, and CI must have it")
        pytest.skip(f"{name} is not installed: pip install 'weir[chart]'")


def rendered(values: dict[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    """kind/name -> manifest."""
    with needed("helm_python").Chart.load(str(CHART)) as chart:
        files = chart.render(values or {}, name="demo", namespace="prod")
    parts = [one for name, text in files.items() if name.endswith(".yaml") for one in yaml.safe_load_all(text) if one]
    return {f"{one['kind']}/{one['metadata']['name']}": one for one in parts}


def pod(manifests: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return dict(manifests["Deployment/demo-weir"]["spec"]["template"]["spec"])


def test_the_chart_lints_clean() -> None:
    found = needed("helm_python").lint(str(CHART))
    assert found["errors"] == [] and [m for m in found["messages"] if m["severity"] > 1] == []


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["by itself", "with everything"])
@pytest.mark.parametrize("version", KUBERNETES)
def test_manifests_are_valid(values: dict[str, Any], version: str) -> None:
    validate = needed("kubernetes_validate")
    kinds = set()
    for manifest in rendered(values).values():
        kinds.add(manifest["kind"])
        if manifest["kind"] != "ServiceMonitor":  # the operator's, not Kubernetes'
            validate.validate(manifest, version, strict=True)
    usual = {"ConfigMap", "Deployment", "Service", "ServiceAccount", "HorizontalPodAutoscaler", "PodDisruptionBudget"}
    assert kinds == usual | {"NetworkPolicy"} | ({"ServiceMonitor"} if values else set())


def test_a_pod_has_no_rights_and_writes_nowhere_else() -> None:
    spec = pod(rendered())
    assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] == 10001
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"} and not spec["automountServiceAccountToken"]
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert {m["mountPath"]: m.get("readOnly", False) for m in container["volumeMounts"]} == {
        "/etc/weir/config": True, "/var/lib/weir": False, "/tmp": False,
    }  # fmt: skip


def test_what_has_begun_may_come_to_its_end() -> None:
    manifests = rendered({"drain": 120})
    spec = pod(manifests)
    wait = int(spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert spec["terminationGracePeriodSeconds"] >= wait + 120 + 5
    config = yaml.safe_load(manifests["ConfigMap/demo-weir-config"]["data"]["weir.yaml"])
    assert config["listen"] == {"host": "0.0.0.0", "port": 8080, "drain": "120s"}
    assert manifests["Deployment/demo-weir"]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["by itself", "with everything"])
def test_its_config_is_one_that_weir_loads(values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    monkeypatch.setenv("WEIR_KEY_SHA256", "0" * 64)
    manifests = rendered(values)
    for name in ("config", "policies"):
        (tmp_path / name).mkdir()
        data = manifests.get(f"ConfigMap/demo-weir-{name}", {}).get("data", {"default.yaml": "version: 1\nrules: []\n"})
        for file, text in data.items():
            (tmp_path / name / file).write_text(text)
    config = load_config(tmp_path / "config" / "weir.yaml")
    assert config.listen.drain == 25 and not config.is_open


def test_pods_are_new_for_a_changed_config_and_stay_for_a_changed_policy() -> None:
    def generation(values: dict[str, Any]) -> str:
        annotations = rendered(values)["Deployment/demo-weir"]["spec"]["template"]["metadata"]["annotations"]
        return str(annotations["checksum/config"])

    first = generation({"policies": {"default": "version: 1\n"}})
    assert generation({"policies": {"default": "version: 1\nrules: []\n"}}) == first
    assert generation({"config": {"limits": {"body": "1MiB"}}}) != first


def test_it_grows_with_the_queue_and_without_one_with_the_cpu() -> None:
    assert [m["type"] for m in rendered()["HorizontalPodAutoscaler/demo-weir"]["spec"]["metrics"]] == ["Resource"]
    queue, cpu = rendered(EVERYTHING)["HorizontalPodAutoscaler/demo-weir"]["spec"]["metrics"]
    assert queue["pods"]["metric"]["name"] == "weir_queue_depth" and cpu["resource"]["name"] == "cpu"
    fixed = rendered({"autoscaling": {"enabled": False}, "replicas": 5})
    assert fixed["Deployment/demo-weir"]["spec"]["replicas"] == 5 and "HorizontalPodAutoscaler/demo-weir" not in fixed
    assert "replicas" not in rendered()["Deployment/demo-weir"]["spec"]  # it is the autoscaler's


def test_only_who_may_can_ask_and_be_asked() -> None:
    spec = rendered()["NetworkPolicy/demo-weir"]["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["ingress"] == [{"from": [{"podSelector": {}}], "ports": [{"port": "http", "protocol": "TCP"}]}]
    assert {port["port"] for rule in spec["egress"] for port in rule.get("ports", [])} == {53, 443}


def test_secrets_are_referred_to_and_never_written() -> None:
    manifests = rendered({"secretName": "mine"})
    assert pod(manifests)["containers"][0]["envFrom"] == [{"secretRef": {"name": "mine"}}]
    assert "Secret" not in {one["kind"] for one in manifests.values()}
    assert "${OPENAI_API_KEY}" in manifests["ConfigMap/demo-weir-config"]["data"]["weir.yaml"]


def test_a_gpu_is_asked_for() -> None:
    assert pod(rendered({"gpu": {"enabled": True, "count": 2}}))["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 2


@pytest.mark.parametrize(
    "values", [{"worker": 2}, {"workers": 0}, {"config": {"keys": []}}, {"drain": "25s"}, {"policies": {"a/b": "x"}}]
)
def test_values_that_are_wrong_are_refused(values: dict[str, Any]) -> None:
    helm = needed("helm_python")
    with helm.Chart.load(str(CHART)) as chart, pytest.raises(helm.HelmValuesError):
        chart.render(values, name="demo", namespace="prod")
