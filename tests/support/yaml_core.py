"""YAML as husk and editors read it: the core schema of YAML 1.2, where `off` and `no` are texts."""

import re

import yaml


class CoreLoader(yaml.SafeLoader):
    yaml_implicit_resolvers = {}


for tag, pattern, first in [
        ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
        ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
        ("int", r"[-+]?[0-9]+", "-+0123456789"),
        ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
        ("merge", r"<<", "<")]:
    CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(rf"(?:{pattern})\Z"), list(first))


def construct_int(loader, node):
    return int(loader.construct_scalar(node))  # 0666 is 666, not octal


CoreLoader.add_constructor("tag:yaml.org,2002:int", construct_int)


def load(text):
    return yaml.load(text, CoreLoader)
