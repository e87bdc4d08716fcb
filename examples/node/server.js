// Answers every request with a greeting; config vars arrive as environment variables.
const http = require("node:http");

const greeting = process.env.GREETING || "hello";
const server = http.createServer((request, response) => {
  response.setHeader("Content-Type", "text/plain; charset=utf-8");
  response.end(`${greeting} from node\n`);
});

server.listen(process.env.PORT || 8080, "0.0.0.0", () => console.log(`listening on ${server.address().port}`));

// A new release is live when SIGTERM comes: finish what is under way, then end.
process.on("SIGTERM", () => server.close(() => process.exit(0)));
