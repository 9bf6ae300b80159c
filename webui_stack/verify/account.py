"""The probe's own account in Open WebUI: an ordinary user with a password only the host knows."""

from __future__ import annotations

import shlex

from pyinfra.api import Host

from webui_stack.settings.sources import HiddenLines
from webui_stack.transport import remote
from webui_stack.verify import websocket
from webui_stack.verify.websocket import ProbeError, Way

EMAIL = "probe@open-webui-stack.invalid"

# Run by Open WebUI's own Python, with its own models (backend/open_webui/models, 0.12.4), since the API wants an
# admin's login for this. Never the first account: that one becomes the admin, and has to be a person's.
_MAKE = """
import asyncio, sys
from open_webui.models.auths import Auths
from open_webui.models.users import Users
from open_webui.utils.auth import get_password_hash

async def make(email, password):
    user = await Users.get_user_by_email(email)
    if user:
        await Auths.update_user_password_by_id(user.id, await get_password_hash(password))
        return "renewed"
    if not await Users.has_users():
        return "first"
    await Auths.insert_new_auth(email, await get_password_hash(password), "Probe", role="user")
    return "made"

print("probe account:", asyncio.run(make(sys.argv[1], sys.stdin.readline().strip())))
"""


# In a swarm its variables with secrets are in a file (templates/stack.yaml.j2).
_WITH_SECRETS = (
    'if [ -e /run/secrets/open-webui.env ]; then set -a; . /run/secrets/open-webui.env; set +a; fi; exec "$@"'
)


def sign_in(host: Host, process: tuple[Host, str], way: Way, stack_dir: str, timeout_s: float) -> str:
    """The probe's login token; makes the account when there is none, or its password is another.

    `process` is a container of Open WebUI's, and the host it is on, that the account is made with.
    The password is `secrets/probe-password` on the host and leaves it for this one request only. Raises
    `ProbeError`.
    """
    path = shlex.quote(f"{stack_dir}/secrets/probe-password")
    try:
        (password,) = remote.run(host, f"cat {path}")
    except (remote.RemoteError, ValueError) as error:
        why = str(error).strip()
        raise ProbeError(f"no password in {path} ({why}); run deploy.py with verify_level = 'user'") from None
    body = {"email": EMAIL, "password": password}
    try:
        return _token(way, body, timeout_s)
    except ProbeError as error:
        if " answered 400 " not in str(error):  # wrong email or password (ERROR_MESSAGES.INVALID_CRED)
            raise
    python = ["sh", "-c", _WITH_SECRETS, "sh", "python3", "-c", _MAKE, EMAIL]
    make = shlex.join(["docker", "exec", "-i", "-e", "ENABLE_DB_MIGRATIONS=false", process[1], *python])
    try:
        said = remote.run(process[0], f"{make} 2>&1", HiddenLines(password))
    except remote.RemoteError as error:
        raise ProbeError(f"the account could not be made: {error}") from None
    if "probe account: first" in said:
        raise ProbeError("nobody has signed up yet, and the first account becomes the admin: sign up, then run again")
    return _token(way, body, timeout_s)


def _token(way: Way, body: dict[str, str], timeout_s: float) -> str:
    token = websocket.ask(way, "POST", "/api/v1/auths/signin", timeout_s, body).get("token")
    if not token:
        raise ProbeError("signing in gave no token; does Open WebUI ask for a second factor?")
    return str(token)


def sign_out(way: Way, token: str, timeout_s: float) -> None:
    """Ensure the token is revoked. Raises `ProbeError`."""
    websocket.ask(way, "POST", "/api/v1/auths/signout", timeout_s, token=token)
