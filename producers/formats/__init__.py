"""The formats of captures: one room or file each, listed in ``table.FORMATS``, and how each is recognised.

A new format of traces is one file, or one room, and one line in the table. The file holds a parser (``parsed.Parser``) that
takes events apart into fields, asks ``meaning.Meaning`` for rows and collects them in ``rows.RowBuilder``, and the
``format.Format`` that says how a file is recognised and what opens it. tests/producers/formats/test_new_format.py does it.
"""
