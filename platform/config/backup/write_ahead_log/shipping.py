"""The write-ahead log on its way into the repository: whole segments, and pieces of the last.

pg_receivewal writes into a folder here; a piece follows once a second, as far as the receiver has
said that it wrote. Bytes of the log never change once they are written.
"""

from dataclasses import dataclass
from pathlib import Path

from config.backup.cluster import Cluster
from config.backup.storage.repository import Repository
from config.backup.write_ahead_log.positions import HISTORY, SEGMENT, Piece, Segment

_PARTIAL = ".partial"
_MOST_PIECES = 60  # of a segment; then one takes their place


@dataclass(slots=True)
class Shipping:
    repository: Repository
    cluster: Cluster
    spool: Path
    segment: str = ""  # the one whose pieces are being stored
    stored: int = 0  # bytes of it
    pieces: list[Piece] | None = None

    def ship(self, received: int | None) -> None:
        """Store what is new, up to a position that the receiver has reached; None if unknown.

        Raises StoreError: what was not stored is there at the next call.
        """
        # An old timeline leaves its last segment behind: the newest is being written. It is looked
        # for first: it may become a whole one, and must not be passed over then.
        partial = max(self.spool.glob(f"*{_PARTIAL}"), default=None)
        for file in sorted(self.spool.iterdir()):
            if SEGMENT.fullmatch(file.name):
                self._ship_segment(file)
            elif HISTORY.fullmatch(file.name):
                self.repository.put(f"wal/{file.name}", file.read_bytes())
                file.unlink()
        if partial and received is not None:
            self._ship_piece(partial, received)

    def _ship_segment(self, file: Path) -> None:
        self.repository.put(f"wal/{file.name}", file.read_bytes())
        for piece in self._stored_pieces(file.name):
            self.repository.delete(f"wal/{piece.name}")
        file.unlink()
        self.segment, self.stored, self.pieces = "", 0, None

    def _ship_piece(self, file: Path, received: int) -> None:
        name = file.name.removesuffix(_PARTIAL)
        segment = Segment.named(name, self.cluster.segment_bytes)
        end = min(received - segment.begins, segment.size)
        begin = self._stored_bytes(name)
        if end <= begin:
            return
        try:
            log = file.open("rb")
        except FileNotFoundError:
            if (whole := file.with_suffix("")).exists():
                self._ship_segment(whole)
            return
        with log:
            log.seek(begin)
            self._store(Piece(name, begin, end), log.read(end - begin))
            if len(self.pieces or []) >= _MOST_PIECES:
                log.seek(0)
                self._merge(Piece(name, 0, end), log.read(end))

    def _store(self, piece: Piece, content: bytes) -> None:
        self.repository.put(f"wal/{piece.name}", content)
        self.stored = piece.ends
        self.pieces = [*(self.pieces or []), piece]

    def _merge(self, whole: Piece, content: bytes) -> None:
        pieces = self.pieces or []
        self.repository.put(f"wal/{whole.name}", content)
        self.pieces = [whole]
        for piece in pieces:
            self.repository.delete(f"wal/{piece.name}")

    def _stored_bytes(self, segment: str) -> int:
        if self.segment != segment:
            self.segment = segment
            self.pieces = self._stored_pieces(segment)
            self.stored = contiguous(self.pieces)
        return self.stored

    def _stored_pieces(self, segment: str) -> list[Piece]:
        if self.segment == segment and self.pieces is not None:
            return self.pieces
        pieces = map(Piece.named, self.repository.names("wal", after=segment))
        return [piece for piece in pieces if piece and piece.segment == segment]


def contiguous(pieces: list[Piece]) -> int:
    """Returns how many bytes from the segment's beginning the pieces have without a hole."""
    end = 0
    for piece in sorted(pieces):
        if piece.begins > end:
            break
        end = max(end, piece.ends)
    return end
