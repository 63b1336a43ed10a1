"""The pages of the Django project that is timed."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.authentication import JWTStatelessUserAuthentication


def page(request: HttpRequest) -> HttpResponse:
    """Answer."""
    return HttpResponse("reports")


async def apage(request: HttpRequest) -> HttpResponse:
    """Answer, from the event loop."""
    return HttpResponse("reports")


class Open(APIView):
    """A view of Django REST framework that asks for nothing."""

    authentication_classes: Any = ()

    def get(self, request: Any) -> Response:
        """Answer."""
        return Response({"page": "reports"})


class Guarded(Open):
    """The same behind simplejwt."""

    authentication_classes = (JWTStatelessUserAuthentication,)
    permission_classes = (IsAuthenticated,)


urlpatterns = [
    path("", page),
    path("async", apage),
    path("open", Open.as_view()),
    path("guarded", Guarded.as_view()),
]
