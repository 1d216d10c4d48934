// Node's @fluent-org/logger: agent_node.js HOST PORT TAG COUNT MODE. PORT 0: HOST is the path of a Unix socket.
//
// MODE is an event mode. Every event is acked, unless "-noack" follows.
const { FluentClient } = require("@fluent-org/logger");

const [host, port, tag, count, mode] = process.argv.slice(2);
const [eventMode, noAck] = mode.split("-");
const client = new FluentClient(tag, {
  eventMode,
  ...(noAck ? {} : { ack: { ackTimeout: 15000 } }),
  sendQueueIntervalFlushLimit: { length: 20 },
  flushInterval: 10,
  socket: { ...(Number(port) ? { host, port: Number(port) } : { path: host }), timeout: 15000 },
});

Promise.all(Array.from({ length: Number(count) }, (_, n) => client.emit({ n })))
  .then(() => client.disconnect())
  .catch((error) => {
    console.error(error);
    process.exit(1);
  });
