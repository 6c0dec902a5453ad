"""The history of the tables, run by ``Store.upgrade``. May not know any data. A released step is never edited."""
