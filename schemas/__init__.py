"""The ground everyone stands on: what an event is, in every version, and how it lies on the wire and on disk."""
