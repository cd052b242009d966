import re

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import re_path
from routes import EXACT, WITH_REST, report

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], APPEND_SLASH=False, SECRET_KEY="of a test", MIDDLEWARE=[])


def view(route_class):
    def handler(request):
        return HttpResponse(headers=report(route_class, request.method, request.META.get("HTTP_X_AUTH_USER_ID")))

    return handler


def pattern(path, end):
    return "^" + re.escape(path.lstrip("/")).replace(r"\{id\}", "[^/]+") + end


urlpatterns = [re_path(pattern(path, "/?$"), view(route_class)) for route_class, path in EXACT]
urlpatterns += [re_path(pattern(path, "(?:/.*)?$"), view(route_class)) for route_class, path in WITH_REST]

app = get_wsgi_application()
