"""What type checkers see of an announced function: `.job(...)` typed port by port. Nothing here is used at run time.

An input of `.job(...)` is a value, a job that makes it, or several of either, which map the job over them; a port that
takes a list takes jobs that make its items too. A function with more than three ports takes a dataclass instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ParamSpec, Protocol, TypeAlias, TypeVar, overload

from stable_core.sdk.jobs import Job, JobSignature
from stable_core.sdk.params import Params
from stable_core.sdk.progress import Progress

T = TypeVar("T")
A = TypeVar("A", contravariant=True)
B = TypeVar("B", contravariant=True)
C = TypeVar("C", contravariant=True)
P = TypeVar("P", bound=Params, contravariant=True)
Made = TypeVar("Made", covariant=True)
Returned = TypeVar("Returned", covariant=True)
Call = ParamSpec("Call")

One: TypeAlias = T | Job[T] | Job[Iterable[T]] | Sequence[T | Job[T]]
"""What fits a port of type T."""

Many: TypeAlias = Job[T] | Job[Iterable[T]] | Sequence[T | Job[T]]
"""What fits a port of type list[T]."""

class Announced(Protocol[Call, Returned]):
    """An announced function, callable as before."""

    signature: JobSignature

    def __call__(self, *args: Call.args, **kwargs: Call.kwargs) -> Returned:
        """Call the function itself, here and now."""
        ...

class Inputs0(Announced[Call, Returned], Protocol[Call, Returned, P, Made]):
    """Without input ports."""

    def job(self, params: P | None = None) -> Job[Made]:
        """Describe one run."""
        ...

class Inputs1(Announced[Call, Returned], Protocol[Call, Returned, A, P, Made]):
    """With one input port."""

    @overload
    def job(self: Inputs1[Call, Returned, list[T], P, Made], a: Many[T], params: P | None = None) -> Job[Made]: ...
    @overload
    def job(self, a: One[A], params: P | None = None) -> Job[Made]: ...

class Inputs2(Announced[Call, Returned], Protocol[Call, Returned, A, B, P, Made]):
    """With two input ports."""

    @overload
    def job(
        self: Inputs2[Call, Returned, list[T], B, P, Made], a: Many[T], b: One[B], params: P | None = None
    ) -> Job[Made]: ...
    @overload
    def job(
        self: Inputs2[Call, Returned, A, list[T], P, Made], a: One[A], b: Many[T], params: P | None = None
    ) -> Job[Made]: ...
    @overload
    def job(self, a: One[A], b: One[B], params: P | None = None) -> Job[Made]: ...

class Inputs3(Announced[Call, Returned], Protocol[Call, Returned, A, B, C, P, Made]):
    """With three input ports."""

    def job(self, a: One[A], b: One[B], c: One[C], params: P | None = None) -> Job[Made]:
        """Describe one run."""
        ...

Job0: TypeAlias = Inputs0[[P, Progress], Made, P, Made]
Job1: TypeAlias = Inputs1[[A, P, Progress], Made, A, P, Made]
Job2: TypeAlias = Inputs2[[A, B, P, Progress], Made, A, B, P, Made]
Job3: TypeAlias = Inputs3[[A, B, C, P, Progress], Made, A, B, C, P, Made]
Plan0: TypeAlias = Inputs0[[P], Returned, P, Made]
Plan1: TypeAlias = Inputs1[[A, P], Returned, A, P, Made]
Plan2: TypeAlias = Inputs2[[A, B, P], Returned, A, B, P, Made]
Plan3: TypeAlias = Inputs3[[A, B, C, P], Returned, A, B, C, P, Made]

class JobDecorator(Protocol):
    """`@plugin.job` announces a function `(inputs…, params, progress) -> output` as a job; it stays a plain function.

    `@plugin.job(cached=False)` is for a job whose result may differ with the same inputs and params;
    `timeout_seconds` overrides the job timeout of the settings. A `light` one needs no device and little memory: it
    runs in a worker beside that of the others and does not wait for them.
    """

    @overload
    def __call__(self, function: Callable[[P, Progress], Made], /) -> Job0[P, Made]: ...
    @overload
    def __call__(self, function: Callable[[A, P, Progress], Made], /) -> Job1[A, P, Made]: ...
    @overload
    def __call__(self, function: Callable[[A, B, P, Progress], Made], /) -> Job2[A, B, P, Made]: ...
    @overload
    def __call__(self, function: Callable[[A, B, C, P, Progress], Made], /) -> Job3[A, B, C, P, Made]: ...
    @overload
    def __call__(
        self, *, cached: bool = ..., timeout_seconds: float | None = ..., light: bool = ...
    ) -> JobDecorator: ...

class InvocationDecorator(Protocol):
    """`@plugin.invocation` announces a function `(inputs…, params) -> Job | list[Job]`: its jobs run in its place."""

    @overload
    def __call__(self, plan: Callable[[P], Job[Made]], /) -> Plan0[P, Job[Made], Made]: ...
    @overload
    def __call__(self, plan: Callable[[P], list[Job[Made]]], /) -> Plan0[P, list[Job[Made]], Made]: ...
    @overload
    def __call__(self, plan: Callable[[A, P], Job[Made]], /) -> Plan1[A, P, Job[Made], Made]: ...
    @overload
    def __call__(self, plan: Callable[[A, P], list[Job[Made]]], /) -> Plan1[A, P, list[Job[Made]], Made]: ...
    @overload
    def __call__(self, plan: Callable[[A, B, P], Job[Made]], /) -> Plan2[A, B, P, Job[Made], Made]: ...
    @overload
    def __call__(self, plan: Callable[[A, B, P], list[Job[Made]]], /) -> Plan2[A, B, P, list[Job[Made]], Made]: ...
    @overload
    def __call__(self, plan: Callable[[A, B, C, P], Job[Made]], /) -> Plan3[A, B, C, P, Job[Made], Made]: ...
    @overload
    def __call__(
        self, plan: Callable[[A, B, C, P], list[Job[Made]]], /
    ) -> Plan3[A, B, C, P, list[Job[Made]], Made]: ...
