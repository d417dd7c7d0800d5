"""Ask a person whether a tweet may be posted; the execution waits for the answer."""

from marquee.clock import now
from marquee.settings import settings
from marquee.tweets.approval import (
    Approvals,
    RequestApprovalInput,
    StepFunctionsTasks,
    request_approval,
)
from marquee.tweets.policy import policies
from marquee.tweets.run import resolve
from marquee.workflows.step import JsonObject, step


@step("tweet_pipeline")
def handler(event: JsonObject) -> JsonObject:
    """Input: RequestApprovalInput; output: ApprovalRequested. The answer is answer_of()."""
    request = RequestApprovalInput.model_validate(event)
    run, approvals = resolve(request.request, settings()), Approvals.connect(settings())
    tasks = StepFunctionsTasks.connect()
    asked = request_approval(request, run, approvals, policies(), tasks, now=now())
    return asked.model_dump(mode="json")
