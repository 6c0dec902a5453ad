"""``sfsync metadata``: what an org needs before it can be mirrored, made from the mappings.

May not know what the files contain. It keeps one law: what is deployed was checked first.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from sfsync.cli.output import agree, as_json, emit, finish, talk, yes
from sfsync.cli.rooms import Mistyped, client_option, files, runtime
from sfsync.errors import Exit

hub_option = click.option(
    "--hub", is_flag=True, help="The package of a hub, or with --client of that client's own org."
)
DIRECTORY = click.Path(file_okay=False, exists=True, path_type=Path)


@click.group()
def metadata() -> None:
    """Objects, fields and permission sets, made from the mappings."""


@metadata.command()
@click.option("--into", type=DIRECTORY, default=Path(), help="Top of the project; default: here.")
@as_json
def generate(into: Path, as_json: bool) -> None:
    """Write the Salesforce source, docs/fields.md and the editor schema again."""
    from sfsync.metadata import write

    _project(into)
    changed = write(files().mappings, into)
    if as_json:
        emit({"changed": changed})
        return
    for path in changed:
        click.echo(path)
    talk(f"{len(changed)} file(s) changed")


@metadata.command()
@client_option
@hub_option
@click.option("--source", type=DIRECTORY, help="Check the package in this directory instead.")
@click.option("--project", type=DIRECTORY, help="Also tell what is out of date in this project.")
@as_json
def check(client: str | None, hub: bool, source: Path | None, project: Path | None, as_json: bool) -> None:
    """Prove the package without an org: Salesforce's published types, and every reference between files."""
    from sfsync.metadata import check as problems_of
    from sfsync.metadata import generate as package_of
    from sfsync.metadata import read_package, stale

    mappings = files().of(client, hub=hub)
    package = read_package(source) if source else package_of(mappings)
    problems = [str(problem) for problem in problems_of(package)]
    if project is not None:
        _project(project)
        problems += [f"{path}: out of date, run: sfsync metadata generate" for path in stale(files().mappings, project)]
    if as_json:
        emit({"ok": not problems, "files": len(package), "problems": problems})
    else:
        for problem in problems:
            click.echo(problem)
        talk(f"{len(package)} files, {len(problems)} problem(s)")
    finish(Exit.CHECK_FAILED if problems else Exit.OK)


@metadata.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@client_option
@hub_option
@click.option("--uninstall", is_flag=True, help="Pack what takes everything out of an org again.")
@as_json
def package(file: Path, client: str | None, hub: bool, uninstall: bool, as_json: bool) -> None:
    """Write the package as a zip to FILE, for a deploy by other means."""
    from sfsync.metadata import generate as package_of
    from sfsync.metadata import uninstall as removal_of
    from sfsync.metadata import zip_package

    mappings = files().of(client, hub=hub)
    made = removal_of(mappings) if uninstall else package_of(mappings)
    file.write_bytes(zip_package(made))
    if as_json:
        emit({"file": str(file), "files": len(made), "uninstall": uninstall})
    else:
        talk(f"wrote {file}: {len(made)} files")


@metadata.command()
@click.argument("org")
@click.option("--as", "username", help="Administrator who deploys, through the same app; default: the org's own user.")
@click.option("--check-only", is_flag=True, help="Let the org validate the package and change nothing.")
@as_json
def deploy(org: str, username: str | None, check_only: bool, as_json: bool) -> None:
    """Deploy the package of ORG's client into ORG and give the service its permission set; all of it or nothing."""
    from sfsync.errors import CheckFailed
    from sfsync.metadata import check as problems_of
    from sfsync.metadata import generate as package_of

    with runtime() as opened:
        opened.runtime.org(org)
        mappings = opened.runtime.mappings_of(org)
        problems = problems_of(package_of(mappings))
        if problems:
            raise CheckFailed(f"the package has {len(problems)} problem(s), nothing was sent; the first: {problems[0]}")
        done = opened.runtime.deploy_metadata(org, username=username, check_only=check_only)
    if as_json:
        emit({"org": org, "job": done.job, "components": done.components, "check_only": done.check_only})
    else:
        what = "would take" if done.check_only else "took"
        click.echo(f"{org} {what} {done.components} component(s), deploy {done.job}")


@metadata.command("uninstall")
@click.argument("org")
@click.option(
    "--as", "username", help="Administrator who removes it, through the same app; default: the org's own user."
)
@click.option("--check-only", is_flag=True, help="Let the org validate the removal and change nothing.")
@yes
@as_json
def remove(org: str, username: str | None, check_only: bool, yes: bool, as_json: bool) -> None:
    """Take everything that a deploy brings out of ORG again, records of our objects included, and pause ORG."""
    from sfsync.metadata import uninstall, zip_package
    from sfsync.org.deploy import deploy as send
    from sfsync.org.session import OrgSession
    from sfsync.org.tokens import MemoryTokens

    with runtime() as opened:
        row, found = opened.org(org), opened.runtime.org(org)
        if not check_only:
            agree(f"Remove our objects, fields and all their records from {org} ({row.organization_id})?", yes)
        who = {"username": username or found.username, "organization_id": row.organization_id}
        session = OrgSession(org, found.model_copy(update=who), clock=opened.runtime.clock, tokens=MemoryTokens())
        package = zip_package(uninstall(opened.runtime.mappings_of(org)))
        if not check_only:  # before anything is gone, so that no run takes the removal for a mass delete
            opened.store.pause(row.client, org, "its metadata was uninstalled")
        with closing(session):
            done = send(session, package, check_only=check_only)
    if as_json:
        emit({"org": org, "job": done.job, "components": done.components, "check_only": done.check_only})
    else:
        what = "would lose" if done.check_only else "lost"
        click.echo(f"{org} {what} {done.components} component(s), deploy {done.job}")


def _project(top: Path) -> None:
    if not (top / "mappings").is_dir():
        raise Mistyped(f"{top}: there is no mappings/ here; run this at the top of the project")
