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

# Figures of many clients in one question. It has no rights of its own: each client's rows are read under its setting
# as in any other transaction, and what comes out are numbers. Kept here because it is nothing but row-level security.
_FIGURES = f"""
CREATE OR REPLACE FUNCTION figures_of(clients text[], since timestamptz)
RETURNS TABLE (of_client text, of_org text, what text, one text, two text, figure bigint) LANGUAGE plpgsql AS $$
DECLARE
    mine text;
BEGIN
    FOREACH mine IN ARRAY clients LOOP
        PERFORM set_config('{SETTING}', mine, true);
        RETURN QUERY
            SELECT mine, u.org, 'calls', '', '', sum(u.ours)::bigint FROM api_use u
              WHERE u.hour_at >= since GROUP BY u.org
            UNION ALL
            SELECT mine, s.org, v.what, '', '', v.figure
              FROM (SELECT DISTINCT ON (org) * FROM api_use WHERE said_at IS NOT NULL ORDER BY org, hour_at DESC) s,
              LATERAL (VALUES ('used', s.used), ('allowed', s.allowed)) v (what, figure)
            UNION ALL
            SELECT mine, q.org, 'quarantined', q.code, '', count(*) FROM quarantine q GROUP BY q.org, q.code
            UNION ALL
            SELECT mine, '', 'balance', '', '', sum(b.balance_minutes)::bigint FROM pack_balance b
            UNION ALL
            SELECT mine, '', 'reserved', '', '', sum(a.reserved_minutes)::bigint FROM client_account a
              WHERE NOT a.deleted
            UNION ALL
            SELECT mine, '', v.what, coalesce(c.priority, ''), coalesce(c.sla_status, ''), v.figure
              FROM (SELECT priority, sla_status, count(*) AS found, count(*) FILTER (WHERE breached) AS late
                    FROM "case" WHERE NOT deleted AND is_closed IS DISTINCT FROM true GROUP BY 1, 2) c,
              LATERAL (VALUES ('open', c.found), ('breached', c.late)) v (what, figure);
        RETURN QUERY
            SELECT mine, t.org, v.what, '', '', v.figure
              FROM (SELECT DISTINCT ON (org) * FROM certificate ORDER BY org, at DESC) t,
              LATERAL (VALUES ('audited', extract(epoch FROM t.at)::bigint),
                ('differences', jsonb_array_length(t.content -> 'differences')::bigint)) v (what, figure);
    END LOOP;
    PERFORM set_config('{SETTING}', '', true);
END $$
"""


def statements(role: str) -> Iterator[str]:
    """Yield what protects the tables, for a service role of this name; the role must exist."""
    yield from (_REFUSE_CHANGE, _FOLD_POSTINGS, _KEEP_BREACH, _KEEP_PIN, _FIGURES)
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
