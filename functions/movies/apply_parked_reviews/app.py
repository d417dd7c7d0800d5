"""Store reviews that DynamoDB refused earlier."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from marquee.clock import now
from marquee.gateway.accounting import accounted
from marquee.movies.review_store import ReviewStore
from marquee.movies.reviews import apply_parked_reviews
from marquee.settings import settings


@accounted("ApplyParkedReviews")
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Input: a batch of SQS messages; output: which of them must come again."""
    return apply_parked_reviews(event, ReviewStore.connect(settings()), now=now())
