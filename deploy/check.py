#!/usr/bin/env python3
"""Holds the compose file and the Helm chart against what reads them, without a cluster.

    python3 -m venv .venv
    .venv/bin/pip install helm-python-sdk==0.2.2 kubernetes-validate==1.37.0 pyyaml
    .venv/bin/python deploy/check.py

The chart is linted and rendered by Helm's own library, and every object is validated against the
schemas of Kubernetes. Of the compose file, every name that it refers to must be there; `docker
compose config` says more where it is installed.
"""

import tomllib
from pathlib import Path

import helm_python as helm
import kubernetes_validate
import yaml

FOLDER = Path(__file__).parent
CHART = str(FOLDER / "helm" / "phial")
KUBERNETES = ["1.27", "1.33", "1.37"]

UPSTREAM = '[[gateway.upstreams]]\nname = "x"\nbase_url = "https://h/v1"\nmodels = ["m"]\n'

VALUES = {
    "as it is": {},
    "everything": {
        "gateway": {
            "replicas": 3,
            "publicUrl": "https://phial.example.org",
            "trustedProxies": ["10.0.0.0/8"],
            "extraConfiguration": UPSTREAM,
        },
        "engine": {
            "replicas": 2,
            "extraArguments": ["--draft-tokens", "0"],
            "storage": {"className": "fast"},
        },
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "tlsSecret": "tls",
            "annotations": {"a/b": "c"},
        },
    },
    "no engine": {"engine": {"enabled": False}},
}

# Objects and upstreams that each case must come to.
EXPECTED = {"as it is": (7, 1), "everything": (8, 3), "no engine": (4, 0)}


def lint():
    report = helm.lint(CHART, strict=True)
    found = [m for m in report["messages"] if m["severity"] > 1] + report["errors"]
    assert not found, found


def objects(values):
    with helm.Chart.load(CHART) as chart:
        files = chart.render(values, name="demo", namespace="ns")
    for path, text in files.items():
        if path.endswith(".yaml"):
            yield from filter(None, yaml.safe_load_all(text))


def check_chart():
    lint()
    for case, values in VALUES.items():
        rendered = list(objects(values))
        for one in rendered:
            for version in KUBERNETES:
                kubernetes_validate.validate(one, version, strict=True)
        (text,) = [o["data"]["gateway.toml"] for o in rendered if o["kind"] == "ConfigMap"]
        gateway = tomllib.loads(text)["gateway"]
        counts = (len(rendered), len(gateway.get("upstreams", [])))
        assert counts == EXPECTED[case], (case, counts)
        print(f"chart, {case}: {counts[0]} objects are valid for Kubernetes {KUBERNETES}")


def check_compose():
    folder = FOLDER / "compose"
    compose = yaml.safe_load((folder / "compose.yaml").read_text())
    services = compose["services"]
    for name, service in services.items():
        for kind in ("networks", "secrets"):
            for one in service.get(kind, []):
                assert one in compose[kind], (name, one)
        for config in service.get("configs", []):
            assert config["source"] in compose["configs"], (name, config)
        for other in service.get("depends_on", {}):
            assert other in services, (name, other)
        if build := service.get("build"):
            assert (folder / build["context"] / build["dockerfile"]).is_file(), name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (folder / source).is_file(), (name, source)
            elif ":" in volume:
                assert source in compose["volumes"], (name, source)
    # The balancer's network is the one whose word on clients is believed.
    (subnet,) = compose["networks"]["front"]["ipam"]["config"]
    gateway = tomllib.loads((folder / "gateway.toml").read_text())["gateway"]
    assert gateway["trusted_proxies"] == [subnet["subnet"]]
    assert services["balancer"]["networks"] == ["front"]
    assert "front" not in services["engine"]["networks"] + services["database"]["networks"]
    print(f"compose: {len(services)} services refer to nothing that is missing")


if __name__ == "__main__":
    check_chart()
    check_compose()
