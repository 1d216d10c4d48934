"""README.md and charts from results.json. Everything in them comes from the results: a run can be told anew.

usage: report.py DIR    (where results.json is)
"""

import json
import pathlib
import sys

import charts
import checks

# Columns of each scenario's table: heading, figure, decimals. A scenario's name may go on behind the key.
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

Made by `make bench`, in about half an hour; every number of it is in [results.json](results.json). `make bench
QUICK=1` takes less than three minutes and says less. What a number of agents needs, by these measurements:
[capacity](../capacity.md).
"""

METHOD = """\
## Method

agents → client half ═ mutual TLS ═ server half → aggregator, everything on 127.0.0.1, so that there is no network to
hide behind. Agents and aggregator are C programs (`bench/load/`) that make their messages once and only copy them to
sockets; their CPU time is in results.json too. All candidates have the same P-256 certificates, check each other's,
and speak TLS 1.3 with AES-128-GCM; beyond that they run as Debian packages them, with one worker or thread where they
let us choose.

- **CPU** is user and kernel time of one half's processes, to the nanosecond, between the first message and the last
  event at the aggregator. Connections are open by then, each having carried one acknowledged message; only in "short
  connections" opening them is what is measured.
- **Rounds** are interleaved: everybody once, then everybody again in another order. Tables show the median and, in
  brackets, the lowest and the highest.
- **husk** is `--protocol forward`, at-least-once: it adds a chunk id to every message, keeps the message, and lets it
  go when the aggregator acknowledges it. No peer does that. `husk-passthrough` changes and keeps nothing, `husk-tcp`
  parses nothing. `husk-many-tls` is a forward server with a TLS connection for each agent.
- **floor** is the least a user-space proxy can do: a blocking copy between two sockets and AES-128-GCM over records
  of 16 KiB, by the same BoringSSL.
- **Congestion control** is the machine's (below), but for the connections that husk and the floor make: those stay on
  the machine, and so use Reno ([performance](../performance.md)).
- **hitch** has a server half only (husk-tcp is before it); **fluent-bit** sends arrays of events only: it takes
  messages apart.
- **Short connections**: chunks of 4 KiB, each on a connection of its own that is closed at once, and one heartbeat
  connection for each, 100 of either a second.
- **Idle**: growth of resident memory with the connections that come after the first 64.
- **Round trip**: messages are due at random times, and timed from then to their ack, however late a proxy lets them
  be sent. The load is a share of what the slowest candidate can do, the same for everybody.
- **2 workers**: what one worker, and then the busier of two, spends on a GB; the ratio is how much faster two are
  with a core each. Wall time would show it only on a machine with cores to spare for agents and aggregator.
"""


def write(results, directory):
    directory = pathlib.Path(directory)
    figures = charts.draw(results, directory)
    parts = [INTRODUCTION, _held(results), *(f"![{title}]({name})\n" for name, title in figures), _machine(results),
             METHOD, "## All figures\n", *_tables(results), _micro(results)]
    (directory / "README.md").write_text("\n".join(part for part in parts if part))


def _row(cells):
    return "| " + " | ".join(map(str, cells)) + " |"


def _table(heading, rows):
    return "\n".join([_row(heading), "|---" + "|---:" * (len(heading) - 1) + "|", *map(_row, rows)]) + "\n"


def _held(results):
    rows = []
    for check in checks.judge(results):
        value = "–" if check.value is None else f"{check.value:.2f} {check.unit}"
        rows.append((check.what, check.target, value, check.against or "–", check.verdict))
    note = "" if not results["quick"] else "A quick run: one round, small samples. It shows orders of magnitude.\n\n"
    return "## What must hold\n\n" + note + _table(("", "target", "measured", "against", ""), rows)


def _machine(results):
    facts = results["machine"]
    lines = [f"{results['date']}; {facts['cpus']} CPUs ({facts['cpu']}{', virtual' if facts['hypervisor'] else ''}), "
             f"{facts['memory_gib']} GiB, Linux {facts['kernel']}, {facts['system']}; congestion control: "
             f"{facts.get('congestion_control', 'not noted')}. The run took "
             f"{facts['seconds']} s; meanwhile other programs used {facts['others_share']:.1%} of the CPU time, other guests of the host "
             f"{facts['steal_share']:.1%}. A process may have {facts['descriptors']:,} descriptors, a byte proxy half "
             "as many connections.", ""]
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
    return "### Parts on their own\n\n" + _table(("", "", "ns", "GB/s"), rows)


if __name__ == "__main__":
    write(json.loads((pathlib.Path(sys.argv[1]) / "results.json").read_text()), sys.argv[1])
