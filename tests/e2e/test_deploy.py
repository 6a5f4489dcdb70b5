"""The files in deploy/: their form, their variables, and the proxies as `cargo xtask doctor` sees them."""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml
from host import KEY, ROOT, TARGET, Host
from liar import Liar
from waiting import wait_until

from app import free_port

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")

DEPLOY = ROOT / "deploy"
SCHEMAS = ROOT / "tests/deploy"
VARIABLES = tomllib.loads((ROOT / "spin.toml").read_text())["variables"]


def faults(schema: dict, value: object, kinds: dict, place: str = "") -> list[str]:
    """Faults of a value by a schema: JSON Schema's words, `values` for those of a map, and no field but the named."""
    schema = kinds[schema["$ref"]] if "$ref" in schema else schema
    if "enum" in schema:
        return [] if any(value is one or value == one for one in schema["enum"]) else [f"{place}: {value!r}"]
    types = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    if not isinstance(value, types[schema["type"]]) or (schema["type"] == "integer" and isinstance(value, bool)):
        return [f"{place}: {value!r} is no {schema['type']}"]
    found = []
    if isinstance(value, dict):
        found += [f"{place}: {name} is missing" for name in schema.get("required", []) if name not in value]
        for name, inner in value.items():
            known = schema.get("properties", {}).get(name, schema.get("values"))
            found += faults(known, inner, kinds, f"{place}.{name}") if known else [f"{place}: what is {name}?"]
    if isinstance(value, list):
        for index, inner in enumerate(value):
            found += faults(schema["items"], inner, kinds, f"{place}[{index}]")
    if "pattern" in schema and not re.search(schema["pattern"], str(value)):
        found.append(f"{place}: {value!r} isn't like {schema['pattern']}")
    return found


def test_a_fault_is_found() -> None:
    kinds = json.loads((SCHEMAS / "kubernetes.json").read_text())
    variable = {"name": "a", "valueFrom": {"secretKeyRef": {"name": "b", "key": "c"}}}
    assert not faults(kinds["Variable"], variable, kinds)
    for wrong in ({}, {"name": 7}, {"name": "a", "volue": "b"}, {"name": "a", "valueFrom": {"secretKeyRef": {}}}):
        assert faults(kinds["Variable"], wrong, kinds), wrong
    assert faults(kinds["Metadata"], {"name": "A_b"}, kinds)


def test_compose() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert not faults(json.loads((SCHEMAS / "compose.json").read_text()), compose, {})
    services = compose["services"]
    for name, service in services.items():
        assert set(service["networks"]) <= set(compose["networks"]), name
        assert set(service.get("depends_on", {})) <= set(services), name
        mounted = {volume.split(":")[0] for volume in service.get("volumes", [])}
        for volume in mounted:
            there = (DEPLOY / volume).exists() if volume.startswith(".") else volume in compose["volumes"]
            assert there, volume
    build = services["images"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).exists()
    set_here = {name.removeprefix("SPIN_VARIABLE_").lower() for name in services["images"]["environment"]}
    assert set_here <= set(VARIABLES)
    assert services["images"]["read_only"] and "ports" not in services["images"], "only the proxy is seen from outside"
    for name in re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()):
        assert name in (DEPLOY / "compose.yaml").read_text().split("Start:")[0], f"nobody is told to set {name}"


def test_kubernetes() -> None:
    kinds = json.loads((SCHEMAS / "kubernetes.json").read_text())
    text = (DEPLOY / "spinkube.yaml").read_text()
    documents = {document["kind"]: document for document in yaml.safe_load_all(text)}
    assert set(documents) == {"SpinApp", "HorizontalPodAutoscaler", "CronJob"}
    for kind, document in documents.items():
        assert not faults(kinds[kind], document, kinds), kind
    app = documents["SpinApp"]
    assert "replicas" not in app["spec"], "the operator refuses them beside an autoscaler"
    assert documents["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == app["metadata"]["name"]
    for variable in app["spec"]["variables"]:
        assert variable["name"] in VARIABLES
        is_secret = VARIABLES[variable["name"]].get("secret", False)
        assert ("valueFrom" in variable) == is_secret, f"{variable['name']} is a secret, or none"
    for key in re.findall(r"key: ([\w.-]+)", text):
        assert f"--from-literal={key}=" in text, f"the secret lacks {key}"
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    assert app["spec"]["image"].endswith(f":{version}")


def test_the_image() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and line[0].isupper()]
    stages = [argument for name, argument in steps if name == "FROM"]
    assert len(stages) == 2 and not any(":latest" in stage or ":" not in stage for stage in stages)
    assert [argument for name, argument in steps if name == "USER"] == ["65532:65532"]
    copied = [word for name, argument in steps if name == "COPY" for word in argument.split()]
    components = tomllib.loads((ROOT / "spin.toml").read_text())["component"].values()
    for component in components:
        assert f"/source/{component['source']}" in copied, "a component isn't in the image"
        assert str(Path(component["source"]).parent) + "/" in copied
    entry = json.loads(next(argument for name, argument in steps if name == "ENTRYPOINT"))
    options = subprocess.run([TARGET / "release/z-image-host", "--help"], capture_output=True, text=True).stdout
    assert all(word in options for word in entry if word.startswith("--"))
    check = json.loads(next(argument for name, argument in steps if name == "HEALTHCHECK").split("CMD ")[1])
    assert check[:2] == ["/bin/bash", "-c"] and "/healthz" in check[2]
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert "target" in ignored and ".git" in ignored and not {"src", "crates", "assets", "wit", "fuzz"} & set(ignored)


def test_the_images_health_check(host: Host) -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    check = json.loads(next(line for line in lines if line.startswith("HEALTHCHECK")).split("CMD ")[1])
    port = host.url.rsplit(":", 1)[1]
    for address, expected in ((port, True), ("1", False)):
        command = [*check[:2], check[2].replace("3000", address)]
        assert (subprocess.run(command, capture_output=True, timeout=60).returncode == 0) is expected


@pytest.mark.parametrize("name", ["runtime-config.toml", "runtime-config.libsql.toml"])
def test_runtime_configuration(name: str) -> None:
    config = tomllib.loads((DEPLOY / name).read_text())
    assert config["outbound_networking"]["block_networks"] == ["private"]
    assert config["outbound_http"]["connection_pooling"] is True
    assert config["sqlite_database"]["default"]["type"] == ("libsql" if "libsql" in name else "spin")


def test_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze") or pytest.skip("systemd-analyze is not here")
    unit = (DEPLOY / "z-image-2api.service").read_text()
    for name in re.findall(r"SPIN_VARIABLE_(\w+)=", unit):
        assert name.lower() in VARIABLES
    command = next(line for line in unit.splitlines() if line.startswith("ExecStart=")).split()
    options = subprocess.run([TARGET / "release/z-image-host", "--help"], capture_output=True, text=True).stdout
    assert all(word in options for word in command if word.startswith("--"))
    # The program isn't where it will be.
    file = tmp_path / "z-image-2api.service"
    file.write_text(unit.replace("ExecStart=/opt/z-image-2api/z-image-host", "ExecStart=/bin/true"))
    done = subprocess.run([program, "verify", file], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "z-image" not in done.stderr, done.stderr


@contextmanager
def running(command: list[str | Path], url: str, environment: dict[str, str], ca: Path | None = None) -> Iterator[None]:
    """A proxy, until the end of the block."""
    trusted = ssl.create_default_context(cafile=ca)
    process = subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.PIPE, text=True)

    def answers() -> bool:
        assert process.poll() is None, process.stderr.read()
        try:
            return httpx.get(f"{url}/healthz", verify=trusted).status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_until(answers, "the proxy doesn't answer")
        yield
    finally:
        process.terminate()
        process.communicate(timeout=30)


def doctor(url: str, ca: Path | None = None) -> str:
    environment = os.environ | ({"CURL_CA_BUNDLE": str(ca)} if ca else {})
    command = [TARGET / "debug/xtask", "doctor", "--url", url, "--key", KEY]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    return done.stdout + done.stderr


def test_caddy_passes_everything(slow: Liar, tmp_path: Path) -> None:
    program = shutil.which("caddy") or pytest.skip("caddy is not here")
    url = f"http://127.0.0.1:{free_port()}"
    host = Host(spaces=f"z={slow.url}", extra_host=slow.url, public_url=url)
    environment = {"SITE": url, "UPSTREAM": host.url.removeprefix("http://"), "HOME": str(tmp_path)}
    config = tmp_path / "Caddyfile"
    config.write_text("{\n\tadmin off\n}\n" + (DEPLOY / "Caddyfile").read_text())
    flags = ["--config", config, "--adapter", "caddyfile"]
    checked = subprocess.run([program, "validate", *flags], env=os.environ | environment, capture_output=True)
    assert checked.returncode == 0, checked.stderr
    with running([program, "run", *flags], url, environment):
        said = doctor(url)
    host.end()
    assert "ok    stream   events come one by one" in said and "all is well" in said, said


def test_nginx_passes_everything(slow: Liar, tmp_path: Path) -> None:
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or pytest.skip("nginx is not here")
    openssl = shutil.which("openssl") or pytest.skip("openssl is not here")
    key, certificate, port = tmp_path / "key.pem", tmp_path / "certificate.pem", free_port()
    url = f"https://localhost:{port}"
    host = Host(spaces=f"z={slow.url}", extra_host=slow.url, public_url=url)
    made = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    made += ["-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate]
    assert subprocess.run(made, capture_output=True).returncode == 0
    site = (DEPLOY / "nginx.conf").read_text()
    for there, here in (
        ("/etc/ssl/images.example/fullchain.pem", str(certificate)),
        ("/etc/ssl/images.example/privkey.pem", str(key)),
        ("server 127.0.0.1:3000;", f"server {host.url.removeprefix('http://')};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("listen [::]:443 ssl;", ""),
        ("server_name images.example;", "server_name localhost;"),
    ):
        assert there in site
        site = site.replace(there, here)
    folders = " ".join(f"{name}_temp_path {tmp_path}/{name};" for name in ("client_body", "proxy", "fastcgi"))
    folders += f" uwsgi_temp_path {tmp_path}/uwsgi; scgi_temp_path {tmp_path}/scgi; access_log off;"
    config = tmp_path / "nginx.conf"
    config.write_text(f"daemon off; pid {tmp_path}/pid; error_log stderr; events {{}} http {{ {folders}\n{site}\n}}\n")
    checked = subprocess.run([program, "-t", "-c", config], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    with running([program, "-c", config], url, {}, certificate):
        said = doctor(url, certificate)
    host.end()
    assert "ok    stream   events come one by one" in said and "all is well" in said, said
