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

from app import free_port

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
    # The token goes to *.hf.space alone, but its quota has a figure. Behind `again`, one of two Spaces is down.
    own = f'{{ space = "{space.url}", token = "hf_none" }}'
    down = f"http://127.0.0.1:{free_port()}"
    catalog = f'[models.z]\nspaces = [{own}]\n[models.again]\nspaces = [{own}, "{down}"]'
    hosts = Hosts(2, postgres, catalog=catalog, extra_host="http://127.0.0.1:*", metrics_key=FIGURES_KEY)
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


def expressions() -> dict[str, set[str]]:
    """The dashboard's, over a time that has passed, and the labels that the legend of each names."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    targets = [target for panel in panels for target in panel["targets"]]
    return {
        target["expr"].replace("$__rate_interval", "5m"): set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        for target in targets
    }


def test_a_dashboard_is_whole() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels), "ids are unique"
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken and place["x"] + place["w"] <= 24, f"{panel['title']} lies on another"
        taken |= cells
        sources = [panel["datasource"], *(target.get("datasource", panel["datasource"]) for target in panel["targets"])]
        assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources), panel
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references), panel
    assert [variable["name"] for variable in dashboard["templating"]["list"]] == ["datasource"]


def load(hosts: Hosts) -> None:
    """One of everything that has a figure. The first statement of all, on a database without tables, has failed."""
    urls = [host.url for host in hosts.running]
    for number, fields in enumerate([{}, {"model": "again", "prompt": "fault: exception"}, {}]):
        httpx.post(urls[number % 2] + PAGE, json=IMAGE | fields, headers=AUTHORIZED, timeout=60)
    task = httpx.post(urls[0] + PAGE, json=IMAGE | {"async": True}, headers=AUTHORIZED, timeout=60).json()
    with httpx.stream("POST", urls[1] + PAGE, json=IMAGE | {"stream": True, "n": 4, "steps": 400}, headers=AUTHORIZED):
        pass
    wait_until(
        lambda: httpx.get(f"{urls[1]}/v1/tasks/{task['id']}", headers=AUTHORIZED).json()["status"] == "succeeded"
    )
    names = ["image_retries_total", "clients_left_total", "tasks_ended_total", "token_exhausted", 'outcome="failed"']

    def is_there(name: str) -> bool:
        return any(known.startswith("zimage_") and name in known for known in figures(urls[0]))

    for name in names:
        wait_until(lambda name=name: is_there(name), f"{name} is missing")


def numbers(prometheus: Prometheus, expression: str) -> list[str]:
    """What there is to draw of an expression."""
    return [series["value"][1] for series in prometheus.query(expression) if series["value"][1] != "NaN"]


def test_prometheus_draws_the_dashboard_and_knows_the_alerts(hosts: Hosts) -> None:
    assert "10 rules" in promtool("check", "rules", ALERTS)
    urls = [host.url for host in hosts.running]
    load(hosts)
    known = {re.match(r"\w+", name)[0] for name in figures(urls[0])}
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
        # Between two scrapes, so that there is something to divide.
        assert httpx.post(urls[0] + PAGE, json=IMAGE, headers=AUTHORIZED, timeout=60).status_code == 200
        for expression, labels in expressions().items():
            # A rate takes two scrapes, and a quantile of nothing is no number.
            wait_until(lambda asked=expression: numbers(prometheus, asked), f"nothing to draw: {expression}")
            for series in prometheus.query(expression):
                assert labels <= set(series["metric"]), f"the legend of {expression} has {labels}: {series}"
        for expression in ["zimage_build_info", "histogram_quantile(0.5, zimage_image_generate_seconds_bucket)"]:
            assert len(prometheus.query(expression)) == 2, expression

        def rules() -> list[dict]:
            return [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]

        wait_until(lambda: all(rule["health"] == "ok" for rule in rules()), "a rule can't be evaluated")
        assert [rule["name"] for rule in rules() if rule["state"] != "inactive"] == []
    finally:
        prometheus.stop()
