"""The only room that knows Salesforce: sessions, reading, writing back, and what its answers mean.

It may not know the store or the rules. It keeps one law: an answer that cannot be read is never taken for an answer.
"""
