"""Python's fluent-logger: agent_python.py HOST PORT TAG COUNT [nanoseconds]"""

import sys

from fluent import sender

host, port, tag, count, *more = sys.argv[1:]
logger = sender.FluentSender(tag, host=host, port=int(port), nanosecond_precision=bool(more))
for number in range(int(count)):
    if not logger.emit(None, {"n": number}):
        sys.exit(f"event {number}: {logger.last_error}")
logger.close()
