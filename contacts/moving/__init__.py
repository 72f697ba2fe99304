"""A hosted account of Qyvo → contacts of a tenant.

- `mcp`: a client of the account's MCP server;
- `account`: the contacts of the account, page by page;
- `download`: all pages → one file, also in several attempts;
- `move`: downloads that file and imports it.
"""
