"""What the contract says: pure functions from facts to figures and findings.

This room may not know files, orgs, SQL, the time of day or chance; whatever a rule needs is an
argument. It keeps one law: the same facts give the same answer, and every answer can be explained.
"""
