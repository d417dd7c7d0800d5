"""From a stored change over the template's filters, the outbox and the template's rules to those
who listen: searches and executions, duplicates and replays. On moto."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from functions.coordination.publish_events.app import handler as publish_events
from marquee import aws
from marquee.events.publish import SOURCE
from marquee.gateway.announce import budget_events
from marquee.gateway.rows import DynamoRows
from marquee.gateway.slots import Slots
from marquee.gateway.spend import KEY, TOTAL, Cap, Period, Spend
from marquee.movies import announce, backfill, start
from marquee.movies.backfill import BackfillSummary, FilmOutcome, FilmState
from marquee.movies.models import SearchRequest
from marquee.movies.start import start_search
from marquee.settings import WEBHOOK_HISTORY_KEPT_FOR, Settings
from marquee.triggers.match import match_triggers
from marquee.triggers.trigger_store import TriggerStore
from marquee.triggers.webhook_queue import WebhookQueue
from marquee.workflows import announce as of_workflows
from marquee.workflows.closing import ExecutionEnded, close_execution
from marquee.workflows.record import Status, StepError, WorkflowRecords
from tests.support.builders import NOW
from tests.support.coordination_table import MemoryRows
from tests.support.installation import installed, the_template
from tests.support.outbox import FUNCTION, Outbox, sources_of
from tests.support.state_machines import LambdaContext, empty
from tests.support.templates import ROOT
from tests.support.webhooks import a_trigger

type Json = dict[str, Any]

CONTEXT: Any = LambdaContext(the_template().functions[FUNCTION].arn)
NO_SLOTS = Slots(MemoryRows(), ())
REQUEST = SearchRequest(movie_name="RRR", year=2022, max_reviews=13)
RESULT: Json = {
    "found": {"tmdb_id": 579974, "title": "RRR", "message": "RRR (2022): exact title."},
    "sources": [
        {"source": "tmdb", "status": "ok", "new": 12},
        {"source": "x", "status": "deferred", "reason": "no slot is near"},
        {"source": "bluesky", "status": "ok"},
    ],
    "average_sentiment": 0.4,
    "sample_size": 12,
    "recommended_ids": [1, 2],
}


@dataclass(frozen=True)
class Listeners:
    """Queues behind rules of the template, and one that hears everything."""

    settings: Settings
    outbox: Outbox

    @property
    def records(self) -> WorkflowRecords:
        return WorkflowRecords.connect(self.settings)

    def listen(self, name: str, pattern: Json) -> None:
        """Put a queue behind a rule."""
        sqs, events = aws.client("sqs"), aws.client("events")
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
        rule = {"Name": name, "EventBusName": self.settings.event_bus}
        events.put_rule(**rule, EventPattern=json.dumps(pattern))
        events.put_targets(
            Rule=name,
            EventBusName=self.settings.event_bus,
            Targets=[{"Id": "queue", "Arn": arn["QueueArn"]}],
        )

    def heard(self, name: str = "everything") -> list[Json]:
        """The envelopes that came since the last time, once the outbox has told all."""
        self.outbox.deliver()
        url = aws.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]
        return [json.loads(message["Body"]) for message in _received(url)]

    def said(self) -> list[tuple[str, Json]]:
        return [(event["detail-type"], event["detail"]) for event in self.heard()]


def _received(url: str) -> Iterator[Json]:
    """The messages of a queue, which are gone then."""
    sqs = aws.client("sqs")
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            yield message


def rule(logical_id: str, name: str = "") -> Json:
    """The pattern of a rule of the template: of a function's event, or of its own."""
    properties = the_template().document["Resources"][logical_id]["Properties"]
    rule = properties["Events"][name]["Properties"]["Pattern"] if name else properties
    found: Json = the_template().resolve(rule.get("EventPattern", rule))
    return found


@pytest.fixture(scope="module")
def whole() -> Iterator[Listeners]:
    with installed() as settings:
        listeners = Listeners(settings, Outbox(the_template()))
        listeners.listen("everything", {"source": [{"prefix": ""}]})
        listeners.listen("searches", rule("StartMovieSearchFunction", "MovieSearchRequested"))
        listeners.listen("triggers", rule("MatchTriggersFunction", "AnyEvent"))
        listeners.listen("mail", rule("TellOfApproval"))
        yield listeners


@pytest.fixture
def listeners(whole: Listeners) -> Iterator[Listeners]:
    yield whole
    empty()
    for source, _ in whole.outbox.batches():
        assert source.table


def began(listeners: Listeners, trigger: str = "api") -> str:
    """The id of a search that was asked for."""
    given: Any = {"trigger": trigger, "settings": listeners.settings, "now": NOW}
    return start_search(REQUEST, **given).workflow_id


def end(listeners: Listeners, workflow_id: str, status: Status, **fields: Any) -> None:
    listeners.records.close(workflow_id, "movie_search", status, now=NOW, **fields)


def test_rows_are_read_as_they_are_written() -> None:
    assert (announce.KIND, announce.BACKFILL) == (start.KIND, backfill.KIND)
    ends = {of_workflows.SUCCEEDED, of_workflows.PARTIAL}
    ends |= {of_workflows.FAILED, of_workflows.CANCELED}
    assert ends | {of_workflows.RUNNING} == set(Status)


# Searches


def test_a_search_that_begins_is_told_and_starts_no_second_one(listeners: Listeners) -> None:
    workflow_id = began(listeners)
    [(name, detail)] = listeners.said()
    assert name == "MovieSearchRequested"
    assert detail["workflow_id"] == detail["correlation_id"] == workflow_id
    assert (detail["movie_name"], detail["year"], detail["max_reviews"]) == ("RRR", 2022, 13)
    assert (detail["trigger"], detail["region"]) == ("api", None)
    assert listeners.heard("searches") == []


def test_whoever_joins_a_search_asks_for_no_other(listeners: Listeners) -> None:
    assert began(listeners) == began(listeners)
    assert len(listeners.said()) == 1


def test_a_search_that_was_asked_for_on_the_bus_is_not_asked_for_again(
    listeners: Listeners,
) -> None:
    entry = {"EventBusName": listeners.settings.event_bus, "Source": "a.shop"}
    asked = {"DetailType": "MovieSearchRequested", "Detail": REQUEST.model_dump_json()}
    aws.client("events").put_events(Entries=[entry | asked])
    [asking] = listeners.heard("searches")
    assert asking["detail"]["movie_name"] == "RRR"
    began(listeners, "event")
    assert [event["source"] for event in listeners.heard()] == ["a.shop"]


def test_a_search_that_ends_says_what_it_found_collected_and_recommends(
    listeners: Listeners,
) -> None:
    workflow_id = began(listeners)
    listeners.said()
    end(listeners, workflow_id, Status.PARTIAL, result=RESULT)
    said = dict(listeners.said())
    assert list(said) == ["ReviewsCollected", "RecommendationGenerated", "MovieSearchCompleted"]
    for name, detail in said.items():
        assert detail["event_id"] == f"{name}/{workflow_id}"
        assert (detail["tmdb_id"], detail["title"]) == (579974, "RRR")
    assert said["ReviewsCollected"]["sources"] == {"tmdb": 12}
    assert said["RecommendationGenerated"]["recommended"] == [1, 2]
    completed = said["MovieSearchCompleted"]
    assert completed["sources"] == {"tmdb": "ok", "x": "deferred", "bluesky": "ok"}
    assert (completed["status"], completed["backfilled"]) == ("PARTIAL", False)
    assert (completed["average_sentiment"], completed["sample_size"]) == (0.4, 12)


def test_a_search_that_is_complete_later_says_so(listeners: Listeners) -> None:
    workflow_id = began(listeners)
    end(listeners, workflow_id, Status.PARTIAL, result=RESULT)
    first = {detail["event_id"] for _, detail in listeners.said()}
    sources = [{"source": name, "status": "ok", "new": n} for name, n in (("tmdb", 12), ("x", 5))]
    whole = {**RESULT, "sources": sources}
    later = NOW + timedelta(hours=6)
    assert listeners.records.amend(workflow_id, "movie_search", whole, complete=True, now=later)
    said = dict(listeners.said())
    assert list(said) == ["MovieSearchCompleted"]
    completed = said["MovieSearchCompleted"]
    assert (completed["status"], completed["backfilled"]) == ("SUCCEEDED", True)
    assert datetime.fromisoformat(completed["occurred_at"]) == later
    assert not first & {detail["event_id"] for detail in said.values()}


def test_what_is_collected_later_is_told_once_for_each_film_whoever_waits_for_it(
    listeners: Listeners,
) -> None:
    waiting = [began(listeners, trigger) for trigger in ("api", "event")]
    for workflow_id in waiting:
        end(listeners, workflow_id, Status.PARTIAL, result=RESULT)
    listeners.said()
    x = {"source": "x", "status": "ok", "new": 5}
    amended = {**RESULT, "sources": [RESULT["sources"][0], x], "missing": ["more of bluesky"]}
    for workflow_id in waiting:
        listeners.records.amend(workflow_id, "movie_search", amended, complete=False, now=NOW)
    common: Any = {"state": FilmState.BACK_IN_THE_QUEUE}
    films = (
        FilmOutcome(tmdb_id=579974, title="RRR", new=5, sources={"x": 5}, **common),
        FilmOutcome(tmdb_id=1, title="Nobody waits", new=3, sources={"x": 2, "tmdb": 1}, **common),
        FilmOutcome(tmdb_id=2, title="Nothing new", **common),
    )
    result = BackfillSummary(films=films).model_dump(mode="json")
    listeners.records.close("run-1", "review_backfill", Status.PARTIAL, now=NOW, result=result)
    assert [
        (name, detail["event_id"], detail["workflow_id"], detail["title"], detail["sources"])
        for name, detail in listeners.said()
    ] == [
        ("ReviewsCollected", f"ReviewsCollected/run-1/{tmdb_id}", "run-1", title, sources)
        for tmdb_id, title, sources in (
            (579974, "RRR", {"x": 5}),
            (1, "Nobody waits", {"x": 2, "tmdb": 1}),
        )
    ]


def test_no_match_is_an_end_that_says_so(listeners: Listeners) -> None:
    workflow_id = began(listeners)
    listeners.said()
    nothing = {"found": {"message": "TMDB knows no such film."}}
    end(listeners, workflow_id, Status.SUCCEEDED, result=nothing)
    [(name, detail)] = listeners.said()
    assert (name, detail["tmdb_id"], detail["title"]) == ("MovieSearchCompleted", None, None)


# Executions that fail


def test_an_execution_that_fails_is_told_with_its_error(listeners: Listeners) -> None:
    workflow_id = began(listeners)
    listeners.said()
    error = StepError(name="UpstreamTimeout", message="tmdb: no answer")
    end(listeners, workflow_id, Status.FAILED, error=error)
    [(name, detail)] = listeners.said()
    assert name == "WorkflowFailed"
    assert (detail["kind"], detail["trigger"]) == ("movie_search", "api")
    assert (detail["error"], detail["message"]) == ("UpstreamTimeout", "tmdb: no answer")


@pytest.mark.parametrize("kind", ["movie_search", "tweet_pipeline", "review_backfill"])
def test_an_execution_that_died_is_told_though_it_never_had_a_record(
    listeners: Listeners, kind: str
) -> None:
    arn = f"arn:aws:states:us-east-1:1:stateMachine:marquee-{kind}"
    given = {"name": "run-1", "stateMachineArn": arn, "status": "TIMED_OUT"}
    ended = ExecutionEnded.model_validate(given)
    for _ in range(2):
        close_execution(ended, listeners.records, NO_SLOTS, NOW)
    [(name, detail)] = listeners.said()
    assert (name, detail["kind"], detail["error"]) == ("WorkflowFailed", kind, "States.TIMED_OUT")


def test_an_execution_that_somebody_canceled_says_so_and_has_not_failed(
    listeners: Listeners,
) -> None:
    workflow_id = began(listeners)
    listeners.said()
    error = StepError(name="Canceled", message="stopped on request")
    end(listeners, workflow_id, Status.CANCELED, error=error)
    [(name, detail)] = listeners.said()
    assert (name, detail["event_id"]) == ("WorkflowCanceled", f"WorkflowCanceled/{workflow_id}")
    assert (detail["kind"], detail["trigger"]) == ("movie_search", "api")
    assert detail["message"] == "stopped on request"


def test_an_execution_that_was_stopped_on_the_console_says_so_without_a_record(
    listeners: Listeners,
) -> None:
    arn = "arn:aws:states:us-east-1:1:stateMachine:marquee-tweet_pipeline"
    given = {"name": "run-1", "stateMachineArn": arn, "status": "ABORTED"}
    close_execution(ExecutionEnded.model_validate(given), listeners.records, NO_SLOTS, NOW)
    [(name, detail)] = listeners.said()
    assert (name, detail["kind"], detail["trigger"]) == ("WorkflowCanceled", "tweet_pipeline", "")


def test_what_happens_to_a_record_after_its_end_says_nothing(listeners: Listeners) -> None:
    workflow_id = began(listeners)
    end(listeners, workflow_id, Status.PARTIAL, result=RESULT)
    listeners.said()
    end(listeners, workflow_id, Status.FAILED)
    assert list(listeners.records.forget_ended("movie_search", NOW + timedelta(days=1))) == [True]
    assert listeners.said() == []


# Budgets


def test_a_budget_says_once_a_period_that_it_is_nearly_used_up_and_that_it_is(
    listeners: Listeners,
) -> None:
    caps = (Cap(TOTAL, Period.DAY, 1.0), Cap("x", Period.MONTH, 10.0))
    spend = Spend(DynamoRows(aws.table(listeners.settings.gateway_table)), caps)
    for holder, usd in (("a", 0.5), ("b", 0.35), ("c", 0.4), ("c", 0.4), ("d", 0.1)):
        spend.reserve("x", usd, holder, now=NOW)
    said = [detail for _, detail in listeners.said()]
    assert [(each["scope"], each["percent"]) for each in said] == [(TOTAL, 80), (TOTAL, 100)]
    assert [(each["cap_usd"], each["used_usd"]) for each in said] == [(1.0, 0.85)] * 2
    assert len({each["event_id"] for each in said}) == 2
    assert said[0]["period"] == said[0]["occurred_at"][:10]


def test_a_threshold_that_is_reached_with_the_first_call_of_a_day_is_that_days() -> None:
    rows = MemoryRows()
    spend = Spend(rows, (Cap(TOTAL, Period.DAY, 1.0),))
    said = []
    for day in range(2):
        before = rows.rows.get(KEY, {})
        spend.reserve("x", 0.9, f"run-{day}", now=rows.at)
        said += [event.event_id for event in budget_events(before, rows.rows[KEY])]
        spend.settle(f"run-{day}", 0.9, now=rows.at)
        rows.later(24 * 3600)
    assert said == [f"BudgetThreshold/2026-05-0{day}/total/80/1" for day in (4, 5)]


def test_the_threshold_of_a_raised_cap_is_an_event_of_its_own() -> None:
    rows, said = MemoryRows(), []
    for cap, usd in ((1.0, 0.9), (2.0, 0.7)):
        before = rows.rows.get(KEY, {})
        Spend(rows, (Cap(TOTAL, Period.DAY, cap),)).reserve("x", usd, f"{cap}", now=rows.at)
        said += [event.event_id for event in budget_events(before, rows.rows[KEY])]
    assert said == [f"BudgetThreshold/2026-05-04/total/80/{cap}" for cap in (1, 2)]


# Duplicates and replays


def deliveries(listeners: Listeners, events: list[Json]) -> set[str]:
    """What MatchTriggers makes of these events."""
    store = TriggerStore.connect(listeners.settings)
    queue = WebhookQueue.connect(listeners.settings)
    return {
        delivery
        for event in events
        for delivery in match_triggers(event, store, queue, now=NOW).deliveries
    }


def waiting(listeners: Listeners) -> set[str]:
    """The deliveries in the queue; to a message too many DeliverWebhook finds it done."""
    return {message["Body"] for message in _received(listeners.settings.webhook_queue_url)}


def test_a_change_that_is_handed_over_twice_is_delivered_once(listeners: Listeners) -> None:
    """As after the death of the function between the bus and its answer."""
    TriggerStore.connect(listeners.settings).put_trigger(a_trigger())
    workflow_id = began(listeners)
    listeners.said()
    end(listeners, workflow_id, Status.SUCCEEDED, result=RESULT)
    [(source, records)] = listeners.outbox.batches()
    for _ in range(2):
        wanted = [record for record in records if source.wants(record)]
        assert publish_events({"Records": wanted}, CONTEXT) == {"batchItemFailures": []}
    completed = [e for e in listeners.heard() if e["detail-type"] == "MovieSearchCompleted"]
    assert len(completed) == 2
    assert completed[0]["id"] != completed[1]["id"]
    assert len(deliveries(listeners, completed)) == len(waiting(listeners)) == 1


def test_what_is_replayed_starts_mails_and_delivers_nothing_again(listeners: Listeners) -> None:
    TriggerStore.connect(listeners.settings).put_trigger(a_trigger())
    events = aws.client("events")
    arn = events.describe_event_bus(Name=listeners.settings.event_bus)["Arn"]
    archive = events.create_archive(ArchiveName="kept", EventSourceArn=arn)["ArchiveArn"]
    entry = {"EventBusName": listeners.settings.event_bus, "Source": "a.shop"}
    asked = {"DetailType": "MovieSearchRequested", "Detail": REQUEST.model_dump_json()}
    events.put_events(Entries=[entry | asked])
    workflow_id = began(listeners, "event")
    end(listeners, workflow_id, Status.SUCCEEDED, result=RESULT)
    first = listeners.heard("triggers")
    assert len(listeners.heard("searches")) == 1
    delivered = deliveries(listeners, first)
    once = waiting(listeners)
    assert len(delivered) == len(once) == 1

    events.start_replay(
        ReplayName="again",
        EventSourceArn=archive,
        EventStartTime=NOW - timedelta(days=9_999),
        EventEndTime=NOW + timedelta(days=9_999),
        Destination={"Arn": arn},
    )
    again = listeners.heard("triggers")
    assert [event["detail"] for event in again] == [event["detail"] for event in first]
    assert deliveries(listeners, again) == delivered
    assert waiting(listeners) <= once
    assert listeners.heard("searches") == listeners.heard("mail") == []
    events.delete_archive(ArchiveName="kept")


def test_a_replay_reaches_no_further_back_than_deliveries_are_remembered() -> None:
    [archive] = the_template().resources("AWS::Events::Archive").values()
    kept = timedelta(days=archive["Properties"]["RetentionDays"])
    assert timedelta() < kept < WEBHOOK_HISTORY_KEPT_FOR


# The template


def test_a_mail_is_sent_of_all_that_waits_for_a_word_and_of_nothing_else(
    listeners: Listeners,
) -> None:
    entry = {"EventBusName": listeners.settings.event_bus, "DetailType": "ApprovalRequested"}
    for source, state in ((SOURCE, "WAITING"), (SOURCE, "HELD"), ("a.shop", "WAITING")):
        detail = json.dumps({"state": state})
        aws.client("events").put_events(Entries=[entry | {"Source": source, "Detail": detail}])
    assert [event["detail"]["state"] for event in listeners.heard("mail")] == ["WAITING", "HELD"]
    listeners.heard()


def test_every_table_whose_changes_are_announced_has_a_stream_and_filters() -> None:
    sources = sources_of(the_template())
    assert len(sources) == 4
    for source in sources:
        properties = the_template().document["Resources"][source.table]["Properties"]
        assert properties["StreamSpecification"] == {"StreamViewType": "NEW_AND_OLD_IMAGES"}
        assert 1 <= len(source.filters) <= 5


def test_a_post_of_the_payload_file_is_told(listeners: Listeners) -> None:
    payload = json.loads((ROOT / "tests" / "events" / "publish_events.json").read_text())
    assert publish_events(payload, CONTEXT) == {"batchItemFailures": []}
    [(name, detail)] = listeners.said()
    assert (name, detail["post_id"]) == ("PostPublished", "2033100000000000042")
