"""`{% load licet %}`: parts of a page for licensed features.

    {% if_feature "analytics" %}…{% else %}…{% end_if_feature %}

    {% license_banner as banner %}
    {% if banner.in_grace %}Your license has ended: {{ banner.days_left }} days are left.{% endif %}
    {% for used in banner.nearly_used %}{{ used.percent }} % of {{ used.limit }}{% endfor %}

It decides what is shown; what may be done is for the views to demand.
"""

from __future__ import annotations

from collections.abc import Sequence

from django import template
from django.template.base import FilterExpression, Node, NodeList, Parser, Token
from django.template.context import Context

from licet.core.entitlements.banner import Banner, banner
from licet.core.entitlements.context import find_entitlements

register = template.Library()


@register.simple_tag
def license_banner() -> Banner:
    """Return what there is to tell of the license: days left, grace, and what is nearly used up."""
    return banner(find_entitlements())


@register.tag
def if_feature(parser: Parser, token: Token) -> IfFeature:
    """Show what stands inside where the license has all the features named, else the rest.

    Names are texts or variables. Outside of licensed requests nothing is licensed.

    Raises:
        TemplateSyntaxError: no name.
    """
    tag, *names = token.split_contents()
    if not names:
        raise template.TemplateSyntaxError(f'{{% {tag} "name" %}} needs at least one feature')
    features = [parser.compile_filter(name) for name in names]
    licensed = parser.parse(("else", "end_if_feature"))
    otherwise = NodeList()
    if parser.next_token().contents == "else":
        otherwise = parser.parse(("end_if_feature",))
        parser.delete_first_token()
    return IfFeature(features, licensed, otherwise)


class IfFeature(Node):
    """One `{% if_feature %}`."""

    child_nodelists = ("licensed", "otherwise")

    def __init__(
        self, features: Sequence[FilterExpression], licensed: NodeList, otherwise: NodeList
    ) -> None:
        self.features = features
        self.licensed = licensed
        self.otherwise = otherwise

    def render(self, context: Context) -> str:
        """Render one of the two parts."""
        entitlements = find_entitlements()
        allowed = entitlements is not None and all(
            isinstance(name, str) and entitlements.allows(name)
            for name in (feature.resolve(context) for feature in self.features)
        )
        return (self.licensed if allowed else self.otherwise).render(context)
