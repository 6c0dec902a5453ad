"""A Salesforce org in a box: schema, records, REST, metadata and failures of a real org, on loopback or in process.

This package may not know sfsync's own sync code, so it cannot inherit a misreading of Salesforce. It keeps one law:
what it does not model it refuses loudly, with a real error code and a log line that begins with ``not modelled``.
"""
