-- No superuser: it owns its database, and that is all it needs.
\getenv password QYVO_PASSWORD
CREATE ROLE qyvo LOGIN PASSWORD :'password';
CREATE DATABASE qyvo OWNER qyvo;
