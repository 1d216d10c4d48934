"""The texts that husk can print at level warn or above, as they stand in its sources: `…` stands for what varies."""

import pathlib
import re

from support.c_source import Source, unquoted

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = sorted(ROOT.glob("proxy/**/*.c")) + sorted(ROOT.glob("config/*.c"))
PLACEHOLDER = re.compile(r"%(?:%|[-+ #0]*(?:\*|\d+)?(?:\.(?:\*|\d+))?(?:hh|h|ll|l|z|j|t)?[diouxXcsp])")
QUIET = {"LOG_DEBUG", "LOG_INFO"}

# The places of level and message among the arguments.
LOG_CALLS = {"log_say": (1, 2), "log_say_of": (1, 3), "log_begin": (2, 3), "log_begin_words": (2, 4)}

# Texts of level info in a table of which other texts are warnings.
QUIET_TEXTS = {"… was renewed and ends at …"}

# A log call whose message is no text: where its texts stand. "in": all texts of the function; "to": the texts that others
# give to the function.
ELSEWHERE = {
    ("proxy/config_reload.c", "kept_log"): [("in", "proxy/config_reload.c", "kept_log")],
    ("proxy/control/revocation_watch.c", "state_tell"): [("to", "proxy/trust/revocation_state.c", "line_add")],
    ("proxy/route_certificates.c", "expiry_tell"): [("in", "proxy/control/expiry_watch.c", "line_write")],
    ("proxy/runtime/connection_log.c", "count_write"): [("to", "proxy/runtime/connection_log.c", "count_write"),
                                                        ("to", "proxy/runtime/connection_log.c", "counts_write")],
    ("proxy/runtime/connection_log.c", "end_write"): [("to", "proxy/runtime/connection_log.c", "end_write")],
    ("proxy/runtime/connection_log.c", "connection_log_acks"): [("in", "proxy/runtime/connection_log.c",
                                                                 "connection_log_acks")],
    ("proxy/trust/material.c", "warn_of_setting"): [("to", "proxy/trust/material.c", "warn_of_setting")],
    ("proxy/trust/private_key.c", "private_key_warn_if_shared"): [("in", "proxy/trust/private_key.c",
                                                                   "private_key_warn_if_shared")],
    ("proxy/worker/listener.c", "pause_log"): [("to", "proxy/worker/listener.c", "pause_log")],
}


def relative(path):
    return str(path.relative_to(ROOT))


def readable(text):
    """With `…` in the place of what varies."""
    text = PLACEHOLDER.sub(lambda match: "%" if match[0] == "%%" else "…", text).strip("\n")
    return re.sub(r"…(?:…)+", "…", text)


def is_prose(text):
    return " " in text and bool(re.search("[A-Za-z]{2}", text))


def source_of(path):
    return Source(ROOT / path)


# ---- log calls ---------------------------------------------------------------------------------------------

def texts_in(path, function):
    source = source_of(path)
    body = next(body for name, body in source.functions() if name == function)
    groups, group = [], []
    for token in body:  # a text of a quiet level is none of ours: { LOG_INFO, "text" }
        if token.value in ";{}":
            groups.append(group)
            group = []
        group.append(token)
    loud = [token for group in groups if not QUIET & {token.value for token in group} for token in without_choices(group)]
    return [text for text in source.texts(loud) if is_prose(text)]


def without_choices(tokens):
    """Without the texts that a condition chooses for a placeholder."""
    return [token for before, token in zip([None, *tokens], tokens)
            if not (token.kind == "text" and before and before.value in ("?", ":"))]


def texts_of(source, call):
    """The texts of the first argument that has prose: the others are values for it."""
    for argument in call.arguments:
        if found := [text for text in source.texts(argument) if is_prose(text)]:
            return found
    return []


def texts_to(path, function):
    source = source_of(path)
    return [text for call in source.calls() if call.name == function and call.function for text in texts_of(source, call)]


def log_calls():
    """(path, function, texts) of each call that can write at level warn or above."""
    for path in FILES:
        source = Source(path)
        for call in source.calls():
            if call.name not in LOG_CALLS or not call.function or path.name == "log.c":
                continue
            level, message = LOG_CALLS[call.name]
            if {token.value for token in call.arguments[level]} <= QUIET:
                continue
            yield relative(path), call.function, [text for text in source.texts(call.arguments[message])
                                                  if readable(text) != "…"]


def log_lines():
    found = set()
    for path, function, texts in log_calls():
        for how, *where in [] if texts else ELSEWHERE[path, function]:
            texts = texts + (texts_in if how == "in" else texts_to)(*where)
        found |= {readable(text) for text in texts}
    return found - QUIET_TEXTS


# ---- tables ------------------------------------------------------------------------------------------------

def end_reasons():
    """{name: phrase} of the reasons that are logged as warnings."""
    text = (ROOT / "proxy/base/end_reason.c").read_text()
    rows = re.findall(r'\[END_\w+\] = \{ ("\w+"),\s+("(?:[^"\\]|\\.)*"),\s+(\w+) \}', text)
    return {unquoted(name): unquoted(phrase) for name, phrase, kind in rows if kind != "BENIGN"}


def reason_names():
    """{END_…: name}"""
    return dict(re.findall(r'\[(END_\w+)\] = \{ "(\w+)"', (ROOT / "proxy/base/end_reason.c").read_text()))


def invalid_events():
    """{name: phrase}"""
    rows = re.findall(r'\[EVENT_FAULT_\w+\] = \{ "(\w+)", "([^"]+)" \}', (ROOT / "proxy/base/event_fault.c").read_text())
    return dict(rows)


def ocsp_phrases():
    return set(re.findall(r'\[OCSP_\w+\] = "([^"]+)"', (ROOT / "proxy/trust/ocsp.c").read_text())) - {"is good"}


def hints():
    """{hint: names of the reasons that have it}"""
    source, names, found = source_of("proxy/runtime/end_hint.c"), reason_names(), {}
    outside = next(body for name, body in source.functions() if name is None)
    row = []
    for token in outside:
        row.append(token)
        if token.value not in "{}":
            continue
        reason = next((names[part.value] for part in row if part.value in names), None)
        for text in source.texts(row):
            if reason and is_prose(text):
                found.setdefault(readable(text), set()).add(reason)
        row = []
    for name, reason in (("missing_issuer", "certificate_unknown_ca"), ("access_denied", "tls_rejected")):
        text = re.search(name + r'\[\] =\s+((?:"[^"]*"\s*)+);', (ROOT / "proxy/runtime/end_hint.c").read_text())[1]
        found["".join(re.findall(r'"([^"]*)"', text))] = {reason}
    return found


def details():
    """What a verification says of a certificate."""
    return {readable(text) for text in texts_to("proxy/trust/peer_check.c", "refuse")}


# ---- faults ------------------------------------------------------------------------------------------------

# What is printed to the one who runs a command, or answered over HTTP, is no line of the log.
COMMANDS = re.compile(r"proxy/(commands|pki|check|admin)/|proxy/(\w+_command|check_\w+|main)\.c|config/(config_print|json_schema"
                      r"|schema|settings_help|file_help)\.c")
# The functions that are given a text of a fault.
FAULT_CALLS = {"add", "add_wrong_kind", "answer_soon", "call_end", "config_wrong", "config_wrong_item", "config_wrong_path",
               "failed", "fault_place", "fault_set", "is_map", "mistakes_add", "permit_set_detail", "put_pong_refusal",
               "refuse_malformed", "rule_wrong", "scan_fault", "signature_fail", "stream_fail", "wrong"}
# The functions that are given other texts, or parts of a text.
OTHER_CALLS = {*LOG_CALLS, "_Static_assert", "append", "assert", "count_write", "counts_write", "end_write", "ends_with",
               "fault_wrap", "fprintf", "fputs", "is_label", "kept_log", "line_add", "log_text", "log_words", "memmem",
               "message_policy_add", "mistakes_init", "pause_log", "pid_log", "private_key_warn_if_shared", "reason_add", "refuse",
               "service_manager_status", "skip_one", "snprintf", "warn_of_setting", "words_add"}
# Texts that a function returns, or writes into a buffer, and a fault takes.
RETURNED = {
    "proxy/control/grpc_call.c": ["call_close", "message_begin", None],
    "proxy/options_policy.c": ["field_name_fault"],
    "proxy/trust/tls_names.c": [None],
    "proxy/trust/token.c": ["login_obstacle"],
    "proxy/trust/token_uri.c": ["uri_flaw"],
    "proxy/wire/socket.c": ["listen_failure"],
    "proxy/wire/srv_reply.c": ["srv_reply_parse"],
    "config/yaml_scalar.c": ["yaml_scalar_trap_text"],
}
AREAS = {
    "The configuration file": r"config/(yaml_|file_|config_)",
    "Settings": r"config/|proxy/(options|plan|config_reload)|proxy/trust/(peer_rule|server_name|tls_names|passphrase)"
                r"|proxy/(delivery|forward)/(message_policy|tag_pattern)|proxy/link/shared_key",
    "Tokens": r"proxy/trust/token",
    "The SPIFFE Workload API": r"proxy/trust/svid|proxy/control/(workload_api|grpc_call)",
    "Revocation lists": r"proxy/trust/(crl|revocation)",
    "Certificates and keys": r"proxy/trust/|proxy/base/|proxy/control/reload",
    "Shared keys": r"proxy/forward/handshake",
    "Addresses, sockets and the system": r"proxy/",
}


def area_of(path):
    return next(area for area, pattern in AREAS.items() if re.match(pattern, path))


def faults():
    """{area: texts}"""
    found = {area: set() for area in AREAS}
    for path in FILES:
        name = relative(path)
        if COMMANDS.match(name):
            continue
        source = Source(path)
        texts = [text for call in source.calls() if call.name in FAULT_CALLS and call.function
                 for text in texts_of(source, call)]
        for function in RETURNED.get(name, []):
            body = next(body for called, body in source.functions() if called == function)
            texts += [text for text in source.texts(body) if is_prose(text)]
        found[area_of(name)] |= {readable(text) for text in texts}
    return found


def calls_with_texts():
    """The functions that are given a text outside of the commands."""
    found = set()
    for path in FILES:
        source = Source(path)
        if not COMMANDS.match(relative(path)) and path.name != "log.c":
            found |= {call.name for call in source.calls() if call.function and texts_of(source, call)}
    return found


# ---- readiness ---------------------------------------------------------------------------------------------

def readiness_reasons():
    """The texts of /ready, but for those that are phrases of end reasons."""
    path = "proxy/control/readiness.c"
    found = texts_to(path, "reason_add") + texts_in(path, "names_describe") + texts_in("proxy/daemon.c", "on_ready_asked")
    return {readable(text) for text in found}
