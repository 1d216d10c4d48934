"""docs/kubernetes.md and the cut-over of docs/migration.md: their values are those of k8s/drop-ins, which other tests run."""

import re
import socket

import yaml

from support import pages
from support_k8s import REPOSITORY, chart_fluentd_accepts, schema_errors, succeed
from support_pods import husks_in, values_of

PAGE, MIGRATION = REPOSITORY / "docs/kubernetes.md", REPOSITORY / "docs/migration.md"


def files_of(page, name):
    """The documents of a YAML file that the page shows."""
    (text,) = [block.text for block in pages.blocks_of(page) if block.value == name]
    return list(yaml.safe_load_all(text))


def comparable(node):
    """Without the name of the image, and without the comments in texts."""
    if isinstance(node, dict):
        return {key: comparable(value) for key, value in node.items() if key != "image"}
    if isinstance(node, list):
        return [comparable(each) for each in node]
    return re.sub(r"^\s*#.*\n", "", node, flags=re.MULTILINE) if isinstance(node, str) else node


def is_part(part, whole):
    """Each key of the part is in the whole, with the same value."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and is_part(value, whole[key]) for key, value in part.items())
    return part == whole


def drop_in(name):
    return yaml.safe_load((REPOSITORY / f"k8s/drop-ins/{name}.yaml").read_text())


def test_the_values_of_the_page_are_those_of_the_drop_ins():
    """The agents' drop-in has more: metrics, and the time that Fluent Bit flushes."""
    (aggregator,), (agent,) = files_of(PAGE, "aggregator-values.yaml"), files_of(PAGE, "agent-values.yaml")
    assert comparable(aggregator) == comparable(drop_in("fluentd"))
    assert is_part(comparable(agent), comparable(drop_in("fluent-bit")))
    assert {key for key in drop_in("fluent-bit") if key not in agent} == {"serviceMonitor", "extraPorts"}


def test_the_page_installs_the_versions_of_the_drop_ins():
    versions = re.findall(r"fluent/(\S+) --version (\S+)", PAGE.read_text())
    assert versions == [("fluentd", "0.6.0"), ("fluent-bit", "0.58.1")]
    for chart, version in versions:
        assert f'chart "{chart}" {version} ' in (REPOSITORY / f"k8s/drop-ins/{chart}.yaml").read_text()


def test_the_certificates_of_cert_manager_fit_the_containers(checkers):
    """Their Secrets are those that the Pods mount; their names are those that the two husks ask for."""
    certificates = files_of(PAGE, "certificates.yaml")
    assert schema_errors(checkers, certificates) == []
    client, server = (each["spec"] for each in certificates)
    for spec, mode, name in ((client, "client", "agent-values.yaml"), (server, "server", "aggregator-values.yaml")):
        (secret,) = values_of(files_of(PAGE, name), "secret")
        assert secret["secretName"] == spec["secretName"] and f"{mode} auth" in spec["usages"]
    (husk,), (peer,) = (list(husks_in(files_of(PAGE, f"{name}-values.yaml"))) for name in ("agent", "aggregator"))
    assert f"--allow-cn={client['commonName']}" in peer["args"]
    assert [f"--upstream={name}:24224" for name in server["dnsNames"]] == [husk["args"][2]]


# ---- from plaintext to TLS ---------------------------------------------------------------------------------


def test_both_ports_work_during_the_cut_over(tmp_path):
    """Fluentd has the old port and the port of husk; the Service has the old port and the new one."""
    (values,), (aggregator,) = files_of(MIGRATION, "cut-over.yaml"), files_of(PAGE, "aggregator-values.yaml")
    chart_fluentd_accepts({**aggregator["fileConfigs"], **values["fileConfigs"]}, tmp_path)
    sources = dict(re.findall(r"@type forward\n(?:bind (\S+)\n)?port (\d+)\n",
                              re.sub(r"^ +", "", values["fileConfigs"]["01_sources.conf"], flags=re.MULTILINE)))
    assert sources == {"": "24224", "127.0.0.1": "24225"}
    (husk,) = husks_in(aggregator)
    assert f"--upstream=127.0.0.1:{sources['127.0.0.1']}" in husk["args"]
    old, new = (port["containerPort"] for port in values["service"]["ports"])
    assert (old, new) == (24224, 24284)
    text = MIGRATION.read_text()
    for words in (f"`--listen=0.0.0.0:{new}`", f"`containerPort: {new}`", f"`--upstream=fluentd.logging.svc:{new}`"):
        assert words in text, words


def test_the_command_counts_the_plaintext_connections():
    """On this machine, for another port."""
    (command,) = re.findall(r"sh -c '(.*5EA0.*)'$", MIGRATION.read_text(), re.MULTILINE)
    assert 0x5EA0 == 24224

    def count():
        return int(succeed("sh", "-c", f"{command.replace('5EA0', f'{port:04X}')} || true"))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert count() == 0, "it only listens"
        with socket.create_connection(("127.0.0.1", port)):
            assert count() == 1
