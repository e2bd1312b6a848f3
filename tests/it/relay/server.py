"""A real server of mail for the tests of the relay: it prints its port, and a line of JSON for each mail.
What comes for an address that begins with `held` is answered once its standard input ends.

    server.py plain
    server.py starttls CERTIFICATE KEY
    server.py tls CERTIFICATE KEY
"""

import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Mailbox:
    def __init__(self, is_always_tls):
        self.is_always_tls = is_always_tls
        self.is_released = asyncio.Event()

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refused"):
            return "550 there is no such mailbox"
        if address.startswith("later") and not hasattr(self, "was_asked"):
            self.was_asked = True
            return "451 come again"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": self.is_always_tls or session.ssl is not None,
            "content": envelope.content.decode("ascii"),
        }
        print(json.dumps(mail), flush=True)
        if envelope.rcpt_tos[0].startswith("held"):
            await self.is_released.wait()
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    is_right = (data.login, data.password) == (b"relay", b"a secret")
    # What is not handled here is answered by the server: 535.
    return AuthResult(success=is_right, handled=is_right)


async def serve(security, files):
    context = None
    if files:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*files)
    mailbox = Mailbox(security == "tls")
    loop = asyncio.get_running_loop()

    def release():
        mailbox.is_released.set()
        loop.remove_reader(sys.stdin)

    loop.add_reader(sys.stdin, release)
    options = {"hostname": "localhost"}
    if security == "starttls":
        options |= {"require_starttls": True, "tls_context": context}
    if security != "plain":
        options |= {"auth_required": True, "authenticator": authenticate, "auth_require_tls": security == "starttls"}
    server = await loop.create_server(
        lambda: SMTP(mailbox, **options), "127.0.0.1", 0, ssl=context if security == "tls" else None
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(serve(sys.argv[1], sys.argv[2:]))
