"""The routes of the Python upstreams: a class, and a path that is exact or has a rest."""

OBJECTS = ["insight", "feature_flag", "person", "cohort", "query"]

EXACT = [("public", f"/{name}") for name in ("decide", "capture", "batch")]
EXACT += [("project", "/api/projects"), ("project", "/api/projects/{id}")]


def collection(name):
    return "query" if name == "query" else f"{name}s"


WITH_REST = [(name, f"/api/{collection(name)}") for name in OBJECTS]
WITH_REST += [(name, f"/api/projects/{{id}}/{collection(name)}") for name in OBJECTS]

METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE"]


def report(route_class, method, identity):
    """The report of a handler: its route class, the method that it sees, and the caller that it sees."""
    return {"X-Route-Class": route_class, "X-Route-Method": method, "X-Route-Caller": identity or "nobody"}
