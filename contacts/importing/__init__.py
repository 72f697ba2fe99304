"""Files of contacts → contacts.

The modules in the order in which a file passes them:

- `incoming`, `uploads`, `options`: a request stores the file, and says how to read it;
- `formats`, `record_file`, `records`: bytes → text → records;
- `columns`, `cells`, `row`: records → clean rows;
- `spool`, `repeats`, `storage`: the files that an import keeps while it runs;
- `engine`, `pools`, `batch`: reading and writing, in several processes and threads;
- `error_file`, `preview`, `hints`, `language`: what users see of a file;
- `erasures`, `cleanup`: removing people, and removing old imports.
"""

import csv

# The limit of `csv` is one for all threads: if imports lowered it to their own, an error file with
# longer cells could not be read meanwhile. So it is set once, and imports count themselves.
csv.field_size_limit(2**31 - 1)  # characters
