"""Django REST framework as its tutorials have it."""
