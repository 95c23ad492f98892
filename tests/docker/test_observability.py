"""The dashboard, the alerts and what starts them: whether they parse, and ask for what Weir has."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.telemetry.test_docs import exposed

if not os.environ.get("WEIR_CI"):
    pytest.importorskip("promql_parser")
import promql_parser

DOCKER = Path(__file__).parents[2] / "docker"
BOARD: dict[str, Any] = json.loads((DOCKER / "grafana" / "weir.json").read_text(encoding="utf-8"))
ALERTS = yaml.safe_load((DOCKER / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))


def queries() -> Iterator[str]:
    for panel in BOARD["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"].replace("$__rate_interval", "5m").replace("$route", ".*")
    for group in ALERTS["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


@pytest.mark.parametrize("query", sorted(set(queries())))
def test_a_query_asks_for_what_there_is(query: str) -> None:
    promql_parser.parse(query)
    known = exposed()
    names = set(re.findall(r"\bweir_\w+", query))
    assert names
    labels: set[str] = {"le"}
    for name in names:
        kind, own = known.get(name) or known[re.sub(r"_(bucket|sum|count)$", "", name)]
        assert (kind == "histogram") is (name not in known)
        assert kind != "counter" or "rate(" in query or "increase(" in query
        labels |= set(own)
    asked = re.findall(r"(\w+)(?:=|!=|=~|!~)\"", query)
    asked += [one.strip() for group in re.findall(r"by \(([^)]*)\)", query) for one in group.split(",")]
    assert set(asked) <= labels


def test_the_board_is_whole() -> None:
    panels = BOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not own & cells and at["x"] + at["w"] <= 24, panel["title"]
        cells |= own
    shown = set(re.findall(r"weir_[a-z_]+?(?=_bucket|_sum|_count|\W|$)", "\n".join(queries())))
    assert {name for name, (kind, _) in exposed().items() if kind == "histogram"} <= shown


def test_what_is_mounted_is_there_and_points_to_each_other() -> None:
    services = yaml.safe_load((DOCKER / "compose.observability.yaml").read_text(encoding="utf-8"))["services"]
    for one in services.values():
        assert one["network_mode"] == "host" and "no-new-privileges:true" in one["security_opt"]
        assert not one.get("image", ":").endswith(":latest")
        for mount in one["volumes"]:
            source = mount.split(":")[0]
            assert not source.startswith(".") or (DOCKER / source).is_dir()
    assert "--web.listen-address=127.0.0.1:9090" in services["prometheus"]["command"]
    assert services["grafana"]["environment"]["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"
    provisioning = DOCKER / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text(encoding="utf-8"))["datasources"]
    (folder,) = yaml.safe_load((provisioning / "dashboards" / "weir.yaml").read_text(encoding="utf-8"))["providers"]
    assert source["url"] == "http://127.0.0.1:9090"
    assert {p["datasource"]["uid"] for p in BOARD["panels"] if "datasource" in p} == {source["uid"]}
    assert f"./grafana:{folder['options']['path']}:ro" in services["grafana"]["volumes"]
    scraped = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    assert scraped["scrape_configs"][0]["static_configs"][0]["targets"] == ["127.0.0.1:8080"]
    assert all((DOCKER / "prometheus" / name).is_file() for name in scraped["rule_files"])
