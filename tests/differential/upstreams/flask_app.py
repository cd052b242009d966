from flask import Flask, Response, request
from routes import EXACT, METHODS, WITH_REST, report

app = Flask(__name__, static_folder=None)
app.url_map.strict_slashes = False


def add(route_class, path):
    def handler(**_):
        caller = request.headers.get("X-Auth-User-Id")
        return Response("", headers=report(route_class, request.method, caller))

    path = path.replace("{id}", "<id>")
    app.add_url_rule(path, f"{route_class} {path}", handler, methods=METHODS, provide_automatic_options=False)


for route_class, path in EXACT:
    add(route_class, path)
for route_class, path in WITH_REST:
    add(route_class, path)
    add(route_class, path + "/<path:rest>")
