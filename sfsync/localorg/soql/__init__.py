"""SOQL: statements to answers, with an engine's own transactions and indexes behind them.

It may not know HTTP, locators or jobs. The one law: no value of a statement ever becomes SQL text, and a field that the
view's schema does not show does not exist.

How the faces of the org use it::

    view = soql.View(schema=visible, everything=schema, now=clock.now(), zone=user_zone, user_id=user.id,
                     include_deleted=False, version="61.0", shuffle=None, next_url=store_locator)
    result = soql.run(storage.db, "SELECT Id, Account.Name FROM Case", view, page_size=2000)
    result.total_size            # totalSize, on every page
    result.page(db, 0, 2000)     # records [0:2000), ready for JSON; any [start:start+size) later
    len(result)                  # done = start + size >= len(result); 0 for COUNT()
    result.object_name           # canonical name of the object in FROM
    result.purpose               # ("view",) when FOR VIEW was asked
    result.columns               # flat names of what was selected

* ``schema`` is ``Schema.restricted`` to what the running user may see; formulas are evaluated in ``everything``, the
  whole schema. A ``Result`` is what a locator keeps: it holds only ids when it is longer than one page, so the
  locator is (result, offset) and ``/query/01g...-4000`` is ``result.page(db, 4000, size)``.
* ``next_url(result, offset)`` is called for a child list longer than ``view.child_page``: keep the result under a new
  locator and return its URL. Leave it None to send whole child lists.
* ``ApiError`` is the only exception: code and message as a real org words them.
* ``Extract(db, compile_soql(text, view, bulk=True))`` gives the CSV lines of Bulk API query jobs.
"""

from sfsync.localorg.errors import ApiError
from sfsync.localorg.soql.compiler import compile_soql
from sfsync.localorg.soql.plan import Kind, Plan
from sfsync.localorg.soql.run import PAGE, Extract, Result, run
from sfsync.localorg.soql.scope import View

__all__ = ["PAGE", "ApiError", "Extract", "Kind", "Plan", "Result", "View", "compile_soql", "run"]
