"""The program of an aggregator's container: acks each event and writes its number, until SIGTERM. The address is that of
k8s/: 127.0.0.1:24225. With SHARED_KEY it asks for the key, as Fluentd does."""

import json
import os
import signal
import threading

import msgpack

from support.aggregators import TAKE, CountingAggregator
from support_pods import aggregator_authenticates


class WritingAggregator(CountingAggregator):
    def judge(self, received, numbers):
        print(json.dumps({"stored": numbers}), flush=True)
        return TAKE

    def _read(self, connection):
        if "SHARED_KEY" in os.environ and not aggregator_authenticates(connection.sock, msgpack.Unpacker(raw=True)):
            connection.sock.close()
            return
        super()._read(connection)


told = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: told.set())
aggregator = WritingAggregator(address=("127.0.0.1", 24225))
told.wait()
