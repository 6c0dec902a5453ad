"""The store: the only room that knows SQL.

May not know Salesforce or the rules. It keeps one law: a transaction a call, and what belongs together moves together.
"""
