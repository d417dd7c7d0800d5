"""The tables of the template in moto: made once a module, empty for every test."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from marquee.movies.backfill_queue import BackfillQueue
from tests.support.review_tables import a_table
from tests.support.state_machines import REGION
from tests.support.templates import Template, create_tables

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import DynamoDBServiceResource, Table


@pytest.fixture(scope="session")
def template() -> Template:
    return Template.load()


@pytest.fixture(scope="module")
def tables(template: Template) -> Iterator["DynamoDBServiceResource"]:
    with mock_aws():
        create_tables(template)
        yield boto3.resource("dynamodb", region_name=REGION)


@pytest.fixture
def movies_table(tables: "DynamoDBServiceResource", template: Template) -> Iterator["Table"]:
    table = tables.Table(template.name_of("MoviesTable"))
    yield table
    for item in table.scan()["Items"]:
        table.delete_item(Key={"pk": item["pk"], "sk": item["sk"]})


@pytest.fixture
def queue(tables: "DynamoDBServiceResource", template: Template) -> Iterator[BackfillQueue]:
    table = tables.Table(template.name_of("BackfillTable"))
    yield BackfillQueue(table)
    for item in table.scan()["Items"]:
        table.delete_item(Key={"tmdb_id": item["tmdb_id"]})


@pytest.fixture
def workflows_table(tables: "DynamoDBServiceResource", template: Template) -> Iterator["Table"]:
    table = tables.Table(template.name_of("WorkflowsTable"))
    yield table
    for item in table.scan()["Items"]:
        table.delete_item(Key={"workflow_id": item["workflow_id"]})


@pytest.fixture
def reviews_table(tables: "DynamoDBServiceResource", template: Template) -> Iterator["Table"]:
    """ReviewsTable through a client of the test's own."""
    name = template.name_of("ReviewsTable")
    yield a_table(name)
    table = tables.Table(name)
    with table.batch_writer() as batch:
        for item in table.scan()["Items"]:
            batch.delete_item(Key={"pk": item["pk"], "sk": item["sk"]})
