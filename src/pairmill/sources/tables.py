"""Tables of records: CSV and TSV, spreadsheets, Parquet and Arrow. Each row is a record."""

from __future__ import annotations

import codecs
import csv
import io
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from pairmill.sources.encodings import decode
from pairmill.sources.records import Decoder, document_of
from pairmill.sources.streams import BLOCK_BYTES, Recoded, Rewound, take_head

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pairmill.sources.base import Documents, Opener
    from pairmill.sources.streams import Stream

__all__ = ["read_arrow", "read_csv", "read_excel", "read_parquet"]

_DELIMITERS = ",;\t|"
_MOST_HEADER_CHARS = 80
_BATCH_ROWS = 256
_MOST_BYTES = 2**29  # of a spreadsheet, which is held in memory as a whole


def read_csv(opener: Opener) -> Documents:
    """Yield a document for each row; the first row names the columns if it looks like names."""
    csv.field_size_limit(opener.max_bytes)
    head, stream = take_head(opener.stream)
    decoded = decode(head)
    if decoded is not None and decoded.encoding != "utf-8":
        stream = Rewound(b"", Recoded(stream, decoded.encoding))
    delimiter = _delimiter(decoded.text if decoded else "", opener.name)
    rows = csv.reader(_lines(stream), delimiter=delimiter, strict=False)
    first = next(rows, None)
    if first is None:
        opener.skip("", "no records")
        return
    names, ahead = (first, []) if _are_names(first) else (_numbered(first), [first])
    decoder = Decoder(opener)
    number = used = 0
    while True:
        number += 1
        try:
            row = ahead.pop() if ahead else next(rows, None)
        except csv.Error as error:
            opener.skip(f"#{number}", "broken row", str(error))
            continue
        if row is None:
            break
        if any(row):
            used += 1
            record = {name: value for name, value in zip(names, row, strict=False) if value}
            found = document_of(record, f"#{number}", decoder)
            if found is not None:
                yield found
    if not used:
        opener.skip("", "no records")


def read_excel(opener: Opener) -> Documents:
    """Yield a document for each row of each sheet; the first row names the columns."""
    import python_calamine  # noqa: PLC0415 (an extra)

    data = opener.read_all(_MOST_BYTES)
    if data is None:
        return
    try:
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
    except python_calamine.CalamineError as error:
        opener.skip("", "cannot be read", str(error))
        return
    decoder = Decoder(opener)
    for sheet in book.sheet_names:
        rows = iter(book.get_sheet_by_name(sheet).to_python(skip_empty_area=True))
        first = [str(cell) for cell in next(rows, [])]
        if not first:
            continue
        names = first if _are_names(first) else _numbered(first)
        for number, row in enumerate(rows, 2):
            record = {
                name: str(cell)
                for name, cell in zip(names, row, strict=False)
                if cell not in ("", None)
            }
            if record:
                found = document_of(record, f"/{sheet}#{number}", decoder)
                if found is not None:
                    yield found


def read_parquet(opener: Opener) -> Documents:
    """Yield a document for each row, some hundreds of rows at a time."""
    import pyarrow.parquet  # noqa: PLC0415 (an extra)

    with _damage_skipped(opener), opener.seekable() as file:
        table = pyarrow.parquet.ParquetFile(file)
        batches = (batch.to_pylist() for batch in table.iter_batches(batch_size=_BATCH_ROWS))
        yield from _rows_of(batches, opener)


def read_arrow(opener: Opener) -> Documents:
    """Yield a document for each row of an Arrow file or stream, as saved by `datasets`."""
    import pyarrow.ipc  # noqa: PLC0415 (an extra)

    with _damage_skipped(opener), opener.seekable() as file:
        is_file = file.read(6) == b"ARROW1"
        bounded = _BoundedFile(file)
        if is_file:
            reader = pyarrow.ipc.open_file(bounded)
            batches = (reader.get_batch(at) for at in range(reader.num_record_batches))
        else:
            batches = iter(pyarrow.ipc.open_stream(bounded))
        parts = (
            batch.slice(at, _BATCH_ROWS).to_pylist()
            for batch in batches
            for at in range(0, batch.num_rows, _BATCH_ROWS)
        )
        yield from _rows_of(parts, opener)


class _BoundedFile:
    """A file that is never asked for more than it holds, since damaged tables claim any size."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._size = file.seek(0, io.SEEK_END)
        file.seek(0)

    def read(self, size: int = -1) -> bytes:
        """Return up to this many bytes."""
        left = max(0, self._size - self._file.tell())
        return self._file.read(left if size < 0 else min(size, left))

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


@contextmanager
def _damage_skipped(opener: Opener) -> Iterator[None]:
    """Report the rest of a damaged table as skipped, with Arrow's description of the damage."""
    import pyarrow as pa  # noqa: PLC0415 (an extra)

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        opener.skip("", "cannot be read", str(error).partition("\n")[0])


def _lines(stream: Stream) -> Iterator[str]:
    """Yield the lines of a UTF-8 stream, including their line ends."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    while block := stream.read(BLOCK_BYTES):
        text = rest + decoder.decode(block).replace("\0", "")
        *whole, rest = text.split("\n")
        for line in whole:
            yield f"{line}\n"
    if rest:
        yield rest


def _delimiter(sample: str, name: str) -> str:
    if name.casefold().endswith((".tsv", ".tab")):
        return "\t"
    first = sample.split("\n", 1)[0]
    return max(_DELIMITERS, key=lambda mark: (first.count(mark), mark == ","))


def _are_names(row: list[str]) -> bool:
    """Return whether a row holds column names: short, distinct, no numbers, no sentences."""
    bare = [cell.strip() for cell in row]
    return (
        any(bare)
        and len({cell for cell in bare if cell}) == sum(map(bool, bare))
        and all(len(cell) <= _MOST_HEADER_CHARS for cell in bare)
        and not any(cell.replace(".", "").replace("-", "").isdigit() for cell in bare)
        and not any(cell.endswith((".", "!", "?")) for cell in bare)
    )


def _numbered(row: list[str]) -> list[str]:
    return [f"column {at}" for at in range(1, len(row) + 1)]


def _rows_of(batches: Iterable[list[dict[str, Any]]], opener: Opener) -> Documents:
    decoder = Decoder(opener)
    number = 0
    for rows in batches:
        for row in rows:
            number += 1
            found = document_of(row, f"#{number}", decoder)
            if found is not None:
                yield found
    if not number:
        opener.skip("", "no records")
