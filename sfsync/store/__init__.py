"""The store: the only room that knows SQL.

May not know Salesforce or the rules' meaning. It keeps one law: a transaction a call, and what belongs together moves
together. ``store`` is the front; ``room`` is what one run of the line is handed; ``embedded`` brings a server along.
"""
