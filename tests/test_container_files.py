"""What the container files promise: who runs as what, what is published, what must be set."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import yaml

from app.access.callers import address_of, networks
from library.errors import InvalidValue
from library.settings import Settings, from_environment
from synthorax.local import valkey
from tests.service.nginx import Nginx
from tests.test_health import PROBE_SECONDS
from tests.valkey import Confined

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
CPU: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.cpu.yml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
KUBERNETES: list[dict[str, Any]] = list(
    yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "synthorax.yaml").read_text())
)
OURS = ("api", "worker", "light", "generation")


def seconds(text: str) -> int:
    assert text.endswith("s")
    return int(text[:-1])


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_each_service_is_hardened(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert service["mem_limit"]
    assert service["cpus"]
    assert service["pids_limit"]
    assert "privileged" not in service
    assert not any("docker.sock" in str(volume) for volume in service.get("volumes", []))
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:"), "published on this machine alone"


def test_the_queue_keeps_what_it_is_told_and_nobody_outside_reaches_it() -> None:
    queue = COMPOSE["services"]["valkey"]
    words = queue["command"]
    after = dict(pairwise(words))
    assert after["--appendonly"] == "yes"
    assert after["--maxmemory-policy"] == "noeviction"
    assert after["--requirepass"].startswith("${SYNTHORAX_REDIS_PASSWORD:?")
    assert "ports" not in queue
    assert queue["networks"] == ["inside"]
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert queue["healthcheck"]["test"][1] == "valkey-cli"


def test_the_queue_starts_again_on_what_it_has_written() -> None:
    pod = next(pod for name, pod in pods() if name == "valkey")["securityContext"]
    assert COMPOSE["services"]["valkey"]["user"] == f"{pod['runAsUser']}:{pod['runAsGroup']}"
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("who becomes another user is root, with setpriv")
    with tempfile.TemporaryDirectory() as name:  # pytest's folders are closed to others
        folder = Path(name)
        folder.chmod(0o711)
        program = Path(shutil.copy(valkey.binary(), folder / "server"))
        (data := folder / "data").mkdir()
        os.chown(data, pod["runAsUser"], pod["runAsGroup"])  # as the image has it
        for start in range(3):
            with Confined(data, program) as server:
                assert server.client().incr("starts") == start + 1


def test_it_does_not_start_without_secrets() -> None:
    api = COMPOSE["services"]["api"]["environment"]
    assert api["SYNTHORAX_API_KEYS"].startswith("${SYNTHORAX_API_KEYS:?")
    assert "SYNTHORAX_TRUST_NETWORK" not in api
    for name in OURS:
        url = COMPOSE["services"][name]["environment"]["SYNTHORAX_REDIS_URL"]
        assert "${SYNTHORAX_REDIS_PASSWORD:?" in url
    # No secret has a default.
    text = (ROOT / "docker-compose.yml").read_text()
    assert not re.search(r"\$\{SYNTHORAX_(API_KEYS|REDIS_PASSWORD):-", text)


@pytest.mark.parametrize("given", ["", "PASSWORD", "…", "changeme", "set a password for Valkey"])
def test_container_files_with_placeholders_do_not_start(given: str) -> None:
    template = COMPOSE["services"]["api"]["environment"]["SYNTHORAX_REDIS_URL"]
    url = re.sub(r"\$\{SYNTHORAX_REDIS_PASSWORD:[^}]*\}", quote(given), template)
    with pytest.raises(InvalidValue, match="SYNTHORAX_REDIS_URL"):
        from_environment({"SYNTHORAX_REDIS_URL": url})
    secrets = list(yaml.safe_load_all((ROOT / "deploy/kubernetes/secret.yaml").read_text()))
    assert not any(value for each in secrets for value in each["stringData"].values())
    # As it lies there: no key and no Redis, so the API does not listen and a worker ends.
    with pytest.raises(InvalidValue, match="no API keys"):
        from_environment({**secrets[1]["stringData"], "SYNTHORAX_HOST": "0.0.0.0"})  # noqa: S104
    with pytest.raises(InvalidValue, match="API_KEYS"):
        from_environment({"SYNTHORAX_API_KEYS": given or "make one with synthorax keys new"})
    pod = next(pod for name, pod in pods() if name == "valkey")
    shell = subprocess.run(
        ["sh", "-c", pod["containers"][0]["args"][0]],
        env={"PASSWORD": "", "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert shell.returncode != 0
    assert "redis-password of secret.yaml" in shell.stderr


def test_a_forwarded_address_is_believed_of_the_own_proxy_alone() -> None:
    trusted = COMPOSE["services"]["api"]["environment"]["SYNTHORAX_TRUSTED_PROXIES"].split()
    assert trusted == [
        pool["subnet"] for each in COMPOSE["networks"].values() for pool in each["ipam"]["config"]
    ]
    known = networks(re.findall(r"(?<=:-)[^}]+", " ".join(trusted)))
    assert len(known) == 2
    assert not known[0].overlaps(known[1])
    assert all(network.num_addresses <= 128 for network in known)
    here, lab = str(known[1][2]), "172.16.4.7"  # nginx; a machine of the house
    assert address_of({"client": (here, 1)}, f"198.51.100.1, {lab}".encode(), known) == lab
    assert address_of({"client": (lab, 1)}, b"198.51.100.1", known) == lab
    settings = next(each for each in KUBERNETES if each["kind"] == "ConfigMap")["data"]
    assert settings["SYNTHORAX_TRUSTED_PROXIES"] == "", "nobody knows whose pods they are"


def test_the_card_is_by_the_runtime_and_can_be_left_out() -> None:
    for name in ("api", "worker", "generation"):
        assert COMPOSE["services"][name]["runtime"] == "${SYNTHORAX_RUNTIME:-nvidia}"
        assert CPU["services"][name]["runtime"] == "runc"
    assert "NVIDIA_VISIBLE_DEVICES=all" in DOCKERFILE
    assert "runtime" not in COMPOSE["services"]["light"]
    assert CPU["services"]["api"]["build"]["target"] == "api-cpu"


def test_ends_are_waited_for_longer_than_they_take() -> None:
    drain = Settings().drain_seconds
    assert seconds(COMPOSE["services"]["api"]["stop_grace_period"]) > drain + 3
    assert seconds(COMPOSE["services"]["worker"]["stop_grace_period"]) > 60
    for each in KUBERNETES:
        if each["kind"] == "Deployment":
            grace = each["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
            assert grace > (60 if each["metadata"]["name"] == "worker" else drain + 3)


def test_the_images_run_as_a_number_and_have_health_checks() -> None:
    targets = {name: body for name, body in re.findall(
        r"^FROM runtime AS (\S+)\n(.*?)(?=^FROM|\Z)", DOCKERFILE, re.M | re.S)}  # fmt: skip
    assert set(targets) == {"api", "api-cpu", "worker"}
    for body in targets.values():
        assert "HEALTHCHECK" in body
        assert "USER" not in body
    runtime = DOCKERFILE.partition("AS runtime\n")[2].partition("\nFROM")[0]
    assert re.search(r"^USER 10001$", runtime, re.M)
    assert "STOPSIGNAL SIGTERM" in runtime
    assert "venv-torch" not in targets["api-cpu"]
    for name in OURS:
        context = COMPOSE["services"][name].get("build", {}).get("target", "worker")
        assert context in targets


def test_every_folder_of_the_application_is_in_the_images() -> None:
    copied = set(re.findall(r"^COPY (\w+) \w+$", DOCKERFILE, re.M))
    floors = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert floors <= copied | {"tools"}
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", "data", "tests"} <= set(ignored)
    assert ignored.index("!docs/reports") > ignored.index("docs/*"), "the images copy them"


def pods() -> list[tuple[str, dict[str, Any]]]:
    return [(each["metadata"]["name"], each["spec"]["template"]["spec"])
            for each in KUBERNETES if each["kind"] in ("Deployment", "StatefulSet")]  # fmt: skip


@pytest.mark.parametrize(("name", "pod"), pods(), ids=[name for name, _ in pods()])
def test_each_pod_meets_the_restricted_standard(name: str, pod: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert container["livenessProbe"]
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            if kind in container:
                assert container[kind]["timeoutSeconds"] >= PROBE_SECONDS
        limits = container["resources"]["limits"]
        assert limits["memory"]
        assert ("nvidia.com/gpu" in limits) == (name in ("api", "worker"))
        mounted = {each["name"] for each in container["volumeMounts"]}
        assert name == "valkey" or {"data", "tmp"} <= mounted


def test_the_proxy_repeats_only_what_may_be_repeated() -> None:
    conf = (ROOT / "deploy" / "nginx.conf").read_text()
    generate = conf.partition("location = /generate {")[2].partition("}")[0]
    others = conf.replace(generate, "")
    assert "non_idempotent" in generate
    assert "non_idempotent" not in others
    assert conf.count("proxy_buffering off") == 2
    assert "proxy_request_buffering off" in others
    # Else refusals of all replicas would be nginx's 502.
    assert "server api:8000 resolve max_fails=0;" in conf


def test_the_proxy_passes_on_that_a_client_came_by_tls(tmp_path: Path) -> None:
    class Asked(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.send_header("Came-By", self.headers["X-Forwarded-Proto"])
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Asked) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            with Nginx(tmp_path / "nginx", [f"127.0.0.1:{server.server_port}"]) as nginx:
                for given, passed in (
                    ("https", "https"),
                    ("http", "http"),
                    ("x", "http"),
                    ("", "http"),
                ):
                    headers = {"X-Forwarded-Proto": given} if given else {}
                    assert httpx.get(nginx.url, headers=headers).headers["Came-By"] == passed
        finally:
            server.shutdown()
