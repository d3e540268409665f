"""What people are told of a run."""

from __future__ import annotations

from pydantic import Field

from components.base.text import number, shown
from components.base.values import ForeignText, Value
from components.notify.settings import Event

_COMMANDS = {"tune": "the search for better settings", "compare": "the comparison of methods"}
_LONGEST = 600  # characters of the reason that people read; Teams takes 1,000 in all


class Message(Value):
    """The end of one run, as a program gets it; `title` and `text` are for people."""

    name: str = Field(description="of the configuration")
    events: tuple[Event, ...] = Field(description="what happened; several where a good run pushed and recovered")
    test: bool = Field(False, description="whether this is the message of `imagegate notify --test`")
    run_id: str = ""
    command: str = Field("run", description="of imagegate; `tune` or `compare` where one of these was killed")
    status: str = Field("", description="as in summary.json")
    exit_code: int | None = None
    reason: ForeignText = Field("", description="what the gate or the error says; a line for each reason")
    version: str | None = Field(
        None, description="where the run was good: the version that it pushed, or that had been pushed from the same"
    )
    challenger: bool = Field(False, description="whether that version stands beside the served one, and is not served")
    metric: str | None = Field(None, description="main metric of the task; null where nothing was evaluated")
    value: float | None = Field(None, description="of the new model")
    served_version: str | None = Field(None, description="version that was served before; null where none was compared")
    served_value: float | None = Field(None, description="of that version, on the same test images")
    report: ForeignText | None = Field(None, description="path or address of the report")

    @property
    def title(self) -> str:
        """One line: the configuration and what happened.

        >>> Message(name="pets", events=("refused",), exit_code=4).title
        'imagegate: pets: the model gate refused'
        """
        return f"imagegate: {self.name}: {self._what}"

    @property
    def _what(self) -> str:
        if self.test:
            return "a test message"
        if "refused" in self.events and "failed" in self.events:
            return "refused or failed"
        if "refused" in self.events:
            return f"the {'data' if self.exit_code == 3 else 'model'} gate refused"
        if "failed" in self.events:
            how = f"was {self.status}" if self.status in ("stopped", "killed") else "failed"
            return f"{_COMMANDS.get(self.command, 'the run')} {how}"
        role = "challenger" if self.challenger else "version"
        done = f"pushed {role} {self.version}" if "pushed" in self.events and self.version else "the run succeeded"
        return f"{done}, after runs that did not" if "recovered" in self.events else done

    @property
    def text(self) -> str:
        """The reason, the main metric against the served model, and where the report is, as paragraphs.

        >>> print(Message(name="pets", events=("pushed",), metric="accuracy", value=0.8, served_version="7",
        ...               served_value=0.75, report="/runs/report.html").text)
        accuracy 0.8 (version 7 on the same images: 0.75)
        <BLANKLINE>
        report: /runs/report.html
        """
        reason = shown(self.reason)
        if len(reason) > _LONGEST:
            reason = reason[:_LONGEST].rsplit(" ", 1)[0] + " …"
        parts = reason.splitlines()
        if self.metric is not None and self.value is not None:
            served = f" (version {self.served_version} on the same images: {number(self.served_value)})"
            parts.append(f"{self.metric} {number(self.value)}{served if self.served_version else ''}")
        if self.report:
            parts.append(f"report: {shown(self.report)}")
        elif self.run_id:
            parts.append(f"run: {self.run_id}")
        return "\n\n".join(part for part in parts if part) or self._what
