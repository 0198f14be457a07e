"""Write the dashboards of deploy/grafana/dashboards from deploy/grafana/panels, or check them with `--check`.

The Helm chart gets copies of them and of the alerts, because Helm reads only files inside of a chart.

A file of panels holds rows of panels with their queries; layout, ids, variables and data sources are added here. The
description of a panel is the help of the metric that its first query asks for, so it says what to do when a line grows.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from processor.metric_catalogue import CATALOGUE

PANELS, DASHBOARDS = ROOT / "deploy/grafana/panels", ROOT / "deploy/grafana/dashboards"
ALERTS, CHART = ROOT / "deploy/prometheus/alerts.yaml", ROOT / "deploy/helm/gavel/files"
SOURCES = {
    "prometheus": {"type": "prometheus", "uid": "prometheus"},
    "clickhouse": {"type": "grafana-clickhouse-datasource", "uid": "clickhouse"},
}
WIDTH = 24
"""Columns of Grafana's grid."""
_SUFFIX = re.compile(r"_(total|bucket|sum|count)$")
_OTHERS = {
    "up": "Processes that answer Prometheus. If one does not answer, look at its log and at `gavel status`.",
    "process_resident_memory_bytes": "Memory of each process. If it grows without end, look at gavel_bytes_in_flight.",
    "process_cpu_seconds_total": "Cores that each process uses. If one stays near 1, start more processes of its role.",
    "process_start_time_seconds": "Restarts of processes. If it is above 0 without a roll-out, look at the log.",
}
"""Help of the metrics that are not Gavel's own."""


def description_of(panel: dict[str, Any]) -> str:
    """Return what a panel says about itself, or the help of the first metric that it asks for."""
    if "description" in panel:
        return str(panel["description"])
    for name in re.findall(r"\b(?:gavel_\w+|up|process_\w+)\b", panel["queries"][0]["expr"]):
        plain = _SUFFIX.sub("", name)
        for each in (name, plain):
            if each in _OTHERS:
                return _OTHERS[each]
            if each in CATALOGUE:
                return f"{CATALOGUE[each].help}."  # a name out of a text
    raise ValueError(f"panel {panel['title']}: its first query asks for no metric of the catalogue")


def target_json(number: int, query: dict[str, str], source: dict[str, str]) -> dict[str, Any]:
    """Return a query as Grafana reads it."""
    known = {"refId": chr(ord("A") + number), "datasource": source}
    if "sql" not in query:
        return {**known, "expr": query["expr"], "legendFormat": query["legend"]}
    series = query["as"] == "time_series"
    kind, form = ("timeseries", 0) if series else ("table", 1)
    return {**known, "editorType": "sql", "rawSql": query["sql"], "queryType": kind, "format": form}


def panel_json(number: int, panel: dict[str, Any], place: dict[str, int], source: dict[str, str]) -> dict[str, Any]:
    """Return a panel as Grafana reads it."""
    kind = panel.get("kind", "timeseries")
    defaults: dict[str, Any] = {"unit": panel["unit"]}
    if kind != "table":
        defaults["min"] = 0
    if panel["unit"] == "percentunit":
        defaults["max"] = 1
    options: dict[str, Any] = {}
    if kind == "stat":
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}}
    elif kind == "timeseries":
        legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
        options = {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    return {
        "id": number,
        "type": kind,
        "title": panel["title"],
        "description": description_of(panel),
        "datasource": source,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [target_json(index, query, source) for index, query in enumerate(panel["queries"])],
    }


def variable(name: str, query: str, source: dict[str, str], all_value: str | None) -> dict[str, Any]:
    """Return a variable of a dashboard that a query fills."""
    found: dict[str, Any] = {
        "name": name,
        "type": "query",
        "label": name.capitalize(),
        "datasource": source,
        "query": query if all_value is None else {"query": query, "refId": name},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "sort": 1,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }
    return found if all_value is None else {**found, "allValue": all_value}


def variables(kind: str) -> list[dict[str, Any]]:
    """Return the variables instance, team and evaluation, as far as a data source knows them."""
    source = SOURCES[kind]
    if kind == "clickhouse":
        recent = "FROM evaluation_results WHERE timestamp > now() - INTERVAL 30 DAY"
        evaluations = f"SELECT DISTINCT evaluation_id {recent} AND team_id IN (${{team:csv}}) ORDER BY evaluation_id"
        return [
            variable("team", f"SELECT DISTINCT team_id {recent} ORDER BY team_id LIMIT 1000", source, None),
            variable("evaluation", f"{evaluations} LIMIT 1000", source, None),
        ]
    return [
        variable("instance", 'label_values(up{job=~"gavel.*"}, instance)', source, ".*"),
        variable("team", "label_values(gavel_evaluation_results_total, team)", source, ".*"),
        variable("evaluation", 'label_values(gavel_evaluation_results_total{team=~"$team"}, evaluation)', source, ".*"),
    ]


def panels_json(rows: dict[str, list[dict[str, Any]]], source: dict[str, str]) -> list[dict[str, Any]]:
    """Return the panels of all rows, one row below the other, panels from left to right."""
    panels: list[dict[str, Any]] = []
    top = 0
    for name, content in rows.items():
        place = {"h": 1, "w": WIDTH, "x": 0, "y": top}
        head = {"id": len(panels) + 1, "type": "row", "title": name, "collapsed": False, "gridPos": place, "panels": []}
        panels.append(head)
        left, top, tallest = 0, top + 1, 0
        for panel in content:
            width, height = panel.get("width", 8), panel.get("height", 8)
            if left + width > WIDTH:
                left, top, tallest = 0, top + tallest, 0
            place = {"h": height, "w": width, "x": left, "y": top}
            panels.append(panel_json(len(panels) + 1, panel, place, source))
            left, tallest = left + width, max(tallest, height)
        top += tallest
    return panels


def dashboard(name: str, content: dict[str, Any]) -> dict[str, Any]:
    """Return a dashboard from the content of its file of panels."""
    link = {"type": "dashboards", "title": "Gavel", "tags": ["gavel"], "asDropdown": False, "includeVars": True}
    more = {"keepTime": True, "icon": "external link", "tooltip": "", "url": "", "targetBlank": False}
    return {
        "uid": f"gavel-{name}",
        "title": content["title"],
        "tags": ["gavel"],
        "schemaVersion": 41,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": variables(content["source"])},
        "annotations": {"list": []},
        "links": [{**link, **more}],
        "panels": panels_json(content["rows"], SOURCES[content["source"]]),
    }


def main(arguments: list[str]) -> int:
    """Write or check all dashboards; return the exit code."""
    stale = 0
    wanted = {CHART / "alerts.yaml": ALERTS.read_text(encoding="utf-8")}
    for source in sorted(PANELS.glob("*.yaml")):
        made = dashboard(source.stem, yaml.safe_load(source.read_text(encoding="utf-8")))
        text = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
        for folder in (DASHBOARDS, CHART / "dashboards"):
            wanted[folder / f"{source.stem}.json"] = text
    for path, text in wanted.items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if arguments == ["--check"]:
            print(f"{path.relative_to(ROOT)} is stale; run `make docs` and commit it", file=sys.stderr)
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"{path.relative_to(ROOT)} is written")
    return 1 if stale and arguments == ["--check"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
