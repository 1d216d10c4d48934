"""Python's fluent-logger: agent_python.py HOST PORT TAG COUNT [MODE]. PORT 0: HOST is the path of a Unix socket.

MODE holds "nanoseconds" (EventTime), "float" (the application gives times of its own) or "none" (each event is followed
by emit(label, None))."""

import sys

from fluent import sender

host, port, tag, count, *more = sys.argv[1:]
mode = more[0] if more else ""
logger = sender.FluentSender(tag, host=host if int(port) else f"unix://{host}", port=int(port),
                             nanosecond_precision="nanoseconds" in mode)


def check(is_sent):
    if not is_sent:
        sys.exit(f"an event was not sent: {logger.last_error}")


for number in range(int(count)):
    record = {"n": number}
    check(logger.emit_with_time(None, 1.5, record) if "float" in mode else logger.emit(None, record))
    if "none" in mode:
        check(logger.emit(None, None))
logger.close()
