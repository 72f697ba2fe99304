"""Calls tools with the official client of MCP, in the way that the first argument names."""

import asyncio
import json
import os
import sys

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client


async def main(mode: str) -> None:
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
    async with httpx2.AsyncClient(headers=headers) as web:
        transport = streamable_http_client(f"{os.environ['URL']}/mcp", http_client=web)
        async with Client(transport, mode=mode) as client:
            print(json.dumps(await calls(client)))


async def calls(client: Client) -> dict:
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    # The client checks each answer with the schema that the tool shows.
    created = await client.call_tool(
        "create_contact", {"phone": "+1 415 555 0123", "name": "Romain", "tags": ["vip"]}
    )
    contact = created.structured_content
    tagged = await client.call_tool("tag_contact", {"id": contact["id"], "add_tags": ["Zoé"]})
    listed = await client.call_tool("list_contacts", {"search": "romain", "include": ["metadata"]})
    refused = await client.call_tool("create_contact", {"phone": "12"})
    tried = await client.call_tool("delete_contact", {"id": contact["id"], "dry_run": True})
    try:
        await client.call_tool("send_message", {})
    except MCPError as error:
        unknown = error.code
    gone = await client.call_tool("delete_contact", {"id": contact["id"]})
    return {
        "revision": client.protocol_version,
        "server": client.server_info.name,
        "tools": len(tools),
        "warned": tools["delete_contact"].annotations.destructive_hint,
        "tags": tagged.structured_content["tags"],
        "listed": [row["metadata"] for row in listed.structured_content["data"]],
        "refused": [refused.is_error, json.loads(refused.content[0].text)["code"]],
        "tried": tried.structured_content["dry_run"],
        "unknown": unknown,
        "gone": gone.structured_content["deleted"],
    }


asyncio.run(main(sys.argv[1]))
