"""An operator's word on a provider that was closed, for its credits were used up."""

from pydantic import Field

from marquee.api.call import Call, Parameters, Reply
from marquee.aws import table
from marquee.errors import NotFound
from marquee.gateway.quota import PROVIDERS
from marquee.gateway.rows import DynamoRows
from marquee.gateway.spend import Spend, read_caps
from marquee.observability import logger


class Provider(Parameters):
    """Which one."""

    provider: str = Field(pattern=r"^[a-z]{1,20}$", description="Such as x or openai.")


def reopen(asked: Provider, call: Call) -> Reply:
    """Let a provider be paid again, which answered 402 and is mended.

    Nothing is changed where it was open: the same again is no error.
    """
    from marquee.api.answers import Reopened

    name = asked.provider
    if name not in PROVIDERS:
        raise NotFound(f"no provider is called {name}: there are {', '.join(sorted(PROVIDERS))}")
    rows = DynamoRows(table(call.settings.require("gateway_table")))
    spend = Spend(rows, read_caps(call.settings.spend_caps))
    reason = spend.closed(now=call.now()).get(name, "")
    reopened = spend.reopen(name, now=call.now())
    if reopened:
        logger.warning("provider reopened", provider=name, closed_because=reason)
    message = f"it had been closed: {reason}" if reopened else "it was open: nothing was changed"
    return Reply(Reopened(provider=name, reopened=reopened, message=message))
