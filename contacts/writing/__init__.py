"""The one write path: each change of contacts and tags, whoever makes it, goes through here.

One module for each kind of change. Each verb is a function that checks, locks, writes and logs, in
this order and in one transaction. A verb for one contact takes the tenant and the key of the
contact; a verb for many contacts takes the contacts, or their ids.

`upsert`: create a contact or update the one with the same phone. `edit`: change fields.
`change_phone`: give a contact another phone. `tags`: tag contacts; rename, delete and merge tags.
`consent`: decisions about being written to. `merge`: make several contacts one. `delete`: delete
and restore. `erase`: forget a person. `undo`: take a change set back. `rows` and `links` hold what
these verbs share.
"""
