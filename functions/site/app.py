"""Serve the page: its document at the root of the API, and the files that it loads."""

from functools import cache
from pathlib import Path
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from marquee.settings import settings
from marquee.site.page import Page
from marquee.site.serve import serve


@cache
def page() -> Page:
    """The page as it was deployed."""
    folder = Path(__file__).with_name("page")
    return Page.read(folder, posters=settings().tmdb_image_base_url)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway's proxy event in, its response out."""
    return serve(event, page())
