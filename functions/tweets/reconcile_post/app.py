"""Find out what became of a post whose answer was lost."""

from marquee.clock import now
from marquee.settings import settings
from marquee.tweets.ledger import PostLedger
from marquee.tweets.reconcile import ReconcilePostInput, reconcile_post
from marquee.tweets.x_account import XApi
from marquee.workflows.step import JsonObject, step


@step("tweet_pipeline")
def handler(event: JsonObject) -> JsonObject:
    """Input: ReconcilePostInput; output: Outcome."""
    request = ReconcilePostInput.model_validate(event)
    ledger, x = PostLedger.connect(settings()), XApi.connect(settings(), request.account)
    return reconcile_post(request, ledger, x, clock=now).model_dump(mode="json")
