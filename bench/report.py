"""Writes README.md and charts from results.json. They use only the results, so the report of a run can be rewritten.

usage: report.py DIR    (the directory of results.json)
"""

import json
import pathlib
import sys

import charts
import checks

# Columns of each scenario's table: heading, figure, decimals. The key is a prefix of the scenario's name.
CPU_PER_GB = [("client CPU s/GB", "client_cpu_s_per_gb", 3), ("server CPU s/GB", "server_cpu_s_per_gb", 3),
              ("both", "both_cpu_s_per_gb", 3), ("GB/s", "gb_per_s", 2)]
CPU_PER_MESSAGE = [("client CPU µs/message", "client_cpu_us_per_message", 1),
                   ("server CPU µs/message", "server_cpu_us_per_message", 1), ("both", "both_cpu_us_per_message", 1)]
TABLES = {
    "bulk": CPU_PER_GB,
    "small": CPU_PER_GB,
    "events": CPU_PER_GB,
    "short": [("client CPU ms/chunk", "client_cpu_ms_per_chunk", 3),
              ("server CPU ms/chunk", "server_cpu_ms_per_chunk", 3), ("both", "both_cpu_ms_per_chunk", 3)],
    "idle": [("client KiB/connection", "client_kib_per_connection", 1),
             ("server KiB/connection", "server_kib_per_connection", 1),
             ("client at rest MiB", "client_rest_mib", 1), ("server at rest MiB", "server_rest_mib", 1),
             ("client, proportional", "client_rest_pss_mib", 1), ("server, proportional", "server_rest_pss_mib", 1)],
    "handshakes": [("server CPU ms/handshake", "server_cpu_ms_per_handshake", 3), ("resumed", "resumed_share", 2)],
    "workers": [*CPU_PER_GB, ("client, busiest thread", "client_busiest_s_per_gb", 3),
                ("server, busiest thread", "server_busiest_s_per_gb", 3)],
    "connections": CPU_PER_MESSAGE,
    "capacity": [("messages/s", "messages_per_s", 0), *CPU_PER_MESSAGE],
    "latency": [("p50 µs", "p50_us", 0), ("p90 µs", "p90_us", 0), ("p99 µs", "p99_us", 0), ("longest µs", "max_us", 0),
                ("messages/s", "messages_per_s", 0), ("both CPU µs/message", "both_cpu_us_per_message", 1)],
}

INTRODUCTION = """\
# Benchmarks

`make bench` wrote this page in about half an hour. [results.json](results.json) has all numbers. `make bench QUICK=1`
takes less than three minutes and gives less precise results. [capacity](../capacity.md) uses these measurements to
calculate what a number of agents needs.
"""

METHOD = """\
## Method

agents → client half ═ mutual TLS ═ server half → aggregator. All programs use 127.0.0.1, so no network hides the cost
of the candidates. Agents and aggregator are C programs (`bench/load/`) that create their messages once and then only
copy them to sockets; results.json has their CPU time too. All candidates have the same P-256 certificates, verify the
peer's certificate, and use TLS 1.3 with AES-128-GCM. Otherwise they run as Debian packages them, with one worker or
thread if this can be configured.

- **CPU** is user and kernel time of the processes of one half, with nanosecond precision, between the first message
  and the last event at the aggregator. At the start all connections are open and have carried one acknowledged
  message; only "short connections" includes opening them.
- **Rounds** are interleaved: each candidate runs once, then each candidate again in another order. Tables show the
  median and, in brackets, the lowest and the highest value.
- **husk** is `--protocol forward`, at-least-once: husk adds chunk ids and retains each message until the aggregator
  acknowledges it. No peer does this. `husk-passthrough` changes and retains nothing, `husk-tcp` does
  not parse. `husk-many-tls` is a forward server with one TLS connection for each agent.
- **floor** is a lower bound for user-space proxies: a blocking copy between two sockets with AES-128-GCM over records
  of 16 KiB, by the same BoringSSL.
- **Congestion control** is the machine's default (see above), except for connections that husk and the floor open:
  these stay on the machine and therefore use Reno ([performance](../performance.md)).
- **hitch** has only a server half (its client half here is husk-tcp). **fluent-bit** sends only arrays of events: it
  decodes messages.
- **Short connections**: chunks of 4 KiB, each on a connection of its own that is closed at once, and one heartbeat
  connection for each chunk; 100 chunks and 100 heartbeats per second.
- **Idle**: growth of resident memory per connection, after the first 64 connections.
- **Round trip**: messages are due at random times. The time is measured from the due time to the ack, even if a proxy
  delays the sending. The load is a share of the capacity of the slowest candidate, the same for all candidates.
- **2 workers**: the CPU time per GB of one worker, divided by that of the busier of two workers. The ratio is the
  speed-up with a core for each worker. Wall time would show it only on a machine with free cores for agents and
  aggregator.
"""


def write(results, directory):
    directory = pathlib.Path(directory)
    figures = charts.draw(results, directory)
    parts = [INTRODUCTION, _targets(results), *(f"![{title}]({name})\n" for name, title in figures), _machine(results),
             METHOD, "## All figures\n", *_tables(results), _micro(results)]
    (directory / "README.md").write_text("\n".join(part for part in parts if part))


def _row(cells):
    return "| " + " | ".join(map(str, cells)) + " |"


def _table(heading, rows):
    return "\n".join([_row(heading), "|---" + "|---:" * (len(heading) - 1) + "|", *map(_row, rows)]) + "\n"


def _targets(results):
    rows = []
    for check in checks.judge(results):
        value = "–" if check.value is None else f"{check.value:.2f} {check.unit}"
        rows.append((check.what, check.target, value, check.against or "–", check.verdict))
    note = "" if not results["quick"] else "This was a quick run: one round, small samples. It shows orders of magnitude only.\n\n"
    return "## Targets\n\n" + note + _table(("", "target", "measured", "against", ""), rows)


def _machine(results):
    facts = results["machine"]
    lines = [f"{results['date']}; {facts['cpus']} CPUs ({facts['cpu']}{', virtual' if facts['hypervisor'] else ''}), "
             f"{facts['memory_gib']} GiB, Linux {facts['kernel']}, {facts['system']}; congestion control: "
             f"{facts.get('congestion_control', 'not recorded')}. The run took {facts['seconds']} s. During the run, "
             f"other programs used {facts['others_share']:.1%} of the CPU time, and other guests of the host used "
             f"{facts['steal_share']:.1%}. The limit is {facts['descriptors']:,} descriptors per process; a byte proxy "
             "can have half as many connections.", ""]
    lines += [f"- {name}: {version}" for name, version in results["versions"].items()]
    lines += [f"- {name}: not measured, {', '.join(missing)} not installed"
              for name, missing in results["absent"].items()]
    return "## Machine\n\n" + "\n".join(lines) + "\n"


def _cell(figures, figure, decimals):
    if figure not in figures:
        return "–"
    value = figures[figure]
    text = f"{value['median']:,.{decimals}f}"
    if figures["rounds"] > 1:
        text += f" ({value['min']:,.{decimals}f} – {value['max']:,.{decimals}f})"
    return text


def _tables(results):
    for name, scenario in results["scenarios"].items():
        columns = next(columns for key, columns in TABLES.items() if name.startswith(key))
        rows = []
        for candidate, figures in scenario["candidates"].items():
            cells = [_cell(figures, figure, decimals) for _, figure, decimals in columns]
            if "failed" in figures:
                cells[-1] += f" failed: {figures['failed']}"
            rows.append((candidate, *cells))
        yield f"### {scenario['title']}\n\n" + _table(("", *(heading for heading, *_ in columns)), rows)


def _micro(results):
    if not results["micro"]:
        return ""
    rows = [(one["program"], one["name"], f"{one['ns']:,.1f}", f"{one['gb_per_s']:,.2f}" if "gb_per_s" in one else "–")
            for one in results["micro"]]
    return "### Micro-benchmarks\n\n" + _table(("", "", "ns", "GB/s"), rows)


if __name__ == "__main__":
    write(json.loads((pathlib.Path(sys.argv[1]) / "results.json").read_text()), sys.argv[1])
