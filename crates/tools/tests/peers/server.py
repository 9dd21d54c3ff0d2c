"""A server built with the Python SDK, on a free port, whose address is the first line that it prints.

It speaks every revision of the protocol.
"""

import asyncio
import base64
import socket
from typing import Annotated

import uvicorn
from mcp.server.mcpserver import Context, Elicit, Image, MCPServer, Resolve
from mcp.types import ToolAnnotations
from pydantic import BaseModel

server = MCPServer("peer")

# One pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Sum(BaseModel):
    value: int


class Consent(BaseModel):
    sure: bool


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def add(a: int, b: int) -> Sum:
    """Adds two numbers."""
    return Sum(value=a + b)


@server.tool()
def draw() -> Image:
    """Draws a pixel."""
    return Image(data=PNG, format="png")


@server.tool()
def fail() -> str:
    """Fails."""
    raise ValueError("no money")


@server.tool()
async def key(ctx: Context) -> str:
    """Tells the key that a call came with."""
    meta = ctx.request_context.meta or {}
    return str(dict(meta).get("ingram-cloud/idempotency-key"))


@server.tool()
async def work(steps: int, ctx: Context) -> str:
    """Works for a while and tells how far it is."""
    for step in range(steps):
        await asyncio.sleep(0.1)
        await ctx.report_progress(step + 1, steps)
    return "worked"


def ask(amount: int) -> Elicit[Consent]:
    return Elicit(f"Pay {amount}?", Consent)


@server.tool(annotations=ToolAnnotations(destructive_hint=True))
def pay(amount: int, consent: Annotated[Consent, Resolve(ask)]) -> str:
    """Pays, once the person agrees."""
    return f"paid {amount}" if consent.sure else "not paid"


async def main() -> None:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    # Whoever reads the address may connect at once; the connection waits until the server accepts.
    listener.listen(128)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
    config = uvicorn.Config(server.streamable_http_app(), log_level="warning")
    await uvicorn.Server(config).serve(sockets=[listener])


asyncio.run(main())
