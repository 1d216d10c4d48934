"""husk config: the configuration that would run, as a file."""

import pytest

from support import yaml_core
from support.husk import flags, run

OPTIONS = ["--listen", "127.0.0.1:1", "--upstream", "b:2", "--cert", "a.pem", "--key", "b.pem", "--ca", "c.pem"]


def effective(*arguments, env=None):
    result = run("config", "--effective", *arguments, env=env)
    assert result.returncode == 0 and not result.stderr, result
    return result.stdout


@pytest.fixture
def file(tmp_path):
    def file(text):
        path = tmp_path / "husk.yaml"
        path.write_text(text)
        return path
    return file


def test_the_configuration_of_options_is_that_of_the_file_it_becomes(file):
    text = effective("client", *OPTIONS, "--ack-timeout", "9s", "--rule", "any tags=a.*,b")
    again = effective("--config", file(text))
    assert yaml_core.load(again) == yaml_core.load(text)
    assert "ack_timeout: 9s\n" in text and "ack_timeout: 9s\n" in again
    route, = yaml_core.load(text)["routes"]
    assert route["name"] == "client" and route["tls"]["upstream"]["cert"] == "a.pem"
    assert route["rules"] == [{"any": True, "tags": "a.*,b", "burst": "1s"}]


@pytest.mark.parametrize("mode, more", [
    ("client", []), ("client", ["--protocol", "tcp"]), ("client", ["--delivery", "passthrough"]), ("server", ["--allow-any", "--rule", "any bytes-per-second=1MiB"])])
def test_what_is_printed_can_run(file, pki, mode, more):
    certificate = pki.client if mode == "client" else pki.server
    options = flags(listen="127.0.0.1:0", upstream="127.0.0.1:1", admin="off", cert=certificate.cert,
                    key=certificate.key, ca=pki.ca.cert)
    result = run("check", "--config", file(effective(mode, *options, *more)))
    assert (result.returncode, result.stderr) == (0, ""), result.stdout


def test_settings_that_were_not_given_are_marked(file):
    lines = effective("server", *OPTIONS, "--allow-any", "--workers=1").splitlines()
    assert "workers: 1" in lines
    assert "      ack_timeout: 1m # default" in lines
    assert "      # servers: not set" in lines


def test_values_from_the_environment_are_printed(file):
    text = effective("--config", file("workers: ${N}\nroutes: [{name: a, listen: 127.0.0.1:1, upstreams: b:2}]"),
                     env={"N": "3"})
    assert yaml_core.load(text)["workers"] == 3


@pytest.mark.parametrize("arguments, words", [
    ((), ["--effective"]),
    (("--effective",), ["--config"]),
    (("--effective", "--config", "x", "client", *OPTIONS), ["--config"]),
    (("--effective", "--config", "/no/file"), ["/no/file"]),
    (("--effective", "client", "--listen", "127.0.0.1:1"), ["--upstream"]),
    (("--effective", "client", *OPTIONS, "--frobnicate"), ["--frobnicate"]),
    (("--effective", "frobnicate"), ["frobnicate"]),
    (("--effective", "--config", "x", "--workers", "2"), ["--workers: unknown option; in the file it is workers"]),
])
def test_wrong_usage_is_named(arguments, words):
    result = run("config", *arguments)
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1 and not result.stdout, result
    assert all(word in result.stderr for word in words)


def test_the_mistakes_of_a_file_are_reported(file):
    path = file("workers: 0x\nroutes: [{name: a, listen: 127.0.0.1:1, upstreams: b:2, frobnicate: 1}]")
    result = run("config", "--effective", "--config", path)
    assert result.returncode == 2 and not result.stdout
    assert [line.split(" ")[0] for line in result.stderr.splitlines()] == [f"{path}:1:10:", f"{path}:2:57:"]


@pytest.mark.parametrize("settings, line", [
    ("name: a b, listen: '127.0.0.1:1', upstreams: 'b:2'", "routes[0].name: "),
    ("name: a, listen: '127.0.0.1:99999', upstreams: 'b:2'", 'routes[0].listen[0]: bad port "99999"'),
    ("name: a, listen: '127.0.0.1:1', upstreams: 'b:0'", 'routes[0].upstreams[0]: bad port "0"'),
    ("name: a, listen: '127.0.0.1:9901', upstreams: 'b:2'", "admin.listen: routes[0] listens there, too"),
])
def test_what_cannot_run_is_printed_with_its_mistakes(file, settings, line):
    path = file(f"admin: {{listen: '127.0.0.1:9901'}}\nroutes: [{{{settings}}}]")
    printed, ran = (run(*command, "--config", path) for command in (("config", "--effective"), ("run",)))
    assert printed.returncode == 1 and "routes:\n" in printed.stdout and line in printed.stderr
    assert printed.stderr == ran.stderr


@pytest.mark.parametrize("more, line", [
    (["--name", "a b"], "--name: "), (["--listen", "127.0.0.1:0", "--upstream", "b:0"], '--upstream: bad port "0"'),
    (["--admin", "127.0.0.1:1"], "--admin: is an address of --listen, too")])
def test_options_that_cannot_run_are_printed_with_their_mistakes(more, line):
    result = run("config", "--effective", "client", *OPTIONS, *more)
    assert result.returncode == 1 and "routes:\n" in result.stdout and result.stderr.startswith(f"husk config: {line}")


def test_a_file_may_have_the_name_of_a_command(file, tmp_path):
    (tmp_path / "client").write_text("routes: [{name: a, listen: 127.0.0.1:1, upstreams: b:2}]")
    assert run("config", "--effective", f"--config={tmp_path}/client").returncode == 0
    assert run("config", "--effective", "--config", "client").returncode == 2  # the file is elsewhere
