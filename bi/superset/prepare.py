"""Run by Superset's own Python: bring its metadata database up to date and give the admin the kept password."""

import json
import os
from pathlib import Path

from flask.cli import ScriptInfo
from superset.app import create_app
from superset.cli.main import superset as commands


def prepare() -> None:
    """Tables and roles of this version; an account `admin` with the password of credentials.json."""
    app = create_app()
    for command in (["db", "upgrade"], ["init"]):
        commands.main(args=command, obj=ScriptInfo(create_app=lambda: app), standalone_mode=False)
    password = json.loads((Path(os.environ["SUPERSET_HOME"]) / "credentials.json").read_text())["admin"]
    with app.app_context():
        accounts = app.appbuilder.sm
        admin = accounts.find_user(username="admin")
        if admin is None:
            accounts.add_user("admin", "Admin", "Superset", "admin@localhost", accounts.find_role("Admin"), password)
        else:
            accounts.reset_password(admin.id, password)
        # who is not logged in yet may not fetch translations, and the login page would be in English
        translations = accounts.find_permission_view_menu("can_language_pack", "Superset")
        accounts.add_permission_role(accounts.find_role("Public"), translations)


if __name__ == "__main__":
    prepare()
