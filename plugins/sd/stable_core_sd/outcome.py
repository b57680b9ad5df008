"""What a run has to tell beside its pictures. It is gathered here while the run goes on, and written elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """Gathers what a person should know and what belongs into the generation data.

    Attributes:
        notes: sentences for the person who asked for the run, each once.
        pairs: generation data that only the run knows, such as the hashes of networks.
    """

    notes: list[str] = field(default_factory=list)
    pairs: dict[str, str] = field(default_factory=dict)

    def note(self, *notes: str) -> None:
        """Add sentences that are not there yet."""
        self.notes += [note for note in dict.fromkeys(notes) if note not in self.notes]
