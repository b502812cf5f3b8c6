"""The proof as a table: one line for each address, one column for each caller."""

from collections import defaultdict
from collections.abc import Iterator

from console.isolation.crawler import CROSSED, FOREIGN, OWN, Cell
from console.isolation.proof import IsolationProof

PLACES = (OWN, FOREIGN, CROSSED)
LEGEND = (
    "Each field: own tenant / another tenant / own address with another tenant's id.\n"
    "401 is the way to the sign-in, - was not asked; ! is wrong, LEAK a look into another tenant."
)


def lines(proof: IsolationProof) -> Iterator[str]:
    names = list(dict.fromkeys(cell.caller for cell in proof.cells))
    rows: dict[tuple[str, str], dict[str, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for cell in proof.cells:
        rows[cell.path, cell.method][cell.caller].append(cell)
    width = max(len(path) for path, _ in rows) + 1
    yield LEGEND
    yield " ".join(["route".ljust(width), "    ", *(name[:15].ljust(15) for name in names)])
    for (path, method), by_caller in rows.items():
        fields = [_field(by_caller.get(name, [])).ljust(15) for name in names]
        yield " ".join([path.ljust(width), method.ljust(4), *fields]).rstrip()


def _field(cells: list[Cell]) -> str:
    if any(cell.leak for cell in cells):
        return "LEAK"
    at = {cell.place: cell for cell in cells}
    marks = [_mark(at[place]) if place in at else "-" for place in PLACES]
    while marks and marks[-1] == "-":
        marks.pop()
    return "/".join(marks)


def _mark(cell: Cell) -> str:
    return f"{cell.status}{'!' if cell.problem else ''}"


def summary(proof: IsolationProof) -> Iterator[str]:
    for cell in (*proof.leaks, *proof.wrong):
        yield f"{cell.method} {cell.path} as {cell.caller} ({cell.place}): {cell.problem}"
    for table in proof.touched:
        yield f"LEAK: rows of the other tenant in {table} are not what they were"
    routes = len({(cell.path, cell.method) for cell in proof.cells})
    callers = len({cell.caller for cell in proof.cells})
    yield (
        f"{routes} routes x {callers} callers: {len(proof.cells)} requests, "
        f"{len(proof.leaks) + len(proof.touched)} leaks, {len(proof.wrong)} wrong answers"
    )
