"""Answer every route of the REST API."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from marquee.api.application import application
from marquee.gateway.accounting import accounted
from marquee.settings import settings


@accounted("Api")
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway's proxy event in, its response out."""
    return application(settings()).resolve(event, context)
