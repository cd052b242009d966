// The routes that the upstreams of Node serve: a class, and a path that ends exactly or has a rest.

const objects = ["insight", "feature_flag", "person", "cohort", "query"];
const collection = (name) => (name === "query" ? name : `${name}s`);

exports.exact = [
  ...["decide", "capture", "batch"].map((name) => ["public", `/${name}`]),
  ["project", "/api/projects"],
  ["project", "/api/projects/:id"],
];

exports.withRest = ["/api", "/api/projects/:id"].flatMap((prefix) =>
  objects.map((name) => [name, `${prefix}/${collection(name)}`]),
);

// What a handler says of itself: its class, the method it acts on, and who it takes the caller for.
exports.report = (routeClass, request) => ({
  "X-Route-Class": routeClass,
  "X-Route-Method": request.method,
  "X-Route-Caller": request.headers["x-auth-user-id"] || "nobody",
});
