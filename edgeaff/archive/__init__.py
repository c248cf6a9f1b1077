"""Archives: thousands of hours of media annotated by processes that may die, with nothing lost and nothing written twice.

```
sources -> tasks -> [Driver] -> engine (local | ray) -> Supervisor -> worker process -> events/part-ID.parquet
                       |                                                      |
                       +------------------------- Ledger <--------------------+   (part first, entry second)
```
"""

from edgeaff.archive.annotate import annotate

__all__ = ["annotate"]
