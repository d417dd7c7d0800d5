"""What a definition's Catch hands on: the errors of steps that failed for good."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from marquee.errors import GivenUp
from marquee.workflows.record import StepError, in_words


class CaughtError(BaseModel):
    """``$states.errorOutput`` of a Catch, or what a step says in its shape."""

    model_config = ConfigDict(frozen=True, serialize_by_alias=True)

    name: str = Field(alias="Error")
    cause: str = Field(default="", alias="Cause")

    @classmethod
    def of(cls, error: Exception) -> Self:
        """What a Catch would have had of the error."""
        return cls(Error=type(error).__name__, Cause=str(error))

    def as_step_error(self) -> StepError:
        """The error as a record holds it: of one that was given up, the error itself."""
        message = in_words(self.cause)
        if self.name == GivenUp.__name__:
            name, _, message = message.partition(": ")
            return StepError(name=name, message=message)
        return StepError(name=self.name, message=message)

    def __str__(self) -> str:
        error = self.as_step_error()
        return f"{error.name}: {error.message}"


class Problem(BaseModel):
    """A step that failed for good while the workflow went on."""

    model_config = ConfigDict(frozen=True)

    step: str
    error: CaughtError

    def __str__(self) -> str:
        return f"{self.step}: {self.error}"


def listed(value: Any) -> Any:
    """JSONata hands a list of one as its one element, and an empty one as nothing."""
    if value is None:
        return []
    return value if isinstance(value, list | tuple) else [value]
