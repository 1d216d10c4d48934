// Node's fluent-logger: agent_node_old.js HOST PORT TAG COUNT MODE. PORT 0: HOST is the path of a Unix socket.
//
// MODE is an event mode. Every event is acked, unless "-noack" follows.
const { createFluentSender } = require("fluent-logger");

const [host, port, tag, count, mode] = process.argv.slice(2);
const [eventMode, noAck] = mode.split("-");
const logger = createFluentSender(tag, {
  ...(Number(port) ? { host, port: Number(port) } : { path: host }),
  eventMode,
  requireAckResponse: !noAck,
  ackResponseTimeout: 15000,
});

logger.on("error", (error) => {
  console.error(error);
  process.exit(1);
});
let waiting = Number(count);
for (let n = 0; n < Number(count); n++) {
  logger.emit({ n }, () => --waiting || logger.end());
}
