const fastify = require("fastify");
const { exact, withRest, report } = require("./routes");

const app = fastify({ routerOptions: { ignoreTrailingSlash: true } });
const handler = (routeClass) => (request, reply) => reply.headers(report(routeClass, request.raw)).send("");
// Ignore the content of bodies.
app.removeAllContentTypeParsers();
app.addContentTypeParser("*", (request, payload, done) => payload.resume().on("end", done));
for (const [routeClass, path] of exact) app.all(path, handler(routeClass));
for (const [routeClass, path] of withRest) {
  app.all(path, handler(routeClass));
  app.all(`${path}/*`, handler(routeClass));
}
app.listen({ port: Number(process.argv[2]), host: "127.0.0.1" });
