"""A whole installation in this process: the template's data and environment, on moto."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from unittest.mock import patch

from moto import mock_aws

from marquee import aws
from marquee import settings as environment
from marquee.settings import Settings, read_settings
from tests.support.functions import let_functions_find_nothing
from tests.support.state_machines import ACCOUNT, quick_aws
from tests.support.templates import Template, create_resources

_CACHES = (aws.client, aws.dynamodb, environment.settings, environment.secrets)


@cache
def the_template() -> Template:
    """The deployed template with its defaults."""
    return Template.load()


@contextmanager
def installed(*logical_ids: str) -> Iterator[Settings]:
    """The installation as the functions of these logical ids (all, if none is named) see it.

    Its state machines start executions that stay RUNNING: what a test wants of one, it writes.
    A function that another one calls answers that it found nothing.
    """
    template = the_template()
    with data_installed(template, *logical_ids) as settings:
        _create_machines(template)
        let_functions_find_nothing()
        yield settings


@contextmanager
def data_installed(template: Template, *logical_ids: str) -> Iterator[Settings]:
    """The tables, queues, buses and the environment of a template, without its state machines."""
    variables = template.environment(*logical_ids)
    with mock_aws(), quick_aws(), patch.dict(os.environ, variables):
        forget()
        create_resources(template)
        try:
            yield read_settings(variables)
        finally:
            forget()


def executions(settings: Settings, kind: str = "movie_search") -> list[str]:
    """The names of the executions of that kind that were started, the last one first."""
    arn = the_template().machines[kind].arn
    answer = aws.client("stepfunctions").list_executions(stateMachineArn=arn)
    return [execution["name"] for execution in answer["executions"]]


def _create_machines(template: Template) -> None:
    for machine in template.machines.values():
        aws.client("stepfunctions").create_state_machine(
            name=machine.name,
            definition='{"StartAt": "Wait", "States": {"Wait": {"Type": "Succeed"}}}',
            roleArn=f"arn:aws:iam::{ACCOUNT}:role/state-machine",
        )


def forget() -> None:
    """Drop what the process keeps of the installation before: its clients and its settings."""
    for cached in _CACHES:
        cached.cache_clear()
