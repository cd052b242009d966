from routes import EXACT, METHODS, WITH_REST, report
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route


def route(route_class, path):
    async def handler(request):
        return Response(headers=report(route_class, request.method, request.headers.get("x-auth-user-id")))

    return Route(path, handler, methods=METHODS)


app = Starlette(
    routes=[route(route_class, path + slash) for route_class, path in EXACT for slash in ("", "/")]
    + [route(route_class, path + rest) for route_class, path in WITH_REST for rest in ("", "/{rest:path}")]
)
