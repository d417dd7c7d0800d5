"""Check the settings files at a deployment, which a fault stops, and make the schedules."""

from marquee.custom_resource import RequestType, custom_resource
from marquee.settings import settings
from marquee.tweets.schedules import Applied, DeployedSchedules, apply_settings


@custom_resource
def handler(request_type: RequestType) -> Applied:
    """In: what becomes of Custom::TweetSettings; out: what became of the schedules."""
    return apply_settings(request_type, DeployedSchedules.connect(settings()), settings())
