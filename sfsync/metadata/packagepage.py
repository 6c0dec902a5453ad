"""docs/package.md: what the package brings into an org, for the administrator who must agree to it.

It may not know mappings beyond the files made from them. It keeps one law: every figure and name on the page is read
from the package itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from sfsync.metadata.check import contents
from sfsync.metadata.limits import MOST_FIELDS, MOST_RULES, MOST_TRACKED
from sfsync.metadata.xmltext import NOTICE, Element, parse

_BEFORE = """# The package

<!-- {notice} -->

`sfsync metadata deploy ORG` brings this into an org. `sfsync metadata package --uninstall FILE` packs what takes it out
again, with the records of the objects it brought. There is no Apex, no flow and no trigger in it, so no test has to
pass. Standard fields and the client's own pages are not touched; on the Case it adds fields, rules, list views and two
buttons.
"""

_BY_HAND = """## What a person still does

1. Assign the permission sets: `sfsync_Service` to the integration user alone, the others to people.
2. Put the buttons Log Time and Acknowledge on the Case page, and the maintenance fields where people want them: the
   client's Case layouts are not touched.
3. Switch on history tracking of the Case's Status, where it is off: the first answer and the pauses are read from it.
4. Where Cases are private in the org, share them with the integration user for writing: the permission set lets it see
   all Cases and edit those it is given, and deliberately not modify all.
"""


def package_page(files: Mapping[str, bytes]) -> str:
    """Return the page about the package ``files``, ending in one line feed; the same text for the same files."""
    roots = {path: parse(data) for path, data in files.items() if path != "package.xml"}
    lines = [
        _BEFORE.format(notice=NOTICE),
        "## What is in it",
        "",
        *_counts(roots),
        "",
        "Limits are those of Professional Edition, the smallest that takes the package.",
        "",
        *_objects(roots),
        "",
        "## Who may do what",
        "",
        "Nobody may delete or modify all. Everybody with a set sees every field of the package.",
        "",
        *_roles(roots),
        "",
        "## What the org refuses",
        "",
        *_rules(roots),
        "",
        _BY_HAND.rstrip("\n"),
    ]
    return "\n".join(lines) + "\n"


def _counts(roots: Mapping[str, Element]) -> Iterator[str]:
    count = Counter(kind for path, root in roots.items() for kind, _ in contents(path, root))
    yield ", ".join(f"{number} {kind}" for kind, number in sorted(count.items())) + "."


def _objects(roots: Mapping[str, Element]) -> Iterator[str]:
    most = f"fields (of {MOST_FIELDS}) | rules (of {MOST_RULES}) | tracked (of {MOST_TRACKED})"
    yield f"| object | {most} | default access |"
    yield "|---|---|---|---|---|"
    for path, root in roots.items():
        if path.startswith("objects/"):
            fields = list(root.all("fields"))
            tracked = sum(field.value("trackHistory") == "true" for field in fields)
            rules = len(list(root.all("validationRules")))
            name = path.removeprefix("objects/").removesuffix(".object")
            yield f"| `{name}` | {len(fields)} | {rules} | {tracked} | {root.value('sharingModel') or 'as it is'} |"


def _roles(roots: Mapping[str, Element]) -> Iterator[str]:
    yield "| permission set | for | makes | changes |"
    yield "|---|---|---|---|"
    for path, root in roots.items():
        if not path.startswith("permissionsets/"):
            continue
        makes = [
            given.value("object") for given in root.all("objectPermissions") if given.value("allowCreate") == "true"
        ]
        fields: dict[str, list[str]] = {}
        for given in root.all("fieldPermissions"):
            if given.value("editable") == "true":
                name, _, field = given.value("field").partition(".")
                fields.setdefault(name, []).append(field)
        changes = "; ".join(f"{name}: {', '.join(f'`{f}`' for f in found)}" for name, found in fields.items())
        if len(changes) > 1_500:
            changes = "; ".join(f"{name}: {len(found)} fields" for name, found in fields.items())
        name = path.removeprefix("permissionsets/").removesuffix(".permissionset")
        yield f"| `{name}` | {root.value('description')} | {', '.join(makes) or 'nothing'} | {changes or 'nothing'} |"


def _rules(roots: Mapping[str, Element]) -> Iterator[str]:
    yield "| object | rule | what people read | why |"
    yield "|---|---|---|---|"
    for path, root in roots.items():
        if path.startswith("objects/"):
            name = path.removeprefix("objects/").removesuffix(".object")
            for rule in root.all("validationRules"):
                message, why = rule.value("errorMessage"), rule.value("description")
                yield f"| `{name}` | `{rule.value('fullName')}` | {message} | {why} |"
