const express = require("express");
const methodOverride = require("method-override");
const { exact, withRest, report } = require("./routes");

const app = express();
for (const header of ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"]) {
  app.use(methodOverride(header, { methods: null }));
}
const handler = (routeClass) => (request, response) => response.set(report(routeClass, request)).end();
for (const [routeClass, path] of exact) app.all(path, handler(routeClass));
for (const [routeClass, path] of withRest) {
  app.all(path, handler(routeClass));
  app.all(`${path}/*rest`, handler(routeClass));
}
app.listen(Number(process.argv[2]), "127.0.0.1");
