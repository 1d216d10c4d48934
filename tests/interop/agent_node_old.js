// Node's fluent-logger, every event acked: agent_node_old.js HOST PORT TAG COUNT MODE
const { createFluentSender } = require("fluent-logger");

const [host, port, tag, count, eventMode] = process.argv.slice(2);
const logger = createFluentSender(tag, {
  host,
  port: Number(port),
  eventMode,
  requireAckResponse: true,
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
