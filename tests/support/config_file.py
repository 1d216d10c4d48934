"""Files for `husk run`, in the form that tests need: free ports, JSON logs, no probes."""

import yaml

from support import raw

PROCESS = {"admin": {"listen": f"{raw.HOST}:0"}, "log": {"format": "json"}, "reload": {"interval": "off"},
           "drain": {"quiet": "50ms", "timeout": "2s"}}
# Health probes would connect to the test's own listeners.
DEFAULTS = {"health": {"interval": "off"}}


def text_of(upstream):
    return raw.format_address(upstream.address) if hasattr(upstream, "address") else upstream


def route(name, upstream, **settings):
    """A route without TLS. `upstream`: an address, an object that has one, or a list of both."""
    upstreams = [text_of(one) for one in upstream] if isinstance(upstream, list) else text_of(upstream)
    return {"name": name, "listen": f"{raw.HOST}:0", "upstreams": upstreams, **settings}


def tls(certificate, authority):
    return {"cert": certificate.cert, "key": certificate.key, "ca": authority.cert}


def write(path, *routes, defaults=(), **process):
    """Writes the file and returns its path."""
    content = {**PROCESS, **process, "defaults": {**DEFAULTS, **dict(defaults)}, "routes": list(routes)}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def address_of(husk, name):
    """The address of the only listener of a route."""
    return raw.parse_address(husk.wait_for_event(message="listening", route=name)["address"])
