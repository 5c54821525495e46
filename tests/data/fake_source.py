"""A source of examples made in memory, for the tests of measuring and checking."""

from dataclasses import dataclass, field

from ivl.data.example import Example
from ivl.errors import DataError
from ivl.types import ImagePart, Message, TextPart


def example(question="What is this?", answer="A dish.", images=(), where="fake.jsonl:1", **fields) -> Example:
    pictures = tuple(each if isinstance(each, ImagePart) else ImagePart(source=each) for each in images)
    asked = Message(role="user", parts=(*pictures, TextPart(text=question)))
    return Example(messages=(asked, Message(role="assistant", parts=(TextPart(text=answer),))), where=where, **fields)


@dataclass
class FakeSource:
    """Examples; a string stands for a record that its reader refuses for that reason."""

    records: list
    name: str = "fake.jsonl"
    identity: str | None = None
    read: list = field(default_factory=list)
    """Numbers of the records read in this process."""

    def __len__(self) -> int:
        return len(self.records)

    def where(self, index: int) -> str:
        return f"{self.name}:{index + 1}"

    def __getitem__(self, index: int) -> Example:
        self.read.append(index)
        record = self.records[index]
        if isinstance(record, str):
            raise DataError(f"{self.where(index)}: {record}")
        return record
