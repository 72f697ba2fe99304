"""The look of the admin: the settings of django-unfold."""

from typing import Any

from django.templatetags.static import static

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Qyvo Contacts",
    "SITE_HEADER": "Qyvo Contacts",
    "SITE_ICON": lambda request: static("qyvo/logo.svg"),
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("qyvo/logo.svg")},
    ],
    "STYLES": [lambda request: static("qyvo/admin.css")],
    "SCRIPTS": [
        lambda request: static("qyvo/admin.js"),
        # The script reads the user from its own address; browsers do not send this part.
        lambda request: f"{static('qyvo/typed.js')}#{request.user.pk or ''}",
        lambda request: static("qyvo/finder.js"),
    ],
    "SHOW_BACK_BUTTON": True,
    "ACCOUNT": {"navigation": "qyvo.navigation.account"},
    "SIDEBAR": {"navigation": "qyvo.navigation.sidebar"},
    "COLORS": {
        # Text in these colours has a contrast of at least 4.5 : 1, light on black and dark on white
        # (WCAG 2.2, 1.4.3). The theme's own primary colours have less.
        "primary": {
            "50": "oklch(98.4% .014 180.7)", "100": "oklch(95.3% .051 180.8)",
            "200": "oklch(91% .096 180.4)", "300": "oklch(85.5% .138 181.1)",
            "400": "oklch(77.7% .152 181.9)", "500": "oklch(70.4% .14 182.5)",
            "600": "oklch(48% .086 175)", "700": "oklch(43% .078 177)",
            "800": "oklch(38% .07 180)", "900": "oklch(33% .06 184)",
            "950": "oklch(27.7% .046 192.5)",
        },
    },
}  # fmt: skip
