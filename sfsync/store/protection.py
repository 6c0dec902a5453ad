"""What the database itself refuses: another client's rows, a changed posting, an overdraw.

May not know how rows are made. It keeps one law: every statement here may run again at any time, to no effect.
Applied at the end of each upgrade, so a table that a migration adds is protected before anybody can use it.

Row-level security does not cover TRUNCATE (never granted), nor foreign and unique keys (the client is first in each).
"""

from __future__ import annotations

from collections.abc import Iterator

from sfsync.store.tables import HOUSE, WRITES, metadata

SETTING = "app.client"
"""The transaction's client; unset or empty means that no row is visible."""

_REFUSE_CHANGE = """
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'postings are never changed or removed (LED-1): % on %', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$
"""

# One statement's postings are folded together, so that a reversal and what replaces it are judged by their sum,
# and packs are locked in one order. The owner's rights are needed to write a balance: nobody else may.
_FOLD_POSTINGS = """
CREATE OR REPLACE FUNCTION fold_postings() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO pack_balance AS b (client, pack, balance_minutes)
    SELECT client, pack, 0 FROM booked GROUP BY client, pack ORDER BY client, pack
    ON CONFLICT (client, pack) DO NOTHING;

    PERFORM 1 FROM pack_balance b
      WHERE EXISTS (SELECT 1 FROM booked n WHERE n.client = b.client AND n.pack = b.pack)
      ORDER BY b.client, b.pack FOR UPDATE;

    UPDATE pack_balance b SET balance_minutes = b.balance_minutes + n.minutes
      FROM (SELECT client, pack, sum(minutes) AS minutes FROM booked GROUP BY client, pack) n
      WHERE b.client = n.client AND b.pack = n.pack AND n.minutes <> 0;
    RETURN NULL;
END $$
"""

# A breach once recorded is never moved; the history may withdraw it (PRI-4).
_KEEP_BREACH = """
CREATE OR REPLACE FUNCTION keep_breach() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.breached_at IS NOT NULL AND NEW.breached_at <> OLD.breached_at THEN
        RAISE EXCEPTION 'the breach of case % was recorded at % and stays (PRI-4)', OLD."case", OLD.breached_at
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$
"""

_KEEP_PIN = """
CREATE OR REPLACE FUNCTION keep_pin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.organization_id IS NOT NULL AND NEW.organization_id IS DISTINCT FROM OLD.organization_id THEN
        RAISE EXCEPTION 'org % is pinned to %', OLD.org, OLD.organization_id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$
"""


def statements(role: str) -> Iterator[str]:
    """Yield what protects the tables, for a service role of this name; the role must exist."""
    yield from (_REFUSE_CHANGE, _FOLD_POSTINGS, _KEEP_BREACH, _KEEP_PIN)
    yield (
        "CREATE OR REPLACE TRIGGER posting_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON posting "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    yield (
        "CREATE OR REPLACE TRIGGER posting_folds AFTER INSERT ON posting REFERENCING NEW TABLE AS booked "
        "FOR EACH STATEMENT EXECUTE FUNCTION fold_postings()"
    )
    yield (
        "CREATE OR REPLACE TRIGGER breach_stays BEFORE UPDATE ON milestone FOR EACH ROW EXECUTE FUNCTION keep_breach()"
    )
    yield "CREATE OR REPLACE TRIGGER pin_stays BEFORE UPDATE ON org FOR EACH ROW EXECUTE FUNCTION keep_pin()"
    yield f'GRANT USAGE ON SCHEMA public TO "{role}"'
    for name in sorted(metadata.tables):
        yield f'REVOKE ALL ON "{name}" FROM "{role}", PUBLIC'
        yield f'GRANT SELECT{", " + WRITES[name] if WRITES[name] else ""} ON "{name}" TO "{role}"'
        if name in HOUSE:
            continue
        mine = f"client = nullif(current_setting('{SETTING}', true), '')"
        yield f'ALTER TABLE "{name}" ENABLE ROW LEVEL SECURITY'
        yield f'ALTER TABLE "{name}" FORCE ROW LEVEL SECURITY'
        yield f'DROP POLICY IF EXISTS own_client ON "{name}"'
        yield f'CREATE POLICY own_client ON "{name}" USING ({mine}) WITH CHECK ({mine})'
