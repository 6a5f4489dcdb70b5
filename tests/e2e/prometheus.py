"""A Prometheus server of the tests' own, and the program that checks what it would read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

import httpx
from waiting import wait_until

from app import free_port


def program(name: str) -> Path:
    """A program of Prometheus': in PROMETHEUS_BIN's folder, or one in PATH."""
    if named := os.environ.get("PROMETHEUS_BIN"):
        return Path(named) / name
    found = shutil.which(name)
    assert found, f"there is no {name}; `cargo xtask setup` gets one, and PROMETHEUS_BIN names its folder"
    return Path(found)


def promtool(*arguments: str | Path, text: str = "") -> str:
    """Words of promtool on something that it finds no fault with."""
    checked = subprocess.run([program("promtool"), *arguments], input=text, capture_output=True, text=True)
    said = checked.stdout + checked.stderr
    assert checked.returncode == 0, said
    return said


class Prometheus:
    """A server that scrapes those targets every second, and evaluates those rules, until ``stop``."""

    def __init__(self, job: str, targets: list[str], key: str, rules: Path) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log: list[str] = []
        self._folder = tempfile.TemporaryDirectory(prefix="z-image-prometheus-", ignore_cleanup_errors=True)
        folder = Path(self._folder.name)
        scrape = {
            "job_name": job,
            "authorization": {"credentials": key},
            "static_configs": [{"targets": [target.removeprefix("http://") for target in targets]}],
        }
        timing = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        config = {"global": timing, "scrape_configs": [scrape], "rule_files": [str(rules)]}
        # JSON is YAML.
        (folder / "prometheus.yml").write_text(json.dumps(config))
        promtool("check", "config", folder / "prometheus.yml")
        command = [program("prometheus"), f"--config.file={folder / 'prometheus.yml'}"]
        command += [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={self.url[7:]}"]
        options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(command, **options)
        threading.Thread(target=self.log.extend, args=[self._process.stderr], daemon=True).start()
        wait_until(self._is_ready, "Prometheus is not ready")

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, "".join(self.log)
        try:
            return httpx.get(f"{self.url}/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def ask(self, path: str, **parameters: str) -> dict:
        """The data that its API answers with."""
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[dict]:
        """The series that an expression gives now."""
        return self.ask("query", query=expression)["result"]

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._folder.cleanup()
