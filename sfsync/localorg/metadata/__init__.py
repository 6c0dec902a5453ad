"""The Metadata API of a local org: deploy, retrieve, list and describe, by SOAP and by REST.

It may not know sfsync's own generator or mappings. It keeps one law: an org's schema changes by a deploy and in no
other way, all of it or, where the caller asked for that, the components that stand.
"""
