"""The log's lines and the figures of two hosts before one database, read as operators do: by Prometheus itself."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from database import Postgres
from host import KEY, ROOT, Hosts, Space
from prometheus import Prometheus, promtool
from waiting import wait_until

pytestmark = pytest.mark.timed

FIGURES_KEY = "figures-0123456789abcdef"
AUTHORIZED = {"authorization": f"Bearer {KEY}"}
PAGE = "/v1/images/generations"
IMAGE = {"prompt": "a fox", "size": "256x256", "steps": 1}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ALERTS = ROOT / "deploy/alerts.yml"
DASHBOARD = ROOT / "deploy/grafana.json"


@pytest.fixture(scope="module")
def hosts(postgres: Postgres) -> Iterator[Hosts]:
    space = Space(sys.executable, "--step-seconds", "0.01")
    hosts = Hosts(2, postgres, spaces=f"z={space.url}", extra_host=space.url, metrics_key=FIGURES_KEY)
    yield hosts
    try:
        hosts.stop()
    finally:
        space.stop()
    assert FIGURES_KEY not in "".join(hosts.log)


def scrape(url: str, **headers: str) -> httpx.Response:
    return httpx.get(f"{url}/metrics", headers={"authorization": f"Bearer {FIGURES_KEY}"} | headers, timeout=60)


def figures(url: str) -> dict[str, float]:
    """Figures of a scrape by their names and labels."""
    answer = scrape(url)
    assert answer.status_code == 200, answer.text
    samples = [line.rpartition(" ") for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(number) for name, _, number in samples}


def counted(url: str) -> dict[str, float]:
    """Those of images and their requests, which nothing else changes."""
    meant = re.compile(r"zimage_(images|image_|requests_total\{route=\"/v1/images)")
    return {name: number for name, number in figures(url).items() if meant.match(name)}


def ended(hosts: Hosts, route: str) -> list[dict]:
    """The lines of requests of that route that have ended, of all hosts."""
    lines = [line for host in hosts.running for line in list(host.log) if line.startswith("{")]
    records = [json.loads(line) for line in lines]
    return [record for record in records if record.get("event") == "request" and record.get("route") == route]


def test_a_request_has_a_line_when_it_ends(hosts: Hosts) -> None:
    url = hosts.running[0].url
    trace = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    made = httpx.post(url + PAGE, json=IMAGE | {"n": 2}, headers=AUTHORIZED | trace, timeout=60)
    assert made.status_code == 200, made.text
    wait_until(lambda: ended(hosts, PAGE))
    [line] = [line for line in ended(hosts, PAGE) if line["request_id"] == made.headers["x-request-id"]]
    assert (line["status"], line["model"], line["images_made"], line["client_left"]) == (200, "z", 2, False)
    assert line["trace_id"] == TRACE
    assert line["bytes_sent"] == len(made.content)
    assert line["total_ms"] >= line["generate_ms"] > 0
    with httpx.stream(
        "POST", url + PAGE, json=IMAGE | {"stream": True, "n": 4, "steps": 400}, headers=AUTHORIZED
    ) as left:
        assert left.status_code == 200
    wait_until(lambda: any(line["client_left"] for line in ended(hosts, PAGE)), "nobody has seen the client leave")
    assert "a fox" not in "".join(hosts.running[0].log)


def test_both_hosts_answer_for_both(hosts: Hosts) -> None:
    urls = [host.url for host in hosts.running]
    before = counted(urls[0])
    name = 'zimage_requests_total{route="/v1/images/generations",status="200"}'
    for number in range(6):
        url = urls[number % 2]
        assert httpx.post(url + PAGE, json=IMAGE, headers=AUTHORIZED, timeout=60).status_code == 200
    wait_until(lambda: all(figures(url).get(name, 0) >= before[name] + 6 for url in urls), "some are not counted")
    wait_until(lambda: counted(urls[0]) == counted(urls[1]), "the hosts don't agree")
    seen = counted(urls[0])
    assert seen[name] == before[name] + 6
    made = [number for name, number in seen.items() if 'outcome="made"' in name]
    assert made == [sum(number for name, number in seen.items() if name.startswith("zimage_image_fetch_seconds_count"))]


def test_prometheus_finds_no_fault_with_the_figures(hosts: Hosts) -> None:
    url = hosts.running[1].url
    assert httpx.get(f"{url}/metrics").status_code == 401
    assert httpx.get(f"{url}/metrics", headers=AUTHORIZED).status_code == 401, "a client's key is another one"
    said = promtool("check", "metrics", text=scrape(url).text)
    assert not said.strip(), said
    openly = scrape(url, accept="application/openmetrics-text; version=1.0.0")
    assert openly.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert openly.text.endswith("# EOF\n")


def test_alerts_come_when_they_should(tmp_path: Path) -> None:
    def series(name: str, values: str, **labels: str) -> list[dict]:
        """A figure that both hosts give, as each of them gives that of the service."""
        written = "".join(f',{label}="{value}"' for label, value in labels.items())
        hosts = ["a", "b"]
        return [
            {"series": f'{name}{{job="z-image-2api",instance="{host}"{written}}}', "values": values} for host in hosts
        ]

    space = {"space": "a/b"}
    given = [
        *series("zimage_images_total", "0+1x90", model="z", **space, outcome="failed"),
        *series("zimage_images_total", "0+4x90", model="z", **space, outcome="made"),
        *series("zimage_images_total", "0+1x90", model="well", **space, outcome="failed"),
        *series("zimage_images_total", "0+19x90", model="well", **space, outcome="made"),
        *series("zimage_requests_total", "0+5x90", route=PAGE, status="200"),
        *series("zimage_requests_total", "0+9x90", route="/readyz", status="503"),
        *series("zimage_breaker_state", "0x30 1x60", **space, state="open"),
        *series("zimage_breaker_state", "1x30 0x60", **space, state="closed"),
        *series("zimage_token_exhausted", "1x90", **space, token="1"),
        *series("zimage_token_exhausted", "0x90", **space, token="2"),
        *series("zimage_tasks", "3x90", status="queued"),
        *series("zimage_database_up", "1x90"),
    ]
    # The names of those that are there, at that minute.
    expected = {
        10: set(),
        45: {"ZImageImagesFail", "ZImageNoSpace", "ZImageTasksStuck"},
        85: {"ZImageImagesFail", "ZImageNoSpace", "ZImageSpaceResting", "ZImageTasksStuck"},
    }
    names = re.findall(r"- alert: (\w+)", ALERTS.read_text())
    count = {name: f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)' for name in names}

    def sample(name: str, minute: int) -> dict:
        value = 1 if name in expected[minute] else 0
        return {"expr": count[name], "eval_time": f"{minute}m", "exp_samples": [{"labels": "{}", "value": value}]}

    tests = [sample(name, minute) for name in names for minute in expected]
    file = {
        "rule_files": [str(ALERTS)],
        "tests": [{"interval": "1m", "input_series": given, "promql_expr_test": tests}],
    }
    (tmp_path / "alerts.json").write_text(json.dumps(file))
    promtool("test", "rules", tmp_path / "alerts.json")


def expressions() -> list[str]:
    """The dashboard's, over a time that has passed."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    written = [target["expr"] for panel in panels for target in panel["targets"]]
    return [expression.replace("$__rate_interval", "1m") for expression in written]


def test_prometheus_draws_the_dashboard_and_knows_the_alerts(hosts: Hosts) -> None:
    assert "10 rules" in promtool("check", "rules", ALERTS)
    urls = [host.url for host in hosts.running]
    known = {re.match(r"\w+", name)[0] for name in figures(urls[0])}
    # Nothing has been tried again, no token is used up, and no statement has failed.
    known |= {"zimage_image_retries_total", "zimage_token_exhausted", "zimage_database_errors_total"}
    known |= {"zimage_tasks_ended_total", "zimage_clients_left_total"}
    for text in [*expressions(), ALERTS.read_text()]:
        used = set(re.findall(r"\bzimage_\w+", text))
        assert used <= known, f"{used - known} of {text}"
    prometheus = Prometheus("z-image-2api", urls, FIGURES_KEY, ALERTS)
    try:
        wait_until(lambda: len(prometheus.query("up == 1")) == 2, "Prometheus can't scrape both hosts")
        targets = prometheus.ask("targets", state="active")["activeTargets"]
        assert [target["lastError"] for target in targets] == ["", ""]
        name = 'zimage_requests_total{route="/v1/images/generations",status="200"}'
        wait_until(lambda: len(prometheus.query(name)) == 2)
        assert len({series["value"][1] for series in prometheus.query(name)}) == 1, "both tell the same"
        for expression in expressions():
            prometheus.query(expression)
        for expression in ["zimage_build_info", "histogram_quantile(0.5, zimage_image_generate_seconds_bucket)"]:
            assert len(prometheus.query(expression)) == 2, expression

        def rules() -> list[dict]:
            return [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]

        wait_until(lambda: all(rule["health"] == "ok" for rule in rules()), "a rule can't be evaluated")
        assert [rule["name"] for rule in rules() if rule["state"] != "inactive"] == []
    finally:
        prometheus.stop()
