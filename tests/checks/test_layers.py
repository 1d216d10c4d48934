"""check-layers refuses what it must and accepts the case next to it, on trees made for the purpose."""

import pathlib
import subprocess

import pytest

CHECK = pathlib.Path(__file__).resolve().parents[1] / "support/check-layers"


@pytest.fixture
def check(tmp_path):
    """Writes the files {path: text} and returns the lines check-layers prints about them."""
    def check(files):
        (tmp_path / "proxy").mkdir()
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        result = subprocess.run([CHECK, tmp_path], text=True, capture_output=True)
        findings = result.stdout.splitlines()
        assert result.returncode == (1 if findings else 0) and not result.stderr, result
        return findings
    return check


@pytest.fixture
def functions(check):
    """The findings about proxy/base/a.c with this text."""
    return lambda text: check({"proxy/base/a.c": text})


def include(*names):
    return "".join(f"#include {name if name.startswith('<') else chr(34) + name + chr(34)}\n" for name in names)


# ---- layers ------------------------------------------------------------------------------------------------

LAYERS = ["base", "forward", "trust", "wire", "runtime", "link", "tcp", "delivery", "control", "worker", "admin",
          "commands", "config"]
BELOW_DELIVERY = "base forward trust wire runtime link"
MAY_INCLUDE = {"base": "", "forward": "base", "trust": "base", "wire": "base trust",
               "runtime": "base forward trust wire", "link": "base forward trust wire runtime", "tcp": BELOW_DELIVERY,
               "delivery": BELOW_DELIVERY, "control": BELOW_DELIVERY, "worker": BELOW_DELIVERY + " tcp delivery",
               "admin": "base wire", "commands": "base trust wire config", "config": "base trust"}


def folder(layer):
    return "config" if layer == "config" else f"proxy/{layer}"


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_includes_only_what_it_may(check, layer):
    others = [other for other in LAYERS if other != layer]
    files = {f"{folder(other)}/{other}_unit.h": "" for other in LAYERS}
    files[f"{folder(layer)}/user.c"] = include(*[f"{other}/{other}_unit.h" for other in LAYERS])
    findings = check(files)
    refused = [other for other in others if other not in MAY_INCLUDE[layer].split()]
    assert len(findings) == len(refused)
    for other in refused:
        line = LAYERS.index(other) + 1
        start = f'{folder(layer)}/user.c:{line}: includes "{other}/{other}_unit.h"; {layer} may include: '
        assert any(finding.startswith(start) for finding in findings), (other, findings)


def test_the_composition_root_includes_everything(check):
    files = {f"{folder(layer)}/{layer}_unit.h": "" for layer in LAYERS}
    files["proxy/daemon.c"] = include(*[f"{layer}/{layer}_unit.h" for layer in LAYERS])
    assert check(files) == []


@pytest.mark.parametrize("name", ["daemon.h", "../daemon.h"])
def test_a_layer_does_not_include_the_composition_root(check, name):
    assert len(check({"proxy/daemon.h": "", "proxy/worker/a.c": include(name)})) == 1


def test_a_relative_name_is_resolved(check):
    [finding] = check({"proxy/link/inlet.h": "", "proxy/wire/leg.c": include("../link/inlet.h")})
    assert finding.startswith('proxy/wire/leg.c:1: includes "../link/inlet.h"; wire may include: base, trust')


@pytest.mark.parametrize("outside", ["tests/support/pki.h", "bench/load/load.h"])
def test_the_product_does_not_include_tests_or_benchmarks(check, outside):
    assert len(check({outside: "", "proxy/base/a.c": include(outside)})) == 1


def test_tests_and_benchmarks_include_every_layer(check):
    users = include("worker/worker.h", "forward/ack.h")
    assert check({"proxy/worker/worker.h": "", "proxy/forward/ack.h": "", "tests/unit/test_a.c": users,
                  "bench/load/a.c": users}) == []


def test_an_unknown_folder_is_reported_once(check):
    [finding] = check({"proxy/manager/a.c": "", "proxy/manager/b.c": ""})
    assert "proxy/manager/ is no known layer" in finding


def test_a_quoted_name_must_be_a_file_here(check):
    [finding] = check({"proxy/base/a.c": include("ev.h")})
    assert 'includes "ev.h", which is no file of this repository' in finding


def test_an_include_by_macro_is_refused(check):
    [finding] = check({"proxy/base/a.c": "#define HEADER <ev.h>\n#include HEADER\n"})
    assert finding.startswith("proxy/base/a.c:2: includes the macro HEADER")


@pytest.mark.parametrize("text", [
    '// #include "worker/worker.h"\n',
    '/* as in\n#include "worker/worker.h"\n*/\n',
    'const char *text = "\\\n#include \\"worker/worker.h\\"\\\n";\n',
    '/* a comment with "a quote\n */ /*\n#include "worker/worker.h" */\n',
])
def test_an_include_in_a_comment_or_string_does_not_count(check, text):
    assert check({"proxy/worker/worker.h": "", "proxy/base/a.c": text}) == []


@pytest.mark.parametrize("text", [
    '  #  include   "worker/worker.h"\n',
    '/* why */ \n#include "worker/worker.h" /* because */\n',
    'const char *text = "/*";\n#include "worker/worker.h"\n/* */\n',
    '#ifdef NEVER\n#include "worker/worker.h"\n#endif\n',
])
def test_an_include_counts_however_it_is_written(check, text):
    [finding] = check({"proxy/worker/worker.h": "", "proxy/base/a.c": text})
    assert 'includes "worker/worker.h"' in finding


# ---- circles -----------------------------------------------------------------------------------------------


def test_a_circle_of_two_is_refused(check):
    [finding] = check({"proxy/base/a.h": "", "proxy/base/b.h": "", "proxy/base/a.c": include("base/b.h"),
                       "proxy/base/b.c": include("base/a.h")})
    assert "circle of units: proxy/base/a → proxy/base/b → proxy/base/a" in finding


def test_a_circle_of_three_across_folders_is_refused(check):
    [finding] = check({"bench/load/load.h": include("sink/sink.h"), "bench/sink/sink.h": "",
                       "bench/sink/sink.c": include("messages/messages.h"),
                       "bench/messages/messages.h": include("load/load.h")})
    assert finding.startswith("bench/load/load.h:1:")
    assert ("bench/load/load → bench/sink/sink → bench/messages/messages → bench/load/load; no circle is allowed"
            in finding)


def test_a_circle_through_layers_is_refused_twice(check):
    findings = check({"proxy/wire/leg.h": include("link/inlet.h"), "proxy/link/inlet.h": include("runtime/timer.h"),
                      "proxy/runtime/timer.h": include("wire/leg.h")})
    assert [finding for finding in findings if "wire may include" in finding]
    assert [finding for finding in findings if "circle of units" in finding]
    assert len(findings) == 2


def test_a_circle_by_headers_alone_is_refused(check):
    assert len(check({"proxy/base/a.h": include("base/b.h"), "proxy/base/b.h": include("base/a.h")})) == 1


def test_a_circle_by_a_header_and_a_source_file_is_refused(check):
    assert len(check({"proxy/base/a.h": include("base/b.h"), "proxy/base/b.h": "",
                      "proxy/base/b.c": include("base/a.h")})) == 1


def test_the_shortest_circle_is_told_and_the_other_members_named(check):
    [finding] = check({"proxy/base/a.h": include("base/b.h"), "proxy/base/b.h": include("base/c.h"),
                       "proxy/base/c.h": include("base/a.h", "base/b.h")})
    assert "proxy/base/b → proxy/base/c → proxy/base/b" in finding and "with them: proxy/base/a)" in finding


def test_circles_apart_are_told_apart(check):
    pair = {"a.h": "b.h", "b.h": "a.h", "c.h": "d.h", "d.h": "c.h"}
    assert len(check({f"proxy/base/{one}": include(f"base/{other}") for one, other in pair.items()})) == 2


@pytest.mark.parametrize("folder, name", [("bench/load", "{}"), ("bench/load", "load/{}"), ("tests/support", "{}"),
                                          ("tests/support", "support/{}"), ("config", "{}"), ("config", "config/{}")])
def test_circles_are_found_in_every_folder(check, folder, name):
    files = {"a.h": "b.h", "b.h": "a.h"}
    assert len(check({f"{folder}/{one}": include(name.format(other)) for one, other in files.items()})) == 1


def test_a_unit_may_include_itself(check):
    assert check({"proxy/base/a.h": "", "proxy/base/a.c": include("base/a.h")}) == []


def test_a_diamond_is_no_circle(check):
    assert check({"proxy/base/a.c": include("base/b.h", "base/c.h"), "proxy/base/b.h": include("base/d.h"),
                  "proxy/base/c.h": include("base/d.h", "base/b.h"), "proxy/base/d.h": ""}) == []


def test_units_of_one_name_in_two_folders_are_two(check):
    assert check({"proxy/base/log.h": "", "proxy/wire/log.h": include("base/log.h"),
                  "proxy/link/log.h": include("wire/log.h")}) == []


# ---- restricted headers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("header, allowed, refused", [
    ("<openssl/ssl.h>", ["proxy/wire/tls_channel.c", "proxy/trust/x.c", "proxy/trust/x.h"],
     ["proxy/wire/tls_channel.h", "proxy/wire/leg.c", "proxy/daemon.c", "proxy/trust/deep/x.c"]),
    ("<http_parser.h>", ["proxy/admin/x.h", "proxy/main.c"], ["proxy/daemon.c", "proxy/link/x.c"]),
    ("<msgpack.h>", ["proxy/commands/x.c"], ["proxy/forward/x.c"]),
    ("<msgpack/pack.h>", ["proxy/commands/x.c"], ["proxy/forward/x.c"]),
    ("<yajl/yajl_parse.h>", ["proxy/commands/x.c"], ["proxy/admin/x.c"]),
    ("<zlib.h>", ["proxy/forward/compression.c", "proxy/commands/x.c"], ["proxy/forward/body.c"]),
    ("<zstd.h>", ["proxy/forward/compression.c"], ["proxy/commands/x.c", "proxy/forward/compression.h"]),
    ("<ares.h>", ["proxy/wire/resolver.c", "proxy/wire/srv_reply.c", "proxy/main.c"], ["proxy/wire/address.c"]),
    ("<ev.h>", ["proxy/runtime/x.h", "proxy/wire/x.c", "proxy/link/x.c", "proxy/tcp/x.c", "proxy/control/x.h",
                "proxy/worker/x.c", "proxy/admin/x.c", "proxy/daemon.c", "proxy/commands/receive.c"],
     ["proxy/base/x.c", "proxy/trust/x.c", "proxy/forward/x.c", "proxy/delivery/x.h", "proxy/commands/send.c",
      "config/x.c"]),
])
def test_a_restricted_header_is_for_its_files_alone(check, header, allowed, refused):
    findings = check({path: include(header) for path in allowed + refused})
    findings = [finding for finding in findings if "no known layer" not in finding]
    assert sorted(finding.split(":")[0] for finding in findings if f"includes {header}; files that may: " in finding) \
        == sorted(refused)
    assert len(findings) == len(refused)


@pytest.mark.parametrize("name", ["config/config.h", "../config/config.h"])
def test_the_configuration_is_for_the_composition_root_alone(check, name):
    users = ["config/schema.c", "proxy/main.c", "proxy/daemon.h", "proxy/options.c", "proxy/reload.c"]
    findings = check({"config/config.h": "", **{path: include(name) for path in users}})
    assert [finding.split(":")[0] for finding in findings] == ["proxy/reload.c"]


@pytest.mark.parametrize("header", ["<evil.h>", "<ev/event.h>"])
def test_another_header_with_such_a_name_is_allowed(check, header):
    assert check({"proxy/base/a.c": include(header)}) == []


def test_tests_and_benchmarks_include_every_library(check):
    text = include("<openssl/ssl.h>", "<msgpack.h>", "<ev.h>")
    assert check({"tests/unit/test_a.c": text, "bench/load/a.c": text}) == []


# ---- sizes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["proxy/base/a.c", "proxy/daemon.c", "config/a.c", "proxy/base/a.h"])
def test_a_file_of_500_lines_is_accepted_and_one_of_501_refused(check, path):
    [finding] = check({path: "\n" * 501, path.replace(".", "_short."): "\n" * 500})
    assert finding == f"{path}:501: the file has 501 lines; 500 are allowed"


def test_a_last_line_without_newline_is_a_line(check):
    [finding] = check({"proxy/base/a.c": "\n" * 500 + "int x;", "proxy/base/b.c": "\n" * 499 + "int x;"})
    assert finding.startswith("proxy/base/a.c:501: the file has 501 lines")


@pytest.mark.parametrize("path", ["tests/unit/test_a.c", "bench/load/a.c"])
def test_tests_and_benchmarks_have_no_limits(check, path):
    assert check({path: "void f(int a, int b, int c, int d, int e, int g)\n{" + "\n" * 600 + "}\n"}) == []


def function_of(lines, head="static int f(int a)"):
    """A function of so many lines from its head to its closing brace."""
    return head + "\n{\n" + "    a++;\n" * (lines - head.count("\n") - 3) + "}\n"


def test_a_function_of_70_lines_is_accepted(functions):
    assert functions(function_of(70)) == []


def test_a_function_of_71_lines_is_refused(functions):
    assert functions("\n\n" + function_of(71)) == ["proxy/base/a.c:3: f has 71 lines; 70 are allowed"]


def test_a_head_over_several_lines_counts(functions):
    head = "static int\nf(int a,\n  int b)"
    [finding] = functions(function_of(71, head) + function_of(70, head.replace("f(", "g(")))
    assert finding.startswith("proxy/base/a.c:1: f has 71 lines")


def test_functions_are_measured_one_by_one(functions):
    struct = "struct s {\n" + "    int a;\n" * 100 + "};\n"
    table = "static const int t[] = {\n" + "    f(1, 2, 3, 4, 5, 6),\n" * 100 + "};\n"
    assert functions(function_of(60) + function_of(60) + struct + table + function_of(70)) == []


def test_braces_in_strings_comments_and_characters_do_not_count(functions):
    body = '    a = "}"; /* } */ b = \'}\'; // }\n    c = "\\"}"; d = \'\\\'\';\n'
    head, rest = function_of(66).split("{\n", 1)
    assert functions(head + "{\n" + body * 2 + rest) == []

def test_a_long_function_behind_odd_literals_is_refused(check):
    odd = 'const char *s = "{"; const char c = \'{\'; /* { */ // { it\'s\n'
    assert len(check({"proxy/base/a.c": odd + function_of(71)})) == 1


@pytest.mark.parametrize("branches", [
    "#ifdef A\nstatic int f(int a)\n{\n#else\nstatic int f(void)\n{\n#endif\n",
    "static int f(int a)\n{\n#if A\n    if (a) {\n#elif B\n    if (!a) {\n#else\n    {\n#endif\n    }\n",
])
def test_a_brace_opened_in_each_branch_is_one_brace(functions, branches):
    rest = "    a++;\n" * 40 + "}\n"
    assert functions(branches + rest + branches + rest + function_of(70)) == []


@pytest.mark.parametrize("end", [";\n", "\n{\n}\n"])
@pytest.mark.parametrize("head", [
    "void f({})",
    "MUST_CHECK bool f({})",
    "static inline const struct thing *f({})",
    "__attribute__((format(printf, 1, 2))) void f({})",
    "void f({}) __attribute__((nonnull(1, 2)))",
    "void (*f({}))(int)",
    "unsigned long long\nf({})",
    "struct thing {{ int a; }} f({})",
    "#define MACRO(a, b) a b\nMACRO_BEFORE(1, 2) int f({})",
    "extern int x;\n\n/* f(a) */\nint f({})",
])
def test_five_parameters_are_accepted_and_six_refused(check, head, end):
    [finding] = check({"proxy/base/five.c": head.format("int a, int b, int c, int d, int e") + end,
                       "proxy/base/six.c": head.format("int a, int b, int c, int d, int e, int g") + end})
    assert finding.startswith("proxy/base/six.c:") and finding.endswith(": f has 6 parameters; 5 are allowed")


def test_a_prototype_over_several_lines_is_refused_at_its_first(check):
    text = "\nint f(int a,\n      int b, /* c, */\n      int c, int d,\n      int e, int g);\n"
    [finding] = check({"proxy/base/a.h": text})
    assert finding == "proxy/base/a.h:2: f has 6 parameters; 5 are allowed"


@pytest.mark.parametrize("parameter", [
    "void (*on_end)(int, int, int, int, int, int)",
    "int (*compare[2])(const void *, const void *)",
    "char table[sizeof(struct { int x, y; })]",
])
def test_commas_within_a_parameter_do_not_count(functions, parameter):
    assert functions(f"void f(int a, int b, int c, int d, {parameter});\n") == []


def test_a_callback_is_one_parameter_of_six(functions):
    assert len(functions("void f(void (*on_end)(int), int a, int b, int c, int d, int e);\n")) == 1


@pytest.mark.parametrize("text", [
    "void f(int a, int b, int c, int d, int e, ...);\n",
    "void f(void);\nint g();\n",
    "#define F(a, b, c, d, e, f) \\\n    g(a, b, c, \\\n      d, e, f)\n",
    "#define F \\\n    void f(int a, int b, int c, int d, int e, int g);\n",
    "TABLE(a, b, c, d, e, f);\n",
    "static TABLE(a, b, c, d, e, f) table;\n",
    "static_assert(f(1, 2, 3, 4, 5, 6), \"six\");\n",
    "int x = f(1, 2, 3, 4, 5, 6);\n",
    "typedef void (*on_end)(int, int, int, int, int, int);\n",
    "typedef void on_end(int, int, int, int, int, int);\n",
    "static void (*on_end)(int, int, int, int, int, int);\n",
    "struct s {\n    void (*on_end)(int, int, int, int, int, int);\n};\n",
    "void f(void)\n{\n    g(1, 2, 3, 4, 5, 6);\n    if (h(1, 2, 3, 4, 5, 6)) {\n    }\n}\n",
    "// void f(int a, int b, int c, int d, int e, int g);\n",
    "enum { A = sizeof(int), B, C, D, E, F };\n",
])
def test_what_is_no_function_of_six_parameters_is_accepted(functions, text):
    assert functions(text) == []


def test_a_callback_that_a_library_prescribes_may_have_more(check):
    text = "static int on_alpn(int a, int b, int c, int d, int e, int f);\n"
    [finding] = check({"proxy/trust/alpn.c": text, "proxy/trust/other.c": text})
    assert finding.startswith("proxy/trust/other.c:1: on_alpn has 6 parameters")


# ---- the command -------------------------------------------------------------------------------------------


def test_findings_are_sorted_by_file_and_line(check):
    six = "\nvoid f(int a, int b, int c, int d, int e, int g);\n"
    findings = check({"proxy/wire/b.c": include("<zlib.h>") + six, "proxy/base/a.c": six * 10})
    assert [finding.split(":")[0] for finding in findings] == ["proxy/base/a.c"] * 10 + ["proxy/wire/b.c"] * 2
    assert [int(finding.split(":")[1]) for finding in findings] == [*range(2, 21, 2), 1, 3]


@pytest.mark.parametrize("arguments", [["nowhere"], [".", "."]])
def test_a_wrong_root_is_an_error(tmp_path, arguments):
    result = subprocess.run([CHECK, *arguments], cwd=tmp_path, text=True, capture_output=True)
    assert result.returncode == 2 and "usage" in result.stderr and not result.stdout


def test_the_default_root_is_this_repository():
    by_default = subprocess.run([CHECK], cwd="/", text=True, capture_output=True)
    named = subprocess.run([CHECK, CHECK.parents[2]], text=True, capture_output=True)
    assert by_default.returncode in (0, 1) and by_default.stdout == named.stdout
