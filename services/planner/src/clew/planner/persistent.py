"""A mapping that is never changed: with one more entry it is another mapping, which shares nearly everything.

Of a dict every entry would be copied for each event of a thread; of this one a few hundred references are.
"""

from collections.abc import Iterator, Mapping
from typing import Final, TypeVar

K = TypeVar("K")
V = TypeVar("V")
BUCKETS: Final = 256


class PersistentMap(Mapping[K, V]):
    """Entries in buckets by the hash of their key. `put` gives a new one; order is not kept."""

    __slots__ = ("_buckets", "_size")

    def __init__(self, buckets: Mapping[int, Mapping[K, V]] | None = None, size: int = 0) -> None:
        self._buckets: Mapping[int, Mapping[K, V]] = buckets or {}
        self._size = size

    def put(self, key: K, value: V) -> "PersistentMap[K, V]":
        """The same entries and this one, in place of one with its key if there is one."""
        place = hash(key) % BUCKETS
        bucket = self._buckets.get(place, {})
        size = self._size + (key not in bucket)
        return PersistentMap({**self._buckets, place: {**bucket, key: value}}, size)

    def put_all(self, entries: Mapping[K, V]) -> "PersistentMap[K, V]":
        """As `put`, for many at once: the fewest copies."""
        found = {key: value for bucket in self._buckets.values() for key, value in bucket.items()} | {**entries}
        buckets: dict[int, dict[K, V]] = {}
        for key, value in found.items():
            buckets.setdefault(hash(key) % BUCKETS, {})[key] = value
        return PersistentMap(buckets, len(found))

    def __getitem__(self, key: K) -> V:
        return self._buckets[hash(key) % BUCKETS][key]

    def __iter__(self) -> Iterator[K]:
        return (key for bucket in self._buckets.values() for key in bucket)

    def __len__(self) -> int:
        return self._size

    def __hash__(self) -> int:
        return hash(frozenset(self.items()))
