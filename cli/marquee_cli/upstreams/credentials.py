"""The demonstration credentials that the stand-ins accept, and that open nothing else."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Credentials:
    """What a caller must present to each upstream; Mastodon's hashtag timelines are public."""

    tmdb_token: str
    x_bearer_token: str
    bluesky_handle: str
    bluesky_app_password: str
    x_consumer_key: str
    x_consumer_secret: str
    x_client_id: str
    x_client_secret: str
    openai_api_key: str


DEMONSTRATION = Credentials(
    tmdb_token="demonstration-tmdb-read-token",  # noqa: S106 - accepted by the stand-in only
    x_bearer_token="demonstration-x-bearer-token",  # noqa: S106 - accepted by the stand-in only
    bluesky_handle="demo.marquee.test",
    bluesky_app_password="demo-demo-demo-demo",  # noqa: S106 - accepted by the stand-in only
    x_consumer_key="demonstration-x-consumer-key",
    x_consumer_secret="demonstration-x-consumer-secret",  # noqa: S106 - accepted by the stand-in only
    x_client_id="demonstration-x-client-id",
    x_client_secret="demonstration-x-client-secret",  # noqa: S106 - accepted by the stand-in only
    openai_api_key="demonstration-openai-key",
)
