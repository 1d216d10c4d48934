// Node's @fluent-org/logger, every event acked: agent_node.js HOST PORT TAG COUNT MODE
const { FluentClient } = require("@fluent-org/logger");

const [host, port, tag, count, eventMode] = process.argv.slice(2);
const client = new FluentClient(tag, {
  eventMode,
  ack: { ackTimeout: 15000 },
  sendQueueIntervalFlushLimit: { length: 20 },
  flushInterval: 10,
  socket: { host, port: Number(port), timeout: 15000 },
});

Promise.all(Array.from({ length: Number(count) }, (_, n) => client.emit({ n })))
  .then(() => client.disconnect())
  .catch((error) => {
    console.error(error);
    process.exit(1);
  });
