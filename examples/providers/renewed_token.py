"""A provider profile whose key is a token that expires: the setting is `renewed_token:make`.

A command prints a token that is valid for some minutes, as the tools of cloud providers do. It is
run once a minute, and once more when a token was refused.
"""

import asyncio
import os
import shlex

from pairmill.llm.providers.profile import ProviderProfile

COMMAND = os.environ.get("TOKEN_COMMAND", "gcloud auth print-access-token")


async def token() -> str:
    """Run the command, without holding up other calls, and return what it prints."""
    child = await asyncio.create_subprocess_exec(
        *shlex.split(COMMAND), stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await child.communicate()
    return printed.decode().strip()


def make() -> ProviderProfile:
    """The profile: everything else is found out, or stands in the settings."""
    return ProviderProfile(name="renewed-token", key=token)
