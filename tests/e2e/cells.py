"""Cells of the fault matrix: each surface with each of its faults, and what is right there.

What is right follows from whose fault it is. A Space's is a 5xx that says what the Space did, and no loss where another
Space can make the image. A 4xx is for what the client can mend. A fault beside the matter costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from faults import (
    FAULTS,
    FILE_FAULTS,
    FULL,
    HEARTBEATS,
    JOIN_FAULTS,
    LATE,
    RECORDED,
    REFUSED_BY_VALIDATOR,
    STREAMS,
    transcript,
)

IMAGE = "image"
"""Answer with the image."""
OTHER = "image, of the other Space"
"""Answer with the image of the other Space of the pool."""

UNREACHABLE = "502 space_unreachable"
LOST = "502 space_connection_lost"
STALLED = "504 space_stalled"
TIMEOUT = "504 space_timeout"
UNREADABLE = "502 space_unreadable"
FORBIDDEN = "502 space_forbidden"
NOT_FOUND = "502 space_not_found"
INCOMPATIBLE = "502 space_incompatible"
OVERLOADED = "503 server_is_overloaded"
ERROR = "502 space_error"
REDIRECTS = "502 space_redirects"
REJECTED = "400 rejected_by_space"
QUEUE_FAILED = "502 space_queue_failed"


@dataclass(frozen=True)
class Cell:
    """A fault at a surface."""

    surface: str
    fault: str
    once: bool = False

    @property
    def name(self) -> str:
        """Name of its models."""
        words = f"{self.surface} {self.fault}{' once' if self.once else ''}"
        return "".join(c if c.isalnum() or c == "." else "-" for c in words)

    @property
    def title(self) -> str:
        return self.fault + (", once" if self.once else "")


@dataclass(frozen=True)
class Right:
    """Answers that are right in a cell."""

    alone: str
    """Answer where the Space is the model's only one."""
    pool: str
    """Answer where another Space has the model too."""
    retry: str = "no"
    """Advice to the client that comes with the error: `no`, `at once`, or a number of seconds."""


OF_ANY: dict[str, tuple[str, str]] = {
    "refused": (UNREACHABLE, "at once"),
    "refused for a moment": (UNREACHABLE, "at once"),
    "reset": (LOST, "at once"),
    "slow head": (STALLED, "at once"),
    "stalled body": (STALLED, "at once"),
    "dripping body": (STALLED, "at once"),
    "cut head": (LOST, "at once"),
    "cut body": (LOST, "at once"),
    "length too long": (LOST, "at once"),
    "length too short": (UNREADABLE, "no"),
    "garbage": (LOST, "at once"),
    "huge header": (LOST, "at once"),
    **dict.fromkeys(
        ["empty", "wrong JSON", "wrong types", "HTML page", "deep JSON", "many values"], (UNREADABLE, "no")
    ),
    "too large": (UNREADABLE, "no"),
    "gzip bomb": (UNREADABLE, "no"),
    **dict.fromkeys([name for name in FAULTS if name.startswith("redirect")], (REDIRECTS, "no")),
    **dict.fromkeys(["400", "409", "413", "422"], (INCOMPATIBLE, "no")),
    **dict.fromkeys(["401", "403"], (FORBIDDEN, "no")),
    "404": (NOT_FOUND, "no"),
    **dict.fromkeys(["429", "503"], (OVERLOADED, "10 s")),
    **dict.fromkeys(["500", "502", "504"], (ERROR, "at once")),
    **dict.fromkeys(["429 for 120 s", "503 for 120 s"], (OVERLOADED, "120 s")),
}
"""Answer, and advice, where nothing else is said."""

OF_STREAM: dict[str, tuple[str, str]] = {
    "restart": (QUEUE_FAILED, "at once"),
    HEARTBEATS: (TIMEOUT, "no"),
    **dict.fromkeys(STREAMS, (UNREADABLE, "no")),
    "wrong types before the end": (IMAGE, ""),
    "lines without end": (LOST, "at once"),
    "closed before the end": (LOST, "at once"),
    "no image": ("422 no_image", "no"),
    "no outputs": ("422 no_image", "no"),
    "not an image": ("422 no_image", "no"),
    "URL of another host": ("422 image_elsewhere", "no"),
    "gr.Error": (REJECTED, "no"),
    "exception": ("422 space_error", "no"),
    "GPU quota": ("429 insufficient_quota", "no"),
    "cancelled there": ("502 space_cancelled", "at once"),
    "server stops": (QUEUE_FAILED, "at once"),
    "session is unknown": (QUEUE_FAILED, "at once"),
}
IN_STREAM = {
    "dripping body": (TIMEOUT, "no"),
    "length too long": (IMAGE, ""),
    "length too short": (LOST, "at once"),
    **dict.fromkeys(["empty", "wrong JSON", "wrong types", "HTML page", "deep JSON", "many values"], (LOST, "at once")),
    "gzip bomb": (LOST, "at once"),
}
"""Answers where the faults of any server meet a stream of events: lines that are none are passed over."""
OVERDUE = {("data", "dripping body"), ("data", HEARTBEATS), ("file", "dripping body")}
"""Cells in which the request's time is over before another Space can be asked."""


def right(cell: Cell) -> Right:
    """Answers that are right in that cell."""
    alone, retry = (OF_ANY | OF_STREAM | dict.fromkeys(JOIN_FAULTS | FILE_FAULTS, (UNREADABLE, "no")))[
        cell.fault if not cell.fault.startswith(("cut of", "cut inside", "stalled after")) else "reset"
    ]
    pool = OTHER
    if cell.once and cell.surface == "file":
        # An image that is made is not lost to one call for its file.
        return Right(IMAGE, IMAGE)
    match cell.surface, cell.fault:
        case "info", fault if (
            fault[0].isdigit()
            or fault.startswith("redirect")
            or (fault in OF_ANY and (OF_ANY[fault][0] == UNREADABLE and fault != "too large"))
        ):
            # The names of parameters are beside the matter: their labels do.
            return Right(IMAGE, IMAGE)
        case "cancel", "refused":
            return Right(f"{STALLED}, then {UNREACHABLE}", OTHER, "at once")
        case "cancel", _:
            # Nobody waits for it, and its slot comes back.
            return Right(f"{STALLED}, then {IMAGE}", OTHER, "at once")
        case "join", "400" | "413" | "422":
            # The request's own arguments.
            pool = alone
        case "join", fault if fault == LATE:
            alone, retry = STALLED, "at once"
        case "join", fault if fault == FULL:
            alone, retry = OVERLOADED, "5 s"
        case "join", fault if fault == REFUSED_BY_VALIDATOR:
            alone = pool = REJECTED
        case "file", "length too short":
            # It is as long as the Space says.
            alone = IMAGE
        case "data", fault if fault in IN_STREAM:
            alone, retry = IN_STREAM[fault]
        case "data", fault if fault.startswith("stalled after"):
            alone = STALLED
        case "data", "gr.Error":
            pool = REJECTED
        case "upload", "413":
            alone = "413 image_too_large"
        case "file", "dripping body":
            alone, retry = TIMEOUT, "no"
    if alone == IMAGE:
        return Right(IMAGE, IMAGE)
    if cell.surface == "data" and " after message " in cell.fault and not cell.fault.startswith("stalled"):
        name, _, number = cell.fault.rpartition(" after message ")
        version, recording = RECORDED.get(name.removeprefix("cut of "), ("6.31.0", "image"))
        if any(b'"process_completed"' in message for message in transcript(version, recording)[: int(number)]):
            return Right(IMAGE, IMAGE)
    return Right(alone, alone if (cell.surface, cell.fault) in OVERDUE else pool, retry)


def cells() -> list[Cell]:
    """All of them, by surface."""
    found = []
    for surface in ["config", "info", "upload", "join", "data", "file", "cancel"]:
        found += [Cell(surface, fault) for fault in ["refused", *FAULTS]]
    found += [Cell("join", fault) for fault in JOIN_FAULTS]
    for name, (version, recording) in RECORDED.items():
        found += [
            Cell("data", f"cut of {name} after message {n}") for n in range(len(transcript(version, recording)) + 1)
        ]
    found += [Cell("data", f"cut inside after message {number}") for number in range(5)]
    found += [Cell("data", f"stalled after message {number}") for number in range(4)]
    found += [Cell("data", fault) for fault in [*STREAMS, HEARTBEATS, "restart"]]
    found += [Cell("file", fault) for fault in FILE_FAULTS]
    transient = ["refused for a moment", "reset", "stalled body", "cut body", "429", "500", "502", "503", "504"]
    found += [Cell("file", fault, once=True) for fault in transient]
    return found
