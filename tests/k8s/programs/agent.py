"""The program of an agent's container: sends numbered events until SIGTERM, and more in its last moments. Writes lines of
JSON.

--quiet: sends only the last events, at SIGTERM. --job: sends only the last events, at once. Both wait for no ack."""

import json
import os
import signal
import sys
import threading

from support import raw
from support.forward import Agent, event
from support.reloading import Streaming

LAST = range(1_000_001, 1_000_301)  # events without acks


def say(**fields):
    print(json.dumps(fields), flush=True)


def send_last(agent):
    agent.send(*(event(number) for number in LAST))
    agent.close()
    say(message="last sent")


def main():
    address = os.environ.get("FLUENT_HOST", "127.0.0.1"), int(os.environ.get("FLUENT_PORT", "24224"))
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    agent = Agent(raw.connect(address))  # fails if husk does not listen yet
    say(message="connected")
    if {"--job", "--quiet"} & set(sys.argv):
        if "--quiet" in sys.argv:
            told.wait()
        send_last(agent)
        return
    streaming, acked = Streaming(address, 1), set()
    while True:
        is_told = told.wait(0.02)
        new = streaming.acked - acked
        acked |= new
        if new:
            say(acked=sorted(new))
        if is_told:
            break
    send_last(agent)
    numbers = streaming.finish()
    say(message="ended", events=len(numbers), ends=streaming.ends)


main()
