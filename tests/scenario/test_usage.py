"""Bad usage: husk writes one line with the option and the reason. Exit 2: bad usage; exit 1: failure at run time."""

import re

import pytest

from support import raw
from support.husk import flags, run

HERE = f"{raw.HOST}:1"  # port 1: no listener is there, and none is needed


def one_line(result, status, *words):
    lines = result.stderr.splitlines()
    assert result.returncode == status and len(lines) == 1 and not result.stdout, result
    for word in words:
        assert word in lines[0]


@pytest.fixture
def refused(husk, pki):
    """Runs `husk MODE` with valid options and these. husk must end with this status and one line with these words."""
    def refused(mode, status, *words, **options):
        certificate = pki.client if mode == "client" else pki.server
        if mode == "server" and "allow_cn" not in options:
            options["allow_cn"] = "client"
        words_after = options.pop("words", [])
        options = husk.options(HERE, certificate, log_format=None, **{"protocol": "tcp", **options})
        one_line(run(mode, *flags(**options), *words_after), status, *words)
    return refused


@pytest.mark.parametrize("mode", ["client", "server"])
def test_an_unknown_option_is_named(refused, mode):
    refused(mode, 2, "--frobnicate", frobnicate="x")


def test_a_missing_value_is_named(refused):
    refused("client", 2, "--workers", words=["--workers"])


@pytest.mark.parametrize("option, value", [
    ("listen", "127.0.0.1:99999"),
    ("listen", "127.0.0.1"),
    ("upstream", "localhost:http"),
    ("upstream", ""),
    ("workers", "many"),
    ("connect_timeout", "5 parsecs"),
    ("idle_timeout", "-1s"),
    ("buffer_bytes", "64XB"),
    ("batch_delay", "1001ms"),
    ("unread_acks", "1"),
    ("unread_acks_timeout", "9ms"),
    ("max_age", "999ms"),
    ("max_age", "169h"),
    ("on_refused", "ignore"),
    ("tls_min", "1.1"),
    ("protocol", "http"),
    ("log_level", "loud"),
    ("admin", "nowhere"),
])
def test_a_bad_value_is_named_with_its_option(refused, option, value):
    refused("client", 2, "--" + option.replace("_", "-"), **{option: value})


@pytest.mark.parametrize("option", ["listen", "upstream", "cert", "key", "ca"])
def test_a_missing_option_is_named(refused, option):
    refused("client", 2, f"--{option}", **{option: None})


def test_tls_min_above_tls_max_is_refused(refused):
    refused("client", 2, "--tls-m", tls_min="1.3", tls_max="1.2")


def test_the_admin_port_is_not_the_listener(refused):
    refused("client", 2, "--admin: is an address of --listen, too", listen=f"{raw.HOST}:2", admin=f"{raw.HOST}:2")


def test_an_option_given_twice_is_refused(refused):
    refused("client", 2, "--listen", listen=[f"{raw.HOST}:2", f"{raw.HOST}:2"])


@pytest.mark.parametrize("upstream", ["localhost:1,weight=0", "localhost:1,spare", "srv+_fluent._tcp.test:1",
                                      f"{HERE},standby"])
def test_a_bad_upstream_among_several_is_named(refused, upstream):
    refused("client", 2, "--upstream", upstream, upstream=[HERE, upstream])


def test_an_extra_word_is_refused(refused):
    refused("client", 2, "stray", words=["stray"])


def test_husk_server_without_an_allow_option_refuses_to_start(refused):
    refused("server", 2, "--allow-", allow_cn=None)


def test_husk_client_listens_only_on_loopback(refused):
    refused("client", 2, "--unsafe-listen", listen="0.0.0.0:0")


def test_husk_client_listens_elsewhere_with_unsafe_listen(husk):
    assert husk.client(HERE, protocol="tcp", listen="0.0.0.0:0", unsafe_listen=True).address[0] == "0.0.0.0"


def test_husk_server_listens_on_any_address(husk):
    assert husk.server(HERE, protocol="tcp", listen="0.0.0.0:0").address[0] == "0.0.0.0"


@pytest.mark.parametrize("option", ["cert", "key", "ca", "key_passphrase_file"])
def test_an_unreadable_file_is_named(refused, tmp_path, option):
    missing = str(tmp_path / "missing.pem")
    refused("client", 1, missing, **{option: missing})


@pytest.mark.parametrize("option", ["listen", "admin"])
def test_an_address_in_use_is_named(refused, option):
    taken = raw.Listener()
    refused("client", 1, raw.format_address(taken.address), "in use", **{option: raw.format_address(taken.address)})


def test_no_command_is_a_usage_error():
    assert run().returncode == 2


def test_an_unknown_command_is_named():
    one_line(run("frobnicate"), 2, "frobnicate")


def test_help_lists_the_commands():
    result = run("help")
    assert result.returncode == 0
    for command in ("client", "server", "check", "pki", "send", "receive", "version"):
        assert command in result.stdout


@pytest.mark.parametrize("arguments", [("help", "client"), ("client", "--help")])
def test_the_help_of_a_command_lists_its_options(arguments):
    result = run(*arguments)
    assert result.returncode == 0
    for option in ("--listen", "--upstream", "--server-name", "--handshake-timeout"):
        assert option in result.stdout


def test_help_of_an_unknown_command_is_a_usage_error():
    one_line(run("help", "frobnicate"), 2, "frobnicate")
    one_line(run("help", "client", "server"), 2, "takes one argument")


@pytest.mark.parametrize("name, meant", [
    ("ack_timeout", "delivery.ack_timeout"), ("ack-timout", "ack-timeout"), ("chek", "check"),
    ("tls.upstream.crt", "tls.upstream.cert")])
def test_help_of_a_name_that_is_near_names_it(name, meant):
    one_line(run("help", name), 2, f"did you mean {meant}?")


@pytest.mark.parametrize("name, words", [
    ("allow.any_of", ["admit clients whose certificate matches at least one", "Value:    map, or a list of maps"]),
    ("rules.tags", ["tags that the agent may write", "Default:  not set"]),
    ("upstreams.weight", ["Value:    number, 1 to 1000", "Default:  1"]),
    ("upstreams.standby", ["Value:    true or false", "Default:  false"]),
    ("listen.address", ["Default:  none, the key is required"]),
    ("routes[0].rules[12].tags", ["rules.tags\n"]), ("routes[0].dns.min_ttl", ["dns.min_ttl\n", "Default:  5s\n"]),
    ("defaults.limits", ["Settings of this map:\n\nlimits.retain_bytes\n", "limits.max_depth\n"]),
    ("tls.upstream", ["tls.upstream.cert\n", "tls.upstream.allow.cn\n"]),
])
def test_a_key_of_files_has_a_help_of_its_own(name, words):
    result = run("help", name)
    assert result.returncode == 0 and not result.stderr
    assert all(word in result.stdout for word in words), result.stdout
    assert "--" not in result.stdout


@pytest.mark.parametrize("name", ["routes", "routes[0]", "defaults"])
def test_the_help_of_routes_has_the_settings_of_a_route(name):
    text = run("help", name).stdout
    assert text.startswith("Settings of this map:\n\n") and "--" not in text
    keys = re.findall(r"^\S+$", text, re.M)
    assert {"listen", "upstreams", "delivery.ack_timeout", "tls.upstream.cert"} <= set(keys)
    assert not {"workers", "log.level", "admin.listen"} & set(keys)


@pytest.mark.parametrize("name", ["", ".", "[", "a[", "routes[0", "rules[0", "rules.", "dns.min_ttl.x"])
def test_a_key_that_no_file_has_is_a_usage_error(name):
    one_line(run("help", name), 2, "no command or setting has this name")


def test_a_check_is_of_a_file_or_of_settings():
    one_line(run("check", "client", "--config", "husk.yaml"), 2, "--config: cannot be combined with the settings")


def test_the_help_begins_with_the_settings_that_every_husk_needs():
    groups = run("help", "client").stdout.split(":\n\n")
    assert groups[0].endswith("What every husk needs")
    assert re.findall(r"^  --([a-z-]+)", groups[1], re.M) == ["listen", "upstream", "cert", "key", "ca"]


@pytest.mark.parametrize("mode", ["client", "server"])
def test_each_setting_has_a_help_of_its_own(mode):
    names = re.findall(r"^  --([a-z-]+)", run("help", mode).stdout, re.M)
    assert len(names) > 80
    for name in [*names, f"--{names[-1]}"]:
        result = run("help", name)
        assert result.returncode == 0 and result.stdout.startswith("--" + name.lstrip("-")), result
        assert f"husk {mode}" in result.stdout.splitlines()[-1]


def test_version_prints_the_versions_of_husk_and_of_the_tls_library():
    result = run("version")
    assert result.returncode == 0 and "husk" in result.stdout and "BoringSSL" in result.stdout
