"""The one package that knows which database is in use: statements, connections, transactions."""
