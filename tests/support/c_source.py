"""C sources as tokens: which functions call which, and with which texts. No preprocessor: `#define NAME "text"` is all it knows."""

import re
from typing import NamedTuple

TOKEN = re.compile(r"""
    (?P<space>\s+|/\*.*?\*/|//[^\n]*)
  | (?P<text>"(?:[^"\\\n]|\\.)*")
  | (?P<char>'(?:[^'\\\n]|\\.)*')
  | (?P<name>[A-Za-z_]\w*)
  | (?P<number>\d[\w.]*)
  | (?P<sign>->|\+\+|--|<<|>>|[-<>=!+*/%&|^]=|&&|\|\||.)
""", re.X | re.S)
DEFINE = re.compile(r"^#define (\w+)((?:\\\n|[^\n])*)$", re.M)
KEYWORDS = {"if", "while", "for", "switch", "return", "sizeof"}


class Token(NamedTuple):
    kind: str
    value: str


class Call(NamedTuple):
    function: str    # that calls
    name: str        # that is called
    arguments: list  # of lists of tokens


def tokens(code):
    return [Token(match.lastgroup, match[0]) for match in TOKEN.finditer(code) if match.lastgroup != "space"]


def unquoted(literal):
    return re.sub(r"\\(.)", lambda match: {"n": "\n", "t": "\t"}.get(match[1], match[1]), literal[1:-1])


class Source:
    def __init__(self, path):
        code = path.read_text()
        self.macros = {name: [token for token in tokens(value.replace("\\\n", " "))] for name, value in DEFINE.findall(code)}
        self.tokens = tokens(re.sub(r"^#(?:\\\n|[^\n])*$", "", code, flags=re.M))

    def functions(self):
        """(name, tokens of the body) of each function, and (None, tokens) for what stands outside."""
        outside, at = [], 0
        while at < len(self.tokens):
            token = self.tokens[at]
            if token.value == "{" and outside and outside[-1].value == ")":
                end = self.closing(at)
                yield self.name_before(outside), self.tokens[at:end]
                at = end
            elif token.value == "{":
                end = self.closing(at)
                outside += self.tokens[at:end]
                at = end
            else:
                outside.append(token)
                at += 1
        yield None, outside

    def closing(self, at):
        """Behind the bracket that closes the one at `at`."""
        depth = 0
        for index in range(at, len(self.tokens)):
            depth += (self.tokens[index].value in "([{") - (self.tokens[index].value in ")]}")
            if not depth:
                return index + 1
        return len(self.tokens)

    @staticmethod
    def name_before(outside):
        depth = 0
        for index in range(len(outside) - 1, -1, -1):
            depth += (outside[index].value == ")") - (outside[index].value == "(")
            if not depth and outside[index].value == "(":
                return outside[index - 1].value
        return None

    def calls(self):
        for function, body in self.functions():
            for index in range(len(body) - 1):
                if body[index].kind == "name" and body[index].value not in KEYWORDS and body[index + 1].value == "(":
                    yield Call(function, body[index].value, self.arguments(body, index + 2))

    @staticmethod
    def arguments(body, at):
        found, depth = [[]], 0
        for token in body[at:]:
            if not depth and token.value == ")":
                break
            if not depth and token.value == ",":
                found.append([])
                continue
            depth += (token.value in "([{") - (token.value in ")]}")
            found[-1].append(token)
        return found

    def texts(self, found):
        """The texts of an expression. Neighbours are one text; what stands between them is `%s`."""
        texts, last_is_text = [], False
        for token in found:
            parts = self.macros.get(token.value) if token.kind == "name" else None
            if parts and any(part.kind == "text" for part in parts):
                text = "".join(unquoted(part.value) for part in parts if part.kind == "text")
            elif token.kind == "text":
                text = unquoted(token.value)
            elif token.kind == "name" and last_is_text:  # PRIu64 and the like
                continue
            else:
                last_is_text = False
                continue
            if last_is_text:
                texts[-1] += text
            else:
                texts.append(text)
            last_is_text = True
        return texts
