"""The Model Context Protocol: the actions of the API as tools for assistants such as Claude."""
