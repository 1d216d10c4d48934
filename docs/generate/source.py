"""What husk says about its settings and commands: `husk schema` and `husk help`, read into tuples."""

import json
import re
import subprocess
from typing import NamedTuple


class Setting(NamedTuple):
    """A setting of a file, or a part of an item of a list."""
    path: str
    meaning: str
    value: str      # what it may be, such as "duration, 10ms to 1h"
    default: str    # None: there is none
    option: str     # "--cert of husk client"; None: a part
    required: bool
    parts: tuple    # of an item: Settings; empty: no list of maps


class Option(NamedTuple):
    """An option of a command."""
    name: str       # with its dashes
    value: str      # FILE, a|b; None: it takes none
    is_list: bool
    meaning: str
    default: str    # None: there is none
    required: bool
    group: str      # None: the command has no groups


class Command(NamedTuple):
    name: str
    summary: str
    usage: list     # lines
    text: str       # what stands before the options
    options: list


class Program:
    def __init__(self, husk):
        self.schema_text = output(husk, "schema")
        self.schema = json.loads(self.schema_text)
        self.process_settings = list(settings(self.schema, self.schema))
        self.route_settings = list(settings(self.schema, self.schema["$defs"]["route"]))
        names = re.findall(r"^  husk (\w+) +(.*)$", output(husk, "help"), re.M)
        self.commands = {name: command(name, summary, output(husk, "help", name)) for name, summary in names}

    @property
    def settings(self):
        return self.process_settings + self.route_settings

    def proxy_options(self):
        """The options of client and server, and who has them: [(Option, "client" or "server" or None for both)]."""
        client, server = ({option.name: option for option in self.commands[name].options} for name in ("client", "server"))
        both = list(client.values()) + [option for name, option in server.items() if name not in client]
        groups = list(dict.fromkeys(option.group for option in both))
        both.sort(key=lambda option: groups.index(option.group))
        return [(option, None if option.name in client and option.name in server
                 else "client" if option.name in client else "server") for option in both]


def output(husk, *arguments):
    return subprocess.run([husk, *arguments], check=True, text=True, capture_output=True).stdout


# ---- the schema --------------------------------------------------------------------------------------------

def required_settings(schema):
    """Every route needs them."""
    return {rule["if"]["properties"]["defaults"]["required"][0] for rule in schema["allOf"]}


def parts(schema, value):
    """The parts of an item of the list that this schema describes."""
    reference = value.get("anyOf", [{}])[0].get("$ref", "")
    if not reference.endswith(".item"):
        return ()
    item = schema["$defs"][reference.removeprefix("#/$defs/")]["anyOf"][0]
    return tuple(setting(schema, key, part, key in item["required"]) for key, part in item["properties"].items())


def setting(schema, path, value, required):
    meaning, allowed, *option = value["description"].split("\n")
    default = value.get("default")
    return Setting(path, meaning, allowed.removeprefix("Value: "),
                   None if default is None else json.dumps(default).strip('"'),
                   option[0].removeprefix("Option: ") if option else None, required, parts(schema, value))


def settings(schema, part, path=""):
    for key, value in part["properties"].items():
        if "properties" in value:
            yield from settings(schema, value, f"{path}{key}.")
        elif key not in ("defaults", "routes"):
            yield setting(schema, path + key, value, path + key in required_settings(schema))


# ---- the help ----------------------------------------------------------------------------------------------

OPTION = re.compile(r"  (--[a-z0-9-]+)(?: ([^ …]\S*))?( …)?")
END = re.compile(r" \((?:(required)|default ([^()]*))\)$")


def option(match, text, group):
    end = END.search(text)
    return Option(match[1], match[2], bool(match[3]), END.sub("", text), end and end[2], bool(end and end[1]), group)


def command(name, summary, help_text):
    lines = help_text.splitlines()
    first = next((i for i, line in enumerate(lines) if OPTION.fullmatch(line)), len(lines))
    options, group = [], None
    for line, below in zip(lines, lines[1:]):
        if re.match(r"\S.*:$", line) and below == "":
            group = line[:-1]
        elif match := OPTION.fullmatch(line):
            options.append(option(match, below.strip(), group))
    intro = lines[:first]
    if group and options[0].group:
        intro = intro[:intro.index(options[0].group + ":")]
    usage, *text = "\n".join(intro).strip().split("\n\n")
    return Command(name, summary, usage.removeprefix("usage: ").splitlines(), "\n\n".join(text), options)
