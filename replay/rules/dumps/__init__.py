"""A page_owner dump, taken some sections after others: a dump may have a record for every page of the machine."""
