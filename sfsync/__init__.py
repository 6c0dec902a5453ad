"""sfsync mirrors prepaid maintenance work between Salesforce orgs and a local store."""

__version__ = "0.1.0"
