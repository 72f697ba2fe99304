"""How the admin writes dates and times, in Django's layout: one package for each language."""
