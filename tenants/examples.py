"""The example response of `/me` in the API's documentation."""

from typing import Any

ME: dict[str, Any] = {
    "id": 42,
    "email": "shop@acme.example",
    "name": None,
    "tenant": {"id": "01HZX9D3M6Q8R2T5V7W1Y4Z0AB", "name": "Acme Co."},
}
