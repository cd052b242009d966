// The routes of the Node upstreams: a class, and a path that is exact or has a rest.

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

// The report of a handler: its route class, the method that it sees, and the caller that it sees.
exports.report = (routeClass, request) => ({
  "X-Route-Class": routeClass,
  "X-Route-Method": request.method,
  "X-Route-Caller": request.headers["x-auth-user-id"] || "nobody",
});
