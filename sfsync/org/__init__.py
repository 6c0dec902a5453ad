"""The only room that knows Salesforce: sessions, reading, writing back, and what its answers mean.

It may not know the store or the rules. It keeps one law: an answer that cannot be read is never taken for an answer.

From the outside in: ``preflight`` and ``extract`` read, ``writeback`` writes, ``deploy`` brings metadata, ``session``
carries every request. Below them: ``poll`` (the first call of a run), ``paging``, ``bulk`` and ``bulkread`` (large
reads), ``place`` (where a read stands), ``rows`` and ``schema`` (what a row and a describe say), ``transport`` (the
cheapest way to write), ``composite`` (many requests in one), ``faults`` (what a refusal means), ``auth`` and ``tokens``
(who we are), ``wire`` and ``deadline`` (one host, an end to every wait), ``budget``, ``soql``, and ``inprocess`` (a
local org without a socket).
"""
