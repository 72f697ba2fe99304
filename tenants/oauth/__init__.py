"""OAuth 2.1 for apps such as Claude and ChatGPT, by django-oauth-toolkit.

The access token of a connected app is an `ApiToken`. The page on which a person decides is in
`tenants.admin.consent`, the list of connected apps in `tenants.admin.oauth`.
"""
