"""The receiver of pushed events as a Django view.

    path("licet/webhooks", webhook_receiver)

It needs no license and no CSRF token: what it takes is signed by the license server.
"""

from __future__ import annotations

from functools import lru_cache

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from licet.core.gate import Gate
from licet.core.revocation.reception import Reception
from licet.django.conf import licensing
from licet.django.decorators import license_exempt
from licet.django.request import DjangoFacts

__all__ = ["webhook_receiver"]


# Synchronous: Django runs it in a thread under ASGI, where it may wait for a store, and no event
# loop of its own under WSGI.
@csrf_exempt
@license_exempt
def webhook_receiver(request: HttpRequest) -> HttpResponse:
    """Take an event that the license server pushes (Standard Webhooks).

    What is said is in force on the next request of this process, and in the others that share
    `LICET_STORE` or `LICET_LICENSE_STATE` within seconds.

    Raises:
        ConfigError: there is no `LICET_WEBHOOK_RECEIVE_SECRET`; `check` says so as licet.E006.
    """
    facts = DjangoFacts(request)
    reception = _reception(licensing().gate)
    answer = reception.respond(facts.method, facts.fields, request.read)
    response = HttpResponse(answer.body, status=answer.status)
    del response.headers["Content-Type"]
    for name, value in answer.headers:
        response.headers[name] = value
    return response


@lru_cache(maxsize=8)
def _reception(gate: Gate) -> Reception:
    return Reception(gate)
